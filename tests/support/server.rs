//! A real server process: a port of its own on loopback, a folder of its own, killed at the end.

use std::fs::{self, File};
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
    process: Option<Child>,
    /// Whether it runs under `RLIMIT_FSIZE=0`.
    writes_nothing: bool,
    admin: String,
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
        Self::start_as(settings, false)
    }

    /// The same, under a limit that lets it write no byte to any file: the system ends it if it
    /// tries. Its log comes through a pipe.
    pub fn start_unable_to_write(settings: &[(&str, &str)]) -> Self {
        Self::start_as(settings, true)
    }

    fn start_as(settings: &[(&str, &str)], writes_nothing: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("hushwire.sqlite").display().to_string();
        let mut all = vec![
            ("server.listen".to_owned(), "127.0.0.1:0".to_owned()),
            ("admin.listen".to_owned(), "127.0.0.1:0".to_owned()),
            ("database.path".to_owned(), database),
            ("limits.registrations_per_hour".to_owned(), "0".to_owned()),
            ("limits.sign_ins_per_minute".to_owned(), "0".to_owned()),
        ];
        all.extend(settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let mut server = Self {
            folder,
            settings: all,
            process: None,
            writes_nothing,
            url: String::new(),
            admin: String::new(),
        };
        server.spawn();
        // A restart finds the same addresses.
        for (k, url) in [(0, &server.url), (1, &server.admin)] {
            let (_, host) = url.split_once("://").unwrap();
            host.clone_into(&mut server.settings[k].1);
        }
        server
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
        self.spawn();
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

    /// Asks it to read its certificate again.
    pub fn hang_up(&self) {
        let id = self.pid().to_string();
        assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    }

    /// Waits until it has logged `text` so often.
    pub fn until_logged(&self, text: &str, times: usize) {
        let until = Instant::now() + START;
        while self.log().matches(text).count() < times {
            assert!(Instant::now() < until, "`{text}` was not logged:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
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
        Http::new(&self.admin)
    }

    /// Host and port of the admin interface.
    pub fn admin_address(&self) -> &str {
        self.admin.split_once("://").unwrap().1
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Runs another command with its settings, which flags change; its exit code and all that it
    /// prints.
    pub fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hushwire"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.envs(self.environment());
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    fn environment(&self) -> impl Iterator<Item = (String, &str)> {
        self.settings.iter().map(|(key, value)| {
            (format!("HUSHWIRE__{}", key.replace('.', "__").to_uppercase()), value.as_str())
        })
    }

    /// The file with all that it has logged.
    pub fn log_path(&self) -> std::path::PathBuf {
        self.folder.path().join("server.log")
    }

    /// Starts the process, and waits until it says where it listens.
    fn spawn(&mut self) {
        let before = self.log().len();
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let program = env!("CARGO_BIN_EXE_hushwire");
        let mut command = Command::new(program);
        if self.writes_nothing {
            command = Command::new("sh");
            command.args(["-c", "ulimit -f 0; exec \"$0\" \"$@\"", program]);
        }
        command.arg("serve").current_dir(self.folder.path()).stdin(Stdio::null());
        command.envs(self.environment());
        if self.writes_nothing {
            let (mut heard, said) = std::io::pipe().unwrap();
            command.stdout(said.try_clone().unwrap()).stderr(said);
            let mut log = log;
            std::thread::spawn(move || std::io::copy(&mut heard, &mut log));
        } else {
            command.stdout(log.try_clone().unwrap()).stderr(log);
        }
        self.process = Some(command.spawn().unwrap());
        let until = Instant::now() + START;
        loop {
            let log = self.log();
            let said = &log[before..];
            if let (Some(url), Some(admin), true) =
                (address(said, "listens on"), address(said, "admin"), said.contains("serving"))
            {
                (self.url, self.admin) = (url, admin);
                return;
            }
            let runs = matches!(self.process.as_mut().unwrap().try_wait(), Ok(None));
            assert!(runs && Instant::now() < until, "no start:\n{said}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The address in the line that begins with `what`.
fn address(said: &str, what: &str) -> Option<String> {
    let line = said.lines().find(|line| line.trim_start().starts_with(what))?;
    let (before, rest) = line.split_once("://")?;
    let scheme = before.rsplit(' ').next()?;
    let host = rest.split(['/', ' ']).next()?;
    Some(format!("{scheme}://{host}"))
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
