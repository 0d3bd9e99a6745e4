//! One outcome for everything that PRODUCT, "Calls", lists; then anything at all, in any order.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::exchange::{Effects, Exchange, PAIR_MAX};
use super::*;
use crate::presence::pair;

const PATIENCE: Patience = Patience { ring_ms: 45_000, lease_ms: 20_000 };
const ALICE: u8 = 1;
const BOB: u8 = 2;
const MALLORY: u8 = 3;

fn exchange() -> Exchange {
    Exchange::new(100, PATIENCE)
}

/// The device `d` of user `u` is `u * 10 + d`, and so is its connection.
fn step(u: u8, d: u8, to: u8, call: u8, act: CallAct) -> Step {
    let tag = |k: u8| (DeviceId([to * 10 + k; 16]), [to * 10 + k; TAG_LEN]);
    Step {
        from: UserId([u; 32]),
        device: DeviceId([u * 10 + d; 16]),
        conn: Conn([u * 10 + d; 16]),
        to: UserId([to; 32]),
        call_id: CallId([call; 16]),
        act,
        devices: (0..3).map(|k| tag(k).0).collect(),
        letter: Some(Letter { shared: Sealed::new(vec![0xcc]), tags: (0..3).map(tag).collect() }),
    }
}

/// Device, act, and whether it carries the device's own tag.
fn told(effects: &Effects) -> Vec<(u8, CallAct, bool)> {
    let one = |tell: &Tell| {
        let device = tell.device.0[0];
        let own = tell.frame.msg.as_ref().is_some_and(|msg| msg.as_bytes()[1..] == [device; 16]);
        assert_eq!(own, tell.frame.msg.is_some(), "somebody else's tag");
        (device, tell.frame.act, own)
    };
    effects.tell.iter().map(one).collect()
}

fn take(exchange: &mut Exchange, step: Step) -> Vec<(u8, CallAct, bool)> {
    take_at(exchange, step, 0)
}

fn take_at(exchange: &mut Exchange, step: Step, now_ms: u64) -> Vec<(u8, CallAct, bool)> {
    told(&exchange.step(step, now_ms, || true).expect("allowed"))
}

fn refused(exchange: &mut Exchange, step: Step) {
    let before = exchange.clone();
    assert_eq!(exchange.step(step, 0, || true), Err(Reject::Forbidden {}));
    assert_eq!(format!("{exchange:?}"), format!("{before:?}"), "and nothing changed");
}

/// Alice's first device rings at Bob's three.
fn ringing() -> Exchange {
    let mut exchange = exchange();
    let rings = take(&mut exchange, step(ALICE, 0, BOB, 5, CallAct::Ring));
    assert_eq!(rings, [20, 21, 22].map(|device| (device, CallAct::Ring, true)));
    exchange
}

fn answered() -> Exchange {
    let mut exchange = ringing();
    let heard = take(&mut exchange, step(BOB, 1, ALICE, 5, CallAct::Answer));
    let elsewhere = [20, 22].map(|device| (device, CallAct::Elsewhere, false));
    assert_eq!(heard, [&[(10, CallAct::Answer, true)][..], &elsewhere].concat());
    exchange
}

#[test]
fn the_first_to_answer_wins_and_the_others_stop() {
    let mut exchange = ringing();
    let heard = take(&mut exchange, step(BOB, 0, ALICE, 5, CallAct::Ringing));
    assert_eq!(heard, [(10, CallAct::Ringing, true)]);
    let mut exchange = answered();
    refused(&mut exchange, step(BOB, 0, ALICE, 5, CallAct::Answer));
    refused(&mut exchange, step(BOB, 0, ALICE, 5, CallAct::Decline));
    assert_eq!(take(&mut exchange, step(BOB, 1, ALICE, 5, CallAct::Answer)), [], "a repeat");
    assert_eq!(exchange.tick(45_000).tell, [], "it rings no more");
}

