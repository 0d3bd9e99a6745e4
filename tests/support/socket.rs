//! A raw WebSocket client: it says exactly what a test tells it to, right or wrong.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hushwire_wire::frame::{ClientFrame, ClientOp, ServerFrame, ServerOp};
use hushwire_wire::{Encoding, close::Close};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long a test waits for what must come, before it fails.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// A connection whose frames a test writes by hand.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    encoding: Encoding,
    next_id: u64,
}

impl Socket {
    /// Connects and chooses the encoding; nothing is read yet.
    pub async fn connect(http_url: &str, encoding: Encoding) -> Self {
        let url = http_url.replacen("http", "ws", 1) + "/v1/ws";
        let mut request = url.into_client_request().unwrap();
        let protocol = HeaderValue::from_static(encoding.subprotocol());
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let (stream, _) =
            timeout(PATIENCE, tokio_tungstenite::connect_async(request)).await.unwrap().unwrap();
        Self { stream, encoding, next_id: 1 }
    }

    /// Sends an operation with a fresh id, and returns the id.
    pub async fn send(&mut self, op: ClientOp) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let bytes = self.encoding.encode_client(&ClientFrame { id: Some(id), op });
        self.send_bytes(bytes).await;
        id
    }

    /// Sends bytes as a frame of the encoding's kind.
    pub async fn send_bytes(&mut self, bytes: Vec<u8>) {
        let message = match self.encoding {
            Encoding::Json => Message::text(String::from_utf8(bytes).unwrap()),
            Encoding::Cbor => Message::binary(bytes),
        };
        self.stream.send(message).await.unwrap();
    }

    /// The next frame of the server.
    pub async fn next(&mut self) -> ServerFrame {
        match self.next_or_close().await {
            Ok(frame) => frame,
            Err(close) => panic!("closed: {close:?}"),
        }
    }

    /// The next frame, or the close that came instead.
    pub async fn next_or_close(&mut self) -> Result<ServerFrame, Option<Close>> {
        loop {
            let message = timeout(PATIENCE, self.stream.next()).await.expect("a frame in time");
            match message {
                Some(Ok(Message::Text(text))) => {
                    return Ok(self.encoding.decode_server(text.as_bytes()).unwrap());
                }
                Some(Ok(Message::Binary(bytes))) => {
                    return Ok(self.encoding.decode_server(&bytes).unwrap());
                }
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.and_then(|f| Close::from_code(f.code.into())));
                }
                Some(Ok(_)) => {}
                Some(Err(tungstenite::Error::ConnectionClosed)) | None => return Err(None),
                Some(Err(error)) => panic!("the connection broke: {error}"),
            }
        }
    }

    /// Reads until the server closes, and says how.
    pub async fn closed(&mut self) -> Option<Close> {
        loop {
            if let Err(close) = self.next_or_close().await {
                return close;
            }
        }
    }

    /// The answer to `id`; frames before it must be none of `forbidden`.
    pub async fn answer(&mut self, id: u64) -> ServerOp {
        loop {
            let frame = self.next().await;
            if frame.id == Some(id) {
                return frame.op;
            }
        }
    }

    /// Sends an operation and waits for its answer.
    pub async fn ask(&mut self, op: ClientOp) -> ServerOp {
        let id = self.send(op).await;
        self.answer(id).await
    }

    /// The next frame that is no answer and that `pick` takes.
    pub async fn event<T>(&mut self, mut pick: impl FnMut(ServerOp) -> Option<T>) -> T {
        loop {
            let frame = self.next().await;
            if frame.id.is_none()
                && let Some(found) = pick(frame.op)
            {
                return found;
            }
        }
    }

    /// Whether nothing comes for a short while. For what must not happen, where no event marks it.
    pub async fn is_quiet(&mut self, wait: Duration) -> bool {
        timeout(wait, self.stream.next()).await.is_err()
    }

    /// Cuts the connection without a goodbye.
    pub fn cut(self) {
        drop(self);
    }
}

/// A TCP connection after the upgrade, for bytes that no WebSocket library would send.
#[derive(Debug)]
pub struct RawSocket {
    stream: TcpStream,
}

impl RawSocket {
    pub async fn upgrade(http_url: &str, subprotocol: &str) -> Self {
        let host = http_url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).await.unwrap();
        let request = format!(
            "GET /v1/ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        let mut socket = Self { stream };
        let (opcode, _) = socket.frame().await;
        assert!(matches!(opcode, 1 | 2), "the challenge comes first");
        socket
    }

    /// Sends only the header of a masked binary frame of this length, of 126 bytes or more.
    pub async fn expect_close_after_header(self, declared: u64, close: Close) {
        let mut header = vec![0x82];
        match u16::try_from(declared) {
            Ok(short) => {
                header.push(0x80 | 126);
                header.extend_from_slice(&short.to_be_bytes());
            }
            Err(_) => {
                header.push(0x80 | 127);
                header.extend_from_slice(&declared.to_be_bytes());
            }
        }
        header.extend_from_slice(&[1, 2, 3, 4]);
        self.expect_close_after(&header, close).await;
    }

    pub async fn expect_close_after(mut self, bytes: &[u8], close: Close) {
        self.stream.write_all(bytes).await.unwrap();
        let (opcode, payload) = timeout(PATIENCE, self.frame()).await.expect("a close in time");
        assert_eq!(opcode, 8);
        assert_eq!(u16::from_be_bytes([payload[0], payload[1]]), close.code());
    }

    /// The next frame of the server: opcode and payload.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let opcode = self.stream.read_u8().await.unwrap() & 15;
        let len = match self.stream.read_u8().await.unwrap() {
            126 => self.stream.read_u16().await.unwrap().into(),
            127 => self.stream.read_u64().await.unwrap(),
            n => n.into(),
        };
        let mut payload = vec![0; len as usize];
        self.stream.read_exact(&mut payload).await.unwrap();
        (opcode, payload)
    }
}
