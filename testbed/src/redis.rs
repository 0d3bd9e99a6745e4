//! A Redis server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::clock::MovedClock;
use crate::port;
use crate::process::{Process, find};

/// How long a start may take.
pub(crate) const WITHIN: Duration = Duration::from_secs(20);

/// How many ports are tried.
const TRIES: usize = 10;

/// How long one is waited for that does not say who it is.
const SHY: Duration = Duration::from_millis(300);

/// What every server here is started with, as its owner would set it for Hushwire; later settings
/// win.
const SETTINGS: &[(&str, &str)] = &[
    ("bind", "127.0.0.1"),
    ("save", ""),
    ("appendonly", "no"),
    ("maxmemory", "256mb"),
    ("maxmemory-policy", "noeviction"),
    ("repl-diskless-sync", "yes"),
    ("repl-diskless-sync-delay", "0"),
    ("repl-diskless-load", "swapdb"),
    ("rdb-del-sync-files", "yes"),
    ("crash-log-enabled", "no"),
    ("slowlog-log-slower-than", "-1"),
    ("enable-debug-command", "no"),
    ("client-output-buffer-limit", "pubsub 64mb 16mb 30"),
];

/// A Redis server with a folder of its own.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    folder: TempDir,
    port: u16,
    program: PathBuf,
    settings: Vec<(String, String)>,
    file: Option<PathBuf>,
}

impl Redis {
    /// Starts one as Hushwire asks for it.
    ///
    /// # Panics
    /// If it does not start within 20 s.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more settings, which win over the usual ones: names of `redis.conf`.
    ///
    /// # Panics
    /// If it does not start within 20 s.
    #[must_use]
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::launched(program(), settings, None)
    }

    /// Starts one with a copy of a `redis.conf`, into which a Sentinel may write, and more settings,
    /// which win over it.
    ///
    /// # Panics
    /// If it does not start within 20 s.
    #[must_use]
    pub fn start_from(file: &Path, settings: &[(&str, &str)]) -> Self {
        Self::launched(program(), settings, Some(file))
    }

    /// Starts one that goes by this clock.
    ///
    /// # Panics
    /// If it does not start within 20 s.
    #[must_use]
    pub fn start_by(clock: &MovedClock) -> Self {
        Self::launched(clock.lead(&program()), &[], None)
    }

    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    fn launched(program: PathBuf, settings: &[(&str, &str)], file: Option<&Path>) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let file = file.map(|file| {
            let copy = folder.path().join("redis.conf");
            std::fs::copy(file, &copy).expect("a file that can be read");
            copy
        });
        let settings: Vec<_> =
            settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let port = port::free();
        let process = launch(&program, &folder, port, &settings, file.as_deref());
        let mut redis = Self { process, folder, port, program, settings, file };
        let mut tries = 0;
        while !redis.is_up() {
            // Somebody else was given the port.
            tries += 1;
            assert!(tries < TRIES, "redis-server does not start: {}", redis.log());
            redis.port = port::free();
            redis.process = redis.launch();
        }
        redis
    }

    /// Starts a replica of this server.
    #[must_use]
    pub fn replica(&self, settings: &[(&str, &str)]) -> Self {
        let primary = format!("127.0.0.1 {}", self.port);
        let mut all = vec![("replicaof", primary.as_str())];
        all.extend_from_slice(settings);
        Self::start_with(&all)
    }

    /// `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its folder, where it keeps nothing.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The id of its process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Its process.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills it: all that it holds is lost.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on its port, empty.
    ///
    /// # Panics
    /// If it does not start within 20 s.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = self.launch();
        self.await_ready();
    }

    /// Sends one command, and returns the reply as it comes, up to 64 KiB of it.
    ///
    /// # Errors
    /// If the server does not answer within 2 s.
    pub fn command(&self, words: &[&str]) -> std::io::Result<String> {
        command(self.port, words)
    }

    fn launch(&self) -> Process {
        let Self { program, folder, port, settings, file, .. } = self;
        launch(program, folder, *port, settings, file.as_deref())
    }

    #[expect(clippy::panic, reason = "a test cannot go on without it")]
    fn await_ready(&mut self) {
        if !self.is_up() {
            panic!("redis-server ended: {}", self.log());
        }
    }

    /// Waits until this very server answers; `false` if it ended.
    #[expect(clippy::panic, reason = "a test cannot go on without it")]
    fn is_up(&mut self) -> bool {
        let own = format!("process_id:{}\r\n", self.process.id());
        let started = Instant::now();
        loop {
            match self.command(&["INFO", "server"]) {
                Ok(says) if says.contains(&own) => return true,
                // It tells nobody who it is. One that has no port ends at once.
                Ok(says) if says.starts_with("-NOAUTH") && started.elapsed() > SHY => {
                    return self.process.is_running();
                }
                _ => {}
            }
            if !self.process.is_running() {
                return false;
            }
            if started.elapsed() > WITHIN {
                panic!("redis-server does not answer: {}", self.log());
            }
            sleep(Duration::from_millis(10));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Sends one command to a port, and returns the reply as it comes, up to 64 KiB of it.
pub(crate) fn command(port: u16, words: &[&str]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(request.as_bytes())?;
    let mut reply = vec![0; 65_536];
    let read = stream.read(&mut reply)?;
    Ok(String::from_utf8_lossy(&reply[..read]).into_owned())
}

fn program() -> PathBuf {
    find("redis-server", "redis-server")
}

fn launch(
    program: &Path,
    folder: &TempDir,
    port: u16,
    settings: &[(String, String)],
    file: Option<&Path>,
) -> Process {
    let mut command = Command::new(program);
    command.current_dir(folder.path()).args(file).args(["--port", &port.to_string()]);
    let usual = if file.is_some() { &[] } else { SETTINGS };
    let usual = usual.iter().filter(|(name, _)| !settings.iter().any(|(set, _)| set == name));
    let given = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in usual.copied().chain(given) {
        command.arg(format!("--{name}")).args(words(name, value));
    }
    Process::start(&mut command, &folder.path().join("log"))
}

/// A value of several words is several arguments; `save ""` is one that is empty.
fn words<'a>(name: &str, value: &'a str) -> Vec<&'a str> {
    match name {
        "replicaof" | "client-output-buffer-limit" | "user" => value.split(' ').collect(),
        _ => vec![value],
    }
}
