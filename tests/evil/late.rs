//! What is late, and who was away: messages of epochs that are closed, a device that comes back
//! after 30 days, and one that comes back after 31. Clients live in the past and move towards the
//! server's today.

use hushwire_client::event::Trouble;
use hushwire_client::{ClientError, Code, Event};

use crate::scene::Scene;
use crate::support::victim::{DAY_MS, HOUR_MS, Moved, Victim, alarms, server};

/// Alice and bob, contacts, so many days ago.
async fn days_ago(server: &crate::support::Server, days: u64) -> (Victim, Victim) {
    let clock = Moved::behind(days * DAY_MS);
    let mut bob = Victim::register_at(server, "bob", clock.beside()).await;
    let mut alice = Victim::register_at(server, "alice", clock).await;
    alice.client.contacts_add("bob").await.unwrap();
    bob.until(|event| matches!(event, Event::ContactRequest { .. }).then_some(())).await;
    bob.client.contacts_accept("alice").await.unwrap();
    alice.until(|event| matches!(event, Event::ContactAccepted { .. }).then_some(())).await;
    (alice, bob)
}

async fn forward(victim: &mut Victim, by_ms: u64) {
    victim.close().await;
    victim.clock.forward(by_ms);
    victim.start();
    victim.connected().await;
}

async fn accepted(alice: &mut Victim, text: &str) {
    let id = alice.client.send_text("bob", text).await.unwrap();
    alice
        .until(|event| matches!(event, Event::Accepted { id: i, .. } if *i == id).then_some(()))
        .await;
}

/// 32: an epoch closes 7 days after a newer one was taken, once the queue was drained. Until then its messages are read; then
/// its keys are gone.
#[tokio::test]
async fn a_message_of_a_closed_epoch_is_refused() {
    let mut scene = Scene::set().await;
    let zero = scene.mallory.epoch.clone();
    let wrap = scene.mallory.wrap(&zero);
    scene.bob.evil.show(&zero.path(), &scene.mallory.bundle(&zero, wrap));
    let late = [0, 1].map(|counter| scene.mallory.text(&zero, counter, "late"));
    let one = scene.honest();
    scene.takes(&one).await;
    for (hours, closed) in [(7 * 24 - 1, false), (2, true)] {
        let drained = scene.bob.drains();
        forward(&mut scene.bob, hours * HOUR_MS).await;
        if closed {
            drained.notified().await;
            scene
                .bob
                .shows(scene.mallory.text(&one, 1, "after the queue"), "after the queue")
                .await;
            let alarms =
                alarms(&scene.bob.refuses("mallory", late[1].clone(), Code::EpochStale).await);
            assert_eq!(alarms, []);
        } else {
            scene.bob.shows(late[0].clone(), "late").await;
        }
    }
    scene.bob.shows(scene.mallory.text(&one, 2, "in time"), "in time").await;
}

/// 32: a device that was away for 30 days reads all that was sent meanwhile, in order, under the
/// epochs that followed each other.
#[tokio::test]
async fn a_device_that_was_away_for_30_days_reads_everything() {
    let server = server();
    let (mut alice, mut bob) = days_ago(&server, 31).await;
    accepted(&mut alice, "day 0").await;
    bob.message().await;
    bob.close().await;
    let mut sent = Vec::new();
    for (day, later) in [(8, 8), (16, 8), (23, 7), (30, 7)] {
        forward(&mut alice, later * DAY_MS).await;
        for n in 0..2 {
            let text = format!("day {day}, {n}");
            accepted(&mut alice, &text).await;
            sent.push(text);
        }
    }
    assert_eq!(alice.evil.count("Post /v1/epochs"), 4, "each time the epoch was worn");
    bob.clock.forward(30 * DAY_MS);
    bob.start();
    assert_eq!(bob.texts_until("day 30, 1").await, sent);
    assert_eq!(bob.texts("alice").await.len(), 1 + sent.len());
    assert_eq!(alarms(&bob.told().await), []);
    bob.client.send_text("alice", "I am back").await.unwrap();
    assert_eq!(alice.message().await.text, "I am back");
}

/// 32: a device that was away for 31 days is stale: nothing is sealed to it, and whoever writes is
/// told so. When it comes back it is admitted again by itself, and reads what waited for it.
#[tokio::test]
async fn a_device_that_was_away_for_31_days_is_stale_and_comes_back() {
    let server = server();
    let (mut alice, mut bob) = days_ago(&server, 32).await;
    accepted(&mut alice, "before").await;
    assert_eq!(bob.message().await.text, "before");
    bob.close().await;
    forward(&mut alice, 31 * DAY_MS).await;
    alice.client.send_text("bob", "while you were away").await.unwrap();
    let unreachable =
        |event: &Event| matches!(event, Event::Trouble { trouble: Trouble::Unreachable, .. });
    alice.until(|event| unreachable(event).then_some(())).await;
    let refused = alice.client.send_text("bob", "to nobody").await;
    assert!(matches!(refused, Err(ClientError::PeerStale)), "{refused:?}");
    assert_eq!(alice.evil.count("Post /v1/epochs"), 0, "no epoch without him");
    bob.clock.forward(31 * DAY_MS);
    bob.start();
    bob.connected().await;
    // His new prekey is news to her: what waited is sealed to it.
    assert_eq!(bob.message().await.text, "while you were away");
    accepted(&mut alice, "welcome back").await;
    assert_eq!(bob.texts_until("welcome back").await, ["welcome back"]);
    bob.client.send_text("alice", "thank you").await.unwrap();
    assert_eq!(alice.message().await.text, "thank you");
}
