//! The upgrade: what a request must be to become a WebSocket, and how it leaves HTTP.
//!
//! Every request with `Upgrade: websocket`, on any path and with any method, comes here and
//! never to the `App`; so path, method, version, body, Origin, subprotocol and limits by address
//! are checked here. A refusal closes the connection. After 101 the raw stream belongs to a session
//! of the engine, and the HTTP task ends. Generic over the stream: with TLS or without, the code is the same.

use std::fmt;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::body::{BodySize, BoxBody};
use actix_http::header::{
    CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL, TRANSFER_ENCODING,
};
use actix_http::ws::HandshakeError;
use actix_http::{ConnectionType, Request, RequestHead, Response, Version, h1, ws};
use actix_web::ResponseError as _;
use actix_web::http::StatusCode;
use bytes::{Bytes, BytesMut};
use futures_util::SinkExt as _;
use hushwire_wire::http::ProblemCode;
use hushwire_wire::limits::{VERSION_NEWEST, VERSION_OLDEST};
use hushwire_wire::{Close, Encoding};
use slog::debug;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::http::State;
use crate::http::headers::dress;
use crate::http::problem::{self, Refusal};

/// Where WebSockets connect.
pub(crate) const PATH: &str = "/v1/ws";

/// How long an answer to an upgrade may take to be written.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What a client and this server speak.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Spoken {
    /// A version of the protocol, in this encoding.
    Both(Encoding),
    /// Only the client speaks it: the subprotocol it named, and the encoding in that.
    ClientOnly(String, Encoding),
}

impl Spoken {
    fn subprotocol(&self) -> &str {
        match self {
            Self::Both(encoding) => encoding.subprotocol(),
            Self::ClientOnly(name, _) => name,
        }
    }
}

/// The connection broke during the upgrade; there is nobody to tell.
#[derive(Debug)]
pub(crate) struct Broken(&'static str);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl From<Broken> for Response<BoxBody> {
    fn from(_: Broken) -> Self {
        Self::internal_server_error()
    }
}

/// Takes a connection over, or refuses and closes it.
pub(crate) async fn upgrade<T>(
    req: Request,
    mut framed: Framed<T, h1::Codec>,
    state: &State,
) -> Result<(), Broken>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let admitted = check(req.head(), &state.settings.sockets.origins).and_then(|spoken| {
        let from = state.limited(req.peer_addr(), &req.head().headers)?;
        state.admit_upgrade(from)?;
        let permit = state.engine.admit_socket(from).map_err(no_room)?;
        Ok((spoken, permit))
    });
    match admitted {
        Err(refusal) => {
            debug!(state.log, "upgrade refused"; "status" => refusal.problem().status);
            let secure = state.is_secure(req.peer_addr(), &req.head().headers);
            within(refuse(&mut framed, &refusal, secure)).await
        }
        Ok((spoken, permit)) => {
            let mut response = ws::handshake_response(req.head());
            response.insert_header((SEC_WEBSOCKET_PROTOCOL, spoken.subprotocol()));
            let response = response.message_body(()).map_err(|_| Broken("no answer was made"))?;
            let sent = framed.send(h1::Message::Item((response, BodySize::None)));
            within(async { sent.await.map_err(|_| Broken("the answer was not taken")) }).await?;
            let parts = framed.into_parts();
            // Copied out: the read buffer is a block of 8 KiB.
            let early = BytesMut::from(&parts.read_buf[..]);
            let io = parts.io;
            drop((parts.codec, parts.read_buf, parts.write_buf, req));
            match spoken {
                Spoken::Both(encoding) => {
                    state.engine.start_session(io, early, encoding, permit);
                }
                Spoken::ClientOnly(_, encoding) => {
                    let close = Close::UpgradeRequired;
                    state.engine.refuse_session(io, encoding, permit, close);
                }
            }
            Ok(())
        }
    }
}

/// 426: the same path takes WebSockets of version 13.
pub(crate) fn upgrade_required(detail: &str) -> Refusal {
    Refusal::new(ProblemCode::BadRequest, detail).status(StatusCode::UPGRADE_REQUIRED)
}

async fn within(answer: impl Future<Output = Result<(), Broken>>) -> Result<(), Broken> {
    tokio::time::timeout(ANSWER_WITHIN, answer).await.unwrap_or(Err(Broken("too slow")))
}

