//! A Sentinel: it watches a Redis server, and promotes a replica of it when it is gone.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::port;
use crate::process::{Process, find};
use crate::redis::{WITHIN, command};

/// A Sentinel with a folder of its own, in which it keeps what it knows.
#[derive(Debug)]
pub struct Sentinel {
    process: Process,
    folder: TempDir,
    port: u16,
}

impl Sentinel {
    /// What each of them calls the primary.
    pub const SERVICE: &str = "hushwire";
    /// How long a server is silent until a Sentinel takes it for gone.
    pub const DOWN_AFTER: Duration = Duration::from_secs(1);

    /// Starts one that watches the primary at a port of this machine; `quorum` Sentinels must agree
    /// that it is gone. Those that watch the same one find each other.
    ///
    /// # Panics
    /// If it does not start within 20 s.
    #[must_use]
    pub fn watch(primary: u16, quorum: usize) -> Self {
        let (name, down_after) = (Self::SERVICE, Self::DOWN_AFTER.as_millis());
        Self::start_from(&format!(
            "bind 127.0.0.1\nprotected-mode no\n\
             sentinel monitor {name} 127.0.0.1 {primary} {quorum}\n\
             sentinel down-after-milliseconds {name} {down_after}\n\
             sentinel failover-timeout {name} 6000\n"
        ))
    }

    /// Starts one with the text of a `sentinel.conf`, and a port of its own.
    ///
    /// # Panics
    /// If it does not start within 20 s.
    #[must_use]
    #[expect(clippy::expect_used, clippy::panic, reason = "a test cannot go on without it")]
    pub fn start_from(settings: &str) -> Self {
        let mut folder = TempDir::new().expect("a temporary folder");
        loop {
            let port = port::free();
            let file = folder.path().join("sentinel.conf");
            let settings = format!("{settings}\nport {port}\n");
            std::fs::write(&file, settings).expect("a temporary file");
            let mut started = Command::new(find("redis-server", "redis-server"));
            started.current_dir(folder.path()).arg(&file).arg("--sentinel");
            let process = Process::start(&mut started, &folder.path().join("log"));
            let mut sentinel = Self { process, folder, port };
            let since = Instant::now();
            while sentinel.process.is_running() {
                if sentinel.names().is_some() {
                    return sentinel;
                }
                assert!(since.elapsed() < WITHIN, "a Sentinel does not answer: {}", sentinel.log());
                sleep(Duration::from_millis(10));
            }
            // Somebody else was given the port.
            let log = sentinel.log();
            if !log.contains("Address already in use") {
                panic!("a Sentinel ended: {log}");
            }
            let Self { folder: again, .. } = sentinel;
            folder = again;
        }
    }

    /// Three that watch the primary at a port, which has replicas; two must agree; each of them knows the others
    /// and a replica that can take over.
    ///
    /// # Panics
    /// If it takes them more than 20 s.
    #[must_use]
    #[expect(clippy::panic, reason = "a test cannot go on without it")]
    pub fn three(primary: u16) -> Vec<Self> {
        let three: Vec<_> = (0..3).map(|_| Self::watch(primary, 2)).collect();
        let since = Instant::now();
        while three.iter().any(|one| one.others() < 2 || one.replicas() == 0) {
            if since.elapsed() > WITHIN {
                panic!("Sentinels do not find each other: {}", three[0].log());
            }
            sleep(Duration::from_millis(50));
        }
        three
    }

    /// `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port of the primary, as it says.
    #[must_use]
    pub fn names(&self) -> Option<u16> {
        let asked = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::SERVICE];
        let said = command(self.port, &asked).ok()?;
        said.trim_end().lines().last()?.parse().ok()
    }

    /// How many replicas of the primary it sees that could take over.
    #[must_use]
    pub fn replicas(&self) -> usize {
        let said = command(self.port, &["SENTINEL", "REPLICAS", Self::SERVICE]).unwrap_or_default();
        let fit = said.matches("\r\nmaster-link-status\r\n$2\r\nok\r\n").count();
        if said.contains("_down") { 0 } else { fit }
    }

    /// How many other Sentinels it knows.
    #[must_use]
    pub fn others(&self) -> usize {
        let asked = ["SENTINEL", "SENTINELS", Self::SERVICE];
        command(self.port, &asked).unwrap_or_default().matches("\r\nrunid\r\n").count()
    }

    /// Sends one command, and returns the reply as it comes, up to 64 KiB of it.
    ///
    /// # Errors
    /// If it does not answer within 2 s.
    pub fn command(&self, words: &[&str]) -> std::io::Result<String> {
        command(self.port, words)
    }

    /// Its process.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}
