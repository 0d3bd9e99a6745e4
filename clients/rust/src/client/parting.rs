//! The end of contacts and requests: decline, remove, block, unblock. The other side is told
//! nothing of any of them.

use super::{Client, Command};
use crate::error::ClientError;

/// How a contact or a request ends, or may begin again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    Decline,
    Remove,
    Block,
    Unblock,
}

impl Client {
    async fn part(&self, handle: &str, how: Parting) -> Result<(), ClientError> {
        self.ask(|reply| Command::Part(handle.to_owned(), how, reply)).await?
    }

    /// Declines a request. Whoever asked is told nothing, and may ask again after a while.
    ///
    /// # Errors
    /// [`ClientError::NobodyAsks`], [`ClientError::TwoAsk`], or what the server says.
    pub async fn contacts_decline(&self, handle: &str) -> Result<(), ClientError> {
        self.part(handle, Parting::Decline).await
    }

    /// Ends a contact, for both: keys are erased and what waits to be sent is given up. The history
    /// stays. The other side is told nothing, but nothing of theirs arrives any more. A request
    /// that waits for an answer is forgotten here.
    ///
    /// # Errors
    /// [`ClientError::NoContact`], or what the server says.
    pub async fn contacts_remove(&self, handle: &str) -> Result<(), ClientError> {
        self.part(handle, Parting::Remove).await
    }

    /// As [`Self::contacts_remove`], and what waits of them is dropped, and no request of theirs
    /// arrives until they are unblocked. Contacts, former ones and whoever asks can be blocked.
    ///
    /// # Errors
    /// [`ClientError::NoContact`], or what the server says.
    pub async fn contacts_block(&self, handle: &str) -> Result<(), ClientError> {
        self.part(handle, Parting::Block).await
    }

    /// Lets somebody ask again. It restores nothing: becoming a contact takes a new request.
    ///
    /// # Errors
    /// [`ClientError::NotBlocked`], or what the server says.
    pub async fn contacts_unblock(&self, handle: &str) -> Result<(), ClientError> {
        self.part(handle, Parting::Unblock).await
    }
}