async fn refuse<T>(
    framed: &mut Framed<T, h1::Codec>,
    refusal: &Refusal,
    secure: bool,
) -> Result<(), Broken>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let body = Bytes::from(problem::body(refusal.problem()));
    let mut response = Response::from(refusal.error_response()).drop_body();
    let head = response.head_mut();
    head.set_connection_type(ConnectionType::Close);
    let headers = &mut head.headers;
    dress(headers, secure);
    if head.status == StatusCode::UPGRADE_REQUIRED {
        headers.insert(actix_http::header::UPGRADE, HeaderValue::from_static("websocket"));
        let version = actix_http::header::SEC_WEBSOCKET_VERSION;
        headers.insert(version, HeaderValue::from_static("13"));
    }
    let size = BodySize::Sized(u64::try_from(body.len()).unwrap_or(0));
    let taken = |_| Broken("the refusal was not taken");
    framed.send(h1::Message::Item((response, size))).await.map_err(taken)?;
    framed.send(h1::Message::Chunk(Some(body))).await.map_err(taken)?;
    framed.send(h1::Message::Chunk(None)).await.map_err(taken)?;
    framed.close().await.map_err(taken)
}

fn no_room(close: Close) -> Refusal {
    let why = match close {
        Close::Restarting => "The server restarts. Connect again in a moment.",
        _ => "The server has no room for one more connection. Try again later.",
    };
    Refusal::new(ProblemCode::Unavailable, why).retry_after(1_000)
}

/// Whether a request may become a WebSocket, and what is spoken then.
fn check(head: &RequestHead, origins: &[String]) -> Result<Spoken, Refusal> {
    if head.uri.path() != PATH {
        return Err(Refusal::new(ProblemCode::NotFound, "There is no such path."));
    }
    ws::verify_handshake(head).map_err(|error| match error {
        HandshakeError::GetMethodRequired => Refusal::method("GET"),
        HandshakeError::NoVersionHeader | HandshakeError::UnsupportedVersion => {
            upgrade_required("WebSockets of version 13 are spoken here.")
        }
        HandshakeError::BadWebsocketKey => {
            Refusal::field("sec-websocket-key", "16 bytes in base64")
        }
        HandshakeError::NoWebsocketUpgrade | HandshakeError::NoConnectionUpgrade => {
            upgrade_required("This path takes WebSocket connections only.")
        }
    })?;
    // HTTP/1.0 has no upgrades, and what would follow as a body is not a frame.
    if head.version != Version::HTTP_11 {
        return Err(upgrade_required("WebSockets begin with HTTP/1.1."));
    }
    if head.headers.get_all(HOST).count() != 1 {
        return Err(Refusal::field("host", "one header that names this server"));
    }
    let bodiless = |length: &HeaderValue| length.as_bytes() == b"0";
    if head.headers.contains_key(TRANSFER_ENCODING)
        || !head.headers.get_all(CONTENT_LENGTH).all(bodiless)
    {
        return Err(Refusal::field("body", "an upgrade without a body"));
    }
    check_origin(&head.headers, origins)?;
    subprotocol(&head.headers).ok_or_else(|| {
        Refusal::field("sec-websocket-protocol", "hushwire.v1.cbor or hushwire.v1.json")
    })
}

/// Browsers say which page connects, and cannot lie; other programs say nothing and may.
fn check_origin(headers: &HeaderMap, origins: &[String]) -> Result<(), Refusal> {
    let mut given = headers.get_all(ORIGIN).peekable();
    if given.peek().is_none() {
        return Ok(());
    }
    let allowed = |origin: &HeaderValue| {
        origins.iter().any(|one| one == "*" || one.as_bytes() == origin.as_bytes())
    };
    if given.all(allowed) {
        return Ok(());
    }
    Err(Refusal::new(ProblemCode::Forbidden, "Pages of this origin may not connect."))
}

/// What is spoken of what a client offers: a version that both speak, or the first of those that
/// it alone speaks.
fn subprotocol(headers: &HeaderMap) -> Option<Spoken> {
    let given: Vec<&str> = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let both = Encoding::ALL.into_iter().find(|encoding| given.contains(&encoding.subprotocol()));
    both.map(Spoken::Both).or_else(|| given.into_iter().find_map(unspoken))
}

/// A subprotocol of this protocol whose version is not spoken.
fn unspoken(name: &str) -> Option<Spoken> {
    let (version, encoding) = name.strip_prefix("hushwire.v")?.split_once('.')?;
    let encoding = match encoding {
        "cbor" => Encoding::Cbor,
        "json" => Encoding::Json,
        _ => return None,
    };
    let canonical = !version.is_empty()
        && version.bytes().all(|byte| byte.is_ascii_digit())
        && (version == "0" || !version.starts_with('0'));
    let spoken = version
        .parse()
        .is_ok_and(|version: u16| (VERSION_OLDEST..=VERSION_NEWEST).contains(&version));
    let short = version.len() <= 5;
    (canonical && short && !spoken).then(|| Spoken::ClientOnly(name.to_owned(), encoding))
}

#[cfg(test)]
mod tests {
    use actix_http::Method;
    use actix_http::test::TestRequest;

    use super::*;

    const GOOD: [(&str, &str); 6] = [
        ("host", "chat.example.com"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "hushwire.v1.json"),
    ];

