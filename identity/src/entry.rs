//! The entries of a device log: their fixed layouts, parsed and written (CRYPTO 3).
//!
//! This module knows shapes and sizes only. Whether an entry may follow on a log is
//! [`crate::log`]'s to say.

use hushwire_wire::layout::{LayoutError, Reader, Writer};
use hushwire_wire::{DeviceId, UserId};

use crate::handle::Handle;
use crate::hash::{Label, hash};
use crate::point::Head;
use crate::suite::Suites;

/// The largest entry in bytes (CRYPTO 12).
pub const ENTRY_MAX: usize = 512;
/// The largest number of devices that one entry revokes.
pub const REVOKED_MAX: usize = 8;
/// The longest domain in bytes.
pub const DOMAIN_MAX: usize = 253;
/// The kind that a recovery key claims: no device has it.
pub const RECOVERY_KIND: u8 = 255;

/// What a device is. The number is shown to people and decides nothing; 255 is kept for recovery
/// keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceKind(u8);

impl DeviceKind {
    /// A program in a terminal.
    pub const TERMINAL: Self = Self(1);
    /// A program on a desktop.
    pub const DESKTOP: Self = Self(2);
    /// A phone or a tablet.
    pub const PHONE: Self = Self(3);
    /// A browser.
    pub const WEB: Self = Self(4);

    /// The kind of this number; `None` for 255.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        if number == RECOVERY_KIND { None } else { Some(Self(number)) }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// What an entry does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Type 1: begins a log with its first device.
    Genesis {
        /// The server's domain, at most 253 bytes.
        domain: String,
        /// The username.
        handle: Handle,
        /// The first device's identity key.
        ik: [u8; 32],
        /// What the device is.
        kind: DeviceKind,
        /// What it can do.
        suites: Suites,
    },
    /// Type 2: adds a device.
    Add {
        /// The device's identity key.
        ik: [u8; 32],
        /// What it is.
        kind: DeviceKind,
        /// What it can do.
        suites: Suites,
    },
    /// Type 3: takes 1 to 8 devices out, for good.
    Revoke {
        /// Which.
        devices: Vec<DeviceId>,
        /// Why, for people: it decides nothing.
        reason: u8,
    },
    /// Type 4: adds a recovery key.
    RecoveryAdd {
        /// The recovery key.
        rk: [u8; 32],
    },
    /// Type 5: takes a recovery key out.
    RecoveryDel {
        /// Which: the hash of the key, like a device id.
        recovery: DeviceId,
    },
}

impl Payload {
    /// The key, kind and suites of a claim, if the entry carries one (types 2 and 4).
    #[must_use]
    pub const fn claim(&self) -> Option<(&[u8; 32], u8, u16)> {
        match self {
            Self::Add { ik, kind, suites } => Some((ik, kind.number(), suites.bits())),
            Self::RecoveryAdd { rk } => Some((rk, RECOVERY_KIND, 0)),
            Self::Genesis { .. } | Self::Revoke { .. } | Self::RecoveryDel { .. } => None,
        }
    }
}

/// An entry before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The entry's number; 0 for genesis.
    pub seq: u32,
    /// The log; zero in genesis.
    pub log: UserId,
    /// The hash of the entry before; zero in genesis.
    pub prev: [u8; 32],
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// The device or recovery key that signs.
    pub signer: DeviceId,
    /// What it does.
    pub payload: Payload,
}

impl Draft {
    /// The `body` of CRYPTO 3, which the signature covers.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(256);
        let kind = match self.payload {
            Payload::Genesis { .. } => 1,
            Payload::Add { .. } => 2,
            Payload::Revoke { .. } => 3,
            Payload::RecoveryAdd { .. } => 4,
            Payload::RecoveryDel { .. } => 5,
        };
        w.u8(1).u8(kind).u32(self.seq).raw(self.log.as_bytes()).raw(&self.prev);
        w.u64(self.time_ms).raw(self.signer.as_bytes());
        match &self.payload {
            Payload::Genesis { domain, handle, ik, kind, suites } => {
                w.v8(domain.as_bytes()).v8(handle.as_str().as_bytes()).raw(ik);
                w.u8(kind.number()).u16(suites.bits());
            }
            Payload::Add { ik, kind, suites } => {
                w.raw(ik).u8(kind.number()).u16(suites.bits());
            }
            Payload::Revoke { devices, reason } => {
                w.u8(u8::try_from(devices.len()).unwrap_or(u8::MAX));
                for device in devices {
                    w.raw(device.as_bytes());
                }
                w.u8(*reason);
            }
            Payload::RecoveryAdd { rk } => {
                w.raw(rk);
            }
            Payload::RecoveryDel { recovery } => {
                w.raw(recovery.as_bytes());
            }
        }
        w.finish()
    }

    /// The wire form: `v16 body | claim_sig? | sig`. Types 2 and 4 need the claim, others must
    /// not have one: [`Entry::parse`] refuses the rest.
    #[must_use]
    pub fn wire(&self, claim: Option<&[u8; 64]>, signature: &[u8; 64]) -> Vec<u8> {
        let mut w = Writer::with_capacity(ENTRY_MAX);
        w.v16(&self.body());
        if let Some(claim) = claim {
            w.raw(claim);
        }
        w.raw(signature);
        w.finish()
    }
}

