//! One device's queue of undelivered messages, with its key and its notices (DELIVERY, "Session
//! and ledger").
//!
//! A plain value: operations and the queue's own time in, outcomes out. Nothing accepted is ever
//! dropped to make room. Writing is idempotent by (sender device, mid); for each sender device
//! and recipient the highest `sn` is remembered, and a lower one is not written again.

use std::collections::BTreeMap;

use hushwire_wire::frame::{News, SkipReason};
use hushwire_wire::{Conn, DeviceId, Mid, NodeId, UserId};

use crate::envelope::Entry;
use crate::limits::Limits;
use crate::queue::{Key, Mode, Op, Outcome, Page, Settled, Taken};

/// How long a key lasts without being renewed, in milliseconds.
pub const KEY_TTL_MS: u64 = 90_000;

/// A notice is compared with so many of the latest ones, and stored once.
const COALESCED: usize = 64;

/// A device's queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger {
    key: Option<(Key, u64)>,
    entries: BTreeMap<u64, Written>,
    by_id: BTreeMap<(DeviceId, Mid), u64>,
    tail: u64,
    bytes: usize,
    senders: BTreeMap<UserId, (usize, usize)>,
    highest: BTreeMap<(DeviceId, UserId), Highest>,
    notices: BTreeMap<u64, (u64, News)>,
    notices_tail: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Written {
    entry: Entry,
    at_ms: u64,
}

/// The highest `sn` taken or skipped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Highest {
    sn: u64,
    mid: Mid,
    taken: Taken,
    at_ms: u64,
}

impl Ledger {
    /// Empty, with positions above `floor`: whoever holds a device whose empty ledger was forgotten
    /// and begun anew has seen positions up to there.
    #[must_use]
    pub fn above(floor: u64) -> Self {
        Self { tail: floor, notices_tail: floor, ..Self::default() }
    }

    /// Executes one operation at `now_ms`.
    ///
    /// [`Op::Ack`] only deletes here: the store first puts its news into the senders' ledgers.
    pub fn apply(&mut self, op: &Op, limits: &Limits, now_ms: u64) -> Outcome {
        if self.key.is_some_and(|(_, until)| until < now_ms) {
            self.key = None;
        }
        match op {
            Op::Attach { node, conn } => {
                self.hold(*node, *conn, now_ms);
                Outcome::Attached
            }
            Op::Enqueue { entries, dead } => match self.key {
                Some((key, _)) if key.mode == Mode::Live && Some(key.conn) != *dead => {
                    Outcome::Held(key)
                }
                _ => self.force(entries, limits, now_ms),
            },
            Op::Force { entries } => self.force(entries, limits, now_ms),
            Op::Back { conn, entries } if self.is_held_by(*conn) => {
                Outcome::Written(self.write_all(entries, limits, now_ms))
            }
            Op::Detach { conn, entries } if self.is_held_by(*conn) => {
                self.key = None;
                Outcome::Written(self.write_all(entries, limits, now_ms))
            }
            Op::Back { entries, .. } | Op::Detach { entries, .. } => {
                self.force(entries, limits, now_ms)
            }
            Op::Page { conn, after, notices_after, skip, messages, bytes } => {
                if !self.is_held_by(*conn) {
                    return Outcome::NotHolder;
                }
                Outcome::Page(self.page(*after, *notices_after, skip, *messages, *bytes))
            }
            Op::Flip { conn, last, notices_last } => self.flip(*conn, *last, *notices_last),
            Op::Ack { settled, notices } => {
                self.settle(settled);
                self.notices = self.notices.split_off(&(notices + 1));
                Outcome::Noticed(Vec::new())
            }
            Op::Notice { news } => {
                self.notice(news.clone(), limits, now_ms);
                Outcome::Noticed(Vec::new())
            }
            Op::Touch { node, conn } => match &mut self.key {
                None => {
                    self.hold(*node, *conn, now_ms);
                    Outcome::Attached
                }
                Some((key, until)) if key.conn == *conn => {
                    *until = now_ms + KEY_TTL_MS;
                    Outcome::Attached
                }
                Some(_) => Outcome::NotHolder,
            },
        }
    }

