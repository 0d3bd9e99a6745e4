//! `DeviceSession`: the actor that is one socket. It owns the raw stream, decodes, and hands
//! whole frames to the protocol: first to a [`greeting`], which knows nothing but `hello`, then to
//! an open channel.
//!
//! Everything happens inside its own I/O future, so that a bound bites: the lane is polled only
//! when nothing is unsent, reads stop while answers wait, one timer serves all deadlines. No
//! buffer is held while it is idle; reading and writing use one scratch buffer a thread.

pub mod channel;
pub(crate) mod check;
pub(crate) mod frames;
pub mod greeting;
pub(crate) mod open;
pub mod window;

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext as _, AsyncContext as _};
use actix_http::ws::{Codec, Frame, Item, OpCode, Parser, ProtocolError};
use bytes::{Buf as _, Bytes, BytesMut};
use hushwire_wire::deliver::MessageRef;
use hushwire_wire::frame::{ServerFrame, ServerOp};
use hushwire_wire::limits::{FRAME_MAX, FRAME_MAX_UNSIGNED, TOKEN_TTL_MS};
use hushwire_wire::{Close, Encoding, Gen, Nonce, Token};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;
use tokio_util::codec::Decoder as _;
use tokio_util::io::poll_read_buf;

use crate::engine::SocketPermit;
use crate::node::Node;
use crate::ports::{SignedIn, Unavailable};
use crate::queue::Call;
use frames::{Declared, Joined, declared};
use greeting::{Greeted, Greeting};
use open::{End, Open, Ping, Welcoming};

/// The scratch buffers of a thread, in bytes.
const SCRATCH: usize = 64 * 1024;
/// Reads in one turn, before others have theirs.
const READS: usize = 16;
/// With so much unsent, nothing more is read.
const UNSENT_HIGH: usize = 64 * 1024;
/// How long the two sides have for their goodbyes, in milliseconds.
const GOODBYE_MS: u64 = 2_000;
/// What a client is told that could not be signed in now.
const BUSY_AFTER_MS: u64 = 2_000;

thread_local! {
    static READ: Cell<BytesMut> = Cell::default();
    static WRITE: Cell<BytesMut> = Cell::default();
}

/// One socket.
pub(crate) struct DeviceSession<T> {
    io: T,
    node: Arc<Node>,
    encoding: Encoding,
    codec: Codec,
    /// What was read of a frame that is not complete.
    partial: BytesMut,
    joined: Option<Box<Joined>>,
    /// What the socket did not take.
    unsent: BytesMut,
    stage: Stage,
    timer: Pin<Box<Sleep>>,
    armed_ms: u64,
    /// The node's time at the beginning of this turn: read once, not by everything in it.
    now_ms: u64,
    _permit: SocketPermit,
}

enum Stage {
    Greeting { greeting: Box<Greeting>, until_ms: u64 },
    SigningIn { signing: Signing, last_gen: Option<Gen>, until_ms: u64 },
    Open(Box<Open>),
    Closing { until_ms: u64, shut: bool },
}

type Signing = Pin<Box<dyn Future<Output = Result<Option<(SignedIn, Welcoming)>, Unavailable>>>>;

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Actor for DeviceSession<T> {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(Io);
    }
}

