//! No hash, key or signature made under one label is good under another (CRYPTO 2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;

use blake2::digest::consts::{U16, U32, U64};
use blake2::digest::{Digest as _, KeyInit as _, Mac as _};
use blake2::{Blake2b, Blake2bMac};
use common::{add, key, log_of};
use hushwire_identity::hash::{Label, hash, hash64, kdf, kdf_wide, kdf16, signed, verify};
use hushwire_identity::{
    DeviceKind, DeviceLog, Entry, LogError, LoginError, PrekeyError, Suites, login_message,
    verify_login,
};
use hushwire_wire::Nonce;
use proptest::prelude::*;

fn others(than: Label) -> impl Iterator<Item = Label> {
    Label::ALL.iter().copied().filter(move |label| *label != than)
}

#[test]
fn every_label_gives_another_output_of_every_function() {
    let mut outputs = BTreeSet::new();
    let mut made = 0;
    for text in [&b""[..], b"x", b"hw1/log", &[0; 200]] {
        for label in Label::ALL {
            let parts = [text];
            outputs.insert(hash(*label, &parts).to_vec());
            outputs.insert(hash64(*label, &parts).to_vec());
            outputs.insert(kdf(&[7; 32], *label, &parts).to_vec());
            outputs.insert(kdf16(&[7; 32], *label, &parts).to_vec());
            outputs.insert(kdf_wide(&[7; 64], *label, &parts).to_vec());
            outputs.insert(signed(*label, &parts));
            made += 6;
        }
    }
    assert_eq!((Label::ALL.len(), outputs.len()), (26, made));
    // No D(l) begins another, so D(l) | x is never D(m) | y.
    for label in Label::ALL {
        let prefix = signed(*label, &[]);
        assert!(others(*label).all(|other| !signed(other, &[]).starts_with(&prefix)));
    }
}

#[test]
fn a_signature_verifies_under_its_own_label_only() {
    let one = key(1);
    for label in Label::ALL {
        let signature = one.sign(*label, &[b"x"]);
        assert!(verify(&one.public, *label, &[b"x"], &signature));
        assert!(others(*label).all(|other| !verify(&one.public, other, &[b"x"], &signature)));
    }
}

#[test]
fn a_log_entry_signed_under_another_label_is_refused() {
    let (one, two) = (key(1), key(2));
    let log = log_of("alice", &[&one]);
    let genesis = Entry::parse(&one.genesis("alice")).unwrap().draft;
    let draft = one.draft(&log, add(&two));
    let claim = two.claim(&log.user(), DeviceKind::PHONE.number(), Suites::HERE.bits());
    let entry = |label| draft.wire(Some(&claim), &one.sign(label, &[&draft.body(), &claim]));
    assert_eq!(log.clone().extend(&entry(Label::Log)), Ok(()));
    for label in others(Label::Log) {
        assert_eq!(log.clone().extend(&entry(label)), Err(LogError::Signature), "{label:?}");
        let first = genesis.wire(None, &one.sign(label, &[&genesis.body()]));
        assert_eq!(DeviceLog::genesis(&first), Err(LogError::Signature), "{label:?}");
    }
}

#[test]
fn a_claim_signed_under_another_label_is_refused() {
    let (one, two) = (key(1), key(2));
    let log = log_of("alice", &[&one]);
    for payload in [add(&two), common::rec_add(&two)] {
        let draft = one.draft(&log, payload);
        let (ik, kind, suites) = draft.payload.claim().unwrap();
        let (user, suites) = (log.user(), suites.to_be_bytes());
        let parts: [&[u8]; 4] = [user.as_bytes(), ik, &[kind], &suites];
        let entry = |label| one.entry(&draft, Some(&two.sign(label, &parts)));
        assert_eq!(log.clone().extend(&entry(Label::Claim)), Ok(()));
        for label in others(Label::Claim) {
            assert_eq!(log.clone().extend(&entry(label)), Err(LogError::Claim), "{label:?}");
        }
    }
}

#[test]
fn a_prekey_signed_under_another_label_is_refused() {
    let one = key(1);
    let log = log_of("alice", &[&one]);
    let mut record = one.prekey(&log, 1, 100, Suites::HERE);
    assert_eq!(record.verify(&log), Ok(()));
    for label in others(Label::Prekey) {
        record.signature = one.sign(label, &[&record.signed_part()]);
        assert_eq!(record.verify(&log), Err(PrekeyError::Signature), "{label:?}");
    }
}

#[test]
fn a_sign_in_signed_under_another_label_or_of_another_length_is_refused() {
    let one = key(1);
    let (user, nonce, id) = (log_of("alice", &[&one]).user(), Nonce([6; 32]), one.id());
    let message = login_message("example.org", &nonce, &user, &id);
    let check =
        |signature: &[u8]| verify_login(&one.public, "example.org", &nonce, &user, &id, signature);
    let good = one.sign(Label::Auth, &[&message]);
    assert_eq!(check(&good), Ok(()));
    for label in others(Label::Auth) {
        assert_eq!(check(&one.sign(label, &[&message])), Err(LoginError), "{label:?}");
    }
    let longer = [&good[..], &[0; 64]].concat();
    for len in (0..=128).filter(|len| *len != 64) {
        assert_eq!(check(&longer[..len]), Err(LoginError), "{len} bytes");
    }
    assert_eq!(check(&[0; 64]), Err(LoginError));
}

/// What a server asks to have signed at a sign-in, however it chooses domain and nonce, is no log
/// entry, claim or prekey: the label stands first in what is signed.
#[test]
fn a_sign_in_cannot_be_turned_into_anything_else() {
    let one = key(1);
    let log = log_of("alice", &[&one]);
    let draft = one.draft(&log, add(&key(2)));
    let signature = one.sign(Label::Auth, &[&draft.body()]);
    let claim = key(2).claim(&log.user(), DeviceKind::PHONE.number(), Suites::HERE.bits());
    let wire = draft.wire(Some(&claim), &signature);
    assert_eq!(log.clone().extend(&wire), Err(LogError::Signature));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn the_hashes_are_those_of_another_implementation(
        at in 0..26_usize, text in prop::collection::vec(any::<u8>(), 0..400),
        cut in 0..400_usize, key: [u8; 32], more: [u8; 32],
    ) {
        let label = Label::ALL[at];
        let (head, tail) = text.split_at(cut.min(text.len()));
        let parts = [head, tail];
        let all = signed(label, &[&text]);
        let wide: [u8; 64] = [key, more].concat().try_into().unwrap();
        prop_assert_eq!(hash(label, &parts), <[u8; 32]>::from(Blake2b::<U32>::digest(&all)));
        prop_assert_eq!(hash64(label, &parts), <[u8; 64]>::from(Blake2b::<U64>::digest(&all)));
        let mac = Blake2bMac::<U32>::new_from_slice(&key).unwrap().chain_update(&all);
        prop_assert_eq!(kdf(&key, label, &parts), <[u8; 32]>::from(mac.finalize().into_bytes()));
        let mac = Blake2bMac::<U32>::new_from_slice(&wide).unwrap().chain_update(&all);
        let out: [u8; 32] = mac.finalize().into_bytes().into();
        prop_assert_eq!(kdf_wide(&wide, label, &parts), out);
        let mac = Blake2bMac::<U16>::new_from_slice(&key).unwrap().chain_update(&all);
        prop_assert_eq!(kdf16(&key, label, &parts), <[u8; 16]>::from(mac.finalize().into_bytes()));
    }
}
