//! Device codes (CRYPTO 9, "Device add"): 30 digits that an old and a new device both show, so
//! that a person sees that they speak of the same key and the same log.

use std::fmt;

use hushwire_wire::UserId;
use subtle::ConstantTimeEq;

use crate::digits;
use crate::entry::DeviceKind;
use crate::hash::{Label, hash64};
use crate::suite::Suites;

/// Six groups of five digits, 99 bits. `Display` prints them with single spaces.
#[derive(Clone, Copy, Debug)]
pub struct DeviceCode([u32; 6]);

impl DeviceCode {
    /// Of a device with this key, kind and suites that wants to join `log`.
    #[must_use]
    pub fn of(log: &UserId, ik: &[u8; 32], kind: DeviceKind, suites: Suites) -> Self {
        let parts: [&[u8]; 4] =
            [log.as_bytes(), ik, &[kind.number()], &suites.bits().to_be_bytes()];
        Self(digits::groups(&hash64(Label::Code, &parts)))
    }

    /// Reads what a person types: 30 digits, with spaces or hyphens anywhere. `None` for anything
    /// else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = text.chars().filter(|c| !matches!(c, ' ' | '-')).map(|c| c.to_digit(10));
        let mut groups = [0; 6];
        for group in &mut groups {
            for _ in 0..5 {
                *group = *group * 10 + digits.next()??;
            }
        }
        if digits.next().is_some() { None } else { Some(Self(groups)) }
    }

    /// The groups, each below 100,000.
    #[must_use]
    pub const fn groups(&self) -> &[u32; 6] {
        &self.0
    }
}

impl PartialEq for DeviceCode {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for DeviceCode {}

impl fmt::Display for DeviceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        digits::write(f, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code() -> DeviceCode {
        DeviceCode::of(&UserId([1; 32]), &[2; 32], DeviceKind::PHONE, Suites::HERE)
    }

    #[test]
    fn every_part_counts() {
        let here = Suites::from_bits(0b101).unwrap();
        let of = DeviceCode::of;
        let (log, kind) = (UserId([1; 32]), DeviceKind::PHONE);
        let code = of(&log, &[2; 32], kind, here);
        assert_ne!(code, of(&UserId([9; 32]), &[2; 32], kind, here));
        assert_ne!(code, of(&log, &[9; 32], kind, here));
        assert_ne!(code, of(&log, &[2; 32], DeviceKind::WEB, here));
        assert_ne!(code, of(&log, &[2; 32], kind, Suites::NACL));
    }

    #[test]
    fn it_is_the_hash_of_crypto_9() {
        // Python: hashlib.blake2b(b"\x08hw1/code" + b"\1"*32 + b"\2"*32 + b"\3\0\5").digest().
        let code = DeviceCode::of(
            &UserId([1; 32]),
            &[2; 32],
            DeviceKind::PHONE,
            Suites::from_bits(0b101).unwrap(),
        );
        assert_eq!(code.to_string(), "34631 43713 69726 52268 20369 32495");
    }

    #[test]
    fn what_a_person_types_is_read() {
        let text = code().to_string();
        assert_eq!(DeviceCode::parse(&text), Some(code()));
        assert_eq!(DeviceCode::parse(&text.replace(' ', "")), Some(code()));
        assert_eq!(DeviceCode::parse(&text.replace(' ', "-")), Some(code()));
        assert_eq!(DeviceCode::parse(&text[..34]), None, "a digit short");
        assert_eq!(DeviceCode::parse(&format!("{text}1")), None, "a digit more");
        assert_eq!(DeviceCode::parse(&text.replacen(' ', "x", 1)), None);
        assert_eq!(DeviceCode::parse(""), None);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,60}") {
            if let Some(code) = DeviceCode::parse(&text) {
                prop_assert_eq!(DeviceCode::parse(&code.to_string()), Some(code));
            }
        }
    }
}
