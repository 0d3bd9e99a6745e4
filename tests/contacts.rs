//! Accounts and contacts: registration, requests that tell nobody who exists, acceptance.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hushwire_wire::http::{
    ContactAccept, ContactAsked, ContactState, EpochPost, ProblemCode, Registered,
};
use hushwire_wire::{Encoding, Sealed};
use support::person::{both_suites, post};
use support::{Pair, Person, Server};

#[tokio::test]
async fn a_username_belongs_to_the_first() {
    let server = Server::start();
    let http = server.http();
    let alice = Person::register(&http, "alice").await;
    let thief = Person::prepare(&http, "alice", both_suites()).await;
    assert_eq!(thief.post_account().await.problem().code, ProblemCode::HandleTaken);
    // A repeat of the same registration, as after a lost answer, is answered like the first.
    let again: Registered = alice.post_account().await.ok();
    assert_eq!(again.user, alice.user());
}

#[tokio::test]
async fn what_is_no_genesis_is_refused() {
    let server = Server::start();
    let http = server.http();
    let alice = Person::prepare(&http, "alice", both_suites()).await;
    let good = alice.account();
    let code = |body: &hushwire_wire::http::Register| {
        let (http, body) = (http.clone(), body.clone());
        async move { http.post("/v1/accounts", None, &body).await.problem().code }
    };
    let mut broken = good.clone();
    let mut bytes = broken.genesis.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    broken.genesis = Sealed::from(bytes);
    assert_eq!(code(&broken).await, ProblemCode::BadRequest, "signature");
    let mut other = good.clone();
    let mallory = Person::prepare(&http, "mallory", both_suites()).await;
    other.prekey = mallory.account().prekey;
    assert_eq!(code(&other).await, ProblemCode::BadRequest, "another's prekey");
    let mut xwing = good.clone();
    xwing.prekey.xwing = Some(Sealed::new(vec![7; 1216]));
    assert_eq!(code(&xwing).await, ProblemCode::BadRequest, "a key that pq_hash does not name");
    let elsewhere = Person { domain: "elsewhere.example".to_owned(), ..alice };
    assert_eq!(code(&elsewhere.account()).await, ProblemCode::BadRequest, "another domain");
    let _: Registered = http.post("/v1/accounts", None, &good).await.ok();
}

#[tokio::test]
async fn asking_tells_nobody_who_exists() {
    let server = Server::start();
    let http = server.http();
    let alice = Person::register(&http, "alice").await;
    let bob = Person::register(&http, "bob").await;
    let known = alice.ask(&alice.request("bob")).await;
    let unknown = alice.ask(&alice.request("nobody")).await;
    assert_eq!(known.status, unknown.status);
    assert_eq!(known.body.len(), unknown.body.len());
    let (known, unknown): (ContactAsked, ContactAsked) = (known.ok(), unknown.ok());
    assert!(known.crossed.is_none() && unknown.crossed.is_none());
    // Before acceptance the asker sees nothing of the other, and the other sees the asker.
    for user in [bob.user(), hushwire_wire::UserId([3; 32])] {
        let path = format!("/v1/users/{}/log", user.to_base64url());
        let reply = alice.http.get(&path, alice.token()).await;
        assert_eq!(reply.problem().code, ProblemCode::NotFound);
        let path = format!("/v1/users/{}/prekeys", user.to_base64url());
        let reply = alice.http.get(&path, alice.token()).await;
        assert_eq!(reply.problem().code, ProblemCode::NotFound);
    }
    let contacts = bob.contacts().await.contacts;
    assert_eq!(contacts.len(), 1);
    assert_eq!((contacts[0].peer, contacts[0].state), (alice.user(), ContactState::Requested));
    let (log, prekeys) = bob.look_up(&alice.user()).await;
    assert_eq!((log.handle().as_str(), prekeys.len()), ("alice", 1));
}

#[tokio::test]
async fn crossing_requests_meet() {
    let server = Server::start();
    let http = server.http();
    let alice = Person::register(&http, "alice").await;
    let bob = Person::register(&http, "bob").await;
    let first: ContactAsked = alice.ask(&alice.request("bob")).await.ok();
    let second: ContactAsked = bob.ask(&bob.request("alice")).await.ok();
    assert_eq!(second.crossed, Some(first.request_id));
}

