//! One server: listeners, workers, store and engine, from bind to drain.
//!
//! One listener serves ordinary requests (to the `App`) and WebSocket upgrades (to
//! [`crate::socket`]); another, not public, says how it is. Several servers may live in one
//! process, each in its own actix System.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::{HttpService, KeepAlive, Request, h1};
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::web;
use hushwire_actors::ports::{Clock, Ports, SignIns};
use hushwire_actors::{Engine, Readiness};
use hushwire_redis::OpenError as RedisOpenError;
use hushwire_schema::{DomainError, OpenError, PostgresOpenError, Store};
use slog::{Logger, error, info, o, warn};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::adapters::{Blake2b, StoreAccounts, SystemClock, SystemRandom, Tries};
use crate::http::{self, State};
use crate::logging::causes;
use crate::settings::{Invalid, Settings};
use crate::socket;
use crate::stores::{self, InUse};
use crate::tls::{self, Tls, TlsError};

/// How long a stop may take, whatever is still open.
const STOP_WITHIN: Duration = Duration::from_secs(28);
/// How long requests under way may take during a stop, in seconds.
const REQUESTS_WITHIN_S: u64 = 5;
/// How long a peer's kernel may leave what was sent unacknowledged.
#[cfg(target_os = "linux")]
const TAKEN_WITHIN: Duration = Duration::from_secs(20);
/// When a peer that is silent is asked by the kernel whether it is there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// How often old rows are deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How often the engine is asked whether it fails.
const WATCH_EVERY: Duration = Duration::from_secs(5);
/// How long the engine may fail before the process ends, to be started afresh.
const FAILING_FOR: Duration = Duration::from_secs(60);

