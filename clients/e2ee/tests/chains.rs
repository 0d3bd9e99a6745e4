//! Chains against a simple model: a set of counters that were delivered (CRYPTO 6).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;

use common::*;
use hushwire_e2ee::{EpochState, OpenError, Received};
use hushwire_identity::Suites;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Act {
    /// The sender seals one more.
    Seal,
    /// The receiver gets the message at this place among those sealed, new or not.
    Deliver(usize),
    /// The same, with one byte changed.
    Damage(usize, usize),
    /// The receiver starts again from its store.
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Seal),
        6 => any::<usize>().prop_map(Act::Deliver),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(i, at)| Act::Damage(i, at)),
        1 => Just(Act::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_order_of_delivery_gives_each_message_once(acts in prop::collection::vec(act(), 1..80)) {
        let alice = user("alice", 10, 1, Suites::NACL);
        let bob = user("bob", 20, 1, Suites::NACL);
        let mut states = states(&alice, Some(&bob)).into_iter();
        let (mut sender, mut receiver) = (states.next().unwrap(), states.next().unwrap());
        let mut sealed = Vec::new();
        let mut delivered = BTreeSet::new();
        for act in acts {
            match act {
                Act::Seal => {
                    let message = seal_text(&mut sender, &sealed.len().to_string());
                    prop_assert_eq!(message.counter as usize, sealed.len());
                    sealed.push(deliver(&sender, &message, &receiver));
                }
                Act::Restart => receiver = EpochState::from_bytes(&receiver.to_bytes()).unwrap(),
                _ if sealed.is_empty() => {}
                Act::Deliver(i) => {
                    let i = i % sealed.len();
                    let result = receiver.open(&sealed[i], NOW);
                    if delivered.insert(i) {
                        let opened = result.unwrap();
                        prop_assert_eq!(opened.counter as usize, i);
                        prop_assert_eq!(opened.content, Received::Content(text(&i.to_string())));
                    } else {
                        prop_assert_eq!(result, Err(OpenError::Replay));
                    }
                }
                Act::Damage(i, at) => {
                    let mut bytes = sealed[i % sealed.len()].clone();
                    let at = at % bytes.len();
                    bytes[at] ^= 0x10;
                    let before = receiver.to_bytes();
                    prop_assert!(receiver.open(&bytes, NOW).is_err());
                    prop_assert_eq!(receiver.to_bytes(), before);
                }
            }
            let next = delivered.last().map_or(0, |last| last + 1);
            prop_assert_eq!(receiver.skipped(), next - delivered.len());
            let contiguous = (0..).take_while(|i| delivered.contains(i)).count();
            let seen = receiver.seen()[usize::from(sender.me())];
            prop_assert_eq!(seen as usize, contiguous);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0..1000_usize,
    ) {
        let alice = user("alice", 10, 1, Suites::NACL);
        let bob = user("bob", 20, 1, Suites::NACL);
        let mut receiver = made(&alice.devices[0], &alice, Some(&bob)).state;
        prop_assert!(receiver.open(&bytes, NOW).is_err());
        prop_assert!(EpochState::from_bytes(&bytes).is_err());
        let mut state = receiver.to_bytes().to_vec();
        let at = cut % state.len();
        state.truncate(at);
        state.extend_from_slice(&bytes);
        if let Ok(read) = EpochState::from_bytes(&state) {
            prop_assert_eq!(read.to_bytes().to_vec(), state);
        }
    }
}
