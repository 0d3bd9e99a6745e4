//! Declining, removing, blocking: what the one who does it sees, and what nobody else can tell.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hushwire_wire::frame::{ClientOp, EventKind, ServerOp};
use hushwire_wire::http::{
    Changes, ContactAccept, ContactAsked, ContactDecline, ContactState, EpochPost, EpochRef,
    ProblemCode,
};
use hushwire_wire::{Encoding, Reject, RequestId, UserId};
use reqwest::StatusCode;
use support::devices::part;
use support::http::Reply;
use support::person::{post, seal_text};
use support::{Http, Pair, Person, Server, Socket};

const NOBODY: UserId = UserId([3; 32]);

fn done(reply: &Reply) {
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text());
    assert!(reply.body.is_empty());
}

async fn states(person: &Person) -> Vec<(UserId, ContactState)> {
    person.contacts().await.contacts.iter().map(|one| (one.peer, one.state)).collect()
}

/// What somebody is answered who reads and writes as if `peer` were a contact.
async fn answers(person: &Person, peer: &UserId, epoch: &EpochPost) -> Vec<(u16, Vec<u8>)> {
    let user = format!("/v1/users/{}", peer.to_base64url());
    let mut all = Vec::new();
    for path in ["log", "prekeys"] {
        all.push(person.http.get(&format!("{user}/{path}"), person.token()).await);
    }
    let body = EpochPost { peer: *peer, epoch: epoch.epoch.clone() };
    all.push(person.http.post("/v1/epochs", person.token(), &body).await);
    all.into_iter().map(|reply| (reply.status.as_u16(), reply.body)).collect()
}

async fn send(socket: &mut Socket, to: &UserId, sn: u64, upload: Vec<u8>) -> ServerOp {
    socket.ask(Person::send(to, sn, upload)).await
}

/// A `remove` and a `block`: the other side sees the same.
async fn nobody_can_tell(act: &str, shown: &[ContactState]) {
    let server = Server::start_with(&[("limits.message_interval_ms", "0")]);
    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let (alice, bob) = (&pair.alice, &pair.bob);
    let prev = pair.alice_state.id();
    let next = alice.new_epoch(&bob.user(), 1, prev.0).await;
    let next = EpochPost { peer: bob.user(), epoch: post(&next) };
    let (mut alice_socket, _) = alice.connect(Encoding::Json).await;
    let (mut bob_socket, _) = bob.connect(Encoding::Cbor).await;
    let before = alice.contacts().await.v;

    done(&part(bob, act, &alice.user()).await);
    let kind = if act == "block" { EventKind::Block } else { EventKind::Removed };
    let heard = |op| match op {
        ServerOp::Event(event) => Some((event.kind, event.peer)),
        _ => None,
    };
    assert_eq!(bob_socket.event(heard).await, (kind, Some(alice.user())));
    let seen: Vec<_> = states(bob).await.into_iter().map(|(_, state)| state).collect();
    assert_eq!(seen, shown);
    done(&part(bob, act, &alice.user()).await);

    let list = alice.contacts().await;
    assert_eq!((list.v, list.contacts.len()), (before, 0), "gone, and nothing was told");
    assert_eq!(answers(alice, &bob.user(), &next).await, answers(alice, &NOBODY, &next).await);
    let path = format!("/v1/epochs/{}", prev.to_base64url());
    let known = alice.http.get(&path, alice.token()).await;
    let unknown = format!("/v1/epochs/{}", hushwire_wire::EpochId([3; 32]).to_base64url());
    let unknown = alice.http.get(&unknown, alice.token()).await;
    assert_eq!((known.status, known.body), (unknown.status, unknown.body));
    let upload = seal_text(&mut pair.alice_state, "are you there?");
    let refused = ServerOp::Reject(Reject::NotContact {});
    assert_eq!(send(&mut alice_socket, &pair.bob.user(), 1, upload.clone()).await, refused);
    assert_eq!(send(&mut alice_socket, &NOBODY, 1, upload).await, refused);
    let upload = seal_text(&mut pair.bob_state, "and back");
    assert_eq!(send(&mut bob_socket, &pair.alice.user(), 1, upload).await, refused);
    // Nothing was told to her socket in all that time: the next event is of somebody else.
    let carol = Person::register(&server.http(), "carol").await;
    let _: ContactAsked = carol.ask(&carol.request("alice")).await.ok();
    let heard = alice_socket.event(heard).await;
    assert_eq!(heard, (EventKind::Request, Some(carol.user())));
}

