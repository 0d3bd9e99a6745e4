//! A network: an address and how many of its bits count.
//!
//! `10.0.0.0/8`, `fd00::/8`, or one address. Addresses are compared as what they really are: an
//! IPv4 address in IPv6's clothes is an IPv4 address.

use std::net::IpAddr;
use std::str::FromStr;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// 0 to 32, or 0 to 128.
    bits: u32,
}

/// A text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address, or a network like 10.0.0.0/8 without bits behind its length")]
pub struct NoNetwork;

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NoNetwork)?;
        let width = width(address);
        let digits = |bits: &&str| bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = match bits {
            None => width,
            Some(bits) => {
                Some(bits).filter(digits).and_then(|b| b.parse().ok()).ok_or(NoNetwork)?
            }
        };
        let canonical = address.to_canonical() == address;
        // Bits behind the length are a typing error: 10.0.0.1/8 was not meant to be 10.0.0.0/8.
        if bits > width || !canonical || number(address) & !mask(width, bits) != 0 {
            return Err(NoNetwork);
        }
        Ok(Self { address, bits })
    }
}

impl Network {
    /// Whether the address is one of it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let width = width(self.address);
        address.is_ipv4() == self.address.is_ipv4()
            && number(address) & mask(width, self.bits) == number(self.address)
    }
}

const fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => u128::from(four.to_bits()),
        IpAddr::V6(six) => six.to_bits(),
    }
}

/// The first `bits` of `width`.
const fn mask(width: u32, bits: u32) -> u128 {
    let all = u128::MAX >> (128 - width);
    // A shift by the whole width is none in Rust.
    if bits == 0 { 0 } else { all & (u128::MAX << (width - bits)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn an_address_is_in_a_network_or_not() {
        assert!(holds("10.0.0.0/8", "10.255.0.1"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("10.1.2.3", "10.1.2.3"));
        assert!(!holds("10.1.2.3", "10.1.2.4"));
        assert!(holds("0.0.0.0/0", "203.0.113.9"));
        assert!(!holds("0.0.0.0/0", "2001:db8::1"), "another family");
        assert!(!holds("::/0", "203.0.113.9"));
        assert!(holds("::/0", "2001:db8::1"));
        assert!(holds("fd00::/8", "fdff::1"));
        assert!(holds("2001:db8::1", "2001:db8::1"));
        assert!(!holds("2001:db8::/32", "2001:db9::1"));
        assert!(holds("10.0.0.0/8", "::ffff:10.0.0.1"), "IPv4 in IPv6's clothes");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0.1/8",
            "fd00::/129",
            "fd00::1/8",
            "::ffff:10.0.0.0/104",
            "proxy.example",
            "10.0.0.0/-1",
            "10",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NoNetwork), "{text}");
        }
    }
}
