//! A child process that ends with its owner.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Where Debian keeps programs that are not on everybody's path.
const ELSEWHERE: &[&str] =
    &["/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/15/bin", "/usr/sbin"];

/// A child process. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// It was waited for: its id may be somebody else's by now.
    is_gone: bool,
}

impl Process {
    /// Starts a program with its output in a file.
    ///
    /// # Panics
    /// If it cannot be started.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(log);
        let log = log.expect("the log of a process can be written");
        let errors = log.try_clone().expect("a file can be shared");
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = command.spawn().expect("a program that was found starts");
        Self { child, is_gone: false }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal; one that ended hears nothing.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| !self.is_gone) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.is_gone |= self.child.wait().is_ok();
    }

    /// Waits for its end; its status.
    pub fn wait(&mut self) -> Option<std::process::ExitStatus> {
        let status = self.child.wait().ok();
        self.is_gone |= status.is_some();
        status
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        let status = self.child.try_wait();
        self.is_gone |= matches!(status, Ok(Some(_)));
        matches!(status, Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The path of a program.
///
/// # Panics
/// If it is not installed: says how to.
#[expect(clippy::panic, reason = "a test cannot go on without it, and must say so")]
pub(crate) fn find(program: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(ELSEWHERE.iter().map(PathBuf::from));
    let found = folders.map(|folder| folder.join(OsStr::new(program))).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("{program} is missing. Run scripts/setup tests, or: apt-get install {package}")
    })
}
