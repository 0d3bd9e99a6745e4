//! How often one user may do what only live devices hear: typing, signals of calls, showing
//! itself (DELIVERY, "Lanes").
//!
//! A plain value beside the user's other buckets: time is handed in, each refusal says exactly
//! when the same thing would be taken, and what was refused costs nothing. Its memory is bounded
//! by [`CONTACTS`].

use hushwire_wire::{Reject, Rule, UserId};
use tokio::time::{Duration, Instant};

use crate::limits::Limits;

/// Contacts that a user may send ephemeral messages to within one interval.
pub const CONTACTS: usize = 64;
const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60_000;

/// What the limits say. A zero switches its rule off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paces {
    ephemeral_every_ms: u64,
    signals_per_second: u32,
    signal_burst: u32,
    presence_per_minute: u32,
}

/// What one user did lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// To whom, and when the next one may go there.
    ephemeral: Vec<(UserId, Instant)>,
    /// When the buckets would be empty again.
    signals: Option<Instant>,
    presence: Option<Instant>,
}

impl Paces {
    /// The rules of these limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            ephemeral_every_ms: limits.ephemeral_every_ms,
            signals_per_second: limits.call_signals_per_second,
            signal_burst: limits.call_signal_burst.max(1),
            presence_per_minute: limits.presence_per_minute,
        }
    }
}

impl Pace {
    /// One ephemeral message to `to`.
    ///
    /// # Errors
    /// `rate_limited` within the interval of the one before to this contact, or with
    /// [`CONTACTS`] others in theirs.
    pub fn ephemeral(&mut self, to: UserId, paces: &Paces, now: Instant) -> Result<(), Reject> {
        let every = Duration::from_millis(paces.ephemeral_every_ms);
        self.ephemeral.retain(|(_, next)| *next > now);
        let earliest = self.ephemeral.iter().find(|(user, _)| *user == to);
        let full = self.ephemeral.len() >= CONTACTS;
        let earliest =
            earliest.or_else(|| self.ephemeral.iter().filter(|_| full).min_by_key(|e| e.1));
        if let Some((_, next)) = earliest {
            return Err(Reject::RateLimited {
                retry_after_ms: until(*next, now),
                rule: Rule::Ephemeral,
                limit: 1,
                window_ms: paces.ephemeral_every_ms,
            });
        }
        if !every.is_zero() {
            self.ephemeral.push((to, now + every));
        }
        Ok(())
    }

    /// One step of a call.
    ///
    /// # Errors
    /// `rate_limited` past the rate and its burst.
    pub fn signal(&mut self, paces: &Paces, now: Instant) -> Result<(), Reject> {
        let (limit, burst) = (paces.signals_per_second, paces.signal_burst);
        drop_into(&mut self.signals, SECOND_MS, limit, burst, now).map_err(|retry_after_ms| {
            let (rule, window_ms) = (Rule::CallSignal, SECOND_MS);
            Reject::RateLimited { retry_after_ms, rule, limit, window_ms }
        })
    }

    /// One change of whom a device shows itself to. All of a minute's may come at once.
    ///
    /// # Errors
    /// `rate_limited` past the rate.
    pub fn presence(&mut self, paces: &Paces, now: Instant) -> Result<(), Reject> {
        let limit = paces.presence_per_minute;
        drop_into(&mut self.presence, MINUTE_MS, limit, limit, now).map_err(|retry_after_ms| {
            let (rule, window_ms) = (Rule::Presence, MINUTE_MS);
            Reject::RateLimited { retry_after_ms, rule, limit, window_ms }
        })
    }

    /// Whether it is as good as a new one.
    #[must_use]
    pub fn is_idle(&self, now: Instant) -> bool {
        let latest = self.ephemeral.iter().map(|(_, next)| *next);
        latest.chain(self.signals).chain(self.presence).all(|until| until <= now)
    }
}

