//! A PostgreSQL server.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::port;
use crate::process::{Process, find};

/// How long a start may take.
const WITHIN: Duration = Duration::from_secs(60);

/// A PostgreSQL server with a data folder of its own, reached by TCP on loopback, without a
/// password unless a test sets one.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    folder: TempDir,
    port: u16,
    settings: Vec<(String, String)>,
}

impl Postgres {
    /// Makes a data folder and starts a server over it.
    ///
    /// # Panics
    /// If it does not start within 60 s.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with more settings of `postgresql.conf`.
    ///
    /// # Panics
    /// If it does not start within 60 s.
    #[must_use]
    #[expect(clippy::expect_used, clippy::panic, reason = "a test cannot go on without it")]
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        hand_over(folder.path());
        let data = folder.path().join("data");
        let mut initdb = as_owner(find("initdb", "postgresql"));
        initdb.args(["-N", "-U", "hushwire", "--auth=trust", "-E", "UTF8", "--locale=C", "-D"]);
        let made = initdb.arg(&data).current_dir(folder.path()).output().expect("initdb starts");
        if !made.status.success() {
            panic!("initdb: {}", String::from_utf8_lossy(&made.stderr));
        }
        let settings: Vec<_> =
            settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let port = port::free();
        let process = launch(folder.path(), port, &settings, None);
        let mut postgres = Self { process, folder, port, settings };
        while !postgres.is_up() {
            // Somebody else was given the port.
            postgres.port = port::free();
            postgres.process =
                launch(postgres.folder.path(), postgres.port, &postgres.settings, None);
        }
        postgres
    }

    /// `postgres://hushwire@127.0.0.1:PORT/postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The same for a database of another name.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://hushwire@127.0.0.1:{}/{database}", self.port)
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The data folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Runs SQL with `psql`; its output, without headers.
    ///
    /// # Errors
    /// What `psql` says.
    ///
    /// # Panics
    /// If `psql` is not installed.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn sql(&self, database: &str, statement: &str) -> Result<String, String> {
        let mut psql = Command::new(find("psql", "postgresql-client"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement]);
        let output = psql.arg(self.url_of(database)).output().expect("psql starts");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// An empty database of its own name, for one test of many over one server; its URL.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn fresh(&self, name: &str) -> String {
        self.sql("postgres", &format!("CREATE DATABASE \"{name}\"")).expect("a new database");
        self.url_of(name)
    }

    /// Stops it at once, as a crash would (SIGQUIT: its children end, too).
    pub fn stop(&mut self) {
        self.process.signal(Signal::QUIT);
        self.process.wait();
    }

    /// Sends a signal to the server and all its children: stopped by SIGSTOP, it hangs.
    pub fn signal_all(&self, signal: Signal) {
        for id in self.process_ids() {
            if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, signal);
            }
        }
    }

    /// The ids of the server's process and its children.
    #[must_use]
    pub fn process_ids(&self) -> Vec<u32> {
        let own = self.process.id();
        let children = format!("/proc/{own}/task/{own}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse().ok());
        std::iter::once(own).chain(children).collect()
    }

    /// Puts lines before those of `pg_hba.conf`, which let everybody on this machine in, and has
    /// the server read them.
    ///
    /// # Panics
    /// If the file cannot be written.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn admit(&self, lines: &str) {
        let path = self.folder.path().join("data/pg_hba.conf");
        let old = std::fs::read_to_string(&path).expect("pg_hba.conf is there");
        std::fs::write(&path, format!("{lines}\n{old}")).expect("pg_hba.conf can be written");
        self.sql("postgres", "SELECT pg_reload_conf()").expect("the server reads it");
    }

    /// Starts it again over the same data.
    ///
    /// # Panics
    /// If it does not start within 60 s.
    pub fn restart(&mut self) {
        self.restart_within(None);
    }

    /// The same, and no file that it writes may grow beyond so many bytes: what is full looks so
    /// to it.
    ///
    /// # Panics
    /// If it does not start within 60 s.
    pub fn restart_within(&mut self, bytes: Option<u64>) {
        self.stop();
        self.process = launch(self.folder.path(), self.port, &self.settings, bytes);
        self.await_ready();
    }

    #[expect(clippy::panic, reason = "a test cannot go on without it")]
    fn await_ready(&mut self) {
        if !self.is_up() {
            panic!("postgres ended: {}", self.log());
        }
    }

    /// Waits until this very server answers; `false` if it ended.
    #[expect(clippy::panic, reason = "a test cannot go on without it")]
    fn is_up(&mut self) -> bool {
        let data = self.folder.path().join("data").display().to_string();
        let started = Instant::now();
        loop {
            let says = self.sql("postgres", "SHOW data_directory");
            if says.is_ok_and(|says| says.trim() == data) {
                return true;
            }
            if !self.process.is_running() {
                return false;
            }
            if started.elapsed() > WITHIN {
                panic!("postgres does not answer: {}", self.log());
            }
            sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn launch(
    folder: &Path,
    port: u16,
    settings: &[(String, String)],
    largest: Option<u64>,
) -> Process {
    let program = find("postgres", "postgresql");
    let mut command = match largest {
        None => as_owner(program),
        Some(bytes) => {
            // In blocks of 512 bytes.
            let limited = format!("ulimit -S -f {}; exec \"$0\" \"$@\"", bytes / 512);
            let mut shell = as_owner("/bin/sh".into());
            shell.arg("-c").arg(limited).arg(program);
            shell
        }
    };
    command.arg("-D").arg(folder.join("data")).current_dir(folder);
    let usual = [
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("port", port.to_string()),
        ("unix_socket_directories", String::new()),
        ("fsync", "off".to_owned()),
        ("full_page_writes", "off".to_owned()),
        ("shared_buffers", "32MB".to_owned()),
    ];
    let given = settings.iter().map(|(name, value)| (name.as_str(), value.clone()));
    for (name, value) in usual.into_iter().chain(given) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    Process::start(&mut command, &folder.join("log"))
}

/// PostgreSQL refuses to run as root: then it runs as its own user.
fn as_owner(program: std::path::PathBuf) -> Command {
    let mut command = Command::new(program);
    if geteuid().is_root()
        && let Some((uid, gid)) = owner()
    {
        command.uid(uid).gid(gid);
    }
    command
}

fn hand_over(folder: &Path) {
    if geteuid().is_root()
        && let Some((uid, gid)) = owner()
    {
        let _ = std::os::unix::fs::chown(folder, Some(uid), Some(gid));
    }
}

/// The user `postgres` of this system.
fn owner() -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2).map(str::parse);
    Some((fields.next()?.ok()?, fields.next()?.ok()?))
}
