//! The connections for commands: a pool over whoever is the primary.
//!
//! A connection belongs to one caller at a time, so that `WAIT` covers that caller's writes and
//! nobody else's. One that failed or timed out is never used again.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use bb8_redis::redis::aio::MultiplexedConnection;
use bb8_redis::redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo as _, RedisError, cmd,
    io::tcp::TcpSettings,
};
use hushwire_actors::ports::Unavailable;
use slog::Logger;

use crate::library;
use crate::settings::Settings;
use crate::state::State;

/// The way to Redis. Clones are the same.
#[derive(Clone, Debug)]
pub struct Link {
    pool: bb8::Pool<Primary>,
    settings: Arc<Settings>,
    state: Arc<State>,
    log: Logger,
}

/// Redis could not be used at start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is none.
    #[error("redis.url is not a URL that Redis is reached by")]
    Url(#[source] RedisError),
    /// It does not answer, or refuses.
    #[error("Redis cannot be used")]
    Refused(#[source] RedisError),
}

/// One connection, for one caller.
#[derive(Debug)]
pub(crate) struct Connection {
    inner: MultiplexedConnection,
    broken: bool,
}

impl Deref for Connection {
    type Target = MultiplexedConnection;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

/// A connection on loan.
pub(crate) type Loan<'a> = bb8::PooledConnection<'a, Primary>;

impl Link {
    /// Connects, loads the function library and reads the generation. To be called on the runtime
    /// that will own the connections.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn open(settings: Settings, log: Logger) -> Result<Self, OpenError> {
        let settings = Arc::new(settings);
        let info = settings.url.as_str().into_connection_info().map_err(OpenError::Url)?;
        // Off by default, it would hold replies back for 40 ms.
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let primary = Primary { info, settings: settings.clone() };
        let pool = bb8::Pool::builder()
            .max_size(settings.connections.max(1))
            .connection_timeout(settings.within)
            .test_on_check_out(true)
            .build_unchecked(primary);
        let link = Self { pool, settings, state: Arc::default(), log };
        Ok(link)
    }

    /// A connection to the primary.
    pub(crate) async fn connection(&self) -> Result<Loan<'_>, Unavailable> {
        self.pool.get().await.map_err(|_| Unavailable)
    }

    /// Waits until enough replicas have what was written on this connection. To be called after
    /// every write that is reported to anybody; a repeat that changes nothing must have written
    /// something, so that this covers the original.
    pub(crate) async fn copied(&self, connection: &mut Loan<'_>) -> Result<(), Unavailable> {
        let wanted = self.state.facts().acknowledged_by;
        if wanted == 0 {
            return Ok(());
        }
        let within = u64::try_from(self.settings.copied_within.as_millis()).unwrap_or(u64::MAX);
        let have: usize = cmd("WAIT")
            .arg(wanted)
            .arg(within)
            .query_async(&mut connection.inner)
            .await
            .map_err(|error| self.failed(connection, &error))?;
        if have < wanted { Err(Unavailable) } else { Ok(()) }
    }

    /// A command failed: the connection is not used again where that may be the reason.
    pub(crate) fn failed(&self, connection: &mut Loan<'_>, error: &RedisError) -> Unavailable {
        connection.broken = error.is_io_error() || error.is_unrecoverable_error();
        slog::debug!(self.log, "redis did not answer"; "kind" => ?error.kind());
        Unavailable
    }

    /// What is known of the store.
    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// The key of what belongs to one device or user: `PREFIX:{TAG}:NAME`, with the tag in the
    /// form that Redis Cluster hashes.
    pub(crate) fn key(&self, tag: &[u8], name: &str) -> Vec<u8> {
        let prefix = self.settings.prefix.as_bytes();
        let mut key = Vec::with_capacity(prefix.len() + tag.len() * 2 + name.len() + 4);
        key.extend_from_slice(prefix);
        key.extend_from_slice(b":{");
        // In hexadecimal: a tag of raw bytes may contain what ends it.
        const HEX: &[u8; 16] = b"0123456789abcdef";
        for byte in tag {
            key.push(HEX[usize::from(byte >> 4)]);
            key.push(HEX[usize::from(byte & 15)]);
        }
        key.extend_from_slice(b"}:");
        key.extend_from_slice(name.as_bytes());
        key
    }

    /// The key of the generation: a hash with `gen` (16 bytes), `born_ms` and `run_id`.
    pub(crate) fn generation_key(&self) -> Vec<u8> {
        format!("{}:gen", self.settings.prefix).into_bytes()
    }
}

/// Opens connections to the primary.
#[derive(Debug)]
pub(crate) struct Primary {
    info: ConnectionInfo,
    settings: Arc<Settings>,
}

impl bb8::ManageConnection for Primary {
    type Connection = Connection;
    type Error = RedisError;

    async fn connect(&self) -> Result<Connection, RedisError> {
        let client = Client::open(self.info.clone())?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.settings.within))
            .set_response_timeout(Some(self.settings.within + self.settings.copied_within));
        let mut inner = client.get_multiplexed_async_connection_with_config(&config).await?;
        let _: String = cmd("FUNCTION")
            .arg("LOAD")
            .arg("REPLACE")
            .arg(library::source())
            .query_async(&mut inner)
            .await?;
        Ok(Connection { inner, broken: false })
    }

    async fn is_valid(&self, connection: &mut Connection) -> Result<(), RedisError> {
        cmd("PING").query_async(&mut connection.inner).await
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.broken
    }
}
