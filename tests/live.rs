//! What only live devices hear, between two people with real keys: typing, who is there, calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use hushwire_e2ee::content::{Call as Signal, CallKind};
use hushwire_e2ee::{Body, Content, EpochState, Received};
use hushwire_wire::frame::{
    Call, CallAct, ClientOp, Ephemeral, Presence, SendCall, SendEphemeral, ServerOp, ShowPresence,
};
use hushwire_wire::message::Class;
use hushwire_wire::{CallId, DeviceId, Encoding, Reject, Rule, Sealed, UserId};
use support::person::{now_ms, random_array, seal_text, text};
use support::{Pair, Person, Server, Socket};

fn seal(state: &mut EpochState, class: Class, body: Body) -> Sealed {
    let content = Content { body, ..text(state, "") };
    state.seal(class, 1, &content, random_array()).unwrap().upload.into()
}

fn open(state: &mut EpochState, msg: &Sealed) -> Body {
    match state.open(msg.as_bytes(), now_ms()).unwrap().content {
        Received::Content(content) => content.body,
        _ => panic!("no content"),
    }
}

fn typing(to: UserId, state: &mut EpochState) -> ClientOp {
    let upload = seal(state, Class::Control, Body::Typing { on: true });
    ClientOp::Ephemeral(SendEphemeral { to, upload })
}

fn bare(to: UserId, call_id: CallId, act: CallAct) -> ClientOp {
    ClientOp::Call(SendCall { to, call_id, act, upload: None })
}

/// A step that carries a signal.
fn carrying(to: UserId, call_id: CallId, act: CallAct, state: &mut EpochState) -> ClientOp {
    let (kind, payload) = (CallKind::Ice, b"a candidate".to_vec());
    let signal = Signal { call_id: call_id.0, kind, expires_ms: now_ms() + 10_000, payload };
    let upload = Some(seal(state, Class::Call, Body::Call(signal)));
    ClientOp::Call(SendCall { to, call_id, act, upload })
}

fn show(to: &[UserId]) -> ClientOp {
    ClientOp::Presence(ShowPresence { on: true, to: to.to_vec() })
}

fn ephemeral(op: ServerOp) -> Option<Ephemeral> {
    match op {
        ServerOp::Ephemeral(ephemeral) => Some(ephemeral),
        _ => None,
    }
}

fn presence(op: ServerOp) -> Option<Presence> {
    match op {
        ServerOp::Presence(presence) => Some(presence),
        _ => None,
    }
}

fn call(op: ServerOp) -> Option<Call> {
    match op {
        ServerOp::Call(call) => Some(call),
        _ => None,
    }
}

fn refusal(op: ServerOp) -> String {
    match op {
        ServerOp::Reject(Reject::BadRequest { field, .. }) => format!("bad_request {field}"),
        ServerOp::Reject(reject) => reject.name().to_owned(),
        other => panic!("{other:?}"),
    }
}

async fn ok(socket: &mut Socket, op: ClientOp) {
    assert_eq!(socket.ask(op).await, ServerOp::Ok {});
}

