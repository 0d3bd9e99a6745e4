//! What an operator meets: health, settings, the version, a drain, a restart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::{Command, Output};

use hushwire_wire::Encoding;
use hushwire_wire::close::Close;
use hushwire_wire::http::ProblemCode;
use support::{Http, Person, Server};

fn hushwire(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hushwire"));
    command.args(arguments).envs(environment.iter().copied());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_version_is_told_to_people_and_programs() {
    let version = hushwire(&["version"], &[]);
    assert!(text(&version.stdout).contains(env!("CARGO_PKG_VERSION")));
    let json = hushwire(&["version", "--json"], &[]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn check_config_says_what_is_in_force_and_from_where() {
    let key = "HUSHWIRE__LIMITS__MESSAGE_INTERVAL_MS";
    let good = hushwire(&["check-config"], &[(key, "2500")]);
    assert!(good.status.success());
    let line = text(&good.stdout);
    let line = line.lines().find(|l| l.contains("message_interval_ms")).unwrap().to_owned();
    assert!(line.contains("2500") && line.contains(key), "{line}");
    let unknown = hushwire(&["check-config"], &[("HUSHWIRE__LIMITS__MESSAGE_INTERVALL_MS", "1")]);
    assert_eq!(unknown.status.code(), Some(1));
    let said = text(&unknown.stderr).to_lowercase();
    assert!(said.contains("message_intervall_ms"), "names the key: {said}");
    assert!(said.contains("message_interval_ms"), "and the nearest that exists: {said}");
    let wrong = hushwire(&["check-config"], &[(key, "soon")]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("message_interval_ms"));
}

#[tokio::test]
async fn health_is_on_the_admin_port_alone() {
    let server = Server::start();
    for path in ["/healthz", "/readyz"] {
        let reply = server.admin().get(path, None).await;
        assert!(reply.status.is_success(), "{path}: {}", reply.text());
        let reply = server.http().get(path, None).await;
        assert_eq!(reply.problem().code, ProblemCode::NotFound, "{path} is not public");
    }
}

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let server = Server::start();
    let http: Http = server.http();
    let unknown = http.get("/v1/nothing", None).await;
    assert_eq!(unknown.problem().code, ProblemCode::NotFound);
    let method = http.call(reqwest::Method::DELETE, "/v1/server", None, None).await;
    assert_eq!(method.problem().code, ProblemCode::MethodNotAllowed);
    let broken = http
        .call(reqwest::Method::POST, "/v1/accounts", None, Some(b"{\"genesis\":".to_vec()))
        .await;
    assert_eq!(broken.problem().code, ProblemCode::BadRequest);
    let extra = serde_json::json!({"genesis": "", "prekey": {"record": ""}, "more": 1});
    let reply = http.post("/v1/accounts", None, &extra).await;
    assert_eq!(reply.problem().code, ProblemCode::BadRequest);
    let huge = vec![b' '; 2 << 20];
    let reply = http.call(reqwest::Method::POST, "/v1/accounts", None, Some(huge)).await;
    assert_eq!(reply.problem().code, ProblemCode::TooLarge);
    let card = http.get("/v1/server", None).await;
    assert_eq!(card.headers["cache-control"], "no-store");
    assert_eq!(card.headers["x-content-type-options"], "nosniff");
    assert!(!card.headers.contains_key("server"));
}

#[tokio::test]
async fn a_drain_tells_clients_when_to_come_back() {
    let mut server = Server::start();
    let alice = Person::register(&server.http(), "alice").await;
    let (mut socket, _) = alice.connect(Encoding::Json).await;
    let waiting = tokio::spawn(async move { socket.closed().await });
    let code = tokio::task::spawn_blocking(move || server.terminate()).await.unwrap();
    assert_eq!(waiting.await.unwrap(), Some(Close::Restarting));
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn accounts_survive_a_kill_and_queues_show_that_they_are_gone() {
    let mut server = Server::start();
    let alice = Person::register(&server.http(), "alice").await;
    let (socket, before) = alice.connect(Encoding::Cbor).await;
    drop(socket);
    server.restart();
    let (_, after) = alice.connect_with(Encoding::Cbor, Some(before.r#gen)).await;
    assert_ne!(before.r#gen, after.r#gen, "another generation: resubmit");
    assert_eq!(before.v, after.v, "the same account");
}

#[tokio::test]
async fn the_domain_of_a_database_does_not_change() {
    let mut server = Server::start();
    let _ = Person::register(&server.http(), "alice").await;
    server.kill();
    let data = server.folder().display().to_string();
    let other = hushwire(
        &["serve", "--data", &data, "--domain", "other.example"],
        &[("HUSHWIRE__SERVER__LISTEN", "127.0.0.1:0"), ("HUSHWIRE__ADMIN__LISTEN", "")],
    );
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("domain"), "{}", text(&other.stderr));
}
