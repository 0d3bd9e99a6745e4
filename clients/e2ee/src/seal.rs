//! The primitives of CRYPTO 1 as this crate uses them: exchange, single-use sealing, wraps, and
//! the derivations of chains, tags and message keys. Every secret that passes through is erased.

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use dryoc::classic::crypto_box::{crypto_box_beforenm, crypto_box_seed_keypair_inplace};
use dryoc::classic::crypto_kem_xwing::{crypto_kem_xwing_dec, crypto_kem_xwing_enc_deterministic};
use dryoc::classic::crypto_secretbox::crypto_secretbox_open_easy;
use hushwire_identity::hash::{Label, hash, kdf, kdf_wide, kdf16};
use hushwire_identity::{Suite, aead};
use hushwire_wire::message::{COMMIT_LEN, HEADER_LEN, SEAL_OVERHEAD, TAG_LEN};
use hushwire_wire::{DeviceId, EpochId};
use zeroize::Zeroizing;

pub(crate) use hushwire_identity::report::envelope;

use crate::prekey::PrekeySecret;
use crate::random::{Random, RandomError};
use crate::secret::Secret;

/// A key was of small order, or a ciphertext did not open. Callers name it for their act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

/// `crypto_box_beforenm`: X25519 and HSalsa20.
pub(crate) fn exchange(public: &[u8; 32], secret: &Secret<32>) -> Result<Secret<32>, Failed> {
    crypto_box_beforenm(public, secret.get()).map(Secret::new).map_err(|_| Failed)
}

/// Opens what [`aead::seal`] sealed.
pub(crate) fn aead_open(
    suite: Suite,
    key: &Secret<32>,
    ct: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Failed> {
    let len = ct.len().checked_sub(SEAL_OVERHEAD).ok_or(Failed)?;
    let mut out = Zeroizing::new(vec![0; len]);
    match suite {
        Suite::NaCl | Suite::XWing => {
            crypto_secretbox_open_easy(&mut out, ct, &[0; 24], key.get()).map_err(|_| Failed)?;
        }
        Suite::Aes => {
            let (text, tag) = ct.split_last_chunk::<SEAL_OVERHEAD>().ok_or(Failed)?;
            out.copy_from_slice(text);
            Aes256Gcm::new(key.get().into())
                .decrypt_inout_detached(
                    &Nonce::default(),
                    &[],
                    out.as_mut_slice().into(),
                    tag.into(),
                )
                .map_err(|_| Failed)?;
        }
    }
    Ok(out)
}

/// What a wrap is bound to (CRYPTO 5, `wk`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrapFor {
    pub(crate) suite: Suite,
    pub(crate) epoch: EpochId,
    pub(crate) creator: DeviceId,
    pub(crate) device: DeviceId,
    pub(crate) prekey: u32,
}

impl WrapFor {
    /// `wk`: `kem_key` is the public key that `ct` was made for.
    pub(crate) fn key(
        &self,
        shared: &Secret<32>,
        auth: &Secret<32>,
        kem_key: &[u8],
        ct: &[u8],
    ) -> Secret<32> {
        let mut key = Secret::<64>::zero();
        key.get_mut()[..32].copy_from_slice(shared.get());
        key.get_mut()[32..].copy_from_slice(auth.get());
        let kem = hash(Label::Kem, &[kem_key, ct]);
        let parts: [&[u8]; 5] = [
            self.epoch.as_bytes(),
            self.creator.as_bytes(),
            self.device.as_bytes(),
            &self.prekey.to_be_bytes(),
            &kem,
        ];
        Secret::new(kdf_wide(key.get(), Label::Wrap, &parts))
    }

    /// Seals the epoch's key to a prekey. `auth` is the exchange of the creator's identity with
    /// the prekey. [`Failed`] for a key that is missing or of small order.
    pub(crate) fn seal(
        &self,
        x25519: &[u8; 32],
        xwing: Option<&[u8]>,
        auth: &Secret<32>,
        epoch_key: &Secret<32>,
        random: &mut dyn Random,
    ) -> Result<Result<Vec<u8>, Failed>, RandomError> {
        let (ct, shared, kem_key): (Vec<u8>, Secret<32>, &[u8]) = match self.suite {
            Suite::NaCl | Suite::Aes => {
                let seed = Secret::<32>::random(random)?;
                let (mut public, mut secret) = ([0; 32], Secret::zero());
                crypto_box_seed_keypair_inplace(&mut public, secret.get_mut(), seed.get());
                let Ok(shared) = exchange(x25519, &secret) else {
                    return Ok(Err(Failed));
                };
                (public.to_vec(), shared, x25519)
            }
            Suite::XWing => {
                let seed = Secret::<64>::random(random)?;
                let Some(key) = xwing.and_then(|key| key.as_array()) else {
                    return Ok(Err(Failed));
                };
                let mut ct = [0; 1120];
                let mut shared = Secret::zero();
                let done =
                    crypto_kem_xwing_enc_deterministic(&mut ct, shared.get_mut(), key, seed.get());
                if done.is_err() {
                    return Ok(Err(Failed));
                }
                (ct.to_vec(), shared, key)
            }
        };
        let wrap_key = self.key(&shared, auth, kem_key, &ct);
        let sealed = aead::seal(self.suite, wrap_key.get(), epoch_key.get());
        Ok(Ok([ct, sealed].concat()))
    }