#[tokio::test]
async fn typing_is_seen_by_the_contact_and_kept_nowhere() {
    let server = Server::start_with(&[("limits.ephemeral_every_ms", "0")]);
    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let (mut alice, _) = pair.alice.connect(Encoding::Json).await;
    let (mut bob, _) = pair.bob.connect(Encoding::Cbor).await;
    // Until Bob's device is live it is dropped, and nobody is told.
    let heard = loop {
        alice.send(typing(pair.bob.user(), &mut pair.alice_state)).await;
        let wait = bob.event(ephemeral);
        if let Ok(heard) = tokio::time::timeout(Duration::from_millis(300), wait).await {
            break heard;
        }
    };
    assert_eq!((heard.from_user, heard.from_device), (pair.alice.user(), pair.alice.device()));
    assert_eq!(open(&mut pair.bob_state, &heard.msg), Body::Typing { on: true });
    // A device that comes later gets nothing of it.
    bob.cut();
    assert_eq!(alice.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    let (mut bob, _) = pair.bob.connect(Encoding::Cbor).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    assert!(bob.is_quiet(Duration::from_millis(100)).await);
    assert!(!server.log().contains(&pair.alice.user().to_base64url()));
}

#[tokio::test]
async fn who_shows_itself_is_seen_by_who_does_too() {
    let server = Server::start();
    let pair = Pair::meet(&server.http(), "alice", "bob").await;
    let carol = Person::register(&server.http(), "carol").await;
    let (alice_id, bob_id) = (pair.alice.user(), pair.bob.user());
    let (mut alice, _) = pair.alice.connect(Encoding::Json).await;
    let (mut bob, _) = pair.bob.connect(Encoding::Cbor).await;
    let (mut stranger, _) = carol.connect(Encoding::Json).await;
    ok(&mut alice, show(&[bob_id, carol.user()])).await;
    ok(&mut stranger, show(&[alice_id, bob_id])).await;
    ok(&mut bob, show(&[alice_id])).await;
    assert_eq!(alice.event(presence).await, Presence { user: bob_id, on: true });
    assert_eq!(bob.event(presence).await, Presence { user: alice_id, on: true });
    ok(&mut bob, ClientOp::Presence(ShowPresence { on: false, to: vec![] })).await;
    assert_eq!(alice.event(presence).await, Presence { user: bob_id, on: false });
    ok(&mut bob, show(&[alice_id])).await;
    assert_eq!(alice.event(presence).await, Presence { user: bob_id, on: true });
    bob.cut();
    assert_eq!(alice.event(presence).await, Presence { user: bob_id, on: false });
    assert!(stranger.is_quiet(Duration::from_millis(100)).await, "no contact hears nothing");
}

#[tokio::test]
async fn a_call_is_rung_answered_and_hung_up() {
    let server = Server::start();
    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let (alice_id, bob_id) = (pair.alice.user(), pair.bob.user());
    let (mut alice, _) = pair.alice.connect(Encoding::Cbor).await;
    let id = CallId(random_array());
    // Bob's device signs in while it rings.
    ok(&mut alice, carrying(bob_id, id, CallAct::Ring, &mut pair.alice_state)).await;
    let (mut bob, _) = pair.bob.connect(Encoding::Json).await;
    let ring = bob.event(call).await;
    assert_eq!((ring.act, ring.call_id), (CallAct::Ring, id));
    assert_eq!((ring.from_user, ring.from_device), (alice_id, pair.alice.device()));
    let Body::Call(signal) = open(&mut pair.bob_state, &ring.msg.unwrap()) else {
        panic!("a call")
    };
    assert_eq!((signal.call_id, signal.payload), (id.0, b"a candidate".to_vec()));
    ok(&mut bob, bare(alice_id, id, CallAct::Ringing)).await;
    assert_eq!(alice.event(call).await.act, CallAct::Ringing);
    ok(&mut bob, carrying(alice_id, id, CallAct::Answer, &mut pair.bob_state)).await;
    let answer = alice.event(call).await;
    assert_eq!((answer.act, answer.from_device), (CallAct::Answer, pair.bob.device()));
    open(&mut pair.alice_state, &answer.msg.unwrap());
    ok(&mut alice, carrying(bob_id, id, CallAct::Signal, &mut pair.alice_state)).await;
    let heard = bob.event(call).await;
    assert_eq!(heard.act, CallAct::Signal);
    open(&mut pair.bob_state, &heard.msg.unwrap());
    ok(&mut bob, bare(alice_id, id, CallAct::End)).await;
    assert_eq!(alice.event(call).await.act, CallAct::End);
    assert_eq!(refusal(alice.ask(bare(bob_id, id, CallAct::End)).await), "forbidden");
}

#[tokio::test]
async fn a_call_is_declined_missed_or_its_caller_is_gone() {
    let rings = [("limits.call_ring_ms", "700"), ("limits.call_lease_ms", "300")];
    let server = Server::start_with(&rings);
    let pair = Pair::meet(&server.http(), "alice", "bob").await;
    let (alice_id, bob_id) = (pair.alice.user(), pair.bob.user());
    let (mut alice, _) = pair.alice.connect(Encoding::Cbor).await;
    let (mut bob, _) = pair.bob.connect(Encoding::Json).await;
    let declined = CallId([1; 16]);
    ok(&mut alice, bare(bob_id, declined, CallAct::Ring)).await;
    assert_eq!(bob.event(call).await.act, CallAct::Ring);
    ok(&mut bob, bare(alice_id, declined, CallAct::Decline)).await;
    assert_eq!(alice.event(call).await.act, CallAct::Decline);
    let missed = CallId([2; 16]);
    ok(&mut alice, bare(bob_id, missed, CallAct::Ring)).await;
    assert_eq!(bob.event(call).await.act, CallAct::Ring);
    let end = alice.event(call).await;
    assert_eq!((end.act, end.call_id, end.from_device), (CallAct::End, missed, DeviceId::ZERO));
    assert_eq!(bob.event(call).await.act, CallAct::End);
    let lost = CallId([3; 16]);
    ok(&mut alice, bare(bob_id, lost, CallAct::Ring)).await;
    assert_eq!(bob.event(call).await.act, CallAct::Ring);
    ok(&mut bob, bare(alice_id, lost, CallAct::Answer)).await;
    alice.cut();
    let end = bob.event(call).await;
    assert_eq!((end.act, end.call_id), (CallAct::End, lost));
    assert_eq!(end.from_device, pair.alice.device());
}

#[tokio::test]
async fn each_refusal_names_its_reason() {
    let settings = [("limits.presence_per_minute", "1"), ("limits.call_signal_burst", "2")];
    let server = Server::start_with(&settings);
    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let carol = Person::register(&server.http(), "carol").await;
    let (bob_id, carol_id) = (pair.bob.user(), carol.user());
    let (mut alice, _) = pair.alice.connect(Encoding::Json).await;
    // Typing: the wrong lane, no contact, an unknown user, too soon.
    let upload = Sealed::from(seal_text(&mut pair.alice_state, "not ephemeral"));
    let durable = ClientOp::Ephemeral(SendEphemeral { to: bob_id, upload: upload.clone() });
    assert_eq!(refusal(alice.ask(durable).await), "bad_request upload.class");
    for nobody in [carol_id, UserId([9; 32])] {
        let op = typing(nobody, &mut pair.alice_state);
        assert_eq!(refusal(alice.ask(op).await), "not_contact");
    }
    alice.send(typing(bob_id, &mut pair.alice_state)).await;
    match alice.ask(typing(bob_id, &mut pair.alice_state)).await {
        ServerOp::Reject(Reject::RateLimited { retry_after_ms, rule, limit, window_ms }) => {
            assert_eq!((rule, limit, window_ms), (Rule::Ephemeral, 1, 3_000));
            assert!((1..=3_000).contains(&retry_after_ms));
        }
        other => panic!("{other:?}"),
    }
    // Presence: too many, then too often.
    let many = vec![bob_id; 257];
    assert_eq!(refusal(alice.ask(show(&many)).await), "bad_request op.presence.to");
    ok(&mut alice, show(&[bob_id])).await;
    assert_eq!(refusal(alice.ask(show(&[bob_id])).await), "rate_limited");
    // Calls: what only a server says, a signal without one, somebody else's upload, no call.
    let id = CallId([1; 16]);
    let elsewhere = bare(bob_id, id, CallAct::Elsewhere);
    assert_eq!(refusal(alice.ask(elsewhere).await), "bad_request op.call.act");
    let signal = bare(bob_id, id, CallAct::Signal);
    assert_eq!(refusal(alice.ask(signal).await), "bad_request op.call.upload");
    let (to, act, upload) = (bob_id, CallAct::Ring, Some(upload));
    let durable = ClientOp::Call(SendCall { to, call_id: id, act, upload });
    assert_eq!(refusal(alice.ask(durable).await), "bad_request upload.class");
    assert_eq!(refusal(alice.ask(bare(bob_id, id, CallAct::Answer)).await), "forbidden");
    assert_eq!(refusal(alice.ask(bare(carol_id, id, CallAct::Ring)).await), "not_contact");
    // The rate: two at once, then ten a second. Of twenty that follow at once some are too many.
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(alice.send(bare(bob_id, id, CallAct::End)).await);
    }
    let mut limited = 0;
    for id in ids {
        match alice.answer(id).await {
            ServerOp::Reject(Reject::RateLimited { rule, limit, .. }) => {
                assert_eq!((rule, limit), (Rule::CallSignal, 10));
                limited += 1;
            }
            other => assert_eq!(refusal(other), "forbidden"),
        }
    }
    assert!(limited > 0);
}
