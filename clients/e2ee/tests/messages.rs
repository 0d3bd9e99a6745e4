//! Messages under an epoch: what opens, and every refusal, which changes nothing (CRYPTO 6).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use hushwire_e2ee::message::{SKIP_DURABLE, SKIP_EPHEMERAL};
use hushwire_e2ee::state::{MESSAGES_MAX, SKIPPED_KEPT_MS, SKIPPED_MAX};
use hushwire_e2ee::{
    Body, Content, ContentError, ContentId, DeviceKey, EpochState, OpenError, PrekeySecret,
    ReceiptKind, Received, SealError,
};
use hushwire_identity::hash::{Label, kdf};
use hushwire_identity::{Code, Suites};
use hushwire_wire::EpochId;
use hushwire_wire::message::Class;

/// Alice's and Bob's states, one device each.
fn one_and_one() -> (EpochState, EpochState) {
    let alice = user("alice", 10, 1, Suites::NACL);
    let bob = user("bob", 20, 1, Suites::NACL);
    let mut states = states(&alice, Some(&bob)).into_iter();
    (states.next().unwrap(), states.next().unwrap())
}

fn refuses(state: &mut EpochState, bytes: &[u8], error: OpenError) {
    let before = state.to_bytes();
    assert_eq!(state.open(bytes, NOW), Err(error));
    assert_eq!(state.to_bytes(), before, "a refused message changes nothing");
}

#[test]
fn a_message_opens_once() {
    let (mut alice, mut bob) = one_and_one();
    let sealed = seal_text(&mut alice, "hello");
    assert_eq!((sealed.counter, alice.sent()), (0, 1));
    assert_eq!(sealed.upload.len(), 56 + 32 + 4 + 272 + 1 + 16);
    let bytes = deliver(&alice, &sealed, &bob);
    let opened = bob.open(&bytes, NOW).unwrap();
    assert_eq!(opened.content, Received::Content(text("hello")));
    assert_eq!((opened.class, opened.lane, opened.counter), (Class::Text, 0, 0));
    refuses(&mut bob, &bytes, OpenError::Replay);
    // After a restart too.
    let mut again = EpochState::from_bytes(&bob.to_bytes()).unwrap();
    assert_eq!(again, bob);
    refuses(&mut again, &bytes, OpenError::Replay);
    // The sender's own upload, and its reflection as somebody else's, do not open.
    refuses(&mut alice, &bytes, OpenError::Tag);
}

#[test]
fn receipts_travel_and_words_must_fit_their_class() {
    let (mut alice, mut bob) = one_and_one();
    let receipt = Content {
        seen: bob.seen(),
        body: Body::Receipt { kind: ReceiptKind::Delivered, of: vec![ContentId([1; 16])] },
        ..text("")
    };
    let sealed = bob.seal(Class::Control, 0, &receipt, [1; 16]).unwrap();
    let bytes = deliver(&bob, &sealed, &alice);
    assert_eq!(alice.open(&bytes, NOW).unwrap().content, Received::Content(receipt.clone()));
    for (class, lane) in [(Class::Text, 0), (Class::Control, 1), (Class::Reaction, 0)] {
        let before = bob.to_bytes();
        assert_eq!(
            bob.seal(class, lane, &receipt, [1; 16]),
            Err(SealError::Content(ContentError::Pairing))
        );
        assert_eq!(bob.to_bytes(), before);
    }
    let crowded = Content { seen: vec![0; 3], ..receipt };
    assert_eq!(
        bob.seal(Class::Control, 0, &crowded, [1; 16]),
        Err(SealError::Content(ContentError::Size))
    );
}

