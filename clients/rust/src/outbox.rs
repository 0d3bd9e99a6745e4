//! The outbox: what is to be sent, and what was accepted and has not reached every device
//! (DELIVERY, "Send", "Loss of the queue store").
//!
//! A plain value: events in, [`Effect`]s out; no I/O, no clock, no keys. Its owner carries out
//! the effects of one call in order: all [`Effect::Put`], `PutSn`, `PutGen` and `Drop` in one
//! transaction, and only then what is to be transmitted. [`Outbox::restore`] goes on from what
//! was stored, wherever the process died.
//!
//! Invariants: a number (`sn`) is stored before its bytes leave, and a repeat has the same bytes;
//! one unaccepted message to a recipient at a time, [`IN_FLIGHT`] in all; what the 10-second rule
//! counts is sent in the order of submission to each recipient; nothing new goes out while a
//! lost queue store is made good.

use std::collections::{BTreeMap, HashMap, VecDeque};

use hushwire_identity::Code;
use hushwire_wire::frame::{Accepted, News};
use hushwire_wire::{DeviceId, EpochId, Gen, Mid, Reject, Rule, Sealed, UserId, limits};

use crate::said::{Id, Said};

mod answer;
mod entry;
mod pump;

pub use entry::{Entry, Sent, Target};

/// Unaccepted messages in flight, at most.
pub const IN_FLIGHT: usize = limits::SENDS_UNANSWERED;
/// Entries, at most: waiting ones and those that are not yet with all devices.
pub const ENTRIES_MAX: usize = 10_000;
/// Message ids kept of one entry: the newest.
pub const MIDS_MAX: usize = 64;
/// Devices kept as settled of one entry: rosters of several epochs. A server that names others has
/// no effect past it.
const SETTLED_MAX: usize = 64;
/// The longest that a server may make a message wait at once, in milliseconds: a day.
const WAIT_MAX_MS: u64 = 86_400_000;
/// Between two messages of a resubmission, in milliseconds (5 a second).
const RESUBMIT_EVERY_MS: u64 = 200;

/// What the owner is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Store this entry.
    Put(u64),
    /// Forget this entry.
    Drop(u64),
    /// Store the highest number sent to this recipient.
    PutSn(UserId, u64),
    /// Store the generation.
    PutGen(Gen),
    /// Encrypt this entry and call [`Outbox::sealed`] or [`Outbox::not_sealed`]. With `fresh`,
    /// look for a newer epoch first.
    Seal {
        /// Which.
        order: u64,
        /// Whether the epoch at hand was refused.
        fresh: bool,
    },
    /// Send these bytes.
    Transmit {
        /// Which entry, for [`Outbox::answered`].
        order: u64,
        /// To whom.
        to: UserId,
        /// The number.
        sn: u64,
        /// The bytes.
        upload: Sealed,
        /// Messages that a removal makes needless, where they still wait.
        withdraw: Vec<Mid>,
        /// Set when a loss is made good.
        re: Option<Gen>,
    },
    /// Say that the loss is made good, and call [`Outbox::resynced`].
    SayResynced(Gen),
    /// Tell the person.
    Tell(Progress),
}

/// What happened to a message, for the person who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It left this device.
    Sent(Id),
    /// A rule holds it for so many milliseconds.
    Held {
        /// Which.
        id: Id,
        /// For how long.
        for_ms: u64,
    },
    /// The server has it in custody.
    Accepted {
        /// Which.
        id: Id,
        /// Devices that will not get it.
        skipped: usize,
    },
    /// The recipient's first device persisted it.
    Delivered(Id),
    /// A device could not read it.
    Unreadable {
        /// Which.
        id: Id,
        /// A code of CRYPTO 11, or `UNKNOWN`.
        code: String,
    },
    /// It waited 30 days for a device.
    Expired(Id),
    /// It will not be sent.
    Failed {
        /// Which.
        id: Id,
        /// Why: a row of the table of rejects, or `withdrawn` for a change of what was removed.
        why: &'static str,
        /// It was accepted once, so it may have arrived.
        may_have_arrived: bool,
    },
    /// The server lost its queues; all that was not delivered was sent again.
    Resynced {
        /// How many messages.
        again: usize,
    },
}

/// An answer to [`Effect::Transmit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// In custody.
    Accepted(Accepted),
    /// Refused.
    Reject(Reject),
}

/// Why an entry could not be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSealed {
    /// Something is out of reach: try again after so many milliseconds.
    Later(u64),
    /// Never. The text is a word for [`Progress::Failed`].
    Never(&'static str),
}

