//! `hushwire audit`, of a server that runs: what holds is said, and what somebody did to it is
//! found.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::Write as _;

use hushwire_testbed::{Postgres, Redis};
use support::Server;

fn audit(server: &Server, more: &[&str]) -> (Option<i32>, String) {
    let log = server.log_path().display().to_string();
    server.run(&[&["audit", "--log", &log], more].concat())
}

#[test]
fn a_server_as_it_is_passes_and_its_log_and_files_are_looked_at() {
    let server = Server::start();
    // Found by its admin interface, which has a port of its own: the settings say 0.
    let pid = server.pid().to_string();
    let (code, said) = audit(&server, &["--pid", &pid]);
    assert_eq!(code, Some(0), "{said}");
    let line = |what: &str| said.lines().find(|line| line.contains(what)).unwrap_or_default();
    assert!(line("users.handle").ends_with("the username"), "{said}");
    assert!(line("core dumps").starts_with("ok"), "{said}");
    assert!(line("hushwire.sqlite-wal").ends_with("the database"), "{said}");
    assert!(line("server.log").ends_with("the log"), "{said}");
    assert!(said.contains("lines, nothing that looks like a secret"), "{said}");
    assert!(said.contains("Nothing was found that could keep a message."), "{said}");

    // A text that looks like a token is found, and not repeated.
    let secret = "kq3v7Zc1P9yQmJ0aVb2xTn5RwEi8LsUdFgHoAeXtYzM";
    let mut log = std::fs::File::options().append(true).open(server.log_path()).unwrap();
    writeln!(log, "token: {secret}").unwrap();
    let (code, said) = audit(&server, &["--pid", &pid, "--json"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("looks like a token") && !said.contains(secret), "{said}");
    assert!(said.contains("\"passed\": false"), "{said}");

    // Without the log's name, it is a file that something is written to.
    let (code, said) = server.run(&["audit", "--pid", &pid]);
    assert_eq!(code, Some(1));
    assert!(said.contains("neither the database nor the log"), "{said}");
}

#[test]
fn the_server_is_found_by_its_admin_interface() {
    let server = Server::start();
    let admin = server.admin_address().to_owned();
    let (code, said) = audit(&server, &["--admin", &admin]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("core dumps"), "{said}");
    let (code, said) = audit(&server, &["--admin", "off"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("name it with --pid"), "{said}");
}

#[test]
fn a_column_that_somebody_added_to_postgresql_fails() {
    let postgres = Postgres::start();
    let server = Server::start_with(&[("database.url", &postgres.url())]);
    let pid = server.pid().to_string();
    let (code, said) = audit(&server, &["--pid", &pid]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("wraps.wrap"), "{said}");
    assert!(!said.contains("hushwire.sqlite"), "no other database is open: {said}");
    postgres.sql("postgres", "ALTER TABLE users ADD COLUMN body BYTEA").unwrap();
    postgres.sql("postgres", "CREATE TABLE messages (id INT)").unwrap();
    let (code, said) = audit(&server, &["--pid", &pid]);
    assert_eq!(code, Some(1), "{said}");
    for column in ["users.body", "messages.id"] {
        let line = said.lines().find(|line| line.contains(column)).unwrap();
        assert!(line.starts_with("FAIL"), "{line}");
    }
    drop(postgres);
    let (code, said) = audit(&server, &["--pid", &pid]);
    assert_eq!(code, Some(1));
    assert!(said.contains("nobody answers at"), "{said}");
}

#[test]
fn redis_and_its_replicas_are_looked_at() {
    let redis = Redis::start();
    let _replica = redis.replica(&[]);
    while !redis.command(&["INFO", "replication"]).unwrap().contains("state=online") {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let server = Server::start_with(&[("redis.url", &redis.url())]);
    let pid = server.pid().to_string();
    let (code, said) = audit(&server, &["--pid", &pid]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("(primary): save") && said.contains("(replica): appendonly"), "{said}");
    redis.command(&["CONFIG", "SET", "save", "3600 1"]).unwrap();
    let (code, said) = audit(&server, &["--pid", &pid]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Now: redis-cli CONFIG SET save"), "{said}");
}
