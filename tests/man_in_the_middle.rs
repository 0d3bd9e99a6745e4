//! Somebody stands between the real SDK and a real server: drops, repeats and replaces what
//! passes. Nothing false is shown, nothing is shown twice, and what went wrong has a name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hushwire_client::transport::{Arrival, Call, LINK_FRAMES, Link, Reply, Unreachable};
use hushwire_client::{
    Client, ClientError, Code, Device, Encoding, Event, Message, NetTransport, Outside, Standing,
    StoreKey, Transport,
};
use hushwire_wire::Sealed;
use hushwire_wire::frame::{ClientFrame, ClientOp, ServerFrame, ServerOp};
use hushwire_wire::http::{EpochBundle, LogEntries, Prekeys};
use support::Server;
use tempfile::TempDir;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);
const ENCODING: Encoding = Encoding::Cbor;

type OnReply = Box<dyn FnMut(&Call, Reply) -> Reply + Send>;
type OnRequest = Box<dyn FnMut(ClientFrame) -> Option<ClientFrame> + Send>;
type OnFrame = Box<dyn FnMut(ServerFrame) -> Vec<ServerFrame> + Send>;

/// What is done to what passes. The defaults do nothing.
struct Rules {
    reply: OnReply,
    to_server: OnRequest,
    to_client: OnFrame,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            reply: Box::new(|_, reply| reply),
            to_server: Box::new(Some),
            to_client: Box::new(|frame| vec![frame]),
        }
    }
}

#[derive(Clone)]
struct Between {
    net: NetTransport,
    rules: Arc<Mutex<Rules>>,
}

impl Between {
    fn rule(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.rules.lock().unwrap());
    }
}

impl Transport for Between {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, Unreachable>> {
        let rules = Arc::clone(&self.rules);
        let honest = self.net.call(call.clone());
        honest.map(move |reply| Ok((rules.lock().unwrap().reply)(&call, reply?))).boxed()
    }

    fn open(&self, encoding: Encoding) -> BoxFuture<'static, Result<Link, Unreachable>> {
        let rules = Arc::clone(&self.rules);
        let honest = self.net.open(encoding);
        async move {
            let mut server = honest.await?;
            let (out, mut from_client) = mpsc::channel::<Vec<u8>>(LINK_FRAMES);
            let (to_client, arrivals) = mpsc::channel(LINK_FRAMES);
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        frame = from_client.recv() => {
                            let Some(frame) = frame else { return };
                            let frame = encoding.decode_client(&frame).unwrap();
                            let passed = (rules.lock().unwrap().to_server)(frame);
                            if let Some(frame) = passed
                                && server.out.send(encoding.encode_client(&frame)).await.is_err()
                            {
                                return;
                            }
                        }
                        arrival = server.arrivals.recv() => {
                            let passed = match arrival {
                                None => return,
                                Some(Arrival::Frame(frame)) => {
                                    let frame = encoding.decode_server(&frame).unwrap();
                                    let frames = (rules.lock().unwrap().to_client)(frame);
                                    let bytes = |f: &ServerFrame| encoding.encode_server(f);
                                    frames.iter().map(bytes).map(Arrival::Frame).collect()
                                }
                                Some(other) => vec![other],
                            };
                            for arrival in passed {
                                if to_client.send(arrival).await.is_err() {
                                    return;
                                }
                            }
                        }
                    }
                }
            });
            Ok(Link { out, arrivals })
        }
        .boxed()
    }
}

struct Someone {
    home: TempDir,
    between: Between,
    client: Client,
    events: Receiver<Event>,
}

impl Someone {
    async fn register(server: &Server, name: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let net = NetTransport::new(&server.url).unwrap();
        let between = Between { net, rules: Arc::default() };
        let mut device = open(home.path());
        device.register(&outside(&between), &server.url, name).await.unwrap();
        let (client, events) = device.start(outside(&between)).unwrap();
        Self { home, between, client, events }
    }

