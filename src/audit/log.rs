//! The log: nothing in it looks like a token, an id or a ciphertext.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use super::Line;

const PART: &str = "log";
/// The length from which a run of letters and digits may be a secret: ids of 16 bytes are shorter
/// in base64url and as long in hexadecimal, tokens of 32 bytes longer.
const LONG: usize = 32;
/// The most that is read of one line, in bytes.
const LINE_MAX: u64 = 1 << 20;
/// Lines that are named, at most.
const NAMED: usize = 20;

pub(super) fn look(path: Option<&Path>) -> Vec<Line> {
    let Some(path) = path else {
        let what = "its file";
        return vec![Line::skipped(PART, what, "not searched: name the file with --log PATH")];
    };
    let what = path.display().to_string();
    match search(path) {
        Err(error) => vec![Line::fails(PART, what, format!("cannot be read: {error}"))],
        Ok((0, _)) => vec![Line::fails(PART, what, "is empty: is it this server's log?")],
        Ok((lines, found)) if found.is_empty() => {
            vec![Line::holds(
                PART,
                what,
                format!("{lines} lines, nothing that looks like a secret"),
            )]
        }
        Ok((_, found)) => {
            let named = found.iter().take(NAMED);
            let why = "has a text that looks like a token, an id or a ciphertext";
            named.map(|line| Line::fails(PART, format!("line {line}"), why)).collect()
        }
    }
}

/// How many lines there are, and which of them, from 1, are not as they must be.
fn search(path: &Path) -> std::io::Result<(u64, Vec<u64>)> {
    let mut reader = BufReader::new(File::open(path)?);
    let (mut count, mut found, mut line) = (0, Vec::new(), Vec::new());
    loop {
        line.clear();
        if reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok((count, found));
        }
        count += 1;
        if found.len() < NAMED && looks_secret(&line) {
            found.push(count);
        }
    }
}

/// Whether a long run of letters and digits is random rather than a name.
fn looks_secret(line: &[u8]) -> bool {
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    line.split(|byte| !inside(byte)).filter(|run| run.len() >= LONG).any(|run| {
        let has = |class: fn(&u8) -> bool| run.iter().any(class);
        let digits = has(u8::is_ascii_digit);
        let mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
        digits && (mixed || run.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Outcome;

    #[test]
    fn tokens_ids_and_ciphertexts_are_seen_and_names_are_not() {
        for secret in [
            "token: kq3v7Zc1P9yQmJ0aVb2xTn5RwEi8LsUdFgHoAeXtYzM",
            "device 0123456789abcdef0123456789abcdef",
            "{\"msg\":\"x\",\"body\":\"AAEC-wQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}",
        ] {
            assert!(looks_secret(secret.as_bytes()), "{secret}");
        }
        for plain in [
            "Nov 26 19:00:00.000 INFO serving, request: 0123456789abcdef",
            "/srv/cargo/registry/src/index-1949cf8c6b5b557f/tokio-1.48.0/src/runtime.rs:12",
            "a-name-of-a-thread-that-is-rather-long-and-has-no-digit",
        ] {
            assert!(!looks_secret(plain.as_bytes()), "{plain}");
        }
    }

    #[test]
    fn a_log_is_named_by_its_lines_and_an_empty_one_proves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let outcome = |text: &str| {
            std::fs::write(&path, text).unwrap();
            look(Some(&path))
        };
        assert_eq!(outcome("")[0].outcome, Outcome::Fails);
        assert_eq!(outcome("serving\n")[0].outcome, Outcome::Holds);
        let found = outcome("serving\ndevice 0123456789abcdef0123456789abcdef\n");
        assert_eq!((found.len(), found[0].what.as_str()), (1, "line 2"));
        assert!(!found[0].found.contains("0123"), "it is not repeated");
        let many = "0123456789abcdef0123456789abcdef\n".repeat(100);
        assert_eq!(outcome(&many).len(), NAMED);
        assert_eq!(look(None)[0].outcome, Outcome::Skipped);
        assert_eq!(look(Some(Path::new("no-such-log")))[0].outcome, Outcome::Fails);
    }
}
