//! HTTP requests: routes with their bodies, whole or damaged, in heads that keep RFC 9112 or do
//! not: lengths that contradict each other, chunks, doubled and folded headers, upgrades.

use serde_json::Value;

use crate::dice::Dice;
use crate::mutate;
use crate::world::{ROUTES, World};

/// A request as it is put together.
struct Request {
    method: String,
    path: String,
    version: &'static str,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    /// After a line of the head.
    end: &'static str,
}

/// One request.
pub(crate) fn request(dice: &mut Dice, world: &World, person: usize) -> Vec<u8> {
    let mut request = base(dice, world, person);
    for _ in 0..dice.pick([0, 0, 0, 1, 1, 2, 3]) {
        damage(dice, &mut request);
    }
    frame_body(dice, &mut request);
    let mut out = Vec::new();
    let first = format!("{} {} {}{}", request.method, request.path, request.version, request.end);
    out.extend_from_slice(first.as_bytes());
    for (name, value) in &request.headers {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(request.end.as_bytes());
    }
    out.extend_from_slice(request.end.as_bytes());
    out.extend_from_slice(&request.body);
    if dice.one_in(12) {
        mutate::bytes(dice, &mut out);
    }
    out
}

fn base(dice: &mut Dice, world: &World, person: usize) -> Request {
    let (pair, who) = world.person(person);
    let header = |name: &str, value: String| (name.to_owned(), value.into_bytes());
    let mut headers = vec![header("Host", world.address.to_string())];
    if dice.one_in(5) {
        for (name, value) in [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Protocol", "hushwire.v1.json, hushwire.v1.cbor"),
        ] {
            headers.push(header(name, value.to_owned()));
        }
        let (method, path) = ("GET".to_owned(), "/v1/ws".to_owned());
        return Request {
            method,
            path,
            version: "HTTP/1.1",
            headers,
            body: Vec::new(),
            end: "\r\n",
        };
    }
    let (method, route) = dice.pick(ROUTES);
    let (path, mut value) = pair.asks(who, method, route);
    if !dice.one_in(4) {
        let token = pair.people[who].token().to_base64url();
        headers.push(header("Authorization", format!("Bearer {token}")));
    }
    let body = if value == Value::Null {
        Vec::new()
    } else {
        for _ in 0..dice.pick([0, 1, 1, 3]) {
            mutate::json(dice, &mut value);
        }
        let mut body = serde_json::to_vec(&value).unwrap_or_default();
        if dice.one_in(4) {
            mutate::bytes(dice, &mut body);
        }
        if dice.one_in(30) {
            body.resize(dice.pick([65_536, 65_537, 70_000]), b' ');
        }
        headers.push(header("Content-Type", "application/json".to_owned()));
        body
    };
    Request { method: method.to_owned(), path, version: "HTTP/1.1", headers, body, end: "\r\n" }
}

