//! How bytes get to a server and back: one HTTP call, one WebSocket. A trait, so that a test can
//! stand between client and server; [`NetTransport`] is the network.
//!
//! It knows nothing of frames. Its answers are not believed: whoever uses them checks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{SinkExt as _, StreamExt as _};
use hushwire_wire::{Encoding, Token, limits};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_tungstenite::{Connector, connect_async_tls_with_config};

use crate::backoff::Ending;

/// How long an HTTP call or the opening of a socket may take.
pub const CALL_WITHIN: Duration = Duration::from_secs(10);
/// The largest body of an answer, in bytes: an epoch with 16 prekeys, or 1,024 log entries.
pub const BODY_MAX: usize = 2 * 1024 * 1024;
/// Frames that wait on either side of a socket, at most.
pub const LINK_FRAMES: usize = 64;

/// The methods of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Do.
    Post,
    /// Replace.
    Put,
}

/// An HTTP request. `Debug` shows method and path only.
#[derive(Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query, from `/v1`.
    pub path: String,
    /// For `Authorization: Bearer`.
    pub token: Option<Token>,
    /// JSON.
    pub body: Option<Vec<u8>>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.method, self.path)
    }
}

/// An HTTP answer. `Debug` shows no content: it may hold a token.
#[derive(Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body, at most [`BODY_MAX`] bytes.
    pub body: Vec<u8>,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {} B)", self.status, self.body.len())
    }
}

/// What comes out of a socket. `Debug` shows no content: it may hold a token.
#[derive(Clone, PartialEq, Eq)]
pub enum Arrival {
    /// A frame of the negotiated encoding.
    Frame(Vec<u8>),
    /// A sign of life without content.
    Heard,
    /// The end; nothing follows.
    Ended(Ending),
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(bytes) => write!(f, "Frame({} B)", bytes.len()),
            Self::Heard => f.write_str("Heard"),
            Self::Ended(ending) => f.debug_tuple("Ended").field(ending).finish(),
        }
    }
}

/// An open socket. Dropping it closes it.
#[derive(Debug)]
pub struct Link {
    /// Frames to the server.
    pub out: mpsc::Sender<Vec<u8>>,
    /// What comes from the server.
    pub arrivals: mpsc::Receiver<Arrival>,
}

/// The server could not be reached.
#[derive(Debug, thiserror::Error)]
#[error("the server cannot be reached: {why}")]
pub struct Unreachable {
    /// In plain words.
    pub why: &'static str,
}

/// See the module.
pub trait Transport: Send + Sync + 'static {
    /// Makes one HTTP call within [`CALL_WITHIN`].
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, Unreachable>>;
    /// Opens a WebSocket with the subprotocol of `encoding`.
    fn open(&self, encoding: Encoding) -> BoxFuture<'static, Result<Link, Unreachable>>;
}

/// The network: HTTP/1.1 and WebSocket over TCP or TLS.
#[derive(Clone, Debug)]
pub struct NetTransport {
    base: String,
    http: reqwest::Client,
    tls: Arc<ClientConfig>,
}

/// A server's address is not one.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Not `http://host[:port]` or `https://host[:port]`.
    #[error("a server's address looks like https://chat.example.org, without a path")]
    Address,
    /// The machine's certificates cannot be loaded.
    #[error("the certificates of this machine cannot be loaded")]
    Certificates(#[source] rustls::Error),
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

impl NetTransport {
    /// A transport to `server`, like `https://chat.example.org` or `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn new(server: &str) -> Result<Self, AddressError> {
        let base = server.trim_end_matches('/').to_owned();
        let url = reqwest::Url::parse(&base).map_err(|_| AddressError::Address)?;
        let plain = match url.scheme() {
            "http" => true,
            "https" => false,
            _ => return Err(AddressError::Address),
        };
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !url.has_host() || !bare || !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Address);
        }
        let tls = tls(plain).map_err(AddressError::Certificates)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .redirect(reqwest::redirect::Policy::none())
            .timeout(CALL_WITHIN)
            .build()
            .map_err(AddressError::Client)?;
        Ok(Self { base, http, tls: Arc::new(tls) })
    }
}

/// TLS with ring and the machine's own certificates; with none where TLS is not used.
fn tls(plain: bool) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = if plain {
        builder.with_root_certificates(rustls::RootCertStore::empty())
    } else {
        builder.with_platform_verifier()?
    };
    Ok(builder.with_no_client_auth())
}

impl Transport for NetTransport {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, Unreachable>> {
        let url = format!("{}{}", self.base, call.path);
        let mut request = match call.method {
            Method::Get => self.http.get(url),
            Method::Post => self.http.post(url),
            Method::Put => self.http.put(url),
        };
        if let Some(token) = &call.token {
            request = request.bearer_auth(token.to_base64url());
        }
        if let Some(body) = call.body {
            request = request.header("content-type", "application/json").body(body);
        }
        Box::pin(async move {
            let mut answer = request.send().await.map_err(|error| unreachable(&error))?;
            let status = answer.status().as_u16();
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(&error))? {
                if body.len() + chunk.len() > BODY_MAX {
                    return Err(Unreachable { why: "its answer is too long" });
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Reply { status, body })
        })
    }

