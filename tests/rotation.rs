//! Keys that wear out (CRYPTO 4 and 5): prekeys are renewed, epochs follow one another by
//! themselves, and two people notice nothing of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hushwire_client::{Event, Trouble};
use hushwire_wire::Reject;
use hushwire_wire::http::ProblemCode;
use support::Server;
use support::keeper::{DAY_MS, HOUR_MS, contacts, says, server};

/// CRYPTO 5, "reason".
const AGE: u8 = 2;
const PREKEY: u8 = 3;
const HEAL: u8 = 4;

#[tokio::test]
async fn a_worn_epoch_is_followed_by_one_under_the_newest_prekeys() {
    let server = server();
    let (mut alice, mut bob) = contacts(&server, 8 * DAY_MS).await;
    says(&alice, &mut bob, "bob", "under the first epoch").await;
    let prekeys = || [&alice.kept, &bob.kept].map(|kept| kept.lock().unwrap().prekeys);
    assert_eq!(prekeys(), [1, 1], "each run of a program renews its prekey once");
    assert!(alice.reasons().is_empty() && bob.reasons().is_empty());

    // Eight days later both come back, bob first. The next message is due a new epoch.
    alice.stop().await;
    bob.stop().await;
    alice.later(8 * DAY_MS);
    bob.later(8 * DAY_MS);
    bob.start().await;
    alice.start().await;
    says(&alice, &mut bob, "bob", "under the second").await;
    says(&bob, &mut alice, "alice", "and back").await;
    assert_eq!(alice.reasons(), [AGE]);
    assert!(bob.reasons().is_empty(), "one epoch serves both");
    let kept = alice.kept.lock().unwrap();
    let named: Vec<u32> = kept.epochs[0].roster.iter().map(|slot| slot.prekey).collect();
    assert_eq!(named, [3, 3], "the newest of both");
    assert_eq!(kept.epochs[0].n, 1);
}

#[tokio::test]
async fn a_fresher_prekey_makes_a_new_epoch_after_twelve_hours() {
    let server = server();
    let (alice, mut bob) = contacts(&server, DAY_MS).await;
    says(&alice, &mut bob, "bob", "one").await;
    bob.stop().await;
    bob.later(11 * HOUR_MS);
    alice.later(11 * HOUR_MS);
    bob.start().await;
    // Bob's prekey is fresher, and the epoch is too young.
    says(&alice, &mut bob, "bob", "two").await;
    assert!(alice.reasons().is_empty());
    alice.later(2 * HOUR_MS);
    bob.later(2 * HOUR_MS);
    says(&alice, &mut bob, "bob", "three").await;
    assert_eq!(alice.reasons(), [PREKEY]);
    says(&alice, &mut bob, "bob", "four").await;
    assert_eq!(alice.reasons(), [PREKEY], "once");
}

#[tokio::test]
async fn a_person_may_wish_a_new_key() {
    let server = server();
    let (mut alice, mut bob) = contacts(&server, 0).await;
    alice.client().renew_key("bob").await.unwrap();
    assert_eq!(alice.reasons(), [HEAL]);
    says(&alice, &mut bob, "bob", "there").await;
    says(&bob, &mut alice, "alice", "and back").await;
    let stranger = alice.client().renew_key("carol").await;
    assert!(matches!(stranger, Err(hushwire_client::ClientError::NoContact)), "{stranger:?}");
}

#[tokio::test]
async fn of_two_who_rotate_at_once_one_wins_and_both_are_read() {
    let server = server();
    let (mut alice, mut bob) = contacts(&server, 8 * DAY_MS).await;
    for round in 0..4 {
        alice.later(2 * DAY_MS);
        bob.later(2 * DAY_MS);
        let (to_bob, to_alice) = (format!("to bob {round}"), format!("to alice {round}"));
        let (one, other) =
            tokio::join!(alice.client().renew_key("bob"), bob.client().renew_key("alice"));
        one.unwrap();
        other.unwrap();
        let (one, other) = tokio::join!(
            alice.client().send_text("bob", &to_bob),
            bob.client().send_text("alice", &to_alice)
        );
        one.unwrap();
        other.unwrap();
        assert_eq!(bob.reads().await.text, to_bob);
        assert_eq!(alice.reads().await.text, to_alice);
    }
    let mut numbers = Vec::new();
    for keeper in [&alice, &bob] {
        let kept = keeper.kept.lock().unwrap();
        numbers.extend(kept.epochs.iter().map(|header| header.n));
        // Either the other was first, or the other's prekey of the new day came in between.
        let lost = |code| matches!(code, ProblemCode::EpochConflict | ProblemCode::EpochStale);
        assert!(kept.refused.iter().all(|code| lost(*code)), "{:?}", kept.refused);
    }
    numbers.sort_unstable();
    let unlike: std::collections::BTreeSet<_> = numbers.iter().collect();
    assert_eq!(unlike.len(), numbers.len(), "no number was given twice");
}

