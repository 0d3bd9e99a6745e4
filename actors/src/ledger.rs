//! One device's queue of undelivered messages, with its key and its notices (DELIVERY, "Session
//! and ledger").
//!
//! A plain value: operations and the queue's own time in, outcomes out. Nothing accepted is ever
//! dropped to make room. Writing is idempotent by (sender device, mid); for each sender device
//! and recipient the highest `sn` is remembered, and a lower one is not written again.

mod lines;
mod notices;
mod quota;

use std::collections::BTreeMap;

use hushwire_wire::frame::{News, SkipReason};
use hushwire_wire::{Conn, DeviceId, Mid, NodeId};

use crate::envelope::{Entry, Envelope};
use crate::fault;
use crate::limits::Limits;
use crate::queue::{Key, Mode, Op, Outcome, Page, Settled, Taken};
use lines::Lines;
use notices::Notices;
use quota::Quota;
pub use quota::Room;

/// How long a key lasts without being renewed, in milliseconds.
pub const KEY_TTL_MS: u64 = 90_000;

/// A device's queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger {
    key: Option<(Key, u64)>,
    entries: BTreeMap<u64, Written>,
    by_id: BTreeMap<(DeviceId, Mid), u64>,
    tail: u64,
    quota: Quota,
    lines: Lines,
    notices: Notices,
    revoked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Written {
    entry: Entry,
    at_ms: u64,
}

impl Ledger {
    /// Empty, with positions above `floor`: whoever holds a device whose empty ledger was forgotten
    /// and begun anew has seen positions up to there.
    #[must_use]
    pub fn above(floor: u64) -> Self {
        Self { tail: floor, notices: Notices::above(floor), ..Self::default() }
    }

    /// The tombstone of a device: nothing is written for it, and nobody attaches.
    #[must_use]
    pub fn revoked() -> Self {
        Self { revoked: true, ..Self::default() }
    }

    /// Executes one operation at `now_ms`, in a store that has room.
    pub fn apply(&mut self, op: &Op, limits: &Limits, now_ms: u64) -> Outcome {
        self.apply_within(Room::AMPLE, op, limits, now_ms)
    }

    /// Executes one operation at `now_ms`, in a store that has so much room.
    ///
    /// [`Op::Ack`] only deletes here: the store first puts its news into the senders' ledgers.
    pub fn apply_within(
        &mut self,
        mut room: Room,
        op: &Op,
        limits: &Limits,
        now_ms: u64,
    ) -> Outcome {
        let room = &mut room;
        if self.key.is_some_and(|(_, until)| until < now_ms) {
            self.key = None;
        }
        if self.revoked {
            return Self::after_revoke(op);
        }
        match op {
            Op::Attach { node, conn } => {
                self.hold(*node, *conn, now_ms);
                self.notices.rejoin();
                Outcome::Attached
            }
            Op::Enqueue { entries, dead } => match self.key {
                Some((key, _)) if key.mode == Mode::Live && Some(key.conn) != *dead => {
                    // What comes late is answered as its message was, and is not routed again.
                    let taken = entries.iter().map(|entry| self.recorded(entry));
                    taken.collect::<Option<_>>().map_or(Outcome::Held(key), Outcome::Written)
                }
                _ => {
                    self.turn_behind(entries);
                    Outcome::Written(self.write_all(entries, room, true, limits, now_ms))
                }
            },
            Op::Force { entries } => self.force(entries, room, limits, now_ms),
            Op::Back { conn, entries } if self.is_held_by(*conn) => {
                Outcome::Written(self.write_all(entries, room, false, limits, now_ms))
            }
            Op::Detach { conn, entries } if self.is_held_by(*conn) => {
                self.key = None;
                Outcome::Written(self.write_all(entries, room, false, limits, now_ms))
            }
            Op::Back { entries, .. } | Op::Detach { entries, .. } => {
                self.force(entries, room, limits, now_ms)
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
                self.notices.ack(*notices);
                Outcome::Noticed(Vec::new())
            }
            Op::Notice { news } => {
                self.notice(news.clone(), limits, now_ms);
                Outcome::Noticed(Vec::new())
            }
            Op::Touch { node, conn } => {
                match &mut self.key {
                    None => self.hold(*node, *conn, now_ms),
                    Some((key, until)) if key.conn == *conn => *until = now_ms + KEY_TTL_MS,
                    Some(_) => return Outcome::NotHolder,
                }
                // The word that they are there may have been lost.
                if self.notices.len() > 0 {
                    Outcome::Noticed(Vec::new())
                } else {
                    Outcome::Attached
                }
            }
            Op::Revoke => {
                *self = Self::revoked();
                Outcome::Revoked
            }
            Op::DropFrom { sender } => {
                // Silently: who was told `accepted` hears no more.
                self.drop_where(|envelope| envelope.from_user == *sender);
                fault::point("ledger: half dropped");
                self.lines.drop_from(*sender, limits, now_ms);
                Outcome::Dropped
            }
        }
    }

