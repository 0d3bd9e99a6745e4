//! Entries of a device log as they are appended (CRYPTO 3), verified by the caller.

use hushwire_identity::Head;
use hushwire_wire::{DeviceId, UserId};

use crate::account::PrekeyRow;
use crate::failure::{Failure, carries_failure};

/// The next entry of a log.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// Whose log.
    pub user: UserId,
    /// Its number.
    pub seq: u32,
    /// The hash of the entry before it.
    pub prev: Head,
    /// Its own hash.
    pub head: Head,
    /// Its wire form, at most 512 bytes.
    pub wire: Vec<u8>,
    /// What it does.
    pub act: EntryAct,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

/// What an entry does to the account.
#[derive(Clone, Debug)]
pub enum EntryAct {
    /// Adds a device.
    Add {
        /// The device.
        device: DeviceId,
        /// Its identity key.
        ik: [u8; 32],
        /// Its first prekey, if it has one by now.
        prekey: Option<PrekeyRow>,
    },
    /// Takes devices out.
    Revoke {
        /// Which: 1 to 8.
        devices: Vec<DeviceId>,
    },
    /// Adds a recovery key.
    RecoveryAdd {
        /// Its id.
        id: DeviceId,
        /// The key.
        rk: [u8; 32],
    },
    /// Takes a recovery key out. The log says all of it; the key stays known.
    RecoveryDel,
}

/// An entry was not appended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The log's newest entry is not the one that this one follows: look again.
    #[error("the log has changed meanwhile")]
    Moved,
    /// Some log knows the key.
    #[error("some log knows the key already")]
    KeyKnown,
    /// The store could not answer.
    #[error("the store could not answer")]
    Failed(#[source] Failure),
}

carries_failure!(AppendError);
