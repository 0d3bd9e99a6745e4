//! An epoch as it is posted: parsed once, checked against what stands (CRYPTO 10), handed on.

use std::sync::Arc;

use hushwire_identity::{
    Current, DeviceLog, EpochHeader, PostError, Posting, PrekeyRecord, check_post,
};
use hushwire_schema::{EpochRow, PairKeys, SideKeys, WrapRow};
use hushwire_wire::http::{NewEpoch, ProblemCode};
use hushwire_wire::{DeviceId, EpochId};

use super::caller::Caller;
use super::logs::Logs;
use super::problem::{Bound, Refusal};
use crate::settings::Limits;

/// How often a post is checked again because something changed while it was checked.
pub(super) const TRIES: usize = 4;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A posted epoch.
#[derive(Debug)]
pub(super) struct Post<'a> {
    pub(super) id: EpochId,
    pub(super) header: EpochHeader,
    posted: &'a NewEpoch,
    sizes: Vec<(DeviceId, usize)>,
    caller: Caller,
    now_ms: u64,
}

impl<'a> Post<'a> {
    /// Reads the header.
    pub(super) fn parse(
        posted: &'a NewEpoch,
        caller: Caller,
        now_ms: u64,
    ) -> Result<Self, Refusal> {
        let header = EpochHeader::parse(posted.header.as_bytes())
            .map_err(|error| Refusal::field("epoch.header", error.to_string()))?;
        let sizes = posted.wraps.iter().map(|wrap| (wrap.device, wrap.wrap.len())).collect();
        Ok(Self { id: header.id(), header, posted, sizes, caller, now_ms })
    }

    /// Whether it stands already: a post whose answer was lost.
    pub(super) fn is_newest(&self, keys: &PairKeys) -> bool {
        keys.newest.as_ref().is_some_and(|newest| newest.id == self.id)
    }

    /// 409 with what stands.
    pub(super) fn conflict(keys: &PairKeys) -> Refusal {
        let detail = "Another epoch took this number. Verify it and go on under it.";
        Refusal::new(ProblemCode::EpochConflict, detail).standing(standing(keys))
    }

    /// Everything that the server checks but rates: pair, order, heads, roster, prekeys, suite,
    /// creator and wraps.
    pub(super) fn check(
        &self,
        logs: &Logs,
        keys: &PairKeys,
        prev: [u8; 32],
    ) -> Result<(), Refusal> {
        let (creator, now_ms) = (self.caller.device, self.now_ms);
        let posting = Posting { creator, n: keys.next_n, prev, wraps: &self.sizes, now_ms };
        let a = Side::verify(logs, &keys.a)?;
        let b = keys.b.as_ref().map(|keys| Side::verify(logs, keys)).transpose()?;
        let b = b.as_ref().map(Side::current);
        let checked = check_post(&self.header, &posting, &a.current(), b.as_ref());
        checked.map_err(|error| refuse(error, keys))
    }

    /// How often one side may post while nothing changed that asks for a new epoch.
    pub(super) fn check_rate(&self, keys: &PairKeys, limits: &Limits) -> Result<(), Refusal> {
        let Some(newest) = &keys.newest else { return Ok(()) };
        let newest = EpochHeader::parse(&newest.header).map_err(Refusal::internal)?;
        let same = (newest.a, newest.b) == (self.header.a, self.header.b)
            && newest.roster == self.header.roster;
        if !same {
            return Ok(());
        }
        for (rule, bound, span, words) in [
            ("limits.epochs_per_hour", limits.epochs_per_hour, HOUR_MS, "an hour"),
            ("limits.epochs_per_day", limits.epochs_per_day, DAY_MS, "a day"),
        ] {
            let within = |at: &&u64| at.saturating_add(span) > self.now_ms;
            let posted: Vec<_> = keys.posted_ms.iter().filter(within).collect();
            let used = posted.len();
            let Some(oldest) =
                usize::try_from(bound).ok().filter(|bound| *bound > 0 && used >= *bound)
            else {
                continue;
            };
            // The newest first: when this one is too old to count, there is room again.
            let frees = posted.get(oldest - 1).map_or(self.now_ms, |at| at.saturating_add(span));
            let words = format!(
                "Epochs of one contact in {words}, while neither devices nor prekeys changed"
            );
            let used = u32::try_from(used).unwrap_or(u32::MAX);
            let retry_after_ms = frees.saturating_sub(self.now_ms).max(1);
            return Err(Refusal::rate(&words, Bound::new(rule, bound, used), retry_after_ms));
        }
        Ok(())
    }

    /// For the store.
    pub(super) fn new_epoch(&self) -> hushwire_schema::NewEpoch {
        let wrapped = self.header.roster.iter().filter(|slot| slot.is_wrapped());
        let wrap = |wrap: &hushwire_wire::http::Wrap| WrapRow {
            device: wrap.device,
            wrap: wrap.wrap.as_bytes().to_vec(),
        };
        hushwire_schema::NewEpoch {
            id: self.id,
            n: self.header.n,
            creator: self.caller.user,
            header: self.posted.header.as_bytes().to_vec(),
            wraps: self.posted.wraps.iter().map(wrap).collect(),
            named: wrapped.map(|slot| (slot.device, slot.prekey)).collect(),
            now_ms: self.now_ms,
        }
    }
}

/// A side's log and prekey records, read and verified.
struct Side {
    log: Arc<DeviceLog>,
    prekeys: Vec<PrekeyRecord>,
}

impl Side {
    fn verify(logs: &Logs, keys: &SideKeys) -> Result<Self, Refusal> {
        let log = logs.verified(keys.user, &keys.log).map_err(Refusal::internal)?;
        let prekeys = keys.prekeys.iter().map(|record| PrekeyRecord::parse(record));
        let prekeys = prekeys.collect::<Result<_, _>>().map_err(Refusal::internal)?;
        Ok(Self { log, prekeys })
    }

    fn current(&self) -> Current<'_> {
        Current { log: &self.log, prekeys: &self.prekeys }
    }
}

fn standing(keys: &PairKeys) -> Option<Vec<u8>> {
    keys.newest.as_ref().map(|EpochRow { header, .. }| header.clone())
}

fn refuse(error: PostError, keys: &PairKeys) -> Refusal {
    let detail = format!("It must be made again: {error}.");
    match error {
        PostError::Order => Refusal::new(
            ProblemCode::EpochConflict,
            "Number or predecessor do not follow what stands. Verify that and go on under it.",
        )
        .standing(standing(keys)),
        PostError::Head | PostError::Prekey | PostError::Time => {
            Refusal::new(ProblemCode::EpochStale, detail).standing(standing(keys))
        }
        PostError::Pair | PostError::Roster | PostError::Creator => {
            Refusal::new(ProblemCode::EpochRoster, detail)
        }
        PostError::Suite => {
            Refusal::field("epoch.header", "the best suite that all wrapped devices share")
        }
        PostError::Wraps => Refusal::field(
            "epoch.wraps",
            "one for each other wrapped device, in roster order, of the suite's size",
        ),
    }
}

#[cfg(test)]
mod tests;
