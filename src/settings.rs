//! What an operator can set: one struct a section, one field a key, defaults in `Default`.
//!
//! `config/default.toml` says the same in words and is tested to be equal. [`layers`] puts the
//! values together; nothing else reads a file or the environment.

pub mod layers;
mod network;
mod validate;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::network::Network;
pub use self::validate::Invalid;

/// All settings of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Who the server is and where it listens.
    pub server: Server,
    /// TLS on the public interface.
    pub tls: Tls,
    /// The listener that is not public.
    pub admin: Admin,
    /// Where accounts are kept.
    pub database: Database,
    /// Where messages wait.
    pub redis: Redis,
    /// Ordinary HTTP requests.
    pub http: Http,
    /// WebSocket connections.
    pub sockets: Sockets,
    /// Bounds on what people and devices may do.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: Log,
}

/// Who the server is and where it listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// The name that genesis entries and signatures name. Stored at the first start.
    pub domain: String,
    /// Where the public interface listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads that serve connections; 0 for one each core.
    pub workers: usize,
    /// Connections that wait to be accepted.
    pub backlog: u32,
    /// Whether a debugger of the same user may read the process's memory.
    pub inspectable: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            domain: "localhost".to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            workers: 0,
            backlog: 4096,
            inspectable: false,
        }
    }
}

/// TLS on the public interface; off while both paths are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The certificate and those that lead to its authority, as PEM, the server's own first.
    pub certificate_file: PathBuf,
    /// Its private key, as PEM.
    pub key_file: PathBuf,
}

impl Tls {
    /// Certificate and key; `None` if TLS is off.
    #[must_use]
    pub fn files(&self) -> Option<(&Path, &Path)> {
        let set = |path: &PathBuf| !path.as_os_str().is_empty();
        (set(&self.certificate_file) && set(&self.key_file))
            .then_some((self.certificate_file.as_path(), self.key_file.as_path()))
    }
}

/// The listener that is not public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Where `/healthz` and `/readyz` are; empty for nowhere.
    pub listen: String,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8081".to_owned() }
    }
}

impl Admin {
    /// The address; `None` if it is off.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }
}

/// Where accounts are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// The SQLite file, unless PostgreSQL is named.
    pub path: PathBuf,
    /// PostgreSQL, as `postgres://user:password@host:port/database`; empty for SQLite.
    pub url: Secret,
    /// A file that holds the URL in its place.
    pub url_file: PathBuf,
    /// Connections to PostgreSQL.
    pub connections: usize,
    /// How long connecting to PostgreSQL may take, and how long each act, in milliseconds.
    pub within_ms: u64,
    /// Authorities that sign the certificate of PostgreSQL, as PEM; empty for the system's.
    pub ca_file: PathBuf,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            path: PathBuf::from("hushwire-data").join(DATABASE_FILE),
            url: Secret::default(),
            url_file: PathBuf::new(),
            connections: 8,
            within_ms: 5_000,
            ca_file: PathBuf::new(),
        }
    }
}

impl Database {
    /// Whether accounts are kept in PostgreSQL.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        !self.url.0.is_empty() || !self.url_file.as_os_str().is_empty()
    }
}

/// Where messages wait, if not in this process' memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redis {
    /// Redis, as `redis://user:password@host:port`; empty for this process' memory.
    pub url: Secret,
    /// A file that holds the URL in its place.
    pub url_file: PathBuf,
    /// Sentinels that know where the primary is, as URLs; the host of its own URL is then what they
    /// call it.
    pub sentinels: Vec<Secret>,
    /// The authorities that sign the certificates of Redis and Sentinels, as PEM; empty for the
    /// system's.
    pub ca_file: PathBuf,
    /// The certificate that Redis and Sentinels ask for, if they do, as PEM.
    pub certificate_file: PathBuf,
    /// Its private key, as PEM.
    pub key_file: PathBuf,
    /// How many Redis processes have a message before its sender is told `accepted`.
    pub copies: usize,
    /// Connections to Redis.
    pub connections: u32,
    /// How long connecting to Redis may take, and how long each command, in milliseconds.
    pub within_ms: u64,
    /// How long replicas may take to have a message, in milliseconds.
    pub copied_within_ms: u64,
    /// How often it is looked whether Redis keeps messages in memory only, in milliseconds.
    pub check_every_ms: u64,
    /// What all keys begin with.
    pub prefix: String,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            url_file: PathBuf::new(),
            sentinels: Vec::new(),
            ca_file: PathBuf::new(),
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            copies: 1,
            connections: 8,
            within_ms: 2_000,
            copied_within_ms: 1_000,
            check_every_ms: 30_000,
            prefix: "hushwire".to_owned(),
        }
    }
}