/// A server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is not allowed.
    #[error("{0}")]
    Settings(Invalid),
    /// The database's folder cannot be made.
    #[error("{path}: the folder of the database cannot be made")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process uses the database.
    #[error("{path}: another server uses this database. Stop it first, or name another folder")]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// The database cannot be opened.
    #[error("{path}: the database cannot be used")]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// PostgreSQL cannot be used.
    #[error("database.url: PostgreSQL cannot be used")]
    Postgres(#[from] PostgresOpenError),
    /// The file with the URL of PostgreSQL cannot be read.
    #[error("{path} (database.url_file): the URL of PostgreSQL cannot be read there")]
    UrlFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Redis cannot be used.
    #[error("redis.url: Redis cannot be used")]
    Redis(#[from] RedisOpenError),
    /// The file with the URL of Redis cannot be read.
    #[error("{path} (redis.url_file): the URL of Redis cannot be read there")]
    RedisUrlFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database was made for another domain.
    #[error(
        "server.domain is {configured}, but the database was made for {stored}: every account's \
         first log entry names the domain, so it can never change. Set server.domain = \
         \"{stored}\", or start with an empty database"
    )]
    Domain {
        /// What is set now.
        configured: String,
        /// What the database was made for.
        stored: String,
    },
    /// The database did not answer.
    #[error("the database did not answer")]
    Store(#[source] hushwire_schema::Failure),
    /// Certificate and key cannot be used.
    #[error("TLS cannot be spoken")]
    Tls(#[from] TlsError),
    /// An address cannot be listened on.
    #[error("{address} ({key}): cannot listen there{}", instead(source))]
    Listen {
        /// Which.
        address: SocketAddr,
        /// The key that names it.
        key: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The HTTP server could not be built.
    #[error("the HTTP server could not be built")]
    Build(#[source] std::io::Error),
}

/// What to do about an address that cannot be listened on.
fn instead(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::AddrInUse => {
            ", another program does: stop it, or name another port (another server at the same time \
             needs another admin.listen and database, too)"
        }
        std::io::ErrorKind::AddrNotAvailable => ", since no interface of this machine has it",
        std::io::ErrorKind::PermissionDenied => {
            ", since ports below 1024 take a right (CAP_NET_BIND_SERVICE): name a higher port, or \
             let a proxy listen there"
        }
        _ => "",
    }
}

/// A server that is bound and ready to run.
pub struct Server {
    address: SocketAddr,
    admin: Option<SocketAddr>,
    tls: Option<Tls>,
    running: actix_server::Server,
    engine: Engine,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    stop: StopHandle,
    stopped: mpsc::Receiver<Stop>,
    log: Logger,
    /// Unlocked when the server is gone.
    _in_use: InUse,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Drain,
    Now,
}

/// Stops a server from anywhere.
#[derive(Clone, Debug)]
pub struct StopHandle(mpsc::Sender<Stop>);

impl StopHandle {
    /// Asks the server to drain: refuse what is new, finish custody, tell every client when to
    /// come back, and end, within 30 seconds. A repeat changes nothing.
    pub fn drain(&self) {
        // A full queue means that it was told before, a closed one that it is gone.
        let _ = self.0.try_send(Stop::Drain);
    }

    /// Asks the server to end at once.
    pub fn now(&self) {
        let _ = self.0.try_send(Stop::Now);
    }
}

impl Server {
    /// Opens the database, starts the engine and binds the listeners. Call it inside an actix
    /// System; [`Self::run`] serves.
    ///
    /// # Errors
    /// If a setting, the database or an address cannot be used.
    pub async fn bind(settings: Settings, log: Logger) -> Result<Self, StartError> {
        settings.validate().map_err(StartError::Settings)?;
        let now_ms = SystemClock.now_ms();
        let tls = Tls::load(&settings.tls, now_ms)?;
        if let Some(tls) = &tls {
            tls.report(now_ms, &log);
        }
        let (store, in_use) = stores::open(&settings).await?;
        let domain = settings.server.domain.clone();
        store.settle_domain(&domain).await.map_err(|error| match error {
            DomainError::Other { stored } => {
                StartError::Domain { configured: domain.clone(), stored }
            }
            DomainError::Failed(failure) => StartError::Store(failure),
        })?;
        let listener = listen(settings.server.listen, settings.server.backlog, "server.listen")?;
        let admin = settings.admin.address();
        let admin = admin.map(|address| listen(address, 128, "admin.listen")).transpose()?;

        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let limits = settings.engine_limits();
        let redis_log = log.new(o!("part" => "redis"));
        let stores::Waiting { queue, admissions, bus } =
            stores::waiting(&settings, &limits, Arc::clone(&clock), redis_log).await?;
        let accounts_log = log.new(o!("part" => "accounts"));
        let (rate, most) = (settings.limits.sign_ins_per_minute, settings.limits.addresses);
        let sign_ins: Arc<dyn SignIns> = Arc::new(Tries::new(rate, most, Arc::clone(&clock)));
        let ports = Ports {
            accounts: Arc::new(StoreAccounts::new(
                Arc::clone(&store),
                domain.clone(),
                accounts_log,
            )),
            clock: Arc::clone(&clock),
            random: Arc::new(SystemRandom),
            digest: Arc::new(Blake2b),
            bus,
            admissions,
            sign_ins: Arc::clone(&sign_ins),
        };
        let engine_log = log.new(o!("part" => "engine"));
        let engine = Engine::start(ports, queue, limits, domain, engine_log);
        let http_log = log.new(o!("part" => "http"));
        let state = web::Data::new(State::new(
            Arc::clone(&store),
            engine.clone(),
            Arc::clone(&clock),
            sign_ins,
            settings,
            http_log,
        ));

        let (address, listener) = listener;
        let (admin_address, admin) = admin.unzip();
        let running =
            build(&state, address, listener, tls.clone(), admin).map_err(StartError::Build)?;
        let (stop, stopped) = mpsc::channel(2);
        Ok(Self {
            address,
            admin: admin_address,
            tls,
            running,
            engine,
            store,
            clock,
            stop: StopHandle(stop),
            stopped,
            log,
            _in_use: in_use,
        })
    }

    /// Where the public interface listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the admin interface listens, if it does.
    #[must_use]
    pub const fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// TLS on the public interface, if it is on.
    pub(crate) const fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Stops this server.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// The engine, for figures.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Serves until it is stopped.
    ///
    /// # Errors
    /// If the HTTP server fails.
    pub async fn run(self) -> std::io::Result<()> {
        let Self { running, engine, store, clock, mut stopped, log, .. } = self;
        let handle = running.handle();
        let mut running = actix_rt::spawn(running);
        let pruning = actix_rt::spawn(prune(Arc::clone(&store), clock, log.clone()));
        info!(log, "serving");
        let told = tokio::select! {
            ended = &mut running => {
                pruning.abort();
                return ended.map_err(std::io::Error::other)?;
            }
            told = stopped.recv() => told.unwrap_or(Stop::Now),
            what = watch(engine.clone()) => {
                error!(log, "the engine keeps failing, and ends"; "what" => what);
                handle.stop(false).await;
                pruning.abort();
                return Err(std::io::Error::other(format!("the engine kept failing: {what}")));
            }
        };
        if told == Stop::Drain {
            info!(log, "draining");
            let drained = async {
                engine.drain().await;
                handle.stop(true).await;
            };
            let now = async {
                // A repeated `drain` changes nothing.
                while stopped.recv().await == Some(Stop::Drain) {}
            };
            tokio::select! {
                () = drained => {}
                () = now => warn!(log, "stopped before everything was drained"),
                () = tokio::time::sleep(STOP_WITHIN) => warn!(log, "draining took too long"),
            }
        }
        handle.stop(false).await;
        pruning.abort();
        info!(log, "stopped");
        Ok(())
    }
}

fn listen(
    address: SocketAddr,
    backlog: u32,
    key: &'static str,
) -> Result<(SocketAddr, std::net::TcpListener), StartError> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart must not wait for the old connections' last minutes.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(backlog)?.into_std()?;
        patience(&listener)?;
        Ok((listener.local_addr()?, listener))
    };
    bound().map_err(|source| StartError::Listen { address, key, source })
}

