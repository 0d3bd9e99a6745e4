//! Closes: the connection ends. A closed table (DELIVERY, "Frames"); the range tells a client
//! whether to come back.

use std::fmt;

use crate::limits::{VERSION_NEWEST, VERSION_OLDEST};

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename_all = "snake_case"))]
#[repr(u16)]
pub enum Close {
    /// The client said goodbye.
    Normal = 1000,
    /// RFC 6455 was not kept: an unmasked frame, a reserved bit, a bad opcode.
    Protocol = 1002,
    /// Garbage: text that is not UTF-8, bytes that are not the negotiated encoding.
    Invalid = 1007,
    /// A frame declared more bytes than allowed.
    TooLarge = 1009,
    /// The node restarts: come back after `after_ms`.
    Restarting = 1012,
    /// The node has no room: come back after `after_ms`.
    Overloaded = 1013,
    /// No `hello` in time, something else before it, or a signature that does not verify.
    NotAuthenticated = 4401,
    /// The device was revoked: never come back.
    Revoked = 4403,
    /// No answer to a ping.
    NoAnswer = 4408,
    /// A newer connection of the same device took over.
    Displaced = 4409,
    /// Behind for too long without an acknowledgement, or without taking a byte.
    Slow = 4410,
    /// The account is suspended.
    Suspended = 4423,
    /// The protocol version is no longer spoken.
    UpgradeRequired = 4426,
    /// Too many frames that were refused, control frames, or sign-ins from one address.
    Flooding = 4429,
}

/// All rows of the table.
pub const CLOSES: [Close; 14] = [
    Close::Normal,
    Close::Protocol,
    Close::Invalid,
    Close::TooLarge,
    Close::Restarting,
    Close::Overloaded,
    Close::NotAuthenticated,
    Close::Revoked,
    Close::NoAnswer,
    Close::Displaced,
    Close::Slow,
    Close::Suspended,
    Close::UpgradeRequired,
    Close::Flooding,
];

impl Close {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The row with this number.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        CLOSES.into_iter().find(|close| close.code() == code)
    }

    /// Whether a client should connect again by itself.
    #[must_use]
    pub const fn comes_back(self) -> bool {
        matches!(
            self,
            Self::Normal
                | Self::Restarting
                | Self::Overloaded
                | Self::NoAnswer
                | Self::Slow
                | Self::Flooding
        )
    }

    /// The close reason: JSON of at most 123 bytes. An [`Self::UpgradeRequired`] names the
    /// versions that are spoken.
    #[must_use]
    pub fn reason(self, after_ms: Option<u64>) -> String {
        match after_ms {
            _ if self == Self::UpgradeRequired => format!(
                r#"{{"close":"{self}","oldest":{VERSION_OLDEST},"newest":{VERSION_NEWEST}}}"#
            ),
            Some(ms) => format!(r#"{{"close":"{self}","after_ms":{ms}}}"#),
            None => format!(r#"{{"close":"{self}"}}"#),
        }
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Protocol => "protocol",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::Restarting => "restarting",
            Self::Overloaded => "overloaded",
            Self::NotAuthenticated => "not_authenticated",
            Self::Revoked => "revoked",
            Self::NoAnswer => "no_answer",
            Self::Displaced => "displaced",
            Self::Slow => "slow",
            Self::Suspended => "suspended",
            Self::UpgradeRequired => "upgrade_required",
            Self::Flooding => "flooding",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_number_and_a_short_reason() {
        for close in CLOSES {
            assert_eq!(Close::from_code(close.code()), Some(close));
            assert!(close.reason(Some(u64::MAX)).len() <= 123);
        }
        assert_eq!(Close::from_code(4999), None);
    }

    #[test]
    fn who_speaks_an_old_version_is_told_which_are_spoken() {
        let reason = Close::UpgradeRequired.reason(None);
        assert_eq!(reason, r#"{"close":"upgrade_required","oldest":1,"newest":1}"#);
    }
}