impl Redis {
    /// Whether messages wait in Redis.
    #[must_use]
    pub fn is_used(&self) -> bool {
        !self.url.0.is_empty() || !self.url_file.as_os_str().is_empty()
    }
}

/// A text that is never shown: a URL may hold a password.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret()" } else { "Secret(***)" })
    }
}

/// The name of the SQLite file in a data folder.
pub const DATABASE_FILE: &str = "hushwire.sqlite";

/// Ordinary HTTP requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// How long a request's head may take, in milliseconds.
    pub request_timeout_ms: u64,
    /// How long a request's body may take, in milliseconds.
    pub body_timeout_ms: u64,
    /// How long an idle connection is kept open, in milliseconds.
    pub keep_alive_ms: u64,
    /// Networks whose `X-Forwarded-*` headers are believed, like `10.0.0.0/8`.
    pub proxies: Vec<String>,
    /// Connections at a time that are no WebSockets, for each worker.
    pub connections_per_worker: usize,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            request_timeout_ms: 5_000,
            body_timeout_ms: 10_000,
            keep_alive_ms: 30_000,
            proxies: Vec::new(),
            connections_per_worker: 4_096,
        }
    }
}

/// WebSocket connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sockets {
    /// Connections at a time, signed in or not.
    pub connections: usize,
    /// Of them, those that are not signed in.
    pub unsigned: usize,
    /// The same from one address.
    pub unsigned_per_address: usize,
    /// Signed-in connections from one address; 0 for no limit.
    pub per_address: usize,
    /// Origins of web pages that may connect; `*` for all.
    pub origins: Vec<String>,
    /// How often the server pings, in milliseconds.
    pub heartbeat_ms: u64,
    /// How long the answer to a ping may take, in milliseconds.
    pub pong_within_ms: u64,
    /// How long a connection may take to sign in, in milliseconds.
    pub hello_within_ms: u64,
}

impl Default for Sockets {
    fn default() -> Self {
        let engine = hushwire_actors::Limits::default();
        Self {
            connections: engine.connections,
            unsigned: engine.unsigned,
            unsigned_per_address: engine.unsigned_per_address,
            per_address: engine.signed_in_per_address,
            origins: Vec::new(),
            heartbeat_ms: engine.heartbeat_ms,
            pong_within_ms: engine.pong_within_ms,
            hello_within_ms: engine.hello_within_ms,
        }
    }
}

