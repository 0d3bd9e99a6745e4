//! Time and randomness as the SDK takes them: handed in, so that tests move the clock and repeat
//! the dice. [`SystemClock`] and [`SystemRandom`] are the real ones.

use std::time::{Instant, UNIX_EPOCH};

use hushwire_e2ee::RandomError;

/// Two clocks in one.
pub trait Clock: Send + Sync + 'static {
    /// The time of day, in milliseconds since 1970. It may jump.
    fn now_ms(&self) -> u64;
    /// Milliseconds since some fixed moment. It never goes back; delays are measured with it.
    fn ticks_ms(&self) -> u64;
}

/// The clocks of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the port's one real implementation")]
    fn now_ms(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn ticks_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Random bytes.
pub trait Random: Send + 'static {
    /// Fills `out`, whole.
    ///
    /// # Errors
    /// If the source has none.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError>;
}

/// The operating system's random bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(out).map_err(|_| RandomError)
    }
}

/// `N` random bytes.
///
/// # Errors
/// If the source has none.
pub(crate) fn random_bytes<const N: usize>(
    random: &mut dyn Random,
) -> Result<[u8; N], RandomError> {
    let mut out = [0; N];
    random.fill(&mut out)?;
    Ok(out)
}
