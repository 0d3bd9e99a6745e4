//! Prekeys over HTTP (CRYPTO 4): the next one only, what waits under the older ones, and the news
//! of it to contacts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::num::NonZeroU32;

use hushwire_e2ee::PrekeySecret;
use hushwire_identity::day_of;
use hushwire_wire::Encoding;
use hushwire_wire::frame::{ClientOp, EventKind, ServerOp};
use hushwire_wire::http::{EpochPost, PrekeyPut, Prekeys, ProblemCode, Unclaimed};
use support::person::{bundle, now_ms, post, random};
use support::{Pair, Person, Server};

/// The person's next prekey with this id, made so many days ago.
fn next(person: &mut Person, id: u32, days_ago: u32) {
    let id = NonZeroU32::new(id).unwrap();
    person.secret = PrekeySecret::generate(id, &mut random).unwrap();
    let day = day_of(now_ms()) - days_ago;
    person.prekey = person.secret.publish(&person.key, &person.log, person.suites, day);
}

async fn put(person: &Person) -> support::http::Reply {
    person.http.put("/v1/prekey", person.token(), &bundle(&person.prekey)).await
}

#[tokio::test]
async fn only_the_next_prekey_follows() {
    let server = Server::start();
    let mut alice = Person::register(&server.http(), "alice").await;
    let nothing = PrekeyPut { unclaimed: Vec::new(), more: false };
    assert_eq!(put(&alice).await.ok::<PrekeyPut>(), nothing, "a repeat of the first");
    for id in [1, 3, u32::MAX] {
        next(&mut alice, id, 0);
        assert_eq!(put(&alice).await.problem().code, ProblemCode::PrekeyConflict, "{id}");
    }
    next(&mut alice, 2, 0);
    assert_eq!(put(&alice).await.ok::<PrekeyPut>(), nothing);
    // What stands is there for its own device.
    let path = format!("/v1/users/{}/prekeys", alice.user().to_base64url());
    let own: Prekeys = alice.http.get(&path, alice.token()).await.ok();
    assert_eq!(own.prekeys, [bundle(&alice.prekey)]);
    let bob = Person::register(&server.http(), "bob").await;
    let others = bob.http.put("/v1/prekey", bob.token(), &bundle(&alice.prekey)).await;
    assert_eq!(others.problem().code, ProblemCode::BadRequest, "no device of Bob's log");
}

#[tokio::test]
async fn a_device_is_told_what_waits_under_its_older_prekeys() {
    let server = Server::start();
    let Pair { mut alice, bob, bob_state, .. } = Pair::meet(&server.http(), "alice", "bob").await;
    let made = bob.new_epoch(&alice.user(), 1, bob_state.id().0).await;
    let body = EpochPost { peer: alice.user(), epoch: post(&made) };
    let posted = bob.http.post("/v1/epochs", bob.token(), &body).await;
    assert!(posted.status.is_success(), "{}", posted.text());
    next(&mut alice, 2, 0);
    for _ in 0..2 {
        let waits = vec![Unclaimed { epoch: made.id, prekey: 1 }];
        let answer: PrekeyPut = put(&alice).await.ok();
        assert_eq!(answer, PrekeyPut { unclaimed: waits, more: false });
    }
    let path = format!("/v1/epochs/{}/claimed", made.id.to_base64url());
    alice.http.post(&path, alice.token(), &()).await;
    let answer: PrekeyPut = put(&alice).await.ok();
    assert_eq!(answer.unclaimed, []);
}

#[tokio::test]
async fn contacts_hear_of_the_prekey_of_another_day_and_strangers_do_not() {
    let server = Server::start();
    let Pair { mut alice, bob, .. } = Pair::meet(&server.http(), "alice", "bob").await;
    let carol = Person::register(&server.http(), "carol").await;
    let (mut of_bob, welcome) = bob.connect(Encoding::Json).await;
    let (mut of_carol, _) = carol.connect(Encoding::Json).await;
    // The same day again is no news: only the next, of another day, is told.
    next(&mut alice, 2, 0);
    put(&alice).await.ok::<PrekeyPut>();
    next(&mut alice, 3, 1);
    put(&alice).await.ok::<PrekeyPut>();
    let ServerOp::Event(event) = of_bob.next().await.op else { panic!("an event") };
    assert_eq!((event.kind, event.peer), (EventKind::Prekey, Some(alice.user())));
    assert_eq!(event.v, welcome.v, "nothing of Bob's changed");
    for socket in [&mut of_bob, &mut of_carol] {
        assert_eq!(socket.ask(ClientOp::Ping {}).await, ServerOp::Pong {}, "and nothing else");
    }
}

#[tokio::test]
async fn prekeys_and_the_news_of_them_are_bounded() {
    let server = Server::start_with(&[("limits.prekeys_per_hour", "3")]);
    let Pair { mut alice, bob, .. } = Pair::meet(&server.http(), "alice", "bob").await;
    let (mut socket, _) = bob.connect(Encoding::Cbor).await;
    // Two days in turn would be news each time.
    for (id, days_ago) in [(2, 1), (3, 0), (4, 1)] {
        next(&mut alice, id, days_ago);
        for _ in 0..3 {
            assert!(put(&alice).await.status.is_success(), "{id}, and repeats cost nothing");
        }
    }
    next(&mut alice, 5, 0);
    let problem = put(&alice).await.problem();
    assert_eq!(problem.code, ProblemCode::RateLimited);
    assert_eq!(problem.rule.as_deref(), Some("limits.prekeys_per_hour"));
    assert_eq!((problem.limit, problem.used), (Some(3), Some(3)));
    assert!((1..=3_600_000).contains(&problem.retry_after_ms.unwrap()));
    let carol = Person::register(&server.http(), "carol").await;
    assert!(carol.ask(&carol.request("bob")).await.status.is_success());
    let kind = |op| match op {
        ServerOp::Event(event) => Some(event.kind),
        _ => None,
    };
    assert_eq!(socket.event(kind).await, EventKind::Prekey);
    assert_eq!(socket.event(kind).await, EventKind::Request, "and no more news of prekeys");
}
