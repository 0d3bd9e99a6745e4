//! The budget of sign-ins by address, which HTTP and sockets share.

use std::net::IpAddr;
use std::sync::Arc;

use hushwire_actors::ports::{Clock, SignIns};

use crate::http::addresses::Addresses;

/// Tries to sign in.
#[derive(Debug)]
pub(crate) struct Tries {
    addresses: Addresses,
    clock: Arc<dyn Clock>,
}

impl Tries {
    /// At most `per_minute` from each of `most` addresses; 0 for no limit.
    pub(crate) fn new(per_minute: u32, most: usize, clock: Arc<dyn Clock>) -> Self {
        Self { addresses: Addresses::new(per_minute, 60_000, most), clock }
    }
}

impl SignIns for Tries {
    fn admit(&self, from: IpAddr) -> Result<(), u64> {
        self.addresses.admit(Some(from), self.clock.now_ms())
    }
}
