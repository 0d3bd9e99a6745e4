//! The connections for commands: a pool over the primary, on a runtime of its own.
//!
//! A connection belongs to one caller at a time, so that `WAIT` covers that caller's writes and
//! nobody else's. One that failed or timed out is never used again.

use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bb8::{ManageConnection as _, RunError};
use bb8_redis::redis::aio::MultiplexedConnection;
use bb8_redis::redis::{AsyncConnectionConfig, Client, ProtocolVersion, PushInfo, RedisError, cmd};
use hushwire_actors::admissions::Soon;
use hushwire_actors::ports::{Random, Unavailable};
use hushwire_wire::NodeId;
use slog::Logger;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::bus::ANSWERS_WITHIN;
use crate::check::{self, Finding};
use crate::error::OpenError;
use crate::keeper;
use crate::primary::{self, Loan, Primary};
use crate::settings::Settings;
use crate::shared::{Shared, SharedConnection};
use crate::state::State;

/// The way to Redis. Clones are the same; with the last the connections end.
#[derive(Clone, Debug)]
pub struct Link {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pool: bb8::Pool<Primary>,
    primary: Primary,
    shared: SharedConnection,
    /// Held by whoever opens the shared connection.
    opening: tokio::sync::Mutex<()>,
    settings: Arc<Settings>,
    state: Arc<State>,
    random: Arc<dyn Random>,
    log: Logger,
    /// Callers come from many threads, and a connection lives where it was opened.
    runtime: Option<Runtime>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Waiting for it would panic on a caller's runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Link {
    /// Connects, loads the function library, reads the generation, and looks after all of it from
    /// then on.
    ///
    /// # Errors
    /// If Redis cannot be reached or used.
    pub async fn open(
        settings: Settings,
        random: Arc<dyn Random>,
        log: Logger,
    ) -> Result<Self, OpenError> {
        let link = Self::start(settings, random, log)?;
        let looking = link.clone();
        let look = async move {
            // The pool would say no more than that there is no connection.
            let primary = &looking.inner.primary;
            let tried = timeout(looking.inner.settings.within, primary.connect()).await;
            tried.map_err(|_| OpenError::Unreachable)??;
            keeper::first(&looking).await
        };
        let looked = link.run(look).await;
        let facts = looked.unwrap_or(Err(OpenError::Unreachable))?;
        link.state().change(|known| *known = facts);
        if let Some(runtime) = &link.inner.runtime {
            runtime.spawn(keeper::keep(Arc::downgrade(&link.inner), link.state().clone()));
        }
        Ok(link)
    }

    /// Every setting of Redis and its replicas that decides whether messages are in memory only;
    /// nothing is changed.
    ///
    /// # Errors
    /// If Redis cannot be reached or does not tell.
    pub async fn audit(
        settings: Settings,
        random: Arc<dyn Random>,
        log: Logger,
    ) -> Result<Vec<Finding>, OpenError> {
        let link = Self::start_as(settings, random, log, false)?;
        let looking = link.clone();
        let audited = link.run(async move { keeper::audit(&looking).await }).await;
        audited.unwrap_or(Err(OpenError::Unreachable))
    }

    /// The link alone: nothing is asked yet.
    pub(crate) fn start(
        settings: Settings,
        random: Arc<dyn Random>,
        log: Logger,
    ) -> Result<Self, OpenError> {
        Self::start_as(settings, random, log, true)
    }

    /// The same, of which no connection loads the functions unless it `loads`.
    fn start_as(
        settings: Settings,
        random: Arc<dyn Random>,
        log: Logger,
        loads: bool,
    ) -> Result<Self, OpenError> {
        let settings = Arc::new(settings);
        let primary = Primary::new(settings.clone(), loads)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("redis")
            .enable_all()
            .build()
            .map_err(OpenError::Thread)?;
        let pool = bb8::Pool::builder()
            .max_size(settings.connections.max(1))
            .connection_timeout(settings.within)
            .retry_connection(false)
            .test_on_check_out(true)
            .build_unchecked(primary.clone());
        let state = Arc::default();
        let runtime = Some(runtime);
        let (shared, opening) = (SharedConnection::default(), tokio::sync::Mutex::default());
        let inner = Inner { pool, primary, shared, opening, settings, state, random, log, runtime };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The link that a weak reference means, if there is one still.
    pub(crate) fn upgrade(weak: &Weak<Inner>) -> Option<Self> {
        weak.upgrade().map(|inner| Self { inner })
    }

    /// Does something on the runtime of the connections. It is done to its end even if the caller
    /// goes away.
    ///
    /// # Errors
    /// If it broke.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        act: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let runtime = self.inner.runtime.as_ref().ok_or(Unavailable)?;
        let (done, doing) = oneshot::channel();
        runtime.spawn(async move { drop(done.send(act.await)) });
        doing.await.map_err(|_| Unavailable)
    }

