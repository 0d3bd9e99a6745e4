//! Kinds `logins`, `requests`, `headers`, `headers-refused`, `safety-numbers` and `xwing`.

use dryoc::classic::crypto_kem_xwing::{
    crypto_kem_xwing_dec, crypto_kem_xwing_enc_deterministic, crypto_kem_xwing_seed_keypair_inplace,
};
use hushwire_identity::hash::{Label, hash64, signed};
use hushwire_identity::{
    ContactRequest, EpochHeader, Handle, Reason, Side, Slot, Suite, login_message, safety_number,
    verify_login,
};
use hushwire_wire::{DeviceId, Nonce, UserId};
use serde::{Deserialize, Serialize};

use super::bytes::{B16, B32, B64, Bytes, Hex};
use super::file::{Case, Fault};
use super::logs::Point;
use crate::key::DeviceKey;

/// Kind `logins`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    pub(super) name: String,
    pub(super) seed: B32,
    pub(super) domain: String,
    pub(super) server_nonce: B32,
    pub(super) log_id: B32,
    pub(super) key_id: B16,
    pub(super) signed: Hex,
    pub(super) signature: B64,
}

impl Case for Login {
    const KIND: &'static str = "logins";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let key = DeviceKey::from_seed(self.seed.0);
        let (nonce, user, id) =
            (Nonce(self.server_nonce.0), UserId(self.log_id.0), key.device_id());
        let signature = key.login(&self.domain, &nonce, &user);
        verify_login(key.public(), &self.domain, &nonce, &user, &id, &signature)
            .map_err(|error| error.to_string())?;
        let message = login_message(&self.domain, &nonce, &user, &id);
        Ok(Self {
            key_id: id.0.into(),
            signed: signed(Label::Auth, &[&message]).into(),
            signature: signature.into(),
            ..self.clone()
        })
    }
}

/// A contact request.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    pub(super) log_id: B32,
    pub(super) seq: u32,
    pub(super) head: B32,
    pub(super) to: B32,
    pub(super) handle: String,
    pub(super) nonce: B16,
    pub(super) time_ms: u64,
    pub(super) bytes: Hex,
    pub(super) request_id: B32,
}

impl Request {
    pub(super) fn made(&self) -> Result<Self, Fault> {
        let to = UserId(self.to.0);
        let from = Point { log_id: self.log_id, seq: self.seq, head: self.head };
        let request = ContactRequest {
            from: from.log_point(),
            to: (!to.is_zero()).then_some(to),
            handle: Handle::parse(&self.handle).map_err(|error| error.to_string())?,
            nonce: self.nonce.0,
            time_ms: self.time_ms,
        };
        let bytes = request.to_bytes();
        if ContactRequest::parse(&bytes).as_ref() != Ok(&request) {
            return Err("the request is not read as it was written".to_owned());
        }
        Ok(Self { bytes: bytes.into(), request_id: request.id().0.into(), ..self.clone() })
    }
}

/// Kind `requests`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct RequestMade {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) request: Request,
}

impl Case for RequestMade {
    const KIND: &'static str = "requests";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        Ok(Self { request: self.request.made()?, ..self.clone() })
    }
}

/// A roster device.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    pub(super) side: u8,
    pub(super) device_id: B16,
    pub(super) prekey_id: u32,
}

/// An epoch's header.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) suite: u8,
    pub(super) n: u32,
    pub(super) prev: B32,
    pub(super) created_ms: u64,
    pub(super) creator: u8,
    pub(super) reason: u8,
    pub(super) a: Point,
    pub(super) b: Point,
    pub(super) kc: B32,
    pub(super) roster: Vec<Listed>,
    pub(super) header: Hex,
    pub(super) epoch_id: B32,
}

impl Header {
    /// The header's fields as this implementation has them.
    pub(super) fn parts(&self) -> Result<EpochHeader, Fault> {
        let slot = |listed: &Listed| {
            let side = match listed.side {
                0 => Side::A,
                1 => Side::B,
                side => return Err(format!("side {side}")),
            };
            Ok(Slot { side, device: DeviceId(listed.device_id.0), prekey: listed.prekey_id })
        };
        Ok(EpochHeader {
            suite: Suite::from_number(self.suite).ok_or("no suite")?,
            n: self.n,
            prev: self.prev.0,
            created_ms: self.created_ms,
            creator: self.creator,
            reason: reason_of(self.reason)?,
            a: self.a.log_point(),
            b: (self.b != Point::default()).then(|| self.b.log_point()),
            kc: self.kc.0,
            roster: self.roster.iter().map(slot).collect::<Result<_, _>>()?,
        })
    }

