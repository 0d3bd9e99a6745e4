//! The client in Python, written from the documents alone: with itself, with the Rust SDK, and
//! through the loss of the queue store. That both understand each other is what the test is for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hushwire_client::{Encoding, Event};
use serde_json::{Value, json};
use support::Server;
use support::talker::Talker;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

/// How long a line of a program may take. The programs themselves give up after 60 s.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running Python program, ended at the end.
#[derive(Debug)]
struct Python {
    process: Child,
    lines: Receiver<String>,
}

impl Python {
    fn start(script: &str, arguments: &[&str]) -> Self {
        let python = interpreter();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script);
        let mut command = Command::new(&python);
        command.arg(script).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let mut process = command.spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel(64);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self { process, lines }
    }

    /// The next line; `None` once it has ended well.
    async fn line(&mut self) -> Option<String> {
        let line = timeout(PATIENCE, self.lines.recv()).await.expect("a line in time");
        if line.is_none() {
            let status = self.process.wait().unwrap();
            assert!(status.success(), "{status}; what was wrong is above");
        }
        line
    }

    /// All that it says until it ends well; the last line is its answer.
    async fn end(mut self) -> Value {
        let mut last = None;
        while let Some(line) = self.line().await {
            last = Some(line);
        }
        serde_json::from_str(&last.expect("an answer")).unwrap()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// The Python of `scripts/setup tests`, in the target folder.
fn interpreter() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_hushwire")).ancestors().nth(2).unwrap();
    let python = target.join("python/bin/python");
    assert!(
        python.exists(),
        "{} is missing: run `scripts/setup tests`, as `make test` does",
        python.display()
    );
    python
}

/// A user of the client in Python: each act is a run of its own, from what the run before left.
#[derive(Debug)]
struct Snake {
    folder: tempfile::TempDir,
    url: String,
    encoding: &'static str,
}

impl Snake {
    async fn register(server: &Server, name: &str, encoding: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let snake = Self { folder, url: server.url.clone(), encoding };
        snake.run(&["register", name]).await;
        snake
    }

    fn start(&self, words: &[&str]) -> Python {
        let store = self.folder.path().join("store.json");
        let store = store.to_str().unwrap();
        let mut all = vec!["--store", store, "--url", &self.url, "--encoding", self.encoding];
        all.extend(words);
        Python::start("client.py", &all)
    }

    async fn run(&self, words: &[&str]) -> Value {
        self.start(words).end().await
    }
}

fn server() -> Server {
    Server::start_with(&[("limits.message_interval_ms", "300")])
}

#[tokio::test]
async fn two_python_clients_survive_cuts_and_a_restart() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Python::start("scene.py", &[&server.url, folder.path().to_str().unwrap()]);
    let mut steps = 0;
    while scene.line().await.is_some() {
        steps += 1;
    }
    assert_eq!(steps, 8, "every step of scene.py says that it is done");
}

#[tokio::test]
async fn a_python_client_talks_with_the_sdk() {
    for (theirs, ours) in [("json", Encoding::Cbor), ("cbor", Encoding::Json)] {
        let server = server();
        let pat = Snake::register(&server, "pat", theirs).await;
        let mut rusty = Talker::register(&server, "rusty", ours).await;
        pat.run(&["ask", "rusty"]).await;
        rusty
            .until(|event| {
                matches!(event, Event::ContactRequest { handle, .. } if handle == "pat")
                    .then_some(())
            })
            .await;
        rusty.client.contacts_accept("pat").await.unwrap();
        let answer = pat.run(&["say", "rusty", "from Python"]).await;
        assert_eq!(answer, json!({"delivered": true, "stopped": null}));
        rusty.shown("from Python").await;
        let id = rusty.client.send_text("pat", "from Rust").await.unwrap();
        let answer = pat.run(&["read", "rusty", "1"]).await;
        assert_eq!(answer, json!({"texts": ["from Rust"]}));
        rusty.delivered(id).await;
    }
}

#[tokio::test]
async fn a_python_client_accepts_the_sdk() {
    let server = server();
    let pat = Snake::register(&server, "pat", "cbor").await;
    let mut rusty = Talker::register(&server, "rusty", Encoding::Json).await;
    rusty.client.contacts_add("pat").await.unwrap();
    pat.run(&["accept", "rusty"]).await;
    rusty
        .until(|event| {
            matches!(event, Event::ContactAccepted { handle, .. } if handle == "pat").then_some(())
        })
        .await;
    let id = rusty.client.send_text("pat", "you accepted").await.unwrap();
    let answer = pat.run(&["read", "rusty", "1"]).await;
    assert_eq!(answer, json!({"texts": ["you accepted"]}));
    rusty.delivered(id).await;
}

#[tokio::test]
async fn a_python_client_sends_again_what_the_queue_store_lost() {
    let mut server = server();
    let pat = Snake::register(&server, "pat", "json").await;
    let quinn = Snake::register(&server, "quinn", "cbor").await;
    pat.run(&["ask", "quinn"]).await;
    quinn.run(&["accept", "pat"]).await;
    let mut saying = pat.start(&["say", "quinn", "kept by its sender"]);
    assert_eq!(saying.line().await.unwrap(), r#"{"accepted": true}"#);
    server.restart();
    let answer = quinn.run(&["read", "pat", "1"]).await;
    assert_eq!(answer, json!({"texts": ["kept by its sender"]}));
    assert_eq!(saying.end().await, json!({"delivered": true, "stopped": null}));
}
