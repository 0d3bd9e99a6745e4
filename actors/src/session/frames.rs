//! What RFC 6455 asks for beyond the codec: the early look at a frame's header, the reason of a
//! goodbye, the joining of fragments and the number of control frames, all bounded.
//!
//! A header is judged as soon as its bytes are there, text at the end of each frame.

use hushwire_wire::Close;
use hushwire_wire::limits::{CONTROL_FRAMES_MAX, CONTROL_FRAMES_WITHIN_MS, FRAGMENTS_MAX};

/// Payloads whose length is written in 8 bytes.
const LONG: std::ops::RangeInclusive<u64> = 1 << 16..=i64::MAX as u64;

/// What a frame's first bytes declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declared {
    /// The header is not complete.
    Incomplete,
    /// No mask, or a length that is not written in the fewest bytes, or of 64 bits.
    Malformed,
    /// A payload of so many bytes, and the whole frame's length.
    Bytes { payload: u64, whole: u64 },
}

/// Reads the declared length of the frame of a client that starts with `b`.
pub(crate) fn declared(b: &[u8]) -> Declared {
    let Some(&second) = b.get(1) else { return Declared::Incomplete };
    if second & 0x80 == 0 {
        return Declared::Malformed;
    }
    let (payload, header) = match second & 0x7f {
        126 => match b.get(2..).and_then(|b| b.first_chunk()) {
            Some(n) if u16::from_be_bytes(*n) < 126 => return Declared::Malformed,
            Some(n) => (u64::from(u16::from_be_bytes(*n)), 8),
            None => return Declared::Incomplete,
        },
        127 => match b.get(2..).and_then(|b| b.first_chunk()) {
            Some(n) if !LONG.contains(&u64::from_be_bytes(*n)) => return Declared::Malformed,
            Some(n) => (u64::from_be_bytes(*n), 14),
            None => return Declared::Incomplete,
        },
        n => (u64::from(n), 6),
    };
    Declared::Bytes { payload, whole: payload.saturating_add(header) }
}

/// Whether the frame that starts with `b` may be one at all: no reserved bit, since nothing was
/// negotiated, a known opcode, and control frames that are short and whole.
pub(crate) fn is_allowed(b: &[u8]) -> bool {
    let (first, second) = (b.first().copied().unwrap_or(0), b.get(1).copied().unwrap_or(0));
    let (reserved, opcode) = (first & 0x70, first & 0x0f);
    let is_control = opcode & 0x08 != 0;
    reserved == 0
        && matches!(opcode, 0..=2 | 8..=10)
        && (!is_control || (first & 0x80 != 0 && second & 0x7f <= 125))
}

/// Whether the reason is UTF-8 if the whole masked frame `b` is a goodbye (RFC 6455, 8.1).
pub(crate) fn is_reason_text(b: &[u8]) -> bool {
    let [0x88, second, mask @ ..] = b else { return true };
    let Some((mask, payload)) = mask.split_at_checked(4) else { return true };
    let payload = payload.iter().take(usize::from(second & 0x7f));
    // The first two bytes are the code; the mask repeats after four.
    let reason = payload.zip(mask.iter().cycle()).skip(2).map(|(byte, mask)| byte ^ mask);
    String::from_utf8(reason.collect()).is_ok()
}

/// How often the peer sends pings and pongs: so many in a span that begins with the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Controls {
    since_ms: u64,
    count: u32,
}

impl Controls {
    /// Counts one more; 4429 above the bound.
    pub(crate) fn count(&mut self, now_ms: u64) -> Result<(), Close> {
        if now_ms >= self.since_ms + CONTROL_FRAMES_WITHIN_MS {
            *self = Self { since_ms: now_ms, count: 0 };
        }
        self.count += 1;
        if self.count > CONTROL_FRAMES_MAX { Err(Close::Flooding) } else { Ok(()) }
    }
}

/// A message that comes in fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) text: bool,
    pub(crate) bytes: Vec<u8>,
    /// So many bytes are known to be UTF-8, if it is text.
    checked: usize,
    fragments: usize,
}

impl Joined {
    /// The first fragment.
    pub(crate) fn new(text: bool, bytes: &[u8]) -> Result<Self, Close> {
        let mut joined = Self { text, bytes: bytes.to_vec(), checked: 0, fragments: 1 };
        joined.check()?;
        Ok(joined)
    }

    /// The next fragment; together they stay within `most` bytes.
    pub(crate) fn push(&mut self, bytes: &[u8], most: usize) -> Result<(), Close> {
        self.fragments += 1;
        if self.fragments > FRAGMENTS_MAX || self.bytes.len() + bytes.len() > most {
            return Err(Close::TooLarge);
        }
        self.bytes.extend_from_slice(bytes);
        self.check()
    }

