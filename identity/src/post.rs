//! What a server checks of a new epoch (CRYPTO 10), and the roster that both ends compute
//! (CRYPTO 5).
//!
//! It sees logs, prekey records, the header and the sizes of the wraps: nothing of it is secret.

use hushwire_wire::DeviceId;

use crate::code::Code;
use crate::epoch::{AHEAD_MAX_MS, EpochHeader, Side, Slot};
use crate::log::DeviceLog;
use crate::prekey::{PrekeyRecord, day_of};
use crate::suite::{Suite, Suites};

/// One side of a pair as it stands: the verified log, and the newest prekey record of each active
/// device that has one. Records of other devices are ignored.
#[derive(Clone, Copy, Debug)]
pub struct Current<'a> {
    /// The log.
    pub log: &'a DeviceLog,
    /// The records, in any order, verified against the log.
    pub prekeys: &'a [PrekeyRecord],
}

/// The roster slots of one side at entry `seq` for an epoch created on day `c`, sorted by device:
/// every device active there, with the id of the record that `pick` names, or 0 if it has none
/// that is usable on `c`.
pub fn side_slots<'a>(
    side: Side,
    log: &'a DeviceLog,
    seq: u32,
    c: u32,
    mut pick: impl FnMut(&DeviceId) -> Option<&'a PrekeyRecord>,
) -> Vec<Slot> {
    log.devices_at(seq)
        .map(|device| {
            let usable = pick(&device.id).filter(|record| record.usable_on(c));
            Slot { side, device: device.id, prekey: usable.map_or(0, |record| record.id) }
        })
        .collect()
}

/// The highest record of a device.
#[must_use]
pub fn newest<'a>(
    prekeys: impl IntoIterator<Item = &'a PrekeyRecord>,
    device: &DeviceId,
) -> Option<&'a PrekeyRecord> {
    prekeys.into_iter().filter(|record| record.device == *device).max_by_key(|record| record.id)
}

/// The roster and the best common suite of an epoch created at `created_ms`. `a` has the smaller
/// user id; `b` is `None` for a self-pair.
///
/// # Errors
/// [`PostError::Suite`] if no device has a usable prekey, or they share no suite.
pub fn roster(
    a: &Current<'_>,
    b: Option<&Current<'_>>,
    created_ms: u64,
) -> Result<(Vec<Slot>, Suite), PostError> {
    let c = day_of(created_ms);
    let mut slots = Vec::new();
    let mut suites: Vec<Suites> = Vec::new();
    for (side, current) in [(Side::A, Some(a)), (Side::B, b)] {
        let Some(Current { log, prekeys }) = current else { continue };
        let of_side = side_slots(side, log, log.seq(), c, |device| newest(*prekeys, device));
        for slot in of_side.iter().filter(|slot| slot.is_wrapped()) {
            suites.extend(newest(*prekeys, &slot.device).map(|record| record.suites));
        }
        slots.extend(of_side);
    }
    let suite = Suites::best_common(suites).ok_or(PostError::Suite)?;
    Ok((slots, suite))
}

/// What the server knows of a post before it looks at the header.
#[derive(Clone, Copy, Debug)]
pub struct Posting<'a> {
    /// The signed-in device that posts.
    pub creator: DeviceId,
    /// The number that comes next for the pair.
    pub n: u32,
    /// What `prev` must be: the newest epoch's id, the request's id, or zero.
    pub prev: [u8; 32],
    /// The device and the size in bytes of each wrap, as posted.
    pub wraps: &'a [(DeviceId, usize)],
    /// The server's clock, in milliseconds since 1970.
    pub now_ms: u64,
}

/// Why a server refuses an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The header names other users than the pair's.
    #[error("the header does not name this pair")]
    Pair,
    /// Number or predecessor do not follow the newest epoch.
    #[error("the header does not follow the newest epoch")]
    Order,
    /// A head in the header is not the newest.
    #[error("a head in the header is not the newest")]
    Head,
    /// A prekey in the header is not the current one.
    #[error("a prekey in the header is not the current one")]
    Prekey,
    /// The roster is not the active devices of both logs.
    #[error("the roster is not the active devices of both logs")]
    Roster,
    /// The suite is not the best that all wrapped devices share.
    #[error("the suite is not the best common one")]
    Suite,
    /// The creator in the header is not the device that posts.
    #[error("the header names another creator")]
    Creator,
    /// The wraps are not one for each other wrapped device, in roster order, of the suite's size.
    #[error("the wraps do not match the roster")]
    Wraps,
    /// More than 24 hours ahead of the server's clock.
    #[error("the epoch lies in the future")]
    Time,
}

impl PostError {
    /// The code of CRYPTO 11.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Order => Code::EpochConflict,
            Self::Head | Self::Prekey | Self::Time => Code::EpochStale,
            Self::Pair | Self::Roster | Self::Creator => Code::EpochRoster,
            Self::Suite => Code::EpochSuite,
            Self::Wraps => Code::WrapInvalid,
        }
    }
}

/// Everything that a server checks of a new epoch but rates and the compare-and-set itself
/// (CRYPTO 10). `a` has the smaller user id; `b` is `None` for a self-pair.
///
/// # Errors
/// The first of [`PostError`] that holds.
pub fn check_post(
    header: &EpochHeader,
    posting: &Posting<'_>,
    a: &Current<'_>,
    b: Option<&Current<'_>>,
) -> Result<(), PostError> {
    if header.a.user != a.log.user() || header.b.map(|b| b.user) != b.map(|b| b.log.user()) {
        return Err(PostError::Pair);
    }
    if header.n != posting.n || header.prev != posting.prev {
        return Err(PostError::Order);
    }
    if header.a != a.log.point() || header.b != b.map(|b| b.log.point()) {
        return Err(PostError::Head);
    }
    if header.created_ms > posting.now_ms.saturating_add(AHEAD_MAX_MS) {
        return Err(PostError::Time);
    }
    let (slots, suite) = roster(a, b, header.created_ms)?;
    let same = |one: &Slot, other: &Slot| (one.side, one.device) == (other.side, other.device);
    if slots.len() != header.roster.len()
        || !slots.iter().zip(&header.roster).all(|(one, other)| same(one, other))
    {
        return Err(PostError::Roster);
    }
    if slots != header.roster {
        return Err(PostError::Prekey);
    }
    if suite != header.suite {
        return Err(PostError::Suite);
    }
    if header.index_of(&posting.creator) != Some(header.creator) {
        return Err(PostError::Creator);
    }
    let expected = header.targets(header.creator).map(|slot| (slot.device, suite.wrap_len()));
    if !expected.eq(posting.wraps.iter().copied()) {
        return Err(PostError::Wraps);
    }
    Ok(())
}