    fn answer(path: &str, method: Method, headers: &[(&str, &str)]) -> Result<Spoken, u16> {
        let mut request = TestRequest::with_uri(path);
        request.method(method);
        for (name, value) in headers {
            request.append_header((*name, *value));
        }
        let request = request.finish();
        let origins = ["https://chat.example.com".to_owned()];
        check(request.head(), &origins).map_err(|refusal| refusal.problem().status)
    }

    fn with(name: &'static str, value: Option<&'static str>) -> Vec<(&'static str, &'static str)> {
        let mut headers: Vec<_> = GOOD.into_iter().filter(|(other, _)| *other != name).collect();
        headers.extend(value.map(|value| (name, value)));
        headers
    }

    #[test]
    fn a_request_is_judged_by_path_method_version_origin_and_subprotocol() {
        let json = || Ok(Spoken::Both(Encoding::Json));
        assert_eq!(answer(PATH, Method::GET, &GOOD), json());
        assert_eq!(answer("/v1/ws/", Method::GET, &GOOD), Err(404));
        assert_eq!(answer("/", Method::GET, &GOOD), Err(404));
        assert_eq!(answer(PATH, Method::POST, &GOOD), Err(405));
        assert_eq!(answer(PATH, Method::GET, &with("sec-websocket-version", Some("8"))), Err(426));
        assert_eq!(answer(PATH, Method::GET, &with("sec-websocket-version", None)), Err(426));
        assert_eq!(answer(PATH, Method::GET, &with("sec-websocket-key", None)), Err(400));
        assert_eq!(answer(PATH, Method::GET, &with("connection", None)), Err(426));
        let protocol = "sec-websocket-protocol";
        assert_eq!(answer(PATH, Method::GET, &with(protocol, None)), Err(400));
        let both = with(protocol, Some("other, hushwire.v1.json, hushwire.v1.cbor"));
        assert_eq!(answer(PATH, Method::GET, &both), Ok(Spoken::Both(Encoding::Cbor)));
        let own = with("origin", Some("https://chat.example.com"));
        assert_eq!(answer(PATH, Method::GET, &own), json());
        for other in ["https://evil.example", "https://chat.example.com.evil.example", "null", ""] {
            let mut headers = GOOD.to_vec();
            headers.push(("origin", other));
            assert_eq!(answer(PATH, Method::GET, &headers), Err(403), "{other}");
            headers.push(("origin", "https://chat.example.com"));
            assert_eq!(
                answer(PATH, Method::GET, &headers),
                Err(403),
                "{other}, then an allowed one"
            );
        }
    }

    #[test]
    fn an_upgrade_is_http_1_1_for_one_host_without_a_body() {
        for (name, value, status) in [
            ("host", None, Some(400)),
            ("content-length", Some("5"), Some(400)),
            ("content-length", Some("0"), None),
            ("transfer-encoding", Some("chunked"), Some(400)),
        ] {
            let answer = answer(PATH, Method::GET, &with(name, value));
            assert_eq!(answer.err(), status, "{name} {value:?}");
        }
        let mut twice = GOOD.to_vec();
        twice.push(("host", "other.example.com"));
        assert_eq!(answer(PATH, Method::GET, &twice), Err(400));
        let mut old = TestRequest::with_uri(PATH);
        old.version(Version::HTTP_10);
        for header in GOOD {
            old.append_header(header);
        }
        let refusal = check(old.finish().head(), &[]).unwrap_err();
        assert_eq!(refusal.problem().status, 426);
    }

    #[test]
    fn a_version_that_is_not_spoken_is_recognised() {
        let offer = |names| answer(PATH, Method::GET, &with("sec-websocket-protocol", Some(names)));
        for (names, first, encoding) in [
            ("hushwire.v2.cbor", "hushwire.v2.cbor", Encoding::Cbor),
            ("hushwire.v0.json, hushwire.v2.cbor", "hushwire.v0.json", Encoding::Json),
            ("chat, hushwire.v99999.json", "hushwire.v99999.json", Encoding::Json),
        ] {
            assert_eq!(offer(names), Ok(Spoken::ClientOnly(first.to_owned(), encoding)));
        }
        let spoken = offer("hushwire.v2.cbor, hushwire.v1.json");
        assert_eq!(spoken, Ok(Spoken::Both(Encoding::Json)), "one of them is spoken");
        for unknown in [
            "chat",
            "hushwire.v1.xml",
            "hushwire.v01.json",
            "hushwire.v.json",
            "hushwire.v-1.json",
            "hushwire.v+2.json",
            "hushwire.v123456.json",
            "hushwire.v2",
            "xhushwire.v2.json",
        ] {
            assert_eq!(offer(unknown), Err(400), "{unknown}");
        }
    }
}
