//! The one connection that many callers use at once: their commands follow each other without a
//! wait, and a reply finds whom it belongs to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bb8_redis::redis::aio::MultiplexedConnection;

/// The connection, while there is one.
#[derive(Debug, Default)]
pub(crate) struct SharedConnection {
    inner: Mutex<Option<Shared>>,
    opened: AtomicU64,
}

/// A use of it.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) connection: MultiplexedConnection,
    /// Which one it is.
    number: u64,
}

impl SharedConnection {
    pub(crate) fn known(&self) -> Option<Shared> {
        self.lock().clone()
    }

    pub(crate) fn put(&self, connection: MultiplexedConnection) -> Shared {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let shared = Shared { connection, number };
        *self.lock() = Some(shared.clone());
        shared
    }

    /// It is not used again; a newer one is.
    pub(crate) fn drop(&self, failed: &Shared) {
        self.lock().take_if(|shared| shared.number == failed.number);
    }

    /// Whichever there is is not used again.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Shared>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
