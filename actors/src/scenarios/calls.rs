//! Calls from ring to end: each outcome that PRODUCT, "Calls", names, and each refusal.

use hushwire_wire::frame::{CallAct, Event, EventKind};
use hushwire_wire::{CallId, Rule};

use super::live::{live, ok, refusal, sealed, step, upload};
use super::*;
use crate::Change;

#[actix::test]
async fn a_call_rings_everywhere_and_the_first_to_answer_wins() {
    tokio::time::pause();
    for encoding in Encoding::ALL {
        let world = World::one_more([1, 3, 0, 0], unpaced());
        let mut alice = live(&world, 1, 0, encoding).await;
        let mut phone = live(&world, 2, 0, encoding).await;
        let mut laptop = live(&world, 2, 1, encoding).await;
        assert_eq!(alice.ask(sealed(0, 2, 7, CallAct::Ring, 3)).await, ok());
        let ring = phone.call().await;
        assert_eq!((ring.from_user, ring.from_device), (user(1), device(1, 0)));
        assert_eq!((ring.call_id, ring.act), (CallId([7; 16]), CallAct::Ring));
        assert_eq!(ring.msg.unwrap().as_bytes()[56 + 32 + 4 + 272..], [0; 16], "own tag");
        assert_eq!(laptop.heard().await, (CallAct::Ring, Some(1)));
        assert_eq!(phone.ask(step(1, 7, CallAct::Ringing, None)).await, ok());
        assert_eq!(alice.heard().await, (CallAct::Ringing, None));
        // The third device signs in while it rings.
        tokio::time::advance(Duration::from_secs(20)).await;
        let mut tablet = world.device(2, 2, encoding).await;
        assert_eq!(tablet.heard().await, (CallAct::Ring, Some(2)));
        assert_eq!(laptop.ask(sealed(2, 1, 7, CallAct::Answer, 3)).await, ok());
        assert_eq!(alice.heard().await, (CallAct::Answer, Some(0)));
        for other in [&mut phone, &mut tablet] {
            let stop = other.call().await;
            assert_eq!((stop.act, stop.from_user), (CallAct::Elsewhere, user(2)));
            assert_eq!((stop.from_device, stop.msg), (device(2, 1), None));
        }
        assert_eq!(refusal(phone.ask(step(1, 7, CallAct::Answer, None)).await), "forbidden");
        assert_eq!(alice.ask(sealed(0, 2, 7, CallAct::Signal, 3)).await, ok());
        assert_eq!(laptop.heard().await, (CallAct::Signal, Some(1)));
        assert_eq!(laptop.ask(sealed(2, 1, 7, CallAct::Signal, 3)).await, ok());
        assert_eq!(alice.heard().await, (CallAct::Signal, Some(0)));
        assert_eq!(alice.ask(step(2, 7, CallAct::End, None)).await, ok());
        assert_eq!(laptop.heard().await, (CallAct::End, None));
        assert!(phone.is_quiet(Duration::from_secs(60)).await, "it was out of it");
        assert_eq!(world.engine.counts().queued_messages, 0);
    }
}

#[actix::test]
async fn a_call_that_nobody_hears_ends_by_its_own_timer() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = live(&world, 1, 0, Encoding::Json).await;
    let before = Instant::now();
    assert_eq!(alice.ask(step(2, 7, CallAct::Ring, None)).await, ok());
    assert_eq!(alice.heard().await, (CallAct::End, None));
    let took = before.elapsed().as_millis();
    assert!((45_000..45_100).contains(&took), "{took}");
}

#[actix::test]
async fn nobody_is_there_and_the_call_ends_by_itself() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = live(&world, 1, 0, Encoding::Json).await;
    let before = Instant::now();
    assert_eq!(alice.ask(step(2, 7, CallAct::Ring, None)).await, ok());
    tokio::time::advance(Duration::from_secs(30)).await;
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.heard().await, (CallAct::Ring, None));
    let end = alice.call().await;
    assert_eq!((end.act, end.from_user, end.from_device), (CallAct::End, user(2), DeviceId::ZERO));
    let took = before.elapsed().as_millis();
    assert!((45_000..45_100).contains(&took), "{took}");
    assert_eq!(bob.heard().await, (CallAct::End, None));
    drop(bob);
    let mut bob = world.json(2, 0).await;
    assert!(bob.is_quiet(Duration::from_secs(1)).await, "it rings no more");
    assert_eq!(refusal(bob.ask(step(1, 7, CallAct::Answer, None)).await), "forbidden");
}

#[actix::test]
async fn decline_and_busy_reach_the_caller() {
    let world = World::new([1, 2, 0, 0], unpaced());
    let mut alice = live(&world, 1, 0, Encoding::Json).await;
    let mut phone = live(&world, 2, 0, Encoding::Json).await;
    let mut laptop = live(&world, 2, 1, Encoding::Json).await;
    for (call, act) in [(1, CallAct::Decline), (2, CallAct::Busy)] {
        assert_eq!(alice.ask(step(2, call, CallAct::Ring, None)).await, ok());
        assert_eq!(phone.heard().await, (CallAct::Ring, None));
        assert_eq!(laptop.heard().await, (CallAct::Ring, None));
        assert_eq!(phone.ask(step(1, call, act, None)).await, ok());
        assert_eq!(alice.heard().await, (act, None));
        assert_eq!(laptop.heard().await, (CallAct::Elsewhere, None));
    }
}

