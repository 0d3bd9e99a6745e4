//! Queues and a store that have no room, and what everybody concerned hears.

use hushwire_wire::frame::SkipReason;

use super::*;

fn gap(contact: u8, count: u64) -> News {
    News::Gap { contact: user(contact), count }
}

/// A device that acknowledges every message at once.
async fn take(client: &mut Client) -> u64 {
    let message = client.message().await;
    client.ack(message.n).await;
    message.n
}

#[actix::test]
async fn a_full_device_hears_what_it_missed_and_of_whom() {
    let world = World::new([2, 2, 0, 0], Limits { ledger_messages: 1, ..unpaced() });
    let mut alice = world.json(1, 0).await;
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    for sn in 1..=3 {
        let id = alice.op(ClientOp::Send(text(0, 2, sn, 3))).await;
        take(&mut bob).await;
        let ServerOp::Accepted(accepted) = alice.answer(id).await else { panic!("refused") };
        let full: Vec<_> = accepted.skipped.iter().map(|s| (s.device, s.why)).collect();
        let both = [device(1, 1), device(2, 1)].map(|device| (device, SkipReason::Full));
        assert_eq!(full, if sn == 1 { vec![] } else { both.to_vec() });
    }
    // The own device missed two of the pair with Bob, Bob's phone two of the pair with Alice.
    for (u, contact) in [(1, 2), (2, 1)] {
        let mut client = world.json(u, 1).await;
        assert_eq!(client.notice().await, (1, gap(contact, 2)));
        assert_eq!(client.message().await.n, 2, "in one numbering");
        client.ack(2).await;
        assert_eq!(client.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    }
    assert_eq!(world.engine.counts().queued_messages, 0);
    // Acknowledged, it is gone.
    for u in [1, 2] {
        let mut client = world.json(u, 1).await;
        assert!(client.is_quiet(Duration::from_secs(1)).await);
    }
}

#[actix::test]
async fn a_gap_that_was_not_acknowledged_is_told_again_with_what_came_since() {
    let world = World::new([1, 2, 0, 0], Limits { ledger_messages: 1, ..unpaced() });
    let mut alice = world.json(1, 0).await;
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    let mut phone = None;
    for sn in 1..=4 {
        let id = alice.op(ClientOp::Send(text(0, 2, sn, 2))).await;
        take(&mut bob).await;
        assert!(matches!(alice.answer(id).await, ServerOp::Accepted(_)));
        if sn == 2 {
            let mut client = world.json(2, 1).await;
            assert_eq!(client.notice().await, (1, gap(1, 1)));
            assert_eq!(client.message().await.n, 2);
            // Connected, neither is acknowledged: its queue stays full.
            phone = Some(client);
        }
    }
    drop(phone);
    let mut phone = world.json(2, 1).await;
    assert_eq!(phone.notice().await, (1, gap(1, 3)), "all three");
    assert_eq!(phone.message().await.n, 2);
    phone.ack(2).await;
    assert_eq!(phone.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    let mut phone = world.json(2, 1).await;
    assert!(phone.is_quiet(Duration::from_secs(1)).await);
}

#[actix::test]
async fn all_full_is_a_reject_without_an_own_copy() {
    let world = World::new([2, 2, 0, 0], Limits { ledger_messages: 1, ..unpaced() });
    let mut alice = world.json(1, 0).await;
    let mut tablet = world.json(1, 1).await;
    alice.send(text(0, 2, 1, 3)).await.unwrap();
    take(&mut tablet).await;
    assert_eq!(alice.send(text(0, 2, 2, 3)).await, Err(Reject::QueueFull {}));
    assert!(tablet.is_quiet(Duration::from_secs(2)).await, "no copy of what was refused");
    assert_eq!(world.engine.counts().queued_messages, 2);
    // Bob takes what waits, and the next one is taken. He hears that there was one more.
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.notice().await, (1, gap(1, 1)));
    take(&mut bob).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    let id = alice.op(ClientOp::Send(text(0, 2, 3, 3))).await;
    take(&mut bob).await;
    take(&mut tablet).await;
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(a) if a.skipped.len() == 1));
}

/// 20 messages in the whole store: 17 of them for devices that are away, new ones up to 19.
fn small_store() -> Limits {
    Limits { store_messages: 20, ..unpaced() }
}

