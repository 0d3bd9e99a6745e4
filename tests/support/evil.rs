//! The adversary: a transport between one real client and the real server that drops, delays,
//! replays, reorders, replaces and makes up what passes, both ways; each client has its own, so
//! that views fork.
//!
//! Numbers are mended: whatever was done, the client counts 1, 2, 3, and the server gets the
//! acknowledgements that belong to its own messages. What the client says to a message, `ack` or
//! a code in `ack.failed`, is the answer to [`Evil::deliver`].

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hushwire_client::transport::{Arrival, Call, LINK_FRAMES, Link, Reply, Unreachable};
use hushwire_client::{Encoding, NetTransport, Transport};
use hushwire_wire::frame::{Ack, ClientFrame, ClientOp, Failed, Message, ServerFrame, ServerOp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::Server;

/// How long a test waits for what must come, before it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Messages that are caught and not yet asked for, at most.
const CAUGHT_MAX: usize = 4_096;

/// What a client says to a message: persisted, or why it cannot be read.
pub type Verdict = Result<(), String>;

pub type OnReply = Box<dyn FnMut(&Call, Reply) -> Result<Reply, Unreachable> + Send>;
pub type OnRequest = Box<dyn FnMut(ClientFrame) -> Vec<ClientFrame> + Send>;
pub type OnLie = Box<dyn FnMut(&ClientFrame) -> Option<ServerOp> + Send>;
pub type OnFrame = Box<dyn FnMut(ServerFrame) -> Vec<ServerFrame> + Send>;

/// What is done to what passes. The defaults do nothing.
pub struct Rules {
    /// Every answer to an HTTP call; an error is an answer that was lost.
    pub reply: OnReply,
    /// Answers to frames of the client in the place of the server, which does not hear of them.
    pub lie: OnLie,
    /// Every other frame of the client.
    pub to_server: OnRequest,
    /// Every frame of the server, before numbers are mended.
    pub to_client: OnFrame,
    /// Messages are kept for [`Evil::caught`] and not passed on.
    pub catches: bool,
    /// Numbers and acknowledgements are mended.
    pub mends: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            reply: Box::new(|_, reply| Ok(reply)),
            lie: Box::new(|_| None),
            to_server: Box::new(|frame| vec![frame]),
            to_client: Box::new(|frame| vec![frame]),
            catches: false,
            mends: true,
        }
    }
}

/// A frame of the adversary's own.
struct Played {
    op: ServerOp,
    verdict: Option<oneshot::Sender<Verdict>>,
}

struct Hands {
    rules: Rules,
    /// Answers in the place of the server's, by path without query.
    views: HashMap<String, Vec<u8>>,
    /// Paths whose calls reach nobody.
    lost: HashSet<String>,
    gates: HashMap<String, Gate>,
    calls: Vec<(String, Vec<u8>)>,
    called: Arc<Notify>,
    /// Into the connection at hand.
    play: Option<mpsc::Sender<Played>>,
    catch: mpsc::Sender<Message>,
}

/// See the module. Clones are the same adversary.
#[derive(Clone)]
pub struct Evil {
    net: NetTransport,
    hands: Arc<Mutex<Hands>>,
    caught: Arc<tokio::sync::Mutex<mpsc::Receiver<Message>>>,
}

impl Evil {
    pub fn before(server: &Server) -> Self {
        let (catch, caught) = mpsc::channel(CAUGHT_MAX);
        let hands = Hands {
            rules: Rules::default(),
            views: HashMap::new(),
            lost: HashSet::new(),
            gates: HashMap::new(),
            calls: Vec::new(),
            called: Arc::default(),
            play: None,
            catch,
        };
        Self {
            net: NetTransport::new(&server.url).unwrap(),
            hands: Arc::new(Mutex::new(hands)),
            caught: Arc::new(tokio::sync::Mutex::new(caught)),
        }
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap()
    }

