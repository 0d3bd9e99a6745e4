//! Limits by address: a leaky bucket each, in a table of a fixed size.
//!
//! A full table forgets the address whose bucket drained longest ago. Loopback addresses are
//! exempt if so configured: behind a proxy on this machine everybody would share one bucket.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Buckets of addresses.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// How many may come in `per_ms`, at once or spread; 0 for no limit.
    rate: u32,
    per_ms: u64,
    most: usize,
    /// When each bucket is empty again, in milliseconds since 1970.
    empty_at: Mutex<HashMap<IpAddr, u64>>,
}

impl Addresses {
    /// At most `rate` in `per_ms` from each of `most` addresses.
    pub(crate) fn new(rate: u32, per_ms: u64, most: usize) -> Self {
        Self { rate, per_ms, most, empty_at: Mutex::default() }
    }

    /// Takes one drop from what [`limited`] made of an address.
    ///
    /// # Errors
    /// When to try again, in milliseconds from now.
    pub(crate) fn admit(&self, from: Option<IpAddr>, now_ms: u64) -> Result<(), u64> {
        let Some(address) = from else { return Ok(()) };
        if self.rate == 0 {
            return Ok(());
        }
        let drop_ms = self.per_ms.div_ceil(u64::from(self.rate));
        let mut table = self.empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        let empty_at = table.get(&address).copied().unwrap_or(0).max(now_ms);
        let full_at = now_ms + drop_ms * u64::from(self.rate);
        if empty_at + drop_ms > full_at {
            return Err(empty_at + drop_ms - full_at);
        }
        if !table.contains_key(&address) && table.len() >= self.most {
            make_room(&mut table, now_ms);
        }
        table.insert(address, empty_at + drop_ms);
        Ok(())
    }
}

/// Forgets all that are empty, or the one that is soonest.
fn make_room(table: &mut HashMap<IpAddr, u64>, now_ms: u64) {
    let before = table.len();
    table.retain(|_, empty_at| *empty_at > now_ms);
    if table.len() == before
        && let Some(soonest) = table.iter().min_by_key(|(_, at)| **at).map(|(address, _)| *address)
    {
        table.remove(&soonest);
    }
}

/// What limits by address hold for: an address of IPv4, a network of IPv6, nothing where they do
/// not hold.
pub(crate) fn limited(address: Option<IpAddr>, loopback_exempt: bool) -> Option<IpAddr> {
    address.map(network).filter(|address| !(loopback_exempt && address.is_loopback()))
}

/// Whoever has one IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) if !six.is_loopback() => {
            let [a, b, c, d, ..] = six.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([203, 0, 113, last]))
    }

    #[test]
    fn a_bucket_fills_and_drains() {
        let addresses = Addresses::new(3, 3_000, 10);
        for _ in 0..3 {
            assert_eq!(addresses.admit(four(1), 5_000), Ok(()));
        }
        assert_eq!(addresses.admit(four(1), 5_000), Err(1_000));
        assert_eq!(addresses.admit(four(1), 5_400), Err(600));
        assert_eq!(addresses.admit(four(2), 5_400), Ok(()), "another address");
        assert_eq!(addresses.admit(four(1), 6_000), Ok(()));
        assert_eq!(addresses.admit(four(1), 6_000), Err(1_000));
    }

    #[test]
    fn zero_is_no_limit_and_loopback_is_exempt() {
        let off = Addresses::new(0, 1_000, 1);
        let one = Addresses::new(1, 1_000, 1);
        for _ in 0..5 {
            assert_eq!(off.admit(four(1), 1), Ok(()));
            for loopback in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
                let from = limited(Some(loopback.parse().unwrap()), true);
                assert_eq!(one.admit(from, 1), Ok(()), "{loopback}");
            }
        }
        let not_exempt = limited(Some("::ffff:127.0.0.1".parse().unwrap()), false);
        assert_eq!(one.admit(not_exempt, 1), Ok(()));
        assert!(one.admit(not_exempt, 1).is_err());
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let addresses = Addresses::new(1, 1_000, 10);
        let from = |text: &str| limited(Some(text.parse().unwrap()), true);
        assert_eq!(addresses.admit(from("2001:db8::1"), 1), Ok(()));
        assert!(addresses.admit(from("2001:db8::2"), 1).is_err());
        assert_eq!(addresses.admit(from("2001:db8:0:1::1"), 1), Ok(()));
    }

    #[test]
    fn the_table_stays_within_its_bound() {
        let addresses = Addresses::new(2, 1_000, 4);
        for last in 0..=255 {
            assert_eq!(addresses.admit(four(last), 10), Ok(()));
            assert!(addresses.empty_at.lock().unwrap().len() <= 4);
        }
        let another = Some(IpAddr::from([198, 51, 100, 1]));
        assert_eq!(addresses.admit(another, 10_000), Ok(()));
        assert_eq!(addresses.empty_at.lock().unwrap().len(), 1, "empty buckets are forgotten");
    }
}
