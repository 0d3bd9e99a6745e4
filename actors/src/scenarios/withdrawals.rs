//! Messages that a removal takes back before they were delivered.

use super::*;

/// A removal from roster index `sender` to `to` that withdraws the messages with these numbers.
fn removal(sender: u8, to: u8, sn: u64, tags: usize, withdraw: &[u64]) -> Send {
    let withdraw = withdraw.iter().map(|sn| mid(*sn)).collect();
    Send { withdraw, ..send_of(Class::Remove, sender, to, sn, tags) }
}

fn sn_of(message: &Message) -> u64 {
    let mid = &message.msg.as_bytes()[40..56];
    u64::from_be_bytes(mid[8..].try_into().unwrap())
}

#[actix::test]
async fn what_waits_is_withdrawn_by_any_device_of_its_user_and_by_nobody_else() {
    let world = World::new([2, 1, 1, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    let mut tablet = world.json(1, 1).await;
    let mut carol = world.json(3, 0).await;
    for sn in 1..=3 {
        alice.send(text(0, 2, sn, 2)).await.unwrap();
        // The same mids as Alice's.
        carol.send(text(1, 2, sn, 1)).await.unwrap();
        assert_eq!(sn_of(&tablet.message().await), sn);
    }
    tablet.ack(3).await;
    assert_eq!(tablet.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    assert_eq!(world.engine.counts().queued_messages, 6);
    let first = alice.send(removal(0, 2, 4, 2, &[1])).await.unwrap();
    assert_eq!(sn_of(&tablet.message().await), 4);
    tablet.ack(4).await;
    let id = tablet.op(ClientOp::Send(removal(1, 2, 9, 2, &[2, 77]))).await;
    let copy = alice.message().await;
    assert_eq!(sn_of(&copy), 9);
    alice.ack(copy.n).await;
    assert!(matches!(tablet.answer(id).await, ServerOp::Accepted(_)));
    assert_eq!(alice.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    assert_eq!(world.engine.counts().queued_messages, 6, "two less, two removals more");
    assert_eq!(alice.send(removal(0, 2, 4, 2, &[1])).await, Ok(first), "again");
    let mut bob = world.json(2, 0).await;
    let mut got = Vec::new();
    for _ in 0..6 {
        let message = bob.message().await;
        got.push((message.from_user, sn_of(&message)));
    }
    let (a, c) = (user(1), user(3));
    assert_eq!(got, [(c, 1), (c, 2), (a, 3), (c, 3), (a, 4), (a, 9)]);
    bob.ack(6).await;
    assert!(bob.is_quiet(Duration::from_secs(2)).await);
}

#[actix::test]
async fn what_was_sent_already_is_not_taken_back() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    alice.send(text(0, 2, 1, 1)).await.unwrap();
    assert_eq!(sn_of(&bob.message().await), 1);
    alice.send(removal(0, 2, 2, 1, &[1])).await.unwrap();
    // Bob may acknowledge both, and the sender hears of both.
    assert_eq!(sn_of(&bob.message().await), 2);
    bob.ack(2).await;
    for sn in 1..=2 {
        let what = News::Delivered { mid: mid(sn), device: device(2, 0) };
        assert_eq!(alice.notice().await.1, what);
    }
    assert_eq!(world.engine.counts().queued_messages, 0);
}

#[actix::test]
async fn only_a_removal_withdraws_and_only_so_many() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    alice.send(text(0, 2, 1, 1)).await.unwrap();
    let edit = Send { withdraw: vec![mid(1)], ..send_of(Class::Edit, 0, 2, 2, 1) };
    for send in [edit, removal(0, 2, 2, 1, &[1; 17])] {
        let refused = alice.send(send).await;
        assert!(
            matches!(&refused, Err(Reject::BadRequest { field, .. }) if field == "op.send.withdraw"),
            "{refused:?}"
        );
    }
    assert_eq!(world.engine.counts().queued_messages, 1, "nothing was taken back");
    alice.send(removal(0, 2, 2, 1, &[1; 16])).await.unwrap();
    assert_eq!(world.engine.counts().queued_messages, 1, "only the removal waits");
}
