//! How connections begin, live and end, and what becomes of what they held.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hushwire_wire::frame::{Event, EventKind, Resynced};
use tokio::io::ReadBuf;

use super::*;
use crate::queue::{Call, Queue, Reply, Stored};
use crate::{Change, Readiness};

#[actix::test]
async fn a_newer_connection_displaces_the_older_and_inherits_its_messages() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    let mut old = world.json(2, 0).await;
    assert_eq!(old.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    let id = alice.op(ClientOp::Send(text(0, 2, 1, 1))).await;
    assert_eq!(old.message().await.n, 1);
    let mut new = world.device(2, 0, Encoding::Cbor).await;
    assert_eq!(old.closed().await, Close::Displaced);
    assert_eq!(&new.message().await.msg.as_bytes()[40..56], mid(1).as_bytes());
    new.ack(1).await;
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(_)));
    let counts = world.engine.counts();
    assert_eq!((counts.devices, counts.users), (2, 2));
}

#[actix::test]
async fn no_hello_no_pong_and_no_ack_end_a_connection() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let before = Instant::now();
    let mut mute = world.connect(Encoding::Json);
    assert_eq!(mute.closed().await, Close::NotAuthenticated);
    assert!((5_000..5_100).contains(&before.elapsed().as_millis()));
    let before = Instant::now();
    let mut deaf = world.json(1, 0).await;
    loop {
        // Reads, but answers no ping.
        match deaf.codec.decode(&mut deaf.buffer).unwrap() {
            Some(Frame::Close(Some(reason))) => {
                assert_eq!(u16::from(reason.code), Close::NoAnswer.code());
                break;
            }
            Some(_) => {}
            None => assert!(deaf.io.read_buf(&mut deaf.buffer).await.unwrap() > 0),
        }
    }
    assert!((35_000..35_100).contains(&before.elapsed().as_millis()));
    let mut alice = world.json(1, 0).await;
    for sn in 1..=40 {
        alice.send(text(0, 2, sn, 1)).await.unwrap();
    }
    let mut slow = world.json(2, 0).await;
    let before = Instant::now();
    assert_eq!(slow.closed().await, Close::Slow);
    assert!((30_000..31_000).contains(&before.elapsed().as_millis()));
    assert_eq!(world.engine.counts().queued_messages, 40);
}

#[actix::test]
async fn changes_reach_the_users_devices_and_the_cache() {
    let world = World::new([2, 1, 0, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    let mut tablet = world.json(1, 1).await;
    alice.send(text(0, 2, 1, 2)).await.unwrap();
    let pairs = (user(1), user(2));
    world.people.pairs.lock().unwrap().get_mut(&pairs).unwrap().epoch = EpochId([9; 32]);
    let event = Event { v: 8, kind: EventKind::Epoch, peer: Some(user(2)) };
    alice.send(text(0, 2, 2, 2)).await.expect("still cached");
    world
        .engine
        .committed(Change { pairs: vec![pairs], events: vec![(user(1), event.clone())] })
        .await
        .unwrap();
    for client in [&mut alice, &mut tablet] {
        loop {
            if let ServerOp::Event(heard) = client.next().await.op {
                assert_eq!(heard, event);
                break;
            }
        }
    }
    assert_eq!(alice.send(text(0, 2, 3, 2)).await, Err(Reject::EpochStale {}));
}

/// A stream that panics when it is told to.
pub(super) struct Fragile(pub(super) DuplexStream, pub(super) Arc<AtomicBool>);

impl AsyncRead for Fragile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        assert!(!self.1.load(Ordering::Relaxed), "broken on purpose");
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Fragile {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[actix::test]
async fn a_session_that_panics_gives_up_its_place_and_loses_nothing() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    let broken = Arc::new(AtomicBool::new(false));
    let (near, far) = tokio::io::duplex(64 * 1024);
    let mut bob = world.connect_over(near, Fragile(far, broken.clone()), Encoding::Json);
    bob.sign_in(2, 0, None).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    let id = alice.op(ClientOp::Send(text(0, 2, 1, 1))).await;
    assert_eq!(bob.message().await.n, 1);
    broken.store(true, Ordering::Relaxed);
    bob.op(ClientOp::Ping {}).await;
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(a) if a.delivered.is_empty()));
    let counts = world.engine.counts();
    assert_eq!((counts.devices, counts.sockets, counts.queued_messages), (1, 1, 1));
    assert_eq!(world.engine.is_ready(), Readiness::Ready, "no kill switch");
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.message().await.n, 1);
}

