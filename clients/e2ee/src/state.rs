//! The keys of one epoch on one device: chains, tag keys, skipped keys (CRYPTO 5, 6).
//!
//! It is a plain value that moves only by [`EpochState::seal`] and [`EpochState::open`], and has
//! bytes for an encrypted store. Skipped keys are bounded by [`SKIPPED_MAX`]; past it the oldest
//! go, ephemeral ones first.

use std::collections::BTreeMap;
use std::fmt;

use hushwire_identity::epoch::Slot;
use hushwire_identity::{EpochHeader, Suite};
use hushwire_wire::layout::{LayoutError, Reader, Writer};
use hushwire_wire::message::LANE_DURABLE;
use hushwire_wire::{DeviceId, EpochId};
use zeroize::Zeroizing;

use crate::seal;
use crate::secret::Secret;

/// Skipped keys of a pair, at most (CRYPTO 6).
pub const SKIPPED_MAX: usize = 2048;
/// How long a skipped key is kept, in milliseconds: 7 days.
pub const SKIPPED_KEPT_MS: u64 = 7 * 86_400_000;
/// After so many durable messages of a device the next epoch is due (R2).
pub const MESSAGES_MAX: u32 = 512;
/// After so many milliseconds the next epoch is due (R2): 7 days.
pub const AGE_MAX_MS: u64 = 7 * 86_400_000;

/// Counters of the own lane 1 that one storing of the state covers (CRYPTO 7). A restart gives up
/// what is left of them; a recipient passes over them like over messages that were lost.
pub const RESERVED: u32 = 64;

const LANES: usize = 2;
const NOTHING_LOST: u32 = u32::MAX;

/// The keys of one epoch on one device. Erased when dropped; `Debug` shows counts alone.
#[derive(Clone, PartialEq, Eq)]
pub struct EpochState {
    header: EpochHeader,
    id: EpochId,
    me: u8,
    /// One for each roster device; `None` for a stale one, which takes no part.
    members: Vec<Option<Member>>,
    /// The own lane-1 chain at the end of what is reserved: what the store gets in the place of
    /// the chain itself. `None` while nothing is reserved.
    reserved: Option<Chain>,
    /// By (sender, lane, counter): `SK` of that counter, and when it was passed.
    skipped: BTreeMap<(u8, u8, u32), (Secret<32>, u64)>,
}

/// One device's chains, and the tag keys between it and this one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    lanes: [Chain; LANES],
    /// `None` for this device itself.
    tags: Option<TagKeys>,
    /// The lowest lane-0 counter whose key was given up, never to be received.
    lost: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Chain {
    key: Secret<32>,
    next: u32,
}

impl Chain {
    /// Moves past one message; the last counter is the end.
    fn step(&mut self) {
        self.key = seal::next_chain_key(&self.key);
        self.next = self.next.saturating_add(1);
    }
}

/// `M[me->j]` and `M[j->me]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TagKeys {
    pub(crate) send: Secret<32>,
    pub(crate) receive: Secret<32>,
}

impl fmt::Debug for EpochState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochState")
            .field("header", &self.header)
            .field("sent", &self.sent())
            .field("skipped", &self.skipped())
            .finish_non_exhaustive()
    }
}

/// What opening a message does to its sender's chain.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// It uses a skipped key up.
    Late { sender: u8, lane: u8, counter: u32, key: Secret<32> },
    /// It moves the chain past `counter`, leaving the keys of those in between.
    Forward {
        sender: u8,
        lane: u8,
        counter: u32,
        key: Secret<32>,
        /// The chain's key after it.
        next: Secret<32>,
        passed: Vec<(u32, Secret<32>)>,
    },
}

impl Step {
    /// The key for the message at its counter.
    pub(crate) const fn key(&self) -> &Secret<32> {
        match self {
            Self::Late { key, .. } | Self::Forward { key, .. } => key,
        }
    }
}

