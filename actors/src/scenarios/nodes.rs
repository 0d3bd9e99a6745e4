//! Two nodes over one queue store: sender and recipient on different ones, takeover, words that
//! are lost, and a node that is gone.
//!
//! Both share the admit records, as nodes over one Redis do.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::Change;
use crate::bus::MemoryBus;
use crate::limiter::Limiter;
use crate::ports::{Address, Bus, Word};
use hushwire_wire::NodeId;
use hushwire_wire::frame::{CallAct, Event, EventKind, Presence};

/// A bus that loses what it is told to lose.
#[derive(Debug, Default)]
pub(super) struct Lossy {
    bus: MemoryBus,
    pub(super) routes: AtomicBool,
    answers: AtomicBool,
    hints: AtomicBool,
    interrupted: AtomicBool,
}

#[async_trait]
impl Bus for Lossy {
    async fn publish(&self, from: NodeId, words: Vec<(Address, Word)>) -> Vec<bool> {
        let mut received = Vec::new();
        for (to, word) in words {
            let lost = match word {
                Word::Route { .. } => &self.routes,
                Word::Custody { .. } | Word::CustodyNo { .. } => &self.answers,
                Word::Behind { .. }
                | Word::Notices { .. }
                | Word::Displaced { .. }
                | Word::Aside(_)
                | Word::Ended { .. } => &self.hints,
            };
            // Received by somebody who never reads it.
            if lost.load(Ordering::Relaxed) {
                received.push(true);
            } else {
                received.append(&mut self.bus.publish(from, vec![(to, word)]).await);
            }
        }
        received
    }

    async fn beat(&self, node: NodeId, there: bool) -> Result<Vec<NodeId>, Unavailable> {
        self.bus.beat(node, there).await
    }

    async fn next(&self, node: NodeId) -> Result<Vec<Word>, Unavailable> {
        if self.interrupted.swap(false, Ordering::Relaxed) {
            return Err(Unavailable);
        }
        self.bus.next(node).await
    }
}

/// Two nodes, and their bus.
fn two(devices: [u8; 4]) -> (World, World, Arc<Lossy>) {
    tokio::time::pause();
    two_more(devices, unpaced())
}

/// The same, in a test whose time stands already.
pub(super) fn two_more(devices: [u8; 4], limits: Limits) -> (World, World, Arc<Lossy>) {
    let bus = Arc::new(Lossy::default());
    let mut shared = None;
    let first = World::over(devices, limits.clone(), |queue| {
        let queue: Arc<dyn Queue> = Arc::new(queue);
        shared = Some(queue.clone());
        queue
    });
    let queue = shared.unwrap();
    let admissions = Arc::new(Limiter::new(&limits, first.engine.ports().clock));
    let node = || {
        let mut ports = first.engine.ports();
        ports.bus = bus.clone();
        ports.admissions = Some(admissions.clone());
        World::node(first.people.clone(), ports, queue.clone(), limits.clone())
    };
    (node(), node(), bus)
}

/// A word to a node that nobody lost.
async fn say(bus: &Lossy, to: &World, word: Word) {
    let to = Address::Node(to.engine.node());
    assert_eq!(bus.bus.publish(NodeId([0; 16]), vec![(to, word)]).await, [true]);
}

