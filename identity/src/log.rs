//! The device log: who a user is (CRYPTO 3).
//!
//! A [`DeviceLog`] is verified by construction: it begins with a genesis entry and grows by
//! entries that keep every rule. An entry that breaks one leaves the log as it was. All heads
//! and all devices that ever were are kept, so that an older point can be looked up; both are
//! bounded by [`ENTRIES_MAX`].

use std::fmt;

use dryoc::classic::crypto_sign_ed25519::crypto_sign_ed25519_pk_to_curve25519;
use hushwire_wire::{DeviceId, LayoutError, UserId};

use crate::code::Code;
use crate::entry::{DeviceKind, Entry, Payload};
use crate::handle::Handle;
use crate::hash::{Label, hash, verify};
use crate::point::{Head, LogPoint};
use crate::suite::Suites;

/// Active devices of a user, at most (CRYPTO 12).
pub const DEVICES_MAX: usize = 8;
/// Active recovery keys of a user, at most.
pub const RECOVERY_MAX: usize = 2;
/// Entries of a log, at most.
pub const ENTRIES_MAX: usize = 1024;

/// An entry, or a sequence of entries, is not a valid log. All are `LOG_INVALID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Not laid out as an entry.
    #[error("the entry is not laid out as it should be")]
    Layout(#[source] LayoutError),
    /// Not one entry.
    #[error("the log is empty")]
    Empty,
    /// The first entry is no genesis, or a later one is.
    #[error("a log begins with its only genesis entry")]
    Genesis,
    /// Number, log id or previous hash do not continue the log.
    #[error("the entry does not continue the log")]
    Link,
    /// Earlier than the entry before.
    #[error("the entry is older than the one before it")]
    Time,
    /// The signer was not active before the entry.
    #[error("the signer is not active")]
    Signer,
    /// The signer may not make this kind of entry.
    #[error("the signer may not make this entry")]
    Authority,
    /// The signer's signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// The new key's signature does not verify.
    #[error("the new key's own signature does not verify")]
    Claim,
    /// A key that is not canonical, of small or mixed order, or no point.
    #[error("the key is not a canonical point of the prime-order group")]
    Key,
    /// A key that this log knew before.
    #[error("the key was on this log before")]
    KeyKnown,
    /// The device or recovery key to be taken out is not active, or is named twice.
    #[error("a device or key to be taken out is not active")]
    Target,
    /// Nobody would be left to continue the log.
    #[error("no device or recovery key would be left")]
    NobodyLeft,
    /// Too many devices, recovery keys or entries.
    #[error("a limit of the log is reached")]
    Limit,
}

impl LogError {
    /// `LOG_INVALID`.
    #[must_use]
    pub const fn code(self) -> Code {
        Code::LogInvalid
    }
}

/// A device that is or was on the log. `Debug` shows no key.
#[derive(Clone, PartialEq, Eq)]
pub struct Device {
    /// `H(hw1/device, ik)[0..16]`.
    pub id: DeviceId,
    /// The identity key (Ed25519).
    pub ik: [u8; 32],
    /// `X(ik)`: the identity key as an X25519 key.
    pub x25519: [u8; 32],
    /// What it is.
    pub kind: DeviceKind,
    /// What it can do.
    pub suites: Suites,
    /// The entry that added it.
    pub added: u32,
    /// The entry that revoked it.
    pub revoked: Option<u32>,
}

impl Device {
    /// Whether it is active right after entry `seq`.
    #[must_use]
    pub fn is_active_at(&self, seq: u32) -> bool {
        self.added <= seq && self.revoked.is_none_or(|at| at > seq)
    }
}

/// A recovery key that is or was on the log. It signs entries and sign-ins, nothing else. `Debug`
/// shows no key.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryKey {
    /// `H(hw1/device, rk)[0..16]`.
    pub id: DeviceId,
    /// The key (Ed25519).
    pub rk: [u8; 32],
    /// Whether it is active.
    pub active: bool,
}

/// A verified device log. `Debug` shows its newest point.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceLog {
    domain: String,
    handle: Handle,
    /// One for each entry; at least one.
    heads: Vec<Head>,
    genesis: Head,
    head: Head,
    time_ms: u64,
    /// All that ever were, sorted by id.
    devices: Vec<Device>,
    recovery: Vec<RecoveryKey>,
}

/// `H(hw1/device, key)[0..16]`: the id of a device's `ik` or of a recovery key's `rk`.
#[must_use]
pub fn device_id(key: &[u8; 32]) -> DeviceId {
    let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash(Label::Device, &[key]);
    DeviceId(id)
}

