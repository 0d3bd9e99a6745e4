//! What the server may answer, whatever it is sent: rows of the closed tables, in well-formed
//! frames and answers, and never that it failed.

use hushwire_wire::frame::ServerOp;
use hushwire_wire::http::{Problem, ProblemCode};
use hushwire_wire::{Close, Encoding};

use crate::http::{Answer, answers};
use crate::ws;

/// Statuses that the HTTP layer itself answers, without a body, to what is no request.
const WITHOUT_BODY: [u16; 4] = [400, 408, 413, 431];
/// Statuses of their own that `bad_request` has: a body that does not come in time, and an upgrade
/// to another version.
const BAD_REQUEST_TOO: [u16; 2] = [408, 426];

/// What a connection was answered, counted by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// HTTP answers that grant.
    pub(crate) granted: u64,
    /// HTTP refusals.
    pub(crate) refused: u64,
    /// Frames of the server.
    pub(crate) frames: u64,
    /// `reject` among them.
    pub(crate) rejects: u64,
    /// `accepted` among them.
    pub(crate) accepted: u64,
    /// Closes among them.
    pub(crate) closes: u64,
}

impl Heard {
    pub(crate) const fn add(&mut self, other: Self) {
        self.granted += other.granted;
        self.refused += other.refused;
        self.frames += other.frames;
        self.rejects += other.rejects;
        self.accepted += other.accepted;
        self.closes += other.closes;
    }
}

/// Judges all that a connection was sent that began as HTTP. What an upgrade in the middle turned
/// it into is judged as frames.
///
/// # Errors
/// With what the server must not have said.
pub(crate) fn http(bytes: &[u8]) -> Result<Heard, String> {
    let (answers, rest) = answers(bytes)?;
    let mut heard = Heard::default();
    for answer in &answers {
        match answer.status {
            100 | 101 | 200..300 => heard.granted += 1,
            _ => {
                refusal(answer)?;
                heard.refused += 1;
            }
        }
    }
    if let Some(last) = answers.last().filter(|answer| answer.status == 101) {
        let encoding = Encoding::ALL
            .into_iter()
            .find(|encoding| last.header("sec-websocket-protocol") == Some(encoding.subprotocol()))
            .ok_or("an upgrade to no subprotocol")?;
        heard.add(frames(rest, encoding)?);
    }
    Ok(heard)
}