#[tokio::test]
async fn a_removed_contact_is_simply_gone() {
    nobody_can_tell("remove", &[]).await;
}

#[tokio::test]
async fn a_block_looks_like_a_removal() {
    nobody_can_tell("block", &[ContactState::Blocked]).await;
}

#[tokio::test]
async fn a_request_to_who_blocks_goes_nowhere() {
    let server = Server::start();
    let Pair { alice, bob, .. } = Pair::meet(&server.http(), "alice", "bob").await;
    done(&part(&bob, "block", &alice.user()).await);
    let v = bob.contacts().await.v;
    let blocked = alice.ask(&alice.request("bob")).await;
    let unknown = alice.ask(&alice.request("nobody")).await;
    assert_eq!(blocked.status, unknown.status);
    assert_eq!(blocked.body.len(), unknown.body.len());
    assert!(blocked.ok::<ContactAsked>().crossed.is_none());
    assert_eq!(states(&bob).await, [(alice.user(), ContactState::Blocked)]);
    assert_eq!(bob.contacts().await.v, v);

    let own = bob.ask(&bob.request("alice")).await.problem();
    assert_eq!(own.code, ProblemCode::Forbidden, "take it back first");
    done(&part(&bob, "unblock", &alice.user()).await);
    done(&part(&bob, "unblock", &alice.user()).await);
    assert_eq!(states(&bob).await, [], "it restores nothing");
    let _: ContactAsked = alice.ask(&alice.request("bob")).await.ok();
    assert_eq!(states(&bob).await, [(alice.user(), ContactState::Requested)]);
    done(&part(&bob, "block", &alice.user()).await);
    assert_eq!(states(&bob).await, [(alice.user(), ContactState::Blocked)], "who asks, too");
}

#[tokio::test]
async fn what_waits_from_the_blocked_is_dropped() {
    let server = Server::start_with(&[("limits.message_interval_ms", "0")]);
    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let (mut alice, _) = pair.alice.connect(Encoding::Cbor).await;
    for sn in 1..=3 {
        let upload = seal_text(&mut pair.alice_state, "read this");
        let answer = send(&mut alice, &pair.bob.user(), sn, upload).await;
        assert!(matches!(answer, ServerOp::Accepted(_)), "{answer:?}");
    }
    done(&part(&pair.bob, "block", &pair.alice.user()).await);
    let (mut bob, _) = pair.bob.connect(Encoding::Cbor).await;
    let asked = bob.send(ClientOp::Sync {}).await;
    loop {
        let frame = bob.next().await;
        assert!(!matches!(frame.op, ServerOp::Message(_)), "it is gone");
        if frame.id == Some(asked) {
            break;
        }
    }
}

#[tokio::test]
async fn a_declined_request_is_open_for_who_made_it() {
    let server = Server::start_with(&[("limits.requests_open", "1")]);
    let http = server.http();
    let alice = Person::register(&http, "alice").await;
    let bob = Person::register(&http, "bob").await;
    let request = alice.request("bob");
    let _: ContactAsked = alice.ask(&request).await.ok();
    let decline = ContactDecline { request_id: request.id() };
    let by = |person: &Person, body: ContactDecline| {
        let (http, token) = (person.http.clone(), person.token.clone());
        async move { http.post("/v1/contacts/decline", token.as_ref(), &body).await }
    };
    done(&by(&alice, decline.clone()).await);
    assert_eq!(states(&bob).await.len(), 1, "only who was asked declines");
    done(&by(&bob, decline.clone()).await);
    done(&by(&bob, decline.clone()).await);
    done(&by(&bob, ContactDecline { request_id: RequestId([9; 32]) }).await);
    assert_eq!(states(&bob).await, []);
    let made = ContactAccept {
        request_id: request.id(),
        epoch: hushwire_wire::http::NewEpoch {
            header: hushwire_wire::Sealed::new(vec![1]),
            wraps: Vec::new(),
        },
    };
    let late = bob.http.post("/v1/contacts/accept", bob.token(), &made).await;
    assert_eq!(late.problem().code, ProblemCode::BadRequest);
    let problem = alice.ask(&alice.request("carol")).await.problem();
    assert_eq!(problem.code, ProblemCode::RateLimited);
    assert_eq!(problem.rule.as_deref(), Some("limits.requests_open"));
    assert_eq!((problem.limit, problem.used), (Some(1), Some(1)));
    assert!(problem.retry_after_ms.is_some());
}

