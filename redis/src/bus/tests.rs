//! The same of every bus, and what Redis adds: connections that are lost, or lead nowhere.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hushwire_actors::bus::MemoryBus;
use hushwire_testbed::Redis;
use hushwire_wire::DeviceId;
use rustix::process::Signal;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;
use crate::testing::{open, settings};

const FROM: NodeId = NodeId([0xf; 16]);
const WITHIN: Duration = Duration::from_secs(60);
const A: NodeId = NodeId([0xa; 16]);
const B: NodeId = NodeId([0xb; 16]);

/// What one node hears.
struct Listener {
    heard: Arc<Mutex<Vec<Result<Word, Unavailable>>>>,
    task: JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listener {
    /// Listens, and returns when the node is heard of.
    async fn start(bus: &Arc<dyn Bus>, node: NodeId) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (bus_of, into) = (bus.clone(), heard.clone());
        let task = tokio::spawn(async move {
            loop {
                let next = bus_of.next(node).await;
                let mut into = into.lock().unwrap_or_else(PoisonError::into_inner);
                match next {
                    Ok(words) => into.extend(words.into_iter().map(Ok)),
                    Err(error) => into.push(Err(error)),
                }
            }
        });
        let listener = Self { heard, task };
        listener.reached_by(bus, node).await;
        listener
    }

    /// Publishes until a word arrives, and forgets what was heard up to that.
    async fn reached_by(&self, bus: &Arc<dyn Bus>, node: NodeId) {
        until("nobody hears", async || {
            bus.publish(FROM, vec![(Address::Node(node), word(u64::MAX))]).await == [true]
                && self.count(|one| **one == Ok(word(u64::MAX))) > 0
        })
        .await;
        self.forget();
    }

    fn count(&self, is_meant: impl FnMut(&&Result<Word, Unavailable>) -> bool) -> usize {
        self.heard.lock().unwrap().iter().filter(is_meant).count()
    }

    fn forget(&self) {
        self.heard.lock().unwrap().clear();
    }

    async fn has(&self, count: usize) -> Vec<Word> {
        let is_word = |one: &&Result<Word, _>| matches!(one, Ok(one) if *one != word(u64::MAX));
        until("words do not come", async || self.count(is_word) >= count).await;
        self.heard.lock().unwrap().iter().filter(is_word).cloned().map(Result::unwrap).collect()
    }

