//! Limits by address: a leaky bucket each.
//!
//! Loopback addresses are exempt: behind a proxy on this machine everybody would share one bucket.

use std::net::IpAddr;

use super::buckets::Buckets;

/// Buckets of addresses.
#[derive(Debug)]
pub(crate) struct Addresses(Buckets<IpAddr>);

impl Addresses {
    /// At most `rate` in `per_ms` from each of `most` addresses.
    pub(crate) fn new(rate: u32, per_ms: u64, most: usize) -> Self {
        Self(Buckets::new(rate, per_ms, most))
    }

    /// Takes one drop.
    ///
    /// # Errors
    /// When to try again, in milliseconds from now.
    pub(crate) fn admit(&self, address: Option<IpAddr>, now_ms: u64) -> Result<(), u64> {
        match address.map(network).filter(|address| !address.is_loopback()) {
            Some(address) => self.0.admit(address, now_ms),
            None => Ok(()),
        }
    }
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

    #[test]
    fn loopback_is_exempt_and_others_are_not() {
        let one = Addresses::new(1, 1_000, 1);
        for _ in 0..5 {
            assert_eq!(one.admit(Some(IpAddr::from([127, 0, 0, 1])), 1), Ok(()));
            assert_eq!(one.admit(Some("::1".parse().unwrap()), 1), Ok(()));
            assert_eq!(one.admit(Some("::ffff:127.0.0.1".parse().unwrap()), 1), Ok(()));
            assert_eq!(one.admit(None, 1), Ok(()));
        }
        let other = Some(IpAddr::from([203, 0, 113, 1]));
        assert_eq!(one.admit(other, 1), Ok(()));
        assert!(one.admit(other, 1).is_err());
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let addresses = Addresses::new(1, 1_000, 10);
        assert_eq!(addresses.admit(Some("2001:db8::1".parse().unwrap()), 1), Ok(()));
        assert!(addresses.admit(Some("2001:db8::2".parse().unwrap()), 1).is_err());
        assert_eq!(addresses.admit(Some("2001:db8:0:1::1".parse().unwrap()), 1), Ok(()));
    }
}