fn refusal(answer: &Answer) -> Result<(), String> {
    if answer.body.is_empty() && WITHOUT_BODY.contains(&answer.status) {
        return Ok(());
    }
    let said = || {
        format!(
            "status {} with the body {:?}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        )
    };
    let media = answer.header("content-type");
    if media != Some("application/problem+json") {
        return Err(format!("{}, as {media:?}", said()));
    }
    // The answer to HEAD is its head alone.
    if answer.body.is_empty() && answer.status < 500 {
        return Ok(());
    }
    let problem: Problem = serde_json::from_slice(&answer.body).map_err(|_| said())?;
    let usual = problem.code.status();
    let its_own =
        problem.code == ProblemCode::BadRequest && BAD_REQUEST_TOO.contains(&answer.status);
    let allowed = answer.status == usual || its_own;
    if !allowed || problem.status != answer.status || problem.code == ProblemCode::Internal {
        return Err(said());
    }
    Ok(())
}

/// Judges the frames of the server on an upgraded connection. The last may be cut off.
///
/// # Errors
/// With what the server must not have said.
pub(crate) fn frames(mut bytes: &[u8], encoding: Encoding) -> Result<Heard, String> {
    let mut heard = Heard::default();
    while let Some((frame, used)) = ws::frame(bytes)? {
        bytes = &bytes[used..];
        heard.frames += 1;
        if heard.closes > 0 {
            return Err("a frame after the close".to_owned());
        }
        match frame.opcode {
            1 | 2 => {
                if (frame.opcode == 1) != (encoding == Encoding::Json) {
                    return Err(format!("opcode {} in {encoding:?}", frame.opcode));
                }
                let decoded = encoding
                    .decode_server(frame.payload)
                    .map_err(|error| format!("a frame that is none: {error}"))?;
                match decoded.op {
                    ServerOp::Reject(_) => heard.rejects += 1,
                    ServerOp::Accepted(_) => heard.accepted += 1,
                    _ => {}
                }
            }
            8 => {
                close(frame.payload)?;
                heard.closes += 1;
            }
            9 | 10 if frame.payload.len() <= 125 => {}
            other => return Err(format!("opcode {other} of {} bytes", frame.payload.len())),
        }
    }
    Ok(heard)
}

fn close(payload: &[u8]) -> Result<(), String> {
    let said = || format!("a close with {:?}", String::from_utf8_lossy(payload));
    let (code, reason) = payload.split_first_chunk().ok_or_else(said)?;
    let code = u16::from_be_bytes(*code);
    // The peer's own goodbye comes back as its code alone, if that is one which may be sent.
    if reason.is_empty() && matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Ok(());
    }
    let close = Close::from_code(code).ok_or_else(said)?;
    let reason: serde_json::Value = serde_json::from_slice(reason).map_err(|_| said())?;
    if reason["close"] == close.to_string() { Ok(()) } else { Err(said()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Vec<u8> {
        let length = body.len();
        format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/problem+json\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    fn problem(status: u16, code: &str) -> String {
        format!(
            r#"{{"type":"about:blank","title":"x","status":{status},"code":"{code}","detail":"x"}}"#
        )
    }

    #[test]
    fn only_rows_of_the_problem_table_pass() {
        assert_eq!(http(&answer(404, &problem(404, "not_found"))).unwrap().refused, 1);
        for its_own in BAD_REQUEST_TOO {
            assert!(http(&answer(its_own, &problem(its_own, "bad_request"))).is_ok());
            assert!(http(&answer(its_own, &problem(its_own, "not_found"))).is_err());
        }
        assert!(http(&answer(400, "")).is_ok(), "the HTTP layer's own");
        for (status, body) in [
            (500, problem(500, "internal")),
            (404, problem(400, "bad_request")),
            (400, problem(400, "other")),
            (502, String::new()),
            (500, String::new()),
            (400, "<html>".to_owned()),
        ] {
            assert!(http(&answer(status, &body)).is_err(), "{status} {body}");
        }
    }

    #[test]
    fn only_frames_of_the_protocol_and_rows_of_the_close_table_pass() {
        let framed = |first: u8, payload: &[u8]| {
            let length = u8::try_from(payload.len()).unwrap();
            [&[first, length], payload].concat()
        };
        let close = |code: u16, name: &str| {
            let reason = format!(r#"{{"close":"{name}"}}"#);
            framed(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
        };
        let judge = |bytes: &[u8]| frames(bytes, Encoding::Json);
        assert_eq!(judge(&close(1002, "protocol")).unwrap().closes, 1);
        assert_eq!(judge(&framed(0x81, br#"{"op":{"pong":{}}}"#)).unwrap().frames, 1);
        assert!(judge(b"\x81").is_ok(), "cut off");
        assert!(judge(&framed(0x88, &[0x03, 0xe8])).is_ok(), "the peer's own code");
        assert!(judge(&framed(0x88, &[0x03, 0xed])).is_err(), "1005 is never sent");
        assert!(judge(&close(1002, "invalid")).is_err());
        assert!(judge(&close(1011, "protocol")).is_err());
        assert!(judge(&framed(0x88, b"")).is_err());
        assert!(judge(&framed(0x82, b"\xa0")).is_err());
        assert!(judge(&framed(0x81, br#"{"op":{"dance":{}}}"#)).is_err());
        assert!(judge(&[close(1002, "protocol"), close(1002, "protocol")].concat()).is_err());
    }
}
