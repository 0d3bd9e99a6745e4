//! Somebody with the real SDK, a clock that tests move, and an adversary of their own before the
//! server; and what of them must not move when something is refused.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hushwire_client::ports::{Clock, SystemClock};
use hushwire_client::{Client, Code, Encoding, Event, Message, Outside, UserId};
use hushwire_wire::frame;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::Server;
use super::evil::{Evil, PATIENCE, Rules};
use super::stolen::Stolen;
use super::stores::open;

pub const DAY_MS: u64 = 86_400_000;
pub const HOUR_MS: u64 = 3_600_000;

/// A time of day that stands still until a test moves it, so that nothing is written by itself;
/// ticks go on, and can be pushed ahead.
#[derive(Debug)]
pub struct Moved {
    wall: AtomicU64,
    ticks: SystemClock,
    ahead: AtomicU64,
}

impl Moved {
    /// The system's time now, less so many milliseconds.
    pub fn behind(by_ms: u64) -> Arc<Self> {
        let ticks = SystemClock::default();
        let wall = AtomicU64::new(ticks.now_ms() - by_ms);
        Arc::new(Self { wall, ticks, ahead: AtomicU64::new(0) })
    }

    /// Another clock that shows the same.
    pub fn beside(&self) -> Arc<Self> {
        let wall = AtomicU64::new(self.now_ms());
        Arc::new(Self { wall, ticks: self.ticks, ahead: AtomicU64::new(0) })
    }

    /// Time of day and ticks go on.
    pub fn forward(&self, by_ms: u64) {
        self.wall.fetch_add(by_ms, Ordering::Relaxed);
        self.tick(by_ms);
    }

