//! The real processes of a run: servers, PostgreSQL, Redis with all that watches it, and the proxy
//! between devices and servers.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hushwire_testbed::{Postgres, Process, Signal, node, port};
use tempfile::TempDir;

use crate::proxy::Proxy;
use crate::watched::Watched;

/// A server that did not start is tried again so often: it refuses while its stores are away.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// How long a server may take to drain (DELIVERY, "Many nodes"), and a little more here.
const DRAIN_WITHIN: Duration = Duration::from_secs(35);
/// How long `/readyz` may take.
const READY_WITHIN: Duration = Duration::from_millis(300);

/// One server.
#[derive(Debug)]
pub struct Node {
    folder: TempDir,
    public: u16,
    admin: u16,
    process: Option<Process>,
    /// Whether it should run.
    wanted: bool,
    paused: bool,
    try_at: Instant,
    draining: Option<Instant>,
    /// Since when it is awaited.
    awaited: Option<Instant>,
    look_at: Instant,
}

/// All of them. Dropped, they end.
#[derive(Debug)]
pub struct Parts {
    binary: PathBuf,
    nodes: Vec<Node>,
    /// PostgreSQL.
    pub postgres: Postgres,
    postgres_paused: bool,
    /// Redis.
    pub redis: Watched,
    /// Between devices and servers.
    pub front: Proxy,
    /// How long each start of a server took until it was ready.
    pub starts: Vec<Duration>,
    /// What no fault of the schedule explains.
    pub troubles: Vec<String>,
}

pub(crate) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

impl Parts {
    /// Starts everything, and waits until all servers are ready.
    ///
    /// # Errors
    /// If the server's binary is missing, or a server is not ready within a minute.
    pub fn start(binary: &Path, nodes: usize, seed: u64) -> Result<Self, String> {
        let binary = binary
            .canonicalize()
            .map_err(|error| format!("no server at {}: {error}", binary.display()))?;
        let say = |error: io::Error| error.to_string();
        let redis = Watched::start(seed).map_err(say)?;
        let front = Proxy::start(Vec::new(), seed).map_err(say)?;
        let mut parts = Self {
            binary,
            nodes: Vec::new(),
            postgres: Postgres::start_with(&[("max_connections", "100")]),
            postgres_paused: false,
            redis,
            front,
            starts: Vec::new(),
            troubles: Vec::new(),
        };
        for _ in 0..nodes {
            let node = Node::new().map_err(say)?;
            parts.nodes.push(node);
        }
        parts.front.set_upstreams(parts.nodes.iter().map(|node| local(node.public)).collect());
        let until = Instant::now() + Duration::from_secs(60);
        while !parts.are_ready() {
            parts.tick();
            if Instant::now() > until {
                return Err(format!("the servers do not start: {}", parts.log_tail()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        parts.starts.clear();
        Ok(parts)
    }

    /// Whether all servers have said that they are ready since they were started last.
    #[must_use]
    pub fn are_ready(&self) -> bool {
        self.nodes.iter().all(|node| node.process.is_some() && node.awaited.is_none())
    }

    /// Where devices connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.front.address())
    }

    /// Starts what should run and does not; looks who is ready. To be called often.
    pub fn tick(&mut self) {
        let settings = self.settings();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            if let Some(trouble) = node.tick(&self.binary, &settings, &mut self.starts) {
                self.troubles.push(format!("node {index}: {trouble}"));
            }
        }
    }

    fn settings(&self) -> Vec<(String, String)> {
        let [redis, sentinels] = self.redis.settings();
        let all = [
            ("database.url", self.postgres.url()),
            redis,
            sentinels,
            // The loss of one loses nothing.
            ("redis.copies", "2".to_owned()),
            ("redis.check_every_ms", "1000".to_owned()),
            ("server.workers", "2".to_owned()),
            ("sockets.unsigned_per_address", "2000".to_owned()),
            ("limits.message_interval_ms", "0".to_owned()),
            ("limits.epochs_per_hour", "0".to_owned()),
            ("limits.epochs_per_day", "0".to_owned()),
            ("limits.prekeys_per_hour", "0".to_owned()),
            ("limits.http_requests_per_minute", "0".to_owned()),
            ("limits.registrations_per_hour", "0".to_owned()),
            ("limits.sign_ins_per_minute", "0".to_owned()),
            ("limits.upgrades_per_minute", "0".to_owned()),
            ("log.level", "info".to_owned()),
        ];
        all.map(|(key, value)| (key.to_owned(), value)).into()
    }

    /// `kill -9` of a server.
    pub fn kill_node(&mut self, index: usize) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.wanted = false;
            node.draining = None;
            node.process = None;
        }
    }

