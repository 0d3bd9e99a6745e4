//! The labelled hashes, key derivations and signed messages of CRYPTO 2.
//!
//! Every hash, derivation and signature of `hw1` begins with `D(label)`, and the labels are the
//! closed list here: no other module builds one from a string. Input parts are concatenated
//! without separators, so callers pass fixed layouts only.

use std::fmt;

use dryoc::classic::crypto_generichash::{
    GenericHashState, crypto_generichash_final, crypto_generichash_init, crypto_generichash_update,
};
use dryoc::classic::crypto_sign::crypto_sign_verify_detached;

macro_rules! labels {
    ($($name:ident = $text:literal),+ $(,)?) => {
        /// The complete list of labels (CRYPTO 2). `D(l)` is the length byte and the ASCII text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Label {
            $(
                #[doc = concat!("`hw1/", $text, "`")]
                $name,
            )+
        }

        impl Label {
            /// All labels, in the order of CRYPTO 2.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The label's text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("hw1/", $text),)+
                }
            }
        }
    };
}

labels! {
    Entry = "entry", Device = "device", Claim = "claim", Log = "log", Prekey = "prekey",
    Xwing = "xwing", Auth = "auth", Request = "request", Epoch = "epoch", Kc = "kc", Kem = "kem",
    Wrap = "wrap", Mac = "mac", Chain = "chain", Salt = "salt", Msg = "msg", Enc = "enc",
    Commit = "commit", Next = "next", Env = "env", Tag = "tag", Sn = "sn", Code = "code",
    Recovery = "recovery", File = "file", Frank = "frank",
}

impl Label {
    /// The length byte of `D(l)`. All labels are shorter than 16 bytes.
    #[expect(clippy::cast_possible_truncation, reason = "a label has at most 12 bytes")]
    const fn len(self) -> u8 {
        self.as_str().len() as u8
    }
}

/// `H(l, x)`: BLAKE2b-256 without a key. `parts` are hashed one after the other.
#[must_use]
pub fn hash(label: Label, parts: &[&[u8]]) -> [u8; 32] {
    blake2b(None, label, parts)
}

/// `H(l, x)` over parts that come one by one.
pub struct Hasher(GenericHashState);

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher(..)")
    }
}

impl Hasher {
    /// Begins with `D(l)`.
    #[must_use]
    pub fn new(label: Label) -> Self {
        Self(begin(None, label, 32))
    }

    /// Takes the next part.
    pub fn update(&mut self, part: &[u8]) {
        crypto_generichash_update(&mut self.0, part);
    }

    /// The hash of all parts.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        end(self.0)
    }
}

/// `H64(l, x)`: BLAKE2b-512 without a key.
#[must_use]
pub fn hash64(label: Label, parts: &[&[u8]]) -> [u8; 64] {
    blake2b(None, label, parts)
}

/// `KDF(k, l, x)`: BLAKE2b-256 with a key of 32 bytes.
#[must_use]
pub fn kdf(key: &[u8; 32], label: Label, parts: &[&[u8]]) -> [u8; 32] {
    blake2b(Some(key), label, parts)
}

/// `KDF` with a key of 64 bytes, as the wrap key uses (CRYPTO 5).
#[must_use]
pub fn kdf_wide(key: &[u8; 64], label: Label, parts: &[&[u8]]) -> [u8; 32] {
    blake2b(Some(key), label, parts)
}

/// `KDF16(k, l, x)`: BLAKE2b-128 with a key of 32 bytes. It is no prefix of [`kdf`]: the output
/// length is part of BLAKE2b's parameters.
#[must_use]
pub fn kdf16(key: &[u8; 32], label: Label, parts: &[&[u8]]) -> [u8; 16] {
    blake2b(Some(key), label, parts)
}

/// `D(l) | x`: the bytes that `Sign(sk, l, x)` signs.
#[must_use]
pub fn signed(label: Label, parts: &[&[u8]]) -> Vec<u8> {
    let text = label.as_str();
    let mut out = Vec::with_capacity(1 + text.len() + parts.iter().map(|p| p.len()).sum::<usize>());
    out.push(label.len());
    out.extend_from_slice(text.as_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// Whether `signature` is `key`'s over `D(l) | x`, under libsodium's rules: canonical `A`, `R`
/// and `S`, none of small order, and the equation without the cofactor.
#[must_use]
pub fn verify(key: &[u8; 32], label: Label, parts: &[&[u8]], signature: &[u8; 64]) -> bool {
    crypto_sign_verify_detached(signature, &signed(label, parts), key).is_ok()
}

fn blake2b<const N: usize>(key: Option<&[u8]>, label: Label, parts: &[&[u8]]) -> [u8; N] {
    let mut state = begin(key, label, N);
    for part in parts {
        crypto_generichash_update(&mut state, part);
    }
    end(state)
}

#[expect(
    clippy::expect_used,
    reason = "output and key sizes are fixed by the types above, and a silent zero would be worse than a stop"
)]
fn begin(key: Option<&[u8]>, label: Label, out: usize) -> GenericHashState {
    let mut state = crypto_generichash_init(key, out).expect("BLAKE2b takes this key and output");
    crypto_generichash_update(&mut state, &[label.len()]);
    crypto_generichash_update(&mut state, label.as_str().as_bytes());
    state
}

#[expect(clippy::expect_used, reason = "as above")]
fn end<const N: usize>(state: GenericHashState) -> [u8; N] {
    let mut out = [0; N];
    crypto_generichash_final(state, &mut out).expect("BLAKE2b gives this output");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_labels_is_that_of_crypto_2() {
        let text = "entry device claim log prekey xwing auth request epoch kc kem wrap mac chain \
                    salt msg enc commit next env tag sn code recovery file frank";
        let ours: Vec<_> = Label::ALL.iter().map(|label| &label.as_str()[4..]).collect();
        assert_eq!(ours, text.split_whitespace().collect::<Vec<_>>());
        assert!(Label::ALL.iter().all(|label| label.as_str().len() < 16));
    }

    #[test]
    fn parts_are_one_string_and_labels_differ() {
        assert_eq!(hash(Label::Env, &[b"ab", b"c"]), hash(Label::Env, &[b"abc"]));
        assert_ne!(hash(Label::Env, &[b"abc"]), hash(Label::Tag, &[b"abc"]));
        let mut hasher = Hasher::new(Label::Env);
        hasher.update(b"ab");
        hasher.update(b"c");
        assert_eq!(hasher.finish(), hash(Label::Env, &[b"abc"]));
        assert_eq!(signed(Label::Kc, &[b"x"]), b"\x06hw1/kcx");
        let key = [7; 32];
        assert_ne!(kdf16(&key, Label::Tag, &[]), kdf(&key, Label::Tag, &[])[..16]);
        assert_ne!(kdf(&key, Label::Tag, &[]), hash(Label::Tag, &[]));
        assert_ne!(hash64(Label::Sn, &[])[..32], hash(Label::Sn, &[]));
    }
}
