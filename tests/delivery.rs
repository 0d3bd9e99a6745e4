//! A message's whole way: sent, in custody, acknowledged, accepted, delivered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use hushwire_wire::Encoding;
use hushwire_wire::frame::{Accepted, Ack, ClientOp, Message, News, Notice, ServerOp};
use support::person::{both_suites, open_text, plain_suite, seal_text};
use support::{Pair, Person, Server, Socket};

fn message(op: ServerOp) -> Option<Message> {
    match op {
        ServerOp::Message(message) => Some(message),
        _ => None,
    }
}

fn notice(op: ServerOp) -> Option<Notice> {
    match op {
        ServerOp::Notice(notice) => Some(notice),
        _ => None,
    }
}

async fn ack(socket: &mut Socket, n: u64) {
    socket.send(ClientOp::Ack(Ack { n, failed: vec![] })).await;
}

fn accepted(op: ServerOp) -> Accepted {
    match op {
        ServerOp::Accepted(accepted) => accepted,
        other => panic!("not accepted: {other:?}"),
    }
}

#[tokio::test]
async fn online_it_is_accepted_when_the_recipient_has_persisted_it() {
    for suites in [both_suites(), plain_suite()] {
        for (from, to) in [(Encoding::Cbor, Encoding::Json), (Encoding::Json, Encoding::Cbor)] {
            // A busy machine is no reason to take what is on its way for an offline message.
            let server = Server::start_with(&[("limits.custody_after_ms", "9000")]);
            let mut pair = Pair::meet_with(&server.http(), "alice", "bob", suites).await;
            let (mut alice, _) = pair.alice.connect(from).await;
            let (mut bob, _) = pair.bob.connect(to).await;
            // A welcome comes before the last look at the queue; until then messages go there.
            assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
            let upload = seal_text(&mut pair.alice_state, "hello, bob");
            let id = alice.send(Person::send(&pair.bob.user(), 1, upload)).await;
            let got = bob.event(message).await;
            assert_eq!((got.n, got.peer), (1, pair.alice.user()));
            assert_eq!(open_text(&mut pair.bob_state, &got), "hello, bob");
            ack(&mut bob, 1).await;
            let answer = accepted(alice.answer(id).await);
            assert_eq!(answer.sn, 1);
            assert_eq!(answer.delivered, [pair.bob.device()]);
            assert!(answer.skipped.is_empty());
        }
    }
}

#[tokio::test]
async fn offline_it_waits_in_the_queue_in_order_and_the_sender_hears_of_delivery() {
    let server = Server::start_with(&[("limits.message_interval_ms", "0")]);
    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let (mut alice, _) = pair.alice.connect(Encoding::Cbor).await;
    for sn in 1..=40 {
        let upload = seal_text(&mut pair.alice_state, &format!("message {sn}"));
        let answer = accepted(alice.ask(Person::send(&pair.bob.user(), sn, upload)).await);
        assert!(answer.delivered.is_empty(), "nobody has it yet");
    }
    let (mut bob, _) = pair.bob.connect(Encoding::Json).await;
    for n in 1..=40 {
        let got = bob.event(message).await;
        assert_eq!(got.n, n, "numbered without a gap");
        assert_eq!(open_text(&mut pair.bob_state, &got), format!("message {n}"));
        if n % 8 == 0 {
            ack(&mut bob, n).await;
        }
    }
    for n in 1..=40 {
        let heard = alice.event(notice).await;
        assert_eq!(heard.n, n);
        assert!(
            matches!(heard.what, News::Delivered { device, .. } if device == pair.bob.device())
        );
        if n % 8 == 0 {
            ack(&mut alice, n).await;
        }
    }
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    bob.cut();
    // What was acknowledged is gone: nothing comes twice.
    let (mut bob, _) = pair.bob.connect(Encoding::Cbor).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    assert!(bob.is_quiet(Duration::from_millis(100)).await);
}

#[tokio::test]
async fn what_was_sent_but_not_acknowledged_comes_again() {
    let server = Server::start();
    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let (mut alice, _) = pair.alice.connect(Encoding::Cbor).await;
    let (mut bob, _) = pair.bob.connect(Encoding::Cbor).await;
    let upload = seal_text(&mut pair.alice_state, "twice, if need be");
    let id = alice.send(Person::send(&pair.bob.user(), 1, upload)).await;
    let first = bob.event(message).await;
    bob.cut();
    // Custody went from the socket to the queue.
    assert!(accepted(alice.answer(id).await).delivered.is_empty());
    let (mut bob, _) = pair.bob.connect(Encoding::Cbor).await;
    let second = bob.event(message).await;
    assert_eq!(second.msg, first.msg);
    assert_eq!(second.at, first.at);
    ack(&mut bob, second.n).await;
    let heard = alice.event(notice).await;
    assert!(matches!(heard.what, News::Delivered { .. }));
}

#[tokio::test]
async fn a_device_that_does_not_acknowledge_is_backed_by_the_queue() {
    let server = Server::start();
    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let (mut alice, _) = pair.alice.connect(Encoding::Cbor).await;
    let (mut bob, _) = pair.bob.connect(Encoding::Cbor).await;
    let upload = seal_text(&mut pair.alice_state, "are you there?");
    let id = alice.send(Person::send(&pair.bob.user(), 1, upload)).await;
    let got = bob.event(message).await;
    // After `custody_after` the queue has it, though bob's socket is live.
    assert!(accepted(alice.answer(id).await).delivered.is_empty());
    ack(&mut bob, got.n).await;
    let heard = alice.event(notice).await;
    assert!(
        matches!(heard.what, News::Delivered { mid, .. } if mid.as_bytes() == &got.msg.as_bytes()[40..56])
    );
    // And it was deleted from the queue: another connection gets nothing.
    bob.cut();
    let (mut bob, _) = pair.bob.connect(Encoding::Cbor).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    assert!(bob.is_quiet(Duration::from_millis(100)).await);
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_reported_not_delivered() {
    let server = Server::start();
    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let (mut alice, _) = pair.alice.connect(Encoding::Cbor).await;
    let upload = seal_text(&mut pair.alice_state, "unreadable");
    accepted(alice.ask(Person::send(&pair.bob.user(), 1, upload)).await);
    let (mut bob, _) = pair.bob.connect(Encoding::Cbor).await;
    let got = bob.event(message).await;
    let failed = vec![hushwire_wire::frame::Failed { n: got.n, code: "BAD_TAG".to_owned() }];
    bob.send(ClientOp::Ack(Ack { n: got.n, failed })).await;
    let heard = alice.event(notice).await;
    assert!(matches!(heard.what, News::Undecryptable { ref code, .. } if code == "BAD_TAG"));
}