    /// Stores a notice, unless it is there. At the bound the oldest goes: its sender's outbox
    /// keeps a ciphertext longer, and nothing is lost.
    pub fn notice(&mut self, news: News, limits: &Limits, now_ms: u64) {
        let recent = self.notices.values().rev().take(COALESCED);
        if recent.into_iter().any(|(_, known)| *known == news) {
            return;
        }
        while self.notices.len() >= limits.notices_per_device.max(1) {
            self.notices.pop_first();
        }
        self.notices_tail += 1;
        self.notices.insert(self.notices_tail, (now_ms, news));
    }

    /// What has waited too long at `now_ms`, at most `most`: the senders must hear it before
    /// [`Ledger::settle`] deletes it. Forgets old notices and numbers.
    pub fn expire(
        &mut self,
        me: DeviceId,
        limits: &Limits,
        now_ms: u64,
        most: usize,
    ) -> Vec<Settled> {
        let old = |at_ms: u64| at_ms + limits.remember_ms <= now_ms;
        self.notices.retain(|_, (at_ms, _)| !old(*at_ms));
        self.highest.retain(|_, highest| !old(highest.at_ms));
        self.key = self.key.filter(|(_, until)| *until >= now_ms);
        self.entries
            .values()
            .take_while(|written| written.at_ms + limits.expire_after_ms <= now_ms)
            .take(most)
            .map(|written| {
                let (from, mid) = written.entry.id();
                Settled { from, mid, news: Some(News::Expired { mid, device: me }) }
            })
            .collect()
    }

    /// Deletes messages.
    pub fn settle(&mut self, settled: &[Settled]) {
        for one in settled {
            let Some(position) = self.by_id.remove(&(one.from, one.mid)) else { continue };
            let Some(written) = self.entries.remove(&position) else { continue };
            let envelope = &written.entry.envelope;
            self.bytes -= envelope.size();
            if let Some((count, bytes)) = self.senders.get_mut(&envelope.from_user) {
                *count -= 1;
                *bytes -= envelope.size();
                if *count == 0 {
                    self.senders.remove(&envelope.from_user);
                }
            }
        }
    }

    /// Who holds the device at `now_ms`.
    #[must_use]
    pub fn holder(&self, now_ms: u64) -> Option<Key> {
        self.key.filter(|(_, until)| *until >= now_ms).map(|(key, _)| key)
    }

    /// The last position written.
    #[must_use]
    pub const fn tail(&self) -> u64 {
        self.tail
    }

    /// The last position of a notice.
    #[must_use]
    pub const fn notices_tail(&self) -> u64 {
        self.notices_tail
    }

    /// The last position of anything.
    #[must_use]
    pub fn top(&self) -> u64 {
        self.tail.max(self.notices_tail)
    }

    /// Messages, their bytes, and notices.
    #[must_use]
    pub fn len(&self) -> (usize, usize, usize) {
        (self.entries.len(), self.bytes, self.notices.len())
    }

