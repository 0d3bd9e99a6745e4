//! A real server process: a port of its own on loopback, a folder of its own, killed at the end.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Http;

/// How long a start may take.
const START: Duration = Duration::from_secs(20);

/// A running server.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    settings: Vec<(String, String)>,
    address: SocketAddr,
    admin: SocketAddr,
    process: Option<Child>,
    /// For clients.
    pub url: String,
}

impl Server {
    /// With the defaults, but for addresses, folder and the limits by address.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these settings besides, as `section.key` and value.
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        // A free port may be taken by somebody else before the server has it: then another one.
        for _ in 0..5 {
            let folder = tempfile::tempdir().unwrap();
            let (address, admin) = (free_address(), free_address());
            let database = folder.path().join("hushwire.sqlite").display().to_string();
            let mut all = vec![
                ("server.listen".to_owned(), address.to_string()),
                ("admin.listen".to_owned(), admin.to_string()),
                ("database.path".to_owned(), database),
                ("limits.registrations_per_hour".to_owned(), "0".to_owned()),
                ("limits.sign_ins_per_minute".to_owned(), "0".to_owned()),
            ];
            all.extend(settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
            let url = format!("http://{address}");
            let mut server = Self { folder, settings: all, address, admin, process: None, url };
            if server.spawn() {
                return server;
            }
            assert!(server.log().contains("in use"), "no start:\n{}", server.log());
        }
        panic!("no free port in five tries");
    }

    /// Kills it where it stands, as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts it again on the same folder and port.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.spawn(), "no restart:\n{}", self.log());
    }

    /// Asks it to end (SIGTERM), and gives its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let mut process = self.process.take().unwrap();
        let id = process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            if let Some(status) = process.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        process.kill().unwrap();
        process.wait().unwrap();
        panic!("it did not end within 30 s");
    }

    /// The process' id.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// Where its database lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A client of the public interface.
    pub fn http(&self) -> Http {
        Http::new(&self.url)
    }

    /// A client of the admin interface.
    pub fn admin(&self) -> Http {
        Http::new(&format!("http://{}", self.admin))
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> std::path::PathBuf {
        self.folder.path().join("server.log")
    }

    fn spawn(&mut self) -> bool {
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hushwire"));
        command.arg("serve").current_dir(self.folder.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        for (key, value) in &self.settings {
            let name = format!("HUSHWIRE__{}", key.replace('.', "__").to_uppercase());
            command.env(name, value);
        }
        let mut process = command.spawn().unwrap();
        let until = Instant::now() + START;
        while Instant::now() < until {
            if process.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(self.address).is_ok() {
                self.process = Some(process);
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        process.kill().unwrap();
        process.wait().unwrap();
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
