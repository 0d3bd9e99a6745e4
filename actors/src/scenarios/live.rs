//! What only live devices hear: typing and who is there. What calls share with it is here, too.

use hushwire_wire::frame::{
    Call, CallAct, Ephemeral, Event, EventKind, Presence, SendCall, SendEphemeral, ShowPresence,
};
use hushwire_wire::message::LANE_EPHEMERAL;
use hushwire_wire::{CallId, Rule};

use std::sync::atomic::{AtomicBool, Ordering};

use super::lives::Fragile;
use super::*;
use crate::Change;

pub(super) fn upload(class: Class, lane: u8, sender: u8, ct: usize, tags: usize) -> Sealed {
    let header = Header { class, sender, lane, counter: 9, epoch: EPOCH, mid: mid(1) };
    let tags: Vec<_> = (0..tags).map(|k| [k as u8; 16]).collect();
    write_upload(&header, &[0xc0; 32], &vec![0xcc; ct], &tags).into()
}

/// A typing sign of roster index `sender`.
pub(super) fn typing(sender: u8, to: u8, tags: usize) -> ClientOp {
    let upload = upload(Class::Control, LANE_EPHEMERAL, sender, 272, tags);
    ClientOp::Ephemeral(SendEphemeral { to: user(to), upload })
}

pub(super) fn step(to: u8, call: u8, act: CallAct, upload: Option<Sealed>) -> ClientOp {
    ClientOp::Call(SendCall { to: user(to), call_id: CallId([call; 16]), act, upload })
}

/// A step that carries something for so many devices.
pub(super) fn sealed(sender: u8, to: u8, call: u8, act: CallAct, tags: usize) -> ClientOp {
    step(to, call, act, Some(upload(Class::Call, LANE_EPHEMERAL, sender, 272, tags)))
}

pub(super) fn show(to: &[u8]) -> ClientOp {
    ClientOp::Presence(ShowPresence { on: true, to: to.iter().copied().map(user).collect() })
}

fn hide() -> ClientOp {
    ClientOp::Presence(ShowPresence { on: false, to: vec![] })
}

pub(super) fn ok() -> ServerOp {
    ServerOp::Ok {}
}

/// A refusal as name and field.
pub(super) fn refusal(op: ServerOp) -> String {
    match op {
        ServerOp::Reject(Reject::BadRequest { field, .. }) => format!("bad_request {field}"),
        ServerOp::Reject(reject) => reject.name().to_owned(),
        other => panic!("{other:?}"),
    }
}

