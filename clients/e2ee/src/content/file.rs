//! Files: what a recipient must know to fetch, check and decrypt one. The bytes themselves are
//! [`crate::file`]'s.

use std::fmt;

use hushwire_wire::layout::{LayoutError, Reader, Writer};
use hushwire_wire::message::Class;

use super::body::utf8;
use super::{CONTENT_MAX, ContentError};
use crate::file::{FileKey, LARGE_MAX, class_of, ct_size};

/// The largest thumbnail in bytes.
pub const THUMBNAIL_MAX: usize = 16_384;

/// Type 4: a file that lies encrypted at the server, as a blob.
#[derive(Clone, PartialEq, Eq)]
pub struct FileContent {
    /// The media type, at most 255 bytes: a hint of the sender's, nothing more.
    pub mime: String,
    /// The name that the sender gave it. A recipient must not take it for a path.
    pub name: String,
    /// The size of the plaintext in bytes: at most [`LARGE_MAX`]. It decides the class.
    pub size: u64,
    /// The name of the blob at the server.
    pub blob: [u8; 16],
    /// Key, stream header and hash of the ciphertext. Its size is that of [`ct_size`].
    pub key: FileKey,
    /// A small picture of it, at most [`THUMBNAIL_MAX`] bytes, or empty.
    pub thumbnail: Vec<u8>,
}

impl FileContent {
    /// The class that its size demands: small to 1 MiB, medium to 16 MiB, large to 100 MiB.
    #[must_use]
    pub const fn class(&self) -> Class {
        match class_of(self.size) {
            Some(class) => class,
            // Neither written nor read with such a size.
            None => Class::FileLarge,
        }
    }

    pub(super) fn write(&self, w: &mut Writer) -> Result<(), ContentError> {
        if self.mime.len() > usize::from(u8::MAX)
            || self.name.len() > CONTENT_MAX - 1
            || self.thumbnail.len() > THUMBNAIL_MAX
        {
            return Err(ContentError::Size);
        }
        let ct_size = ct_size(self.size).ok_or(ContentError::Size)?;
        w.v8(self.mime.as_bytes()).v16(self.name.as_bytes()).u64(self.size).u64(ct_size);
        w.raw(&self.blob).raw(self.key.key()).raw(&self.key.header).raw(&self.key.ct_hash);
        w.v16(&self.thumbnail);
        Ok(())
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, LayoutError> {
        let mime = utf8(r.v8("file.mime")?, "file.mime")?;
        let name = utf8(r.v16("file.name")?, "file.name")?;
        let size = r.u64("file.size")?;
        if size > LARGE_MAX {
            return Err(LayoutError::new("file.size", "at most 104857600"));
        }
        if Some(r.u64("file.ct_size")?) != ct_size(size) {
            return Err(LayoutError::new("file.ct_size", "what the size gives"));
        }
        let blob = r.array("file.blob")?;
        let key =
            FileKey::new(r.array("file.key")?, r.array("file.hdr")?, r.array("file.ct_hash")?);
        let thumbnail = r.v16("file.thumbnail")?;
        if thumbnail.len() > THUMBNAIL_MAX {
            return Err(LayoutError::new("file.thumbnail", "at most 16384 bytes"));
        }
        Ok(Self { mime, name, size, blob, key, thumbnail: thumbnail.to_vec() })
    }
}

impl fmt::Debug for FileContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({:?}, ..)", self.class())
    }
}