    /// Refuses what no later fragment can make UTF-8. A character may go on in the next one.
    fn check(&mut self) -> Result<(), Close> {
        if !self.text {
            return Ok(());
        }
        match std::str::from_utf8(self.bytes.get(self.checked..).unwrap_or_default()) {
            Ok(text) => self.checked += text.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(Close::Invalid),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use actix_http::ws::Codec;
    use bytes::BytesMut;
    use proptest::prelude::*;
    use tokio_util::codec::Decoder as _;

    use super::*;

    proptest! {
        /// A header is judged once, however many of its bytes are there, and what is let through
        /// is a frame to the codec, too.
        #[test]
        fn a_judgement_stands(head in any::<[u8; 14]>(), payload in 0..300usize) {
            let judge = |len: usize| {
                let head = head.get(..len).unwrap_or_default();
                if is_allowed(head) { declared(head) } else { Declared::Malformed }
            };
            let judged: Vec<_> = (1..=14).map(judge).collect();
            let first = judged.iter().position(|one| *one != Declared::Incomplete);
            let first = first.expect("14 bytes are a header");
            prop_assert!(judged.iter().skip(first).all(|one| *one == judged[first]));
            if let Declared::Bytes { payload: declared, whole } = judged[first]
                && declared <= payload as u64
                && head[0] & 0x0f != 8
                && head[0] & 0x8f != 0
                && head[0] & 0x8f != 0x80
            {
                let mut bytes = BytesMut::from(&head[..]);
                bytes.resize(usize::try_from(whole).unwrap(), 0);
                let decoded = Codec::new().max_size(FRAME).decode(&mut bytes);
                prop_assert!(matches!(decoded, Ok(Some(_))), "{:?}", decoded);
                prop_assert!(bytes.is_empty(), "it is as long as was declared");
            }
        }
    }

    const FRAME: usize = 1 << 16;

    #[test]
    fn the_length_is_known_from_the_header_alone() {
        let bytes = |payload, header| Declared::Bytes { payload, whole: payload + header };
        assert_eq!(declared(&[0x81]), Declared::Incomplete);
        assert_eq!(declared(&[0x81, 0x05]), Declared::Malformed, "no mask");
        assert_eq!(declared(&[0x81, 0x85]), bytes(5, 6));
        assert_eq!(declared(&[0x82, 0xfe, 0x01]), Declared::Incomplete);
        assert_eq!(declared(&[0x82, 0xfe, 0x01, 0x00]), bytes(256, 8));
        assert_eq!(declared(&[0x82, 0xfe, 0x00, 0x7d]), Declared::Malformed, "125 fits before");
        let long = |n: u64| declared(&[&[0x82, 0xff][..], &n.to_be_bytes()].concat());
        assert_eq!(long(65_535), Declared::Malformed, "fits in two bytes");
        assert_eq!(long(65_536), bytes(65_536, 14));
        assert_eq!(long(u64::MAX), Declared::Malformed, "64 bits");
        assert_eq!(long(u64::MAX >> 1), bytes(u64::MAX >> 1, 14));
        assert_eq!(declared(&[0x82, 0xff, 1, 2, 3, 4, 5, 6, 7]), Declared::Incomplete);
    }

    #[test]
    fn what_cannot_be_a_frame_is_known_by_two_bytes() {
        assert!(is_allowed(&[0x81, 0xfe]) && is_allowed(&[0x89, 0xfd]) && is_allowed(&[0x00]));
        assert!(!is_allowed(&[0xc1]) && !is_allowed(&[0x91, 0x80]), "reserved bits");
        assert!(!is_allowed(&[0x83]) && !is_allowed(&[0x8b]) && !is_allowed(&[0x8f]), "opcodes");
        assert!(!is_allowed(&[0x89, 0xfe]) && !is_allowed(&[0x88, 0xff]), "long control frames");
        assert!(!is_allowed(&[0x09, 0x80]) && !is_allowed(&[0x0a, 0x80]), "parts of them");
    }

    #[test]
    fn the_reason_of_a_goodbye_is_text() {
        let close = |payload: &[u8]| {
            let mask = [0x37, 0xfa, 0x21, 0x3d];
            let masked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
            [&[0x88, 0x80 | payload.len() as u8], &mask[..], &masked.collect::<Vec<_>>()].concat()
        };
        for good in [&b""[..], b"\x03", b"\x03\xe8", b"\x03\xe8bye", "\x03\x78\u{fc}".as_bytes()] {
            assert!(is_reason_text(&close(good)), "{good:?}");
        }
        for bad in [&b"\x03\xe8\xff"[..], b"\x03\xe8\xce", b"\x03\xe8ok\xed\xa0\x80"] {
            assert!(!is_reason_text(&close(bad)), "{bad:?}");
        }
        // What follows it is not its reason, and a ping has none.
        assert!(is_reason_text(&[close(b"\x03\xe8"), vec![0xff; 9]].concat()));
        assert!(is_reason_text(&[0x89, 0x83, 0, 0, 0, 0, 1, 2, 0xff]));
    }

    #[test]
    fn fragments_are_bounded_by_count_and_bytes() {
        let mut joined = Joined::new(true, b"a").unwrap();
        for _ in 1..FRAGMENTS_MAX {
            assert_eq!(joined.push(b"b", 100), Ok(()));
        }
        assert_eq!(joined.push(b"c", 100), Err(Close::TooLarge));
        assert_eq!(Joined::new(true, b"abc").unwrap().push(b"d", 3), Err(Close::TooLarge));
    }

    #[test]
    fn text_in_fragments_is_judged_at_the_end_of_each() {
        let word = "\u{3ba}\u{1f980}".as_bytes();
        for at in 0..=word.len() {
            let mut joined = Joined::new(true, &word[..at]).unwrap();
            assert_eq!(joined.push(&word[at..], 100), Ok(()), "split at {at}");
            assert_eq!(joined.push(b"\xff", 100), Err(Close::Invalid));
        }
        assert_eq!(Joined::new(true, b"ok\xed\xa0\x80"), Err(Close::Invalid), "a surrogate");
        let mut cut = Joined::new(true, b"\xf0\x9f").unwrap();
        assert_eq!(cut.push(b"a", 100), Err(Close::Invalid), "a character that does not go on");
        assert!(Joined::new(false, b"\xff").is_ok(), "no text");
    }

    #[test]
    fn control_frames_are_counted_by_time() {
        let mut controls = Controls::default();
        for _ in 0..CONTROL_FRAMES_MAX {
            assert_eq!(controls.count(50_000), Ok(()));
        }
        assert_eq!(controls.count(50_000), Err(Close::Flooding));
        assert_eq!(controls.count(50_000 + CONTROL_FRAMES_WITHIN_MS), Ok(()));
    }
}
