//! An old copy of a store, and two copies of one (CRYPTO 4, "rolled back or cloned"): nothing goes
//! out under a counter that was used, conversations heal, and a person is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;

use hushwire_client::{Code, Event, Trouble};
use hushwire_wire::Sealed;
use hushwire_wire::message::Upload;
use support::keeper::{Keeper, contacts, says, server};

/// Every upload has a place (epoch, sender, counter) of its own.
fn no_place_was_used_twice(keeper: &Keeper) {
    let mut places = BTreeMap::new();
    for bytes in &keeper.kept.lock().unwrap().uploads {
        let sealed = Sealed::new(bytes.clone());
        let header = Upload::parse(&sealed).unwrap().header;
        let place = (header.epoch.0, header.sender, header.counter);
        let before = places.insert(place, bytes.clone());
        assert!(before.is_none_or(|before| before == *bytes), "two messages at {place:?}");
    }
}

#[tokio::test]
async fn a_restored_copy_heals_and_uses_no_counter_twice() {
    let server = server();
    let (mut alice, mut bob) = contacts(&server, 0).await;
    says(&alice, &mut bob, "bob", "one").await;
    alice.stop().await;
    let copy = alice.copy();
    alice.start().await;
    for text in ["two", "three"] {
        says(&alice, &mut bob, "bob", text).await;
    }
    says(&bob, &mut alice, "alice", "read by the copy that is thrown away").await;
    alice.stop().await;

    alice.restore(&copy);
    alice.start().await;
    let words = alice.trouble(Trouble::RolledBack).await;
    assert!(words.contains("backup"), "{words}");
    says(&alice, &mut bob, "bob", "after").await;
    says(&bob, &mut alice, "alice", "and back").await;
    no_place_was_used_twice(&alice);
    assert_eq!(alice.reasons(), [4], "healed by one new epoch");
    let texts: Vec<String> =
        bob.client().history("alice", 9).await.unwrap().into_iter().map(|m| m.text).collect();
    assert_eq!(texts[..3], ["one", "two", "three"]);
    assert_eq!(texts[3..], ["read by the copy that is thrown away", "after", "and back"]);
}

#[tokio::test]
async fn what_waits_in_a_restored_copy_is_sent_once() {
    let server = server();
    let (mut alice, mut bob) = contacts(&server, 0).await;
    alice.stop().await;
    let copy = alice.copy();
    alice.start().await;
    let id = alice.client().send_text("bob", "only once").await.unwrap();
    assert_eq!(bob.reads().await.id, id);
    alice.until(|event| matches!(event, Event::Delivered(i) if *i == id).then_some(())).await;
    alice.stop().await;
    alice.restore(&copy);
    alice.start().await;
    alice.trouble(Trouble::RolledBack).await;
    says(&alice, &mut bob, "bob", "new").await;
    no_place_was_used_twice(&alice);
    let history = bob.client().history("alice", 9).await.unwrap();
    assert_eq!(history.len(), 2);
}

#[tokio::test]
async fn two_copies_that_take_turns_are_told_to_be_clones() {
    let server = server();
    let (mut alice, mut bob) = contacts(&server, 0).await;
    says(&alice, &mut bob, "bob", "one").await;
    alice.stop().await;
    // Two copies of one store take turns, each going on from where it stopped.
    let mut copies = [alice.copy(), alice.copy()];
    let mut alarmed = false;
    for turn in 0..5 {
        alice.restore(&copies[turn % 2]);
        alice.start().await;
        if turn > 0 {
            let what = alice
                .until(|event| match event {
                    Event::Trouble { trouble: Trouble::RolledBack, .. } => Some(None),
                    Event::Alarm { code, words } => Some(Some((*code, words.clone()))),
                    _ => None,
                })
                .await;
            if let Some((code, words)) = what {
                assert_eq!(code, Code::DeviceCloned);
                assert!(words.contains("twice"), "{words}");
                alarmed = true;
            }
        }
        says(&alice, &mut bob, "bob", &format!("turn {turn}")).await;
        alice.stop().await;
        copies[turn % 2] = alice.copy();
    }
    assert!(alarmed);
    no_place_was_used_twice(&alice);
}
