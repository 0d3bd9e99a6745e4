//! Exchanges, seals and encapsulations at their edges: dryoc against libsodium, OpenSSL,
//! x25519-dalek, RustCrypto's `aes-gcm` and its `x-wing`.
//!
//! The cases of exchanges and seals, with the verdicts of the others, come from
//! `tests/vectors/check_edges.py`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use dryoc::classic::crypto_box::crypto_box_beforenm;
use dryoc::classic::crypto_core::{crypto_core_hsalsa20, crypto_scalarmult};
use dryoc::classic::crypto_kem_xwing::{
    crypto_kem_xwing_dec, crypto_kem_xwing_enc_deterministic, crypto_kem_xwing_seed_keypair,
};
use dryoc::classic::crypto_secretbox::crypto_secretbox_open_easy;
use hushwire_identity::hash::{Label, hash};
use hushwire_identity::prekey::pq_hash;
use hushwire_identity::{Suite, Suites, aead};
use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use x_wing::{
    Decapsulate as _, DecapsulationKey, DecapsulationKeyRejectNonContrib, Decapsulator as _,
    EncapsulationKey, KeyExport as _, TryDecapsulate as _,
};
use x25519_dalek::{PublicKey, StaticSecret};

const EXCHANGES: &str = include_str!("../../../tests/vectors/edges/exchanges.json");
const SEALS: &str = include_str!("../../../tests/vectors/edges/seals.json");
const XWING: &str = include_str!("../../../tests/vectors/edges/xwing.json");
/// Where the X25519 part of an X-Wing key and of a ciphertext begins.
const KEY_X: usize = 1184;
const CT_X: usize = 1088;

fn cases(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn bytes(case: &Value, field: &str) -> Vec<u8> {
    hex::decode(case[field].as_str().unwrap()).unwrap()
}

#[test]
fn exchanges_are_those_of_libsodium_and_dalek() {
    let cases = cases(EXCHANGES);
    let mut refused = 0;
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let public: [u8; 32] = bytes(case, "public").try_into().unwrap();
        let secret: [u8; 32] = bytes(case, "secret").try_into().unwrap();
        let mut raw = [0; 32];
        let raw = crypto_scalarmult(&mut raw, &secret, &public).ok().map(|()| raw);
        let text = raw.map(hex::encode);
        assert_eq!(text.as_deref(), case["libsodium_scalarmult"].as_str(), "{name}");
        let shared = crypto_box_beforenm(&public, &secret).ok();
        let text = shared.map(hex::encode);
        assert_eq!(text.as_deref(), case["libsodium_beforenm"].as_str(), "{name}");

        let dalek = StaticSecret::from(secret).diffie_hellman(&PublicKey::from(public));
        assert_eq!(raw, dalek.was_contributory().then_some(*dalek.as_bytes()), "{name}");
        let mut key = [0; 32];
        crypto_core_hsalsa20(&mut key, &[0; 16], dalek.as_bytes(), None);
        assert_eq!(shared, dalek.was_contributory().then_some(key), "{name}");
        assert_eq!(raw.is_none(), name.starts_with("low-"), "{name}");
        refused += usize::from(raw.is_none());
    }
    println!("{} exchanges, {refused} refused", cases.len());
}

#[test]
fn seals_open_as_with_libsodium_and_openssl() {
    let cases = cases(SEALS);
    let mut refused = 0;
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let key: [u8; 32] = bytes(case, "key").try_into().unwrap();
        let sealed = bytes(case, "sealed");
        let suite = u8::try_from(case["suite"].as_u64().unwrap()).unwrap();
        let suite = Suite::from_number(suite).unwrap();
        let opened =
            if suite == Suite::Aes { gcm(&key, &sealed) } else { secretbox(&key, &sealed) };
        if let Some(text) = &opened {
            assert_eq!(aead::seal(suite, &key, text), sealed, "{name}");
        }
        assert_eq!(opened.map(hex::encode).as_deref(), case["opened"].as_str(), "{name}");
        refused += usize::from(case["opened"].is_null());
    }
    println!("{} seals, {refused} refused", cases.len());
    assert!(refused > 100 && cases.len() > refused);
}

fn secretbox(key: &[u8; 32], sealed: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; sealed.len().checked_sub(16)?];
    crypto_secretbox_open_easy(&mut out, sealed, &[0; 24], key).ok().map(|()| out)
}

fn gcm(key: &[u8; 32], sealed: &[u8]) -> Option<Vec<u8>> {
    let (ct, tag) = sealed.split_last_chunk::<16>()?;
    let mut out = ct.to_vec();
    let gcm = Aes256Gcm::new(key.into());
    let buffer = out.as_mut_slice().into();
    gcm.decrypt_inout_detached(&Nonce::default(), &[], buffer, tag.into()).ok()?;
    Some(out)
}

