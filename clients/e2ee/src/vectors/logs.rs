//! Kinds `logs`, `logs-refused` and `qr`: device logs, entry by entry.

use dryoc::classic::crypto_core::crypto_scalarmult_base;
use hushwire_identity::hash::Label;
use hushwire_identity::log::device_id;
use hushwire_identity::{
    DeviceKind, DeviceLog, Draft, Entry as Parsed, Handle, Head, LogPoint, Payload, Pin, Suites,
};
use hushwire_wire::{DeviceId, UserId};
use serde::{Deserialize, Serialize};

use super::bytes::{B16, B32, B64, Hex};
use super::file::{Case, Fault};
use crate::key::DeviceKey;

/// A point of a log: whose, which entry, its hash.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Point {
    pub(super) log_id: B32,
    pub(super) seq: u32,
    pub(super) head: B32,
}

impl Point {
    pub(super) fn of(point: &LogPoint) -> Self {
        Self { log_id: point.user.0.into(), seq: point.seq, head: point.head.0.into() }
    }

    pub(super) fn log_point(&self) -> LogPoint {
        LogPoint { user: UserId(self.log_id.0), seq: self.seq, head: Head(self.head.0) }
    }
}

/// An entry: what it does, who signs, and the bytes that follow.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Entry {
    #[serde(flatten)]
    pub(super) does: Does,
    pub(super) time_ms: u64,
    pub(super) signer_seed: B32,
    pub(super) body: Hex,
    pub(super) claim: Option<B64>,
    pub(super) sig: B64,
    pub(super) wire: Hex,
    pub(super) entry_hash: B32,
}

/// The fields of each type of entry.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Does {
    Genesis { domain: String, handle: String, kind: u8, suites: u16 },
    Add { new_seed: B32, kind: u8, suites: u16 },
    Revoke { devices: Vec<B16>, reason: u8 },
    RecAdd { new_seed: B32 },
    RecDel { recovery_id: B16 },
}

impl Entry {
    /// Without what follows.
    pub(super) fn new(does: Does, time_ms: u64, signer_seed: [u8; 32]) -> Self {
        Self {
            does,
            time_ms,
            signer_seed: signer_seed.into(),
            body: Hex::default(),
            claim: None,
            sig: B64::default(),
            wire: Hex::default(),
            entry_hash: B32::default(),
        }
    }

    /// The key that the entry brings in, if any.
    pub(super) fn new_key(&self) -> Option<DeviceKey> {
        match &self.does {
            Does::Genesis { .. } => Some(DeviceKey::from_seed(self.signer_seed.0)),
            Does::Add { new_seed, .. } | Does::RecAdd { new_seed } => {
                Some(DeviceKey::from_seed(new_seed.0))
            }
            Does::Revoke { .. } | Does::RecDel { .. } => None,
        }
    }

    fn payload(&self) -> Result<Payload, Fault> {
        let kind = |kind| DeviceKind::from_number(kind).ok_or("no device's kind");
        let suites = |bits| Suites::from_bits(bits).ok_or("no suites");
        let new = self.new_key().map(|key| *key.public()).unwrap_or_default();
        Ok(match &self.does {
            Does::Genesis { domain, handle, kind: number, suites: bits } => Payload::Genesis {
                domain: domain.clone(),
                handle: Handle::parse(handle).map_err(|error| error.to_string())?,
                ik: new,
                kind: kind(*number)?,
                suites: suites(*bits)?,
            },
            Does::Add { kind: number, suites: bits, .. } => {
                Payload::Add { ik: new, kind: kind(*number)?, suites: suites(*bits)? }
            }
            Does::Revoke { devices, reason } => Payload::Revoke {
                devices: devices.iter().map(|id| DeviceId(id.0)).collect(),
                reason: *reason,
            },
            Does::RecAdd { .. } => Payload::RecoveryAdd { rk: new },
            Does::RecDel { recovery_id } => {
                Payload::RecoveryDel { recovery: DeviceId(recovery_id.0) }
            }
        })
    }

    /// The new key's consent.
    fn claim(&self, payload: &Payload, log: &UserId) -> Result<Option<[u8; 64]>, Fault> {
        let Some(key) = self.new_key() else { return Ok(None) };
        Ok(match payload {
            Payload::Add { kind, suites, .. } => Some(key.claim(log, *kind, *suites)),
            Payload::RecoveryAdd { rk } => {
                let parts: [&[u8]; 4] = [log.as_bytes(), rk, &[255], &[0, 0]];
                Some(key.sign(Label::Claim, &parts))
            }
            _ => None,
        })
    }

