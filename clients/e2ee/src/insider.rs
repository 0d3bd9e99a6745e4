//! What only an insider can try: a creator or sender with real keys that breaks the rules. The
//! tests stand here because the crate itself offers no way to do it.

use hushwire_identity::{EpochHeader, Suites};
use hushwire_wire::Mid;
use hushwire_wire::message::{Class, Delivered, HEADER_LEN, Header};

use crate::common::{NOW, accepted, deliver, made, offered, random, refused, states, text, user};
use crate::content::Received;
use crate::epoch::{AcceptError, Offered};
use crate::message::{OpenError, SealError};
use crate::seal::{self, WrapFor};
use crate::secret::Secret;
use crate::state::EpochState;

/// One device each: the sender, and the receiver whose index the tag is for.
fn pair() -> (EpochState, EpochState) {
    let alice = user("alice", 10, 1, Suites::NACL);
    let bob = user("bob", 20, 1, Suites::NACL);
    let mut states = states(&alice, Some(&bob)).into_iter();
    (states.next().unwrap(), states.next().unwrap())
}

/// A delivered message with a valid tag over whatever stands before it.
fn tagged(from: &EpochState, header: &[u8; HEADER_LEN], commit: &[u8; 32], ct: &[u8]) -> Vec<u8> {
    let envelope = seal::envelope(header, commit, ct);
    let tag = seal::tag(from.sending_tags().next().unwrap(), &envelope);
    let len = u32::try_from(ct.len()).unwrap().to_be_bytes();
    [&header[..], commit, &len, ct, &tag].concat()
}

fn header(from: &EpochState, class: Class, lane: u8, counter: u32) -> [u8; HEADER_LEN] {
    let (sender, epoch) = (from.me(), from.id());
    Header { class, sender, lane, counter, epoch, mid: Mid([3; 16]) }.to_bytes()
}

fn refuses(state: &mut EpochState, bytes: &[u8], error: OpenError) {
    let before = state.to_bytes();
    assert_eq!(state.open(bytes, NOW), Err(error));
    assert_eq!(state.to_bytes(), before, "a refused message changes nothing");
}

#[test]
fn a_wrap_with_another_key_than_committed_is_a_kc_mismatch() {
    for suites in [Suites::HERE, Suites::NACL, Suites::AES] {
        let alice = user("alice", 10, 1, suites);
        let bob = user("bob", 20, 1, suites);
        let created = made(&alice.devices[0], &alice, Some(&bob));
        let header = EpochHeader::parse(&created.header).unwrap();
        let offer = offered(&created, &bob.devices[0], &bob, Some(&alice));
        let prekey = &bob.prekeys[0];
        let to = WrapFor {
            suite: header.suite,
            epoch: created.id,
            creator: alice.devices[0].key.device_id(),
            device: prekey.record.device,
            prekey: prekey.record.id,
        };
        let identity = alice.devices[0].key.to_x25519();
        let auth = seal::exchange(&prekey.record.x25519, &identity).unwrap();
        let forge = |auth: &Secret<32>| {
            let key = Secret::new([0x4b; 32]);
            let xwing = prekey.xwing.as_deref();
            to.seal(&prekey.record.x25519, xwing, auth, &key, &mut random(4)).unwrap().unwrap()
        };
        refused(&Offered { wrap: &forge(&auth), ..offer }, AcceptError::KcMismatch);
        // The server can seal to the prekey, but not as the creator.
        let stranger = Secret::new([0x55; 32]);
        let auth = seal::exchange(&prekey.record.x25519, &stranger).unwrap();
        refused(&Offered { wrap: &forge(&auth), ..offer }, AcceptError::Wrap);
        accepted(&offer);
    }
}

#[test]
fn a_creator_cannot_leave_out_suite_3() {
    let alice = user("alice", 10, 1, Suites::HERE);
    let bob = user("bob", 20, 1, Suites::HERE);
    let classic_alice = user("alice", 10, 1, Suites::NACL);
    // Alice's log says 3 and 1; her bundle is stripped to 1 and signed by her own key.
    let mut stripped = alice;
    stripped.prekeys = vec![stripped.devices[0].secret.publish(
        &stripped.devices[0].key,
        &stripped.log,
        Suites::NACL,
        20_000,
    )];
    assert!(stripped.prekeys[0].record.verify(&stripped.log).is_err());
    assert!(classic_alice.prekeys[0].record.verify(&classic_alice.log).is_ok());
    let new = crate::common::first(&stripped.devices[0], &stripped, Some(&bob));
    assert!(crate::create(&new, &mut random(1)).is_err());
}

