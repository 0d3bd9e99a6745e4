//! The home folder: where the store is, and what opens it.
//!
//! It makes the folder for its owner only. Passphrases are zeroized when they are dropped and are
//! never printed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use hushwire_client::{KdfCost, StoreKey};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// The store's file in the folder.
const STORE: &str = "hush.db";
/// The key file in the folder.
const KEY: &str = "store.key";
/// A passphrase has so many bytes, at most.
const PASSPHRASE_MAX: u64 = 4_096;

/// What opens the store.
#[derive(Clone, Debug)]
pub(crate) enum Unlock {
    /// A key file; `None`: the one in the folder.
    KeyFile(Option<PathBuf>),
    /// A passphrase that is asked for.
    Ask,
    /// A passphrase in a file.
    PassphraseFile(PathBuf),
}

/// An account's folder.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// What opens the store in it.
    pub(crate) unlock: Unlock,
}

/// The folder if none is named: `$XDG_DATA_HOME/hush`, or `~/.local/share/hush`. Relative values
/// of XDG_DATA_HOME do not count, as its specification wants it.
pub(crate) fn default_folder(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    Some(data?.join("hush"))
}

impl Home {
    /// The store's file.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join(STORE)
    }

    /// Makes the folder, readable for its owner only. One that is there stays as it is.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn make(&self) -> Result<(), Failure> {
        make(&self.folder).map_err(|cause| Failure::Folder { folder: self.folder.clone(), cause })
    }

    /// Removes what is left of an account whose store was erased: the key file that was made for it
    /// here, and the folder if nothing else is in it.
    ///
    /// # Errors
    /// If the key file cannot be removed.
    pub(crate) fn remove(&self) -> io::Result<()> {
        if matches!(self.unlock, Unlock::KeyFile(None)) {
            match fs::remove_file(self.folder.join(KEY)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // Something else of the person's may be in it.
        let _ = fs::remove_dir(&self.folder);
        Ok(())
    }

    /// What opens the store; asks for a passphrase if that was chosen, twice for a `new` store.
    ///
    /// # Errors
    /// If there is no terminal to ask on, the two differ, or the file cannot be read.
    pub(crate) fn key(&self, new: bool) -> Result<StoreKey, Failure> {
        match &self.unlock {
            Unlock::KeyFile(None) => Ok(StoreKey::File(self.folder.join(KEY))),
            Unlock::KeyFile(Some(path)) => Ok(StoreKey::File(path.clone())),
            Unlock::Ask => Ok(of_passphrase(ask(new)?)),
            Unlock::PassphraseFile(path) => Ok(of_passphrase(read(path)?)),
        }
    }

    /// In words: what opens the store.
    pub(crate) fn key_words(&self) -> String {
        match &self.unlock {
            Unlock::KeyFile(None) => self.folder.join(KEY).display().to_string(),
            Unlock::KeyFile(Some(path)) => path.display().to_string(),
            Unlock::Ask | Unlock::PassphraseFile(_) => "a passphrase".to_owned(),
        }
    }
}

fn of_passphrase(passphrase: Zeroizing<String>) -> StoreKey {
    StoreKey::Passphrase(passphrase, KdfCost::INTERACTIVE)
}

fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
}

fn ask(twice: bool) -> Result<Zeroizing<String>, Failure> {
    let prompt = |words: &str| {
        rpassword::prompt_password(words).map(Zeroizing::new).map_err(Failure::NoPrompt)
    };
    let first = prompt("Passphrase: ")?;
    if first.is_empty() {
        return Err(Failure::EmptyPassphrase);
    }
    if twice && *prompt("The same again: ")? != *first {
        return Err(Failure::PassphrasesDiffer);
    }
    Ok(first)
}

/// The first line of a file.
fn read(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let failed = |cause| Failure::PassphraseFile { path: path.to_owned(), cause };
    let file = File::open(path).map_err(failed)?;
    // Room for all of it, so that growing leaves no copies behind.
    let room = usize::try_from(PASSPHRASE_MAX).unwrap_or_default() + 2;
    let mut line = Zeroizing::new(String::with_capacity(room));
    BufReader::new(file.take(PASSPHRASE_MAX + 2)).read_line(&mut line).map_err(failed)?;
    let length = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(length);
    if line.is_empty() {
        return Err(Failure::EmptyPassphrase);
    }
    if u64::try_from(length).unwrap_or(u64::MAX) > PASSPHRASE_MAX {
        return Err(failed(io::Error::other("a passphrase has at most 4096 bytes")));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(of: &[(&str, &str)]) -> Option<PathBuf> {
        default_folder(|name| {
            of.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn the_folder_follows_xdg() {
        let home = ("HOME", "/alice");
        assert_eq!(folder(&[home]).unwrap(), Path::new("/alice/.local/share/hush"));
        assert_eq!(folder(&[home, ("XDG_DATA_HOME", "/d")]).unwrap(), Path::new("/d/hush"));
        let relative = folder(&[home, ("XDG_DATA_HOME", "d")]).unwrap();
        assert_eq!(relative, Path::new("/alice/.local/share/hush"));
        assert_eq!(folder(&[]), None);
        assert_eq!(folder(&[("HOME", "")]), None);
    }

    #[test]
    fn a_folder_is_made_for_its_owner_only_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { folder: dir.path().join("a/b"), unlock: Unlock::KeyFile(None) };
        home.make().unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&home.folder).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o700);
        }
        fs::write(home.store(), "kept").unwrap();
        home.make().unwrap();
        assert_eq!(fs::read(home.store()).unwrap(), b"kept");
        let under_a_file = Home { folder: home.store().join("x"), ..home };
        assert!(matches!(under_a_file.make(), Err(Failure::Folder { .. })));
    }

    #[test]
    fn what_was_made_here_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { folder: dir.path().join("a"), unlock: Unlock::KeyFile(None) };
        home.make().unwrap();
        fs::write(home.folder.join(KEY), "k").unwrap();
        fs::write(home.folder.join("notes"), "mine").unwrap();
        home.remove().unwrap();
        assert!(!home.folder.join(KEY).exists() && home.folder.join("notes").exists());
        fs::remove_file(home.folder.join("notes")).unwrap();
        home.remove().unwrap();
        assert!(!home.folder.exists());
        let other = dir.path().join("other.key");
        fs::write(&other, "k").unwrap();
        let home = Home { unlock: Unlock::KeyFile(Some(other.clone())), ..home };
        home.remove().unwrap();
        assert!(other.exists(), "a key file of the person's own stays");
    }

    #[test]
    fn a_passphrase_is_the_first_line_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        let read_back = |text: &str| {
            fs::write(&path, text).unwrap();
            read(&path).map(|line| line.to_string())
        };
        assert_eq!(read_back("four words on paper\nrest").unwrap(), "four words on paper");
        assert_eq!(read_back(" spaces stay \r\n").unwrap(), " spaces stay ");
        assert_eq!(read_back(&"x".repeat(4_096)).unwrap().len(), 4_096);
        assert!(read_back(&"x".repeat(4_097)).is_err());
        assert!(matches!(read_back("\n"), Err(Failure::EmptyPassphrase)));
        assert!(matches!(read_back(""), Err(Failure::EmptyPassphrase)));
        assert!(matches!(read(dir.path()), Err(Failure::PassphraseFile { .. })));
    }
}
