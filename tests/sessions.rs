//! The own devices: who is there, and signing one out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use hushwire_wire::close::Close;
use hushwire_wire::http::{ProblemCode, Session, Sessions};
use hushwire_wire::{DeviceId, Encoding};
use reqwest::StatusCode;
use support::devices::{add_device, delete, sign_in};
use support::http::Reply;
use support::insider::History;
use support::{Person, Server};

async fn list(person: &Person) -> Vec<Session> {
    person.http.get("/v1/sessions", person.token()).await.ok::<Sessions>().sessions
}

async fn end(person: &Person, device: &DeviceId) -> Reply {
    let path = format!("/v1/sessions/{}", device.to_base64url());
    delete(&person.http, &path, person.token(), None).await
}

fn of(sessions: &[Session], device: DeviceId) -> Session {
    *sessions.iter().find(|session| session.device == device).unwrap()
}

#[tokio::test]
async fn own_devices_are_listed_and_signed_out() {
    let server = Server::start();
    let http = server.http();
    let mut alice = Person::register(&http, "alice").await;
    let mut history = History::of(&alice);
    let phone = add_device(&mut alice, &mut history).await;
    let (mut socket, _) = phone.connect(Encoding::Cbor).await;
    let sessions = list(&alice).await;
    assert_eq!(sessions.len(), 2);
    assert!(sessions.windows(2).all(|two| two[0].device < two[1].device));
    let (mine, other) = (of(&sessions, alice.device()), of(&sessions, phone.device()));
    assert_eq!((mine.kind, mine.live, mine.current), (1, false, true));
    assert_eq!((other.kind, other.live, other.current), (3, true, false));
    assert!(mine.since <= other.since && mine.since > 1_600_000_000_000);

    assert_eq!(end(&alice, &phone.device()).await.status, StatusCode::NO_CONTENT);
    assert_eq!(socket.closed().await, Some(Close::NotAuthenticated));
    let refused = phone.http.get("/v1/contacts", phone.token()).await;
    assert_eq!(refused.problem().code, ProblemCode::Unauthenticated);
    let until = Instant::now() + Duration::from_secs(15);
    while of(&list(&alice).await, phone.device()).live {
        assert!(Instant::now() < until, "it stays live");
    }
    assert_eq!(end(&alice, &phone.device()).await.status, StatusCode::NO_CONTENT, "a repeat");
    // It is signed out, not taken out: it may come back.
    let back = Person { token: Some(sign_in(&phone).await), ..phone };
    assert_eq!(list(&back).await.len(), 2);
    // Oneself, too.
    assert_eq!(end(&back, &back.device()).await.status, StatusCode::NO_CONTENT);
    let refused = back.http.get("/v1/sessions", back.token()).await;
    assert_eq!(refused.problem().code, ProblemCode::Unauthenticated);
    assert_eq!(list(&alice).await.len(), 2);
}

#[tokio::test]
async fn others_devices_are_not_found() {
    let server = Server::start();
    let http = server.http();
    let alice = Person::register(&http, "alice").await;
    let bob = Person::register(&http, "bob").await;
    let (mut socket, _) = bob.connect(Encoding::Json).await;
    let others = end(&alice, &bob.device()).await;
    let unknown = end(&alice, &DeviceId([9; 16])).await;
    assert_eq!(others.problem().code, ProblemCode::NotFound);
    assert_eq!(others.body, unknown.body);
    assert_eq!(socket.ask(hushwire_wire::frame::ClientOp::Ping {}).await, PONG);
    assert_eq!(list(&bob).await.len(), 1);

    let path = "/v1/sessions/AAAA";
    let reply = delete(&http, path, alice.token(), None).await;
    assert_eq!(reply.problem().code, ProblemCode::BadRequest);
    assert_eq!(reply.problem().field.as_deref(), Some("device"));
    for reply in [delete(&http, path, None, None).await, http.get("/v1/sessions", None).await] {
        assert_eq!(reply.problem().code, ProblemCode::Unauthenticated);
    }
    for reply in [
        http.get(path, alice.token()).await,
        delete(&http, "/v1/sessions", alice.token(), None).await,
    ] {
        assert_eq!(reply.problem().code, ProblemCode::MethodNotAllowed);
    }
}

const PONG: hushwire_wire::frame::ServerOp = hushwire_wire::frame::ServerOp::Pong {};
