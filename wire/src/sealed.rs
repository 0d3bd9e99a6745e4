//! Ciphertext as the server sees it: bytes in, bytes out, a length. Nothing more.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that only clients can read. There is no way to the content but [`Sealed::as_bytes`],
/// and `Debug` prints the length alone.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Sealed(Bytes);

#[cfg(feature = "schema")]
crate::schema::bytes!(Sealed, None, "Bytes in a fixed layout of CRYPTO, or ciphertext.");

impl Sealed {
    /// Takes the bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, for encoding and for the open layouts of CRYPTO 5 and 6.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, shared.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl From<Vec<u8>> for Sealed {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} B)", self.0.len())
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::bytes::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::bytes::deserialize(deserializer, "a byte string", |bytes| {
            Some(Self(Bytes::copy_from_slice(bytes)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_the_length_alone() {
        assert_eq!(format!("{:?}", Sealed::new(vec![1; 312])), "Sealed(312 B)");
    }
}
