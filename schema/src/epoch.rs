//! Epochs and wraps as they are handed in and out (CRYPTO 5).
//!
//! An epoch is checked against [`PairKeys`], a snapshot, and committed with its [`PairStamp`]:
//! if a log, a prekey or the newest epoch changed in between, the commit says so and changes
//! nothing.

use hushwire_identity::LogPoint;
use hushwire_wire::{DeviceId, EpochId, UserId};

use crate::account::PrekeyRow;
use crate::failure::{Failure, carries_failure};

/// What a new epoch of a pair is checked against.
#[derive(Clone, Debug)]
pub struct PairKeys {
    /// The user with the smaller id; the only one of a self-pair.
    pub a: SideKeys,
    /// The user with the larger id.
    pub b: Option<SideKeys>,
    /// The newest epoch; `None` before the first, and after a contact has ended.
    pub newest: Option<EpochRow>,
    /// The next epoch's number: it goes on after a contact that ended.
    pub next_n: u32,
    /// When the caller's devices posted epochs of this pair within the last 24 hours, in
    /// milliseconds since 1970, newest first; at most 256.
    pub posted_ms: Vec<u64>,
    /// The snapshot's identity, for the commit.
    pub stamp: PairStamp,
}

/// A side of a pair: the log and the current prekey records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideKeys {
    /// The user.
    pub user: UserId,
    /// The log's entries in order, wire form.
    pub log: Vec<Vec<u8>>,
    /// The current prekey record of each active device.
    pub prekeys: Vec<Vec<u8>>,
}

/// Says whether a pair is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairStamp {
    pub(crate) a: UserId,
    pub(crate) b: UserId,
    pub(crate) a_keys_v: i64,
    pub(crate) b_keys_v: i64,
    /// The pair's newest epoch, and when the contact ended, if it did.
    pub(crate) newest: Option<(EpochId, Option<i64>)>,
}

/// An epoch as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochRow {
    /// Its id.
    pub id: EpochId,
    /// Its number in the pair.
    pub n: u32,
    /// Its header.
    pub header: Vec<u8>,
}

/// A new epoch, verified by the caller.
#[derive(Clone, Debug)]
pub struct NewEpoch {
    /// Its id.
    pub id: EpochId,
    /// Its number in the pair.
    pub n: u32,
    /// Whose device made it.
    pub creator: UserId,
    /// Its header.
    pub header: Vec<u8>,
    /// One for each other wrapped device: at most 15.
    pub wraps: Vec<WrapRow>,
    /// The prekeys that the header names.
    pub named: Vec<(DeviceId, u32)>,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

/// An epoch's key, sealed to one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrapRow {
    /// The device.
    pub device: DeviceId,
    /// The wrap: 80 or 1,168 bytes.
    pub wrap: Vec<u8>,
}

/// An epoch was not stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PostEpochError {
    /// What it was checked against has changed: look again.
    #[error("the pair has changed meanwhile")]
    Moved,
    /// The store could not answer.
    #[error("the store could not answer")]
    Failed(#[source] Failure),
}

/// An epoch as one device gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochFound {
    /// The header.
    pub header: Vec<u8>,
    /// The device's wrap, until it is claimed.
    pub wrap: Option<Vec<u8>>,
    /// The prekeys that the header names, in the order of device ids.
    pub prekeys: Vec<PrekeyRow>,
}

/// A claim was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClaimError {
    /// No such epoch of one of the user's pairs.
    #[error("nothing is there that the device may claim")]
    NotFound,
    /// The store could not answer.
    #[error("the store could not answer")]
    Failed(#[source] Failure),
}

/// What the delivery of a message is checked against: a pair's newest epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairNow {
    /// The newest epoch.
    pub epoch: EpochRow,
    /// The newest point of each side's log, the smaller user id first; one for a self-pair.
    pub points: Vec<LogPoint>,
}

carries_failure!(PostEpochError, ClaimError);