#[test]
fn decline_and_busy_end_it_everywhere() {
    for act in [CallAct::Decline, CallAct::Busy] {
        let mut exchange = ringing();
        let heard = take(&mut exchange, step(BOB, 2, ALICE, 5, act));
        let elsewhere = [20, 21].map(|device| (device, CallAct::Elsewhere, false));
        assert_eq!(heard, [&[(10, act, true)][..], &elsewhere].concat());
        assert!(exchange.is_empty());
        refused(&mut exchange, step(BOB, 0, ALICE, 5, CallAct::Answer));
    }
}

#[test]
fn nobody_answers_in_time() {
    let mut exchange = ringing();
    assert_eq!(exchange.deadline_ms(), Some(45_000));
    assert_eq!(exchange.tick(44_999), Effects::default());
    let ends = exchange.tick(45_000);
    assert_eq!(told(&ends), [10, 20, 21, 22].map(|device| (device, CallAct::End, false)));
    assert_eq!(ends.over, [(UserId([ALICE; 32]), UserId([BOB; 32]))]);
    assert_eq!((exchange.len(), exchange.deadline_ms()), (0, None));
}

#[test]
fn a_device_that_comes_while_it_rings_rings_too() {
    let mut exchange = ringing();
    let came = exchange.came(UserId([BOB; 32]), DeviceId([22; 16]), Conn([99; 16]));
    assert_eq!(told(&came), [(22, CallAct::Ring, true)]);
    let stranger = exchange.came(UserId([MALLORY; 32]), DeviceId([30; 16]), Conn([30; 16]));
    assert_eq!(stranger, Effects::default());
    let unknown = exchange.came(UserId([BOB; 32]), DeviceId([29; 16]), Conn([29; 16]));
    assert_eq!(unknown, Effects::default(), "not in the epoch's roster");
    let mut exchange = answered();
    let late = exchange.came(UserId([BOB; 32]), DeviceId([22; 16]), Conn([99; 16]));
    assert_eq!(late, Effects::default());
}

#[test]
fn both_can_hang_up_and_the_caller_can_give_up() {
    let mut exchange = ringing();
    refused(&mut exchange, step(BOB, 0, ALICE, 5, CallAct::End));
    let heard = take(&mut exchange, step(ALICE, 0, BOB, 5, CallAct::End));
    assert_eq!(heard, [20, 21, 22].map(|device| (device, CallAct::End, true)));
    for (who, other) in [((ALICE, 0, BOB), 21), ((BOB, 1, ALICE), 10)] {
        let mut exchange = answered();
        let (u, d, to) = who;
        let heard = take(&mut exchange, step(u, d, to, 5, CallAct::End));
        assert_eq!(heard, [(other, CallAct::End, true)]);
        assert!(exchange.is_empty());
        refused(&mut exchange, step(u, d, to, 5, CallAct::Signal));
    }
}

#[test]
fn signals_go_between_the_two_devices_alone() {
    let mut exchange = ringing();
    let heard = take(&mut exchange, step(ALICE, 0, BOB, 5, CallAct::Signal));
    assert_eq!(heard, [20, 21, 22].map(|device| (device, CallAct::Signal, true)));
    refused(&mut exchange, step(BOB, 1, ALICE, 5, CallAct::Signal));
    let mut exchange = answered();
    let heard = take(&mut exchange, step(ALICE, 0, BOB, 5, CallAct::Signal));
    assert_eq!(heard, [(21, CallAct::Signal, true)]);
    let heard = take(&mut exchange, step(BOB, 1, ALICE, 5, CallAct::Signal));
    assert_eq!(heard, [(10, CallAct::Signal, true)]);
    for (u, d, to) in [(ALICE, 1, BOB), (BOB, 0, ALICE)] {
        for act in [CallAct::Signal, CallAct::End, CallAct::Ring, CallAct::Ringing] {
            refused(&mut exchange, step(u, d, to, 5, act));
        }
    }
}

