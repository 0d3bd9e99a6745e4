//! The functions of the library against the values that the model checks: the same operations, the
//! same answers.

mod shipped;

use std::sync::Arc;

use bb8_redis::redis::cmd;
use hushwire_actors::admissions::{Admissions as _, Admitted, Ask, Landed, Landing};
use hushwire_actors::admit::Offer;
use hushwire_actors::envelope::{Entry, Envelope};
use hushwire_actors::ledger::{Ledger, Room as LedgerRoom};
use hushwire_actors::ports::{Address, Bus as _, Word};
use hushwire_actors::queue::{Op, Outcome, Reply, Settled, Taken};
use hushwire_actors::{Limits, ports::Unavailable};
use hushwire_testbed::Redis;
use hushwire_wire::deliver::SharedBody;
use hushwire_wire::frame::News;
use hushwire_wire::message::Class;
use hushwire_wire::{Conn, DeviceId, EpochId, Mid, Nonce, Sealed, UserId};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;
use crate::testing::{open, settings};
use crate::{RedisAdmissions, RedisBus};

const NODE: NodeId = NodeId([1; 16]);

fn limits() -> Limits {
    Limits {
        ledger_messages: 8,
        ledger_bytes: 3_000,
        ledger_messages_per_sender: 4,
        ledger_bytes_per_sender: 1_500,
        notices_per_device: 3,
        ledger_gaps: 2,
        ledger_senders: 3,
        ledger_dropped: 2,
        expire_after_ms: 100_000,
        remember_ms: 200_000,
        ..Limits::default()
    }
}

fn conn(k: u8) -> Conn {
    Conn([k; 16])
}

fn user(k: u8) -> UserId {
    UserId([k; 32])
}

/// A message of a device of user `from`, with made up facts.
fn entry(from: u8, to: u8, sn: u64, mid: u8, size: usize) -> Entry {
    let envelope = Envelope {
        from_user: user(from / 2),
        from_device: DeviceId([from; 16]),
        to: user(to),
        sn,
        mid: Mid([mid; 16]),
        at: 0,
        again: false,
        withdraw: Box::default(),
        body: SharedBody::new(Sealed::from(vec![mid; size])),
    };
    Entry { envelope: Arc::new(envelope), tag: [from; 16], own: false }
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let withdraw = prop_oneof![4 => Just(vec![]), 1 => proptest::collection::vec(0u8..12, 1..4)];
    (
        (0u8..6, 0u8..2, 1u64..6, 0u8..12),
        prop_oneof![8 => 10usize..400, 1 => Just(1_600usize)],
        (any::<bool>(), any::<bool>(), 0u8..8, 0u64..400_000),
        withdraw,
    )
        .prop_map(|((from, to, sn, mid), size, (own, large, again, at), withdraw)| {
            let base = entry(from, to, sn, mid, size);
            let envelope = Envelope {
                sn: if large { sn + (1 << 60) } else { sn },
                at,
                again: again == 0,
                withdraw: withdraw.into_iter().map(|mid| Mid([mid; 16])).collect(),
                from_user: base.envelope.from_user,
                from_device: base.envelope.from_device,
                to: base.envelope.to,
                mid: base.envelope.mid,
                body: SharedBody::new(base.envelope.body.sealed().clone()),
            };
            Entry { envelope: Arc::new(envelope), own, ..base }
        })
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    proptest::collection::vec(any_entry(), 0..3)
}

fn any_news() -> impl Strategy<Value = News> {
    (0u8..5, 0u8..3).prop_map(|(mid, device)| {
        let (mid, device) = (Mid([mid; 16]), DeviceId([device; 16]));
        News::Delivered { mid, device }
    })
}

/// What is done: an operation on a ledger, or one of the store's own.
#[derive(Clone, Debug)]
enum Act {
    Do(Op),
    Expire(usize),
    Pass(u64),
}

