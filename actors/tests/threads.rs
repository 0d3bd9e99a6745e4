#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! The engine on real threads and sockets: workers, the engine's own arbiter, loopback TCP. Every
//! message arrives once and in order, whoever comes and goes meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_http::ws::{Codec, Frame, OpCode, Parser};
use async_trait::async_trait;
use bytes::BytesMut;
use hushwire_actors::ports::{
    Accounts, Clock, Digest, PairFacts, Ports, Random, RosterDevice, SignIns, SignedIn, Unavailable,
};
use hushwire_actors::queue::MemoryQueue;
use hushwire_actors::{Engine, Limits, Readiness};
use hushwire_wire::frame::{Ack, ClientFrame, ClientOp, Hello, Send, ServerFrame, ServerOp};
use hushwire_wire::message::{Class, Header, LANE_DURABLE, write_upload};
use hushwire_wire::{DeviceId, Encoding, EpochId, Mid, Nonce, Reject, Sealed, UserId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::codec::Decoder as _;

#[derive(Debug)]
struct Real(Instant, AtomicU64);

impl Clock for Real {
    fn now_ms(&self) -> u64 {
        1_000_000 + self.0.elapsed().as_millis() as u64
    }
}

impl Random for Real {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0x3c);
        out[..8].copy_from_slice(&self.1.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    }
}

impl SignIns for Real {
    fn admit(&self, _from: std::net::IpAddr) -> Result<(), u64> {
        Ok(())
    }
}

impl Digest for Real {
    fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        let mut out = [0u8; 32];
        for (k, byte) in bytes.iter().enumerate() {
            out[k % 32] = out[k % 32].wrapping_mul(31).wrapping_add(*byte);
        }
        out
    }
}

/// Everybody is everybody's contact, with one device each.
#[derive(Debug)]
struct Everybody;

fn user(k: u16) -> UserId {
    let mut id = [9; 32];
    id[..2].copy_from_slice(&k.to_be_bytes());
    UserId(id)
}

fn device(user: UserId) -> DeviceId {
    DeviceId(*user.0.first_chunk().unwrap())
}

#[async_trait]
impl Accounts for Everybody {
    async fn authenticate(
        &self,
        hello: &Hello,
        _: &Nonce,
    ) -> Result<Option<SignedIn>, Unavailable> {
        let (user, device) = (hello.user, hello.device);
        Ok(Some(SignedIn { user, device, v: 0, since_ms: 0 }))
    }

    async fn pair(&self, a: UserId, b: UserId) -> Result<Option<PairFacts>, Unavailable> {
        let mut users = [a, b];
        users.sort();
        let roster = users.map(|user| RosterDevice { user, device: device(user), wrapped: true });
        let epoch = EpochId([0xe0; 32]);
        Ok(Some(PairFacts { epoch, n: 0, heads_current: true, roster: roster.to_vec() }))
    }
}

/// A server of two workers that accept in turn.
fn serve(limits: Limits) -> (std::net::SocketAddr, Engine) {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        actix::System::new().block_on(async move {
            let real = Arc::new(Real(Instant::now(), AtomicU64::new(1)));
            let queue = Arc::new(MemoryQueue::new(limits.clone(), &*real, real.clone()));
            let ports = Ports {
                accounts: Arc::new(Everybody),
                clock: real.clone(),
                random: real.clone(),
                digest: real.clone(),
                bus: Arc::new(hushwire_actors::bus::Alone),
                admissions: None,
                sign_ins: real,
            };
            let log = slog::Logger::root(slog::Discard, slog::o!());
            let engine = Engine::start(ports, queue, limits, "example.org".to_owned(), log);
            let workers = [actix::Arbiter::new(), actix::Arbiter::new()];
            workers.iter().for_each(|worker| engine.add_worker(worker.handle()));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send((listener.local_addr().unwrap(), engine.clone())).unwrap();
            for turn in 0.. {
                let stream = listener.accept().await.unwrap().0.into_std().unwrap();
                let engine = engine.clone();
                workers[turn % 2].spawn_fn(move || {
                    let stream = TcpStream::from_std(stream).unwrap();
                    let permit = engine.admit_socket(None).unwrap();
                    engine.start_session(stream, BytesMut::new(), Encoding::Cbor, permit);
                });
            }
        });
    });
    told.recv().unwrap()
}

struct Client {
    io: TcpStream,
    codec: Codec,
    buffer: BytesMut,
}

impl Client {
    async fn sign_in(address: std::net::SocketAddr, user: UserId) -> Self {
        let io = TcpStream::connect(address).await.unwrap();
        io.set_nodelay(true).unwrap();
        let codec = Codec::new().client_mode().max_size(1 << 20);
        let mut client = Self { io, codec, buffer: BytesMut::new() };
        assert!(matches!(client.next().await.op, ServerOp::Challenge(_)));
        let hello = Hello {
            user,
            device: device(user),
            signature: Sealed::new(vec![0; 64]),
            r#gen: None,
            client: String::new(),
            features: vec![],
        };
        client.op(0, ClientOp::Hello(hello)).await;
        assert!(matches!(client.next().await.op, ServerOp::Welcome(_)));
        client
    }

    async fn op(&mut self, id: u64, op: ClientOp) {
        let bytes = Encoding::Cbor.encode_client(&ClientFrame { id: Some(id), op });
        let mut frame = BytesMut::new();
        Parser::write_message(&mut frame, bytes, OpCode::Binary, true, true);
        self.io.write_all(&frame).await.unwrap();
    }

    async fn next(&mut self) -> ServerFrame {
        timeout(Duration::from_secs(20), self.read()).await.expect("a frame in time")
    }