    /// A server should run.
    pub fn start_node(&mut self, index: usize) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.wanted = true;
        }
    }

    /// SIGTERM; it is started again when it has ended.
    pub fn drain_node(&mut self, index: usize) {
        if let Some(node) = self.nodes.get_mut(index)
            && let Some(process) = &node.process
        {
            process.signal(Signal::TERM);
            node.draining = Some(Instant::now());
        }
    }

    /// SIGSTOP or SIGCONT.
    pub fn pause_node(&mut self, index: usize, pause: bool) {
        if let Some(node) = self.nodes.get_mut(index) {
            if let Some(process) = &node.process {
                process.signal(if pause { Signal::STOP } else { Signal::CONT });
            }
            node.paused = pause;
            if let Some(since) = &mut node.draining {
                // The time of its drain does not run while it is stopped.
                *since = Instant::now();
            }
        }
    }

    /// SIGSTOP or SIGCONT of PostgreSQL and its children.
    pub fn pause_postgres(&mut self, pause: bool) {
        self.postgres.signal_all(if pause { Signal::STOP } else { Signal::CONT });
        self.postgres_paused = pause;
    }

    /// What servers have logged of panics, and of words that people said, must be nothing.
    pub fn look_at_logs(&mut self) {
        for (index, node) in self.nodes.iter().enumerate() {
            let log = fs::read_to_string(node.log_path()).unwrap_or_default();
            if let Some(line) = log.lines().find(|line| line.contains("panicked at")) {
                self.troubles.push(format!("node {index} panicked: {line}"));
            }
            if log.contains(crate::people::CANARY) {
                self.troubles.push(format!("node {index} logs what people say"));
            }
        }
    }

    /// Copies the logs of the servers into a folder.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn keep_logs(&self, folder: &Path) -> io::Result<()> {
        for (index, node) in self.nodes.iter().enumerate() {
            fs::copy(node.log_path(), folder.join(format!("node-{index}.log")))?;
        }
        Ok(())
    }

    fn log_tail(&self) -> String {
        let Some(node) = self.nodes.first() else { return String::new() };
        let log = fs::read_to_string(node.log_path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        // A process that is stopped hears no wish to end.
        self.postgres.signal_all(Signal::CONT);
    }
}

impl Node {
    fn new() -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            folder: TempDir::new()?,
            public: port::free(),
            admin: port::free(),
            process: None,
            wanted: true,
            paused: false,
            try_at: now,
            draining: None,
            awaited: Some(now),
            look_at: now,
        })
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What is out of order, if anything.
    fn tick(
        &mut self,
        binary: &Path,
        settings: &[(String, String)],
        starts: &mut Vec<Duration>,
    ) -> Option<String> {
        let now = Instant::now();
        let mut trouble = None;
        if self.process.as_mut().is_some_and(|process| !process.is_running()) {
            // What was ready ends by itself only if it was told to.
            if self.awaited.is_none() && self.draining.is_none() {
                trouble = Some("ended by itself".to_owned());
            }
            (self.process, self.draining) = (None, None);
            self.awaited = Some(now);
        }
        if self.process.is_none() {
            if self.wanted && now >= self.try_at {
                self.awaited.get_or_insert(now);
                self.try_at = now + TRY_AGAIN;
                self.process = Some(self.spawn(binary, settings));
            }
            return trouble;
        }
        if self.paused {
            return trouble;
        }
        if self.draining.is_some_and(|since| now > since + DRAIN_WITHIN) {
            trouble = Some(format!("has not ended {DRAIN_WITHIN:?} after SIGTERM"));
            (self.process, self.draining) = (None, None);
        }
        if let Some(since) = self.awaited
            && now >= self.look_at
        {
            self.look_at = now + Duration::from_millis(100);
            if node::is_ready(self.admin, READY_WITHIN) {
                starts.push(since.elapsed());
                self.awaited = None;
            }
        }
        trouble
    }

    fn spawn(&self, binary: &Path, settings: &[(String, String)]) -> Process {
        node::serve(binary, settings, self.folder.path(), self.public, self.admin)
    }
}
