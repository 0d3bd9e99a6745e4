//! The embedded store: one SQLite file, one thread that writes, three that read.
//!
//! WAL with `synchronous=FULL`: an answer means that the change survives a power cut, at the
//! price of one `fsync` for each group of acts. `secure_delete` overwrites what is deleted, so a
//! claimed wrap is gone from the file.

mod accounts;
mod changes;
mod column;
mod contacts;
mod endings;
mod entries;
mod epochs;
mod migrate;
mod partings;
#[cfg(test)]
mod steps;
mod tables;
mod threads;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use hushwire_wire::{DeviceId, EpochId, RequestId, UserId};

use self::threads::{Connect, Threads};
use crate::account::{
    DomainError, LoginKey, NewAccount, PrekeyRow, PutPrekeyError, ReadError, RegisterError,
    UnclaimedRow,
};
use crate::change::{Acquaintance, ChangeList, Told};
use crate::contact::{
    AcceptError, Asked, BlockError, Blocked, ContactList, NewRequest, RequestError, Requested,
};
use crate::ending::{Deleted, DeviceRow, Export, ExportedEpoch};
use crate::entry::{AppendError, NewEntry};
use crate::epoch::{
    ClaimError, EpochFound, NewEpoch, PairKeys, PairNow, PairStamp, PostEpochError,
};
use crate::failure::Failure;
use crate::store::Store;

pub use self::migrate::MigrationState;

/// Threads that read.
const READERS: usize = 3;

/// A database file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path is not UTF-8, which SQLite's interface asks for.
    #[error("the path of the database is not UTF-8")]
    Path,
    /// The file cannot be made or read.
    #[error("the database file cannot be opened")]
    File(#[source] std::io::Error),
    /// SQLite refused.
    #[error("SQLite cannot open the database")]
    Connect(#[source] diesel::ConnectionError),
    /// SQLite refused a setting.
    #[error("SQLite refused a setting of the connection")]
    Pragma(#[source] diesel::result::Error),
    /// A migration failed; the database is as before it.
    #[error("the database could not be migrated")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database was made by a newer version of this program.
    #[error("the database was made by a newer version: it knows the migration {0}")]
    Newer(String),
    /// A thread could not be started.
    #[error("a thread of the store could not be started")]
    Thread(#[source] std::io::Error),
}

/// Accounts, contacts and epochs in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    // Readers end first: the last connection to close is the writer's, which empties the WAL.
    readers: Threads,
    writer: Threads,
}

impl SqliteStore {
    /// Opens the file, makes it (for its owner only) if there is none, and brings it to this
    /// version's schema. Blocks for as long as that takes.
    ///
    /// # Errors
    /// If the file cannot be used, or is of a newer version.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let mut conn = write_connection(path)?;
        migrate::run(&mut conn)?;
        let owned = path.to_owned();
        let connect_writer: Connect = Arc::new(move || connect(&owned, WRITER_PRAGMAS));
        let owned = path.to_owned();
        let connect_reader: Connect = Arc::new(move || connect(&owned, READER_PRAGMAS));
        let readers = (0..READERS).map(|_| connect_reader());
        let readers = readers.collect::<Result<_, _>>().map_err(OpenError::Connect)?;
        Ok(Self {
            readers: Threads::readers(&connect_reader, readers).map_err(OpenError::Thread)?,
            writer: Threads::writer(connect_writer, conn).map_err(OpenError::Thread)?,
        })
    }

    /// Which migrations the file has, and which it lacks, without changing it. A file that does
    /// not exist lacks all.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn migrations(path: &Path) -> Result<Vec<MigrationState>, OpenError> {
        if !path.exists() {
            return migrate::states(None);
        }
        let mut conn = connect(path, READER_PRAGMAS).map_err(OpenError::Connect)?;
        migrate::states(Some(&mut conn))
    }
}

const COMMON: &str = "PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON; \
    PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;";
const WRITER_PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
    PRAGMA secure_delete = ON; PRAGMA journal_size_limit = 16777216;";
const READER_PRAGMAS: &str = "PRAGMA query_only = ON;";

fn write_connection(path: &Path) -> Result<SqliteConnection, OpenError> {
    // SQLite would make the file, and the WAL after it, readable for everybody.
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(OpenError::File)?;
    if path.to_str().is_none() {
        return Err(OpenError::Path);
    }
    connect(path, WRITER_PRAGMAS).map_err(OpenError::Connect)
}

