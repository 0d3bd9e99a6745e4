//! The table of who is there, and the `PresenceActor` that looks its pairs up, one a node.
//!
//! Sessions change the table by a plain call; it outlives the actor. What waits to be looked up
//! is bounded by the table. A pair that cannot be looked up hears nothing until it can.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, WrapFuture as _};
use hushwire_wire::{Conn, UserId};

use super::{Full, Heard, Pair, Presence, pair};
use crate::fault;
use crate::lane::{Lane, Passing};
use crate::node::Node;
use crate::route::FlightRef;
use crate::session::open::sending::load;
use crate::supervise::Alive;

/// The pause after the accounts could not be asked.
const PAUSE: Duration = Duration::from_secs(1);

type Way = Arc<Lane<FlightRef>>;

/// Who is there, and whom to wake when somebody is to be looked up.
#[derive(Debug)]
pub(crate) struct Present {
    inner: Mutex<(Presence<Way>, Option<Waker>)>,
}

impl Present {
    pub(crate) fn new(most_names: usize) -> Self {
        Self { inner: Mutex::new((Presence::new(most_names), None)) }
    }

    /// A connection shows itself to these and nobody else. `false` if there is no room.
    pub(crate) fn show(&self, user: UserId, conn: Conn, lane: &Way, to: Vec<UserId>) -> bool {
        self.change(|presence| {
            // What it has not heard yet is of its last list.
            match presence.show(user, conn, lane.clone(), to) {
                Ok(heard) => {
                    lane.forget_presence();
                    (heard, true)
                }
                Err(Full) => (Vec::new(), false),
            }
        })
    }

    /// A connection shows itself no more.
    pub(crate) fn hide(&self, user: UserId, conn: Conn) {
        self.change(|presence| (presence.hide(user, conn), ()));
    }

    /// A pair changed; `parted` if it is known that they are no contacts any more.
    pub(crate) fn changed(&self, a: UserId, b: UserId, parted: bool) {
        self.change(|presence| (presence.changed(pair(a, b), parted), ()));
    }

    /// Changes the table and tells who must hear of it, in the order of changes.
    fn change<T>(&self, act: impl FnOnce(&mut Presence<Way>) -> (Vec<Heard<Way>>, T)) -> T {
        let mut inner = self.lock();
        let (heard, done) = act(&mut inner.0);
        for Heard { way, user, on } in heard {
            way.pass_or_end(Passing::Presence(hushwire_wire::frame::Presence { user, on }));
        }
        let waker = inner.1.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        done
    }

    async fn next_due(&self) -> Pair {
        poll_fn(|cx| {
            let mut inner = self.lock();
            inner.0.next_due().map_or_else(
                || {
                    inner.1 = Some(cx.waker().clone());
                    Poll::Pending
                },
                Poll::Ready,
            )
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, (Presence<Way>, Option<Waker>)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks up whether those who name each other are contacts.
#[derive(Debug)]
pub(crate) struct PresenceActor {
    node: Arc<Node>,
    _alive: Alive,
}

impl PresenceActor {
    pub(crate) const fn new(node: Arc<Node>, alive: Alive) -> Self {
        Self { node, _alive: alive }
    }
}

impl Actor for PresenceActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(look_up(self.node.clone()).into_actor(self));
    }
}

async fn look_up(node: Arc<Node>) {
    node.presence.change(|presence| (Vec::new(), presence.restart()));
    loop {
        let due = node.presence.next_due().await;
        let facts = load(&node, due.0, due.1).await;
        let contacts = matches!(facts, Ok(Some(_)));
        fault::point("presence: a pair");
        node.presence.change(|presence| (presence.looked_up(due, contacts), ()));
        if facts.is_err() {
            tokio::time::sleep(PAUSE).await;
            node.presence.changed(due.0, due.1, false);
        }
    }
}
