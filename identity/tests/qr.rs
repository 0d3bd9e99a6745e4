//! What a scanned QR payload says, for every relation of two logs (CRYPTO 8).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use hushwire_identity::{DeviceLog, QrCheck, QrPayload};
use hushwire_wire::LayoutError;
use proptest::prelude::*;

fn logs() -> (DeviceLog, DeviceLog) {
    (log_of("alice", &[&key(1)]), log_of("bob", &[&key(2)]))
}

fn extended(log: &DeviceLog, by: u8, new: u8) -> DeviceLog {
    let mut longer = log.clone();
    longer.extend(&key(by).next(log, add(&key(new)), Some(&key(new)))).unwrap();
    longer
}

#[test]
fn both_see_the_same_or_a_part_of_it() {
    let (alice, bob) = logs();
    let shown = QrPayload::of(&alice, &bob);
    assert_eq!(shown.check(&bob, &alice), QrCheck::Equal);
    // Bob, who scans, knows more: of Alice's log, of his own, of both.
    let (alice_2, bob_2) = (extended(&alice, 1, 11), extended(&bob, 2, 12));
    assert_eq!(shown.check(&bob, &alice_2), QrCheck::Prefix);
    assert_eq!(shown.check(&bob_2, &alice), QrCheck::Prefix);
    assert_eq!(shown.check(&bob_2, &alice_2), QrCheck::Prefix);
}

#[test]
fn other_logs_forks_and_points_ahead_are_different() {
    let (alice, bob) = logs();
    let alice_2 = extended(&alice, 1, 11);
    assert_eq!(QrPayload::of(&alice_2, &bob).check(&bob, &alice), QrCheck::Different);
    assert_eq!(QrPayload::of(&alice_2, &bob).check(&bob, &alice_2), QrCheck::Equal);
    let fork = extended(&alice, 1, 13);
    assert_eq!(QrPayload::of(&fork, &bob).check(&bob, &alice_2), QrCheck::Different);
    let carol = log_of("carol", &[&key(3)]);
    assert_eq!(QrPayload::of(&carol, &bob).check(&bob, &alice), QrCheck::Different);
    assert_eq!(QrPayload::of(&alice, &carol).check(&bob, &alice), QrCheck::Different);
    // The order says who shows: the own payload, held against oneself, is none.
    assert_eq!(QrPayload::of(&bob, &alice).check(&bob, &alice), QrCheck::Different);
}

#[test]
fn other_lengths_are_refused() {
    let (alice, bob) = logs();
    let bytes = QrPayload::of(&alice, &bob).to_bytes();
    assert_eq!(bytes.len(), 136);
    assert_eq!(QrPayload::parse(&bytes), Ok(QrPayload::of(&alice, &bob)));
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(QrPayload::parse(&longer), Err(LayoutError::new("qr", "no trailing bytes")));
    assert_eq!(QrPayload::parse(&bytes[..135]), Err(LayoutError::new("qr.scans", "more bytes")));
}

proptest! {
    #[test]
    fn what_is_read_is_written_back(bytes in prop::collection::vec(any::<u8>(), 130..140)) {
        if let Ok(read) = QrPayload::parse(&bytes) {
            prop_assert_eq!(read.to_bytes().to_vec(), bytes);
        }
    }
}