/// What became of a message that was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// What is to be done.
    pub effects: Vec<Effect>,
    /// It waited here, and will never leave.
    pub is_unsent: bool,
    /// It or a change of it may have left: the other side is to be told of the removal.
    pub is_known: bool,
}

/// The outbox holds [`ENTRIES_MAX`] messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the outbox is full: wait until what waits there was sent")]
pub struct Full;

/// What is not stored of an entry.
#[derive(Clone, Debug, Default)]
struct Live {
    on_wire: bool,
    sealing: bool,
    /// A reject freed the recipient's slot; the bytes are kept while they can be sent again.
    freed: bool,
    fresh: bool,
    stale_answers: u32,
    not_before: u64,
    told_until: Option<u64>,
    told_sent: bool,
}

#[derive(Clone, Debug)]
enum Link {
    Down,
    Resync { r#gen: Gen, todo: VecDeque<u64>, again: usize, said: bool },
    Up,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Outbox {
    entries: BTreeMap<u64, Entry>,
    live: HashMap<u64, Live>,
    by_mid: HashMap<Mid, u64>,
    next_order: u64,
    last_sn: HashMap<UserId, u64>,
    r#gen: Option<Gen>,
    link: Link,
    interval_ms: u64,
    paced_from: u64,
    control_from: u64,
    resubmit_from: u64,
    /// By recipient: the epoch and the highest counter of what was sent again for this loss, one
    /// for each recipient of an entry at most.
    again_at: HashMap<UserId, (EpochId, u32)>,
    wake: Option<u64>,
}

impl Outbox {
    /// Goes on from what was stored: entries by order, the highest number for each recipient, and
    /// the generation, if this device was ever signed in.
    #[must_use]
    pub fn restore(
        entries: BTreeMap<u64, Entry>,
        last_sn: HashMap<UserId, u64>,
        r#gen: Option<Gen>,
    ) -> Self {
        let next_order = entries.keys().next_back().map_or(1, |order| order + 1);
        let by_mid = entries
            .iter()
            .flat_map(|(order, entry)| entry.mids.iter().map(|mid| (*mid, *order)))
            .collect();
        Self {
            entries,
            live: HashMap::new(),
            by_mid,
            next_order,
            last_sn,
            r#gen,
            link: Link::Down,
            interval_ms: 0,
            paced_from: 0,
            control_from: 0,
            resubmit_from: 0,
            again_at: HashMap::new(),
            wake: None,
        }
    }

    /// The entry of this order.
    #[must_use]
    pub fn entry(&self, order: u64) -> Option<&Entry> {
        self.entries.get(&order)
    }

    /// All entries by order.
    pub fn entries(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.iter().map(|(order, entry)| (*order, entry))
    }

    /// The generation that was seen last.
    #[must_use]
    pub const fn generation(&self) -> Option<Gen> {
        self.r#gen
    }

    /// When to call [`Self::tick`], in the ticks that the calls are given.
    #[must_use]
    pub const fn wake(&self) -> Option<u64> {
        self.wake
    }

    /// One text so often, in milliseconds, as the server says; 0 for no such rule.
    pub const fn set_interval(&mut self, interval_ms: u64) {
        self.interval_ms = if interval_ms < WAIT_MAX_MS { interval_ms } else { WAIT_MAX_MS };
    }

    /// Takes a new message.
    ///
    /// # Errors
    /// [`Full`].
    pub fn submit(
        &mut self,
        to: UserId,
        id: Id,
        said: Said,
        sent_ms: u64,
        now: u64,
    ) -> Result<Vec<Effect>, Full> {
        if self.entries.len() >= ENTRIES_MAX {
            return Err(Full);
        }
        let order = self.next_order;
        self.next_order += 1;
        let entry = Entry {
            to,
            id,
            said,
            sent_ms,
            sn: 0,
            sent: None,
            mids: Vec::new(),
            accepted: false,
            settled: Vec::new(),
            delivered: false,
        };
        self.entries.insert(order, entry);
        let mut out = vec![Effect::Put(order)];
        self.pump(now, &mut out);
        Ok(out)
    }

    /// Takes a message to `to` back, with all changes of it that wait: what has never been
    /// encrypted is dropped, and never leaves; of a batch, the part. Changes are told as failed,
    /// `withdrawn`.
    pub fn withdraw(&mut self, to: &UserId, id: &Id, now: u64) -> Withdrawn {
        let concerned = |entry: &Entry| {
            let is_it = entry.id == *id || entry.said.has_part(id);
            let is_change = entry.said.target() == Some(id);
            (entry.to == *to && (is_it || is_change)).then_some(is_it)
        };
        let entries = self.entries.iter();
        let found: Vec<(u64, bool, bool)> = entries
            .filter_map(|(order, entry)| {
                let is_it = concerned(entry)?;
                let is_sealing = self.live.get(order).is_some_and(|live| live.sealing);
                Some((*order, is_it, is_sealing || entry.may_have_left()))
            })
            .collect();
        let mut effects = Vec::new();
        for (order, is_it, has_left) in &found {
            match (is_it, has_left) {
                (_, true) => {}
                (true, false) => {
                    let entry = self.entries.get_mut(order);
                    if entry.is_some_and(|e| e.said.has_part(id) && e.said.drop_part(id)) {
                        effects.push(Effect::Put(*order));
                    } else {
                        self.remove(*order, &mut effects);
                    }
                }
                (false, false) => self.fail(*order, "withdrawn", &mut effects),
            }
        }
        self.pump(now, &mut effects);
        let is_unsent = found.iter().any(|(_, is_it, has_left)| *is_it && !has_left);
        let is_known = !is_unsent || found.iter().any(|(.., has_left)| *has_left);
        Withdrawn { effects, is_unsent, is_known }
    }

    /// Gives up what is to go, or is on its way, to somebody who is no contact any more. What was
    /// not accepted is told as failed, `parted`.
    pub fn part(&mut self, to: &UserId, now: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        let theirs = self.entries.iter().filter(|(_, entry)| entry.to == *to);
        let theirs: Vec<_> = theirs.map(|(order, entry)| (*order, entry.accepted)).collect();
        for (order, is_accepted) in theirs {
            if is_accepted {
                self.remove(order, &mut effects);
            } else {
                self.fail(order, "parted", &mut effects);
            }
        }
        self.pump(now, &mut effects);
        effects
    }

    /// Signed in, with the server's generation.
    pub fn connected(&mut self, r#gen: Gen, now: u64) -> Vec<Effect> {
        let mut out = Vec::new();
        self.forget_wire();
        match self.r#gen {
            None => {
                self.r#gen = Some(r#gen);
                self.link = Link::Up;
                out.push(Effect::PutGen(r#gen));
            }
            Some(known) if known == r#gen => self.link = Link::Up,
            Some(_) => self.begin_resync(r#gen),
        }
        self.pump(now, &mut out);
        out
    }

    /// The connection is gone.
    pub fn disconnected(&mut self) {
        self.link = Link::Down;
        self.wake = None;
        self.forget_wire();
    }

    /// The server lost its queues while this device was signed in.
    pub fn resync(&mut self, r#gen: Gen, now: u64) -> Vec<Effect> {
        let mut out = Vec::new();
        if !matches!(self.link, Link::Down) && self.r#gen != Some(r#gen) {
            self.begin_resync(r#gen);
            self.pump(now, &mut out);
        }
        out
    }

    /// The server answered [`Effect::SayResynced`]: `Some(ms)` to say it again after that time.
    pub fn resynced(&mut self, again_after: Option<u64>, now: u64) -> Vec<Effect> {
        let mut out = Vec::new();
        if let Link::Resync { r#gen, again, said, .. } = &mut self.link {
            if let Some(ms) = again_after {
                *said = false;
                self.resubmit_from = later(now, ms.max(RESUBMIT_EVERY_MS));
            } else {
                out.push(Effect::PutGen(*r#gen));
                out.push(Effect::Tell(Progress::Resynced { again: *again }));
                self.r#gen = Some(*r#gen);
                self.link = Link::Up;
            }
            self.pump(now, &mut out);
        }
        out
    }

    /// An entry was encrypted. Store the chain's step with the effects of this call.
    pub fn sealed(&mut self, order: u64, sent: Sent, now: u64) -> Vec<Effect> {
        let mut out = Vec::new();
        let live = self.live.entry(order).or_default();
        live.sealing = false;
        live.fresh = false;
        live.freed = false;
        if let Some(entry) = self.entries.get_mut(&order) {
            if !entry.accepted {
                let last = self.last_sn.entry(entry.to).or_default();
                *last += 1;
                entry.sn = *last;
                out.push(Effect::PutSn(entry.to, entry.sn));
            }
            if entry.mids.len() >= MIDS_MAX {
                self.by_mid.remove(&entry.mids.remove(0));
            }
            entry.mids.push(sent.mid);
            self.by_mid.insert(sent.mid, order);
            entry.sent = Some(sent);
            out.push(Effect::Put(order));
            self.transmit(order, &mut out);
        }
        self.pump(now, &mut out);
        out
    }

    /// An entry could not be encrypted.
    pub fn not_sealed(&mut self, order: u64, why: NotSealed, now: u64) -> Vec<Effect> {
        let mut out = Vec::new();
        let live = self.live.entry(order).or_default();
        live.sealing = false;
        match why {
            NotSealed::Later(ms) => live.not_before = later(now, ms),
            NotSealed::Never(why) => self.fail(order, why, &mut out),
        }
        self.pump(now, &mut out);
        out
    }

    /// What waited to be encrypted for this recipient may be tried again.
    pub fn retry(&mut self, to: &UserId, now: u64) -> Vec<Effect> {
        let mut out = Vec::new();
        for (order, entry) in &self.entries {
            if entry.to == *to
                && entry.sent.is_none()
                && let Some(live) = self.live.get_mut(order)
            {
                live.not_before = 0;
            }
        }
        self.pump(now, &mut out);
        out
    }

    /// Time has passed.
    pub fn tick(&mut self, now: u64) -> Vec<Effect> {
        let mut out = Vec::new();
        self.pump(now, &mut out);
        out
    }

    /// News of a message: of any id that was ever used for it.
    pub fn notice(&mut self, news: &News, now: u64) -> Vec<Effect> {
        let mut out = Vec::new();
        let (News::Delivered { mid, device }
        | News::Undecryptable { mid, device, .. }
        | News::Expired { mid, device }) = news
        else {
            return out;
        };
        if let Some(order) = self.by_mid.get(mid).copied()
            && let Some(entry) = self.entries.get_mut(&order)
        {
            entry.settle(*device);
            match news {
                News::Delivered { .. } => Self::tell_delivered(entry, device, &mut out),
                News::Undecryptable { code, .. } => {
                    // The server's text is shown to nobody: only what the table holds.
                    let code = Code::from_text(code).map_or("UNKNOWN", Code::as_str);
                    let (id, code) = (entry.id, code.to_owned());
                    out.push(Effect::Tell(Progress::Unreadable { id, code }));
                }
                News::Expired { .. } => out.push(Effect::Tell(Progress::Expired(entry.id))),
                News::Gap { .. } => {}
            }
            self.store_or_drop(order, &mut out);
        }
        self.pump(now, &mut out);
        out
    }

    fn tell_delivered(entry: &mut Entry, device: &DeviceId, out: &mut Vec<Effect>) {
        if !entry.delivered && entry.is_peer_device(device) {
            entry.delivered = true;
            // Delivered implies accepted for a person; the order of two frames must not show.
            if entry.accepted {
                out.push(Effect::Tell(Progress::Delivered(entry.id)));
            }
        }
    }

    fn begin_resync(&mut self, r#gen: Gen) {
        self.again_at.clear();
        let accepted = self.entries.iter().filter(|(_, entry)| entry.accepted);
        let todo: VecDeque<u64> = accepted.map(|(order, _)| *order).collect();
        for order in &todo {
            let live = self.live.entry(*order).or_default();
            (live.on_wire, live.sealing, live.not_before) = (false, false, 0);
        }
        self.link = Link::Resync { r#gen, again: todo.len(), todo, said: false };
    }

    fn forget_wire(&mut self) {
        for live in self.live.values_mut() {
            (live.on_wire, live.sealing, live.not_before) = (false, false, 0);
        }
    }

    fn store_or_drop(&mut self, order: u64, out: &mut Vec<Effect>) {
        if self.entries.get(&order).is_some_and(Entry::is_done) {
            self.remove(order, out);
        } else {
            out.push(Effect::Put(order));
        }
    }

    fn remove(&mut self, order: u64, out: &mut Vec<Effect>) {
        if let Some(entry) = self.entries.remove(&order) {
            for mid in &entry.mids {
                self.by_mid.remove(mid);
            }
            self.live.remove(&order);
            out.push(Effect::Drop(order));
        }
    }

    fn fail(&mut self, order: u64, why: &'static str, out: &mut Vec<Effect>) {
        if let Some(entry) = self.entries.get(&order) {
            let (id, may_have_arrived) = (entry.id, entry.accepted);
            self.remove(order, out);
            out.push(Effect::Tell(Progress::Failed { id, why, may_have_arrived }));
        }
    }
}

/// A moment that a server asked for: never now, and no later than [`WAIT_MAX_MS`].
fn later(now: u64, ms: u64) -> u64 {
    now.saturating_add(ms.clamp(1, WAIT_MAX_MS))
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
