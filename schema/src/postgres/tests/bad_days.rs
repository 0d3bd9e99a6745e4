//! PostgreSQL is gone, hangs, refuses or is full: one clear error, and all is well again when it is.

use std::time::Instant;

use hushwire_testbed::Signal;

use super::*;
use crate::conformance::{account, device, user};
use crate::failure::Failure;

/// Long enough for a busy machine to come back.
const PATIENCE: Duration = Duration::from_secs(60);

async fn refusal(url: &str) -> String {
    let settings = PostgresSettings { within: Duration::from_secs(5), ..settings(url.to_owned()) };
    let error = PostgresStore::open(settings).await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("s3cret"), "a password is told");
    error.to_string()
}

/// Waits until the store answers again.
pub(super) async fn recovers(store: &PostgresStore) {
    let started = Instant::now();
    while store.ping().await.is_err() || store.prune(0).await.is_err() {
        assert!(started.elapsed() < PATIENCE, "it does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn each_reason_not_to_start_is_told() {
    let server = server();
    let port = server.port();
    server.sql("postgres", "CREATE ROLE locked LOGIN PASSWORD 'right'").unwrap();
    server.admit("host all locked 127.0.0.1/32 scram-sha-256");
    let at = |rest: &str| format!("postgres://{rest}");
    let nobody = refusal(&at("hushwire@127.0.0.1:1/postgres")).await;
    assert!(nobody.contains("nobody answers at 127.0.0.1:1"), "{nobody}");
    let unknown = refusal(&at("hushwire@no-such-host.invalid/postgres")).await;
    assert!(unknown.contains("no-such-host.invalid:5432"), "{unknown}");
    let twice = refusal(&at("hushwire:s3cret@s3cret@127.0.0.1:1/postgres")).await;
    assert!(twice.contains("%40"), "{twice}");
    let wrong = refusal(&at(&format!("locked:s3cret@127.0.0.1:{port}/postgres"))).await;
    assert!(wrong.contains("\"locked\" may not sign in"), "{wrong}");
    let missing = refusal(&at(&format!("hushwire@127.0.0.1:{port}/nowhere"))).await;
    assert!(missing.contains("CREATE DATABASE \"nowhere\""), "{missing}");
    let secure = format!("hushwire@127.0.0.1:{port}/postgres?sslmode=require");
    assert!(refusal(&at(&secure)).await.contains("sslmode=disable"));
    assert!(refusal("mysql://x").await.contains("not a URL"));
    let ascii = "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0";
    server.sql("postgres", ascii).unwrap();
    assert!(refusal(&server.url_of("ascii")).await.contains("ENCODING 'UTF8'"));
    let reading = server.fresh("reading");
    let stop = "ALTER DATABASE reading SET default_transaction_read_only = on";
    server.sql("postgres", stop).unwrap();
    assert!(refusal(&reading).await.contains("takes no writes"));
    let poor = server.fresh("poor");
    server
        .sql("poor", "CREATE ROLE poor LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        .unwrap();
    let poor = poor.replace("hushwire@", "poor@");
    assert!(refusal(&poor).await.contains("allowed to CREATE"));
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap();
    let within = Duration::from_millis(300);
    let url = format!("postgres://hushwire@{silent}/postgres");
    let hung = PostgresStore::open(PostgresSettings { within, ..settings(url) }).await;
    assert!(hung.unwrap_err().to_string().contains("no answer from 127.0.0.1"));
}

#[tokio::test]
async fn a_database_that_was_away_is_used_again() {
    let mut server = Postgres::start();
    let store = PostgresStore::open(settings(server.url())).await.unwrap();
    store.register(account(1)).await.unwrap();
    server.stop();
    let away = store.login_key(user(1), device(1)).await;
    assert!(matches!(away, Err(Failure::Unreachable)), "{away:?}");
    let away = store.prune(0).await;
    assert!(matches!(away, Err(Failure::Unreachable)), "{away:?}");
    server.restart();
    recovers(&store).await;
    assert!(store.login_key(user(1), device(1)).await.unwrap().is_some());
    // Restarted while nobody asked: the first act finds a connection that ended.
    server.restart();
    recovers(&store).await;
}

#[tokio::test]
async fn one_that_hangs_costs_a_caller_its_patience_and_no_more() {
    let server = Postgres::start();
    let within = Duration::from_secs(2);
    let store = PostgresStore::open(PostgresSettings { within, ..settings(server.url()) });
    let store = store.await.unwrap();
    store.register(account(1)).await.unwrap();
    server.signal_all(Signal::STOP);
    let hung = store.login_key(user(1), device(1)).await;
    assert!(matches!(hung, Err(Failure::Unreachable)), "{hung:?}");
    let hung = store.register(account(2)).await;
    assert!(hung.is_err(), "{hung:?}");
    server.signal_all(Signal::CONT);
    recovers(&store).await;
    store.register(account(2)).await.unwrap();
}

#[tokio::test]
async fn one_that_takes_no_writes_answers_reads() {
    let server = Postgres::start();
    let store = PostgresStore::open(settings(server.url())).await.unwrap();
    store.register(account(1)).await.unwrap();
    let read_only = |on: &str| {
        server
            .sql("postgres", &format!("ALTER SYSTEM SET default_transaction_read_only = {on}"))
            .unwrap();
        server.sql("postgres", "SELECT pg_reload_conf()").unwrap();
    };
    read_only("on");
    let started = Instant::now();
    while store.register(account(2)).await.is_ok() {
        assert!(started.elapsed() < PATIENCE, "the setting is not taken");
        tokio::time::sleep(Duration::from_millis(50)).await;
        store.delete_account(user(2), 1).await.ok();
    }
    assert!(matches!(store.prune(0).await, Err(Failure::ReadOnly)));
    assert!(matches!(store.ping().await, Err(Failure::ReadOnly)), "it is not ready");
    assert!(store.login_key(user(1), device(1)).await.unwrap().is_some());
    let off = "SET default_transaction_read_only = off; ALTER SYSTEM RESET ALL";
    let off = off.split("; ").map(|statement| format!("-c{statement}"));
    let mut psql = std::process::Command::new("psql");
    assert!(psql.args(["-Xq"]).args(off).arg(server.url()).status().unwrap().success());
    server.sql("postgres", "SELECT pg_reload_conf()").unwrap();
    recovers(&store).await;
}

#[tokio::test]
async fn a_standby_answers_reads_until_it_is_promoted() {
    let mut server = Postgres::start();
    let store = PostgresStore::open(settings(server.url())).await.unwrap();
    store.register(account(1)).await.unwrap();
    server.stop();
    std::fs::write(server.folder().join("data/standby.signal"), "").unwrap();
    server.restart();
    let started = Instant::now();
    while store.login_key(user(1), device(1)).await.is_err() {
        assert!(started.elapsed() < PATIENCE, "it answers no reads");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let started = Instant::now();
    loop {
        let refused = store.prune(0).await;
        if matches!(refused, Err(Failure::ReadOnly)) {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{refused:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(matches!(store.ping().await, Err(Failure::ReadOnly)));
    let refused = PostgresStore::open(settings(server.url())).await.unwrap_err();
    assert!(matches!(refused, PostgresOpenError::ReadOnly), "{refused:?}");
    server.sql("postgres", "SELECT pg_promote()").unwrap();
    recovers(&store).await;
    store.register(account(2)).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_what_grows_and_answers_reads() {
    let mut server = Postgres::start();
    let store = PostgresStore::open(settings(server.url())).await.unwrap();
    store.register(account(1)).await.unwrap();
    // The table ends at the limit, and every other file is far below it.
    let fill = "ALTER TABLE log_entries ALTER wire SET STORAGE PLAIN; INSERT INTO log_entries \
        SELECT (SELECT log_id FROM users), i, decode(repeat('aa', 32), 'hex'), \
        decode(repeat('bb', 8000), 'hex') FROM generate_series(1, 4000) i; CHECKPOINT";
    for statement in fill.split("; ") {
        server.sql("postgres", statement).unwrap();
    }
    let size = server.sql("postgres", "SELECT pg_relation_size('log_entries')").unwrap();
    let size: u64 = size.parse().unwrap();
    assert!(size > 16 << 20, "beyond the files of the write-ahead log: {size}");
    server.restart_within(Some(size));
    recovers(&store).await;
    let mut refused = None;
    for tag in 2..250 {
        if let Err(error) = store.register(account(tag)).await {
            refused = Some((tag, error));
            break;
        }
    }
    let (tag, error) = refused.expect("the table has no room");
    assert!(matches!(error, crate::RegisterError::Failed(Failure::Database(_))), "{error:?}");
    assert!(store.login_key(user(1), device(1)).await.unwrap().is_some());
    assert!(store.login_key(user(tag), device(tag)).await.unwrap().is_none(), "undone");
    server.restart();
    recovers(&store).await;
    store.register(account(tag)).await.unwrap();
}
