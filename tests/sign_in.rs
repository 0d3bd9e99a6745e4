//! Signing in: challenge, token, hello; and everything that is no sign-in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hushwire_wire::close::Close;
use hushwire_wire::frame::{Ack, ClientOp, ServerOp};
use hushwire_wire::http::{AuthChallenge, AuthToken, ProblemCode};
use hushwire_wire::{Encoding, Sealed, Token};
use support::person::random_array;
use support::{Http, Person, Server, Socket};

async fn challenge(http: &Http) -> AuthChallenge {
    http.post("/v1/auth/challenge", None, &serde_json::json!({})).await.ok()
}

#[tokio::test]
async fn a_token_opens_the_http_interface_and_nothing_else_does() {
    let server = Server::start();
    let alice = Person::register(&server.http(), "alice").await;
    assert!(alice.contacts().await.contacts.is_empty());
    for token in [None, Some(Token([7; 32]))] {
        let reply = alice.http.get("/v1/contacts", token.as_ref()).await;
        assert_eq!(reply.problem().code, ProblemCode::Unauthenticated);
    }
}

#[tokio::test]
async fn a_challenge_is_good_once() {
    let server = Server::start();
    let alice = Person::register(&server.http(), "alice").await;
    let nonce = challenge(&alice.http).await.nonce;
    let answer = alice.auth_answer(nonce);
    let _: AuthToken = alice.http.post("/v1/auth/token", None, &answer).await.ok();
    let again = alice.http.post("/v1/auth/token", None, &answer).await;
    assert_eq!(again.problem().code, ProblemCode::Unauthenticated);
    let made_up = alice.auth_answer(hushwire_wire::Nonce(random_array()));
    let reply = alice.http.post("/v1/auth/token", None, &made_up).await;
    assert_eq!(reply.problem().code, ProblemCode::Unauthenticated);
}

#[tokio::test]
async fn a_wrong_signature_gets_nothing() {
    let server = Server::start();
    let http = server.http();
    let alice = Person::register(&http, "alice").await;
    let bob = Person::register(&http, "bob").await;
    let nonce = challenge(&http).await.nonce;
    let mut forged = alice.auth_answer(nonce);
    forged.signature = bob.auth_answer(nonce).signature;
    let reply = http.post("/v1/auth/token", None, &forged).await;
    let forged = reply.problem();
    assert_eq!(forged.code, ProblemCode::Unauthenticated);
    // An unknown user is answered with the same words.
    let stranger = Person::prepare(&http, "stranger", alice.suites).await;
    let nonce = challenge(&http).await.nonce;
    let reply = http.post("/v1/auth/token", None, &stranger.auth_answer(nonce)).await;
    assert_eq!(reply.problem(), forged);
}

#[tokio::test]
async fn both_encodings_are_welcomed() {
    let server = Server::start();
    let alice = Person::register(&server.http(), "alice").await;
    for encoding in Encoding::ALL {
        let (mut socket, welcome) = alice.connect(encoding).await;
        assert_eq!(welcome.window.messages, 32);
        assert_eq!(socket.ask(ClientOp::Ping {}).await, ServerOp::Pong {});
        let contacts = alice.http.get("/v1/contacts", Some(&welcome.token)).await;
        assert!(contacts.status.is_success());
    }
}

#[tokio::test]
async fn nothing_but_hello_comes_first() {
    let server = Server::start();
    let alice = Person::register(&server.http(), "alice").await;
    for encoding in Encoding::ALL {
        for op in [
            ClientOp::Ping {},
            ClientOp::Sync {},
            ClientOp::Ack(Ack { n: 1, failed: vec![] }),
            Person::send(&alice.user(), 1, vec![1; 413]),
        ] {
            let mut socket = Socket::connect(&server.url, encoding).await;
            socket.send(op).await;
            assert_eq!(socket.closed().await, Some(Close::NotAuthenticated));
        }
    }
}

#[tokio::test]
async fn a_wrong_or_replayed_hello_closes() {
    let server = Server::start();
    let alice = Person::register(&server.http(), "alice").await;
    let mut first = Socket::connect(&server.url, Encoding::Cbor).await;
    let ServerOp::Challenge(old) = first.next().await.op else { panic!() };
    let replay = alice.hello(&old.nonce, None);
    assert!(matches!(first.ask(ClientOp::Hello(replay.clone())).await, ServerOp::Welcome(_)));

    let mut second = Socket::connect(&server.url, Encoding::Cbor).await;
    second.send(ClientOp::Hello(replay)).await;
    assert_eq!(second.closed().await, Some(Close::NotAuthenticated));

    let mut third = Socket::connect(&server.url, Encoding::Json).await;
    let ServerOp::Challenge(fresh) = third.next().await.op else { panic!() };
    let mut forged = alice.hello(&fresh.nonce, None);
    forged.signature = Sealed::new(vec![0; 64]);
    third.send(ClientOp::Hello(forged)).await;
    assert_eq!(third.closed().await, Some(Close::NotAuthenticated));

    // The first connection noticed nothing.
    assert_eq!(first.ask(ClientOp::Ping {}).await, ServerOp::Pong {});
}

#[tokio::test]
async fn a_newer_connection_displaces_the_older() {
    let server = Server::start();
    let alice = Person::register(&server.http(), "alice").await;
    let (mut old, _) = alice.connect(Encoding::Cbor).await;
    let (mut new, _) = alice.connect(Encoding::Json).await;
    assert_eq!(old.closed().await, Some(Close::Displaced));
    assert_eq!(new.ask(ClientOp::Ping {}).await, ServerOp::Pong {});
}

#[tokio::test]
async fn a_second_hello_is_refused() {
    let server = Server::start();
    let alice = Person::register(&server.http(), "alice").await;
    let (mut socket, _) = alice.connect(Encoding::Cbor).await;
    let hello = alice.hello(&hushwire_wire::Nonce([1; 32]), None);
    let answer = socket.ask(ClientOp::Hello(hello)).await;
    assert!(matches!(answer, ServerOp::Reject(ref r) if r.name() == "bad_request"), "{answer:?}");
}
