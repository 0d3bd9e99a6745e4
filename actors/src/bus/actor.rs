//! The actor in front of the `Bus` port, one a node: publishes what waits, hears what comes, and
//! misses what does not come in time. What is decided is decided by [`crate::path`].

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, WrapFuture as _};
use hushwire_wire::frame::News;
use hushwire_wire::{Close, Conn, DeviceId};
use tokio::time::{sleep, sleep_until};

use super::Wait;
use crate::aside::{self, Aside};
use crate::custody::Place;
use crate::directory::Live;
use crate::fault;
use crate::lane::Fact;
use crate::node::Node;
use crate::path::{Event, Path};
use crate::ports::Word;
use crate::queue::{Op, To};
use crate::route::{self, FlightRef};
use crate::session::channel::Custodian as _;
use crate::supervise::Alive;

/// Words published at once, at most.
const BATCH: usize = 256;
/// A node says so often that it is there.
const BEAT: Duration = Duration::from_secs(3);
/// After an interruption.
const AGAIN: Duration = Duration::from_secs(1);

/// Serves the bus.
#[derive(Debug)]
pub(crate) struct BusActor {
    node: Arc<Node>,
    _alive: Alive,
}

impl BusActor {
    pub(crate) const fn new(node: Arc<Node>, alive: Alive) -> Self {
        Self { node, _alive: alive }
    }
}

impl Actor for BusActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(publish(self.node.clone()).into_actor(self));
        ctx.spawn(hear(self.node.clone()).into_actor(self));
        ctx.spawn(miss(self.node.clone()).into_actor(self));
        ctx.spawn(beat(self.node.clone()).into_actor(self));
    }
}

async fn publish(node: Arc<Node>) {
    loop {
        let words = node.post.next(BATCH).await;
        let ticket = |word: &Word| match word {
            Word::Route { ticket, .. } => Some(*ticket),
            _ => None,
        };
        let tickets: Vec<_> = words.iter().map(|(_, word)| ticket(word)).collect();
        fault::point("bus: words");
        let received = node.ports.bus.publish(node.id, words).await;
        fault::point("bus: published");
        for (ticket, received) in tickets.into_iter().zip(received) {
            if let (Some(ticket), false) = (ticket, received) {
                not_there(&node, node.waits.take(ticket, |_| true));
            }
        }
    }
}

async fn hear(node: Arc<Node>) {
    loop {
        match node.ports.bus.next(node.id).await {
            Ok(words) => words.into_iter().for_each(|word| take(&node, word)),
            Err(_) => {
                // Words may be lost: the queue store knows who is behind, and devices fetch what
                // changed.
                node.directory.for_each(|_, live| {
                    live.lane.tell(Fact::Touch);
                    live.lane.tell(Fact::EventsLost);
                });
                node.presence.anew(&node);
                node.tell_others(Word::Aside(Aside::Again { node: node.id }));
                sleep(AGAIN).await;
            }
        }
    }
}

/// Says that this node is there, and hears of others that come and go.
async fn beat(node: Arc<Node>) {
    if node.ports.bus.is_alone() {
        return;
    }
    loop {
        if let Ok(nodes) = node.ports.bus.beat(node.id, !node.is_draining()).await {
            node.presence.beat();
            if node.homes.set(nodes) {
                node.presence.anew(&node);
            }
        }
        fault::point("bus: a beat");
        sleep(BEAT).await;
    }
}

/// No custody within `bus_within_ms`: the connection counts as dead.
async fn miss(node: Arc<Node>) {
    loop {
        let due_ms = node.waits.due_ms().await;
        sleep_until(node.origin + Duration::from_millis(due_ms.saturating_sub(1))).await;
        while let Some(wait) = node.waits.take_due(node.now_ms()) {
            fault::point("bus: missed");
            not_there(&node, Some(wait));
        }
    }
}

fn not_there(node: &Arc<Node>, wait: Option<Wait>) {
    if let Some(Wait { flight, path, .. }) = wait {
        route::follow(node, flight, path, Event::NotThere);
    }
}

fn take(node: &Arc<Node>, word: Word) {
    fault::point("bus: a word");
    match word {
        Word::Route { from, ticket, device, conn, r#gen, entry } => {
            let flight = FlightRef::away(node, from, ticket, device, r#gen, entry);
            route::deliver(node, flight, Path::guest(conn));
        }
        Word::Custody { ticket, place } => {
            let counts = |path: &Path| path.custody(place).is_some();
            let Some(wait) = node.waits.take(ticket, counts) else { return };
            let late = wait.flight.reached(place);
            if late && place == Place::Acked {
                tell_sender(node, &wait.flight);
            }
        }
        Word::CustodyNo { ticket, conn } => {
            let mine = |path: &Path| path.away().is_some_and(|(_, away)| away == conn);
            not_there(node, node.waits.take(ticket, mine));
        }
        Word::Behind { device, conn } => tell(node, device, Some(conn), Fact::Behind),
        Word::Notices { device } => tell(node, device, None, Fact::Notices),
        Word::Displaced { device, conn } => {
            let kick = Fact::Kick { close: Close::Displaced, after_ms: None };
            tell(node, device, Some(conn), kick);
        }
        Word::Aside(aside) => aside::take(node, aside),
        Word::Ended { device, conn, close } => {
            tell(node, device, Some(conn), Fact::Kick { close, after_ms: None });
        }
    }
}

fn tell(node: &Node, device: DeviceId, conn: Option<Conn>, fact: Fact) {
    let is_meant = |live: &Live| conn.is_none_or(|conn| conn == live.conn);
    if let Some(live) = node.directory.get(&device).filter(is_meant) {
        live.lane.tell(fact);
    }
}

/// A device on another node acknowledged what was answered before, and had not been written there.
fn tell_sender(node: &Arc<Node>, flight: &FlightRef) {
    let Some(device) = flight.device() else { return };
    let (from, mid) = flight.entry().id();
    let op = Op::Notice { news: News::Delivered { mid, device } };
    node.call(from, op, To::Nobody);
}
