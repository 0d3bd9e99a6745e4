//! The encrypted store of one device: one SQLite file of sealed rows, written in transactions.
//!
//! A row has a space, a hashed name and a sealed value; nothing else of its meaning is in the
//! file but the day on which it may be forgotten. What belongs together goes into one [`Batch`],
//! which is written whole or not at all; batches of one turn share a transaction. A file is open in one process at a time. The journal is
//! a rollback journal that is cut after each commit, not a write-ahead log, and deleted content
//! is overwritten, so that a key that was erased does not linger in the file or beside it.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use diesel::connection::{AnsiTransactionManager, SimpleConnection as _, TransactionManager as _};
use diesel::prelude::*;
use diesel::sql_types::Integer;
use hushwire_e2ee::{RandomError, Zeroizing};

use crate::key::{KeyFileError, StoreKey, key_file, owner_only};
use crate::ports::{Random, random_bytes};
use crate::seal::{self, KdfCost, Key, Row, RowKeys};

/// "Hush", in the file's header: what tells a store from other SQLite files.
const APPLICATION: i32 = 0x4875_7368;
/// The layout that this version reads and writes.
const VERSION: i32 = 1;
/// Rows that a listing reads at once. It goes on until it has all.
const PAGE: usize = 1_000;

mod tables {
    diesel::table! {
        head (id) {
            id -> Integer,
            source -> Integer,
            salt -> Binary,
            passes -> Integer,
            memory_kib -> Integer,
            data_key -> Binary,
        }
    }

    diesel::table! {
        row (space, name) {
            space -> Integer,
            name -> Binary,
            until_day -> Integer,
            value -> Binary,
        }
    }
}

use tables::{head, row};

const SCHEMA: &str = "
    CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), source INTEGER NOT NULL,
        salt BLOB NOT NULL, passes INTEGER NOT NULL, memory_kib INTEGER NOT NULL,
        data_key BLOB NOT NULL) STRICT;
    CREATE TABLE row (space INTEGER NOT NULL, name BLOB NOT NULL, until_day INTEGER NOT NULL,
        value BLOB NOT NULL, PRIMARY KEY (space, name)) STRICT, WITHOUT ROWID;
    CREATE INDEX row_until ON row (until_day) WHERE until_day > 0;
";

/// What kind of thing a row holds. The number is part of the file's layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Space {
    /// The account, this device's key, the own log, the generation, the newest prekey.
    Own = 1,
    /// A prekey's secret, by its id.
    Prekey = 2,
    /// A contact, by its user.
    Peer = 3,
    /// A request that this user made, by the username asked for.
    Asked = 4,
    /// The keys of an epoch, by its id.
    Epoch = 5,
    /// What is to be sent, or sent and not yet with all, by its order.
    Outbox = 6,
    /// The highest number sent, by recipient.
    Sn = 7,
    /// Received messages, by (device, mid): 31 days.
    Mid = 8,
    /// Received contents, by (author, content id): 31 days.
    Content = 9,
    /// The history, by (peer, position).
    History = 10,
    /// What nobody has looked at yet, by its order.
    Unshown = 11,
    /// Messages behind a gap, by (peer, order).
    Held = 12,
    /// Messages whose epoch could not be fetched yet, by their order: 7 days.
    Waiting = 13,
    /// Changes of messages that are not here yet, by (peer, content id), and by the peer alone
    /// which those are: 32 days.
    Early = 14,
    /// Messages that disappear, by (when, peer, position).
    Leaving = 15,
}

/// What is written together.
#[derive(Default)]
pub(crate) struct Batch {
    ops: Vec<Op>,
}

enum Op {
    Put { space: Space, key: Vec<u8>, until_day: i32, value: Zeroizing<Vec<u8>> },
    Delete { space: Space, key: Vec<u8> },
}

