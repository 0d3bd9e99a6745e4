//! A server whose accounts are in PostgreSQL, and what becomes of it when PostgreSQL has a bad day.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hushwire_testbed::{Postgres, Signal};
use hushwire_wire::http::ProblemCode;
use support::person::both_suites;
use support::talker::{Talker, contacts};
use support::{Person, Server};

/// How long PostgreSQL may take to be used again.
const PATIENCE: Duration = Duration::from_secs(60);

fn server(url: &str) -> Server {
    Server::start_with(&[
        ("database.url", url),
        ("database.within_ms", "2000"),
        ("limits.message_interval_ms", "0"),
    ])
}

async fn is_ready(server: &Server) -> bool {
    server.admin().get("/readyz", None).await.status.is_success()
}

async fn until_ready(server: &Server) {
    let started = Instant::now();
    while !is_ready(server).await {
        assert!(started.elapsed() < PATIENCE, "PostgreSQL is not used: {}", server.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn say(from: &mut Talker, to: &mut Talker, name: &str, text: &str) {
    let id = from.client.send_text(name, text).await.unwrap();
    to.shown(text).await;
    from.delivered(id).await;
}

/// What a server says that does not start.
fn refused(settings: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hushwire"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "off"]).stdin(Stdio::null());
    for (key, value) in settings {
        command.args(["--set", &format!("{key}={value}")]);
    }
    let output = command.current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("s3cret"), "a password is told: {said}");
    said
}

#[tokio::test]
async fn people_talk_on_while_the_database_is_down_and_all_is_well_when_it_is_back() {
    let mut postgres = Postgres::start();
    let mut server = server(&postgres.url());
    let (mut alice, mut bob) = contacts(&server).await;
    say(&mut alice, &mut bob, "bob", "before").await;
    let newcomer = Person::prepare(&server.http(), "carol", both_suites()).await;
    postgres.stop();
    // What is live goes on: no message asks the database.
    say(&mut alice, &mut bob, "bob", "meanwhile").await;
    say(&mut bob, &mut alice, "alice", "I hear you").await;
    assert_eq!(newcomer.post_account().await.problem().code, ProblemCode::Unavailable);
    assert!(!is_ready(&server).await);
    postgres.restart();
    until_ready(&server).await;
    // One that could not connect just now rests for half a second.
    let started = Instant::now();
    loop {
        let reply = newcomer.post_account().await;
        if reply.status.is_success() {
            break;
        }
        assert_eq!(reply.problem().code, ProblemCode::Unavailable);
        assert!(started.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    say(&mut alice, &mut bob, "bob", "after").await;
    // Accounts outlive the server, and a database that hangs is one that is down.
    server.restart();
    say(&mut bob, &mut alice, "alice", "again").await;
    postgres.signal_all(Signal::STOP);
    say(&mut alice, &mut bob, "bob", "it hangs").await;
    assert!(!is_ready(&server).await);
    postgres.signal_all(Signal::CONT);
    until_ready(&server).await;
    assert!(!server.log().contains("panic"), "{}", server.log());
}

#[tokio::test]
async fn a_server_that_cannot_use_postgresql_says_why_and_does_not_start() {
    let postgres = Postgres::start();
    let port = postgres.port();
    let away = refused(&[("database.url", "postgres://me:s3cret@127.0.0.1:1/chat")]);
    assert!(away.contains("database.url: PostgreSQL cannot be used"), "{away}");
    assert!(away.contains("nobody answers at 127.0.0.1:1"), "{away}");
    postgres.sql("postgres", "CREATE ROLE locked LOGIN PASSWORD 'right'").unwrap();
    postgres.admit("host all locked 127.0.0.1/32 scram-sha-256");
    let wrong = format!("postgres://locked:s3cret@127.0.0.1:{port}/postgres");
    let wrong = refused(&[("database.url", &wrong)]);
    assert!(wrong.contains("\"locked\" may not sign in"), "{wrong}");
    let both = refused(&[("database.url", "postgres://a"), ("database.url_file", "b")]);
    assert!(both.contains("database.url or database.url_file, not both"), "{both}");
    let none = refused(&[("database.url_file", "no-such-file")]);
    assert!(none.contains("no-such-file (database.url_file)"), "{none}");
    // Two servers over one database would each keep what the other's devices wait for.
    let _first = server(&postgres.url());
    let second = refused(&[("database.url", &postgres.url())]);
    assert!(second.contains("another server uses this database"), "{second}");
}

#[test]
fn migrate_and_check_config_know_postgresql() {
    let postgres = Postgres::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    std::fs::write(&file, format!("{}\n", postgres.url())).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hushwire"));
        command.args(arguments).env("HUSHWIRE__DATABASE__URL_FILE", &file);
        let output = command.current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(run(&["migrate", "--status"]).lines().all(|line| line.starts_with("missing")));
    assert!(run(&["migrate"]).lines().all(|line| line.starts_with("applied")));
    assert!(run(&["check-config"]).contains("database.url_file"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_hushwire"));
    command.args(["check-config", "--set", "database.url=postgres://me:s3cret@db/chat"]);
    let shown = String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned();
    assert!(shown.contains("database.url = \"***\"") && !shown.contains("s3cret"), "{shown}");
}
