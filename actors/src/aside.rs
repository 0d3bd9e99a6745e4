//! What nodes tell each other beside messages: changes, signs, presence, steps of calls. Nothing is
//! promised about any of it; what is lost is told again, or is as good as never said.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hushwire_wire::frame::{Call, CallAct, Ephemeral};
use hushwire_wire::{Conn, DeviceId, NodeId, Reject, UserId};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::call::Step;
use crate::change::{self, Change};
use crate::lane::Passing;
use crate::node::Node;
use crate::ports::Word;
use crate::presence::pair;

/// Steps that wait for other nodes, at most.
const STEPS: usize = 1 << 14;
/// How long the node that keeps a call may take for a step.
const STEP_WITHIN: Duration = Duration::from_secs(3);
/// How long any node may take to say that it has a call.
const FOUND_WITHIN: Duration = Duration::from_secs(1);
/// When a step that nobody took may be tried again, in milliseconds.
const STEP_RETRY_MS: u64 = 1_000;

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Aside {
    /// Something was committed to the database.
    Changed(Change),
    /// Something ephemeral for a device, wherever it lives.
    Ephemeral {
        /// The device.
        device: DeviceId,
        /// What it hears.
        frame: Ephemeral,
    },
    /// To the home of pairs: a connection shows itself to these of them and no others.
    Show {
        /// Where it lives.
        node: NodeId,
        /// The user.
        user: UserId,
        /// The connection.
        conn: Conn,
        /// To whom.
        to: Vec<UserId>,
    },
    /// A node may have missed something: homes of pairs on it are to be told again.
    Again {
        /// Which.
        node: NodeId,
    },
    /// From the home of a pair: a connection hears who is there.
    Presence {
        /// The connection.
        conn: Conn,
        /// The contact.
        user: UserId,
        /// Whether it is there.
        on: bool,
    },
    /// To the home of a pair, or to whoever has the call: a step of a call.
    Step {
        /// The node that asks.
        node: NodeId,
        /// Its number for the step, repeated in the answer.
        ticket: u64,
        /// The step.
        step: Step,
        /// Whether only a node that has the call takes it, and answers.
        found: bool,
    },
    /// What came of a step.
    Stepped {
        /// The number of [`Aside::Step`].
        ticket: u64,
        /// Why it was refused, if it was.
        refused: Option<Reject>,
    },
    /// A step of a call for a device, wherever it lives.
    Call {
        /// The device.
        device: DeviceId,
        /// What it hears.
        frame: Call,
    },
    /// A device signed in.
    Came {
        /// The user.
        user: UserId,
        /// The device.
        device: DeviceId,
        /// Its connection.
        conn: Conn,
    },
    /// A connection ended.
    Left {
        /// The user.
        user: UserId,
        /// The device.
        device: DeviceId,
        /// The connection.
        conn: Conn,
    },
}

/// Hears what another node tells.
pub(crate) fn take(node: &Arc<Node>, aside: Aside) {
    match aside {
        Aside::Changed(change) => change::apply(node, &change),
        Aside::Ephemeral { device, frame } => {
            if let Some(live) = node.directory.get(&device) {
                live.lane.pass(Passing::Ephemeral(frame));
            }
        }
        Aside::Show { node: at, user, conn, to } => {
            node.presence.shown_elsewhere(node, user, (at, conn), to);
        }
        Aside::Again { node: home } => node.presence.again(node, Some(home)),
        Aside::Presence { conn, user, on } => node.presence.hear(conn, user, on),
        Aside::Step { node: from, ticket, step, found } => {
            if found && !node.calls.knows(&step) {
                return;
            }
            let refused = node.calls.step(node, step).err();
            node.post.push(from, Word::Aside(Aside::Stepped { ticket, refused }));
        }
        Aside::Stepped { ticket, refused } => node.steps.answer(ticket, refused),
        Aside::Call { device, frame } => {
            if let Some(live) = node.directory.get(&device) {
                live.lane.pass_or_end(Passing::Call(frame));
            }
        }
        Aside::Came { user, device, conn } => node.calls.came(user, device, conn),
        Aside::Left { user, device, conn } => node.calls.left(user, device, conn),
    }
}

/// Takes a step of a call where the call is kept.
pub(crate) async fn step(node: &Arc<Node>, step: Step) -> Result<(), Reject> {
    let home = node.homes.of(pair(step.from, step.to));
    let may_have_moved = step.act != CallAct::Ring && node.homes.all().len() > 1;
    let elsewhere = may_have_moved.then(|| step.clone());
    let taken = if home == node.id {
        node.calls.step(node, step)
    } else {
        let busy = Reject::Unavailable { retry_after_ms: STEP_RETRY_MS };
        ask(node, Some(home), step, STEP_WITHIN).await.unwrap_or(Err(busy))
    };
    match (taken, elsewhere) {
        // It began before a node came or went: the pair's home was another one.
        (Err(Reject::Forbidden {}), Some(step)) => {
            let answer = ask(node, None, step, FOUND_WITHIN).await;
            answer.unwrap_or(Err(Reject::Forbidden {}))
        }
        (taken, _) => taken,
    }
}

/// Asks a node, or whoever has the call; `None` if nobody answers in time.
async fn ask(
    node: &Arc<Node>,
    to: Option<NodeId>,
    step: Step,
    within: Duration,
) -> Option<Result<(), Reject>> {
    // A session that ends meanwhile gives its place back, too.
    let (place, answer) = node.steps.put()?;
    let (ticket, found) = (place.ticket, to.is_none());
    let word = Word::Aside(Aside::Step { node: node.id, ticket, step, found });
    match to {
        Some(to) => drop(node.post.push(to, word)),
        None => node.tell_others(word),
    }
    let answered = timeout(within, answer).await;
    answered.ok()?.ok().map(|refused| refused.map_or(Ok(()), Err))
}

/// Steps that wait for other nodes, by their tickets.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    inner: Mutex<Asked>,
}

/// What comes back of a step: why it was refused, if it was.
type Refused = Option<Reject>;

#[derive(Debug, Default)]
struct Asked {
    tickets: u64,
    waiting: HashMap<u64, oneshot::Sender<Refused>>,
}

/// A step's place among those that wait. Dropped, it is free.
struct Place<'a> {
    steps: &'a Steps,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.steps.lock().waiting.remove(&self.ticket);
    }
}

impl Steps {
    /// A place, and what its answer comes to; `None` if too many wait.
    fn put(&self) -> Option<(Place<'_>, oneshot::Receiver<Refused>)> {
        let mut inner = self.lock();
        if inner.waiting.len() >= STEPS {
            return None;
        }
        inner.tickets += 1;
        let (ticket, (answer, comes)) = (inner.tickets, oneshot::channel());
        inner.waiting.insert(ticket, answer);
        Some((Place { steps: self, ticket }, comes))
    }

    fn answer(&self, ticket: u64, refused: Option<Reject>) {
        if let Some(answer) = self.lock().waiting.remove(&ticket) {
            let _ = answer.send(refused);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_that_wait_are_bounded_and_answered_once() {
        let steps = Steps::default();
        let (first, mut answer) = steps.put().unwrap();
        let kept: Vec<_> = (1..STEPS).map(|_| steps.put().unwrap()).collect();
        assert!(steps.put().is_none());
        steps.answer(first.ticket, Some(Reject::Forbidden {}));
        steps.answer(first.ticket, None);
        assert_eq!(answer.try_recv(), Ok(Some(Reject::Forbidden {})));
        // Whoever waits no more, answered or not, leaves nothing behind.
        drop((first, kept));
        assert!(steps.lock().waiting.is_empty());
    }
}
