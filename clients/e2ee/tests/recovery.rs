//! Recovery words and what their key may sign (CRYPTO 3).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use hushwire_e2ee::{DeviceKey, RandomError, RecoveryWords, WordsError};
use hushwire_identity::log::LogError;
use hushwire_identity::{
    DeviceKind, DeviceLog, Draft, Handle, Payload, Suites, login_message, verify_login,
};
use hushwire_wire::{DeviceId, Nonce};
use proptest::prelude::*;

/// A vector of BIP 39: 32 bytes of 0x7f.
const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank year \
                     wave sausage worth useful legal winner thank year wave sausage worth title";

#[test]
fn the_words_are_those_of_bip_39_and_the_seed_is_ours() {
    let words = RecoveryWords::from_entropy([0x7f; 32]);
    assert_eq!(*words.to_words(), WORDS);
    assert_eq!(RecoveryWords::parse(WORDS), Ok(words.clone()));
    let typed = WORDS.to_uppercase().replace(' ', "\n  ");
    assert_eq!(RecoveryWords::parse(&typed), Ok(words.clone()));
    // Python: hashlib.blake2b(b"\x0chw1/recovery", key=b"\x7f"*32, digest_size=32), then Ed25519.
    assert_eq!(
        hex::encode(words.key().public()),
        "f59b1cb8e30d4b3315f11a1c7757ab66a2382ba59abd993d68c1d7109d12e745"
    );
}

#[test]
fn a_wrong_word_is_named_by_its_place_only() {
    let refused = |words: &str| RecoveryWords::parse(words).unwrap_err();
    let wrong = WORDS.replacen("sausage", "sausagge", 1);
    assert_eq!(refused(&wrong), WordsError::Word(6));
    assert_eq!(refused(&wrong).to_string(), "word 6 is not in the list of recovery words");
    assert_eq!(refused(&WORDS.replacen("legal", "", 1)), WordsError::Count(23));
    assert_eq!(refused(&format!("{WORDS} zoo")), WordsError::Count(25));
    assert_eq!(refused(""), WordsError::Count(0));
    let swapped = WORDS.replacen("legal winner", "winner legal", 1);
    assert_eq!(refused(&swapped), WordsError::Checksum);
    assert_eq!(refused(&WORDS.replacen("title", "zoo", 1)), WordsError::Checksum);
    // Twelve words are good words of BIP 39, and too few here.
    let twelve = "legal winner thank year wave sausage worth useful legal winner thank yellow";
    assert_eq!(refused(twelve), WordsError::Count(12));
}

fn draft(log: &DeviceLog, signer: DeviceId, payload: Payload) -> Draft {
    Draft {
        seq: log.seq() + 1,
        log: log.user(),
        prev: log.head().0,
        time_ms: log.time_ms(),
        signer,
        payload,
    }
}

#[test]
fn it_is_added_signs_in_brings_a_device_back_and_revokes() {
    let old = DeviceKey::from_seed([1; 32]);
    let kind = DeviceKind::TERMINAL;
    let handle = Handle::parse("alice").unwrap();
    let genesis = old.genesis("example.org", &handle, kind, Suites::HERE, 1_000).unwrap();
    let mut log = DeviceLog::genesis(&genesis).unwrap();
    let key = RecoveryWords::from_entropy([0x7f; 32]).key();

    // A device adds it, with the key's own consent to this log and no other.
    let add_key = draft(&log, old.device_id(), Payload::RecoveryAdd { rk: *key.public() });
    let foreign = key.claim(&hushwire_wire::UserId([9; 32]));
    let wire = old.sign_entry(&add_key, Some(&foreign));
    assert_eq!(log.extend(&wire), Err(LogError::Claim));
    let as_device = DeviceKey::from_seed([5; 32]).claim(&log.user(), kind, Suites::HERE);
    let wire = old.sign_entry(&add_key, Some(&as_device));
    assert_eq!(log.extend(&wire), Err(LogError::Claim));
    log.extend(&old.sign_entry(&add_key, Some(&key.claim(&log.user())))).unwrap();
    assert_eq!(log.recovery_keys().map(|key| key.id).collect::<Vec<_>>(), [key.id()]);

    // It signs in.
    let (nonce, user) = (Nonce([7; 32]), log.user());
    let signature = key.login("example.org", &nonce, &user);
    let public = log.login_key(&key.id()).unwrap();
    let verify = |domain| verify_login(public, domain, &nonce, &user, &key.id(), &signature);
    assert!(verify("example.org").is_ok());
    assert!(verify("evil.example").is_err());
    assert!(!login_message("example.org", &nonce, &user, &key.id()).is_empty());

    // It brings a new device in and the lost one out.
    let new = DeviceKey::from_seed([2; 32]);
    let add = Payload::Add { ik: *new.public(), kind, suites: Suites::HERE };
    let add = draft(&log, key.id(), add);
    let claim = new.claim(&log.user(), kind, Suites::HERE);
    log.extend(&key.sign_entry(&add, Some(&claim))).unwrap();
    let revoke = Payload::Revoke { devices: vec![old.device_id()], reason: 0 };
    let revoke = draft(&log, key.id(), revoke);
    log.extend(&key.sign_entry(&revoke, None)).unwrap();
    assert_eq!(log.devices().map(|device| device.id).collect::<Vec<_>>(), [new.device_id()]);
}

#[test]
fn debug_and_errors_show_no_words() {
    let words = RecoveryWords::generate(&mut random(1)).unwrap();
    assert_eq!(format!("{words:?}"), "RecoveryWords(..)");
    let key = words.key();
    assert_eq!(format!("{key:?}"), format!("RecoveryKey({:?})", key.id()));
    let none = RecoveryWords::generate(&mut |_: &mut [u8]| Err(RandomError));
    assert_eq!(none, Err(RandomError));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn words_read_back(entropy: [u8; 32]) {
        let words = RecoveryWords::from_entropy(entropy);
        let text = words.to_words();
        prop_assert_eq!(text.split(' ').count(), 24);
        let read = RecoveryWords::parse(&text).unwrap();
        prop_assert_eq!(*read.entropy(), entropy);
        prop_assert_eq!(read, words);
    }

    #[test]
    fn arbitrary_text_never_panics(text in ".{0,300}") {
        let _ = RecoveryWords::parse(&text);
    }
}
