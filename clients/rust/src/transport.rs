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
/// How long a download may take, from its first byte to its last.
pub const DOWNLOAD_WITHIN: Duration = Duration::from_secs(1_800);
/// Pieces of a download that wait for whoever reads it, at most.
pub const DOWNLOAD_CHUNKS: usize = 16;
/// Why a server with a certificate that this machine does not trust cannot be reached.
pub const UNTRUSTED: &str = "its certificate is not trusted on this machine: check the address. If \
    the server has a certificate of its own authority, name the file with it in SSL_CERT_FILE";

/// The methods of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Do.
    Post,
    /// Replace.
    Put,
    /// End.
    Delete,
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

/// An HTTP answer that comes in pieces.
#[derive(Debug)]
pub struct Download {
    /// The status.
    pub status: u16,
    /// The body, piece by piece. It ends early without a word only if the transport did.
    pub chunks: mpsc::Receiver<Result<Vec<u8>, Unreachable>>,
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
#[derive(Clone, Debug, thiserror::Error)]
#[error("the server cannot be reached: {why}")]
pub struct Unreachable {
    /// In plain words.
    pub why: &'static str,
}

/// See the module.
pub trait Transport: Send + Sync + 'static {
    /// Makes one HTTP call within [`CALL_WITHIN`].
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, Unreachable>>;
    /// Makes one HTTP call whose answer may be larger than [`BODY_MAX`], within
    /// [`DOWNLOAD_WITHIN`].
    fn download(&self, call: Call) -> BoxFuture<'static, Result<Download, Unreachable>> {
        let whole = self.call(call);
        Box::pin(async move {
            let Reply { status, body } = whole.await?;
            let (sender, chunks) = mpsc::channel(1);
            // There is room for one.
            let _ = sender.try_send(Ok(body));
            Ok(Download { status, chunks })
        })
    }
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

impl NetTransport {
    fn request(&self, call: Call) -> reqwest::RequestBuilder {
        let url = format!("{}{}", self.base, call.path);
        let mut request = match call.method {
            Method::Get => self.http.get(url),
            Method::Post => self.http.post(url),
            Method::Put => self.http.put(url),
            Method::Delete => self.http.delete(url),
        };
        if let Some(token) = &call.token {
            request = request.bearer_auth(token.to_base64url());
        }
        match call.body {
            Some(body) => request.header("content-type", "application/json").body(body),
            None => request,
        }
    }
}

impl Transport for NetTransport {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, Unreachable>> {
        let request = self.request(call);
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

    fn download(&self, call: Call) -> BoxFuture<'static, Result<Download, Unreachable>> {
        let request = self.request(call).timeout(DOWNLOAD_WITHIN);
        Box::pin(async move {
            let sent = tokio::time::timeout(CALL_WITHIN, request.send()).await;
            let sent = sent.map_err(|_| Unreachable { why: TOO_SLOW })?;
            let mut answer = sent.map_err(|error| unreachable(&error))?;
            let status = answer.status().as_u16();
            let (sender, chunks) = mpsc::channel(DOWNLOAD_CHUNKS);
            tokio::spawn(async move {
                loop {
                    let piece = match answer.chunk().await {
                        Ok(None) => return,
                        Ok(Some(piece)) => Ok(piece.to_vec()),
                        Err(error) => Err(unreachable(&error)),
                    };
                    let is_end = piece.is_err();
                    // Whoever read it may have gone: then nobody wants the rest.
                    if sender.send(piece).await.is_err() || is_end {
                        return;
                    }
                }
            });
            Ok(Download { status, chunks })
        })
    }

    fn open(&self, encoding: Encoding) -> BoxFuture<'static, Result<Link, Unreachable>> {
        // http -> ws, https -> wss.
        let url = format!("ws{}/v1/ws", self.base.trim_start_matches("http"));
        let connector = Connector::Rustls(Arc::clone(&self.tls));
        Box::pin(async move {
            let no = |error| Unreachable {
                why: match error {
                    WsError::Io(error) if is_untrusted(&error) => UNTRUSTED,
                    WsError::Io(_) => NO_CONNECTION,
                    WsError::Http(answer) if answer.status().as_u16() == 503 => "it has no room",
                    WsError::Tls(error) if is_untrusted(&error) => UNTRUSTED,
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
            let (socket, _) = timed.map_err(|_| Unreachable { why: TOO_SLOW })?.map_err(no)?;
            let (out, outgoing) = mpsc::channel(LINK_FRAMES);
            let (incoming, arrivals) = mpsc::channel(LINK_FRAMES);
            tokio::spawn(pump(socket, encoding, outgoing, incoming));
            Ok(Link { out, arrivals })
        })
    }
}

const NO_CONNECTION: &str = "no connection; is the address right and the server running?";
const TOO_SLOW: &str = "it did not answer in time";
/// Causes of an error that are looked at, at most.
const CAUSES_MAX: usize = 16;

/// Whether an error, or what caused it, is a certificate that does not hold.
fn is_untrusted(error: &(dyn std::error::Error + 'static)) -> bool {
    let is = |error: &(dyn std::error::Error + 'static)| {
        matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))
    };
    // An I/O error names the causes of what it wraps, and not the wrapped one itself.
    let wraps = |error: &(dyn std::error::Error + 'static)| {
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        wrapped.is_some_and(|wrapped| is_untrusted(wrapped))
    };
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.take(CAUSES_MAX).any(|error| is(error) || wraps(error))
}

fn unreachable(error: &reqwest::Error) -> Unreachable {
    Unreachable {
        why: if is_untrusted(error) {
            UNTRUSTED
        } else if error.is_connect() {
            NO_CONNECTION
        } else if error.is_timeout() {
            TOO_SLOW
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
    fn a_certificate_that_is_not_trusted_is_told_from_no_connection() {
        use rustls::CertificateError;
        let bad = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let wrapped = std::io::Error::other(std::io::Error::other(bad()));
        assert!(is_untrusted(&bad()) && is_untrusted(&wrapped));
        let other = std::io::Error::other(rustls::Error::DecryptError);
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(!is_untrusted(&other) && !is_untrusted(&refused));
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
