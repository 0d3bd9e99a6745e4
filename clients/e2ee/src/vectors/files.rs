//! Kinds `files`, `files-refused` and `padme`.

use serde::{Deserialize, Serialize};

use super::bytes::{B16, B32, Bytes, Hex};
use super::file::{Case, Fault};
use crate::content::{ContentId, FileContent};
use crate::file::{Check, Encryptor, FileError, FileKey, ct_size, padme};
use crate::random::RandomError;

/// The largest plaintext and ciphertext that stand in the file, in bytes.
const SHOWN_MAX: usize = 4096;

/// Kind `files`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileMade {
    pub(super) name: String,
    pub(super) content_id: B16,
    pub(super) key: B32,
    pub(super) hdr: Bytes<24>,
    pub(super) size: u64,
    pub(super) plain: Option<Hex>,
    pub(super) padded_size: u64,
    pub(super) ct_size: u64,
    pub(super) ct_hash: B32,
    pub(super) ct: Option<Hex>,
}

impl FileMade {
    fn plain(&self) -> Result<Vec<u8>, Fault> {
        let size = usize::try_from(self.size).map_err(|_| "too large")?;
        match &self.plain {
            Some(Hex(plain)) if plain.len() == size => Ok(plain.clone()),
            Some(_) => Err("the plaintext has another size".to_owned()),
            None => Ok((0..=250).cycle().take(size).collect()),
        }
    }

    /// The whole ciphertext.
    pub(super) fn encrypted(&self) -> Result<(Vec<u8>, FileKey), FileError> {
        let mut tape = [&self.key.0[..], &self.hdr.0].concat();
        let mut random = |out: &mut [u8]| {
            let rest = tape.split_off(out.len().min(tape.len()));
            out.copy_from_slice(&std::mem::replace(&mut tape, rest));
            Ok::<_, RandomError>(())
        };
        let plain = self.plain().map_err(|_| FileError::Size)?;
        let mut encryptor = Encryptor::new(ContentId(self.content_id.0), self.size, &mut random)?;
        let mut ct = Vec::new();
        for piece in plain.chunks(10_000) {
            ct.extend(encryptor.push(piece)?);
        }
        let (rest, key) = encryptor.finish()?;
        ct.extend(rest);
        Ok((ct, key))
    }
}

impl Case for FileMade {
    const KIND: &'static str = "files";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let refused = |error: FileError| error.to_string();
        let plain = self.plain()?;
        if self.plain.is_none() && plain.len() <= SHOWN_MAX {
            return Err("the plaintext of a small file is missing".to_owned());
        }
        let (ct, key) = self.encrypted().map_err(refused)?;
        if (key.key(), &key.header) != (&self.key.0, &self.hdr.0) {
            return Err("the key is not the one handed in".to_owned());
        }
        let ct_hash = key.ct_hash;
        let opened = opened(self.content_id, self.size, key, &ct).map_err(refused)?;
        if opened != plain {
            return Err("what was encrypted does not come out".to_owned());
        }
        Ok(Self {
            padded_size: padme(self.size),
            ct_size: ct.len() as u64,
            ct_hash: ct_hash.into(),
            ct: (ct.len() <= SHOWN_MAX).then_some(Hex(ct)),
            ..self.clone()
        })
    }
}

/// Both passes over a ciphertext.
fn opened(id: B16, size: u64, key: FileKey, ct: &[u8]) -> Result<Vec<u8>, FileError> {
    let (mime, name) = (String::new(), String::new());
    let file = FileContent { mime, name, size, blob: [0; 16], key, thumbnail: Vec::new() };
    let mut check = Check::new(ContentId(id.0), &file)?;
    for piece in ct.chunks(70_000) {
        check.push(piece)?;
    }
    let mut decryptor = check.finish()?.decrypt()?;
    let mut plain = decryptor.push(ct)?.to_vec();
    plain.extend_from_slice(&decryptor.finish()?);
    Ok(plain)
}

/// Kind `files-refused`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRefused {
    pub(super) name: String,
    pub(super) content_id: B16,
    pub(super) key: B32,
    pub(super) hdr: Bytes<24>,
    pub(super) size: u64,
    pub(super) ct_size: u64,
    pub(super) ct_hash: B32,
    pub(super) ct: Hex,
}

impl Case for FileRefused {
    const KIND: &'static str = "files-refused";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        // A content that says so is not read; else the first pass refuses.
        if ct_size(self.size) == Some(self.ct_size) {
            let key = FileKey::new(self.key.0, self.hdr.0, self.ct_hash.0);
            if opened(self.content_id, self.size, key, &self.ct.0).is_ok() {
                return Err("it opens".to_owned());
            }
        }
        Ok(self.clone())
    }
}

/// Kind `padme`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Padme {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) padded: u64,
}

impl Case for Padme {
    const KIND: &'static str = "padme";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        Ok(Self { padded: padme(self.size), ..self.clone() })
    }
}