/// Bounds on what people and devices may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// One text, file or edit so often for each user, in milliseconds; 0 for no rule.
    pub message_interval_ms: u64,
    /// When an unacknowledged message goes to the queue, too, in milliseconds.
    pub custody_after_ms: u64,
    /// When a message without custody is answered `unavailable`, in milliseconds.
    pub send_deadline_ms: u64,
    /// How long a connection may stay behind without acknowledging, in milliseconds.
    pub slow_after_ms: u64,
    /// Messages in a device's queue.
    pub ledger_messages: usize,
    /// Their bytes.
    pub ledger_bytes: usize,
    /// Messages in a device's queue from one sender.
    pub ledger_messages_per_sender: usize,
    /// Their bytes.
    pub ledger_bytes_per_sender: usize,
    /// Messages in all devices' queues.
    pub store_messages: u64,
    /// Their bytes.
    pub store_bytes: u64,
    /// How long a message waits in a queue, in milliseconds.
    pub expire_after_ms: u64,
    /// Contact requests that one user may have open.
    pub requests_open: u32,
    /// Contact requests that may wait for one user's answer.
    pub requests_waiting: u32,
    /// Contact requests that one user may make in a day (UTC), whatever becomes of them; 0 for no
    /// limit.
    pub requests_per_day: u32,
    /// Devices of one user: 1 to 8.
    pub devices: u32,
    /// Prekeys that one device may put in an hour; 0 for no limit.
    pub prekeys_per_hour: u32,
    /// Signed-in HTTP requests that one user's devices may make in a minute; 0 for no limit.
    pub http_requests_per_minute: u32,
    /// Exports that one user may read in an hour; 0 for no limit.
    pub exports_per_hour: u32,
    /// Entries that one user's log may get in an hour; 0 for no limit.
    pub log_entries_per_hour: u32,
    /// Epochs of a pair that one user's devices may post in an hour while neither a log nor a
    /// prekey changed; 0 for no rule.
    pub epochs_per_hour: u32,
    /// The same in a day.
    pub epochs_per_day: u32,
    /// Accounts made from one address in an hour; 0 for no limit.
    pub registrations_per_hour: u32,
    /// Sign-ins tried from one address in a minute; 0 for no limit.
    pub sign_ins_per_minute: u32,
    /// WebSocket connections tried from one address in a minute; 0 for no limit.
    pub upgrades_per_minute: u32,
    /// Addresses remembered for each of the three above; users and devices for the limits of
    /// requests.
    pub addresses: usize,
    /// Whether limits by address do not hold for loopback addresses.
    pub loopback_exempt: bool,
    /// One ephemeral message (typing) so often for each user and contact, in milliseconds; 0 for
    /// no rule.
    pub ephemeral_every_ms: u64,
    /// How often a user's devices may change in a minute whom they show themselves to; 0 for no
    /// rule.
    pub presence_per_minute: u32,
    /// Users named in all lists of whom devices show themselves to.
    pub presence_names: usize,
    /// Steps of calls of one user in a second; 0 for no rule.
    pub call_signals_per_second: u32,
    /// How many of them may come at once.
    pub call_signal_burst: u32,
    /// How long a call rings, in milliseconds.
    pub call_ring_ms: u64,
    /// How long a call waits for a device that lost its connection, in milliseconds.
    pub call_lease_ms: u64,
    /// Calls of one user at a time, in both directions.
    pub calls_per_user: usize,
    /// Calls at a time; 0 switches calls off.
    pub calls: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let engine = hushwire_actors::Limits::default();
        let requests = hushwire_schema::RequestBounds::default();
        Self {
            message_interval_ms: engine.message_interval_ms,
            custody_after_ms: engine.custody_after_ms,
            send_deadline_ms: engine.send_deadline_ms,
            slow_after_ms: engine.slow_after_ms,
            ledger_messages: engine.ledger_messages,
            ledger_bytes: engine.ledger_bytes,
            ledger_messages_per_sender: engine.ledger_messages_per_sender,
            ledger_bytes_per_sender: engine.ledger_bytes_per_sender,
            store_messages: engine.store_messages,
            store_bytes: engine.store_bytes,
            expire_after_ms: engine.expire_after_ms,
            requests_open: requests.asked,
            requests_waiting: requests.waiting,
            requests_per_day: requests.per_day,
            devices: 8,
            prekeys_per_hour: 12,
            http_requests_per_minute: 3_000,
            exports_per_hour: 4,
            log_entries_per_hour: 30,
            epochs_per_hour: 6,
            epochs_per_day: 48,
            registrations_per_hour: 30,
            sign_ins_per_minute: 120,
            upgrades_per_minute: 600,
            addresses: 65_536,
            loopback_exempt: true,
            ephemeral_every_ms: engine.ephemeral_every_ms,
            presence_per_minute: engine.presence_per_minute,
            presence_names: engine.presence_names,
            call_signals_per_second: engine.call_signals_per_second,
            call_signal_burst: engine.call_signal_burst,
            call_ring_ms: engine.call_ring_ms,
            call_lease_ms: engine.call_lease_ms,
            calls_per_user: engine.calls_per_user,
            calls: engine.calls,
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// The least level that is logged.
    pub level: LogLevel,
    /// Records that wait to be written.
    pub waiting: usize,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Terminal, level: LogLevel::Info, waiting: 4096 }
    }
}

