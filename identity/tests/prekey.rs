//! Prekey records and sign-ins: accepted, and refused for every reason (CRYPTO 3, 4).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{key, log_of, revoke};
use hushwire_identity::hash::Label;
use hushwire_identity::prekey::{PREKEY_LEN, pq_hash};
use hushwire_identity::{
    Code, Head, LoginError, Prekey, PrekeyError, PrekeyRecord, Suites, day_of, login_message,
    verify_login,
};
use hushwire_wire::{DeviceId, Nonce, UserId};
use proptest::prelude::*;

const XWING: [u8; 1216] = [7; 1216];

#[test]
fn a_good_record_verifies() {
    let one = key(1);
    let log = log_of("alice", &[&one]);
    let record = one.prekey(&log, 1, 100, Suites::HERE);
    let bytes = record.to_bytes();
    assert_eq!(bytes.len(), PREKEY_LEN);
    let prekey = Prekey::verified(&bytes, Some(&XWING), &log).unwrap();
    assert_eq!(prekey.record, record);
    let classic = one.prekey(&log, 1, 100, Suites::NACL);
    assert_eq!(Prekey::parse(&classic.to_bytes(), None).unwrap().record, classic);
}

#[test]
fn every_refusal_has_its_reason() {
    let (one, two) = (key(1), key(2));
    let log = log_of("alice", &[&one, &two]);
    let good = one.prekey(&log, 1, 100, Suites::HERE);
    let signed = |change: &dyn Fn(&mut PrekeyRecord)| {
        let mut record = good.clone();
        change(&mut record);
        one.sign_prekey(&mut record);
        record.verify(&log).unwrap_err()
    };
    assert_eq!(signed(&|r| r.user = UserId([1; 32])), PrekeyError::Owner);
    assert_eq!(signed(&|r| r.device = DeviceId([1; 16])), PrekeyError::Owner);
    assert_eq!(signed(&|r| r.device = two.id()), PrekeyError::Signature);
    assert_eq!(signed(&|r| r.suites = Suites::NACL), PrekeyError::Suites);
    assert_eq!(signed(&|r| r.x25519 = [0; 32]), PrekeyError::Point);
    assert_eq!(
        signed(&|r| {
            r.x25519 = [0; 32];
            r.x25519[0] = 1;
        }),
        PrekeyError::Point
    );
    assert_eq!(signed(&|r| r.log_seq = 2), PrekeyError::Ahead);
    assert_eq!(signed(&|r| r.log_head = Head([1; 32])), PrekeyError::Fork);
    assert_eq!(PrekeyError::Fork.code(), Code::LogFork);
    assert_eq!(PrekeyError::Point.code(), Code::PrekeyInvalid);
    // A record that names an entry from before its device was added.
    let mut early = two.prekey(&log, 1, 100, Suites::HERE);
    early.log_seq = 0;
    early.log_head = log.head_at(0).unwrap();
    two.sign_prekey(&mut early);
    assert_eq!(early.verify(&log), Err(PrekeyError::Inactive));

    let mut revoked = log.clone();
    revoked.extend(&two.next(&log, revoke(&[&one]), None)).unwrap();
    assert_eq!(good.verify(&revoked), Err(PrekeyError::Inactive));
    assert_eq!(good.verify_at(&revoked, 1), Ok(()), "for an epoch of before");
    let mut later = one.prekey(&revoked, 2, 100, Suites::HERE);
    assert_eq!(later.verify_at(&revoked, 1), Err(PrekeyError::Inactive), "signed after");
    later.signature = [0; 64];
    assert_eq!(later.verify(&revoked), Err(PrekeyError::Signature));

    let check = |xwing| Prekey::parse(&good.to_bytes(), xwing).unwrap_err();
    assert_eq!(check(None), PrekeyError::Xwing);
    assert_eq!(check(Some(&[8; 1216][..])), PrekeyError::Xwing);
    assert_eq!(check(Some(&XWING[1..])), PrekeyError::Xwing);
    let classic = one.prekey(&log, 1, 100, Suites::NACL).to_bytes();
    assert_eq!(Prekey::parse(&classic, Some(&XWING)), Err(PrekeyError::Xwing));
    assert_eq!(PrekeyError::Xwing.code(), Code::PrekeyInvalid);
}

