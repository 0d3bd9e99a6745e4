//! The store cannot answer: nothing was decided, nothing changed that is known of.

use std::sync::Arc;

/// Why a store could not do an act. It is never the caller's fault; the answer to a client is
/// "unavailable", the cause is for the log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// More acts are waiting than the queue takes.
    #[error("too many acts wait for the store")]
    Full,
    /// The thread that should have answered has stopped, or lost this act.
    #[error("the store did not answer")]
    Stopped,
    /// The database refused.
    #[error("the database refused")]
    Database(#[source] Arc<diesel::result::Error>),
    /// The database cannot be reached, or did not answer in time.
    #[error("the database cannot be reached, or did not answer in time")]
    Unreachable,
    /// The database takes no writes at the moment: a standby, or set so.
    #[error(
        "the database takes no writes: it is a standby, or default_transaction_read_only is on"
    )]
    ReadOnly,
    /// A column holds what cannot be there.
    #[error("the column {0} holds what it cannot hold")]
    Corrupt(&'static str),
}

impl From<diesel::result::Error> for Failure {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

/// An act's error, which may be a [`Failure`].
pub(crate) trait Fails:
    From<Failure> + From<diesel::result::Error> + Send + 'static
{
    /// The failure, unless the act was refused.
    fn failure(&self) -> Option<&Failure>;
}

impl Fails for Failure {
    fn failure(&self) -> Option<&Failure> {
        Some(self)
    }
}

/// Lets an act's error carry a [`Failure`] as its variant `Failed`.
macro_rules! carries_failure {
    ($($error:ty),+ $(,)?) => {$(
        impl From<crate::Failure> for $error {
            fn from(failure: crate::Failure) -> Self {
                Self::Failed(failure)
            }
        }

        impl From<diesel::result::Error> for $error {
            fn from(error: diesel::result::Error) -> Self {
                Self::Failed(error.into())
            }
        }

        impl crate::failure::Fails for $error {
            fn failure(&self) -> Option<&crate::Failure> {
                match self {
                    Self::Failed(failure) => Some(failure),
                    _ => None,
                }
            }
        }
    )+};
}
pub(crate) use carries_failure;
