//! What an operator can set: one struct a section, one field a key, defaults in `Default`.
//!
//! `config/default.toml` says the same in words and is tested to be equal. [`layers`] puts the
//! values together; nothing else reads a file or the environment.

pub mod layers;
mod network;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hushwire_identity::entry::is_domain;
use serde::{Deserialize, Serialize};

pub use self::network::Network;

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
    /// The SQLite file.
    pub path: PathBuf,
}

impl Default for Database {
    fn default() -> Self {
        Self { path: PathBuf::from("hushwire-data").join(DATABASE_FILE) }
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

/// A key's value is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: expected {expected}")]
pub struct Invalid {
    /// Which key.
    pub key: &'static str,
    /// What is allowed.
    pub expected: &'static str,
}

impl Settings {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The first key that is not allowed.
    pub fn validate(&self) -> Result<(), Invalid> {
        let check = |holds: bool, key: &'static str, expected: &'static str| {
            if holds { Ok(()) } else { Err(Invalid { key, expected }) }
        };
        check(
            is_domain(&self.server.domain),
            "server.domain",
            "1 to 253 of a-z 0-9 . - and : for a port",
        )?;
        check(self.server.workers <= 1024, "server.workers", "at most 1024, 0 for one each core")?;
        check((1..=65_535).contains(&self.server.backlog), "server.backlog", "1 to 65535")?;
        let admin = &self.admin;
        let fits = admin.listen.is_empty() || admin.address().is_some();
        check(fits, "admin.listen", "an IP address and port like 127.0.0.1:8081, or nothing")?;
        let port = self.server.listen.port();
        check(
            port == 0 || admin.address() != Some(self.server.listen),
            "admin.listen",
            "another address than server.listen",
        )?;
        check(
            self.database.path.file_name().is_some(),
            "database.path",
            "the path of a file, like hushwire-data/hushwire.sqlite",
        )?;
        let tls = &self.tls;
        check(
            tls.files().is_some() || *tls == Tls::default(),
            "tls.key_file",
            "tls.certificate_file and tls.key_file, both or neither",
        )?;
        let proxies = &self.http.proxies;
        check(
            proxies.len() <= 256 && proxies.iter().all(|text| text.parse::<Network>().is_ok()),
            "http.proxies",
            "at most 256 addresses or networks like 10.0.0.0/8 or fd00::/8",
        )?;
        self.validate_times()?;
        let origin = |text: &String| {
            text == "*"
                || ["http://", "https://"].iter().any(|scheme| {
                    text.strip_prefix(scheme).is_some_and(|rest| {
                        !rest.is_empty() && !rest.contains('/') && rest.is_ascii()
                    })
                })
        };
        check(
            self.sockets.origins.len() <= 256 && self.sockets.origins.iter().all(origin),
            "sockets.origins",
            "at most 256 origins like https://chat.example.com, without a path",
        )?;
        let limits = &self.limits;
        let up_to = 1..=10_000_000;
        check(up_to.contains(&self.sockets.connections), "sockets.connections", "1 to 10000000")?;
        check(up_to.contains(&self.sockets.unsigned), "sockets.unsigned", "1 to 10000000")?;
        check(
            up_to.contains(&self.sockets.unsigned_per_address),
            "sockets.unsigned_per_address",
            "1 to 10000000",
        )?;
        check(
            self.sockets.per_address <= 10_000_000,
            "sockets.per_address",
            "at most 10000000, 0 for no limit",
        )?;
        check(
            (1..=1_000_000).contains(&self.http.connections_per_worker),
            "http.connections_per_worker",
            "1 to 1000000",
        )?;
        check(up_to.contains(&limits.ledger_messages), "limits.ledger_messages", "1 to 10000000")?;
        check(
            (1..=limits.ledger_messages).contains(&limits.ledger_messages_per_sender),
            "limits.ledger_messages_per_sender",
            "1 to limits.ledger_messages",
        )?;
        let largest = hushwire_wire::limits::FRAME_MAX;
        check(
            limits.ledger_bytes >= largest,
            "limits.ledger_bytes",
            "at least 98304, the largest frame",
        )?;
        check(
            (largest..=limits.ledger_bytes).contains(&limits.ledger_bytes_per_sender),
            "limits.ledger_bytes_per_sender",
            "98304 to limits.ledger_bytes",
        )?;
        check(
            (100..=1_000_000_000).contains(&limits.store_messages),
            "limits.store_messages",
            "100 to 1000000000",
        )?;
        check(
            (1 << 20..=1 << 50).contains(&limits.store_bytes),
            "limits.store_bytes",
            "1048576 to 2^50",
        )?;
        check((1..=10_000).contains(&limits.requests_open), "limits.requests_open", "1 to 10000")?;
        check(
            (1..=100_000).contains(&limits.requests_waiting),
            "limits.requests_waiting",
            "1 to 100000",
        )?;
        check((1..=8).contains(&limits.devices), "limits.devices", "1 to 8")?;
        check(limits.epochs_per_hour <= 256, "limits.epochs_per_hour", "at most 256")?;
        check(limits.epochs_per_day <= 256, "limits.epochs_per_day", "at most 256")?;
        for (value, key) in [
            (limits.requests_per_day, "limits.requests_per_day"),
            (limits.prekeys_per_hour, "limits.prekeys_per_hour"),
            (limits.http_requests_per_minute, "limits.http_requests_per_minute"),
            (limits.exports_per_hour, "limits.exports_per_hour"),
            (limits.log_entries_per_hour, "limits.log_entries_per_hour"),
            (limits.registrations_per_hour, "limits.registrations_per_hour"),
            (limits.sign_ins_per_minute, "limits.sign_ins_per_minute"),
            (limits.upgrades_per_minute, "limits.upgrades_per_minute"),
        ] {
            check(value <= 1_000_000, key, "at most 1000000, 0 for no limit")?;
        }
        check(up_to.contains(&limits.addresses), "limits.addresses", "1 to 10000000")?;
        self.validate_live()?;
        check((64..=1_048_576).contains(&self.log.waiting), "log.waiting", "64 to 1048576")
    }

    /// What only live devices hear.
    fn validate_live(&self) -> Result<(), Invalid> {
        let limits = &self.limits;
        for (holds, key, expected) in [
            (limits.presence_per_minute <= 60_000, "limits.presence_per_minute", "at most 60000"),
            (limits.presence_names <= 100_000_000, "limits.presence_names", "at most 100000000"),
            (
                limits.call_signals_per_second <= 1_000,
                "limits.call_signals_per_second",
                "at most 1000, 0 for no rule",
            ),
            (
                (1..=10_000).contains(&limits.call_signal_burst),
                "limits.call_signal_burst",
                "1 to 10000",
            ),
            ((1..=64).contains(&limits.calls_per_user), "limits.calls_per_user", "1 to 64"),
            (limits.calls <= 1_000_000, "limits.calls", "at most 1000000, 0 for no calls"),
        ] {
            if !holds {
                return Err(Invalid { key, expected });
            }
        }
        Ok(())
    }

    fn validate_times(&self) -> Result<(), Invalid> {
        const HOUR: u64 = 3_600_000;
        let (http, sockets, limits) = (&self.http, &self.sockets, &self.limits);
        for (value, key) in [
            (http.request_timeout_ms, "http.request_timeout_ms"),
            (http.body_timeout_ms, "http.body_timeout_ms"),
            (http.keep_alive_ms, "http.keep_alive_ms"),
            (sockets.heartbeat_ms, "sockets.heartbeat_ms"),
            (sockets.pong_within_ms, "sockets.pong_within_ms"),
            (sockets.hello_within_ms, "sockets.hello_within_ms"),
            (limits.custody_after_ms, "limits.custody_after_ms"),
            (limits.send_deadline_ms, "limits.send_deadline_ms"),
            (limits.slow_after_ms, "limits.slow_after_ms"),
            (limits.call_ring_ms, "limits.call_ring_ms"),
            (limits.call_lease_ms, "limits.call_lease_ms"),
        ] {
            if !(1..=HOUR).contains(&value) {
                return Err(Invalid { key, expected: "1 to 3600000 milliseconds" });
            }
        }
        if limits.message_interval_ms > 24 * HOUR {
            let key = "limits.message_interval_ms";
            return Err(Invalid { key, expected: "at most 86400000 milliseconds, 0 for no rule" });
        }
        if limits.ephemeral_every_ms > HOUR {
            let key = "limits.ephemeral_every_ms";
            return Err(Invalid { key, expected: "at most 3600000 milliseconds, 0 for no rule" });
        }
        if !(60_000..=30 * 24 * HOUR).contains(&limits.expire_after_ms) {
            let key = "limits.expire_after_ms";
            return Err(Invalid { key, expected: "60000 to 2592000000 milliseconds (30 days)" });
        }
        Ok(())
    }

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

    #[test]
    fn what_is_not_allowed_is_named() {
        let wrong = |key: &str, change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            assert_eq!(settings.validate().unwrap_err().key, key);
        };
        wrong("server.domain", |s| s.server.domain = "Chat".to_owned());
        wrong("server.domain", |s| s.server.domain = String::new());
        wrong("server.workers", |s| s.server.workers = 5000);
        wrong("server.backlog", |s| s.server.backlog = 0);
        wrong("admin.listen", |s| s.admin.listen = "here".to_owned());
        wrong("admin.listen", |s| s.admin.listen = "127.0.0.1:8080".to_owned());
        wrong("database.path", |s| s.database.path = PathBuf::from("/"));
        wrong("tls.key_file", |s| s.tls.certificate_file = PathBuf::from("chain.pem"));
        wrong("tls.key_file", |s| s.tls.key_file = PathBuf::from("key.pem"));
        wrong("http.proxies", |s| s.http.proxies = vec!["10.0.0.1/8".to_owned()]);
        wrong("http.proxies", |s| s.http.proxies = vec!["proxy.example".to_owned()]);
        wrong("http.body_timeout_ms", |s| s.http.body_timeout_ms = 0);
        wrong("sockets.origins", |s| s.sockets.origins = vec!["https://a.example/x".to_owned()]);
        wrong("sockets.origins", |s| s.sockets.origins = vec!["a.example".to_owned()]);
        wrong("sockets.connections", |s| s.sockets.connections = 0);
        wrong("limits.ledger_bytes", |s| s.limits.ledger_bytes = 1);
        wrong("limits.ledger_bytes_per_sender", |s| s.limits.ledger_bytes_per_sender = 1 << 30);
        wrong("limits.ledger_messages_per_sender", |s| s.limits.ledger_messages_per_sender = 0);
        wrong("limits.store_messages", |s| s.limits.store_messages = 99);
        wrong("limits.store_bytes", |s| s.limits.store_bytes = 1);
        wrong("limits.epochs_per_day", |s| s.limits.epochs_per_day = 257);
        wrong("limits.expire_after_ms", |s| s.limits.expire_after_ms = 1);
        wrong("limits.message_interval_ms", |s| s.limits.message_interval_ms = u64::MAX);
        wrong("limits.addresses", |s| s.limits.addresses = 0);
        wrong("limits.ephemeral_every_ms", |s| s.limits.ephemeral_every_ms = u64::MAX);
        wrong("limits.presence_per_minute", |s| s.limits.presence_per_minute = 60_001);
        wrong("limits.presence_names", |s| s.limits.presence_names = usize::MAX);
        wrong("limits.call_signals_per_second", |s| s.limits.call_signals_per_second = 1_001);
        wrong("limits.call_signal_burst", |s| s.limits.call_signal_burst = 0);
        wrong("limits.call_ring_ms", |s| s.limits.call_ring_ms = 0);
        wrong("limits.call_lease_ms", |s| s.limits.call_lease_ms = 0);
        wrong("limits.calls_per_user", |s| s.limits.calls_per_user = 0);
        wrong("limits.calls", |s| s.limits.calls = 1_000_001);
        wrong("limits.upgrades_per_minute", |s| s.limits.upgrades_per_minute = 1_000_001);
        wrong("sockets.unsigned", |s| s.sockets.unsigned = 0);
        wrong("sockets.unsigned_per_address", |s| s.sockets.unsigned_per_address = 0);
        wrong("sockets.per_address", |s| s.sockets.per_address = 10_000_001);
        wrong("http.connections_per_worker", |s| s.http.connections_per_worker = 0);
        wrong("log.waiting", |s| s.log.waiting = 1);
    }

    #[test]
    fn zero_switches_rules_off() {
        let mut settings = Settings::default();
        settings.limits.message_interval_ms = 0;
        settings.limits.ephemeral_every_ms = 0;
        settings.limits.presence_per_minute = 0;
        settings.limits.presence_names = 0;
        settings.limits.call_signals_per_second = 0;
        settings.limits.calls = 0;
        settings.limits.registrations_per_hour = 0;
        settings.limits.sign_ins_per_minute = 0;
        settings.limits.upgrades_per_minute = 0;
        settings.sockets.per_address = 0;
        settings.limits.epochs_per_hour = 0;
        settings.limits.epochs_per_day = 0;
        settings.admin.listen = String::new();
        settings.validate().unwrap();
        assert_eq!(settings.admin.address(), None);
    }
}
