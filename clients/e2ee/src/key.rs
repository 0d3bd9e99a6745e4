//! A device's identity key: it signs log entries, prekeys and sign-ins, and authenticates wraps
//! and tags through its X25519 form (CRYPTO 3, 5, 6).

use std::fmt;

use dryoc::classic::crypto_sign::{crypto_sign_detached, crypto_sign_seed_keypair_inplace};
use dryoc::classic::crypto_sign_ed25519::crypto_sign_ed25519_sk_to_curve25519;
use hushwire_identity::entry::is_domain;
use hushwire_identity::hash::{Label, signed};
use hushwire_identity::{DeviceKind, Draft, Handle, Payload, Suites, login_message};
use hushwire_wire::{DeviceId, Nonce, UserId};
use zeroize::Zeroizing;

use crate::random::{Random, RandomError};
use crate::secret::Secret;

/// A device's Ed25519 identity key. Erased when dropped; `Debug` shows the short device id.
#[derive(Clone)]
pub struct DeviceKey {
    seed: Secret<32>,
    secret: Secret<64>,
    public: [u8; 32],
    id: DeviceId,
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeviceKey").field(&self.id).finish()
    }
}

/// A genesis entry cannot be made for this domain: it is no domain of CRYPTO 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a domain has 1 to 253 characters of a-z, 0-9, '.', '-' and ':'")]
pub struct DomainError;

impl DeviceKey {
    /// A new key.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub fn generate(random: &mut dyn Random) -> Result<Self, RandomError> {
        Ok(Self::of(Secret::random(random)?))
    }

    /// The key of a 32-byte Ed25519 seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self::of(Secret::new(seed))
    }

    fn of(seed: Secret<32>) -> Self {
        let (mut public, mut secret) = ([0; 32], Secret::zero());
        crypto_sign_seed_keypair_inplace(&mut public, secret.get_mut(), seed.get());
        Self { seed, secret, public, id: hushwire_identity::log::device_id(&public) }
    }

    /// The seed, for the encrypted store.
    #[must_use]
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*self.seed.get())
    }

    /// The public key, `ik`.
    #[must_use]
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// `H(hw1/device, ik)[0..16]`.
    #[must_use]
    pub const fn device_id(&self) -> DeviceId {
        self.id
    }

    /// A genesis entry in wire form: a new log with this device as its first. `time_ms` is in
    /// milliseconds since 1970.
    ///
    /// # Errors
    /// If `domain` is none.
    pub fn genesis(
        &self,
        domain: &str,
        handle: &Handle,
        kind: DeviceKind,
        suites: Suites,
        time_ms: u64,
    ) -> Result<Vec<u8>, DomainError> {
        if !is_domain(domain) {
            return Err(DomainError);
        }
        let draft = Draft {
            seq: 0,
            log: UserId::ZERO,
            prev: [0; 32],
            time_ms,
            signer: self.id,
            payload: Payload::Genesis {
                domain: domain.to_owned(),
                handle: handle.clone(),
                ik: self.public,
                kind,
                suites,
            },
        };
        Ok(self.sign_entry(&draft, None))
    }

    /// Signs any entry and gives its wire form. `claim` is the new key's [`Self::claim`], for
    /// entries that add a key.
    #[must_use]
    pub fn sign_entry(&self, draft: &Draft, claim: Option<&[u8; 64]>) -> Vec<u8> {
        let claim_part = claim.map_or(&[][..], <[u8; 64]>::as_slice);
        let signature = self.sign(Label::Log, &[&draft.body(), claim_part]);
        draft.wire(claim, &signature)
    }

    /// This key's consent to be added to `log` as a device (CRYPTO 3, `claim_sig`).
    #[must_use]
    pub fn claim(&self, log: &UserId, kind: DeviceKind, suites: Suites) -> [u8; 64] {
        let suites = suites.bits().to_be_bytes();
        self.sign(Label::Claim, &[log.as_bytes(), &self.public, &[kind.number()], &suites])
    }

    /// Answers a sign-in challenge of `domain` as a device of `user`.
    #[must_use]
    pub fn login(&self, domain: &str, nonce: &Nonce, user: &UserId) -> [u8; 64] {
        self.sign(Label::Auth, &[&login_message(domain, nonce, user, &self.id)])
    }

    pub(crate) fn sign(&self, label: Label, parts: &[&[u8]]) -> [u8; 64] {
        let mut signature = [0; 64];
        let done = crypto_sign_detached(&mut signature, &signed(label, parts), self.secret.get());
        debug_assert!(done.is_ok(), "signing has no failure");
        signature
    }

    /// `X(ik)`'s secret.
    pub(crate) fn to_x25519(&self) -> Secret<32> {
        let mut out = Secret::zero();
        crypto_sign_ed25519_sk_to_curve25519(out.get_mut(), self.secret.get());
        out
    }
}
