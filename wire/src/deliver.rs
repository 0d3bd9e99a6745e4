//! `message` frames, the hot path: the ciphertext is kept once and shared by all its recipients,
//! in both encodings; what differs by recipient (number, tag) is written around it.
//!
//! The bytes equal those of [`Encoding::encode_server`], which a property test holds it to.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::codec::Encoding;
use crate::ids::{DeviceId, UserId};
use crate::message::TAG_LEN;
use crate::sealed::Sealed;

/// What every recipient of one message gets: `header | commit | v32 ct`.
#[derive(Debug)]
pub struct SharedBody {
    sealed: Sealed,
    /// Base64 of all whole groups of three bytes, made when the first JSON recipient asks.
    base64: OnceLock<Box<str>>,
}

impl SharedBody {
    /// Takes the shared part of an upload.
    #[must_use]
    pub const fn new(sealed: Sealed) -> Self {
        Self { sealed, base64: OnceLock::new() }
    }

    /// The size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sealed.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sealed.is_empty()
    }

    /// The bytes.
    #[must_use]
    pub const fn sealed(&self) -> &Sealed {
        &self.sealed
    }

    fn groups(&self) -> (&str, &[u8]) {
        let bytes = self.sealed.as_bytes();
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % 3);
        let text = self.base64.get_or_init(|| URL_SAFE_NO_PAD.encode(whole).into_boxed_str());
        (text, rest)
    }
}

/// A `message` frame by reference.
#[derive(Clone, Copy, Debug)]
pub struct MessageRef<'a> {
    /// Its number on this connection.
    pub n: u64,
    /// When it was admitted, in milliseconds since 1970.
    pub at: u64,
    /// The other user of the pair.
    pub peer: &'a UserId,
    /// The sender.
    pub from_user: &'a UserId,
    /// The sending device.
    pub from_device: &'a DeviceId,
    /// The shared part.
    pub body: &'a SharedBody,
    /// The recipient's own tag.
    pub tag: &'a [u8; TAG_LEN],
}

impl MessageRef<'_> {
    /// An upper bound of the encoded size in bytes.
    #[must_use]
    pub fn size_hint(&self) -> usize {
        320 + (self.body.len() + TAG_LEN).div_ceil(3) * 4
    }

    /// Appends the frame to `out`.
    pub fn write(&self, encoding: Encoding, out: &mut Vec<u8>) {
        match encoding {
            Encoding::Json => self.write_json(out),
            Encoding::Cbor => self.write_cbor(out),
        }
    }

    fn write_cbor(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\xa1\x62op\xa1\x67message\xa6\x61n");
        cbor_head(out, 0, self.n);
        out.extend_from_slice(b"\x62at");
        cbor_head(out, 0, self.at);
        out.extend_from_slice(b"\x64peer");
        cbor_bytes(out, self.peer.as_bytes());
        out.extend_from_slice(b"\x69from_user");
        cbor_bytes(out, self.from_user.as_bytes());
        out.extend_from_slice(b"\x6bfrom_device");
        cbor_bytes(out, self.from_device.as_bytes());
        out.extend_from_slice(b"\x63msg");
        cbor_head(out, 2, (self.body.len() + TAG_LEN) as u64);
        out.extend_from_slice(self.body.sealed.as_bytes());
        out.extend_from_slice(self.tag);
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        let (whole, rest) = self.body.groups();
        let mut tail = [0; 2 + TAG_LEN];
        let tail_len = rest.len() + TAG_LEN;
        tail[..rest.len()].copy_from_slice(rest);
        tail[rest.len()..tail_len].copy_from_slice(self.tag);
        out.extend_from_slice(br#"{"op":{"message":{"n":"#);
        out.extend_from_slice(self.n.to_string().as_bytes());
        out.extend_from_slice(br#","at":"#);
        out.extend_from_slice(self.at.to_string().as_bytes());
        for (name, bytes) in [
            (&br#","peer":""#[..], &self.peer.as_bytes()[..]),
            (br#"","from_user":""#, self.from_user.as_bytes()),
            (br#"","from_device":""#, self.from_device.as_bytes()),
        ] {
            out.extend_from_slice(name);
            base64_into(out, bytes);
        }
        out.extend_from_slice(br#"","msg":""#);
        out.extend_from_slice(whole.as_bytes());
        base64_into(out, &tail[..tail_len]);
        out.extend_from_slice(br#""}}}"#);
    }
}

fn base64_into(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut text = [0; 44];
    if let Ok(n) = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text) {
        out.extend_from_slice(&text[..n]);
    }
}

fn cbor_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    cbor_head(out, 2, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The head of a CBOR item: major type and argument in its shortest form (RFC 8949, 3).
fn cbor_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    match argument {
        0..24 => out.push(major | bytes[7]),
        24..0x100 => out.extend_from_slice(&[major | 24, bytes[7]]),
        0x100..0x1_0000 => {
            out.push(major | 25);
            out.extend_from_slice(&bytes[6..]);
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(major | 26);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::{Message, ServerFrame, ServerOp};

    proptest! {
        #[test]
        fn equals_the_ordinary_encoding(
            n in prop_oneof![0u64..70_000, any::<u64>()],
            at in prop_oneof![0u64..70_000, any::<u64>()],
            ids in any::<[u8; 32]>(),
            body in proptest::collection::vec(any::<u8>(), 0..700),
            tag in any::<[u8; 16]>(),
        ) {
            let (peer, from_user) = (UserId(ids), UserId([ids[0]; 32]));
            let from_device = DeviceId([ids[1]; 16]);
            let shared = SharedBody::new(Sealed::new(body.clone()));
            let message = MessageRef {
                n, at, peer: &peer, from_user: &from_user, from_device: &from_device,
                body: &shared, tag: &tag,
            };
            let mut msg = body;
            msg.extend_from_slice(&tag);
            let frame = ServerFrame {
                id: None,
                op: ServerOp::Message(Message {
                    n, at, peer, from_user, from_device, msg: Sealed::new(msg),
                }),
            };
            for encoding in Encoding::ALL {
                let mut out = Vec::new();
                message.write(encoding, &mut out);
                prop_assert_eq!(&out, &encoding.encode_server(&frame));
                prop_assert!(out.len() <= message.size_hint());
            }
        }

        #[test]
        fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for encoding in Encoding::ALL {
                let _ = encoding.decode_client(&bytes);
                let _ = encoding.decode_server(&bytes);
            }
        }
    }
}