/// A queue store that fails: by one panic, by an honest answer, or by never answering devices.
#[derive(Debug)]
struct Faulty(MemoryQueue, AtomicBool, AtomicBool, AtomicBool);

#[async_trait]
impl Queue for Faulty {
    async fn call(&self, calls: Vec<Call>) -> Vec<Result<Reply, Unavailable>> {
        assert!(!self.1.swap(false, Ordering::Relaxed), "broken on purpose");
        if self.2.load(Ordering::Relaxed) {
            return calls.iter().map(|_| Err(Unavailable)).collect();
        }
        if self.3.load(Ordering::Relaxed) && matches!(calls[..], [Call::Device { .. }, ..]) {
            std::future::pending::<()>().await;
        }
        self.0.call(calls).await
    }

    fn generation(&self) -> Gen {
        self.0.generation()
    }

    fn is_full(&self) -> bool {
        self.0.is_full()
    }

    fn born_ms(&self) -> u64 {
        self.0.born_ms()
    }

    fn stored(&self) -> Stored {
        self.0.stored()
    }
}

#[actix::test]
async fn a_broken_queue_store_delays_custody_and_nothing_fails_open() {
    tokio::time::pause();
    let mut faulty = None;
    let world = World::over([1, 1, 0, 0], unpaced(), |queue| {
        let no = AtomicBool::default;
        let queue = Arc::new(Faulty(queue, no(), no(), no()));
        faulty = Some(queue.clone());
        queue
    });
    let faulty = faulty.unwrap();
    let mut alice = world.json(1, 0).await;
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    faulty.1.store(true, Ordering::Relaxed);
    let before = Instant::now();
    let accepted = alice.send(text(0, 2, 1, 1)).await.unwrap();
    assert!(accepted.delivered.is_empty(), "backed at the second try");
    assert!((2_000..2_200).contains(&before.elapsed().as_millis()));
    assert_eq!(world.engine.is_ready(), Readiness::Ready, "its actor was rebuilt");
    assert_eq!(bob.message().await.n, 1);
    // While it cannot be asked, custody is by acknowledgement alone.
    faulty.2.store(true, Ordering::Relaxed);
    assert_eq!(world.engine.issue_nonce().await, Err(Unavailable));
    let before = Instant::now();
    let waits = Err(Reject::Unavailable { retry_after_ms: 1_000 });
    assert_eq!(alice.send(text(0, 2, 2, 1)).await, waits);
    assert!((10_000..10_100).contains(&before.elapsed().as_millis()), "the send's deadline");
    let again = alice.op(ClientOp::Send(text(0, 2, 2, 1))).await;
    assert_eq!((bob.message().await.n, bob.message().await.n), (2, 3), "known by its mid");
    bob.ack(3).await;
    assert!(matches!(alice.answer(again).await, ServerOp::Accepted(a) if a.delivered.len() == 1));
    faulty.2.store(false, Ordering::Relaxed);
    assert!(matches!(alice.notice().await.1, News::Delivered { mid, .. } if mid == super::mid(1)));
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    assert_eq!(world.engine.counts().queued_messages, 0);
    // One that never answers does not keep a client waiting for its welcome.
    faulty.3.store(true, Ordering::Relaxed);
    let before = Instant::now();
    let mut late = world.connect(Encoding::Json);
    late.op(Client::hello(2, 0, None)).await;
    assert_eq!(late.closed().await, Close::Overloaded);
    assert!((5_000..5_100).contains(&before.elapsed().as_millis()));
}

