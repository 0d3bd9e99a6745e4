//! Both encodings of the frames: JSON in text frames, CBOR in binary frames, from one set of
//! types. Neither is ever hashed or signed.
//!
//! A frame that is not JSON or CBOR at all ends the connection; one that is, but not one of ours,
//! is a `bad_request` that carries its id, if it had one. Errors name the field, never the input.

use cbor4ii::core::dec::Read as _;
use cbor4ii::core::utils::SliceReader;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::frame::{ClientFrame, ServerFrame};

/// The two encodings, chosen by the WebSocket subprotocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Text frames; bytes as base64url without padding.
    Json,
    /// Binary frames.
    Cbor,
}

/// A value as CBOR, after what is in `out`. It must hold no map with other keys than text, and no
/// float.
#[must_use]
pub fn to_cbor<T: Serialize>(out: Vec<u8>, value: &T) -> Vec<u8> {
    cbor4ii::serde::to_vec(out, value).unwrap_or_default()
}

/// A value of CBOR; `None` if it is another one, or if anything comes after it.
#[must_use]
pub fn from_cbor<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let mut de = cbor4ii::serde::Deserializer::new(SliceReader::new(bytes));
    let value = T::deserialize(&mut de).ok()?;
    let mut reader = de.into_inner();
    let rest = reader.fill(1).ok()?;
    rest.as_ref().is_empty().then_some(value)
}

impl Encoding {
    /// Both, the server's preference first.
    pub const ALL: [Self; 2] = [Self::Cbor, Self::Json];

    /// The name in `Sec-WebSocket-Protocol`.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "hushwire.v1.json",
            Self::Cbor => "hushwire.v1.cbor",
        }
    }

    /// Decodes a frame of a client.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] ends a connection, [`DecodeError::Refused`] is answered.
    pub fn decode_client(self, bytes: &[u8]) -> Result<ClientFrame, DecodeError> {
        self.decode(bytes)
    }

    /// Decodes a frame of the server.
    ///
    /// # Errors
    /// As [`Encoding::decode_client`]; a client ignores what is refused.
    pub fn decode_server(self, bytes: &[u8]) -> Result<ServerFrame, DecodeError> {
        self.decode(bytes)
    }

    /// Encodes a frame of a client.
    #[must_use]
    pub fn encode_client(self, frame: &ClientFrame) -> Vec<u8> {
        self.encode(frame)
    }

    /// Encodes a frame of the server. Messages have a way of their own: see [`crate::deliver`].
    #[must_use]
    pub fn encode_server(self, frame: &ServerFrame) -> Vec<u8> {
        self.encode(frame)
    }

    fn encode<T: Serialize>(self, value: &T) -> Vec<u8> {
        // Neither can fail: the types hold no map with other keys than text and no float, and a
        // Vec takes every byte.
        match self {
            Self::Json => serde_json::to_vec(value).unwrap_or_default(),
            Self::Cbor => to_cbor(Vec::with_capacity(128), value),
        }
    }

    fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, DecodeError> {
        if let Some(value) = self.read(bytes) {
            return Ok(value);
        }
        // Slow path, for refusals only.
        if self.read::<IgnoredAny>(bytes).is_none() {
            return Err(DecodeError::Malformed);
        }
        let id = self.read::<IdOnly>(bytes).and_then(|frame| frame.id);
        Err(DecodeError::Refused { id, field: self.path::<T>(bytes) })
    }

    fn read<T: DeserializeOwned>(self, bytes: &[u8]) -> Option<T> {
        match self {
            Self::Json => serde_json::from_slice(bytes).ok(),
            Self::Cbor => from_cbor(bytes),
        }
    }

    /// The path to the field that did not decode, like `op.send.sn`.
    fn path<T: DeserializeOwned>(self, bytes: &[u8]) -> String {
        let mut track = serde_path_to_error::Track::new();
        match self {
            Self::Json => {
                let mut de = serde_json::Deserializer::from_slice(bytes);
                let de = serde_path_to_error::Deserializer::new(&mut de, &mut track);
                let _ = T::deserialize(de);
            }
            Self::Cbor => {
                let mut de = cbor4ii::serde::Deserializer::new(SliceReader::new(bytes));
                let de = serde_path_to_error::Deserializer::new(&mut de, &mut track);
                let _ = T::deserialize(de);
            }
        }
        // A path may end in a name that the peer made up: keep only what a field could be.
        let path = track.path().to_string();
        let plain = |c: char| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '[' | ']')
        };
        let whole = !path.is_empty() && !path.starts_with(['.', '[']) && !path.ends_with('.');
        if whole && path.len() <= 64 && path.chars().all(plain) { path } else { "frame".to_owned() }
    }
}