impl EpochState {
    /// Derives all chains from the epoch's key. `tags` gives the tag keys for each index but
    /// `me`; it is asked for wrapped devices only.
    pub(crate) fn derive<E>(
        header: EpochHeader,
        me: u8,
        epoch_key: &Secret<32>,
        mut tags: impl FnMut(&Slot) -> Result<TagKeys, E>,
    ) -> Result<Self, E> {
        let id = header.id();
        let mut members = Vec::with_capacity(header.roster.len());
        for (i, slot) in header.roster.iter().enumerate() {
            if !slot.is_wrapped() {
                members.push(None);
                continue;
            }
            let chain =
                |lane| Chain { key: seal::chain_key(epoch_key, &id, &slot.device, lane), next: 0 };
            let tags = if i == usize::from(me) { None } else { Some(tags(slot)?) };
            let lanes = [chain(0), chain(1)];
            members.push(Some(Member { lanes, tags, lost: NOTHING_LOST }));
        }
        Ok(Self { header, id, me, members, reserved: None, skipped: BTreeMap::new() })
    }

    /// The epoch's id.
    #[must_use]
    pub const fn id(&self) -> EpochId {
        self.id
    }

    /// The epoch's header.
    #[must_use]
    pub const fn header(&self) -> &EpochHeader {
        &self.header
    }

    /// This device's index in the roster.
    #[must_use]
    pub const fn me(&self) -> u8 {
        self.me
    }

