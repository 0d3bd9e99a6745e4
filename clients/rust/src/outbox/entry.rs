//! One message on its way, as the store keeps it.

use hushwire_wire::message::Upload;
use hushwire_wire::{DeviceId, EpochId, Mid, Sealed, UserId};
use serde::{Deserialize, Serialize};

use crate::said::{Id, Said};

/// One message on its way. It is stored as it stands here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// To whom.
    pub to: UserId,
    /// The logical id.
    pub id: Id,
    /// What it says: kept for encrypting again.
    pub said: Said,
    /// When the person sent it, in milliseconds since 1970.
    pub sent_ms: u64,
    /// Its number, once it was encrypted; 0 before.
    pub sn: u64,
    /// The encrypted form. `None`: plaintext that waits.
    pub sent: Option<Sent>,
    /// Every message id used for it.
    pub mids: Vec<Mid>,
    /// The server has it in custody.
    pub accepted: bool,
    /// Devices that need nothing more: they persisted it, were skipped, or it expired for them.
    pub settled: Vec<DeviceId>,
    /// A device of the recipient persisted it.
    pub delivered: bool,
}

/// The encrypted form of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The message's id.
    pub mid: Mid,
    /// CRYPTO 6, `upload`.
    pub upload: Sealed,
    /// Under which epoch.
    pub epoch: EpochId,
    /// The devices that it goes to.
    pub targets: Vec<Target>,
}

/// A device that a message goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Which.
    pub device: DeviceId,
    /// Whether it is the recipient's; else it is an own one.
    pub is_peer: bool,
}

impl Entry {
    pub(super) fn is_done(&self) -> bool {
        let targets = self.sent.iter().flat_map(|sent| &sent.targets);
        self.accepted && targets.into_iter().all(|target| self.settled.contains(&target.device))
    }

    /// The epoch of its bytes and its place in the sender's chain there.
    pub(super) fn place(&self) -> Option<(EpochId, u32)> {
        let header = Upload::parse(&self.sent.as_ref()?.upload).ok()?.header;
        Some((header.epoch, header.counter))
    }

    /// It was encrypted once: its bytes may be anywhere.
    pub(super) const fn may_have_left(&self) -> bool {
        self.accepted || self.sent.is_some() || !self.mids.is_empty()
    }

    pub(super) fn settle(&mut self, device: DeviceId) {
        if self.settled.len() < super::SETTLED_MAX && !self.settled.contains(&device) {
            self.settled.push(device);
        }
    }

    pub(super) fn is_peer_device(&self, device: &DeviceId) -> bool {
        let mut targets = self.sent.iter().flat_map(|sent| &sent.targets);
        targets.any(|target| target.is_peer && target.device == *device)
    }
}