async fn synced(world: &World, u: u8, d: u8) -> Client {
    let mut client = world.json(u, d).await;
    assert_eq!(client.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    client
}

#[actix::test]
async fn between_nodes_a_message_goes_from_socket_to_socket() {
    let (one, two, _bus) = two([1, 1, 0, 0]);
    let mut alice = one.json(1, 0).await;
    let mut bob = synced(&two, 2, 0).await;
    let id = alice.op(ClientOp::Send(text(0, 2, 1, 1))).await;
    assert_eq!(bob.message().await.n, 1);
    assert_eq!(one.engine.counts().queued_messages, 0);
    bob.ack(1).await;
    let ServerOp::Accepted(accepted) = alice.answer(id).await else { panic!("refused") };
    assert_eq!(accepted.delivered, [device(2, 0)]);
    assert!(alice.is_quiet(Duration::from_secs(5)).await, "no notice: it was in the answer");
    // One that is slow to acknowledge is backed by its own node; the notice finds its way back.
    let id = alice.op(ClientOp::Send(text(0, 2, 2, 1))).await;
    assert_eq!(bob.message().await.n, 2);
    let ServerOp::Accepted(accepted) = alice.answer(id).await else { panic!("refused") };
    assert!(accepted.delivered.is_empty());
    assert_eq!(one.engine.counts().queued_messages, 1);
    bob.ack(2).await;
    let what = News::Delivered { mid: mid(2), device: device(2, 0) };
    assert_eq!(alice.notice().await, (1, what));
    assert_eq!(one.engine.counts().queued_messages, 0);
}

#[actix::test]
async fn a_device_that_moves_displaces_itself_and_inherits_its_messages() {
    let (one, two, _bus) = two([1, 1, 0, 0]);
    let mut alice = one.json(1, 0).await;
    let mut old = synced(&one, 2, 0).await;
    let id = alice.op(ClientOp::Send(text(0, 2, 1, 1))).await;
    assert_eq!(old.message().await.n, 1);
    let before = Instant::now();
    let mut new = two.json(2, 0).await;
    assert_eq!(old.closed().await, Close::Displaced);
    assert!(before.elapsed().as_millis() < 100, "told, not found out by a heartbeat");
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(a) if a.delivered.is_empty()));
    assert_eq!(&new.message().await.msg.as_bytes()[40..56], mid(1).as_bytes());
    new.ack(1).await;
    assert!(matches!(alice.notice().await.1, News::Delivered { mid, .. } if mid == super::mid(1)));
    assert_eq!(new.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    let id = alice.op(ClientOp::Send(text(0, 2, 2, 1))).await;
    assert_eq!(&new.message().await.msg.as_bytes()[40..56], mid(2).as_bytes());
    new.ack(2).await;
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(a) if a.delivered.len() == 1));
}

#[actix::test]
async fn a_word_that_is_lost_costs_three_seconds_and_no_message() {
    let (one, two, bus) = two([1, 1, 0, 0]);
    let mut alice = one.json(1, 0).await;
    let mut bob = synced(&two, 2, 0).await;
    for (sn, lost) in (1..).zip([&bus.routes, &bus.answers]) {
        lost.store(true, Ordering::Relaxed);
        let before = Instant::now();
        let accepted = alice.send(text(0, 2, sn, 1)).await.unwrap();
        lost.store(false, Ordering::Relaxed);
        assert!(accepted.delivered.is_empty(), "written to the ledger");
        assert!((3_000..3_100).contains(&before.elapsed().as_millis()));
        // Told that it is behind, it pages; what it had already comes again and is known by mid.
        let message = bob.message().await;
        assert_eq!(&message.msg.as_bytes()[40..56], mid(sn).as_bytes());
        bob.ack(message.n).await;
        assert_eq!(bob.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    }
    // The hint is lost too: the heartbeat finds out.
    bus.routes.store(true, Ordering::Relaxed);
    bus.hints.store(true, Ordering::Relaxed);
    assert!(alice.send(text(0, 2, 3, 1)).await.unwrap().delivered.is_empty());
    bus.routes.store(false, Ordering::Relaxed);
    let before = Instant::now();
    loop {
        let message = bob.message().await;
        bob.ack(message.n).await;
        if &message.msg.as_bytes()[40..56] == mid(3).as_bytes() {
            break;
        }
    }
    assert!(before.elapsed().as_millis() <= 25_000, "no stall outlives a heartbeat");
}

#[actix::test]
async fn a_notice_whose_word_is_lost_is_found_by_the_heartbeat() {
    let (one, two, bus) = two([1, 1, 0, 0]);
    let mut alice = synced(&one, 1, 0).await;
    assert!(alice.send(text(0, 2, 1, 1)).await.unwrap().delivered.is_empty());
    bus.hints.store(true, Ordering::Relaxed);
    let mut bob = two.json(2, 0).await;
    let n = bob.message().await.n;
    bob.ack(n).await;
    let before = Instant::now();
    let what = News::Delivered { mid: mid(1), device: device(2, 0) };
    assert_eq!(alice.notice().await, (1, what));
    let took = before.elapsed().as_millis();
    assert!(took <= 25_100, "no stall outlives a heartbeat: {took}");
}

#[actix::test]
async fn an_interrupted_bus_makes_every_session_ask() {
    let (one, two, bus) = two([1, 1, 0, 0]);
    let mut alice = one.json(1, 0).await;
    let mut bob = synced(&two, 2, 0).await;
    bus.routes.store(true, Ordering::Relaxed);
    bus.hints.store(true, Ordering::Relaxed);
    alice.send(text(0, 2, 1, 1)).await.unwrap();
    let before = Instant::now();
    bus.interrupted.store(true, Ordering::Relaxed);
    // Any word ends the call that waits; the next one fails.
    let word = Word::Notices { device: device(2, 0) };
    say(&bus, &two, word).await;
    let ServerOp::Event(event) = bob.next().await.op else {
        panic!("what changed may be lost, too")
    };
    assert_eq!((event.kind, event.peer), (EventKind::State, None));
    assert_eq!(bob.message().await.n, 1);
    assert!(before.elapsed().as_millis() < 1_500);
}

/// The first message of alice reaches bob, who acknowledges it.
async fn arrives(alice: &mut Client, bob: &mut Client) {
    let id = alice.op(ClientOp::Send(text(0, 2, 1, 1))).await;
    let n = bob.message().await.n;
    bob.ack(n).await;
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(_)));
}

