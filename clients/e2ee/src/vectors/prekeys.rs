//! Kinds `prekeys` and `prekey-rules`.

use std::num::NonZeroU32;

use hushwire_identity::hash::{Label, verify};
use hushwire_identity::prekey::pq_hash;
use hushwire_identity::{Head, Prekey, PrekeyError, PrekeyRecord, Suite, Suites, day_of};
use hushwire_wire::UserId;
use serde::{Deserialize, Serialize};

use super::bytes::{B16, B32, Hex};
use super::file::{Case, Fault};
use super::logs::log_of;
use crate::key::DeviceKey;
use crate::prekey::PrekeySecret;

/// A prekey with its secrets.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Published {
    pub(super) device_seed: B32,
    pub(super) log_id: B32,
    pub(super) id: u32,
    pub(super) day: u32,
    pub(super) log_seq: u32,
    pub(super) log_head: B32,
    pub(super) suites: u16,
    pub(super) x25519_secret: B32,
    pub(super) xwing_seed: Option<B32>,
    pub(super) device_id: B16,
    pub(super) x25519: B32,
    pub(super) xwing: Option<Hex>,
    pub(super) pq_hash: B32,
    pub(super) record: Hex,
}

impl Published {
    pub(super) fn secret(&self) -> Result<PrekeySecret, Fault> {
        let id = NonZeroU32::new(self.id).ok_or("id 0")?;
        let xwing_seed = self.xwing_seed.unwrap_or_default().0;
        let bytes = [&[1], &id.get().to_be_bytes()[..], &self.x25519_secret.0, &xwing_seed];
        PrekeySecret::from_bytes(&bytes.concat()).map_err(|error| error.to_string())
    }

    /// The record and the X-Wing key, as they travel.
    pub(super) fn prekey(&self) -> Result<Prekey, Fault> {
        let xwing = self.xwing.as_ref().map(|key| key.0.as_slice());
        Prekey::parse(&self.record.0, xwing).map_err(|error| error.to_string())
    }

    pub(super) fn made(&self) -> Result<Self, Fault> {
        let key = DeviceKey::from_seed(self.device_seed.0);
        let (secret, suites) = (self.secret()?, Suites::from_bits(self.suites).ok_or("no suites")?);
        if suites.has(Suite::XWing) != self.xwing_seed.is_some() {
            return Err("an X-Wing seed stands exactly with suite 3".to_owned());
        }
        let xwing = self.xwing_seed.map(|_| secret.xwing_public());
        let mut record = PrekeyRecord {
            user: UserId(self.log_id.0),
            device: key.device_id(),
            id: self.id,
            day: self.day,
            log_seq: self.log_seq,
            log_head: Head(self.log_head.0),
            suites,
            x25519: secret.x25519_public(),
            pq_hash: xwing.as_deref().map_or([0; 32], pq_hash),
            signature: [0; 64],
        };
        let signed = record.signed_part();
        record.signature = key.sign(Label::Prekey, &[&signed]);
        if !verify(key.public(), Label::Prekey, &[&signed], &record.signature) {
            return Err("the signature does not verify".to_owned());
        }
        let made = Self {
            device_id: record.device.0.into(),
            x25519: record.x25519.into(),
            xwing: xwing.map(Hex),
            pq_hash: record.pq_hash.into(),
            record: record.to_bytes().into(),
            ..self.clone()
        };
        if made.prekey()?.record != record {
            return Err("the record is not read as it was written".to_owned());
        }
        Ok(made)
    }
}

/// Kind `prekeys`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct PrekeyMade {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) prekey: Published,
}

impl Case for PrekeyMade {
    const KIND: &'static str = "prekeys";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        Ok(Self { prekey: self.prekey.made()?, ..self.clone() })
    }
}

/// Who asks whether a prekey may be used.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    Creator,
    Recipient,
}

/// Kind `prekey-rules`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrekeyRule {
    pub(super) name: String,
    pub(super) log: Vec<Hex>,
    pub(super) record: Hex,
    pub(super) xwing: Option<Hex>,
    pub(super) created_ms: u64,
    pub(super) seen_id: u32,
    pub(super) role: Role,
    pub(super) code: Option<String>,
}

impl Case for PrekeyRule {
    const KIND: &'static str = "prekey-rules";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let log = log_of(&self.log)?;
        let xwing = self.xwing.as_ref().map(|key| key.0.as_slice());
        let code = match Prekey::verified(&self.record.0, xwing, &log) {
            Err(error) => Some(code_of(error)),
            Ok(Prekey { record, .. }) => {
                if !record.usable_on(day_of(self.created_ms)) {
                    Some("PREKEY_STALE")
                } else if self.role == Role::Creator && record.id < self.seen_id {
                    Some("PREKEY_ROLLBACK")
                } else {
                    None
                }
            }
        };
        Ok(Self { code: code.map(str::to_owned), ..self.clone() })
    }
}

/// The code of the vectors: a record that is ahead of the log waits for the log.
pub(super) fn code_of(error: PrekeyError) -> &'static str {
    match error {
        PrekeyError::Ahead => "HOLD",
        other => other.code().as_str(),
    }
}
