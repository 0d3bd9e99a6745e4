//! Making and accepting epochs: round trips, and every refusal of E1 to E9 (CRYPTO 5).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::num::NonZeroU32;

use common::*;
use hushwire_e2ee::{
    AcceptError, CreateError, History, JUMP_MAX, NewEpoch, Offered, PrekeySecret, Previous,
    RandomError, create, open,
};
use hushwire_identity::{
    Code, Current, EpochHeader, Head, Posting, Prekey, PrekeyError, Side, Slot, Suite, Suites,
    check_post, day_of,
};
use hushwire_wire::{DeviceId, EpochId, RequestId};

fn two_and_two() -> (User, User) {
    (user("alice", 10, 2, Suites::HERE), user("bob", 20, 2, Suites::HERE))
}

#[test]
fn all_devices_of_both_get_the_same_chains_in_every_suite() {
    for (suites, suite) in
        [(Suites::HERE, Suite::XWing), (Suites::NACL, Suite::NaCl), (Suites::AES, Suite::Aes)]
    {
        for devices in [1, 2] {
            let alice = user("alice", 10, devices, suites);
            let bob = user("bob", 20, devices, suites);
            // The creator may be on either side, so A and B are taken in both orders.
            for (mine, peer) in [(&alice, &bob), (&bob, &alice)] {
                let mut states = states(mine, Some(peer));
                assert_eq!(states.len(), 2 * devices);
                assert!(states.iter().all(|state| state.suite() == suite));
                for from in 0..states.len() {
                    let sealed = seal_text(&mut states[from], "hello");
                    for to in (0..states.len()).filter(|to| *to != from) {
                        let bytes = deliver(&states[from], &sealed, &states[to]);
                        let opened = states[to].open(&bytes, NOW).unwrap();
                        assert_eq!(opened.content, hushwire_e2ee::Received::Content(text("hello")));
                        assert_eq!(opened.mid, sealed.mid);
                        let sender = states[from].header().roster[usize::from(states[from].me())];
                        assert_eq!(opened.device, sender.device);
                        assert_eq!(states[from].header().user(sender.side), Some(opened.user));
                    }
                }
            }
        }
    }
}

#[test]
fn sizes_are_those_of_crypto_13_and_the_server_takes_the_post() {
    for (suites, len) in [(Suites::HERE, 3_805), (Suites::NACL, 541), (Suites::AES, 541)] {
        let alice = user("alice", 10, 2, suites);
        let bob = user("bob", 20, 2, suites);
        let created = made(&alice.devices[0], &alice, Some(&bob));
        let bytes: usize = created.wraps.iter().map(|(_, wrap)| wrap.len()).sum();
        assert_eq!(created.header.len() + bytes, len);
        let header = EpochHeader::parse(&created.header).unwrap();
        assert_eq!(header.id(), created.id);
        let records =
            |user: &User| user.prekeys.iter().map(|p| p.record.clone()).collect::<Vec<_>>();
        let (of_alice, of_bob) = (records(&alice), records(&bob));
        let mut sides = [
            Current { log: &alice.log, prekeys: &of_alice },
            Current { log: &bob.log, prekeys: &of_bob },
        ];
        sides.sort_by_key(|side| side.log.user());
        let wraps: Vec<_> = created.wraps.iter().map(|(d, wrap)| (*d, wrap.len())).collect();
        let posting = Posting {
            creator: alice.devices[0].key.device_id(),
            n: 0,
            prev: REQUEST.0,
            wraps: &wraps,
            now_ms: NOW,
        };
        assert_eq!(check_post(&header, &posting, &sides[0], Some(&sides[1])), Ok(()));
    }
}

#[test]
fn a_self_pair_has_one_side_and_no_request() {
    let alice = user("alice", 10, 3, Suites::HERE);
    let mut states = states(&alice, None);
    assert!(states[0].header().roster.iter().all(|slot| slot.side == Side::A));
    assert_eq!((states[0].header().b, states[0].header().prev), (None, [0; 32]));
    let sealed = seal_text(&mut states[1], "to myself");
    let bytes = deliver(&states[1], &sealed, &states[2]);
    assert_eq!(states[2].open(&bytes, NOW).unwrap().user, alice.log.user());
    let alone = user("alone", 30, 1, Suites::HERE);
    let created = made(&alone.devices[0], &alone, None);
    assert!(created.wraps.is_empty() && created.state.targets().is_empty());
    // A pair with oneself is not a pair of two.
    let error = create(&first(&alice.devices[0], &alice, Some(&alice)), &mut random(1));
    assert_eq!(error.unwrap_err(), CreateError::Me);
}