/// How long the kernel waits for a peer, set on the listener: accepted sockets inherit it.
fn patience(listener: &std::net::TcpListener) -> std::io::Result<()> {
    let socket = SockRef::from(listener);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER))?;
    // Without it a peer that is gone is noticed after a quarter of an hour of retries.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(TAKEN_WITHIN))?;
    Ok(())
}

fn build(
    state: &web::Data<State>,
    address: SocketAddr,
    listener: std::net::TcpListener,
    tls: Option<Tls>,
    admin: Option<std::net::TcpListener>,
) -> std::io::Result<actix_server::Server> {
    let builder = actix_server::Server::build()
        .workers(state.settings.workers())
        .max_concurrent_connections(state.settings.http.connections_per_worker)
        .shutdown_timeout(REQUESTS_WITHIN_S)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let shared = state.clone();
    let mut builder = builder.listen("public", listener, move || {
        // Once on each worker's thread.
        let state = shared.clone();
        if let Some(arbiter) = actix::Arbiter::try_current() {
            state.engine.add_worker(arbiter);
        }
        let app = http::public(state.clone()).into_factory();
        let http = &state.settings.http;
        let stopping = stopping.clone();
        let upgrades = state.clone();
        let service = HttpService::build()
            .keep_alive(KeepAlive::Timeout(Duration::from_millis(http.keep_alive_ms)))
            .client_request_timeout(Duration::from_millis(http.request_timeout_ms))
            .client_disconnect_timeout(Duration::from_secs(1))
            .h1_allow_half_closed(false)
            .graceful_shutdown_signal(move || notified(stopping.clone()))
            .local_addr(address)
            .upgrade(fn_service(move |(req, framed): (Request, Framed<_, h1::Codec>)| {
                let state = upgrades.clone();
                async move { socket::upgrade(req, framed, &state).await }
            }))
            .finish(map_config(app.map_err(|e| e.error_response()), |()| AppConfig::default()));
        tls::accept(tls.clone(), state.log.clone()).and_then(service)
    })?;
    if let Some(admin) = admin {
        let shared = state.clone();
        builder = builder.listen("admin", admin, move || {
            let app = http::admin(shared.clone()).into_factory();
            HttpService::build()
                .keep_alive(KeepAlive::Disabled)
                .client_request_timeout(Duration::from_secs(5))
                .client_disconnect_timeout(Duration::from_secs(1))
                .h1_allow_half_closed(false)
                .finish(map_config(app.map_err(|e| e.error_response()), |()| AppConfig::default()))
                .tcp()
        })?;
    }
    Ok(builder.run())
}

async fn notified(signal: actix_server::GracefulShutdownSignal) {
    signal.notified().await;
}

/// Waits until the engine has been failing for too long; says what of it.
async fn watch(engine: Engine) -> &'static str {
    let mut ticks = tokio::time::interval(WATCH_EVERY);
    let mut failing_since = None;
    loop {
        let now = ticks.tick().await;
        if let Some(what) = outlasted(engine.is_ready(), &mut failing_since, now) {
            return what;
        }
    }
}

/// What has been failing at every look for [`FAILING_FOR`].
fn outlasted(
    readiness: Readiness,
    failing_since: &mut Option<Instant>,
    now: Instant,
) -> Option<&'static str> {
    match readiness {
        Readiness::Ready | Readiness::Draining | Readiness::Degraded { .. } => {
            *failing_since = None;
            None
        }
        Readiness::Failing { what } => {
            let since = *failing_since.get_or_insert(now);
            (now.duration_since(since) >= FAILING_FOR).then_some(what)
        }
    }
}

async fn prune(store: Arc<dyn Store>, clock: Arc<dyn Clock>, log: Logger) {
    let mut ticks = tokio::time::interval(PRUNE_EVERY);
    loop {
        ticks.tick().await;
        if let Err(failure) = store.prune(clock.now_ms()).await {
            error!(log, "old rows were not deleted"; "why" => causes(&failure));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_that_lasts_ends_the_process() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let failing = Readiness::Failing { what: "queue" };
        let mut since = None;
        assert_eq!(outlasted(failing, &mut since, at(0)), None);
        assert_eq!(outlasted(failing, &mut since, at(59)), None);
        assert_eq!(outlasted(Readiness::Ready, &mut since, at(59)), None);
        assert_eq!(outlasted(failing, &mut since, at(60)), None, "it had recovered");
        assert_eq!(outlasted(failing, &mut since, at(119)), None);
        assert_eq!(outlasted(failing, &mut since, at(120)), Some("queue"));
    }

    #[actix::test]
    async fn accepted_sockets_inherit_the_patience_of_the_listener() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (address, listener) = listen(any, 8, "server.listen").unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        // The listener does not block, and the connection is there: connecting waited for it.
        let (stream, _) = listener.accept().unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(TAKEN_WITHIN));
    }
}