#[actix::test]
async fn glare_has_one_outcome_for_both() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = live(&world, 1, 0, Encoding::Json).await;
    let mut bob = live(&world, 2, 0, Encoding::Json).await;
    let (a, b) = (
        alice.op(step(2, 9, CallAct::Ring, None)).await,
        bob.op(step(1, 3, CallAct::Ring, None)).await,
    );
    assert_eq!(alice.answer(a).await, ok());
    // Whoever was first: Bob's lower id rings at Alice, hers is over.
    loop {
        let heard = alice.call().await;
        match (heard.act, heard.call_id) {
            (CallAct::End, CallId([9, ..])) => {}
            (CallAct::Ring, CallId([3, ..])) => break,
            other => panic!("{other:?}"),
        }
    }
    loop {
        let frame = bob.next().await;
        if frame.id == Some(b) {
            break;
        }
    }
    assert_eq!(alice.ask(step(2, 3, CallAct::Answer, None)).await, ok());
    loop {
        if bob.heard().await.0 == CallAct::Answer {
            break;
        }
    }
    assert_eq!(refusal(alice.ask(step(2, 9, CallAct::End, None)).await), "forbidden");
}

#[actix::test]
async fn a_caller_that_is_gone_ends_the_call_unless_it_is_back_in_time() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut bob = live(&world, 2, 0, Encoding::Json).await;
    let mut alice = live(&world, 1, 0, Encoding::Json).await;
    assert_eq!(alice.ask(step(2, 7, CallAct::Ring, None)).await, ok());
    assert_eq!(bob.heard().await, (CallAct::Ring, None));
    drop(alice);
    assert!(bob.is_quiet(Duration::from_secs(10)).await);
    // Bob answers while she is away; she hears it when she is back.
    assert_eq!(bob.ask(sealed(1, 1, 7, CallAct::Answer, 1)).await, ok());
    let mut alice = world.json(1, 0).await;
    assert_eq!(alice.heard().await, (CallAct::Answer, Some(0)));
    assert_eq!(alice.ask(sealed(0, 2, 7, CallAct::Signal, 1)).await, ok(), "ICE restart");
    assert_eq!(bob.heard().await, (CallAct::Signal, Some(0)));
    assert!(bob.is_quiet(Duration::from_secs(12)).await, "nobody is missed");
    drop(alice);
    let before = Instant::now();
    let end = bob.call().await;
    assert_eq!((end.act, end.from_device), (CallAct::End, device(1, 0)));
    let took = before.elapsed().as_millis();
    assert!((19_000..20_100).contains(&took), "{took}");
}

#[actix::test]
async fn who_is_parted_hangs_up() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = live(&world, 1, 0, Encoding::Json).await;
    let mut bob = live(&world, 2, 0, Encoding::Json).await;
    assert_eq!(alice.ask(step(2, 7, CallAct::Ring, None)).await, ok());
    assert_eq!(bob.heard().await, (CallAct::Ring, None));
    assert_eq!(bob.ask(step(1, 7, CallAct::Answer, None)).await, ok());
    assert_eq!(alice.heard().await, (CallAct::Answer, None));
    let pairs = vec![(user(1), user(2))];
    world.people.pairs.lock().unwrap().remove(&pairs[0]);
    let event = Event { v: 8, kind: EventKind::Removed, peer: Some(user(1)) };
    world.engine.committed(Change { pairs, events: vec![(user(2), event)] }).await.unwrap();
    assert_eq!(alice.heard().await, (CallAct::End, None));
    assert_eq!(refusal(alice.ask(step(2, 8, CallAct::Ring, None)).await), "not_contact");
}

#[actix::test]
async fn each_refused_step_of_a_call_has_its_reject() {
    let world = World::new([1, 1, 1, 1], unpaced());
    let mut alice = live(&world, 1, 0, Encoding::Json).await;
    let mut bob = live(&world, 2, 0, Encoding::Json).await;
    let mut carol = live(&world, 3, 0, Encoding::Json).await;
    let with = |class, lane, sender, ct, tags| {
        step(2, 1, CallAct::Ring, Some(upload(class, lane, sender, ct, tags)))
    };
    for (op, expected) in [
        (step(2, 1, CallAct::Elsewhere, None), "bad_request op.call.act"),
        (step(1, 1, CallAct::Ring, None), "bad_request op.call.to"),
        (step(2, 1, CallAct::Signal, None), "bad_request op.call.upload"),
        (with(Class::Control, 1, 0, 272, 1), "bad_request upload.class"),
        (with(Class::Text, 0, 0, 272, 1), "bad_request upload.class"),
        (with(Class::Call, 1, 0, 32_784, 1), "too_large"),
        (with(Class::Call, 1, 0, 272, 2), "bad_request upload.m"),
        (with(Class::Call, 1, 1, 272, 1), "forbidden"),
        (step(4, 1, CallAct::Ring, None), "not_contact"),
        (step(9, 1, CallAct::Ring, None), "not_contact"),
        (step(2, 1, CallAct::Answer, None), "forbidden"),
        (step(2, 1, CallAct::End, None), "forbidden"),
    ] {
        assert_eq!(refusal(alice.ask(op).await), expected);
    }
    assert_eq!(alice.ask(with(Class::Call, 1, 0, 16_400, 1)).await, ok());
    assert_eq!(bob.heard().await, (CallAct::Ring, Some(0)));
    // Carol is a contact of both and knows the id.
    for (to, act) in [(1, CallAct::Answer), (2, CallAct::End), (1, CallAct::Decline)] {
        assert_eq!(refusal(carol.ask(step(to, 1, act, None)).await), "forbidden");
    }
    assert!(
        bob.is_quiet(Duration::from_secs(1)).await && alice.is_quiet(Duration::from_secs(1)).await
    );
}