#[test]
fn commit_aead_and_content_are_checked_after_the_tag() {
    let (mut alice, mut bob) = pair();
    let sealed = alice.clone().seal(Class::Text, 0, &text("hello"), [1; 16]).unwrap();
    let honest = deliver(&alice, &sealed, &bob);
    let parts = Delivered::parse(&honest).unwrap();
    let bytes = parts.header.to_bytes();
    let mut commit = *parts.commit;
    commit[0] ^= 1;
    let forged = tagged(&alice, &bytes, &commit, parts.ct);
    refuses(&mut bob, &forged, OpenError::Commit);
    let mut ct = parts.ct.to_vec();
    ct[0] ^= 1;
    let forged = tagged(&alice, &bytes, parts.commit, &ct);
    refuses(&mut bob, &forged, OpenError::Aead);
    // Authentic, and no content: the counter stays open for an honest message.
    let mut liar = alice.clone();
    let sealed = liar.seal_padded(Class::Text, 0, &[9; 256], [1; 16]).unwrap();
    let forged = deliver(&liar, &sealed, &bob);
    assert!(matches!(bob.clone().open(&forged, NOW), Err(OpenError::Content(_))));
    let before = bob.to_bytes();
    assert!(bob.open(&forged, NOW).is_err());
    assert_eq!(bob.to_bytes(), before);
    // Counts for another number of devices than the roster's.
    let crowded = crate::Content { seen: vec![0; 3], ..text("x") }.to_padded().unwrap();
    let sealed = alice.clone().seal_padded(Class::Text, 0, &crowded, [1; 16]).unwrap();
    let forged = deliver(&alice, &sealed, &bob);
    assert!(matches!(bob.open(&forged, NOW), Err(OpenError::Content(_))));
    assert_eq!(bob.open(&honest, NOW).map(|opened| opened.counter), Ok(0));
    alice.sent_one(0);
}

#[test]
fn unknown_types_and_mismatches_use_their_counter_up() {
    let (mut alice, mut bob) = pair();
    let mut padded = text("hello").to_padded().unwrap();
    padded[1] = 200;
    let sealed = alice.seal_padded(Class::Text, 0, &padded, [1; 16]).unwrap();
    let bytes = deliver(&alice, &sealed, &bob);
    assert_eq!(bob.open(&bytes, NOW).unwrap().content, Received::UnknownType(200));
    padded[1] = 1;
    let sealed = alice.seal_padded(Class::Edit, 0, &padded, [1; 16]).unwrap();
    let bytes = deliver(&alice, &sealed, &bob);
    assert_eq!(bob.open(&bytes, NOW).unwrap().content, Received::Mismatch(1));
    // A self-sync is for the own devices, and no other user's.
    let body = crate::Body::SelfSync { kind: crate::content::SyncKind::Marks, payload: vec![1] };
    let sync = crate::Content { body, ..text("") };
    let refused = alice.seal(Class::Control, 0, &sync, [1; 16]);
    assert_eq!(refused, Err(SealError::Content(crate::ContentError::Pairing)));
    let padded = sync.to_padded().unwrap();
    let sealed = alice.seal_padded(Class::Control, 0, &padded, [1; 16]).unwrap();
    let bytes = deliver(&alice, &sealed, &bob);
    assert_eq!(bob.open(&bytes, NOW).unwrap().content, Received::Mismatch(7));
    assert_eq!((bob.skipped(), bob.seen()[usize::from(alice.me())]), (0, 3));
}

#[test]
fn lanes_have_their_own_chains_and_windows() {
    let (mut alice, mut bob) = pair();
    let mut padded = text("on").to_padded().unwrap();
    padded[1] = 200;
    let mut last = Vec::new();
    for _ in 0..=4096 {
        let sealed = alice.seal_padded(Class::Control, 1, &padded, [1; 16]).unwrap();
        last = deliver(&alice, &sealed, &bob);
    }
    assert_eq!(alice.sent(), 0, "lane 0 has not moved");
    // 4,096 ahead is in the window; what does not fit among the skipped keys is given up.
    let opened = bob.open(&last, NOW).unwrap();
    assert_eq!((opened.lane, opened.counter), (1, 4096));
    assert_eq!(opened.content, Received::UnknownType(200));
    assert_eq!(bob.skipped(), crate::state::SKIPPED_MAX);
    assert_eq!(bob.seen(), [0, 0], "no loss in lane 0");
    // Durable keys push ephemeral ones out, never the other way.
    let mut texts = Vec::new();
    for _ in 0..11 {
        let sealed = alice.seal(Class::Text, 0, &text("x"), [1; 16]).unwrap();
        texts.push(deliver(&alice, &sealed, &bob));
    }
    bob.open(&texts[10], NOW - 1).unwrap();
    assert_eq!(bob.skipped(), crate::state::SKIPPED_MAX);
    for bytes in &texts[..10] {
        bob.open(bytes, NOW).unwrap();
    }
    let far = tagged(&alice, &header(&alice, Class::Control, 1, 4097 + 4097), &[0; 32], &[0; 272]);
    refuses(&mut bob, &far, OpenError::SkipLimit);
    let near = tagged(&alice, &header(&alice, Class::Control, 1, 4097 + 4096), &[0; 32], &[0; 272]);
    refuses(&mut bob, &near, OpenError::Commit);
}

