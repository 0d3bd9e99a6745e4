//! What a device keeps in its store reads back as it was, and nothing else reads at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::num::NonZeroU32;

use common::*;
use hushwire_e2ee::{EpochState, PrekeySecret};
use hushwire_identity::Suites;
use proptest::prelude::*;

/// A state that has sent, received, skipped and lost.
fn lived(seed: u64) -> EpochState {
    let alice = user("alice", 10, 2, Suites::NACL);
    let bob = user("bob", 20, 1, Suites::NACL);
    let mut states = states(&alice, Some(&bob));
    let mut bob = states.pop().unwrap();
    let mut bits = seed;
    for sender in &mut states {
        for _ in 0..24 {
            let sealed = seal_text(sender, "x");
            let bytes = deliver(sender, &sealed, &bob);
            if bits & 1 == 1 {
                bob.open(&bytes, NOW + (bits >> 8)).unwrap();
            }
            bits = bits.rotate_right(1);
        }
    }
    if seed.is_multiple_of(3) {
        bob.expire(NOW + (seed >> 8) + hushwire_e2ee::state::SKIPPED_KEPT_MS);
    }
    seal_text(&mut bob, "own");
    bob
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn states_read_back_and_no_part_of_one_does(seed in 0..1_u64 << 40, cut: usize) {
        let state = lived(seed);
        let bytes = state.to_bytes();
        let again = EpochState::from_bytes(&bytes).unwrap();
        prop_assert_eq!(&again, &state);
        prop_assert_eq!((again.seen(), again.skipped()), (state.seen(), state.skipped()));
        prop_assert!(EpochState::from_bytes(&bytes[..cut % bytes.len()]).is_err());
        let longer = [&bytes[..], &[0]].concat();
        prop_assert!(EpochState::from_bytes(&longer).is_err());
    }

    #[test]
    fn a_changed_state_is_refused_or_is_another_one(seed in 0..1_u64 << 40, at: usize, with in 1..=255_u8) {
        let bytes = lived(seed).to_bytes();
        let mut changed = bytes.to_vec();
        let at = at % changed.len();
        changed[at] ^= with;
        if let Ok(read) = EpochState::from_bytes(&changed) {
            prop_assert_eq!(&read.to_bytes()[..], &changed[..]);
        }
    }

    #[test]
    fn prekey_secrets_read_back(id in 1..=u32::MAX, seed: u64) {
        let id = NonZeroU32::new(id).unwrap();
        let secret = PrekeySecret::generate(id, &mut random(seed)).unwrap();
        let bytes = secret.to_bytes();
        prop_assert_eq!(bytes.len(), PrekeySecret::LEN);
        prop_assert_eq!(&PrekeySecret::from_bytes(&bytes).unwrap(), &secret);
        let mut other = bytes.to_vec();
        other[0] = 2;
        prop_assert_eq!(PrekeySecret::from_bytes(&other).unwrap_err().field, "prekey_secret.ver");
        prop_assert!(PrekeySecret::from_bytes(&bytes[1..]).is_err());
        other = [&bytes[..], &[0]].concat();
        prop_assert_eq!(PrekeySecret::from_bytes(&other).unwrap_err().field, "prekey_secret");
        other[1..5].fill(0);
        prop_assert_eq!(PrekeySecret::from_bytes(&other).unwrap_err().field, "prekey_secret.id");
    }
}

/// A state that no device can have reached is none: a saved state is not believed blindly either.
#[test]
fn impossible_states_are_refused() {
    let alice = user("alice", 10, 1, Suites::NACL);
    let bob = user("bob", 20, 1, Suites::NACL);
    let states = states(&alice, Some(&bob));
    for state in &states {
        let header = state.header().to_bytes().len();
        let bytes = state.to_bytes();
        let refused = |at: usize, with: &[u8]| {
            let mut changed = bytes.to_vec();
            changed[at..at + with.len()].copy_from_slice(with);
            EpochState::from_bytes(&changed).unwrap_err().field
        };
        assert_eq!(refused(0, &[2]), "state.ver");
        let me = 3 + header;
        assert_eq!(refused(me, &[2]), "state.me");
        // Two chains of 36 bytes, what was lost, and two tag keys for the other device.
        let own = me + 1 + if state.me() == 0 { 0 } else { 76 + 64 };
        let other = me + 1 + if state.me() == 0 { 76 } else { 0 };
        for device in [own, other] {
            assert_eq!(refused(device + 72, &[0, 0, 0, 0]), "state.lost");
        }
        assert_eq!(refused(bytes.len() - 2, &[0x08, 0x01]), "state.skipped");
        assert_eq!(refused(bytes.len() - 2, &[0, 1]), "state.skipped.sender");
        // A skipped key of the own chain, and one of a counter that was not passed.
        for sender in [state.me(), 1 - state.me()] {
            let key = [&[sender, 0][..], &[0; 44]].concat();
            let mut changed = bytes[..bytes.len() - 2].to_vec();
            changed[own + 32..own + 36].copy_from_slice(&[0, 0, 0, 9]);
            changed.extend_from_slice(&[0, 1]);
            changed.extend_from_slice(&key);
            let error = EpochState::from_bytes(&changed).unwrap_err();
            assert_eq!(error.field, "state.skipped");
        }
    }
}