    /// Opens a wrap. `auth` is the exchange of the creator's identity with the prekey.
    pub(crate) fn open(
        &self,
        secret: &PrekeySecret,
        auth: &Secret<32>,
        wrap: &[u8],
    ) -> Result<Secret<32>, Failed> {
        if wrap.len() != self.suite.wrap_len() {
            return Err(Failed);
        }
        let (ct, sealed) = wrap.split_at(self.suite.ct_len());
        let (shared, kem_key) = match self.suite {
            Suite::NaCl | Suite::Aes => {
                let public = ct.as_array().ok_or(Failed)?;
                (exchange(public, secret.x25519())?, secret.x25519_public().to_vec())
            }
            Suite::XWing => {
                let ct = ct.as_array().ok_or(Failed)?;
                let mut shared = Secret::zero();
                crypto_kem_xwing_dec(shared.get_mut(), ct, secret.xwing_seed().get())
                    .map_err(|_| Failed)?;
                (shared, secret.xwing_public())
            }
        };
        let opened = aead_open(self.suite, &self.key(&shared, auth, &kem_key, ct), sealed)?;
        opened.as_slice().try_into().map(Secret::new).map_err(|_| Failed)
    }
}

/// `kc`: the commitment to the epoch's key.
pub(crate) fn key_commitment(epoch_key: &Secret<32>) -> [u8; 32] {
    kdf(epoch_key.get(), Label::Kc, &[])
}

/// `CK[i][lane]`, the first key of a chain.
pub(crate) fn chain_key(
    epoch_key: &Secret<32>,
    epoch: &EpochId,
    device: &DeviceId,
    lane: u8,
) -> Secret<32> {
    let parts: [&[u8]; 3] = [epoch.as_bytes(), device.as_bytes(), &[lane]];
    Secret::new(kdf(epoch_key.get(), Label::Chain, &parts))
}

/// `CK_c+1`.
pub(crate) fn next_chain_key(chain: &Secret<32>) -> Secret<32> {
    Secret::new(kdf(chain.get(), Label::Next, &[]))
}

/// `M[i->j]`, from the exchange of i's identity with j's prekey.
pub(crate) fn tag_key(
    exchanged: &Secret<32>,
    epoch: &EpochId,
    from: &DeviceId,
    to: &DeviceId,
) -> Secret<32> {
    let parts: [&[u8]; 3] = [epoch.as_bytes(), from.as_bytes(), to.as_bytes()];
    Secret::new(kdf(exchanged.get(), Label::Mac, &parts))
}

/// The salt of the next message: hedged, so that a bad source or a state that was rolled back
/// still does not repeat a message key.
pub(crate) fn salt(chain: &Secret<32>, random: &[u8; 16], padded: &[u8]) -> [u8; 16] {
    kdf16(chain.get(), Label::Salt, &[random, padded])
}

/// `SK_c`, from which only the message at this counter can be opened: what is kept of a counter
/// that was passed. The chain's own key would give away all that follows.
pub(crate) fn skipped_key(chain: &Secret<32>) -> Secret<32> {
    Secret::new(kdf(chain.get(), Label::Msg, &[]))
}

/// `MK` of the message with this header, from [`skipped_key`].
pub(crate) fn message_key(skipped: &Secret<32>, header: &[u8; HEADER_LEN]) -> Secret<32> {
    Secret::new(kdf(skipped.get(), Label::Msg, &[header]))
}

/// The key that seals the content.
pub(crate) fn content_key(message_key: &Secret<32>) -> Secret<32> {
    Secret::new(kdf(message_key.get(), Label::Enc, &[]))
}

/// The commitment to the message key.
pub(crate) fn commitment(message_key: &Secret<32>, header: &[u8; HEADER_LEN]) -> [u8; COMMIT_LEN] {
    kdf(message_key.get(), Label::Commit, &[header])
}

/// `tag_j`.
pub(crate) fn tag(tag_key: &Secret<32>, envelope: &[u8; 32]) -> [u8; TAG_LEN] {
    kdf16(tag_key.get(), Label::Tag, &[envelope])
}

#[cfg(test)]
mod tests {
    use hushwire_identity::log::device_id;
    use hushwire_wire::Mid;
    use hushwire_wire::message::{Class, Header};
    use serde_json::Value;

    use super::*;

    const VECTORS: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/hw1-first.json"));

