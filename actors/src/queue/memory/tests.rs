use std::sync::atomic::Ordering;

use hushwire_wire::frame::News;
use hushwire_wire::{Conn, NodeId};

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
    let attach = Op::Attach { node: NodeId([1; 16]), conn: Conn([1; 16]) };
    on(&queue, 2, attach).await;
    for sn in 1..=3 {
        on(&queue, 2, Op::Force { entries: vec![entry(1, 2, sn, 100)] }).await;
    }
    assert_eq!(queue.stored(), Stored { messages: 3, bytes: 300, notices: 0 });
    let (from, mid) = entry(1, 2, 1, 100).id();
    let news = Some(News::Delivered { mid, device: DeviceId([2; 16]) });
    let settled = vec![Settled { from, mid, news }];
    let reply = on(&queue, 2, Op::Ack { settled, notices: 0 }).await;
    assert_eq!(reply.outcome, Outcome::Noticed(vec![from]));
    assert_eq!(queue.stored(), Stored { messages: 2, bytes: 200, notices: 1 });
    clock.0.store(1_000, Ordering::Relaxed);
    let swept = one(&queue, Call::Sweep { most: 1 }).await;
    assert_eq!(swept, Ok(Reply::Swept(vec![from])));
    assert_eq!(queue.stored(), Stored { messages: 1, bytes: 100, notices: 2 });
    one(&queue, Call::Sweep { most: 10 }).await.unwrap();
    assert_eq!(queue.stored(), Stored { messages: 0, bytes: 0, notices: 3 });
}
