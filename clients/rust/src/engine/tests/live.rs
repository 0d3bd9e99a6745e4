//! Typing signs and presence, as the engine sends and takes them.

use std::sync::atomic::Ordering;

use hushwire_e2ee::{Body, Content, ContentId};
use hushwire_wire::frame::{Ephemeral, Presence, ShowPresence};
use hushwire_wire::message::Upload;
use hushwire_wire::{Reject, Rule, Sealed};

use super::friend::{Friend, contact};
use super::hostile::World;
use super::*;
use crate::client::ShownTo;
use crate::record::Standing;

fn frames(sent: &mut mpsc::Receiver<Vec<u8>>) -> Vec<ClientOp> {
    let all = std::iter::from_fn(|| sent.try_recv().ok());
    all.map(|bytes| Encoding::Cbor.decode_client(&bytes).unwrap().op).collect()
}

fn typed(ops: &[ClientOp]) -> Vec<Sealed> {
    let upload = |op: &ClientOp| match op {
        ClientOp::Ephemeral(told) => Some(told.upload.clone()),
        _ => None,
    };
    ops.iter().filter_map(upload).collect()
}

fn shown(ops: &[ClientOp]) -> Vec<(bool, usize)> {
    let list = |op: &ClientOp| match op {
        ClientOp::Presence(ShowPresence { on, to }) => Some((*on, to.len())),
        _ => None,
    };
    ops.iter().filter_map(list).collect()
}

/// A sign of the friend as it arrives.
fn sign(friend: &Friend, state: &mut EpochState, body: Body) -> Ephemeral {
    let mut id = [0; 16];
    SystemRandom.fill(&mut id).unwrap();
    let (class, lane) = body.class_and_lane();
    let content = Content { id: ContentId(id), sent_ms: 1, prev_sent: 0, seen: Vec::new(), body };
    let sealed = state.seal(class, lane, &content, id).unwrap();
    let upload = Upload::parse(&Sealed::new(sealed.upload.clone())).unwrap();
    let end = sealed.upload.len() - 17;
    let msg = [&sealed.upload[..end], &upload.tag(0).unwrap()].concat();
    let (from_user, from_device) = (friend.user(), friend.key.device_id());
    Ephemeral { from_user, from_device, msg: Sealed::new(msg) }
}

fn typing(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Typing { on: true, .. })).count()
}

#[tokio::test]
async fn typing_is_told_once_in_three_seconds_and_its_counters_are_never_used_twice() {
    let (mut world, _board, _bob, first) = contact().await;
    let mut sent = world.goes_up();
    let mut counters = Vec::new();
    for (ms, is_told) in [(0, true), (2_999, false), (1, true), (3_000, true)] {
        world.clock.0.fetch_add(ms, Ordering::Relaxed);
        world.engine.type_to("bob").unwrap();
        world.engine.settle().unwrap();
        let uploads = typed(&frames(&mut sent));
        assert_eq!(uploads.len(), usize::from(is_told), "{ms}");
        for upload in uploads {
            let header = Upload::parse(&upload).unwrap().header;
            assert_eq!((header.lane, header.class as u8), (1, 17));
            counters.push(header.counter);
        }
    }
    assert_eq!(counters, [0, 1, 2]);
    // The next run goes on behind what was reserved.
    let mut world = world.restarted();
    let mut sent = world.goes_up();
    world.engine.type_to("bob").unwrap();
    world.engine.settle().unwrap();
    let uploads = typed(&frames(&mut sent));
    let header = Upload::parse(&uploads[0]).unwrap().header;
    assert_eq!(header.epoch, first.id);
    assert!(header.counter > 2, "{}", header.counter);
}

#[tokio::test]
async fn typing_that_cannot_be_told_now_is_left_out_and_to_no_contact_refused() {
    let (mut world, _board, bob, _) = contact().await;
    let mut sent = world.goes_up();
    world.engine.is_current = false;
    world.engine.type_to("bob").unwrap();
    world.engine.is_current = true;
    let stale = |world: &mut World, stale| {
        world.engine.peers.get_mut(&bob.user()).unwrap().epochs[0].stale = stale;
    };
    stale(&mut world, true);
    world.engine.type_to("bob").unwrap();
    stale(&mut world, false);
    world.engine.settle().unwrap();
    assert_eq!(typed(&frames(&mut sent)).len(), 0);
    assert!(matches!(world.engine.type_to("eve"), Err(ClientError::NoContact)));
    world.engine.type_to("bob").unwrap();
    world.engine.settle().unwrap();
    assert_eq!(typed(&frames(&mut sent)).len(), 1, "nothing of it used the three seconds up");
    world.engine.phase = Phase::Down { retry_at: None };
    world.clock.0.fetch_add(3_000, Ordering::Relaxed);
    world.engine.type_to("bob").unwrap();
}