    /// The entry as the next of `log` (the first if there is none), which it is appended to.
    pub(super) fn append(&self, log: &mut Option<DeviceLog>) -> Result<Self, Fault> {
        let signer = DeviceKey::from_seed(self.signer_seed.0);
        let user = log.as_ref().map_or(UserId::ZERO, DeviceLog::user);
        let draft = Draft {
            seq: log.as_ref().map_or(0, |log| log.seq() + 1),
            log: user,
            prev: log.as_ref().map_or([0; 32], |log| log.head().0),
            time_ms: self.time_ms,
            signer: signer.device_id(),
            payload: self.payload()?,
        };
        let claim = self.claim(&draft.payload, &user)?;
        let wire = signer.sign_entry(&draft, claim.as_ref());
        let refused = |error: hushwire_identity::LogError| error.to_string();
        let parsed = Parsed::parse(&wire).map_err(|error| error.to_string())?;
        match log {
            Some(log) => log.extend(&wire).map_err(refused)?,
            None => *log = Some(DeviceLog::genesis(&wire).map_err(refused)?),
        }
        if parsed.draft != draft || log.as_ref().map(DeviceLog::head) != Some(parsed.head) {
            return Err("the entry is not read as it was written".to_owned());
        }
        Ok(Self {
            body: draft.body().into(),
            claim: claim.map(B64::from),
            sig: parsed.signature.into(),
            wire: wire.into(),
            entry_hash: parsed.head.0.into(),
            ..self.clone()
        })
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Active {
    device_id: B16,
    ik: B32,
    x25519: B32,
    kind: u8,
    suites: u16,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActiveRecovery {
    recovery_id: B16,
    rk: B32,
}

/// Kind `logs`: a valid log.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) name: String,
    pub(super) entries: Vec<Entry>,
    pub(super) log_id: B32,
    pub(super) seq: u32,
    pub(super) head: B32,
    pub(super) devices: Vec<Active>,
    pub(super) recovery: Vec<ActiveRecovery>,
}

impl Case for Log {
    const KIND: &'static str = "logs";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let (mut log, mut entries) = (None, Vec::new());
        for entry in &self.entries {
            entries.push(entry.append(&mut log)?);
            let Some(key) = entry.new_key() else { continue };
            // X(ik) is the same from either half of the key.
            let mut public = [0; 32];
            crypto_scalarmult_base(&mut public, key.to_x25519().get());
            let device = log.as_ref().and_then(|log| log.device(&key.device_id()));
            if device.is_some_and(|device| device.x25519 != public) {
                return Err("X(ik) differs between secret and public key".to_owned());
            }
        }
        let log = log.ok_or("no entries")?;
        let device = |device: &hushwire_identity::Device| Active {
            device_id: device.id.0.into(),
            ik: device.ik.into(),
            x25519: device.x25519.into(),
            kind: device.kind.number(),
            suites: device.suites.bits(),
        };
        let mut recovery: Vec<_> = log.recovery_keys().collect();
        recovery.sort_by_key(|key| key.id);
        let recovery = recovery
            .into_iter()
            .map(|key| ActiveRecovery {
                recovery_id: device_id(&key.rk).0.into(),
                rk: key.rk.into(),
            })
            .collect();
        Ok(Self {
            name: self.name.clone(),
            entries,
            log_id: log.user().0.into(),
            seq: log.seq(),
            head: log.head().0.into(),
            devices: log.devices().map(device).collect(),
            recovery,
        })
    }
}

/// Kind `logs-refused`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogRefused {
    pub(super) name: String,
    pub(super) entries: Vec<Hex>,
    pub(super) pin: Option<Point>,
    pub(super) accepted: usize,
    pub(super) code: String,
}

impl Case for LogRefused {
    const KIND: &'static str = "logs-refused";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let (accepted, log, error) = verified(&self.entries);
        let code = match (error, &self.pin) {
            (Some(error), None) => error.code(),
            (None, Some(pin)) => {
                let log = log.ok_or("no entries")?;
                let mut pin = Pin(pin.log_point());
                pin.advance(&log).err().ok_or("the log continues the pin")?.code()
            }
            (Some(error), Some(_)) => return Err(format!("not the pin's matter: {error}")),
            (None, None) => return Err("the log is valid".to_owned()),
        };
        Ok(Self { accepted, code: code.as_str().to_owned(), ..self.clone() })
    }
}

/// How many entries hold from the start, the log that they are, and the error that ends it. An
/// entry that is refused leaves the log as it was.
fn verified(entries: &[Hex]) -> (usize, Option<DeviceLog>, Option<hushwire_identity::LogError>) {
    let mut log: Option<DeviceLog> = None;
    for (i, Hex(wire)) in entries.iter().enumerate() {
        let before = log.clone();
        let grown = match &mut log {
            Some(log) => log.extend(wire),
            None => DeviceLog::genesis(wire).map(|new| log = Some(new)),
        };
        if let Err(error) = grown {
            assert_eq!(log, before, "a refused entry changes nothing");
            return (i, log, Some(error));
        }
    }
    (entries.len(), log, None)
}

/// The verified log of these wires.
pub(super) fn log_of(wires: &[Hex]) -> Result<DeviceLog, Fault> {
    DeviceLog::verify(wires.iter().map(|wire| &wire.0)).map_err(|error| error.to_string())
}