/// The I/O future of a session; when it ends, so does the actor.
struct Io;

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> ActorFuture<DeviceSession<T>> for Io {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        session: &mut DeviceSession<T>,
        ctx: &mut actix::Context<DeviceSession<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        ready!(session.live(cx));
        ctx.stop();
        Poll::Ready(())
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> DeviceSession<T> {
    pub(crate) fn new(
        node: Arc<Node>,
        io: T,
        early: BytesMut,
        encoding: Encoding,
        permit: SocketPermit,
    ) -> Self {
        let greeting = Greeting::new(Nonce(node.random()), encoding);
        let challenge = greeting.challenge(&node.domain, node.ports.clock.now_ms());
        let mut unsent = BytesMut::new();
        write_op(&mut unsent, encoding, None, ServerOp::Challenge(challenge));
        let now_ms = node.now_ms();
        let until_ms = now_ms + node.limits.hello_within_ms;
        Self {
            io,
            node,
            encoding,
            codec: Codec::new().max_size(FRAME_MAX),
            partial: early,
            joined: None,
            unsent,
            stage: Stage::Greeting { greeting: Box::new(greeting), until_ms },
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            armed_ms: 0,
            now_ms,
            _permit: permit,
        }
    }

    /// The life of a connection: reads what came, hears what happened, writes what is due, and
    /// sleeps until the next deadline. Ready when it is over.
    fn live(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.now_ms = self.node.now_ms();
            if let Stage::Open(open) = &self.stage {
                open.register(cx);
            }
            let mut listens = false;
            let turn = self
                .read(cx)
                .map(|heard| listens = heard)
                .and_then(|()| self.sign_in(cx))
                .and_then(|()| self.hear(cx))
                .and_then(|()| self.tick());
            match turn {
                Ok(()) => {}
                Err(Over::Closed(close, after_ms)) => self.close(close, after_ms),
                Err(Over::Gone) => return Poll::Ready(()),
            }
            if self.write(cx).is_err() {
                return Poll::Ready(());
            }
            // A welcome, or answers that were taken: what stopped the reading is over.
            if !listens && self.may_read() {
                continue;
            }
            ready!(self.sleep(cx));
        }
    }

    /// Waits for the accounts' word on a `hello`.
    fn sign_in(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        let Stage::SigningIn { signing, last_gen, .. } = &mut self.stage else { return Ok(()) };
        let Poll::Ready(signed) = signing.as_mut().poll(cx) else { return Ok(()) };
        match signed {
            Ok(Some(_)) if self.node.is_draining() => {
                Err(Over::Closed(Close::Restarting, Some(BUSY_AFTER_MS)))
            }
            Ok(Some((me, welcoming))) => {
                let open = Open::new(&self.node, me, self.encoding, *last_gen, welcoming);
                open.register(cx);
                self.stage = Stage::Open(Box::new(open));
                Ok(())
            }
            Ok(None) => Err(Over::Closed(Close::NotAuthenticated, None)),
            Err(Unavailable) => Err(Over::Closed(Close::Overloaded, Some(BUSY_AFTER_MS))),
        }
    }

    /// Reads and takes what came. Whether this session will be woken when more comes.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Over> {
        if !self.partial.is_empty() && self.may_read() {
            let mut bytes = std::mem::take(&mut self.partial);
            let taken = self.take(&mut bytes);
            self.partial = if bytes.is_empty() { BytesMut::new() } else { bytes };
            taken?;
        }
        for _ in 0..READS {
            if !self.may_read() {
                return Ok(false);
            }
            let mut scratch = READ.take();
            scratch.clear();
            scratch.reserve(SCRATCH);
            let read = poll_read_buf(Pin::new(&mut self.io), cx, &mut scratch);
            let taken = match read {
                Poll::Pending => {
                    READ.set(scratch);
                    return Ok(true);
                }
                Poll::Ready(Err(_) | Ok(0)) => Err(Over::Gone),
                Poll::Ready(Ok(_)) if self.partial.is_empty() => {
                    let taken = self.take(&mut scratch);
                    self.partial = BytesMut::from(&scratch[..]);
                    taken
                }
                Poll::Ready(Ok(_)) => {
                    let mut bytes = std::mem::take(&mut self.partial);
                    bytes.extend_from_slice(&scratch);
                    let taken = self.take(&mut bytes);
                    self.partial = if bytes.is_empty() { BytesMut::new() } else { bytes };
                    taken
                }
            };
            READ.set(scratch);
            taken?;
        }
        cx.waker().wake_by_ref();
        Ok(true)
    }

    /// Not while a `hello` is checked, and not while the peer does not take its answers.
    fn may_read(&self) -> bool {
        match &self.stage {
            Stage::Closing { .. } => true,
            Stage::Greeting { .. } => self.unsent.len() < UNSENT_HIGH,
            Stage::SigningIn { .. } => false,
            Stage::Open(open) => open.is_welcome() && self.unsent.len() < UNSENT_HIGH,
        }
    }

    /// Takes all complete frames out of `bytes`, judging each by its declared length first.
    fn take(&mut self, bytes: &mut BytesMut) -> Result<(), Over> {
        while !bytes.is_empty() && self.may_read() {
            let most = match self.stage {
                Stage::Closing { .. } => {
                    bytes.clear();
                    return Ok(());
                }
                Stage::Open(_) => FRAME_MAX,
                Stage::Greeting { .. } | Stage::SigningIn { .. } => FRAME_MAX_UNSIGNED,
            };
            match declared(bytes) {
                Declared::Incomplete => return Ok(()),
                Declared::Bytes { payload, .. } if payload > most as u64 => {
                    return Err(Over::Closed(Close::TooLarge, None));
                }
                Declared::Bytes { whole, .. } if (bytes.len() as u64) < whole => return Ok(()),
                Declared::Bytes { .. } | Declared::Unmasked => {}
            }
            if !frames::is_allowed(bytes) {
                return Err(Over::Closed(Close::Protocol, None));
            }
            match self.codec.decode(bytes) {
                Ok(Some(frame)) => self.frame(frame, most)?,
                Ok(None) => return Ok(()),
                Err(ProtocolError::Overflow) => return Err(Over::Closed(Close::TooLarge, None)),
                Err(_) => return Err(Over::Closed(Close::Protocol, None)),
            }
        }
        Ok(())
    }

    fn frame(&mut self, frame: Frame, most: usize) -> Result<(), Over> {
        match frame {
            Frame::Text(bytes) => self.message(true, &bytes),
            Frame::Binary(bytes) => self.message(false, &bytes),
            Frame::Continuation(item) => self.fragment(item, most),
            Frame::Ping(bytes) => {
                Parser::write_message(&mut self.unsent, bytes, OpCode::Pong, true, false);
                Ok(())
            }
            Frame::Pong(_) => {
                if let Stage::Open(open) = &mut self.stage {
                    open.pong();
                }
                Ok(())
            }
            Frame::Close(_) => Err(Over::Closed(Close::Normal, None)),
        }
    }

    fn fragment(&mut self, item: Item, most: usize) -> Result<(), Over> {
        let closed = |close| Over::Closed(close, None);
        match item {
            Item::FirstText(bytes) => self.joined = Some(Box::new(Joined::new(true, &bytes))),
            Item::FirstBinary(bytes) => self.joined = Some(Box::new(Joined::new(false, &bytes))),
            Item::Continue(bytes) => {
                let joined = self.joined.as_mut().ok_or(closed(Close::Protocol))?;
                joined.push(&bytes, most).map_err(closed)?;
            }
            Item::Last(bytes) => {
                let mut joined = self.joined.take().ok_or(closed(Close::Protocol))?;
                joined.push(&bytes, most).map_err(closed)?;
                return self.message(joined.text, &joined.bytes.into());
            }
        }
        Ok(())
    }

    /// A whole message, of the kind that the encoding uses.
    fn message(&mut self, text: bool, bytes: &Bytes) -> Result<(), Over> {
        if text && std::str::from_utf8(bytes).is_err() {
            return Err(Over::Closed(Close::Invalid, None));
        }
        let wrong = text != (self.encoding == Encoding::Json);
        match &mut self.stage {
            Stage::Greeting { greeting, .. } => {
                let refused = Over::Closed(Close::NotAuthenticated, None);
                let greeted =
                    if wrong { Err(Close::NotAuthenticated) } else { greeting.frame(bytes) };
                let (id, hello, nonce) = greeted.map_err(|_| refused)?;
                let last_gen = hello.r#gen;
                let signing = Box::pin(sign_in(self.node.clone(), (id, hello, nonce)));
                let until_ms = self.node.now_ms() + self.node.limits.hello_within_ms;
                self.stage = Stage::SigningIn { signing, last_gen, until_ms };
                Ok(())
            }
            Stage::Open(_) if wrong => Err(Over::Closed(Close::Invalid, None)),
            Stage::Open(open) => {
                let now_ms = self.now_ms;
                open.frame(bytes, now_ms, &mut self.unsent)
                    .map_err(|close| Over::Closed(close, None))
            }
            Stage::SigningIn { .. } | Stage::Closing { .. } => Ok(()),
        }
    }

    fn hear(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        match &mut self.stage {
            Stage::Open(open) => open.hear(cx, self.now_ms, &mut self.unsent).map_err(Over::from),
            _ => Ok(()),
        }
    }

    fn tick(&mut self) -> Result<(), Over> {
        let now_ms = self.now_ms;
        match &mut self.stage {
            Stage::Greeting { until_ms, .. } if *until_ms <= now_ms => {
                Err(Over::Closed(Close::NotAuthenticated, None))
            }
            Stage::SigningIn { until_ms, .. } if *until_ms <= now_ms => {
                Err(Over::Closed(Close::Overloaded, Some(BUSY_AFTER_MS)))
            }
            Stage::Closing { until_ms, .. } if *until_ms <= now_ms => Err(Over::Gone),
            Stage::Open(open) => {
                if open.tick(now_ms, &mut self.unsent)? == Ping::Now {
                    Parser::write_message(&mut self.unsent, b"", OpCode::Ping, true, false);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Writes what is unsent, then deliveries as long as the socket takes them.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            while !self.unsent.is_empty() {
                let Poll::Ready(n) = Pin::new(&mut self.io).poll_write(cx, &self.unsent)? else {
                    return Ok(());
                };
                if n == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                self.unsent.advance(n);
            }
            self.unsent = BytesMut::new();
            let Stage::Open(open) = &mut self.stage else { break };
            let mut scratch = WRITE.take();
            scratch.clear();
            while scratch.len() < SCRATCH && open.deliver(self.now_ms, &mut scratch) {}
            let written = if scratch.is_empty() {
                Ok(0)
            } else {
                match Pin::new(&mut self.io).poll_write(cx, &scratch) {
                    Poll::Ready(written) => written,
                    Poll::Pending => Ok(0),
                }
            };
            let (len, all) = (scratch.len(), written.as_ref().is_ok_and(|n| *n == scratch.len()));
            if let Ok(n) = written
                && !all
            {
                self.unsent = BytesMut::from(&scratch[n..]);
            }
            WRITE.set(scratch);
            written?;
            if all && len < SCRATCH {
                break;
            }
        }
        let _ = Pin::new(&mut self.io).poll_flush(cx)?;
        if let Stage::Closing { shut: shut @ false, .. } = &mut self.stage
            && Pin::new(&mut self.io).poll_shutdown(cx)?.is_ready()
        {
            *shut = true;
        }
        Ok(())
    }

    /// Says goodbye: a Close frame, then the write half is shut and what still comes is read and
    /// dropped, so that the kernel does not cut the goodbye off. A second reason changes nothing.
    fn close(&mut self, close: Close, after_ms: Option<u64>) {
        if matches!(self.stage, Stage::Closing { .. }) {
            return;
        }
        let reason = close.reason(after_ms);
        let mut payload = close.code().to_be_bytes().to_vec();
        payload.extend_from_slice(reason.as_bytes());
        Parser::write_message(&mut self.unsent, payload, OpCode::Close, true, false);
        // The protocol ends here: what is in window and lane goes to the ledger.
        let until_ms = self.node.now_ms() + GOODBYE_MS;
        self.stage = Stage::Closing { until_ms, shut: false };
        self.partial = BytesMut::new();
        self.joined = None;
    }

    /// Arms the one timer, if something is due before it fires; ready when something is due now.
    fn sleep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due_ms = match &self.stage {
            Stage::Greeting { until_ms, .. }
            | Stage::SigningIn { until_ms, .. }
            | Stage::Closing { until_ms, .. } => *until_ms,
            Stage::Open(open) => open.deadline_ms(),
        };
        if due_ms < self.armed_ms || self.armed_ms == 0 {
            self.armed_ms = due_ms;
            let at = self.node.origin + Duration::from_millis(due_ms.saturating_sub(1));
            self.timer.as_mut().reset(at);
        }
        ready!(self.timer.as_mut().poll(cx));
        self.armed_ms = 0;
        Poll::Ready(())
    }
}

