//! A message's whole way, for devices that are there, come later, are slow or go.

use super::*;
use hushwire_wire::frame::{Failed, SkipReason};

#[actix::test]
async fn from_socket_to_socket_in_both_encodings_and_through_no_store() {
    tokio::time::pause();
    for (theirs, ours) in [(Encoding::Json, Encoding::Cbor), (Encoding::Cbor, Encoding::Json)] {
        let world = World::one_more([1, 1, 0, 0], unpaced());
        let mut alice = world.device(1, 0, theirs).await;
        let mut bob = world.device(2, 0, ours).await;
        // Bob flips to live once his empty ledger was paged.
        assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
        let send = text(0, 2, 1, 1);
        let id = alice.op(ClientOp::Send(send.clone())).await;
        let message = bob.message().await;
        assert_eq!((message.n, message.peer), (1, user(1)));
        assert_eq!((message.from_user, message.from_device), (user(1), device(1, 0)));
        let mut expected = send.upload.as_bytes()[..56 + 32 + 4 + 272].to_vec();
        expected.extend_from_slice(&[0; 16]);
        assert_eq!(message.msg.as_bytes(), expected, "header, commit, ciphertext, own tag");
        assert_eq!(world.engine.counts().queued_messages, 0);
        bob.ack(1).await;
        let ServerOp::Accepted(accepted) = alice.answer(id).await else { panic!("refused") };
        assert_eq!((accepted.sn, accepted.mid), (1, mid(1)));
        assert_eq!(accepted.delivered, [device(2, 0)]);
        assert!(alice.is_quiet(Duration::from_secs(3)).await, "no notice: it was in the answer");
        assert_eq!(world.engine.counts().queued_messages, 0);
    }
}

#[actix::test]
async fn who_is_away_is_served_in_order_and_the_sender_hears_of_it() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    for sn in 1..=70 {
        let accepted = alice.send(text(0, 2, sn, 1)).await.unwrap();
        assert!(accepted.delivered.is_empty() && accepted.skipped.is_empty());
    }
    assert_eq!(world.engine.counts().queued_messages, 70);
    let mut bob = world.device(2, 0, Encoding::Cbor).await;
    for n in 1..=70 {
        let message = bob.message().await;
        assert_eq!(message.n, n);
        assert_eq!(&message.msg.as_bytes()[40..56], mid(n).as_bytes());
        if n % 32 == 0 {
            assert!(bob.is_quiet(Duration::from_millis(500)).await, "the window is full");
            bob.ack(n).await;
        }
    }
    bob.ack(70).await;
    for n in 1..=70 {
        let what = News::Delivered { mid: mid(n), device: device(2, 0) };
        assert_eq!(alice.notice().await, (n, what));
        if n % 32 == 0 {
            alice.ack(n).await;
        }
    }
    alice.ack(70).await;
    assert_eq!(alice.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    let counts = world.engine.counts();
    assert_eq!((counts.queued_messages, counts.queued_bytes, counts.notices), (0, 0, 0));
}

