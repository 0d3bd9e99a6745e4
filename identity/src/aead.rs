//! Single-use sealing (CRYPTO 1, rows "AEAD"): the half that encrypts.
//!
//! Clients seal messages and wraps with it; the server seals once more what a report shows, to
//! compare ciphertexts. The half that opens stands in `clients/e2ee` and nowhere else: what the
//! server links must not hold it. Every key seals exactly one text, so the nonces are zero.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use dryoc::classic::crypto_secretbox::crypto_secretbox_easy;
use hushwire_wire::message::SEAL_OVERHEAD;

use crate::suite::Suite;

/// Seals `text` under a single-use key: 16 bytes longer than it. Suites 1 and 3 give NaCl's
/// secretbox (`tag | ct`, nonce `0^24`); suite 2 AES-256-GCM (`ct | tag`, nonce `0^12`, no
/// additional data).
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "only texts of 64 GiB and more cannot be sealed, and a silent zero would be worse than a stop"
)]
pub fn seal(suite: Suite, key: &[u8; 32], text: &[u8]) -> Vec<u8> {
    match suite {
        Suite::NaCl | Suite::XWing => {
            let mut out = vec![0; text.len() + SEAL_OVERHEAD];
            crypto_secretbox_easy(&mut out, text, &[0; 24], key).expect("the output fits");
            out
        }
        Suite::Aes => {
            let mut out = Vec::with_capacity(text.len() + SEAL_OVERHEAD);
            out.extend_from_slice(text);
            let tag = Aes256Gcm::new(key.into())
                .encrypt_inout_detached(&Nonce::default(), &[], out.as_mut_slice().into())
                .expect("the text is short");
            out.extend_from_slice(&tag);
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aes_gcm_is_that_of_its_specification() {
        // Test cases 13 and 14 of "The Galois/Counter Mode of Operation" (McGrew and Viega).
        assert_eq!(
            hex::encode(seal(Suite::Aes, &[0; 32], &[])),
            "530f8afbc74536b9a963b4f1c4cb738b"
        );
        assert_eq!(
            hex::encode(seal(Suite::Aes, &[0; 32], &[0; 16])),
            "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
        );
    }

    #[test]
    fn secretbox_is_that_of_libsodium() {
        // PyNaCl 1.6: crypto_secretbox(b"hello", bytes(24), bytes(range(32))).
        let key = std::array::from_fn(|i| u8::try_from(i).unwrap());
        let sealed = hex::encode(seal(Suite::NaCl, &key, b"hello"));
        assert_eq!(sealed, "9031d88e6447f0b8bf44357c58bf25f4226b9c2df7");
        assert_eq!(hex::encode(seal(Suite::XWing, &key, b"hello")), sealed);
    }

    #[test]
    fn sealing_adds_sixteen_bytes() {
        for suite in Suite::ORDER {
            for len in [0, 1, 256, 65_536] {
                assert_eq!(seal(suite, &[7; 32], &vec![1; len]).len(), len + SEAL_OVERHEAD);
            }
        }
    }
}