/// One drop into a leaky bucket that leaks `limit` in `window_ms` and holds `burst`: a bucket is
/// the time when it will be empty. A full one tells in how many milliseconds the drop has room.
fn drop_into(
    empty_at: &mut Option<Instant>,
    window_ms: u64,
    limit: u32,
    burst: u32,
    now: Instant,
) -> Result<(), u64> {
    if limit == 0 {
        return Ok(());
    }
    let each = Duration::from_millis(window_ms) / limit;
    let after = empty_at.map_or(now, |at| at.max(now)) + each;
    let most = now + each * burst;
    if after > most {
        return Err(until(now + (after - most), now));
    }
    *empty_at = Some(after);
    Ok(())
}

/// Whole milliseconds, rounded up.
fn until(then: Instant, now: Instant) -> u64 {
    let nanos = then.saturating_duration_since(now).as_nanos();
    u64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(k: u8) -> UserId {
        UserId([k; 32])
    }

    fn wait(result: Result<(), Reject>) -> Option<(u64, Rule)> {
        match result {
            Ok(()) => None,
            Err(Reject::RateLimited { retry_after_ms, rule, .. }) => Some((retry_after_ms, rule)),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn typing_is_paced_for_each_contact_and_says_exactly_when() {
        let (paces, mut pace, t) =
            (Paces::new(&Limits::default()), Pace::default(), Instant::now());
        let at = |ms| t + Duration::from_millis(ms);
        assert_eq!(wait(pace.ephemeral(user(1), &paces, at(0))), None);
        assert_eq!(wait(pace.ephemeral(user(2), &paces, at(0))), None);
        let soon = wait(pace.ephemeral(user(1), &paces, at(1_234)));
        assert_eq!(soon, Some((1_766, Rule::Ephemeral)));
        assert_eq!(wait(pace.ephemeral(user(1), &paces, at(2_999))), Some((1, Rule::Ephemeral)));
        assert_eq!(wait(pace.ephemeral(user(1), &paces, at(3_000))), None);
        assert!(!pace.is_idle(at(5_999)) && pace.is_idle(at(6_000)));
    }

    #[test]
    fn the_contacts_of_an_interval_are_bounded() {
        let (paces, mut pace, t) =
            (Paces::new(&Limits::default()), Pace::default(), Instant::now());
        for k in 0..CONTACTS as u8 {
            assert_eq!(wait(pace.ephemeral(user(k), &paces, t)), None);
        }
        let full = wait(pace.ephemeral(user(200), &paces, t + Duration::from_millis(1)));
        assert_eq!(full, Some((2_999, Rule::Ephemeral)));
        assert_eq!(pace.ephemeral.len(), CONTACTS);
        assert_eq!(wait(pace.ephemeral(user(200), &paces, t + Duration::from_secs(3))), None);
        assert_eq!(pace.ephemeral.len(), 1);
    }

    #[test]
    fn signals_and_presence_have_a_rate_and_a_burst() {
        let (paces, mut pace, t) =
            (Paces::new(&Limits::default()), Pace::default(), Instant::now());
        for _ in 0..50 {
            assert_eq!(wait(pace.signal(&paces, t)), None);
        }
        assert_eq!(wait(pace.signal(&paces, t)), Some((100, Rule::CallSignal)));
        let later = t + Duration::from_millis(99);
        assert_eq!(wait(pace.signal(&paces, later)), Some((1, Rule::CallSignal)));
        let later = t + Duration::from_millis(100);
        assert_eq!(wait(pace.signal(&paces, later)), None);
        for _ in 0..12 {
            assert_eq!(wait(pace.presence(&paces, t)), None);
        }
        assert_eq!(wait(pace.presence(&paces, t)), Some((5_000, Rule::Presence)));
        assert_eq!(wait(pace.presence(&paces, t + Duration::from_secs(5))), None);
    }

    #[test]
    fn zero_switches_each_rule_off() {
        let limits = Limits {
            ephemeral_every_ms: 0,
            call_signals_per_second: 0,
            presence_per_minute: 0,
            ..Limits::default()
        };
        let (paces, mut pace, t) = (Paces::new(&limits), Pace::default(), Instant::now());
        for _ in 0..1_000 {
            assert_eq!(pace.ephemeral(user(1), &paces, t), Ok(()));
            assert_eq!(pace.signal(&paces, t), Ok(()));
            assert_eq!(pace.presence(&paces, t), Ok(()));
        }
        assert!(pace.is_idle(t));
    }
}
