//! Heads and bodies of requests that HTTP does not allow, or that come too slowly: each is
//! refused as HTTP says, nothing hangs, and nothing is the server's fault (no 500).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use support::Server;

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came back until the server closed: all status codes of its answers, and the bytes.
struct Said {
    statuses: Vec<u16>,
    bytes: Vec<u8>,
    took: Duration,
}

/// Writes the bytes, ends this half if `ends`, and reads until the server closes.
fn say(server: &Server, bytes: &[u8], ends: bool) -> Said {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let began = Instant::now();
    // A refusal may come, and the connection end, before all is written.
    let _ = stream.write_all(bytes);
    if ends {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut said = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => said.extend_from_slice(&piece[..n]),
            Err(error) => {
                let hangs = matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                );
                assert!(!hangs, "it hangs: {:?}", String::from_utf8_lossy(bytes));
                break;
            }
        }
    }
    let text = String::from_utf8_lossy(&said);
    let status = |line: &str| line.get(2..5)?.parse().ok();
    // HTTP/1.0 is answered in kind.
    let statuses = text.split("HTTP/1.").skip(1).filter_map(status).collect();
    Said { statuses, took: began.elapsed(), bytes: said }
}

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: hushwire.v1.json\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

/// A request line and headers, with a host.
fn head(line: &str, headers: &str) -> String {
    format!("{line}\r\nHost: localhost\r\n{headers}\r\n")
}

