//! Checking a whole ciphertext before anything of it is released: the first pass.

use std::fmt;

use hushwire_identity::hash::{Hasher, Label};
use subtle::ConstantTimeEq;

use super::decrypt::{Chunks, Decryptor};
use super::{FileError, FileKey};
use crate::content::{ContentId, FileContent};

/// Takes the ciphertext once and gives nothing of it.
pub struct Check {
    chunks: Chunks,
    hash: Hasher,
    of: Checked,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check(..)")
    }
}

impl Check {
    /// Of the file that the content `id` announces.
    ///
    /// # Errors
    /// [`FileError::TooLarge`].
    pub fn new(id: ContentId, file: &FileContent) -> Result<Self, FileError> {
        let key = file.key.clone();
        let mut hash = Hasher::new(Label::File);
        hash.update(&key.header);
        let chunks = Chunks::new(id, file.size, &key)?;
        Ok(Self { chunks, hash, of: Checked { id, size: file.size, key } })
    }

    /// Takes the next bytes of the ciphertext, in any pieces.
    ///
    /// # Errors
    /// [`FileError::Chunk`], [`FileError::Final`], [`FileError::Padding`] or
    /// [`FileError::Size`]: the file is not to be used.
    pub fn push(&mut self, ct: &[u8]) -> Result<(), FileError> {
        self.chunks.feed(ct, |_| ())?;
        self.hash.update(ct);
        Ok(())
    }

    /// Ends the check.
    ///
    /// # Errors
    /// As [`Self::push`], [`FileError::Size`] if bytes are missing, and [`FileError::Hash`].
    pub fn finish(mut self) -> Result<Checked, FileError> {
        self.chunks.finish(|_| ())?;
        if !bool::from(self.hash.finish().ct_eq(&self.of.key.ct_hash)) {
            return Err(FileError::Hash);
        }
        Ok(self.of)
    }
}

/// A file whose ciphertext is whole and was made for its content. It can be decrypted, as often
/// as needed.
#[derive(Clone, Debug)]
pub struct Checked {
    id: ContentId,
    size: u64,
    key: FileKey,
}

impl Checked {
    /// The size of what comes out, in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Begins the second pass over the same ciphertext.
    ///
    /// # Errors
    /// [`FileError::TooLarge`], which the check has excluded.
    pub fn decrypt(&self) -> Result<Decryptor, FileError> {
        Decryptor::new(self.id, self.size, &self.key)
    }
}
