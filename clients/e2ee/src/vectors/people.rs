//! Kinds `qr`, `codes`, `links`, `recovery` and `recovery-refused`: what people see, scan and
//! type.

use hushwire_identity::hash::{Label, hash64, kdf};
use hushwire_identity::{
    ContactLink, DeviceCode, DeviceKind, QrCheck, QrPayload, Suites, contact_link,
};
use hushwire_wire::UserId;
use serde::{Deserialize, Serialize};

use super::bytes::{B16, B32, B64, Hex};
use super::file::{Case, Fault};
use super::logs::log_of;
use crate::key::DeviceKey;
use crate::recovery::RecoveryWords;

/// Kind `qr`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Qr {
    pub(super) name: String,
    pub(super) shower: Vec<Hex>,
    pub(super) scanner: Vec<Hex>,
    pub(super) payload: Hex,
    pub(super) accept: bool,
}

impl Case for Qr {
    const KIND: &'static str = "qr";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let (shower, scanner) = (log_of(&self.shower)?, log_of(&self.scanner)?);
        let accept = QrPayload::parse(&self.payload.0)
            .is_ok_and(|payload| payload.check(&scanner, &shower) != QrCheck::Different);
        Ok(Self { accept, ..self.clone() })
    }
}

/// Kind `codes`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddCode {
    pub(super) name: String,
    pub(super) log_id: B32,
    pub(super) new_seed: B32,
    pub(super) kind: u8,
    pub(super) suites: u16,
    pub(super) ik: B32,
    pub(super) claim: B64,
    pub(super) hash: B64,
    pub(super) code: String,
}

impl Case for AddCode {
    const KIND: &'static str = "codes";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let (key, log) = (DeviceKey::from_seed(self.new_seed.0), UserId(self.log_id.0));
        let kind = DeviceKind::from_number(self.kind).ok_or("no device's kind")?;
        let suites = Suites::from_bits(self.suites).ok_or("no suites")?;
        let code = DeviceCode::of(&log, key.public(), kind, suites);
        if DeviceCode::parse(&code.to_string()) != Some(code) {
            return Err("the code is not read as it was written".to_owned());
        }
        let parts: [&[u8]; 4] =
            [log.as_bytes(), key.public(), &[self.kind], &self.suites.to_be_bytes()];
        Ok(Self {
            ik: (*key.public()).into(),
            claim: key.claim(&log, kind, suites).into(),
            hash: hash64(Label::Code, &parts).into(),
            code: code.to_string(),
            ..self.clone()
        })
    }
}

/// Kind `links`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) handle: String,
    pub(super) domain: String,
    pub(super) log_id: B32,
    pub(super) link: String,
}

impl Case for Link {
    const KIND: &'static str = "links";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let user = UserId(self.log_id.0);
        let link = contact_link(&self.handle, &self.domain, &user);
        let read = ContactLink::parse(&link).ok_or("the link is not read")?;
        if (read.handle.as_str(), read.names) != (&self.handle, Some((self.domain.clone(), user))) {
            return Err("the link is not read as it was written".to_owned());
        }
        Ok(Self { link, ..self.clone() })
    }
}

/// Kind `recovery`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recovery {
    pub(super) name: String,
    pub(super) entropy: B32,
    pub(super) words: String,
    pub(super) seed: B32,
    pub(super) rk: B32,
    pub(super) recovery_id: B16,
}

impl Case for Recovery {
    const KIND: &'static str = "recovery";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let words = RecoveryWords::from_entropy(self.entropy.0);
        let text = words.to_words();
        if RecoveryWords::parse(&text).map_err(|error| error.to_string())? != words {
            return Err("the words are not read as they were written".to_owned());
        }
        let (key, seed) = (words.key(), kdf(&self.entropy.0, Label::Recovery, &[]));
        if key.public() != DeviceKey::from_seed(seed).public() {
            return Err("the key is not that of the seed".to_owned());
        }
        Ok(Self {
            words: text.to_string(),
            seed: seed.into(),
            rk: (*key.public()).into(),
            recovery_id: key.id().0.into(),
            ..self.clone()
        })
    }
}

/// Kind `recovery-refused`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecoveryRefused {
    pub(super) name: String,
    pub(super) words: String,
    pub(super) code: String,
}

impl Case for RecoveryRefused {
    const KIND: &'static str = "recovery-refused";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        match RecoveryWords::parse(&self.words) {
            Err(_) => Ok(Self { code: "MALFORMED".to_owned(), ..self.clone() }),
            Ok(_) => Err("they are recovery words".to_owned()),
        }
    }
}
