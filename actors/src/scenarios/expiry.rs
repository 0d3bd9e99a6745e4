//! What waits too long: messages, notices, and what is remembered of both.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Lets time pass while nobody is connected, and the sweeper have its turn.
async fn pass(time: Duration) {
    tokio::time::advance(time).await;
    tokio::time::sleep(Duration::from_secs(31)).await;
}

#[actix::test]
async fn after_thirty_days_the_sender_hears_of_it_and_the_message_is_gone() {
    let world = World::new([1, 2, 0, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    alice.send(text(0, 2, 1, 2)).await.unwrap();
    // One of the two devices takes it in time.
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.message().await.n, 1);
    bob.ack(1).await;
    assert!(matches!(alice.notice().await, (1, News::Delivered { .. })));
    alice.ack(1).await;
    assert_eq!(alice.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    // Everybody is away when it ends.
    drop((alice, bob));
    pass(29 * DAY).await;
    assert_eq!(world.engine.counts().queued_messages, 1);
    pass(DAY).await;
    let counts = world.engine.counts();
    assert_eq!((counts.queued_messages, counts.queued_bytes, counts.notices), (0, 0, 1));
    let mut phone = world.json(2, 1).await;
    assert!(phone.is_quiet(Duration::from_secs(1)).await);
    let mut alice = world.json(1, 0).await;
    let what = News::Expired { mid: mid(1), device: device(2, 1) };
    assert_eq!(alice.notice().await, (1, what));
    alice.ack(1).await;
    assert_eq!(alice.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    assert_eq!(world.engine.counts().notices, 0);
}

#[actix::test]
async fn a_sender_that_is_there_hears_of_it_at_once() {
    let limits = Limits { expire_after_ms: 60_000, ..unpaced() };
    let world = World::new([1, 1, 0, 0], limits);
    let mut alice = world.json(1, 0).await;
    let before = Instant::now();
    alice.send(text(0, 2, 1, 1)).await.unwrap();
    let what = News::Expired { mid: mid(1), device: device(2, 0) };
    assert_eq!(alice.notice().await, (1, what));
    assert!((60_000..95_000).contains(&before.elapsed().as_millis()));
    assert_eq!(world.engine.counts().queued_messages, 0);
    // It was accepted, and it stays so.
    assert!(alice.send(text(0, 2, 1, 1)).await.is_ok());
    assert_eq!(world.engine.counts().queued_messages, 0);
}

#[actix::test]
async fn notices_and_gaps_wait_thirty_one_days() {
    let world = World::new([1, 1, 1, 0], Limits { ledger_messages: 1, ..unpaced() });
    let mut alice = world.json(1, 0).await;
    let mut carol = world.json(3, 0).await;
    alice.send(text(0, 2, 1, 1)).await.unwrap();
    alice.send(text(0, 3, 1, 1)).await.unwrap();
    assert_eq!(alice.send(text(0, 2, 2, 1)).await, Err(Reject::QueueFull {}), "a gap for Bob");
    drop(alice);
    assert_eq!(carol.message().await.n, 1);
    carol.ack(1).await;
    assert_eq!(carol.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    drop(carol);
    assert_eq!(world.engine.counts().notices, 2, "one for Alice, one for Bob");
    pass(30 * DAY).await;
    assert_eq!(world.engine.counts().notices, 3, "and that Bob's message ended");
    pass(DAY).await;
    assert_eq!(world.engine.counts().notices, 1, "the youngest");
    let mut bob = world.json(2, 0).await;
    assert!(bob.is_quiet(Duration::from_secs(1)).await);
    let mut alice = world.json(1, 0).await;
    assert!(matches!(alice.notice().await, (1, News::Expired { .. })));
}
