//! Encrypting: as many bytes as were announced, fed in any pieces.

use std::fmt;

use dryoc::classic::crypto_secretstream_xchacha20poly1305::{
    State, crypto_secretstream_xchacha20poly1305_push,
};
use hushwire_identity::hash::{Hasher, Label};
use zeroize::Zeroizing;

use super::size::{CHUNK, CT_CHUNK, chunk_len, chunks, ct_size};
use super::{Cutter, FileError, FileKey, TAG_FINAL, TAG_MESSAGE};
use crate::content::ContentId;
use crate::random::Random;

/// Encrypts one file. It holds at most one chunk.
pub struct Encryptor {
    out: Chunks,
    size: u64,
    fed: u64,
    cutter: Cutter,
}

impl fmt::Debug for Encryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encryptor(..)")
    }
}

impl Encryptor {
    /// A file of exactly `size` bytes, which the content `id` will announce. Key and header are
    /// fresh.
    ///
    /// # Errors
    /// [`FileError::TooLarge`] past 100 MiB, [`FileError::Random`].
    pub fn new(id: ContentId, size: u64, random: &mut dyn Random) -> Result<Self, FileError> {
        if ct_size(size).is_none() {
            return Err(FileError::TooLarge);
        }
        let key = FileKey::generate(random)?;
        let mut hash = Hasher::new(Label::File);
        hash.update(&key.header);
        let state = key.stream();
        let out = Chunks { id, key, state, hash, at: 0, last: chunks(size) - 1 };
        Ok(Self { out, size, fed: 0, cutter: Cutter::new(CHUNK) })
    }

    /// The ciphertext of the chunks that `plain` completes: whole chunks, or nothing.
    ///
    /// # Errors
    /// [`FileError::Size`] for more bytes than were announced: give up then.
    pub fn push(&mut self, plain: &[u8]) -> Result<Vec<u8>, FileError> {
        self.fed = self.fed.saturating_add(plain.len() as u64);
        if self.fed > self.size {
            return Err(FileError::Size);
        }
        let mut ct = Vec::with_capacity((plain.len() / CHUNK + 1) * CT_CHUNK);
        self.cutter.feed(plain, |chunk| self.out.seal(chunk, &mut ct))?;
        Ok(ct)
    }

    /// The rest of the ciphertext (less than 2 MiB of padding among it), and what the recipient
    /// must know.
    ///
    /// # Errors
    /// [`FileError::Size`] if fewer bytes were fed than announced.
    pub fn finish(mut self) -> Result<(Vec<u8>, FileKey), FileError> {
        if self.fed != self.size {
            return Err(FileError::Size);
        }
        let mut ct = Vec::new();
        let mut plain = Zeroizing::new(std::mem::take(&mut *self.cutter.held));
        while self.out.at <= self.out.last {
            plain.resize(chunk_len(self.size, self.out.at), 0);
            self.out.seal(&plain, &mut ct)?;
            plain.clear();
        }
        self.out.key.ct_hash = self.out.hash.finish();
        Ok((ct, self.out.key))
    }
}

/// Seals chunk by chunk.
struct Chunks {
    id: ContentId,
    key: FileKey,
    state: State,
    hash: Hasher,
    at: u64,
    last: u64,
}

impl Chunks {
    fn seal(&mut self, plain: &[u8], ct: &mut Vec<u8>) -> Result<(), FileError> {
        let tag = if self.at == self.last { TAG_FINAL } else { TAG_MESSAGE };
        let from = ct.len();
        ct.resize(from + plain.len() + CT_CHUNK - CHUNK, 0);
        let (out, id) = (&mut ct[from..], Some(self.id.0.as_slice()));
        crypto_secretstream_xchacha20poly1305_push(&mut self.state, out, plain, id, tag)
            .map_err(|_| FileError::Size)?;
        self.hash.update(&ct[from..]);
        self.at += 1;
        Ok(())
    }
}
