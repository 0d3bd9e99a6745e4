//! Limits by address: a leaky bucket each.
//!
//! Loopback addresses are exempt if so configured: behind a proxy on this machine everybody would
//! share one bucket.

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

    /// Takes one drop from what [`limited`] made of an address.
    ///
    /// # Errors
    /// When to try again, in milliseconds from now.
    pub(crate) fn admit(&self, from: Option<IpAddr>, now_ms: u64) -> Result<(), u64> {
        match from {
            Some(address) => self.0.admit(address, now_ms),
            None => Ok(()),
        }
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

    #[test]
    fn loopback_is_exempt_and_others_are_not() {
        let one = Addresses::new(1, 1_000, 1);
        for _ in 0..5 {
            for loopback in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
                let from = limited(Some(loopback.parse().unwrap()), true);
                assert_eq!(one.admit(from, 1), Ok(()), "{loopback}");
            }
            assert_eq!(one.admit(None, 1), Ok(()));
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
}
