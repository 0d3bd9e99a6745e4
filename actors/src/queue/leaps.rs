//! Leaps of the clock by which messages expire: whoever set it, what waits is not ended by it.
//!
//! A queue store dates what it writes by a wall clock of its own, which its owner, or a time
//! server, may move. Seen from a node, whose own clock only rises, such a leap shows as time that
//! did not pass. What leapt ahead is held back from then on, for as long as the node lives: what
//! waits is kept that much longer, and nothing is deleted too soon. A leap that falls when no node
//! looks is seen by none.

use std::time::Duration;

use tokio::time::Instant;

/// A difference of clocks up to this is none: replies take their time. In milliseconds.
const LEAP_MS: u64 = 60_000;

/// What was seen of a store's clock.
#[derive(Debug, Default)]
pub(crate) struct Leaps {
    last: Option<(u64, Instant)>,
    held_ms: u64,
}

/// The clock of the store was moved, by so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leap {
    /// Ahead.
    Ahead(Duration),
    /// Back.
    Back(Duration),
}

impl Leaps {
    /// The store's clock says `store_ms` now. The time to expire by, in milliseconds since 1970,
    /// and the leap since the last look.
    pub(crate) fn look(&mut self, store_ms: u64, now: Instant) -> (u64, Option<Leap>) {
        let last = self.last.replace((store_ms, now));
        let leap = last.and_then(|(then_ms, then)| {
            let passed = u64::try_from((now - then).as_millis()).unwrap_or(u64::MAX);
            let expected = then_ms.saturating_add(passed);
            let apart = store_ms.abs_diff(expected);
            let far = (apart > LEAP_MS).then_some(Duration::from_millis(apart))?;
            Some(if store_ms > expected { Leap::Ahead(far) } else { Leap::Back(far) })
        });
        let ms = |leap: Duration| u64::try_from(leap.as_millis()).unwrap_or(u64::MAX);
        match leap {
            Some(Leap::Ahead(far)) => self.held_ms = self.held_ms.saturating_add(ms(far)),
            // Back to where it was: what was held for the leap ahead is right again.
            Some(Leap::Back(far)) => self.held_ms = self.held_ms.saturating_sub(ms(far)),
            None => {}
        }
        (store_ms.saturating_sub(self.held_ms), leap)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn a_leap_ahead_ends_nothing_and_one_back_takes_it_away() {
        let mut leaps = Leaps::default();
        let mut now = Instant::now();
        let mut look = |store_ms: u64, passed_ms: u64| {
            now += Duration::from_millis(passed_ms);
            leaps.look(store_ms, now)
        };
        assert_eq!(look(40 * DAY_MS, 0), (40 * DAY_MS, None));
        assert_eq!(look(40 * DAY_MS + 30_000, 30_000), (40 * DAY_MS + 30_000, None));
        let far = Duration::from_millis(31 * DAY_MS);
        assert_eq!(
            look(71 * DAY_MS + 60_000, 30_000),
            (40 * DAY_MS + 60_000, Some(Leap::Ahead(far)))
        );
        assert_eq!(look(71 * DAY_MS + 90_000, 30_000), (40 * DAY_MS + 90_000, None));
        assert_eq!(
            look(40 * DAY_MS + 120_000, 30_000),
            (40 * DAY_MS + 120_000, Some(Leap::Back(far)))
        );
        // A slow reply is no leap.
        assert_eq!(look(40 * DAY_MS + 170_000, 30_000).1, None);
        assert_eq!(look(0, 0).0, 0);
    }

    proptest! {
        #[test]
        fn time_to_expire_by_never_runs_faster_than_time(
            steps in proptest::collection::vec((0u64..600_000, -40i64..40, 0u64..50_000), 1..40),
        ) {
            let mut leaps = Leaps::default();
            let (mut store_ms, mut now) = (400 * DAY_MS, Instant::now());
            let (first, _) = leaps.look(store_ms, now);
            let mut most = first;
            for (passed, days, late) in steps {
                now += Duration::from_millis(passed);
                store_ms = (store_ms + passed).saturating_add_signed(days * DAY_MS as i64);
                let (expires_by, _) = leaps.look(store_ms, now + Duration::from_millis(late));
                now += Duration::from_millis(late);
                store_ms += late;
                most += passed + late;
                // Each look may err by what is no leap.
                most += LEAP_MS;
                prop_assert!(expires_by <= most, "{expires_by} {most}");
            }
        }
    }
}
