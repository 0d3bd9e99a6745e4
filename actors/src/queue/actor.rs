//! The actor in front of the `Queue` port, one a node: takes calls from the intake in batches,
//! and tells the replies as facts to lanes and custody. It asks nobody.
//!
//! Its state is the intake and the store, which both outlive it.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, WrapFuture as _};
use hushwire_wire::DeviceId;

use super::{Call, Mode, Op, Outcome, Reply, Taken, To};
use crate::custody::{Place, Skip};
use crate::lane::Fact;
use crate::node::Node;
use crate::ports::Unavailable;
use crate::route::{self, FlightRef};
use crate::session::channel::Custodian as _;
use crate::supervise::Alive;

/// Calls in a batch, at most.
const BATCH: usize = 256;
/// What is due to expire is looked for so often.
const SWEEP: Duration = Duration::from_secs(30);
/// Messages expired in one sweep, at most.
const SWEEP_MOST: usize = 1_000;
/// How often a message follows its device's holder, before it waits for its sender.
const ATTEMPTS: u8 = 4;

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
        ctx.run_interval(SWEEP, |actor, _| {
            actor.node.intake.push(Call::Sweep { most: SWEEP_MOST }, To::Nobody);
        });
    }
}

async fn serve(node: Arc<Node>) {
    loop {
        let (calls, mut pending): (Vec<_>, Vec<_>) =
            node.intake.next(BATCH).await.into_iter().unzip();
        let replies = node.queue.call(calls).await;
        for (pending, reply) in pending.iter_mut().zip(replies) {
            if let Some(to) = pending.take() {
                tell(&node, to, reply);
            }
        }
    }
}

fn tell(node: &Arc<Node>, to: To, reply: Result<Reply, Unavailable>) {
    if let Ok(Reply::Device(reply)) = &reply
        && let Outcome::Noticed(devices) = &reply.outcome
    {
        noticed(node, devices);
    }
    // A holder that was turned is told before custody is, so that it does not look live for
    // longer than it must.
    if let Ok(Reply::Device(reply)) = &reply
        && let (Outcome::Written(_), Some(device)) = (&reply.outcome, to.device())
        && let Some(holder) = reply.holder.filter(|holder| holder.mode == Mode::Behind)
        && let Some(live) = node.directory.get(&device).filter(|live| live.conn == holder.conn)
    {
        live.lane.tell(Fact::Behind);
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
        (To::Custody { flights, device, attempts }, Ok(Reply::Device(reply))) => {
            if let Outcome::Held(key) = reply.outcome {
                return held(node, flights, device, key.conn, attempts);
            }
            taken(&reply.outcome, &flights);
        }
        (To::Custody { .. } | To::Nobody, _) => {}
    }
}

fn taken(outcome: &Outcome, flights: &[Option<FlightRef>]) {
    let Outcome::Written(taken) = outcome else { return };
    for (flight, taken) in flights.iter().zip(taken) {
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

/// Somebody else is live: route there. A holder that is not in this node's directory is dead.
fn held(
    node: &Arc<Node>,
    flights: Vec<Option<FlightRef>>,
    device: DeviceId,
    conn: hushwire_wire::Conn,
    attempts: u8,
) {
    if attempts >= ATTEMPTS {
        return;
    }
    let live = node.directory.get(&device).is_some_and(|live| live.conn == conn);
    for flight in flights.into_iter().flatten() {
        if live {
            route::deliver(node, flight, attempts + 1);
        } else {
            let op = Op::Enqueue { entries: vec![flight.entry()], dead: Some(conn) };
            let flights = vec![Some(flight)];
            node.call(device, op, To::Custody { flights, device, attempts: attempts + 1 });
        }
    }
}

fn noticed(node: &Node, devices: &[DeviceId]) {
    for device in devices {
        if let Some(live) = node.directory.get(device) {
            live.lane.tell(Fact::Notices);
        }
    }
}
