//! The calls of one shard of pairs: where a step finds its call, and what two calls do to each
//! other.
//!
//! A plain value. Calls are found by their pair and id, so that an id that somebody else knows, or
//! uses again, reaches nothing. All calls of a pair are in one shard, which is why it can see
//! glare: of two that ring in opposite directions the bytewise lower id goes on.

use std::collections::BTreeMap;

use hushwire_wire::frame::{Call as Frame, CallAct};
use hushwire_wire::{CallId, Conn, DeviceId, Reject, UserId};

use super::{Call, Goes, Patience, Step, Tell};
use crate::presence::{Pair, pair};

/// What a caller is told if there is no room for its call, in milliseconds.
const FULL_RETRY_MS: u64 = 5_000;

/// Calls of one pair at a time: a contact with many devices must not take all the calls that a
/// user may have.
pub const PAIR_MAX: usize = 2;

/// What came of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// What devices must hear, in order.
    pub tell: Vec<Tell>,
    /// Users of calls that are over, one entry for each call.
    pub over: Vec<(UserId, UserId)>,
    /// Users of a call that began.
    pub began: Option<(UserId, UserId)>,
}

/// The calls of a shard, at most `most`.
#[derive(Clone, Debug)]
pub struct Exchange {
    calls: BTreeMap<(Pair, CallId), Call>,
    patience: Patience,
    most: usize,
}

impl Exchange {
    /// Without a call.
    #[must_use]
    pub const fn new(most: usize, patience: Patience) -> Self {
        Self { calls: BTreeMap::new(), patience, most }
    }

    /// A step of a device. `room`: whether both users of a new call have room for it.
    ///
    /// # Errors
    /// [`Reject::Forbidden`] for a step that the device may not take; [`Reject::Unavailable`] for
    /// a call that has no room.
    pub fn step(
        &mut self,
        step: Step,
        now_ms: u64,
        room: impl FnOnce() -> bool,
    ) -> Result<Effects, Reject> {
        let key = (pair(step.from, step.to), step.call_id);
        let mut effects = Effects::default();
        if let Some(call) = self.calls.get_mut(&key) {
            if call.step(&step, &mut effects.tell)? == Goes::Over {
                self.remove(&key, &mut effects);
            }
            return Ok(effects);
        }
        if step.act != CallAct::Ring {
            return Err(Reject::Forbidden {});
        }
        if self.loses_glare(&step) {
            effects.tell.push(lost(&step));
            return Ok(effects);
        }
        // What it takes the place of gives its room.
        let replaced = self.replaced(&step);
        let of_pair = self.of_pair(key.0).count();
        let full = || of_pair >= PAIR_MAX || self.calls.len() >= self.most || !room();
        if replaced.is_empty() && full() {
            return Err(Reject::Unavailable { retry_after_ms: FULL_RETRY_MS });
        }
        for old in replaced {
            if let Some(call) = self.calls.get(&old) {
                call.end(&mut effects.tell);
            }
            self.remove(&old, &mut effects);
        }
        effects.began = Some((step.from, step.to));
        let call = Call::ring(step, now_ms, &mut effects.tell);
        self.calls.insert(key, call);
        Ok(effects)
    }

    /// A device signed in.
    pub fn came(&mut self, user: UserId, device: DeviceId, conn: Conn) -> Effects {
        let mut effects = Effects::default();
        for call in self.calls.values_mut() {
            call.back(user, device, conn, &mut effects.tell);
        }
        effects
    }

    /// A connection ended. `newer` is the one that its device has already, if it has.
    pub fn left(&mut self, conn: Conn, newer: Option<Conn>, now_ms: u64) {
        self.calls.values_mut().for_each(|call| call.gone(conn, newer, now_ms));
    }

    /// Two users are no contacts any more: their calls are over.
    pub fn parted(&mut self, pair: Pair) -> Effects {
        self.end_if(|key, _, _| key.0 == pair)
    }

    /// Time passed.
    pub fn tick(&mut self, now_ms: u64) -> Effects {
        self.end_if(|_, call, patience| call.until_ms(patience) <= now_ms)
    }

    /// When [`Exchange::tick`] has something to do.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        self.calls.values().map(|call| call.until_ms(&self.patience)).min()
    }

    /// Whose calls are under way, each call's pair once.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = Pair> + '_ {
        self.calls.keys().map(|(pair, _)| *pair)
    }

    /// Whether this call of a pair is under way.
    #[must_use]
    pub fn knows(&self, pair: Pair, id: CallId) -> bool {
        self.calls.contains_key(&(pair, id))
    }

    /// Calls under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    fn end_if(&mut self, over: impl Fn(&(Pair, CallId), &Call, &Patience) -> bool) -> Effects {
        let mut effects = Effects::default();
        let keys: Vec<_> = self
            .calls
            .iter()
            .filter(|(key, call)| over(key, call, &self.patience))
            .map(|(key, call)| {
                call.end(&mut effects.tell);
                *key
            })
            .collect();
        for key in keys {
            self.remove(&key, &mut effects);
        }
        effects
    }

    fn remove(&mut self, key: &(Pair, CallId), effects: &mut Effects) {
        if let Some(call) = self.calls.remove(key) {
            effects.over.push(call.users());
        }
    }

    fn of_pair(&self, pair: Pair) -> impl Iterator<Item = (&(Pair, CallId), &Call)> {
        let ids = CallId::ZERO..=CallId([u8::MAX; CallId::LEN]);
        self.calls.range((pair, *ids.start())..=(pair, *ids.end()))
    }

    /// Whether the other side rings already, with a lower id.
    fn loses_glare(&self, step: &Step) -> bool {
        let mut all = self.of_pair(pair(step.from, step.to));
        all.any(|(_, call)| call.rings_against(step) && call.id() < step.call_id)
    }

    /// What a new ring ends: calls of this device to this user, and what rings against it.
    fn replaced(&self, step: &Step) -> Vec<(Pair, CallId)> {
        let all = self.of_pair(pair(step.from, step.to));
        let replaced = all.filter(|(_, call)| {
            let redialled = call.users().0 == step.from && call.caller() == step.device;
            redialled || call.rings_against(step)
        });
        replaced.map(|(key, _)| *key).collect()
    }
}

impl Call {
    fn rings_against(&self, step: &Step) -> bool {
        self.is_ringing() && self.users().0 == step.to
    }
}

/// The other side's call goes on; this one never rang.
fn lost(step: &Step) -> Tell {
    let frame = Frame {
        from_user: step.to,
        from_device: DeviceId::ZERO,
        call_id: step.call_id,
        act: CallAct::End,
        msg: None,
    };
    Tell { device: step.device, frame }
}
