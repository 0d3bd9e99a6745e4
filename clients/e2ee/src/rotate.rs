//! When the next epoch is due (CRYPTO 5, R1 to R3). The sender asks before each send.
//!
//! What calls for a new epoch from outside, a fork, a broken wrap or a person's wish (R4), is the
//! caller's to know.

use hushwire_identity::post::newest;
use hushwire_identity::{Reason, Side, day_of};

use crate::epoch::Party;
use crate::state::EpochState;

/// After so many milliseconds a fresher prekey calls for the next epoch (R3): 12 h.
pub const FRESHER_AFTER_MS: u64 = 12 * 3_600_000;

impl EpochState {
    /// Why the next epoch is due at `now_ms`, if it is; the prekeys in `mine` and `peer` are the
    /// newest that are known, verified. The first of:
    /// - R1: a log has moved on from the header, or a device that was stale has a usable prekey;
    /// - R2: [`Self::is_worn`];
    /// - R3: the epoch is 12 h old and some device has a newer prekey than the one it names.
    #[must_use]
    pub fn due(&self, mine: &Party<'_>, peer: Option<&Party<'_>>, now_ms: u64) -> Option<Reason> {
        let header = self.header();
        let party_of = |side| {
            let user = header.user(side)?;
            [Some(mine), peer].into_iter().flatten().find(|party| party.log.user() == user)
        };
        let moved = |side, point| party_of(side).is_some_and(|party| party.log.point() != point);
        if moved(Side::A, header.a) || header.b.is_some_and(|b| moved(Side::B, b)) {
            return Some(Reason::Devices);
        }
        let today = day_of(now_ms);
        let mut fresher = false;
        for slot in &header.roster {
            let Some(party) = party_of(slot.side) else { continue };
            let records = party.prekeys.iter().map(|prekey| &prekey.record);
            let Some(record) = newest(records, &slot.device) else { continue };
            if !slot.is_wrapped() && record.usable_on(today) {
                return Some(Reason::Devices);
            }
            fresher |= slot.is_wrapped() && record.id > slot.prekey;
        }
        if self.is_worn(now_ms) {
            return Some(Reason::Age);
        }
        let age = now_ms.saturating_sub(header.created_ms);
        (fresher && age >= FRESHER_AFTER_MS).then_some(Reason::Prekey)
    }
}