    /// Starts again on the same store, as after a crash: nothing is said to the server.
    async fn crash(&mut self) {
        // Even the goodbye's acknowledgement does not pass.
        self.between.rule(|rules| rules.to_server = Box::new(|_| None));
        self.client.clone().close().await;
        self.between.rule(|rules| *rules = Rules::default());
        let device = open(self.home.path());
        (self.client, self.events) = device.start(outside(&self.between)).unwrap();
    }

    async fn until<T>(&mut self, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
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

    async fn message(&mut self) -> Message {
        let message = self
            .until(|event| match event {
                Event::MessageReceived(message) => Some(message.clone()),
                _ => None,
            })
            .await;
        self.client.mark_shown(&message).await.unwrap();
        message
    }

    async fn disconnected(&mut self) -> (String, Option<u64>) {
        self.until(|event| match event {
            Event::Disconnected { why, retry_in_ms } => Some((why.clone(), *retry_in_ms)),
            _ => None,
        })
        .await
    }

    /// Everything told until a message of this text comes.
    async fn texts_until(&mut self, last: &str) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.last().is_none_or(|text| text != last) {
            texts.push(self.message().await.text);
        }
        texts
    }
}

fn open(home: &Path) -> Device {
    Device::open(&home.join("store.db"), &StoreKey::File(home.join("store.key"))).unwrap()
}

fn outside(between: &Between) -> Outside {
    Outside { encoding: ENCODING, ..Outside::new(Arc::new(between.clone())) }
}

fn server() -> Server {
    Server::start_with(&[("limits.message_interval_ms", "0")])
}

/// Alice asks; bob has the request.
async fn asked(server: &Server) -> (Someone, Someone) {
    let alice = Someone::register(server, "alice").await;
    let mut bob = Someone::register(server, "bob").await;
    alice.client.contacts_add("bob").await.unwrap();
    bob.until(|event| matches!(event, Event::ContactRequest { .. }).then_some(())).await;
    (alice, bob)
}

async fn contacts(server: &Server) -> (Someone, Someone) {
    let (mut alice, bob) = asked(server).await;
    bob.client.contacts_accept("alice").await.unwrap();
    alice.until(|event| matches!(event, Event::ContactAccepted { .. }).then_some(())).await;
    (alice, bob)
}

fn replace<T: serde::Serialize + serde::de::DeserializeOwned>(
    reply: &Reply,
    change: impl FnOnce(&mut T),
) -> Reply {
    let mut body: T = serde_json::from_slice(&reply.body).unwrap();
    change(&mut body);
    Reply { status: reply.status, body: serde_json::to_vec(&body).unwrap() }
}

fn flip(sealed: &mut Sealed, at_end: usize) {
    let mut bytes = sealed.as_bytes().to_vec();
    let at = bytes.len() - 1 - at_end;
    bytes[at] ^= 1;
    *sealed = Sealed::new(bytes);
}

#[tokio::test]
async fn a_crash_between_persist_and_ack_shows_once() {
    let server = server();
    let (mut alice, mut bob) = contacts(&server).await;
    let mute = |frame: ClientFrame| (!matches!(frame.op, ClientOp::Ack(_))).then_some(frame);
    bob.between.rule(|rules| rules.to_server = Box::new(mute));
    let id = alice.client.send_text("bob", "once").await.unwrap();
    assert_eq!(bob.message().await.text, "once");
    bob.crash().await;
    // The server gives it again; it is acknowledged now, and not told again.
    alice.until(|event| matches!(event, Event::Delivered(i) if *i == id).then_some(())).await;
    alice.client.send_text("bob", "twice").await.unwrap();
    assert_eq!(bob.texts_until("twice").await, ["twice"]);
    let history = bob.client.history("alice", 10).await.unwrap();
    assert_eq!(history.iter().map(|m| m.text.as_str()).collect::<Vec<_>>(), ["once", "twice"]);
}

