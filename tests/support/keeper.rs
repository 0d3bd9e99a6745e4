//! A person with the real SDK whose clock the test moves, on a network that keeps what passes:
//! epochs and prekeys as they are posted, messages as they are sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hushwire_client::ports::{Clock, SystemClock};
use hushwire_client::transport::{Arrival, Call, LINK_FRAMES, Link, Method, Reply, Unreachable};
use hushwire_client::{
    Client, Encoding, Event, Message, NetTransport, Outside, Transport, Trouble,
};
use hushwire_identity::EpochHeader;
use hushwire_wire::Reject;
use hushwire_wire::frame::{ClientFrame, ClientOp, ServerFrame, ServerOp};
use hushwire_wire::http::{EpochPost, ProblemCode};
use tempfile::TempDir;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::timeout;

use super::Server;
use super::stores::open;

const PATIENCE: Duration = Duration::from_secs(30);
const ENCODING: Encoding = Encoding::Cbor;
pub const HOUR_MS: u64 = 3_600_000;
pub const DAY_MS: u64 = 24 * HOUR_MS;

/// The system's clock, behind by so many milliseconds.
#[derive(Default)]
pub struct Behind(SystemClock, pub AtomicU64);

impl Clock for Behind {
    fn now_ms(&self) -> u64 {
        self.0.now_ms() - self.1.load(Ordering::Relaxed)
    }

    fn ticks_ms(&self) -> u64 {
        self.0.ticks_ms()
    }
}

/// What passed, and what is to be refused in the server's place.
#[derive(Default)]
pub struct Kept {
    pub prekeys: u64,
    /// Epochs that the server took.
    pub epochs: Vec<EpochHeader>,
    /// Posts of epochs that the server refused.
    pub refused: Vec<ProblemCode>,
    /// Uploads of messages.
    pub uploads: Vec<Vec<u8>>,
    /// Answers the next send instead of the server.
    pub reject_next: Option<Reject>,
    pub rejects: u64,
}

#[derive(Clone)]
struct Keeping {
    net: NetTransport,
    kept: Arc<Mutex<Kept>>,
}

impl Keeping {
    fn keep(kept: &Mutex<Kept>, call: &Call, reply: &Reply) {
        let mut kept = kept.lock().unwrap();
        match (call.method, call.path.as_str()) {
            (Method::Put, "/v1/prekey") => kept.prekeys += 1,
            (Method::Post, "/v1/epochs") if reply.status == 201 => {
                let post: EpochPost = serde_json::from_slice(call.body.as_ref().unwrap()).unwrap();
                kept.epochs.push(EpochHeader::parse(post.epoch.header.as_bytes()).unwrap());
            }
            (Method::Post, "/v1/epochs") => {
                let problem: hushwire_wire::http::Problem =
                    serde_json::from_slice(&reply.body).unwrap();
                kept.refused.push(problem.code);
            }
            _ => {}
        }
    }
}

impl Transport for Keeping {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, Unreachable>> {
        let kept = Arc::clone(&self.kept);
        let honest = self.net.call(call.clone());
        honest.map(move |reply| reply.inspect(|reply| Self::keep(&kept, &call, reply))).boxed()
    }

    fn open(&self, encoding: Encoding) -> BoxFuture<'static, Result<Link, Unreachable>> {
        let kept = Arc::clone(&self.kept);
        let honest = self.net.open(encoding);
        async move {
            let mut server = honest.await?;
            let (out, mut from_client) = mpsc::channel::<Vec<u8>>(LINK_FRAMES);
            let (to_client, arrivals) = mpsc::channel(LINK_FRAMES);
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        frame = from_client.recv() => {
                            let Some(bytes) = frame else { return };
                            let frame = encoding.decode_client(&bytes).unwrap();
                            match instead(&kept, &frame) {
                                Some(answer) => {
                                    let answer = Arrival::Frame(encoding.encode_server(&answer));
                                    if to_client.send(answer).await.is_err() { return }
                                }
                                None => if server.out.send(bytes).await.is_err() { return },
                            }
                        }
                        arrival = server.arrivals.recv() => {
                            let Some(arrival) = arrival else { return };
                            if to_client.send(arrival).await.is_err() { return }
                        }
                    }
                }
            });
            Ok(Link { out, arrivals })
        }
        .boxed()
    }
}

/// The answer that a frame gets in the server's place, if it does.
fn instead(kept: &Mutex<Kept>, frame: &ClientFrame) -> Option<ServerFrame> {
    let ClientOp::Send(send) = &frame.op else { return None };
    let mut kept = kept.lock().unwrap();
    kept.uploads.push(send.upload.as_bytes().to_vec());
    let reject = kept.reject_next.take()?;
    kept.rejects += 1;
    Some(ServerFrame { id: frame.id, op: ServerOp::Reject(reject) })
}