#[test]
fn a_creator_refuses_what_would_not_be_accepted() {
    let (alice, bob) = two_and_two();
    let good = first(&alice.devices[0], &alice, Some(&bob));
    let fail = |new: &NewEpoch<'_>| create(new, &mut random(1)).unwrap_err();
    assert_eq!(fail(&NewEpoch { prekey: &alice.devices[1].secret, ..good }), CreateError::Me);
    assert_eq!(fail(&NewEpoch { me: &bob.devices[0].key, ..good }), CreateError::Me);
    let id = NonZeroU32::new(2).unwrap();
    let newer = PrekeySecret::generate(id, &mut random(3)).unwrap();
    assert_eq!(fail(&NewEpoch { prekey: &newer, ..good }), CreateError::Me);

    let mut stale = user("bob", 20, 2, Suites::HERE);
    stale.republish(day_of(NOW) - 31);
    assert_eq!(fail(&first(&alice.devices[0], &alice, Some(&stale))), CreateError::PeerStale);
    let mut forged = user("bob", 20, 2, Suites::HERE);
    forged.prekeys[1].record.x25519[0] ^= 1;
    assert_eq!(
        fail(&first(&alice.devices[0], &alice, Some(&forged))),
        CreateError::Prekey(PrekeyError::Signature)
    );
    let mut bare = user("bob", 20, 2, Suites::HERE);
    bare.prekeys[1].xwing = None;
    assert_eq!(
        fail(&first(&alice.devices[0], &alice, Some(&bare))),
        CreateError::Prekey(PrekeyError::Xwing)
    );
    let aes = user("bob", 20, 1, Suites::AES);
    let nacl = user("alice", 10, 1, Suites::NACL);
    assert_eq!(fail(&first(&nacl.devices[0], &nacl, Some(&aes))), CreateError::Suite);
    let mut broken = |_: &mut [u8]| Err(RandomError);
    assert_eq!(create(&good, &mut broken).unwrap_err(), CreateError::Random(RandomError));
}

#[test]
fn a_stale_device_stands_in_the_roster_and_takes_no_part() {
    let (alice, mut bob) = two_and_two();
    let old = &bob.devices[1];
    bob.prekeys[1] = old.secret.publish(&old.key, &bob.log, bob.suites, day_of(NOW) - 31);
    let created = made(&alice.devices[0], &alice, Some(&bob));
    assert_eq!((created.wraps.len(), created.state.header().roster.len()), (2, 4));
    let offer = offered(&created, &bob.devices[0], &bob, Some(&alice));
    let mut state = accepted(&offer).state;
    assert_eq!(state.targets().len(), 2);
    // The stale device itself has no wrap and is not let in.
    refused(&Offered { me: &bob.devices[1].key, ..offer }, AcceptError::NoSecret);
    // Somebody who knows a fresh prekey of it sees that it was left out.
    let fresh = old.secret.publish(&old.key, &bob.log, bob.suites, day_of(NOW) - 1);
    let mut knows: Vec<Prekey> = bob.prekeys.clone();
    knows.push(fresh);
    let mut party = offer.mine;
    party.prekeys = &knows;
    refused(&Offered { mine: party, ..offer }, AcceptError::Roster);
    let sealed = seal_text(&mut state, "x");
    let mut creator = created.state.clone();
    let bytes = deliver(&state, &sealed, &creator);
    assert!(creator.open(&bytes, NOW).is_ok());
    assert_eq!(hushwire_e2ee::EpochState::from_bytes(&creator.to_bytes()), Ok(creator));
}

/// Bob's first device, offered Alice's epoch with a changed header.
fn with_header(change: &dyn Fn(&mut EpochHeader)) -> AcceptError {
    with_header_when(NOW, change)
}

/// The same with an epoch that was created at `created_ms`.
fn with_header_when(created_ms: u64, change: &dyn Fn(&mut EpochHeader)) -> AcceptError {
    let (alice, bob) = two_and_two();
    let new = first(&alice.devices[0], &alice, Some(&bob));
    let created = create(&NewEpoch { created_ms, ..new }, &mut random(77)).unwrap();
    let mut header = EpochHeader::parse(&created.header).unwrap();
    change(&mut header);
    let bytes = header.to_bytes();
    let offer = offered(&created, &bob.devices[0], &bob, Some(&alice));
    open(&Offered { header: &bytes, ..offer }).map(|_| ()).unwrap_err()
}

