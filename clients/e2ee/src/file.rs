//! Files: padding, chunks and hash (CRYPTO 7, "File"). Plain values that are fed with bytes.
//!
//! A file is zero-padded to its PADME size and encrypted in chunks of 65,536 bytes, each with the
//! content id as additional data; the last carries `TAG_FINAL`. What is read is checked whole
//! before a byte of it is released: [`Check`] takes the ciphertext once and gives [`Checked`],
//! which decrypts it in a second pass. Nothing past `size` is ever given out.

mod check;
mod decrypt;
mod encrypt;
mod size;

use std::fmt;

use dryoc::classic::crypto_secretstream_xchacha20poly1305::{
    State, crypto_secretstream_xchacha20poly1305_init_pull,
};
use hushwire_identity::Code;
use zeroize::Zeroizing;

use crate::random::{Random, RandomError};
use crate::secret::Secret;

pub use check::{Check, Checked};
pub use decrypt::Decryptor;
pub use encrypt::Encryptor;
pub use size::{CHUNK, CT_CHUNK, LARGE_MAX, MEDIUM_MAX, SMALL_MAX, class_of, ct_size, padme};

/// `TAG_MESSAGE` of libsodium's secretstream: every chunk but the last.
const TAG_MESSAGE: u8 = 0;
/// `TAG_FINAL`: the last chunk.
const TAG_FINAL: u8 = 3;

/// What opens one file: it travels inside a sealed content. `Debug` shows nothing.
#[derive(Clone)]
pub struct FileKey {
    key: Secret<32>,
    /// The header of the stream.
    pub header: [u8; 24],
    /// `H(hw1/file, hdr|ct)`.
    pub ct_hash: [u8; 32],
}

impl FileKey {
    /// From the fields of a content.
    #[must_use]
    pub fn new(key: [u8; 32], header: [u8; 24], ct_hash: [u8; 32]) -> Self {
        Self { key: Secret::new(key), header, ct_hash }
    }

    /// The secret key.
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        self.key.get()
    }

    /// The state of a stream at its beginning, for either direction: libsodium's `init_push` is
    /// the same with a header of its own, and here randomness is handed in.
    fn stream(&self) -> State {
        let mut state = State::new();
        crypto_secretstream_xchacha20poly1305_init_pull(&mut state, &self.header, self.key.get());
        state
    }

    fn generate(random: &mut dyn Random) -> Result<Self, RandomError> {
        let key = Secret::random(random)?;
        let mut header = [0; 24];
        random.fill(&mut header)?;
        Ok(Self { key, header, ct_hash: [0; 32] })
    }
}

impl PartialEq for FileKey {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.header == other.header && self.ct_hash == other.ct_hash
    }
}

impl Eq for FileKey {}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey(..)")
    }
}

/// Why a file cannot be encrypted, or is not what its content says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// More than 100 MiB.
    #[error("the file is larger than 100 MiB")]
    TooLarge,
    /// Other bytes were fed than were announced: fewer, or more.
    #[error("the file has another size than it should have")]
    Size,
    /// A chunk does not open: changed, out of order, of another file, or under another key.
    #[error("a chunk of the file does not open")]
    Chunk,
    /// The last chunk is not marked as the last, or another one is.
    #[error("the end of the file is not where it should be")]
    Final,
    /// The hash of the ciphertext is another.
    #[error("the hash of the file does not match")]
    Hash,
    /// There is something where padding should be, so `size` is too small.
    #[error("the padding of the file is not zero")]
    Padding,
    /// There are no random bytes.
    #[error("there are no random bytes")]
    Random,
}

impl FileError {
    /// The code of CRYPTO 11.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Chunk => Code::BadAead,
            Self::TooLarge | Self::Random => Code::Limit,
            Self::Size | Self::Final | Self::Hash | Self::Padding => Code::BadContent,
        }
    }
}

impl From<RandomError> for FileError {
    fn from(RandomError: RandomError) -> Self {
        Self::Random
    }
}

/// Cuts what is fed into pieces of exactly so many bytes.
struct Cutter {
    piece: usize,
    held: Zeroizing<Vec<u8>>,
}

impl Cutter {
    fn new(piece: usize) -> Self {
        Self { piece, held: Zeroizing::new(Vec::with_capacity(piece)) }
    }

    /// Calls `each` with every whole piece. What is left over is held.
    fn feed(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        while !bytes.is_empty() {
            let room = self.piece - self.held.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            bytes = later;
            if self.held.is_empty() && now.len() == self.piece {
                each(now)?;
                continue;
            }
            self.held.extend_from_slice(now);
            if self.held.len() == self.piece {
                each(&self.held)?;
                self.held.clear();
            }
        }
        Ok(())
    }
}
