//! What sockets may take of a server: places, upgrades, tries to sign in, time; what a client of
//! another version hears; and that a flood of sockets harms nobody else.
//!
//! More loopback addresses than one, and `/proc`, are Linux's.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hushwire_wire::close::Close;
use hushwire_wire::frame::{Ack, ClientFrame, ClientOp, ServerOp};
use hushwire_wire::{Encoding, Sealed};
use support::person::{open_text, seal_text};
use support::{Pair, Person, Server, Socket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// How long a test waits for what must come, before it fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// Limits by address hold for the addresses of these tests, too.
const COUNTED: (&str, &str) = ("limits.loopback_exempt", "false");

/// A TCP connection and what its upgrade was answered.
struct Dialled {
    status: u16,
    head: String,
    stream: TcpStream,
}

/// Connects from the last byte of 127.0.0.x, and asks for an upgrade.
async fn dial(server: &Server, from: u8, protocols: &str) -> Dialled {
    let address: SocketAddr = server.url.trim_start_matches("http://").parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, from], 0))).unwrap();
    let mut stream = timeout(PATIENCE, socket.connect(address)).await.unwrap().unwrap();
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {protocols}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    Dialled { status: head[9..12].parse().unwrap(), head, stream }
}

impl Dialled {
    /// The next frame of the server: opcode and payload.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        timeout(PATIENCE, async {
            let opcode = self.stream.read_u8().await.unwrap() & 15;
            let length = match self.stream.read_u8().await.unwrap() {
                126 => self.stream.read_u16().await.unwrap().into(),
                n => usize::from(n),
            };
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).await.unwrap();
            (opcode, payload)
        })
        .await
        .expect("a frame in time")
    }

    /// Reads up to the goodbye: its code and reason. The end follows.
    async fn closed(&mut self) -> (u16, serde_json::Value) {
        loop {
            let (opcode, payload) = self.frame().await;
            if opcode == 8 {
                let (code, reason) = payload.split_first_chunk().unwrap();
                let reason = serde_json::from_slice(reason).unwrap();
                let mut rest = Vec::new();
                timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.unwrap().unwrap();
                assert!(rest.is_empty(), "nothing is said after the goodbye");
                return (u16::from_be_bytes(*code), reason);
            }
        }
    }

    /// A `hello` of nobody's.
    async fn bad_hello(&mut self, person: &Person) {
        let (_, challenge) = self.frame().await;
        let ServerOp::Challenge(challenge) = Encoding::Json.decode_server(&challenge).unwrap().op
        else {
            panic!("the server speaks first");
        };
        let mut hello = person.hello(&challenge.nonce, None);
        hello.signature = Sealed::new(vec![7; 64]);
        let json =
            Encoding::Json.encode_client(&ClientFrame { id: Some(1), op: ClientOp::Hello(hello) });
        let mut frame = vec![0x81, 0xfe];
        frame.extend_from_slice(&(json.len() as u16).to_be_bytes());
        // A mask of zeros is a mask.
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(&json);
        self.stream.write_all(&frame).await.unwrap();
    }
}

const JSON: &str = "hushwire.v1.json";