impl Op {
    fn apply(
        &self,
        db: &mut SqliteConnection,
        keys: &RowKeys,
        random: &mut dyn Random,
    ) -> Result<(), StoreError> {
        match self {
            Self::Put { space, key, until_day, value } => {
                let space = *space as u8;
                let name = &keys.name(space, key);
                let row = Row { space, name, until_day: *until_day, key, value };
                let sealed = keys.seal_row(&row, random).map_err(StoreError::Random)?;
                let values = (
                    row::space.eq(i32::from(space)),
                    row::name.eq(name.as_slice()),
                    row::until_day.eq(until_day),
                    row::value.eq(sealed),
                );
                diesel::replace_into(row::table).values(values).execute(db)?;
            }
            Self::Delete { space, key } => {
                let name = keys.name(*space as u8, key);
                let at = row::table.find((i32::from(*space as u8), name.as_slice()));
                diesel::delete(at).execute(db)?;
            }
        }
        Ok(())
    }
}

impl Batch {
    pub(crate) fn put(&mut self, space: Space, key: &[u8], value: Zeroizing<Vec<u8>>) {
        self.ops.push(Op::Put { space, key: key.to_vec(), until_day: 0, value });
    }

    /// As [`Self::put`], to be forgotten on `day`, in days since 1970.
    pub(crate) fn put_until(&mut self, space: Space, key: &[u8], day: u32, value: Vec<u8>) {
        let until_day = i32::try_from(day).unwrap_or(i32::MAX);
        let value = Zeroizing::new(value);
        self.ops.push(Op::Put { space, key: key.to_vec(), until_day, value });
    }

