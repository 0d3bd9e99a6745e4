//! What somebody with real keys can make by breaking the rules: epochs with any header, key and
//! wraps, messages with any header, content and tag, signatures under any label.
//!
//! It is composed from CRYPTO 2 to 6 by itself, since the crate under test offers no way to
//! cheat. What it makes without a fault is accepted: each test shows that beside its refusals.

use dryoc::classic::crypto_box::{crypto_box_beforenm, crypto_box_keypair};
use dryoc::classic::crypto_kem_xwing::{crypto_kem_xwing_dec, crypto_kem_xwing_enc};
use dryoc::classic::crypto_secretbox::{crypto_secretbox_easy, crypto_secretbox_open_easy};
use dryoc::classic::crypto_sign::{crypto_sign_detached, crypto_sign_seed_keypair_inplace};
use dryoc::classic::crypto_sign_ed25519::crypto_sign_ed25519_sk_to_curve25519;
use hushwire_e2ee::{DeviceKey, Party, PrekeySecret};
use hushwire_identity::hash::{Label, hash, kdf, kdf_wide, kdf16, signed};
use hushwire_identity::post::roster;
use hushwire_identity::{
    Current, Device, EpochHeader, LogPoint, Prekey, PrekeyRecord, Reason, Side, Slot, Suite,
};
use hushwire_wire::http::EpochBundle;
use hushwire_wire::{DeviceId, Sealed, UserId};

use super::person::{self, now_ms, random_array};

const NONCE: [u8; 24] = [0; 24];

/// `Sign(key, label, parts)`, whatever the label is for.
pub fn sign(key: &DeviceKey, label: Label, parts: &[&[u8]]) -> [u8; 64] {
    let mut signature = [0; 64];
    crypto_sign_detached(&mut signature, &signed(label, parts), &secret_key(key)).unwrap();
    signature
}

fn secret_key(key: &DeviceKey) -> [u8; 64] {
    let (mut public, mut secret) = ([0; 32], [0; 64]);
    crypto_sign_seed_keypair_inplace(&mut public, &mut secret, &key.to_seed());
    secret
}

/// `X(ik)`'s secret.
pub fn identity_x25519(key: &DeviceKey) -> [u8; 32] {
    let mut out = [0; 32];
    crypto_sign_ed25519_sk_to_curve25519(&mut out, &secret_key(key));
    out
}

/// A prekey's X25519 secret and X-Wing seed.
pub fn prekey_secrets(secret: &PrekeySecret) -> ([u8; 32], [u8; 32]) {
    let bytes = secret.to_bytes();
    (bytes[5..37].try_into().unwrap(), bytes[37..69].try_into().unwrap())
}

/// `crypto_box_beforenm`.
pub fn exchange(public: &[u8; 32], secret: &[u8; 32]) -> [u8; 32] {
    crypto_box_beforenm(public, secret).unwrap()
}

/// `crypto_secretbox_easy` under a single-use key.
pub fn seal(key: &[u8; 32], text: &[u8]) -> Vec<u8> {
    let mut out = vec![0; text.len() + 16];
    crypto_secretbox_easy(&mut out, text, &NONCE, key).unwrap();
    out
}

/// Opens what [`seal`] sealed.
pub fn unseal(key: &[u8; 32], ct: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; ct.len() - 16];
    crypto_secretbox_open_easy(&mut out, ct, &NONCE, key).ok().map(|()| out)
}

/// An epoch with its key: any header, any key.
#[derive(Clone, Debug)]
pub struct Epoch {
    pub header: EpochHeader,
    /// K. The header commits to the one it was made with.
    pub key: [u8; 32],
}

impl Epoch {
    /// As an honest device makes it, with its key at hand.
    pub fn honest(
        creator: &DeviceKey,
        mine: &Party<'_>,
        peer: &Party<'_>,
        n: u32,
        prev: [u8; 32],
    ) -> Self {
        Self::at(creator, mine, peer, n, prev, now_ms())
    }

