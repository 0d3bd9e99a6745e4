//! The message that a device or recovery key signs to sign in (CRYPTO 3, "Login").

use hushwire_wire::layout::Writer;
use hushwire_wire::{DeviceId, Nonce, UserId};

use crate::hash::{Label, verify};

/// A sign-in's signature does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct LoginError;

/// `v8 domain | b32 nonce | b32 log_id | b16 key_id`, to be signed under [`Label::Auth`]. A domain
/// of more than 255 bytes is cut off; no log can name one.
#[must_use]
pub fn login_message(domain: &str, nonce: &Nonce, user: &UserId, key: &DeviceId) -> Vec<u8> {
    let mut w = Writer::with_capacity(1 + domain.len() + 80);
    w.v8(domain.as_bytes()).raw(nonce.as_bytes()).raw(user.as_bytes()).raw(key.as_bytes());
    w.finish()
}

/// Checks the answer to a challenge. `key_public` is the `ik` of an active device, or the `rk` of
/// an active recovery key, as the caller found it in `user`'s verified log under `key`.
///
/// # Errors
/// If `signature` is not 64 bytes long or does not verify.
pub fn verify_login(
    key_public: &[u8; 32],
    domain: &str,
    nonce: &Nonce,
    user: &UserId,
    key: &DeviceId,
    signature: &[u8],
) -> Result<(), LoginError> {
    let signature = signature.try_into().map_err(|_| LoginError)?;
    let message = login_message(domain, nonce, user, key);
    if verify(key_public, Label::Auth, &[&message], signature) { Ok(()) } else { Err(LoginError) }
}