/// An entry as it came, parsed and not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it says.
    pub draft: Draft,
    /// The new key's signature (types 2 and 4).
    pub claim: Option<[u8; 64]>,
    /// The signer's signature.
    pub signature: [u8; 64],
    /// `H(hw1/entry, wire)`.
    pub head: Head,
}

impl Entry {
    /// Reads the wire form.
    ///
    /// # Errors
    /// For more than [`ENTRY_MAX`] bytes, another version, an unknown type, a domain, username,
    /// kind or mask that is not allowed, short or trailing bytes.
    pub fn parse(wire: &[u8]) -> Result<Self, LayoutError> {
        if wire.len() > ENTRY_MAX {
            return Err(LayoutError::new("entry", "at most 512 bytes"));
        }
        let mut r = Reader::new(wire);
        let draft = parse_body(r.v16("entry.body")?)?;
        let claim = match draft.payload.claim() {
            Some(_) => Some(r.array("entry.claim_sig")?),
            None => None,
        };
        let signature = r.array("entry.sig")?;
        r.finish("entry")?;
        Ok(Self { draft, claim, signature, head: Head(hash(Label::Entry, &[wire])) })
    }
}

fn parse_body(body: &[u8]) -> Result<Draft, LayoutError> {
    let mut r = Reader::new(body);
    if r.u8("entry.ver")? != 1 {
        return Err(LayoutError::new("entry.ver", "1"));
    }
    let kind = r.u8("entry.type")?;
    let seq = r.u32("entry.seq")?;
    let log = UserId(r.array("entry.log_id")?);
    let prev = r.array("entry.prev")?;
    let time_ms = r.u64("entry.time_ms")?;
    let signer = DeviceId(r.array("entry.signer")?);
    let payload = match kind {
        1 => Payload::Genesis {
            domain: domain(r.v8("entry.domain")?)?,
            handle: Handle::from_bytes(r.v8("entry.handle")?)
                .map_err(|_| LayoutError::new("entry.handle", "3-32 of a-z 0-9 _ ."))?,
            ik: r.array("entry.ik")?,
            kind: device_kind(&mut r)?,
            suites: suites(&mut r)?,
        },
        2 => Payload::Add {
            ik: r.array("entry.ik")?,
            kind: device_kind(&mut r)?,
            suites: suites(&mut r)?,
        },
        3 => {
            let n = usize::from(r.u8("entry.n")?);
            if !(1..=REVOKED_MAX).contains(&n) {
                return Err(LayoutError::new("entry.n", "1 to 8 devices"));
            }
            let mut devices = Vec::with_capacity(n);
            for _ in 0..n {
                devices.push(DeviceId(r.array("entry.devices")?));
            }
            Payload::Revoke { devices, reason: r.u8("entry.reason")? }
        }
        4 => Payload::RecoveryAdd { rk: r.array("entry.rk")? },
        5 => Payload::RecoveryDel { recovery: DeviceId(r.array("entry.recovery_id")?) },
        _ => return Err(LayoutError::new("entry.type", "1 to 5")),
    };
    r.finish("entry.body")?;
    Ok(Draft { seq, log, prev, time_ms, signer, payload })
}

/// Whether `text` can be the domain of a server: 1 to 253 of `a-z 0-9 . - :`, the colon for a
/// port.
#[must_use]
pub fn is_domain(text: &str) -> bool {
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b':');
    (1..=DOMAIN_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

fn domain(bytes: &[u8]) -> Result<String, LayoutError> {
    std::str::from_utf8(bytes)
        .ok()
        .filter(|text| is_domain(text))
        .map(str::to_owned)
        .ok_or(LayoutError::new("entry.domain", "1-253 of a-z 0-9 . - :"))
}

fn device_kind(r: &mut Reader<'_>) -> Result<DeviceKind, LayoutError> {
    DeviceKind::from_number(r.u8("entry.kind")?)
        .ok_or(LayoutError::new("entry.kind", "a device's kind"))
}

fn suites(r: &mut Reader<'_>) -> Result<Suites, LayoutError> {
    Suites::from_bits(r.u16("entry.suites")?)
        .ok_or(LayoutError::new("entry.suites", "at least one suite"))
}