    pub(crate) fn delete(&mut self, space: Space, key: &[u8]) {
        self.ops.push(Op::Delete { space, key: key.to_vec() });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// Another process has it open.
    #[error("another program has this store open: close it, or use another folder")]
    Locked,
    /// It is no store of ours.
    #[error("the file is no store of this program: choose another folder, or move the file away")]
    Foreign,
    /// A newer version made it.
    #[error("a newer version of this program made the store: use that version")]
    Newer,
    /// The passphrase does not open it.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// The key file does not open it.
    #[error("this key file belongs to another store")]
    WrongKeyFile,
    /// It was made with a passphrase, and a key file was given.
    #[error("the store was made with a passphrase: give it instead of a key file")]
    NeedsPassphrase,
    /// It was made with a key file, and a passphrase was given.
    #[error("the store was made with a key file: give that instead of a passphrase")]
    NeedsKeyFile,
    /// The costs in the file are out of all bounds, or the memory cannot be had.
    #[error("the passphrase's key cannot be computed on this machine")]
    Cost,
    /// The key file cannot be used.
    #[error("the key file cannot be used")]
    KeyFile(#[source] KeyFileError),
    /// A file cannot be read or made.
    #[error("the store's file cannot be read or made")]
    Io(#[source] io::Error),
    /// SQLite says no.
    #[error("the store's file cannot be used")]
    Database(#[source] diesel::result::Error),
    /// There are no random bytes.
    #[error("no random bytes for a new store")]
    Random(#[source] RandomError),
}

/// Why a store cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says no: a full disk, most likely.
    #[error("the store cannot be read or written")]
    Database(#[source] diesel::result::Error),
    /// A write failed before: nothing more is written until the store is opened again.
    #[error("the store failed before")]
    Broken,
    /// A row does not open, or holds what this version does not know.
    #[error("the store is damaged")]
    Damaged,
    /// Its rows are erased, and its file cannot be removed.
    #[error("the store is erased, but its empty file cannot be removed")]
    NotRemoved(#[source] io::Error),
    /// There are no random bytes.
    #[error("no random bytes to seal with")]
    Random(#[source] RandomError),
}

impl From<diesel::result::Error> for StoreError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error)
    }
}

type Transactions = AnsiTransactionManager;

/// What is added and not yet committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Nothing,
    Some,
    /// Part of it failed.
    Broken,
}

/// An open store. Closing it lets the next process in; what was not committed is then gone.
pub struct Store {
    db: SqliteConnection,
    open: Open,
    keys: RowKeys,
    random: Box<dyn Random>,
    path: PathBuf,
    _lock: File,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store(..)")
    }
}

impl Store {
    /// Opens the store at `path`; makes it if there is none. The folder must exist. A file
    /// `<path>.lock` beside it keeps other processes out.
    ///
    /// # Errors
    /// [`OpenStoreError`]; the file is then as it was.
    pub fn open(
        path: &Path,
        key: &StoreKey,
        mut random: Box<dyn Random>,
    ) -> Result<Self, OpenStoreError> {
        let lock = lock(path)?;
        let file = owner_only(OpenOptions::new().read(true).write(true).create(true))
            .open(path)
            .and_then(|file| file.metadata());
        let is_new = file.map_err(OpenStoreError::Io)?.len() == 0;
        let mut db = connect(path)?;
        let head = if is_new {
            let (head, _) = new_head(key, random.as_mut())?;
            db.immediate_transaction(|db| {
                db.batch_execute(SCHEMA)?;
                diesel::insert_into(head::table).values(&head).execute(db)?;
                db.batch_execute(&format!(
                    "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
                ))
            })
            .map_err(OpenStoreError::Database)?;
            head
        } else {
            judge(&mut db)?;
            head::table.select(Head::as_select()).first(&mut db).map_err(foreign)?
        };
        let data_key = head.unlock(key, random.as_mut())?;
        let (keys, path) = (RowKeys::of(&data_key), path.to_owned());
        Ok(Self { db, open: Open::Nothing, keys, random, path, _lock: lock })
    }

    pub(crate) fn get(
        &mut self,
        space: Space,
        key: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let name = self.keys.name(space as u8, key);
        let found: Option<(i32, Vec<u8>)> = row::table
            .find((i32::from(space as u8), name.as_slice()))
            .select((row::until_day, row::value))
            .first(&mut self.db)
            .optional()?;
        let Some((until_day, sealed)) = found else { return Ok(None) };
        let opened = self.keys.open_row(space as u8, &name, until_day, &sealed);
        let (found, value) = opened.map_err(|seal::Unopened| StoreError::Damaged)?;
        if found != key {
            return Err(StoreError::Damaged);
        }
        Ok(Some(value))
    }

    pub(crate) fn has(&mut self, space: Space, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.get(space, key)?.is_some())
    }

    /// All rows of a space, sorted by key.
    #[expect(clippy::type_complexity, reason = "a key and its secret value")]
    pub(crate) fn list(
        &mut self,
        space: Space,
    ) -> Result<Vec<(Vec<u8>, Zeroizing<Vec<u8>>)>, StoreError> {
        let mut out = Vec::new();
        let mut last = Vec::new();
        loop {
            let rows: Vec<(Vec<u8>, i32, Vec<u8>)> = row::table
                .filter(row::space.eq(i32::from(space as u8)).and(row::name.gt(&last)))
                .order(row::name)
                .select((row::name, row::until_day, row::value))
                .limit(i64::try_from(PAGE).unwrap_or(i64::MAX))
                .load(&mut self.db)?;
            let is_last = rows.len() < PAGE;
            for (name, until_day, sealed) in rows {
                let opened = self.keys.open_row(space as u8, &name, until_day, &sealed);
                out.push(opened.map_err(|seal::Unopened| StoreError::Damaged)?);
                last = name;
            }
            if is_last {
                break;
            }
        }
        out.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(out)
    }

    /// Writes a batch, with all that was [added](Self::add) before: all of it, or nothing.
    pub(crate) fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.add(batch)?;
        self.commit()
    }

