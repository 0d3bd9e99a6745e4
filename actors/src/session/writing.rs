//! What a session writes: what is unsent, then deliveries as long as the socket takes them, and
//! its goodbye.
//!
//! Deliveries are taken from the lane only when nothing is unsent, so that the lane's bound holds.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_http::ws::{OpCode, Parser};
use bytes::{Buf as _, BytesMut};
use hushwire_wire::deliver::MessageRef;
use hushwire_wire::frame::{ServerFrame, ServerOp};
use hushwire_wire::{Close, Encoding};
use tokio::io::{AsyncRead, AsyncWrite};

use super::stage::Stage;
use super::{DeviceSession, SCRATCH};
use crate::fault;

/// How long a peer may take not one byte of what is unsent, in milliseconds, before 4410.
pub(super) const STALLED_MS: u64 = 10_000;
/// How long the two sides have for their goodbyes, in milliseconds.
const GOODBYE_MS: u64 = 2_000;

thread_local! {
    static WRITE: Cell<BytesMut> = Cell::default();
    static MESSAGE: Cell<Vec<u8>> = Cell::default();
}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> DeviceSession<T> {
    /// Writes what is unsent, then deliveries as long as the socket takes them.
    pub(super) fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            while !self.unsent.is_empty() {
                let Poll::Ready(n) = Pin::new(&mut self.io).poll_write(cx, &self.unsent)? else {
                    self.stalled_ms.get_or_insert(self.now_ms);
                    return Ok(());
                };
                self.stalled_ms = None;
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
            fault::point("session: write");
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

    /// Says goodbye with a row of the table.
    pub(super) fn close(&mut self, close: Close, after_ms: Option<u64>) {
        let mut payload = close.code().to_be_bytes().to_vec();
        payload.extend_from_slice(close.reason(after_ms).as_bytes());
        self.goodbye(&payload);
    }

    /// Says goodbye: a Close frame, then the write half is shut and what still comes is read and
    /// dropped, so that the kernel does not cut the goodbye off. A second reason changes nothing.
    pub(super) fn goodbye(&mut self, payload: &[u8]) {
        if matches!(self.stage, Stage::Closing { .. }) {
            return;
        }
        Parser::write_message(&mut self.unsent, payload, OpCode::Close, true, false);
        // The protocol ends here: what is in window and lane goes to the ledger.
        let until_ms = self.node.now_ms() + GOODBYE_MS;
        self.stage = Stage::Closing { until_ms, shut: false };
        self.partial = BytesMut::new();
        self.joined = None;
        self.drained = None;
    }
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

/// Appends a message as one WebSocket frame; the hot path.
pub(crate) fn write_message(out: &mut BytesMut, encoding: Encoding, message: &MessageRef<'_>) {
    let mut bytes = MESSAGE.take();
    bytes.clear();
    message.write(encoding, &mut bytes);
    Parser::write_message(out, &bytes, opcode(encoding), true, false);
    MESSAGE.set(bytes);
}