fn connect(path: &Path, pragmas: &str) -> Result<SqliteConnection, diesel::ConnectionError> {
    let text = path.to_str().ok_or_else(|| {
        diesel::ConnectionError::BadConnection("the path is not UTF-8".to_owned())
    })?;
    let mut conn = SqliteConnection::establish(text)?;
    for batch in [COMMON, pragmas] {
        conn.batch_execute(batch).map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
    }
    Ok(conn)
}

#[async_trait]
impl Store for SqliteStore {
    async fn settle_domain(&self, domain: &str) -> Result<(), DomainError> {
        let domain = domain.to_owned();
        self.writer.run(move |conn| accounts::settle_domain(conn, &domain)).await
    }

    async fn register(&self, account: NewAccount) -> Result<(), RegisterError> {
        self.writer.run(move |conn| accounts::register(conn, &account)).await
    }

    async fn login_key(&self, user: UserId, device: DeviceId) -> Result<Option<LoginKey>, Failure> {
        self.readers.run(move |conn| accounts::login_key(conn, &user, &device)).await
    }

    async fn log(
        &self,
        reader: UserId,
        user: UserId,
        after: Option<u32>,
    ) -> Result<Vec<Vec<u8>>, ReadError> {
        self.readers.run(move |conn| accounts::log(conn, &reader, &user, after)).await
    }

    async fn prekeys(&self, reader: UserId, user: UserId) -> Result<Vec<PrekeyRow>, ReadError> {
        self.readers.run(move |conn| accounts::prekeys(conn, &reader, &user)).await
    }

    async fn put_prekey(
        &self,
        user: UserId,
        prekey: PrekeyRow,
    ) -> Result<Option<Vec<u8>>, PutPrekeyError> {
        self.writer.run(move |conn| accounts::put_prekey(conn, &user, &prekey)).await
    }

    async fn unclaimed(
        &self,
        device: DeviceId,
        prekey: u32,
        most: usize,
    ) -> Result<Vec<UnclaimedRow>, Failure> {
        self.readers.run(move |conn| epochs::unclaimed(conn, &device, prekey, most)).await
    }

    async fn acquainted(&self, user: UserId, most: usize) -> Result<Vec<Acquaintance>, Failure> {
        self.readers.run(move |conn| contacts::acquainted(conn, &user, most)).await
    }

    async fn append(&self, entry: NewEntry) -> Result<Vec<Told>, AppendError> {
        self.writer.run(move |conn| entries::append(conn, &entry)).await
    }

    async fn changes(
        &self,
        user: UserId,
        after: u64,
        most: usize,
    ) -> Result<ChangeList, ReadError> {
        self.readers.run(move |conn| changes::list(conn, &user, after, most)).await
    }

    async fn devices(&self, user: UserId) -> Result<Vec<DeviceRow>, Failure> {
        self.readers.run(move |conn| endings::device_rows(conn, &user)).await
    }

    async fn decline(
        &self,
        user: UserId,
        request: RequestId,
        now_ms: u64,
    ) -> Result<Option<Told>, Failure> {
        self.writer.run(move |conn| partings::decline(conn, &user, &request, now_ms)).await
    }

    async fn remove(
        &self,
        user: UserId,
        peer: UserId,
        now_ms: u64,
    ) -> Result<Option<Told>, Failure> {
        self.writer.run(move |conn| partings::remove(conn, &user, &peer, now_ms)).await
    }

    async fn block(&self, user: UserId, peer: UserId, now_ms: u64) -> Result<Blocked, BlockError> {
        self.writer.run(move |conn| partings::block(conn, &user, &peer, now_ms)).await
    }

    async fn unblock(
        &self,
        user: UserId,
        peer: UserId,
        now_ms: u64,
    ) -> Result<Option<Told>, Failure> {
        self.writer.run(move |conn| partings::unblock(conn, &user, &peer, now_ms)).await
    }

    async fn delete_account(&self, user: UserId, now_ms: u64) -> Result<Option<Deleted>, Failure> {
        self.writer.run(move |conn| endings::delete_account(conn, &user, now_ms)).await
    }

    async fn export(&self, user: UserId) -> Result<Export, ReadError> {
        self.readers.run(move |conn| endings::export(conn, &user)).await
    }

    async fn pair_epochs(&self, user: UserId, peer: UserId) -> Result<Vec<ExportedEpoch>, Failure> {
        self.readers.run(move |conn| endings::pair_epochs(conn, &user, &peer)).await
    }

