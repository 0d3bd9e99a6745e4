//! The store of several nodes: PostgreSQL, spoken in Rust, without libpq.
//!
//! Each connection belongs to a thread, which does one act at a time in one transaction: those that
//! change something SERIALIZABLE, those that read on one snapshot. Acts of other nodes come between;
//! an act that PostgreSQL ends for it is done again, so that its outcome is one that some order of
//! all acts has. No caller is blocked, and none waits longer than [`PostgresSettings::within`] for an
//! act that has begun.

mod alone;
mod catalogue;
mod connect;
#[path = "../queries/mod.rs"]
mod queries;
#[cfg(test)]
mod tests;
mod threads;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use tokio::sync::oneshot;

use self::alone::Alone;
use self::connect::Connector;
use self::threads::Threads;
use crate::failure::Fails;
use crate::migrations::MigrationState;

pub use self::connect::PostgresOpenError;

/// What the queries run on.
type Conn = AsyncConnectionWrapper<AsyncPgConnection>;
/// Whose acts they are.
type Adapter = PostgresStore;

/// How PostgreSQL is reached.
#[derive(Clone)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/database?sslmode=…`, as `psql` takes it.
    pub url: String,
    /// Connections, at least two: one half for acts that change something, the other for those that
    /// read.
    pub connections: usize,
    /// How long connecting may take, and how long an act.
    pub within: Duration,
    /// Authorities that sign the server's certificate, as PEM; without it those of the system.
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
    alone: Option<Alone>,
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
        elsewhere(move || Self::open_here(&settings)).await
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

    fn open_here(settings: &PostgresSettings) -> Result<Self, PostgresOpenError> {
        let runtime = runtime()?;
        let connector = Connector::new(settings, runtime.handle().clone());
        let opened = connector.and_then(|connector| {
            let connector = Arc::new(connector);
            let alone = settings.alone.then(|| Alone::claim(&connector)).transpose()?;
            connector.prepare()?;
            let half = (settings.connections / 2).max(1);
            let writers = Threads::start(&connector, connect::Acts::Change, half);
            let readers = Threads::start(&connector, connect::Acts::Read, half);
            let thread = PostgresOpenError::Thread;
            Ok((writers.map_err(thread)?, readers.map_err(thread)?, alone))
        });
        match opened {
            Ok((writers, readers, alone)) => {
                Ok(Self { writers, readers, alone, runtime: Some(runtime) })
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
        self.alone = None;
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

/// Raw SQL in this database's dialect: `?1` is written `$1`.
fn sql(text: impl Into<String>) -> diesel::query_builder::SqlQuery {
    diesel::sql_query(text.into().replace('?', "$"))
}
