//! One WebSocket of the generator, in CBOR. It measures nothing and decides nothing.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hushwire_wire::Encoding;
use hushwire_wire::frame::{
    Challenge, ClientFrame, ClientOp, Hello, Resynced, ServerFrame, ServerOp, Welcome,
};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::person::Person;

/// How long anything may take before the run fails, so that it never hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection.
#[derive(Debug)]
pub(crate) struct Line {
    socket: WebSocketStream<TcpStream>,
}

impl Line {
    /// Connects to `/v1/ws` at `address`.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|e| format!("connect: {e}"))?;
        Self::over(stream, address).await
    }

    /// As [`Line::open`], with a receive buffer of 4 KiB: when nobody reads, it is full at once.
    pub(crate) async fn open_narrow(address: SocketAddr) -> Result<Self, String> {
        let socket = TcpSocket::new_v4().map_err(|e| format!("socket: {e}"))?;
        socket.set_recv_buffer_size(4_096).map_err(|e| format!("receive buffer: {e}"))?;
        let stream = socket.connect(address).await.map_err(|e| format!("connect: {e}"))?;
        Self::over(stream, address).await
    }

    async fn over(stream: TcpStream, address: SocketAddr) -> Result<Self, String> {
        stream.set_nodelay(true).map_err(|e| format!("nodelay: {e}"))?;
        let mut request = format!("ws://{address}/v1/ws")
            .into_client_request()
            .map_err(|e| format!("request: {e}"))?;
        let protocol = HeaderValue::from_static(Encoding::Cbor.subprotocol());
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        // Small buffers: thousands of these wait in one process.
        let config = WebSocketConfig::default().read_buffer_size(2048).write_buffer_size(0);
        let opening = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        let (socket, _) = patient(opening).await?.map_err(|e| format!("upgrade: {e}"))?;
        Ok(Self { socket })
    }

    /// Signs in at the server and says that nothing is to be sent again. For who has no messages
    /// waiting: what comes before the answer is not looked at.
    pub(crate) async fn sign_in(&mut self, person: &Person) -> Result<(), String> {
        let welcome = self.greet(person).await?;
        let resynced = ClientOp::Resynced(Resynced { r#gen: welcome.r#gen });
        self.send(&ClientFrame { id: Some(1), op: resynced }).await?;
        while self.next().await?.id != Some(1) {}
        Ok(())
    }

    /// Signs in at the server.
    pub(crate) async fn greet(&mut self, person: &Person) -> Result<Welcome, String> {
        let Challenge { nonce, domain, .. } = match self.next().await?.op {
            ServerOp::Challenge(challenge) => challenge,
            other => return Err(format!("expected a challenge, got {}", name(&other))),
        };
        let signature = person.key.login(&domain, &nonce, &person.user()).to_vec().into();
        self.send(&hello(person, signature)).await?;
        match self.next().await?.op {
            ServerOp::Welcome(welcome) => Ok(welcome),
            other => Err(format!("expected a welcome, got {}", name(&other))),
        }
    }

    /// Says a name to the relay.
    pub(crate) async fn say_name(&mut self, person: &Person) -> Result<(), String> {
        self.send(&hello(person, Vec::new().into())).await?;
        match self.next().await?.op {
            ServerOp::Ok {} => Ok(()),
            other => Err(format!("expected ok, got {}", name(&other))),
        }
    }

    /// Sends a frame.
    pub(crate) async fn send(&mut self, frame: &ClientFrame) -> Result<(), String> {
        self.send_encoded(Encoding::Cbor.encode_client(frame)).await
    }

    /// Sends a frame that is encoded already.
    pub(crate) async fn send_encoded(&mut self, frame: Vec<u8>) -> Result<(), String> {
        let sending = self.socket.send(Message::Binary(frame.into()));
        patient(sending).await?.map_err(|e| format!("send: {e}"))
    }

    /// The next frame of the server. Pings are answered on the way.
    pub(crate) async fn next(&mut self) -> Result<ServerFrame, String> {
        loop {
            match patient(self.socket.next()).await? {
                Some(Ok(Message::Binary(bytes))) => {
                    return Encoding::Cbor
                        .decode_server(&bytes)
                        .map_err(|e| format!("the server's frame: {e}"));
                }
                Some(Ok(Message::Close(reason))) => {
                    return Err(match reason {
                        Some(close) => format!("closed: {} {}", close.code, close.reason),
                        None => "closed without a reason".to_owned(),
                    });
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(format!("receive: {error}")),
                None => return Err("the connection ended".to_owned()),
            }
        }
    }

    /// Answers pings until the connection ends, however long that takes.
    pub(crate) async fn idle(mut self) {
        while let Some(Ok(_)) = self.socket.next().await {}
    }
}

fn hello(person: &Person, signature: hushwire_wire::Sealed) -> ClientFrame {
    let hello = Hello {
        user: person.user(),
        device: person.key.device_id(),
        signature,
        r#gen: None,
        client: "hushwire-benches".to_owned(),
        features: Vec::new(),
    };
    ClientFrame { id: None, op: ClientOp::Hello(hello) }
}

/// What came instead, without its content.
pub(crate) fn name(op: &ServerOp) -> String {
    match op {
        ServerOp::Reject(reject) => format!("reject {}", reject.name()),
        ServerOp::Challenge(_) => "challenge".to_owned(),
        ServerOp::Welcome(_) => "welcome".to_owned(),
        ServerOp::Accepted(_) => "accepted".to_owned(),
        ServerOp::Message(_) => "message".to_owned(),
        ServerOp::Notice(_) => "notice".to_owned(),
        ServerOp::Event(_) => "event".to_owned(),
        ServerOp::Resync(_) => "resync".to_owned(),
        ServerOp::Ephemeral(_) => "ephemeral".to_owned(),
        ServerOp::Call(_) => "call".to_owned(),
        ServerOp::Presence(_) => "presence".to_owned(),
        ServerOp::Ok {} => "ok".to_owned(),
        ServerOp::Pong {} => "pong".to_owned(),
    }
}

async fn patient<F: Future>(future: F) -> Result<F::Output, String> {
    tokio::time::timeout(PATIENCE, future)
        .await
        .map_err(|_| format!("nothing happened for {} s", PATIENCE.as_secs()))
}