    async fn is_told_of_a_gap(&self) {
        until("no interruption is said", async || self.count(|one| one.is_err()) > 0).await;
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < WITHIN, "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}

fn word(k: u64) -> Word {
    let mut device = DeviceId([0; 16]);
    device.0[..8].copy_from_slice(&k.to_be_bytes());
    Word::Notices { device }
}

/// What every bus does. `a` and `b` are what the two nodes have of it.
async fn conforms(a: Arc<dyn Bus>, b: Arc<dyn Bus>) {
    assert_eq!(a.publish(FROM, vec![]).await, Vec::<bool>::new());
    assert_eq!(a.publish(FROM, vec![(Address::Node(B), word(1))]).await, [false], "nobody listens");
    let of_b = Listener::start(&b, B).await;
    assert_eq!(
        a.publish(FROM, vec![(Address::Node(A), word(1)), (Address::Node(B), word(2))]).await,
        [false, true]
    );
    assert_eq!(of_b.has(1).await, [word(2)]);
    let of_a = Listener::start(&a, A).await;
    of_b.forget();

    // Each hears its own, in order; a node may write to itself.
    for batch in 0..20 {
        let to =
            |k| if k % 2 == 0 { (Address::Node(A), word(k)) } else { (Address::Node(B), word(k)) };
        let words: Vec<_> = (batch * 100..batch * 100 + 100).map(to).collect();
        assert_eq!(a.publish(FROM, words).await, vec![true; 100]);
    }
    let (even, odd) = (of_a.has(1_000).await, of_b.has(1_000).await);
    assert_eq!(even, (0..1_000).map(|k| word(2 * k)).collect::<Vec<_>>());
    assert_eq!(odd, (0..1_000).map(|k| word(2 * k + 1)).collect::<Vec<_>>());
    let there = async |bus: &Arc<dyn Bus>, node, there| {
        let mut nodes = bus.beat(node, there).await.unwrap();
        nodes.sort_unstable();
        nodes
    };
    there(&a, A, true).await;
    assert_eq!(there(&b, B, true).await, [A, B], "both say so");

    of_a.forget();
    of_b.forget();
    assert_eq!(a.publish(A, vec![(Address::Others, word(1))]).await, [true]);
    assert_eq!(a.publish(A, vec![(Address::Node(A), word(2))]).await, [true]);
    assert_eq!(of_b.has(1).await, [word(1)], "all others");
    assert_eq!(of_a.has(1).await, [word(2)], "and not whoever says it");
    assert_eq!(of_a.count(|one| one.is_err()) + of_b.count(|one| one.is_err()), 0, "no gap");
}

impl RedisBus {
    fn listens(&self) -> bool {
        self.ear.get().is_some_and(|ear| ear.inbox.listens())
    }

    fn unread(&self) -> u64 {
        self.ear.get().map_or(0, |ear| ear.inbox.unread())
    }
}

async fn bus(redis: &Redis) -> Arc<RedisBus> {
    Arc::new(RedisBus::new(open(settings(redis)).await.unwrap()))
}

/// Two nodes, one of which listens.
async fn two(redis: &Redis) -> (Arc<dyn Bus>, Arc<RedisBus>, Listener) {
    let (a, b) = (bus(redis).await, bus(redis).await);
    let listener = Listener::start(&(b.clone() as Arc<dyn Bus>), B).await;
    (a, b, listener)
}

#[tokio::test]
async fn memory_conforms() {
    let bus = MemoryBus::default();
    conforms(Arc::new(bus.clone()), Arc::new(bus)).await;
}

#[tokio::test]
async fn redis_conforms() {
    let redis = Redis::start();
    conforms(bus(&redis).await, bus(&redis).await).await;
}

#[tokio::test]
async fn a_node_that_is_gone_hears_nothing() {
    let redis = Redis::start();
    let (a, b, listener) = two(&redis).await;
    assert_eq!(b.next(A).await, Err(Unavailable), "it is the bus of another node");
    drop((b, listener));
    until("it still listens", async || {
        a.publish(FROM, vec![(Address::Node(B), word(1))]).await == [false]
    })
    .await;
}

#[tokio::test]
async fn a_subscription_that_is_cut_is_made_again_and_the_gap_is_said() {
    let redis = Redis::start();
    let (a, _b, listener) = two(&redis).await;
    for _ in 0..3 {
        let killed = redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap();
        assert_eq!(killed, ":1\r\n");
        listener.is_told_of_a_gap().await;
        listener.reached_by(&a, B).await;
    }
    assert_eq!(a.publish(FROM, vec![(Address::Node(B), word(1))]).await, [true]);
    assert_eq!(listener.has(1).await, [word(1)]);
}

#[tokio::test]
async fn a_restart_is_survived() {
    let mut redis = Redis::start();
    let (a, b, listener) = two(&redis).await;
    redis.kill();
    until("the loss is not seen", async || !b.listens()).await;
    assert_eq!(a.publish(FROM, vec![(Address::Node(B), word(1))]).await, [false]);
    redis.restart();
    listener.is_told_of_a_gap().await;
    listener.reached_by(&a, B).await;
    assert_eq!(a.publish(FROM, vec![(Address::Node(B), word(2))]).await, [true]);
    assert_eq!(listener.has(1).await, [word(2)]);
}

/// Its sockets stay open, and nothing comes.
#[tokio::test]
async fn a_connection_that_leads_nowhere_is_found_out() {
    let mut redis = Redis::start();
    let (a, b, listener) = two(&redis).await;
    redis.process().signal(Signal::STOP);
    until("it seems to listen", async || !b.listens()).await;
    until("Redis seems reachable", async || !b.link.state().facts().reachable).await;
    redis.process().signal(Signal::CONT);
    listener.is_told_of_a_gap().await;
    listener.reached_by(&a, B).await;
    until("Redis seems away", async || b.link.state().facts().reachable).await;
}

#[tokio::test]
async fn a_full_inbox_loses_words_and_says_so() {
    let redis = Redis::start();
    let (a, b) = (bus(&redis).await, bus(&redis).await);
    assert_eq!(b.next(B).await, Err(Unavailable), "from now on it listens");
    // Nobody takes them.
    let all = inbox::WORDS as u64 + 10;
    for first in (0..all).step_by(256) {
        let words: Vec<_> =
            (first..all.min(first + 256)).map(|k| (Address::Node(B), word(k))).collect();
        let count = words.len();
        assert_eq!(a.publish(FROM, words).await, vec![true; count]);
    }
    // What comes last is counted even now.
    let channel = String::from_utf8(b.link.channel(B)).unwrap();
    redis.command(&["PUBLISH", &channel, "garbage"]).unwrap();
    until("the last one does not come", async || b.unread() == 1).await;
    assert_eq!(b.next(B).await, Err(Unavailable));
    let words = b.next(B).await.unwrap();
    assert_eq!(words, (0..inbox::WORDS as u64).map(word).collect::<Vec<_>>());
    assert_eq!(a.publish(FROM, vec![(Address::Node(B), word(1))]).await, [true]);
    assert_eq!(b.next(B).await, Ok(vec![word(1)]));
}

#[tokio::test]
async fn garbage_is_counted_and_nothing_else() {
    let redis = Redis::start();
    let (a, b, listener) = two(&redis).await;
    let channel = String::from_utf8(b.link.channel(B)).unwrap();
    for garbage in [
        "",
        "\u{1}",
        "\u{1}0123456789abcdefn-too-short",
        "\u{2}0123456789abcdefn0123456789abcdef",
        "\u{1}0123456789abcdefz",
    ] {
        assert_eq!(redis.command(&["PUBLISH", &channel, garbage]).unwrap(), ":1\r\n");
    }
    assert_eq!(a.publish(FROM, vec![(Address::Node(B), word(1))]).await, [true]);
    assert_eq!(listener.has(1).await, [word(1)]);
    assert_eq!(b.unread(), 5);
    assert_eq!(listener.count(|one| one.is_err()), 0);
}

/// Each arbiter is a runtime of its own, and may end before the bus does.
#[test]
fn callers_may_be_on_any_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let redis = Redis::start();
    let (a, b) = runtime().block_on(async {
        let (a, b) = (bus(&redis).await, bus(&redis).await);
        assert_eq!(b.next(B).await, Err(Unavailable), "from now on it listens");
        (a, b)
    });
    for k in 0..20 {
        runtime().block_on(async {
            // Given up half-way, it must not leave replies to the next caller.
            let words = (0..100).map(|_| (Address::Node(A), word(k))).collect();
            let _ = tokio::time::timeout(Duration::ZERO, a.publish(FROM, words)).await;
            assert_eq!(
                a.publish(FROM, vec![(Address::Node(A), word(k)), (Address::Node(B), word(k))])
                    .await,
                [false, true]
            );
        });
    }
    let mut words = Vec::new();
    while words.len() < 20 {
        words.extend(runtime().block_on(b.next(B)).unwrap());
    }
    assert_eq!(words, (0..20).map(word).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_says_nothing_for_a_while_is_not_there() {
    let redis = Redis::start();
    let (a, b) = (bus(&redis).await, bus(&redis).await);
    let later = |bus: &RedisBus, ms: u64| bus.link.state().say_now(1_000_000 + ms);
    later(&a, 0);
    later(&b, 5_000);
    assert_eq!(a.beat(A, true).await, Ok(vec![A]));
    assert_eq!(b.beat(B, true).await, Ok(vec![A, B]));
    later(&b, THERE_MS);
    assert_eq!(b.beat(B, true).await, Ok(vec![B]));
    later(&a, THERE_MS + 1);
    assert_eq!(a.beat(A, true).await.unwrap().len(), 2, "it is back");
    assert_eq!(b.beat(B, false).await, Ok(vec![A]), "said goodbye");
}