fn any_act() -> impl Strategy<Value = Act> {
    let ids = proptest::collection::vec((0u8..6, 0u8..12), 0..4);
    let skip = ids.clone();
    let pair = |(from, mid): (u8, u8)| (DeviceId([from; 16]), Mid([mid; 16]));
    let op = prop_oneof![
        2 => (0u8..3).prop_map(|k| Op::Attach { node: NODE, conn: conn(k) }),
        6 => (entries(), proptest::option::of(0u8..3))
            .prop_map(|(entries, dead)| Op::Enqueue { entries, dead: dead.map(conn) }),
        4 => entries().prop_map(|entries| Op::Force { entries }),
        2 => (0u8..3, entries()).prop_map(|(k, entries)| Op::Back { conn: conn(k), entries }),
        1 => (0u8..3, entries()).prop_map(|(k, entries)| Op::Detach { conn: conn(k), entries }),
        4 => (0u8..3, 0u64..12, 0u64..8, skip, 1usize..6, 100usize..1_000).prop_map(
            move |(k, after, notices_after, skip, messages, bytes)| Op::Page {
                conn: conn(k), after, notices_after, skip: skip.into_iter().map(pair).collect(),
                messages, bytes,
            }
        ),
        3 => (0u8..3, 0u64..12, 0u64..8)
            .prop_map(|(k, last, notices_last)| Op::Flip { conn: conn(k), last, notices_last }),
        3 => (ids, 0u64..6).prop_map(move |(ids, notices)| Op::Ack {
            settled: ids.into_iter().map(pair)
                .map(|(from, mid)| Settled { from, mid, news: None }).collect(),
            notices,
        }),
        2 => any_news().prop_map(|news| Op::Notice { news }),
        2 => (0u8..3).prop_map(|k| Op::Touch { node: NODE, conn: conn(k) }),
        1 => (0u8..3).prop_map(|k| Op::DropFrom { sender: user(k) }),
    ];
    prop_oneof![
        20 => op.prop_map(Act::Do),
        1 => Just(Act::Do(Op::Revoke)),
        2 => (1usize..4).prop_map(Act::Expire),
        3 => prop_oneof![Just(1u64), 1_000u64..60_000, Just(95_000), Just(210_000)].prop_map(Act::Pass),
    ]
}

/// Both stores, and what only the reference needs.
struct Both {
    queue: RedisQueue,
    ledger: Ledger,
    device: DeviceId,
    now_ms: u64,
    revoked: bool,
}

