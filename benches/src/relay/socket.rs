//! One socket of the relay: an actor that owns the raw stream. While it is idle it holds no
//! buffer; deliveries are taken from its lane only when nothing is unsent.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Cx, Poll};

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext as _, AsyncContext as _, Context};
use actix_codec::{AsyncRead, AsyncWrite};
use actix_http::ws::{self, OpCode};
use bytes::{Buf as _, Bytes, BytesMut};
use hushwire_wire::deliver::{MessageRef, SharedBody};
use hushwire_wire::frame::{ClientOp, Send, ServerFrame, ServerOp};
use hushwire_wire::limits::FRAME_MAX;
use hushwire_wire::message::Upload;
use hushwire_wire::{DeviceId, Encoding, UserId};
use tokio_util::codec::Decoder as _;
use tokio_util::io::poll_read_buf;

use super::Names;
use super::lane::Lane;

/// Read at once, at most.
const READ: usize = 16 * 1024;
/// Written at once, about.
const WRITE: usize = 16 * 1024;
/// Reads in one turn, so that a fast sender does not hold the thread.
const READS_MAX: usize = 16;

thread_local! {
    /// What is read and not yet decoded; one for all sockets of a thread.
    static INPUT: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(READ));
    /// What is about to be written; likewise.
    static OUTPUT: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(WRITE));
}

/// A socket and what belongs to it.
pub(super) struct Socket<T> {
    io: T,
    codec: ws::Codec,
    /// The first part of a frame that is not complete.
    partial: BytesMut,
    /// What the socket did not take.
    unsent: BytesMut,
    lane: Arc<Lane>,
    /// What the first frame said.
    name: Option<(UserId, DeviceId)>,
    /// Messages numbered to this socket's peers.
    n: u64,
    names: Arc<Names>,
}

impl<T> Socket<T> {
    pub(super) fn new(io: T, early: BytesMut, names: Arc<Names>) -> Self {
        Self {
            io,
            codec: ws::Codec::new().max_size(FRAME_MAX),
            partial: early,
            unsent: BytesMut::new(),
            lane: Arc::default(),
            name: None,
            n: 0,
            names,
        }
    }
}

impl<T> Actor for Socket<T>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(Io);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if let Some((user, _)) = &self.name {
            self.names.forget(user, &self.lane);
        }
    }
}

/// The life of a socket, as one future.
struct Io;

impl<T> ActorFuture<Socket<T>> for Io
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        socket: &mut Socket<T>,
        ctx: &mut Context<Socket<T>>,
        cx: &mut Cx<'_>,
    ) -> Poll<()> {
        let open = socket.read(cx).and_then(|open| socket.write(cx).map(|()| open));
        if matches!(open, Ok(true)) {
            return Poll::Pending;
        }
        ctx.stop();
        Poll::Ready(())
    }
}

