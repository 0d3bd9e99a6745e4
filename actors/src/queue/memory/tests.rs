use hushwire_wire::frame::News;
use hushwire_wire::{Conn, NodeId, UserId};
use proptest::prelude::*;

use super::super::Taken;
use super::*;
use crate::testing::{FixedClock, entry};

#[derive(Debug)]
struct Sevens;

impl Random for Sevens {
    fn fill(&self, out: &mut [u8]) {
        out.fill(7);
    }
}

fn queue(limits: Limits) -> (MemoryQueue, Arc<FixedClock>) {
    let clock = Arc::new(FixedClock::default());
    (MemoryQueue::new(limits, &Sevens, clock.clone()), clock)
}

async fn one(queue: &MemoryQueue, call: Call) -> Result<Reply, Unavailable> {
    queue.call(vec![call]).await.remove(0)
}

async fn on(queue: &MemoryQueue, device: u8, op: Op) -> DeviceReply {
    let call = Call::Device { r#gen: queue.generation(), device: DeviceId([device; 16]), op };
    match one(queue, call).await {
        Ok(Reply::Device(reply)) => reply,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nonces_are_bounded_single_use_and_end() {
    let (queue, clock) = queue(Limits { nonces: 3, ..Limits::default() });
    let nonce = |k: u8| Nonce([k; 32]);
    for k in 0..3 {
        assert_eq!(one(&queue, Call::PutNonce(nonce(k))).await, Ok(Reply::Done));
    }
    assert_eq!(one(&queue, Call::PutNonce(nonce(3))).await, Err(Unavailable));
    let twice = vec![Call::TakeNonce(nonce(1)), Call::TakeNonce(nonce(1))];
    let replies = queue.call(twice).await;
    assert_eq!(replies, [Ok(Reply::Nonce(true)), Ok(Reply::Nonce(false))]);
    assert_eq!(one(&queue, Call::PutNonce(nonce(3))).await, Ok(Reply::Done), "room again");
    clock.0.store(NONCE_TTL_MS, Ordering::Relaxed);
    assert_eq!(one(&queue, Call::TakeNonce(nonce(0))).await, Ok(Reply::Nonce(false)));
    for k in 10..13 {
        assert_eq!(one(&queue, Call::PutNonce(nonce(k))).await, Ok(Reply::Done));
    }
}

#[tokio::test]
async fn tokens_are_bounded_and_the_oldest_goes() {
    let (queue, clock) = queue(Limits { tokens: 3, ..Limits::default() });
    let put = |k: u8| Call::PutToken {
        hash: [k; 32],
        user: UserId([k; 32]),
        device: DeviceId([k; 16]),
        ttl_ms: 100,
    };
    for k in 0..5 {
        assert_eq!(one(&queue, put(k)).await, Ok(Reply::Done));
    }
    let known = queue.call((0..5).map(|k| Call::CheckToken { hash: [k; 32] }).collect()).await;
    let known: Vec<_> = known.iter().map(|r| matches!(r, Ok(Reply::Token(Some(_))))).collect();
    assert_eq!(known, [false, false, true, true, true]);
    clock.0.store(100, Ordering::Relaxed);
    let ended = one(&queue, Call::CheckToken { hash: [4; 32] }).await;
    assert_eq!(ended, Ok(Reply::Token(None)));
}

#[tokio::test]
async fn a_revoked_device_keeps_nothing_but_a_tombstone_and_gets_no_token() {
    let (queue, clock) = queue(Limits { tombstones: 2, ..Limits::default() });
    let token = |k: u8, device: u8| Call::PutToken {
        hash: [k; 32],
        user: UserId([1; 32]),
        device: DeviceId([device; 16]),
        ttl_ms: 100,
    };
    let is_known = async |k: u8| {
        matches!(one(&queue, Call::CheckToken { hash: [k; 32] }).await, Ok(Reply::Token(Some(_))))
    };
    one(&queue, token(1, 1)).await.unwrap();
    one(&queue, token(2, 2)).await.unwrap();
    on(&queue, 1, Op::Force { entries: vec![entry(3, 1, 1, 100)] }).await;
    for _ in 0..2 {
        assert_eq!(on(&queue, 1, Op::Revoke).await.outcome, Outcome::Revoked);
        assert_eq!(queue.stored(), Stored::default());
        assert!(queue.lock().ledgers.is_empty(), "not even an empty ledger");
    }
    assert!(!is_known(1).await && is_known(2).await);
    assert_eq!(one(&queue, token(3, 1)).await, Err(Unavailable), "signed in before, too late");
    let late = on(&queue, 1, Op::Force { entries: vec![entry(3, 1, 2, 100)] }).await;
    let skipped = Taken::Skipped(hushwire_wire::frame::SkipReason::Revoked);
    assert_eq!(late.outcome, Outcome::Written(vec![skipped]));
    // What its messages' recipients do is told to nobody, and keeps nothing.
    let (from, mid) = entry(1, 2, 1, 100).id();
    let news = Some(News::Delivered { mid, device: DeviceId([2; 16]) });
    on(&queue, 2, Op::Ack { settled: vec![Settled { from, mid, news }], notices: 0 }).await;
    assert_eq!(queue.stored(), Stored::default());
    // At the bound all but the tombstone is done, and the caller hears that it is not.
    on(&queue, 3, Op::Revoke).await;
    on(&queue, 2, Op::Force { entries: vec![entry(3, 2, 1, 100)] }).await;
    let revoke = |device| Call::Device {
        r#gen: queue.generation(),
        device: DeviceId([device; 16]),
        op: Op::Revoke,
    };
    assert_eq!(one(&queue, revoke(2)).await, Err(Unavailable));
    assert!(!is_known(2).await);
    assert_eq!(queue.stored(), Stored::default());
    clock.0.store(super::super::tombstones::AN_HOUR_MS, Ordering::Relaxed);
    assert!(one(&queue, revoke(2)).await.is_ok());
    let attach = Op::Attach { node: NodeId([1; 16]), conn: Conn([1; 16]) };
    assert_eq!(on(&queue, 2, attach).await.outcome, Outcome::Revoked);
}

#[tokio::test]
async fn another_generation_writes_nothing() {
    let (queue, _) = queue(Limits::default());
    let op = Op::Force { entries: vec![entry(1, 2, 1, 100)] };
    let call = Call::Device { r#gen: Gen([0; 16]), device: DeviceId([2; 16]), op };
    let reply = one(&queue, call).await;
    assert!(matches!(reply, Ok(Reply::Device(r)) if r.outcome == Outcome::OtherGen));
    assert_eq!(queue.stored(), Stored::default());
}

#[tokio::test]
async fn the_sender_is_told_and_the_sums_are_right() {
    let (queue, clock) = queue(Limits { expire_after_ms: 1_000, ..Limits::default() });
    let attach = |conn| Op::Attach { node: NodeId([1; 16]), conn: Conn([conn; 16]) };
    assert_eq!(on(&queue, 2, attach(1)).await.displaced, None);
    let displaced = on(&queue, 2, attach(2)).await.displaced.unwrap();
    assert_eq!(displaced.conn, Conn([1; 16]));
    assert_eq!(on(&queue, 2, attach(2)).await.displaced, None, "the same again");
    for sn in 1..=3 {
        on(&queue, 2, Op::Force { entries: vec![entry(1, 2, sn, 100)] }).await;
    }
    assert_eq!(queue.stored(), Stored { messages: 3, bytes: 300, notices: 0 });
    let (from, mid) = entry(1, 2, 1, 100).id();
    let holder = NodeId([9; 16]);
    on(&queue, 1, Op::Attach { node: holder, conn: Conn([3; 16]) }).await;
    let news = Some(News::Delivered { mid, device: DeviceId([2; 16]) });
    let settled = vec![Settled { from, mid, news }];
    let reply = on(&queue, 2, Op::Ack { settled, notices: 0 }).await;
    assert_eq!(reply.outcome, Outcome::Noticed(vec![(from, holder)]));
    assert_eq!(queue.stored(), Stored { messages: 2, bytes: 200, notices: 1 });
    clock.0.store(1_000, Ordering::Relaxed);
    let swept = one(&queue, Call::Sweep { most: 1, now_ms: 1_000 }).await;
    assert_eq!(swept, Ok(Reply::Swept(vec![(from, holder)])));
    assert_eq!(queue.stored(), Stored { messages: 1, bytes: 100, notices: 2 });
    one(&queue, Call::Sweep { most: 10, now_ms: 999 }).await.unwrap();
    assert_eq!(queue.stored().messages, 1, "the node's time counts");
    one(&queue, Call::Sweep { most: 10, now_ms: u64::MAX }).await.unwrap();
    assert_eq!(queue.stored(), Stored { messages: 0, bytes: 0, notices: 3 });
}

#[tokio::test]
async fn a_holder_whose_ledger_was_forgotten_still_pages_what_comes() {
    let (queue, clock) = queue(Limits::default());
    let (node, conn) = (NodeId([1; 16]), Conn([1; 16]));
    let page = |last, notices_last| Op::Page {
        conn,
        after: last,
        notices_after: notices_last,
        skip: vec![],
        messages: 10,
        bytes: 1_000,
    };
    let notice = |k: u8| Op::Notice {
        news: News::Delivered { mid: entry(1, 2, 1, 100).id().1, device: DeviceId([k; 16]) },
    };
    on(&queue, 2, Op::Attach { node, conn }).await;
    on(&queue, 2, notice(7)).await;
    let reply = on(&queue, 2, page(0, 0)).await;
    let Outcome::Page(seen) = reply.outcome else { panic!("{reply:?}") };
    let (last, notices_last) = (seen.last, seen.notices[0].0);
    on(&queue, 2, Op::Ack { settled: vec![], notices: notices_last }).await;
    // The machine slept: the key ends, and with it the empty ledger.
    clock.0.store(crate::ledger::KEY_TTL_MS + 1, Ordering::Relaxed);
    assert_eq!(on(&queue, 2, page(last, notices_last)).await.outcome, Outcome::NotHolder);
    assert!(queue.lock().ledgers.is_empty(), "forgotten");
    on(&queue, 2, Op::Touch { node, conn }).await;
    on(&queue, 2, notice(8)).await;
    let reply = on(&queue, 2, page(last, notices_last)).await;
    assert!(matches!(&reply.outcome, Outcome::Page(p) if p.notices.len() == 1), "{reply:?}");
    let flip = on(&queue, 2, Op::Flip { conn, last, notices_last }).await;
    assert_eq!(flip.outcome, Outcome::Flipped(false));
}

#[tokio::test]
async fn a_key_that_ended_keeps_no_ledger() {
    let (queue, clock) = queue(Limits::default());
    for k in 1..=3 {
        on(&queue, k, Op::Attach { node: NodeId([1; 16]), conn: Conn([k; 16]) }).await;
    }
    clock.0.store(crate::ledger::KEY_TTL_MS + 1, Ordering::Relaxed);
    one(&queue, Call::Sweep { most: 10, now_ms: u64::MAX }).await.unwrap();
    assert!(queue.lock().ledgers.is_empty());
}

#[tokio::test]
async fn at_the_bound_a_nonce_is_refused_without_a_search() {
    let (queue, _) = queue(Limits { nonces: 4, ..Limits::default() });
    let nonce = |k: u8| Nonce([k; 32]);
    // The oldest is never taken, so that the order keeps what was taken behind it.
    one(&queue, Call::PutNonce(nonce(0))).await.unwrap();
    for k in 1..100 {
        one(&queue, Call::PutNonce(nonce(k))).await.unwrap();
        one(&queue, Call::TakeNonce(nonce(k))).await.unwrap();
        assert!(queue.lock().nonce_order.len() <= 8, "bounded");
    }
    for k in 100..103 {
        one(&queue, Call::PutNonce(nonce(k))).await.unwrap();
    }
    let before = queue.lock().nonce_order.clone();
    assert!(before.len() > 4, "what was taken is looked through seldom");
    assert_eq!(one(&queue, Call::PutNonce(nonce(103))).await, Err(Unavailable));
    assert_eq!(queue.lock().nonce_order, before, "nothing was looked through");
}

/// What is done to the queues of three devices.
#[derive(Clone, Debug)]
enum Act {
    Attach(u8),
    Enqueue { to: u8, from: u8, sn: u64, size: usize },
    Force { to: u8, from: u8, sn: u64, size: usize },
    Ack { to: u8, from: u8, sn: u64 },
    DropFrom { to: u8, from: u8 },
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let write = || (0u8..3, 1u8..4, 1u64..40, 20usize..400);
    prop_oneof![
        1 => (0u8..3).prop_map(Act::Attach),
        8 => write().prop_map(|(to, from, sn, size)| Act::Enqueue { to, from, sn, size }),
        8 => write().prop_map(|(to, from, sn, size)| Act::Force { to, from, sn, size }),
        4 => (0u8..3, 1u8..4, 1u64..40).prop_map(|(to, from, sn)| Act::Ack { to, from, sn }),
        1 => (0u8..3, 1u8..4).prop_map(|(to, from)| Act::DropFrom { to, from }),
        1 => (1u64..400).prop_map(Act::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever is written, acknowledged, dropped and expired: the store never holds more than it
    /// may, its sums are those of the ledgers, and what it took stays until one of these acts.
    #[test]
    fn the_store_is_bounded_and_drops_nothing_to_make_room(
        acts in proptest::collection::vec(act(), 0..150),
    ) {
        let limits = Limits {
            store_messages: 20,
            store_bytes: 3_000,
            expire_after_ms: 1_000,
            ..Limits::default()
        };
        let clock = Arc::new(FixedClock::default());
        clock.0.store(10, Ordering::Relaxed);
        let queue = MemoryQueue::new(limits, &Sevens, clock.clone());
        let run = |call: Call| {
            let now_ms = clock.now_ms();
            let mut store = queue.lock();
            queue.execute(&mut store, call, now_ms)
        };
        let on = |device: u8, op: Op| {
            let (r#gen, device) = (queue.generation(), DeviceId([device; 16]));
            match run(Call::Device { r#gen, device, op }) {
                Ok(Reply::Device(reply)) => reply.outcome,
                other => panic!("{other:?}"),
            }
        };
        // (to, from, sn, size, since)
        let mut held: Vec<(u8, u8, u64, usize, u64)> = Vec::new();
        for act in acts {
            let now_ms = clock.now_ms();
            match act {
                Act::Attach(to) => {
                    on(to, Op::Attach { node: NodeId([1; 16]), conn: Conn([1; 16]) });
                }
                Act::Enqueue { to, from, sn, size } | Act::Force { to, from, sn, size } => {
                    let away = matches!(act, Act::Enqueue { .. });
                    let entries = vec![entry(from, 9, sn, size)];
                    let op = if away {
                        Op::Enqueue { entries, dead: None }
                    } else {
                        Op::Force { entries }
                    };
                    let before = queue.lock().stored;
                    let outcome = on(to, op);
                    let (messages, bytes) = if away { (17, 2_550) } else { (20, 3_000) };
                    let fits = before.messages < messages && before.bytes + size as u64 <= bytes;
                    if queue.lock().stored.messages > before.messages {
                        prop_assert!(fits);
                        held.push((to, from, sn, size, now_ms));
                    }
                    if outcome == Outcome::Written(vec![Taken::NoRoom]) {
                        prop_assert_eq!(queue.lock().stored.messages, before.messages);
                    }
                }
                Act::Ack { to, from, sn } => {
                    let (from_device, mid) = entry(from, 9, sn, 20).id();
                    let settled = vec![Settled { from: from_device, mid, news: None }];
                    on(to, Op::Ack { settled, notices: 0 });
                    held.retain(|one| (one.0, one.1, one.2) != (to, from, sn));
                }
                Act::DropFrom { to, from } => {
                    on(to, Op::DropFrom { sender: UserId([from; 32]) });
                    held.retain(|one| (one.0, one.1) != (to, from));
                }
                Act::Wait(ms) => {
                    clock.0.store(now_ms + ms, Ordering::Relaxed);
                    run(Call::Sweep { most: 1_000, now_ms: now_ms + ms }).unwrap();
                    held.retain(|one| one.4 + 1_000 > now_ms + ms);
                }
            }
            let store = queue.lock();
            prop_assert_eq!(store.stored.messages, held.len() as u64);
            prop_assert_eq!(store.stored.bytes, held.iter().map(|one| one.3 as u64).sum::<u64>());
            prop_assert!(store.stored.messages <= 20 && store.stored.bytes <= 3_000);
            let notices = store.ledgers.values().map(|ledger| ledger.len().2 as u64);
            prop_assert_eq!(store.stored.notices, notices.sum::<u64>());
        }
    }
}

#[tokio::test]
async fn who_is_away_finds_less_room_and_what_was_accepted_before_finds_it_all() {
    let (queue, _) = queue(Limits { store_messages: 20, ..Limits::default() });
    let enqueue = |entry| Op::Enqueue { entries: vec![entry], dead: None };
    let taken = async |op| match on(&queue, 2, op).await.outcome {
        Outcome::Written(taken) => taken[0],
        other => panic!("{other:?}"),
    };
    for sn in 1..=17 {
        assert_eq!(taken(enqueue(entry(1, 2, sn, 100))).await, Taken::Queued);
    }
    assert_eq!(taken(enqueue(entry(1, 2, 18, 100))).await, Taken::NoRoom);
    let force = Op::Force { entries: vec![entry(1, 2, 18, 100)] };
    assert_eq!(taken(force).await, Taken::NoRoom, "skipped once, it is not written late");
    let mut again = entry(1, 2, 19, 100);
    Arc::get_mut(&mut again.envelope).unwrap().again = true;
    assert_eq!(taken(enqueue(again)).await, Taken::Queued, "it makes a loss good");
    assert!(!queue.stored().is_full(&queue.limits));
    for (sn, expected) in [(20, Taken::Queued), (21, Taken::Queued), (22, Taken::NoRoom)] {
        let force = Op::Force { entries: vec![entry(1, 2, sn, 100)] };
        assert_eq!(taken(force).await, expected, "{sn}");
    }
    assert!(queue.stored().is_full(&queue.limits));
    assert_eq!(queue.stored().messages, 20);
    // A removal that withdraws makes its own room.
    let mut removal = entry(1, 2, 23, 100);
    let withdraw = [1, 2].map(|sn| entry(1, 2, sn, 100).id().1);
    Arc::get_mut(&mut removal.envelope).unwrap().withdraw = withdraw.into();
    assert_eq!(taken(Op::Force { entries: vec![removal] }).await, Taken::Queued);
    assert_eq!(queue.stored().messages, 19);
    let (from, mid) = entry(1, 2, 3, 100).id();
    let news = Some(News::Delivered { mid, device: DeviceId([2; 16]) });
    let settled = vec![Settled { from, mid, news }];
    on(&queue, 2, Op::Ack { settled, notices: 0 }).await;
    assert_eq!((queue.stored().messages, queue.stored().notices), (18, 2), "acks always work");
}