#[test]
fn of_two_that_ring_at_each_other_the_lower_id_goes_on() {
    // Bob rings with a higher id: his call never rings.
    let mut exchange = ringing();
    let heard = take(&mut exchange, step(BOB, 1, ALICE, 6, CallAct::Ring));
    assert_eq!((heard, exchange.len()), (vec![(21, CallAct::End, false)], 1));
    take(&mut exchange, step(BOB, 1, ALICE, 5, CallAct::Answer));
    // With a lower id: Alice's call is over, and Bob's rings at all her devices.
    let mut exchange = ringing();
    let heard = take(&mut exchange, step(BOB, 1, ALICE, 4, CallAct::Ring));
    let ends = [10, 20, 21, 22].map(|device| (device, CallAct::End, false));
    let rings = [10, 11, 12].map(|device| (device, CallAct::Ring, true));
    assert_eq!((heard, exchange.len()), ([ends.to_vec(), rings.to_vec()].concat(), 1));
    refused(&mut exchange, step(ALICE, 0, BOB, 5, CallAct::End));
    take(&mut exchange, step(ALICE, 0, BOB, 4, CallAct::Answer));
}

#[test]
fn a_caller_that_crashes_ends_it_and_one_that_returns_does_not() {
    let mut exchange = ringing();
    exchange.left(Conn([10; 16]), None, 1_000);
    assert_eq!(exchange.deadline_ms(), Some(21_000));
    assert_eq!(exchange.tick(20_999), Effects::default());
    let ends = [10, 20, 21, 22].map(|device| (device, CallAct::End, false));
    assert_eq!(told(&exchange.tick(21_000)), ends);
    // It returns; the end of its old connection, heard late, changes nothing.
    let mut exchange = ringing();
    exchange.left(Conn([10; 16]), None, 1_000);
    let back = exchange.came(UserId([ALICE; 32]), DeviceId([10; 16]), Conn([77; 16]));
    assert_eq!(back, Effects::default());
    exchange.left(Conn([10; 16]), None, 2_000);
    assert_eq!(exchange.deadline_ms(), Some(45_000));
    // A last step of a displaced connection: its device has a newer one.
    let mut displaced = exchange.clone();
    take(&mut displaced, step(ALICE, 0, BOB, 5, CallAct::Signal));
    displaced.left(Conn([10; 16]), Some(Conn([77; 16])), 2_000);
    assert_eq!(displaced.deadline_ms(), Some(45_000));
    displaced.left(Conn([77; 16]), None, 3_000);
    assert_eq!(displaced.deadline_ms(), Some(23_000));
    // Answered meanwhile: it hears so when it is back.
    exchange.left(Conn([77; 16]), None, 3_000);
    let heard = take(&mut exchange, step(BOB, 1, ALICE, 5, CallAct::Answer));
    assert_eq!(heard, [20, 22].map(|device| (device, CallAct::Elsewhere, false)));
    let back = exchange.came(UserId([ALICE; 32]), DeviceId([10; 16]), Conn([78; 16]));
    assert_eq!(told(&back), [(10, CallAct::Answer, true)]);
    let again = exchange.came(UserId([ALICE; 32]), DeviceId([10; 16]), Conn([79; 16]));
    assert_eq!(again, Effects::default(), "once");
}

#[test]
fn an_answered_call_waits_for_either_side() {
    for (conn, device, user) in [(10, 10, ALICE), (21, 21, BOB)] {
        let mut exchange = answered();
        exchange.left(Conn([conn; 16]), None, 50_000);
        assert_eq!(exchange.deadline_ms(), Some(70_000));
        exchange.came(UserId([user; 32]), DeviceId([device; 16]), Conn([90; 16]));
        assert_eq!(exchange.deadline_ms(), Some(LASTS_MS));
        exchange.left(Conn([90; 16]), None, 60_000);
        let ends = [10, 21].map(|device| (device, CallAct::End, false));
        assert_eq!(told(&exchange.tick(80_000)), ends);
    }
    let mut exchange = answered();
    assert_eq!(exchange.tick(LASTS_MS - 1), Effects::default());
    assert_eq!(exchange.tick(LASTS_MS).tell.len(), 2, "and no call is for ever");
}