#[tokio::test]
async fn an_unshown_message_is_told_again_after_a_crash() {
    let server = server();
    let (alice, mut bob) = contacts(&server).await;
    alice.client.send_text("bob", "look").await.unwrap();
    // Told, and the program dies before it says that it was shown.
    bob.until(|event| matches!(event, Event::MessageReceived(_)).then_some(())).await;
    bob.crash().await;
    assert_eq!(bob.message().await.text, "look");
}

#[tokio::test]
async fn nothing_is_signed_for_another_domain() {
    let server = server();
    let mut bob = Someone::register(&server, "bob").await;
    bob.until(|event| matches!(event, Event::Connected).then_some(())).await;
    bob.client.clone().close().await;
    let hellos = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&hellos);
    bob.between.rule(|rules| {
        rules.to_client = Box::new(|mut frame| {
            if let ServerOp::Challenge(challenge) = &mut frame.op {
                challenge.domain = "evil.example".to_owned();
            }
            vec![frame]
        });
        rules.to_server = Box::new(move |frame| {
            *seen.lock().unwrap() += 1;
            Some(frame)
        });
    });
    let device = open(bob.home.path());
    (bob.client, bob.events) = device.start(outside(&bob.between)).unwrap();
    let (why, retry) = bob.disconnected().await;
    assert!(why.contains("another domain"), "{why}");
    assert_eq!(retry, None, "and it stays away");
    assert_eq!(*hellos.lock().unwrap(), 0);
}

#[tokio::test]
async fn a_repeated_number_ends_the_connection_and_shows_once() {
    let server = server();
    let (alice, mut bob) = contacts(&server).await;
    bob.between.rule(|rules| {
        rules.to_client = Box::new(|frame| {
            let twice = matches!(frame.op, ServerOp::Message(_));
            if twice { vec![frame.clone(), frame] } else { vec![frame] }
        });
    });
    alice.client.send_text("bob", "one").await.unwrap();
    assert_eq!(bob.message().await.text, "one");
    let (why, retry) = bob.disconnected().await;
    assert!(why.contains("skipped or repeated"), "{why}");
    assert!(retry.is_some());
    bob.between.rule(|rules| *rules = Rules::default());
    alice.client.send_text("bob", "two").await.unwrap();
    assert_eq!(bob.texts_until("two").await, ["two"]);
}

#[tokio::test]
async fn a_replay_under_a_new_number_is_dropped() {
    let server = server();
    let (alice, mut bob) = contacts(&server).await;
    bob.between.rule(|rules| {
        // The server would not understand acknowledgements past its own numbers.
        rules.to_server =
            Box::new(|frame| (!matches!(frame.op, ClientOp::Ack(_))).then_some(frame));
        let mut more = 0;
        rules.to_client = Box::new(move |mut frame| {
            let ServerOp::Message(message) = &mut frame.op else { return vec![frame] };
            message.n += more;
            let mut again = frame.clone();
            if let ServerOp::Message(message) = &mut again.op {
                message.n += 1;
                more += 1;
            }
            vec![frame, again]
        });
    });
    alice.client.send_text("bob", "one").await.unwrap();
    alice.client.send_text("bob", "two").await.unwrap();
    assert_eq!(bob.texts_until("two").await, ["one", "two"]);
    let history = bob.client.history("alice", 10).await.unwrap();
    assert_eq!(history.len(), 2);
}

#[tokio::test]
async fn a_changed_message_is_not_shown_and_its_sender_learns_why() {
    let server = server();
    let (mut alice, mut bob) = contacts(&server).await;
    bob.between.rule(|rules| {
        rules.to_client = Box::new(|mut frame| {
            if let ServerOp::Message(message) = &mut frame.op {
                flip(&mut message.msg, 40);
            }
            vec![frame]
        });
    });
    let id = alice.client.send_text("bob", "never seen").await.unwrap();
    let code = alice
        .until(|event| match event {
            Event::Unreadable { id: i, code } if *i == id => Some(code.clone()),
            _ => None,
        })
        .await;
    assert_eq!(code, Code::BadTag.as_str());
    bob.between.rule(|rules| *rules = Rules::default());
    // The chain did not move: what follows is read, after the gap was asked about.
    alice.client.send_text("bob", "seen").await.unwrap();
    assert_eq!(bob.texts_until("seen").await, ["seen"]);
}