    pub fn rule(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.hands().rules);
    }

    /// Honest again: no rules, no views, nothing lost.
    pub fn rest(&self) {
        let mut hands = self.hands();
        hands.rules = Rules::default();
        hands.views.clear();
        hands.lost.clear();
    }

    /// Answers every call of this path with this body; the server does not hear of it.
    pub fn show<T: Serialize>(&self, path: &str, body: &T) {
        self.hands().views.insert(path.to_owned(), serde_json::to_vec(body).unwrap());
    }

    /// Loses every call of this path: neither does the server hear of it.
    pub fn lose(&self, path: &str) {
        self.hands().lost.insert(path.to_owned());
    }

    /// Keeps the next call of this path from the server until the gate is dropped.
    pub fn hold(&self, path: &str) -> Gate {
        let gate = Gate { reached: Arc::default(), opens: Arc::new(Semaphore::new(0)) };
        let kept = Gate { reached: Arc::clone(&gate.reached), opens: Arc::clone(&gate.opens) };
        self.hands().gates.insert(path.to_owned(), kept);
        gate
    }

    /// Changes the body of every successful answer whose path ends so.
    pub fn replace<T: Serialize + DeserializeOwned>(
        &self,
        ending: &'static str,
        change: impl FnMut(&mut T) + Send + 'static,
    ) {
        self.replace_where(move |path| path.ends_with(ending), change);
    }

    /// Changes the body of every successful answer to such a path.
    pub fn replace_where<T: Serialize + DeserializeOwned>(
        &self,
        mut is: impl FnMut(&str) -> bool + Send + 'static,
        mut change: impl FnMut(&mut T) + Send + 'static,
    ) {
        self.rule(|rules| {
            rules.reply = Box::new(move |call, reply| {
                if !is(&call.path) || reply.status >= 300 {
                    return Ok(reply);
                }
                let mut body: T = serde_json::from_slice(&reply.body).unwrap();
                change(&mut body);
                Ok(Reply { status: reply.status, body: serde_json::to_vec(&body).unwrap() })
            });
        });
    }

    /// The HTTP calls so far, as `Get /v1/contacts`.
    pub fn calls(&self) -> Vec<String> {
        self.hands().calls.iter().map(|(call, _)| call.clone()).collect()
    }

    /// How often this was called so far.
    pub fn count(&self, call: &str) -> usize {
        self.bodies(call).len()
    }

    /// What each of these calls said.
    pub fn bodies(&self, call: &str) -> Vec<Vec<u8>> {
        let hands = self.hands();
        let of = |(known, body): &(String, Vec<u8>)| (known == call).then(|| body.clone());
        hands.calls.iter().filter_map(of).collect()
    }

    /// Waits until this was called so often.
    pub async fn called(&self, call: &str, times: usize) {
        let called = Arc::clone(&self.hands().called);
        let enough = async {
            while self.count(call) < times {
                called.notified().await;
            }
        };
        timeout(PATIENCE, enough).await.expect("the call in time");
    }

    /// The next message that was kept back ([`Rules::catches`]).
    pub async fn caught(&self) -> Message {
        let mut caught = self.caught.lock().await;
        timeout(PATIENCE, caught.recv()).await.expect("a message in time").unwrap()
    }

    /// Sends the client a message and waits for what it says. A message whose `n` is not 0 is one
    /// of the server's on this connection, which hears the answer as well.
    pub async fn deliver(&self, message: Message) -> Verdict {
        let (verdict, answer) = oneshot::channel();
        self.play(ServerOp::Message(message), Some(verdict)).await;
        timeout(PATIENCE, answer).await.expect("an answer in time").expect("the connection lives")
    }

    /// As [`Self::deliver`] for many at once: none waits for the answer to another.
    pub async fn deliver_all(&self, messages: Vec<Message>) -> Vec<Verdict> {
        let mut answers = Vec::new();
        for message in messages {
            let (verdict, answer) = oneshot::channel();
            self.play(ServerOp::Message(message), Some(verdict)).await;
            answers.push(answer);
        }
        let mut verdicts = Vec::new();
        for answer in answers {
            let verdict = timeout(PATIENCE, answer).await.expect("an answer in time");
            verdicts.push(verdict.expect("the connection lives"));
        }
        verdicts
    }

    /// Sends the client any frame.
    pub async fn say(&self, op: ServerOp) {
        self.play(op, None).await;
    }

    async fn play(&self, op: ServerOp, verdict: Option<oneshot::Sender<Verdict>>) {
        let play = self.hands().play.clone().expect("a connection");
        let sent = play.send(Played { op, verdict }).await;
        assert!(sent.is_ok(), "the connection lives");
    }
}

/// Holds calls back: see [`Evil::hold`].
pub struct Gate {
    reached: Arc<Notify>,
    opens: Arc<Semaphore>,
}

impl Gate {
    /// A call waits before it.
    pub async fn reached(&self) {
        timeout(PATIENCE, self.reached.notified()).await.expect("a call in time");
    }

    async fn pass(&self) {
        self.reached.notify_one();
        // It has no permits: it opens by closing.
        assert!(self.opens.acquire().await.is_err());
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.opens.close();
    }
}

impl Transport for Evil {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, Unreachable>> {
        let hands = Arc::clone(&self.hands);
        let (view, gate) = {
            let mut hands = self.hands();
            let body = call.body.clone().unwrap_or_default();
            hands.calls.push((format!("{:?} {}", call.method, call.path), body));
            hands.called.notify_one();
            let path = call.path.split('?').next().unwrap_or_default();
            if hands.lost.contains(path) {
                let lost = Unreachable { why: "the call was lost" };
                return futures_util::future::ready(Err(lost)).boxed();
            }
            (hands.views.get(path).cloned(), hands.gates.remove(path))
        };
        if let Some(body) = view {
            return futures_util::future::ready(Ok(Reply { status: 200, body })).boxed();
        }
        let honest = self.net.call(call.clone());
        async move {
            if let Some(gate) = gate {
                gate.pass().await;
            }
            let reply = honest.await?;
            (hands.lock().unwrap().rules.reply)(&call, reply)
        }
        .boxed()
    }