#[test]
fn headers_that_lie_are_refused() {
    let layout = |error| matches!(error, AcceptError::Layout(_));
    assert!(layout(with_header(&|h| h.roster.clear())));
    assert!(layout(with_header(&|h| h.roster.swap(0, 1))));
    assert_eq!(with_header(&|h| h.suite = Suite::NaCl), AcceptError::Suite);
    assert_eq!(with_header(&|h| h.suite = Suite::Aes), AcceptError::Suite);
    assert_eq!(with_header(&|h| h.a.user.0[31] ^= 1), AcceptError::Pair);
    assert_eq!(with_header(&|h| h.prev = [1; 32]), AcceptError::Request);
    assert_eq!(with_header(&|h| h.a.head = Head([1; 32])), AcceptError::LogFork);
    assert!(matches!(with_header(&|h| h.b.as_mut().unwrap().seq = 9), AcceptError::Behind(_)));
    assert_eq!(with_header(&|h| h.created_ms = NOW + 86_400_001), AcceptError::Time);
    assert_eq!(with_header(&|h| h.created_ms = NOW + 32 * 86_400_000), AcceptError::Time);
    // Too long ago for the prekeys that it names.
    assert_eq!(with_header(&|h| h.created_ms = NOW - 2 * 86_400_000), AcceptError::PrekeyDay);
    // Ghosts, omissions, and devices that are falsely called stale.
    let ghost = Slot { side: Side::B, device: DeviceId([0xff; 16]), prekey: 1 };
    assert_eq!(with_header(&|h| h.roster.push(ghost)), AcceptError::Roster);
    let omit = |h: &mut EpochHeader| {
        let last = h.roster.len() - 1;
        let at = if usize::from(h.creator) == last { last - 1 } else { last };
        h.roster.remove(at);
        h.creator = h.creator.min(2);
    };
    assert_eq!(with_header(&omit), AcceptError::Roster);
    let another = |h: &EpochHeader| (0..4).rfind(|i| *i != usize::from(h.creator)).unwrap();
    let unknown = |h: &mut EpochHeader| {
        let at = another(h);
        h.roster[at].prekey = 9;
    };
    assert_eq!(with_header(&unknown), AcceptError::PrekeyMissing);
    let falsely_stale = |h: &mut EpochHeader| {
        let at = another(h);
        h.roster[at].prekey = 0;
    };
    assert_eq!(with_header_when(NOW + 86_400_000, &falsely_stale), AcceptError::Roster);
    // The header is bound into the wrap, so what nobody can judge alone breaks it.
    assert_eq!(with_header(&|h| h.kc = [1; 32]), AcceptError::Wrap);
    assert_eq!(with_header(&|h| h.created_ms = NOW + 1), AcceptError::Wrap);
    assert_eq!(with_header(&|h| h.reason = hushwire_identity::Reason::Heal), AcceptError::Wrap);
}

#[test]
fn every_bit_of_a_header_counts() {
    let alice = user("alice", 10, 1, Suites::NACL);
    let bob = user("bob", 20, 1, Suites::NACL);
    let created = made(&alice.devices[0], &alice, Some(&bob));
    for bit in 0..created.header.len() * 8 {
        let mut header = created.header.clone();
        header[bit / 8] ^= 1 << (bit % 8);
        let offer = offered(&created, &bob.devices[0], &bob, Some(&alice));
        let result = open(&Offered { header: &header, ..offer });
        assert!(result.is_err(), "bit {bit}");
    }
    let longer = [&created.header[..], &[0]].concat();
    let offer = offered(&created, &bob.devices[0], &bob, Some(&alice));
    assert!(matches!(
        open(&Offered { header: &longer, ..offer }).map(|_| ()),
        Err(AcceptError::Layout(_))
    ));
}