#[actix::test]
async fn own_devices_get_their_copy_once_the_recipient_has_it() {
    let world = World::new([3, 1, 0, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    let mut tablet = world.json(1, 1).await;
    let mut bob = world.json(2, 0).await;
    for client in [&mut tablet, &mut bob] {
        assert_eq!(client.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    }
    let id = alice.op(ClientOp::Send(text(0, 2, 1, 3))).await;
    assert_eq!(bob.message().await.msg.as_bytes().last(), Some(&2), "the third tag");
    assert!(tablet.is_quiet(Duration::from_millis(500)).await);
    bob.ack(1).await;
    let copy = tablet.message().await;
    assert_eq!((copy.peer, copy.from_user), (user(2), user(1)));
    tablet.ack(1).await;
    let ServerOp::Accepted(accepted) = alice.answer(id).await else { panic!("refused") };
    assert_eq!(accepted.delivered, [device(1, 1), device(2, 0)], "1/2 is away: queued");
    assert_eq!(world.engine.counts().queued_messages, 1);
}

#[actix::test]
async fn to_oneself_with_no_other_device_is_accepted_at_once() {
    let world = World::new([1, 0, 0, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    let accepted = alice.send(text(0, 1, 1, 0)).await.unwrap();
    assert!(accepted.delivered.is_empty() && accepted.skipped.is_empty());
}

#[actix::test]
async fn a_device_that_does_not_ack_is_backed_after_a_second() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    let before = Instant::now();
    let accepted = alice.send(text(0, 2, 1, 1)).await.unwrap();
    let took = before.elapsed();
    assert!((1_000..1_200).contains(&took.as_millis()), "{took:?}");
    assert!(accepted.delivered.is_empty());
    assert_eq!(world.engine.counts().queued_messages, 1);
    assert_eq!(bob.message().await.n, 1);
    bob.ack(1).await;
    let what = News::Delivered { mid: mid(1), device: device(2, 0) };
    assert_eq!(alice.notice().await, (1, what));
    assert_eq!(world.engine.counts().queued_messages, 0);
    // The next one goes from socket to socket again, and was not sent twice before.
    let id = alice.op(ClientOp::Send(text(0, 2, 2, 1))).await;
    assert_eq!(bob.message().await.n, 2);
    bob.ack(2).await;
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(a) if a.delivered.len() == 1));
}

#[actix::test]
async fn a_device_that_goes_without_ack_finds_the_message_when_it_returns() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    let id = alice.op(ClientOp::Send(text(0, 2, 1, 1))).await;
    assert_eq!(bob.message().await.n, 1);
    drop(bob);
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(a) if a.delivered.is_empty()));
    let mut bob = world.json(2, 0).await;
    assert_eq!(&bob.message().await.msg.as_bytes()[40..56], mid(1).as_bytes());
    bob.ack(1).await;
    assert!(matches!(alice.notice().await, (1, News::Delivered { .. })));
}

#[actix::test]
async fn what_cannot_be_read_is_told_as_such_and_never_as_delivered() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    let id = alice.op(ClientOp::Send(text(0, 2, 1, 1))).await;
    assert_eq!(bob.message().await.n, 1);
    let failed = vec![Failed { n: 1, code: "BAD_TAG".to_owned() }];
    bob.op(ClientOp::Ack(Ack { n: 1, failed })).await;
    let (mut accepted, mut told) = (None, None);
    while accepted.is_none() || told.is_none() {
        let frame = alice.next().await;
        match frame.op {
            ServerOp::Accepted(answer) => accepted = (frame.id == Some(id)).then_some(answer),
            ServerOp::Notice(notice) => told = Some(notice.what),
            other => panic!("{other:?}"),
        }
    }
    assert!(accepted.unwrap().delivered.is_empty());
    let code = "BAD_TAG".to_owned();
    assert_eq!(told.unwrap(), News::Undecryptable { mid: mid(1), device: device(2, 0), code });
}

#[actix::test]
async fn full_queues_skip_a_device_and_refuse_when_nobody_is_left() {
    let limits = Limits { ledger_messages: 2, ..unpaced() };
    let world = World::new([1, 2, 0, 0], limits);
    let mut alice = world.json(1, 0).await;
    let mut bob = world.json(2, 1).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    for sn in 1..=3 {
        let id = alice.op(ClientOp::Send(text(0, 2, sn, 2))).await;
        assert_eq!(bob.message().await.n, sn);
        bob.ack(sn).await;
        let ServerOp::Accepted(accepted) = alice.answer(id).await else { panic!("refused") };
        let skipped: Vec<_> = accepted.skipped.iter().map(|s| (s.device, s.why)).collect();
        let expected = if sn == 3 { vec![(device(2, 0), SkipReason::Full)] } else { vec![] };
        assert_eq!(skipped, expected);
    }
    drop(bob);
    tokio::time::sleep(Duration::from_millis(10)).await;
    for sn in 4..=5 {
        let accepted = alice.send(text(0, 2, sn, 2)).await.unwrap();
        assert_eq!(accepted.skipped.len(), 1);
    }
    assert_eq!(alice.send(text(0, 2, 6, 2)).await, Err(Reject::QueueFull {}));
    assert_eq!(world.engine.counts().queued_messages, 4, "nothing accepted was dropped");
}