#[actix::test]
async fn signals_have_a_rate_and_calls_a_number() {
    let limits = Limits { calls_per_user: 1, ..unpaced() };
    let world = World::new([2, 1, 1, 0], limits);
    let mut alice = live(&world, 1, 0, Encoding::Json).await;
    let mut tablet = live(&world, 1, 1, Encoding::Json).await;
    let mut carol = live(&world, 3, 0, Encoding::Json).await;
    assert_eq!(alice.ask(step(2, 1, CallAct::Ring, None)).await, ok());
    let full = ServerOp::Reject(Reject::Unavailable { retry_after_ms: 5_000 });
    assert_eq!(tablet.ask(step(3, 2, CallAct::Ring, None)).await, full);
    assert_eq!(carol.ask(step(2, 3, CallAct::Ring, None)).await, full, "he is called already");
    assert_eq!(alice.ask(step(2, 4, CallAct::Ring, None)).await, ok(), "in the first one's place");
    assert_eq!(alice.heard().await, (CallAct::End, None));
    for _ in 0..47 {
        assert_eq!(alice.ask(step(2, 4, CallAct::Ring, None)).await, ok());
    }
    let refused = tablet.ask(step(2, 4, CallAct::Ring, None)).await;
    let limited = |retry_after_ms| {
        let rule = Rule::CallSignal;
        ServerOp::Reject(Reject::RateLimited { retry_after_ms, rule, limit: 10, window_ms: 1_000 })
    };
    assert_eq!(refused, limited(100), "for all the user's devices");
    tokio::time::advance(Duration::from_millis(100)).await;
    assert_eq!(alice.ask(step(2, 4, CallAct::End, None)).await, ok());
    let world = World::one_more([1, 1, 0, 0], Limits { calls: 0, ..unpaced() });
    let mut alice = live(&world, 1, 0, Encoding::Json).await;
    assert_eq!(refusal(alice.ask(step(2, 1, CallAct::Ring, None)).await), "forbidden");
}

#[actix::test]
async fn steps_keep_their_order_while_their_pair_is_loaded() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = live(&world, 1, 0, Encoding::Json).await;
    let mut bob = live(&world, 2, 0, Encoding::Json).await;
    let first = alice.op(sealed(0, 2, 7, CallAct::Ring, 1)).await;
    for _ in 0..3 {
        alice.op(sealed(0, 2, 7, CallAct::Signal, 1)).await;
    }
    for id in first..first + 4 {
        assert_eq!(alice.answer(id).await, ok());
    }
    assert_eq!(bob.heard().await.0, CallAct::Ring);
    for _ in 0..3 {
        assert_eq!(bob.heard().await.0, CallAct::Signal);
    }
}

#[actix::test]
async fn what_waits_for_a_pair_is_bounded_and_has_a_deadline() {
    let world = World::new([1, 1, 1, 0], unpaced());
    let mut alice = live(&world, 1, 0, Encoding::Json).await;
    let unavailable = |retry_after_ms| ServerOp::Reject(Reject::Unavailable { retry_after_ms });
    *world.people.slow.lock().unwrap() = Duration::from_secs(9);
    let first = alice.op(step(2, 7, CallAct::Ring, None)).await;
    for _ in 1..8 {
        alice.op(sealed(0, 2, 7, CallAct::Signal, 1)).await;
    }
    let ninth = alice.op(sealed(0, 2, 7, CallAct::Signal, 1)).await;
    assert_eq!(alice.answer(ninth).await, unavailable(100));
    for id in first..ninth {
        assert_eq!(alice.answer(id).await, ok());
    }
    *world.people.slow.lock().unwrap() = Duration::from_secs(60);
    let before = Instant::now();
    let late = [
        alice.op(step(3, 8, CallAct::Ring, None)).await,
        alice.op(step(3, 8, CallAct::End, None)).await,
    ];
    for id in late {
        assert_eq!(alice.answer(id).await, unavailable(1_000));
    }
    assert!((10_000..10_100).contains(&before.elapsed().as_millis()));
    assert!(alice.is_quiet(Duration::from_secs(1)).await, "answered once");
}
