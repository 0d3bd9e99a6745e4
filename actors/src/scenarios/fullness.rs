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