impl DeviceLog {
    /// Begins a log with its genesis entry (wire form).
    ///
    /// # Errors
    /// If it is no valid genesis entry.
    pub fn genesis(wire: &[u8]) -> Result<Self, LogError> {
        let entry = Entry::parse(wire).map_err(LogError::Layout)?;
        let draft = &entry.draft;
        let Payload::Genesis { domain, handle, ik, kind, suites } = &draft.payload else {
            return Err(LogError::Genesis);
        };
        if draft.seq != 0 || !draft.log.is_zero() || draft.prev != [0; 32] {
            return Err(LogError::Link);
        }
        let device = new_device(ik, *kind, *suites, 0)?;
        if draft.signer != device.id {
            return Err(LogError::Signer);
        }
        if !verify(ik, Label::Log, &[&draft.body()], &entry.signature) {
            return Err(LogError::Signature);
        }
        Ok(Self {
            domain: domain.clone(),
            handle: handle.clone(),
            heads: vec![entry.head],
            genesis: entry.head,
            head: entry.head,
            time_ms: draft.time_ms,
            devices: vec![device],
            recovery: Vec::new(),
        })
    }

    /// Verifies a whole log, genesis first (wire forms).
    ///
    /// # Errors
    /// At the first entry that breaks a rule, or if there is none.
    pub fn verify<W: AsRef<[u8]>>(entries: impl IntoIterator<Item = W>) -> Result<Self, LogError> {
        let mut entries = entries.into_iter();
        let mut log = Self::genesis(entries.next().ok_or(LogError::Empty)?.as_ref())?;
        for entry in entries {
            log.extend(entry.as_ref())?;
        }
        Ok(log)
    }

    /// Verifies the next entry (wire form) and appends it.
    ///
    /// # Errors
    /// If it breaks a rule; the log is then unchanged.
    pub fn extend(&mut self, wire: &[u8]) -> Result<(), LogError> {
        let entry = Entry::parse(wire).map_err(LogError::Layout)?;
        let draft = &entry.draft;
        if matches!(draft.payload, Payload::Genesis { .. }) {
            return Err(LogError::Genesis);
        }
        if self.heads.len() >= ENTRIES_MAX {
            return Err(LogError::Limit);
        }
        let next = self.seq() + 1;
        if draft.seq != next || draft.log != self.user() || draft.prev != self.head.0 {
            return Err(LogError::Link);
        }
        if draft.time_ms < self.time_ms {
            return Err(LogError::Time);
        }
        let (key, by_recovery) = self.signer(&draft.signer).ok_or(LogError::Signer)?;
        let claim = entry.claim.as_ref().map_or(&[][..], <[u8; 64]>::as_slice);
        if !verify(key, Label::Log, &[&draft.body(), claim], &entry.signature) {
            return Err(LogError::Signature);
        }
        self.check_claim(&entry)?;
        self.apply(&draft.payload, next, by_recovery)?;
        self.heads.push(entry.head);
        self.head = entry.head;
        self.time_ms = draft.time_ms;
        Ok(())
    }

    /// The user: the hash of the genesis entry.
    #[must_use]
    pub const fn user(&self) -> UserId {
        UserId(self.genesis.0)
    }

    /// The domain that the genesis entry names.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The username that the genesis entry names.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The newest entry's number, from 0.
    #[must_use]
    pub fn seq(&self) -> u32 {
        u32::try_from(self.heads.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// The newest entry's hash.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// The hash of entry `seq`; `None` past the newest.
    #[must_use]
    pub fn head_at(&self, seq: u32) -> Option<Head> {
        self.heads.get(usize::try_from(seq).ok()?).copied()
    }

    /// The newest entry's time, in milliseconds since 1970: what [`crate::Draft`] must not fall below.
    #[must_use]
    pub const fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The newest point.
    #[must_use]
    pub fn point(&self) -> LogPoint {
        LogPoint { user: self.user(), seq: self.seq(), head: self.head }
    }

    /// Whether `point` lies on this log.
    #[must_use]
    pub fn contains(&self, point: &LogPoint) -> bool {
        point.user == self.user() && self.head_at(point.seq) == Some(point.head)
    }

    /// The active devices, sorted by id: at most [`DEVICES_MAX`].
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices_at(self.seq())
    }

    /// The devices that were active right after entry `seq`, sorted by id.
    pub fn devices_at(&self, seq: u32) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(move |device| device.is_active_at(seq))
    }

    /// A device, active or revoked.
    #[must_use]
    pub fn device(&self, id: &DeviceId) -> Option<&Device> {
        let at = self.devices.binary_search_by(|device| device.id.cmp(id)).ok()?;
        self.devices.get(at)
    }

    /// Whether a device is active at the newest entry.
    #[must_use]
    pub fn is_active(&self, id: &DeviceId) -> bool {
        self.is_active_at(id, self.seq())
    }

    /// Whether a device was active right after entry `seq`.
    #[must_use]
    pub fn is_active_at(&self, id: &DeviceId, seq: u32) -> bool {
        self.device(id).is_some_and(|device| device.is_active_at(seq))
    }

