//! Connections: how one is opened, what it must find, and how it is cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use diesel::dsl::{select, sql};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel_async::AsyncPgConnection;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::PostgresOpenError;
use super::{Conn, PostgresSettings, tls};
use crate::migrations::{self, MigrationState};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");
/// The oldest version that is supported, as PostgreSQL numbers it.
const OLDEST: u32 = 130_000;
/// Nodes that start at once migrate one after the other: the number of the lock, which is ours.
pub(super) const LOCK: i64 = 0x6875_7368_7769_7265;

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
        let mut config = config(&settings.url)?;
        if config.get_application_name().is_none() {
            config.application_name("hushwire");
        }
        config.connect_timeout(settings.within).tcp_user_timeout(settings.within);
        let is_used = config.get_ssl_mode() != SslMode::Disable;
        let tls = TlsMaker(MakeRustlsConnect::new(tls::client(settings, is_used)?));
        Ok(Self { config, tls, handle, within: settings.within })
    }

    /// Looks whether the server can be used, and migrates the database.
    pub(super) fn prepare(&self, migrate_within: Duration) -> Result<(), PostgresOpenError> {
        let _inside = self.handle.enter();
        let mut live = self.connect(Acts::Change)?;
        let alarm = self.alarm(&live, Instant::now() + self.within);
        let checked = check(&mut live.conn);
        alarm.abort();
        if live.has_ended() {
            return Err(self.timed_out());
        }
        checked?;
        // A migration that hangs is cut off, too: the lock's wait and the work, and some.
        let alarm = self.alarm(&live, Instant::now() + migrate_within * 2 + self.within);
        let migrated = migrate(&mut live.conn, migrate_within);
        alarm.abort();
        migrated
    }

    /// Which migrations the database has.
    pub(super) fn states(&self) -> Result<Vec<MigrationState>, PostgresOpenError> {
        let _inside = self.handle.enter();
        let mut live = self.connect(Acts::Change)?;
        let alarm = self.alarm(&live, Instant::now() + self.within);
        let there = "to_regclass('__diesel_schema_migrations') IS NOT NULL";
        let begun = select(sql::<Bool>(there)).get_result::<bool>(&mut live.conn)?;
        let states = migrations::states(begun.then_some(&mut live.conn), MIGRATIONS);
        alarm.abort();
        Ok(states?)
    }

    /// Opens a connection. To be called outside of any runtime, inside [`Connector::handle`].
    pub(super) fn connect(&self, acts: Acts) -> Result<Live, PostgresOpenError> {
        let opening = timeout(self.within, self.open());
        let opened = self.handle.block_on(opening);
        let mut live = opened.map_err(|_| self.timed_out())??;
        let alarm = self.alarm(&live, Instant::now() + self.within);
        let set = self.set(&mut live.conn, acts);
        alarm.abort();
        set?;
        Ok(live)
    }

    /// Makes a new connection fit for its acts.
    fn set(&self, conn: &mut Conn, acts: Acts) -> Result<(), PostgresOpenError> {
        // A standby refuses what is SERIALIZABLE, with an error that has no code of its own.
        if acts == Acts::Change && is_standby(conn)? {
            return Err(PostgresOpenError::ReadOnly);
        }
        // What reads must not lock; what writes must come out as in some order of all, and what was
        // answered survives a power cut, whatever the role's settings say.
        let mode = match acts {
            Acts::Change => {
                "SET default_transaction_isolation = 'serializable'; SELECT \
                 set_config('synchronous_commit', 'on', false) WHERE \
                 current_setting('synchronous_commit') = 'off'"
            }
            Acts::Read => {
                "SET default_transaction_isolation = 'repeatable read'; \
                 SET default_transaction_read_only = on"
            }
        };
        let ms = self.within.as_millis();
        Ok(conn.batch_execute(&format!(
            "{mode}; SET statement_timeout = {ms}; SET lock_timeout = {ms}; \
             SET idle_in_transaction_session_timeout = {ms}"
        ))?)
    }

    /// Cuts a connection off at `deadline`, unless it is aborted.
    pub(super) fn alarm(&self, live: &Live, deadline: Instant) -> tokio::task::JoinHandle<()> {
        let (cut, ended) = (Arc::clone(&live.cut), Arc::clone(&live.ended));
        self.handle.spawn(async move {
            tokio::time::sleep_until(deadline.into()).await;
            ended.store(true, Ordering::Release);
            cut.notify_one();
        })
    }

    /// How long an act may take.
    pub(super) const fn within(&self) -> Duration {
        self.within
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

/// What `url` says, as far as this store speaks it.
fn config(url: &str) -> Result<Config, PostgresOpenError> {
    if let Some(rest) = url.strip_prefix("postgres").and_then(|rest| rest.split_once("://")) {
        let authority = rest.1.split(['/', '?', '#']).next().unwrap_or_default();
        let (all, within) = (rest.1.matches('@').count(), authority.matches('@').count());
        // The rest of a password would be taken for a host, and told.
        if all > 1 || all != within {
            return Err(PostgresOpenError::Escape);
        }
    }
    // Whatever is encrypted is verified, chain and name: these ask for no more.
    let url = url.replace("sslmode=verify-full", "sslmode=require");
    url.replace("sslmode=verify-ca", "sslmode=require").parse().map_err(PostgresOpenError::Url)
}

/// Whether the server can be used.
fn check(conn: &mut Conn) -> Result<(), PostgresOpenError> {
    if !is_supported(&setting(conn, "server_version_num")?) {
        return Err(PostgresOpenError::TooOld { found: setting(conn, "server_version")? });
    }
    if setting(conn, "transaction_read_only")? == "on" {
        return Err(PostgresOpenError::ReadOnly);
    }
    let encoding = setting(conn, "server_encoding")?;
    if encoding != "UTF8" {
        return Err(PostgresOpenError::Encoding { found: encoding });
    }
    Ok(())
}

/// Whether it follows another server.
fn is_standby(conn: &mut Conn) -> QueryResult<bool> {
    select(sql::<Bool>("pg_is_in_recovery()")).get_result(conn)
}

/// Whether it is a version that is supported; one that cannot be read is none.
fn is_supported(version_num: &str) -> bool {
    version_num.parse::<u32>().is_ok_and(|version| version >= OLDEST)
}

/// Brings the database to this version's tables, after whoever does so now.
fn migrate(conn: &mut Conn, within: Duration) -> Result<(), PostgresOpenError> {
    let ms = within.as_millis();
    conn.batch_execute(&format!("SET statement_timeout = 0; SET lock_timeout = {ms}"))?;
    let lock = conn.batch_execute(&format!("SELECT pg_advisory_lock({LOCK})"));
    lock.map_err(|_| PostgresOpenError::Migrating { within })?;
    conn.batch_execute(&format!("SET statement_timeout = {ms}"))?;
    // The lock goes with the connection.
    Ok(migrations::run(conn, MIGRATIONS)?)
}

pub(super) fn setting(conn: &mut Conn, name: &str) -> QueryResult<String> {
    select(sql::<Text>(&format!("current_setting('{name}')"))).get_result(conn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_before_13_and_unreadable_ones_are_refused() {
        for (version, supported) in
            [("120022", false), ("90624", false), ("130000", true), ("170002", true), ("x", false)]
        {
            assert_eq!(is_supported(version), supported, "{version}");
        }
    }

    #[test]
    fn a_password_is_never_taken_for_a_host() {
        for url in [
            "postgres://user:s3@cret@127.0.0.1/db",
            "postgresql://user:s3/cret@127.0.0.1/db",
            "postgres://user:s3?cret@127.0.0.1/db",
            "postgres://127.0.0.1/db?user=user&password=s3@cret",
        ] {
            assert!(matches!(config(url), Err(PostgresOpenError::Escape)), "{url}");
        }
        let encoded = config("postgres://user:s3%40cret@127.0.0.1/db").unwrap();
        assert_eq!(encoded.get_password(), Some(&b"s3@cret"[..]));
        let pairs = config("host=127.0.0.1 user=u password=s3@cret@x dbname=db").unwrap();
        assert_eq!(pairs.get_dbname(), Some("db"));
    }

    #[test]
    fn what_asks_for_verification_gets_it() {
        for mode in ["require", "verify-ca", "verify-full"] {
            let config = config(&format!("postgres://u@h/d?sslmode={mode}")).unwrap();
            assert_eq!(config.get_ssl_mode(), SslMode::Require);
        }
    }
}