    /// As [`Self::honest`], at another time.
    pub fn at(
        creator: &DeviceKey,
        mine: &Party<'_>,
        peer: &Party<'_>,
        n: u32,
        prev: [u8; 32],
        created_ms: u64,
    ) -> Self {
        let (a, b) = if mine.log.user() < peer.log.user() { (mine, peer) } else { (peer, mine) };
        let (of_a, of_b) = (records(a), records(b));
        let a_side = Current { log: a.log, prekeys: &of_a };
        let b_side = Current { log: b.log, prekeys: &of_b };
        let (roster, suite) = roster(&a_side, Some(&b_side), created_ms).unwrap();
        let at = roster.iter().position(|slot| slot.device == creator.device_id());
        let key = random_array();
        let header = EpochHeader {
            suite,
            n,
            prev,
            created_ms,
            creator: at.unwrap() as u8,
            reason: if n == 0 { Reason::First } else { Reason::Heal },
            a: a.log.point(),
            b: Some(b.log.point()),
            kc: kdf(&key, Label::Kc, &[]),
            roster,
        };
        Self { header, key }
    }

    /// With another header; whatever is made of it is bound to the changed one.
    pub fn with(&self, change: impl FnOnce(&mut EpochHeader)) -> Self {
        let mut changed = self.clone();
        change(&mut changed.header);
        changed
    }

    /// Puts a device into the roster where it belongs, or takes its place.
    pub fn seat(&self, side: Side, device: DeviceId, prekey: u32) -> Self {
        let creator = self.header.roster[usize::from(self.header.creator)].device;
        self.with(|header| {
            header.roster.retain(|slot| slot.device != device);
            header.roster.push(Slot { side, device, prekey });
            header.roster.sort_by_key(|slot| (slot.side, slot.device));
            header.creator = header.index_of(&creator).unwrap();
        })
    }

    /// Names another point of a user's log.
    pub fn naming(&self, point: LogPoint) -> Self {
        self.with(|header| {
            if header.a.user == point.user {
                header.a = point;
            } else {
                header.b = Some(point);
            }
        })
    }

    /// Which side a user is.
    pub fn side_of(&self, user: &UserId) -> Side {
        if self.header.a.user == *user { Side::A } else { Side::B }
    }

    /// Takes a device out of the roster.
    pub fn unseat(&self, device: &DeviceId) -> Self {
        let creator = self.header.roster[usize::from(self.header.creator)].device;
        self.with(|header| {
            header.roster.retain(|slot| slot.device != *device);
            header.creator = header.index_of(&creator).unwrap();
        })
    }

    /// The honest wrap for a prekey.
    pub fn wrap(&self, creator: &DeviceKey, to: &Prekey) -> Vec<u8> {
        self.wrap_of(&self.key, &identity_x25519(creator), &creator.device_id(), to)
    }

    /// A wrap of any key by whoever knows this identity secret, in the name of any device.
    pub fn wrap_of(
        &self,
        key: &[u8; 32],
        identity: &[u8; 32],
        creator: &DeviceId,
        to: &Prekey,
    ) -> Vec<u8> {
        let (ct, shared) = match self.header.suite {
            Suite::XWing => {
                let xwing: &[u8; 1216] = to.xwing.as_deref().unwrap().as_array().unwrap();
                let (mut ct, mut shared) = ([0; 1120], [0; 32]);
                crypto_kem_xwing_enc(&mut ct, &mut shared, xwing).unwrap();
                (ct.to_vec(), shared)
            }
            _ => {
                let (public, secret) = crypto_box_keypair();
                (public.to_vec(), exchange(&to.record.x25519, &secret))
            }
        };
        let auth = exchange(&to.record.x25519, identity);
        let wk = self.wrap_key(&shared, &auth, creator, to, &ct);
        [ct.clone(), seal(&wk, key)].concat()
    }

    /// `wk` of CRYPTO 5.
    pub fn wrap_key(
        &self,
        shared: &[u8; 32],
        auth: &[u8; 32],
        creator: &DeviceId,
        to: &Prekey,
        ct: &[u8],
    ) -> [u8; 32] {
        let kem_key = match self.header.suite {
            Suite::XWing => to.xwing.as_deref().unwrap(),
            _ => &to.record.x25519,
        };
        let both: [u8; 64] = [*shared, *auth].concat().try_into().unwrap();
        let kem = hash(Label::Kem, &[kem_key, ct]);
        let (id, device) = (self.header.id(), to.record.device);
        let prekey = to.record.id.to_be_bytes();
        let parts: [&[u8]; 5] = [&id.0, &creator.0, &device.0, &prekey, &kem];
        kdf_wide(&both, Label::Wrap, &parts)
    }