    /// The active recovery keys: at most [`RECOVERY_MAX`].
    pub fn recovery_keys(&self) -> impl Iterator<Item = &RecoveryKey> {
        self.recovery.iter().filter(|key| key.active)
    }

    /// The public key that signs in as `id`: an active device's `ik` or an active recovery key's
    /// `rk`.
    #[must_use]
    pub fn login_key(&self, id: &DeviceId) -> Option<&[u8; 32]> {
        self.signer(id).map(|(key, _)| key)
    }

    /// The active signer of this id, and whether it is a recovery key.
    fn signer(&self, id: &DeviceId) -> Option<(&[u8; 32], bool)> {
        if let Some(device) = self.device(id).filter(|device| device.revoked.is_none()) {
            return Some((&device.ik, false));
        }
        self.recovery_keys().find(|key| key.id == *id).map(|key| (&key.rk, true))
    }

    fn check_claim(&self, entry: &Entry) -> Result<(), LogError> {
        let Some((key, kind, suites)) = entry.draft.payload.claim() else { return Ok(()) };
        let claim = entry.claim.as_ref().ok_or(LogError::Claim)?;
        let parts = [&self.genesis.0[..], key, &[kind], &suites.to_be_bytes()];
        if verify(key, Label::Claim, &parts, claim) { Ok(()) } else { Err(LogError::Claim) }
    }

    /// Checks what the payload does and does it; changes nothing on error.
    fn apply(&mut self, payload: &Payload, seq: u32, by_recovery: bool) -> Result<(), LogError> {
        match payload {
            Payload::Genesis { .. } => Err(LogError::Genesis),
            Payload::Add { ik, kind, suites } => {
                let device = new_device(ik, *kind, *suites, seq)?;
                self.check_new(&device.id)?;
                if self.devices().count() >= DEVICES_MAX {
                    return Err(LogError::Limit);
                }
                let at = self.devices.partition_point(|other| other.id < device.id);
                self.devices.insert(at, device);
                Ok(())
            }
            Payload::Revoke { devices, .. } => {
                let twice = devices.iter().enumerate().any(|(i, id)| devices[..i].contains(id));
                if twice || !devices.iter().all(|id| self.is_active(id)) {
                    return Err(LogError::Target);
                }
                let left = self.devices().count() + self.recovery_keys().count() - devices.len();
                if left == 0 {
                    return Err(LogError::NobodyLeft);
                }
                for device in self.devices.iter_mut().filter(|device| devices.contains(&device.id))
                {
                    device.revoked = Some(seq);
                }
                Ok(())
            }
            Payload::RecoveryAdd { rk } => {
                let active = self.recovery_keys().count();
                if !by_recovery && active > 0 {
                    return Err(LogError::Authority);
                }
                to_x25519(rk)?;
                let id = device_id(rk);
                self.check_new(&id)?;
                if active >= RECOVERY_MAX {
                    return Err(LogError::Limit);
                }
                self.recovery.push(RecoveryKey { id, rk: *rk, active: true });
                Ok(())
            }
            Payload::RecoveryDel { recovery } => {
                if !by_recovery {
                    return Err(LogError::Authority);
                }
                if !self.recovery_keys().any(|key| key.id == *recovery) {
                    return Err(LogError::Target);
                }
                if self.devices().count() + self.recovery_keys().count() == 1 {
                    return Err(LogError::NobodyLeft);
                }
                for key in self.recovery.iter_mut().filter(|key| key.id == *recovery) {
                    key.active = false;
                }
                Ok(())
            }
        }
    }

    /// A key's id is its hash, so an unknown id is an unknown key.
    fn check_new(&self, id: &DeviceId) -> Result<(), LogError> {
        if self.device(id).is_some() || self.recovery.iter().any(|key| key.id == *id) {
            return Err(LogError::KeyKnown);
        }
        Ok(())
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("id", &self.id)
            .field("added", &self.added)
            .field("revoked", &self.revoked)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoveryKey")
            .field("id", &self.id)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DeviceLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeviceLog").field(&self.point()).finish()
    }
}

fn new_device(
    ik: &[u8; 32],
    kind: DeviceKind,
    suites: Suites,
    added: u32,
) -> Result<Device, LogError> {
    let x25519 = to_x25519(ik)?;
    Ok(Device { id: device_id(ik), ik: *ik, x25519, kind, suites, added, revoked: None })
}

/// `X(ik)`. dryoc refuses what is not canonical, of small order, or not torsion-free.
fn to_x25519(key: &[u8; 32]) -> Result<[u8; 32], LogError> {
    let mut out = [0; 32];
    crypto_sign_ed25519_pk_to_curve25519(&mut out, key).map_err(|_| LogError::Key)?;
    Ok(out)
}
