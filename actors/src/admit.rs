//! Who sent what: records by (sender device, recipient), for repeats, `sn` order, lane-0 counters
//! and resubmissions (DELIVERY, "Send" 2 and "Loss of the queue store").
//!
//! A plain value with the time handed in. A repeat of what was accepted gets the same answer; a
//! repeat of what is under way is routed again; neither costs a token. Bounded: the oldest record
//! goes first, and with it only the memory of repeats.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hushwire_wire::frame::Accepted;
use hushwire_wire::{DeviceId, EpochId, Gen, Mid, Reject, Rule, UserId};

/// A repeat of a message that is under way is routed again at most so often, in milliseconds.
pub const REPEAT_EVERY_MS: u64 = 2_000;
/// After so many repeats, once in [`REPEAT_SLOWLY_MS`].
pub const REPEATS_FAST: u32 = 20;
/// How often after that, in milliseconds.
pub const REPEAT_SLOWLY_MS: u64 = 60_000;
/// Distinct messages sent again for one recipient and generation.
pub const AGAIN_MESSAGES: usize = 1_000;
/// Their bytes.
pub const AGAIN_BYTES: usize = 4 << 20;
/// Messages sent again by one device and recipient in a second.
pub const AGAIN_PER_SECOND: u32 = 5;
/// How soon a send is taken whose predecessor is still under way, in milliseconds.
pub const UNDER_WAY_RETRY_MS: u64 = 100;
/// How long a flight counts as under way that nobody says has landed, since its node is gone: longer
/// than any send waits for its answer.
pub const UNDER_WAY_MS: u64 = 15_000;

/// What is asked of admission.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Offer {
    /// The recipient.
    pub to: UserId,
    /// The number.
    pub sn: u64,
    /// The message.
    pub mid: Mid,
    /// The hash of the upload.
    pub hash: [u8; 32],
    /// The epoch.
    pub epoch: EpochId,
    /// The lane-0 counter in it.
    pub counter: u32,
    /// The size of the upload in bytes.
    pub size: usize,
    /// Set when a loss is made good: the generation.
    pub re: Option<Gen>,
    /// What it withdraws: no part of the record, so that a repeat withdraws again.
    pub withdraw: Box<[Mid]>,
}

/// What admission knows about an offer, before contact, epoch, roster and tags are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// New: to be checked, counted and paid.
    New,
    /// The same number encrypted again under a new epoch: to be checked and counted, paid before.
    Changed,
    /// The same bytes, not accepted yet: to be checked and routed again, free.
    Again,
    /// Sent again after a loss: to be checked; exempt from rate and order.
    Resubmitted,
    /// Accepted before: this is the answer.
    Answer(Arc<Accepted>),
    /// Refused.
    Refused(Reject),
}

impl Verdict {
    /// The message before is still under way.
    #[must_use]
    pub const fn busy() -> Self {
        Self::Refused(Reject::Unavailable { retry_after_ms: UNDER_WAY_RETRY_MS })
    }

    /// It was routed a moment ago, and may be every `every_ms`.
    #[must_use]
    pub const fn repeated_too_soon(retry_after_ms: u64, every_ms: u64) -> Self {
        let limit = if every_ms == REPEAT_EVERY_MS { REPEATS_FAST } else { 1 };
        let rule = Rule::Repeat;
        Self::Refused(Reject::RateLimited { retry_after_ms, rule, limit, window_ms: every_ms })
    }

    /// Too many were sent again in this second.
    #[must_use]
    pub const fn resubmitted_too_soon(retry_after_ms: u64) -> Self {
        let (rule, limit) = (Rule::Resubmission, AGAIN_PER_SECOND);
        Self::Refused(Reject::RateLimited { retry_after_ms, rule, limit, window_ms: 1_000 })
    }

    /// Too many were sent again in this generation.
    #[must_use]
    pub fn resubmitted_too_much() -> Self {
        let expected = "at most 1,000 messages and 4 MiB for each recipient";
        Self::Refused(Reject::bad("op.send.re", expected))
    }
}

