//! Decrypting what was checked: the second pass.

use std::fmt;

use dryoc::classic::crypto_secretstream_xchacha20poly1305::{
    State, crypto_secretstream_xchacha20poly1305_pull,
};
use zeroize::Zeroizing;

use super::size::{CHUNK, CT_CHUNK, chunk_len, chunks, ct_size};
use super::{Cutter, FileError, FileKey, TAG_FINAL, TAG_MESSAGE};
use crate::content::ContentId;

/// Decrypts a file that [`super::Check`] has found whole. It holds at most one chunk.
pub struct Decryptor {
    chunks: Chunks,
}

impl fmt::Debug for Decryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decryptor(..)")
    }
}

impl Decryptor {
    pub(super) fn new(id: ContentId, size: u64, key: &FileKey) -> Result<Self, FileError> {
        Ok(Self { chunks: Chunks::new(id, size, key)? })
    }

    /// The plaintext of the chunks that `ct` completes: whole chunks, without padding.
    ///
    /// # Errors
    /// If the ciphertext is not the one that was checked: [`FileError`].
    pub fn push(&mut self, ct: &[u8]) -> Result<Zeroizing<Vec<u8>>, FileError> {
        let mut plain = Zeroizing::new(Vec::with_capacity((ct.len() / CT_CHUNK + 1) * CHUNK));
        self.chunks.feed(ct, |chunk| plain.extend_from_slice(chunk))?;
        Ok(plain)
    }

    /// The plaintext of the last chunk.
    ///
    /// # Errors
    /// [`FileError::Size`] if ciphertext is missing.
    pub fn finish(mut self) -> Result<Zeroizing<Vec<u8>>, FileError> {
        let mut plain = Zeroizing::new(Vec::new());
        self.chunks.finish(|chunk| plain.extend_from_slice(chunk))?;
        Ok(plain)
    }
}

/// Opens chunk by chunk, for both passes.
pub(super) struct Chunks {
    id: ContentId,
    state: State,
    size: u64,
    ct_size: u64,
    fed: u64,
    at: u64,
    last: u64,
    cutter: Cutter,
    plain: Zeroizing<Vec<u8>>,
}

impl Chunks {
    pub(super) fn new(id: ContentId, size: u64, key: &FileKey) -> Result<Self, FileError> {
        Ok(Self {
            id,
            state: key.stream(),
            size,
            ct_size: ct_size(size).ok_or(FileError::TooLarge)?,
            fed: 0,
            at: 0,
            last: chunks(size) - 1,
            cutter: Cutter::new(CT_CHUNK),
            plain: Zeroizing::new(vec![0; CHUNK]),
        })
    }

    pub(super) fn feed(&mut self, ct: &[u8], mut give: impl FnMut(&[u8])) -> Result<(), FileError> {
        self.fed = self.fed.saturating_add(ct.len() as u64);
        if self.fed > self.ct_size {
            return Err(FileError::Size);
        }
        let mut cutter = std::mem::replace(&mut self.cutter, Cutter::new(0));
        let fed = cutter.feed(ct, |chunk| self.open(chunk, &mut give));
        self.cutter = cutter;
        fed
    }

    pub(super) fn finish(&mut self, mut give: impl FnMut(&[u8])) -> Result<(), FileError> {
        if self.fed != self.ct_size {
            return Err(FileError::Size);
        }
        if self.at <= self.last {
            let held = std::mem::take(&mut *self.cutter.held);
            self.open(&held, &mut give)?;
        }
        Ok(())
    }

    /// Opens one chunk and gives what of it is not padding.
    fn open(&mut self, ct: &[u8], give: &mut impl FnMut(&[u8])) -> Result<(), FileError> {
        let len = chunk_len(self.size, self.at);
        let mut tag = 0xff;
        let (state, id) = (&mut self.state, Some(self.id.0.as_slice()));
        let plain = self.plain.get_mut(..len).ok_or(FileError::Size)?;
        let opened = crypto_secretstream_xchacha20poly1305_pull(state, plain, &mut tag, ct, id);
        if opened.map_err(|_| FileError::Chunk)? != len {
            return Err(FileError::Size);
        }
        if tag != if self.at == self.last { TAG_FINAL } else { TAG_MESSAGE } {
            return Err(FileError::Final);
        }
        let before = self.at * CHUNK as u64;
        let shown = usize::try_from(self.size.saturating_sub(before)).unwrap_or(len).min(len);
        let (shown, padding) = plain.split_at(shown);
        if padding.iter().any(|byte| *byte != 0) {
            return Err(FileError::Padding);
        }
        give(shown);
        self.at += 1;
        Ok(())
    }
}