#[test]
fn every_bit_of_a_message_counts() {
    let (mut alice, mut bob) = one_and_one();
    let sealed = seal_text(&mut alice, "hello");
    let bytes = deliver(&alice, &sealed, &bob);
    for bit in 0..bytes.len() * 8 {
        let mut broken = bytes.clone();
        broken[bit / 8] ^= 1 << (bit % 8);
        let before = bob.to_bytes();
        let error = bob.open(&broken, NOW).unwrap_err();
        let at = bit / 8;
        match error {
            OpenError::Layout(_) => {
                assert!(at == 0 || at == 1 || at == 3 || (88..92).contains(&at))
            }
            OpenError::Epoch(_) => assert!((8..40).contains(&at)),
            OpenError::Tag => {}
            other => panic!("bit {bit}: {other}, but the tag is checked first"),
        }
        assert_eq!(bob.to_bytes(), before, "bit {bit}");
    }
    for wrong in [&bytes[1..], &bytes[..bytes.len() - 1], &[&bytes[..], &[0]].concat(), &[]] {
        let before = bob.to_bytes();
        assert!(matches!(bob.open(wrong, NOW), Err(OpenError::Layout(_))));
        assert_eq!(bob.to_bytes(), before);
    }
    assert!(bob.open(&bytes, NOW).is_ok(), "the honest one still opens");
}

#[test]
fn a_message_of_another_epoch_or_for_another_device_does_not_open() {
    let alice = user("alice", 10, 1, Suites::NACL);
    let bob = user("bob", 20, 2, Suites::NACL);
    let mut states = states(&alice, Some(&bob));
    let sealed = seal_text(&mut states[0], "hello");
    let for_first = deliver(&states[0], &sealed, &states[1]);
    let for_second = deliver(&states[0], &sealed, &states[2]);
    refuses(&mut states[2], &for_first, OpenError::Tag);
    refuses(&mut states[1], &for_second, OpenError::Tag);
    let carol = user("carol", 30, 1, Suites::NACL);
    let other = made(&alice.devices[0], &alice, Some(&carol));
    let mut stranger = other.state;
    let elsewhere: EpochId = states[0].id();
    refuses(&mut stranger, &for_first, OpenError::Epoch(elsewhere));
    assert_eq!(OpenError::Epoch(elsewhere).code(), Code::EpochUnknown);
}

#[test]
fn late_messages_open_once_and_gaps_are_seen() {
    let (mut alice, mut bob) = one_and_one();
    let at_alice = usize::from(alice.me());
    let bytes: Vec<_> = (0..5)
        .map(|i| {
            let sealed = seal_text(&mut alice, &i.to_string());
            deliver(&alice, &sealed, &bob)
        })
        .collect();
    bob.open(&bytes[4], NOW).unwrap();
    assert_eq!((bob.skipped(), bob.seen()[at_alice]), (4, 0));
    for i in [1, 0, 3] {
        bob.open(&bytes[i], NOW).unwrap();
        refuses(&mut bob, &bytes[i], OpenError::Replay);
    }
    assert_eq!((bob.skipped(), bob.seen()[at_alice]), (1, 2));
    let mut bob = EpochState::from_bytes(&bob.to_bytes()).unwrap();
    bob.open(&bytes[2], NOW).unwrap();
    assert_eq!((bob.skipped(), bob.seen()[at_alice]), (0, 5));
    assert_eq!(alice.seen()[at_alice], 5, "the own place counts what was sent");
}

/// What a thief of the state can do with a skipped message: open that one, and no later one.
#[test]
fn a_kept_key_opens_its_own_message_and_nothing_after_it() {
    let (mut alice, mut bob) = one_and_one();
    let bytes: Vec<_> = (0..3)
        .map(|i: u8| {
            let sealed = seal_text(&mut alice, &i.to_string());
            deliver(&alice, &sealed, &bob)
        })
        .collect();
    bob.open(&bytes[1], NOW).unwrap();
    assert_eq!(bob.skipped(), 1);
    let saved = bob.to_bytes();
    let opens = |message_key: &[u8; 32], bytes: &[u8]| {
        let key = kdf(message_key, Label::Msg, &[&bytes[..56]]);
        kdf(&key, Label::Commit, &[&bytes[..56]]) == bytes[56..88]
    };
    let (mut kept, mut later) = (0, 0);
    for window in saved.windows(32) {
        let secret: &[u8; 32] = window.try_into().unwrap();
        kept += usize::from(opens(secret, &bytes[0]));
        // As a chain key at this counter or an earlier one, or as what is kept.
        let mut chain = *secret;
        later += usize::from(opens(secret, &bytes[1]));
        for _ in 0..2 {
            later += usize::from(opens(&kdf(&chain, Label::Msg, &[]), &bytes[1]));
            chain = kdf(&chain, Label::Next, &[]);
        }
    }
    assert_eq!(kept, 1, "the skipped message can still be opened when it comes");
    assert_eq!(later, 0, "the message that was received cannot be opened again");
}

