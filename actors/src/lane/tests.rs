//! The lane's bounds and order.

use super::*;
use crate::testing::entry;

fn delivery(sn: u64, size: usize) -> Delivery<()> {
    Delivery { entry: entry(1, 2, sn, size), flight: (), since_ms: sn }
}

fn lane() -> Lane<()> {
    let lane = Lane::new(&Limits {
        lane_messages: 3,
        lane_bytes: 1_000,
        lane_events: 2,
        ..Limits::default()
    });
    assert!(lane.open());
    lane
}

fn push(lane: &Lane<()>, sn: u64, size: usize) -> Option<u64> {
    let mut refused = None;
    lane.push(delivery(sn, size), |d| refused = Some(d.entry.envelope.sn)).unwrap();
    refused
}

#[test]
fn a_full_lane_stays_shut_until_it_is_opened_again() {
    let lane = lane();
    assert_eq!(
        (1..=5).map(|sn| push(&lane, sn, 100)).collect::<Vec<_>>(),
        [None, None, None, Some(4), Some(5)]
    );
    assert_eq!(lane.next_fact(true), Some(Fact::Behind));
    assert!(!lane.open(), "not while something waits");
    for _ in 0..3 {
        assert!(lane.next_delivery(|_| true).is_some());
        assert_eq!(push(&lane, 6, 10), Some(6), "room again, but shut");
    }
    assert!(lane.open());
    assert_eq!(push(&lane, 7, 100), None);
}

#[test]
fn who_is_told_to_be_behind_is_shut_at_once() {
    let lane = lane();
    assert_eq!(push(&lane, 1, 10), None);
    lane.tell(Fact::Behind);
    assert_eq!(push(&lane, 2, 10), Some(2), "it must not overtake what was written");
    assert!(!lane.is_empty() && !lane.is_open(), "what waits stays");
}

#[test]
fn it_fills_by_bytes_and_one_may_exceed() {
    let lane = lane();
    assert_eq!(push(&lane, 1, 5_000), None);
    assert_eq!(push(&lane, 2, 1), Some(2));
}

#[test]
fn closing_hands_over_what_waits_and_refuses_the_rest() {
    let lane = lane();
    push(&lane, 1, 10);
    let mut last = 0;
    lane.close(|waiting| last = waiting.len());
    assert_eq!(last, 1);
    assert!(lane.push(delivery(2, 10), |_| ()).is_err());
    lane.tell(Fact::Behind);
    assert_eq!(lane.next_fact(true), None);
}

#[test]
fn answers_and_events_have_bounds_of_their_own() {
    let lane = lane();
    for sn in 0..LANE_ANSWERS as u64 + 9 {
        lane.tell(Fact::Answer { id: None, sn, op: ServerOp::Ok {} });
    }
    let event = Event { v: 1, kind: hushwire_wire::frame::EventKind::Epoch, peer: None };
    for _ in 0..3 {
        lane.tell(Fact::Event(event.clone()));
    }
    assert_eq!(std::iter::from_fn(|| lane.next_fact(true)).count(), LANE_ANSWERS);
    assert_eq!(lane.first(), First::Events, "they are taken by themselves");
    let facts: Vec<_> = std::iter::from_fn(|| lane.next_event()).collect();
    assert_eq!(facts.len(), 3);
    assert_eq!(facts.last(), Some(&Fact::EventsLost));
    assert_eq!(lane.first(), First::Deliveries);
}

fn typing(from: u8) -> Passing {
    let (from_user, from_device) =
        (hushwire_wire::UserId([from; 32]), hushwire_wire::DeviceId([from; 16]));
    let msg = hushwire_wire::Sealed::default();
    Passing::Ephemeral(hushwire_wire::frame::Ephemeral { from_user, from_device, msg })
}

fn came() -> Passing {
    let user = hushwire_wire::UserId([7; 32]);
    Passing::Presence(hushwire_wire::frame::Presence { user, on: true })
}

#[test]
fn typing_does_not_pass_who_is_behind_and_what_else_passes_does() {
    let lane = lane();
    lane.pass(typing(1));
    assert!(matches!(lane.next_passing(), Some(ServerOp::Ephemeral(_))));
    lane.pass(typing(1));
    lane.tell(Fact::Behind);
    lane.pass(typing(2));
    lane.pass(came());
    assert!(matches!(lane.next_passing(), Some(ServerOp::Presence(_))));
    assert_eq!(lane.next_passing(), None, "what waited before is dropped as well");
    assert!(lane.open(), "and takes no delivery's place");
    lane.pass(typing(3));
    assert!(matches!(lane.next_passing(), Some(ServerOp::Ephemeral(_))));
}

#[test]
fn what_passed_by_leaves_nothing_behind() {
    let lane = lane();
    lane.pass(came());
    lane.pass(came());
    assert!(lane.next_passing().is_some());
    assert!(lane.lock().passing.is_none(), "told once, and no buffer is kept");
    lane.pass(came());
    lane.forget_presence();
    assert_eq!(lane.next_passing(), None);
    assert!(lane.lock().passing.is_none());
    lane.pass(came());
    lane.close(|_| ());
    lane.pass(came());
    assert_eq!(lane.next_passing(), None, "the session is gone");
}