#[tokio::test]
async fn epochs_go_on_counting_when_people_meet_again() {
    let server = Server::start();
    let Pair { alice, bob, .. } = Pair::meet(&server.http(), "alice", "bob").await;
    done(&part(&alice, "remove", &bob.user()).await);
    let request = bob.request("alice");
    let _: ContactAsked = bob.ask(&request).await.ok();
    let prev = *request.id().as_bytes();
    let listed = alice.contacts().await.contacts.remove(0);
    assert_eq!((listed.state, listed.newest.unwrap().n), (ContactState::Requested, 0));
    let again = alice.new_epoch(&bob.user(), 0, prev).await;
    let body = ContactAccept { request_id: request.id(), epoch: post(&again) };
    let reply = alice.http.post("/v1/contacts/accept", alice.token(), &body).await;
    assert_eq!(reply.problem().code, ProblemCode::EpochConflict, "0 was there before");
    let next = alice.new_epoch(&bob.user(), 1, prev).await;
    let body = ContactAccept { request_id: request.id(), epoch: post(&next) };
    for _ in 0..2 {
        let reply = alice.http.post("/v1/contacts/accept", alice.token(), &body).await;
        assert_eq!(reply.ok::<EpochRef>(), EpochRef { n: 1, epoch: next.id });
    }
    assert_eq!(bob.contacts().await.contacts[0].newest, Some(EpochRef { n: 1, epoch: next.id }));
}

#[tokio::test]
async fn who_was_never_met_is_not_found() {
    let server = Server::start();
    let http = server.http();
    let alice = Person::register(&http, "alice").await;
    let bob = Person::register(&http, "bob").await;
    let known = part(&alice, "block", &bob.user()).await;
    let unknown = part(&alice, "block", &NOBODY).await;
    assert_eq!(known.problem().code, ProblemCode::NotFound);
    assert_eq!(known.body, unknown.body);
    let oneself = part(&alice, "block", &alice.user()).await;
    assert_eq!(oneself.problem().code, ProblemCode::NotFound);
    for act in ["remove", "unblock"] {
        for peer in [bob.user(), NOBODY, alice.user()] {
            done(&part(&alice, act, &peer).await);
        }
    }
    assert_eq!(alice.contacts().await.v, 1, "nothing changed");
}

#[tokio::test]
async fn what_is_no_such_request_is_refused() {
    let server = Server::start();
    let http: Http = server.http();
    let alice = Person::register(&http, "alice").await;
    for act in ["decline", "remove", "block", "unblock"] {
        let path = format!("/v1/contacts/{act}");
        let body = serde_json::json!({ "peer": NOBODY });
        let reply = http.post(&path, None, &body).await;
        assert_eq!(reply.problem().code, ProblemCode::Unauthenticated, "{act}");
        let reply = http.get(&path, alice.token()).await;
        assert_eq!(reply.problem().code, ProblemCode::MethodNotAllowed, "{act}");
        for body in [
            serde_json::json!([NOBODY]),
            serde_json::json!({ "peer": "AAAA" }),
            serde_json::json!({ "peer": NOBODY, "why": "so" }),
            serde_json::json!({}),
        ] {
            let reply = http.post(&path, alice.token(), &body).await;
            assert_eq!(reply.problem().code, ProblemCode::BadRequest, "{act} {body}");
        }
    }
}

#[tokio::test]
async fn requests_of_a_day_are_bounded() {
    let server = Server::start_with(&[("limits.requests_per_day", "2")]);
    let alice = Person::register(&server.http(), "alice").await;
    let first = alice.request("bob");
    for _ in 0..3 {
        let _: ContactAsked = alice.ask(&first).await.ok();
    }
    let _: ContactAsked = alice.ask(&alice.request("bob")).await.ok();
    let problem = alice.ask(&alice.request("bob")).await.problem();
    assert_eq!(problem.code, ProblemCode::RateLimited);
    assert_eq!(problem.rule.as_deref(), Some("limits.requests_per_day"));
    assert_eq!((problem.limit, problem.used), (Some(2), Some(2)));
    assert!((1..=86_400_000).contains(&problem.retry_after_ms.unwrap()));
    let path = "/v1/state?after=1";
    let nothing: Changes = alice.http.get(path, alice.token()).await.ok();
    assert_eq!(nothing.changes, []);
}