#[test]
fn wraps_that_are_not_the_creators_are_refused() {
    for suites in [Suites::HERE, Suites::NACL, Suites::AES] {
        let alice = user("alice", 10, 2, suites);
        let bob = user("bob", 20, 2, suites);
        let mallory = user("mallory", 30, 1, suites);
        let created = made(&alice.devices[0], &alice, Some(&bob));
        let offer = offered(&created, &bob.devices[0], &bob, Some(&alice));
        let good = offer.wrap.to_vec();
        for at in [0, 31, good.len() - 48, good.len() - 1] {
            let mut wrap = good.clone();
            wrap[at] ^= 1;
            refused(&Offered { wrap: &wrap, ..offer }, AcceptError::Wrap);
        }
        refused(&Offered { wrap: &good[1..], ..offer }, AcceptError::Wrap);
        refused(&Offered { wrap: &[&good[..], &[0]].concat(), ..offer }, AcceptError::Wrap);
        // Another device's wrap, another epoch's, and one that somebody else sealed.
        let other = wrap_of(&created, bob.devices[1].key.device_id());
        refused(&Offered { wrap: other, ..offer }, AcceptError::Wrap);
        let again = create(&first(&alice.devices[0], &alice, Some(&bob)), &mut random(5)).unwrap();
        let other = wrap_of(&again, bob.devices[0].key.device_id());
        refused(&Offered { wrap: other, ..offer }, AcceptError::Wrap);
        let forged = made(&mallory.devices[0], &mallory, Some(&bob));
        let other = wrap_of(&forged, bob.devices[0].key.device_id());
        refused(&Offered { wrap: other, ..offer }, AcceptError::Wrap);
        // The epoch of another pair.
        let header = forged.header.as_slice();
        refused(&Offered { header, ..offer }, AcceptError::Pair);
    }
}

#[test]
fn only_the_prekey_that_is_named_opens_the_wrap() {
    let (alice, bob) = two_and_two();
    let created = made(&alice.devices[0], &alice, Some(&bob));
    let offer = offered(&created, &bob.devices[0], &bob, Some(&alice));
    refused(&Offered { secrets: &[], ..offer }, AcceptError::NoSecret);
    let same_id = PrekeySecret::generate(NonZeroU32::MIN, &mut random(9)).unwrap();
    refused(&Offered { secrets: std::slice::from_ref(&same_id), ..offer }, AcceptError::NoSecret);
    let both = [same_id, bob.devices[0].secret.clone()];
    assert!(open(&Offered { secrets: &both, ..offer }).is_ok());
    // Somebody else's prekey under the named id.
    let mut prekeys = bob.prekeys.clone();
    prekeys[1].record.signature = prekeys[0].record.signature;
    let mut mine = offer.mine;
    mine.prekeys = &prekeys;
    refused(&Offered { mine, ..offer }, AcceptError::Prekey(PrekeyError::Signature));
    mine.prekeys = &prekeys[..1];
    refused(&Offered { mine, ..offer }, AcceptError::PrekeyMissing);
    refused(
        &Offered {
            me: &alice.devices[0].key,
            mine: offer.peer.unwrap(),
            peer: Some(offer.mine),
            ..offer
        },
        AcceptError::Own,
    );
}