#[actix::test]
async fn a_change_holds_on_every_node_from_the_next_send_on() {
    let (one, two, bus) = two([1, 1, 0, 0]);
    let mut alice = one.json(1, 0).await;
    let mut bob = synced(&two, 2, 0).await;
    arrives(&mut alice, &mut bob).await;
    // Bob's node commits that they are no contacts, and the word of it is lost.
    bus.hints.store(true, Ordering::Relaxed);
    let pair = (user(1), user(2));
    two.people.pairs.lock().unwrap().remove(&pair);
    two.engine.committed(Change { pairs: vec![pair], events: vec![] }).await.unwrap();
    assert_eq!(alice.send(text(0, 2, 2, 1)).await, Err(Reject::NotContact {}));
    // A repeat of what was accepted has its answer all the same.
    assert!(alice.send(text(0, 2, 1, 1)).await.is_ok());
}

#[actix::test]
async fn a_refusal_is_never_of_what_was_before_a_change() {
    let (one, two, bus) = two([1, 1, 0, 0]);
    let mut alice = one.json(1, 0).await;
    let mut bob = synced(&two, 2, 0).await;
    let pair = (user(1), user(2));
    // Alice's node knows the pair from when its epoch was not the newest.
    let stale = |stale: bool| {
        one.people.pairs.lock().unwrap().get_mut(&pair).unwrap().heads_current = !stale;
    };
    stale(true);
    assert_eq!(alice.send(text(0, 2, 1, 1)).await, Err(Reject::EpochStale {}));
    bus.hints.store(true, Ordering::Relaxed);
    stale(false);
    two.engine.committed(Change { pairs: vec![pair], events: vec![] }).await.unwrap();
    arrives(&mut alice, &mut bob).await;
}

#[actix::test]
async fn facts_that_cannot_be_loaded_anew_are_used_until_somebody_changes_them() {
    let (one, two, bus) = two([1, 1, 0, 0]);
    let mut alice = one.json(1, 0).await;
    let mut bob = synced(&two, 2, 0).await;
    arrives(&mut alice, &mut bob).await;
    *one.people.down.lock().unwrap() = true;
    tokio::time::advance(Duration::from_secs(20)).await;
    assert!(alice.send(text(0, 2, 2, 1)).await.is_ok(), "known");
    bus.hints.store(true, Ordering::Relaxed);
    let pairs = vec![(user(1), user(2))];
    two.engine.committed(Change { pairs, events: vec![] }).await.unwrap();
    let refused = alice.send(text(0, 2, 3, 1)).await;
    assert_eq!(refused, Err(Reject::Unavailable { retry_after_ms: 1_000 }), "nothing fails open");
}

#[actix::test]
async fn events_and_what_is_ephemeral_reach_devices_of_other_nodes() {
    let (one, two, _bus) = two([1, 1, 0, 0]);
    let mut alice = one.json(1, 0).await;
    let mut bob = synced(&two, 2, 0).await;
    let event = Event { v: 8, kind: EventKind::Request, peer: Some(user(1)) };
    let change = Change { pairs: vec![], events: vec![(user(2), event.clone())] };
    one.engine.committed(change).await.unwrap();
    assert_eq!(bob.next().await.op, ServerOp::Event(event));
    alice.op(live::typing(0, 2, 1)).await;
    let ServerOp::Ephemeral(heard) = bob.next().await.op else { panic!("a sign") };
    assert_eq!((heard.from_user, heard.from_device), (user(1), device(1, 0)));
}

