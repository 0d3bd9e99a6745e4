//! What only live devices hear: typing signs, and who is there.

use super::{Client, Command};
use crate::error::ClientError;

/// To whom this device shows that it is there. Presence is mutual: whoever shows nothing sees
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ShownTo {
    /// To nobody: the default.
    #[default]
    Nobody,
    /// To all contacts; of more than 256, to those of whom something was heard last.
    All,
    /// To these contacts, at most 256.
    Only(Vec<String>),
}

impl Client {
    /// Tells a contact that somebody is typing, once in 3 seconds at most: what is too soon, or
    /// cannot be sent now, is left out without a word. It is kept nowhere.
    ///
    /// # Errors
    /// If there is no such contact, or it may not be sent to.
    pub async fn typing(&self, handle: &str) -> Result<(), ClientError> {
        self.ask(|reply| Command::Typing(handle.to_owned(), reply)).await?
    }

    /// Shows this device to all contacts that show themselves, or to nobody. It is remembered, and
    /// holds for each later connection.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn show_presence(&self, on: bool) -> Result<(), ClientError> {
        self.show_presence_to(if on { ShownTo::All } else { ShownTo::Nobody }).await
    }

    /// As [`Self::show_presence`], to whom it is wished.
    ///
    /// # Errors
    /// If one of them is no contact, or there are more than 256.
    pub async fn show_presence_to(&self, to: ShownTo) -> Result<(), ClientError> {
        self.ask(|reply| Command::ShowPresence(to, reply)).await?
    }

    /// To whom this device is shown.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn presence(&self) -> Result<ShownTo, ClientError> {
        self.ask(Command::Presence).await
    }
}