    async fn request(&self, request: NewRequest) -> Result<Requested, RequestError> {
        self.writer.run(move |conn| contacts::request(conn, &request)).await
    }

    async fn contacts(&self, user: UserId) -> Result<ContactList, ReadError> {
        self.readers.run(move |conn| contacts::list(conn, &user)).await
    }

    async fn asked(
        &self,
        answerer: UserId,
        request: RequestId,
        now_ms: u64,
    ) -> Result<Option<Asked>, Failure> {
        self.readers.run(move |conn| contacts::asked(conn, &answerer, &request, now_ms)).await
    }

    async fn accept(
        &self,
        answerer: UserId,
        request: RequestId,
        stamp: PairStamp,
        epoch: NewEpoch,
    ) -> Result<Vec<Told>, AcceptError> {
        let act = move |conn: &mut _| contacts::accept(conn, &answerer, &request, &stamp, &epoch);
        self.writer.run(act).await
    }

    async fn pair_keys(
        &self,
        user: UserId,
        peer: UserId,
        now_ms: u64,
    ) -> Result<Option<PairKeys>, Failure> {
        self.readers.run(move |conn| epochs::pair_keys(conn, &user, &peer, now_ms)).await
    }

    async fn post_epoch(
        &self,
        stamp: PairStamp,
        epoch: NewEpoch,
    ) -> Result<Vec<Told>, PostEpochError> {
        self.writer.run(move |conn| epochs::post(conn, &stamp, &epoch)).await
    }

    async fn epoch(
        &self,
        user: UserId,
        device: DeviceId,
        epoch: EpochId,
    ) -> Result<EpochFound, ReadError> {
        self.readers.run(move |conn| epochs::find(conn, &user, &device, &epoch)).await
    }

    async fn claim(
        &self,
        user: UserId,
        device: DeviceId,
        epoch: EpochId,
    ) -> Result<(), ClaimError> {
        self.writer.run(move |conn| epochs::claim(conn, &user, &device, &epoch)).await
    }

    async fn pair(&self, user: UserId, peer: UserId) -> Result<Option<PairNow>, Failure> {
        self.readers.run(move |conn| epochs::pair(conn, &user, &peer)).await
    }

    async fn prune(&self, now_ms: u64) -> Result<(), Failure> {
        self.writer.run(move |conn| epochs::prune(conn, now_ms)).await
    }

    async fn ping(&self) -> Result<(), Failure> {
        self.writer.run(accounts::ping).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_conforms() {
        crate::conformance::all(|| {
            let dir = tempfile::tempdir().unwrap();
            let store = SqliteStore::open(&dir.path().join("hushwire.sqlite")).unwrap();
            (store, dir)
        })
        .await;
    }

    #[tokio::test]
    async fn it_is_there_again_after_a_restart_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hushwire.sqlite");
        let store = SqliteStore::open(&path).unwrap();
        store.settle_domain("one.example").await.unwrap();
        drop(store);
        assert!(!path.with_extension("sqlite-wal").exists(), "closing empties the WAL");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let store = SqliteStore::open(&path).unwrap();
        let other = store.settle_domain("two.example").await.unwrap_err();
        assert!(matches!(other, DomainError::Other { stored } if stored == "one.example"));
    }

    #[test]
    fn the_settings_of_a_connection_are_in_force() {
        use diesel::prelude::*;
        let dir = tempfile::tempdir().unwrap();
        let mut conn = write_connection(&dir.path().join("db")).unwrap();
        let mut ask = |pragma: &str| {
            diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(&format!(
                "(SELECT {pragma} FROM pragma_{pragma})"
            )))
            .get_result::<i64>(&mut conn)
            .unwrap()
        };
        assert_eq!(ask("synchronous"), 2, "FULL");
        assert_eq!(ask("foreign_keys"), 1);
        assert_eq!(ask("secure_delete"), 1);
    }

    #[test]
    fn migrations_are_listed_and_a_newer_database_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hushwire.sqlite");
        assert!(SqliteStore::migrations(&path).unwrap().iter().all(|one| !one.applied));
        drop(SqliteStore::open(&path).unwrap());
        assert!(SqliteStore::migrations(&path).unwrap().iter().all(|one| one.applied));
        let mut conn = write_connection(&path).unwrap();
        conn.batch_execute(
            "INSERT INTO __diesel_schema_migrations (version) VALUES ('99999999999999')",
        )
        .unwrap();
        drop(conn);
        assert!(matches!(SqliteStore::open(&path), Err(OpenError::Newer(_))));
    }
}
