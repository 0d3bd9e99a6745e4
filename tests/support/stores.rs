//! Opening stores of the SDK in tests that start servers.

use std::path::Path;
use std::time::{Duration, Instant};

use hushwire_client::{Device, OpenStoreError, StoreKey};

/// How long a lock may be held that nobody wants.
const PATIENCE: Duration = Duration::from_secs(30);

/// The store and the key file in a home folder.
pub fn open(home: &Path) -> Device {
    let key = StoreKey::File(home.join("store.key"));
    try_open(&home.join("store.db"), &key).unwrap()
}

/// Opens a store that no program has open. A server that another test starts at this moment holds
/// this process' locks between its fork and its first instruction: that is waited for.
pub fn try_open(path: &Path, key: &StoreKey) -> Result<Device, OpenStoreError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match Device::open(path, key) {
            Err(OpenStoreError::Locked) if Instant::now() < until => std::thread::yield_now(),
            opened => return opened,
        }
    }
}
