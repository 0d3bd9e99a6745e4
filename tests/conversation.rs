//! Two people with the real SDK over a real server: online, offline, too fast, and with a server
//! that is killed. Nothing accepted is lost, nothing is shown twice, order is kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hushwire_client::{
    Device, Encoding, Event, KdfCost, OpenStoreError, Standing, StoreKey, Zeroizing,
};
use support::Server;
use support::stores::try_open;
use support::talker::{contacts, outside};

#[tokio::test]
async fn two_people_talk() {
    let server = Server::start();
    let (mut alice, mut bob) = contacts(&server).await;
    let (a, b) = (
        alice.client.safety_number("bob").await.unwrap(),
        bob.client.safety_number("alice").await.unwrap(),
    );
    assert_eq!(a.number, b.number);
    assert!(!a.verified);
    alice.client.mark_verified("bob", &a).await.unwrap();
    let card = &alice.client.contacts().await.unwrap()[0];
    assert_eq!((card.handle.as_str(), card.standing), ("bob", Standing::Active));
    assert!(card.verified);

    let id = alice.client.send_text("bob", "Can you read this?").await.unwrap();
    bob.shown("Can you read this?").await;
    alice.delivered(id).await;
    let id = bob.client.send_text("alice", "Only I can.").await.unwrap();
    alice.shown("Only I can.").await;
    bob.delivered(id).await;
    let history = alice.client.history("bob", 10).await.unwrap();
    let texts: Vec<_> = history.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts, ["Can you read this?", "Only I can."]);
}

#[tokio::test]
async fn a_message_that_is_too_fast_is_held_and_sent() {
    let server = Server::start_with(&[("limits.message_interval_ms", "700")]);
    let (mut alice, mut bob) = contacts(&server).await;
    alice.client.send_text("bob", "one").await.unwrap();
    let second = alice.client.send_text("bob", "two").await.unwrap();
    let held = alice
        .until(|event| match event {
            Event::Held { id, for_ms } if *id == second => Some(*for_ms),
            _ => None,
        })
        .await;
    assert!((1..=700).contains(&held), "{held}");
    alice.delivered(second).await;
    bob.shown("two").await;
    assert_eq!(bob.shown, ["one", "two"]);
}

#[tokio::test]
async fn offline_messages_come_in_order() {
    let server = Server::start_with(&[("limits.message_interval_ms", "0")]);
    let (mut alice, mut bob) = contacts(&server).await;
    bob.leave().await;
    let mut last = None;
    for n in 0..20 {
        last = Some(alice.client.send_text("bob", &format!("line {n}")).await.unwrap());
    }
    alice.accepted(last.unwrap()).await;
    bob.come_back();
    bob.shown("line 19").await;
    assert_eq!(bob.shown, (0..20).map(|n| format!("line {n}")).collect::<Vec<_>>());
    alice.delivered(last.unwrap()).await;
    assert!(alice.client.outbox().await.unwrap().waiting.is_empty());
}

#[tokio::test]
async fn a_killed_server_loses_nothing_and_repeats_nothing() {
    let mut server = Server::start_with(&[("limits.message_interval_ms", "0")]);
    let (mut alice, mut bob) = contacts(&server).await;
    let first = alice.client.send_text("bob", "delivered before").await.unwrap();
    alice.delivered(first).await;
    bob.shown("delivered before").await;
    // Accepted and still queued: only the server's memory has these, and alice's outbox.
    bob.leave().await;
    let mut last = None;
    for n in 0..5 {
        last = Some(alice.client.send_text("bob", &format!("queued {n}")).await.unwrap());
    }
    alice.accepted(last.unwrap()).await;
    server.kill();
    alice.until(|event| matches!(event, Event::Disconnected { .. }).then_some(())).await;
    // Not accepted: there is nobody to accept it.
    let unaccepted = alice.client.send_text("bob", "said into the dark").await.unwrap();
    server.restart();
    alice.until(|event| matches!(event, Event::Resynced { .. }).then_some(())).await;
    alice.accepted(unaccepted).await;
    bob.come_back();
    bob.shown("said into the dark").await;
    let mut expected = vec!["delivered before".to_owned()];
    expected.extend((0..5).map(|n| format!("queued {n}")));
    expected.push("said into the dark".to_owned());
    assert_eq!(bob.shown, expected);
    alice.delivered(unaccepted).await;
    // Once more from the start: nothing is told again, the history holds each once.
    bob.leave().await;
    bob.come_back();
    let id = bob.client.send_text("alice", "I have it all.").await.unwrap();
    bob.delivered(id).await;
    assert_eq!(bob.shown, expected);
    let history = bob.client.history("alice", 100).await.unwrap();
    assert_eq!(history.len(), expected.len() + 1);
}

#[tokio::test]
async fn a_passphrase_store_opens_with_its_passphrase_alone() {
    let server = Server::start();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("store.db");
    let key = |text: &str| StoreKey::Passphrase(Zeroizing::new(text.to_owned()), KdfCost::LEAST);
    let outside = outside(&server.url, Encoding::Cbor);
    let mut device = Device::open(&path, &key("correct horse")).unwrap();
    device.register(&outside, &server.url, "alice").await.unwrap();
    drop(device);
    let wrong = try_open(&path, &key("battery staple")).unwrap_err();
    assert!(matches!(wrong, OpenStoreError::WrongPassphrase), "{wrong}");
    let mut device = try_open(&path, &key("correct horse")).unwrap();
    assert_eq!(device.server().unwrap().as_deref(), Some(server.url.as_str()));
    // A second program on the same store is refused while the first has it.
    let second = Device::open(&path, &key("correct horse")).unwrap_err();
    assert!(matches!(second, OpenStoreError::Locked), "{second}");
}
