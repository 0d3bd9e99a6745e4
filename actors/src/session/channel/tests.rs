use std::cell::RefCell;
use std::rc::Rc;

use hushwire_wire::frame::Failed;

use super::*;
use crate::ledger::{KEY_TTL_MS, Ledger};
use crate::testing::entry;

/// A custody that writes down what it hears; `late` is what it answers.
#[derive(Clone, Debug, Default)]
struct Heard(Rc<RefCell<Vec<Place>>>, bool);

impl Custodian for Heard {
    fn reached(&self, place: Place) -> bool {
        self.0.borrow_mut().push(place);
        self.1
    }
}

const GEN: Gen = Gen([3; 16]);

/// A channel over a real ledger, whose calls are executed when the test says so.
struct Pair {
    channel: Channel<Heard>,
    lane: Lane<Heard>,
    ledger: Ledger,
    limits: Limits,
    now: u64,
}

impl Pair {
    fn new(limits: Limits) -> Self {
        let (device, conn, node) = (DeviceId([2; 16]), Conn([1; 16]), NodeId([1; 16]));
        let channel = Channel::new(device, conn, node, GEN, false, &limits);
        let lane = Lane::new(&limits);
        Self { channel, lane, ledger: Ledger::default(), limits, now: 1 }
    }

    /// Attached, empty and live.
    fn live(limits: Limits) -> Self {
        let mut pair = Self::new(limits);
        assert_eq!(pair.run(), [Out::Attached]);
        assert_eq!(pair.channel.state, State::Live);
        pair
    }

