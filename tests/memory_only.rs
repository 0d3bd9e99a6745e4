//! Messages stay in memory, proven from outside: a server over PostgreSQL, with and without Redis, that may not write one
//! byte to any file, people who talk through it, and canaries that are searched for in everything
//! that was written meanwhile, beside controls that must be found.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hushwire_testbed::{Postgres, Redis};
use hushwire_wire::frame::{Ack, ClientOp, ServerOp};
use hushwire_wire::{Encoding, to_base64url};
use support::person::{open_text, random_array, seal_text};
use support::talker::contacts;
use support::{Pair, Person, Server};

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Every file below a folder, with what changes when it is written.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(snapshot(&path));
        } else if let Ok(data) = entry.metadata() {
            all.insert(path, (data.len(), data.modified().unwrap()));
        }
    }
    all
}

/// The bytes that a process has asked to be written to a disk.
fn written(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let bytes = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap();
    bytes.parse().unwrap()
}

/// What PostgreSQL holds, as `pg_dump` would say it: each row of each table.
fn dump(postgres: &Postgres) -> String {
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
    let tables = postgres.sql("postgres", tables).unwrap();
    let rows = |table: &str| postgres.sql("postgres", &format!("SELECT * FROM \"{table}\""));
    tables.lines().map(|table| rows(table).unwrap()).collect::<Vec<_>>().join("\n")
}

