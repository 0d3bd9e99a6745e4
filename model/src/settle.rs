//! Once faults end: what is on its way arrives, who is away comes back, timers fire, and senders
//! repeat. Then everything must have arrived.
//!
//! One fair run, without choices, from a state in which nothing can go wrong any more. Since every
//! path of the model ends in such a state, no state that stalls is missed.

use crate::ids::NOW_MS;
use crate::world::{Action, SECOND_MS, World};

/// Steps after which a run counts as never ending.
const STEPS: usize = 600;
/// Rounds of heartbeats at the end.
const BEATS: u8 = 2;

/// Whether everything has arrived after a fair run.
pub(crate) fn ends_well(world: &World) -> bool {
    let mut world = world.clone();
    world.wire.iter_mut().for_each(|way| way.late = false);
    let mut beats = 0;
    for _ in 0..STEPS {
        match next(&world) {
            Some(action) => {
                world.left.connects = 1;
                world.left.resends = 1;
                world.act(action);
            }
            None if beats < BEATS => {
                beats += 1;
                for at in 0..world.nodes.len() {
                    let all: Vec<_> = world.nodes[at].sessions.keys().copied().collect();
                    all.into_iter().for_each(|conn| world.act(Action::Beat(at, conn)));
                }
            }
            None => return world.broken.is_empty() && world.has_arrived(),
        }
    }
    false
}

/// What a fair world does next.
fn next(world: &World) -> Option<Action> {
    if let Some(at) = world.nodes.iter().position(|node| node.paused) {
        return Some(Action::Resume(at));
    }
    if let Some(k) = (0..world.wire.len()).find(|k| world.is_due(*k)) {
        return Some(Action::Take(k));
    }
    for (at, node) in world.nodes.iter().enumerate() {
        if node.r#gen != world.store.r#gen() {
            return Some(Action::ReadGen(at));
        }
        if let Some(ticket) = node.waits.keys().next() {
            return Some(Action::Miss(at, *ticket));
        }
        for (conn, session) in &node.sessions {
            if !session.open {
                return Some(Action::NoPong(at, *conn));
            }
            let due = session.channel.deadline_ms(&session.lane);
            if due.is_some_and(|ms| ms <= NOW_MS + SECOND_MS) {
                return Some(Action::Second(at, *conn));
            }
        }
    }
    let at = (0..world.nodes.len()).find(|at| !world.nodes[*at].draining);
    for device in world.devices.iter().filter(|device| !device.left_roster()) {
        match (&device.link, at) {
            (None, Some(at)) => return Some(Action::Connect(device.me, at)),
            _ if device.is_waiting() => return Some(Action::Resend(device.me)),
            _ => {}
        }
    }
    None
}

impl World {
    /// Whether everything that was submitted has arrived, its sender knows, and nothing waits.
    fn has_arrived(&self) -> bool {
        let skipped = |from, content, device| self.skipped.contains(&(from, content, device));
        for sender in &self.devices {
            let from = crate::ids::device(sender.me);
            for out in sender.outgoing.iter().filter(|out| !out.failed) {
                if !out.accepted && !sender.left_roster() {
                    return false;
                }
                for device in self.devices.iter().filter(|d| d.me != sender.me && !d.left_roster())
                {
                    let shown = device.shown.contains(&(from, out.content));
                    let is_told = out.settled.contains(&crate::ids::device(device.me));
                    let is_skipped = skipped(from, out.content, device.me);
                    if !(shown && is_told) && !is_skipped {
                        return false;
                    }
                }
            }
        }
        let is_empty = self
            .store
            .kept
            .ledgers
            .iter()
            .filter(|(device, _)| !self.devices[usize::from(device.0[0])].left_roster())
            .all(|(_, ledger)| ledger.len().0 == 0);
        is_empty && self.devices.iter().all(|device| device.held.is_empty())
    }
}