fn encapsulation_key(key: &[u8]) -> Option<EncapsulationKey> {
    EncapsulationKey::try_from(key).ok()
}

/// 64 bytes that are the same in every run.
fn block(n: u32) -> [u8; 64] {
    let part = |half: u8| hash(Label::Recovery, &[&n.to_be_bytes(), &[half]]);
    [part(0), part(1)].concat().try_into().unwrap()
}

/// The shared secret of dryoc, if it gives one.
fn decapsulate(ct: &[u8; 1120], seed: &[u8; 32]) -> Option<[u8; 32]> {
    let mut shared = [0; 32];
    crypto_kem_xwing_dec(&mut shared, ct, seed).ok().map(|()| shared)
}

fn encapsulate(key: &[u8; 1216], random: &[u8; 64]) -> Option<([u8; 1120], [u8; 32])> {
    let (mut ct, mut shared) = ([0; 1120], [0; 32]);
    crypto_kem_xwing_enc_deterministic(&mut ct, &mut shared, key, random).ok()?;
    Some((ct, shared))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn x_wing_is_that_of_another_implementation(
        seed: [u8; 32], random in prop::collection::vec(any::<u8>(), 64),
        damage in prop::collection::vec((0..1120_usize, 1..=255_u8), 0..4),
    ) {
        let random: [u8; 64] = random.try_into().unwrap();
        let (public, secret) = crypto_kem_xwing_seed_keypair(&seed);
        prop_assert_eq!(secret, seed);
        let theirs = DecapsulationKey::from(seed);
        let their_public = theirs.encapsulation_key().to_bytes();
        prop_assert_eq!(&their_public[..], &public[..]);

        // Both ways, from the same randomness.
        let (ct, shared) = encapsulate(&public, &random).unwrap();
        let key = encapsulation_key(&public).unwrap();
        let (their_ct, their_shared) = key.encapsulate_deterministic(&random.into());
        prop_assert_eq!(&their_ct[..], &ct[..]);
        prop_assert_eq!(&their_shared[..], &shared[..]);
        prop_assert_eq!(decapsulate(&ct, &seed), Some(shared));
        prop_assert_eq!(&theirs.decapsulate(&ct.into())[..], &shared[..]);

        // Damaged, both reject implicitly and give the same other secret.
        let mut broken = ct;
        for (at, with) in damage {
            broken[at] ^= with;
        }
        let ours = decapsulate(&broken, &seed).unwrap();
        prop_assert_eq!(&theirs.decapsulate(&broken.into())[..], &ours[..]);
        prop_assert_eq!(ours == shared, broken == ct);
    }
}

/// Whether a prekey may have this X-Wing key: exactly those that can be sealed to.
fn is_taken(key: &[u8; 1216]) -> bool {
    let alice = common::user("alice", 10, 1, Suites::HERE);
    let mut record = alice.prekeys[0].record.clone();
    record.pq_hash = pq_hash(key);
    record.check_xwing(Some(key)).is_ok()
}

/// The 12-bit coefficients of an ML-KEM key, two in three bytes (FIPS 203, ByteEncode).
fn set_coefficient(key: &mut [u8; 1216], i: usize, value: u16) {
    let at = i / 2 * 3;
    let [low, high] = value.to_le_bytes();
    if i.is_multiple_of(2) {
        key[at] = low;
        key[at + 1] = key[at + 1] & 0xf0 | high;
    } else {
        key[at + 1] = key[at + 1] & 0x0f | low << 4;
        key[at + 2] = low >> 4 | high << 4;
    }
}

#[test]
fn unreduced_x_wing_keys_are_refused_by_both() {
    let (good, _) = crypto_kem_xwing_seed_keypair(&[5; 32]);
    let (mut tried, mut taken) = (0, 0);
    for i in [0, 1, 2, 255, 256, 511, 766, 767] {
        for value in [0, 3328, 3329, 3330, 4094, 4095] {
            let mut key = good;
            set_coefficient(&mut key, i, value);
            let ours = encapsulate(&key, &block(1));
            assert_eq!(ours.is_some(), value < 3329, "coefficient {i} = {value}");
            assert_eq!(is_taken(&key), value < 3329, "coefficient {i} = {value}");
            let theirs = encapsulation_key(&key);
            let theirs = theirs.map(|key| key.encapsulate_deterministic(&block(1).into()));
            let theirs = theirs.map(|(ct, shared)| (<[u8; 1120]>::from(ct), shared.into()));
            assert_eq!(ours, theirs, "coefficient {i} = {value}");
            (tried, taken) = (tried + 1, taken + usize::from(ours.is_some()));
        }
    }
    assert_eq!((tried, taken), (48, 16));
    for len in [0, 1, 32, 1184, 1215, 1217] {
        let long = [&good[..], &[0; 8]].concat();
        assert!(encapsulation_key(&long[..len]).is_none(), "{len} bytes");
    }
}

