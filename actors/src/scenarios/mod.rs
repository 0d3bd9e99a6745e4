//! The engine from outside: raw WebSocket clients over in-memory streams, on a clock that tests
//! move. Only the ports are the tests' own; everything between the streams is real.

mod calls;
mod delivery;
mod expiry;
mod fullness;
mod live;
mod lives;
mod nodes;
mod panics;
mod refusals;
mod removals;
mod repairs;
mod resubmission;
mod sockets;
mod withdrawals;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_http::ws::{Codec, Frame, OpCode, Parser};
use async_trait::async_trait;
use bytes::BytesMut;
use hushwire_wire::frame::{
    Ack, ClientFrame, ClientOp, Hello, Message, News, Send, ServerFrame, ServerOp, Welcome,
};
use hushwire_wire::message::{Class, Header, LANE_DURABLE, write_upload};
use hushwire_wire::{Close, DeviceId, Encoding, EpochId, Gen, Mid, Nonce, Reject, Sealed, UserId};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::time::{Instant, timeout};
use tokio_util::codec::Decoder as _;

use crate::bus::Alone;
use crate::ports::{
    Accounts, Clock, Digest, PairFacts, Ports, Random, RosterDevice, SignIns, SignedIn, Unavailable,
};
use crate::queue::{MemoryQueue, Queue};
use crate::{Engine, Limits};

/// Virtual time that a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(90);

/// The wall clock of a test: tokio's, which it pauses.
#[derive(Debug)]
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now_ms(&self) -> u64 {
        1_000_000 + self.0.elapsed().as_millis() as u64
    }
}

/// Different bytes each time; nothing here must be secret.
#[derive(Debug, Default)]
struct Counting(Mutex<u64>);

impl Random for Counting {
    fn fill(&self, out: &mut [u8]) {
        let mut next = self.0.lock().unwrap();
        *next += 1;
        out.fill(0x5a);
        out[..8].copy_from_slice(&next.to_be_bytes());
    }
}

/// Told apart by length and ends: enough to recognise a repeat in a test.
#[derive(Debug)]
struct Folding;

impl Digest for Folding {
    fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        let mut out = [0u8; 32];
        for (k, byte) in bytes.iter().enumerate() {
            out[k % 32] = out[k % 32].wrapping_mul(31).wrapping_add(*byte);
        }
        out
    }
}

/// So many sign-ins from each address.
#[derive(Debug)]
struct Tries(Mutex<HashMap<IpAddr, u32>>, u32);

impl SignIns for Tries {
    fn admit(&self, from: IpAddr) -> Result<(), u64> {
        let mut tries = self.0.lock().unwrap();
        let count = tries.entry(from).or_default();
        *count += 1;
        if *count > self.1 { Err(700) } else { Ok(()) }
    }
}

/// Accounts in memory.
#[derive(Debug, Default)]
struct People {
    devices: Mutex<HashMap<DeviceId, SignedIn>>,
    pairs: Mutex<HashMap<(UserId, UserId), PairFacts>>,
    down: Mutex<bool>,
    /// The next look at a pair panics.
    broken: Mutex<bool>,
    /// How long a look at a pair takes.
    slow: Mutex<Duration>,
}

#[async_trait]
impl Accounts for People {
    async fn authenticate(
        &self,
        hello: &Hello,
        _nonce: &Nonce,
    ) -> Result<Option<SignedIn>, Unavailable> {
        let known = self.devices.lock().unwrap().get(&hello.device).copied();
        let good = hello.signature.as_bytes() == [1; 64];
        Ok(known.filter(|me| good && me.user == hello.user))
    }

    async fn pair(&self, user: UserId, peer: UserId) -> Result<Option<PairFacts>, Unavailable> {
        assert!(!std::mem::take(&mut *self.broken.lock().unwrap()), "broken on purpose");
        let slow = *self.slow.lock().unwrap();
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        if *self.down.lock().unwrap() {
            return Err(Unavailable);
        }
        let key = (user.min(peer), user.max(peer));
        Ok(self.pairs.lock().unwrap().get(&key).cloned())
    }
}

/// An engine, and the people who use it.
struct World {
    engine: Engine,
    people: Arc<People>,
}

fn user(id: u8) -> UserId {
    UserId([id; 32])
}

/// The device `d` of user `u`: `u * 10 + d`.
fn device(u: u8, d: u8) -> DeviceId {
    DeviceId([u * 10 + d; 16])
}

const EPOCH: EpochId = EpochId([0xe0; 32]);

impl World {
    /// Users 1 to 4; 1 and 2 are contacts, and so are 1 and 3. `devices[u - 1]` devices each.
    fn new(devices: [u8; 4], limits: Limits) -> Self {
        tokio::time::pause();
        Self::one_more(devices, limits)
    }

