//! The processes of the demonstration: one server, and `hush` as often as somebody is there.
//!
//! Everything that is started here is killed when its value is dropped, by its own handle, and
//! nothing else ever is. Every wait has an end.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long the server may take until it listens.
const START: Duration = Duration::from_secs(15);
/// How long a command that only asks may take.
const COMMAND: Duration = Duration::from_secs(30);
/// Lines of a process that wait to be read, at most; then the process waits.
const LINES_MAX: usize = 1_000;

/// A child that is killed and reaped when dropped.
#[derive(Debug)]
struct Own(Child);

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server: one folder and one port, and as many lives as the story needs.
#[derive(Debug)]
pub(super) struct Server {
    binary: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
    interval_ms: u64,
    life: Option<Own>,
}

impl Server {
    /// Starts the server on a free port of the loopback, with its data in `folder`.
    pub(super) fn start(binary: &Path, folder: &Path, interval_ms: u64) -> Result<Self, String> {
        let address = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|error| format!("no free port: {error}"))?;
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut server = Self {
            binary: binary.to_path_buf(),
            folder: folder.to_path_buf(),
            address,
            interval_ms,
            life: None,
        };
        server.restart()?;
        Ok(server)
    }

    /// The address for clients.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts it again, on the same folder and port.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("server.log"))
            .map_err(|error| format!("server.log: {error}"))?;
        let also = log.try_clone().map_err(|error| format!("server.log: {error}"))?;
        let child = Command::new(&self.binary)
            .arg("serve")
            .current_dir(&self.folder)
            .envs(super::settings(self.address, &self.folder, self.interval_ms))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(also)
            .spawn()
            .map_err(|error| format!("{}: {error}", self.binary.display()))?;
        let mut life = Own(child);
        let until = Instant::now() + START;
        while TcpStream::connect(self.address).is_err() {
            if !matches!(life.0.try_wait(), Ok(None)) || Instant::now() > until {
                return Err(format!("the server did not start:\n{}", self.log_tail()));
            }
            thread::sleep(Duration::from_millis(30));
        }
        self.life = Some(life);
        Ok(())
    }

    /// Stops it where it stands, so that it reads and answers nothing more.
    pub(super) fn freeze(&self) -> Result<(), String> {
        let life = self.life.as_ref().ok_or("the server is not running")?;
        let status = Command::new("kill")
            .args(["-STOP", &life.0.id().to_string()])
            .status()
            .map_err(|error| format!("kill: {error}"))?;
        if status.success() { Ok(()) } else { Err("the server could not be stopped".to_owned()) }
    }

    /// `kill -9`: no goodbye, no flush.
    pub(super) fn kill(&mut self) -> Result<(), String> {
        self.life.take().map(drop).ok_or_else(|| "the server is not running".to_owned())
    }

    /// The end of the server's log, for a failure's report.
    pub(super) fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

/// A person with a home folder of their own and one `hush`.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) name: &'static str,
    binary: PathBuf,
    home: PathBuf,
}

impl Person {
    pub(super) fn new(name: &'static str, binary: &Path, folder: &Path) -> Self {
        Self { name, binary: binary.to_path_buf(), home: folder.join(name) }
    }

    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    /// A folder beside this person's own, for somebody else of the same name.
    pub(super) fn elsewhere(&self) -> PathBuf {
        self.home.with_extension("elsewhere")
    }

    fn hush(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--home").arg(&self.home).args(args).env("NO_COLOR", "1");
        command
    }

    /// Runs one command to its end and gives what it printed.
    pub(super) fn run(&self, args: &[&str]) -> Result<String, String> {
        let spoken = format!("{}: hush {}", self.name, args.join(" "));
        let child = self
            .hush(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{spoken}: {error}"))?;
        let mut own = Own(child);
        let out = own.0.stdout.take().map(read_all);
        let err = own.0.stderr.take().map(read_all);
        let until = Instant::now() + COMMAND;
        let status = loop {
            match own.0.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(10)),
                Ok(None) => return Err(format!("{spoken}: took more than {COMMAND:?}")),
                Err(error) => return Err(format!("{spoken}: {error}")),
            }
        };
        let text = |reader: Option<thread::JoinHandle<String>>| {
            reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
        };
        let (out, err) = (text(out), text(err));
        if status.success() {
            return Ok(out);
        }
        Err(format!("{spoken}: failed ({status})\n{out}{err}"))
    }

    /// Runs one command that must fail, and gives what it printed.
    pub(super) fn run_expecting_failure(&self, args: &[&str]) -> Result<String, String> {
        match self.run(args) {
            Ok(out) => {
                Err(format!("{}: hush {} should have failed:\n{out}", self.name, args.join(" ")))
            }
            Err(text) => Ok(text),
        }
    }

    /// Comes online: a `hush` that stays, reads lines to send and prints JSON lines.
    pub(super) fn online(&self, args: &[&str]) -> Result<Online, String> {
        let mut child = self
            .hush(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: hush {}: {error}", self.name, args.join(" ")))?;
        let input = child.stdin.take();
        let errors = child.stderr.take().map(read_all);
        let (sender, lines) = sync_channel(LINES_MAX);
        if let Some(out) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Online {
            name: self.name,
            own: Own(child),
            input,
            errors,
            lines,
            seen: Vec::new(),
            typed: Vec::new(),
        })
    }
}