/// The table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admit {
    records: HashMap<(DeviceId, UserId), Record>,
    order: VecDeque<(u64, (DeviceId, UserId))>,
    most: usize,
    remember_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Record {
    sn: u64,
    mid: Mid,
    hash: [u8; 32],
    epoch: EpochId,
    counter: u32,
    state: State,
    under_way: u32,
    at_ms: u64,
    routed_ms: u64,
    repeats: u32,
    again: Option<Box<Resubmissions>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State {
    Admitted,
    Refused,
    Accepted(Arc<Accepted>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Resubmissions {
    r#gen: Gen,
    seen: BTreeMap<u64, Mid>,
    bytes: usize,
    second_ms: u64,
    in_second: u32,
}

impl Hash for Admit {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let records: BTreeMap<_, _> = self.records.iter().collect();
        (records, &self.order).hash(state);
    }
}

impl Admit {
    /// Empty, for at most `most` records, kept for `remember_ms`.
    #[must_use]
    pub fn new(most: usize, remember_ms: u64) -> Self {
        Self { most: most.max(1), remember_ms, ..Self::default() }
    }

    /// What is known about an offer of `device` at `now_ms`. Changes nothing.
    #[must_use]
    pub fn look(&self, device: DeviceId, offer: &Offer, now_ms: u64) -> Verdict {
        let record = self.records.get(&(device, offer.to));
        if let Some(r#gen) = offer.re {
            return Self::look_again(record, r#gen, offer, now_ms);
        }
        let Some(record) = record else { return Verdict::New };
        let stale = || {
            Verdict::Refused(Reject::StaleSn {
                last_sn: record.sn,
                mid: record.mid,
                answer: record.answer().map(|answer| (**answer).clone()),
            })
        };
        if offer.sn < record.sn {
            return stale();
        }
        if offer.sn > record.sn {
            return if record.is_under_way(now_ms) { Verdict::busy() } else { Verdict::New };
        }
        match (record.answer(), offer.hash == record.hash) {
            (Some(answer), true) => Verdict::Answer(answer.clone()),
            (None, true) => record.repeat(now_ms),
            (None, false) if offer.epoch != record.epoch => Verdict::Changed,
            (_, false) => stale(),
        }
    }

    /// Whether the lane-0 counter of `offer` rises: checked for new, changed and resubmitted
    /// messages, not for repeats.
    #[must_use]
    pub fn counter_rises(&self, device: DeviceId, offer: &Offer) -> bool {
        let Some(record) = self.records.get(&(device, offer.to)) else { return true };
        let repeat = record.again.as_ref().is_some_and(|again| {
            offer.re == Some(again.r#gen) && again.seen.get(&offer.sn) == Some(&offer.mid)
        });
        repeat || record.epoch != offer.epoch || offer.counter > record.counter
    }

    /// Records that `offer` is routed now. The verdict is the one of [`Admit::look`]; tells when
    /// the message was first admitted.
    pub fn routed(
        &mut self,
        device: DeviceId,
        offer: &Offer,
        verdict: &Verdict,
        now_ms: u64,
    ) -> u64 {
        let line = (device, offer.to);
        self.make_room(line, now_ms);
        let before = self.records.get(&line).map(|record| record.at_ms);
        let record = self.records.entry(line).or_insert_with(|| Record::new(offer, now_ms));
        match verdict {
            Verdict::Again => {
                record.repeats += 1;
                record.state = State::Admitted;
            }
            Verdict::Resubmitted => record.resubmit(offer, now_ms),
            _ => record.replace(offer, now_ms),
        }
        record.routed_ms = now_ms;
        record.under_way += 1;
        let at_ms = record.at_ms;
        if before != Some(at_ms) {
            self.order.push_back((at_ms, line));
        }
        if self.order.len() > 2 * self.records.len() + 64 {
            let records = &self.records;
            self.order.retain(|(at, line)| records.get(line).is_some_and(|r| r.at_ms == *at));
        }
        at_ms
    }

    /// Custody of a message is complete: from now on its repeats get this answer. Whether it is the
    /// one that counts: not if another flight of the message was answered first, or the sender has
    /// gone on.
    pub fn accepted(&mut self, device: DeviceId, to: UserId, answer: Arc<Accepted>) -> bool {
        let Some(record) = self.records.get_mut(&(device, to)) else { return false };
        record.under_way = record.under_way.saturating_sub(1);
        // A message encrypted twice under one number (DELIVERY, interleaving q): the first that
        // completes is the answer.
        if record.sn != answer.sn || record.answer().is_some() {
            return false;
        }
        record.mid = answer.mid;
        record.state = State::Accepted(answer);
        true
    }

    /// Custody ended in a reject: the sender may go on.
    pub fn refused(&mut self, device: DeviceId, to: UserId, sn: u64) {
        let Some(record) = self.records.get_mut(&(device, to)) else { return };
        record.under_way = record.under_way.saturating_sub(1);
        if record.sn == sn && record.state == State::Admitted {
            record.state = State::Refused;
        }
    }

    /// A flight of a message of `device` is over without an answer.
    pub fn landed(&mut self, device: DeviceId, to: UserId) {
        if let Some(record) = self.records.get_mut(&(device, to)) {
            record.under_way = record.under_way.saturating_sub(1);
        }
    }

    /// Forgets what is too old at `now_ms`.
    pub fn expire(&mut self, now_ms: u64) {
        while let Some(&(at_ms, line)) = self.order.front() {
            let current = self.records.get(&line).is_some_and(|r| r.at_ms == at_ms);
            if current && at_ms + self.remember_ms > now_ms {
                return;
            }
            if current {
                self.records.remove(&line);
            }
            self.order.pop_front();
        }
    }

    /// Forgets everything: the queue store has lost what it knew.
    pub fn clear(&mut self) {
        self.records.clear();
        self.order.clear();
    }

    /// The number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn make_room(&mut self, line: (DeviceId, UserId), now_ms: u64) {
        self.expire(now_ms);
        while self.records.len() >= self.most && !self.records.contains_key(&line) {
            let Some((at_ms, oldest)) = self.order.pop_front() else { return };
            if self.records.get(&oldest).is_some_and(|r| r.at_ms == at_ms) {
                self.records.remove(&oldest);
            }
        }
    }

    fn look_again(record: Option<&Record>, r#gen: Gen, offer: &Offer, now_ms: u64) -> Verdict {
        let again = record.and_then(|record| record.again.as_ref());
        let Some(again) = again.filter(|again| again.r#gen == r#gen) else {
            return Verdict::Resubmitted;
        };
        let in_second = if again.is_in_second(now_ms) { again.in_second } else { 0 };
        if in_second >= AGAIN_PER_SECOND {
            return Verdict::resubmitted_too_soon(again.second_ms + 1_000 - now_ms);
        }
        // Counted by number: one that is encrypted again counts once, and its bytes twice.
        let seen = again.seen.get(&offer.sn);
        let full = (seen.is_none() && again.seen.len() >= AGAIN_MESSAGES)
            || (seen != Some(&offer.mid) && again.bytes + offer.size > AGAIN_BYTES);
        if full {
            return Verdict::resubmitted_too_much();
        }
        Verdict::Resubmitted
    }
}

impl Resubmissions {
    /// Not if the clock was put back since.
    fn is_in_second(&self, now_ms: u64) -> bool {
        (self.second_ms..self.second_ms + 1_000).contains(&now_ms)
    }
}

impl Record {
    fn new(offer: &Offer, now_ms: u64) -> Self {
        Self {
            sn: offer.sn,
            mid: offer.mid,
            hash: offer.hash,
            epoch: offer.epoch,
            counter: offer.counter,
            state: State::Admitted,
            under_way: 0,
            at_ms: now_ms,
            routed_ms: now_ms,
            repeats: 0,
            again: None,
        }
    }

    /// Whether a flight of its message may still bring it anywhere. A clock that was put back holds
    /// nothing up.
    fn is_under_way(&self, now_ms: u64) -> bool {
        let counts = self.routed_ms..self.routed_ms + UNDER_WAY_MS;
        self.state == State::Admitted && self.under_way > 0 && counts.contains(&now_ms)
    }

    const fn answer(&self) -> Option<&Arc<Accepted>> {
        match &self.state {
            State::Accepted(answer) => Some(answer),
            State::Admitted | State::Refused => None,
        }
    }

    fn replace(&mut self, offer: &Offer, now_ms: u64) {
        let same = self.sn == offer.sn;
        let (under_way, again, at_ms) = (self.under_way, self.again.take(), self.at_ms);
        *self = Self::new(offer, now_ms);
        self.under_way = under_way;
        self.again = again;
        if same {
            self.at_ms = at_ms;
        }
    }

    fn resubmit(&mut self, offer: &Offer, now_ms: u64) {
        let Some(r#gen) = offer.re else { return };
        let fresh = || {
            let seen = BTreeMap::new();
            Box::new(Resubmissions { r#gen, seen, bytes: 0, second_ms: now_ms, in_second: 0 })
        };
        let mut again =
            self.again.take().filter(|again| again.r#gen == r#gen).unwrap_or_else(fresh);
        if again.seen.insert(offer.sn, offer.mid) != Some(offer.mid) {
            again.bytes += offer.size;
        }
        if !again.is_in_second(now_ms) {
            again.second_ms = now_ms;
            again.in_second = 0;
        }
        again.in_second += 1;
        if offer.sn >= self.sn {
            self.replace(offer, now_ms);
        }
        self.again = Some(again);
    }

    fn repeat(&self, now_ms: u64) -> Verdict {
        let fast = self.repeats < REPEATS_FAST;
        let every_ms = if fast { REPEAT_EVERY_MS } else { REPEAT_SLOWLY_MS };
        let due_ms = self.routed_ms + every_ms;
        // A clock that was put back holds nothing up.
        if now_ms >= due_ms || now_ms < self.routed_ms {
            return Verdict::Again;
        }
        Verdict::repeated_too_soon(due_ms - now_ms, every_ms)
    }
}

#[cfg(test)]
mod tests;
