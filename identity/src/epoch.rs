//! Epoch headers and the roster that must stand in them (CRYPTO 5).
//!
//! Creator, server and every recipient compute the roster and the suite from the same logs and
//! prekeys and compare; nobody believes a header.

use std::fmt;

use hushwire_wire::layout::{LayoutError, Reader, Writer};
use hushwire_wire::{DeviceId, EpochId, UserId};

use crate::hash::{Label, hash};
use crate::log::DEVICES_MAX;
use crate::point::{Head, LogPoint};
use crate::suite::Suite;

/// Devices in a roster, at most: 8 of each side.
pub const ROSTER_MAX: usize = 2 * DEVICES_MAX;
/// How far an epoch's creation may lie in the future, in milliseconds: 24 h.
pub const AHEAD_MAX_MS: u64 = 86_400_000;

/// Whose device it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Side {
    /// The user with the smaller id; the only one of a self-pair.
    A = 0,
    /// The user with the larger id.
    B = 1,
}

/// Why an epoch was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// The first of the pair.
    First = 0,
    /// A device was added or revoked.
    Devices = 1,
    /// The one before was too old or had too many messages.
    Age = 2,
    /// A device has a fresher prekey.
    Prekey = 3,
    /// A person asked, or something is to be healed.
    Heal = 4,
}

impl Reason {
    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::First,
            1 => Self::Devices,
            2 => Self::Age,
            3 => Self::Prekey,
            4 => Self::Heal,
            _ => return None,
        })
    }
}

/// One device in a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Whose.
    pub side: Side,
    /// Which.
    pub device: DeviceId,
    /// The prekey that its wrap is sealed to; 0 for a stale device, which gets none.
    pub prekey: u32,
}

impl Slot {
    /// Whether the device takes part: it has a prekey.
    #[must_use]
    pub const fn is_wrapped(&self) -> bool {
        self.prekey != 0
    }
}

/// An epoch's header: 217 bytes and 21 for each device. `Debug` names no user and no device.
#[derive(Clone, PartialEq, Eq)]
pub struct EpochHeader {
    /// The cipher suite.
    pub suite: Suite,
    /// The epoch's number in the pair, from 0.
    pub n: u32,
    /// The epoch before, or the request for the first one and after a new acceptance, or zero
    /// for the first of a self-pair.
    pub prev: [u8; 32],
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// The creator's index in the roster.
    pub creator: u8,
    /// Why it was made.
    pub reason: Reason,
    /// The log of side A.
    pub a: LogPoint,
    /// The log of side B; `None` in a self-pair.
    pub b: Option<LogPoint>,
    /// `KDF(K, hw1/kc, "")`: the commitment to the epoch's key.
    pub kc: [u8; 32],
    /// All active devices of both, side A first, each side sorted by device id.
    pub roster: Vec<Slot>,
}

const NOBODY: LogPoint = LogPoint { user: UserId::ZERO, seq: 0, head: Head([0; 32]) };

impl EpochHeader {
    /// Reads a header and checks its shape: known suite and reason, `A < B`, a roster of 1 to 16
    /// in canonical order, a creator in it with a prekey.
    ///
    /// # Errors
    /// If one of these does not hold, or bytes are missing or left over.
    pub fn parse(bytes: &[u8]) -> Result<Self, LayoutError> {
        let mut r = Reader::new(bytes);
        if r.u8("epoch.ver")? != 1 {
            return Err(LayoutError::new("epoch.ver", "1"));
        }
        let suite = Suite::from_number(r.u8("epoch.suite")?)
            .ok_or(LayoutError::new("epoch.suite", "1 to 3"))?;
        let n = r.u32("epoch.n")?;
        let prev = r.array("epoch.prev")?;
        let created_ms = r.u64("epoch.created_ms")?;
        let creator = r.u8("epoch.creator")?;
        let reason = Reason::from_number(r.u8("epoch.reason")?)
            .ok_or(LayoutError::new("epoch.reason", "0 to 4"))?;
        let a = LogPoint::read(&mut r, "epoch.a")?;
        let b = LogPoint::read(&mut r, "epoch.b")?;
        let b = if b == NOBODY { None } else { Some(b) };
        if a.user.is_zero() || b.is_some_and(|b| a.user >= b.user) {
            return Err(LayoutError::new("epoch.a", "a log id smaller than B's"));
        }
        let kc = r.array("epoch.kc")?;
        let roster = parse_roster(&mut r, b.is_some())?;
        r.finish("epoch")?;
        if !roster.get(usize::from(creator)).is_some_and(Slot::is_wrapped) {
            return Err(LayoutError::new("epoch.creator", "a roster device with a prekey"));
        }
        Ok(Self { suite, n, prev, created_ms, creator, reason, a, b, kc, roster })
    }

