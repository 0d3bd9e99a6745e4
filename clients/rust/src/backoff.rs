//! When to connect again: jittered exponential delays, the server's wish, and the closes after
//! which a client stays away (DELIVERY, "Frames").

use hushwire_wire::Close;
use serde::Deserialize;

use crate::ports::{Random, random_bytes};

/// The first delay, in milliseconds.
pub(crate) const FIRST_MS: u64 = 500;
/// The longest delay of our own, in milliseconds.
pub(crate) const LONGEST_MS: u64 = 20_000;
/// The longest delay that a server may ask for, in milliseconds.
pub(crate) const OBEYED_MS: u64 = 600_000;

/// How a connection ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// The close code, if the server sent one.
    pub code: Option<u16>,
    /// When the server wants this client back, in milliseconds.
    pub after_ms: Option<u64>,
    /// The oldest and the newest version that the server speaks, if this client's is neither.
    pub spoken: Option<(u16, u16)>,
}

impl Ending {
    /// Reads a close frame.
    #[must_use]
    pub fn of_close(code: u16, reason: &str) -> Self {
        #[derive(Deserialize)]
        struct Reason {
            after_ms: Option<u64>,
            oldest: Option<u16>,
            newest: Option<u16>,
        }
        let Ok(Reason { after_ms, oldest, newest }) = serde_json::from_str(reason) else {
            return Self { code: Some(code), ..Self::default() };
        };
        Self { code: Some(code), after_ms, spoken: oldest.zip(newest) }
    }

    /// The row of the table of closes, if it is one.
    #[must_use]
    pub fn close(&self) -> Option<Close> {
        self.code.and_then(Close::from_code)
    }

    /// Whether a client connects again by itself: the table says so, and what the table does not
    /// know it does below 4000 only.
    #[must_use]
    pub fn comes_back(&self) -> bool {
        match (self.code, self.close()) {
            (None, _) => true,
            (Some(_), Some(close)) => close.comes_back(),
            (Some(code), None) => code < 4000,
        }
    }
}

/// Delays between attempts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Signed in: the next delay is short again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait before the next attempt, in milliseconds.
    pub(crate) fn next(&mut self, after_ms: Option<u64>, random: &mut dyn Random) -> u64 {
        let dice = random_bytes::<2>(random).map_or(u16::MAX / 2, u16::from_be_bytes);
        let base = (FIRST_MS << self.failures.min(10)).min(LONGEST_MS);
        self.failures = self.failures.saturating_add(1);
        match after_ms {
            // A crowd that is told the same moment does not come at the same moment.
            Some(ms) => ms.min(OBEYED_MS) + FIRST_MS * u64::from(dice) / u64::from(u16::MAX),
            None => base / 2 + base / 2 * u64::from(dice) / u64::from(u16::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dice(u8);

    impl Random for Dice {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), hushwire_e2ee::RandomError> {
            out.fill(self.0);
            Ok(())
        }
    }

    #[test]
    fn delays_double_to_their_bound_and_begin_anew() {
        let mut backoff = Backoff::default();
        let delays: Vec<_> = (0..8).map(|_| backoff.next(None, &mut Dice(255))).collect();
        assert_eq!(delays, [500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]);
        backoff.reset();
        assert_eq!(backoff.next(None, &mut Dice(0)), 250, "half of it is jitter");
        assert_eq!(backoff.next(Some(7000), &mut Dice(0)), 7000);
        assert_eq!(backoff.next(Some(u64::MAX), &mut Dice(0)), OBEYED_MS);
    }

    #[test]
    fn closes_say_whether_to_come_back() {
        let comes = |code| Ending { code, ..Ending::default() }.comes_back();
        assert!(comes(None) && comes(Some(1006)) && comes(Some(1012)) && comes(Some(4408)));
        assert!(!comes(Some(4403)) && !comes(Some(4409)) && !comes(Some(4999)));
        assert!(!comes(Some(4426)) && comes(Some(4429)));
        let ending = Ending::of_close(1012, &Close::Restarting.reason(Some(1500)));
        assert_eq!(ending, Ending { code: Some(1012), after_ms: Some(1500), spoken: None });
        let ending = Ending::of_close(4426, &Close::UpgradeRequired.reason(None));
        assert_eq!((ending.spoken, ending.comes_back()), (Some((1, 1)), false));
        assert_eq!(Ending::of_close(1012, "bye").after_ms, None);
    }
}