impl Both {
    async fn act(&mut self, act: &Act, limits: &Limits) -> (Vec<u8>, Vec<u8>) {
        self.queue.inner.link.state().say_now(self.now_ms);
        let show = |value: &dyn std::fmt::Debug| format!("{value:?}").into_bytes();
        match act {
            Act::Pass(ms) => {
                self.now_ms += ms;
                (Vec::new(), Vec::new())
            }
            Act::Do(op) => {
                self.revoked |= *op == Op::Revoke;
                let expected = self.ledger.apply_within(LedgerRoom::AMPLE, op, limits, self.now_ms);
                let r#gen = self.queue.generation();
                let call = Call::Device { r#gen, device: self.device, op: op.clone() };
                let reply = self.queue.call(vec![call]).await.remove(0);
                let Ok(Reply::Device(reply)) = reply else {
                    return (show(&expected), show(&reply));
                };
                let outcome = match reply.outcome {
                    Outcome::Noticed(_) => Outcome::Noticed(vec![]),
                    other => other,
                };
                let found = (outcome, reply.holder, reply.tail, reply.notices_tail);
                let (holder, tail) = (self.ledger.holder(self.now_ms), self.ledger.tail());
                (show(&(expected, holder, tail, self.ledger.notices_tail())), show(&found))
            }
            Act::Expire(most) => {
                let due = self.ledger.expire(self.device, limits, self.now_ms, *most);
                self.ledger.settle(&due);
                let expected: Vec<_> = due.iter().map(|one| (one.from, one.mid)).collect();
                let inner = &self.queue.inner;
                let function =
                    inner.expire(self.queue.generation(), &self.device, *most, self.now_ms);
                let returned =
                    inner.run_all(vec![(0, function)]).await.remove(&0).unwrap().unwrap();
                let found: Vec<_> = returned.due.iter().map(|one| (one.from, one.mid)).collect();
                let settled = returned.due;
                let ack = Op::Ack { settled, notices: 0 };
                let r#gen = self.queue.generation();
                let call = Call::Device { r#gen, device: self.device, op: ack };
                self.queue.call(vec![call]).await.remove(0).unwrap();
                (show(&expected), show(&found))
            }
        }
    }
}

#[test]
fn redis_answers_what_the_values_answer() {
    let redis = Redis::start();
    let runtime = Runtime::new().unwrap();
    let link = runtime.block_on(open(settings(&redis))).unwrap();
    let queue = RedisQueue::new(link, limits());
    let (count, limits) = (AtomicU64::new(0), limits());
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let acts = proptest::collection::vec(any_act(), 1..60);
    let outcome = runner.run(&acts, |acts| {
        let count = count.fetch_add(1, Ordering::Relaxed) + 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&count.to_le_bytes());
        let mut both = Both {
            queue: queue.clone(),
            ledger: Ledger::default(),
            device: DeviceId(id),
            now_ms: 1_000,
            revoked: false,
        };
        for (at, act) in acts.iter().enumerate() {
            let (expected, found) = runtime.block_on(both.act(act, &limits));
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            prop_assert_eq!(text(&expected), text(&found), "at {} of {:?}", at, acts);
            let sums = both.ledger.len();
            if let Act::Expire(_) = act {
                let function =
                    both.queue.inner.expire(both.queue.generation(), &both.device, 0, both.now_ms);
                let ran = runtime.block_on(both.queue.inner.run_all(vec![(0, function)]));
                let returned = ran.into_values().next().unwrap().unwrap();
                let expected = [sums.0 as u64, sums.1 as u64, sums.2 as u64];
                prop_assert_eq!(expected, returned.sums, "at {} of {:?}", at, acts);
                if both.ledger.is_empty() && !both.revoked {
                    // Forgotten. With a time of its own, Redis begins anew above it.
                    both.ledger = Ledger::default();
                }
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

async fn device_call(queue: &RedisQueue, device: u8, op: Op) -> Result<Reply, Unavailable> {
    let r#gen = queue.generation();
    queue.call(vec![Call::Device { r#gen, device: DeviceId([device; 16]), op }]).await.remove(0)
}

fn outcome(reply: Result<Reply, Unavailable>) -> Outcome {
    match reply {
        Ok(Reply::Device(reply)) => reply.outcome,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_generation_writes_nothing_and_is_told() {
    let redis = Redis::start();
    let queue = RedisQueue::new(open(settings(&redis)).await.unwrap(), Limits::default());
    let old = Gen([9; 16]);
    let op = Op::Force { entries: vec![entry(1, 2, 1, 1, 100)] };
    let device = DeviceId([5; 16]);
    let reply = queue.call(vec![Call::Device { r#gen: old, device, op }]).await.remove(0);
    let Ok(Reply::Device(reply)) = reply else { panic!("{reply:?}") };
    assert_eq!((reply.outcome, reply.r#gen), (Outcome::OtherGen, queue.generation()));
    assert!(redis.command(&["DBSIZE"]).unwrap().starts_with(":1"), "the generation alone");
}

#[tokio::test]
async fn senders_hear_before_what_it_tells_of_is_deleted() {
    let redis = Redis::start();
    let queue = RedisQueue::new(open(settings(&redis)).await.unwrap(), Limits::default());
    device_call(&queue, 1, Op::Attach { node: NODE, conn: conn(7) }).await.unwrap();
    let force = Op::Force { entries: vec![entry(1, 2, 1, 1, 100)] };
    let written = outcome(device_call(&queue, 2, force).await);
    assert_eq!(written, Outcome::Written(vec![Taken::Queued]));
    let (from, mid) = (DeviceId([1; 16]), Mid([1; 16]));
    let news = Some(News::Delivered { mid, device: DeviceId([2; 16]) });
    let ack = Op::Ack { settled: vec![Settled { from, mid, news: news.clone() }], notices: 0 };
    let told = outcome(device_call(&queue, 2, ack).await);
    assert_eq!(told, Outcome::Noticed(vec![(from, NODE)]));
    let page = |k| Op::Page {
        conn: conn(k),
        after: 0,
        notices_after: 0,
        skip: vec![],
        messages: 9,
        bytes: 9_999,
    };
    let Outcome::Page(page) = outcome(device_call(&queue, 1, page(7)).await) else { panic!() };
    assert_eq!(page.notices.first().map(|(_, news)| news.clone()), news);
    // The sweep knows what is stored, and expires nothing before its time.
    let swept = queue.call(vec![Call::Sweep { most: 10, now_ms: u64::MAX }]).await.remove(0);
    assert_eq!(swept, Ok(Reply::Swept(vec![])));
    assert_eq!(queue.stored(), Stored { messages: 0, bytes: 0, notices: 1 });
}

#[tokio::test]
async fn what_waited_too_long_is_swept_and_its_sender_told() {
    let redis = Redis::start();
    let queue = RedisQueue::new(open(settings(&redis)).await.unwrap(), limits());
    let state = queue.inner.link.state();
    state.say_now(1_000);
    device_call(&queue, 1, Op::Attach { node: NODE, conn: conn(7) }).await.unwrap();
    device_call(&queue, 2, Op::Force { entries: vec![entry(1, 2, 1, 1, 100)] }).await.unwrap();
    state.say_now(101_000);
    device_call(&queue, 1, Op::Touch { node: NODE, conn: conn(7) }).await.unwrap();
    let swept = queue.call(vec![Call::Sweep { most: 10, now_ms: u64::MAX }]).await.remove(0);
    assert_eq!(swept, Ok(Reply::Swept(vec![(DeviceId([1; 16]), NODE)])));
    queue.call(vec![Call::Sweep { most: 10, now_ms: u64::MAX }]).await.remove(0).unwrap();
    assert_eq!(queue.stored(), Stored { messages: 0, bytes: 0, notices: 1 });
}

#[tokio::test]
async fn nonces_and_tokens_are_taken_kept_and_ended() {
    let redis = Redis::start();
    let link = open(settings(&redis)).await.unwrap();
    let limits = Limits { tokens_per_device: 2, ..Limits::default() };
    let queue = RedisQueue::new(link, limits);
    let call = async |call| queue.call(vec![call]).await.remove(0);
    let nonce = Nonce([3; 32]);
    assert_eq!(call(Call::PutNonce(nonce)).await, Ok(Reply::Done));
    let twice = queue.call(vec![Call::TakeNonce(nonce), Call::TakeNonce(nonce)]).await;
    assert_eq!(twice, [Ok(Reply::Nonce(true)), Ok(Reply::Nonce(false))]);
    let (me, device) = (user(1), DeviceId([4; 16]));
    let put = |k: u8, ttl_ms| Call::PutToken { hash: [k; 32], user: me, device, ttl_ms };
    let check = |k: u8| Call::CheckToken { hash: [k; 32] };
    for k in 1..=3 {
        assert_eq!(call(put(k, 60_000 + u64::from(k))).await, Ok(Reply::Done));
    }
    assert_eq!(call(check(1)).await, Ok(Reply::Token(None)), "the oldest went");
    assert_eq!(call(check(3)).await, Ok(Reply::Token(Some((me, device)))));
    assert_eq!(call(check(9)).await, Ok(Reply::Token(None)));
    assert_eq!(call(Call::DropTokens { device }).await, Ok(Reply::Dropped(None)));
    assert_eq!(call(check(3)).await, Ok(Reply::Token(None)));
    assert_eq!(call(put(4, 60_000)).await, Ok(Reply::Done));
    assert_eq!(outcome(device_call(&queue, 4, Op::Revoke).await), Outcome::Revoked);
    assert_eq!(call(check(4)).await, Ok(Reply::Token(None)));
    assert_eq!(call(put(5, 60_000)).await, Err(Unavailable), "a tombstone gets none");
}

#[tokio::test]
async fn a_store_without_memory_takes_no_message_and_still_lets_go_of_them() {
    let redis = Redis::start();
    let queue = RedisQueue::new(open(settings(&redis)).await.unwrap(), Limits::default());
    let write =
        |k: u8, mid: u8| Op::Enqueue { entries: vec![entry(k, 2, 1, mid, 100)], dead: None };
    assert_eq!(
        outcome(device_call(&queue, 2, write(1, 1)).await),
        Outcome::Written(vec![Taken::Queued])
    );
    redis.command(&["CONFIG", "SET", "maxmemory", "1mb"]).unwrap();
    assert_eq!(
        outcome(device_call(&queue, 2, write(3, 2)).await),
        Outcome::Written(vec![Taken::NoRoom])
    );
    let force = Op::Force { entries: vec![entry(3, 2, 1, 2, 100)] };
    assert_eq!(device_call(&queue, 2, force).await, Err(Unavailable), "it must go somewhere");
    let settled = vec![Settled { from: DeviceId([1; 16]), mid: Mid([1; 16]), news: None }];
    let ack = Op::Ack { settled, notices: 0 };
    assert_eq!(outcome(device_call(&queue, 2, ack).await), Outcome::Noticed(vec![]));
    // Whoever comes to take what waits can sign in.
    let (nonce, device) = (Nonce([1; 32]), DeviceId([3; 16]));
    let token = Call::PutToken { hash: [4; 32], user: user(1), device, ttl_ms: 9_000 };
    let signed_in = queue.call(vec![Call::PutNonce(nonce), token]).await;
    assert_eq!(signed_in, [Ok(Reply::Done), Ok(Reply::Done)]);
    let attach = Op::Attach { node: NODE, conn: conn(1) };
    assert_eq!(outcome(device_call(&queue, 3, attach).await), Outcome::Attached);
    redis.command(&["CONFIG", "SET", "maxmemory", "256mb"]).unwrap();
    assert_eq!(
        outcome(device_call(&queue, 2, write(3, 2)).await),
        Outcome::Written(vec![Taken::Queued])
    );
}

/// Waits until the keeper has seen what `holds` says.
async fn until(queue: &RedisQueue, holds: impl Fn(&crate::Facts) -> bool) {
    let started = std::time::Instant::now();
    while !holds(&queue.inner.link.state().facts()) {
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "it does not come");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_write_counts_when_the_replica_has_it() {
    let redis = Redis::start();
    let mut replica = redis.replica(&[]);
    let asked = crate::Settings { copies: 2, ..settings(&redis) };
    let queue = RedisQueue::new(open(asked).await.unwrap(), Limits::default());
    let write = |mid: u8| Op::Force { entries: vec![entry(1, 2, u64::from(mid), mid, 100)] };
    let started = std::time::Instant::now();
    while device_call(&queue, 2, write(1)).await.is_err() {
        assert!(
            started.elapsed() < std::time::Duration::from_secs(60),
            "the replica is not in time"
        );
    }
    replica.kill();
    assert_eq!(device_call(&queue, 2, write(2)).await, Err(Unavailable));
    replica.restart();
    let started = std::time::Instant::now();
    // The same again: it is in the queue, and now counts.
    while device_call(&queue, 2, write(2)).await.is_err() {
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "it does not come back");
    }
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_begins_a_generation_for_all() {
    let mut redis = Redis::start();
    let one = RedisQueue::new(open(settings(&redis)).await.unwrap(), Limits::default());
    let other = RedisQueue::new(open(settings(&redis)).await.unwrap(), Limits::default());
    let old = one.generation();
    assert_eq!(other.generation(), old);
    redis.kill();
    until(&one, |facts| !facts.reachable).await;
    assert_eq!(one.refuses(), Some("Redis cannot be reached"));
    assert_eq!(device_call(&one, 2, Op::Revoke).await, Err(Unavailable));
    redis.restart();
    until(&one, |facts| facts.reachable && facts.r#gen != Some(old)).await;
    let new = one.generation();
    until(&other, |facts| facts.reachable && facts.r#gen == Some(new)).await;
    let force = Op::Force { entries: vec![entry(1, 2, 1, 1, 100)] };
    assert_eq!(outcome(device_call(&other, 2, force).await), Outcome::Written(vec![Taken::Queued]));
}

#[tokio::test]
async fn what_is_switched_on_later_stops_writes_until_it_is_mended() {
    let redis = Redis::start();
    let often = std::time::Duration::from_millis(100);
    let link = open(crate::Settings { check_every: often, ..settings(&redis) }).await.unwrap();
    let queue = RedisQueue::new(link, Limits::default());
    let write = |mid: u8| Op::Force { entries: vec![entry(1, 2, u64::from(mid), mid, 100)] };
    device_call(&queue, 2, write(1)).await.unwrap();
    redis.command(&["CONFIG", "SET", "save", "3600 1"]).unwrap();
    until(&queue, |facts| facts.refused.is_some()).await;
    assert_eq!(device_call(&queue, 2, write(2)).await, Err(Unavailable));
    let settled = vec![Settled { from: DeviceId([1; 16]), mid: Mid([1; 16]), news: None }];
    let ack = Op::Ack { settled, notices: 0 };
    assert_eq!(outcome(device_call(&queue, 2, ack).await), Outcome::Noticed(vec![]));
    redis.command(&["CONFIG", "SET", "save", ""]).unwrap();
    until(&queue, |facts| facts.refused.is_none()).await;
    device_call(&queue, 2, write(2)).await.unwrap();
    // Settings that cannot be seen are not believed to be well.
    redis.command(&["ACL", "SETUSER", "default", "-config"]).unwrap();
    until(&queue, |facts| facts.refused.is_some()).await;
    redis.command(&["ACL", "SETUSER", "default", "+config"]).unwrap();
    until(&queue, |facts| facts.refused.is_none()).await;
}

#[tokio::test]
async fn a_library_that_somebody_deleted_is_loaded_again() {
    let redis = Redis::start();
    let queue = RedisQueue::new(open(settings(&redis)).await.unwrap(), Limits::default());
    let write = Op::Force { entries: vec![entry(1, 2, 1, 1, 100)] };
    device_call(&queue, 2, write.clone()).await.unwrap();
    redis.command(&["FUNCTION", "FLUSH"]).unwrap();
    let started = std::time::Instant::now();
    while device_call(&queue, 2, write.clone()).await.is_err() {
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "it is not loaded");
    }
}