    fn open(&self, encoding: Encoding) -> BoxFuture<'static, Result<Link, Unreachable>> {
        let hands = Arc::clone(&self.hands);
        let honest = self.net.open(encoding);
        async move {
            let server = honest.await?;
            let (out, from_client) = mpsc::channel(LINK_FRAMES);
            let (to_client, arrivals) = mpsc::channel(LINK_FRAMES);
            let (play, played) = mpsc::channel(LINK_FRAMES);
            hands.lock().unwrap().play = Some(play);
            let between =
                Between { encoding, hands, server, to_client, numbers: Numbers::default() };
            tokio::spawn(between.run(from_client, played));
            Ok(Link { out, arrivals })
        }
        .boxed()
    }
}

/// One connection.
struct Between {
    encoding: Encoding,
    hands: Arc<Mutex<Hands>>,
    server: Link,
    to_client: mpsc::Sender<Arrival>,
    numbers: Numbers,
}

impl Between {
    /// Until one side ends, or nobody listens.
    async fn run(
        mut self,
        mut from_client: mpsc::Receiver<Vec<u8>>,
        mut played: mpsc::Receiver<Played>,
    ) -> Option<()> {
        loop {
            tokio::select! {
                frame = from_client.recv() => {
                    let frame = self.encoding.decode_client(&frame?).unwrap();
                    self.client_says(frame).await?;
                }
                Some(Played { op, verdict }) = played.recv() => {
                    let frame = ServerFrame { id: None, op };
                    self.tell_client(frame, verdict).await?;
                }
                arrival = self.server.arrivals.recv() => match arrival? {
                    Arrival::Frame(frame) => {
                        let frame = self.encoding.decode_server(&frame).unwrap();
                        self.server_says(frame).await?;
                    }
                    other => self.to_client.send(other).await.ok()?,
                }
            }
        }
    }

    async fn client_says(&mut self, frame: ClientFrame) -> Option<()> {
        let id = frame.id;
        let (lie, frames, mends) = {
            let rules = &mut self.hands.lock().unwrap().rules;
            let lie = (rules.lie)(&frame);
            let frames = if lie.is_some() { Vec::new() } else { (rules.to_server)(frame) };
            (lie, frames, rules.mends)
        };
        if let Some(op) = lie {
            self.tell_client(ServerFrame { id, op }, None).await?;
        }
        for mut frame in frames {
            if let ClientOp::Ack(ack) = &mut frame.op
                && mends
            {
                let Some(mended) = self.numbers.acked(ack) else { continue };
                *ack = mended;
            }
            self.server.out.send(self.encoding.encode_client(&frame)).await.ok()?;
        }
        Some(())
    }

    async fn server_says(&mut self, frame: ServerFrame) -> Option<()> {
        let (frames, catches, catch) = {
            let mut hands = self.hands.lock().unwrap();
            let frames = (hands.rules.to_client)(frame);
            (frames, hands.rules.catches, hands.catch.clone())
        };
        for frame in frames {
            match frame.op {
                ServerOp::Message(message) if catches => catch.send(message).await.ok()?,
                _ => self.tell_client(frame, None).await?,
            }
        }
        Some(())
    }

    async fn tell_client(
        &mut self,
        mut frame: ServerFrame,
        verdict: Option<oneshot::Sender<Verdict>>,
    ) -> Option<()> {
        let mends = self.hands.lock().unwrap().rules.mends;
        let n = match &mut frame.op {
            ServerOp::Message(message) => Some(&mut message.n),
            ServerOp::Notice(notice) => Some(&mut notice.n),
            _ => None,
        };
        if let Some(n) = n.filter(|_| mends) {
            *n = self.numbers.shown(*n, verdict);
        }
        let bytes = self.encoding.encode_server(&frame);
        self.to_client.send(Arrival::Frame(bytes)).await.ok()
    }
}

/// The client's numbers and the server's.
#[derive(Default)]
struct Numbers {
    last: u64,
    /// What the server heard of.
    acked: u64,
    open: VecDeque<Shown>,
}

struct Shown {
    n: u64,
    of_server: u64,
    verdict: Option<oneshot::Sender<Verdict>>,
}

impl Numbers {
    /// The number for the client; `of_server` is 0 for what the adversary made.
    fn shown(&mut self, of_server: u64, verdict: Option<oneshot::Sender<Verdict>>) -> u64 {
        self.last += 1;
        self.open.push_back(Shown { n: self.last, of_server, verdict });
        self.last
    }

    /// Tells verdicts, and gives what the server is to hear, if anything.
    fn acked(&mut self, ack: &Ack) -> Option<Ack> {
        let mut mended = Ack { n: self.acked, failed: Vec::new() };
        while self.open.front().is_some_and(|shown| shown.n <= ack.n) {
            let shown = self.open.pop_front()?;
            let failed = ack.failed.iter().find(|failed| failed.n == shown.n);
            let code = failed.map(|failed| failed.code.clone());
            if shown.of_server > self.acked {
                mended.n = mended.n.max(shown.of_server);
                let failed = code.clone().map(|code| Failed { n: shown.of_server, code });
                mended.failed.extend(failed);
            }
            if let Some(verdict) = shown.verdict {
                let _ = verdict.send(code.map_or(Ok(()), Err));
            }
        }
        if mended.n == self.acked {
            return None;
        }
        self.acked = mended.n;
        Some(mended)
    }
}