/// See the module.
pub struct Keeper {
    pub home: TempDir,
    pub clock: Arc<Behind>,
    pub kept: Arc<Mutex<Kept>>,
    keeping: Keeping,
    running: Option<(Client, Receiver<Event>)>,
}

impl Keeper {
    /// Registers a person and starts their device; the clock is behind by `behind_ms`.
    pub async fn register(server: &Server, name: &str, behind_ms: u64) -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let net = NetTransport::new(&server.url).unwrap();
        let keeping = Keeping { net, kept: Arc::clone(&kept) };
        let clock = Arc::new(Behind(SystemClock::default(), AtomicU64::new(behind_ms)));
        let home = tempfile::tempdir().unwrap();
        let mut keeper = Self { home, clock, kept, keeping, running: None };
        let mut device = open(keeper.home.path());
        device.register(&keeper.outside(), &server.url, name).await.unwrap();
        drop(device);
        keeper.start().await;
        keeper
    }

    fn outside(&self) -> Outside {
        Outside {
            transport: Arc::new(self.keeping.clone()),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            encoding: ENCODING,
        }
    }

    /// Starts the device and waits until what a start does is done.
    pub async fn start(&mut self) {
        self.running = Some(open(self.home.path()).start(self.outside()).unwrap());
        self.until(|event| matches!(event, Event::Connected).then_some(())).await;
        self.client().contacts().await.unwrap();
    }

    pub async fn stop(&mut self) {
        self.running.take().unwrap().0.close().await;
    }

    pub fn client(&self) -> &Client {
        &self.running.as_ref().unwrap().0
    }

    /// The store's file as it is now; the device must be stopped.
    pub fn copy(&self) -> Vec<u8> {
        assert!(self.running.is_none());
        std::fs::read(self.store()).unwrap()
    }

    /// Puts an earlier copy of the store in its place.
    pub fn restore(&self, copy: &[u8]) {
        assert!(self.running.is_none());
        std::fs::write(self.store(), copy).unwrap();
    }

    fn store(&self) -> std::path::PathBuf {
        let home = self.home.path();
        home.join("store.db")
    }

    /// The first event that is picked; what comes before it is gone.
    pub async fn until<T>(&mut self, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        let (_, events) = self.running.as_mut().unwrap();
        let found = timeout(PATIENCE, async {
            loop {
                let event = events.recv().await.expect("the client runs");
                if let Some(found) = pick(&event) {
                    return found;
                }
            }
        });
        found.await.expect("the event in time")
    }

    pub async fn trouble(&mut self, what: Trouble) -> String {
        self.until(|event| match event {
            Event::Trouble { trouble, words, .. } if *trouble == what => Some(words.clone()),
            _ => None,
        })
        .await
    }

    pub async fn reads(&mut self) -> Message {
        let message = self
            .until(|event| match event {
                Event::MessageReceived(message) => Some(message.clone()),
                _ => None,
            })
            .await;
        self.client().mark_shown(&message).await.unwrap();
        message
    }

    /// The reasons of the epochs that this person made and the server took.
    pub fn reasons(&self) -> Vec<u8> {
        self.kept.lock().unwrap().epochs.iter().map(|header| header.reason as u8).collect()
    }

    /// Moves the clock on.
    pub fn later(&self, ms: u64) {
        self.clock.1.fetch_sub(ms, Ordering::Relaxed);
    }
}

/// Two contacts whose clocks are behind: alice asks, bob accepts.
pub async fn contacts(server: &Server, behind_ms: u64) -> (Keeper, Keeper) {
    let mut alice = Keeper::register(server, "alice", behind_ms).await;
    let mut bob = Keeper::register(server, "bob", behind_ms).await;
    alice.client().contacts_add("bob").await.unwrap();
    bob.until(|event| matches!(event, Event::ContactRequest { .. }).then_some(())).await;
    bob.client().contacts_accept("alice").await.unwrap();
    alice.until(|event| matches!(event, Event::ContactAccepted { .. }).then_some(())).await;
    (alice, bob)
}

/// A server without the rule of one message in so many seconds.
pub fn server() -> Server {
    Server::start_with(&[("limits.message_interval_ms", "0")])
}

/// One says something to the other, who reads it.
pub async fn says(from: &Keeper, to: &mut Keeper, name: &str, text: &str) {
    from.client().send_text(name, text).await.unwrap();
    assert_eq!(to.reads().await.text, text);
}
