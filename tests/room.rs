//! A server whose queues have no room left: what is refused, what nobody loses, who hears of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hushwire_wire::frame::{Ack, ClientOp, Message, News, ServerOp};
use hushwire_wire::{Encoding, Reject};
use support::person::{open_text, seal_text};
use support::{Pair, Person, Server};

fn message(op: ServerOp) -> Option<Message> {
    match op {
        ServerOp::Message(message) => Some(message),
        _ => None,
    }
}

#[tokio::test]
async fn a_full_store_refuses_what_is_new_and_keeps_what_it_accepted() {
    let server = Server::start_with(&[
        ("limits.message_interval_ms", "0"),
        ("limits.store_messages", "100"),
        // A busy machine is no reason to take what is on its way for an offline message.
        ("limits.custody_after_ms", "9000"),
    ]);
    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let (mut alice, _) = pair.alice.connect(Encoding::Json).await;
    let bob = pair.bob.user();
    for sn in 1..=85 {
        let upload = seal_text(&mut pair.alice_state, &format!("message {sn}"));
        let answer = alice.ask(Person::send(&bob, sn, upload)).await;
        assert!(matches!(answer, ServerOp::Accepted(_)), "{sn}: {answer:?}");
    }
    let upload = seal_text(&mut pair.alice_state, "no room");
    let answer = alice.ask(Person::send(&bob, 86, upload)).await;
    assert_eq!(answer, ServerOp::Reject(Reject::StoreFull {}));
    let (mut bob, _) = pair.bob.connect(Encoding::Cbor).await;
    let gap = bob
        .event(|op| match op {
            ServerOp::Notice(notice) => Some(notice),
            _ => None,
        })
        .await;
    let what = News::Gap { contact: pair.alice.user(), count: 1 };
    assert_eq!((gap.n, gap.what), (1, what), "before the messages, in their numbering");
    for n in 2..=86 {
        let got = bob.event(message).await;
        assert_eq!(got.n, n);
        assert_eq!(open_text(&mut pair.bob_state, &got), format!("message {}", n - 1));
        if n % 8 == 0 || n == 86 {
            bob.send(ClientOp::Ack(Ack { n, failed: vec![] })).await;
        }
    }
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    // There is room again.
    let upload = seal_text(&mut pair.alice_state, "room again");
    let id = alice.send(Person::send(&pair.bob.user(), 87, upload)).await;
    let got = bob.event(message).await;
    assert_eq!(open_text(&mut pair.bob_state, &got), "room again");
    bob.send(ClientOp::Ack(Ack { n: got.n, failed: vec![] })).await;
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(_)));
}
