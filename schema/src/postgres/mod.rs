//! The store of several nodes: PostgreSQL, spoken in Rust, without libpq.
//!
//! Each connection belongs to a thread, which does one act at a time in one transaction: those that
//! change something SERIALIZABLE, those that read on one snapshot (REPEATABLE READ, read only). Acts
//! of other nodes come between; an act that PostgreSQL ends for it is done again, a bounded number
//! of times, so that its outcome is one that some order of all acts has. SQLite's one writer gives
//! the same, which is why the same queries serve both; row locks would need an order of their own
//! for each act.
//!
//! What drives the sockets is one runtime of the store's own, so that acts may come from any
//! runtime. No caller's thread is blocked, and none waits longer than [`PostgresSettings::within`]
//! for its answer. An answer [`Failure::Unreachable`](crate::Failure::Unreachable) leaves open
//! whether the act was done: every act may be repeated.

mod catalogue;
mod claim;
mod connect;
mod error;
#[path = "../queries/mod.rs"]
mod queries;
#[cfg(test)]
mod tests;
mod threads;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use tokio::sync::oneshot;

use self::claim::Claim;
use self::connect::Connector;
use self::threads::Threads;
use crate::failure::{Fails, Failure};
use crate::migrations::MigrationState;

pub use self::error::PostgresOpenError;

/// What the queries run on.
type Conn = AsyncConnectionWrapper<AsyncPgConnection>;
/// Whose acts they are.
type Adapter = PostgresStore;

/// Connections of one store, at most.
const CONNECTIONS_MAX: usize = 1000;
/// How long a node waits for another that migrates, and how long a migration may take.
const MIGRATE_WITHIN: Duration = Duration::from_secs(60);

/// How PostgreSQL is reached.
#[derive(Clone)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/database?sslmode=…`, as `psql` takes it.
    pub url: String,
    /// Connections, at least two, at most 1,000: one half for acts that change something, the other
    /// for those that read.
    pub connections: usize,
    /// How long connecting may take, and how long an act from its call to its answer.
    pub within: Duration,
    /// Authorities that sign the server's certificate, as PEM; without it those of the system.
    /// Nothing is read of either where the URL says `sslmode=disable`.
    pub ca_file: Option<PathBuf>,
    /// Whether no other server may use the database at the same time, since messages wait in the
    /// memory of one.
    pub alone: bool,
}

/// Without the URL, which may hold a password.
impl std::fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresSettings")
            .field("connections", &self.connections)
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}

/// Accounts, contacts and epochs in PostgreSQL.
#[derive(Debug)]
pub struct PostgresStore {
    writers: Threads,
    readers: Threads,
    /// Ends with the store.
    claim: Option<Claim>,
    /// Runs the connections; it outlives the threads, which wait for it.
    runtime: Option<tokio::runtime::Runtime>,
}

impl PostgresStore {
    /// Connects, looks whether the server is one that can be used, and brings the database to this
    /// version's tables. Several nodes may do so at once.
    ///
    /// # Errors
    /// If the server cannot be reached or used, or the database is of a newer version.
    pub async fn open(settings: PostgresSettings) -> Result<Self, PostgresOpenError> {
        elsewhere(move || Self::open_here(&settings, MIGRATE_WITHIN)).await
    }

    /// Which migrations the database has, and which it lacks, without changing it.
    ///
    /// # Errors
    /// If the server cannot be reached or used.
    pub async fn migrations(
        settings: PostgresSettings,
    ) -> Result<Vec<MigrationState>, PostgresOpenError> {
        elsewhere(move || {
            let runtime = runtime()?;
            let connector = Connector::new(&settings, runtime.handle().clone());
            let states = connector.and_then(|connector| connector.states());
            runtime.shutdown_background();
            states
        })
        .await
    }

    /// Opens it on the calling thread, which is of no runtime.
    fn open_here(
        settings: &PostgresSettings,
        migrate_within: Duration,
    ) -> Result<Self, PostgresOpenError> {
        let runtime = runtime()?;
        let connector = Connector::new(settings, runtime.handle().clone());
        let opened = connector.and_then(|connector| {
            let connector = Arc::new(connector);
            let claim = Claim::take(&connector, settings.alone)?;
            connector.prepare(migrate_within)?;
            let count = settings.connections.clamp(2, CONNECTIONS_MAX);
            let writers = Threads::start(&connector, connect::Acts::Change, count.div_ceil(2));
            let readers = Threads::start(&connector, connect::Acts::Read, count / 2);
            let thread = PostgresOpenError::Thread;
            Ok((writers.map_err(thread)?, readers.map_err(thread)?, claim))
        });
        match opened {
            Ok((writers, readers, claim)) => {
                Ok(Self { writers, readers, claim: Some(claim), runtime: Some(runtime) })
            }
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }
}

/// Does what blocks on a thread of its own: the caller's has others to serve.
async fn elsewhere<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, PostgresOpenError> + Send + 'static,
) -> Result<T, PostgresOpenError> {
    let (done, doing) = oneshot::channel();
    let act = move || drop(done.send(act()));
    let thread = std::thread::Builder::new().name("postgres-open".into()).spawn(act);
    thread.map_err(PostgresOpenError::Thread)?;
    doing.await.unwrap_or(Err(PostgresOpenError::Stopped))
}

fn runtime() -> Result<tokio::runtime::Runtime, PostgresOpenError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("postgres")
        .enable_all()
        .build()
        .map_err(PostgresOpenError::Thread)
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.writers.stop();
        self.readers.stop();
        self.claim = None;
        // Waiting for it would panic on a caller's runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Adapter {
    /// Does an act that changes something; again, if another came between.
    async fn write<T, E>(
        &self,
        act: impl Fn(&mut Conn) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Fails,
    {
        self.writers.run(act).await
    }

    /// Does an act that reads.
    async fn read<T, E>(
        &self,
        act: impl Fn(&mut Conn) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Fails,
    {
        self.readers.run(act).await
    }
}

/// Whether it takes writes: a standby and a database that was set so do not.
fn takes_writes(conn: &mut Conn) -> Result<(), Failure> {
    if connect::setting(conn, "transaction_read_only")? == "on" {
        return Err(Failure::ReadOnly);
    }
    Ok(())
}

/// Raw SQL in this database's dialect: `?1` is written `$1`.
fn sql(text: impl Into<String>) -> diesel::query_builder::SqlQuery {
    diesel::sql_query(text.into().replace('?', "$"))
}
