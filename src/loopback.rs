//! The real server over real loopback sockets: what comes before any account exists.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use hushwire_wire::http::{Problem, ProblemCode};
use slog::{Discard, Logger, o};

use crate::server::{Server, StopHandle};
use crate::{Settings, StartError};

/// A server in an actix System of its own.
struct Running {
    address: SocketAddr,
    admin: SocketAddr,
    stop: StopHandle,
    thread: Option<JoinHandle<std::io::Result<()>>>,
    dir: tempfile::TempDir,
}

fn settings(dir: &tempfile::TempDir) -> Settings {
    let mut settings = Settings::default();
    settings.server.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    settings.server.workers = 1;
    settings.admin.listen = "127.0.0.1:0".to_owned();
    settings.database.path = dir.path().join("hushwire.sqlite");
    settings.sockets.origins = vec!["https://chat.example.com".to_owned()];
    settings
}

fn start(change: impl FnOnce(&mut Settings)) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(&dir);
    change(&mut settings);
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::spawn(move || {
        actix::System::new().block_on(async move {
            let log = Logger::root(Discard, o!());
            let server = Server::bind(settings, log).await.unwrap();
            let admin = server.admin_address().unwrap();
            tell.send((server.address(), admin, server.stop_handle())).unwrap();
            server.run().await
        })
    });
    let (address, admin, stop) = told.recv().unwrap();
    Running { address, admin, stop, thread: Some(thread), dir }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.now();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An answer: status, head in lower case, body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn problem(&self) -> Problem {
        assert!(self.head.contains("content-type: application/problem+json"), "{}", self.head);
        let problem: Problem = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        problem
    }

    fn code(&self) -> (u16, ProblemCode) {
        (self.status, self.problem().code)
    }
}

