//! The secret of a prekey: an X25519 key and an X-Wing seed (CRYPTO 4).

use std::num::NonZeroU32;

use dryoc::classic::crypto_core::crypto_scalarmult_base;
use dryoc::classic::crypto_kem_xwing::crypto_kem_xwing_seed_keypair_inplace;
use hushwire_identity::hash::Label;
use hushwire_identity::prekey::{XWING_KEY_LEN, pq_hash};
use hushwire_identity::{DeviceLog, Prekey, PrekeyRecord, Suite, Suites};
use hushwire_wire::layout::{LayoutError, Reader, Writer};
use zeroize::Zeroizing;

use crate::key::DeviceKey;
use crate::random::{Random, RandomError};
use crate::secret::Secret;

/// One prekey's secrets. Erased when dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrekeySecret {
    id: NonZeroU32,
    x25519: Secret<32>,
    xwing_seed: Secret<32>,
}

impl PrekeySecret {
    /// The size of [`Self::to_bytes`].
    pub const LEN: usize = 1 + 4 + 32 + 32;

    /// New secrets under `id`, one more than the highest that this device ever published.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub fn generate(id: NonZeroU32, random: &mut dyn Random) -> Result<Self, RandomError> {
        let x25519 = Secret::random(random)?;
        let xwing_seed = Secret::random(random)?;
        Ok(Self { id, x25519, xwing_seed })
    }

    /// The prekey's id.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id.get()
    }

    /// The record that `key` signs, and the X-Wing key beside it if `suites` has suite 3. It
    /// names the newest entry of `log`, the device's own verified log. `day` is in days since
    /// 1970 ([`hushwire_identity::day_of`]).
    #[must_use]
    pub fn publish(&self, key: &DeviceKey, log: &DeviceLog, suites: Suites, day: u32) -> Prekey {
        let xwing = suites.has(Suite::XWing).then(|| self.xwing_public());
        let mut record = PrekeyRecord {
            user: log.user(),
            device: key.device_id(),
            id: self.id(),
            day,
            log_seq: log.seq(),
            log_head: log.head(),
            suites,
            x25519: self.x25519_public(),
            pq_hash: xwing.as_deref().map_or([0; 32], pq_hash),
            signature: [0; 64],
        };
        record.signature = key.sign(Label::Prekey, &[&record.signed_part()]);
        Prekey { record, xwing }
    }

    /// `u8 ver=1 | u32 id | b32 x25519 | b32 xwing_seed`, for the encrypted store.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::with_capacity(Self::LEN);
        w.u8(1).u32(self.id()).raw(self.x25519.get()).raw(self.xwing_seed.get());
        Zeroizing::new(w.finish())
    }

    /// Reads [`Self::to_bytes`].
    ///
    /// # Errors
    /// For another version, id 0, short or trailing bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LayoutError> {
        let mut r = Reader::new(bytes);
        if r.u8("prekey_secret.ver")? != 1 {
            return Err(LayoutError::new("prekey_secret.ver", "1"));
        }
        let id = NonZeroU32::new(r.u32("prekey_secret.id")?)
            .ok_or(LayoutError::new("prekey_secret.id", "1 or more"))?;
        let x25519 = Secret::new(r.array("prekey_secret.x25519")?);
        let xwing_seed = Secret::new(r.array("prekey_secret.xwing_seed")?);
        r.finish("prekey_secret")?;
        Ok(Self { id, x25519, xwing_seed })
    }

    pub(crate) fn x25519(&self) -> &Secret<32> {
        &self.x25519
    }

    /// The seed is X-Wing's secret key.
    pub(crate) fn xwing_seed(&self) -> &Secret<32> {
        &self.xwing_seed
    }

    pub(crate) fn x25519_public(&self) -> [u8; 32] {
        let mut public = [0; 32];
        crypto_scalarmult_base(&mut public, self.x25519.get());
        public
    }

    pub(crate) fn xwing_public(&self) -> Vec<u8> {
        let (mut public, mut secret) = ([0; XWING_KEY_LEN], Secret::<32>::zero());
        let seed = self.xwing_seed.get();
        crypto_kem_xwing_seed_keypair_inplace(&mut public, secret.get_mut(), seed);
        public.to_vec()
    }
}
