//! Prekey records: what others seal a pair's key to (CRYPTO 4).
//!
//! A record is signed by its device and names the head of the device's own log, so each one is
//! also a heartbeat. The 1,216-byte X-Wing key travels beside it, bound by its hash.

use std::fmt;

use hushwire_wire::layout::{LayoutError, Reader, Writer};
use hushwire_wire::{DeviceId, UserId};

use crate::code::Code;
use crate::hash::{Label, hash, verify};
use crate::log::DeviceLog;
use crate::point::Head;
use crate::suite::{Suite, Suites};

/// The size of a record in bytes.
pub const PREKEY_LEN: usize = 223;
/// The size of an X-Wing public key in bytes.
pub const XWING_KEY_LEN: usize = 1216;
/// How many days back a prekey is usable.
pub const DAYS_BACK: u32 = 30;
/// How many days ahead a prekey is usable, for clocks that differ.
pub const DAYS_AHEAD: u32 = 1;

/// The bytes of an X-Wing key that hold the coefficients of its ML-KEM-768 part; a seed of 32 bytes
/// and the X25519 key follow.
const MLKEM_COEFFICIENTS: usize = 1152;
/// What the coefficients are reduced by.
const MLKEM_Q: u16 = 3329;
const SIGNED_LEN: usize = PREKEY_LEN - 64;

/// The day, in days since 1970 (UTC), of a time in milliseconds since 1970.
#[must_use]
pub fn day_of(time_ms: u64) -> u32 {
    u32::try_from(time_ms / 86_400_000).unwrap_or(u32::MAX)
}

/// A prekey is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrekeyError {
    /// Not laid out as a record.
    #[error("the prekey record is not laid out as it should be")]
    Layout(#[source] LayoutError),
    /// Another user's, or no device of this log.
    #[error("the prekey belongs to no device of this log")]
    Owner,
    /// The device is not active.
    #[error("the prekey's device is not active")]
    Inactive,
    /// The signature does not verify.
    #[error("the prekey's signature does not verify")]
    Signature,
    /// The record lacks a suite that the log entry has.
    #[error("the prekey lacks a suite of its device")]
    Suites,
    /// The X25519 key is of small order.
    #[error("the prekey's X25519 key is of small order")]
    Point,
    /// The X-Wing key is missing, superfluous, not the one that the record names, or one that
    /// nobody can seal to.
    #[error("the X-Wing key is not the one that the prekey names, or nobody can seal to it")]
    Xwing,
    /// The record names an entry that is not here yet: fetch the log, then look again.
    #[error("the prekey names a newer entry of its log")]
    Ahead,
    /// The record names a head that is not on the log.
    #[error("the prekey names a head that is not on its log")]
    Fork,
}

impl PrekeyError {
    /// `LOG_FORK` for [`Self::Fork`], else `PREKEY_INVALID`.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Fork => Code::LogFork,
            _ => Code::PrekeyInvalid,
        }
    }
}

/// The 223-byte record. `Debug` shows device, id and day.
#[derive(Clone, PartialEq, Eq)]
pub struct PrekeyRecord {
    /// Whose.
    pub user: UserId,
    /// Which device's.
    pub device: DeviceId,
    /// Rises by one with each of the device's prekeys; never 0, which stands for "stale" in a
    /// roster.
    pub id: u32,
    /// When it was made, in days since 1970 (UTC).
    pub day: u32,
    /// The newest entry of the own log that the device knew.
    pub log_seq: u32,
    /// That entry's hash.
    pub log_head: Head,
    /// What the device can do: at least what its log entry says.
    pub suites: Suites,
    /// The X25519 key.
    pub x25519: [u8; 32],
    /// `H(hw1/xwing, pk1216)`, or zero without suite 3.
    pub pq_hash: [u8; 32],
    /// The device's signature over all before.
    pub signature: [u8; 64],
}

