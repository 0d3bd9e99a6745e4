//! Accounts, devices and prekeys as they are handed in and out (CRYPTO 3 and 4).

use hushwire_identity::{Handle, Head};
use hushwire_wire::{DeviceId, EpochId, UserId};

use crate::failure::{Failure, carries_failure};

/// A new account with its first device, verified by the caller.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// The hash of the genesis entry.
    pub user: UserId,
    /// The username that the entry names.
    pub handle: Handle,
    /// The first device.
    pub device: DeviceId,
    /// Its identity key.
    pub ik: [u8; 32],
    /// The genesis entry, wire form, at most 512 bytes.
    pub genesis: Vec<u8>,
    /// Its hash.
    pub head: Head,
    /// The device's first prekey.
    pub prekey: PrekeyRow,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

/// A prekey record and the X-Wing key beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrekeyRow {
    /// The device.
    pub device: DeviceId,
    /// The record's id, from 1.
    pub id: u32,
    /// The 223-byte record.
    pub record: Vec<u8>,
    /// The 1,216-byte key, if the record names one.
    pub xwing: Option<Vec<u8>>,
}

/// A wrap that waits for a device, and the prekey that it is sealed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnclaimedRow {
    /// The epoch.
    pub epoch: EpochId,
    /// The prekey's id.
    pub prekey: u32,
}

/// What a sign-in is checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginKey {
    /// The device's identity key.
    pub key: [u8; 32],
    /// The user's version.
    pub v: u64,
    /// When the device was added, in milliseconds since 1970.
    pub since_ms: u64,
}

/// The domain could not be settled.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DomainError {
    /// The database belongs to another domain.
    #[error("the database belongs to the domain {stored}")]
    Other {
        /// The domain that the database was made for.
        stored: String,
    },
    /// The store could not answer.
    #[error("the store could not answer")]
    Failed(#[source] Failure),
}

/// An account was not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegisterError {
    /// Somebody has the username.
    #[error("the username is taken")]
    HandleTaken,
    /// Some log knows the key.
    #[error("some log knows the key already")]
    KeyKnown,
    /// The store could not answer.
    #[error("the store could not answer")]
    Failed(#[source] Failure),
}

/// Something was not read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// Nothing is there that the reader may see: one answer for unknown and hidden.
    #[error("nothing is there that the reader may see")]
    NotFound,
    /// The store could not answer.
    #[error("the store could not answer")]
    Failed(#[source] Failure),
}

/// A prekey was not put.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PutPrekeyError {
    /// Its id is not the current one plus 1.
    #[error("the prekey's id is not the next one")]
    NotNext {
        /// The id that comes next.
        next: u32,
    },
    /// The device is not an active one of this user.
    #[error("the device is not active")]
    NoDevice,
    /// The store could not answer.
    #[error("the store could not answer")]
    Failed(#[source] Failure),
}

carries_failure!(DomainError, RegisterError, ReadError, PutPrekeyError);
