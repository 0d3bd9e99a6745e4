//! The files in `deploy/` for Redis and Sentinel: what they allow is enough for a node, and no more.

use std::path::Path;

use hushwire_testbed::Sentinel;

use super::*;

fn deploy() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// A server with the settings and the users that are shipped, whose passwords are all "right".
fn shipped(folder: &Path, settings: &[(&str, &str)]) -> Redis {
    let users = std::fs::read_to_string(deploy().join("redis-users.acl")).unwrap();
    let mut users: Vec<_> =
        users.lines().map(|line| line.replace("off resetpass", "on >right")).collect();
    users[0] = users[0].replace("on >right", "off resetpass");
    let file = folder.join("users.acl");
    std::fs::write(&file, users.join("\n") + "\n").unwrap();
    let mut all = vec![("aclfile", file.to_str().unwrap())];
    all.extend_from_slice(settings);
    Redis::start_from(&deploy().join("redis.conf"), &all)
}

#[tokio::test]
async fn the_settings_and_the_user_that_are_shipped_are_enough_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let redis = shipped(folder.path(), &[]);
    let url = format!("redis://hushwire:right@127.0.0.1:{}", redis.port());
    let settings = crate::Settings { url, prefix: "hushwire".to_owned(), ..settings(&redis) };
    let queue = RedisQueue::new(open(settings).await.unwrap(), Limits::default());
    let page = Op::Page {
        conn: conn(1),
        after: 0,
        notices_after: 0,
        skip: vec![],
        messages: 9,
        bytes: 9_999,
    };
    let news = News::Delivered { mid: Mid([1; 16]), device: DeviceId([2; 16]) };
    for op in [
        Op::Attach { node: NODE, conn: conn(1) },
        Op::Enqueue { entries: vec![entry(1, 2, 1, 1, 100)], dead: None },
        Op::Force { entries: vec![entry(1, 2, 2, 2, 100)] },
        page,
        Op::Notice { news },
        Op::Ack { settled: vec![], notices: 9 },
        Op::Flip { conn: conn(1), last: u64::MAX >> 12, notices_last: u64::MAX >> 12 },
        Op::Touch { node: NODE, conn: conn(1) },
        Op::DropFrom { sender: user(0) },
        Op::Back { conn: conn(1), entries: vec![] },
        Op::Detach { conn: conn(1), entries: vec![] },
        Op::Revoke,
    ] {
        let reply = device_call(&queue, 2, op.clone()).await;
        assert!(reply.is_ok(), "{op:?}");
    }
    let (nonce, device) = (Nonce([1; 32]), DeviceId([3; 16]));
    let token = Call::PutToken { hash: [4; 32], user: user(1), device, ttl_ms: 9_000 };
    for call in [
        Call::PutNonce(nonce),
        Call::TakeNonce(nonce),
        token,
        Call::CheckToken { hash: [4; 32] },
        Call::DropTokens { device },
        Call::Time,
        Call::Sweep { most: 9, now_ms: 0 },
    ] {
        let reply = queue.call(vec![call.clone()]).await.remove(0);
        assert!(reply.is_ok(), "{call:?}");
    }
    among_nodes(&queue.inner.link).await;
    let mut connection = queue.inner.link.connection().await.unwrap();
    for command in [
        "PUBLISH elsewhere x",
        "SAVE",
        "BGSAVE",
        "BGREWRITEAOF",
        "CONFIG SET save 1",
        "MONITOR",
        "DUMP x",
        "SHUTDOWN NOSAVE",
        "FLUSHALL",
        "KEYS *",
        "MIGRATE x 1 y 0 1",
        "GET elsewhere",
    ] {
        let mut words = command.split(' ');
        let mut wanted = cmd(words.next().unwrap());
        for word in words {
            wanted.arg(word);
        }
        let refused = wanted.query_async::<()>(&mut **connection).await.unwrap_err();
        assert_eq!(refused.code(), Some("NOPERM"), "{command}: {refused}");
    }
}

/// Everything that several nodes ask for.
async fn among_nodes(link: &Link) {
    let (admissions, bus) =
        (RedisAdmissions::new(link.clone(), &Limits::default()), RedisBus::new(link.clone()));
    let r#gen = link.state().facts().r#gen.unwrap();
    admissions.raise(vec![user(1), user(2)]).await.unwrap();
    let [stamp, _] = admissions.stamps([user(1), user(2)]).await.unwrap();
    let offer = |sn: u32, re| Offer {
        to: user(2),
        sn: u64::from(sn),
        mid: Mid([1; 16]),
        hash: [1; 32],
        epoch: EpochId([1; 32]),
        counter: sn,
        size: 100,
        re,
        withdraw: Box::default(),
    };
    let (device, class) = (DeviceId([1; 16]), Class::Text);
    for offer in [offer(1, None), offer(2, Some(r#gen))] {
        let (stamp, allowed) = (Some(stamp), true);
        let ask = Ask { r#gen, user: user(1), device, offer, class, stamp, allowed };
        let admitted = admissions.admit(&ask).await;
        assert!(matches!(admitted, Ok(Admitted::At(_))), "{admitted:?}");
    }
    let landing = Landing::Refused(2);
    let landed = Landed { r#gen, user: user(1), device, to: user(2), landing };
    assert_eq!(admissions.landed(landed).await, Ok(true));
    assert_eq!(bus.beat(NODE, true).await, Ok(vec![NODE]));
    assert_eq!(bus.next(NODE).await, Err(Unavailable), "from now on it listens");
    let words = [Address::Node(NODE), Address::Others].map(|to| (to, Word::Notices { device }));
    assert_eq!(bus.publish(NODE, words.to_vec()).await, [true, true]);
    assert_eq!(bus.next(NODE).await, Ok(vec![Word::Notices { device }]));
    assert_eq!(bus.beat(NODE, false).await, Ok(vec![]));
}

#[tokio::test]
async fn a_replica_takes_over_with_what_is_shipped() {
    let folder = tempfile::tempdir().unwrap();
    // A Sentinel writes into the file of a server which of them is the primary.
    let masters = [("masteruser", "replica"), ("masterauth", "right")];
    let mut first = shipped(folder.path(), &masters);
    let primary = format!("127.0.0.1 {}", first.port());
    let mut replica = masters.to_vec();
    replica.push(("replicaof", &primary));
    let second = shipped(folder.path(), &replica);
    let file = std::fs::read_to_string(deploy().join("sentinel.conf")).unwrap();
    let file = file
        .replace("127.0.0.1 6379 2", &format!("127.0.0.1 {} 1", first.port()))
        .replace("auth-pass hushwire PASSWORD", "auth-pass hushwire right")
        .replace("port 26379\n", "");
    let sentinel = Sentinel::start_from(&file);
    while sentinel.replicas() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let settings = crate::Settings {
        url: "redis://hushwire:right@hushwire".to_owned(),
        sentinels: vec![sentinel.url()],
        prefix: "hushwire".to_owned(),
        ..settings(&first)
    };
    let queue = RedisQueue::new(open(settings).await.unwrap(), Limits::default());
    let old = queue.inner.link.state().facts().r#gen;
    first.kill();
    until(&queue, |facts| facts.reachable && facts.r#gen != old).await;
    assert_eq!(sentinel.names(), Some(second.port()));
    let write = Op::Force { entries: vec![entry(1, 2, 1, 1, 100)] };
    assert!(device_call(&queue, 2, write).await.is_ok());
}
