//! RFC 6455 as bytes: frames of a client, right or wrong, and the reading of the server's.

/// The head of a client's frame, bit by bit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// FIN, the reserved bits and the opcode.
    pub(crate) first: u8,
    pub(crate) masked: bool,
    /// What it says of the length; the payload may be another.
    pub(crate) declared: u64,
    /// Bytes of the length: 0 for the shortest form, else 2 or 8, even where that is too long.
    pub(crate) wide: u8,
    pub(crate) mask: [u8; 4],
}

impl Head {
    /// A whole frame as it should be.
    pub(crate) fn whole(opcode: u8, len: usize, mask: [u8; 4]) -> Self {
        let declared = u64::try_from(len).unwrap_or(u64::MAX);
        Self { first: 0x80 | opcode, masked: true, declared, wide: 0, mask }
    }

    /// Appends the frame.
    pub(crate) fn write(&self, payload: &[u8], out: &mut Vec<u8>) {
        let bit = if self.masked { 0x80 } else { 0 };
        let long = self.declared.to_be_bytes();
        out.push(self.first);
        match self.wide {
            0 if self.declared < 126 => out.push(bit | long[7]),
            0 | 2 if self.declared < 0x1_0000 => {
                out.push(bit | 126);
                out.extend_from_slice(&long[6..]);
            }
            _ => {
                out.push(bit | 127);
                out.extend_from_slice(&long);
            }
        }
        if self.masked {
            out.extend_from_slice(&self.mask);
            out.extend(payload.iter().zip(self.mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        } else {
            out.extend_from_slice(payload);
        }
    }
}

/// A frame of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
}

/// The first frame of the server in `bytes`, and how many bytes it takes; `None` if it is not
/// whole.
pub(crate) fn frame(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, String> {
    let (Some(&first), Some(&second)) = (bytes.first(), bytes.get(1)) else { return Ok(None) };
    if first & 0xf0 != 0x80 || second & 0x80 != 0 {
        return Err(format!("the server's frame begins {first:02x} {second:02x}"));
    }
    let (head, len) = match second {
        126 => match bytes.get(2..).and_then(|b| b.first_chunk()) {
            Some(n) => (4_usize, u64::from(u16::from_be_bytes(*n))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..).and_then(|b| b.first_chunk()) {
            Some(n) => (10, u64::from_be_bytes(*n)),
            None => return Ok(None),
        },
        n => (2, u64::from(n)),
    };
    let end = usize::try_from(len).ok().and_then(|len| head.checked_add(len));
    let end = end.ok_or_else(|| format!("the server's frame declares {len} bytes"))?;
    let opcode = first & 15;
    Ok(bytes.get(head..end).map(|payload| (Frame { opcode, payload }, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_length_they_are_told_to_declare() {
        let mut out = Vec::new();
        Head::whole(1, 2, [1, 2, 3, 4]).write(b"hi", &mut out);
        assert_eq!(out, [0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2]);
        out.clear();
        Head { wide: 8, ..Head::whole(2, 1, [0; 4]) }.write(b"x", &mut out);
        assert_eq!(out[..11], [0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(frame(b"\x81\x02ok\x88"), Ok(Some((Frame { opcode: 1, payload: b"ok" }, 4))));
        assert_eq!(frame(b"\x81\x7e\x00"), Ok(None));
        assert!(frame(b"\x01\x00").is_err() && frame(b"\x81\x80").is_err());
    }
}