    /// Another world in a test whose time stands already.
    fn one_more(devices: [u8; 4], limits: Limits) -> Self {
        Self::over(devices, limits, |queue| Arc::new(queue))
    }

    /// A world whose queue store is wrapped.
    fn over(
        devices: [u8; 4],
        limits: Limits,
        wrap: impl FnOnce(MemoryQueue) -> Arc<dyn Queue>,
    ) -> Self {
        let people = Arc::new(People::default());
        let mut rosters: HashMap<u8, Vec<RosterDevice>> = HashMap::new();
        for (u, count) in (1..).zip(devices) {
            for d in 0..count {
                let me = SignedIn { user: user(u), device: device(u, d), v: 7, since_ms: 5 };
                people.devices.lock().unwrap().insert(me.device, me);
                let entry = RosterDevice { user: user(u), device: device(u, d), wrapped: true };
                rosters.entry(u).or_default().push(entry);
            }
        }
        for (a, b) in [(1, 2), (1, 3), (1, 1), (2, 3)] {
            let mut roster = rosters.get(&a).cloned().unwrap_or_default();
            if a != b {
                roster.extend(rosters.get(&b).cloned().unwrap_or_default());
            }
            let facts = PairFacts { epoch: EPOCH, n: 0, heads_current: true, roster };
            people.pairs.lock().unwrap().insert((user(a), user(b)), facts);
        }
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock(Instant::now()));
        let random: Arc<dyn Random> = Arc::new(Counting::default());
        let queue = wrap(MemoryQueue::new(limits.clone(), &*random, clock.clone()));
        let (digest, bus) = (Arc::new(Folding), Arc::new(Alone));
        let sign_ins = Arc::new(Tries(Mutex::default(), 3));
        let accounts = people.clone();
        let ports = Ports { accounts, clock, random, digest, bus, admissions: None, sign_ins };
        Self::node(people, ports, queue, limits)
    }

    /// One engine.
    fn node(people: Arc<People>, ports: Ports, queue: Arc<dyn Queue>, limits: Limits) -> Self {
        let log = slog::Logger::root(slog::Discard, slog::o!());
        let arbiter = actix::Arbiter::current();
        let domain = "example.org".to_owned();
        let engine = Engine::start_on(arbiter.clone(), ports, queue, limits, domain, log);
        engine.add_worker(arbiter);
        Self { engine, people }
    }

    fn connect(&self, encoding: Encoding) -> Client {
        let (near, far) = tokio::io::duplex(256 * 1024);
        self.connect_over(near, far, encoding)
    }

    fn connect_over<T>(&self, near: DuplexStream, far: T, encoding: Encoding) -> Client
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let permit = self.engine.admit_socket(None).unwrap();
        self.engine.start_session(far, BytesMut::new(), encoding, permit);
        Client::new(near, encoding)
    }

    /// Connects from an address that limits hold for.
    fn connect_from(&self, from: IpAddr) -> Client {
        let (near, far) = tokio::io::duplex(256 * 1024);
        let permit = self.engine.admit_socket(Some(from)).unwrap();
        self.engine.start_session(far, BytesMut::new(), Encoding::Json, permit);
        Client::new(near, Encoding::Json)
    }

    /// Connects a device and signs it in.
    async fn device(&self, u: u8, d: u8, encoding: Encoding) -> Client {
        let mut client = self.connect(encoding);
        client.sign_in(u, d, None).await;
        client
    }

    async fn json(&self, u: u8, d: u8) -> Client {
        self.device(u, d, Encoding::Json).await
    }
}

/// Tells a story on a system of its own, with its time paused: what it started ends with it.
fn alone<T>(story: impl Future<Output = T>) -> T {
    actix::System::new().block_on(async {
        tokio::time::pause();
        story.await
    })
}

/// The limits of most scenarios: no pause between texts.
fn unpaced() -> Limits {
    Limits { message_interval_ms: 0, ..Limits::default() }
}

/// A device's end of a connection: says exactly what a test tells it to.
struct Client {
    io: DuplexStream,
    codec: Codec,
    buffer: BytesMut,
    encoding: Encoding,
    next: u64,
}

impl Client {
    fn new(io: DuplexStream, encoding: Encoding) -> Self {
        let codec = Codec::new().client_mode().max_size(1 << 20);
        Self { io, codec, buffer: BytesMut::new(), encoding, next: 1 }
    }

