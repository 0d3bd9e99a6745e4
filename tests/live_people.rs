//! Typing and presence, between two people with the real SDK over a real server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use hushwire_client::{ClientError, Encoding, Event, ShownTo};
use support::Server;
use support::talker::{Talker, become_contacts, contacts};
use tokio::time::timeout;

const FAST: &[(&str, &str)] =
    &[("limits.message_interval_ms", "0"), ("limits.ephemeral_every_ms", "0")];

async fn typing(someone: &mut Talker, name: &str) {
    someone
        .until(|event| match event {
            Event::Typing { handle, on: true } if handle == name => Some(()),
            _ => None,
        })
        .await;
}

async fn presence(someone: &mut Talker, name: &str) -> bool {
    someone
        .until(|event| match event {
            Event::Presence { handle, on } if handle == name => Some(*on),
            _ => None,
        })
        .await
}

/// Nothing of presence was told up to a message that comes now.
async fn sees_nobody(someone: &mut Talker, other: &Talker, names: (&str, &str), text: &str) {
    other.client.send_text(names.0, text).await.unwrap();
    let is_told = |event: &Event| match event {
        Event::Presence { .. } => Some(true),
        Event::MessageReceived(message) if message.text == text => Some(false),
        _ => None,
    };
    assert!(!someone.until(is_told).await, "{} is seen", names.1);
}

#[tokio::test]
async fn a_contact_sees_that_somebody_types_and_messages_go_on() {
    let server = Server::start_with(FAST);
    let (mut alice, mut bob) = contacts(&server).await;
    alice.client.send_text("bob", "first").await.unwrap();
    bob.shown("first").await;
    // A sign that comes while a device pages through its queue is dropped: said again, as people
    // do who type on.
    let seen = async {
        loop {
            alice.client.typing("bob").await.unwrap();
            let wait = timeout(Duration::from_millis(500), typing(&mut bob, "alice"));
            if wait.await.is_ok() {
                break;
            }
        }
    };
    timeout(Duration::from_secs(20), seen).await.expect("a sign in time");
    alice.client.send_text("bob", "second").await.unwrap();
    bob.shown("second").await;
    bob.client.typing("alice").await.unwrap();
    typing(&mut alice, "bob").await;
    // A restart on either side costs nothing: counters go on.
    alice.leave().await;
    alice.come_back();
    alice.until(|event| matches!(event, Event::Connected).then_some(())).await;
    alice.client.send_text("bob", "third").await.unwrap();
    bob.shown("third").await;
    alice.client.typing("bob").await.unwrap();
    typing(&mut bob, "alice").await;
    let nobody = alice.client.typing("eve").await;
    assert!(matches!(nobody, Err(ClientError::NoContact)), "{nobody:?}");
    assert!(!server.log().contains("typing"));
}

#[tokio::test]
async fn contacts_see_each_other_only_if_both_wish_it() {
    let server = Server::start_with(FAST);
    let (mut alice, mut bob) = contacts(&server).await;
    assert_eq!(alice.client.presence().await.unwrap(), ShownTo::Nobody);
    alice.client.show_presence(true).await.unwrap();
    sees_nobody(&mut alice, &bob, ("alice", "bob"), "one").await;
    bob.client.show_presence(true).await.unwrap();
    assert!(presence(&mut alice, "bob").await);
    assert!(presence(&mut bob, "alice").await);
    bob.leave().await;
    assert!(!presence(&mut alice, "bob").await);
    // The wish is remembered.
    bob.come_back();
    assert!(presence(&mut alice, "bob").await);
    assert!(presence(&mut bob, "alice").await);
    alice.client.show_presence(false).await.unwrap();
    assert!(!presence(&mut bob, "alice").await);
    assert_eq!(alice.client.presence().await.unwrap(), ShownTo::Nobody);
}

#[tokio::test]
async fn only_those_who_were_chosen_see_it() {
    let server = Server::start_with(FAST);
    let (alice, bob) = contacts(&server).await;
    let carol = Talker::register(&server, "carol", Encoding::Cbor).await;
    let (mut alice, mut carol) = become_contacts(alice, carol, "alice", "carol").await;
    let mut bob = bob;
    for one in [&bob, &carol] {
        one.client.show_presence(true).await.unwrap();
    }
    let chosen = ShownTo::Only(vec!["carol".to_owned()]);
    alice.client.show_presence_to(chosen.clone()).await.unwrap();
    assert!(presence(&mut carol, "alice").await);
    assert!(presence(&mut alice, "carol").await);
    assert_eq!(alice.client.presence().await.unwrap(), chosen);
    sees_nobody(&mut bob, &alice, ("bob", "alice"), "hello").await;
    let nobody = ShownTo::Only(vec!["eve".to_owned()]);
    let refused = alice.client.show_presence_to(nobody).await;
    assert!(matches!(refused, Err(ClientError::NoContact)), "{refused:?}");
}