#[actix::test]
async fn a_store_that_fills_serves_who_is_there_and_then_takes_nothing_new() {
    let world = World::new([1, 1, 1, 0], small_store());
    let mut alice = world.json(1, 0).await;
    let mut carol = world.json(3, 0).await;
    assert_eq!(carol.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    for sn in 1..=17 {
        alice.send(text(0, 2, sn, 1)).await.unwrap();
    }
    assert_eq!(alice.send(text(0, 2, 18, 1)).await, Err(Reject::StoreFull {}));
    // Who is there is served: from socket to socket, and by the reserve.
    let id = alice.op(ClientOp::Send(text(0, 3, 1, 1))).await;
    take(&mut carol).await;
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(a) if a.delivered.len() == 1));
    let backed = alice.send(text(0, 3, 2, 1)).await.unwrap();
    assert!(backed.delivered.is_empty() && backed.skipped.is_empty());
    let id = alice.op(ClientOp::Send(text(0, 3, 3, 1))).await;
    assert_eq!((carol.message().await.n, carol.message().await.n), (2, 3));
    drop(carol);
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(a) if a.skipped.is_empty()));
    assert_eq!(world.engine.counts().queued_messages, 19, "handed over when she went");
    // Nothing new from now on, not even for who is there. A repeat has its answer.
    let mut carol = world.json(3, 0).await;
    assert_eq!(alice.send(text(0, 3, 4, 1)).await, Err(Reject::StoreFull {}));
    assert_eq!(alice.send(text(0, 3, 2, 1)).await.map(|a| a.sn).ok(), None, "a lower number");
    assert!(matches!(alice.send(text(0, 3, 3, 1)).await, Ok(a) if a.sn == 3));
    // An acknowledgement always works, and makes room.
    for _ in 0..2 {
        take(&mut carol).await;
    }
    assert_eq!(carol.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    assert_eq!(world.engine.counts().queued_messages, 17);
    let id = alice.op(ClientOp::Send(text(0, 3, 4, 1))).await;
    take(&mut carol).await;
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(_)));
    // All that was accepted is still there.
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.notice().await.1, gap(1, 1));
    for _ in 1..=17 {
        take(&mut bob).await;
    }
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    assert_eq!(world.engine.counts().queued_messages, 0);
}

#[actix::test]
async fn who_is_away_is_skipped_as_full_if_another_device_is_there() {
    let world = World::new([1, 2, 0, 0], Limits { store_messages: 10, ..unpaced() });
    let mut alice = world.json(1, 0).await;
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    for sn in 1..=9 {
        let id = alice.op(ClientOp::Send(text(0, 2, sn, 2))).await;
        take(&mut bob).await;
        let ServerOp::Accepted(accepted) = alice.answer(id).await else { panic!("refused") };
        assert_eq!(accepted.delivered, [device(2, 0)]);
        assert_eq!(accepted.skipped.len(), usize::from(sn == 9), "{sn}");
        assert!(accepted.skipped.iter().all(|s| s.why == SkipReason::Full));
    }
    let mut phone = world.json(2, 1).await;
    assert_eq!(phone.notice().await, (1, gap(1, 1)));
}

#[actix::test]
async fn to_oneself_the_other_own_devices_are_the_recipients() {
    let world = World::new([3, 0, 0, 0], Limits { ledger_messages: 1, ..unpaced() });
    let mut alice = world.json(1, 0).await;
    let mut tablet = world.json(1, 1).await;
    assert_eq!(tablet.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    for (sn, skipped) in [(1, vec![]), (2, vec![device(1, 2)])] {
        let id = alice.op(ClientOp::Send(text(0, 1, sn, 2))).await;
        let copy = tablet.message().await;
        assert_eq!((copy.peer, copy.from_user), (user(1), user(1)));
        tablet.ack(copy.n).await;
        let ServerOp::Accepted(accepted) = alice.answer(id).await else { panic!("refused") };
        assert_eq!(accepted.delivered, [device(1, 1)]);
        assert_eq!(accepted.skipped.iter().map(|s| s.device).collect::<Vec<_>>(), skipped);
    }
    let mut third = world.json(1, 2).await;
    assert_eq!(third.notice().await, (1, gap(1, 1)));
    drop((tablet, third));
    tokio::time::sleep(Duration::from_millis(10)).await;
    alice.send(text(0, 1, 3, 2)).await.unwrap();
    assert_eq!(alice.send(text(0, 1, 4, 2)).await, Err(Reject::QueueFull {}));
}
