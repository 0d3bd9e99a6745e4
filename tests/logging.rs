//! The log, at its most talkative, tells nobody who talks to whom, and nothing of what they say:
//! two people talk, everything goes wrong that can, and then all that the process wrote is
//! searched for what must not be there, in every form that bytes are printed in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../fuzz/tests/secrets/canary.rs"]
mod canary;
mod support;

use canary::Canary;
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use hushwire_wire::close::Close;
use hushwire_wire::frame::{ClientOp, ServerOp};
use hushwire_wire::http::AuthChallenge;
use hushwire_wire::{Encoding, Token, to_base64url};
use reqwest::Method;
use support::person::{random_array, seal_text};
use support::talker::{Talker, become_contacts};
use support::{Pair, Person, Server, Socket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What clients send that stands nowhere else: letters only, so that no time of day looks like it.
fn word() -> String {
    random_array::<24>().map(|byte| char::from(b'a' + byte % 26)).iter().collect()
}

/// Everything that must not be in the log.
struct Secrets(Vec<Canary>);

impl Secrets {
    fn bytes(&mut self, name: &'static str, bytes: &[u8]) {
        self.0.push(Canary::new(name, bytes));
    }

    /// A fresh word, which from now on must not be found.
    fn word(&mut self, name: &'static str) -> String {
        let word = word();
        self.0.push(Canary::text(name, &word));
        word
    }

    /// Nothing of them is in the log; and each would be found, if it were.
    fn search(&self, log: &str) {
        for canary in &self.0 {
            if let Some(found) = canary.found_in(log) {
                panic!("in the log: {found}\n{log}");
            }
            let bytes = canary.bytes();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            for planted in [format!("{bytes:?}"), hex, to_base64url(bytes)] {
                let (before, after) = log.split_at(log.find('\n').unwrap());
                let log = format!("{before} {planted}{after}");
                assert!(canary.found_in(&log).is_some(), "the control {planted} is not found");
            }
        }
    }
}

/// Sends bytes to the port as they are.
async fn raw(server: &Server, bytes: &str) {
    let host = server.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
}

/// Two people with the SDK, and what they wrote.
async fn talk(server: &Server, secrets: &mut Secrets) {
    let (one, other) = (secrets.word("a handle"), secrets.word("another handle"));
    let alice = Talker::register(server, &one, Encoding::Cbor).await;
    let bob = Talker::register(server, &other, Encoding::Json).await;
    let (mut alice, mut bob) = become_contacts(alice, bob, &one, &other).await;
    let text = secrets.word("a text");
    let id = alice.client.send_text(&other, &text).await.unwrap();
    bob.shown(&text).await;
    alice.delivered(id).await;
    bob.leave().await;
    let text = secrets.word("a text that waits");
    let id = alice.client.send_text(&other, &text).await.unwrap();
    alice.accepted(id).await;
    bob.come_back();
    bob.shown(&text).await;
    for person in [&alice, &bob] {
        let account = person.client.account().await.unwrap();
        secrets.bytes("a user of the SDK", account.user.as_bytes());
    }
    alice.leave().await;
    bob.leave().await;
}

/// Requests that are refused, with a secret in each place that a client fills.
async fn refused_requests(server: &Server, pair: &Pair, secrets: &mut Secrets) {
    let http = server.http();
    let json = ("content-type", "application/json");
    let token = Token(random_array());
    secrets.bytes("an unknown token", &token.0);
    http.get("/v1/contacts", Some(&token)).await.problem();
    let word = secrets.word("a garbage token");
    let bearer = format!("Bearer {word}");
    let garbage = [("authorization", bearer.as_str())];
    http.with_headers(Method::GET, "/v1/contacts", &garbage, None).await.problem();
    let word = secrets.word("an unknown path and query");
    let path = format!("/v1/{word}/x?token={word}");
    http.with_headers(Method::GET, &path, &[], None).await.problem();
    let path = format!("/v1/users/{word}/log?after={word}");
    http.get(&path, pair.alice.token()).await.problem();
    let path = format!("/v1/users/{}/log", pair.bob.user().to_base64url());
    assert!(http.get(&path, pair.alice.token()).await.status.is_success());
    let word = secrets.word("a header");
    let headers = [("x-secret", word.as_str()), ("user-agent", &word), ("cookie", &word), json];
    let body = format!("{{\"{word}\": \"{word}\"}}").into_bytes();
    http.with_headers(Method::POST, "/v1/accounts", &headers, Some(body)).await.problem();
    let typed = [("content-type", word.as_str())];
    http.with_headers(Method::POST, "/v1/accounts", &typed, Some(word.clone().into())).await;
    let method = Method::from_bytes(secrets.word("a method").as_bytes()).unwrap();
    http.with_headers(method, "/v1/server", &[], None).await.problem();
    let forwarded = secrets.word("a forwarded address that is none");
    for from in [forwarded.as_str(), "2001:db8:7a7a:6b6b::9"] {
        let headers = [("x-forwarded-for", from), json];
        let body = Some(b"{}".to_vec());
        http.with_headers(Method::POST, "/v1/auth/challenge", &headers, body).await;
    }
    secrets.0.push(Canary::text("an address", "2001:db8:7a7a:6b6b"));
    // A signature of somebody else's.
    let challenge: AuthChallenge =
        http.post("/v1/auth/challenge", None, &serde_json::json!({})).await.ok();
    secrets.bytes("a nonce", &challenge.nonce.0);
    let mut answer = pair.alice.auth_answer(challenge.nonce);
    answer.signature = pair.bob.auth_answer(challenge.nonce).signature;
    secrets.bytes("a signature", answer.signature.as_bytes());
    http.post("/v1/auth/token", None, &answer).await.problem();
    // A name that is taken.
    let (name, suites) = (pair.alice.handle.as_str(), pair.alice.suites);
    Person::prepare(&http, name, suites).await.post_account().await.problem();
    let word = secrets.word("what is no HTTP");
    raw(server, &format!("{word} {word}\r\n{word}: {word}\r\n\r\n")).await;
    let origin = format!(
        "GET /v1/ws?token={word} HTTP/1.1\r\nhost: {word}\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\norigin: https://{word}.example\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    raw(server, &origin).await;
}

/// Frames that are refused, and frames that are not.
async fn refused_frames(pair: &mut Pair, secrets: &mut Secrets) {
    for (encoding, first) in Encoding::ALL.into_iter().zip([1, 11]) {
        let (mut socket, welcome) = pair.alice.connect(encoding).await;
        secrets.bytes("a session's token", &welcome.token.0);
        secrets.bytes("a connection", &welcome.conn.0);
        let text = secrets.word("a text by hand");
        let upload = seal_text(&mut pair.alice_state, &text);
        secrets.bytes("a ciphertext", &upload[92..140]);
        let wrong = [&upload[..], b"more"].concat();
        let op = Person::send(&pair.bob.user(), first, wrong);
        assert!(matches!(socket.ask(op).await, ServerOp::Reject(_)));
        let op = Person::send(&pair.alice.user(), first + 1, upload.clone());
        assert!(matches!(socket.ask(op).await, ServerOp::Reject(_)));
        let op = Person::send(&pair.bob.user(), first + 2, upload);
        let answer = socket.ask(op).await;
        assert!(matches!(answer, ServerOp::Accepted(_)), "{answer:?}");
        let word = secrets.word("what is no frame");
        socket.send_bytes(format!("{{\"op\": {{\"{word}\": \"{word}\"}}").into_bytes()).await;
        assert_eq!(socket.closed().await, Some(Close::Invalid));

        // Somebody who signs for another.
        let mut socket = Socket::connect(&pair.alice.http.url, encoding).await;
        let ServerOp::Challenge(challenge) = socket.next().await.op else { panic!("no challenge") };
        secrets.bytes("a socket's nonce", &challenge.nonce.0);
        let mut hello = pair.bob.hello(&challenge.nonce, None);
        (hello.user, hello.device) = (pair.alice.user(), pair.alice.device());
        hello.client = secrets.word("a client's name");
        socket.send(ClientOp::Hello(hello)).await;
        assert_eq!(socket.closed().await, Some(Close::NotAuthenticated));
    }
}

/// What fails in the server itself: the answer has an id that the log has too.
async fn failures(server: &Server, pair: &Pair) {
    let database = server.folder().join("hushwire.sqlite").display().to_string();
    let mut database = SqliteConnection::establish(&database).unwrap();
    database
        .batch_execute("PRAGMA busy_timeout = 5000; ALTER TABLE requests RENAME TO gone")
        .unwrap();
    let reply = pair.alice.http.get("/v1/contacts", pair.alice.token()).await;
    assert_eq!(reply.status.as_u16(), 503, "{}", reply.text());
    let id = reply.headers["x-request-id"].to_str().unwrap().to_owned();
    assert!(reply.problem().detail.contains(&id), "{}", reply.text());
    server.until_logged(&id, 1);
    let log = server.log();
    let line = log.lines().find(|line| line.contains(&id)).unwrap();
    assert!(line.contains("/v1/contacts") && line.contains("requests"), "{line}");
    // What is not the server's fault has none.
    let reply = pair.alice.http.get("/v1/nothing", None).await;
    assert!(!reply.headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn it_holds_nothing_of_people_in_either_form() {
    for format in ["json", "terminal"] {
        let server = Server::start_with(&[
            ("limits.message_interval_ms", "0"),
            ("http.proxies", "127.0.0.0/8"),
            ("log.level", "debug"),
            ("log.format", format),
        ]);
        let mut secrets = Secrets(Vec::new());
        talk(&server, &mut secrets).await;
        let (one, other) = (secrets.word("a handle by hand"), secrets.word("another by hand"));
        let mut pair = Pair::meet(&server.http(), &one, &other).await;
        for person in [&pair.alice, &pair.bob] {
            secrets.bytes("a user", person.user().as_bytes());
            secrets.bytes("a device", person.device().as_bytes());
            secrets.bytes("a token", &person.token().unwrap().0);
            secrets.bytes("a public key", person.key.public());
        }
        refused_requests(&server, &pair, &mut secrets).await;
        refused_frames(&mut pair, &mut secrets).await;
        failures(&server, &pair).await;
        // It was really talkative: all of this is in it.
        for said in ["/v1/users/{user}/log", "upgrade refused", "401", "405", "503"] {
            server.until_logged(said, 1);
        }
        secrets.search(&server.log());
    }
}
