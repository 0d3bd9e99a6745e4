//! A program under measurement: started on its own core in a temporary folder, asked for its
//! memory and its CPU time, and killed when dropped. Only own children are ever killed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Settings by the names of their environment variables.
pub(crate) type Settings = Vec<(&'static str, String)>;

/// A running child.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Program {
    /// Starts the server with its data in `folder`, without the 10-second rule, and with `more`
    /// settings.
    pub(crate) fn server(binary: &Path, folder: &Path, more: &Settings) -> Result<Self, String> {
        // It runs in another folder, where a relative path would lead nowhere.
        let binary =
            binary.canonicalize().map_err(|e| format!("no server at {}: {e}", binary.display()))?;
        let address = free_port()?;
        let log = fs::File::create(folder.join("server.log")).map_err(|e| format!("log: {e}"))?;
        let mut command = on_core(0, &binary);
        command
            .arg("serve")
            .current_dir(folder)
            .envs(settings(address, folder))
            .envs(more.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(log);
        let child = command.spawn().map_err(|e| format!("{}: {e}", binary.display()))?;
        Ok(Self { child, address })
    }

    /// Starts the relay of this very program.
    pub(crate) fn relay() -> Result<Self, String> {
        let binary = std::env::current_exe().map_err(|e| format!("own path: {e}"))?;
        let mut child = on_core(0, &binary)
            .args(["relay", "--workers", "1"])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("relay: {e}"))?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(|e| format!("relay: {e}"))?;
        }
        match line.trim().strip_prefix("listening on ").and_then(|text| text.parse().ok()) {
            Some(address) => Ok(Self { child, address }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                Err("the relay did not say where it listens".to_owned())
            }
        }
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Resident memory in KiB.
    pub(crate) fn memory_kib(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
        text.lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| format!("{path} names no VmRSS"))
    }

    /// CPU time of all its threads so far.
    pub(crate) fn cpu(&self) -> Result<Duration, String> {
        cpu_of(self.child.id())
    }
}

/// CPU time of all threads of a process so far.
pub(crate) fn cpu_of(id: u32) -> Result<Duration, String> {
    let folder = format!("/proc/{id}/task");
    let tasks = fs::read_dir(&folder).map_err(|e| format!("{folder}: {e}"))?;
    let mut nanos = 0;
    for task in tasks.flatten() {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        nanos += text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
    }
    if nanos == 0 {
        Err(format!("{folder} shows no CPU time"))
    } else {
        Ok(Duration::from_nanos(nanos))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the server is told through its environment.
fn settings(address: SocketAddr, folder: &Path) -> Settings {
    vec![
        ("HUSHWIRE__SERVER__LISTEN", address.to_string()),
        ("HUSHWIRE__SERVER__WORKERS", "1".to_owned()),
        ("HUSHWIRE__ADMIN__LISTEN", String::new()),
        ("HUSHWIRE__DATABASE__PATH", folder.join("accounts.sqlite").display().to_string()),
        ("HUSHWIRE__LIMITS__MESSAGE_INTERVAL_MS", "0".to_owned()),
        ("HUSHWIRE__LIMITS__REGISTRATIONS_PER_HOUR", "0".to_owned()),
        ("HUSHWIRE__LIMITS__SIGN_INS_PER_MINUTE", "0".to_owned()),
        // A storm is measured as it comes, not as it is shed.
        ("HUSHWIRE__SOCKETS__UNSIGNED", "50000".to_owned()),
        ("HUSHWIRE__LOG__LEVEL", "warning".to_owned()),
    ]
}

/// A command that runs on one core, where `taskset` is there.
fn on_core(core: usize, binary: &Path) -> Command {
    if !is_pinned() {
        return Command::new(binary);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(binary);
    command
}

/// Whether programs are pinned to cores: `taskset` is there and there are two cores.
pub(crate) fn is_pinned() -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let found = Command::new("taskset").arg("-V").stdout(Stdio::null()).status();
    // After this process has pinned itself, it sees one core only.
    (cores >= 2 || std::env::var_os(PINNED).is_some()) && found.is_ok_and(|status| status.success())
}

/// Set for a generator that was started again on its own core.
pub(crate) const PINNED: &str = "HUSHWIRE_BENCHES_PINNED";

/// A port of the loopback that is free now.
fn free_port() -> Result<SocketAddr, String> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(|e| format!("no free port: {e}"))
}