impl PrekeyRecord {
    /// Reads a record. It says nothing about its truth: see [`Self::verify`].
    ///
    /// # Errors
    /// For another version, id 0, an empty mask, a `pq_hash` that contradicts the mask, short or
    /// trailing bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, LayoutError> {
        let mut r = Reader::new(bytes);
        if r.u8("prekey.ver")? != 1 {
            return Err(LayoutError::new("prekey.ver", "1"));
        }
        let user = UserId(r.array("prekey.log_id")?);
        let device = DeviceId(r.array("prekey.device_id")?);
        let id = r.u32("prekey.id")?;
        if id == 0 {
            return Err(LayoutError::new("prekey.id", "1 or more"));
        }
        let day = r.u32("prekey.day")?;
        let log_seq = r.u32("prekey.log_seq")?;
        let log_head = Head(r.array("prekey.log_head")?);
        let suites = Suites::from_bits(r.u16("prekey.suites")?)
            .ok_or(LayoutError::new("prekey.suites", "at least one suite"))?;
        let x25519 = r.array("prekey.x25519")?;
        let pq_hash = r.array("prekey.pq_hash")?;
        if suites.has(Suite::XWing) == (pq_hash == [0; 32]) {
            return Err(LayoutError::new("prekey.pq_hash", "a hash exactly with suite 3"));
        }
        let signature = r.array("prekey.sig")?;
        r.finish("prekey")?;
        Ok(Self { user, device, id, day, log_seq, log_head, suites, x25519, pq_hash, signature })
    }

    /// The bytes that the signature covers: all but the signature.
    #[must_use]
    pub fn signed_part(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(SIGNED_LEN);
        w.u8(1).raw(self.user.as_bytes()).raw(self.device.as_bytes()).u32(self.id).u32(self.day);
        w.u32(self.log_seq).raw(&self.log_head.0).u16(self.suites.bits());
        w.raw(&self.x25519).raw(&self.pq_hash);
        w.finish()
    }

    /// The 223 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.signed_part();
        out.extend_from_slice(&self.signature);
        out
    }

    /// Verifies the record against its owner's newest entry: signature, active device, suites,
    /// key, and head.
    ///
    /// # Errors
    /// As [`PrekeyError`] lists. [`PrekeyError::Ahead`] asks for the rest of the log first.
    pub fn verify(&self, log: &DeviceLog) -> Result<(), PrekeyError> {
        self.verify_at(log, log.seq())
    }

    /// As [`Self::verify`], with the device active right after entry `seq`: for an epoch whose
    /// header names an older entry.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_at(&self, log: &DeviceLog, seq: u32) -> Result<(), PrekeyError> {
        let device = log.device(&self.device).filter(|_| self.user == log.user());
        let device = device.ok_or(PrekeyError::Owner)?;
        if !verify(&device.ik, Label::Prekey, &[&self.signed_part()], &self.signature) {
            return Err(PrekeyError::Signature);
        }
        match log.head_at(self.log_seq) {
            None => return Err(PrekeyError::Ahead),
            Some(head) if head != self.log_head => return Err(PrekeyError::Fork),
            Some(_) => {}
        }
        if !device.is_active_at(seq) || !device.is_active_at(self.log_seq) {
            return Err(PrekeyError::Inactive);
        }
        if !self.suites.contains(device.suites) {
            return Err(PrekeyError::Suites);
        }
        check_point(&self.x25519)
    }

    /// Whether `key` is the X-Wing key that the record names, present exactly with suite 3, and can
    /// be sealed to: whoever makes an epoch must not be stopped by one device's key.
    ///
    /// # Errors
    /// [`PrekeyError::Xwing`].
    pub fn check_xwing(&self, key: Option<&[u8]>) -> Result<(), PrekeyError> {
        let matches = match key {
            None => !self.suites.has(Suite::XWing),
            Some(key) => {
                self.suites.has(Suite::XWing)
                    && key.len() == XWING_KEY_LEN
                    && pq_hash(key) == self.pq_hash
                    && is_sealable(key)
            }
        };
        if matches { Ok(()) } else { Err(PrekeyError::Xwing) }
    }

    /// Whether an epoch created on day `c` may use it: `day` in `[c-30, c+1]`.
    #[must_use]
    pub const fn usable_on(&self, c: u32) -> bool {
        self.day >= c.saturating_sub(DAYS_BACK) && self.day <= c.saturating_add(DAYS_AHEAD)
    }
}

impl fmt::Debug for PrekeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrekeyRecord")
            .field("device", &self.device)
            .field("id", &self.id)
            .field("day", &self.day)
            .finish_non_exhaustive()
    }
}

/// `H(hw1/xwing, key)`.
#[must_use]
pub fn pq_hash(key: &[u8]) -> [u8; 32] {
    hash(Label::Xwing, &[key])
}

