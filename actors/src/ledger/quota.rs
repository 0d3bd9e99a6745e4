//! What a ledger holds, of whom, and whether there is room for more (DELIVERY, "Session and
//! ledger").
//!
//! Four bounds of a device, by count and bytes, over all senders and for each; and what the whole
//! store has left. Every count goes up with a write and down with a delete, and never else.

use std::collections::BTreeMap;

use hushwire_wire::UserId;

use crate::limits::Limits;

/// Messages and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Sum {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// The sums of one ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Quota {
    all: Sum,
    senders: BTreeMap<UserId, Sum>,
}

impl Quota {
    /// Whether one more message of `size` bytes from `sender` fits.
    pub(super) fn has_room(&self, sender: &UserId, size: usize, limits: &Limits) -> bool {
        let of_sender = self.senders.get(sender).copied().unwrap_or_default();
        self.all.messages < limits.ledger_messages
            && self.all.bytes + size <= limits.ledger_bytes
            && of_sender.messages < limits.ledger_messages_per_sender
            && of_sender.bytes + size <= limits.ledger_bytes_per_sender
    }

    /// One more.
    pub(super) fn add(&mut self, sender: UserId, size: usize) {
        for sum in [&mut self.all, self.senders.entry(sender).or_default()] {
            sum.messages += 1;
            sum.bytes += size;
        }
    }

    /// One less.
    pub(super) fn remove(&mut self, sender: &UserId, size: usize) {
        let Some(of_sender) = self.senders.get_mut(sender) else { return };
        for sum in [&mut self.all, &mut *of_sender] {
            sum.messages -= 1;
            sum.bytes -= size;
        }
        if of_sender.messages == 0 {
            self.senders.remove(sender);
        }
    }

    /// Whether anything of `sender` is held.
    pub(super) fn has(&self, sender: &UserId) -> bool {
        self.senders.contains_key(sender)
    }

    /// Over all senders.
    pub(super) const fn all(&self) -> Sum {
        self.all
    }
}
