//! Recovery keys (CRYPTO 3): 24 words on paper that can sign for a user, and open nothing.
//!
//! A recovery key signs log entries and signs in; it is in no roster and has no prekey. Words are
//! those of BIP 39 in English, with its checksum; the seed is derived as `hw1` says, not as BIP 39
//! does. Errors name the place of a word and never the word. Everything is erased when dropped.

use std::fmt;

use bip39::{Language, Mnemonic};
use hushwire_identity::Draft;
use hushwire_identity::entry::RECOVERY_KIND;
use hushwire_identity::hash::{Label, kdf};
use hushwire_wire::{DeviceId, Nonce, UserId};
use zeroize::Zeroizing;

use crate::key::DeviceKey;
use crate::random::{Random, RandomError};
use crate::secret::Secret;

/// The number of words.
pub const WORDS: usize = 24;

/// The secret of a recovery key: 32 random bytes, or 24 words. `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryWords(Secret<32>);

/// Why words are no recovery words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// Not 24 words, but so many.
    #[error("a recovery key has 24 words, not {0}")]
    Count(usize),
    /// The word at this place, from 1, is not in the list.
    #[error("word {0} is not in the list of recovery words")]
    Word(usize),
    /// Every word is in the list, but they do not belong together: one is wrong, or two are
    /// swapped.
    #[error("the words do not belong together: one is wrong or out of place")]
    Checksum,
}

impl RecoveryWords {
    /// New words.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub fn generate(random: &mut dyn Random) -> Result<Self, RandomError> {
        Ok(Self(Secret::random(random)?))
    }

    /// Of 32 bytes of entropy.
    #[must_use]
    pub fn from_entropy(entropy: [u8; 32]) -> Self {
        Self(Secret::new(entropy))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn entropy(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*self.0.get())
    }

    /// Reads 24 words, with any white space between and in any case.
    ///
    /// # Errors
    /// [`WordsError`], of the first that is wrong.
    pub fn parse(text: &str) -> Result<Self, WordsError> {
        let count = text.split_whitespace().count();
        if count != WORDS {
            return Err(WordsError::Count(count));
        }
        let words = Zeroizing::new(text.to_ascii_lowercase());
        let words = Mnemonic::parse_in_normalized(Language::English, &words);
        let words = Zeroizing::new(words.map_err(|error| match error {
            bip39::Error::UnknownWord(at) => WordsError::Word(at + 1),
            _ => WordsError::Checksum,
        })?);
        let (bytes, _) = words.to_entropy_array();
        let bytes = Zeroizing::new(bytes);
        let entropy = bytes.first_chunk().ok_or(WordsError::Checksum)?;
        Ok(Self(Secret::new(*entropy)))
    }

    /// The 24 words with single spaces, for paper.
    #[must_use]
    pub fn to_words(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(WORDS * 9));
        // Only entropy of another size has no words.
        if let Ok(words) = Mnemonic::from_entropy_in(Language::English, self.0.get()) {
            let words = Zeroizing::new(words);
            for word in words.words() {
                if !out.is_empty() {
                    out.push(' ');
                }
                out.push_str(word);
            }
        }
        out
    }

    /// The key that the words make: its seed is `KDF(e, hw1/recovery, "")`.
    #[must_use]
    pub fn key(&self) -> RecoveryKey {
        let mut seed = kdf(self.0.get(), Label::Recovery, &[]);
        let key = RecoveryKey(DeviceKey::from_seed(seed));
        zeroize::Zeroize::zeroize(&mut seed);
        key
    }
}

impl fmt::Debug for RecoveryWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryWords(..)")
    }
}

/// A recovery key's Ed25519 key. Erased when dropped; `Debug` shows the short id.
#[derive(Clone)]
pub struct RecoveryKey(DeviceKey);

impl RecoveryKey {
    /// The public key, `rk`.
    #[must_use]
    pub const fn public(&self) -> &[u8; 32] {
        self.0.public()
    }

    /// `H(hw1/device, rk)[0..16]`.
    #[must_use]
    pub const fn id(&self) -> DeviceId {
        self.0.device_id()
    }

    /// This key's consent to be added to `log` as a recovery key (CRYPTO 3, `claim_sig` with kind
    /// 255 and suites 0).
    #[must_use]
    pub fn claim(&self, log: &UserId) -> [u8; 64] {
        let parts: [&[u8]; 4] = [log.as_bytes(), self.public(), &[RECOVERY_KIND], &[0, 0]];
        self.0.sign(Label::Claim, &parts)
    }

    /// Signs an entry and gives its wire form. `claim` is the new key's, for entries that add one.
    #[must_use]
    pub fn sign_entry(&self, draft: &Draft, claim: Option<&[u8; 64]>) -> Vec<u8> {
        self.0.sign_entry(draft, claim)
    }

    /// Answers a sign-in challenge of `domain` as a recovery key of `user`.
    #[must_use]
    pub fn login(&self, domain: &str, nonce: &Nonce, user: &UserId) -> [u8; 64] {
        self.0.login(domain, nonce, user)
    }
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RecoveryKey").field(&self.id()).finish()
    }
}