#[test]
fn x_wing_keys_that_nobody_can_seal_to_are_refused() {
    let one = key(1);
    let log = log_of("alice", &[&one]);
    let check = |change: &dyn Fn(&mut [u8; 1216])| {
        let mut xwing = XWING;
        change(&mut xwing);
        let mut record = one.prekey(&log, 1, 100, Suites::HERE);
        record.pq_hash = pq_hash(&xwing);
        one.sign_prekey(&mut record);
        Prekey::verified(&record.to_bytes(), Some(&xwing), &log).map(|_| ())
    };
    // 3329 is 0xd01. The first, the second and the last coefficient, each at both sides of it.
    let set = |at: usize, with: [u8; 3]| {
        move |key: &mut [u8; 1216]| key[at..at + 3].copy_from_slice(&with)
    };
    for (at, reduced, unreduced) in [
        (0, [0x00, 0x0d, 0x00], [0x01, 0x0d, 0x00]),
        (0, [0x00, 0x00, 0xd0], [0x00, 0x10, 0xd0]),
        (1149, [0x00, 0x00, 0xd0], [0x00, 0x10, 0xd0]),
        (600, [0x00, 0x0d, 0xd0], [0xff, 0xff, 0xff]),
    ] {
        assert_eq!(check(&set(at, reduced)), Ok(()), "at {at}");
        assert_eq!(check(&set(at, unreduced)), Err(PrekeyError::Xwing), "at {at}");
    }
    // The seed after them may be anything.
    assert_eq!(check(&|key| key[1152..1184].fill(0xff)), Ok(()));
    for (first, between, last) in [(0, 0, 0), (1, 0, 0), (1, 0, 0x80), (0xec, 0xff, 0x7f)] {
        let small = |key: &mut [u8; 1216]| {
            key[1184..].fill(between);
            (key[1184], key[1215]) = (first, last);
        };
        assert_eq!(check(&small), Err(PrekeyError::Xwing));
    }
}

#[test]
fn other_labels_and_flipped_bits_do_not_verify() {
    let one = key(1);
    let log = log_of("alice", &[&one]);
    let good = one.prekey(&log, 1, 100, Suites::HERE);
    let mut cross = good.clone();
    for label in [Label::Log, Label::Auth, Label::Claim] {
        cross.signature = one.sign(label, &[&good.signed_part()]);
        assert_eq!(cross.verify(&log), Err(PrekeyError::Signature));
    }
    let bytes = good.to_bytes();
    for at in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 1 << (at % 8);
        assert!(Prekey::verified(&broken, Some(&XWING), &log).is_err(), "byte {at}");
    }
    for wrong in [&bytes[1..], &[&bytes[..], &[0]].concat()] {
        assert!(PrekeyRecord::parse(wrong).is_err());
    }
}

#[test]
fn the_days_of_use_are_32() {
    let one = key(1);
    let log = log_of("alice", &[&one]);
    let record = one.prekey(&log, 1, 100, Suites::HERE);
    let usable: Vec<_> = (0..200).filter(|c| record.usable_on(*c)).collect();
    assert_eq!(usable, (99..=130).collect::<Vec<_>>());
    assert!(!one.prekey(&log, 1, u32::MAX, Suites::HERE).usable_on(0));
    assert_eq!((day_of(0), day_of(86_399_999), day_of(86_400_000)), (0, 0, 1));
    assert_eq!(day_of(u64::MAX), u32::MAX);
}

#[test]
fn a_sign_in_is_bound_to_all_its_parts() {
    let one = key(1);
    let user = UserId([5; 32]);
    let nonce = Nonce([6; 32]);
    let message = login_message("example.org", &nonce, &user, &one.id());
    let signature = one.sign(Label::Auth, &[&message]);
    let check = |domain: &str, nonce, user, id, signature: &[u8]| {
        verify_login(&one.public, domain, &nonce, &user, &id, signature)
    };
    let id = one.id();
    assert_eq!(check("example.org", nonce, user, id, &signature), Ok(()));
    assert_eq!(check("example.com", nonce, user, id, &signature), Err(LoginError));
    assert_eq!(check("example.org", Nonce([7; 32]), user, id, &signature), Err(LoginError));
    assert_eq!(check("example.org", nonce, UserId([6; 32]), id, &signature), Err(LoginError));
    assert_eq!(check("example.org", nonce, user, DeviceId([0; 16]), &signature), Err(LoginError));
    assert_eq!(check("example.org", nonce, user, id, &signature[1..]), Err(LoginError));
    let cross = one.sign(Label::Log, &[&message]);
    assert_eq!(check("example.org", nonce, user, id, &cross), Err(LoginError));
    let other = key(2).public;
    assert_eq!(
        verify_login(&other, "example.org", &nonce, &user, &id, &signature),
        Err(LoginError)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_records_never_panic_and_read_back(
        ver in 0..3_u8, suites: u16, bytes in prop::collection::vec(any::<u8>(), 223),
    ) {
        let mut bytes = bytes;
        bytes[0] = ver;
        bytes[93..95].copy_from_slice(&suites.to_be_bytes());
        if let Ok(record) = PrekeyRecord::parse(&bytes) {
            prop_assert_eq!(record.to_bytes(), bytes);
        }
    }
}
