//! The server under attack: started in a temporary folder on loopback, watched through `/proc`,
//! killed when dropped. Only the own child is ever killed.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a start may take.
const START: Duration = Duration::from_secs(30);

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    folder: TempDir,
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `binary` with the rules off that would make malformed input the rarest thing, and
    /// with short timeouts, so that nothing waits for long.
    pub(crate) async fn start(binary: &Path) -> Result<Self, String> {
        let binary = binary
            .canonicalize()
            .map_err(|error| format!("no server at {}: {error}", binary.display()))?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let log = File::create(folder.path().join("server.log")).map_err(|e| e.to_string())?;
        let database = folder.path().join("fuzz.sqlite").display().to_string();
        let settings = [
            ("SERVER__LISTEN", "127.0.0.1:0"),
            ("SERVER__WORKERS", "2"),
            ("ADMIN__LISTEN", ""),
            ("DATABASE__PATH", &database),
            ("HTTP__REQUEST_TIMEOUT_MS", "1000"),
            ("HTTP__BODY_TIMEOUT_MS", "1000"),
            ("HTTP__KEEP_ALIVE_MS", "1000"),
            ("SOCKETS__HELLO_WITHIN_MS", "2000"),
            ("LIMITS__MESSAGE_INTERVAL_MS", "0"),
            ("LIMITS__REGISTRATIONS_PER_HOUR", "0"),
            ("LIMITS__SIGN_INS_PER_MINUTE", "0"),
            // Full soon, so that what queues hold is no growth after the warm-up.
            ("LIMITS__LEDGER_MESSAGES", "200"),
            ("LIMITS__LEDGER_MESSAGES_PER_SENDER", "100"),
            ("LIMITS__LEDGER_BYTES_PER_SENDER", "262144"),
        ];
        let mut command = Command::new(&binary);
        command.arg("serve").current_dir(folder.path()).stdin(Stdio::null());
        for (key, value) in settings {
            command.env(format!("HUSHWIRE__{key}"), value);
        }
        let both = log.try_clone().map_err(|error| error.to_string())?;
        let child = command
            .stdout(both)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        let mut server = Self { folder, child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let until = Instant::now() + START;
        loop {
            let log = server.log();
            if let Some(address) = address(&log).filter(|_| log.contains("serving")) {
                server.address = address;
                return Ok(server);
            }
            if !server.is_running() || Instant::now() > until {
                return Err(format!("the server did not start:\n{log}"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// All that it logged.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The line of its log that tells of a panic, if there is one.
    pub(crate) fn panic(&self) -> Option<String> {
        let log = self.log();
        let at = log.lines().position(|line| line.contains("panicked"))?;
        Some(log.lines().skip(at).take(3).collect::<Vec<_>>().join("\n"))
    }

    /// Resident memory, in KiB.
    pub(crate) fn memory_kib(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        text.lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| format!("{path} names no VmRSS"))
    }

    /// Open file descriptors.
    pub(crate) fn files(&self) -> Result<usize, String> {
        let path = format!("/proc/{}/fd", self.child.id());
        let entries = fs::read_dir(&path).map_err(|error| format!("{path}: {error}"))?;
        Ok(entries.count())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where it says that it listens.
fn address(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.trim_start().starts_with("listens on"))?;
    let (_, rest) = line.split_once("http://")?;
    rest.split(['/', ' ']).next()?.parse().ok()
}
