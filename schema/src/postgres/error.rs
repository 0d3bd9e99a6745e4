//! Why PostgreSQL could not be used: one variant for each bad day, and what to do about it.

use std::time::Duration;

use crate::migrations::MigrateError;

/// PostgreSQL could not be used at start. No message holds a password.
#[derive(Debug, thiserror::Error)]
pub enum PostgresOpenError {
    /// The URL is none.
    #[error("it is not a URL like postgres://user:password@host:5432/database")]
    Url(#[source] tokio_postgres::Error),
    /// Where the password ends cannot be told.
    #[error("in the URL's user and password, write @ as %40, / as %2F, ? as %3F and # as %23")]
    Escape,
    /// The authorities' file cannot be used.
    #[error("{path}: the authorities that sign the server's certificate cannot be read")]
    Authorities {
        /// Which file.
        path: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nobody answers.
    #[error("nobody answers at {at}: start PostgreSQL there, or correct host and port")]
    Unreachable {
        /// Where.
        at: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("no answer from {at} within {within:?}: it hangs, or something between drops packets")]
    TimedOut {
        /// Where.
        at: String,
        /// How long was waited.
        within: Duration,
    },
    /// TLS failed.
    #[error(
        "TLS with {at} failed: name the authority of its certificate in database.ca_file, or, on a \
         network that nobody else reads, say sslmode=disable in the URL"
    )]
    Tls {
        /// Where.
        at: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Wrong password, or no such role.
    #[error("the role \"{role}\" may not sign in: correct user and password in the URL")]
    Password {
        /// Which role.
        role: String,
    },
    /// There is no such database.
    #[error("there is no database \"{name}\": make it with CREATE DATABASE \"{name}\"")]
    NoDatabase {
        /// Which.
        name: String,
    },
    /// The server is too old.
    #[error("it is PostgreSQL {found}: upgrade it, at least 13 is needed")]
    TooOld {
        /// Its version.
        found: String,
    },
    /// Nothing can be written.
    #[error(
        "it takes no writes, as a standby or by default_transaction_read_only: name the primary"
    )]
    ReadOnly,
    /// The database has another encoding.
    #[error("its encoding is {found}: make the database with ENCODING 'UTF8'")]
    Encoding {
        /// Which.
        found: String,
    },
    /// The server refused.
    #[error("the server refused")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another node holds the lock of those that migrate.
    #[error(
        "another node has been migrating the database for {within:?}: wait for its end, or end its \
         session"
    )]
    Migrating {
        /// How long was waited.
        within: Duration,
    },
    /// A migration failed; the database is as before it.
    #[error("the database could not be migrated: the role must own it, or be allowed to CREATE")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database was made by a newer version of this program.
    #[error(
        "the database was made by a newer version, which knows the migration {0}: start that \
         version, or put a backup back"
    )]
    Newer(String),
    /// Another server uses the database.
    #[error(
        "another server uses this database, and messages wait in the memory of one of the two: stop \
         it first, name another database, or let messages wait in one Redis for all servers \
         (redis.url)"
    )]
    InUse,
    /// A thread could not be started.
    #[error("a thread of the store could not be started")]
    Thread(#[source] std::io::Error),
    /// The thread that opens it ended without a word.
    #[error("the store could not be opened")]
    Stopped,
}

impl From<MigrateError> for PostgresOpenError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Newer(version) => Self::Newer(version),
            MigrateError::Failed(error) => Self::Migrate(error),
        }
    }
}

impl From<diesel::result::Error> for PostgresOpenError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Refused(Box::new(error))
    }
}
