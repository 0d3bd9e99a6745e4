//! The cipher suites, their bit masks and their order (CRYPTO 1).
//!
//! The order is a constant of the deployment: a pair always uses the best suite that all wrapped
//! devices support, and every recipient computes it again.

use hushwire_wire::message::SEAL_OVERHEAD;

/// A cipher suite (CRYPTO 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Suite {
    /// X25519 and XSalsa20-Poly1305: plain NaCl.
    NaCl = 1,
    /// X25519 and AES-256-GCM.
    Aes = 2,
    /// X-Wing (ML-KEM-768 with X25519) and XSalsa20-Poly1305: the default.
    XWing = 3,
}

impl Suite {
    /// Best first: 3 > 1 > 2.
    pub const ORDER: [Self; 3] = [Self::XWing, Self::NaCl, Self::Aes];

    /// The suite of this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::NaCl),
            2 => Some(Self::Aes),
            3 => Some(Self::XWing),
            _ => None,
        }
    }

    /// The number in headers.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The size of the key encapsulation in a wrap, in bytes: 32 or 1,120.
    #[must_use]
    pub const fn ct_len(self) -> usize {
        match self {
            Self::NaCl | Self::Aes => 32,
            Self::XWing => 1120,
        }
    }

    /// The size of a wrap in bytes: 80 (suites 1 and 2) or 1,168 (suite 3).
    #[must_use]
    pub const fn wrap_len(self) -> usize {
        self.ct_len() + 32 + SEAL_OVERHEAD
    }
}

/// A set of suites: bit `s - 1` stands for suite `s`. Bits without a suite are kept, so that a
/// newer device's entry still verifies, and never chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Suites(u16);

impl Suites {
    /// All three suites: what these libraries implement.
    pub const HERE: Self = Self(0b111);
    /// Suite 1 alone.
    pub const NACL: Self = Self(0b001);
    /// Suite 2 alone.
    pub const AES: Self = Self(0b010);

    /// From the bits of an entry or a record; `None` if no bit is set.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Option<Self> {
        if bits == 0 { None } else { Some(Self(bits)) }
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether `suite` is in the set.
    #[must_use]
    pub const fn has(self, suite: Suite) -> bool {
        self.0 & (1 << (suite.number() - 1)) != 0
    }

    /// Whether every suite of `other` is in the set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The best suite that all of `sets` have; `None` if there is none, or no set at all.
    #[must_use]
    pub fn best_common(sets: impl IntoIterator<Item = Self>) -> Option<Suite> {
        let common = sets.into_iter().reduce(|a, b| Self(a.0 & b.0))?;
        Suite::ORDER.into_iter().find(|suite| common.has(*suite))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_common_suite_follows_the_order() {
        let set = |bits| Suites::from_bits(bits).unwrap();
        assert_eq!(Suites::best_common([set(0b111), set(0b111)]), Some(Suite::XWing));
        assert_eq!(Suites::best_common([set(0b111), set(0b011)]), Some(Suite::NaCl));
        assert_eq!(Suites::best_common([set(0b110), set(0b010)]), Some(Suite::Aes));
        assert_eq!(Suites::best_common([set(0b001), set(0b010)]), None);
        assert_eq!(Suites::best_common([set(0b1000)]), None, "an unknown suite is never chosen");
        assert_eq!(Suites::best_common([]), None);
        assert_eq!(Suites::from_bits(0), None);
    }

    #[test]
    fn wraps_have_the_sizes_of_crypto_5() {
        assert_eq!(Suite::NaCl.wrap_len(), 80);
        assert_eq!(Suite::Aes.wrap_len(), 80);
        assert_eq!(Suite::XWing.wrap_len(), 1168);
    }
}