    /// A stream that takes nothing any more shows when it is read.
    async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.io.write_all(bytes).await;
    }

    async fn ws(&mut self, op: OpCode, fin: bool, payload: &[u8]) {
        let mut frame = BytesMut::new();
        Parser::write_message(&mut frame, payload, op, fin, true);
        self.raw(&frame).await;
    }

    async fn text(&mut self, payload: &str) {
        self.ws(OpCode::Text, true, payload.as_bytes()).await;
    }

    async fn op(&mut self, op: ClientOp) -> u64 {
        let id = self.next;
        self.next += 1;
        let bytes = self.encoding.encode_client(&ClientFrame { id: Some(id), op });
        let code = if self.encoding == Encoding::Json { OpCode::Text } else { OpCode::Binary };
        self.ws(code, true, &bytes).await;
        id
    }

    async fn ask(&mut self, op: ClientOp) -> ServerOp {
        let id = self.op(op).await;
        self.answer(id).await
    }

    async fn answer(&mut self, id: u64) -> ServerOp {
        loop {
            let frame = self.next().await;
            if frame.id == Some(id) {
                return frame.op;
            }
            assert_eq!(frame.id, None, "the answer to another frame");
        }
    }

    async fn next(&mut self) -> ServerFrame {
        self.next_or_close().await.expect("a frame, not a close")
    }

    /// The next frame, or the close that came instead. Pings are answered on the way.
    async fn next_or_close(&mut self) -> Result<ServerFrame, Option<Close>> {
        timeout(PATIENCE, self.read()).await.expect("a frame in time")
    }

    async fn read(&mut self) -> Result<ServerFrame, Option<Close>> {
        loop {
            match self.codec.decode(&mut self.buffer).unwrap() {
                Some(Frame::Text(bytes) | Frame::Binary(bytes)) => {
                    return Ok(self.encoding.decode_server(&bytes).unwrap());
                }
                Some(Frame::Ping(_)) => self.ws(OpCode::Pong, true, b"").await,
                Some(Frame::Close(reason)) => {
                    return Err(reason.and_then(|r| Close::from_code(r.code.into())));
                }
                Some(_) => {}
                None => {
                    if self.io.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                        return Err(None);
                    }
                }
            }
        }
    }

    async fn closed(&mut self) -> Close {
        loop {
            if let Err(close) = self.next_or_close().await {
                return close.expect("a close frame");
            }
        }
    }

    /// Whether nothing comes for so long.
    async fn is_quiet(&mut self, wait: Duration) -> bool {
        timeout(wait, self.read()).await.is_err()
    }

    fn hello(u: u8, d: u8, last: Option<Gen>) -> ClientOp {
        ClientOp::Hello(Hello {
            user: user(u),
            device: device(u, d),
            signature: Sealed::new(vec![1; 64]),
            r#gen: last,
            client: "test".to_owned(),
            features: vec![],
        })
    }

    async fn sign_in(&mut self, u: u8, d: u8, last: Option<Gen>) -> Welcome {
        assert!(matches!(self.next().await.op, ServerOp::Challenge(_)));
        match self.ask(Self::hello(u, d, last)).await {
            ServerOp::Welcome(welcome) => welcome,
            other => panic!("{other:?}"),
        }
    }

    async fn message(&mut self) -> Message {
        match self.next().await.op {
            ServerOp::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    async fn notice(&mut self) -> (u64, News) {
        match self.next().await.op {
            ServerOp::Notice(notice) => (notice.n, notice.what),
            other => panic!("{other:?}"),
        }
    }

    async fn ack(&mut self, n: u64) {
        self.op(ClientOp::Ack(Ack { n, failed: vec![] })).await;
    }

    async fn send(&mut self, send: Send) -> Result<hushwire_wire::frame::Accepted, Reject> {
        let op = self.ask(ClientOp::Send(send)).await;
        match op {
            ServerOp::Accepted(accepted) => Ok(accepted),
            ServerOp::Reject(reject) => Err(reject),
            other => panic!("{other:?}"),
        }
    }
}

/// A text of device 0 of `from` (roster index `sender`) to `to`, with so many tags.
fn text(sender: u8, to: u8, sn: u64, tags: usize) -> Send {
    send_of(Class::Text, sender, to, sn, tags)
}

fn send_of(class: Class, sender: u8, to: u8, sn: u64, tags: usize) -> Send {
    let header = Header {
        class,
        sender,
        lane: LANE_DURABLE,
        counter: sn as u32,
        epoch: EPOCH,
        mid: mid(sn),
    };
    let tags: Vec<_> = (0..tags).map(|k| [k as u8; 16]).collect();
    let upload = write_upload(&header, &[0xc0; 32], &[0xcc; 272], &tags);
    Send { to: user(to), sn, upload: upload.into(), withdraw: Vec::new(), re: None }
}

fn mid(sn: u64) -> Mid {
    let mut mid = [0x11; 16];
    mid[8..].copy_from_slice(&sn.to_be_bytes());
    Mid(mid)
}