#[test]
fn epochs_follow_one_another() {
    let (alice, bob) = two_and_two();
    let zero = made(&alice.devices[0], &alice, Some(&bob));
    let newest = Previous { n: 0, id: zero.id, created_ms: NOW };
    let next = |n, prev: EpochId, created_ms| {
        let new = first(&alice.devices[0], &alice, Some(&bob));
        let new = NewEpoch { n, prev: prev.0, created_ms, ..new };
        create(&new, &mut random(u64::from(n) + created_ms)).unwrap()
    };
    let judge = |created: &hushwire_e2ee::Created, newest: Option<Previous>| {
        let offer = offered(created, &bob.devices[0], &bob, Some(&alice));
        let known = newest.as_slice();
        let history = History { request: Some(REQUEST), known };
        open(&Offered { history, ..offer }).map(|accepted| (accepted.gap, accepted.fork))
    };
    assert_eq!(judge(&zero, None).unwrap(), (false, false));
    assert_eq!(judge(&zero, Some(newest)).unwrap_err(), AcceptError::Old, "twice");
    let one = next(1, zero.id, NOW);
    assert_eq!(judge(&one, Some(newest)).unwrap(), (false, false));
    assert_eq!(judge(&one, None).unwrap(), (true, false), "a new device knows none before");
    let elsewhere = next(1, EpochId([5; 32]), NOW);
    assert_eq!(judge(&elsewhere, Some(newest)).unwrap(), (true, false));
    let again = next(1, EpochId(REQUEST.0), NOW);
    assert_eq!(judge(&again, Some(newest)).unwrap(), (false, false), "accepted again");
    assert_eq!(judge(&next(3, one.id, NOW), Some(newest)).unwrap(), (true, false));
    let far = |n| judge(&next(n, one.id, NOW), Some(newest));
    assert_eq!(far(JUMP_MAX).unwrap(), (true, false));
    for n in [JUMP_MAX + 1, u32::MAX - 1, u32::MAX] {
        assert_eq!(far(n).unwrap_err(), AcceptError::Jump);
    }
    assert_eq!(AcceptError::Jump.code(), Code::EpochGap);
    let sibling = next(1, zero.id, NOW + 1);
    let newest = Previous { n: 1, id: one.id, created_ms: NOW };
    assert_eq!(judge(&sibling, Some(newest)).unwrap(), (true, true), "its parent is not kept");
    assert_eq!(judge(&zero, Some(newest)).unwrap_err(), AcceptError::Old);
    // What is kept beside the newest: a sibling of it, which the next may follow, and the one
    // before, than which no sibling is older.
    let beside = |created: &hushwire_e2ee::Created| {
        let zero = Previous { n: 0, id: zero.id, created_ms: NOW };
        let sibling = Previous { n: 1, id: sibling.id, created_ms: NOW + 1 };
        let history = History { request: Some(REQUEST), known: &[zero, newest, sibling] };
        let offer = offered(created, &bob.devices[0], &bob, Some(&alice));
        let accepted = open(&Offered { history, ..offer });
        accepted.map(|accepted| (accepted.gap, accepted.fork))
    };
    assert_eq!(beside(&next(2, sibling.id, NOW + 1)).unwrap(), (false, false));
    assert_eq!(beside(&next(2, sibling.id, NOW)).unwrap_err(), AcceptError::Time);
    assert_eq!(beside(&next(2, zero.id, NOW + 1)).unwrap(), (true, false));
    assert_eq!(beside(&next(1, zero.id, NOW + 2)).unwrap(), (false, true));
    assert_eq!(beside(&next(1, EpochId([5; 32]), NOW)).unwrap(), (true, true));
    assert_eq!(beside(&next(1, zero.id, NOW - 1)).unwrap_err(), AcceptError::Time);
    let early = next(2, one.id, NOW - 1);
    assert_eq!(judge(&early, Some(newest)).unwrap_err(), AcceptError::Time);
    // Epoch 0 must name the request; without one there is no pair of two.
    let offer = offered(&zero, &bob.devices[0], &bob, Some(&alice));
    for request in [None, Some(RequestId([1; 32]))] {
        refused(
            &Offered { history: History { request, known: &[] }, ..offer },
            AcceptError::Request,
        );
    }
}

#[test]
fn older_heads_make_an_epoch_receive_only_and_revoked_creators_are_out() {
    let (mut alice, mut bob) = two_and_two();
    let created = made(&alice.devices[1], &alice, Some(&bob));
    bob.revoke(1);
    let offer = offered(&created, &bob.devices[0], &bob, Some(&alice));
    assert!(open(&offer).unwrap().stale);
    alice.revoke(1);
    let offer = offered(&created, &bob.devices[0], &bob, Some(&alice));
    refused(&offer, AcceptError::Creator);
    // A fork of Alice's log: the same number, another entry.
    let mut fork = user("alice", 10, 2, Suites::HERE);
    fork.revoke(0);
    let made_on_fork = made(&fork.devices[1], &fork, Some(&bob));
    let offer = offered(&made_on_fork, &bob.devices[0], &bob, Some(&alice));
    refused(&offer, AcceptError::LogFork);
}

#[test]
fn refusals_carry_the_codes_of_crypto_11() {
    for (error, code) in [
        (AcceptError::Suite, Code::EpochSuite),
        (AcceptError::Roster, Code::EpochRoster),
        (AcceptError::LogFork, Code::LogFork),
        (AcceptError::Wrap, Code::WrapInvalid),
        (AcceptError::KcMismatch, Code::KcMismatch),
        (AcceptError::NoSecret, Code::PrekeyStale),
        (AcceptError::Prekey(PrekeyError::Fork), Code::LogFork),
        (AcceptError::Creator, Code::DeviceRevoked),
    ] {
        assert_eq!(error.code(), code);
    }
}
