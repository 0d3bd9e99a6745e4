//! The cryptography of the store: one data key seals every row with XChaCha20-Poly1305, bound to
//! the row's place; the data key itself is sealed under a key from a passphrase or a key file.
//!
//! Row keys are hashed with a key, so that the file does not say which contacts or messages it
//! holds. Keys are erased when dropped.

use dryoc::classic::crypto_aead_xchacha20poly1305_ietf::{
    crypto_aead_xchacha20poly1305_ietf_decrypt, crypto_aead_xchacha20poly1305_ietf_encrypt,
};
use dryoc::classic::crypto_generichash::crypto_generichash;
use dryoc::classic::crypto_pwhash::{PasswordHashAlgorithm, crypto_pwhash};
use hushwire_e2ee::{RandomError, Zeroizing};

use crate::ports::{Random, random_bytes};

/// What sealing adds: a nonce of 24 bytes and a tag of 16.
pub(crate) const OVERHEAD: usize = NONCE + TAG;
const NONCE: usize = 24;
const TAG: usize = 16;

/// What an Argon2id run may cost. The values are kept in clear in the store's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfCost {
    /// Passes over the memory.
    pub passes: u32,
    /// Memory in KiB.
    pub memory_kib: u32,
}

impl KdfCost {
    /// What a person waits for: 3 passes over 64 MiB, a fraction of a second.
    pub const INTERACTIVE: Self = Self { passes: 3, memory_kib: 64 * 1024 };
    /// The least that the algorithm takes. For tests and throw-away stores only.
    pub const LEAST: Self = Self { passes: 1, memory_kib: 8 };
    /// The most that a file may ask for: past it the file is refused, not obeyed.
    pub const MOST: Self = Self { passes: 64, memory_kib: 4 * 1024 * 1024 };
}

/// 32 secret bytes.
pub(crate) type Key = Zeroizing<[u8; 32]>;

/// A row or the data key did not open: another key, or bytes that were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unopened;

/// The key of a passphrase (Argon2id 1.3). `None` if the machine cannot give the memory.
pub(crate) fn passphrase_key(passphrase: &[u8], salt: &[u8; 16], cost: KdfCost) -> Option<Key> {
    let mut key = Key::default();
    let memory = usize::try_from(cost.memory_kib).ok()?.checked_mul(1024)?;
    let algorithm = PasswordHashAlgorithm::Argon2id13;
    crypto_pwhash(&mut *key, passphrase, salt, cost.passes.into(), memory, algorithm).ok()?;
    Some(key)
}

/// Seals `text` under `key`: `nonce | ciphertext and tag`. `place` is authenticated with it.
pub(crate) fn seal(
    key: &Key,
    place: &[u8],
    text: &[u8],
    random: &mut dyn Random,
) -> Result<Vec<u8>, RandomError> {
    let nonce: [u8; NONCE] = random_bytes(random)?;
    let mut out = vec![0; text.len() + OVERHEAD];
    let (head, ct) = out.split_at_mut(NONCE);
    head.copy_from_slice(&nonce);
    crypto_aead_xchacha20poly1305_ietf_encrypt(ct, text, Some(place), &nonce, key)
        .map_err(|_| RandomError)?;
    Ok(out)
}