    /// Begins something on the runtime of the connections. It is done to its end even if nobody
    /// waits for it.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        act: impl Future<Output = Result<T, Unavailable>> + Send + 'static,
    ) -> Soon<T> {
        let Some(runtime) = self.inner.runtime.as_ref() else { return Soon::Now(Err(Unavailable)) };
        let (done, doing) = oneshot::channel();
        runtime.spawn(async move { drop(done.send(act.await)) });
        Soon::later(async move { doing.await.map_err(|_| Unavailable)? })
    }

    /// Starts what goes on beside its caller, on the runtime of the connections.
    ///
    /// # Errors
    /// If that has ended.
    pub(crate) fn spawn(
        &self,
        act: impl Future<Output = ()> + Send + 'static,
    ) -> Result<AbortHandle, Unavailable> {
        let runtime = self.inner.runtime.as_ref().ok_or(Unavailable)?;
        Ok(runtime.spawn(act).abort_handle())
    }

    /// A connection to the primary.
    pub(crate) async fn connection(&self) -> Result<Loan<'_>, Unavailable> {
        self.inner.pool.get().await.map_err(|_| {
            self.state().doubt();
            Unavailable
        })
    }

    /// A connection that many callers use at once, for what needs no `WAIT`.
    pub(crate) async fn shared(&self) -> Result<Shared, Unavailable> {
        if let Some(shared) = self.inner.shared.known() {
            return Ok(shared);
        }
        let _opening = self.inner.opening.lock().await;
        if let Some(shared) = self.inner.shared.known() {
            return Ok(shared);
        }
        let opened = bb8::ManageConnection::connect(&self.inner.primary).await;
        let connection = opened.map_err(|_| {
            self.state().doubt();
            Unavailable
        })?;
        Ok(self.inner.shared.put(connection.into_shared()))
    }

    /// A command failed on a shared connection: it is not used again, since it may lead to a primary
    /// no more, or lack the functions.
    pub(crate) fn failed_shared(&self, shared: &Shared, error: &RedisError) -> Unavailable {
        self.inner.shared.drop(shared);
        self.state().doubt();
        slog::debug!(self.inner.log, "Redis did not do it"; "kind" => ?error.kind());
        Unavailable
    }

    /// No connection that there is is used again.
    pub(crate) fn reconnect(&self) {
        self.inner.primary.begin_turn();
        self.inner.shared.forget();
    }

    /// A connection that hears what is published, outside the pool: what it subscribes to comes to
    /// `took`, as does its end.
    pub(crate) async fn listener(
        &self,
        took: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, OpenError> {
        let (info, _) = self.inner.primary.reach().await?;
        let why = |error| OpenError::from_redis(error, &primary::at(&info));
        let resp3 = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.clone().set_redis_settings(resp3)).map_err(why)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.inner.settings.within))
            .set_response_timeout(Some(ANSWERS_WITHIN))
            .set_push_sender(move |push| -> Result<(), Infallible> {
                took(push);
                Ok(())
            });
        client.get_multiplexed_async_connection_with_config(&config).await.map_err(why)
    }

    /// A connection to the primary, or why there is none.
    pub(crate) async fn opened(&self) -> Result<Loan<'_>, OpenError> {
        self.inner.pool.get().await.map_err(|error| match error {
            RunError::TimedOut => OpenError::Unreachable,
            RunError::User(error) => error,
        })
    }

    /// Looks at the settings of the primary and of its replicas, `host:port` each.
    pub(crate) async fn check(
        &self,
        replicas: &[(String, u16)],
    ) -> Result<Vec<Finding>, OpenError> {
        let mut connection = self.opened().await?;
        let at = connection.at().to_owned();
        let primary = format!("{at} (primary)");
        let checked = check::server(&mut connection, &primary, !replicas.is_empty()).await;
        let mut findings = checked.map_err(|error| {
            connection.broken();
            OpenError::from_redis(error, &at)
        })?;
        for (host, port) in replicas {
            let name = format!("{host}:{port} (replica)");
            match self.check_replica(host, *port, &name).await {
                Some(found) => findings.extend(found),
                None => findings.push(check::unreachable(&name)),
            }
        }
        Ok(findings)
    }

    async fn check_replica(&self, host: &str, port: u16, name: &str) -> Option<Vec<Finding>> {
        let client = Client::open(self.inner.primary.info_of(host, port)).ok()?;
        let config = self.inner.primary.config();
        let mut connection =
            client.get_multiplexed_async_connection_with_config(&config).await.ok()?;
        check::server(&mut connection, name, true).await.ok()
    }

    /// Waits until enough replicas have what was written on this connection. To be called after
    /// every write that is reported to anybody; a repeat that changes nothing must have written
    /// something, so that this covers the original.
    pub(crate) async fn copied(&self, connection: &mut Loan<'_>) -> Result<(), Unavailable> {
        let wanted = self.state().facts().acknowledged_by;
        if wanted == 0 {
            return Ok(());
        }
        let within = self.inner.settings.copied_within.as_millis();
        let within = u64::try_from(within).unwrap_or(u64::MAX);
        let have: usize = cmd("WAIT")
            .arg(wanted)
            .arg(within)
            .query_async(&mut ***connection)
            .await
            .map_err(|error| self.failed(connection, &error))?;
        if have >= wanted {
            return Ok(());
        }
        self.state().doubt();
        Err(Unavailable)
    }

    /// A command failed: its connection is not used again, since a reply may come late.
    pub(crate) fn failed(&self, connection: &mut Loan<'_>, error: &RedisError) -> Unavailable {
        connection.broken();
        self.state().doubt();
        slog::debug!(self.inner.log, "Redis did not do it"; "kind" => ?error.kind());
        Unavailable
    }

    /// What is known of the store.
    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        &self.inner.state
    }

    pub(crate) fn log(&self) -> &Logger {
        &self.inner.log
    }

    /// How many processes must have a message.
    pub(crate) fn copies(&self) -> usize {
        self.inner.settings.copies
    }

    /// How often the settings of Redis are looked at.
    pub(crate) fn check_every(&self) -> Duration {
        self.inner.settings.check_every
    }

    /// Random bytes.
    pub(crate) fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.inner.random.fill(&mut bytes);
        bytes
    }

    /// The key of what belongs to one device, nonce or token: `PREFIX:{TAG}:NAME`, with the tag in
    /// the form that Redis Cluster hashes, in hexadecimal.
    pub(crate) fn key(&self, tag: &[u8], name: &str) -> Vec<u8> {
        let prefix = self.inner.settings.prefix.as_bytes();
        let mut key = Vec::with_capacity(prefix.len() + tag.len() * 2 + name.len() + 4);
        key.extend_from_slice(prefix);
        key.extend_from_slice(b":{");
        hex(tag, &mut key);
        key.extend_from_slice(b"}:");
        key.extend_from_slice(name.as_bytes());
        key
    }

    /// What keys of this name match, for `SCAN`.
    pub(crate) fn pattern(&self, name: &str) -> String {
        format!("{}:{{*}}:{name}", self.inner.settings.prefix)
    }

    /// The tag of a key; `None` if it is none of ours.
    pub(crate) fn tag(key: &[u8]) -> Option<Vec<u8>> {
        let start = key.iter().position(|byte| *byte == b'{')? + 1;
        let end = key.iter().position(|byte| *byte == b'}')?;
        let hex = key.get(start..end)?;
        let half = |digit: &u8| char::from(*digit).to_digit(16);
        hex.chunks(2)
            .map(|pair| match pair {
                [high, low] => u8::try_from(half(high)? * 16 + half(low)?).ok(),
                _ => None,
            })
            .collect()
    }

    /// The channel of a node.
    pub(crate) fn channel(&self, node: NodeId) -> Vec<u8> {
        let mut channel = format!("{}:node:", self.inner.settings.prefix).into_bytes();
        hex(&node.0, &mut channel);
        channel
    }

    /// The key of who is there: a sorted set of nodes by when they are not any more.
    pub(crate) fn nodes_key(&self) -> Vec<u8> {
        format!("{}:there", self.inner.settings.prefix).into_bytes()
    }

    /// The channel of all nodes.
    pub(crate) fn channel_of_all(&self) -> Vec<u8> {
        format!("{}:nodes", self.inner.settings.prefix).into_bytes()
    }

    /// The key of the generation: a hash with `gen` (16 bytes), `born_ms` and `run_id`.
    pub(crate) fn generation_key(&self) -> Vec<u8> {
        format!("{}:gen", self.inner.settings.prefix).into_bytes()
    }
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend([byte >> 4, byte & 15].map(|half| HEX[usize::from(half)]));
    }
}