    /// `CK` of a roster device at a counter.
    pub fn chain(&self, device: &DeviceId, lane: u8, counter: u32) -> [u8; 32] {
        let parts: [&[u8]; 3] = [&self.header.id().0, &device.0, &[lane]];
        let first = kdf(&self.key, Label::Chain, &parts);
        (0..counter).fold(first, |chain, _| kdf(&chain, Label::Next, &[]))
    }

    /// `M[from->to]`.
    pub fn tag_key(&self, from: &DeviceKey, to: &PrekeyRecord) -> [u8; 32] {
        let exchanged = exchange(&to.x25519, &identity_x25519(from));
        let parts: [&[u8]; 3] = [&self.header.id().0, &from.device_id().0, &to.device.0];
        kdf(&exchanged, Label::Mac, &parts)
    }

    /// Seals a letter as its `sender` would.
    pub fn seal(&self, letter: &Letter) -> Parts {
        let device = self.header.roster[usize::from(letter.sender)].device;
        let chain = self.chain(&device, letter.lane, letter.counter);
        self.seal_with(letter, &chain)
    }

    /// Seals a letter under a chain key.
    pub fn seal_with(&self, letter: &Letter, chain: &[u8; 32]) -> Parts {
        let salt = letter
            .salt
            .unwrap_or_else(|| kdf16(chain, Label::Salt, &[&random_array::<16>(), &letter.padded]));
        let mut header = [0; 56];
        header[..4].copy_from_slice(&[1, letter.class, letter.sender, letter.lane]);
        header[4..8].copy_from_slice(&letter.counter.to_be_bytes());
        header[8..40].copy_from_slice(&self.header.id().0);
        header[40..].copy_from_slice(&salt);
        let message_key = kdf(&kdf(chain, Label::Msg, &[]), Label::Msg, &[&header]);
        let ct = seal(&kdf(&message_key, Label::Enc, &[]), &letter.padded);
        Parts { header, commit: kdf(&message_key, Label::Commit, &[&header]), ct }
    }

    /// As it is fetched, with a wrap and the prekeys that it names.
    pub fn bundle(&self, wrap: Vec<u8>, prekeys: &[&Prekey]) -> EpochBundle {
        EpochBundle {
            header: Sealed::new(self.header.to_bytes()),
            wrap: Some(Sealed::new(wrap)),
            prekeys: prekeys.iter().map(|prekey| person::bundle(prekey)).collect(),
        }
    }

    /// The path that it is fetched from.
    pub fn path(&self) -> String {
        format!("/v1/epochs/{}", self.header.id().to_base64url())
    }
}

fn records(party: &Party<'_>) -> Vec<PrekeyRecord> {
    party.prekeys.iter().map(|prekey| prekey.record.clone()).collect()
}

/// A message before it is sealed: every byte is the sender's choice.
#[derive(Clone, Debug)]
pub struct Letter {
    pub class: u8,
    pub sender: u8,
    pub lane: u8,
    pub counter: u32,
    /// `None`: as an honest sender derives it.
    pub salt: Option<[u8; 16]>,
    pub padded: Vec<u8>,
}

/// A sealed message before it is tagged.
#[derive(Clone, Debug)]
pub struct Parts {
    pub header: [u8; 56],
    pub commit: [u8; 32],
    pub ct: Vec<u8>,
}

impl Parts {
    /// As it is delivered, with an authentic tag over whatever stands here.
    pub fn delivered(&self, tag_key: &[u8; 32]) -> Vec<u8> {
        let len = (self.ct.len() as u32).to_be_bytes();
        let env = hash(Label::Env, &[&self.header, &self.commit, &len, &self.ct]);
        let tag = kdf16(tag_key, Label::Tag, &[&env]);
        [&self.header[..], &self.commit, &len, &self.ct, &tag].concat()
    }
}

/// The key in a suite-3 wrap, for whoever has the prekey's secrets.
pub fn open_wrap(
    epoch: &Epoch,
    secret: &PrekeySecret,
    to: &Prekey,
    creator: &Device,
    wrap: &[u8],
) -> Option<Vec<u8>> {
    let (x25519, seed) = prekey_secrets(secret);
    let ct: &[u8; 1120] = wrap[..1120].as_array().unwrap();
    let mut shared = [0; 32];
    crypto_kem_xwing_dec(&mut shared, ct, &seed).unwrap();
    let auth = exchange(&creator.x25519, &x25519);
    unseal(&epoch.wrap_key(&shared, &auth, &creator.id, to, ct), &wrap[1120..])
}
