//! One Hushwire server process.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::port;
use crate::process::Process;

/// How long a start may take.
const WITHIN: Duration = Duration::from_secs(30);
/// How long `/readyz` may take.
const READY_WITHIN: Duration = Duration::from_secs(2);
/// How long an end may take that it was asked for.
const ENDS_WITHIN: Duration = Duration::from_secs(35);

/// A server with ports and a folder of its own, which it keeps through restarts.
#[derive(Debug)]
pub struct Node {
    program: PathBuf,
    settings: Vec<(String, String)>,
    folder: TempDir,
    process: Process,
    public: u16,
    admin: u16,
}

impl Node {
    /// Starts the program with these settings besides its own addresses, as `section.key` and value.
    ///
    /// # Panics
    /// If it is not ready within 30 s.
    #[must_use]
    #[expect(clippy::expect_used, reason = "nothing goes on without it")]
    pub fn start(program: &Path, settings: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let settings: Vec<_> =
            settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let (public, admin) = (port::free(), port::free());
        // It is started in a folder of its own.
        let program = program.canonicalize().unwrap_or_else(|_| program.to_owned());
        let process = serve(&program, &settings, folder.path(), public, admin);
        let mut node = Self { program, settings, folder, process, public, admin };
        node.await_ready();
        node
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.public)
    }

    /// The port of its public interface.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.public
    }

    /// The port of its admin interface.
    #[must_use]
    pub const fn admin_port(&self) -> u16 {
        self.admin
    }

    /// Its process.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Everything that it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Whether it takes new work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        is_ready(self.admin, READY_WITHIN)
    }

    /// Asks it to end, and waits for it; whether it ended as it should.
    pub fn terminate(&mut self) -> bool {
        self.process.signal(Signal::TERM);
        let started = Instant::now();
        while self.process.is_running() {
            if started.elapsed() > ENDS_WITHIN {
                self.process.kill();
                return false;
            }
            sleep(Duration::from_millis(10));
        }
        self.process.wait().is_some_and(|status| status.success())
    }

    /// Starts it again on its ports, whether it runs or not.
    ///
    /// # Panics
    /// If it is not ready within 30 s.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process =
            serve(&self.program, &self.settings, self.folder.path(), self.public, self.admin);
        self.await_ready();
    }

    #[expect(clippy::panic, reason = "nothing goes on without it")]
    fn await_ready(&mut self) {
        let started = Instant::now();
        while !self.is_ready() {
            if started.elapsed() > WITHIN || !self.process.is_running() {
                panic!("the server is not ready: {}", self.log());
            }
            sleep(Duration::from_millis(20));
        }
    }
}

/// Starts a server with its ports and its log (`log`) in a folder of its own, and these settings
/// besides, as `section.key` and value. It is not waited for.
///
/// # Panics
/// If it cannot be started.
pub fn serve(
    program: &Path,
    settings: &[(String, String)],
    folder: &Path,
    public: u16,
    admin: u16,
) -> Process {
    let mut command = Command::new(program);
    command.arg("serve").current_dir(folder);
    let own = [
        ("server.listen".to_owned(), format!("127.0.0.1:{public}")),
        ("admin.listen".to_owned(), format!("127.0.0.1:{admin}")),
    ];
    for (key, value) in own.iter().chain(settings) {
        let name = key.replace('.', "__").to_uppercase();
        command.env(format!("HUSHWIRE__{name}"), value);
    }
    Process::start(&mut command, &folder.join("log"))
}

/// Whether the server with this admin port says, in so long, that it takes new work.
#[must_use]
pub fn is_ready(admin: u16, within: Duration) -> bool {
    let ask = || -> std::io::Result<[u8; 15]> {
        let address = SocketAddr::from(([127, 0, 0, 1], admin));
        let mut stream = TcpStream::connect_timeout(&address, within)?;
        stream.set_read_timeout(Some(within))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 15];
        stream.read_exact(&mut head)?;
        Ok(head)
    };
    ask().is_ok_and(|head| head.starts_with(b"HTTP/1.1 200"))
}
