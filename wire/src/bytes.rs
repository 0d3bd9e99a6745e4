//! Byte strings on the wire: base64url without padding in JSON, a byte string in CBOR.
//!
//! One place decides it, so that no type can differ between the two encodings.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{self, Visitor};
use serde::{Deserializer, Serializer};

/// Encodes bytes as base64url without padding.
#[must_use]
pub fn to_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes base64url without padding; `None` for anything else (padding, other alphabets and
/// non-zero trailing bits included).
#[must_use]
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.serialize_str(&to_base64url(bytes))
    } else {
        serializer.serialize_bytes(bytes)
    }
}

/// Decodes a byte string and hands it to `make`, which may refuse its length.
///
/// `expected` names what was expected, for the error.
pub(crate) fn deserialize<'de, D, T>(
    deserializer: D,
    expected: &'static str,
    make: fn(&[u8]) -> Option<T>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    let readable = deserializer.is_human_readable();
    let visitor = BytesVisitor { expected, make };
    if readable {
        deserializer.deserialize_str(visitor)
    } else {
        deserializer.deserialize_bytes(visitor)
    }
}

struct BytesVisitor<T> {
    expected: &'static str,
    make: fn(&[u8]) -> Option<T>,
}

impl<T> BytesVisitor<T> {
    fn make<E: de::Error>(&self, bytes: &[u8]) -> Result<T, E> {
        (self.make)(bytes).ok_or_else(|| E::invalid_length(bytes.len(), &self.expected))
    }
}

impl<T> Visitor<'_> for BytesVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        // The error does not repeat the input: it may be anything.
        let bytes =
            from_base64url(text).ok_or_else(|| E::custom("expected base64url without padding"))?;
        self.make(&bytes)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<T, E> {
        self.make(bytes)
    }
}