/// Sends bytes and reads until the server closes.
fn raw(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    // A refusal may close before everything was read.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

fn call(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    raw(address, request.as_bytes())
}

const JSON: &str = "content-type: application/json\r\n";

#[test]
fn it_says_who_it_is_and_carries_its_headers() {
    let server = start(|settings| settings.server.domain = "chat.example.com".to_owned());
    let card = call(server.address, "GET", "/v1/server", "", "");
    assert_eq!(card.status, 200);
    let json: serde_json::Value = serde_json::from_str(&card.body).unwrap();
    assert_eq!(json["domain"], "chat.example.com");
    assert_eq!(json["message_interval_ms"], 10_000);
    for header in [
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "content-security-policy: default-src 'none'; frame-ancestors 'none'",
    ] {
        assert!(card.head.contains(header), "{header} is missing in {}", card.head);
    }
    assert!(!card.head.contains("\nserver:"), "{}", card.head);
    // Headers are on refusals, too.
    let refused = call(server.address, "GET", "/nowhere", "", "");
    assert!(refused.head.contains("cache-control: no-store"), "{}", refused.head);
}

#[test]
fn requests_that_are_not_ours_are_problems() {
    let server = start(|_| {});
    let call =
        |method, path, headers, body: &str| call(server.address, method, path, headers, body);
    assert_eq!(call("GET", "/nowhere", "", "").code(), (404, ProblemCode::NotFound));
    assert_eq!(call("GET", "/healthz", "", "").code(), (404, ProblemCode::NotFound), "not public");
    let method = call("DELETE", "/v1/server", "", "");
    assert_eq!(method.code(), (405, ProblemCode::MethodNotAllowed));
    assert!(method.head.contains("allow: get"), "{}", method.head);

    let no_type = call("POST", "/v1/accounts", "", "{}");
    assert_eq!(no_type.problem().field.as_deref(), Some("content-type"));
    let no_json = call("POST", "/v1/accounts", JSON, "hunter2");
    assert_eq!(no_json.code(), (400, ProblemCode::BadRequest));
    assert_eq!(no_json.problem().field.as_deref(), Some("body"));
    assert!(!no_json.body.contains("hunter2"));
    let unknown = call("POST", "/v1/accounts", JSON, "{\"hunter2\":1}");
    assert_eq!(unknown.code(), (400, ProblemCode::BadRequest));
    assert!(!unknown.body.contains("hunter2"));
    let huge = "x".repeat(64 * 1024 + 1);
    let too_large = call("POST", "/v1/accounts", JSON, &huge);
    assert_eq!(too_large.code(), (413, ProblemCode::TooLarge));
    let garbage = r#"{"genesis":"AAAA","prekey":{"record":"AAAA"}}"#;
    let garbage = call("POST", "/v1/accounts", JSON, garbage);
    assert_eq!(garbage.problem().field.as_deref(), Some("genesis"));
}

#[test]
fn everything_about_a_person_needs_a_token() {
    let server = start(|_| {});
    let id = "A".repeat(43);
    let (log, prekeys) = (format!("/v1/users/{id}/log"), format!("/v1/users/{id}/prekeys"));
    let (epoch, claimed) = (format!("/v1/epochs/{id}"), format!("/v1/epochs/{id}/claimed"));
    for (method, path) in [
        ("GET", log.as_str()),
        ("GET", prekeys.as_str()),
        ("PUT", "/v1/prekey"),
        ("GET", "/v1/contacts"),
        ("POST", "/v1/contacts/request"),
        ("POST", "/v1/contacts/accept"),
        ("POST", "/v1/epochs"),
        ("GET", epoch.as_str()),
        ("POST", claimed.as_str()),
    ] {
        for token in
            ["", "authorization: Basic abc\r\n", &format!("authorization: Bearer {id}\r\n")]
        {
            let refused = call(server.address, method, path, &format!("{JSON}{token}"), "{}");
            let expected = (401, ProblemCode::Unauthenticated);
            assert_eq!(refused.code(), expected, "{method} {path} {token}");
            assert!(refused.head.contains("www-authenticate: bearer"), "{}", refused.head);
        }
    }
}

#[test]
fn a_challenge_is_issued_and_answered_once() {
    let server = start(|_| {});
    let challenge = call(server.address, "POST", "/v1/auth/challenge", "", "");
    assert_eq!(challenge.status, 200, "{}", challenge.body);
    let challenge: serde_json::Value = serde_json::from_str(&challenge.body).unwrap();
    let nonce = challenge["nonce"].as_str().unwrap();
    let (user, key, signature) = ("A".repeat(43), "A".repeat(22), "A".repeat(86));
    let answer = format!(
        r#"{{"user":"{user}","key_id":"{key}","nonce":"{nonce}","signature":"{signature}"}}"#
    );
    for words in ["No active device", "answered before"] {
        let refused = call(server.address, "POST", "/v1/auth/token", JSON, &answer);
        assert_eq!(refused.code(), (401, ProblemCode::Unauthenticated));
        assert!(refused.problem().detail.contains(words), "{}", refused.body);
    }
}

fn upgrade(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    raw(address, request.as_bytes())
}

const VERSION: &str = "sec-websocket-version: 13\r\n";
const PROTOCOL: &str = "sec-websocket-protocol: hushwire.v1.cbor\r\n";

#[test]
fn upgrades_are_refused_for_their_reason_and_the_connection_is_closed() {
    let server = start(|_| {});
    let good = format!("{VERSION}{PROTOCOL}");
    let at = |method, path, headers: &str| upgrade(server.address, method, path, headers);
    assert_eq!(at("GET", "/v1/other", &good).code(), (404, ProblemCode::NotFound));
    assert_eq!(at("GET", "/v1/server", &good).code(), (404, ProblemCode::NotFound));
    assert_eq!(at("POST", "/v1/ws", &good).code(), (405, ProblemCode::MethodNotAllowed));
    let old = at("GET", "/v1/ws", &format!("sec-websocket-version: 8\r\n{PROTOCOL}"));
    assert_eq!(old.problem().status, 426);
    assert!(old.head.contains("sec-websocket-version: 13"), "{}", old.head);
    let none = at("GET", "/v1/ws", VERSION);
    assert_eq!(none.code(), (400, ProblemCode::BadRequest));
    assert_eq!(none.problem().field.as_deref(), Some("sec-websocket-protocol"));
    let foreign = at("GET", "/v1/ws", &format!("{good}origin: https://evil.example\r\n"));
    assert_eq!(foreign.code(), (403, ProblemCode::Forbidden));
    assert!(foreign.head.contains("connection: close"), "{}", foreign.head);
    let plain = call(server.address, "GET", "/v1/ws", "", "");
    assert_eq!(plain.problem().status, 426);
}

/// Opens a WebSocket and reads the head of the answer and the first bytes after it.
fn open(address: SocketAddr, headers: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{VERSION}{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    (stream, String::from_utf8(head).unwrap().to_lowercase())
}

#[test]
fn a_good_upgrade_is_taken_over_by_the_engine_which_speaks_first() {
    let server = start(|settings| settings.sockets.connections = 1);
    let headers =
        "sec-websocket-protocol: hushwire.v1.json\r\norigin: https://chat.example.com\r\n";
    let (mut socket, head) = open(server.address, headers);
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(head.contains("sec-websocket-protocol: hushwire.v1.json"), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    let mut frame = [0; 4];
    socket.read_exact(&mut frame).unwrap();
    assert_eq!(frame[0], 0x81, "a text frame");
    let length = usize::from(u16::from_be_bytes([frame[2], frame[3]]));
    let mut text = vec![0; length];
    socket.read_exact(&mut text).unwrap();
    let challenge: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(challenge["op"]["challenge"]["domain"], "localhost");

    let full = upgrade(server.address, "GET", "/v1/ws", &format!("{VERSION}{PROTOCOL}"));
    assert_eq!(full.code(), (503, ProblemCode::Unavailable), "no room for a second one");
    assert!(full.problem().retry_after_ms.is_some());
}

#[test]
fn the_admin_interface_says_how_it_is() {
    let server = start(|_| {});
    let health = call(server.admin, "GET", "/healthz", "", "");
    assert_eq!((health.status, health.body.as_str()), (200, r#"{"status":"ok"}"#));
    // The engine's services may still be starting: until then it says so.
    let mut ready = call(server.admin, "GET", "/readyz", "", "");
    for _ in 0..1000 {
        if ready.status == 200 {
            break;
        }
        assert_eq!(ready.code(), (503, ProblemCode::Unavailable));
        ready = call(server.admin, "GET", "/readyz", "", "");
    }
    assert_eq!(ready.status, 200, "{}", ready.body);
    assert!(ready.body.contains(r#""status":"ready""#), "{}", ready.body);
    assert_eq!(call(server.admin, "GET", "/v1/server", "", "").code().0, 404);
}

#[test]
fn it_drains_within_its_time_and_can_be_started_again_on_the_same_data() {
    let mut server = start(|_| {});
    server.stop.drain();
    server.thread.take().unwrap().join().unwrap().unwrap();
    assert!(TcpStream::connect(server.address).is_err(), "nobody listens any more");

    let bind = |settings: Settings| {
        actix::System::new().block_on(async move {
            let log = Logger::root(Discard, o!());
            Server::bind(settings, log).await.map(|server| server.address())
        })
    };
    bind(settings(&server.dir)).unwrap();
    let mut other = settings(&server.dir);
    other.server.domain = "other.example".to_owned();
    let refused = bind(other).unwrap_err();
    assert!(matches!(&refused, StartError::Domain { stored, .. } if stored == "localhost"));
    assert!(refused.to_string().contains("server.domain = \"localhost\""), "{refused}");
}

#[test]
fn a_port_in_use_and_a_database_in_use_are_named() {
    let server = start(|_| {});
    let dir = tempfile::tempdir().unwrap();
    let bind = |settings: Settings| {
        actix::System::new().block_on(async move {
            Server::bind(settings, Logger::root(Discard, o!())).await.map(|_| ())
        })
    };
    let mut taken = settings(&dir);
    taken.server.listen = server.address;
    let refused = bind(taken).unwrap_err();
    assert!(matches!(refused, StartError::Listen { key: "server.listen", .. }), "{refused}");
    let shared = settings(&server.dir);
    assert!(matches!(bind(shared), Err(StartError::InUse { .. })));
}
