//! A contact as a listing shows it, and what may be wrong with it (CRYPTO 9).
//!
//! It owns the words for programs; whether something is wrong is the record's to know.

use hushwire_wire::UserId;

use crate::message::ProfileName;
use crate::record::{self, Standing};

/// A contact in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactCard {
    /// The username.
    pub handle: String,
    /// The log, if it is known.
    pub user: Option<UserId>,
    /// How it stands.
    pub standing: Standing,
    /// A person compared safety numbers, and the log still continues what was compared.
    pub verified: bool,
    /// Nothing is sent until a person has done something: [`Self::trouble`] says what is wrong.
    pub blocked: bool,
    /// What is wrong, if something is.
    pub trouble: Option<ContactTrouble>,
    /// The newest entry of the log.
    pub seq: u32,
    /// The newest entry that the compared safety number covered.
    pub verified_seq: Option<u32>,
    /// The latest authenticated evidence of the other side, in milliseconds since 1970; 0 for none.
    /// Past [`UNCONFIRMED_AFTER_MS`] a server may be hiding something (CRYPTO, F4).
    pub confirmed_ms: u64,
    /// The name that the contact wants to be shown under. Anybody can take any.
    pub profile: Option<ProfileName>,
    /// For how many seconds messages are kept from now on; 0: for ever.
    pub timer_s: u32,
}

/// So long without authenticated evidence of a contact, in milliseconds, a person is told: 48 h.
pub const UNCONFIRMED_AFTER_MS: u64 = 48 * 3_600_000;

/// What is wrong with a contact (CRYPTO 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContactTrouble {
    /// The server showed two histories of the devices: receive only, for good.
    Forked,
    /// The name belongs to another log now: receive only, until that one is accepted.
    Changed,
    /// The devices changed after the safety number was compared: sending waits until that is
    /// acknowledged.
    Unacknowledged,
    /// No device was seen for 30 days: sending waits until one comes back.
    Unreachable,
    /// The server takes nothing for them: they may have removed or blocked this user, or be gone.
    Refused,
}

impl ContactTrouble {
    pub(crate) fn of(peer: &record::Peer) -> Option<Self> {
        let all = [
            (peer.forked, Self::Forked),
            (peer.changed, Self::Changed),
            (peer.waits_for_person(), Self::Unacknowledged),
            (peer.refused, Self::Refused),
            (peer.unreachable, Self::Unreachable),
        ];
        all.into_iter().find(|(is, _)| *is).map(|(_, what)| what)
    }

    /// A short name for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forked => "forked",
            Self::Changed => "changed",
            Self::Unacknowledged => "unacknowledged",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
        }
    }
}
