//! Keys that sign, for tests only: the crate itself cannot.
#![allow(dead_code, unreachable_pub)]

use dryoc::classic::crypto_sign::{crypto_sign_detached, crypto_sign_seed_keypair};
use hushwire_identity::hash::{Label, signed};
use hushwire_identity::log::device_id;
use hushwire_identity::prekey::pq_hash;
use hushwire_identity::{
    DeviceKind, DeviceLog, Draft, Handle, Payload, PrekeyRecord, Suite, Suites,
};
use hushwire_wire::{DeviceId, UserId};

/// A signing key made from one byte.
pub struct Key {
    pub public: [u8; 32],
    secret: [u8; 64],
}

pub fn key(seed: u8) -> Key {
    from_seed(&[seed; 32])
}

pub fn from_seed(seed: &[u8; 32]) -> Key {
    let (public, secret) = crypto_sign_seed_keypair(seed);
    Key { public, secret }
}

impl Key {
    pub fn id(&self) -> DeviceId {
        device_id(&self.public)
    }

    pub fn sign(&self, label: Label, parts: &[&[u8]]) -> [u8; 64] {
        let mut out = [0; 64];
        crypto_sign_detached(&mut out, &signed(label, parts), &self.secret).unwrap();
        out
    }

    pub fn genesis(&self, handle: &str) -> Vec<u8> {
        let draft = Draft {
            seq: 0,
            log: UserId::ZERO,
            prev: [0; 32],
            time_ms: 1_000,
            signer: self.id(),
            payload: Payload::Genesis {
                domain: "example.org".to_owned(),
                handle: Handle::parse(handle).unwrap(),
                ik: self.public,
                kind: DeviceKind::TERMINAL,
                suites: Suites::HERE,
            },
        };
        self.entry(&draft, None)
    }

    pub fn claim(&self, log: &UserId, kind: u8, suites: u16) -> [u8; 64] {
        let parts: [&[u8]; 4] = [log.as_bytes(), &self.public, &[kind], &suites.to_be_bytes()];
        self.sign(Label::Claim, &parts)
    }

    pub fn entry(&self, draft: &Draft, claim: Option<&[u8; 64]>) -> Vec<u8> {
        let covered = claim.map_or(&[][..], <[u8; 64]>::as_slice);
        draft.wire(claim, &self.sign(Label::Log, &[&draft.body(), covered]))
    }

    /// An entry that continues `log`, with the claim of `new` if it adds a key.
    pub fn next(&self, log: &DeviceLog, payload: Payload, new: Option<&Key>) -> Vec<u8> {
        let draft = self.draft(log, payload);
        let claim = new.map(|new| {
            let (_, kind, suites) = draft.payload.claim().unwrap();
            new.claim(&log.user(), kind, suites)
        });
        self.entry(&draft, claim.as_ref())
    }

    pub fn draft(&self, log: &DeviceLog, payload: Payload) -> Draft {
        Draft {
            seq: log.seq() + 1,
            log: log.user(),
            prev: log.head().0,
            time_ms: log.time_ms(),
            signer: self.id(),
            payload,
        }
    }

    pub fn prekey(&self, log: &DeviceLog, id: u32, day: u32, suites: Suites) -> PrekeyRecord {
        let x25519 = log.devices().next().unwrap().x25519;
        let has = suites.has(Suite::XWing);
        let mut record = PrekeyRecord {
            user: log.user(),
            device: self.id(),
            id,
            day,
            log_seq: log.seq(),
            log_head: log.head(),
            suites,
            x25519,
            pq_hash: if has { pq_hash(&[7; 1216]) } else { [0; 32] },
            signature: [0; 64],
        };
        self.sign_prekey(&mut record);
        record
    }

    pub fn sign_prekey(&self, record: &mut PrekeyRecord) {
        record.signature = self.sign(Label::Prekey, &[&record.signed_part()]);
    }
}

pub fn add(new: &Key) -> Payload {
    Payload::Add { ik: new.public, kind: DeviceKind::PHONE, suites: Suites::HERE }
}

pub fn revoke(keys: &[&Key]) -> Payload {
    Payload::Revoke { devices: keys.iter().map(|key| key.id()).collect(), reason: 0 }
}

pub fn rec_add(new: &Key) -> Payload {
    Payload::RecoveryAdd { rk: new.public }
}

pub fn rec_del(old: &Key) -> Payload {
    Payload::RecoveryDel { recovery: old.id() }
}

/// A log whose devices are `keys`, added by the first.
pub fn log_of(handle: &str, keys: &[&Key]) -> DeviceLog {
    let mut log = DeviceLog::genesis(&keys[0].genesis(handle)).unwrap();
    for new in &keys[1..] {
        log.extend(&keys[0].next(&log, add(new), Some(new))).unwrap();
    }
    log
}
