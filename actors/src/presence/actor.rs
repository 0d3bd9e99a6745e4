//! The table of who is there, and the `PresenceActor` that looks its pairs up, one a node.
//!
//! Sessions change the table by a plain call; it outlives the actor. What waits to be looked up
//! is bounded by the table. A pair that cannot be looked up hears nothing until it can. With other
//! nodes a connection's list goes to the homes of its pairs, and what they find comes back; when
//! nodes come or go, all lists are told anew, and who is not confirmed is not there any more.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, WrapFuture as _};
use hushwire_wire::{Conn, NodeId, UserId};

use super::shown::{Shown, Told};
use super::{Full, Heard, Pair, Presence, pair};
use crate::aside::Aside;
use crate::fault;
use crate::lane::{Lane, Passing};
use crate::node::Node;
use crate::ports::Word;
use crate::route::FlightRef;
use crate::session::open::sending::current;
use crate::supervise::Alive;

/// The pause after the accounts could not be asked.
const PAUSE: Duration = Duration::from_secs(1);

/// Beats that homes have to confirm who is there.
const SETTLES_IN: u8 = 2;

type Ways = Arc<Lane<FlightRef>>;

/// The way to a connection that is told who is there.
#[derive(Clone, Debug)]
enum Way {
    /// Without other nodes: into its lane.
    Lane(Ways),
    /// To its node.
    Node(NodeId, Conn),
}

/// Who is there, and whom to wake when somebody is to be looked up. Lock order: the table, then the
/// lists of this node's connections.
#[derive(Debug)]
pub(crate) struct Present {
    inner: Mutex<(Presence<Way>, Option<Waker>)>,
    shown: Mutex<Shown<Ways>>,
    /// Beats until what is not confirmed is not there; 0 for none.
    settles_in: AtomicU8,
}

impl Present {
    pub(crate) fn new(most_names: usize) -> Self {
        let inner = Mutex::new((Presence::new(most_names), None));
        let shown = Mutex::new(Shown::new(most_names));
        Self { inner, shown, settles_in: AtomicU8::new(0) }
    }

    /// A connection shows itself to these and nobody else. `false` if there is no room.
    pub(crate) fn show(
        &self,
        node: &Node,
        user: UserId,
        conn: Conn,
        lane: &Ways,
        to: Vec<UserId>,
    ) -> bool {
        if node.ports.bus.is_alone() {
            return self.change(node, |presence| {
                // What it has not heard yet is of its last list.
                match presence.show(user, conn, Way::Lane(lane.clone()), to) {
                    Ok(heard) => {
                        lane.forget_presence();
                        (heard, true)
                    }
                    Err(Full) => (Vec::new(), false),
                }
            });
        }
        let nodes = node.homes.all();
        let told = self.lock_shown().show(user, conn, lane.clone(), to, &nodes);
        let Ok(told) = told else { return false };
        lane.forget_presence();
        self.tell_homes(node, told);
        true
    }

    /// A connection shows itself no more.
    pub(crate) fn hide(&self, node: &Node, user: UserId, conn: Conn) {
        if node.ports.bus.is_alone() {
            return self.change(node, |presence| (presence.hide(user, conn), ()));
        }
        let nodes = node.homes.all();
        let told = self.lock_shown().hide(conn, &nodes);
        self.tell_homes(node, told);
    }

    /// A pair changed; `parted` if it is known that they are no contacts any more.
    pub(crate) fn changed(&self, node: &Node, a: UserId, b: UserId, parted: bool) {
        self.change(node, |presence| (presence.changed(pair(a, b), parted), ()));
    }

    /// A connection, of another node or of this one, shows itself to these of the pairs that are
    /// kept here. Without room it is not seen.
    pub(crate) fn shown_elsewhere(
        &self,
        node: &Node,
        user: UserId,
        (at, conn): (NodeId, Conn),
        to: Vec<UserId>,
    ) {
        self.change(node, |presence| {
            let heard = if to.is_empty() {
                presence.hide(user, conn)
            } else {
                presence.show(user, conn, Way::Node(at, conn), to).unwrap_or_default()
            };
            (heard, ())
        });
    }

    /// A connection of this node hears who is there, if it still asks for that.
    pub(crate) fn hear(&self, conn: Conn, user: UserId, on: bool) {
        // Under the lock, so that it hears of changes in their order.
        let mut shown = self.lock_shown();
        if let Some(lane) = shown.hear(conn, user, on) {
            pass(lane, user, on);
        }
    }

    /// Nodes came or went, or words for this one may be lost: what is kept here is told anew.
    pub(crate) fn anew(&self, node: &Node) {
        self.change(node, |presence| {
            presence.clear();
            (Vec::new(), ())
        });
        self.again(node, None);
    }

    /// All homes are told again, or `only` the one that forgot.
    pub(crate) fn again(&self, node: &Node, only: Option<NodeId>) {
        let nodes = node.homes.all();
        let told = self.lock_shown().again(&nodes, only);
        self.settles_in.store(SETTLES_IN, Ordering::Relaxed);
        self.tell_homes(node, told);
    }

    /// A beat: who was not confirmed for long enough is not there.
    pub(crate) fn beat(&self) {
        let waits = |left: u8| left.checked_sub(1);
        let left = self.settles_in.fetch_update(Ordering::Relaxed, Ordering::Relaxed, waits);
        if left == Ok(1) {
            self.lock_shown().settle(|lane, user| pass(lane, user, false));
        }
    }

    fn tell_homes(&self, node: &Node, told: Vec<Told>) {
        for Told { home, user, conn, to } in told {
            if home == node.id {
                self.shown_elsewhere(node, user, (node.id, conn), to);
            } else {
                let show = Aside::Show { node: node.id, user, conn, to };
                node.post.push(home, Word::Aside(show));
            }
        }
    }

    /// Changes the table and tells who must hear of it, in the order of changes.
    fn change<T>(
        &self,
        node: &Node,
        act: impl FnOnce(&mut Presence<Way>) -> (Vec<Heard<Way>>, T),
    ) -> T {
        let mut inner = self.lock();
        let (heard, done) = act(&mut inner.0);
        for Heard { way, user, on } in heard {
            match way {
                Way::Lane(lane) => pass(&lane, user, on),
                Way::Node(at, conn) if at == node.id => self.hear(conn, user, on),
                Way::Node(at, conn) => {
                    node.post.push(at, Word::Aside(Aside::Presence { conn, user, on }));
                }
            }
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

    fn lock_shown(&self) -> MutexGuard<'_, Shown<Ways>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pass(lane: &Lane<FlightRef>, user: UserId, on: bool) {
    lane.pass_or_end(Passing::Presence(hushwire_wire::frame::Presence { user, on }));
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
    node.presence.change(&node, |presence| (Vec::new(), presence.restart()));
    loop {
        let due = node.presence.next_due().await;
        let facts = current(node.clone(), due.0, due.1).await;
        let contacts = matches!(facts, Ok(Some(_)));
        fault::point("presence: a pair");
        node.presence.change(&node, |presence| (presence.looked_up(due, contacts), ()));
        if facts.is_err() {
            tokio::time::sleep(PAUSE).await;
            node.presence.changed(&node, due.0, due.1, false);
        }
    }
}
