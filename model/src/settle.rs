//! Once faults end: what is on its way arrives, who is away comes back, timers fire, and senders
//! repeat. Then everything must have arrived.
//!
//! One fair run, without choices and without any further fault, from every state in which nothing
//! is on its way but what is held up.

use crate::device::Device;
use crate::ids::{self, NOW_MS};
use crate::world::{Action, SECOND_MS, World};

/// Steps after which a run counts as never ending.
const STEPS: usize = 600;
/// Rounds of heartbeats at the end.
const BEATS: u8 = 2;

/// Whether everything has arrived after a fair run.
pub(crate) fn ends_well(world: &World) -> bool {
    run(world).is_ok()
}

/// A fair run. What is wrong at its end.
pub(crate) fn run(world: &World) -> Result<(), String> {
    let mut world = world.clone();
    world.wire.iter_mut().for_each(|way| way.late = false);
    let mut beats = 0;
    for _ in 0..STEPS {
        match next(&world) {
            Some(action) => {
                world.left.connects = 1;
                world.left.resends = 1;
                world.act(action);
                world.check();
            }
            None if beats < BEATS => {
                beats += 1;
                for at in 0..world.nodes.len() {
                    let all: Vec<_> = world.nodes[at].sessions.keys().copied().collect();
                    all.into_iter().for_each(|conn| world.act(Action::Beat(at, conn)));
                }
            }
            None if !world.broken.is_empty() => return Err(format!("broke {:?}", world.broken)),
            None => return world.has_arrived(),
        }
    }
    Err(format!("it goes on for ever: {:?}", next(&world).map(|action| world.describe(action))))
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
    let mut here = world.devices.iter().filter(|device| !device.left_roster());
    let comes = |device: &Device| device.link.is_none() && world.comes_back(device.me);
    if let (Some(away), Some(at)) = (here.find(|device| comes(device)), at) {
        return Some(Action::Connect(away.me, at));
    }
    // A session hears of another generation by its next call.
    for (at, node) in world.nodes.iter().enumerate() {
        let mut sessions = node.sessions.iter();
        let old = sessions.find(|(_, s)| s.channel.generation() != world.store.r#gen());
        if let Some((conn, _)) = old {
            return Some(Action::Beat(at, *conn));
        }
    }
    let mut here = world.devices.iter().filter(|device| !device.left_roster());
    if let Some(waiting) = here.find(|device| device.is_waiting()) {
        return Some(Action::Resend(waiting.me));
    }
    None
}

impl World {
    /// Recipients that may connect nowhere stay away, once they are.
    fn comes_back(&self, device: u8) -> bool {
        let person = &self.config.devices[usize::from(device)];
        person.sends || person.nodes != 0
    }

    /// Whether everything that was submitted has arrived, its sender knows, and nothing waits.
    fn has_arrived(&self) -> Result<(), String> {
        for sender in self.devices.iter().filter(|sender| !sender.left_roster()) {
            for out in sender.outgoing.iter().filter(|out| !out.failed) {
                let content = out.content;
                if !out.accepted {
                    return Err(format!("content {content} is not accepted"));
                }
                let others = self.devices.iter().filter(|d| d.me != sender.me);
                let others = others.filter(|d| d.link.is_some());
                for device in others.filter(|device| !device.left_roster()) {
                    let from = ids::device(sender.me);
                    let me = device.me;
                    if self.skipped.contains(&(from, content, me)) {
                        continue;
                    }
                    if !device.shown.contains(&(from, content)) {
                        return Err(format!("content {content} is not shown by device {me}"));
                    }
                    if !out.settled.contains(&ids::device(me)) {
                        return Err(format!("nobody told that device {me} has content {content}"));
                    }
                }
            }
        }
        let here = self.devices.iter().filter(|device| device.link.is_some());
        for device in here.filter(|device| !device.left_roster()) {
            let me = device.me;
            if self.store.ledger(me).is_some_and(|ledger| ledger.len().0 > 0) {
                return Err(format!("device {me}'s queue is not empty"));
            }
            if !device.held.is_empty() {
                return Err(format!("device {me} holds something back"));
            }
        }
        Ok(())
    }
}
