//! Where the store's key comes from: a passphrase, or a key file that only its owner can read.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use hushwire_e2ee::{RandomError, Zeroizing};

use crate::ports::{Random, random_bytes};
use crate::seal::{KdfCost, Key};

/// What unlocks a store.
#[derive(Clone)]
pub enum StoreKey {
    /// A passphrase, through Argon2id. The cost counts when the store is made; later the one in
    /// the file does.
    Passphrase(Zeroizing<String>, KdfCost),
    /// A file of 32 random bytes, made with owner-only mode if it is not there yet.
    File(PathBuf),
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passphrase(..) => "StoreKey::Passphrase(..)",
            Self::File(_) => "StoreKey::File(..)",
        })
    }
}

/// A key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or made.
    #[error("the key file cannot be read or made")]
    Io(#[source] io::Error),
    /// It is missing, though the store is there. It is not made anew: the store would stay shut.
    #[error("the store's key file is missing: put it back from where it was kept")]
    Missing,
    /// Other users of the machine can read or change it.
    #[error("others can read the key file: take their rights away (chmod 600) and try again")]
    Readable,
    /// It does not hold exactly 32 bytes.
    #[error("this is no key file: it must hold exactly 32 bytes")]
    Size,
    /// There are no random bytes for a new key.
    #[error("a new key cannot be made")]
    Random(#[source] RandomError),
}

/// Reads a key file; makes it if `may_make`.
pub(crate) fn key_file(
    path: &Path,
    may_make: bool,
    random: &mut dyn Random,
) -> Result<Key, KeyFileError> {
    match File::open(path) {
        Ok(file) => read(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound && may_make => make(path, random),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(KeyFileError::Missing),
        Err(error) => Err(KeyFileError::Io(error)),
    }
}

fn read(mut file: File) -> Result<Key, KeyFileError> {
    let meta = file.metadata().map_err(KeyFileError::Io)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if meta.permissions().mode() & 0o077 != 0 {
            return Err(KeyFileError::Readable);
        }
    }
    if meta.len() != 32 {
        return Err(KeyFileError::Size);
    }
    let mut key = Key::default();
    file.read_exact(&mut *key).map_err(KeyFileError::Io)?;
    Ok(key)
}

fn make(path: &Path, random: &mut dyn Random) -> Result<Key, KeyFileError> {
    let key = Zeroizing::new(random_bytes::<32>(random).map_err(KeyFileError::Random)?);
    let mut file = owner_only(OpenOptions::new().write(true).create_new(true))
        .open(path)
        .map_err(KeyFileError::Io)?;
    let written = file.write_all(&*key).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a key would look like a foreign file for ever.
        let _ = fs::remove_file(path);
        return Err(KeyFileError::Io(error));
    }
    Ok(key)
}

/// Files made with these options can be read by their owner alone.
pub(crate) fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::SystemRandom;

    #[test]
    fn a_key_file_is_made_once_with_owner_only_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.key");
        assert!(matches!(key_file(&path, false, &mut SystemRandom), Err(KeyFileError::Missing)));
        let key = key_file(&path, true, &mut SystemRandom).unwrap();
        assert_eq!(key_file(&path, true, &mut SystemRandom).unwrap(), key);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&path), 0o600);
            for open in [0o640, 0o604, 0o660, 0o620, 0o601] {
                fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
                let refused = key_file(&path, true, &mut SystemRandom);
                assert!(matches!(refused, Err(KeyFileError::Readable)), "{open:o}");
            }
        }
    }

    #[test]
    fn other_sizes_are_no_key_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.key");
        for size in [0, 31, 33] {
            let _ = fs::remove_file(&path);
            let mut file =
                owner_only(OpenOptions::new().write(true).create_new(true)).open(&path).unwrap();
            file.write_all(&vec![1; size]).unwrap();
            assert!(matches!(key_file(&path, true, &mut SystemRandom), Err(KeyFileError::Size)));
        }
    }

    #[test]
    fn debug_hides_passphrase_and_path() {
        let secret = Zeroizing::new("hunter2".to_owned());
        let shown = format!("{:?}", StoreKey::Passphrase(secret, KdfCost::LEAST));
        assert_eq!(shown, "StoreKey::Passphrase(..)");
    }
}