    #[test]
    fn the_first_vectors() {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let (inputs, expected) = (&vectors["inputs"], &vectors["expected"]);
        let bytes = |name: &str| hex::decode(inputs[name].as_str().unwrap()).unwrap();
        let number = |name: &str| usize::try_from(inputs[name].as_u64().unwrap()).unwrap();
        let key = |name: &str| Secret::<32>::new(bytes(name).try_into().unwrap());
        let mut checked = 0;
        let mut check = |name: &str, ours: &[u8]| {
            assert_eq!(hex::encode(ours), expected[name].as_str().unwrap(), "{name}");
            checked += 1;
        };

        let epoch = EpochId(bytes("epoch_id").try_into().unwrap());
        let dev = DeviceId(bytes("dev").try_into().unwrap());
        let dev2 = DeviceId(bytes("dev2").try_into().unwrap());
        check("device_id", device_id(&bytes("ik").try_into().unwrap()).as_bytes());
        check("kc", &key_commitment(&key("K")));
        let ck0 = chain_key(&key("K"), &epoch, &dev, u8::try_from(number("lane")).unwrap());
        check("ck0", ck0.get());
        let random = bytes("rnd").try_into().unwrap();
        let salt = salt(&ck0, &random, &vec![0; number("padded_len")]);
        check("salt", &salt);
        assert_eq!(number("class"), Class::Text as usize);
        let header = Header {
            class: Class::Text,
            sender: u8::try_from(number("sender")).unwrap(),
            lane: u8::try_from(number("lane")).unwrap(),
            counter: u32::try_from(number("counter")).unwrap(),
            epoch,
            mid: Mid(salt),
        };
        let header = header.to_bytes();
        check("header", &header);
        let sk0 = skipped_key(&ck0);
        check("sk0", sk0.get());
        let mk = message_key(&sk0, &header);
        check("mk", mk.get());
        check("enc", content_key(&mk).get());
        let commit = commitment(&mk, &header);
        check("commit", &commit);
        check("ck1", next_chain_key(&ck0).get());
        let m = tag_key(&key("dh"), &epoch, &dev, &dev2);
        check("m", m.get());
        let ct = vec![bytes("ct_byte")[0]; number("ct_len")];
        let env = envelope(&header, &commit, &ct);
        check("env", &env);
        check("tag", &tag(&m, &env));
        let wrap = WrapFor {
            suite: Suite::NaCl,
            epoch,
            creator: dev,
            device: dev2,
            prekey: u32::try_from(number("wrap_prekey_id")).unwrap(),
        };
        let wk = wrap.key(&key("wrap_ss"), &key("wrap_as"), &bytes("wrap_pk"), &bytes("wrap_ct"));
        check("wk", wk.get());
        assert_eq!(checked, expected.as_object().unwrap().len(), "every value is checked");
    }

    #[test]
    fn wraps_refuse_other_sizes_and_suites() {
        let random = &mut |out: &mut [u8]| {
            out.fill(9);
            Ok(())
        };
        let id = std::num::NonZeroU32::MIN;
        let secret = PrekeySecret::generate(id, random).unwrap();
        let me = crate::key::DeviceKey::from_seed([3; 32]);
        let log = hushwire_identity::DeviceLog::genesis(
            &me.genesis(
                "example.org",
                &hushwire_identity::Handle::parse("someone").unwrap(),
                hushwire_identity::DeviceKind::TERMINAL,
                hushwire_identity::Suites::HERE,
                0,
            )
            .unwrap(),
        )
        .unwrap();
        let creator = log.device(&me.device_id()).unwrap().x25519;
        let auth = exchange(&secret.x25519_public(), &me.to_x25519()).unwrap();
        assert_eq!(exchange(&creator, secret.x25519()), Ok(auth.clone()), "both ends");
        let epoch_key = Secret::new([5; 32]);
        for (suite, another) in
            [(Suite::NaCl, Suite::Aes), (Suite::Aes, Suite::NaCl), (Suite::XWing, Suite::Aes)]
        {
            let to = WrapFor {
                suite,
                epoch: EpochId([1; 32]),
                creator: me.device_id(),
                device: DeviceId([2; 16]),
                prekey: 1,
            };
            let xwing = secret.xwing_public();
            let wrap = to
                .seal(&secret.x25519_public(), Some(&xwing), &auth, &epoch_key, random)
                .unwrap()
                .unwrap();
            assert_eq!(wrap.len(), suite.wrap_len());
            assert_eq!(to.open(&secret, &auth, &wrap), Ok(epoch_key.clone()));
            assert_eq!(to.open(&secret, &auth, &wrap[1..]), Err(Failed));
            for other in [
                WrapFor { epoch: EpochId([9; 32]), ..to },
                WrapFor { creator: DeviceId([9; 16]), ..to },
                WrapFor { device: DeviceId([9; 16]), ..to },
                WrapFor { prekey: 2, ..to },
                WrapFor { suite: another, ..to },
            ] {
                assert_eq!(other.open(&secret, &auth, &wrap), Err(Failed));
            }
            for at in [0, suite.ct_len() - 1, suite.ct_len(), wrap.len() - 1] {
                let mut broken = wrap.clone();
                broken[at] ^= 1;
                assert_eq!(to.open(&secret, &auth, &broken), Err(Failed), "byte {at}");
            }
        }
    }
}