#[actix::test]
async fn a_loss_is_made_good_before_anything_new() {
    let world = World::new([1, 1, 0, 0], Limits::default());
    let mut alice = world.connect(Encoding::Json);
    let welcome = alice.sign_in(1, 0, Some(Gen([9; 16]))).await;
    assert_eq!(welcome.r#gen, world.engine.generation());
    let waits = Err(Reject::Unavailable { retry_after_ms: 1_000 });
    assert_eq!(alice.send(text(0, 2, 5, 1)).await, waits.clone());
    let again = |sn, r#gen| Send { re: Some(r#gen), ..text(0, 2, sn, 1) };
    let before = alice.send(again(1, Gen([9; 16]))).await;
    assert_eq!(before, waits, "as one that has not heard of the latest loss");
    for sn in 1..=5 {
        alice.send(again(sn, welcome.r#gen)).await.expect("exempt from the interval");
    }
    let sixth = alice.send(again(6, welcome.r#gen)).await;
    assert!(matches!(sixth, Err(Reject::RateLimited { limit: 5, window_ms: 1_000, .. })));
    let wrong = ClientOp::Resynced(Resynced { r#gen: Gen([9; 16]) });
    assert!(matches!(alice.ask(wrong).await, ServerOp::Reject(_)));
    let done = ClientOp::Resynced(Resynced { r#gen: welcome.r#gen });
    assert_eq!(alice.ask(done).await, ServerOp::Ok {});
    let wrong = alice.send(again(1, Gen([9; 16]))).await;
    assert!(matches!(wrong, Err(Reject::BadRequest { field, .. }) if field == "op.send.re"));
    alice.send(text(0, 2, 6, 1)).await.unwrap();
    assert_eq!(world.engine.counts().queued_messages, 6);
}

#[actix::test]
async fn a_drain_refuses_finishes_and_says_when_to_come_back() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = world.json(1, 0).await;
    let mut bob = world.json(2, 0).await;
    assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    let id = alice.op(ClientOp::Send(text(0, 2, 1, 1))).await;
    assert_eq!(bob.message().await.n, 1);
    let engine = world.engine.clone();
    let drained = actix::spawn(async move { engine.drain().await });
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(_)), "custody is finished");
    assert_eq!(world.engine.admit_socket(None).unwrap_err(), Close::Restarting);
    assert_eq!(world.engine.is_ready(), Readiness::Draining);
    assert_eq!(alice.closed().await, Close::Restarting);
    assert_eq!(bob.closed().await, Close::Restarting);
    drop((alice, bob));
    timeout(PATIENCE, drained).await.unwrap().unwrap();
    assert_eq!(world.engine.counts().sockets, 0);
}

#[actix::test]
async fn sockets_are_bounded_and_their_places_come_back() {
    let world = World::new([1, 0, 0, 0], Limits { connections: 2, ..unpaced() });
    let first = world.engine.admit_socket(None).unwrap();
    let _second = world.engine.admit_socket(None).unwrap();
    assert_eq!(world.engine.admit_socket(None).unwrap_err(), Close::Overloaded);
    drop(first);
    assert!(world.engine.admit_socket(None).is_ok());
}

#[actix::test]
async fn nonces_are_taken_once_and_tokens_end() {
    let world = World::new([1, 0, 0, 0], unpaced());
    let engine = &world.engine;
    let nonce = engine.issue_nonce().await.unwrap();
    assert_eq!(engine.take_nonce(nonce).await, Ok(true));
    assert_eq!(engine.take_nonce(nonce).await, Ok(false));
    let nonce = engine.issue_nonce().await.unwrap();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(engine.take_nonce(nonce).await, Ok(false));
    let (token, _) = engine.issue_token(user(1), device(1, 0)).await.unwrap();
    assert_eq!(engine.check_token(&token).await, Ok(Some((user(1), device(1, 0)))));
    tokio::time::advance(Duration::from_secs(3_600)).await;
    assert_eq!(engine.check_token(&token).await, Ok(None));
    let mut alice = world.connect(Encoding::Cbor);
    let welcome = alice.sign_in(1, 0, None).await;
    assert_eq!(engine.check_token(&welcome.token).await, Ok(Some((user(1), device(1, 0)))));
}

#[actix::test]
async fn an_idle_session_is_small() {
    // The parts of a signed-in session that a bare relay does not have, without allocators' slack.
    let open = size_of::<crate::session::open::Open>();
    let lane = size_of::<crate::lane::Lane<crate::route::FlightRef>>();
    let session = size_of::<crate::session::DeviceSession<tokio::net::TcpStream>>();
    let ledger = size_of::<crate::ledger::Ledger>();
    println!("session {session}, open {open}, lane {lane}, ledger {ledger}");
    assert!(open + lane < 1_200, "{open} + {lane}");
}
