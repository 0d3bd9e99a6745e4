//! What changed while a device was away: in order, in pages, within bounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hushwire_wire::UserId;
use hushwire_wire::frame::EventKind;
use hushwire_wire::http::{CHANGES_MAX, Changes, EpochPost, ProblemCode};
use support::devices::part;
use support::person::post;
use support::{Pair, Person, Server};

async fn after(person: &Person, v: u64) -> Changes {
    person.http.get(&format!("/v1/state?after={v}"), person.token()).await.ok()
}

fn kinds(changes: &Changes) -> Vec<(u64, EventKind, Option<UserId>)> {
    changes.changes.iter().map(|change| (change.v, change.kind, change.peer)).collect()
}

#[tokio::test]
async fn changes_are_there_in_order_after_a_restart_too() {
    let mut server = Server::start();
    let http = server.http();
    let Pair { mut alice, mut bob, bob_state, .. } = Pair::meet(&http, "alice", "bob").await;
    let made = bob.new_epoch(&alice.user(), 1, bob_state.id().0).await;
    let body = EpochPost { peer: alice.user(), epoch: post(&made) };
    let posted = bob.http.post("/v1/epochs", bob.token(), &body).await;
    assert!(posted.status.is_success(), "{}", posted.text());
    let carol = Person::register(&http, "carol").await;
    assert!(carol.ask(&carol.request("alice")).await.status.is_success());
    assert!(part(&alice, "block", &carol.user()).await.status.is_success());
    assert!(part(&alice, "remove", &bob.user()).await.status.is_success());
    server.restart();
    for person in [&mut alice, &mut bob] {
        person.http = server.http();
        person.token = Some(support::devices::sign_in(person).await);
    }
    let (a, b, c) = (Some(alice.user()), Some(bob.user()), Some(carol.user()));
    let all = after(&alice, 1).await;
    assert!(all.complete && !all.more);
    assert_eq!(all.v, alice.contacts().await.v);
    let expected = [
        (2, EventKind::Accepted, b),
        (3, EventKind::Epoch, b),
        (4, EventKind::Request, c),
        (5, EventKind::Block, c),
        (6, EventKind::Removed, b),
    ];
    assert_eq!(kinds(&all), expected);
    assert!(all.changes.windows(2).all(|two| two[0].at <= two[1].at));
    assert_eq!(kinds(&after(&alice, 4).await), expected[3..]);
    assert_eq!(kinds(&after(&alice, 6).await), []);
    let expected =
        [(2, EventKind::Request, a), (3, EventKind::Accepted, a), (4, EventKind::Epoch, a)];
    assert_eq!(kinds(&after(&bob, 1).await), expected, "nothing of the removal");
}

#[tokio::test]
async fn what_is_missing_is_said_and_pages_are_bounded() {
    let server = Server::start();
    let Pair { alice, bob, .. } = Pair::meet(&server.http(), "alice", "bob").await;
    for _ in 0..150 {
        for act in ["block", "unblock"] {
            assert!(part(&alice, act, &bob.user()).await.status.is_success());
        }
    }
    let first = after(&alice, 1).await;
    assert_eq!((first.changes.len(), first.more, first.complete), (CHANGES_MAX, true, true));
    let last = first.changes.last().unwrap().v;
    let rest = after(&alice, last).await;
    assert_eq!((rest.changes.len(), rest.more), (301 - CHANGES_MAX, false));
    assert_eq!(rest.changes.last().unwrap().v, first.v);
    // Before the account there is nothing to know, and ahead of it nothing that was ever said.
    for v in [0, first.v + 1, u64::MAX] {
        let none = after(&alice, v).await;
        assert_eq!((none.complete, none.changes.len(), none.v), (false, 0, first.v), "{v}");
    }
}

#[tokio::test]
async fn only_a_version_is_asked_for() {
    let server = Server::start();
    let alice = Person::register(&server.http(), "alice").await;
    for query in ["", "?after", "?after=x", "?after=-1", "?after=1&more=2", "?before=1"] {
        let reply = alice.http.get(&format!("/v1/state{query}"), alice.token()).await;
        let problem = reply.problem();
        assert_eq!(problem.code, ProblemCode::BadRequest, "{query}");
        assert_eq!(problem.field.as_deref(), Some("after"), "{query}");
    }
    let reply = alice.http.get("/v1/state?after=1", None).await;
    assert_eq!(reply.problem().code, ProblemCode::Unauthenticated);
    let reply = alice.http.post("/v1/state?after=1", alice.token(), &()).await;
    assert_eq!(reply.problem().code, ProblemCode::MethodNotAllowed);
}
