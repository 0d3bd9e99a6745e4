//! Contact requests and contacts as they are handed in and out (CRYPTO 9).

use hushwire_identity::Handle;
use hushwire_wire::http::{ContactState, EpochRef};
use hushwire_wire::{DeviceId, RequestId, UserId};

use crate::change::Told;
use crate::epoch::PairKeys;
use crate::failure::{Failure, carries_failure};

/// Accepted contacts of a user, at most.
pub const CONTACTS_MAX: usize = 10_000;
/// Users whom one user blocks, at most.
pub const BLOCKED_MAX: usize = 10_000;

/// A contact request, its shape and its point of the asker's log verified by the caller.
#[derive(Clone, Debug)]
pub struct NewRequest {
    /// The hash of the bytes.
    pub id: RequestId,
    /// Who asks.
    pub asker: UserId,
    /// The username that is asked for.
    pub handle: Handle,
    /// The user whom the request names, if a contact link did.
    pub to: Option<UserId>,
    /// The request's bytes.
    pub bytes: Vec<u8>,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
    /// What the asker and the one asked may have open.
    pub bounds: RequestBounds,
}

/// Bounds on stored requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestBounds {
    /// Open requests that one user has made, at most. A request counts until it is accepted, for
    /// [`Self::open_ms`] at most.
    pub asked: u32,
    /// Requests that wait for one user's answer, at most; further ones reach nobody.
    pub waiting: u32,
    /// How long a request counts against [`Self::asked`], in milliseconds.
    pub open_ms: u64,
    /// Requests that one user makes in a day (UTC), at most, whatever becomes of them; 0 for no
    /// bound.
    pub per_day: u32,
}

impl RequestBounds {
    /// How long an unanswered request is kept, in milliseconds: 30 days.
    pub const KEPT_MS: u64 = 30 * 86_400_000;
}

impl Default for RequestBounds {
    fn default() -> Self {
        Self { asked: 30, waiting: 200, open_ms: 7 * 86_400_000, per_day: 30 }
    }
}

/// What became of a request. The asker is answered alike but for [`Self::Crossed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requested {
    /// It is stored, and this user is to be told.
    Delivered(Told),
    /// Nobody is to be told: unknown username, a contact already, too many waiting, or a repeat.
    Silent,
    /// The one asked has asked first.
    Crossed(RequestId),
}

/// A request was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RequestError {
    /// The asker has too many open.
    #[error("too many contact requests are open")]
    TooMany {
        /// How many are open.
        open: u32,
        /// When the oldest stops counting, in milliseconds from now.
        retry_after_ms: u64,
    },
    /// The asker has made as many today as the bound allows.
    #[error("too many contact requests were made today")]
    TooManyToday {
        /// How many were made.
        made: u32,
        /// When the day ends, in milliseconds from now.
        retry_after_ms: u64,
    },
    /// The asker blocks whom it asks.
    #[error("the asker blocks this user")]
    Blocking,
    /// The store could not answer.
    #[error("the store could not answer")]
    Failed(#[source] Failure),
}

/// A request as the one asked finds it when accepting.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who asked.
    pub asker: UserId,
    /// Whether it was accepted before; `keys.newest` then is the pair's newest epoch.
    pub accepted: bool,
    /// What the first epoch is checked against.
    pub keys: PairKeys,
}

/// A contact was not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AcceptError {
    /// The request is gone, or was never for this user.
    #[error("there is no such request")]
    NotFound,
    /// What the epoch was checked against has changed: look again.
    #[error("the pair has changed meanwhile")]
    Moved,
    /// One of the two has [`CONTACTS_MAX`] contacts.
    #[error("too many contacts")]
    TooMany,
    /// The store could not answer.
    #[error("the store could not answer")]
    Failed(#[source] Failure),
}

/// A user's contacts and the requests that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactList {
    /// The user's version of which this is the state.
    pub v: u64,
    /// Contacts in the order of user ids, blocked users likewise, then requests in the order they
    /// came.
    pub contacts: Vec<ContactRow>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactRow {
    /// The other user.
    pub peer: UserId,
    /// How things stand.
    pub state: ContactState,
    /// The request that began it.
    pub request: Vec<u8>,
    /// The newest epoch, once accepted; for a request of a former contact, the last one of then.
    pub newest: Option<EpochRef>,
}

/// Somebody is blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The user's own devices are to be told; `None` for a repeat.
    pub told: Option<Told>,
    /// The user's active devices, whose queues drop what waits from the one blocked.
    pub devices: Vec<DeviceId>,
}

/// Nobody was blocked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BlockError {
    /// Nobody who is or was a contact, or who asks to be one: one answer with unknown.
    #[error("there is nobody to block")]
    NotFound,
    /// The user blocks [`BLOCKED_MAX`] others.
    #[error("too many are blocked")]
    TooMany,
    /// The store could not answer.
    #[error("the store could not answer")]
    Failed(#[source] Failure),
}

carries_failure!(RequestError, AcceptError, BlockError);
