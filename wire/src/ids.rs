//! Identifiers: fixed-size byte strings that cannot be swapped for one another.
//!
//! In JSON they are base64url without padding, in CBOR byte strings. `Debug` prints the first
//! four bytes only, so that a log line never becomes a directory of who talks to whom.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! id {
    ($(#[doc = $doc:literal])* $name:ident, $len:literal, $expected:literal) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The size in bytes.
            pub const LEN: usize = $len;
            /// All zero bytes: the layouts' "none".
            pub const ZERO: Self = Self([0; $len]);

            /// From a slice of exactly [`Self::LEN`] bytes.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// From base64url without padding.
            #[must_use]
            pub fn from_base64url(text: &str) -> Option<Self> {
                Self::from_slice(&crate::bytes::from_base64url(text)?)
            }

            /// As base64url without padding.
            #[must_use]
            pub fn to_base64url(&self) -> String {
                crate::bytes::to_base64url(&self.0)
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Whether all bytes are zero.
            #[must_use]
            pub fn is_zero(&self) -> bool {
                *self == Self::ZERO
            }
        }

        #[cfg(feature = "schema")]
        crate::schema::bytes!($name, Some($len), concat!($($doc, "\n"),*));

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let [a, b, c, d, ..] = self.0;
                write!(f, concat!(stringify!($name), "({:02x}{:02x}{:02x}{:02x}..)"), a, b, c, d)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                crate::bytes::serialize(&self.0, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::bytes::deserialize(deserializer, $expected, Self::from_slice)
            }
        }
    };
}

id! {
    /// A user: the hash of the genesis entry of the user's device log (CRYPTO 3).
    UserId, 32, "a user id of 32 bytes"
}
id! {
    /// A device: the truncated hash of its identity key (CRYPTO 3). Unique on a server.
    DeviceId, 16, "a device id of 16 bytes"
}
id! {
    /// A message: the salt in its header (CRYPTO 6), the same for every device.
    Mid, 16, "a message id of 16 bytes"
}
id! {
    /// An epoch: the hash of its header (CRYPTO 5).
    EpochId, 32, "an epoch id of 32 bytes"
}
id! {
    /// A contact request: the hash of its bytes (CRYPTO 9).
    RequestId, 32, "a request id of 32 bytes"
}
id! {
    /// An entry of a device log: the hash of its bytes (CRYPTO 3).
    EntryHash, 32, "a hash of 32 bytes"
}
id! {
    /// The generation of the whole queue data set. In memory mode, of the server's process.
    Gen, 16, "a generation of 16 bytes"
}
id! {
    /// One attachment of a device to the queue store: random for each connection.
    Conn, 16, "a connection id of 16 bytes"
}
id! {
    /// A server node: random for each process start.
    NodeId, 16, "a node id of 16 bytes"
}
id! {
    /// A call: random, chosen by the caller.
    CallId, 16, "a call id of 16 bytes"
}
id! {
    /// A challenge to be signed once within 60 seconds.
    Nonce, 32, "a nonce of 32 bytes"
}

#[cfg(feature = "schema")]
crate::schema::bytes!(Token, Some(32), "A session token: 32 random bytes, a secret.");

/// A session token: 32 random bytes that carry no meaning. A secret: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub [u8; 32]);

impl Token {
    /// From base64url without padding.
    #[must_use]
    pub fn from_base64url(text: &str) -> Option<Self> {
        let bytes = crate::bytes::from_base64url(text)?;
        bytes.as_slice().try_into().ok().map(Self)
    }

    /// As base64url without padding, the form of the `Authorization: Bearer` header.
    #[must_use]
    pub fn to_base64url(&self) -> String {
        crate::bytes::to_base64url(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::bytes::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::bytes::deserialize(deserializer, "a token of 32 bytes", |bytes| {
            bytes.try_into().ok().map(Self)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_four_bytes_and_no_token() {
        let user = UserId([0xab; 32]);
        assert_eq!(format!("{user:?}"), "UserId(abababab..)");
        assert_eq!(format!("{:?}", Token([7; 32])), "Token(..)");
    }

    #[test]
    fn a_wrong_length_is_refused_without_echo() {
        let error = serde_json::from_str::<DeviceId>("\"c2VjcmV0\"").unwrap_err().to_string();
        assert!(error.contains("a device id of 16 bytes"), "{error}");
        let error = serde_json::from_str::<DeviceId>("\"not base64!\"").unwrap_err().to_string();
        assert!(!error.contains("not base64!"), "{error}");
    }
}
