//! Connections: how one is opened, what it must find, and how it is cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::dsl::{select, sql};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel_async::AsyncPgConnection;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Conn, PostgresSettings};
use crate::migrations::{self, MigrateError, MigrationState};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");
/// The oldest version that is supported, as PostgreSQL numbers it.
const OLDEST: u32 = 130_000;
/// Nodes that start at once migrate one after the other: the number of the lock, which is ours.
const LOCK: i64 = 0x6875_7368_7769_7265;
/// How long a node waits for another that migrates, and how long a migration may take.
const MIGRATE_WITHIN: Duration = Duration::from_secs(60);

/// PostgreSQL could not be used at start. No message holds a password.
#[derive(Debug, thiserror::Error)]
pub enum PostgresOpenError {
    /// The URL is none.
    #[error("it is not a URL like postgres://user:password@host:5432/database")]
    Url(#[source] tokio_postgres::Error),
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
    #[error("it is PostgreSQL {found}: at least 13 is needed")]
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
    /// A migration failed; the database is as before it.
    #[error("the database could not be migrated: the role must own it, or be allowed to CREATE")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database was made by a newer version of this program.
    #[error("the database was made by a newer version: it knows the migration {0}")]
    Newer(String),
    /// Another server uses the database.
    #[error(
        "another server uses this database, and messages wait in the memory of one: stop it first, \
         or name another database"
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

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acts {
    /// Acts that change something.
    Change,
    /// Acts that read.
    Read,
}

/// Opens connections.
#[derive(Debug)]
pub(super) struct Connector {
    config: Config,
    tls: TlsMaker,
    handle: Handle,
    within: Duration,
}

/// `MakeRustlsConnect` shows nothing of itself.
struct TlsMaker(MakeRustlsConnect);

impl std::fmt::Debug for TlsMaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsMaker")
    }
}

/// A connection, and how it is cut off.
pub(super) struct Live {
    pub(super) conn: Conn,
    cut: Arc<Notify>,
    ended: Arc<AtomicBool>,
}

impl Live {
    /// Whether the server or a deadline has ended it.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

impl Connector {
    pub(super) fn new(
        settings: &PostgresSettings,
        handle: Handle,
    ) -> Result<Self, PostgresOpenError> {
        let mut config: Config = settings.url.parse().map_err(PostgresOpenError::Url)?;
        if config.get_application_name().is_none() {
            config.application_name("hushwire");
        }
        config.connect_timeout(settings.within).tcp_user_timeout(settings.within);
        let tls = TlsMaker(MakeRustlsConnect::new(tls(settings)?));
        Ok(Self { config, tls, handle, within: settings.within })
    }

    /// Looks whether the server can be used, and migrates the database.
    pub(super) fn prepare(&self) -> Result<(), PostgresOpenError> {
        let _inside = self.handle.enter();
        let mut live = self.connect(Acts::Change)?;
        let conn = &mut live.conn;
        let version = setting(conn, "server_version_num")?;
        if version.parse::<u32>().is_ok_and(|version| version < OLDEST) {
            return Err(PostgresOpenError::TooOld { found: setting(conn, "server_version")? });
        }
        let standby = select(sql::<Bool>("pg_is_in_recovery()")).get_result::<bool>(conn)?;
        if standby || setting(conn, "transaction_read_only")? == "on" {
            return Err(PostgresOpenError::ReadOnly);
        }
        let encoding = setting(conn, "server_encoding")?;
        if encoding != "UTF8" {
            return Err(PostgresOpenError::Encoding { found: encoding });
        }
        let ms = MIGRATE_WITHIN.as_millis();
        conn.batch_execute(&format!(
            "SET statement_timeout = {ms}; SET lock_timeout = {ms}; SELECT pg_advisory_lock({LOCK})"
        ))?;
        // The lock goes with the connection.
        Ok(migrations::run(conn, MIGRATIONS)?)
    }

    /// Which migrations the database has.
    pub(super) fn states(&self) -> Result<Vec<MigrationState>, PostgresOpenError> {
        let _inside = self.handle.enter();
        let mut live = self.connect(Acts::Change)?;
        let there = "to_regclass('__diesel_schema_migrations') IS NOT NULL";
        let begun = select(sql::<Bool>(there)).get_result::<bool>(&mut live.conn)?;
        Ok(migrations::states(begun.then_some(&mut live.conn), MIGRATIONS)?)
    }