    fn after_revoke(op: &Op) -> Outcome {
        match op {
            Op::Enqueue { entries, .. }
            | Op::Force { entries }
            | Op::Back { entries, .. }
            | Op::Detach { entries, .. } => {
                Outcome::Written(vec![Taken::Skipped(SkipReason::Revoked); entries.len()])
            }
            Op::Attach { .. }
            | Op::Page { .. }
            | Op::Flip { .. }
            | Op::Touch { .. }
            | Op::Revoke => Outcome::Revoked,
            Op::Ack { .. } | Op::Notice { .. } => Outcome::Noticed(Vec::new()),
            Op::DropFrom { .. } => Outcome::Dropped,
        }
    }

    /// Stores news for this device, unless it is there.
    pub fn notice(&mut self, news: News, limits: &Limits, now_ms: u64) {
        if !self.revoked {
            self.notices.push(news, limits, now_ms);
        }
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
        self.notices.forget(old);
        self.lines.forget(old);
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
            let Some(position) = self.by_id.get(&(one.from, one.mid)) else { continue };
            let Some(written) = self.entries.remove(position) else { continue };
            fault::point("ledger: half deleted");
            self.by_id.remove(&(one.from, one.mid));
            let envelope = &written.entry.envelope;
            self.quota.remove(&envelope.from_user, envelope.size());
        }
    }

    /// After a panic in the midst of a change: what is queued says the messages themselves, of
    /// which each is written and deleted in one step; indices and sums follow them.
    pub(crate) fn mend(&mut self) {
        self.by_id = self.entries.iter().map(|(at, w)| (w.entry.id(), *at)).collect();
        self.quota = Quota::default();
        for written in self.entries.values() {
            let envelope = &written.entry.envelope;
            self.quota.add(envelope.from_user, envelope.size());
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
        self.notices.tail()
    }

    /// The last position of anything.
    #[must_use]
    pub fn top(&self) -> u64 {
        self.tail.max(self.notices.tail())
    }

    /// Messages, their bytes, and notices.
    #[must_use]
    pub fn len(&self) -> (usize, usize, usize) {
        (self.entries.len(), self.quota.all().bytes, self.notices.len())
    }

    /// Whether nothing would be lost if it were forgotten.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.key.is_none()
            && self.entries.is_empty()
            && self.notices.len() == 0
            && self.lines.len() == (0, 0)
    }

    fn hold(&mut self, node: NodeId, conn: Conn, now_ms: u64) {
        self.key = Some((Key { node, conn, mode: Mode::Behind }, now_ms + KEY_TTL_MS));
    }

    fn is_held_by(&self, conn: Conn) -> bool {
        self.key.is_some_and(|(key, _)| key.conn == conn)
    }

    fn force(
        &mut self,
        entries: &[Entry],
        room: &mut Room,
        limits: &Limits,
        now_ms: u64,
    ) -> Outcome {
        self.turn_behind(entries);
        Outcome::Written(self.write_all(entries, room, false, limits, now_ms))
    }

    fn turn_behind(&mut self, entries: &[Entry]) {
        if let Some((key, _)) = &mut self.key
            && !entries.is_empty()
        {
            key.mode = Mode::Behind;
        }
    }

    fn flip(&mut self, conn: Conn, last: u64, notices_last: u64) -> Outcome {
        let above =
            self.entries.range(last + 1..).next().is_some() || self.notices.is_above(notices_last);
        match &mut self.key {
            Some((key, _)) if key.conn == conn => {
                key.mode = if above { Mode::Behind } else { Mode::Live };
                Outcome::Flipped(!above)
            }
            _ => Outcome::NotHolder,
        }
    }

    fn page(
        &mut self,
        after: u64,
        notices_after: u64,
        skip: &[(DeviceId, Mid)],
        messages: usize,
        bytes: usize,
    ) -> Page {
        let (notices, more) = self.notices.page(notices_after, messages);
        let mut page = Page { last: after, notices, more, ..Page::default() };
        if more {
            return page;
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

    /// Writes what is not known. `away`: for a device that is not there, whose messages find less
    /// room in the store; what makes a loss good was accepted once and finds it all.
    fn write_all(
        &mut self,
        entries: &[Entry],
        room: &mut Room,
        away: bool,
        limits: &Limits,
        now_ms: u64,
    ) -> Vec<Taken> {
        let away = |entry: &Entry| away && !entry.envelope.again;
        entries.iter().map(|e| self.write(e, room, away(e), limits, now_ms)).collect()
    }

    fn write(
        &mut self,
        entry: &Entry,
        room: &mut Room,
        away: bool,
        limits: &Limits,
        now_ms: u64,
    ) -> Taken {
        if !entry.envelope.withdraw.is_empty() && self.quota.has(&entry.envelope.from_user) {
            // First, and again with each repeat: it makes room.
            let before = self.quota.all();
            self.drop_where(|written| entry.envelope.withdraws(written));
            let after = self.quota.all();
            room.give(before.messages - after.messages, before.bytes - after.bytes);
        }
        if let Some(taken) = self.recorded(entry) {
            return taken;
        }
        let (id, envelope) = (entry.id(), &*entry.envelope);
        let taken = if self.lines.is_dropped(envelope, now_ms) {
            // It goes as what waited went. A refusal would tell its sender of the block.
            Taken::Queued
        } else if !self.quota.has_room(&envelope.from_user, envelope.size(), limits) {
            self.notices.skipped(entry.contact(), limits, now_ms);
            Taken::Skipped(SkipReason::Full)
        } else if !room.take(envelope.size(), away) {
            self.notices.skipped(entry.contact(), limits, now_ms);
            Taken::NoRoom
        } else {
            self.tail += 1;
            self.entries.insert(self.tail, Written { entry: entry.clone(), at_ms: now_ms });
            fault::point("ledger: half written");
            self.by_id.insert(id, self.tail);
            self.quota.add(envelope.from_user, envelope.size());
            Taken::Queued
        };
        self.lines.remember(envelope, taken, limits, now_ms);
        taken
    }

    /// What became of a message, if it is known.
    fn recorded(&self, entry: &Entry) -> Option<Taken> {
        let is_here = self.by_id.contains_key(&entry.id());
        if is_here { Some(Taken::Queued) } else { self.lines.known(&entry.envelope) }
    }

    fn drop_where(&mut self, is_meant: impl Fn(&Envelope) -> bool) {
        let entries = self.entries.values().map(|written| &written.entry);
        let meant = entries.filter(|entry| is_meant(&entry.envelope)).map(Entry::id);
        let settled: Vec<_> = meant.map(|(from, mid)| Settled { from, mid, news: None }).collect();
        self.settle(&settled);
    }
}

#[cfg(test)]
mod tests;
