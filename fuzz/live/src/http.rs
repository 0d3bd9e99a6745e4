//! HTTP/1.1 as bytes: what is asked in order to prepare, and the reading of whatever the server
//! answers.

use std::net::SocketAddr;
use std::time::Duration;

use hushwire_wire::Token;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer to what is well formed may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that are shown of what is not as it must be.
const SHOWN: usize = 80;

/// One answer of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// Asks and reads JSON.
pub(crate) async fn ask<T: DeserializeOwned>(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&Token>,
    body: &impl Serialize,
) -> Result<T, String> {
    let body = serde_json::to_string(body).map_err(|error| error.to_string())?;
    let bearer = token
        .map(|token| format!("authorization: Bearer {}\r\n", token.to_base64url()))
        .unwrap_or_default();
    let request = format!(
        "{method} /v1/{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{bearer}\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = timeout(PATIENCE, exchange)
        .await
        .map_err(|_| format!("{path}: no answer"))?
        .map_err(|error| format!("{path}: {error}"))?;
    let (answers, _) = answers(&bytes).map_err(|why| format!("{path}: {why}"))?;
    let answer = answers.first().ok_or_else(|| format!("{path}: no answer"))?;
    if !(200..300).contains(&answer.status) {
        let said = String::from_utf8_lossy(&answer.body);
        return Err(format!("{path}: {}: {said}", answer.status));
    }
    let body = if answer.body.is_empty() { b"null" } else { &answer.body[..] };
    serde_json::from_slice(body).map_err(|error| format!("{path}: {error}"))
}

/// All complete answers in `bytes`, and what stands behind the last: the frames after a 101, or
/// an answer that was cut off.
pub(crate) fn answers(mut bytes: &[u8]) -> Result<(Vec<Answer>, &[u8]), String> {
    let mut all = Vec::new();
    while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "a head that is not UTF-8")?;
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first
            .strip_prefix("HTTP/1.1 ")
            .or_else(|| first.strip_prefix("HTTP/1.0 "))
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(|| format!("no status line: {first:?}"))?;
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) =
                line.split_once(':').ok_or_else(|| format!("no header: {line:?}"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        let rest = &bytes[end + 4..];
        if status == 101 {
            all.push(answer);
            return Ok((all, rest));
        }
        // After HEAD the length is told, and no body comes. No body of the server begins like that.
        let (body, length) = if rest.starts_with(b"HTTP/1.") {
            (Vec::new(), 0)
        } else if answer.header("transfer-encoding") == Some("chunked") {
            // actix-http writes a body that it announced in chunks without them if an upgrade
            // stands behind its request: its codec has one flag for both. What follows cannot be
            // told apart, and only who sends both at once gets it.
            if rest.first().is_some_and(|first| !first.is_ascii_hexdigit()) {
                all.push(answer);
                return Ok((all, &[]));
            }
            let Some(whole) = chunks(rest)? else { return Ok((all, bytes)) };
            whole
        } else {
            let length = answer.header("content-length").unwrap_or("0");
            let length = length.parse().map_err(|_| format!("content-length: {length:?}"))?;
            let Some(body) = rest.get(..length) else { return Ok((all, bytes)) };
            (body.to_vec(), length)
        };
        answer.body = body;
        all.push(answer);
        bytes = &rest[length..];
    }
    Ok((all, bytes))
}

/// The beginning of bytes, to be shown.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..SHOWN).unwrap_or(bytes)).into_owned()
}

/// A body in chunks, without extensions and trailers, and how many bytes it takes; `None` if it is
/// not whole.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let size = std::str::from_utf8(&rest[..end]).ok();
        let size = size.and_then(|text| usize::from_str_radix(text, 16).ok());
        let size = size.filter(|size| *size <= 1 << 30);
        let size = size.ok_or_else(|| format!("a chunk without a length: {:?}", shown(rest)))?;
        let Some(chunk) = rest.get(end + 2..end + 2 + size + 2) else { return Ok(None) };
        let data = chunk.strip_suffix(b"\r\n");
        let data = data.ok_or_else(|| format!("a chunk of another length: {:?}", shown(rest)))?;
        body.extend_from_slice(data);
        at += end + 2 + size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_one_after_the_other_until_an_upgrade() {
        let bytes = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 101 Switching\r\n\r\n\x81\x00";
        let (all, rest) = answers(bytes).unwrap();
        assert_eq!(all.iter().map(|a| a.status).collect::<Vec<_>>(), [404, 101]);
        assert_eq!((all[0].body.as_slice(), rest), (&b"{}"[..], &b"\x81\x00"[..]));
        let (all, rest) = answers(&bytes[..44]).unwrap();
        assert!(all.is_empty() && rest.len() == 44, "cut off");
        assert!(answers(b"hello\r\n\r\n").is_err());
        let head = b"HTTP/1.1 404 x\r\ncontent-length: 2\r\n\r\n";
        let (all, _) = answers(&[&head[..], bytes].concat()).unwrap();
        assert_eq!(all.len(), 3, "the first answers HEAD");
    }

    #[test]
    fn a_body_in_chunks_is_put_together() {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let whole = [&head[..], b"3\r\n{\"a\r\nB\r\n\":12345678}\r\n0\r\n\r\nHTTP"].concat();
        let (all, rest) = answers(&whole).unwrap();
        assert_eq!((all[0].body.as_slice(), rest), (&b"{\"a\":12345678}"[..], &b"HTTP"[..]));
        let cut = answers(&whole[..whole.len() - 7]).unwrap();
        assert!(cut.0.is_empty(), "cut off");
        let bare =
            answers(&[&head[..], b"{\"a\":1}HTTP/1.1 101 x\r\n\r\n"].concat()).map(|(all, _)| all);
        assert_eq!(bare.unwrap().len(), 1, "an upgrade stood behind its request");
        for bad in ["1-\r\n", "1\r\nab\r\n", "ffffffffffffffff\r\n"] {
            assert!(answers(&[&head[..], bad.as_bytes()].concat()).is_err(), "{bad:?}");
        }
    }
}