#[test]
fn what_http_does_not_allow_is_refused() {
    let server = Server::start();
    let close = "Connection: close\r\n";
    let get = "GET /v1/server HTTP/1.1";
    let post = "POST /v1/accounts HTTP/1.1";
    let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    let huge = format!("x-huge: {}\r\n", "y".repeat(200_000));
    let long = format!("GET /{} HTTP/1.1", "p".repeat(70_000));
    let both = format!("{JSON}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n");
    let chunks = format!("{JSON}{close}Transfer-Encoding: chunked\r\n");
    let table: Vec<(&str, String, &[u16])> = vec![
        ("a good request", head(get, close), &[200]),
        ("an absolute form", head("GET http://localhost/v1/server HTTP/1.1", close), &[200]),
        ("too many headers", head(get, &many), &[431]),
        ("a huge header", head(get, &huge), &[431]),
        ("a long path", head(&long, close), &[400]),
        ("a path with a space", head("GET /v1/ server HTTP/1.1", close), &[400]),
        ("no path", head("GET HTTP/1.1", close), &[400]),
        ("a path that is none", head("GET v1/server HTTP/1.1", close), &[400]),
        ("a control character in a path", head("GET /v1/\u{1}x HTTP/1.1", close), &[400]),
        ("a version that is none", head("GET /v1/server HTTP/9.9", close), &[400]),
        ("no version", head("GET /v1/server", close), &[400]),
        ("another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned(), &[400]),
        ("HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[400]),
        ("TLS where there is none", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\r\n\r\n".to_owned(), &[400]),
        ("a method that is none", head("G@T /v1/server HTTP/1.1", close), &[400]),
        ("an unknown method", head("BREW /v1/server HTTP/1.1", close), &[405]),
        ("TRACE", head("TRACE /v1/server HTTP/1.1", close), &[405]),
        ("CONNECT", head("CONNECT example.org:443 HTTP/1.1", close), &[404]),
        ("a space before a colon", head(get, "Content-Length : 5\r\n"), &[400]),
        ("a header without a name", head(get, ": x\r\n"), &[400]),
        ("a header with NUL", head(get, "x-y: a\0b\r\n"), &[400]),
        ("two lengths", head(post, "Content-Length: 2\r\nContent-Length: 3\r\n") + "{}", &[400]),
        ("a length that is none", head(post, "Content-Length: two\r\n") + "{}", &[400]),
        ("a length with a sign", head(post, "Content-Length: +2\r\n") + "{}", &[400]),
        ("length and chunks", head(post, &both) + "0\r\n\r\nGET /v1/server HTTP/1.1", &[400]),
        ("another coding", head(post, "Transfer-Encoding: gzip, x\r\n") + "{}", &[400]),
        ("two codings", head(post, "Transfer-Encoding: chunked, chunked\r\n") + "{}", &[400]),
        ("a chunk that is none", head(post, &chunks) + "zz\r\n{}\r\n0\r\n\r\n", &[400]),
        ("a chunk that overflows", head(post, &chunks) + "fffffffffffffffff\r\n{}", &[400]),
    ];
    let differing: Vec<_> = table
        .into_iter()
        .filter_map(|(what, request, expected)| {
            let said = say(&server, request.as_bytes(), false);
            let text = String::from_utf8_lossy(&said.bytes).into_owned();
            (said.statuses != expected)
                .then(|| format!("{what}: {:?}, not {expected:?}: {text}", said.statuses))
        })
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn upgrades_that_are_none_are_refused() {
    let server = Server::start();
    let good = "GET /v1/ws HTTP/1.1";
    let with = |more: &str| format!("{UPGRADE}{more}");
    let smuggled = "GET /v1/server HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let table: Vec<(&str, String, &[u16])> = vec![
        ("an absolute form", head("GET http://localhost/v1/ws HTTP/1.1", UPGRADE), &[101]),
        ("POST", head("POST /v1/ws HTTP/1.1", &with("Content-Length: 0\r\n")), &[405]),
        ("HEAD", head("HEAD /v1/ws HTTP/1.1", UPGRADE), &[405]),
        ("HTTP/1.0", head("GET /v1/ws HTTP/1.0", UPGRADE), &[426]),
        ("no host", format!("{good}\r\n{UPGRADE}\r\n"), &[400]),
        ("two hosts", head(good, &with("Host: example.org\r\n")), &[400]),
        ("a body", head(good, &with("Content-Length: 5\r\n")) + "hello", &[400]),
        // What has chunks is an ordinary request.
        ("chunks", head(good, &with("Transfer-Encoding: chunked\r\n")) + "0\r\n\r\n", &[426]),
        (
            "length and chunks",
            { head(good, &with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")) + smuggled },
            &[400],
        ),
        (
            "a body that is a request",
            {
                let length = format!("Content-Length: {}\r\n", smuggled.len());
                head("POST /v1/ws HTTP/1.1", &with(&length)) + smuggled
            },
            &[405],
        ),
        ("to h2c", head("GET /v1/ws HTTP/1.1", "Upgrade: h2c\r\nConnection: close\r\n"), &[426]),
    ];
    for (what, request, expected) in table {
        let said = say(&server, request.as_bytes(), true);
        assert_eq!(said.statuses, expected, "{what}: {}", String::from_utf8_lossy(&said.bytes));
    }
}

#[test]
fn what_follows_an_upgrade_is_frames_and_no_request() {
    let server = Server::start();
    let request = head("GET /v1/ws HTTP/1.1", UPGRADE) + "GET /v1/server HTTP/1.1\r\n\r\n";
    let said = say(&server, request.as_bytes(), false);
    assert_eq!(said.statuses, [101], "the second request is not answered");
    // The first byte of what followed, G, has a reserved bit: 1002.
    let goodbye = [0x88, 2 + r#"{"close":"protocol"}"#.len() as u8, 0x03, 0xea];
    let found = said.bytes.windows(4).any(|bytes| bytes == goodbye);
    assert!(found, "{}", String::from_utf8_lossy(&said.bytes));
}

#[test]
fn a_slow_head_and_a_slow_body_are_given_up() {
    let server = Server::start_with(&[
        ("http.request_timeout_ms", "500"),
        ("http.body_timeout_ms", "500"),
        ("http.keep_alive_ms", "500"),
    ]);
    let body = head("POST /v1/accounts HTTP/1.1", &format!("{JSON}Content-Length: 50\r\n")) + "{";
    for (what, bytes, expected) in [
        ("half a head", "GET /v1/server HTTP/1.1\r\nHost: loc", &[408][..]),
        ("half an upgrade", "GET /v1/ws HTTP/1.1\r\nUpgrade: webs", &[408]),
        ("half a body", &body, &[408]),
        ("nothing", "", &[]),
    ] {
        let said = say(&server, bytes.as_bytes(), false);
        assert!(said.took < Duration::from_secs(5), "{what}: {:?}", said.took);
        let first = said.statuses.first().copied();
        assert_eq!(first, expected.first().copied().or(first), "{what}");
    }
}

#[test]
fn connections_of_a_worker_are_bounded_and_more_wait() {
    let server = Server::start_with(&[
        ("server.workers", "1"),
        ("http.connections_per_worker", "2"),
        ("http.request_timeout_ms", "1500"),
    ]);
    let began = Instant::now();
    let half = || {
        let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
        stream.write_all(b"GET /v1/server HTTP/1.1\r\nHost: loc").unwrap();
        stream
    };
    let _held = [half(), half()];
    let request = head("GET /v1/server HTTP/1.1", "Connection: close\r\n");
    let said = say(&server, request.as_bytes(), false);
    assert_eq!(said.statuses, [200], "it is served when a place is free");
    assert!(began.elapsed() >= Duration::from_millis(1_400), "{:?}", began.elapsed());
}
