//! Three servers behind a balancer, over one PostgreSQL and one Redis with two replicas, of which one
//! takes over when three Sentinels find that the primary is gone.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{Process, find};
use crate::{Node, Postgres, Redis, Sentinel, port};

/// How long the balancer may take.
const WITHIN: Duration = Duration::from_secs(20);
/// As many as the balancer's configuration names.
const NODES: usize = 3;
const BALANCER: &str = include_str!("../../deploy/haproxy.cfg");

/// The parts, in the order in which they end.
#[derive(Debug)]
pub struct Cluster {
    balancer: Process,
    _folder: TempDir,
    listen: SocketAddr,
    /// The servers.
    pub nodes: Vec<Node>,
    /// Know which Redis is the primary.
    pub sentinels: Vec<Sentinel>,
    /// Have copies of everything that waits.
    pub replicas: [Redis; 2],
    /// Where messages wait.
    pub redis: Redis,
    /// Where accounts are.
    pub postgres: Postgres,
}

impl Cluster {
    /// Starts everything, and says what it does. The balancer listens at `listen`, or anywhere on
    /// loopback.
    ///
    /// # Panics
    /// If a part is missing, or does not start.
    #[must_use]
    pub fn start(
        program: &Path,
        listen: Option<SocketAddr>,
        settings: &[(&str, &str)],
        mut say: impl FnMut(&str),
    ) -> Self {
        say("PostgreSQL");
        let postgres = Postgres::start();
        say("Redis and its replicas");
        let redis = Redis::start();
        let replicas = [redis.replica(&[]), redis.replica(&[])];
        say("three Sentinels");
        let sentinels = Sentinel::three(redis.port());
        let (database, queue) = (postgres.url(), format!("redis://{}", Sentinel::SERVICE));
        let urls = sentinels.iter().map(Sentinel::url).collect::<Vec<_>>().join(",");
        let mut all = vec![
            ("database.url", database.as_str()),
            ("redis.url", queue.as_str()),
            ("redis.sentinels", urls.as_str()),
            ("redis.copies", "2"),
            ("http.proxies", "127.0.0.1"),
        ];
        all.extend_from_slice(settings);
        let nodes: Vec<_> = (1..=NODES)
            .map(|k| {
                say(&format!("server {k} of {NODES}"));
                Node::start(program, &all)
            })
            .collect();
        say("the balancer");
        let listen = listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port::free())));
        let (balancer, folder) = balance(listen, &nodes);
        Self { balancer, _folder: folder, listen, nodes, sentinels, replicas, redis, postgres }
    }

    /// `http://HOST:PORT` of the balancer.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Whether the balancer runs.
    pub fn is_balanced(&mut self) -> bool {
        self.balancer.is_running()
    }
}

#[expect(clippy::expect_used, clippy::panic, reason = "nothing goes on without it")]
fn balance(listen: SocketAddr, nodes: &[Node]) -> (Process, TempDir) {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("haproxy.cfg");
    std::fs::write(&file, BALANCER).expect("a file in a folder of its own");
    let mut command = Command::new(find("haproxy", "haproxy"));
    command.arg("-db").arg("-f").arg(&file).env("HUSHWIRE_BIND", listen.to_string());
    for (k, node) in (1..).zip(nodes) {
        command.env(format!("HUSHWIRE_NODE{k}"), format!("127.0.0.1:{}", node.port()));
        command.env(format!("HUSHWIRE_ADMIN{k}"), node.admin_port().to_string());
    }
    let log = folder.path().join("log");
    let mut process = Process::start(&mut command, &log);
    let started = Instant::now();
    while TcpStream::connect(listen).is_err() {
        if started.elapsed() > WITHIN || !process.is_running() {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            panic!("the balancer does not listen on {listen}: {said}");
        }
        sleep(Duration::from_millis(20));
    }
    (process, folder)
}
