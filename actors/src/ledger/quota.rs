//! What a ledger holds, of whom, and whether there is room for more (DELIVERY, "Session and
//! ledger").
//!
//! Four bounds of a device, by count and bytes, over all senders and for each; and what the whole
//! store has left. Every count goes up with a write and down with a delete, and never else.
//! What is refused for want of room was accepted by nobody; what was written is never dropped.

use std::collections::BTreeMap;

use hushwire_wire::UserId;

use crate::limits::{Limits, STORE_AWAY_PERCENT, STORE_NEW_PERCENT, percent};
use crate::queue::Stored;

/// What all ledgers of a store have left: for devices that are away less than for what is under way
/// to those that are there, and must go somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Room {
    messages: u64,
    bytes: u64,
    reserved_messages: u64,
    reserved_bytes: u64,
}

impl Room {
    /// No end of it.
    pub const AMPLE: Self = Self {
        messages: u64::MAX / 2,
        bytes: u64::MAX / 2,
        reserved_messages: 0,
        reserved_bytes: 0,
    };

    /// What is left beside what is stored.
    #[must_use]
    pub const fn beside(stored: &Stored, limits: &Limits) -> Self {
        let (messages, bytes) = (limits.store_messages, limits.store_bytes);
        Self {
            messages: messages.saturating_sub(stored.messages),
            bytes: bytes.saturating_sub(stored.bytes),
            reserved_messages: messages - percent(messages, STORE_AWAY_PERCENT),
            reserved_bytes: bytes - percent(bytes, STORE_AWAY_PERCENT),
        }
    }

    /// Takes room for a message of `size` bytes, unless there is none.
    pub(super) const fn take(&mut self, size: usize, away: bool) -> bool {
        let (messages, bytes) =
            if away { (self.reserved_messages, self.reserved_bytes) } else { (0, 0) };
        let size = size as u64;
        let fits = self.messages > messages && self.bytes >= bytes.saturating_add(size);
        if fits {
            self.messages -= 1;
            self.bytes -= size;
        }
        fits
    }

    /// Gives back what was dropped.
    pub(super) const fn give(&mut self, messages: usize, bytes: usize) {
        self.messages = self.messages.saturating_add(messages as u64);
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }
}

impl Stored {
    /// Whether the store takes no new message: what it has left is for what is under way.
    #[must_use]
    pub const fn is_full(&self, limits: &Limits) -> bool {
        self.messages >= percent(limits.store_messages, STORE_NEW_PERCENT)
            || self.bytes >= percent(limits.store_bytes, STORE_NEW_PERCENT)
    }
}

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