impl Client {
    async fn ephemeral(&mut self) -> Ephemeral {
        match self.next().await.op {
            ServerOp::Ephemeral(ephemeral) => ephemeral,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn presence(&mut self) -> Presence {
        match self.next().await.op {
            ServerOp::Presence(presence) => presence,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn call(&mut self) -> Call {
        match self.next().await.op {
            ServerOp::Call(call) => call,
            other => panic!("{other:?}"),
        }
    }

    /// The next step of a call: its act, and the last byte of its tag.
    pub(super) async fn heard(&mut self) -> (CallAct, Option<u8>) {
        let call = self.call().await;
        (call.act, call.msg.and_then(|msg| msg.as_bytes().last().copied()))
    }

    /// Signed in, and live: nothing lies in its queue.
    async fn live(mut self) -> Self {
        assert_eq!(self.ask(ClientOp::Sync {}).await, ok());
        assert!(matches!(self.ask(ClientOp::Ping {}).await, ServerOp::Pong {}));
        self
    }
}

pub(super) async fn live(world: &World, u: u8, d: u8, encoding: Encoding) -> Client {
    world.device(u, d, encoding).await.live().await
}

#[actix::test]
async fn typing_reaches_the_live_devices_of_the_contact_with_their_own_tags() {
    tokio::time::pause();
    for encoding in Encoding::ALL {
        let world = World::one_more([2, 2, 0, 0], unpaced());
        let mut alice = live(&world, 1, 0, encoding).await;
        let mut tablet = live(&world, 1, 1, encoding).await;
        let mut bob = live(&world, 2, 1, encoding).await;
        // Targets in roster order, less the sender: 1/1, 2/0, 2/1.
        alice.op(typing(0, 2, 3)).await;
        let heard = bob.ephemeral().await;
        assert_eq!((heard.from_user, heard.from_device), (user(1), device(1, 0)));
        let sent = upload(Class::Control, LANE_EPHEMERAL, 0, 272, 3);
        let mut expected = sent.as_bytes()[..56 + 32 + 4 + 272].to_vec();
        expected.extend_from_slice(&[2; 16]);
        assert_eq!(heard.msg.as_bytes(), expected, "header, commit, ciphertext, own tag");
        assert!(alice.is_quiet(Duration::from_secs(5)).await, "no answer");
        assert!(tablet.is_quiet(Duration::from_secs(1)).await, "not for the own devices");
        let counts = world.engine.counts();
        assert_eq!((counts.queued_messages, counts.notices), (0, 0), "and nothing is kept");
        // 2/0 comes later and hears nothing of it.
        let mut phone = world.device(2, 0, encoding).await;
        assert!(phone.is_quiet(Duration::from_secs(5)).await);
    }
}

#[actix::test]
async fn typing_is_paced_for_each_contact() {
    let world = World::new([1, 1, 1, 0], unpaced());
    let mut alice = live(&world, 1, 0, Encoding::Json).await;
    let mut bob = live(&world, 2, 0, Encoding::Cbor).await;
    let mut carol = live(&world, 3, 0, Encoding::Cbor).await;
    alice.op(typing(0, 2, 1)).await;
    bob.ephemeral().await;
    tokio::time::advance(Duration::from_millis(1_000)).await;
    let refused = alice.ask(typing(0, 2, 1)).await;
    let ServerOp::Reject(Reject::RateLimited { retry_after_ms, rule, limit, window_ms }) = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!((rule, limit, window_ms), (Rule::Ephemeral, 1, 3_000));
    alice.op(typing(0, 3, 1)).await;
    carol.ephemeral().await;
    tokio::time::advance(Duration::from_millis(retry_after_ms - 1)).await;
    assert_eq!(refusal(alice.ask(typing(0, 2, 1)).await), "rate_limited");
    tokio::time::advance(Duration::from_millis(1)).await;
    alice.op(typing(0, 2, 1)).await;
    bob.ephemeral().await;
}

#[actix::test]
async fn each_refused_ephemeral_has_its_reject() {
    let world = World::new([1, 1, 1, 0], unpaced());
    let mut alice = live(&world, 1, 0, Encoding::Json).await;
    let mut bob = live(&world, 2, 0, Encoding::Json).await;
    let with = |class, lane, sender, ct, tags| {
        let upload = upload(class, lane, sender, ct, tags);
        ClientOp::Ephemeral(SendEphemeral { to: user(2), upload })
    };
    let mut stale = upload(Class::Control, 1, 0, 272, 1).as_bytes().to_vec();
    stale[8] ^= 1;
    let stale = ClientOp::Ephemeral(SendEphemeral { to: user(2), upload: stale.into() });
    let unknown = typing(0, 9, 1);
    for (op, expected) in [
        (with(Class::Control, 0, 0, 272, 1), "bad_request upload.lane"),
        (with(Class::Text, 0, 0, 272, 1), "bad_request upload.class"),
        (with(Class::Call, 1, 0, 272, 1), "bad_request upload.class"),
        (with(Class::Control, 1, 0, 528, 1), "too_large"),
        (with(Class::Control, 1, 0, 272, 2), "bad_request upload.m"),
        (with(Class::Control, 1, 1, 272, 1), "forbidden"),
        (stale, "epoch_stale"),
        (typing(0, 4, 1), "not_contact"),
        (unknown, "not_contact"),
    ] {
        assert_eq!(refusal(alice.ask(op).await), expected);
    }
    let large = alice.ask(with(Class::Control, 1, 0, 528, 1)).await;
    assert_eq!(large, ServerOp::Reject(Reject::TooLarge { limit: 272 }));
    *world.people.down.lock().unwrap() = true;
    assert_eq!(refusal(alice.ask(typing(0, 3, 1)).await), "unavailable");
    // None of it cost anything.
    alice.op(typing(0, 2, 1)).await;
    bob.ephemeral().await;
}

#[actix::test]
async fn what_passes_by_is_bounded_for_a_peer_that_does_not_read() {
    let limits = Limits { ephemeral_every_ms: 0, pong_within_ms: 600_000, ..unpaced() };
    let world = World::new([1, 1, 0, 0], limits);
    let mut alice = live(&world, 1, 0, Encoding::Cbor).await;
    let (near, far) = tokio::io::duplex(2_048);
    let mut bob = world.connect_over(near, far, Encoding::Cbor);
    bob.sign_in(2, 0, None).await;
    let mut bob = bob.live().await;
    alice.op(typing(0, 2, 1)).await;
    bob.ephemeral().await;
    for _ in 0..500 {
        alice.op(typing(0, 2, 1)).await;
    }
    assert!(matches!(alice.ask(ClientOp::Ping {}).await, ServerOp::Pong {}));
    let mut heard = 0;
    while !bob.is_quiet(Duration::from_secs(1)).await {
        heard += 1;
    }
    // The pipe, what one write takes, and the lane.
    assert!((crate::lane::EPHEMERALS..200).contains(&heard), "{heard}");
}

#[actix::test]
async fn presence_is_mutual_and_between_contacts_only() {
    tokio::time::pause();
    for encoding in Encoding::ALL {
        let world = World::one_more([1, 2, 1, 1], unpaced());
        let mut alice = live(&world, 1, 0, encoding).await;
        let mut bob = live(&world, 2, 0, encoding).await;
        let mut dave = live(&world, 4, 0, encoding).await;
        assert_eq!(alice.ask(show(&[2, 3, 4, 9])).await, ok(), "strangers cost the same");
        assert_eq!(dave.ask(show(&[1])).await, ok());
        assert!(alice.is_quiet(Duration::from_secs(1)).await);
        assert_eq!(bob.ask(show(&[1])).await, ok());
        assert_eq!(alice.presence().await, Presence { user: user(2), on: true });
        assert_eq!(bob.presence().await, Presence { user: user(1), on: true });
        // A second device of Bob, then the first one goes: he is still there.
        let mut phone = live(&world, 2, 1, encoding).await;
        assert_eq!(phone.ask(show(&[1])).await, ok());
        assert_eq!(phone.presence().await, Presence { user: user(1), on: true });
        drop(bob);
        assert!(alice.is_quiet(Duration::from_secs(1)).await);
        assert_eq!(phone.ask(hide()).await, ok());
        assert_eq!(alice.presence().await, Presence { user: user(2), on: false });
        assert_eq!(phone.ask(show(&[1])).await, ok());
        assert_eq!(alice.presence().await, Presence { user: user(2), on: true });
        assert_eq!(phone.presence().await, Presence { user: user(1), on: true });
        drop(phone);
        assert_eq!(alice.presence().await, Presence { user: user(2), on: false });
        assert!(dave.is_quiet(Duration::from_secs(1)).await, "no contact hears nothing");
    }
}

#[actix::test]
async fn who_is_removed_or_blocked_hears_no_more_at_once() {
    tokio::time::pause();
    for kind in [EventKind::Removed, EventKind::Block] {
        let world = World::one_more([1, 1, 0, 0], unpaced());
        let mut alice = live(&world, 1, 0, Encoding::Json).await;
        let mut bob = live(&world, 2, 0, Encoding::Json).await;
        alice.ask(show(&[2])).await;
        bob.ask(show(&[1])).await;
        alice.presence().await;
        bob.presence().await;
        let pairs = vec![(user(1), user(2))];
        // A new epoch: looked up again, and nothing to tell.
        world.engine.committed(Change { pairs: pairs.clone(), events: vec![] }).await.unwrap();
        assert!(alice.is_quiet(Duration::from_secs(1)).await);
        let facts = world.people.pairs.lock().unwrap().remove(&pairs[0]).unwrap();
        let event = Event { v: 8, kind, peer: Some(user(2)) };
        let events = vec![(user(1), event.clone())];
        world.engine.committed(Change { pairs: pairs.clone(), events }).await.unwrap();
        let mut seen = vec![alice.next().await.op, alice.next().await.op];
        seen.sort_by_key(|op| matches!(op, ServerOp::Event(_)));
        let off = |u| ServerOp::Presence(Presence { user: user(u), on: false });
        assert_eq!(seen, [off(2), ServerOp::Event(event)]);
        assert_eq!(bob.next().await.op, off(1));
        assert_eq!(bob.ask(hide()).await, ok());
        assert_eq!(bob.ask(show(&[1])).await, ok());
        assert!(alice.is_quiet(Duration::from_secs(1)).await);
        // Contacts again.
        world.people.pairs.lock().unwrap().insert(pairs[0], facts);
        world.engine.committed(Change { pairs, events: vec![] }).await.unwrap();
        assert_eq!(alice.presence().await, Presence { user: user(2), on: true });
    }
}

#[actix::test]
async fn presence_waits_for_accounts_that_cannot_be_asked() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = live(&world, 1, 0, Encoding::Json).await;
    let mut bob = live(&world, 2, 0, Encoding::Json).await;
    *world.people.down.lock().unwrap() = true;
    alice.ask(show(&[2])).await;
    bob.ask(show(&[1])).await;
    assert!(alice.is_quiet(Duration::from_secs(5)).await, "nothing fails open");
    *world.people.down.lock().unwrap() = false;
    assert_eq!(alice.presence().await, Presence { user: user(2), on: true });
    // A change that cannot be looked up: off until it can.
    *world.people.down.lock().unwrap() = true;
    world
        .engine
        .committed(Change { pairs: vec![(user(1), user(2))], events: vec![] })
        .await
        .unwrap();
    assert_eq!(alice.presence().await, Presence { user: user(2), on: false });
    *world.people.down.lock().unwrap() = false;
    assert_eq!(alice.presence().await, Presence { user: user(2), on: true });
}

#[actix::test]
async fn a_look_that_panics_is_made_again() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = live(&world, 1, 0, Encoding::Json).await;
    let mut bob = live(&world, 2, 0, Encoding::Json).await;
    *world.people.broken.lock().unwrap() = true;
    alice.ask(show(&[2])).await;
    bob.ask(show(&[1])).await;
    assert_eq!(alice.presence().await, Presence { user: user(2), on: true });
    assert!(!*world.people.broken.lock().unwrap(), "its actor broke and was rebuilt");
}

#[actix::test]
async fn a_session_that_panics_is_there_no_more() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = live(&world, 1, 0, Encoding::Json).await;
    let broken = Arc::new(AtomicBool::new(false));
    let (near, far) = tokio::io::duplex(64 * 1024);
    let mut bob = world.connect_over(near, Fragile(far, broken.clone()), Encoding::Json);
    bob.sign_in(2, 0, None).await;
    alice.ask(show(&[2])).await;
    bob.ask(show(&[1])).await;
    assert_eq!(alice.presence().await, Presence { user: user(2), on: true });
    assert_eq!(alice.ask(step(2, 7, CallAct::Ring, None)).await, ok());
    assert_eq!(bob.ask(step(1, 7, CallAct::Answer, None)).await, ok());
    assert_eq!(alice.heard().await, (CallAct::Answer, None));
    broken.store(true, Ordering::Relaxed);
    bob.op(ClientOp::Ping {}).await;
    assert_eq!(alice.presence().await, Presence { user: user(2), on: false });
    assert_eq!(alice.heard().await, (CallAct::End, None), "its lease is over");
}

#[actix::test]
async fn each_refused_presence_has_its_reject() {
    let world = World::new([1, 1, 0, 0], Limits { presence_names: 300, ..unpaced() });
    let mut alice = live(&world, 1, 0, Encoding::Json).await;
    let mut bob = live(&world, 2, 0, Encoding::Json).await;
    let many = |n: u16, first: u8| {
        let id = |k: u16| {
            let mut id = [first; 32];
            id[..2].copy_from_slice(&k.to_be_bytes());
            UserId(id)
        };
        ClientOp::Presence(ShowPresence { on: true, to: (0..n).map(id).collect() })
    };
    assert_eq!(refusal(alice.ask(many(257, 0xaa)).await), "bad_request op.presence.to");
    let off = ClientOp::Presence(ShowPresence { on: false, to: vec![user(2)] });
    assert_eq!(refusal(alice.ask(off).await), "bad_request op.presence.to");
    assert_eq!(alice.ask(many(256, 0xaa)).await, ok());
    assert_eq!(refusal(bob.ask(many(256, 0xbb)).await), "unavailable");
    for _ in 0..11 {
        assert_eq!(alice.ask(hide()).await, ok());
    }
    let refused = alice.ask(hide()).await;
    let ServerOp::Reject(Reject::RateLimited { retry_after_ms, rule, limit, window_ms }) = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!((rule, limit, window_ms), (Rule::Presence, 12, 60_000));
    tokio::time::advance(Duration::from_millis(retry_after_ms)).await;
    assert_eq!(alice.ask(hide()).await, ok());
    assert_eq!(bob.ask(many(256, 0xbb)).await, ok(), "there is room again");
}
