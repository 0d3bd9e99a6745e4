//! Copies that another node was asked to deliver, until it says where they are.
//!
//! Numbered by tickets, which are never used twice; each waits for the same time, so the oldest
//! is due first.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::path::Path;
use crate::route::FlightRef;

/// Copies that wait for other nodes, at most. One more counts as not answered at once.
const WAITS: usize = 1 << 16;

/// A copy that is away.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) flight: FlightRef,
    pub(crate) path: Path,
    until_ms: u64,
}

/// The copies that are away.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    inner: Mutex<Inner>,
    came: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    waiting: BTreeMap<u64, Wait>,
}

impl Waits {
    /// Waits for a copy until `until_ms`; its ticket.
    ///
    /// # Errors
    /// Gives the copy back if [`WAITS`] wait.
    pub(crate) fn put(
        &self,
        flight: FlightRef,
        path: Path,
        until_ms: u64,
    ) -> Result<u64, FlightRef> {
        let mut inner = self.lock();
        if inner.waiting.len() >= WAITS {
            return Err(flight);
        }
        inner.next += 1;
        let ticket = inner.next;
        inner.waiting.insert(ticket, Wait { flight, path, until_ms });
        let first = inner.waiting.len() == 1;
        drop(inner);
        if first {
            self.came.notify_one();
        }
        Ok(ticket)
    }

    /// Takes a copy out, if `wanted` says so.
    pub(crate) fn take(&self, ticket: u64, wanted: impl FnOnce(&Path) -> bool) -> Option<Wait> {
        let mut inner = self.lock();
        if !wanted(&inner.waiting.get(&ticket)?.path) {
            return None;
        }
        inner.waiting.remove(&ticket)
    }

    /// Takes the next copy out that has waited long enough at `now_ms`.
    pub(crate) fn take_due(&self, now_ms: u64) -> Option<Wait> {
        let mut inner = self.lock();
        let first = inner.waiting.first_entry()?;
        (first.get().until_ms <= now_ms).then(|| first.remove())
    }

    /// When the next one is due; waits for one if there is none.
    pub(crate) async fn due_ms(&self) -> u64 {
        loop {
            let due_ms = self.lock().waiting.values().next().map(|wait| wait.until_ms);
            match due_ms {
                Some(due_ms) => return due_ms,
                None => self.came.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