#[tokio::test]
async fn acceptance_makes_contact_and_epoch_in_one_step() {
    let server = Server::start();
    let http = server.http();
    let alice = Person::register(&http, "alice").await;
    let bob = Person::register(&http, "bob").await;
    let carol = Person::register(&http, "carol").await;
    let request = alice.request("bob");
    let _: ContactAsked = alice.ask(&request).await.ok();
    let made = bob.new_epoch(&alice.user(), 0, *request.id().as_bytes()).await;
    let accept = ContactAccept { request_id: request.id(), epoch: post(&made) };
    // Not by somebody else, not with a broken epoch, not twice with another.
    let reply = carol.http.post("/v1/contacts/accept", carol.token(), &accept).await;
    assert_eq!(reply.problem().code, ProblemCode::NotFound);
    let mut short = accept.clone();
    short.epoch.wraps.clear();
    let reply = bob.http.post("/v1/contacts/accept", bob.token(), &short).await;
    assert_eq!(reply.problem().code, ProblemCode::BadRequest);
    let wrong_prev = bob.new_epoch(&alice.user(), 0, [9; 32]).await;
    let wrong = ContactAccept { request_id: request.id(), epoch: post(&wrong_prev) };
    let reply = bob.http.post("/v1/contacts/accept", bob.token(), &wrong).await;
    assert_eq!(reply.problem().status / 100, 4);
    let reply = bob.http.post("/v1/contacts/accept", bob.token(), &accept).await;
    assert!(reply.status.is_success(), "{}", reply.text());
    for person in [&alice, &bob] {
        let contacts = person.contacts().await;
        assert_eq!(contacts.contacts[0].state, ContactState::Active);
        assert_eq!(contacts.contacts[0].newest.unwrap().epoch, made.id);
    }
    assert!(carol.contacts().await.contacts.is_empty());
}

#[tokio::test]
async fn two_next_epochs_and_the_first_wins() {
    let server = Server::start();
    let pair = Pair::meet(&server.http(), "alice", "bob").await;
    let prev = *pair.bob_state.id().as_bytes();
    let one = pair.alice.new_epoch(&pair.bob.user(), 1, prev).await;
    let two = pair.bob.new_epoch(&pair.alice.user(), 1, prev).await;
    let body = EpochPost { peer: pair.bob.user(), epoch: post(&one) };
    let reply = pair.alice.http.post("/v1/epochs", pair.alice.token(), &body).await;
    assert!(reply.status.is_success(), "{}", reply.text());
    let body = EpochPost { peer: pair.alice.user(), epoch: post(&two) };
    let reply = pair.bob.http.post("/v1/epochs", pair.bob.token(), &body).await;
    let problem = reply.problem();
    assert_eq!(problem.code, ProblemCode::EpochConflict);
    assert_eq!(problem.header.unwrap().as_bytes(), one.header, "the winner comes along");
}

#[tokio::test]
async fn live_devices_are_told() {
    use hushwire_wire::frame::{EventKind, ServerOp};
    let server = Server::start();
    let http = server.http();
    let alice = Person::register(&http, "alice").await;
    let bob = Person::register(&http, "bob").await;
    let (mut alice_socket, _) = alice.connect(Encoding::Json).await;
    let (mut bob_socket, _) = bob.connect(Encoding::Cbor).await;
    let request = alice.request("bob");
    let _: ContactAsked = alice.ask(&request).await.ok();
    let kind = |op| match op {
        ServerOp::Event(event) => Some((event.kind, event.peer, event.v)),
        _ => None,
    };
    let (what, peer, before) = bob_socket.event(kind).await;
    assert_eq!((what, peer), (EventKind::Request, Some(alice.user())));
    let made = bob.new_epoch(&alice.user(), 0, *request.id().as_bytes()).await;
    let accept = ContactAccept { request_id: request.id(), epoch: post(&made) };
    let reply = bob.http.post("/v1/contacts/accept", bob.token(), &accept).await;
    assert!(reply.status.is_success());
    let (what, peer, _) = alice_socket.event(kind).await;
    assert_eq!((what, peer), (EventKind::Accepted, Some(bob.user())));
    assert!(bob.contacts().await.v > before);
}
