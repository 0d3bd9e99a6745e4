//! A server whose messages wait in Redis: they outlive it, and what Redis loses is made good.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hushwire_client::Event;
use hushwire_testbed::{Redis, Signal, port};
use support::Server;
use support::authority::Authority;
use support::talker::{contacts, heard, say};

/// How long Redis may take to be used again.
const PATIENCE: Duration = Duration::from_secs(60);

fn server(redis: &Redis) -> Server {
    Server::start_with(&[
        ("redis.url", &redis.url()),
        ("redis.check_every_ms", "200"),
        ("limits.message_interval_ms", "0"),
    ])
}

async fn readiness(server: &Server) -> String {
    server.admin().get("/readyz", None).await.text()
}

async fn until_ready(server: &Server, says: &str) {
    let started = Instant::now();
    while !readiness(server).await.contains(says) {
        assert!(started.elapsed() < PATIENCE, "{}: {}", readiness(server).await, server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_was_accepted_outlives_a_server_that_is_killed() {
    let redis = Redis::start();
    let mut server = server(&redis);
    let (mut alice, mut bob) = contacts(&server).await;
    bob.leave().await;
    say(&mut alice, 0..5).await;
    alice.leave().await;
    // Nobody but Redis has them for the server now.
    server.kill();
    server.restart();
    bob.come_back();
    heard(&mut bob, 5).await;
    alice.come_back();
    // The keys of the server that is gone hold nothing up.
    say(&mut alice, 5..8).await;
    heard(&mut bob, 8).await;
    let keys = redis.command(&["KEYS", "hushwire:*:entries"]).unwrap();
    assert_eq!(keys, "*0\r\n", "what was delivered is deleted");
}

#[tokio::test]
async fn what_redis_loses_is_put_back_by_its_senders_and_shown_once() {
    let mut redis = Redis::start();
    let server = server(&redis);
    let (mut alice, mut bob) = contacts(&server).await;
    say(&mut alice, 0..2).await;
    heard(&mut bob, 2).await;
    bob.leave().await;
    say(&mut alice, 2..6).await;
    redis.restart();
    until_ready(&server, "\"ready\"").await;
    bob.come_back();
    heard(&mut bob, 6).await;
    say(&mut alice, 6..8).await;
    heard(&mut bob, 8).await;
    assert!(!server.log().contains("panic"), "{}", server.log());
}

#[tokio::test]
async fn without_redis_sockets_stay_and_nothing_is_accepted_that_could_be_lost() {
    let mut redis = Redis::start();
    let server = server(&redis);
    let (mut alice, mut bob) = contacts(&server).await;
    say(&mut alice, 0..1).await;
    heard(&mut bob, 1).await;
    bob.leave().await;
    redis.process().signal(Signal::STOP);
    until_ready(&server, "Degraded: Redis cannot be reached").await;
    let id = alice.client.send_text("bob", "line 1").await.unwrap();
    let early = tokio::time::timeout(Duration::from_secs(3), alice.accepted(id)).await;
    assert!(early.is_err(), "nobody has it");
    redis.process().signal(Signal::CONT);
    until_ready(&server, "\"ready\"").await;
    alice.accepted(id).await;
    bob.come_back();
    heard(&mut bob, 2).await;
    let lost = alice.client.send_text("bob", "line 2").await.unwrap();
    alice.until(|event| matches!(event, Event::Delivered(i) if *i == lost).then_some(())).await;
}

#[tokio::test]
async fn a_redis_without_memory_takes_nothing_new_loses_nothing_and_goes_on_when_it_has_some() {
    let redis = Redis::start();
    let server = server(&redis);
    let (mut alice, mut bob) = contacts(&server).await;
    bob.leave().await;
    say(&mut alice, 0..3).await;
    // Less than what it uses: each write is refused from this moment on, whatever a server knows.
    redis.command(&["CONFIG", "SET", "maxmemory", "500000"]).unwrap();
    let late = alice.client.send_text("bob", "line 3").await.unwrap();
    // The sender hears that there is no room, and that it is tried again.
    alice.until(|event| matches!(event, Event::Held { id, .. } if *id == late).then_some(())).await;
    // What waits is delivered and deleted all the same.
    bob.come_back();
    heard(&mut bob, 3).await;
    let started = Instant::now();
    while redis.command(&["KEYS", "hushwire:*:entries"]).unwrap() != "*0\r\n" {
        assert!(started.elapsed() < PATIENCE, "what is acknowledged makes room");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    redis.command(&["CONFIG", "SET", "maxmemory", "256mb"]).unwrap();
    until_ready(&server, "\"ready\"").await;
    // A minute sooner than by itself.
    alice.leave().await;
    alice.come_back();
    alice.accepted(late).await;
    heard(&mut bob, 4).await;
    let stats = redis.command(&["INFO", "stats"]).unwrap();
    assert!(stats.contains("\r\nevicted_keys:0\r\n"), "{stats}");
}

#[tokio::test]
async fn a_server_speaks_tls_to_redis_and_shows_a_certificate() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.good().write(folder.path());
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (ca, chain, key, port) = (path("ca.pem"), path("chain.pem"), path("key.pem"), port::free());
    let redis = Redis::start_with(&[
        ("tls-port", &port.to_string()),
        ("tls-ca-cert-file", &ca),
        ("tls-cert-file", &chain),
        ("tls-key-file", &key),
    ]);
    let server = Server::start_with(&[
        ("redis.url", &format!("rediss://127.0.0.1:{port}")),
        ("redis.ca_file", &ca),
        ("redis.certificate_file", &chain),
        ("redis.key_file", &key),
        ("limits.message_interval_ms", "0"),
    ]);
    let (mut alice, mut bob) = contacts(&server).await;
    bob.leave().await;
    say(&mut alice, 0..2).await;
    let waits = redis.command(&["KEYS", "hushwire:*:entries"]).unwrap();
    assert!(waits.starts_with("*1\r\n"), "{waits}");
    bob.come_back();
    heard(&mut bob, 2).await;
}

#[tokio::test]
async fn snapshots_that_are_switched_on_make_it_not_ready_until_they_are_off() {
    let redis = Redis::start();
    let server = server(&redis);
    until_ready(&server, "\"ready\"").await;
    redis.command(&["CONFIG", "SET", "save", "3600 1"]).unwrap();
    until_ready(&server, "memory only").await;
    server.until_logged("redis-cli CONFIG SET save", 1);
    redis.command(&["CONFIG", "SET", "save", ""]).unwrap();
    until_ready(&server, "\"ready\"").await;
}

#[test]
fn a_server_that_cannot_use_redis_says_why_and_does_not_start() {
    let redis = Redis::start();
    let replica = redis.replica(&[]);
    let locked = Redis::start_with(&[("requirepass", "right")]);
    let saving = Redis::start_with(&[("save", "3600 1")]);
    let refused = |key: &str, value: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hushwire"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "off"]).stdin(Stdio::null());
        command.args(["--set", &format!("{key}={value}")]).current_dir(folder.path());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("s3cret"), "a password is told: {said}");
        said
    };
    let absent = refused("redis.url", "redis://:s3cret@127.0.0.1:1");
    assert!(absent.contains("redis.url: Redis cannot be used"), "{absent}");
    assert!(absent.contains("nobody answers at 127.0.0.1:1"), "{absent}");
    let wrong = refused("redis.url", &format!("redis://:s3cret@127.0.0.1:{}", locked.port()));
    assert!(wrong.contains("user or password are wrong"), "{wrong}");
    assert!(refused("redis.url", &replica.url()).contains("name the primary"));
    let disk = refused("redis.url", &saving.url());
    assert!(disk.contains("redis-cli CONFIG SET save \"\""), "{disk}");
    assert!(refused("redis.url", "http://x").contains("redis.url: expected a URL"));
    assert!(refused("redis.url_file", "nowhere").contains("nowhere (redis.url_file)"));
}
