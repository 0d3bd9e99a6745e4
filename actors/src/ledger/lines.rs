//! What a ledger remembers of messages that it does not hold: for each sender device and recipient
//! the highest `sn` that it took or skipped, and for each sender when its messages were dropped.
//!
//! So a copy that comes late is answered as its message was, and is not written again. Bounded;
//! what is forgotten costs a duplicate, which devices know.

use std::collections::BTreeMap;

use hushwire_wire::{DeviceId, Mid, UserId};

use crate::envelope::Envelope;
use crate::limits::Limits;
use crate::queue::Taken;

/// By then whatever was on its way to a device has been written or acknowledged, in milliseconds.
const UNDER_WAY_MS: u64 = 60_000;

/// The memory of one ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Lines {
    highest: BTreeMap<(DeviceId, UserId), Highest>,
    dropped: BTreeMap<UserId, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Highest {
    sn: u64,
    mid: Mid,
    taken: Taken,
    at_ms: u64,
}

impl Lines {
    /// What became of a message, if it is known: itself, its number after a skip, or a later one.
    /// What makes a loss good is never known.
    pub(super) fn known(&self, envelope: &Envelope) -> Option<Taken> {
        let highest = self.highest.get(&line(envelope)).filter(|_| !envelope.again)?;
        let known = match highest.taken {
            Taken::Skipped(_) | Taken::NoRoom => envelope.sn == highest.sn,
            Taken::Queued => envelope.sn == highest.sn && envelope.mid == highest.mid,
        };
        if known {
            return Some(highest.taken);
        }
        (envelope.sn < highest.sn).then_some(Taken::Queued)
    }

    /// Remembers what became of a message.
    pub(super) fn remember(
        &mut self,
        envelope: &Envelope,
        taken: Taken,
        limits: &Limits,
        now_ms: u64,
    ) {
        let line = line(envelope);
        if self.highest.get(&line).is_some_and(|highest| highest.sn > envelope.sn) {
            return;
        }
        if self.highest.len() >= limits.ledger_senders.max(1) && !self.highest.contains_key(&line) {
            let oldest = self.highest.iter().min_by_key(|(_, highest)| highest.at_ms);
            oldest.map(|(line, _)| *line).and_then(|line| self.highest.remove(&line));
        }
        let next = Highest { sn: envelope.sn, mid: envelope.mid, taken, at_ms: now_ms };
        self.highest.insert(line, next);
    }

    /// What the user sent until now is dropped.
    pub(super) fn drop_from(&mut self, sender: UserId, limits: &Limits, now_ms: u64) {
        let dropped = &mut self.dropped;
        if dropped.len() >= limits.ledger_dropped.max(1) && !dropped.contains_key(&sender) {
            let oldest = dropped.iter().min_by_key(|(_, at_ms)| **at_ms).map(|(user, _)| *user);
            oldest.and_then(|user| dropped.remove(&user));
        }
        dropped.insert(sender, now_ms);
    }

    /// Whether a message was under way when its sender's were dropped: admitted before, and written
    /// soon after. One that comes later was sent again by somebody who may be a contact anew.
    pub(super) fn is_dropped(&self, envelope: &Envelope, now_ms: u64) -> bool {
        let dropped = self.dropped.get(&envelope.from_user);
        let soon = |at_ms: u64| (at_ms..at_ms + UNDER_WAY_MS).contains(&now_ms);
        dropped.is_some_and(|at_ms| envelope.at <= *at_ms && soon(*at_ms))
    }

    /// Forgets what `is_old` says of its time.
    pub(super) fn forget(&mut self, is_old: impl Fn(u64) -> bool) {
        self.highest.retain(|_, highest| !is_old(highest.at_ms));
        self.dropped.retain(|_, at_ms| !is_old(*at_ms));
    }

    /// Lines, and senders whose messages were dropped.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.highest.len(), self.dropped.len())
    }
}

fn line(envelope: &Envelope) -> (DeviceId, UserId) {
    (envelope.from_device, envelope.to)
}
