//! Edits, removals, reactions, timers, names and batches, between two people with the real SDK
//! over a real server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hushwire_client::{ClientError, Event, Id, Message, Stage};
use support::Server;
use support::talker::{Talker, contacts};

const FAST: &[(&str, &str)] = &[("limits.message_interval_ms", "0")];

async fn edited(someone: &mut Talker, id: Id) -> Message {
    someone
        .until(|event| match event {
            Event::Edited(message) if message.id == id => Some(message.clone()),
            _ => None,
        })
        .await
}

async fn removed(someone: &mut Talker, id: Id) {
    someone
        .until(|event| matches!(event, Event::Removed { id: i, .. } if *i == id).then_some(()))
        .await;
}

async fn reacted(someone: &mut Talker, id: Id) -> String {
    someone
        .until(|event| match event {
            Event::Reacted { id: i, reaction, .. } if *i == id => Some(reaction.symbol.clone()),
            _ => None,
        })
        .await
}

async fn message(someone: &Talker, with: &str, id: Id) -> Message {
    let history = someone.client.history(with, 100).await.unwrap();
    history.into_iter().find(|message| message.id == id).unwrap()
}

#[tokio::test]
async fn what_was_said_is_edited_reacted_to_and_removed_on_both_sides() {
    let server = Server::start_with(FAST);
    let (mut alice, mut bob) = contacts(&server).await;
    let id = alice.client.send_text("bob", "See you at six").await.unwrap();
    bob.shown("See you at six").await;

    let told = alice.client.edit("bob", id, "See you at seven").await.unwrap().unwrap();
    assert_eq!(edited(&mut bob, id).await.text, "See you at seven");
    alice.delivered(told).await;
    assert_eq!(alice.texts("bob").await, bob.texts("alice").await);
    assert_eq!(message(&bob, "alice", id).await.since.edit.unwrap().rev, 1);

    bob.client.react("alice", id, "\u{1f44d}").await.unwrap();
    assert_eq!(reacted(&mut alice, id).await, "\u{1f44d}");
    bob.client.react("alice", id, "").await.unwrap();
    assert_eq!(reacted(&mut alice, id).await, "");
    bob.client.react("alice", id, "+").await.unwrap();
    assert_eq!(reacted(&mut alice, id).await, "+");
    let reactions = message(&alice, "bob", id).await.since.reactions;
    assert_eq!((reactions.len(), reactions[0].from.as_str()), (1, "bob"));

    for refused in
        [bob.client.edit("alice", id, "See you never").await, bob.client.remove("alice", id).await]
    {
        assert!(matches!(refused, Err(ClientError::NotOwn)), "{refused:?}");
    }
    alice.client.remove("bob", id).await.unwrap().unwrap();
    removed(&mut bob, id).await;
    for (someone, with) in [(&alice, "bob"), (&bob, "alice")] {
        let message = message(someone, with, id).await;
        assert!(message.since.removed && message.text.is_empty());
        assert!(message.since.reactions.is_empty());
    }
}