#[test]
fn a_device_that_rings_again_gives_up_its_earlier_call() {
    for mut exchange in [ringing(), answered()] {
        let effects = exchange.step(step(ALICE, 0, BOB, 9, CallAct::Ring), 0, || false).unwrap();
        assert_eq!((effects.over.len(), exchange.len()), (1, 1));
        assert_eq!(told(&effects)[0], (10, CallAct::End, false));
        assert_eq!(told(&effects).iter().filter(|tell| tell.1 == CallAct::Ring).count(), 3);
    }
    let mut exchange = ringing();
    assert_eq!(take(&mut exchange, step(ALICE, 0, BOB, 5, CallAct::Ring)), [], "a repeat");
    take(&mut exchange, step(ALICE, 1, BOB, 9, CallAct::Ring));
    assert_eq!(exchange.len(), 2, "another device's call is its own");
}

#[test]
fn who_knows_an_id_but_is_not_of_the_pair_reaches_nothing() {
    let mut exchange = ringing();
    for act in [CallAct::Ringing, CallAct::Answer, CallAct::Decline, CallAct::Busy, CallAct::End] {
        for to in [ALICE, BOB] {
            refused(&mut exchange, step(MALLORY, 0, to, 5, act));
        }
    }
    // The same id again is another call.
    take(&mut exchange, step(MALLORY, 0, BOB, 5, CallAct::Ring));
    assert_eq!(exchange.len(), 2);
    take(&mut exchange, step(MALLORY, 0, BOB, 5, CallAct::End));
    take(&mut exchange, step(BOB, 1, ALICE, 5, CallAct::Answer));
}

#[test]
fn who_is_parted_is_in_no_call() {
    let mut exchange = answered();
    take(&mut exchange, step(MALLORY, 0, BOB, 7, CallAct::Ring));
    let ends = exchange.parted(pair(UserId([BOB; 32]), UserId([ALICE; 32])));
    assert_eq!(told(&ends), [10, 21].map(|device| (device, CallAct::End, false)));
    assert_eq!(exchange.len(), 1);
}

#[test]
fn one_contact_has_so_many_calls_however_many_devices_it_has() {
    let mut exchange = exchange();
    for device in 0..PAIR_MAX as u8 {
        take(&mut exchange, step(MALLORY, device, BOB, device, CallAct::Ring));
    }
    let full = Err(Reject::Unavailable { retry_after_ms: 5_000 });
    let one_more = step(MALLORY, 7, BOB, 7, CallAct::Ring);
    assert_eq!(exchange.step(one_more, 0, || true), full);
    take(&mut exchange, step(ALICE, 0, BOB, 8, CallAct::Ring));
    // One that takes the place of an earlier one has room.
    take(&mut exchange, step(MALLORY, 0, BOB, 9, CallAct::Ring));
    assert_eq!(exchange.len(), PAIR_MAX + 1);
}

#[test]
fn without_room_nothing_rings() {
    let full = Err(Reject::Unavailable { retry_after_ms: 5_000 });
    let mut exchange = Exchange::new(2, PATIENCE);
    for call in 0..2 {
        take(&mut exchange, step(ALICE, call, BOB, call, CallAct::Ring));
    }
    assert_eq!(exchange.step(step(ALICE, 2, MALLORY, 9, CallAct::Ring), 0, || true), full);
    let mut exchange = ringing();
    let other = step(ALICE, 1, BOB, 9, CallAct::Ring);
    assert_eq!(exchange.step(other, 0, || false), full);
    assert_eq!(exchange.len(), 1);
}

