//! The edge of HTTP: what every answer carries, which methods a path takes, which pages may ask,
//! and whose address counts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hushwire::routes;
use hushwire_wire::http::{Problem, ProblemCode};
use reqwest::Method;
use support::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer, read from the wire.
struct Raw {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Raw {
    fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().filter(|(known, _)| known == name);
        let (found, more) = (all.next(), all.next());
        assert!(more.is_none(), "{name} twice");
        found.map(|(_, value)| value.as_str())
    }

    /// What every answer carries, refusals and empty ones too.
    fn is_dressed(&self, what: &str) {
        for (name, value) in [
            ("cache-control", "no-store"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("cross-origin-resource-policy", "same-origin"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(self.header(name), Some(value), "{what}");
        }
        for name in ["server", "x-powered-by", "set-cookie", "strict-transport-security"] {
            assert_eq!(self.header(name), None, "{what}");
        }
        if self.status >= 400 {
            assert_eq!(self.header("content-type"), Some("application/problem+json"), "{what}");
        }
    }

    fn problem(&self) -> Problem {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Sends a request as it stands (but for the end of its head), and reads the answer to its end.
async fn raw(url: &str, request: &str) -> Raw {
    let host = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.unwrap();
    let request = format!("{request}\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    read(stream).await
}

async fn read(mut stream: TcpStream) -> Raw {
    let mut all = Vec::new();
    let end = stream.read_to_end(&mut all);
    timeout(support::socket::PATIENCE, end).await.expect("an end in time").unwrap();
    let all = String::from_utf8(all).unwrap();
    let (head, body) = all.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {all}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_lowercase(), value.to_owned())
    };
    Raw { status, headers: lines.map(header).collect(), body: body.to_owned() }
}

#[tokio::test]
async fn every_answer_carries_what_protects_it() {
    let server = Server::start();
    let upgrade = "connection: upgrade\r\nupgrade: websocket";
    for (request, status) in [
        ("GET /v1/server HTTP/1.1", 200),
        ("HEAD /v1/server HTTP/1.1", 200),
        ("GET /v1/contacts HTTP/1.1", 401),
        ("GET /v1/nothing HTTP/1.1", 404),
        ("GET / HTTP/1.1", 404),
        ("DELETE /v1/server HTTP/1.1", 405),
        ("GET /v1/ws HTTP/1.1", 426),
        ("POST /v1/accounts HTTP/1.1\r\ncontent-length: 0", 400),
        // Preflights, refused.
        (
            "OPTIONS /v1/server HTTP/1.1\r\norigin: https://evil.example\r\naccess-control-request-method: GET",
            403,
        ),
    ] {
        let answer = raw(&server.url, request).await;
        assert_eq!(answer.status, status, "{request}");
        answer.is_dressed(request);
    }
    for (request, status) in [
        (format!("GET /v1/ws HTTP/1.1\r\n{upgrade}"), 426),
        (format!("GET /v1/nothing HTTP/1.1\r\n{upgrade}"), 404),
        (
            format!(
                "GET /v1/ws HTTP/1.1\r\n{upgrade}\r\norigin: https://evil.example\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
            ),
            403,
        ),
        (format!("POST /v1/ws HTTP/1.1\r\n{upgrade}"), 405),
    ] {
        let host = server.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).await.unwrap();
        let request = format!("{request}\r\nhost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read(stream).await;
        assert_eq!(answer.status, status, "{request}");
        answer.is_dressed(&request);
    }
    let admin = server.admin();
    for path in ["/healthz", "/readyz", "/v1/server"] {
        raw(&admin.url, &format!("GET {path} HTTP/1.1")).await.is_dressed(path);
    }
}

#[tokio::test]
async fn a_path_takes_the_methods_of_its_rows_and_no_other() {
    let server = Server::start();
    for row in routes::PUBLIC {
        let path = row.path.replace("{user}", "x").replace("{epoch}", "x").replace("{device}", "x");
        let rows = routes::PUBLIC.iter().filter(|other| other.path == row.path);
        let mut allow: Vec<_> = rows.map(|row| row.method).collect();
        if allow.contains(&"GET") {
            allow.push("HEAD");
        }
        let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"];
        for method in methods {
            let request = format!("{method} {path} HTTP/1.1\r\ncontent-length: 0");
            let answer = raw(&server.url, &request).await;
            if allow.contains(&method) {
                assert_ne!(answer.status, 405, "{request}");
                continue;
            }
            assert_eq!(answer.status, 405, "{request}");
            assert_eq!(answer.header("allow"), Some(allow.join(", ").as_str()), "{request}");
            if method != "HEAD" {
                assert_eq!(answer.problem().code, ProblemCode::MethodNotAllowed);
            }
            answer.is_dressed(&request);
        }
    }
    let head = raw(&server.url, "HEAD /v1/server HTTP/1.1").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn pages_of_the_allowed_origins_may_ask_and_others_may_not() {
    let server = Server::start_with(&[("sockets.origins", "https://chat.example")]);
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /v1/contacts HTTP/1.1\r\norigin: {origin}\r\n\
             access-control-request-method: POST\r\naccess-control-request-headers: authorization"
        )
    };
    let allowed = raw(&server.url, &preflight("https://chat.example")).await;
    assert_eq!(allowed.status, 204);
    allowed.is_dressed("a preflight");
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://chat.example"));
    let methods = allowed.header("access-control-allow-methods").unwrap();
    for row in routes::PUBLIC {
        assert!(methods.split(", ").any(|one| one == row.method), "{} in {methods}", row.method);
    }
    assert_eq!(allowed.header("access-control-allow-headers"), Some("authorization, content-type"));
    assert_eq!(allowed.header("access-control-allow-credentials"), None, "there are no cookies");
    for origin in ["https://evil.example", "https://chat.example.evil.example", "null"] {
        let refused = raw(&server.url, &preflight(origin)).await;
        assert_eq!(refused.status, 403, "{origin}");
        assert_eq!(refused.header("access-control-allow-origin"), None, "{origin}");
    }
    let get = |origin: &str| format!("GET /v1/server HTTP/1.1\r\norigin: {origin}");
    let own = raw(&server.url, &get("https://chat.example")).await;
    assert_eq!(own.header("access-control-allow-origin"), Some("https://chat.example"));
    assert_eq!(own.header("vary"), Some("origin"));
    let other = raw(&server.url, &get("https://evil.example")).await;
    assert_eq!(other.header("access-control-allow-origin"), None);
    assert_eq!(other.header("vary"), Some("origin"), "a cache must not mix them up");
    // Nothing is allowed unless it is set, and the admin interface is nobody's.
    let closed = Server::start();
    let answer = raw(&closed.url, &preflight("https://chat.example")).await;
    assert_eq!(answer.status, 403);
    let answer = raw(&server.admin().url, &preflight("https://chat.example")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (404, None));
}

/// Asks for a challenge, which is counted by address.
async fn challenge(server: &Server, headers: &[(&str, &str)]) -> u16 {
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers);
    let body = Some(b"{}".to_vec());
    let reply = server.http().with_headers(Method::POST, "/v1/auth/challenge", &all, body).await;
    if !reply.status.is_success() {
        reply.problem();
    }
    reply.status.as_u16()
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_client_s_address_counts() {
    let server = Server::start_with(&[
        ("http.proxies", "127.0.0.0/8, 10.0.0.0/8"),
        ("limits.sign_ins_per_minute", "2"),
    ]);
    let from = |value: &'static str| [("x-forwarded-for", value)];
    for _ in 0..2 {
        assert_eq!(challenge(&server, &from("203.0.113.1")).await, 200);
    }
    assert_eq!(challenge(&server, &from("203.0.113.1")).await, 429);
    assert_eq!(challenge(&server, &from("198.51.100.1, 203.0.113.1")).await, 429, "made up");
    assert_eq!(challenge(&server, &from("203.0.113.1, 10.0.0.7")).await, 429, "two proxies");
    assert_eq!(challenge(&server, &from("203.0.113.2")).await, 200, "somebody else");
    // One network of IPv6 is one address.
    assert_eq!(challenge(&server, &from("2001:db8::1")).await, 200);
    assert_eq!(challenge(&server, &from("2001:db8::2")).await, 200);
    assert_eq!(challenge(&server, &from("2001:db8::3")).await, 429);
    assert_eq!(challenge(&server, &from("2001:db8:0:1::1")).await, 200);
    for garbage in ["unknown", "203.0.113.1,", "203.0.113.300"] {
        assert_eq!(challenge(&server, &[("x-forwarded-for", garbage)]).await, 400, "{garbage}");
    }
}

#[tokio::test]
async fn from_anybody_else_a_forwarded_address_is_ignored() {
    let server =
        Server::start_with(&[("http.proxies", "10.0.0.0/8"), ("limits.sign_ins_per_minute", "1")]);
    // Loopback is exempt: if the header counted, the second would be refused.
    for _ in 0..3 {
        assert_eq!(challenge(&server, &[("x-forwarded-for", "203.0.113.1")]).await, 200);
        assert_eq!(challenge(&server, &[("x-forwarded-for", "garbage")]).await, 200);
    }
    let request = "GET /v1/server HTTP/1.1\r\nx-forwarded-proto: https";
    assert_eq!(raw(&server.url, request).await.header("strict-transport-security"), None);
}

#[tokio::test]
async fn behind_a_proxy_that_ends_tls_browsers_are_told_to_stay_with_it() {
    let server = Server::start_with(&[("http.proxies", "127.0.0.1")]);
    for path in ["/v1/server", "/v1/nothing"] {
        let secure = format!("GET {path} HTTP/1.1\r\nx-forwarded-proto: https");
        let hsts = raw(&server.url, &secure).await;
        let hsts = hsts.header("strict-transport-security").unwrap().to_owned();
        assert_eq!(hsts, "max-age=63072000; includeSubDomains");
        let plain = format!("GET {path} HTTP/1.1\r\nx-forwarded-proto: http");
        raw(&server.url, &plain).await.is_dressed(path);
    }
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_refused() {
    let server = Server::start();
    let head = "POST /v1/auth/challenge HTTP/1.1\r\ncontent-type: application/json";
    for framing in [
        "content-length: 2\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 2",
        "content-length: 2\r\ncontent-length: 3",
        "content-length: +2",
        "transfer-encoding: chunked, identity",
    ] {
        let host = server.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).await.unwrap();
        let second = "GET /v1/server HTTP/1.1\r\nhost: x\r\n\r\n";
        let request = format!("{head}\r\nhost: {host}\r\n{framing}\r\n\r\n{{}}{second}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read(stream).await;
        assert_eq!((answer.status, answer.body.as_str()), (400, ""), "{framing}");
    }
}
