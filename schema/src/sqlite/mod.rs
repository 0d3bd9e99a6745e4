//! The embedded store: one SQLite file, one thread that writes, three that read.
//!
//! WAL with `synchronous=FULL`: an answer means that the change survives a power cut, at the
//! price of one `fsync` for each group of acts. `secure_delete` overwrites what is deleted, so a
//! claimed wrap is gone from the file.

#[cfg(test)]
mod bounds;
mod catalogue;
#[path = "../queries/mod.rs"]
mod queries;
#[cfg(test)]
mod steps;
mod threads;

use std::path::Path;
use std::sync::Arc;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use self::threads::{Connect, Threads};
use crate::failure::{Fails, Failure};
use crate::migrations::{self, MigrateError, MigrationState};

/// What the queries run on.
type Conn = SqliteConnection;
/// Whose acts they are.
type Adapter = SqliteStore;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

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

impl From<MigrateError> for OpenError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Newer(version) => Self::Newer(version),
            MigrateError::Failed(error) => Self::Migrate(error),
        }
    }
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
        migrations::run(&mut conn, MIGRATIONS)?;
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
            return Ok(migrations::states(None::<&mut SqliteConnection>, MIGRATIONS)?);
        }
        let mut conn = connect(path, READER_PRAGMAS).map_err(OpenError::Connect)?;
        Ok(migrations::states(Some(&mut conn), MIGRATIONS)?)
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

impl Adapter {
    /// Does an act that changes something.
    async fn write<T, E>(
        &self,
        act: impl FnOnce(&mut Conn) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Fails,
    {
        self.writer.run(act).await
    }

    /// Does an act that reads.
    async fn read<T, E>(
        &self,
        act: impl FnOnce(&mut Conn) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Fails,
    {
        self.readers.run(act).await
    }
}

/// What was opened takes writes: there is no standby of a file.
#[expect(clippy::unnecessary_wraps, reason = "other databases may refuse")]
const fn takes_writes(_: &mut Conn) -> Result<(), Failure> {
    Ok(())
}

/// Raw SQL in this database's dialect: parameters are `?1`, `?2`.
fn sql(text: impl Into<String>) -> diesel::query_builder::SqlQuery {
    diesel::sql_query(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::DomainError;
    use crate::store::Store as _;

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
