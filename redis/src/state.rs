//! What is known of the store, for whoever must not wait: generation, room, copies, health.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hushwire_wire::Gen;
use tokio::sync::Notify;

/// Known facts; [`crate::Link`] keeps them.
#[derive(Debug, Default)]
pub struct State {
    inner: Mutex<Facts>,
    doubt: Notify,
    /// The time that functions are told in the place of Redis' own.
    #[cfg(test)]
    now: Mutex<String>,
}

/// How much room Redis has (DELIVERY, "Session and ledger").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// Enough.
    #[default]
    Ample,
    /// From 85 % of `maxmemory` on: nothing for devices that are away.
    Reserved,
    /// From 95 % on: no new message.
    Full,
}

/// One reading of all facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The generation; `None` before the first is known.
    pub r#gen: Option<Gen>,
    /// When it began, in milliseconds since 1970.
    pub born_ms: u64,
    /// Whether Redis answered lately.
    pub reachable: bool,
    /// How much room it has.
    pub room: Room,
    /// How many replicas must have a write: those online, and `copies - 1` at least.
    pub acknowledged_by: usize,
    /// Why nothing may be written, in words for the operator: a setting that would bring messages
    /// to a disk, or the like. `None` if all is well.
    pub refused: Option<String>,
}

impl State {
    /// The facts now.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.lock().clone()
    }

    /// Changes facts.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.lock());
    }

    /// Something shows that the facts may be others.
    pub(crate) fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// Waits until the facts are in doubt.
    pub(crate) async fn doubted(&self) {
        self.doubt.notified().await;
    }

    /// The time for functions of the library: none, since Redis has its own.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests say another time")]
    pub(crate) const fn said_now(&self) -> &'static str {
        ""
    }

    /// The time for functions of the library.
    #[cfg(test)]
    pub(crate) fn said_now(&self) -> String {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says the time, in the place of Redis' own.
    #[cfg(test)]
    pub(crate) fn say_now(&self, now_ms: u64) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now_ms.to_string();
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
