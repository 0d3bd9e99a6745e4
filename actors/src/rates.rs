//! What durable messages cost (DELIVERY, "Lanes"): a bucket for texts, files and edits, one for what
//! is small. A bucket holds so many milliseconds, gets one each millisecond, and a message takes its
//! cost; so a refusal says exactly when.

use hushwire_wire::message::Class;
use hushwire_wire::{Reject, Rule};

use crate::limits::Limits;

const MINUTE_MS: u64 = 60_000;

/// The rules of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    interval_ms: u64,
    control_per_minute: u32,
    control_burst: u32,
}

/// What a message costs, and where from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// Whether it is taken from the bucket of texts, files and edits.
    pub paced: bool,
    /// What the bucket holds, in milliseconds. 0: the rule is off.
    pub most_ms: u64,
    /// What the message takes, in milliseconds.
    pub cost_ms: u64,
}

impl Rates {
    /// Those of these limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            interval_ms: limits.message_interval_ms,
            control_per_minute: limits.control_per_minute.max(1),
            control_burst: limits.control_burst.max(1),
        }
    }

    /// What a message of this class costs.
    #[must_use]
    pub fn price(&self, class: Class) -> Price {
        if class.is_paced() {
            return Price { paced: true, most_ms: self.interval_ms, cost_ms: self.interval_ms };
        }
        let cost_ms = MINUTE_MS / u64::from(self.control_per_minute);
        Price { paced: false, most_ms: cost_ms * u64::from(self.control_burst), cost_ms }
    }

    /// How long it takes until every bucket is full.
    #[must_use]
    pub fn full_ms(&self) -> u64 {
        self.interval_ms.max(self.price(Class::Control).most_ms)
    }

    /// The refusal of a message of this class that is there too soon.
    #[must_use]
    pub fn too_soon(&self, class: Class, retry_after_ms: u64) -> Reject {
        if class.is_paced() {
            let (rule, window_ms) = (Rule::MessageInterval, self.interval_ms);
            return Reject::RateLimited { retry_after_ms, rule, limit: 1, window_ms };
        }
        let (rule, limit) = (Rule::ControlLane, self.control_per_minute);
        Reject::RateLimited { retry_after_ms, rule, limit, window_ms: MINUTE_MS }
    }
}