#[tokio::test]
async fn another_log_in_the_place_of_a_contact_s_is_refused() {
    let server = server();
    let alice = Someone::register(&server, "alice").await;
    let mallory = Someone::register(&server, "mallory").await;
    let bob = Someone::register(&server, "bob").await;
    let user = mallory.client.account().await.unwrap().user.to_base64url();
    let log: Arc<Mutex<Option<LogEntries>>> = Arc::default();
    // Mallory's log, as carol learns it from an ordinary request.
    let mut carol = Someone::register(&server, "carol").await;
    let keep = Arc::clone(&log);
    carol.between.rule(|rules| {
        rules.reply = Box::new(move |call, reply| {
            if call.path == format!("/v1/users/{user}/log") {
                *keep.lock().unwrap() = serde_json::from_slice(&reply.body).ok();
            }
            reply
        });
    });
    mallory.client.contacts_add("carol").await.unwrap();
    carol.until(|event| matches!(event, Event::ContactRequest { .. }).then_some(())).await;
    let evil = log.lock().unwrap().clone().unwrap();
    bob.between.rule(|rules| {
        rules.reply = Box::new(move |call, reply| {
            if call.path.ends_with("/log") {
                return replace::<LogEntries>(&reply, |entries| *entries = evil.clone());
            }
            reply
        });
    });
    alice.client.contacts_add("bob").await.unwrap();
    assert_eq!(bob.client.contacts().await.unwrap(), [], "nothing false is listed");
    bob.between.rule(|rules| *rules = Rules::default());
    let cards = bob.client.contacts().await.unwrap();
    assert_eq!((cards.len(), cards[0].standing), (1, Standing::AsksMe));
}

#[tokio::test]
async fn a_changed_prekey_is_refused_before_a_key_is_made_for_it() {
    let server = server();
    let (_alice, bob) = asked(&server).await;
    for at_end in [0, 100, 180] {
        bob.between.rule(|rules| {
            rules.reply = Box::new(move |call, reply| {
                if call.path.ends_with("/prekeys") {
                    return replace::<Prekeys>(&reply, |prekeys| {
                        flip(&mut prekeys.prekeys[0].record, at_end);
                    });
                }
                reply
            });
        });
        let refused = bob.client.contacts_accept("alice").await;
        assert!(matches!(refused, Err(ClientError::Unverified(_))), "{refused:?}");
    }
    bob.between.rule(|rules| *rules = Rules::default());
    bob.client.contacts_accept("alice").await.unwrap();
}

#[tokio::test]
async fn a_changed_wrap_or_header_makes_no_contact() {
    let server = server();
    let (alice, bob) = asked(&server).await;
    for part in 0..2 {
        alice.between.rule(|rules| {
            rules.reply = Box::new(move |call, reply| {
                if !call.path.starts_with("/v1/epochs/") || reply.status != 200 {
                    return reply;
                }
                replace::<EpochBundle>(&reply, |bundle| match part {
                    0 => flip(bundle.wrap.as_mut().unwrap(), 10),
                    _ => flip(&mut bundle.header, 10),
                })
            });
        });
        if part == 0 {
            bob.client.contacts_accept("alice").await.unwrap();
        }
        let cards = alice.client.contacts().await.unwrap();
        assert!(cards.iter().all(|card| card.standing != Standing::Active), "{cards:?}");
        let refused = alice.client.send_text("bob", "to whom?").await;
        assert!(matches!(refused, Err(ClientError::NotAccepted)), "{refused:?}");
    }
    alice.between.rule(|rules| *rules = Rules::default());
    let cards = alice.client.contacts().await.unwrap();
    assert!(cards.iter().any(|card| card.standing == Standing::Active), "{cards:?}");
    assert!(alice.client.send_text("bob", "you").await.is_ok());
}