    /// Whether nothing would be lost if it were forgotten.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.key.is_none()
            && self.entries.is_empty()
            && self.notices.is_empty()
            && self.highest.is_empty()
    }

    fn hold(&mut self, node: NodeId, conn: Conn, now_ms: u64) {
        self.key = Some((Key { node, conn, mode: Mode::Behind }, now_ms + KEY_TTL_MS));
    }

    fn is_held_by(&self, conn: Conn) -> bool {
        self.key.is_some_and(|(key, _)| key.conn == conn)
    }

    fn force(&mut self, entries: &[Entry], limits: &Limits, now_ms: u64) -> Outcome {
        if let Some((key, _)) = &mut self.key
            && !entries.is_empty()
        {
            key.mode = Mode::Behind;
        }
        Outcome::Written(self.write_all(entries, limits, now_ms))
    }

    fn flip(&mut self, conn: Conn, last: u64, notices_last: u64) -> Outcome {
        let above = self.entries.range(last + 1..).next().is_some()
            || self.notices.range(notices_last + 1..).next().is_some();
        match &mut self.key {
            Some((key, _)) if key.conn == conn => {
                key.mode = if above { Mode::Behind } else { Mode::Live };
                Outcome::Flipped(!above)
            }
            _ => Outcome::NotHolder,
        }
    }

    fn page(
        &self,
        after: u64,
        notices_after: u64,
        skip: &[(DeviceId, Mid)],
        messages: usize,
        bytes: usize,
    ) -> Page {
        let mut page = Page { last: after, ..Page::default() };
        for (position, news) in self.notices.range(notices_after + 1..) {
            if page.notices.len() == messages {
                page.more = true;
                return page;
            }
            page.notices.push((*position, news.1.clone()));
        }
        let room = messages - page.notices.len();
        let mut size = 0;
        for (position, written) in self.entries.range(after + 1..) {
            if !skip.contains(&written.entry.id()) {
                let next = written.entry.envelope.size();
                let alone = page.entries.is_empty() && skip.is_empty();
                if page.entries.len() == room || (size + next > bytes && !alone) {
                    page.more = true;
                    return page;
                }
                size += next;
                page.entries.push(written.entry.clone());
            }
            page.last = *position;
        }
        // What was deleted above the last message counts as looked at.
        page.last = page.last.max(self.tail);
        page
    }

    fn write_all(&mut self, entries: &[Entry], limits: &Limits, now_ms: u64) -> Vec<Taken> {
        entries.iter().map(|entry| self.write(entry, limits, now_ms)).collect()
    }

    fn write(&mut self, entry: &Entry, limits: &Limits, now_ms: u64) -> Taken {
        let id = entry.id();
        if self.by_id.contains_key(&id) {
            return Taken::Queued;
        }
        let envelope = &*entry.envelope;
        let line = (envelope.from_device, envelope.to);
        if !envelope.again
            && let Some(highest) = self.highest.get(&line)
        {
            let known = match highest.taken {
                Taken::Skipped(_) => envelope.sn == highest.sn,
                Taken::Queued => envelope.sn == highest.sn && envelope.mid == highest.mid,
            };
            if known {
                return highest.taken;
            }
            if envelope.sn < highest.sn {
                return Taken::Queued;
            }
        }
        let taken = if self.has_room(entry, limits) {
            self.tail += 1;
            self.by_id.insert(id, self.tail);
            self.bytes += envelope.size();
            let (count, bytes) = self.senders.entry(envelope.from_user).or_default();
            *count += 1;
            *bytes += envelope.size();
            self.entries.insert(self.tail, Written { entry: entry.clone(), at_ms: now_ms });
            Taken::Queued
        } else {
            Taken::Skipped(SkipReason::Full)
        };
        let next = Highest { sn: envelope.sn, mid: envelope.mid, taken, at_ms: now_ms };
        if self.highest.get(&line).is_none_or(|highest| highest.sn <= envelope.sn) {
            self.remember(line, next, limits);
        }
        taken
    }

    fn remember(&mut self, line: (DeviceId, UserId), next: Highest, limits: &Limits) {
        if self.highest.len() >= limits.ledger_senders.max(1) && !self.highest.contains_key(&line) {
            let oldest = self.highest.iter().min_by_key(|(_, highest)| highest.at_ms);
            if let Some(oldest) = oldest.map(|(line, _)| *line) {
                self.highest.remove(&oldest);
            }
        }
        self.highest.insert(line, next);
    }

    fn has_room(&self, entry: &Entry, limits: &Limits) -> bool {
        let size = entry.envelope.size();
        let (count, bytes) =
            self.senders.get(&entry.envelope.from_user).copied().unwrap_or_default();
        self.entries.len() < limits.ledger_messages
            && self.bytes + size <= limits.ledger_bytes
            && count < limits.ledger_messages_per_sender
            && bytes + size <= limits.ledger_bytes_per_sender
    }
}

#[cfg(test)]
mod tests;