#[tokio::test]
async fn a_reused_counter_makes_a_new_epoch_and_the_message_arrives_once() {
    let server = server();
    let (mut alice, mut bob) = contacts(&server, 0).await;
    says(&alice, &mut bob, "bob", "one").await;
    alice.kept.lock().unwrap().reject_next = Some(Reject::CounterReuse {});
    let id = alice.client().send_text("bob", "two").await.unwrap();
    let message = bob.reads().await;
    assert_eq!((message.text.as_str(), message.id), ("two", id), "the same content id");
    alice.until(|event| matches!(event, Event::Delivered(i) if *i == id).then_some(())).await;
    assert_eq!(alice.reasons(), [HEAL]);
    assert_eq!(alice.kept.lock().unwrap().rejects, 1);
    says(&bob, &mut alice, "alice", "and back").await;
}

#[tokio::test]
async fn a_month_of_epochs_is_taken_in_order_and_every_message_is_read() {
    // The server's own clock does not move: its limits of epochs and prekeys an hour would bite.
    let free = [("limits.epochs_per_hour", "0"), ("limits.prekeys_per_hour", "0")];
    let server = Server::start_with(&[("limits.message_interval_ms", "0"), free[0], free[1]]);
    let (mut alice, mut bob) = contacts(&server, 30 * DAY_MS).await;
    says(&alice, &mut bob, "bob", "before").await;
    bob.stop().await;
    let mut texts = Vec::new();
    for day in 0..28 {
        alice.later(DAY_MS);
        alice.client().renew_key("bob").await.unwrap();
        for part in 0..2 {
            let text = format!("day {day}, {part}");
            let id = alice.client().send_text("bob", &text).await.unwrap();
            alice
                .until(|e| matches!(e, Event::Accepted { id: i, .. } if *i == id).then_some(()))
                .await;
            texts.push(text);
        }
    }
    assert_eq!(alice.reasons().len(), 28);
    bob.later(28 * DAY_MS);
    bob.start().await;
    let mut read = Vec::new();
    while read.len() < texts.len() {
        read.push(bob.reads().await.text);
    }
    assert_eq!(read, texts);
    says(&bob, &mut alice, "alice", "back again").await;
}

#[tokio::test]
async fn who_was_away_for_a_month_gets_nothing_until_back() {
    let server = server();
    let (mut alice, mut bob) = contacts(&server, 40 * DAY_MS).await;
    says(&alice, &mut bob, "bob", "before").await;
    bob.stop().await;
    alice.later(32 * DAY_MS);
    bob.later(32 * DAY_MS);
    let id = alice.client().send_text("bob", "are you there?").await.unwrap();
    let words = alice.trouble(Trouble::Unreachable).await;
    assert!(words.contains("bob") && words.contains("30 days"), "{words}");
    let refused = alice.client().send_text("bob", "hello?").await;
    assert!(matches!(refused, Err(hushwire_client::ClientError::PeerStale)), "{refused:?}");
    let card = alice.client().contact("bob").await.unwrap();
    assert_eq!(card.trouble, Some(hushwire_client::ContactTrouble::Unreachable));
    assert!(alice.reasons().is_empty(), "no key was made for nobody");
    // What waits goes when bob's new prekey is known.
    bob.start().await;
    assert_eq!(bob.reads().await.id, id);
    assert_eq!(alice.client().contact("bob").await.unwrap().trouble, None);
    says(&alice, &mut bob, "bob", "welcome back").await;
    says(&bob, &mut alice, "alice", "thanks").await;
}