    /// All fields of a header.
    pub(super) fn of(header: &EpochHeader) -> Self {
        let listed = |slot: &Slot| Listed {
            side: slot.side as u8,
            device_id: slot.device.0.into(),
            prekey_id: slot.prekey,
        };
        Self {
            suite: header.suite.number(),
            n: header.n,
            prev: header.prev.into(),
            created_ms: header.created_ms,
            creator: header.creator,
            reason: header.reason as u8,
            a: Point::of(&header.a),
            b: header.b.as_ref().map(Point::of).unwrap_or_default(),
            kc: header.kc.into(),
            roster: header.roster.iter().map(listed).collect(),
            header: header.to_bytes().into(),
            epoch_id: header.id().0.into(),
        }
    }

    pub(super) fn made(&self) -> Result<Self, Fault> {
        let header = self.parts()?;
        let read = EpochHeader::parse(&header.to_bytes()).map_err(|error| error.to_string())?;
        if read != header {
            return Err("the header is not read as it was written".to_owned());
        }
        Ok(Self::of(&header))
    }
}

pub(super) fn reason_of(number: u8) -> Result<Reason, Fault> {
    let all = [Reason::First, Reason::Devices, Reason::Age, Reason::Prekey, Reason::Heal];
    all.into_iter().find(|reason| *reason as u8 == number).ok_or_else(|| "no reason".to_owned())
}

/// Kind `headers`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct HeaderMade {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) header: Header,
}

impl Case for HeaderMade {
    const KIND: &'static str = "headers";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        Ok(Self { header: self.header.made()?, ..self.clone() })
    }
}

/// Kind `headers-refused`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderRefused {
    pub(super) name: String,
    pub(super) header: Hex,
    pub(super) code: String,
}

impl Case for HeaderRefused {
    const KIND: &'static str = "headers-refused";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        match EpochHeader::parse(&self.header.0) {
            Err(_) => Ok(Self { code: "MALFORMED".to_owned(), ..self.clone() }),
            Ok(_) => Err("it is a header".to_owned()),
        }
    }
}

/// Kind `safety-numbers`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Safety {
    pub(super) name: String,
    pub(super) a: Point,
    pub(super) b: Point,
    pub(super) hash: B64,
    pub(super) number: String,
}

impl Case for Safety {
    const KIND: &'static str = "safety-numbers";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let (a, b) = (self.a.log_point(), self.b.log_point());
        let mut sides = [a.to_bytes(), b.to_bytes()];
        sides.sort_unstable();
        Ok(Self {
            hash: hash64(Label::Sn, &[&sides[0], &sides[1]]).into(),
            number: safety_number(&a, &b).to_string(),
            ..self.clone()
        })
    }
}

/// Kind `xwing`: the key encapsulation of suite 3 alone.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Xwing {
    pub(super) name: String,
    pub(super) seed: B32,
    pub(super) eseed: B64,
    pub(super) pk: Hex,
    pub(super) ct: Hex,
    pub(super) ss: B32,
}

impl Case for Xwing {
    const KIND: &'static str = "xwing";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let Bytes(seed) = self.seed;
        let (mut pk, mut sk) = ([0; 1216], [0; 32]);
        crypto_kem_xwing_seed_keypair_inplace(&mut pk, &mut sk, &seed);
        let (mut ct, mut ss, mut opened) = ([0; 1120], [0; 32], [0; 32]);
        crypto_kem_xwing_enc_deterministic(&mut ct, &mut ss, &pk, &self.eseed.0)
            .and_then(|()| crypto_kem_xwing_dec(&mut opened, &ct, &sk))
            .map_err(|error| error.to_string())?;
        if opened != ss {
            return Err("what was encapsulated does not come out".to_owned());
        }
        Ok(Self { pk: pk[..].into(), ct: ct[..].into(), ss: ss.into(), ..self.clone() })
    }
}
