//! Devices that are revoked or signed out, and senders that are blocked.

use hushwire_wire::frame::SkipReason;

use super::*;

#[actix::test]
async fn a_revoked_device_is_closed_and_loses_all_and_what_it_sent_arrives() {
    let world = World::new([2, 2, 0, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    let mut bob = world.json(2, 0).await;
    let mut phone = world.json(2, 1).await;
    for client in [&mut bob, &mut phone] {
        assert_eq!(client.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    }
    let (token, _) = world.engine.issue_token(user(2), device(2, 1)).await.unwrap();
    let (other, _) = world.engine.issue_token(user(2), device(2, 0)).await.unwrap();
    // The phone sends: Alice does not acknowledge yet. Alice sends: nobody does.
    phone.op(ClientOp::Send(text(3, 1, 1, 3))).await;
    assert_eq!(alice.message().await.n, 1);
    let id = alice.op(ClientOp::Send(text(0, 2, 1, 3))).await;
    assert_eq!(phone.message().await.n, 1);
    assert_eq!(world.engine.live(&[device(2, 1)]).await.unwrap(), [device(2, 1)]);
    world.engine.revoke(user(2), &[device(2, 1)]).await.unwrap();
    assert_eq!(phone.closed().await, Close::Revoked);
    let both = [device(2, 0), device(2, 1)];
    assert_eq!(world.engine.live(&both).await.unwrap(), [device(2, 0)]);
    assert_eq!(world.engine.check_token(&token).await, Ok(None));
    assert_eq!(world.engine.check_token(&other).await, Ok(Some((user(2), device(2, 0)))));
    assert_eq!(world.engine.issue_token(user(2), device(2, 1)).await, Err(Unavailable));
    let ServerOp::Accepted(accepted) = alice.answer(id).await else { panic!("refused") };
    let skipped: Vec<_> = accepted.skipped.iter().map(|s| (s.device, s.why)).collect();
    assert_eq!(skipped, [(device(2, 1), SkipReason::Revoked)]);
    // What it sent is in Alice's queue by now; her other device gets it, too.
    let mut tablet = world.json(1, 1).await;
    assert_eq!(tablet.message().await.from_device, device(2, 1));
    // The accounts of this test still know it: the queue store refuses it.
    let mut phone = world.connect(Encoding::Json);
    phone.op(Client::hello(2, 1, None)).await;
    assert_eq!(phone.closed().await, Close::Overloaded, "no token for it");
}

#[actix::test]
async fn a_device_that_attaches_while_it_is_revoked_is_closed() {
    let world = World::new([1, 1, 0, 0], unpaced());
    world.engine.issue_nonce().await.expect("all is up");
    let mut phone = world.connect(Encoding::Json);
    assert!(matches!(phone.next().await.op, ServerOp::Challenge(_)));
    phone.op(Client::hello(2, 0, None)).await;
    // Its sign-in asks for a token and then attaches; the revocation comes in between.
    for _ in 0..10_000 {
        if !world.engine.live(&[device(2, 0)]).await.unwrap().is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(world.engine.live(&[device(2, 0)]).await.unwrap(), [device(2, 0)]);
    assert_eq!(world.engine.revoke(user(2), &[device(2, 0)]).await, Ok(()));
    assert_eq!(phone.closed().await, Close::Revoked);
    let mut alice = world.json(1, 0).await;
    let refused = alice.send(text(0, 2, 1, 1)).await;
    assert_eq!(refused, Err(Reject::RecipientStale {}), "the only device is gone");
    assert_eq!(world.engine.counts().queued_messages, 0);
}

#[actix::test]
async fn what_waits_from_a_blocked_user_goes_silently() {
    let world = World::new([1, 2, 1, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    let mut carol = world.json(3, 0).await;
    let accepted = alice.send(text(0, 2, 1, 2)).await.unwrap();
    assert!(accepted.skipped.is_empty());
    // Carol is second in the roster of the pair (2, 3), after Bob's two devices.
    carol.send(text(2, 2, 1, 2)).await.unwrap();
    assert_eq!(world.engine.counts().queued_messages, 4);
    let devices = [device(2, 0), device(2, 1)];
    world.engine.drop_from(&devices, user(1)).await.unwrap();
    assert_eq!(world.engine.counts().queued_messages, 2, "Carol's stay");
    assert!(alice.is_quiet(Duration::from_secs(20)).await, "no word to the sender");
    assert_eq!(alice.send(text(0, 2, 1, 2)).await, Ok(accepted), "the same answer as before");
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.message().await.from_user, user(3));
    assert!(bob.is_quiet(Duration::from_secs(1)).await);
}

#[actix::test]
async fn what_is_under_way_from_a_blocked_user_goes_silently_too() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    let id = alice.op(ClientOp::Send(text(0, 2, 1, 1))).await;
    assert_eq!(bob.message().await.n, 1);
    world.engine.drop_from(&[device(2, 0)], user(1)).await.unwrap();
    // Not acknowledged within a second, it would be queued now: so her answer says.
    let ServerOp::Accepted(accepted) = alice.answer(id).await else { panic!("refused") };
    assert!(accepted.delivered.is_empty() && accepted.skipped.is_empty(), "{accepted:?}");
    assert_eq!(world.engine.counts().queued_messages, 0);
    // They make up: what is admitted from now on is taken.
    drop(bob);
    tokio::time::sleep(Duration::from_millis(10)).await;
    alice.send(text(0, 2, 2, 1)).await.unwrap();
    assert_eq!(world.engine.counts().queued_messages, 1);
}

#[actix::test]
async fn a_device_that_is_signed_out_loses_its_tokens_and_keeps_its_queue() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    alice.send(text(0, 2, 1, 1)).await.unwrap();
    let mut bob = world.connect(Encoding::Json);
    let welcome = bob.sign_in(2, 0, None).await;
    assert_eq!(bob.message().await.n, 1);
    world.engine.end_sessions(user(2), device(2, 0)).await.unwrap();
    assert_eq!(bob.closed().await, Close::NotAuthenticated);
    assert_eq!(world.engine.check_token(&welcome.token).await, Ok(None));
    assert!(matches!(alice.ask(ClientOp::Ping {}).await, ServerOp::Pong {}));
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.message().await.n, 1, "still there, for when it signs in again");
}
