//! QR payloads (CRYPTO 8): the two log points that a safety number hashes, in the open, so that a
//! scanner sees more than equal or not.

use hushwire_wire::layout::{LayoutError, Reader};

use crate::log::DeviceLog;
use crate::point::LogPoint;

/// `side of the one who shows | side of the one who scans`: 136 bytes, as the one who shows knows
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QrPayload {
    /// The newest point of the own log.
    pub shows: LogPoint,
    /// The newest verified point of the other's log.
    pub scans: LogPoint,
}

/// What a scanned payload says of two verified logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QrCheck {
    /// Both points are the newest: nobody stands between.
    Equal,
    /// Both lie on the logs, and at least one is not the newest there: nobody stands between, and
    /// the one who shows has not seen all of it yet.
    Prefix,
    /// A point does not lie on its log. If it is ahead of it, the log must be fetched first; if
    /// it stays so, the two were shown different logs.
    Different,
}

impl QrPayload {
    /// The size in bytes.
    pub const LEN: usize = 2 * LogPoint::LEN;

    /// The payload that a person shows to another, from the own log and the other's.
    #[must_use]
    pub fn of(own: &DeviceLog, peer: &DeviceLog) -> Self {
        Self { shows: own.point(), scans: peer.point() }
    }

    /// Reads the 136 bytes.
    ///
    /// # Errors
    /// For fewer or more.
    pub fn parse(bytes: &[u8]) -> Result<Self, LayoutError> {
        let mut r = Reader::new(bytes);
        let shows = LogPoint::read(&mut r, "qr.shows")?;
        let scans = LogPoint::read(&mut r, "qr.scans")?;
        r.finish("qr")?;
        Ok(Self { shows, scans })
    }

    /// The 136 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..LogPoint::LEN].copy_from_slice(&self.shows.to_bytes());
        out[LogPoint::LEN..].copy_from_slice(&self.scans.to_bytes());
        out
    }

    /// Compares with what the one who scans has verified: the own log, and that of the person who
    /// shows.
    #[must_use]
    pub fn check(&self, own: &DeviceLog, peer: &DeviceLog) -> QrCheck {
        if self.shows == peer.point() && self.scans == own.point() {
            QrCheck::Equal
        } else if peer.contains(&self.shows) && own.contains(&self.scans) {
            QrCheck::Prefix
        } else {
            QrCheck::Different
        }
    }
}