/// All bytes of the files of PostgreSQL, its log and its write-ahead log included.
fn bytes(folder: &Path) -> Vec<u8> {
    snapshot(folder).into_keys().flat_map(|path| fs::read(path).unwrap_or_default()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether any value of Redis holds these bytes.
fn is_in_redis(redis: &Redis, needle: &[u8]) -> bool {
    const SEARCH: &str = "local needle = ARGV[1]:gsub('..', function(h) \
        return string.char(tonumber(h, 16)) end) \
        local function all(t, k) \
            if t == 'hash' then return redis.call('HVALS', k) end \
            if t == 'list' then return redis.call('LRANGE', k, 0, -1) end \
            if t == 'zset' then return redis.call('ZRANGE', k, 0, -1) end \
            if t == 'set' then return redis.call('SMEMBERS', k) end \
            if t == 'string' then return { redis.call('GET', k) } end \
            return redis.error_reply('unknown type ' .. t) end \
        for _, k in ipairs(redis.call('KEYS', '*')) do \
            local values = all(redis.call('TYPE', k).ok, k) \
            if values.err then return values end \
            for _, v in ipairs(values) do \
                if string.find(v, needle, 1, true) then return 1 end end end \
        return 0";
    match redis.command(&["EVAL", SEARCH, "0", &hex(needle)]).unwrap().as_str() {
        ":1\r\n" => true,
        ":0\r\n" => false,
        other => panic!("{other}"),
    }
}

fn server(postgres: &Postgres) -> Server {
    Server::start_unable_to_write(&[
        ("database.url", &postgres.url()),
        ("limits.message_interval_ms", "0"),
        ("log.level", "debug"),
    ])
}

#[tokio::test]
async fn a_server_that_may_write_no_file_delivers_and_leaves_nothing_anywhere() {
    let postgres = Postgres::start();
    let server = server(&postgres);
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let limit = limits.lines().find(|line| line.starts_with("Max file size")).unwrap();
    assert_eq!(limit.split_whitespace().nth(3), Some("0"), "{limit}");
    let watched = || {
        let mut all = snapshot(server.folder());
        all.remove(&server.log_path()).expect("the control: this test writes it");
        all
    };
    let before = watched();

    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let words = to_base64url(&random_array::<24>());
    let (mut alice, welcome) = pair.alice.connect(Encoding::Cbor).await;
    // It waits for a device that is away, and is delivered when that comes.
    let upload = seal_text(&mut pair.alice_state, &words);
    let answer = alice.ask(Person::send(&pair.bob.user(), 1, upload.clone())).await;
    assert!(matches!(answer, ServerOp::Accepted(_)));
    let (mut bob, _) = pair.bob.connect(Encoding::Json).await;
    let got = bob
        .event(|op| match op {
            ServerOp::Message(message) => Some(message),
            _ => None,
        })
        .await;
    assert_eq!(open_text(&mut pair.bob_state, &got), words);
    bob.send(ClientOp::Ack(Ack { n: 1, failed: vec![] })).await;
    // One more stays in the queue.
    bob.cut();
    let queued = seal_text(&mut pair.alice_state, &words);
    let answer = alice.ask(Person::send(&pair.bob.user(), 2, queued.clone())).await;
    assert!(matches!(answer, ServerOp::Accepted(_)));

    // No file of the server's folder was made, grew or was touched, and nothing went to a disk.
    assert_eq!(watched(), before);
    assert_eq!(written(server.pid()), 0);
    let log = server.log();
    postgres.sql("postgres", "CHECKPOINT").unwrap();
    let (rows, files) = (dump(&postgres), bytes(postgres.folder()));
    let token = welcome.token.to_base64url();
    for (what, secret) in [
        ("plaintext", words.as_bytes()),
        ("what was delivered", &upload[92..140]),
        ("what waits", &queued[92..140]),
        ("token", token.as_bytes()),
    ] {
        assert!(!holds(&files, secret), "{what} in a file of PostgreSQL");
        for form in
            [String::from_utf8_lossy(secret).into_owned(), hex(secret), to_base64url(secret)]
        {
            assert!(!rows.contains(&form), "{what} in the database");
            assert!(!log.contains(&form), "{what} in the log");
        }
    }
    // The controls: it is this database, in both forms that were searched, and this log.
    let user = pair.alice.user();
    assert!(holds(&files, user.as_bytes()) && rows.contains(&hex(user.as_bytes())));
    assert!(log.contains("serving"));
}

#[tokio::test]
async fn what_waits_in_redis_is_in_its_memory_until_it_is_delivered_and_in_no_file() {
    let (postgres, mut redis) = (Postgres::start(), Redis::start());
    let server = Server::start_unable_to_write(&[
        ("database.url", &postgres.url()),
        ("redis.url", &redis.url()),
        ("limits.message_interval_ms", "0"),
        ("log.level", "debug"),
    ]);
    let at_start = written(redis.process().id());
    let watched = || {
        let mut all = snapshot(redis.folder());
        all.remove(&redis.folder().join("log")).expect("the control: Redis has this folder");
        all
    };
    let before = watched();
    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let words = to_base64url(&random_array::<24>());
    let (mut alice, _) = pair.alice.connect(Encoding::Cbor).await;
    let upload = seal_text(&mut pair.alice_state, &words);
    let ciphertext = &upload[92..140];
    let answer = alice.ask(Person::send(&pair.bob.user(), 1, upload.clone())).await;
    assert!(matches!(answer, ServerOp::Accepted(_)));
    assert!(is_in_redis(&redis, ciphertext), "the control: what waits is found there");
    assert!(!is_in_redis(&redis, words.as_bytes()), "and cannot be read");
    let (mut bob, _) = pair.bob.connect(Encoding::Json).await;
    let got = bob
        .event(|op| match op {
            ServerOp::Message(message) => Some(message),
            _ => None,
        })
        .await;
    assert_eq!(open_text(&mut pair.bob_state, &got), words);
    bob.send(ClientOp::Ack(Ack { n: 1, failed: vec![] })).await;
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while is_in_redis(&redis, ciphertext) {
        assert!(std::time::Instant::now() < until, "what was delivered is deleted");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(watched(), before, "Redis made, changed or deleted a file");
    assert_eq!(written(server.pid()), 0);
    postgres.sql("postgres", "CHECKPOINT").unwrap();
    let files = [bytes(postgres.folder()), bytes(redis.folder())].concat();
    for secret in [words.as_bytes(), ciphertext] {
        assert!(!holds(&files, secret), "in a file");
        assert!(!server.log().contains(&hex(secret)));
    }
    assert!(holds(&files, pair.alice.user().as_bytes()), "the control: an account is found");

    // The control of the watching: Redis that is told to save shows in both ways.
    let answer = alice.ask(Person::send(&pair.bob.user(), 2, {
        bob.cut();
        seal_text(&mut pair.alice_state, &words)
    }));
    assert!(matches!(answer.await, ServerOp::Accepted(_)));
    redis.command(&["SAVE"]).unwrap();
    assert_ne!(watched(), before);
    assert!(written(redis.process().id()) > at_start);
}

#[tokio::test]
async fn people_with_the_sdk_talk_through_a_server_that_may_write_no_file() {
    let postgres = Postgres::start();
    let server = server(&postgres);
    let (mut alice, mut bob) = contacts(&server).await;
    let words = to_base64url(&random_array::<24>());
    bob.leave().await;
    let id = alice.client.send_text("bob", &words).await.unwrap();
    alice.accepted(id).await;
    bob.come_back();
    bob.shown(&words).await;
    alice.delivered(id).await;
    assert_eq!(written(server.pid()), 0);
    assert!(!dump(&postgres).contains(&hex(words.as_bytes())));
    assert!(!holds(&bytes(postgres.folder()), words.as_bytes()));
    assert!(!server.log().contains(&words) && !server.log().contains("panic"));
}

#[test]
fn a_server_that_must_write_does_not_live_under_the_limit() {
    // The control of the limit: it holds for the embedded default, which writes its database.
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -f 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_hushwire")]);
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "off"]);
    let output = command.current_dir(folder.path()).output().unwrap();
    assert!(!output.status.success());
}

#[test]
fn what_is_watched_sees_a_write() {
    // The control of the watching: the embedded default writes its database, and it shows.
    let server = Server::start();
    let before = snapshot(server.folder());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Person::register(&server.http(), "alice"));
    assert_ne!(snapshot(server.folder()), before);
    assert!(written(server.pid()) > 0, "the kernel counts writes of this file system");
}
