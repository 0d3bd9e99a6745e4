//! What a scene looks up in a world to write its next step.

use hushwire_identity::epoch::Slot;
use hushwire_identity::post::{Current, roster};
use hushwire_identity::{DeviceLog, EpochHeader, Prekey, PrekeyRecord, Reason};

use super::step::Pair;
use super::world::{Held, World};
use crate::epoch::Party;
use crate::key::DeviceKey;
use crate::state::EpochState;

impl World {
    pub(in crate::vectors) fn key(&self, device: &str) -> DeviceKey {
        self.device(device).unwrap().key.clone()
    }

    /// A user's log, whole.
    pub(in crate::vectors) fn log(&self, user: &str) -> &DeviceLog {
        self.users[user].log.as_ref().unwrap()
    }

    /// The device's newest prekey.
    pub(in crate::vectors) fn newest_prekey(&self, device: &str) -> &Prekey {
        let device = self.device(device).unwrap();
        let of = |prekey: &&Prekey| prekey.record.device == device.key.device_id();
        let mut prekeys = self.users[&device.user].prekeys.iter();
        prekeys.rfind(of).unwrap()
    }

    /// Number and id of the epoch that the device sends in.
    pub(in crate::vectors) fn current(&self, device: &str, pair: &Pair) -> Option<(u32, [u8; 32])> {
        let held = self.device(device).unwrap().current(pair)?;
        Some((held.state.header().n, held.state.id().0))
    }

    /// The newest request of a pair; zeros for a self-pair.
    pub(in crate::vectors) fn request(&self, pair: &Pair) -> [u8; 32] {
        let of = self.requests.iter().rfind(|(of, _)| of == pair);
        of.map_or([0; 32], |(_, id)| id.0)
    }

    /// What the device counts as seen and as sent before, in the epoch that it sends in.
    pub(in crate::vectors) fn counts(&self, device: &str, pair: &Pair) -> (Vec<u32>, u32) {
        let device = self.device(device).unwrap();
        let Held { state, .. } = device.current(pair).unwrap();
        let before = device.before(pair, state.header().prev);
        (state.seen(), before.map_or(0, |before| before.state.sent()))
    }

    /// The state of the epoch that the device sends in.
    pub(in crate::vectors) fn state(&self, device: &str, pair: &Pair) -> EpochState {
        self.device(device).unwrap().current(pair).unwrap().state.clone()
    }

    /// Both sides as the device knows them, A first.
    fn sides(&self, device: &str, pair: &Pair) -> Vec<Party<'_>> {
        let known = self.parties(self.device(device).unwrap(), pair).unwrap();
        let (mine, peer) = known.unwrap();
        let mut sides = vec![mine];
        sides.extend(peer);
        sides.sort_by_key(|party| party.log.user());
        sides
    }

    /// The header that the device could make next, without a key.
    pub(in crate::vectors) fn next_header(
        &self,
        device: &str,
        pair: &Pair,
        created_ms: u64,
    ) -> EpochHeader {
        let sides = self.sides(device, pair);
        let records: Vec<Vec<PrekeyRecord>> = sides
            .iter()
            .map(|party| party.prekeys.iter().map(|prekey| prekey.record.clone()).collect())
            .collect();
        let current: Vec<_> = sides
            .iter()
            .zip(&records)
            .map(|(party, prekeys)| Current { log: party.log, prekeys })
            .collect();
        let (roster, suite) = roster(&current[0], current.get(1), created_ms).unwrap();
        let id = self.key(device).device_id();
        let creator = roster.iter().position(|slot: &Slot| slot.device == id).unwrap();
        let (n, prev) = match self.current(device, pair) {
            Some((n, id)) => (n + 1, id),
            None => (0, self.request(pair)),
        };
        EpochHeader {
            suite,
            n,
            prev,
            created_ms,
            creator: u8::try_from(creator).unwrap(),
            reason: Reason::Heal,
            a: sides[0].log.point(),
            b: sides.get(1).map(|party| party.log.point()),
            kc: [0; 32],
            roster,
        }
    }
}