    fn execute(&mut self, call: &QueueCall<Heard>) -> DeviceReply {
        let outcome = self.ledger.apply(&call.op, &self.limits, 0);
        let (holder, tail) = (self.ledger.holder(0), self.ledger.tail());
        let notices_tail = self.ledger.notices_tail();
        DeviceReply { r#gen: GEN, holder, displaced: None, tail, notices_tail, outcome }
    }

    /// Makes calls until none is due.
    fn run(&mut self) -> Vec<Out> {
        let mut out = Vec::new();
        while let Some(call) = self.channel.next_call(&self.lane, self.now) {
            assert!(self.channel.next_call(&self.lane, self.now).is_none(), "one under way");
            let reply = self.execute(&call);
            out.extend(self.channel.reply(Ok(reply), &self.lane, self.now));
        }
        out
    }

    fn push(&mut self, sn: u64) -> bool {
        let delivery =
            Delivery { entry: entry(1, 2, sn, 100), flight: Heard::default(), since_ms: self.now };
        let mut taken = true;
        self.lane.push(delivery, |_| taken = false).unwrap();
        taken
    }

    fn force(&mut self, sn: u64) {
        let op = Op::Force { entries: vec![entry(1, 2, sn, 100)] };
        self.ledger.apply(&op, &self.limits, 0);
        self.channel.behind(&self.lane, self.now);
    }

    fn deliver(&mut self) -> Vec<u64> {
        std::iter::from_fn(|| self.channel.deliver(&self.lane, self.now))
            .map(|(_, entry)| entry.envelope.sn)
            .collect()
    }

    fn ack(&mut self, n: u64) {
        self.channel.ack(&Ack { n, failed: vec![] }, self.now).unwrap();
    }
}

fn numbers(out: &[Out]) -> Vec<u64> {
    out.iter()
        .filter_map(|out| match out {
            Out::Message(_, entry) => Some(entry.envelope.sn),
            _ => None,
        })
        .collect()
}

#[test]
fn what_is_routed_during_a_flip_waits_and_a_refused_flip_brings_it_to_the_ledger() {
    let mut pair = Pair::new(Limits::default());
    assert!(!pair.push(1), "behind: the lane is shut");
    let flip = loop {
        let call = pair.channel.next_call(&pair.lane, 1).unwrap();
        if matches!(call.op, Op::Flip { .. }) {
            break call;
        }
        let reply = pair.execute(&call);
        pair.channel.reply(Ok(reply), &pair.lane, 1);
    };
    assert!(pair.push(2), "flipping: it is taken");
    assert!(pair.deliver().is_empty(), "but waits");
    // A router that saw the lane shut was first.
    let op = Op::Force { entries: vec![entry(1, 2, 1, 100)] };
    pair.ledger.apply(&op, &Limits::default(), 0);
    let reply = pair.execute(&flip);
    assert_eq!(reply.outcome, Outcome::Flipped(false));
    pair.channel.reply(Ok(reply), &pair.lane, 1);
    assert!(!pair.push(3), "shut again");
    assert_eq!(numbers(&pair.run()), [1, 2], "in order, from the ledger");
    pair.ack(2);
    pair.run();
    assert_eq!(pair.channel.state, State::Live);
    assert_eq!(pair.ledger.len().0, 0);
}

#[test]
fn a_full_lane_is_served_before_what_was_forced() {
    let mut pair = Pair::live(Limits { lane_messages: 2, window_messages: 1, ..Limits::default() });
    assert!(pair.push(1) && pair.push(2));
    assert_eq!(pair.deliver(), [1], "the window is full");
    assert!(pair.push(3));
    assert!(!pair.push(4), "the lane is full");
    pair.force(4);
    for next in 2..=3 {
        pair.ack(next - 1);
        assert!(pair.run().is_empty(), "no page before the lane is empty");
        assert!(!pair.push(5), "and no direct push");
        assert_eq!(pair.deliver(), [next]);
    }
    pair.ack(3);
    assert_eq!(numbers(&pair.run()), [4]);
    pair.ack(4);
    pair.run();
    assert!(pair.push(5), "live again");
}

#[test]
fn the_window_is_backed_and_deleted_on_ack() {
    let mut pair = Pair::live(Limits::default());
    assert!(pair.push(1) && pair.push(2));
    assert_eq!(pair.deliver(), [1, 2]);
    assert_eq!(pair.channel.deadline_ms(&pair.lane), Some(1_001));
    pair.now = 1_001;
    let back = pair.channel.next_call(&pair.lane, pair.now).unwrap();
    assert!(matches!(&back.op, Op::Back { entries, .. } if entries.len() == 2));
    // The first is acknowledged while it is written: its delete comes after.
    pair.ack(1);
    let reply = pair.execute(&back);
    pair.channel.reply(Ok(reply), &pair.lane, pair.now);
    assert_eq!(pair.ledger.len().0, 2);
    pair.run();
    assert_eq!(pair.ledger.len().0, 1);
    assert_eq!(pair.channel.state, State::Live, "backing does not turn it");
    pair.ack(2);
    pair.run();
    assert_eq!(pair.ledger.len().0, 0);
}

#[test]
fn a_lane_that_waits_too_long_goes_to_the_ledger_and_is_paged() {
    let limits = Limits { window_messages: 1, slow_after_ms: 5_000, ..Limits::default() };
    let mut pair = Pair::live(limits);
    for sn in 1..=3 {
        assert!(pair.push(sn));
    }
    assert_eq!(pair.deliver(), [1]);
    pair.now = 1_001;
    assert_eq!(pair.channel.tick(&pair.lane, pair.now), None);
    assert!(pair.run().is_empty() && pair.lane.is_empty());
    assert_eq!(pair.ledger.len().0, 3, "backed and forced");
    for n in 1..=2 {
        pair.ack(n);
        assert_eq!(numbers(&pair.run()), [n + 1], "the window's own is left out");
    }
    pair.now = 6_001;
    assert_eq!(pair.channel.tick(&pair.lane, pair.now), Some(Close::Slow));
}

#[test]
fn what_fails_is_tried_again() {
    let mut pair = Pair::live(Limits::default());
    pair.push(1);
    pair.deliver();
    pair.now = 1_001;
    let fail = |pair: &mut Pair| {
        let call = pair.channel.next_call(&pair.lane, pair.now).unwrap();
        pair.channel.reply(Err(Unavailable), &pair.lane, pair.now);
        assert!(pair.channel.next_call(&pair.lane, pair.now).is_none(), "not at once");
        assert!(pair.channel.deadline_ms(&pair.lane).is_some_and(|ms| ms > pair.now), "no spin");
        pair.now += RETRY_MS;
        call.op
    };
    assert!(matches!(fail(&mut pair), Op::Back { .. }));
    pair.run();
    assert_eq!(pair.ledger.len().0, 1);
    pair.ack(1);
    assert!(matches!(fail(&mut pair), Op::Ack { .. }));
    pair.run();
    assert_eq!(pair.ledger.len().0, 0);
    pair.force(2);
    assert!(matches!(fail(&mut pair), Op::Page { .. }));
    assert_eq!(numbers(&pair.run()), [2]);
    pair.ack(2);
    pair.run();
    assert_eq!(pair.channel.state, State::Live);
}

#[test]
fn acks_are_checked_and_bounded() {
    let mut pair = Pair::live(Limits::default());
    pair.push(1);
    pair.deliver();
    let mut ack = |n, failed: Vec<(u64, usize)>| {
        let failed =
            failed.into_iter().map(|(n, len)| Failed { n, code: "x".repeat(len) }).collect();
        pair.channel.ack(&Ack { n, failed }, 1).err().map(|reject| reject.name().to_owned())
    };
    let bad = Some("bad_request".to_owned());
    assert_eq!(ack(2, vec![]), bad, "never sent");
    assert_eq!(ack(1, vec![(2, 1)]), bad);
    assert_eq!(ack(1, vec![(1, 33)]), bad);
    assert_eq!(ack(1, vec![(1, 1); ACK_FAILED_MAX + 1]), bad);
    assert_eq!(ack(1, vec![(1, 32)]), None);
    for k in 0..=SYNCS_MAX {
        assert_eq!(pair.channel.sync(None).is_err(), k == SYNCS_MAX);
    }
}

#[test]
fn a_lost_store_is_attached_again_and_everything_unbacked() {
    let mut pair = Pair::live(Limits::default());
    pair.push(1);
    pair.deliver();
    pair.now = 1_001;
    pair.run();
    pair.channel.heartbeat();
    pair.channel.next_call(&pair.lane, pair.now).unwrap();
    pair.ledger = Ledger::default();
    let outcome = Outcome::OtherGen;
    let reply = DeviceReply {
        r#gen: Gen([4; 16]),
        holder: None,
        displaced: None,
        tail: 0,
        notices_tail: 0,
        outcome,
    };
    let out = pair.channel.reply(Ok(reply), &pair.lane, pair.now);
    assert!(matches!(out[..], [Out::Op(None, ServerOp::Resync(_))]));
    assert!(pair.channel.is_resyncing());
    assert!(!pair.push(2), "behind");
    let attach = pair.channel.next_call(&pair.lane, pair.now).unwrap();
    assert!(matches!(attach.op, Op::Attach { .. }) && attach.r#gen == Gen([4; 16]));
    let reply = pair.execute(&attach);
    pair.channel.reply(Ok(reply), &pair.lane, pair.now);
    pair.run();
    assert_eq!(pair.ledger.len().0, 1, "backed once more");
    assert!(pair.channel.resynced(GEN).is_err());
    assert!(pair.channel.resynced(Gen([4; 16])).is_ok());
}

#[test]
fn a_lane_that_was_shut_during_a_flip_is_flipped_again() {
    let mut pair = Pair::live(Limits::default());
    pair.force(1);
    assert_eq!(numbers(&pair.run()), [1]);
    pair.ack(1);
    let mut flips = 0;
    while let Some(call) = pair.channel.next_call(&pair.lane, 1) {
        if matches!(call.op, Op::Flip { .. }) {
            flips += 1;
            if flips == 1 {
                assert!(pair.push(2));
                pair.lane.tell(crate::lane::Fact::Behind);
                assert!(!pair.push(3));
            }
        }
        let reply = pair.execute(&call);
        let out = pair.channel.reply(Ok(reply), &pair.lane, 1);
        if numbers(&out) == [2] {
            pair.ack(2);
        }
    }
    assert_eq!((flips, pair.channel.state), (2, State::Live));
    assert!(pair.push(4));
}

#[test]
fn the_end_hands_over_what_is_in_no_ledger() {
    let mut pair = Pair::live(Limits { window_messages: 2, ..Limits::default() });
    for sn in 1..=3 {
        pair.push(sn);
    }
    assert_eq!(pair.deliver(), [1, 2]);
    pair.now = 1_001;
    pair.run();
    pair.push(4);
    pair.ack(1);
    assert_eq!(pair.deliver(), [3]);
    let mut calls = Vec::new();
    pair.channel.end(&pair.lane, |call| calls.push(call));
    let [ack, detach] = &calls[..] else { panic!("{calls:?}") };
    assert!(matches!(&ack.op, Op::Ack { settled, .. } if settled.len() == 1));
    let Op::Detach { entries, .. } = &detach.op else { panic!("no detach") };
    let handed: Vec<_> = entries.iter().map(|e| e.envelope.sn).collect();
    assert_eq!(handed, [3, 4], "1 is acknowledged, 2 is backed");
    assert!(detach.flights.iter().all(Option::is_some));
}

#[test]
fn a_page_that_did_not_fit_is_not_asked_for_again_before_an_ack() {
    let limits = Limits { window_bytes: 250, window_messages: 10, ..Limits::default() };
    let mut pair = Pair::live(limits);
    for sn in 1..=4 {
        pair.force(sn);
    }
    let mut sent = Vec::new();
    let mut calls = 0;
    while let Some(call) = pair.channel.next_call(&pair.lane, pair.now) {
        calls += 1;
        assert!(calls <= 2, "it asks for what has no room, over and over");
        let reply = pair.execute(&call);
        sent.extend(numbers(&pair.channel.reply(Ok(reply), &pair.lane, pair.now)));
    }
    assert_eq!(sent, [1, 2]);
    pair.channel.notices();
    pair.ack(1);
    assert_eq!(numbers(&pair.run()), [3]);
    pair.ack(3);
    assert_eq!(numbers(&pair.run()), [4]);
    pair.ack(4);
    pair.run();
    assert_eq!(pair.channel.state, State::Live);
}

#[test]
fn a_sync_is_answered_though_the_ledgers_last_messages_are_gone() {
    let mut before = Pair::live(Limits::default());
    before.force(1);
    assert_eq!(numbers(&before.run()), [1]);
    before.ack(1);
    before.run();
    let mut pair = Pair::new(Limits::default());
    pair.ledger = before.ledger;
    let news = News::Delivered { mid: entry(2, 1, 1, 100).id().1, device: DeviceId([1; 16]) };
    pair.ledger.apply(&Op::Notice { news }, &pair.limits, 0);
    assert!(matches!(pair.run()[..], [Out::Attached, Out::Notice(1, _)]));
    // The notice is not acknowledged, so it cannot be live yet.
    pair.channel.sync(Some(7)).unwrap();
    let mut out = Vec::new();
    for _ in 0..10 {
        let Some(call) = pair.channel.next_call(&pair.lane, pair.now) else { break };
        let reply = pair.execute(&call);
        out.extend(pair.channel.reply(Ok(reply), &pair.lane, pair.now));
    }
    assert_eq!(out, [Out::Op(Some(7), ServerOp::Ok {})]);
    assert!(pair.channel.next_call(&pair.lane, pair.now).is_none(), "it rests");
    pair.ack(1);
    pair.run();
    assert_eq!(pair.channel.state, State::Live);
}

#[test]
fn what_somebody_else_wrote_of_the_window_is_sent_again_and_deleted() {
    let mut pair = Pair::live(Limits::default());
    assert!(pair.push(1));
    assert_eq!(pair.deliver(), [1]);
    // Its sender's node missed the custody, or its sender came again.
    pair.force(1);
    assert_eq!(numbers(&pair.run()), [1], "not known to be in the ledger: not left out");
    pair.ack(2);
    pair.run();
    assert_eq!(pair.ledger.len().0, 0, "or it would stay there until the next attach");
    assert_eq!(pair.channel.state, State::Live);
}

#[test]
fn a_notice_whose_hint_was_lost_is_found_by_the_heartbeat() {
    let mut pair = Pair::live(Limits::default());
    let (mid, device) = (entry(2, 1, 1, 1).envelope.mid, DeviceId([1; 16]));
    let news = News::Delivered { mid, device };
    pair.ledger.apply(&Op::Notice { news: news.clone() }, &Limits::default(), 0);
    assert!(pair.run().is_empty(), "nobody says so");
    pair.channel.heartbeat();
    assert_eq!(pair.run(), [Out::Notice(1, news)]);
    pair.ack(1);
    pair.channel.heartbeat();
    assert!(pair.run().is_empty(), "looked at once");
    assert_eq!(pair.ledger.len().2, 0);
}

#[test]
fn a_backing_whose_reply_was_lost_is_deleted_on_ack() {
    let mut pair = Pair::live(Limits::default());
    assert!(pair.push(1));
    assert_eq!(pair.deliver(), [1]);
    pair.now += Limits::default().custody_after_ms;
    let call = pair.channel.next_call(&pair.lane, pair.now).unwrap();
    assert!(matches!(call.op, Op::Back { .. }));
    pair.execute(&call);
    pair.channel.reply(Err(Unavailable), &pair.lane, pair.now);
    assert_eq!(pair.ledger.len().0, 1, "it was written all the same");
    pair.ack(1);
    pair.now += RETRY_MS;
    pair.run();
    assert_eq!(pair.ledger.len().0, 0);
}

#[test]
fn a_lost_key_is_restored_before_anything_is_paged() {
    let mut pair = Pair::live(Limits::default());
    // Nobody renewed it for too long; then somebody writes.
    pair.ledger.expire(DeviceId([2; 16]), &pair.limits, KEY_TTL_MS + 1, 0);
    pair.force(1);
    let mut calls = 0;
    let mut out = Vec::new();
    while let Some(call) = pair.channel.next_call(&pair.lane, pair.now) {
        calls += 1;
        assert!(calls < 10, "it asks for ever");
        let reply = pair.execute(&call);
        out.extend(pair.channel.reply(Ok(reply), &pair.lane, pair.now));
    }
    assert_eq!(numbers(&out), [1]);
}

#[test]
fn what_waits_in_the_lane_when_the_store_is_lost_is_not_written_before_what_was_lost() {
    let mut pair = Pair::new(Limits::default());
    let flip = loop {
        let call = pair.channel.next_call(&pair.lane, 1).unwrap();
        if matches!(call.op, Op::Flip { .. }) {
            break call;
        }
        let reply = pair.execute(&call);
        pair.channel.reply(Ok(reply), &pair.lane, 1);
    };
    // Its predecessor was in the ledger, and is lost with it.
    assert!(pair.push(2), "flipping: it is taken");
    let mut reply = pair.execute(&flip);
    (reply.r#gen, reply.outcome) = (Gen([4; 16]), Outcome::OtherGen);
    pair.ledger = Ledger::default();
    pair.channel.reply(Ok(reply), &pair.lane, 1);
    assert!(pair.lane.is_empty());
    assert_eq!(numbers(&pair.run()), Vec::<u64>::new());
    assert_eq!(pair.ledger.len().0, 0, "it stays Pending: its sender resubmits first");
}
