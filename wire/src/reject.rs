//! Rejects: a command failed, the connection lives. A closed table (DELIVERY, "Frames").

use serde::{Deserialize, Serialize};

use crate::frame::Accepted;
use crate::ids::Mid;

/// Why a command was refused. Every refusal by a limit says which rule, how much it allows, and
/// when to come back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reject {
    /// Too soon. The same frame succeeds after `retry_after_ms`, if nothing else is sent.
    RateLimited {
        /// Milliseconds until this frame would be taken.
        retry_after_ms: u64,
        /// The rule that refused it.
        rule: Rule,
        /// How many the rule allows in `window_ms`.
        limit: u32,
        /// The rule's window in milliseconds.
        window_ms: u64,
    },
    /// The day's messages are used up.
    DailyLimit {
        /// Milliseconds until the next day's first.
        retry_after_ms: u64,
        /// How many a day allows.
        limit: u32,
        /// How many were used.
        used: u32,
    },
    /// The trust level does not allow this.
    TrustTooLow {
        /// The level that does.
        needs: u8,
    },
    /// The balance does not cover the price.
    NoCredits {
        /// The price in credits.
        price: u32,
        /// The balance in credits.
        balance: u32,
    },
    /// No accepted contact. One answer for unknown, removed and blocking users.
    NotContact {},
    /// The account is restricted.
    Restricted {
        /// Until when, in milliseconds since 1970.
        until: u64,
        /// Why, in words for a person.
        reason: String,
    },
    /// The message's epoch is not the newest, or its heads are not (CRYPTO 10). Fetch, then
    /// encrypt again.
    EpochStale {},
    /// No device of the recipient has a prekey, or all were revoked or stale.
    RecipientStale {},
    /// The lane-0 counter did not rise.
    CounterReuse {},
    /// All the recipient's queues are full.
    QueueFull {},
    /// The whole store is full.
    StoreFull {},
    /// Larger than the class allows.
    TooLarge {
        /// The most it may have, in bytes.
        limit: u64,
    },
    /// This `sn`, or a higher one, was accepted before.
    StaleSn {
        /// The highest `sn` known for this device and recipient.
        last_sn: u64,
        /// The message accepted under it.
        mid: Mid,
        /// What was answered then, if it was accepted.
        answer: Option<Accepted>,
    },
    /// Not now. Nothing is wrong with the frame: keep it, and send the same bytes again.
    Unavailable {
        /// Milliseconds to wait at least.
        retry_after_ms: u64,
    },
    /// The frame is not what the protocol allows.
    BadRequest {
        /// Which field, as a path like `op.send.sn`.
        field: String,
        /// What should have stood there.
        expected: String,
    },
    /// Not allowed to this device.
    Forbidden {},
}

impl Reject {
    /// A [`Reject::BadRequest`].
    #[must_use]
    pub fn bad(field: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::BadRequest { field: field.into(), expected: expected.into() }
    }

    /// The row's name in the table, as on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RateLimited { .. } => "rate_limited",
            Self::DailyLimit { .. } => "daily_limit",
            Self::TrustTooLow { .. } => "trust_too_low",
            Self::NoCredits { .. } => "no_credits",
            Self::NotContact {} => "not_contact",
            Self::Restricted { .. } => "restricted",
            Self::EpochStale {} => "epoch_stale",
            Self::RecipientStale {} => "recipient_stale",
            Self::CounterReuse {} => "counter_reuse",
            Self::QueueFull {} => "queue_full",
            Self::StoreFull {} => "store_full",
            Self::TooLarge { .. } => "too_large",
            Self::StaleSn { .. } => "stale_sn",
            Self::Unavailable { .. } => "unavailable",
            Self::BadRequest { .. } => "bad_request",
            Self::Forbidden {} => "forbidden",
        }
    }
}

impl From<crate::LayoutError> for Reject {
    fn from(error: crate::LayoutError) -> Self {
        Self::bad(error.field, error.expected)
    }
}

/// The rules that limit how often something may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Text, edit and file: one per interval and user (10 s).
    MessageInterval,
    /// Removals, reactions, receipts and timers.
    ControlLane,
    /// What a resync sends again.
    Resubmission,
    /// Repeats of a frame that is still under way.
    Repeat,
    /// Typing and other ephemeral messages, for each contact.
    Ephemeral,
    /// Signals of calls.
    CallSignal,
    /// Changes of whom a device shows itself to.
    Presence,
}