    /// Opens a connection. To be called outside of any runtime, inside [`Connector::handle`].
    pub(super) fn connect(&self, acts: Acts) -> Result<Live, PostgresOpenError> {
        let opening = timeout(self.within, self.open());
        let opened = self.handle.block_on(opening);
        let mut live = opened.map_err(|_| self.timed_out())??;
        // What reads must not lock; what writes must come out as in some order of all.
        let mode = match acts {
            Acts::Change => "SET default_transaction_isolation = 'serializable'",
            Acts::Read => {
                "SET default_transaction_isolation = 'repeatable read'; \
                 SET default_transaction_read_only = on"
            }
        };
        let ms = self.within.as_millis();
        let alarm = self.alarm(&live);
        let set = live.conn.batch_execute(&format!(
            "{mode}; SET statement_timeout = {ms}; SET lock_timeout = {ms}; \
             SET idle_in_transaction_session_timeout = {ms}"
        ));
        alarm.abort();
        set?;
        Ok(live)
    }

    /// Cuts a connection off when [`PostgresSettings::within`] has passed, unless it is aborted.
    pub(super) fn alarm(&self, live: &Live) -> tokio::task::JoinHandle<()> {
        let (within, cut) = (self.within, live.cut.clone());
        self.handle.spawn(async move {
            tokio::time::sleep(within).await;
            cut.notify_one();
        })
    }

    /// The runtime of the connections.
    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    async fn open(&self) -> Result<Live, PostgresOpenError> {
        let connected = self.config.connect(self.tls.0.clone()).await;
        let (client, connection) = connected.map_err(|error| self.refused(error))?;
        let (cut, ended) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let (cutting, ending) = (cut.clone(), ended.clone());
        tokio::spawn(async move {
            tokio::select! {
                _ = connection => {}
                () = cutting.notified() => {}
            }
            ending.store(true, Ordering::Release);
        });
        let conn = AsyncPgConnection::try_from(client).await;
        let conn = conn.map_err(|error| PostgresOpenError::Refused(Box::new(error)))?;
        Ok(Live { conn: conn.into(), cut, ended })
    }

    fn refused(&self, error: tokio_postgres::Error) -> PostgresOpenError {
        let wrong = [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION];
        match error.code() {
            Some(code) if wrong.contains(code) => {
                let role = self.config.get_user().unwrap_or_default().to_owned();
                PostgresOpenError::Password { role }
            }
            Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
                let name = self.config.get_dbname().or(self.config.get_user());
                PostgresOpenError::NoDatabase { name: name.unwrap_or_default().to_owned() }
            }
            Some(_) => PostgresOpenError::Refused(Box::new(error)),
            None => {
                let (at, text) = (self.at(), error.to_string());
                let timed_out = text.contains("timed out");
                if text.contains("TLS") {
                    PostgresOpenError::Tls { at, source: Box::new(error) }
                } else if timed_out {
                    self.timed_out()
                } else if text.contains("connect") || text.contains("communicating") {
                    PostgresOpenError::Unreachable { at, source: Box::new(error) }
                } else {
                    PostgresOpenError::Refused(Box::new(error))
                }
            }
        }
    }

    fn timed_out(&self) -> PostgresOpenError {
        PostgresOpenError::TimedOut { at: self.at(), within: self.within }
    }

    /// Host and port, as the URL names them.
    fn at(&self) -> String {
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        match self.config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => format!("{host}:{port}"),
            #[cfg(unix)]
            Some(tokio_postgres::config::Host::Unix(path)) => path.display().to_string(),
            None => format!("port {port}"),
        }
    }
}

fn setting(conn: &mut Conn, name: &str) -> QueryResult<String> {
    select(sql::<Text>(&format!("current_setting('{name}')"))).get_result(conn)
}

fn tls(settings: &PostgresSettings) -> Result<ClientConfig, PostgresOpenError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| PostgresOpenError::Refused(Box::new(error)))?;
    let Some(path) = &settings.ca_file else {
        let builder = builder
            .with_platform_verifier()
            .map_err(|error| PostgresOpenError::Refused(Box::new(error)))?;
        return Ok(builder.with_no_client_auth());
    };
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
        PostgresOpenError::Authorities { path: path.display().to_string(), source }
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| failed(Box::new(e)))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|e| failed(Box::new(e)))?;
        roots.add(certificate).map_err(|e| failed(Box::new(e)))?;
    }
    if roots.is_empty() {
        return Err(failed("it holds no certificate".into()));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
