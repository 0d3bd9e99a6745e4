//! A point on a device log: whose, which entry, and its hash.
//!
//! The same 68 bytes stand in epoch headers, contact requests, safety numbers and pins.

use std::fmt;

use hushwire_wire::UserId;
use hushwire_wire::layout::{LayoutError, Reader, Writer};

/// The hash of a log entry (CRYPTO 3, `entry_hash`): 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Head(pub [u8; 32]);

impl Head {
    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Head({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// `b32 log_id | u32 seq | b32 head`: 68 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogPoint {
    /// The user, which is the log's id.
    pub user: UserId,
    /// The entry's number, from 0 (genesis).
    pub seq: u32,
    /// The entry's hash.
    pub head: Head,
}

impl LogPoint {
    /// The size in bytes.
    pub const LEN: usize = 68;

    /// Reads the 68 bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn read(r: &mut Reader<'_>, field: &'static str) -> Result<Self, LayoutError> {
        Ok(Self { user: UserId(r.array(field)?), seq: r.u32(field)?, head: Head(r.array(field)?) })
    }

    /// Writes the 68 bytes.
    pub fn write(&self, w: &mut Writer) {
        w.raw(self.user.as_bytes()).u32(self.seq).raw(&self.head.0);
    }

    /// The 68 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut w = Writer::with_capacity(Self::LEN);
        self.write(&mut w);
        let mut out = [0; Self::LEN];
        out.copy_from_slice(&w.finish());
        out
    }
}