    /// The suite.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.header.suite
    }

    /// The devices that a message of this device goes to, in the order of its tags.
    #[must_use]
    pub fn targets(&self) -> Vec<DeviceId> {
        self.header.targets(self.me).map(|slot| slot.device).collect()
    }

    /// Durable messages sent in this epoch: the next lane-0 counter.
    #[must_use]
    pub fn sent(&self) -> u32 {
        self.chain_of(self.me, LANE_DURABLE).map_or(0, |(_, next)| next)
    }

    /// For [`crate::Content::seen`]: for each roster device the lane-0 messages received without
    /// a gap; in the own place, those sent.
    #[must_use]
    pub fn seen(&self) -> Vec<u32> {
        let without_gap = |(i, member): (u8, &Option<Member>)| {
            let Some(Member { lanes: [durable, _], lost, .. }) = member else { return 0 };
            let missing = self.skipped.range((i, LANE_DURABLE, 0)..=(i, LANE_DURABLE, u32::MAX));
            let first = missing.map(|((_, _, counter), _)| *counter).next();
            durable.next.min(*lost).min(first.unwrap_or(u32::MAX))
        };
        (0..).zip(&self.members).map(without_gap).collect()
    }

    /// Whether it is time for the next epoch by age or count (CRYPTO 5, R2): 7 days old by
    /// `now_ms`, or 512 durable messages sent.
    #[must_use]
    pub fn is_worn(&self, now_ms: u64) -> bool {
        self.sent() >= MESSAGES_MAX || now_ms.saturating_sub(self.header.created_ms) >= AGE_MAX_MS
    }

    /// Skipped keys that are kept.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.skipped.len()
    }

    /// Drops skipped keys of 7 days and more by `now_ms` and gives their number.
    pub fn expire(&mut self, now_ms: u64) -> usize {
        let old: Vec<_> = self
            .skipped
            .iter()
            .filter(|(_, (_, at))| now_ms.saturating_sub(*at) >= SKIPPED_KEPT_MS)
            .map(|(key, _)| *key)
            .collect();
        for key in &old {
            self.give_up(*key);
        }
        old.len()
    }

    /// The own chain's key and counter; `None` when its last counter is used.
    pub(crate) fn sending(&self, lane: u8) -> Option<(&Secret<32>, u32)> {
        self.chain_of(self.me, lane).filter(|(_, next)| *next != u32::MAX)
    }

    /// `M[me->j]` of all targets, in roster order.
    pub(crate) fn sending_tags(&self) -> impl Iterator<Item = &Secret<32>> {
        self.members.iter().flatten().filter_map(|member| Some(&member.tags.as_ref()?.send))
    }

    /// Moves the own chain past the message just sealed, and gives whether the state must be
    /// stored before that leaves: always on lane 0, once in [`RESERVED`] messages on lane 1.
    pub(crate) fn sent_one(&mut self, lane: u8) -> bool {
        let Some(chain) = self.chain_mut(self.me, lane) else { return true };
        chain.step();
        if lane == LANE_DURABLE {
            return true;
        }
        let (next, mut ahead) = (chain.next, chain.clone());
        if self.reserved.as_ref().is_some_and(|reserved| next <= reserved.next) {
            return false;
        }
        while ahead.next - next < RESERVED - 1 && ahead.next != u32::MAX {
            ahead.step();
        }
        self.reserved = Some(ahead);
        true
    }

    /// The roster slot of a sender and `M[sender->me]`; `None` for this device itself, a stale
    /// one, or none.
    pub(crate) fn receiving_from(&self, sender: u8) -> Option<(&Slot, &Secret<32>)> {
        let member = self.members.get(usize::from(sender))?.as_ref()?;
        let slot = self.header.roster.get(usize::from(sender))?;
        Some((slot, &member.tags.as_ref()?.receive))
    }

    /// A chain's key and its next counter.
    pub(crate) fn chain_of(&self, sender: u8, lane: u8) -> Option<(&Secret<32>, u32)> {
        let member = self.members.get(usize::from(sender))?.as_ref()?;
        let chain = member.lanes.get(usize::from(lane))?;
        Some((&chain.key, chain.next))
    }

    fn chain_mut(&mut self, sender: u8, lane: u8) -> Option<&mut Chain> {
        let member = self.members.get_mut(usize::from(sender))?.as_mut()?;
        member.lanes.get_mut(usize::from(lane))
    }

    /// The key kept for a counter that was passed and not yet used.
    pub(crate) fn skipped_key(&self, sender: u8, lane: u8, counter: u32) -> Option<&Secret<32>> {
        self.skipped.get(&(sender, lane, counter)).map(|(key, _)| key)
    }

    /// Takes a step whose message was opened.
    pub(crate) fn take(&mut self, step: Step, now_ms: u64, others: &mut [Self]) {
        match step {
            Step::Late { sender, lane, counter, .. } => {
                self.skipped.remove(&(sender, lane, counter));
            }
            Step::Forward { sender, lane, counter, next, passed, .. } => {
                if let Some(chain) = self.chain_mut(sender, lane) {
                    chain.key = next;
                    chain.next = counter.saturating_add(1);
                }
                for (counter, key) in passed {
                    self.skipped.insert((sender, lane, counter), (key, now_ms));
                }
                self.bound_skipped(others);
            }
        }
    }

    /// Past the bound the oldest go, wherever they are kept, those of lane 1 first.
    fn bound_skipped(&mut self, others: &mut [Self]) {
        let kept = self.skipped() + others.iter().map(Self::skipped).sum::<usize>();
        let excess = kept.saturating_sub(SKIPPED_MAX);
        if excess == 0 {
            return;
        }
        let mut order = Vec::with_capacity(kept);
        for (i, state) in std::iter::once(&*self).chain(&*others).enumerate() {
            let ages =
                state.skipped.iter().map(|(key, (_, at))| (key.1 == LANE_DURABLE, *at, *key));
            order.extend(ages.map(|(durable, at, key)| (durable, at, key.2, key.0, i, key)));
        }
        order.sort_unstable();
        for (.., i, key) in order.into_iter().take(excess) {
            match i.checked_sub(1).and_then(|i| others.get_mut(i)) {
                Some(other) => other.give_up(key),
                None => self.give_up(key),
            }
        }
    }

    fn give_up(&mut self, key: (u8, u8, u32)) {
        let (sender, lane, counter) = key;
        self.skipped.remove(&key);
        if lane == LANE_DURABLE
            && let Some(Some(member)) = self.members.get_mut(usize::from(sender))
        {
            member.lost = member.lost.min(counter);
        }
    }

    /// The state for the encrypted store, with the own lane-1 chain at the end of what is
    /// reserved:
    /// ```text
    /// u8 ver=1 | v16 header | u8 me
    /// | for each wrapped device: 2 * (b32 key | u32 next) | u32 lost | others: b32 send | b32 receive
    /// | u16 k | k * (u8 sender | u8 lane | u32 counter | b32 key | u64 at_ms)
    /// ```
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let header = self.header.to_bytes();
        // The whole size, so that no half-written secret is left behind by growing.
        let size = 6 + header.len() + 140 * self.members.len() + 46 * self.skipped.len();
        let mut w = Writer::with_capacity(size);
        w.u8(1).v16(&header).u8(self.me);
        for member in self.members.iter().flatten() {
            let [durable, ephemeral] = &member.lanes;
            let ephemeral = match &self.reserved {
                Some(reserved) if member.tags.is_none() => reserved,
                _ => ephemeral,
            };
            for chain in [durable, ephemeral] {
                w.raw(chain.key.get()).u32(chain.next);
            }
            w.u32(member.lost);
            if let Some(tags) = &member.tags {
                w.raw(tags.send.get()).raw(tags.receive.get());
            }
        }
        w.u16(u16::try_from(self.skipped.len()).unwrap_or(u16::MAX));
        for ((sender, lane, counter), (key, at)) in &self.skipped {
            w.u8(*sender).u8(*lane).u32(*counter).raw(key.get()).u64(*at);
        }
        Zeroizing::new(w.finish())
    }

    /// Reads [`Self::to_bytes`].
    ///
    /// # Errors
    /// For another version or anything that is not laid out as written.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LayoutError> {
        let mut r = Reader::new(bytes);
        if r.u8("state.ver")? != 1 {
            return Err(LayoutError::new("state.ver", "1"));
        }
        let header = EpochHeader::parse(r.v16("state.header")?)?;
        let me = r.u8("state.me")?;
        if !header.roster.get(usize::from(me)).is_some_and(Slot::is_wrapped) {
            return Err(LayoutError::new("state.me", "a wrapped device"));
        }
        let mut members = Vec::with_capacity(header.roster.len());
        for (i, slot) in header.roster.iter().enumerate() {
            let member = if slot.is_wrapped() {
                Some(read_member(&mut r, i == usize::from(me))?)
            } else {
                None
            };
            members.push(member);
        }
        let (id, skipped) = (header.id(), BTreeMap::new());
        let mut state = Self { header, id, me, members, reserved: None, skipped };
        let count = usize::from(r.u16("state.skipped")?);
        if count > SKIPPED_MAX {
            return Err(LayoutError::new("state.skipped", "at most 2048"));
        }
        for _ in 0..count {
            state.read_skipped(&mut r)?;
        }
        r.finish("state")?;
        Ok(state)
    }

    fn read_skipped(&mut self, r: &mut Reader<'_>) -> Result<(), LayoutError> {
        let sender = r.u8("state.skipped.sender")?;
        let lane = r.u8("state.skipped.lane")?;
        let counter = r.u32("state.skipped.counter")?;
        let key = Secret::new(r.array("state.skipped.key")?);
        let at = r.u64("state.skipped.at")?;
        let passed = sender != self.me
            && self.chain_of(sender, lane).is_some_and(|(_, next)| counter < next);
        let after = self.skipped.last_key_value().is_none_or(|(k, _)| *k < (sender, lane, counter));
        if !passed || !after {
            return Err(LayoutError::new("state.skipped", "passed counters, sorted"));
        }
        self.skipped.insert((sender, lane, counter), (key, at));
        Ok(())
    }
}

fn read_member(r: &mut Reader<'_>, is_me: bool) -> Result<Member, LayoutError> {
    let mut chain = || -> Result<Chain, LayoutError> {
        Ok(Chain { key: Secret::new(r.array("state.chain")?), next: r.u32("state.next")? })
    };
    let lanes = [chain()?, chain()?];
    let lost = r.u32("state.lost")?;
    if lost != NOTHING_LOST && (is_me || lost >= lanes[0].next) {
        return Err(LayoutError::new("state.lost", "a passed counter of another device"));
    }
    let tags = if is_me {
        None
    } else {
        let send = Secret::new(r.array("state.send")?);
        Some(TagKeys { send, receive: Secret::new(r.array("state.receive")?) })
    };
    Ok(Member { lanes, tags, lost })
}
