//! A removal that withdraws: what still waits goes, what was sent stays, and only the sender's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hushwire_e2ee::{Body, Content, ContentId, EpochState};
use hushwire_wire::frame::{Accepted, Ack, ClientOp, Message, Send, ServerOp};
use hushwire_wire::message::{Class, Upload};
use hushwire_wire::{Encoding, Mid, Reject, Sealed, UserId};
use support::person::{open_text, random_array, seal_text, text};
use support::{Pair, Person, Server, Socket};

fn message(op: ServerOp) -> Option<Message> {
    match op {
        ServerOp::Message(message) => Some(message),
        _ => None,
    }
}

fn mid(upload: &[u8]) -> Mid {
    Upload::parse(&Sealed::from(upload.to_vec())).unwrap().header.mid
}

/// A removal, which withdraws these.
fn removal(to: &UserId, sn: u64, state: &mut EpochState, withdraw: &[Mid]) -> ClientOp {
    let body = Body::Remove { target: ContentId(random_array()) };
    let content = Content { body, ..text(state, "") };
    let upload = state.seal(Class::Remove, 0, &content, random_array()).unwrap().upload.into();
    ClientOp::Send(Send { to: *to, sn, upload, withdraw: withdraw.to_vec(), re: None })
}

async fn accepted(socket: &mut Socket, op: ClientOp) -> Accepted {
    match socket.ask(op).await {
        ServerOp::Accepted(accepted) => accepted,
        other => panic!("not accepted: {other:?}"),
    }
}

async fn ack(socket: &mut Socket, n: u64) {
    socket.send(ClientOp::Ack(Ack { n, failed: vec![] })).await;
}

#[tokio::test]
async fn what_waits_is_withdrawn_and_what_was_sent_stays() {
    let server = Server::start_with(&[
        ("limits.message_interval_ms", "0"),
        // A busy machine is no reason to queue what is on its way to somebody who is there.
        ("limits.custody_after_ms", "9000"),
    ]);
    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let (to_bob, to_alice) = (pair.bob.user(), pair.alice.user());
    let (mut alice, _) = pair.alice.connect(Encoding::Json).await;
    let mut mids = Vec::new();
    for (sn, words) in (1..).zip(["first", "second", "third"]) {
        let upload = seal_text(&mut pair.alice_state, words);
        mids.push(mid(&upload));
        accepted(&mut alice, Person::send(&to_bob, sn, upload)).await;
    }
    let op = removal(&to_bob, 4, &mut pair.alice_state, &[mids[0], mids[2]]);
    let first = accepted(&mut alice, op.clone()).await;
    assert_eq!(accepted(&mut alice, op).await, first, "a repeat");

    let (mut bob, _) = pair.bob.connect(Encoding::Cbor).await;
    let got = bob.event(message).await;
    assert_eq!(open_text(&mut pair.bob_state, &got), "second");
    let last = bob.event(message).await;
    assert_eq!(last.n, 2, "the removal follows at once");
    ack(&mut bob, 2).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});

    // What is at the device already is not taken back: it comes again after a cut.
    let upload = seal_text(&mut pair.alice_state, "sent");
    let sent = mid(&upload);
    let id = alice.send(Person::send(&to_bob, 5, upload)).await;
    let got = bob.event(message).await;
    assert_eq!(open_text(&mut pair.bob_state, &got), "sent");
    ack(&mut bob, got.n).await;
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(a) if a.delivered.len() == 1));
    let id = alice.send(removal(&to_bob, 6, &mut pair.alice_state, &[sent])).await;
    assert_eq!(bob.event(message).await.n, got.n + 1, "only the removal");
    ack(&mut bob, got.n + 1).await;
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(_)));

    // Whose it is counts, not who knows its mid: Bob cannot withdraw what Alice sent, nor she his.
    alice.cut();
    let upload = seal_text(&mut pair.bob_state, "from bob");
    let his = mid(&upload);
    accepted(&mut bob, Person::send(&to_alice, 1, upload)).await;
    bob.cut();
    let (mut alice, _) = pair.alice.connect(Encoding::Json).await;
    let got = alice.event(message).await;
    let op = removal(&to_bob, 7, &mut pair.alice_state, &[his]);
    accepted(&mut alice, op).await;
    alice.cut();
    let (mut alice, _) = pair.alice.connect(Encoding::Json).await;
    let again = alice.event(message).await;
    assert_eq!(again.msg, got.msg, "not acknowledged, so it is there again");
    assert_eq!(open_text(&mut pair.alice_state, &again), "from bob");
}

#[tokio::test]
async fn only_a_removal_withdraws_and_not_too_many() {
    let server = Server::start_with(&[("limits.message_interval_ms", "0")]);
    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let to = pair.bob.user();
    let (mut alice, _) = pair.alice.connect(Encoding::Json).await;
    let upload = Sealed::from(seal_text(&mut pair.alice_state, "a text"));
    let withdraw = vec![Mid([1; 16])];
    let texts = ClientOp::Send(Send { to, sn: 1, upload, withdraw, re: None });
    let many = removal(&to, 1, &mut pair.alice_state, &[Mid([1; 16]); 17]);
    for op in [texts, many] {
        let ServerOp::Reject(Reject::BadRequest { field, .. }) = alice.ask(op).await else {
            panic!("taken")
        };
        assert_eq!(field, "op.send.withdraw");
    }
    let most = removal(&to, 1, &mut pair.alice_state, &[Mid([1; 16]); 16]);
    accepted(&mut alice, most).await;
}
