//! When the next epoch is due (CRYPTO 5, R1 to R3).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::num::NonZeroU32;

use common::*;
use hushwire_e2ee::PrekeySecret;
use hushwire_e2ee::state::{AGE_MAX_MS, MESSAGES_MAX};
use hushwire_identity::{Reason, Suites, day_of};

const HOUR: u64 = 3_600_000;

#[test]
fn nothing_is_due_while_nothing_changed() {
    let alice = user("alice", 10, 2, Suites::NACL);
    let bob = user("bob", 20, 2, Suites::NACL);
    let state = made(&alice.devices[0], &alice, Some(&bob)).state;
    assert_eq!(state.due(&alice.party(), Some(&bob.party()), NOW), None);
    let late = NOW + AGE_MAX_MS - 1;
    assert_eq!(state.due(&alice.party(), Some(&bob.party()), late), None);
}

#[test]
fn a_moved_log_or_a_returned_device_comes_first() {
    let alice = user("alice", 10, 2, Suites::NACL);
    let mut bob = user("bob", 20, 2, Suites::NACL);
    let back = &bob.devices[1];
    let fresh = bob.prekeys[1].clone();
    bob.prekeys[1] = back.secret.publish(&back.key, &bob.log, bob.suites, day_of(NOW) - 31);
    let mut state = made(&alice.devices[0], &alice, Some(&bob)).state;
    assert_eq!(state.due(&alice.party(), Some(&bob.party()), NOW), None);
    bob.prekeys[1] = fresh;
    assert_eq!(state.due(&alice.party(), Some(&bob.party()), NOW), Some(Reason::Devices));
    bob.revoke(1);
    for _ in 0..MESSAGES_MAX {
        seal_text(&mut state, "x");
    }
    assert_eq!(state.due(&alice.party(), Some(&bob.party()), NOW), Some(Reason::Devices));
    assert_eq!(state.due(&bob.party(), Some(&alice.party()), NOW), Some(Reason::Devices));
}

#[test]
fn age_and_count_wear_an_epoch_out() {
    let alice = user("alice", 10, 1, Suites::NACL);
    let bob = user("bob", 20, 1, Suites::NACL);
    let mut state = made(&alice.devices[0], &alice, Some(&bob)).state;
    let due =
        |state: &hushwire_e2ee::EpochState, now| state.due(&alice.party(), Some(&bob.party()), now);
    assert_eq!(due(&state, NOW + AGE_MAX_MS), Some(Reason::Age));
    for _ in 0..MESSAGES_MAX - 1 {
        seal_text(&mut state, "x");
    }
    assert_eq!(due(&state, NOW), None);
    seal_text(&mut state, "x");
    assert_eq!(due(&state, NOW), Some(Reason::Age));
}

#[test]
fn a_fresher_prekey_counts_after_12_hours() {
    let alice = user("alice", 10, 2, Suites::NACL);
    let mut bob = user("bob", 20, 1, Suites::NACL);
    let state = made(&alice.devices[0], &alice, Some(&bob)).state;
    let id = NonZeroU32::new(2).unwrap();
    bob.devices[0].secret = PrekeySecret::generate(id, &mut random(8)).unwrap();
    bob.republish(day_of(NOW));
    let due = |now| state.due(&alice.party(), Some(&bob.party()), now);
    assert_eq!(due(NOW + 12 * HOUR - 1), None);
    assert_eq!(due(NOW + 12 * HOUR), Some(Reason::Prekey));
    // The self-pair has one side only.
    let own = made(&alice.devices[0], &alice, None).state;
    assert_eq!(own.due(&alice.party(), None, NOW + 12 * HOUR), None);
}

/// Every combination of what can call for an epoch, against the rules written down once more.
#[test]
fn every_combination_gives_the_first_reason_that_holds() {
    let ids = [1_u32, 2].map(|id| NonZeroU32::new(id).unwrap());
    let mut tried = 0;
    for (moved, returned, fresher, worn) in (0..16).map(|bits: u8| {
        let bit = |i: u8| bits >> i & 1 == 1;
        (bit(0), bit(1), bit(2), bit(3))
    }) {
        let alice = user("alice", 10, 1, Suites::NACL);
        let mut bob = user("bob", 20, 3, Suites::NACL);
        // The second device is stale when the epoch is made.
        let publish = |bob: &User, i: usize, id: NonZeroU32, day| {
            let device = &bob.devices[i];
            let secret = PrekeySecret::generate(id, &mut random(u64::from(id.get()))).unwrap();
            secret.publish(&device.key, &bob.log, bob.suites, day)
        };
        let today = day_of(NOW);
        bob.prekeys[1] = publish(&bob, 1, ids[0], today - 31);
        let mut state = made(&alice.devices[0], &alice, Some(&bob)).state;
        if worn {
            for _ in 0..MESSAGES_MAX {
                seal_text(&mut state, "x");
            }
        }
        if returned {
            let prekey = publish(&bob, 1, ids[1], today);
            bob.prekeys.push(prekey);
        }
        if fresher {
            let prekey = publish(&bob, 0, ids[1], today);
            bob.prekeys.push(prekey);
        }
        if moved {
            bob.revoke(2);
        }
        let day = 24 * HOUR;
        for age in [0, 12 * HOUR - 1, 12 * HOUR, 6 * day, AGE_MAX_MS - 1, AGE_MAX_MS, 40 * day] {
            // After 40 days the returned device's prekey is too old as well.
            let wanted = if moved || (returned && age <= 30 * day) {
                Some(Reason::Devices)
            } else if worn || age >= 7 * day {
                Some(Reason::Age)
            } else if fresher && age >= 12 * HOUR {
                Some(Reason::Prekey)
            } else {
                None
            };
            let case = format!("{moved} {returned} {fresher} {worn} {age}");
            let now = NOW + age;
            assert_eq!(state.due(&alice.party(), Some(&bob.party()), now), wanted, "{case}");
            // Whoever asks: the sides are found by user.
            assert_eq!(state.due(&bob.party(), Some(&alice.party()), now), wanted, "{case}");
            tried += 1;
        }
    }
    assert_eq!(tried, 16 * 7);
}