#[actix::test]
async fn a_reader_that_stalls_is_bounded_hurts_nobody_and_gets_all_in_order() {
    let limits =
        Limits { lane_messages: 4, slow_after_ms: 600_000, pong_within_ms: 600_000, ..unpaced() };
    let world = World::new([1, 1, 1, 0], limits);
    let mut alice = world.json(1, 0).await;
    let (near, far) = tokio::io::duplex(2_048);
    let mut bob = world.connect_over(near, far, Encoding::Cbor);
    bob.sign_in(2, 0, None).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    let mut carol = world.json(3, 0).await;
    assert_eq!(carol.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    for sn in 1..=120 {
        alice.send(text(0, 2, sn, 1)).await.unwrap();
    }
    let counts = world.engine.counts();
    assert_eq!(counts.queued_messages, 120, "all backed or forced, none in memory alone");
    // Carol's messages still go through at once.
    let before = Instant::now();
    let id = alice.op(ClientOp::Send(text(0, 3, 500, 1))).await;
    assert_eq!(carol.message().await.n, 1);
    carol.ack(1).await;
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(a) if a.delivered.len() == 1));
    assert!(before.elapsed() < Duration::from_millis(100));
    // Bob reads again.
    for n in 1..=120 {
        let message = bob.message().await;
        assert_eq!(message.n, n);
        assert_eq!(&message.msg.as_bytes()[40..56], mid(n).as_bytes(), "in order, each once");
        if n % 8 == 0 {
            bob.ack(n).await;
        }
    }
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    assert_eq!(world.engine.counts().queued_messages, 0);
}

#[actix::test]
async fn sends_wait_for_their_pair_and_for_one_another() {
    let world = World::new([1, 1, 1, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    *world.people.down.lock().unwrap() = true;
    let refused = alice.send(text(0, 2, 1, 1)).await;
    assert_eq!(refused, Err(Reject::Unavailable { retry_after_ms: 1_000 }));
    *world.people.down.lock().unwrap() = false;
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    let first = alice.op(ClientOp::Send(text(0, 2, 1, 1))).await;
    assert_eq!(bob.message().await.n, 1);
    let second = alice.send(text(0, 2, 2, 1)).await;
    assert_eq!(second, Err(Reject::Unavailable { retry_after_ms: 100 }), "one at a time");
    bob.ack(1).await;
    assert!(matches!(alice.answer(first).await, ServerOp::Accepted(_)));
}

#[actix::test]
async fn known_pairs_talk_on_while_accounts_cannot_be_asked() {
    let world = World::new([1, 1, 1, 0], Limits { pair_fresh_ms: 1_000, ..unpaced() });
    let mut alice = world.json(1, 0).await;
    alice.send(text(0, 2, 1, 1)).await.unwrap();
    *world.people.down.lock().unwrap() = true;
    tokio::time::advance(Duration::from_secs(5)).await;
    alice.send(text(0, 2, 2, 1)).await.unwrap();
    let unavailable = Err(Reject::Unavailable { retry_after_ms: 1_000 });
    assert_eq!(alice.send(text(0, 3, 1, 1)).await, unavailable, "a pair that was never known");
    world
        .engine
        .committed(crate::Change { pairs: vec![(user(1), user(2))], events: vec![] })
        .await
        .unwrap();
    assert_eq!(alice.send(text(0, 2, 3, 1)).await, unavailable, "and one that changed");
}

#[actix::test]
async fn a_repeat_is_free_and_gets_the_same_answer() {
    let world = World::new([1, 1, 1, 0], Limits::default());
    let mut alice = world.json(1, 0).await;
    let first = alice.send(text(0, 2, 1, 1)).await.unwrap();
    assert_eq!(alice.send(text(0, 2, 1, 1)).await, Ok(first.clone()));
    assert_eq!(world.engine.counts().queued_messages, 1);
    let too_soon = alice.send(text(0, 3, 9, 1)).await.unwrap_err();
    let Reject::RateLimited { retry_after_ms, limit: 1, window_ms: 10_000, .. } = too_soon else {
        panic!("{too_soon:?}")
    };
    tokio::time::advance(Duration::from_millis(retry_after_ms - 1)).await;
    assert!(alice.send(text(0, 3, 9, 1)).await.is_err());
    tokio::time::advance(Duration::from_millis(1)).await;
    alice.send(text(0, 3, 9, 1)).await.unwrap();
    let mut other = text(0, 2, 1, 1);
    other.upload = send_of(Class::Edit, 0, 2, 1, 1).upload;
    let stale = Reject::StaleSn { last_sn: 1, mid: mid(1), answer: Some(first) };
    assert_eq!(alice.send(other).await, Err(stale));
}
