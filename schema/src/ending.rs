//! Deletion of an account, and the export of all that is held of one.

use hushwire_identity::Handle;
use hushwire_wire::{DeviceId, UserId};

use crate::account::PrekeyRow;
use crate::change::{ChangeRow, Told};
use crate::contact::ContactRow;
use crate::epoch::EpochRow;

/// A deleted account: what the engine must forget, and who must hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The devices that were active, in the order of their ids: at most 8.
    pub devices: Vec<DeviceId>,
    /// The contacts that ended.
    pub told: Vec<Told>,
}

/// Everything that is held of an account but the epochs, which are read page by page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The username.
    pub handle: Handle,
    /// When the account was made, in milliseconds since 1970.
    pub since_ms: u64,
    /// The user's version.
    pub v: u64,
    /// The log, wire form: at most 1,024 entries.
    pub log: Vec<Vec<u8>>,
    /// All devices that ever were, in the order of their ids.
    pub devices: Vec<DeviceRow>,
    /// All prekeys that are kept, by device and id.
    pub prekeys: Vec<PrekeyRow>,
    /// As [`crate::Store::contacts`] lists them.
    pub contacts: Vec<ContactRow>,
    /// Contacts that ended, in the order of user ids.
    pub ended: Vec<EndedRow>,
    /// Requests of the user that are kept, in the order they came, with their times.
    pub asked: Vec<(Vec<u8>, u64)>,
    /// Requests on the last day on which there was one.
    pub asked_that_day: u32,
    /// The changes that are kept, in order: at most [`crate::CHANGES_KEPT`].
    pub changes: Vec<ChangeRow>,
}

/// A device of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRow {
    /// The device.
    pub device: DeviceId,
    /// When it was added, in milliseconds since 1970.
    pub since_ms: u64,
    /// The entry that revoked it.
    pub revoked_seq: Option<u32>,
    /// Wraps that wait to be claimed by it.
    pub unclaimed: u64,
}

/// A contact that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedRow {
    /// The other user.
    pub peer: UserId,
    /// The request that began it.
    pub request: Vec<u8>,
    /// The number of its last epoch.
    pub n: u32,
    /// When it ended, in milliseconds since 1970.
    pub at_ms: u64,
}

/// One epoch of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedEpoch {
    /// The epoch.
    pub epoch: EpochRow,
    /// When it was posted, in milliseconds since 1970.
    pub posted_ms: u64,
}
