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
        let length = match answer.header("content-length") {
            Some(text) => text.parse().map_err(|_| format!("content-length: {text:?}"))?,
            None if answer.header("transfer-encoding").is_some() => {
                return Err("an answer in chunks, which no route makes".to_owned());
            }
            None => 0,
        };
        // After HEAD the length is told, and no body comes. No body of the server begins like that.
        let length = if rest.starts_with(b"HTTP/1.") { 0 } else { length };
        let Some(body) = rest.get(..length) else { return Ok((all, bytes)) };
        body.clone_into(&mut answer.body);
        all.push(answer);
        bytes = &rest[length..];
    }
    Ok((all, bytes))
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
}
