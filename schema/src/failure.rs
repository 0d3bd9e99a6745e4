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
    /// A column holds what cannot be there.
    #[error("the column {0} holds what it cannot hold")]
    Corrupt(&'static str),
}

impl From<diesel::result::Error> for Failure {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(Arc::new(error))
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
    )+};
}
pub(crate) use carries_failure;
