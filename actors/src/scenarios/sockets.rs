//! What a socket may take: places, tries, control frames, and time without taking a byte.

use std::time::Duration;

use actix_http::ws::OpCode;
use hushwire_wire::frame::{Event, EventKind};
use hushwire_wire::limits::CONTROL_FRAMES_MAX;
use tokio::time::{advance, timeout};

use super::*;
use crate::Change;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7));

#[actix::test]
async fn a_drain_says_goodbye_to_who_has_not_signed_in_at_once() {
    let world = World::new([1, 0, 0, 0], unpaced());
    let mut greeted = world.connect(Encoding::Json);
    assert!(matches!(greeted.next().await.op, ServerOp::Challenge(_)));
    let engine = world.engine.clone();
    let began = Instant::now();
    let drained = actix::spawn(async move { engine.drain().await });
    assert_eq!(greeted.closed().await, Close::Restarting);
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    drop(greeted);
    timeout(PATIENCE, drained).await.unwrap().unwrap();
    assert_eq!(world.engine.counts().sockets, 0);
}

#[actix::test]
async fn places_of_who_signs_in_become_free() {
    let world = World::new([3, 0, 0, 0], Limits { unsigned_per_address: 1, ..unpaced() });
    let mut first = world.connect_from(HERE);
    assert_eq!(world.engine.admit_socket(Some(HERE)).unwrap_err(), Close::Overloaded);
    assert!(world.engine.admit_socket(Some(IpAddr::from([203, 0, 113, 8]))).is_ok());
    first.sign_in(1, 0, None).await;
    let second = world.connect_from(HERE);
    assert_eq!(world.engine.counts().unsigned, 1);
    drop(second);
    first.ask(ClientOp::Ping {}).await;
    assert_eq!(world.engine.counts().unsigned, 0);
}

#[actix::test]
async fn signed_in_sockets_of_an_address_are_bounded_if_asked_for() {
    let world = World::new([3, 0, 0, 0], Limits { signed_in_per_address: 1, ..unpaced() });
    let mut first = world.connect_from(HERE);
    first.sign_in(1, 0, None).await;
    let mut second = world.connect_from(HERE);
    assert!(matches!(second.next().await.op, ServerOp::Challenge(_)));
    second.op(Client::hello(1, 1, None)).await;
    assert_eq!(second.closed().await, Close::Overloaded);
    assert_eq!(first.ask(ClientOp::Ping {}).await, ServerOp::Pong {}, "the first one stays");
}

#[actix::test]
async fn every_hello_is_a_try_to_sign_in() {
    let world = World::new([1, 0, 0, 0], unpaced());
    for expected in [Close::NotAuthenticated; 3].into_iter().chain([Close::Flooding]) {
        let mut client = world.connect_from(HERE);
        assert!(matches!(client.next().await.op, ServerOp::Challenge(_)));
        client.op(Client::hello(1, 9, None)).await;
        assert_eq!(client.closed().await, expected);
    }
    // Where limits by address do not hold, nothing is counted.
    world.connect(Encoding::Json).sign_in(1, 0, None).await;
}

#[actix::test]
async fn control_frames_are_bounded_before_and_after_signing_in() {
    let world = World::new([1, 0, 0, 0], unpaced());
    for (signs_in, op) in [(false, OpCode::Ping), (true, OpCode::Ping), (true, OpCode::Pong)] {
        let mut client = world.connect(Encoding::Json);
        if signs_in {
            client.sign_in(1, 0, None).await;
        }
        for _ in 0..CONTROL_FRAMES_MAX {
            client.ws(op, true, b"hi").await;
        }
        if signs_in {
            assert_eq!(client.ask(ClientOp::Ping {}).await, ServerOp::Pong {}, "within the bound");
        }
        client.ws(op, true, b"hi").await;
        assert_eq!(client.closed().await, Close::Flooding);
    }
}

#[actix::test]
async fn a_peer_that_takes_nothing_is_slow_after_10_seconds() {
    let world = World::new([1, 0, 0, 0], unpaced());
    let (near, far) = tokio::io::duplex(1_024);
    let mut client = world.connect_over(near, far, Encoding::Json);
    client.sign_in(1, 0, None).await;
    // Answers that it does not read, more than the stream holds.
    for _ in 0..40 {
        client.text(r#"{"id":7,"op":{"ping":{}}}"#).await;
        tokio::task::yield_now().await;
    }
    advance(Duration::from_millis(9_900)).await;
    assert_eq!(world.engine.counts().devices, 1);
    for _ in 0..40 {
        advance(Duration::from_millis(100)).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(world.engine.counts().devices, 0, "it is signed out");
    // And gone with its goodbye unread, when the time for that is over.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.engine.counts().sockets, 0);
}

#[actix::test]
async fn events_wait_for_who_does_not_read_and_are_told_as_one_when_they_are_too_many() {
    const MANY: u64 = 3_000;
    let world = World::new([1, 0, 0, 0], unpaced());
    let (near, far) = tokio::io::duplex(1_024);
    let mut alice = world.connect_over(near, far, Encoding::Json);
    alice.sign_in(1, 0, None).await;
    for v in 1..=MANY {
        let event = Event { v, kind: EventKind::Log, peer: Some(user(1)) };
        world
            .engine
            .committed(Change { pairs: Vec::new(), events: vec![(user(1), event)] })
            .await
            .unwrap();
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    }
    // What a session keeps for it is bounded; then it is told to fetch the state.
    let mut heard = 0;
    loop {
        let ServerOp::Event(event) = alice.next().await.op else { panic!("an event") };
        if event.kind == EventKind::State {
            break;
        }
        heard += 1;
        assert_eq!(event.v, heard, "in order");
    }
    assert!(heard < MANY / 2, "{heard} were kept for it");
    assert_eq!(alice.ask(ClientOp::Ping {}).await, ServerOp::Pong {});
}