    /// Only ticks go on.
    pub fn tick(&self, by_ms: u64) {
        self.ahead.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for Moved {
    fn now_ms(&self) -> u64 {
        self.wall.load(Ordering::Relaxed)
    }

    fn ticks_ms(&self) -> u64 {
        self.ticks.ticks_ms() + self.ahead.load(Ordering::Relaxed)
    }
}

/// See the module.
pub struct Victim {
    pub home: TempDir,
    pub evil: Evil,
    pub clock: Arc<Moved>,
    pub client: Client,
    pub events: Receiver<Event>,
    pub user: UserId,
}

/// What is on the disk and what was shown. It is the same to the byte, or something was written:
/// rows are sealed under fresh nonces.
#[derive(PartialEq, Eq)]
pub struct State {
    store: Vec<u8>,
    journal: Vec<u8>,
    history: Vec<Message>,
}

impl Victim {
    /// Registered and signed in.
    pub async fn register(server: &Server, name: &str) -> Self {
        Self::register_at(server, name, Moved::behind(0)).await
    }

    pub async fn register_at(server: &Server, name: &str, clock: Arc<Moved>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let evil = Evil::before(server);
        let mut device = open(home.path());
        let outside = outside(&evil, &clock);
        device.register(&outside, &server.url, name).await.unwrap();
        let (client, events) = device.start(outside).unwrap();
        let user = client.account().await.unwrap().user;
        let mut victim = Self { home, evil, clock, client, events, user };
        victim.connected().await;
        victim
    }

    /// Starts again on the same store, as after a crash: nothing is said to the server.
    pub async fn crash(&mut self) {
        // Even the goodbye's acknowledgement does not pass.
        self.evil.rule(|rules| rules.to_server = Box::new(|_| Vec::new()));
        self.client.clone().close().await;
        self.evil.rule(|rules| *rules = Rules::default());
        self.start();
    }

    /// Ends in good order.
    pub async fn close(&self) {
        self.client.clone().close().await;
    }

    /// Starts on the same store.
    pub fn start(&mut self) {
        let device = open(self.home.path());
        (self.client, self.events) = device.start(outside(&self.evil, &self.clock)).unwrap();
    }

    /// Ends in good order and starts again, signed in when this returns.
    pub async fn restart(&mut self) {
        self.close().await;
        self.start();
        self.connected().await;
    }

    pub async fn until<T>(&mut self, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        let found = timeout(PATIENCE, async {
            loop {
                let event = self.events.recv().await.expect("the client runs");
                if let Some(found) = pick(&event) {
                    return found;
                }
            }
        });
        found.await.expect("the event in time")
    }

    /// Signed in, and done with what follows from that.
    pub async fn connected(&mut self) {
        self.until(|event| matches!(event, Event::Connected).then_some(())).await;
        self.client.account().await.unwrap();
    }

    /// Notified when the server has answered `sync`: what is delivered then comes after that.
    pub fn drains(&self) -> Arc<Notify> {
        let drained = Arc::new(Notify::new());
        let tells = Arc::clone(&drained);
        self.evil.rule(|rules| {
            rules.to_client = Box::new(move |frame| {
                if matches!(frame.op, frame::ServerOp::Ok {}) {
                    tells.notify_one();
                }
                vec![frame]
            });
        });
        drained
    }

    pub async fn disconnected(&mut self) -> (String, Option<u64>) {
        self.until(|event| match event {
            Event::Disconnected { why, retry_in_ms } => Some((why.clone(), *retry_in_ms)),
            _ => None,
        })
        .await
    }

    /// The next message, marked as shown.
    pub async fn message(&mut self) -> Message {
        let message = self
            .until(|event| match event {
                Event::MessageReceived(message) => Some(message.clone()),
                _ => None,
            })
            .await;
        self.client.mark_shown(&message).await.unwrap();
        message
    }

    /// Everything told until a message of this text comes.
    pub async fn texts_until(&mut self, last: &str) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.last().is_none_or(|text| text != last) {
            texts.push(self.message().await.text);
        }
        texts
    }

    /// What was told since, once all that has arrived is dealt with.
    pub async fn told(&mut self) -> Vec<Event> {
        // Commands and arrivals are taken one after the other. Events follow the answers of their
        // turn, so that the second answer comes after all of them.
        self.client.account().await.unwrap();
        self.client.account().await.unwrap();
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    /// The texts of the conversation, oldest first.
    pub async fn texts(&self, with: &str) -> Vec<String> {
        let history = self.client.history(with, 10_000).await.unwrap();
        history.into_iter().map(|message| message.text).collect()
    }

    /// What must not move.
    pub async fn state(&self, with: &str) -> State {
        let history = self.client.history(with, 10_000).await.unwrap_or_default();
        let read = |name| fs::read(self.home.path().join(name)).unwrap_or_default();
        State { store: read("store.db"), journal: read("store.db-journal"), history }
    }

    /// The message is refused for this reason, nothing of it is shown, and nothing is written.
    /// Gives what was told.
    pub async fn refuses(&mut self, with: &str, message: frame::Message, code: Code) -> Vec<Event> {
        self.told().await;
        let before = self.state(with).await;
        let verdict = self.evil.deliver(message).await;
        assert_eq!(verdict, Err(code.as_str().to_owned()));
        let told = self.told().await;
        let is_shown = |event: &Event| matches!(event, Event::MessageReceived(_));
        assert!(!told.iter().any(is_shown), "{told:?}");
        assert!(self.state(with).await == before, "{code} left a trace");
        told
    }

    /// Its rows, as they are now.
    pub fn rows(&self) -> Stolen {
        Stolen::from(self.home.path())
    }

    /// The message is taken and shown with these words.
    pub async fn shows(&mut self, message: frame::Message, text: &str) {
        assert_eq!(self.evil.deliver(message).await, Ok(()));
        assert_eq!(self.message().await.text, text);
    }
}

/// The alarm codes among what was told.
pub fn alarms(told: &[Event]) -> Vec<Code> {
    let code = |event: &Event| match event {
        Event::Alarm { code, .. } => Some(*code),
        _ => None,
    };
    told.iter().filter_map(code).collect()
}

pub fn outside(evil: &Evil, clock: &Arc<Moved>) -> Outside {
    Outside {
        transport: Arc::new(evil.clone()),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        encoding: Encoding::Cbor,
    }
}

/// A server without the 10-second rule.
pub fn server() -> Server {
    Server::start_with(&[("limits.message_interval_ms", "0")])
}

/// Alice asks; bob has the request.
pub async fn asked(server: &Server) -> (Victim, Victim) {
    let alice = Victim::register(server, "alice").await;
    let mut bob = Victim::register(server, "bob").await;
    alice.client.contacts_add("bob").await.unwrap();
    bob.until(|event| matches!(event, Event::ContactRequest { .. }).then_some(())).await;
    (alice, bob)
}

/// Alice and bob are contacts.
pub async fn contacts(server: &Server) -> (Victim, Victim) {
    let (mut alice, bob) = asked(server).await;
    bob.client.contacts_accept("alice").await.unwrap();
    alice.until(|event| matches!(event, Event::ContactAccepted { .. }).then_some(())).await;
    (alice, bob)
}
