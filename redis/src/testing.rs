//! What tests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use hushwire_actors::ports::Random;
use hushwire_testbed::Redis;
use slog::{Discard, Logger, o};

use crate::{Link, OpenError, Settings};

/// Counts.
#[derive(Debug, Default)]
pub(crate) struct Counting(AtomicU8);

impl Random for Counting {
    fn fill(&self, out: &mut [u8]) {
        out.fill(1 + self.0.fetch_add(1, Ordering::Relaxed));
    }
}

/// Settings for a server of the test's own.
pub(crate) fn settings(redis: &Redis) -> Settings {
    Settings { url: redis.url(), within: Duration::from_secs(5), ..Settings::default() }
}

/// A link, opened as a server opens it.
pub(crate) async fn open(settings: Settings) -> Result<Link, OpenError> {
    Link::open(settings, Arc::new(Counting::default()), Logger::root(Discard, o!())).await
}