/// A record and the X-Wing key beside it, as they travel together. `Debug` shows the record.
#[derive(Clone, PartialEq, Eq)]
pub struct Prekey {
    /// The record.
    pub record: PrekeyRecord,
    /// The X-Wing key, 1,216 bytes, exactly if the record's suites have suite 3.
    pub xwing: Option<Vec<u8>>,
}

impl fmt::Debug for Prekey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Prekey").field(&self.record).finish()
    }
}

impl Prekey {
    /// Reads both and checks that they belong together.
    ///
    /// # Errors
    /// [`PrekeyError::Layout`] or [`PrekeyError::Xwing`].
    pub fn parse(record: &[u8], xwing: Option<&[u8]>) -> Result<Self, PrekeyError> {
        let record = PrekeyRecord::parse(record).map_err(PrekeyError::Layout)?;
        record.check_xwing(xwing)?;
        Ok(Self { record, xwing: xwing.map(<[u8]>::to_vec) })
    }

    /// [`Self::parse`], then [`PrekeyRecord::verify`]: all that a server or a client checks of a
    /// prekey but its day and that its id rises.
    ///
    /// # Errors
    /// As both.
    pub fn verified(
        record: &[u8],
        xwing: Option<&[u8]>,
        log: &DeviceLog,
    ) -> Result<Self, PrekeyError> {
        let prekey = Self::parse(record, xwing)?;
        prekey.record.verify(log)?;
        Ok(prekey)
    }
}

/// The X25519 keys that give the same secret with everybody: the points of small order, as their
/// canonical and, where there is one, non-canonical encoding. The highest bit is not looked at.
const SMALL_ORDER: [[u8; 32]; 7] = [
    // 0, of order 4
    [0; 32],
    // 1, of order 1
    with_ends(0x01, 0x00, 0x00),
    // the two of order 8
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef,
        0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f,
        0x11, 0x57,
    ],
    // p - 1, of order 2; p and p + 1, which are 0 and 1 again
    with_ends(0xec, 0xff, 0x7f),
    with_ends(0xed, 0xff, 0x7f),
    with_ends(0xee, 0xff, 0x7f),
];

const fn with_ends(first: u8, between: u8, last: u8) -> [u8; 32] {
    let mut out = [between; 32];
    out[0] = first;
    out[31] = last;
    out
}

/// Whether an X-Wing key can be encapsulated to: the coefficients of its ML-KEM part, two in three
/// bytes, are reduced (FIPS 203, 7.2), and its X25519 part is not of small order.
fn is_sealable(key: &[u8]) -> bool {
    let Some((coefficients, rest)) = key.split_at_checked(MLKEM_COEFFICIENTS) else { return false };
    let reduced = coefficients.as_chunks::<3>().0.iter().all(|[a, b, c]| {
        let low = u16::from(*a) | u16::from(b & 0x0f) << 8;
        let high = u16::from(b >> 4) | u16::from(*c) << 4;
        low < MLKEM_Q && high < MLKEM_Q
    });
    reduced && rest.last_chunk().is_some_and(|x25519| check_point(x25519).is_ok())
}

/// Refuses X25519 keys of small order. The key is public: the comparison may take any time.
fn check_point(key: &[u8; 32]) -> Result<(), PrekeyError> {
    let mut low = *key;
    low[31] &= 0x7f;
    if SMALL_ORDER.contains(&low) { Err(PrekeyError::Point) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use dryoc::classic::crypto_core::crypto_scalarmult;

    use super::*;

    /// A clamped scalar is a multiple of the cofactor and no multiple of the group's order, so
    /// the exchange fails for exactly the points of small order.
    fn exchange_fails(key: &[u8; 32]) -> bool {
        crypto_scalarmult(&mut [0; 32], &[0x48; 32], key).is_err()
    }

    #[test]
    fn the_list_of_small_order_is_what_an_exchange_refuses() {
        for key in SMALL_ORDER {
            for high in [0, 0x80] {
                let mut key = key;
                key[31] |= high;
                assert!(exchange_fails(&key), "{key:02x?}");
                assert_eq!(check_point(&key), Err(PrekeyError::Point));
            }
        }
        for first in 0..=255 {
            for (between, last) in [(0x00, 0x00), (0xff, 0x7f), (0xff, 0xff)] {
                let key = with_ends(first, between, last);
                assert_eq!(check_point(&key).is_err(), exchange_fails(&key), "{key:02x?}");
            }
        }
    }
}
