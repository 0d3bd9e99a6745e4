//! What a client remembers of a log: the highest point it verified (CRYPTO 3, "Pin per user").

use crate::code::Code;
use crate::log::DeviceLog;
use crate::point::LogPoint;

/// The highest verified point of one user's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin(pub LogPoint);

/// A log does not continue what was pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// Another user's log, or one that does not contain the pinned head at its number.
    #[error("the log does not contain the head that was verified before")]
    Fork,
    /// The log ends before the pinned entry.
    #[error("the log is shorter than the one that was verified before")]
    Rollback,
}

impl PinError {
    /// `LOG_FORK` or `LOG_ROLLBACK`.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Fork => Code::LogFork,
            Self::Rollback => Code::LogRollback,
        }
    }
}

impl Pin {
    /// Pins the newest entry of a verified log.
    #[must_use]
    pub fn of(log: &DeviceLog) -> Self {
        Self(log.point())
    }

    /// Whether `log` continues what is pinned.
    ///
    /// # Errors
    /// [`PinError::Fork`] or [`PinError::Rollback`].
    pub fn check(&self, log: &DeviceLog) -> Result<(), PinError> {
        if log.user() != self.0.user {
            return Err(PinError::Fork);
        }
        match log.head_at(self.0.seq) {
            None => Err(PinError::Rollback),
            Some(head) if head == self.0.head => Ok(()),
            Some(_) => Err(PinError::Fork),
        }
    }

    /// Checks `log` and moves on to its newest entry.
    ///
    /// # Errors
    /// As [`Self::check`]; the pin is then unchanged.
    pub fn advance(&mut self, log: &DeviceLog) -> Result<(), PinError> {
        self.check(log)?;
        *self = Self::of(log);
        Ok(())
    }
}