/// One thing about the head that is unusual or wrong.
fn damage(dice: &mut Dice, request: &mut Request) {
    let mut add = |name: &str, value: &[u8]| {
        request.headers.push((name.to_owned(), value.to_vec()));
    };
    match dice.below(22) {
        0 => {
            request.method = dice
                .pick(["GET", "HEAD", "DELETE", "CONNECT", "TRACE", "PRI", "get", "P\0T", ""])
                .to_owned();
        }
        1 => {
            request.path = dice
                .pick([
                    "*",
                    "",
                    "/",
                    "//",
                    "/v1/",
                    "/v1/ws/",
                    "/v1/../v1/server",
                    "/%2e%2e/%00",
                    "/v1/users/%ff/log",
                    "/v1/users/AAAA/log?after=-1",
                    "/v1/epochs//claimed",
                    "http://other.example/v1/server",
                    "/v1/server#x",
                    "/v1/server?%",
                    "/\u{e9}",
                ])
                .to_owned();
        }
        2 => request.path.push_str(&format!("?after={}", "9".repeat(dice.pick([1, 20, 8_000])))),
        3 => {
            request.version = dice.pick(["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.10", "x", ""])
        }
        4 => request.end = dice.pick(["\n", "\r", "\r\r\n", "\0\r\n"]),
        5 => add("Host", b"other.example"),
        6 => request.headers.retain(|(name, _)| name != "Host"),
        7 => add("X-Long", &vec![b'a'; dice.pick([8_000, 70_000, 200_000])]),
        8 => {
            for k in 0..dice.pick([90, 97, 200]) {
                add(&format!("X-{k}"), b"1");
            }
        }
        9 => add("X-Fold", b"a\r\n b"),
        10 => add("X Space", b"1"),
        11 => add("X-Nul", b"a\0b"),
        12 => add("Expect", b"100-continue"),
        13 => add("Connection", dice.pick([&b"close"[..], b"keep-alive, Upgrade", b"x"])),
        14 => add("Upgrade", dice.pick([&b"websocket"[..], b"h2c", b"\xff"])),
        15 => add("Authorization", dice.pick([&b"Bearer"[..], b"Bearer \xff", b"Basic YTpi", b""])),
        16 => add("Origin", dice.pick([&b"https://evil.example"[..], b"null", b"\xff", b""])),
        17 => add("Content-Encoding", dice.pick([&b"gzip"[..], b"br", b"identity"])),
        18 => add("Content-Type", dice.pick([&b"text/plain"[..], b"multipart/form-data", b"\xff"])),
        19 => add("X-Forwarded-For", b"203.0.113.7"),
        20 => add("", b"nameless"),
        _ => {
            let (name, value) = (dice.bytes(4), dice.bytes(20));
            add(&String::from_utf8_lossy(&name), &value);
        }
    }
}

/// Says how long the body is: rightly, wrongly, twice, in chunks.
fn frame_body(dice: &mut Dice, request: &mut Request) {
    let len = request.body.len();
    let mut add = |name: &str, value: String| {
        request.headers.push((name.to_owned(), value.into_bytes()));
    };
    match dice.below(16) {
        0 => {
            let wrong = dice.pick(["-1", "+5", "0x10", "5, 6", "99999999999999999999", "", " 7"]);
            add("Content-Length", wrong.to_owned());
        }
        1 => add("Content-Length", (len + dice.between(1, 50)).to_string()),
        2 => add("Content-Length", (len / 2).to_string()),
        3 => {
            add("Content-Length", len.to_string());
            add("Content-Length", dice.pick([len, len + 1, 0]).to_string());
        }
        4 => {
            add("Content-Length", dice.pick([0, 4, len]).to_string());
            add("Transfer-Encoding", "chunked".to_owned());
            request.body = chunks(dice, &request.body);
        }
        5 | 6 => {
            let name = dice.pick(["Transfer-Encoding", "transfer-encoding", "Transfer-Encoding "]);
            let value = dice.pick([
                "chunked",
                "chunked",
                "chunked",
                "identity",
                "chunked, identity",
                "xchunked",
                "gzip, chunked",
                "chunked, chunked",
                "\u{b}chunked",
            ]);
            add(name, value.to_owned());
            request.body = chunks(dice, &request.body);
        }
        7 => {}
        _ if len == 0 && dice.one_in(2) => {}
        _ => add("Content-Length", len.to_string()),
    }
}

fn chunks(dice: &mut Dice, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(dice.pick([1, 16, 1_000])) {
        let size = match dice.below(40) {
            0 => format!("{:x};x=y", chunk.len()),
            1 => "-1".to_owned(),
            2 => "ffffffffffffffff".to_owned(),
            3 => format!("0x{:x}", chunk.len()),
            4 => format!("{:x}", chunk.len() + 1),
            5 => String::new(),
            _ => format!("{:x}", chunk.len()),
        };
        out.extend_from_slice(size.as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(chunk);
        out.extend_from_slice(if dice.one_in(60) { b"\n" } else { b"\r\n" });
    }
    out.extend_from_slice(match dice.below(6) {
        0 => b"0\r\nX-Trailer: 1\r\n\r\n",
        1 => b"",
        2 => b"0\r\n",
        _ => b"0\r\n\r\n",
    });
    out
}
