//! Keys and signatures that verifiers have disagreed about: dryoc, libsodium and ed25519-dalek in
//! strict mode give one verdict, and the log adds its own rule for keys.
//!
//! The cases and libsodium's verdicts come from `tests/vectors/check_edges.py`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{add, from_seed, key, log_of, rec_add};
use curve25519_dalek::edwards::CompressedEdwardsY;
use dryoc::classic::crypto_core::{crypto_core_ed25519_is_valid_point, crypto_scalarmult_base};
use dryoc::classic::crypto_sign_ed25519::crypto_sign_ed25519_pk_to_curve25519;
use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};
use hushwire_identity::hash::{Label, signed, verify};
use hushwire_identity::log::device_id;
use hushwire_identity::{DeviceKind, DeviceLog, Entry, LogError, Payload, Suites};
use proptest::prelude::*;
use serde_json::Value;

const SIGNATURES: &str = include_str!("../../tests/vectors/edges/signatures.json");
const KEYS: &str = include_str!("../../tests/vectors/edges/keys.json");
/// `D(hw1/log)`: what every message of the signatures begins with.
const PREFIX: &[u8] = b"\x07hw1/log";

fn cases(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn bytes<const N: usize>(case: &Value, field: &str) -> [u8; N] {
    hex::decode(case[field].as_str().unwrap()).unwrap().try_into().unwrap()
}

/// Whether the log takes a key: canonical, on the curve, of the prime order.
fn is_log_key(ik: [u8; 32]) -> bool {
    let one = key(1);
    let mut draft = Entry::parse(&one.genesis("alice")).unwrap().draft;
    let Payload::Genesis { ik: place, .. } = &mut draft.payload else { unreachable!() };
    *place = ik;
    draft.signer = device_id(&ik);
    // The key is judged before the signature, which is nobody's.
    match DeviceLog::genesis(&draft.wire(None, &[0; 64])) {
        Err(LogError::Key) => false,
        Err(LogError::Signature) => true,
        other => panic!("{other:?}"),
    }
}

#[test]
fn three_verifiers_give_one_verdict() {
    let (mut accepted, mut lenient, mut mixed) = (0, 0, 0);
    let cases = cases(SIGNATURES);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let public = bytes(case, "public");
        let signature: [u8; 64] = bytes(case, "signature");
        let message = hex::decode(case["message"].as_str().unwrap()).unwrap();
        let text = message.strip_prefix(PREFIX).unwrap();

        let ours = verify(&public, Label::Log, &[text], &signature);
        assert_eq!(ours, case["libsodium"].as_bool().unwrap(), "libsodium: {name}");
        let dalek = VerifyingKey::from_bytes(&public).ok();
        let parsed = Signature::from_bytes(&signature);
        let strict = dalek.is_some_and(|key| key.verify_strict(&message, &parsed).is_ok());
        assert_eq!(ours, strict, "ed25519-dalek, strict: {name}");

        // What the strict rules keep out: with the lenient ones dalek takes all that the plain
        // equation takes, if R and S are canonical.
        let loose = dalek.is_some_and(|key| key.verify(&message, &parsed).is_ok());
        assert!(loose || !ours, "{name}");
        assert!(!loose || case["equation"] == "plain", "{name}");
        lenient += usize::from(loose && !ours);
        accepted += usize::from(ours);
        // A key of mixed order verifies where its torsion happens to vanish. No log holds one.
        let log_key = is_log_key(public);
        assert_eq!(ours && !log_key, ours && name.starts_with("a-mixed"), "{name}");
        mixed += usize::from(ours && !log_key);
    }
    let cofactored = cases.iter().filter(|case| case["equation"] == "cofactored").count();
    println!(
        "{} signatures: {accepted} accepted, {mixed} of them by keys that no log takes; {lenient} \
         only with lenient rules, {cofactored} only with the cofactor",
        cases.len()
    );
    assert!(accepted > mixed && mixed > 30 && lenient > 50 && cofactored > 30);
}