impl<T> Socket<T>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    /// Reads and handles what is there; `false` when the socket is at its end.
    fn read(&mut self, cx: &mut Cx<'_>) -> io::Result<bool> {
        INPUT.with_borrow_mut(|input| {
            for _ in 0..READS_MAX {
                input.clear();
                input.reserve(READ);
                if !self.partial.is_empty() {
                    input.extend_from_slice(&self.partial);
                    self.partial = BytesMut::new();
                }
                let read = poll_read_buf(Pin::new(&mut self.io), cx, input);
                let open = self.frames(input);
                if !input.is_empty() {
                    self.partial = BytesMut::from(&input[..]);
                }
                match read {
                    Poll::Pending => return Ok(open),
                    Poll::Ready(Ok(0)) => return Ok(false),
                    Poll::Ready(Ok(_)) if open => {}
                    Poll::Ready(Ok(_)) => return Ok(false),
                    Poll::Ready(Err(error)) => return Err(error),
                }
            }
            cx.waker().wake_by_ref();
            Ok(true)
        })
    }

    /// Decodes and handles whole frames; `false` when the connection must end.
    fn frames(&mut self, input: &mut BytesMut) -> bool {
        loop {
            match declared(input) {
                Ok(Some(len)) if input.len() >= len => {}
                Ok(_) => return true,
                Err(TooLarge) => return false,
            }
            match self.codec.decode(input) {
                Ok(Some(ws::Frame::Binary(bytes))) => {
                    if !self.frame(&bytes) {
                        return false;
                    }
                }
                Ok(Some(ws::Frame::Ping(bytes))) => {
                    write_frame(&mut self.unsent, &bytes, OpCode::Pong)
                }
                Ok(Some(ws::Frame::Pong(_))) => {}
                Ok(None) => return true,
                // Text, fragments, close, and what is no frame.
                Ok(Some(_)) | Err(_) => return false,
            }
        }
    }

    fn frame(&mut self, bytes: &Bytes) -> bool {
        let Ok(frame) = Encoding::Cbor.decode_client(bytes) else { return false };
        match frame.op {
            ClientOp::Hello(hello) => {
                self.name = Some((hello.user, hello.device));
                self.names.set(hello.user, Arc::clone(&self.lane));
                let ok = ServerFrame { id: frame.id, op: ServerOp::Ok {} };
                write_frame(&mut self.unsent, &Encoding::Cbor.encode_server(&ok), OpCode::Binary);
                true
            }
            ClientOp::Send(send) => self.relay(&send),
            _ => true,
        }
    }

    /// Encodes the message once and puts it into the peer's lane. A peer that is not there, or
    /// whose lane is full, does not get it.
    fn relay(&mut self, send: &Send) -> bool {
        let Some((from_user, from_device)) = &self.name else { return false };
        let Ok(upload) = Upload::parse(&send.upload) else { return false };
        let Some(tag) = upload.tag(0) else { return false };
        let Some(lane) = self.names.get(&send.to) else { return true };
        self.n += 1;
        let body = SharedBody::new(upload.shared);
        let message = MessageRef {
            n: self.n,
            at: send.sn,
            peer: from_user,
            from_user,
            from_device,
            body: &body,
            tag: &tag,
        };
        OUTPUT.with_borrow_mut(|payload| {
            payload.clear();
            message.write(Encoding::Cbor, payload);
            let mut framed = BytesMut::with_capacity(payload.len() + 10);
            write_frame(&mut framed, payload, OpCode::Binary);
            lane.push(framed.as_ref().into());
        });
        true
    }

    /// Writes what is unsent, then what waits in the lane, in as few writes as it takes.
    fn write(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        loop {
            while !self.unsent.is_empty() {
                match Pin::new(&mut self.io).poll_write(cx, &self.unsent) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(written) => self.unsent.advance(written?),
                }
            }
            self.unsent = BytesMut::new();
            let idle = OUTPUT.with_borrow_mut(|output| {
                output.clear();
                while output.len() < WRITE {
                    let Some(frame) = self.lane.pop(cx) else { break };
                    output.extend_from_slice(&frame);
                }
                if output.is_empty() {
                    return Ok(true);
                }
                let written = match Pin::new(&mut self.io).poll_write(cx, output) {
                    Poll::Pending => 0,
                    Poll::Ready(written) => written?,
                };
                if written < output.len() {
                    self.unsent = BytesMut::from(&output[written..]);
                }
                Ok::<_, io::Error>(false)
            })?;
            if idle {
                return Ok(());
            }
        }
    }
}

fn write_frame(out: &mut BytesMut, payload: &[u8], op: OpCode) {
    ws::Parser::write_message(out, payload, op, true, false);
}

/// A frame declared more bytes than allowed.
#[derive(Debug, PartialEq, Eq)]
struct TooLarge;

/// The whole length of the frame that begins here, if its header is complete.
fn declared(bytes: &[u8]) -> Result<Option<usize>, TooLarge> {
    let Some(second) = bytes.get(1) else { return Ok(None) };
    // Without a mask the codec refuses it at once.
    if second & 0x80 == 0 {
        return Ok(Some(2));
    }
    let (len, header) = match second & 0x7f {
        126 => match bytes.get(2..).and_then(|rest| rest.first_chunk::<2>()) {
            Some(len) => (u64::from(u16::from_be_bytes(*len)), 8),
            None => return Ok(None),
        },
        127 => match bytes.get(2..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(len) => (u64::from_be_bytes(*len), 14),
            None => return Ok(None),
        },
        len => (u64::from(len), 6),
    };
    match usize::try_from(len) {
        Ok(len) if len <= FRAME_MAX => Ok(Some(len + header)),
        _ => Err(TooLarge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declared_length_is_judged_before_the_frame_is_there() {
        assert_eq!(declared(&[0x82]), Ok(None));
        assert_eq!(declared(&[0x82, 0x05]), Ok(Some(2)));
        assert_eq!(declared(&[0x82, 0x85]), Ok(Some(11)));
        assert_eq!(declared(&[0x82, 0xfe, 1]), Ok(None));
        assert_eq!(declared(&[0x82, 0xfe, 1, 0]), Ok(Some(264)));
        assert_eq!(declared(&[0x82, 0xff, 0, 0, 0, 0, 0, 0x98, 0x96, 0x80]), Err(TooLarge));
        assert_eq!(declared(&[0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255]), Err(TooLarge));
    }
}
