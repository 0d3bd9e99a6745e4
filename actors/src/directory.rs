//! Which device is live on this node: a sharded table from device to session, not an actor.
//!
//! The latest attach wins. Whoever ends removes only itself, by its connection.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hushwire_wire::{Conn, DeviceId, UserId};

use crate::lane::Lane;
use crate::route::FlightRef;

const SHARDS: usize = 64;

/// A live session.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    /// Whose device it is.
    pub(crate) user: UserId,
    /// The connection.
    pub(crate) conn: Conn,
    /// The way into it.
    pub(crate) lane: Arc<Lane<FlightRef>>,
}

/// Device to live session.
#[derive(Debug)]
pub(crate) struct Directory {
    shards: Box<[Mutex<HashMap<DeviceId, Live>>]>,
}

impl Directory {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Puts a session in, and gives back the one it displaces. `then` runs under the table's
    /// lock, so that what it does keeps the order of attaches.
    pub(crate) fn attach(&self, device: DeviceId, live: Live, then: impl FnOnce()) -> Option<Live> {
        let mut shard = self.shard(&device);
        let displaced = shard.insert(device, live);
        then();
        displaced
    }

    /// The live session of a device.
    pub(crate) fn get(&self, device: &DeviceId) -> Option<Live> {
        self.shard(device).get(device).cloned()
    }

    /// Removes a session, if it is still the one in the table.
    pub(crate) fn remove_if(&self, device: DeviceId, conn: Conn) {
        if let Entry::Occupied(entry) = self.shard(&device).entry(device)
            && entry.get().conn == conn
        {
            entry.remove();
        }
    }

    /// The number of live devices.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// All live sessions, shard by shard.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&DeviceId, &Live)) {
        for shard in &self.shards {
            let all: Vec<_> = lock(shard).iter().map(|(d, l)| (*d, l.clone())).collect();
            all.iter().for_each(|(device, live)| visit(device, live));
        }
    }

    fn shard(&self, device: &DeviceId) -> MutexGuard<'_, HashMap<DeviceId, Live>> {
        // A device's id is a hash, so any of its bytes spreads evenly.
        lock(&self.shards[usize::from(device.0[0]) % SHARDS])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn live(conn: u8) -> Live {
        let lane = Arc::new(Lane::new(&Limits::default()));
        Live { user: UserId([1; 32]), conn: Conn([conn; 16]), lane }
    }

    #[test]
    fn the_latest_attach_wins_and_an_old_end_removes_nothing() {
        let directory = Directory::new();
        let device = DeviceId([7; 16]);
        assert!(directory.attach(device, live(1), || ()).is_none());
        let displaced = directory.attach(device, live(2), || ()).unwrap();
        assert_eq!(displaced.conn, Conn([1; 16]));
        directory.remove_if(device, Conn([1; 16]));
        assert_eq!(directory.get(&device).unwrap().conn, Conn([2; 16]));
        directory.remove_if(device, Conn([2; 16]));
        assert!(directory.get(&device).is_none());
        assert_eq!(directory.len(), 0);
    }
}