#[test]
fn a_key_is_judged_as_by_libsodium_and_the_log_takes_only_honest_ones() {
    let cases = cases(KEYS);
    let log = log_of("alice", &[&key(9)]);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let public: [u8; 32] = bytes(case, "key");
        let wanted = case["hw1"].as_bool().unwrap();
        let mut x25519 = [0; 32];
        let converts = crypto_sign_ed25519_pk_to_curve25519(&mut x25519, &public).is_ok();
        let x25519 = converts.then(|| hex::encode(x25519));
        assert_eq!(x25519.as_deref(), case["libsodium_x25519"].as_str(), "{name}");
        assert_eq!(
            crypto_core_ed25519_is_valid_point(&public),
            case["libsodium_point"].as_bool().unwrap(),
            "{name}"
        );
        assert_eq!(converts, wanted, "{name}");
        assert_eq!(is_log_key(public), wanted, "{name}");
        let dalek = VerifyingKey::from_bytes(&public).ok();
        if wanted {
            let montgomery = dalek.unwrap().to_montgomery();
            assert_eq!(Some(hex::encode(montgomery.to_bytes())), x25519, "{name}");
        }
        // dalek decodes what is not canonical; its strict verifier then goes by the order.
        assert_eq!(dalek.is_some(), !case["order"].is_null(), "{name}");
        let weak = dalek.is_some_and(|key| key.is_weak());
        assert_eq!(weak, matches!(case["order"].as_str(), Some("1" | "2" | "4" | "8")), "{name}");
        if wanted {
            continue;
        }
        // Nor does it get in later. Its claim is refused first: nobody can sign for it.
        let suites = Suites::HERE;
        let as_device = Payload::Add { ik: public, kind: DeviceKind::WEB, suites };
        for payload in [as_device, Payload::RecoveryAdd { rk: public }] {
            let wire = key(9).entry(&key(9).draft(&log, payload), Some(&[0; 64]));
            assert_eq!(log.clone().extend(&wire), Err(LogError::Claim), "{name}");
        }
    }
    println!("{} keys", cases.len());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn signatures_are_those_of_another_implementation(
        seed: [u8; 32], text in prop::collection::vec(any::<u8>(), 0..300),
        at in 0..64_usize, with in 1..=255_u8,
    ) {
        let ours = from_seed(&seed);
        let theirs = SigningKey::from_bytes(&seed);
        prop_assert_eq!(ours.public, theirs.verifying_key().to_bytes());
        let signature = ours.sign(Label::Log, &[&text]);
        let message = signed(Label::Log, &[&text]);
        prop_assert_eq!(signature, theirs.sign(&message).to_bytes());
        prop_assert!(verify(&ours.public, Label::Log, &[&text], &signature));
        // Damaged anywhere, both refuse.
        let mut broken = signature;
        broken[at] ^= with;
        prop_assert!(!verify(&ours.public, Label::Log, &[&text], &broken));
        let broken = Signature::from_bytes(&broken);
        prop_assert!(theirs.verifying_key().verify_strict(&message, &broken).is_err());
        // The conversions of both halves fit each other and dalek's.
        let mut x25519 = [0; 32];
        crypto_sign_ed25519_pk_to_curve25519(&mut x25519, &ours.public).unwrap();
        prop_assert_eq!(x25519, theirs.verifying_key().to_montgomery().to_bytes());
        let mut base = [0; 32];
        crypto_scalarmult_base(&mut base, &theirs.to_scalar_bytes());
        prop_assert_eq!(base, x25519);
    }

    #[test]
    fn any_bytes_as_a_key_have_one_verdict(bytes: [u8; 32]) {
        let honest = VerifyingKey::from_bytes(&bytes).is_ok_and(|key| {
            let point = CompressedEdwardsY(bytes).decompress().unwrap();
            key.to_bytes() == point.compress().to_bytes() && point.is_torsion_free()
        });
        prop_assert_eq!(is_log_key(bytes), honest);
    }
}

/// A key of mixed order whose owner knows its scalar can sign its own claim; the log refuses the
/// key all the same.
#[test]
fn a_claim_that_verifies_brings_no_mixed_key_in() {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_TABLE, EIGHT_TORSION};
    use curve25519_dalek::scalar::Scalar;
    use sha2::{Digest as _, Sha512};

    let log = log_of("alice", &[&key(9)]);
    let secret = Scalar::from(77_u64);
    let public = (ED25519_BASEPOINT_TABLE * &secret + EIGHT_TORSION[1]).compress().to_bytes();
    for (payload, kind, suites) in [
        (add(&key(2)), DeviceKind::PHONE.number(), Suites::HERE.bits()),
        (rec_add(&key(2)), 255, 0),
    ] {
        let mut payload = payload;
        match &mut payload {
            Payload::Add { ik, .. } => *ik = public,
            Payload::RecoveryAdd { rk } => *rk = public,
            _ => unreachable!(),
        }
        let (user, suites) = (log.user(), suites.to_be_bytes());
        let parts: [&[u8]; 4] = [user.as_bytes(), &public, &[kind], &suites];
        let message = signed(Label::Claim, &parts);
        // Until the challenge is a multiple of 8, which takes the torsion out.
        let claim = (0_u64..1_000)
            .find_map(|nonce| {
                let r = Scalar::from(nonce + 1);
                let big_r = (ED25519_BASEPOINT_TABLE * &r).compress().to_bytes();
                let hash = Sha512::new().chain_update(big_r).chain_update(public);
                let hash = hash.chain_update(&message).finalize();
                let k = Scalar::from_bytes_mod_order_wide(&hash.into());
                let s = (r + k * secret).to_bytes();
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(&big_r);
                signature[32..].copy_from_slice(&s);
                verify(&public, Label::Claim, &parts, &signature).then_some(signature)
            })
            .unwrap();
        let wire = key(9).entry(&key(9).draft(&log, payload), Some(&claim));
        assert_eq!(log.clone().extend(&wire), Err(LogError::Key));
    }
}