/// Here the two differ on purpose: X-Wing's drafts leave open what a small-order X25519 part
/// does. libsodium and dryoc refuse it, RustCrypto's ordinary key computes on with zero and its
/// stricter one refuses. hw1 takes the strict way, as with every exchange.
#[test]
fn small_order_parts_are_refused() {
    let seed = [5; 32];
    let (public, _) = crypto_kem_xwing_seed_keypair(&seed);
    let (ct, _) = encapsulate(&public, &block(1)).unwrap();
    let low = cases(EXCHANGES).into_iter().filter(|case| {
        let name = case["name"].as_str().unwrap();
        name.starts_with("low-") && name.ends_with("-clamped")
    });
    let mut tried = 0;
    for point in low.map(|case| bytes(&case, "public")) {
        let (mut bad_key, mut bad_ct) = (public, ct);
        bad_key[KEY_X..].copy_from_slice(&point);
        bad_ct[CT_X..].copy_from_slice(&point);
        assert_eq!(encapsulate(&bad_key, &block(1)), None);
        assert_eq!(decapsulate(&bad_ct, &seed), None);
        let strict = DecapsulationKeyRejectNonContrib::from(seed);
        assert!(strict.try_decapsulate(&bad_ct.into()).is_err());
        // The lenient one: no refusal.
        let _ = DecapsulationKey::from(seed).decapsulate(&bad_ct.into());
        assert!(encapsulation_key(&bad_key).is_some());
        tried += 1;
    }
    assert_eq!(tried, 14);
}

/// What libsodium 1.0.22 made of keys and ciphertexts, good and bad.
#[test]
fn x_wing_is_that_of_libsodium() {
    let sha256 = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let cases = cases(XWING);
    let mut refused = 0;
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let seed: [u8; 32] = bytes(case, "seed").try_into().unwrap();
        let random: [u8; 64] = bytes(case, "random").try_into().unwrap();
        let patch = |out: &mut [u8]| {
            for one in case["patch"].as_array().unwrap() {
                let at = usize::try_from(one[0].as_u64().unwrap()).unwrap();
                let with = hex::decode(one[1].as_str().unwrap()).unwrap();
                out[at..at + with.len()].copy_from_slice(&with);
            }
        };
        let (public, _) = crypto_kem_xwing_seed_keypair(&seed);
        assert_eq!(sha256(&public), case["public_sha256"].as_str().unwrap(), "{name}");
        let mut key = public;
        let seals = case["use"] == "seal";
        if seals {
            patch(&mut key);
        }
        let sealed = encapsulate(&key, &random);
        assert_eq!(is_taken(&key), sealed.is_some(), "{name}");
        let ct = sealed.map(|(ct, _)| sha256(&ct));
        assert_eq!(ct.as_deref(), case["ct_sha256"].as_str(), "{name}");
        let shared = if seals {
            sealed.map(|(_, shared)| shared)
        } else {
            let (mut ct, _) = sealed.unwrap();
            patch(&mut ct);
            decapsulate(&ct, &seed)
        };
        assert_eq!(shared.map(hex::encode).as_deref(), case["shared"].as_str(), "{name}");
        refused += usize::from(shared.is_none());
    }
    println!("{} uses of X-Wing, {refused} refused", cases.len());
    assert_eq!(refused, 31);
}

/// The first vector of the X-Wing draft (draft-connolly-cfrg-xwing-kem, appendix C): its shared
/// secret, by way of the whole computation.
#[test]
fn x_wing_gives_the_drafts_first_vector() {
    let unhex = |text: &str| hex::decode(text).unwrap();
    let seed: [u8; 32] = unhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
        .try_into()
        .unwrap();
    let random: [u8; 64] = unhex(
        "3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e2\
         35b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2",
    )
    .try_into()
    .unwrap();
    let (public, _) = crypto_kem_xwing_seed_keypair(&seed);
    let (ct, shared) = encapsulate(&public, &random).unwrap();
    assert_eq!(
        hex::encode(shared),
        "d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384"
    );
    assert_eq!(decapsulate(&ct, &seed), Some(shared));
}
