//! What changed for a user, as it is told to live devices and listed for those that were away.

use hushwire_wire::UserId;
use hushwire_wire::frame::EventKind;

/// Changes of one user that are kept, at most.
pub const CHANGES_KEPT: u64 = 1_000;
/// How long a change is kept, in milliseconds: 31 days.
pub const CHANGES_KEPT_MS: u64 = 31 * 86_400_000;

/// A user whose devices are to be told of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The user.
    pub user: UserId,
    /// The user's version after the change.
    pub v: u64,
    /// What changed.
    pub kind: EventKind,
    /// The other user concerned.
    pub peer: UserId,
}

/// A contact of a user, and that contact's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquaintance {
    /// The contact.
    pub user: UserId,
    /// Its version.
    pub v: u64,
}

/// Changes of a user after some version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeList {
    /// The user's version.
    pub v: u64,
    /// In order.
    pub changes: Vec<ChangeRow>,
    /// Whether all changes after that version are kept. If not, none is listed.
    pub complete: bool,
}

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    /// The user's version after it.
    pub v: u64,
    /// What changed.
    pub kind: EventKind,
    /// The other user concerned.
    pub peer: Option<UserId>,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}
