//! Redis with replicas and Sentinels: when the primary is gone a replica takes over, the server finds
//! it, and what was accepted is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use hushwire_testbed::{Redis, Sentinel, Signal};
use support::Server;
use support::talker::{contacts, heard, say};

const PATIENCE: Duration = Duration::from_secs(60);

/// A primary, two replicas and who watches them; a server over them.
struct Watched {
    redis: Redis,
    replicas: [Redis; 2],
    sentinels: Vec<Sentinel>,
    server: Server,
}

impl Watched {
    fn start() -> Self {
        let redis = Redis::start();
        let replicas = [redis.replica(&[]), redis.replica(&[])];
        let sentinels = Sentinel::three(redis.port());
        let urls: Vec<_> = sentinels.iter().map(Sentinel::url).collect();
        let server = Server::start_with(&[
            ("redis.url", &format!("redis://{}", Sentinel::SERVICE)),
            ("redis.sentinels", &urls.join(",")),
            ("redis.copies", "2"),
            ("redis.within_ms", "1000"),
            ("limits.message_interval_ms", "0"),
        ]);
        Self { redis, replicas, sentinels, server }
    }

    async fn readiness(&self) -> String {
        self.server.admin().get("/readyz", None).await.text()
    }

    /// Until another server is the primary, and the server uses it.
    async fn until_taken_over(&self) {
        let started = Instant::now();
        let ports = self.replicas.iter().map(Redis::port).map(Some);
        let ports: Vec<_> = ports.collect();
        while !ports.contains(&self.sentinels[0].names())
            || !self.readiness().await.contains("\"ready\"")
        {
            let log = self.server.log();
            assert!(started.elapsed() < PATIENCE, "{}: {log}", self.readiness().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.server.until_logged("a new generation begins", 1);
    }
}

#[tokio::test]
async fn what_was_accepted_outlives_the_primary() {
    let mut watched = Watched::start();
    let (mut alice, mut bob) = contacts(&watched.server).await;
    bob.leave().await;
    say(&mut alice, 0..5).await;
    // Nobody but the replicas has them then.
    alice.leave().await;
    watched.redis.kill();
    watched.until_taken_over().await;
    bob.come_back();
    heard(&mut bob, 5).await;
    alice.come_back();
    say(&mut alice, 5..8).await;
    heard(&mut bob, 8).await;
    assert!(!watched.server.log().contains("panic"), "{}", watched.server.log());
}

#[tokio::test]
async fn a_primary_that_hangs_is_left_and_not_believed_when_it_wakes() {
    let mut watched = Watched::start();
    let (mut alice, mut bob) = contacts(&watched.server).await;
    bob.leave().await;
    say(&mut alice, 0..3).await;
    watched.redis.process().signal(Signal::STOP);
    let meanwhile = alice.client.send_text("bob", "line 3").await.unwrap();
    watched.until_taken_over().await;
    alice.accepted(meanwhile).await;
    // It still takes itself for the primary then, and is told otherwise.
    watched.redis.process().signal(Signal::CONT);
    say(&mut alice, 4..7).await;
    bob.come_back();
    heard(&mut bob, 7).await;
}

#[tokio::test]
async fn sentinels_that_are_gone_hold_nothing_up_while_the_primary_is_there() {
    let mut watched = Watched::start();
    let (mut alice, mut bob) = contacts(&watched.server).await;
    say(&mut alice, 0..2).await;
    for sentinel in &mut watched.sentinels {
        sentinel.process().kill();
    }
    bob.leave().await;
    say(&mut alice, 2..5).await;
    bob.come_back();
    heard(&mut bob, 5).await;
    assert!(watched.readiness().await.contains("\"ready\""));
}