#[tokio::test]
async fn a_client_of_another_version_is_told_which_are_spoken() {
    let server = Server::start();
    for (offer, first) in [
        ("hushwire.v0.json, hushwire.v2.cbor", "hushwire.v0.json"),
        ("hushwire.v2.cbor", "hushwire.v2.cbor"),
    ] {
        let mut old = dial(&server, 1, offer).await;
        assert_eq!(old.status, 101, "{}", old.head);
        assert!(old.head.contains(&format!("sec-websocket-protocol: {first}\r\n")), "{}", old.head);
        let (opcode, payload) = old.frame().await;
        assert_eq!(opcode, 8, "no challenge comes before");
        assert_eq!(payload[..2], 4426_u16.to_be_bytes());
        assert_eq!(&payload[2..], br#"{"close":"upgrade_required","oldest":1,"newest":1}"#);
        let mut rest = Vec::new();
        timeout(PATIENCE, old.stream.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert!(rest.is_empty());
    }
    // One that is spoken is taken; what is not of this protocol is refused by HTTP.
    let mut both = dial(&server, 1, "hushwire.v2.cbor, hushwire.v1.json").await;
    assert_eq!((both.status, both.frame().await.0), (101, 1));
    assert_eq!(dial(&server, 1, "chat, mqtt").await.status, 400);
}

#[tokio::test]
async fn sockets_that_are_not_signed_in_are_bounded_by_address_and_in_all() {
    let server = Server::start_with(&[
        COUNTED,
        ("sockets.unsigned", "5"),
        ("sockets.unsigned_per_address", "2"),
    ]);
    let mut held = Vec::new();
    for (from, status) in [(2, 101), (2, 101), (2, 503), (3, 101), (3, 101), (3, 503), (4, 101)] {
        let dialled = dial(&server, from, JSON).await;
        assert_eq!(dialled.status, status, "{}", dialled.head);
        held.push(dialled);
    }
    assert_eq!(dial(&server, 5, JSON).await.status, 503, "five in all");
    held.clear();
    until(async || dial(&server, 5, JSON).await.status == 101).await;
}

/// Until it is so.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "it never is");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn signed_in_sockets_are_bounded_by_address_if_asked_for() {
    let server = Server::start_with(&[COUNTED, ("sockets.per_address", "1")]);
    let alice = Person::register(&server.http(), "alice").await;
    let bob = Person::register(&server.http(), "bob").await;
    let (mut first, _) = alice.connect(Encoding::Cbor).await;
    let mut second = Socket::connect(&server.url, Encoding::Cbor).await;
    let ServerOp::Challenge(challenge) = second.next().await.op else { panic!("no challenge") };
    second.send(ClientOp::Hello(bob.hello(&challenge.nonce, None))).await;
    assert_eq!(second.closed().await, Some(Close::Overloaded));
    assert_eq!(first.ask(ClientOp::Ping {}).await, ServerOp::Pong {});
}

#[tokio::test]
async fn upgrades_from_an_address_are_bounded_by_time() {
    let server = Server::start_with(&[COUNTED, ("limits.upgrades_per_minute", "3")]);
    for expected in [101, 101, 101, 429, 429] {
        assert_eq!(dial(&server, 2, JSON).await.status, expected);
    }
    assert_eq!(dial(&server, 3, JSON).await.status, 101, "another address");
}

#[tokio::test]
async fn a_hello_costs_what_a_sign_in_over_http_costs() {
    let server = Server::start_with(&[COUNTED, ("limits.sign_ins_per_minute", "3")]);
    // The first of three.
    let alice = Person::register(&server.http(), "alice").await;
    for expected in [4401, 4401, 4429] {
        let mut socket = dial(&server, 1, JSON).await;
        socket.bad_hello(&alice).await;
        let (code, reason) = socket.closed().await;
        assert_eq!(code, expected, "{reason}");
        assert_eq!(reason["after_ms"].is_u64(), code == 4429, "{reason}");
    }
    let challenge = server.http().post("/v1/auth/challenge", None, &()).await;
    assert_eq!(challenge.status, 429, "the budget is one: {}", challenge.text());
    let mut elsewhere = dial(&server, 2, JSON).await;
    elsewhere.bad_hello(&alice).await;
    assert_eq!(elsewhere.closed().await.0, 4401, "another address has its own");
}

#[tokio::test]
async fn who_does_not_answer_a_ping_is_left() {
    let server = Server::start_with(&[
        ("sockets.heartbeat_ms", "400"),
        ("sockets.pong_within_ms", "400"),
        // The connection of the registration ends, too.
        ("http.keep_alive_ms", "200"),
    ]);
    let alice = Person::register(&server.http(), "alice").await;
    // A client that reads only when it is asked to: it answers no ping meanwhile.
    let (mut silent, _) = alice.connect(Encoding::Cbor).await;
    let began = Instant::now();
    until(async || !has_socket(&server)).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(silent.closed().await, Some(Close::NoAnswer));
}

/// Whether the server's process has an established connection.
fn has_socket(server: &Server) -> bool {
    let port: u16 = server.url.rsplit(':').next().unwrap().parse().unwrap();
    let local = format!(":{port:04X} ");
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    // Columns: number, local address, remote address, state (01: established).
    table.lines().any(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let (own, _, state) = (columns.next(), columns.next(), columns.next());
        own.is_some_and(|own| format!("{own} ").ends_with(&local)) && state == Some("01")
    })
}

#[tokio::test]
async fn a_drain_says_goodbye_to_who_has_not_signed_in() {
    let mut server = Server::start();
    let mut greeted = dial(&server, 1, JSON).await;
    assert_eq!(greeted.frame().await.0, 1, "the challenge");
    let closing = tokio::spawn(async move { greeted.closed().await });
    let ended = tokio::task::spawn_blocking(move || server.terminate());
    let (code, reason) = closing.await.unwrap();
    assert_eq!(code, Close::Restarting.code());
    assert!(reason["after_ms"].as_u64().unwrap() < 10_000, "{reason}");
    assert_eq!(ended.await.unwrap(), Some(0));
}

/// Sockets that one address opens and leaves idle.
const FLOOD: usize = 3_000;

#[tokio::test]
async fn a_flood_from_one_address_is_refused_and_harms_nobody() {
    const MIB: u64 = 1024 * 1024;
    let server = Server::start_with(&[
        COUNTED,
        ("sockets.unsigned_per_address", "50"),
        ("sockets.hello_within_ms", "60000"),
        ("limits.upgrades_per_minute", "0"),
        ("limits.message_interval_ms", "0"),
    ]);
    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let (mut alice, _) = pair.alice.connect(Encoding::Cbor).await;
    let (mut bob, _) = pair.bob.connect(Encoding::Cbor).await;
    let before = resident(&server);
    let flood = async {
        let mut held = Vec::with_capacity(FLOOD);
        for _ in 0..FLOOD {
            held.push(dial(&server, 2, JSON).await);
        }
        held
    };
    let to = pair.bob.user();
    let talk = async {
        let mut slowest = Duration::ZERO;
        for n in 1..=100 {
            let began = Instant::now();
            let upload = seal_text(&mut pair.alice_state, "still here");
            let id = alice.send(Person::send(&to, n, upload)).await;
            let got = bob
                .event(|op| match op {
                    ServerOp::Message(message) => Some(message),
                    _ => None,
                })
                .await;
            assert_eq!(open_text(&mut pair.bob_state, &got), "still here");
            bob.send(ClientOp::Ack(Ack { n, failed: vec![] })).await;
            assert!(matches!(alice.answer(id).await, ServerOp::Accepted(_)));
            slowest = slowest.max(began.elapsed());
        }
        slowest
    };
    let (held, slowest) = tokio::join!(flood, talk);
    let taken = held.iter().filter(|one| one.status == 101).count();
    let refused = held.iter().filter(|one| one.status == 503).count();
    assert_eq!((taken, refused), (50, FLOOD - 50));
    let grown = resident(&server).saturating_sub(before);
    println!("slowest message {slowest:?}, memory grew by {} KiB", grown / 1024);
    assert!(grown < 32 * MIB, "it grew by {grown} bytes");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

/// The resident memory of the server's process, in bytes.
fn resident(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
