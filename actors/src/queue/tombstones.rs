//! Devices that were revoked: nothing is written for them any more, and none attaches.
//!
//! A tombstone stays for as long as the generation lives. At the bound the oldest makes place, if
//! it is older than [`AN_HOUR_MS`]: by then nothing that knew the device as good is under way, and
//! sign-in asks the database, too. With none so old there is no place, and the caller hears it.

use std::collections::{HashSet, VecDeque};

use hushwire_wire::DeviceId;

use crate::ports::Unavailable;

/// Longer than any send, sign-in or cached pair lives, in milliseconds.
pub(super) const AN_HOUR_MS: u64 = 3_600_000;

/// The set.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    devices: HashSet<DeviceId>,
    /// Oldest first.
    order: VecDeque<(u64, DeviceId)>,
}

impl Tombstones {
    /// Sets one at `now_ms`; again it changes nothing.
    ///
    /// # Errors
    /// If there are `most`, all younger than an hour.
    pub(super) fn set(
        &mut self,
        device: DeviceId,
        most: usize,
        now_ms: u64,
    ) -> Result<(), Unavailable> {
        if self.devices.contains(&device) {
            return Ok(());
        }
        while self.devices.len() >= most.max(1) {
            match self.order.front().copied() {
                Some((at_ms, oldest)) if at_ms + AN_HOUR_MS <= now_ms => {
                    self.devices.remove(&oldest);
                    self.order.pop_front();
                }
                _ => return Err(Unavailable),
            }
        }
        self.devices.insert(device);
        self.order.push_back((now_ms, device));
        Ok(())
    }

    /// Whether a device was revoked.
    pub(super) fn has(&self, device: &DeviceId) -> bool {
        self.devices.contains(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_bound_only_an_old_one_makes_place() {
        let mut tombstones = Tombstones::default();
        let device = |k: u8| DeviceId([k; 16]);
        for k in 0..3 {
            assert_eq!(tombstones.set(device(k), 3, u64::from(k)), Ok(()));
        }
        assert_eq!(tombstones.set(device(3), 3, AN_HOUR_MS - 1), Err(Unavailable));
        assert!(!tombstones.has(&device(3)) && tombstones.has(&device(0)));
        assert_eq!(tombstones.set(device(0), 3, 9), Ok(()), "it is there");
        assert_eq!(tombstones.set(device(3), 3, AN_HOUR_MS), Ok(()));
        assert!(tombstones.has(&device(3)) && !tombstones.has(&device(0)));
        assert_eq!((tombstones.devices.len(), tombstones.order.len()), (3, 3));
    }
}