    /// Adds a batch to the open transaction, beginning one if there is none. Reads see it at
    /// once; it survives the process only after [`Self::commit`]. If it fails, so does all that
    /// follows: half a batch is never committed.
    pub(crate) fn add(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        if self.open == Open::Nothing {
            Transactions::begin_transaction(&mut self.db)?;
            self.open = Open::Some;
        }
        if self.open == Open::Broken {
            return Err(StoreError::Broken);
        }
        let (keys, random) = (&self.keys, self.random.as_mut());
        let added = batch.ops.iter().try_for_each(|op| op.apply(&mut self.db, keys, random));
        if added.is_err() {
            self.open = Open::Broken;
            // SQLite may have rolled it back by itself; closing the file does in any case.
            let _ = Transactions::rollback_transaction(&mut self.db);
        }
        added
    }

    /// Makes all that was added durable, in one transaction. Does nothing if nothing was.
    pub(crate) fn commit(&mut self) -> Result<(), StoreError> {
        match std::mem::replace(&mut self.open, Open::Broken) {
            Open::Nothing => {}
            Open::Some => Transactions::commit_transaction(&mut self.db)?,
            Open::Broken => return Err(StoreError::Broken),
        }
        self.open = Open::Nothing;
        Ok(())
    }

    /// Erases everything, for good: all rows and the key that opens them are overwritten, then the
    /// file is removed.
    pub(crate) fn erase(mut self) -> Result<(), StoreError> {
        if self.open != Open::Nothing {
            let _ = Transactions::rollback_transaction(&mut self.db);
        }
        // `secure_delete` writes zeros over what goes.
        self.db.batch_execute("BEGIN IMMEDIATE; DELETE FROM head; DELETE FROM row; COMMIT;")?;
        let Self { db, path, _lock, .. } = self;
        drop(db);
        std::fs::remove_file(&path).map_err(StoreError::NotRemoved)?;
        for end in ["-journal", ".lock"] {
            let mut beside = path.as_os_str().to_owned();
            beside.push(end);
            // There may be none.
            let _ = std::fs::remove_file(beside);
        }
        Ok(())
    }

    /// Forgets the rows whose day has come by `today`, in days since 1970, and gives their number.
    pub(crate) fn expire(&mut self, today: u32) -> Result<usize, StoreError> {
        let today = i32::try_from(today).unwrap_or(i32::MAX);
        let over = row::table.filter(row::until_day.gt(0)).filter(row::until_day.le(today));
        Ok(diesel::delete(over).execute(&mut self.db)?)
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = head)]
struct Head {
    id: i32,
    source: i32,
    salt: Vec<u8>,
    passes: i32,
    memory_kib: i32,
    data_key: Vec<u8>,
}

const PASSPHRASE: i32 = 1;
const KEY_FILE: i32 = 2;

impl Head {
    /// What the sealed data key is bound to: everything else here.
    fn place(&self) -> Vec<u8> {
        let mut out = b"hushwire store head v1".to_vec();
        for number in [self.source, self.passes, self.memory_kib] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&self.salt);
        out
    }

    fn unlock(&self, key: &StoreKey, random: &mut dyn Random) -> Result<Key, OpenStoreError> {
        let (outer, wrong) = match (self.source, key) {
            (PASSPHRASE, StoreKey::Passphrase(passphrase, _)) => {
                let cost = self.cost().ok_or(OpenStoreError::Cost)?;
                let salt = self.salt.as_slice().try_into().map_err(|_| OpenStoreError::Foreign)?;
                let key = seal::passphrase_key(passphrase.as_bytes(), salt, cost);
                (key.ok_or(OpenStoreError::Cost)?, OpenStoreError::WrongPassphrase)
            }
            (KEY_FILE, StoreKey::File(path)) => {
                let key = key_file(path, false, random).map_err(OpenStoreError::KeyFile)?;
                (key, OpenStoreError::WrongKeyFile)
            }
            (PASSPHRASE, StoreKey::File(_)) => return Err(OpenStoreError::NeedsPassphrase),
            (KEY_FILE, StoreKey::Passphrase(..)) => return Err(OpenStoreError::NeedsKeyFile),
            _ => return Err(OpenStoreError::Foreign),
        };
        let opened = seal::open(&outer, &self.place(), &self.data_key);
        let Ok(opened) = opened else { return Err(wrong) };
        opened.as_slice().try_into().map(Zeroizing::new).map_err(|_| OpenStoreError::Foreign)
    }

    fn cost(&self) -> Option<KdfCost> {
        let cost = KdfCost {
            passes: u32::try_from(self.passes).ok()?,
            memory_kib: u32::try_from(self.memory_kib).ok()?,
        };
        let most = KdfCost::MOST;
        (cost.passes <= most.passes && cost.memory_kib <= most.memory_kib).then_some(cost)
    }
}

