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
pub(crate) mod signing;
mod stage;
pub mod window;
pub(crate) mod writing;

use std::cell::Cell;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext as _, AsyncContext as _};
use actix_http::ws::{Codec, Frame, Item, OpCode, Parser, ProtocolError};
use bytes::{Bytes, BytesMut};
use hushwire_wire::frame::ServerOp;
use hushwire_wire::limits::{FRAME_MAX, FRAME_MAX_UNSIGNED};
use hushwire_wire::{Close, Encoding, Nonce};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::futures::OwnedNotified;
use tokio::time::Sleep;
use tokio_util::codec::Decoder as _;
use tokio_util::io::poll_read_buf;

use crate::engine::SocketPermit;
use crate::fault;
use crate::node::Node;
use crate::ports::Unavailable;
use frames::{Controls, Declared, Joined, declared};
use greeting::Greeting;
use open::{Open, Ping};
use signing::sign_in;
use stage::{Over, Stage};
use writing::{STALLED_MS, write_op};

/// The scratch buffers of a thread, in bytes.
const SCRATCH: usize = 64 * 1024;
/// Reads in one turn, before others have theirs.
const READS: usize = 16;
/// With so much unsent, nothing more is read, and no event is told.
const UNSENT_HIGH: usize = 64 * 1024;
/// What a client is told that could not be signed in now.
const BUSY_AFTER_MS: u64 = 2_000;

