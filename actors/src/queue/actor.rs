//! The actor in front of the `Queue` port, one a node: takes calls from the intake in batches,
//! and tells the replies as facts to lanes and custody. It asks nobody.
//!
//! Its state is the intake and the store, which both outlive it.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, WrapFuture as _};
use hushwire_wire::{DeviceId, NodeId};
use slog::warn;
use tokio::time::Instant;

use super::{Call, DeviceReply, Key, Outcome, Reply, Taken, To};
use crate::custody::{Place, Skip};
use crate::fault;
use crate::lane::Fact;
use crate::node::Node;
use crate::path::Path;
use crate::ports::{Unavailable, Word};
use crate::route::{self, FlightRef};
use crate::session::channel::Custodian as _;
use crate::supervise::Alive;

/// Calls in a batch, at most.
const BATCH: usize = 256;
/// What is due to expire is looked for so often.
const SWEEP: Duration = Duration::from_secs(30);
/// The store's generation is looked at so often.
const WATCH: Duration = Duration::from_secs(2);
/// Messages expired in one sweep, at most.
const SWEEP_MOST: usize = 1_000;

/// Serves the queue store.
#[derive(Debug)]
pub(crate) struct QueueActor {
    node: Arc<Node>,
    _alive: Alive,
}

impl QueueActor {
    pub(crate) const fn new(node: Arc<Node>, alive: Alive) -> Self {
        Self { node, _alive: alive }
    }
}

impl Actor for QueueActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(serve(self.node.clone()).into_actor(self));
        ctx.spawn(sweep(self.node.clone()).into_actor(self));
        ctx.spawn(watch(self.node.clone()).into_actor(self));
    }
}

/// No interval: a node that stood still does not make up for the sweeps that it missed.
async fn sweep(node: Arc<Node>) {
    // What the clock says before it leaps.
    let mut first = true;
    loop {
        if !std::mem::take(&mut first) {
            tokio::time::sleep(SWEEP).await;
        }
        let Ok(Reply::Time(store_ms)) = node.intake.ask(Call::Time).await else { continue };
        let (now_ms, leap) = node.leaps().look(store_ms, Instant::now());
        if let Some(leap) = leap {
            warn!(
                node.log,
                "the clock of the queue store was moved: what waits may be kept longer by that, \
                 and never shorter. Look after its time"; "leap" => ?leap
            );
        }
        node.intake.push(Call::Sweep { most: SWEEP_MOST, now_ms }, To::Nobody);
    }
}

/// The store is another one: sessions that have nothing to ask learn of it by being sent to ask.
async fn watch(node: Arc<Node>) {
    let mut known = node.queue.generation();
    loop {
        tokio::time::sleep(WATCH).await;
        let now = node.queue.generation();
        if now != known {
            known = now;
            node.directory.for_each(|_, live| live.lane.tell(Fact::Touch));
        }
    }
}

async fn serve(node: Arc<Node>) {
    loop {
        let (calls, mut pending): (Vec<_>, Vec<_>) =
            node.intake.next(BATCH).await.into_iter().unzip();
        fault::point("queue: before a batch");
        let replies = node.queue.call(calls).await;
        fault::point("queue: after a batch");
        for (pending, reply) in pending.iter_mut().zip(replies) {
            if let Some(to) = pending.take() {
                tell(&node, to, reply);
            }
        }
    }
}

fn tell(node: &Arc<Node>, to: To, reply: Result<Reply, Unavailable>) {
    fault::point("queue: a reply");
    if let Ok(Reply::Device(reply)) = &reply {
        if let Outcome::Noticed(devices) = &reply.outcome {
            noticed(node, devices);
        }
        // A holder that was turned is told before custody is, so that it does not look live for
        // longer than it must.
        if let Some((device, holder)) = turned(&to, reply) {
            behind(node, device, holder);
        }
        if let (Some(key), Some(device)) = (reply.displaced, to.device())
            && key.node != node.id
        {
            node.post.push(key.node, Word::Displaced { device, conn: key.conn });
        }
    }
    match (to, reply) {
        (To::Once(once), reply) => drop(once.send(reply)),
        (To::Nobody, Ok(Reply::Swept(devices))) => noticed(node, &devices),
        (To::Session { lane, flights, .. }, reply) => {
            let reply = match reply {
                Ok(Reply::Device(reply)) => {
                    taken(&reply.outcome, &flights);
                    Ok(reply)
                }
                _ => Err(Unavailable),
            };
            lane.tell(Fact::Reply(reply));
        }
        (To::Custody { flights, path, .. }, Ok(Reply::Device(reply))) => {
            if let Outcome::Held(key) = reply.outcome {
                flights.into_iter().flatten().for_each(|f| route::held(node, f, path, key));
                return;
            }
            taken(&reply.outcome, &flights);
        }
        (To::Custody { .. } | To::Nobody, _) => {}
    }
}

/// Whom a write turned to *behind*, or may have.
fn turned(to: &To, reply: &DeviceReply) -> Option<(DeviceId, Key)> {
    if !matches!(reply.outcome, Outcome::Written(_)) {
        return None;
    }
    let holder = match to {
        To::Custody { path, .. } => path.turned(reply.holder),
        // A session's own key is told in its reply.
        _ => Path::forced().turned(reply.holder),
    };
    Some((to.device()?, holder?))
}

fn behind(node: &Node, device: DeviceId, holder: Key) {
    if holder.node != node.id {
        node.post.push(holder.node, Word::Behind { device, conn: holder.conn });
    } else if let Some(live) = node.directory.get(&device).filter(|live| live.conn == holder.conn) {
        live.lane.tell(Fact::Behind);
    }
}

fn taken(outcome: &Outcome, flights: &[Option<FlightRef>]) {
    let Outcome::Written(taken) = outcome else { return };
    for (flight, taken) in flights.iter().zip(taken) {
        fault::point("queue: custody");
        if let Some(flight) = flight {
            let place = match taken {
                Taken::Queued => Place::Queued,
                Taken::Skipped(why) => Place::Skipped((*why).into()),
                Taken::NoRoom => Place::Skipped(Skip::Store),
            };
            flight.reached(place);
        }
    }
}

fn noticed(node: &Node, devices: &[(DeviceId, NodeId)]) {
    for (device, holder) in devices {
        if *holder != node.id {
            node.post.push(*holder, Word::Notices { device: *device });
        } else if let Some(live) = node.directory.get(device) {
            live.lane.tell(Fact::Notices);
        }
    }
}