    async fn read(&mut self) -> ServerFrame {
        loop {
            match self.codec.decode(&mut self.buffer).unwrap() {
                Some(Frame::Binary(bytes)) => {
                    return Encoding::Cbor.decode_server(&bytes).unwrap();
                }
                Some(Frame::Close(reason)) => panic!("closed: {reason:?}"),
                Some(_) => {}
                None => assert!(self.io.read_buf(&mut self.buffer).await.unwrap() > 0, "cut"),
            }
        }
    }

    /// Sends the same bytes until they are accepted.
    async fn deliver(&mut self, from: UserId, to: UserId, sn: u64) {
        let mut mid = [7; 16];
        mid[..8].copy_from_slice(&sn.to_be_bytes());
        let header = Header {
            class: Class::Text,
            sender: u8::from(from > to),
            lane: LANE_DURABLE,
            counter: sn as u32,
            epoch: EpochId([0xe0; 32]),
            mid: Mid(mid),
        };
        let upload = write_upload(&header, &[0; 32], &[0xcc; 272], &[[5; 16]]);
        let send = Send { to, sn, upload: upload.into(), withdraw: Vec::new(), re: None };
        loop {
            self.op(sn, ClientOp::Send(send.clone())).await;
            let op = loop {
                let frame = self.next().await;
                match frame.op {
                    ServerOp::Notice(notice) => self.ack(notice.n).await,
                    op if frame.id == Some(sn) => break op,
                    _ => {}
                }
            };
            match op {
                ServerOp::Accepted(_) => return,
                ServerOp::Reject(
                    Reject::Unavailable { retry_after_ms }
                    | Reject::RateLimited { retry_after_ms, .. },
                ) => tokio::time::sleep(Duration::from_millis(retry_after_ms)).await,
                other => panic!("{other:?}"),
            }
        }
    }

    async fn ack(&mut self, n: u64) {
        self.op(0, ClientOp::Ack(Ack { n, failed: vec![] })).await;
    }
}

/// Receives `count` messages; after every `session` of them it drops the connection with what it
/// has not acknowledged, and comes back.
async fn receive(address: std::net::SocketAddr, me: UserId, count: u64, session: u64) {
    let mut last = 0;
    while last < count {
        let mut client = Client::sign_in(address, me).await;
        for _ in 0..session {
            if last == count {
                // The last acknowledgement is on its way: let it arrive.
                client.op(1, ClientOp::Sync {}).await;
                loop {
                    match client.next().await {
                        ServerFrame { id: Some(1), .. } => return,
                        ServerFrame { op: ServerOp::Message(message), .. } => {
                            client.ack(message.n).await;
                        }
                        _ => {}
                    }
                }
            }
            let ServerOp::Message(message) = client.next().await.op else { continue };
            let sn = u64::from_be_bytes(*message.msg.as_bytes()[40..].first_chunk().unwrap());
            assert!(sn <= last + 1, "{sn} overtook {}", last + 1);
            // What was not acknowledged before comes again: known by (sender device, mid).
            last = last.max(sn);
            if sn % 3 != 0 || last == count {
                client.ack(message.n).await;
            }
        }
    }
}

#[test]
fn each_message_arrives_once_and_in_order_on_real_threads() {
    let limits = Limits {
        message_interval_ms: 0,
        custody_after_ms: 20,
        lane_messages: 2,
        ..Limits::default()
    };
    let (address, engine) = serve(limits);
    let (pairs, count) = (12u16, 150u64);
    actix::System::new().block_on(async {
        let mut all = Vec::new();
        for k in 0..pairs {
            let (a, b) = (user(2 * k), user(2 * k + 1));
            all.push(actix::spawn(async move {
                let mut sender = Client::sign_in(address, a).await;
                for sn in 1..=count {
                    sender.deliver(a, b, sn).await;
                }
            }));
            let session = if k % 3 == 0 { u64::MAX } else { 5 + u64::from(k) };
            all.push(actix::spawn(receive(address, b, count, session)));
        }
        for one in all {
            timeout(Duration::from_secs(60), one).await.expect("no stall").unwrap();
        }
    });
    assert_eq!(engine.is_ready(), Readiness::Ready);
    let waits = Instant::now();
    while engine.counts().sockets > 0 || engine.counts().queued_messages > 0 {
        assert!(waits.elapsed() < Duration::from_secs(10), "{:?}", engine.counts());
        std::thread::yield_now();
    }
}

#[test]
fn crowds_that_sign_in_again_and_again_are_all_welcomed() {
    let (address, engine) = serve(Limits::default());
    let (crowd, times) = (48u16, 12);
    actix::System::new().block_on(async {
        let all: Vec<_> = (0..crowd)
            .map(|k| {
                actix::spawn(async move {
                    for turn in 0..times {
                        let mut client = Client::sign_in(address, user(1_000 + k)).await;
                        // Some go at once, some ask something first, some stay until displaced.
                        if (turn + usize::from(k)) % 3 == 0 {
                            client.op(1, ClientOp::Sync {}).await;
                            assert_eq!(client.next().await.id, Some(1));
                        }
                        if k % 4 == 0 {
                            let _later = Client::sign_in(address, user(1_000 + k)).await;
                        }
                    }
                })
            })
            .collect();
        for one in all {
            // Far below the five seconds after which a sign-in is given up.
            timeout(Duration::from_secs(20), one).await.expect("no stall").unwrap();
        }
    });
    assert_eq!(engine.is_ready(), Readiness::Ready);
    let waits = Instant::now();
    while engine.counts().sockets > 0 || engine.counts().devices > 0 {
        assert!(waits.elapsed() < Duration::from_secs(10), "{:?}", engine.counts());
        std::thread::yield_now();
    }
}