/// The form of log records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Terminal,
    /// A JSON object a line.
    Json,
}

/// The least level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// The server cannot go on.
    Critical,
    /// Something failed that should not.
    Error,
    /// Something to look at.
    Warning,
    /// What an operator wants to know.
    Info,
    /// One record for each request, too.
    Debug,
}

impl Settings {
    /// Threads that serve connections: as set, or one each core.
    #[must_use]
    pub fn workers(&self) -> usize {
        match self.server.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }

    /// The engine's bounds with what is set here.
    #[must_use]
    pub fn engine_limits(&self) -> hushwire_actors::Limits {
        let (sockets, limits) = (&self.sockets, &self.limits);
        hushwire_actors::Limits {
            connections: sockets.connections,
            unsigned: sockets.unsigned,
            unsigned_per_address: sockets.unsigned_per_address,
            signed_in_per_address: sockets.per_address,
            heartbeat_ms: sockets.heartbeat_ms,
            pong_within_ms: sockets.pong_within_ms,
            hello_within_ms: sockets.hello_within_ms,
            message_interval_ms: limits.message_interval_ms,
            custody_after_ms: limits.custody_after_ms,
            send_deadline_ms: limits.send_deadline_ms,
            slow_after_ms: limits.slow_after_ms,
            ledger_messages: limits.ledger_messages,
            ledger_bytes: limits.ledger_bytes,
            ledger_messages_per_sender: limits.ledger_messages_per_sender,
            ledger_bytes_per_sender: limits.ledger_bytes_per_sender,
            store_messages: limits.store_messages,
            store_bytes: limits.store_bytes,
            expire_after_ms: limits.expire_after_ms,
            ephemeral_every_ms: limits.ephemeral_every_ms,
            presence_per_minute: limits.presence_per_minute,
            presence_names: limits.presence_names,
            call_signals_per_second: limits.call_signals_per_second,
            call_signal_burst: limits.call_signal_burst,
            call_ring_ms: limits.call_ring_ms,
            call_lease_ms: limits.call_lease_ms,
            calls_per_user: limits.calls_per_user,
            calls: limits.calls,
            ..hushwire_actors::Limits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed_and_reach_the_engine() {
        let settings = Settings::default();
        settings.validate().unwrap();
        assert_eq!(settings.engine_limits(), hushwire_actors::Limits::default());
    }

    #[test]
    fn what_is_set_for_live_devices_reaches_the_engine() {
        let mut settings = Settings::default();
        let limits = &mut settings.limits;
        (limits.ephemeral_every_ms, limits.presence_per_minute, limits.presence_names) = (1, 2, 3);
        (limits.call_signals_per_second, limits.call_signal_burst) = (4, 5);
        (limits.call_ring_ms, limits.call_lease_ms) = (6, 7);
        (limits.calls_per_user, limits.calls) = (8, 9);
        settings.validate().unwrap();
        let expected = hushwire_actors::Limits {
            ephemeral_every_ms: 1,
            presence_per_minute: 2,
            presence_names: 3,
            call_signals_per_second: 4,
            call_signal_burst: 5,
            call_ring_ms: 6,
            call_lease_ms: 7,
            calls_per_user: 8,
            calls: 9,
            ..hushwire_actors::Limits::default()
        };
        assert_eq!(settings.engine_limits(), expected);
    }
}