#[test]
fn counters_end_before_they_wrap() {
    let (alice, mut bob) = pair();
    let last = header(&alice, Class::Text, 0, u32::MAX);
    refuses(&mut bob, &tagged(&alice, &last, &[0; 32], &[0; 272]), OpenError::SkipLimit);
    // Even when it is the very next one.
    let mut near = bob.to_bytes().to_vec();
    let chain = near.len() - 2 - if alice.me() == 0 { 140 + 76 } else { 140 };
    near[chain + 32..chain + 36].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut near = EpochState::from_bytes(&near).unwrap();
    assert_eq!(near.chain_of(alice.me(), 0).unwrap().1, u32::MAX);
    refuses(&mut near, &tagged(&alice, &last, &[0; 32], &[0; 272]), OpenError::SkipLimit);
    // A state whose chain is used up to the end.
    let mut bytes = alice.to_bytes().to_vec();
    let own = bytes.len() - 2 - if alice.me() == 0 { 140 + 76 } else { 76 };
    bytes[own + 32..own + 36].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut ended = EpochState::from_bytes(&bytes).unwrap();
    assert_eq!(ended.sent(), u32::MAX);
    assert_eq!(ended.seal(Class::Text, 0, &text("x"), [1; 16]), Err(SealError::Exhausted));
    assert_eq!(ended.to_bytes().to_vec(), bytes);
}

#[test]
fn an_insider_cannot_speak_as_another() {
    let alice = user("alice", 10, 1, Suites::NACL);
    let bob = user("bob", 20, 2, Suites::NACL);
    let mut states = states(&alice, Some(&bob));
    // Bob's second device tells his first that Alice wrote.
    let as_alice = states[0].me();
    let from = &states[2];
    let first = states[1].header().roster[usize::from(states[1].me())].device;
    let place = states[2].targets().iter().position(|device| *device == first).unwrap();
    let (sender, epoch) = (as_alice, from.id());
    let mid = Mid([3; 16]);
    let bytes = Header { class: Class::Text, sender, lane: 0, counter: 0, epoch, mid }.to_bytes();
    let envelope = seal::envelope(&bytes, &[0; 32], &[0; 272]);
    let tag = seal::tag(from.sending_tags().nth(place).unwrap(), &envelope);
    let len = 272_u32.to_be_bytes();
    let forged = [&bytes[..], &[0; 32], &len, &[0; 272], &tag].concat();
    refuses(&mut states[1], &forged, OpenError::Tag);
    // Nor as nobody.
    let mut nobody = bytes;
    nobody[2] = 3;
    let forged = [&nobody[..], &[0; 32], &len, &[0; 272], &tag].concat();
    refuses(&mut states[1], &forged, OpenError::Tag);
}

#[test]
fn a_restart_never_uses_a_lane_1_counter_again() {
    use crate::state::RESERVED;
    let (mut alice, mut bob) = pair();
    let receiver = bob.clone();
    let mut padded = text("on").to_padded().unwrap();
    padded[1] = 200;
    let send = |alice: &mut EpochState| {
        let sealed = alice.seal_padded(Class::Control, 1, &padded, [1; 16]).unwrap();
        (sealed.counter, sealed.store_first, deliver(alice, &sealed, &receiver))
    };
    // What was stored when the first of a reservation asked for it serves for all of it.
    let (counter, store_first, first) = send(&mut alice);
    assert_eq!((counter, store_first), (0, true));
    let stored = alice.to_bytes();
    for counter in 1..RESERVED {
        let (next, store_first, _) = send(&mut alice);
        assert_eq!((next, store_first), (counter, false));
    }
    let (counter, store_first, _) = send(&mut alice.clone());
    assert_eq!((counter, store_first), (RESERVED, true), "the next reservation");
    let mut again = EpochState::from_bytes(&stored).unwrap();
    let (counter, store_first, after) = send(&mut again);
    assert_eq!((counter, store_first), (RESERVED, true), "nothing of the first one");
    let stored = again.to_bytes();
    // A lane-0 write in between stores the same reservation, and moves nothing.
    assert_eq!(EpochState::from_bytes(&stored).unwrap().to_bytes(), stored);
    bob.open(&first, NOW).unwrap();
    assert_eq!(bob.open(&after, NOW).unwrap().counter, RESERVED);
    assert_eq!(bob.open(&after, NOW), Err(OpenError::Replay));
    assert_eq!(bob.skipped(), usize::try_from(RESERVED - 1).unwrap());
}