#[tokio::test]
async fn only_typing_of_a_contact_is_taken_and_once() {
    let (mut world, _board, bob, first) = contact().await;
    let mut theirs = first.state;
    let told = sign(&bob, &mut theirs, Body::Typing { on: true });
    for _ in 0..2 {
        world.engine.ephemeral(told.clone()).unwrap();
    }
    assert_eq!(typing(&world.tells()), 1, "a replay is none");
    // A message that comes as a sign is not shown: it would never be acknowledged.
    let message = bob.says(&mut theirs, "sneaked in", 0, world.now());
    let sneaked = Ephemeral { msg: message.msg.clone(), ..told.clone() };
    world.engine.ephemeral(sneaked).unwrap();
    let garbage = Ephemeral { msg: Sealed::new(vec![1; 99]), ..told.clone() };
    world.engine.ephemeral(garbage).unwrap();
    // Somebody else's word for it.
    let next = sign(&bob, &mut theirs, Body::Typing { on: true });
    let (eve, ..) = world.contact("eve", Standing::Active);
    world.engine.ephemeral(Ephemeral { from_user: eve, ..next.clone() }).unwrap();
    let told = world.tells();
    assert!(!told.iter().any(|event| matches!(event, Event::MessageReceived(_))), "{told:?}");
    assert_eq!(typing(&told), 0);
    world.engine.ephemeral(next).unwrap();
    assert_eq!(typing(&world.tells()), 1);
    world.engine.message(message).await.unwrap().unwrap();
    assert!(world.tells().iter().any(|event| matches!(event, Event::MessageReceived(_))));
}

#[tokio::test]
async fn presence_is_off_until_it_is_wished_and_named_anew_within_its_rate() {
    let (mut world, _board, bob, _) = contact().await;
    let mut sent = world.goes_up();
    world.engine.presence_changed();
    world.engine.show_due();
    world.engine.settle().unwrap();
    assert_eq!(shown(&frames(&mut sent)), [], "nobody wished it");
    let too_many = ShownTo::Only(vec!["bob".to_owned(); 257]);
    let refused = world.engine.show_to(&too_many);
    assert!(matches!(refused, Err(ClientError::TooManyShown { max: 256 })), "{refused:?}");
    let refused = world.engine.show_to(&ShownTo::Only(vec!["eve".to_owned()]));
    assert!(matches!(refused, Err(ClientError::NoContact)), "{refused:?}");
    assert_eq!(world.engine.shown_to(), ShownTo::Nobody);

    world.engine.show_to(&ShownTo::All).unwrap();
    world.engine.show_due();
    world.engine.show_to(&ShownTo::Only(vec!["bob".to_owned()])).unwrap();
    world.engine.show_due();
    world.engine.settle().unwrap();
    assert_eq!(shown(&frames(&mut sent)), [(true, 1)]);
    world.clock.0.fetch_add(5_000, Ordering::Relaxed);
    world.engine.show_due();
    world.engine.settle().unwrap();
    assert_eq!(shown(&frames(&mut sent)), [(true, 1)], "what came too soon goes later");

    // The person comes and goes; who is nobody is not told.
    let told = |user, on| Presence { user, on };
    for (user, on) in [(bob.user(), true), (bob.user(), true), (UserId([9; 32]), true)] {
        world.engine.presence(told(user, on));
    }
    world.engine.presence(told(bob.user(), false));
    let on = |event: Event| match event {
        Event::Presence { on, .. } => Some(on),
        _ => None,
    };
    assert_eq!(world.tells().into_iter().filter_map(on).collect::<Vec<_>>(), [true, false]);

    // A refusal is tried again; the wish survives the run, the list does not.
    let limited = Reject::RateLimited {
        retry_after_ms: 20_000,
        rule: Rule::Presence,
        limit: 12,
        window_ms: 60_000,
    };
    world.engine.not_shown(&limited);
    assert_eq!(world.engine.live.wake(), Some(world.now() + 20_000));
    world.engine.not_shown(&Reject::NotContact {});
    let mut world = world.restarted();
    assert_eq!(world.engine.shown_to(), ShownTo::Only(vec!["bob".to_owned()]));
    let mut sent = world.goes_up();
    world.engine.presence_changed();
    world.engine.show_due();
    world.clock.0.fetch_add(5_000, Ordering::Relaxed);
    world.engine.show_to(&ShownTo::Nobody).unwrap();
    world.engine.show_due();
    world.engine.settle().unwrap();
    assert_eq!(shown(&frames(&mut sent)), [(true, 1), (false, 0)]);
}

#[tokio::test]
async fn of_too_many_contacts_those_are_named_that_were_heard_of_last() {
    let mut world = World::new();
    let mut sent = world.goes_up();
    for n in 0..=256_u16 {
        let user = UserId([0; 32].map(|_: u8| 0));
        let mut bytes = user.0;
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        let request = hushwire_wire::RequestId([7; 32]);
        let peer = Peer::new(UserId(bytes), Standing::Active, request);
        let confirmed_ms = u64::from(n);
        world.engine.put_peer(Peer { confirmed_ms, handle: format!("p{n}"), ..peer }).unwrap();
    }
    world.engine.show_to(&ShownTo::All).unwrap();
    world.engine.show_due();
    world.engine.settle().unwrap();
    let ops = frames(&mut sent);
    assert_eq!(shown(&ops), [(true, 256)]);
    let ClientOp::Presence(list) = &ops[0] else { panic!() };
    assert!(!list.to.contains(&UserId([0; 32])), "of whom nothing was heard the longest");
}