thread_local! {
    static READ: Cell<BytesMut> = Cell::default();
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
    /// Since when it takes nothing of that.
    stalled_ms: Option<u64>,
    controls: Controls,
    stage: Stage,
    timer: Pin<Box<Sleep>>,
    armed_ms: u64,
    /// The node's time at the beginning of this turn: read once, not by everything in it.
    now_ms: u64,
    /// Woken by a drain: who has signed in hears of it from the lane.
    drained: Option<Pin<Box<OwnedNotified>>>,
    permit: SocketPermit,
}

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
        let drained = Some(Box::pin(node.goodbye.clone().notified_owned()));
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
            stalled_ms: None,
            controls: Controls::default(),
            stage: Stage::Greeting { greeting: Box::new(greeting), until_ms },
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            armed_ms: 0,
            now_ms,
            drained,
            permit,
        }
    }

    /// A connection that is told why it ends, and nothing else.
    pub(crate) fn closed(mut self, close: Close) -> Self {
        self.unsent.clear();
        self.close(close, None);
        self
    }

    /// The life of a connection: reads what came, hears what happened, writes what is due, and
    /// sleeps until the next deadline. Ready when it is over.
    fn live(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.now_ms = self.node.now_ms();
            if let Stage::Open(open) = &self.stage {
                open.register(cx);
            }
            if let Some(drained) = &mut self.drained {
                // Only to be woken: `tick` looks whether it is so.
                let _ = drained.as_mut().poll(cx);
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
                Err(Over::Echo(code)) => self.goodbye(&code.to_be_bytes()),
                Err(Over::Gone) => return Poll::Ready(()),
            }
            if self.write(cx).is_err() {
                return Poll::Ready(());
            }
            // A welcome, or answers that were taken: what stopped the reading is over.
            if (!listens && self.may_read()) || self.may_tell_events() {
                continue;
            }
            ready!(self.sleep(cx));
        }
    }

    /// Waits for the accounts' word on a `hello`.
    fn sign_in(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        let Stage::SigningIn { signing, last_gen, .. } = &mut self.stage else { return Ok(()) };
        let Poll::Ready(signed) = signing.as_mut().poll(cx) else { return Ok(()) };
        fault::point("session: signed in");
        match signed {
            Ok(Some(_)) if self.node.is_draining() => {
                Err(Over::Closed(Close::Restarting, Some(BUSY_AFTER_MS)))
            }
            Ok(Some((me, welcoming))) => {
                let busy = |close| Over::Closed(close, Some(BUSY_AFTER_MS));
                self.permit.sign_in().map_err(busy)?;
                self.drained = None;
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

    /// Whether events waited for the peer to take what was before them, and it did.
    fn may_tell_events(&self) -> bool {
        let owes = matches!(&self.stage, Stage::Open(open) if open.owes_events());
        owes && self.unsent.len() < UNSENT_HIGH
    }

    /// Takes all complete frames out of `bytes`, judging each by its declared length first.
    fn take(&mut self, bytes: &mut BytesMut) -> Result<(), Over> {
        while !bytes.is_empty() && self.may_read() {
            fault::point("session: take a frame");
            let most = match self.stage {
                Stage::Closing { .. } => {
                    bytes.clear();
                    return Ok(());
                }
                Stage::Open(_) => FRAME_MAX,
                Stage::Greeting { .. } | Stage::SigningIn { .. } => FRAME_MAX_UNSIGNED,
            };
            // As early as it can be known: what cannot be a frame is not waited for.
            if !frames::is_allowed(bytes) {
                return Err(Over::Closed(Close::Protocol, None));
            }
            match declared(bytes) {
                Declared::Incomplete => return Ok(()),
                Declared::Malformed => return Err(Over::Closed(Close::Protocol, None)),
                Declared::Bytes { payload, .. } if payload > most as u64 => {
                    return Err(Over::Closed(Close::TooLarge, None));
                }
                Declared::Bytes { whole, .. } if (bytes.len() as u64) < whole => return Ok(()),
                Declared::Bytes { .. } => {}
            }
            if !frames::is_reason_text(bytes) {
                return Err(Over::Closed(Close::Invalid, None));
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
                self.control()?;
                Parser::write_message(&mut self.unsent, bytes, OpCode::Pong, true, false);
                Ok(())
            }
            Frame::Pong(_) => {
                self.control()?;
                if let Stage::Open(open) = &mut self.stage {
                    open.pong();
                }
                Ok(())
            }
            Frame::Close(None) => Err(Over::Closed(Close::Normal, None)),
            Frame::Close(Some(reason)) => Err(Over::Echo(reason.code.into())),
        }
    }

    /// Counts a ping or a pong of the peer.
    fn control(&mut self) -> Result<(), Over> {
        self.controls.count(self.node.now_ms()).map_err(|close| Over::Closed(close, None))
    }

    fn fragment(&mut self, item: Item, most: usize) -> Result<(), Over> {
        let closed = |close| Over::Closed(close, None);
        match item {
            Item::FirstText(bytes) => {
                self.joined = Some(Box::new(Joined::new(true, &bytes).map_err(closed)?));
            }
            Item::FirstBinary(bytes) => {
                self.joined = Some(Box::new(Joined::new(false, &bytes).map_err(closed)?));
            }
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
                if let Some(from) = self.permit.from() {
                    let often = |after_ms| Over::Closed(Close::Flooding, Some(after_ms));
                    self.node.ports.sign_ins.admit(from).map_err(often)?;
                }
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
            Stage::Greeting { .. } | Stage::SigningIn { .. } if self.node.is_draining() => {
                let any = u64::from_be_bytes(self.node.random());
                let after_ms = any.checked_rem(self.node.limits.drain_spread_ms).unwrap_or(0);
                Err(Over::Closed(Close::Restarting, Some(after_ms)))
            }
            Stage::Greeting { until_ms, .. } if *until_ms <= now_ms => {
                Err(Over::Closed(Close::NotAuthenticated, None))
            }
            Stage::SigningIn { until_ms, .. } if *until_ms <= now_ms => {
                Err(Over::Closed(Close::Overloaded, Some(BUSY_AFTER_MS)))
            }
            Stage::Closing { until_ms, .. } if *until_ms <= now_ms => Err(Over::Gone),
            Stage::Greeting { .. } | Stage::Open(_)
                if self.stalled_ms.is_some_and(|since_ms| since_ms + STALLED_MS <= now_ms) =>
            {
                Err(Over::Closed(Close::Slow, None))
            }
            Stage::Open(open) => {
                if open.tick(now_ms, &mut self.unsent)? == Ping::Now {
                    Parser::write_message(&mut self.unsent, b"", OpCode::Ping, true, false);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Arms the one timer, if something is due before it fires; ready when something is due now.
    fn sleep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let stalled_ms = self.stalled_ms.map(|since_ms| since_ms + STALLED_MS);
        let due_ms = self.stage.due_ms(stalled_ms);
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