#[test]
fn the_windows_are_1024_and_4096() {
    let (mut alice, bob) = one_and_one();
    let mut bytes = Vec::new();
    for _ in 0..=SKIP_DURABLE + 1 {
        let sealed = seal_text(&mut alice, "x");
        bytes.push(deliver(&alice, &sealed, &bob));
    }
    let mut near = bob.clone();
    near.open(&bytes[1024], NOW).unwrap();
    assert_eq!(near.skipped(), 1024);
    let mut far = bob;
    refuses(&mut far, &bytes[1025], OpenError::SkipLimit);
    // All that was passed still opens, in any order.
    for i in (0..1024).rev() {
        near.open(&bytes[i], NOW).unwrap();
    }
    assert_eq!(near.skipped(), 0);
    assert!(near.is_worn(NOW) == (near.sent() >= MESSAGES_MAX));
    assert!(alice.is_worn(NOW), "more than 512 sent");
    assert_eq!(SKIP_EPHEMERAL, 4096);
}

#[test]
fn skipped_keys_are_bounded_and_age() {
    let (mut alice, bob) = one_and_one();
    let mut bytes = Vec::new();
    for _ in 0..2 * 1025 + 1 {
        let sealed = seal_text(&mut alice, "x");
        bytes.push(deliver(&alice, &sealed, &bob));
    }
    let mut full = bob.clone();
    full.open(&bytes[1024], NOW).unwrap();
    full.open(&bytes[2049], NOW + 1).unwrap();
    assert_eq!(full.skipped(), SKIPPED_MAX);
    full.open(&bytes[2050], NOW + 1).unwrap();
    assert_eq!(full.skipped(), SKIPPED_MAX);
    assert_eq!(full.expire(NOW + SKIPPED_KEPT_MS - 1), 0);
    assert_eq!(full.expire(NOW + SKIPPED_KEPT_MS), 1024);
    refuses(&mut full, &bytes[0], OpenError::Replay);
    full.open(&bytes[2048], NOW).unwrap();
}

#[test]
fn skipped_keys_are_bounded_over_all_epochs_of_a_pair() {
    let (mut alice, old) = one_and_one();
    let at_alice = usize::from(alice.me());
    let bytes: Vec<_> = (0..1025)
        .map(|_| {
            let sealed = seal_text(&mut alice, "x");
            deliver(&alice, &sealed, &old)
        })
        .collect();
    // The state stands for three epochs: what they share is the bound.
    let (mut older, mut newer, mut newest) = (old.clone(), old.clone(), old);
    older.open(&bytes[1024], NOW).unwrap();
    newer.open(&bytes[1000], NOW + 1).unwrap();
    let mut others = [newer, older];
    newest.open_beside(&bytes[100], NOW + 2, &mut others).unwrap();
    assert_eq!(newest.skipped(), 100, "the newest are kept");
    assert_eq!(others.each_ref().map(EpochState::skipped), [1_000, 948], "the oldest went");
    let [newer, mut older] = others;
    refuses(&mut older, &bytes[75], OpenError::Replay);
    older.open(&bytes[76], NOW).unwrap();
    assert_eq!(older.seen()[at_alice], 0, "what was given up is never counted as received");
    let older = EpochState::from_bytes(&older.to_bytes()).unwrap();
    assert_eq!(older.seen()[at_alice], 0, "after a restart too");
    // A refused message changes none of them.
    let before = (newest.to_bytes(), older.to_bytes(), newer.to_bytes());
    let mut others = [newer, older];
    assert_eq!(newest.open_beside(&bytes[100], NOW, &mut others), Err(OpenError::Replay));
    let [newer, older] = others;
    assert_eq!((newest.to_bytes(), older.to_bytes(), newer.to_bytes()), before);
}