    /// The bytes that are hashed and sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(217 + 21 * self.roster.len());
        w.u8(1).u8(self.suite.number()).u32(self.n).raw(&self.prev).u64(self.created_ms);
        w.u8(self.creator).u8(self.reason as u8);
        self.a.write(&mut w);
        self.b.unwrap_or(NOBODY).write(&mut w);
        w.raw(&self.kc).u8(u8::try_from(self.roster.len()).unwrap_or(u8::MAX));
        for slot in &self.roster {
            w.u8(slot.side as u8).raw(slot.device.as_bytes()).u32(slot.prekey);
        }
        w.finish()
    }

    /// `H(hw1/epoch, header)`.
    #[must_use]
    pub fn id(&self) -> EpochId {
        EpochId(hash(Label::Epoch, &[&self.to_bytes()]))
    }

    /// The user of a side; `None` for side B of a self-pair.
    #[must_use]
    pub fn user(&self, side: Side) -> Option<UserId> {
        match side {
            Side::A => Some(self.a.user),
            Side::B => self.b.map(|b| b.user),
        }
    }

    /// The index of a device in the roster.
    #[must_use]
    pub fn index_of(&self, device: &DeviceId) -> Option<u8> {
        let at = self.roster.iter().position(|slot| slot.device == *device)?;
        u8::try_from(at).ok()
    }

    /// The devices that get a wrap, or a message of the device at index `sender`: all with a
    /// prekey but that one, in roster order. The k-th wrap or tag belongs to the k-th of them.
    pub fn targets(&self, sender: u8) -> impl Iterator<Item = &Slot> {
        let sender = usize::from(sender);
        let slots = self.roster.iter().enumerate();
        slots.filter(move |(i, slot)| *i != sender && slot.is_wrapped()).map(|(_, slot)| slot)
    }
}

impl fmt::Debug for EpochHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochHeader")
            .field("id", &self.id())
            .field("n", &self.n)
            .field("suite", &self.suite)
            .field("reason", &self.reason)
            .field("roster", &self.roster.len())
            .finish_non_exhaustive()
    }
}

fn parse_roster(r: &mut Reader<'_>, two_sides: bool) -> Result<Vec<Slot>, LayoutError> {
    let count = usize::from(r.u8("epoch.count")?);
    if !(1..=ROSTER_MAX).contains(&count) {
        return Err(LayoutError::new("epoch.count", "1 to 16"));
    }
    let mut roster: Vec<Slot> = Vec::with_capacity(count);
    for _ in 0..count {
        let side = match r.u8("epoch.side")? {
            0 => Side::A,
            1 if two_sides => Side::B,
            _ => return Err(LayoutError::new("epoch.side", "a side of the pair")),
        };
        let device = DeviceId(r.array("epoch.device_id")?);
        let prekey = r.u32("epoch.prekey_id")?;
        if roster.last().is_some_and(|last| (last.side, last.device) >= (side, device)) {
            return Err(LayoutError::new("epoch.roster", "side A then B, each sorted"));
        }
        roster.push(Slot { side, device, prekey });
    }
    for side in [Side::A, Side::B] {
        if roster.iter().filter(|slot| slot.side == side).count() > DEVICES_MAX {
            return Err(LayoutError::new("epoch.roster", "at most 8 devices of a side"));
        }
    }
    Ok(roster)
}
