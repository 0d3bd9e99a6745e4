//! A client that writes bytes by hand: its handshake, its sign-in, frames right and wrong, and what
//! it hears.

use std::io::{BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use hushwire_wire::frame::{ClientFrame, ClientOp, ServerFrame, ServerOp};
use hushwire_wire::{Encoding, Nonce};

use crate::support::Person;

/// How long a test waits for what must come, before it fails.
const PATIENCE: Duration = Duration::from_secs(15);
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub(crate) const FIN: u8 = 0x80;
pub(crate) const CONTINUE: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A masked frame, whatever its first byte says.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..=125 => frame.push(0x80 | n as u8),
        n @ 126..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A goodbye with this code and reason.
pub(crate) fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// A connection after its upgrade.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: BufReader<TcpStream>,
    encoding: Encoding,
}

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The answer to op `ping` with this id.
    Answer(u64),
    /// The reject of what had this id.
    Refused(u64),
    /// A pong with this payload.
    Pong(Vec<u8>),
    /// A goodbye with this code, and the end of the stream after it.
    Close(u16),
    /// The end without a goodbye, or something else.
    Other(String),
}

impl Peer {
    /// Connects; the challenge is read.
    pub(crate) fn connect(url: &str, encoding: Encoding) -> (Self, Nonce) {
        let host = url.trim_start_matches("http://");
        let stream = TcpStream::connect(host).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut peer = Self { stream: BufReader::new(stream), encoding };
        let request = format!(
            "GET /v1/ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {}\r\n\r\n",
            encoding.subprotocol()
        );
        peer.write(request.as_bytes());
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            peer.stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        match peer.server_frame().op {
            ServerOp::Challenge(challenge) => (peer, challenge.nonce),
            other => panic!("the server speaks first: {other:?}"),
        }
    }

    /// Connects and signs in.
    pub(crate) fn sign_in(url: &str, person: &Person, encoding: Encoding) -> Self {
        let (mut peer, nonce) = Self::connect(url, encoding);
        let op = ClientOp::Hello(person.hello(&nonce, None));
        let opcode = if encoding == Encoding::Json { TEXT } else { BINARY };
        peer.write(&frame(FIN | opcode, &encoding.encode_client(&ClientFrame { id: Some(1), op })));
        let welcome = peer.server_frame();
        assert!(matches!(welcome.op, ServerOp::Welcome(_)), "{welcome:?}");
        peer
    }

    /// Writes, as far as the server takes it.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        // A server that has said goodbye may be gone.
        let _ = self.stream.get_mut().write_all(bytes);
    }

    /// Whether the server takes this.
    pub(crate) fn takes(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    fn server_frame(&mut self) -> ServerFrame {
        let (_, payload) = self.raw_frame().unwrap();
        self.encoding.decode_server(&payload).unwrap()
    }

    /// The next thing that the server says; its own pings are passed over.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            let (first, payload) = match self.raw_frame() {
                Ok(frame) => frame,
                Err(error) => return Heard::Other(error.to_string()),
            };
            match first & 0x0f {
                PING => {}
                PONG => return Heard::Pong(payload),
                CLOSE => return self.closed(&payload),
                _ => return self.answer(&payload),
            }
        }
    }

    fn answer(&self, payload: &[u8]) -> Heard {
        match self.encoding.decode_server(payload) {
            Ok(ServerFrame { id: Some(id), op: ServerOp::Pong {} }) => Heard::Answer(id),
            Ok(ServerFrame { id: Some(id), op: ServerOp::Reject(_) }) => Heard::Refused(id),
            other => Heard::Other(format!("{other:?}")),
        }
    }

    fn closed(&mut self, payload: &[u8]) -> Heard {
        let Some((code, reason)) = payload.split_first_chunk() else {
            return Heard::Other("a goodbye without a code".to_owned());
        };
        if std::str::from_utf8(reason).is_err() {
            return Heard::Other("a reason that is not UTF-8".to_owned());
        }
        let mut rest = [0];
        match self.stream.read(&mut rest) {
            Ok(0) => Heard::Close(u16::from_be_bytes(*code)),
            other => Heard::Other(format!("no end after the goodbye: {other:?}")),
        }
    }

    /// First byte and payload. The server's frames are whole and not masked.
    fn raw_frame(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head)?;
        let wrong = |what| Err(std::io::Error::new(ErrorKind::InvalidData, what));
        if head[0] & 0xf0 != FIN {
            return wrong("a part of a message, or a reserved bit");
        }
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.stream.read_exact(&mut length)?;
                u16::from_be_bytes(length).into()
            }
            127 => {
                let mut length = [0; 8];
                self.stream.read_exact(&mut length)?;
                u64::from_be_bytes(length)
            }
            n @ 0..=125 => n.into(),
            _ => return wrong("a masked frame"),
        };
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload)?;
        Ok((head[0], payload))
    }
}
