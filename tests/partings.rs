//! Declining, removing, blocking and meeting again, between people with the real SDK.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hushwire_client::{ClientError, ContactTrouble, Encoding, Event, Id, Standing, Trouble};
use support::Server;
use support::talker::{Talker, become_contacts, contacts};

const FAST: &[(&str, &str)] = &[("limits.message_interval_ms", "0")];

async fn failed(someone: &mut Talker, id: Id) -> (&'static str, String) {
    someone
        .until(|event| match event {
            Event::Failed { id: i, code, why } if *i == id => Some((*code, why.clone())),
            _ => None,
        })
        .await
}

async fn standings(someone: &Talker) -> Vec<(String, Standing)> {
    let cards = someone.client.contacts().await.unwrap();
    cards.into_iter().map(|card| (card.handle, card.standing)).collect()
}

async fn is_told_that_nothing_is_taken(someone: &mut Talker, name: &str) {
    someone
        .until(|event| match event {
            Event::Trouble { trouble: Trouble::Refused, handle: Some(handle), words }
                if handle == name =>
            {
                assert!(words.contains("removed you, blocked you, or be gone"), "{words}");
                Some(())
            }
            _ => None,
        })
        .await;
}

/// What somebody sees with whom `act` ended it: the same for all acts.
async fn the_other_side_cannot_tell(mut alice: Talker) -> Talker {
    // Told once; a list that was looked at before the first message says it already.
    let is_known = alice.client.contact("bob").await.unwrap().trouble.is_some();
    let id = alice.client.send_text("bob", "are you there?").await.unwrap();
    if !is_known {
        is_told_that_nothing_is_taken(&mut alice, "bob").await;
    }
    let (code, why) = failed(&mut alice, id).await;
    assert_eq!(code, "not_contact");
    assert!(why.contains("removed you, blocked you, or be gone"), "{why}");
    let card = alice.client.contact("bob").await.unwrap();
    assert_eq!(card.trouble, Some(ContactTrouble::Refused));
    alice
}

#[tokio::test]
async fn who_is_removed_learns_only_that_nothing_is_taken_and_both_can_meet_again() {
    let server = Server::start_with(FAST);
    let (alice, mut bob) = contacts(&server).await;
    alice.client.send_text("bob", "kept").await.unwrap();
    bob.shown("kept").await;
    bob.client.contacts_remove("alice").await.unwrap();
    assert_eq!(standings(&bob).await, []);
    let refused = bob.client.send_text("alice", "no").await;
    assert!(matches!(refused, Err(ClientError::NoContact)), "{refused:?}");
    assert_eq!(bob.texts("alice").await, ["kept"], "the history stays");
    let twice = bob.client.contacts_remove("alice").await;
    assert!(matches!(twice, Err(ClientError::NoContact)), "{twice:?}");
    let mut alice = the_other_side_cannot_tell(alice).await;
    // Nor after a start, when nothing of bob can be looked up any more.
    alice.leave().await;
    alice.come_back();
    let alice = the_other_side_cannot_tell(alice).await;

    // The one who was removed asks, the other accepts: under new keys, whose numbers go on.
    let (mut alice, mut bob) = become_contacts(alice, bob, "alice", "bob").await;
    alice.client.send_text("bob", "again").await.unwrap();
    bob.shown("again").await;
    bob.client.send_text("alice", "and back").await.unwrap();
    alice.shown("and back").await;
    assert_eq!(bob.texts("alice").await, ["kept", "again", "and back"]);
    let card = alice.client.contact("bob").await.unwrap();
    assert_eq!((card.standing, card.trouble), (Standing::Active, None));
}

#[tokio::test]
async fn who_removed_can_ask_again_and_the_other_side_is_asked() {
    let server = Server::start_with(FAST);
    let (alice, mut bob) = contacts(&server).await;
    alice.client.contacts_remove("bob").await.unwrap();
    bob.client.send_text("alice", "hm").await.unwrap();
    is_told_that_nothing_is_taken(&mut bob, "alice").await;
    let (alice, mut bob) = become_contacts(alice, bob, "alice", "bob").await;
    alice.client.send_text("bob", "sorry").await.unwrap();
    bob.shown("sorry").await;
}

