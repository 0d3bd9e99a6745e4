//! The 10-second rule: one text, edit or file per interval and user; exact waits; free repeats.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use hushwire_wire::frame::{ClientOp, ServerOp};
use hushwire_wire::{Encoding, Reject, Rule};
use support::person::{random_array, seal_receipt, seal_text};
use support::{Pair, Person, Server};

#[tokio::test]
async fn the_second_text_is_told_exactly_when() {
    let server = Server::start();
    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let (mut alice, _) = pair.alice.connect(Encoding::Cbor).await;
    let bob = pair.bob.user();
    let first = seal_text(&mut pair.alice_state, "one");
    let started = std::time::Instant::now();
    let answer = alice.ask(Person::send(&bob, 1, first.clone())).await;
    assert!(matches!(answer, ServerOp::Accepted(_)), "{answer:?}");
    let second = seal_text(&mut pair.alice_state, "two");
    let ServerOp::Reject(Reject::RateLimited { retry_after_ms, rule, limit, window_ms }) =
        alice.ask(Person::send(&bob, 2, second.clone())).await
    else {
        panic!("the rule holds it")
    };
    let elapsed = started.elapsed().as_millis() as u64;
    assert_eq!((rule, limit, window_ms), (Rule::MessageInterval, 1, 10_000));
    assert!(retry_after_ms <= 10_000 && retry_after_ms + elapsed + 2 >= 10_000);
    // A repeat of what was accepted is free, and the same answer.
    assert_eq!(alice.ask(Person::send(&bob, 1, first)).await, answer);
    // Receipts have a lane of their own. They may go first, so they take the next number.
    let receipt = seal_receipt(&mut pair.alice_state, hushwire_e2ee::ContentId(random_array()));
    assert!(matches!(alice.ask(Person::send(&bob, 3, receipt)).await, ServerOp::Accepted(_)));
    assert_eq!(alice.ask(ClientOp::Ping {}).await, ServerOp::Pong {});
}

#[tokio::test]
async fn after_the_wait_the_same_bytes_are_taken() {
    let server = Server::start_with(&[("limits.message_interval_ms", "400")]);
    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let (mut alice, _) = pair.alice.connect(Encoding::Json).await;
    let bob = pair.bob.user();
    let first = seal_text(&mut pair.alice_state, "one");
    assert!(matches!(alice.ask(Person::send(&bob, 1, first)).await, ServerOp::Accepted(_)));
    let second = seal_text(&mut pair.alice_state, "two");
    let answer = alice.ask(Person::send(&bob, 2, second.clone())).await;
    let ServerOp::Reject(Reject::RateLimited { retry_after_ms, .. }) = answer else {
        panic!("{answer:?}")
    };
    assert!((1..=400).contains(&retry_after_ms));
    // The server said how long: that long, and no longer.
    tokio::time::sleep(Duration::from_millis(retry_after_ms)).await;
    let answer = alice.ask(Person::send(&bob, 2, second)).await;
    assert!(matches!(answer, ServerOp::Accepted(_)), "{answer:?}");
}

#[tokio::test]
async fn the_rule_counts_the_user_over_all_recipients_and_nobody_else() {
    let server = Server::start();
    let http = server.http();
    let mut pair = Pair::meet(&http, "alice", "bob").await;
    let mut other = Pair::meet(&http, "carol", "dave").await;
    let (mut alice, _) = pair.alice.connect(Encoding::Cbor).await;
    let (mut carol, _) = other.alice.connect(Encoding::Cbor).await;
    let upload = seal_text(&mut pair.alice_state, "one");
    let answer = alice.ask(Person::send(&pair.bob.user(), 1, upload)).await;
    assert!(matches!(answer, ServerOp::Accepted(_)));
    let upload = seal_text(&mut other.alice_state, "mine");
    let answer = carol.ask(Person::send(&other.bob.user(), 1, upload)).await;
    assert!(matches!(answer, ServerOp::Accepted(_)), "carol has a bucket of her own");
    // A refusal takes nothing: the wait does not grow by asking.
    let mut last = u64::MAX;
    for sn in 2..6 {
        let upload = seal_text(&mut pair.alice_state, "again");
        let answer = alice.ask(Person::send(&pair.bob.user(), sn, upload)).await;
        let ServerOp::Reject(Reject::RateLimited { retry_after_ms, .. }) = answer else {
            panic!("{answer:?}")
        };
        assert!(retry_after_ms <= last);
        last = retry_after_ms;
    }
}