    fn open(&self, encoding: Encoding) -> BoxFuture<'static, Result<Link, Unreachable>> {
        // http -> ws, https -> wss.
        let url = format!("ws{}/v1/ws", self.base.trim_start_matches("http"));
        let connector = Connector::Rustls(Arc::clone(&self.tls));
        Box::pin(async move {
            let no = |error| Unreachable {
                why: match error {
                    WsError::Io(_) => "no connection; is the address right and the server running?",
                    WsError::Http(answer) if answer.status().as_u16() == 503 => "it has no room",
                    WsError::Tls(_) => "its certificate cannot be trusted",
                    _ => "the WebSocket could not be opened; is this a Hushwire server?",
                },
            };
            let mut request = url.into_client_request().map_err(no)?;
            let protocol = HeaderValue::from_static(encoding.subprotocol());
            request.headers_mut().insert("sec-websocket-protocol", protocol);
            let config = WebSocketConfig::default()
                .read_buffer_size(8 * 1024)
                .write_buffer_size(0)
                .max_write_buffer_size(4 * limits::FRAME_MAX)
                .max_message_size(Some(limits::FRAME_MAX))
                .max_frame_size(Some(limits::FRAME_MAX));
            let opening =
                connect_async_tls_with_config(request, Some(config), true, Some(connector));
            let timed = tokio::time::timeout(CALL_WITHIN, opening).await;
            let (socket, _) =
                timed.map_err(|_| Unreachable { why: "it did not answer in time" })?.map_err(no)?;
            let (out, outgoing) = mpsc::channel(LINK_FRAMES);
            let (incoming, arrivals) = mpsc::channel(LINK_FRAMES);
            tokio::spawn(pump(socket, encoding, outgoing, incoming));
            Ok(Link { out, arrivals })
        })
    }
}

fn unreachable(error: &reqwest::Error) -> Unreachable {
    Unreachable {
        why: if error.is_connect() {
            "no connection; is the address right and the server running?"
        } else if error.is_timeout() {
            "it did not answer in time"
        } else {
            "the connection broke"
        },
    }
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// Carries frames both ways until one side ends. Pings are answered by the WebSocket itself.
async fn pump(
    mut socket: Socket,
    encoding: Encoding,
    mut outgoing: mpsc::Receiver<Vec<u8>>,
    incoming: mpsc::Sender<Arrival>,
) {
    loop {
        tokio::select! {
            frame = outgoing.recv() => {
                let Some(frame) = frame else {
                    let _ = tokio::time::timeout(CALL_WITHIN, socket.close(None)).await;
                    return;
                };
                let message = match encoding {
                    Encoding::Cbor => Message::Binary(frame.into()),
                    Encoding::Json => match Utf8Bytes::try_from(frame) {
                        Ok(text) => Message::Text(text),
                        Err(_) => continue,
                    },
                };
                if socket.send(message).await.is_err() {
                    let _ = incoming.send(Arrival::Ended(Ending::default())).await;
                    return;
                }
            }
            message = socket.next() => {
                let arrival = match message {
                    Some(Ok(Message::Binary(bytes))) => Arrival::Frame(bytes.into()),
                    Some(Ok(Message::Text(text))) => Arrival::Frame(text.as_bytes().to_vec()),
                    Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => {
                        let ending = Ending::of_close(code.into(), &reason);
                        let _ = incoming.send(Arrival::Ended(ending)).await;
                        // Lets the WebSocket answer the close.
                        let _ = tokio::time::timeout(CALL_WITHIN, socket.next()).await;
                        return;
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                        // Answered on the next flush.
                        if socket.flush().await.is_err() {
                            Arrival::Ended(Ending::default())
                        } else {
                            Arrival::Heard
                        }
                    }
                    Some(Ok(Message::Frame(_))) => continue,
                    Some(Ok(Message::Close(None)) | Err(_)) | None => {
                        Arrival::Ended(Ending::default())
                    }
                };
                let is_end = matches!(arrival, Arrival::Ended(_));
                if incoming.send(arrival).await.is_err() || is_end {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_judged_before_anything_is_sent() {
        for good in ["http://127.0.0.1:8080", "http://localhost/", "http://[::1]:9"] {
            assert!(NetTransport::new(good).is_ok(), "{good}");
        }
        for bad in ["", "localhost", "ftp://x", "http://x/path", "http://u:p@x", "http://x?q"] {
            assert!(matches!(NetTransport::new(bad), Err(AddressError::Address)), "{bad}");
        }
    }

    #[test]
    fn debug_of_a_call_hides_token_and_body() {
        let call = Call {
            method: Method::Put,
            path: "/v1/prekey".to_owned(),
            token: Some(Token([7; 32])),
            body: Some(b"secret".to_vec()),
        };
        assert_eq!(format!("{call:?}"), "Put /v1/prekey");
        let reply = Reply { status: 200, body: b"secret".to_vec() };
        assert_eq!(format!("{reply:?}"), "Reply(200, 6 B)");
        assert_eq!(format!("{:?}", Arrival::Frame(b"secret".to_vec())), "Frame(6 B)");
    }
}
