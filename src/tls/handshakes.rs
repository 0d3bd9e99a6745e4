//! Handshakes under way: so many at a time, and so many of them from one address.
//!
//! Who begins handshakes and does not go on with them holds places for as long as a handshake may
//! take. By the bound of an address these are its own: others wait for nobody but each other. A
//! network of IPv6 is one address. The table has a row for each address with somebody in it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::http::addresses::limited;

/// Handshakes at a time: each costs a signature, and holds some 20 KiB until it ends.
pub(super) const ALL_MAX: usize = 512;
/// From one address. A proxy has many clients, but is done with each in no time.
pub(super) const ADDRESS_MAX: usize = 64;

/// The places.
#[derive(Debug)]
pub(super) struct Handshakes {
    all: Semaphore,
    addresses: Mutex<HashMap<IpAddr, Address>>,
}

#[derive(Debug)]
struct Address {
    places: Arc<Semaphore>,
    /// Who has a place, or waits for one.
    there: usize,
}

/// The place of one handshake. Dropped, it is free again.
#[derive(Debug)]
pub(super) struct Place<'a> {
    _one: SemaphorePermit<'a>,
    _of_address: OwnedSemaphorePermit,
    _visit: Visit<'a>,
}

/// Somebody from an address, waiting or not.
#[derive(Debug)]
struct Visit<'a>(&'a Handshakes, IpAddr);

impl Handshakes {
    pub(super) fn new() -> Self {
        Self { all: Semaphore::new(ALL_MAX), addresses: Mutex::default() }
    }

    /// Waits for a place; nothing if the server ends.
    pub(super) async fn begin(&self, from: IpAddr) -> Option<Place<'_>> {
        let from = limited(Some(from), false)?;
        let (visit, places) = self.enter(from);
        let of_address = places.acquire_owned().await.ok()?;
        let one = self.all.acquire().await.ok()?;
        Some(Place { _one: one, _of_address: of_address, _visit: visit })
    }

    fn enter(&self, from: IpAddr) -> (Visit<'_>, Arc<Semaphore>) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Address { places: Arc::new(Semaphore::new(ADDRESS_MAX)), there: 0 };
        let address = addresses.entry(from).or_insert_with(fresh);
        address.there += 1;
        (Visit(self, from), Arc::clone(&address.places))
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let Self(handshakes, from) = self;
        let mut addresses = handshakes.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = addresses.get_mut(from) {
            address.there -= 1;
            if address.there == 0 {
                addresses.remove(from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn four(last: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, last])
    }

    #[tokio::test]
    async fn one_address_holds_its_own_places_and_all_together_have_a_bound() {
        let handshakes = Handshakes::new();
        let mut held = Vec::new();
        for last in 1..=(ALL_MAX / ADDRESS_MAX) as u8 {
            for _ in 0..ADDRESS_MAX {
                held.push(handshakes.begin(four(last)).await.unwrap());
            }
            let one_more = timeout(Duration::ZERO, handshakes.begin(four(last))).await;
            assert!(one_more.is_err(), "it waits for its own");
        }
        let other = timeout(Duration::ZERO, handshakes.begin(four(200))).await;
        assert!(other.is_err(), "all are taken");
        drop(held.pop());
        assert!(handshakes.begin(four(200)).await.is_some());
        held.clear();
        assert_eq!(handshakes.all.available_permits(), ALL_MAX);
        assert!(handshakes.addresses.lock().unwrap().is_empty(), "no row without somebody");
    }
}
