//! Kinds `reports` and `reports-refused`: what a server stamps, and what it believes.

use hushwire_identity::hash::{Label, kdf};
use hushwire_identity::report::envelope;
use hushwire_identity::{Delivery, Evidence, Suite, aead};
use hushwire_wire::{DeviceId, UserId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::bytes::{B16, B32, Bytes, Hex};
use super::file::{Case, Fault};
use crate::seal::aead_open;
use crate::secret::Secret;

/// Kind `reports`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) suite: u8,
    pub(super) mk: B32,
    pub(super) header: Bytes<56>,
    pub(super) padded: Hex,
    pub(super) k_srv: B32,
    pub(super) from_user: B32,
    pub(super) from_device: B16,
    pub(super) to_user: B32,
    pub(super) time_ms: u64,
    pub(super) commit: B32,
    pub(super) ct: Hex,
    pub(super) env: B32,
    pub(super) stamp: B32,
}

impl Case for Report {
    const KIND: &'static str = "reports";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let suite = Suite::from_number(self.suite).ok_or("no suite")?;
        let (Bytes(mk), Bytes(header)) = (self.mk, self.header);
        let enc = kdf(&mk, Label::Enc, &[]);
        let commit = kdf(&mk, Label::Commit, &[&header]);
        let ct = aead::seal(suite, &enc, &self.padded.0);
        if aead_open(suite, &Secret::new(enc), &ct).map(|padded| padded.to_vec())
            != Ok(self.padded.0.clone())
        {
            return Err("the ciphertext does not open".to_owned());
        }
        let env = envelope(&header, &commit, &ct);
        let delivery = Delivery {
            from_user: UserId(self.from_user.0),
            from_device: DeviceId(self.from_device.0),
            to_user: UserId(self.to_user.0),
            time_ms: self.time_ms,
        };
        let stamp = delivery.stamp(&self.k_srv.0, &env);
        let made = Self {
            commit: commit.into(),
            ct: ct.into(),
            env: env.into(),
            stamp: stamp.into(),
            ..self.clone()
        };
        made.shown().check()?;
        Ok(made)
    }
}

impl Report {
    /// What a person shows of it.
    pub(super) fn shown(&self) -> Shown {
        Shown {
            name: self.name.clone(),
            suite: self.suite,
            mk: self.mk,
            header: self.header,
            commit: self.commit,
            padded: self.padded.clone(),
            stamp: self.stamp,
            time_ms: self.time_ms,
            k_srv: self.k_srv,
            from_user: self.from_user,
            from_device: self.from_device,
            to_user: self.to_user,
        }
    }
}

/// Kind `reports-refused`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) suite: u8,
    pub(super) mk: B32,
    pub(super) header: Bytes<56>,
    pub(super) commit: B32,
    pub(super) padded: Hex,
    pub(super) stamp: B32,
    pub(super) time_ms: u64,
    pub(super) k_srv: B32,
    pub(super) from_user: B32,
    pub(super) from_device: B16,
    pub(super) to_user: B32,
}

impl Shown {
    /// The server's check, over the bytes that travel.
    fn check(&self) -> Result<(), Fault> {
        let suite = Suite::from_number(self.suite).ok_or("no suite")?;
        let evidence = Evidence {
            header: self.header.0,
            commit: self.commit.0,
            message_key: Zeroizing::new(self.mk.0),
            padded: Zeroizing::new(self.padded.0.clone()),
            stamp: self.stamp.0,
            time_ms: self.time_ms,
        };
        let evidence = Evidence::parse(&evidence.to_bytes()).map_err(|error| error.to_string())?;
        let (from, device) = (UserId(self.from_user.0), DeviceId(self.from_device.0));
        evidence
            .check(&self.k_srv.0, suite, from, device, UserId(self.to_user.0))
            .map_err(|error| error.to_string())
    }
}

impl Case for Shown {
    const KIND: &'static str = "reports-refused";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        Suite::from_number(self.suite).ok_or("no suite")?;
        match self.check() {
            Err(_) => Ok(self.clone()),
            Ok(()) => Err("the server believes it".to_owned()),
        }
    }
}