#[test]
fn a_ring_that_carries_something_goes_where_it_can_be_read() {
    let mut exchange = exchange();
    let mut ring = step(ALICE, 0, BOB, 5, CallAct::Ring);
    ring.letter.as_mut().unwrap().tags.remove(1);
    let heard = take(&mut exchange, ring);
    assert_eq!(heard, [20, 22].map(|device| (device, CallAct::Ring, true)));
    let bare = Step { letter: None, ..step(ALICE, 1, BOB, 6, CallAct::Ring) };
    let heard = take(&mut exchange, bare);
    assert_eq!(heard, [20, 21, 22].map(|device| (device, CallAct::Ring, false)));
}

#[derive(Clone, Debug)]
enum Event {
    Step(u8, u8, u8, u8, CallAct),
    Came(u8, u8),
    Left(u8, u8),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let act = prop_oneof![
        4 => Just(CallAct::Ring),
        1 => Just(CallAct::Ringing),
        2 => Just(CallAct::Answer),
        1 => Just(CallAct::Decline),
        1 => Just(CallAct::Busy),
        2 => Just(CallAct::Signal),
        1 => Just(CallAct::End),
    ];
    prop_oneof![
        8 => (1..4u8, 0..3u8, 1..3u8, 0..4u8, act)
            .prop_map(|(u, d, off, call, act)| Event::Step(u, d, (u - 1 + off) % 3 + 1, call, act)),
        1 => (1..4u8, 0..3u8).prop_map(|(u, d)| Event::Came(u, d)),
        1 => (1..4u8, 0..3u8).prop_map(|(u, d)| Event::Left(u, d)),
        1 => (0..30_000u64).prop_map(Event::Wait),
    ]
}

proptest! {
    /// Three users with three devices each do anything: nobody outside a call's pair hears of it,
    /// nobody is answered twice, each call that began is over once, and none is for ever.
    #[test]
    fn whatever_happens_a_call_is_its_pairs(events in proptest::collection::vec(event(), 0..80)) {
        let mut exchange = Exchange::new(6, PATIENCE);
        let (mut now_ms, mut began, mut over) = (0, 0, 0);
        for event in events {
            let mut speaker = None;
            let effects = match event {
                Event::Step(u, d, to, call, act) => {
                    let key = (pair(UserId([u; 32]), UserId([to; 32])), CallId([call; 16]));
                    speaker = Some(key);
                    exchange.step(step(u, d, to, call, act), now_ms, || true).unwrap_or_default()
                }
                Event::Came(u, d) => {
                    let device = DeviceId([u * 10 + d; 16]);
                    exchange.came(UserId([u; 32]), device, Conn([u * 10 + d; 16]))
                }
                Event::Left(u, d) => {
                    exchange.left(Conn([u * 10 + d; 16]), None, now_ms);
                    Effects::default()
                }
                Event::Wait(ms) => {
                    now_ms += ms;
                    exchange.tick(now_ms)
                }
            };
            began += usize::from(effects.began.is_some());
            over += effects.over.len();
            let mut answers = BTreeSet::new();
            for Tell { device, frame } in &effects.tell {
                let hearer = UserId([device.0[0] / 10; 32]);
                if let Some((pair, _)) = speaker {
                    prop_assert!(hearer == pair.0 || hearer == pair.1);
                    prop_assert!(frame.from_user == pair.0 || frame.from_user == pair.1);
                }
                let own = frame.act == CallAct::Elsewhere;
                prop_assert_eq!(own, frame.from_user == hearer, "only elsewhere is from oneself");
                if frame.act == CallAct::Answer {
                    prop_assert!(answers.insert(frame.call_id.0));
                }
            }
            prop_assert!(exchange.len() <= 6);
            prop_assert_eq!(began - over, exchange.len());
            prop_assert!(exchange.deadline_ms().is_none_or(|ms| ms <= now_ms + LASTS_MS));
        }
        exchange.tick(now_ms + LASTS_MS);
        prop_assert!(exchange.is_empty());
    }
}