#[tokio::test]
async fn what_happens_while_somebody_is_away_is_seen_as_it_stands() {
    let server = Server::start_with(FAST);
    let (mut alice, mut bob) = contacts(&server).await;
    bob.leave().await;
    let kept = alice.client.send_text("bob", "A word").await.unwrap();
    let gone = alice.client.send_text("bob", "A slip").await.unwrap();
    let edit = alice.client.edit("bob", kept, "A better word").await.unwrap().unwrap();
    alice.accepted(edit).await;
    let removal = alice.client.remove("bob", gone).await.unwrap().unwrap();
    alice.accepted(removal).await;
    let end = alice.client.send_text("bob", "That is all").await.unwrap();
    alice.accepted(end).await;
    bob.come_back();
    bob.shown("That is all").await;
    // What was taken back while it waited never came.
    assert_eq!(bob.texts("alice").await, ["A better word", "That is all"]);
    // After another start nothing of it is told again.
    bob.leave().await;
    bob.come_back();
    let last = bob.client.send_text("alice", "I am back").await.unwrap();
    bob.delivered(last).await;
    assert_eq!(bob.texts("alice").await, ["A better word", "That is all", "I am back"]);
    assert_eq!(bob.client.history("alice", 2).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_edit_is_held_by_the_rule_and_a_removal_is_not() {
    let server = Server::start_with(&[("limits.message_interval_ms", "1500")]);
    let (mut alice, mut bob) = contacts(&server).await;
    let id = alice.client.send_text("bob", "one").await.unwrap();
    bob.shown("one").await;
    let edit = alice.client.edit("bob", id, "two").await.unwrap().unwrap();
    alice.until(|event| matches!(event, Event::Held { id, .. } if *id == edit).then_some(())).await;
    // It overtakes the edit that waits, which never leaves then.
    alice.client.remove("bob", id).await.unwrap().unwrap();
    let withdrawn =
        |event: &Event| matches!(event, Event::Failed { id, code: "withdrawn", .. } if *id == edit);
    alice.until(|event| withdrawn(event).then_some(())).await;
    removed(&mut bob, id).await;
    assert_eq!(bob.texts("alice").await, [""]);

    // A text that the rule holds has not left: it is withdrawn.
    alice.client.send_text("bob", "three").await.unwrap();
    let held = alice.client.send_text("bob", "four").await.unwrap();
    assert_eq!(alice.client.remove("bob", held).await.unwrap(), None);
    // So is a part of a batch; the other parts leave without it.
    let texts = ["five", "a slip", "six"].map(str::to_owned).to_vec();
    let batch = alice.client.send_texts("bob", texts).await.unwrap();
    assert_eq!(alice.client.remove("bob", batch.items[1]).await.unwrap(), None);
    // And a batch of which nothing is left.
    let texts = ["another", "slip"].map(str::to_owned).to_vec();
    for part in alice.client.send_texts("bob", texts).await.unwrap().items {
        assert_eq!(alice.client.remove("bob", part).await.unwrap(), None);
    }
    bob.shown("six").await;
    alice.delivered(batch.id).await;
    let waiting = alice.client.outbox().await.unwrap().waiting;
    assert!(waiting.is_empty(), "{waiting:?}");
    assert_eq!(bob.shown, ["one", "three", "five", "six"]);
}

#[tokio::test]
async fn a_batch_counts_as_one_and_its_parts_are_messages() {
    let server = Server::start_with(&[("limits.message_interval_ms", "60000")]);
    let (mut alice, mut bob) = contacts(&server).await;
    let texts: Vec<String> = (0..16).map(|n| format!("part {n}")).collect();
    let sent = alice.client.send_texts("bob", texts.clone()).await.unwrap();
    bob.shown("part 15").await;
    assert_eq!(bob.shown, texts);
    alice.delivered(sent.id).await;
    let history = alice.client.history("bob", 100).await.unwrap();
    assert_eq!(history.iter().map(|message| message.id).collect::<Vec<_>>(), sent.items);
    assert!(history.iter().all(|message| message.stage >= Some(Stage::Delivered)));
    let third = sent.items[3];
    bob.client.react("alice", third, "!").await.unwrap();
    assert_eq!(reacted(&mut alice, third).await, "!");
    alice.client.remove("bob", third).await.unwrap().unwrap();
    removed(&mut bob, third).await;
}

#[tokio::test]
async fn messages_disappear_on_both_sides_and_from_the_store() {
    let server = Server::start_with(FAST);
    let (mut alice, mut bob) = contacts(&server).await;
    alice.client.send_text("bob", "for ever").await.unwrap();
    bob.shown("for ever").await;
    alice.client.set_timer("bob", 1).await.unwrap().unwrap();
    let seconds = bob
        .until(|event| match event {
            Event::TimerSet { by, seconds, .. } if by == "alice" => Some(*seconds),
            _ => None,
        })
        .await;
    assert_eq!((seconds, bob.client.timer("alice").await.unwrap()), (1, 1));
    let id = alice.client.send_text("bob", "for a second").await.unwrap();
    bob.shown("for a second").await;
    for someone in [&mut alice, &mut bob] {
        someone
            .until(|event| {
                matches!(event, Event::Disappeared { id: i, .. } if *i == id).then_some(())
            })
            .await;
    }
    assert_eq!(alice.texts("bob").await, ["for ever"]);
    assert_eq!(bob.texts("alice").await, ["for ever"]);
    // Bob takes the agreement back, and messages stay.
    bob.client.set_timer("alice", 0).await.unwrap().unwrap();
    alice.until(|event| matches!(event, Event::TimerSet { seconds: 0, .. }).then_some(())).await;
    alice.client.send_text("bob", "for ever again").await.unwrap();
    bob.shown("for ever again").await;
    let history = bob.client.history("alice", 1).await.unwrap();
    assert_eq!(history[0].since.gone_ms, None);
}

#[tokio::test]
async fn a_profile_name_reaches_contacts_and_later_ones() {
    let server = Server::start_with(FAST);
    let (mut alice, mut bob) = contacts(&server).await;
    alice.client.set_profile("Alice A.").await.unwrap();
    let named = |event: &Event| match event {
        Event::Profile { handle, name } if handle == "alice" => {
            Some(name.as_ref().map(|name| name.0.clone()))
        }
        _ => None,
    };
    assert_eq!(bob.until(named).await.as_deref(), Some("Alice A."));
    let card = &bob.client.contacts().await.unwrap()[0];
    assert_eq!(card.profile.as_ref().unwrap().0, "Alice A.");
    // Somebody who becomes a contact later is told, too.
    let mut carol = Talker::register(&server, "carol", hushwire_client::Encoding::Cbor).await;
    carol.client.contacts_add("alice").await.unwrap();
    alice.until(|event| matches!(event, Event::ContactRequest { .. }).then_some(())).await;
    alice.client.contacts_accept("carol").await.unwrap();
    assert_eq!(carol.until(named).await.as_deref(), Some("Alice A."));
    alice.client.set_profile("").await.unwrap();
    assert_eq!(bob.until(named).await, None);
    assert_eq!(carol.until(named).await, None);
    assert_eq!(alice.client.profile().await.unwrap(), None);
}
