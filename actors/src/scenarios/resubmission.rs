//! A process that died with its queues: what clients put back, and how much of it.

use hushwire_wire::frame::Resynced;

use super::*;
use crate::queue::{Call, Reply, Stored};

const OLD: Gen = Gen([9; 16]);

fn again(sn: u64, r#gen: Gen) -> Send {
    Send { re: Some(r#gen), ..text(0, 2, sn, 1) }
}

fn sn_of(message: &Message) -> u64 {
    let mid = &message.msg.as_bytes()[40..56];
    u64::from_be_bytes(mid[8..].try_into().unwrap())
}

#[actix::test]
async fn what_was_accepted_by_a_process_that_died_comes_first_and_once() {
    let before = World::new([1, 1, 0, 0], unpaced());
    let mut alice = before.json(1, 0).await;
    for sn in 1..=3 {
        alice.send(text(0, 2, sn, 1)).await.unwrap();
    }
    drop((alice, before));
    let world = World::one_more([1, 1, 0, 0], unpaced());
    let mut bob = world.json(2, 0).await;
    assert!(bob.is_quiet(Duration::from_secs(1)).await, "all is lost");
    let mut alice = world.connect(Encoding::Json);
    let r#gen = alice.sign_in(1, 0, Some(OLD)).await.r#gen;
    let waits = Err(Reject::Unavailable { retry_after_ms: 1_000 });
    assert_eq!(alice.send(text(0, 2, 4, 1)).await, waits, "nothing overtakes");
    for sn in [1, 2, 2, 3] {
        let id = alice.op(ClientOp::Send(again(sn, r#gen))).await;
        let message = bob.message().await;
        assert_eq!(sn_of(&message), sn);
        bob.ack(message.n).await;
        assert!(matches!(alice.answer(id).await, ServerOp::Accepted(a) if a.sn == sn));
    }
    let done = ClientOp::Resynced(Resynced { r#gen });
    assert_eq!(alice.ask(done).await, ServerOp::Ok {});
    let id = alice.op(ClientOp::Send(text(0, 2, 4, 1))).await;
    let message = bob.message().await;
    assert_eq!(sn_of(&message), 4);
    bob.ack(message.n).await;
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(_)));
}

#[actix::test]
async fn a_device_puts_back_so_many_and_repeats_are_free() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let mut alice = world.connect(Encoding::Json);
    let r#gen = alice.sign_in(1, 0, Some(OLD)).await.r#gen;
    for sn in 1..=1_000 {
        if sn % 5 == 1 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        alice.send(again(sn, r#gen)).await.unwrap();
    }
    let sixth = alice.send(again(1_000, r#gen)).await;
    assert!(matches!(sixth, Err(Reject::RateLimited { limit: 5, window_ms: 1_000, .. })));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let one_more = alice.send(again(1_001, r#gen)).await;
    assert!(matches!(one_more, Err(Reject::BadRequest { field, .. }) if field == "op.send.re"));
    alice.send(again(1_000, r#gen)).await.expect("a repeat");
    assert_eq!(world.engine.counts().queued_messages, 1_000);
}

#[actix::test]
async fn a_device_that_came_after_the_loss_has_nothing_to_put_back() {
    let world = World::new([1, 1, 0, 0], unpaced());
    let born_ms = 1_000_000;
    world.people.devices.lock().unwrap().get_mut(&device(1, 0)).unwrap().since_ms = born_ms;
    let mut alice = world.json(1, 0).await;
    let refused = alice.send(again(1, world.engine.generation())).await;
    assert!(matches!(refused, Err(Reject::BadRequest { field, .. }) if field == "op.send.re"));
    assert_eq!(world.engine.counts().queued_messages, 0);
}

/// A store that loses everything when it is told to.
#[derive(Debug)]
struct Forgetful(Mutex<Arc<MemoryQueue>>);

impl Forgetful {
    fn now(&self) -> Arc<MemoryQueue> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl Queue for Forgetful {
    async fn call(&self, calls: Vec<Call>) -> Vec<Result<Reply, Unavailable>> {
        self.now().call(calls).await
    }

    fn generation(&self) -> Gen {
        self.now().generation()
    }

    fn is_full(&self) -> bool {
        self.now().is_full()
    }

    fn born_ms(&self) -> u64 {
        self.now().born_ms()
    }

    fn stored(&self) -> Stored {
        self.now().stored()
    }
}

#[actix::test]
async fn nothing_new_overtakes_what_is_lost_before_its_sender_hears_of_the_loss() {
    tokio::time::pause();
    let mut store = None;
    let world = World::over([1, 1, 0, 0], unpaced(), |queue| {
        let queue = Arc::new(Forgetful(Mutex::new(Arc::new(queue))));
        store = Some(queue.clone());
        queue
    });
    let mut alice = world.json(1, 0).await;
    alice.send(text(0, 2, 1, 1)).await.unwrap();
    let Ports { random, clock, .. } = world.engine.ports();
    let empty = MemoryQueue::new(unpaced(), &*random, clock);
    let r#gen = empty.generation();
    *store.unwrap().0.lock().unwrap() = Arc::new(empty);
    // The node knows, and the session does not yet.
    let waits = Err(Reject::Unavailable { retry_after_ms: 1_000 });
    assert_eq!(alice.send(text(0, 2, 2, 1)).await, waits);
    let ServerOp::Resync(news) = alice.next().await.op else { panic!("no news of a loss") };
    assert_eq!(news.r#gen, r#gen);
    alice.send(again(1, r#gen)).await.unwrap();
    assert_eq!(alice.ask(ClientOp::Resynced(Resynced { r#gen })).await, ServerOp::Ok {});
    alice.send(text(0, 2, 2, 1)).await.unwrap();
    let mut bob = world.json(2, 0).await;
    assert_eq!([sn_of(&bob.message().await), sn_of(&bob.message().await)], [1, 2]);
}
