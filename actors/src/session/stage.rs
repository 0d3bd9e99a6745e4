//! Where a connection stands: greeted, signing in, open, or closing; and why it leaves that.
//!
//! Each stage has one deadline, so that none lasts for ever.

use std::future::Future;
use std::pin::Pin;

use hushwire_wire::{Close, Gen};

use super::greeting::Greeting;
use super::open::{End, Open, Welcoming};
use crate::ports::{SignedIn, Unavailable};

/// Where a connection stands.
pub(super) enum Stage {
    /// Challenged; nothing but `hello` is possible.
    Greeting { greeting: Box<Greeting>, until_ms: u64 },
    /// The accounts are asked about its `hello`; nothing is read.
    SigningIn { signing: Signing, last_gen: Option<Gen>, until_ms: u64 },
    /// Signed in.
    Open(Box<Open>),
    /// Goodbye was said; what still comes is dropped.
    Closing { until_ms: u64, shut: bool },
}

/// The accounts' word on a `hello`.
pub(super) type Signing =
    Pin<Box<dyn Future<Output = Result<Option<(SignedIn, Welcoming)>, Unavailable>>>>;

impl Stage {
    /// When something is due, given when a peer that takes nothing has had its time.
    pub(super) fn due_ms(&self, stalled_ms: Option<u64>) -> u64 {
        let due_ms = match self {
            Self::Greeting { until_ms, .. } => *until_ms,
            // These do not look whether the peer takes anything.
            Self::SigningIn { until_ms, .. } | Self::Closing { until_ms, .. } => return *until_ms,
            Self::Open(open) => open.deadline_ms(),
        };
        stalled_ms.map_or(due_ms, |stalled_ms| stalled_ms.min(due_ms))
    }
}

/// Why a turn was the last.
pub(super) enum Over {
    /// With a goodbye.
    Closed(Close, Option<u64>),
    /// The peer said goodbye with this code, which it gets back.
    Echo(u16),
    /// The peer is gone.
    Gone,
}

impl From<End> for Over {
    fn from((close, after_ms): End) -> Self {
        Self::Closed(close, after_ms)
    }
}