#[test]
fn a_state_reads_back_and_broken_bytes_do_not() {
    let alice = user("alice", 10, 2, Suites::HERE);
    let bob = user("bob", 20, 2, Suites::HERE);
    let mut states = states(&alice, Some(&bob));
    for _ in 0..3 {
        let sealed = seal_text(&mut states[0], "x");
        if sealed.counter == 2 {
            let bytes = deliver(&states[0], &sealed, &states[3]);
            states[3].open(&bytes, NOW).unwrap();
        }
    }
    for state in &states {
        let bytes = state.to_bytes();
        assert_eq!(EpochState::from_bytes(&bytes).as_ref(), Ok(state));
        for len in 0..bytes.len() {
            assert!(EpochState::from_bytes(&bytes[..len]).is_err(), "{len} bytes");
        }
        assert!(EpochState::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        let mut version = bytes.to_vec();
        version[0] = 2;
        assert!(EpochState::from_bytes(&version).is_err());
    }
    let mut unsorted = states[3].to_bytes().to_vec();
    let at = unsorted.len() - 46 - 46 + 5;
    unsorted[at] = 9;
    assert!(EpochState::from_bytes(&unsorted).is_err(), "a key that was not passed");
}

#[test]
fn a_rolled_back_state_does_not_repeat_a_message() {
    let (mut alice, mut bob) = one_and_one();
    let mut copy = alice.clone();
    let one = alice.seal(Class::Text, 0, &text("one"), [1; 16]).unwrap();
    let same = copy.clone().seal(Class::Text, 0, &text("one"), [2; 16]).unwrap();
    let two = copy.seal(Class::Text, 0, &text("two"), [1; 16]).unwrap();
    assert_ne!(one.mid, same.mid, "other randomness, other salt");
    assert_ne!(one.mid, two.mid, "other words, other salt");
    let bytes = deliver(&alice, &one, &bob);
    bob.open(&bytes, NOW).unwrap();
    let bytes = deliver(&copy, &two, &bob);
    refuses(&mut bob, &bytes, OpenError::Replay);
}

#[test]
fn debug_hides_every_secret() {
    let (mut alice, bob) = one_and_one();
    let sealed = seal_text(&mut alice, "hello");
    let mut reader = bob.clone();
    let opened = reader.open(&deliver(&alice, &sealed, &bob), NOW).unwrap();
    assert_eq!(format!("{:?}", opened.content).matches("hello").count(), 0);
    let key = DeviceKey::from_seed([0x5e; 32]);
    let shown = format!("{key:?}");
    assert_eq!(shown, format!("DeviceKey({:?})", key.device_id()));
    let secret = PrekeySecret::generate(std::num::NonZeroU32::MIN, &mut random(1)).unwrap();
    assert_eq!(
        format!("{secret:?}"),
        "PrekeySecret { id: 1, x25519: Secret(..), xwing_seed: Secret(..) }"
    );
    assert_eq!(PrekeySecret::from_bytes(&secret.to_bytes()), Ok(secret.clone()));
    assert!(PrekeySecret::from_bytes(&secret.to_bytes()[1..]).is_err());
    // No byte of any chain or tag key: of a state, counts alone are shown.
    assert_eq!(
        format!("{alice:?}"),
        format!("EpochState {{ header: {:?}, sent: 1, skipped: 0, .. }}", alice.header())
    );
    assert_eq!(
        format!("{sealed:?}"),
        format!("SealedMessage {{ mid: {:?}, counter: 0, .. }}", sealed.mid)
    );
}