/// Opens what [`seal`] sealed at the same place.
pub(crate) fn open(key: &Key, place: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unopened> {
    let (nonce, ct) = sealed.split_first_chunk::<NONCE>().ok_or(Unopened)?;
    let mut out = Zeroizing::new(vec![0; ct.len().checked_sub(TAG).ok_or(Unopened)?]);
    crypto_aead_xchacha20poly1305_ietf_decrypt(&mut out, ct, Some(place), nonce, key)
        .map_err(|_| Unopened)?;
    Ok(out)
}

/// The keys of an open store.
pub(crate) struct RowKeys {
    rows: Key,
    names: Key,
}

impl RowKeys {
    pub(crate) fn of(data_key: &Key) -> Self {
        Self {
            rows: derive(data_key, b"hushwire store rows v1"),
            names: derive(data_key, b"hushwire store names v1"),
        }
    }

    /// The keyed hash that stands for a row's key in the file.
    pub(crate) fn name(&self, space: u8, key: &[u8]) -> [u8; 32] {
        let mut input = Vec::with_capacity(1 + key.len());
        input.push(space);
        input.extend_from_slice(key);
        keyed_hash(&self.names, &input)
    }

    /// Seals a row: its key travels inside, so that a listing can tell it.
    pub(crate) fn seal_row(
        &self,
        row: &Row<'_>,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, RandomError> {
        let mut text = Zeroizing::new(Vec::with_capacity(2 + row.key.len() + row.value.len()));
        let len = u16::try_from(row.key.len()).map_err(|_| RandomError)?;
        text.extend_from_slice(&len.to_be_bytes());
        text.extend_from_slice(row.key);
        text.extend_from_slice(row.value);
        seal(&self.rows, &place(row.space, row.name, row.until_day), &text, random)
    }

    /// Opens a row and gives its key and value.
    pub(crate) fn open_row(
        &self,
        space: u8,
        name: &[u8],
        until_day: i32,
        sealed: &[u8],
    ) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), Unopened> {
        let text = open(&self.rows, &place(space, name, until_day), sealed)?;
        let (len, rest) = text.split_first_chunk::<2>().ok_or(Unopened)?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (key, value) = rest.split_at_checked(len).ok_or(Unopened)?;
        Ok((key.to_vec(), Zeroizing::new(value.to_vec())))
    }
}

/// A row before it is sealed.
pub(crate) struct Row<'a> {
    pub(crate) space: u8,
    pub(crate) name: &'a [u8; 32],
    pub(crate) until_day: i32,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

/// Where a row stands: moved elsewhere, or given another life, it does not open.
fn place(space: u8, name: &[u8], until_day: i32) -> Vec<u8> {
    let mut out = b"hushwire store row v1".to_vec();
    out.push(space);
    out.extend_from_slice(name);
    out.extend_from_slice(&until_day.to_be_bytes());
    out
}

fn derive(key: &Key, context: &[u8]) -> Key {
    Zeroizing::new(keyed_hash(key, context))
}

#[expect(clippy::expect_used, reason = "BLAKE2b takes a key and an output of 32 bytes")]
fn keyed_hash(key: &Key, input: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    crypto_generichash(&mut out, input, Some(key.as_slice())).expect("fixed sizes");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::SystemRandom;

    #[test]
    fn a_row_opens_at_its_place_only() {
        let keys = RowKeys::of(&Zeroizing::new([7; 32]));
        let name = keys.name(3, b"alice");
        let row = Row { space: 3, name: &name, until_day: 9, key: b"alice", value: b"secret" };
        let sealed = keys.seal_row(&row, &mut SystemRandom).unwrap();
        let (key, value) = keys.open_row(3, &name, 9, &sealed).unwrap();
        assert_eq!((key.as_slice(), value.as_slice()), (&b"alice"[..], &b"secret"[..]));
        assert!(keys.open_row(4, &name, 9, &sealed).is_err());
        assert!(keys.open_row(3, &name, 10, &sealed).is_err());
        assert!(keys.open_row(3, &[0; 32], 9, &sealed).is_err());
        for at in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[at] ^= 1;
            assert!(keys.open_row(3, &name, 9, &broken).is_err(), "byte {at}");
        }
        assert!(keys.open_row(3, &name, 9, &sealed[..20]).is_err());
    }

    #[test]
    fn names_depend_on_key_and_space() {
        let one = RowKeys::of(&Zeroizing::new([7; 32]));
        let other = RowKeys::of(&Zeroizing::new([8; 32]));
        assert_ne!(one.name(1, b"a"), one.name(2, b"a"));
        assert_ne!(one.name(1, b"a"), other.name(1, b"a"));
    }

    #[test]
    fn passphrases_give_keys_by_salt_and_cost() {
        let key = |salt, cost| passphrase_key(b"correct horse", &[salt; 16], cost).unwrap();
        let least = KdfCost::LEAST;
        assert_eq!(key(1, least), key(1, least));
        assert_ne!(key(1, least), key(2, least));
        assert_ne!(key(1, least), key(1, KdfCost { passes: 2, ..least }));
    }
}