#[tokio::test]
async fn a_block_lets_nothing_through_until_it_is_taken_back() {
    let server = Server::start_with(FAST);
    let (alice, bob) = contacts(&server).await;
    bob.client.contacts_block("alice").await.unwrap();
    assert_eq!(standings(&bob).await, [("alice".to_owned(), Standing::Blocked)]);
    for refused in [
        bob.client.send_text("alice", "no").await.map(|_| ()),
        bob.client.contacts_add("alice").await,
    ] {
        assert!(matches!(refused, Err(ClientError::YouBlock)), "{refused:?}");
    }
    let alice = the_other_side_cannot_tell(alice).await;
    // Asking leads nowhere, and nobody tells.
    alice.client.contacts_add("bob").await.unwrap();
    assert_eq!(standings(&bob).await, [("alice".to_owned(), Standing::Blocked)]);

    bob.client.contacts_unblock("alice").await.unwrap();
    assert_eq!(standings(&bob).await, []);
    let twice = bob.client.contacts_unblock("alice").await;
    assert!(matches!(twice, Err(ClientError::NotBlocked)), "{twice:?}");
    let (mut alice, bob) = become_contacts(alice, bob, "alice", "bob").await;
    bob.client.send_text("alice", "fine again").await.unwrap();
    alice.shown("fine again").await;
}

#[tokio::test]
async fn a_request_is_declined_and_its_asker_sees_no_difference() {
    let server = Server::start_with(FAST);
    let alice = Talker::register(&server, "alice", Encoding::Cbor).await;
    let mut bob = Talker::register(&server, "bob", Encoding::Json).await;
    alice.client.contacts_add("bob").await.unwrap();
    bob.until(|event| matches!(event, Event::ContactRequest { .. }).then_some(())).await;
    let before = standings(&alice).await;
    bob.client.contacts_decline("alice").await.unwrap();
    assert_eq!(standings(&bob).await, []);
    assert_eq!(standings(&alice).await, before);
    assert_eq!(before, [("bob".to_owned(), Standing::Asked)]);
    let twice = bob.client.contacts_decline("alice").await;
    assert!(matches!(twice, Err(ClientError::NobodyAsks)), "{twice:?}");
    // The other one may still ask.
    let (_bob, _alice) = become_contacts(bob, alice, "bob", "alice").await;
}

#[tokio::test]
async fn who_asks_can_be_blocked_and_a_stranger_not() {
    let server = Server::start_with(FAST);
    let alice = Talker::register(&server, "alice", Encoding::Cbor).await;
    let mut bob = Talker::register(&server, "bob", Encoding::Cbor).await;
    let stranger = bob.client.contacts_block("alice").await;
    assert!(matches!(stranger, Err(ClientError::NoContact)), "{stranger:?}");
    alice.client.contacts_add("bob").await.unwrap();
    bob.until(|event| matches!(event, Event::ContactRequest { .. }).then_some(())).await;
    bob.client.contacts_block("alice").await.unwrap();
    assert_eq!(standings(&bob).await, [("alice".to_owned(), Standing::Blocked)]);
}

#[tokio::test]
async fn a_removal_withdraws_what_still_waits() {
    let server = Server::start_with(FAST);
    let (mut alice, mut bob) = contacts(&server).await;
    bob.leave().await;
    let slip = alice.client.send_text("bob", "a slip").await.unwrap();
    alice.accepted(slip).await;
    let removal = alice.client.remove("bob", slip).await.unwrap().unwrap();
    alice.accepted(removal).await;
    let last = alice.client.send_text("bob", "a word").await.unwrap();
    alice.accepted(last).await;
    let waiting = alice.client.outbox().await.unwrap().waiting;
    assert!(waiting.iter().all(|entry| entry.id != slip), "it is not sent again, whatever is lost");
    bob.come_back();
    bob.shown("a word").await;
    assert_eq!(bob.shown, ["a word"]);
    let history = bob.client.history("alice", 10).await.unwrap();
    assert_eq!(history.len(), 1, "the withdrawn message never came: {history:?}");
}
