use std::time::{Duration, Instant};

use hushwire_testbed::Redis;
use tokio::time::sleep;

use crate::Settings;
use crate::testing::{open, settings};

#[tokio::test]
async fn what_would_bring_messages_to_a_disk_or_lose_them_is_refused() {
    let good = settings(&Redis::start());
    for (setting, value) in [
        ("save", "3600 1"),
        ("appendonly", "yes"),
        ("maxmemory-policy", "allkeys-lru"),
        ("maxmemory", "0"),
        ("slowlog-log-slower-than", "10000"),
        ("crash-log-enabled", "yes"),
    ] {
        let redis = Redis::start_with(&[(setting, value)]);
        let refused = open(Settings { url: redis.url(), ..good.clone() }).await.unwrap_err();
        let said = refused.to_string();
        assert!(said.contains(&format!("(primary): {setting} is ")), "{said}");
        assert!(said.contains(&format!("redis-cli CONFIG SET {setting}")), "{said}");
    }
}

/// Until an opening is refused: a server is no replica that has messages before it is online.
async fn refused(redis: &Redis) -> String {
    let started = Instant::now();
    loop {
        if let Err(refused) = open(settings(redis)).await {
            return refused.to_string();
        }
        assert!(started.elapsed() < Duration::from_secs(60));
        sleep(Duration::from_millis(50)).await;
    }
}

async fn until_alone(redis: &Redis) {
    while redis.command(&["INFO", "replication"]).unwrap().contains("slave0:") {
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn replicas_are_looked_at_too() {
    let redis = Redis::start();
    for (setting, value) in
        [("save", "3600 1"), ("appendonly", "yes"), ("repl-diskless-load", "disabled")]
    {
        let replica = redis.replica(&[(setting, value)]);
        let said = refused(&redis).await;
        assert!(said.contains(&format!("(replica): {setting} is ")), "{said}");
        drop(replica);
        until_alone(&redis).await;
    }
}

#[tokio::test]
async fn a_replica_that_nobody_can_look_at_is_refused() {
    let redis = Redis::start();
    for setting in [("requirepass", "another"), ("replica-announce-port", "1")] {
        let replica = redis.replica(&[setting]);
        let said = refused(&redis).await;
        assert!(said.contains("(replica): replica is \"no answer\""), "{said}");
        drop(replica);
        until_alone(&redis).await;
    }
}

#[tokio::test]
async fn a_primary_that_feeds_replicas_from_a_file_is_refused_once_it_has_one() {
    let redis = Redis::start_with(&[("repl-diskless-sync", "no")]);
    open(settings(&redis)).await.unwrap();
    let _replica = redis.replica(&[]);
    let said = refused(&redis).await;
    assert!(said.contains("(primary): repl-diskless-sync is \"no\""), "{said}");
    assert!(said.contains("redis-cli CONFIG SET repl-diskless-sync yes"), "{said}");
}
