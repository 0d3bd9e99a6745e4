//! The system's clock: the one place that reads it.

use std::time::{SystemTime, UNIX_EPOCH};

use hushwire_actors::ports::Clock;

/// The system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everybody else is handed"
    )]
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_milliseconds_since_1970() {
        let now = SystemClock.now_ms();
        assert!(now > 1_600_000_000_000, "after 2020: {now}");
        assert!(now < 32_503_680_000_000, "before 3000: {now}");
    }
}
