//! The error codes of CRYPTO 11: a closed table, the same text in every client and on the wire.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// Why something cryptographic was refused (CRYPTO 11).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// All codes, in the order of CRYPTO 11.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code as it stands in frames, logs and documents: at most 32 bytes.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// The code of this text.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == text)
            }
        }
    };
}

codes! {
    /// An entry breaks a rule of the device log.
    LogInvalid = "LOG_INVALID",
    /// A log does not contain a head that is known to be on it.
    LogFork = "LOG_FORK",
    /// A log is shorter than it was.
    LogRollback = "LOG_ROLLBACK",
    /// A prekey record or its post-quantum key is not what it should be.
    PrekeyInvalid = "PREKEY_INVALID",
    /// A prekey is too old, too new, or its secret is gone.
    PrekeyStale = "PREKEY_STALE",
    /// A prekey's id is lower than one seen before.
    PrekeyRollback = "PREKEY_ROLLBACK",
    /// An epoch is not the newest, or its heads or prekeys are not.
    EpochStale = "EPOCH_STALE",
    /// Another epoch took this number.
    EpochConflict = "EPOCH_CONFLICT",
    /// An epoch that is not known here.
    EpochUnknown = "EPOCH_UNKNOWN",
    /// A roster is not the active devices of both logs.
    EpochRoster = "EPOCH_ROSTER",
    /// A suite is not the best that all devices share.
    EpochSuite = "EPOCH_SUITE",
    /// An epoch's predecessor is not known.
    EpochGap = "EPOCH_GAP",
    /// Two epochs of one pair carry the same number.
    Fork = "FORK",
    /// A wrap does not open.
    WrapInvalid = "WRAP_INVALID",
    /// A wrap opens to another key than the header commits to.
    KcMismatch = "KC_MISMATCH",
    /// A counter did not rise.
    CounterReuse = "COUNTER_REUSE",
    /// A message was received before.
    Replay = "REPLAY",
    /// A counter is too far ahead.
    SkipLimit = "SKIP_LIMIT",
    /// A message was not made by the device it names, for this device.
    BadTag = "BAD_TAG",
    /// The commitment does not belong to the message key.
    BadCommit = "BAD_COMMIT",
    /// A ciphertext does not open.
    BadAead = "BAD_AEAD",
    /// The content is not laid out as it should be.
    BadContent = "BAD_CONTENT",
    /// No device of the recipient has a usable prekey.
    RecipientStale = "RECIPIENT_STALE",
    /// A username belongs to another log than before.
    PeerChanged = "PEER_CHANGED",
    /// The device was revoked.
    DeviceRevoked = "DEVICE_REVOKED",
    /// The device's state exists twice.
    DeviceCloned = "DEVICE_CLONED",
    /// A stated limit is reached.
    Limit = "LIMIT",
}

impl Code {
    /// Whether a person must be told (CRYPTO 11, "Alarm to the user").
    #[must_use]
    pub const fn is_alarm(self) -> bool {
        matches!(
            self,
            Self::LogFork
                | Self::LogRollback
                | Self::Fork
                | Self::EpochRoster
                | Self::PeerChanged
                | Self::DeviceCloned
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_fits_the_frame() {
        assert_eq!(Code::ALL.len(), 27);
        for code in Code::ALL {
            assert_eq!(Code::from_text(code.as_str()), Some(*code));
            assert!(code.as_str().len() <= 32);
        }
        assert_eq!(Code::from_text("log_fork"), None);
        assert_eq!(Code::ALL.iter().filter(|code| code.is_alarm()).count(), 6);
    }
}