/// Why a turn was the last.
enum Over {
    /// With a goodbye.
    Closed(Close, Option<u64>),
    /// The peer is gone.
    Gone,
}

impl From<End> for Over {
    fn from((close, after_ms): End) -> Self {
        Self::Closed(close, after_ms)
    }
}

/// Checks the signature and issues a token for the HTTP interface, kept only as a hash.
async fn sign_in(
    node: Arc<Node>,
    (id, hello, nonce): Greeted,
) -> Result<Option<(SignedIn, Welcoming)>, Unavailable> {
    let Some(me) = node.ports.accounts.authenticate(&hello, &nonce).await? else {
        return Ok(None);
    };
    let (token, token_until) = issue_token(&node, &me).await?;
    Ok(Some((me, Welcoming { id, token, token_until })))
}

/// Issues a token for a device.
pub(crate) async fn issue_token(node: &Node, me: &SignedIn) -> Result<(Token, u64), Unavailable> {
    let token = Token(node.random());
    let hash = node.ports.digest.digest(&token.0);
    let ttl_ms = TOKEN_TTL_MS;
    let until = node.ports.clock.now_ms() + ttl_ms;
    let (user, device) = (me.user, me.device);
    node.intake.ask(Call::PutToken { hash, user, device, ttl_ms }).await?;
    Ok((token, until))
}

const fn opcode(encoding: Encoding) -> OpCode {
    match encoding {
        Encoding::Json => OpCode::Text,
        Encoding::Cbor => OpCode::Binary,
    }
}

/// Appends an operation as one WebSocket frame.
pub(crate) fn write_op(out: &mut BytesMut, encoding: Encoding, id: Option<u64>, op: ServerOp) {
    let bytes = encoding.encode_server(&ServerFrame { id, op });
    Parser::write_message(out, bytes, opcode(encoding), true, false);
}

thread_local! {
    static MESSAGE: Cell<Vec<u8>> = Cell::default();
}

/// Appends a message as one WebSocket frame; the hot path.
pub(crate) fn write_message(out: &mut BytesMut, encoding: Encoding, message: &MessageRef<'_>) {
    let mut bytes = MESSAGE.take();
    bytes.clear();
    message.write(encoding, &mut bytes);
    Parser::write_message(out, &bytes, opcode(encoding), true, false);
    MESSAGE.set(bytes);
}
