//! Clocks that are set while servers run, far ahead and far back: nothing that waits ends too soon,
//! and people talk on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use hushwire_client::Encoding;
use hushwire_testbed::{MovedClock, Node, Redis};
use support::talker::{Talker, become_contacts, heard, say};

const DAY: i64 = 86_400;
/// Longer than anything waits.
const MONTH: i64 = 31 * DAY;
/// A sweep comes every 30 s.
const PATIENCE: Duration = Duration::from_secs(60);
const MOVED: &str = "the clock of the queue store was moved";

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_hushwire"))
}

fn node(program: &Path, redis: Option<&Redis>) -> Node {
    let url = redis.map(Redis::url).unwrap_or_default();
    let settings = [
        ("redis.url", url.as_str()),
        ("limits.message_interval_ms", "0"),
        ("limits.registrations_per_hour", "0"),
    ];
    Node::start(program, &settings)
}

async fn contacts(node: &Node) -> (Talker, Talker) {
    let alice = Talker::register_at(&node.url(), "alice", Encoding::Cbor).await;
    let bob = Talker::register_at(&node.url(), "bob", Encoding::Json).await;
    become_contacts(alice, bob, "alice", "bob").await
}

/// Messages wait while a clock leaps a month ahead, and a sweep goes over them.
async fn outlive(node: &Node, clock: &MovedClock) {
    let (mut alice, mut bob) = contacts(node).await;
    bob.leave().await;
    say(&mut alice, 0..3).await;
    clock.set(MONTH);
    let started = Instant::now();
    while !node.log().contains(MOVED) {
        assert!(started.elapsed() < PATIENCE, "{}", node.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The sweep that was held back is over when its queue has answered something later.
    say(&mut alice, 3..5).await;
    bob.come_back();
    heard(&mut bob, 5).await;
    assert!(!node.log().contains("panicked"), "{}", node.log());
}

#[tokio::test]
async fn what_waits_in_memory_outlives_a_leap_of_the_servers_clock() {
    let clock = MovedClock::right();
    outlive(&node(&clock.lead(program()), None), &clock).await;
}

#[tokio::test]
async fn what_waits_in_redis_outlives_a_leap_of_its_clock() {
    let clock = MovedClock::right();
    let redis = Redis::start_by(&clock);
    outlive(&node(program(), Some(&redis)), &clock).await;
}

#[tokio::test]
async fn people_talk_on_whatever_the_clocks_say() {
    let (of_server, of_redis) = (MovedClock::right(), MovedClock::right());
    let redis = Redis::start_by(&of_redis);
    let node = node(&of_server.lead(program()), Some(&redis));
    let (mut alice, mut bob) = contacts(&node).await;
    let mut said = 0;
    for leap in [3_600, -3_600, DAY, -DAY, MONTH, -MONTH, 0] {
        for clock in [&of_server, &of_redis] {
            clock.set(leap);
            bob.leave().await;
            say(&mut alice, said..said + 2).await;
            bob.come_back();
            said += 2;
            heard(&mut bob, said).await;
            say(&mut alice, said..said + 1).await;
            said += 1;
            heard(&mut bob, said).await;
        }
    }
    assert!(!node.log().contains("panicked"), "{}", node.log());
}