fn new_head(key: &StoreKey, random: &mut dyn Random) -> Result<(Head, Key), OpenStoreError> {
    let salt: [u8; 16] = random_bytes(random).map_err(OpenStoreError::Random)?;
    let data_key = Zeroizing::new(random_bytes(random).map_err(OpenStoreError::Random)?);
    let (source, cost, outer) = match key {
        StoreKey::Passphrase(passphrase, cost) => {
            let key = seal::passphrase_key(passphrase.as_bytes(), &salt, *cost);
            (PASSPHRASE, *cost, key.ok_or(OpenStoreError::Cost)?)
        }
        StoreKey::File(path) => {
            let none = KdfCost { passes: 0, memory_kib: 0 };
            let key = key_file(path, true, random).map_err(OpenStoreError::KeyFile)?;
            (KEY_FILE, none, key)
        }
    };
    let number = |n: u32| i32::try_from(n).map_err(|_| OpenStoreError::Cost);
    let mut head = Head {
        id: 1,
        source,
        salt: salt.to_vec(),
        passes: number(cost.passes)?,
        memory_kib: number(cost.memory_kib)?,
        data_key: Vec::new(),
    };
    head.data_key =
        seal::seal(&outer, &head.place(), &*data_key, random).map_err(OpenStoreError::Random)?;
    Ok((head, data_key))
}

/// A lock on a file of its own: closing any handle of the database file would drop SQLite's.
fn lock(path: &Path) -> Result<File, OpenStoreError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let file = owner_only(OpenOptions::new().write(true).create(true).truncate(false))
        .open(&beside)
        .map_err(OpenStoreError::Io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenStoreError::Locked),
        Err(TryLockError::Error(error)) => Err(OpenStoreError::Io(error)),
    }
}

fn connect(path: &Path) -> Result<SqliteConnection, OpenStoreError> {
    let not_text = || OpenStoreError::Io(io::Error::from(io::ErrorKind::InvalidFilename));
    let mut db = SqliteConnection::establish(path.to_str().ok_or_else(not_text)?)
        .map_err(|_| OpenStoreError::Foreign)?;
    db.batch_execute(
        "PRAGMA secure_delete = ON; PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL;
         PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA journal_mode = TRUNCATE;",
    )
    .map_err(foreign)?;
    Ok(db)
}

#[derive(QueryableByName)]
struct Marks {
    #[diesel(sql_type = Integer)]
    application: i32,
    #[diesel(sql_type = Integer)]
    version: i32,
}

fn judge(db: &mut SqliteConnection) -> Result<(), OpenStoreError> {
    let marks: Marks = diesel::sql_query(
        "SELECT a.application_id AS application, v.user_version AS version
         FROM pragma_application_id AS a, pragma_user_version AS v",
    )
    .get_result(db)
    .map_err(foreign)?;
    match marks {
        Marks { application: APPLICATION, version: VERSION } => Ok(()),
        Marks { application: APPLICATION, version } if version > VERSION => {
            Err(OpenStoreError::Newer)
        }
        _ => Err(OpenStoreError::Foreign),
    }
}

/// SQLite calls anything that it did not write "not a database".
fn foreign(error: diesel::result::Error) -> OpenStoreError {
    let text = error.to_string();
    if text.contains("not a database") || text.contains("no such table") {
        OpenStoreError::Foreign
    } else {
        OpenStoreError::Database(error)
    }
}

#[cfg(test)]
mod tests;
