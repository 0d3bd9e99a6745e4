//! What RFC 6455 asks for beyond the codec: the early look at a frame's declared length, and the
//! joining of fragments, both bounded.

use hushwire_wire::Close;
use hushwire_wire::limits::FRAGMENTS_MAX;

/// What a frame's first bytes declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declared {
    /// The header is not complete.
    Incomplete,
    /// No mask: the codec refuses it at once.
    Unmasked,
    /// A payload of so many bytes, and the whole frame's length.
    Bytes { payload: u64, whole: u64 },
}

/// Reads the declared length of the frame of a client that starts with `b`.
pub(crate) fn declared(b: &[u8]) -> Declared {
    let Some(&second) = b.get(1) else { return Declared::Incomplete };
    if second & 0x80 == 0 {
        return Declared::Unmasked;
    }
    let (payload, header) = match second & 0x7f {
        126 => match b.get(2..).and_then(|b| b.first_chunk()) {
            Some(n) => (u64::from(u16::from_be_bytes(*n)), 8),
            None => return Declared::Incomplete,
        },
        127 => match b.get(2..).and_then(|b| b.first_chunk()) {
            Some(n) => (u64::from_be_bytes(*n), 14),
            None => return Declared::Incomplete,
        },
        n => (u64::from(n), 6),
    };
    Declared::Bytes { payload, whole: payload.saturating_add(header) }
}

/// Whether the frame that starts with `b` may be one at all, as far as the codec does not look:
/// reserved bits, for which nothing was negotiated, and control frames that are too long.
pub(crate) fn is_allowed(b: &[u8]) -> bool {
    let (first, second) = (b.first().copied().unwrap_or(0), b.get(1).copied().unwrap_or(0));
    first & 0x70 == 0 && (first & 0x08 == 0 || second & 0x7f <= 125)
}

/// A message that comes in fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) text: bool,
    pub(crate) bytes: Vec<u8>,
    fragments: usize,
}

impl Joined {
    /// The first fragment.
    pub(crate) fn new(text: bool, bytes: &[u8]) -> Self {
        Self { text, bytes: bytes.to_vec(), fragments: 1 }
    }

    /// The next fragment; together they stay within `most` bytes.
    pub(crate) fn push(&mut self, bytes: &[u8], most: usize) -> Result<(), Close> {
        self.fragments += 1;
        if self.fragments > FRAGMENTS_MAX || self.bytes.len() + bytes.len() > most {
            return Err(Close::TooLarge);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_known_from_the_header_alone() {
        let bytes = |payload, header| Declared::Bytes { payload, whole: payload + header };
        assert_eq!(declared(&[0x81]), Declared::Incomplete);
        assert_eq!(declared(&[0x81, 0x05]), Declared::Unmasked);
        assert_eq!(declared(&[0x81, 0x85]), bytes(5, 6));
        assert_eq!(declared(&[0x82, 0xfe, 0x01]), Declared::Incomplete);
        assert_eq!(declared(&[0x82, 0xfe, 0x01, 0x00]), bytes(256, 8));
        let huge = [0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        let all = Declared::Bytes { payload: u64::MAX, whole: u64::MAX };
        assert_eq!(declared(&huge), all);
        assert_eq!(declared(&huge[..9]), Declared::Incomplete);
    }

    #[test]
    fn reserved_bits_and_long_control_frames_are_not_allowed() {
        assert!(is_allowed(&[0x81, 0xfe]) && is_allowed(&[0x89, 0xfd]));
        assert!(!is_allowed(&[0xc1, 0x80]) && !is_allowed(&[0x91, 0x80]));
        assert!(!is_allowed(&[0x89, 0xfe]) && !is_allowed(&[0x88, 0xff]));
    }

    #[test]
    fn fragments_are_bounded_by_count_and_bytes() {
        let mut joined = Joined::new(true, b"a");
        for _ in 1..FRAGMENTS_MAX {
            assert_eq!(joined.push(b"b", 100), Ok(()));
        }
        assert_eq!(joined.push(b"c", 100), Err(Close::TooLarge));
        assert_eq!(Joined::new(true, b"abc").push(b"d", 3), Err(Close::TooLarge));
    }
}
