//! Kinds `signatures`, `identity-keys` and `exchanges`: what the library says at the edges of
//! Ed25519 and X25519. It must be what libsodium says.

use dryoc::classic::crypto_sign::crypto_sign_verify_detached;
use dryoc::classic::crypto_sign_ed25519::crypto_sign_ed25519_pk_to_curve25519;
use serde::{Deserialize, Serialize};

use super::bytes::{B32, B64, Hex};
use super::file::{Case, Fault};
use crate::seal;
use crate::secret::Secret;

/// Kind `signatures`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signature {
    pub(super) name: String,
    pub(super) public: B32,
    pub(super) message: Hex,
    pub(super) signature: B64,
    pub(super) valid: bool,
}

impl Case for Signature {
    const KIND: &'static str = "signatures";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let checked =
            crypto_sign_verify_detached(&self.signature.0, &self.message.0, &self.public.0);
        Ok(Self { valid: checked.is_ok(), ..self.clone() })
    }
}

/// Kind `identity-keys`: X(key), or none.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdentityKey {
    pub(super) name: String,
    pub(super) key: B32,
    pub(super) x25519: Option<B32>,
}

impl Case for IdentityKey {
    const KIND: &'static str = "identity-keys";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let mut out = [0; 32];
        let x25519 = crypto_sign_ed25519_pk_to_curve25519(&mut out, &self.key.0);
        Ok(Self { x25519: x25519.ok().map(|()| out.into()), ..self.clone() })
    }
}

/// Kind `exchanges`: `crypto_box_beforenm`, or a refusal.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    pub(super) name: String,
    pub(super) public: B32,
    pub(super) secret: B32,
    pub(super) shared: Option<B32>,
}

impl Case for Exchange {
    const KIND: &'static str = "exchanges";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let shared = seal::exchange(&self.public.0, &Secret::new(self.secret.0)).ok();
        Ok(Self { shared: shared.map(|shared| (*shared.get()).into()), ..self.clone() })
    }
}