#[actix::test]
async fn a_node_that_is_gone_counts_as_dead_at_once() {
    let (one, two, bus) = two([1, 1, 0, 0]);
    let mut alice = one.json(1, 0).await;
    let mut bob = synced(&two, 2, 0).await;
    // Gone for the bus; its sockets may still be open.
    bus.bus.leave(two.engine.node());
    let before = Instant::now();
    assert!(alice.send(text(0, 2, 1, 1)).await.unwrap().delivered.is_empty());
    assert!(before.elapsed().as_millis() < 100, "nobody received it");
    let mut back = one.json(2, 0).await;
    assert_eq!(back.message().await.n, 1);
    back.ack(1).await;
    // The old connection finds out by its heartbeat.
    assert_eq!(bob.closed().await, Close::Displaced);
}

#[actix::test]
async fn a_connection_that_does_not_live_here_is_refused_at_once() {
    let (one, two, bus) = two([1, 1, 0, 0]);
    let mut alice = one.json(1, 0).await;
    let mut old = synced(&one, 2, 0).await;
    let bob = synced(&two, 2, 0).await;
    assert_eq!(old.closed().await, Close::Displaced);
    // Asks for a connection that node two does not have: the other node hears no.
    let entry = crate::testing::entry(1, 2, 9, 200);
    let (from, device) = (NodeId([7; 16]), device(2, 0));
    let conn = hushwire_wire::Conn([9; 16]);
    let asking = actix::spawn({
        let bus = bus.clone();
        async move { bus.bus.next(from).await }
    });
    tokio::task::yield_now().await;
    let r#gen = one.engine.generation();
    let word = Word::Route { from, ticket: 3, device, conn, r#gen, entry };
    say(&bus, &two, word).await;
    let no = Word::CustodyNo { ticket: 3, conn };
    assert_eq!(timeout(PATIENCE, asking).await.unwrap().unwrap(), Ok(vec![no]));
    drop(bob);
    let accepted = alice.send(text(0, 2, 1, 1)).await.unwrap();
    assert!(accepted.delivered.is_empty(), "written");
    let mut bob = two.json(2, 0).await;
    assert_eq!(&bob.message().await.msg.as_bytes()[40..56], mid(1).as_bytes());
}

#[actix::test]
async fn what_ends_a_device_reaches_the_node_that_holds_it() {
    let (one, two, bus) = two([1, 3, 0, 0]);
    let mut phone = synced(&two, 2, 0).await;
    let mut tablet = synced(&two, 2, 1).await;
    let mut other = synced(&two, 2, 2).await;
    let before = Instant::now();
    one.engine.end_sessions(user(2), device(2, 0)).await.unwrap();
    assert_eq!(phone.closed().await, Close::NotAuthenticated);
    one.engine.revoke(user(2), &[device(2, 1)]).await.unwrap();
    assert_eq!(tablet.closed().await, Close::Revoked);
    assert!(before.elapsed().as_millis() < 100, "told, not found out by a heartbeat");
    assert_eq!(other.ask(ClientOp::Sync {}).await, ServerOp::Ok {}, "nobody else is");
    // The word is lost: the next heartbeat asks the store.
    bus.hints.store(true, Ordering::Relaxed);
    one.engine.revoke(user(2), &[device(2, 2)]).await.unwrap();
    assert_eq!(other.closed().await, Close::Revoked);
    assert!(before.elapsed().as_millis() < 26_000);
    // Signed out is not revoked: it comes back, on any node.
    synced(&one, 2, 0).await;
}

/// The other nodes are known, and everybody's lists with them.
async fn acquainted(one: &World, two: &World) {
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!((one.engine.counts().sockets > 0, two.engine.counts().sockets > 0), (true, true));
}

async fn seen(someone: &mut Client) -> (UserId, bool) {
    let Presence { user, on } = someone.presence().await;
    (user, on)
}

#[actix::test]
async fn people_on_two_nodes_see_each_other_come_and_go() {
    let (one, two, bus) = two([1, 1, 1, 0]);
    let mut alice = one.json(1, 0).await;
    let mut bob = two.json(2, 0).await;
    let mut carol = two.json(3, 0).await;
    acquainted(&one, &two).await;
    alice.ask(live::show(&[2, 3])).await;
    assert_eq!(bob.ask(live::show(&[1])).await, live::ok());
    for (someone, other) in [(&mut alice, 2), (&mut bob, 1)] {
        assert_eq!(seen(someone).await, (user(other), true));
    }
    // One who names nobody of them is not seen, and sees nobody.
    carol.ask(live::show(&[2])).await;
    assert!(carol.is_quiet(Duration::from_secs(1)).await);
    drop(bob);
    assert_eq!(seen(&mut alice).await, (user(2), false));
    let mut bob = one.json(2, 0).await;
    bob.ask(live::show(&[1, 3])).await;
    assert_eq!(seen(&mut alice).await, (user(2), true));
    let mut heard = [seen(&mut bob).await, seen(&mut bob).await];
    heard.sort_unstable();
    assert_eq!(heard, [(user(1), true), (user(3), true)]);
    assert_eq!(seen(&mut carol).await, (user(2), true));

    // What was lost with a subscription is told again, and nobody flickers.
    bus.interrupted.store(true, Ordering::Relaxed);
    say(&bus, &two, Word::Notices { device: device(9, 9) }).await;
    let state = |op| matches!(op, ServerOp::Event(Event { kind: EventKind::State, .. }));
    assert!(state(carol.next().await.op), "on that node");
    // Reading answers pings, too.
    for someone in [&mut carol, &mut bob, &mut alice] {
        assert!(someone.is_quiet(Duration::from_secs(4)).await);
    }
    drop(carol);
    assert_eq!(seen(&mut bob).await, (user(3), false));
    let mut carol = two.json(3, 0).await;
    carol.ask(live::show(&[2])).await;
    assert_eq!((seen(&mut bob).await, seen(&mut carol).await), ((user(3), true), (user(2), true)));

    // A node that is gone: who was there is not, and everybody else still is.
    bus.bus.leave(two.engine.node());
    assert_eq!(seen(&mut bob).await, (user(3), false));
    assert!(bob.is_quiet(Duration::from_secs(1)).await);
    assert!(alice.is_quiet(Duration::from_secs(9)).await);
}

#[actix::test]
async fn a_call_goes_on_between_nodes_whichever_keeps_it() {
    tokio::time::pause();
    // The pair is kept by the node of the one, then by that of the other.
    for rounds in 0..2 {
        let (one, two, _bus) = two_more([1, 2, 0, 0], unpaced());
        let (one, two) = if rounds == 0 { (one, two) } else { (two, one) };
        let mut alice = one.json(1, 0).await;
        let mut phone = two.json(2, 0).await;
        let mut tablet = one.json(2, 1).await;
        acquainted(&one, &two).await;
        let call = |act| live::sealed(0, 2, rounds, act, 2);
        let back = |sender, act| live::sealed(sender, 1, rounds, act, 2);
        assert_eq!(alice.ask(call(CallAct::Ring)).await, live::ok());
        assert_eq!(phone.call().await.act, CallAct::Ring);
        assert_eq!(tablet.call().await.act, CallAct::Ring);
        assert_eq!(phone.ask(back(1, CallAct::Answer)).await, live::ok());
        assert_eq!(alice.call().await.act, CallAct::Answer);
        assert_eq!(tablet.call().await.act, CallAct::Elsewhere);
        let stranger = tablet.ask(back(2, CallAct::Signal)).await;
        assert_eq!(live::refusal(stranger), "forbidden");
        assert_eq!(alice.ask(call(CallAct::Signal)).await, live::ok());
        assert_eq!(phone.call().await.act, CallAct::Signal);
        // Its node ends, and the device comes back on the other one.
        drop(phone);
        let mut phone = one.json(2, 0).await;
        assert_eq!(phone.ask(back(1, CallAct::End)).await, live::ok());
        assert_eq!(alice.call().await.act, CallAct::End);
        let over = alice.ask(call(CallAct::Signal)).await;
        assert_eq!(live::refusal(over), "forbidden");
    }
}