/// Why a frame could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON or CBOR at all, or bytes after its end.
    #[error("not a frame of the negotiated encoding")]
    Malformed,
    /// Well formed, but not a frame of this protocol: an unknown operation or field, a missing
    /// field, a wrong type or size.
    #[error("not an operation of this protocol, at {field}")]
    Refused {
        /// The frame's id, if it has one.
        id: Option<u64>,
        /// Where decoding stopped.
        field: String,
    },
}

#[derive(Deserialize)]
struct IdOnly {
    id: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Ack, ClientOp, Send};
    use crate::{Sealed, UserId};

    fn send() -> ClientFrame {
        ClientFrame {
            id: Some(17),
            op: ClientOp::Send(Send {
                to: UserId([1; 32]),
                sn: 3,
                upload: Sealed::new(vec![9; 40]),
                withdraw: Vec::new(),
                re: None,
            }),
        }
    }

    #[test]
    fn both_encodings_carry_the_same_frame() {
        for encoding in Encoding::ALL {
            let bytes = encoding.encode_client(&send());
            assert_eq!(encoding.decode_client(&bytes), Ok(send()));
        }
        let json = String::from_utf8(Encoding::Json.encode_client(&send())).unwrap();
        assert!(json.starts_with(r#"{"id":17,"op":{"send":{"to":"AQEB"#), "{json}");
        let ack = ClientFrame { id: None, op: ClientOp::Ack(Ack { n: 4, failed: vec![] }) };
        assert_eq!(Encoding::Json.encode_client(&ack), br#"{"op":{"ack":{"n":4}}}"#);
        assert_eq!(
            Encoding::Json.encode_client(&ClientFrame { id: Some(1), op: ClientOp::Ping {} }),
            br#"{"id":1,"op":{"ping":{}}}"#
        );
        assert_eq!(hex::encode(Encoding::Cbor.encode_client(&ack)), "a1626f70a16361636ba1616e04");
    }

    #[test]
    fn what_is_refused_keeps_its_id_and_names_the_field() {
        let refused = |json: &str| Encoding::Json.decode_client(json.as_bytes()).unwrap_err();
        let at = |id, field: &str| DecodeError::Refused { id, field: field.to_owned() };
        assert_eq!(refused(r#"{"id":5,"op":{"dance":{}}}"#), at(Some(5), "op"));
        assert_eq!(refused(r#"{"id":5,"op":{"ack":{"n":"x"}}}"#), at(Some(5), "op.ack.n"));
        assert_eq!(
            refused(r#"{"id":5,"op":{"ack":{"n":1,"more":2}}}"#),
            at(Some(5), "op.ack.more")
        );
        assert_eq!(refused(r#"{"id":5,"op":{"ping":{}},"x":1}"#), at(Some(5), "x"));
        assert_eq!(refused(r#"{"id":5}"#), at(Some(5), "frame"));
        assert_eq!(refused(r#"{"op":{"ack":{"n":1,"<script>":2}}}"#), at(None, "frame"));
        assert_eq!(refused("[1,2]"), at(None, "frame"));
        // A field without a name still has a place.
        assert_eq!(refused(r#"{"id":5,"":1}"#), at(Some(5), "frame"));
        assert_eq!(refused(r#"{"op":{"ack":{"n":1,"":2}}}"#), at(None, "frame"));
    }

    #[test]
    fn garbage_and_trailing_bytes_are_malformed() {
        for bytes in [&b"{\"id\":5,"[..], b"\xff\xfe", b"", b"{\"op\":{\"ping\":{}}} x"] {
            assert_eq!(Encoding::Json.decode_client(bytes), Err(DecodeError::Malformed));
        }
        let mut cbor = Encoding::Cbor.encode_client(&send());
        cbor.push(0);
        assert_eq!(Encoding::Cbor.decode_client(&cbor), Err(DecodeError::Malformed));
        assert_eq!(Encoding::Cbor.decode_client(&[0xa1, 0x62]), Err(DecodeError::Malformed));
    }

    #[test]
    fn deep_nesting_is_malformed_not_a_stack_overflow() {
        let json = "[".repeat(50_000);
        assert_eq!(Encoding::Json.decode_client(json.as_bytes()), Err(DecodeError::Malformed));
        assert_eq!(Encoding::Cbor.decode_client(&[0x81; 50_000]), Err(DecodeError::Malformed));
    }
}