fn read_all(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        let _ = from.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// A person who is online.
#[derive(Debug)]
pub(super) struct Online {
    pub(super) name: &'static str,
    own: Own,
    input: Option<ChildStdin>,
    errors: Option<thread::JoinHandle<String>>,
    lines: Receiver<String>,
    seen: Vec<Value>,
    typed: Vec<String>,
}

impl Online {
    /// Types a line.
    pub(super) fn say(&mut self, text: &str) -> Result<(), String> {
        let input = self.input.as_mut().ok_or("nobody listens to the keyboard any more")?;
        writeln!(input, "{text}")
            .and_then(|()| input.flush())
            .map_err(|error| format!("{} could not type: {error}", self.name))?;
        self.typed.push(text.to_owned());
        Ok(())
    }

    /// Which line of those typed this text is, from 0.
    pub(super) fn place_of(&self, text: &str) -> Option<usize> {
        self.typed.iter().position(|typed| typed == text)
    }

    /// Waits until a line fits; lines that came before count too. Gives its place and the line.
    pub(super) fn wait(
        &mut self,
        what: &str,
        within: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<(usize, Value), String> {
        let until = Instant::now() + within;
        let mut at = 0;
        loop {
            while let Some(line) = self.seen.get(at) {
                if fits(line) {
                    return Ok((at, line.clone()));
                }
                at += 1;
            }
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => self.keep(&line)?,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!(
                        "{} waited {within:?} for {what}, and saw only:\n{}",
                        self.name,
                        self.transcript()
                    ));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let errors = self.errors.take().and_then(|errors| errors.join().ok());
                    return Err(format!(
                        "{}'s hush ended while waiting for {what}. It saw:\n{}\n{}",
                        self.name,
                        self.transcript(),
                        errors.unwrap_or_default()
                    ));
                }
            }
        }
    }

    /// Everything that was printed, after reading for `more` time.
    pub(super) fn all(&mut self, more: Duration) -> Result<&[Value], String> {
        let until = Instant::now() + more;
        while let Ok(line) =
            self.lines.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            self.keep(&line)?;
        }
        Ok(&self.seen)
    }

    /// Goes offline: closes the keyboard, gives the program a moment, then ends it.
    pub(super) fn leave(mut self) -> Result<Vec<Value>, String> {
        drop(self.input.take());
        let until = Instant::now() + Duration::from_secs(5);
        while matches!(self.own.0.try_wait(), Ok(None)) && Instant::now() < until {
            self.all(Duration::from_millis(30))?;
        }
        self.all(Duration::from_millis(50))?;
        Ok(std::mem::take(&mut self.seen))
    }

    fn keep(&mut self, line: &str) -> Result<(), String> {
        let value = serde_json::from_str(line)
            .map_err(|error| format!("{}'s hush printed no JSON ({error}): {line}", self.name))?;
        self.seen.push(value);
        Ok(())
    }

    fn transcript(&self) -> String {
        let lines = self.seen.iter().map(|line| format!("  {line}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that stands where a process stands: what is tested is how it is watched.
    fn person(folder: &Path, script: &str) -> Person {
        let binary = folder.join("program");
        // Written by another process: a file that this one had open could be "busy" for a child
        // that another test starts meanwhile.
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$2" && chmod 755 "$2""#;
        let status =
            Command::new("sh").args(["-c", write, "sh", script]).arg(&binary).status().unwrap();
        assert!(status.success());
        Person::new("alice", &binary, folder)
    }

    #[test]
    fn what_is_typed_comes_back_and_what_never_comes_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let echo = person(
            folder.path(),
            "while read -r line; do echo \"{\\\"said\\\":\\\"$line\\\"}\"; done",
        );
        let mut online = echo.online(&["chat"]).unwrap();
        online.say("one").unwrap();
        online.wait("one", COMMAND, |line| line["said"] == "one").unwrap();
        let error = online
            .wait("two", Duration::from_millis(50), |line| line["said"] == "two")
            .unwrap_err();
        assert!(error.contains("for two") && error.contains("\"said\":\"one\""), "{error}");
        assert_eq!(online.leave().unwrap().len(), 1);
    }

    #[test]
    fn a_program_that_ends_or_prints_no_json_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut ended = person(folder.path(), "echo went wrong >&2").online(&[]).unwrap();
        let error = ended.wait("anything", COMMAND, |_| true).unwrap_err();
        assert!(error.contains("ended") && error.contains("went wrong"), "{error}");
        let mut prose = person(folder.path(), "echo hello; cat").online(&[]).unwrap();
        let error = prose.wait("anything", COMMAND, |_| true).unwrap_err();
        assert!(error.contains("no JSON"), "{error}");
    }

    #[test]
    fn a_command_that_fails_shows_what_it_printed() {
        let folder = tempfile::tempdir().unwrap();
        let fails = person(folder.path(), "echo because >&2; exit 3");
        assert!(fails.run(&["x"]).unwrap_err().contains("because"));
        assert!(fails.run_expecting_failure(&["x"]).is_ok());
        let works = person(folder.path(), "echo $*");
        assert!(works.run(&["x"]).unwrap().ends_with(" x\n"));
        assert!(works.run_expecting_failure(&["x"]).is_err());
    }
}
