//! The account as a whole: its devices at the server, its export, its end.

use hushwire_wire::DeviceId;

use super::{Client, Command};
use crate::error::ClientError;
use crate::transport::Download;

/// An own device as the server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnDevice {
    /// Which.
    pub device: DeviceId,
    /// What it says that it is (CRYPTO 3, device kinds).
    pub kind: u8,
    /// When it was added, in milliseconds since 1970.
    pub since_ms: u64,
    /// It has a connection now.
    pub live: bool,
    /// It is this one.
    pub current: bool,
}

/// What the server holds of the account, as it comes: JSON, in pieces.
#[derive(Debug)]
pub struct Export {
    download: Download,
    ended_with: u8,
    is_over: bool,
}

impl Export {
    /// The next piece; `None` after the last. An export is whole only then.
    ///
    /// # Errors
    /// If the connection broke, or the server stopped in the middle.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        if self.is_over {
            return Ok(None);
        }
        match self.download.chunks.recv().await {
            Some(piece) => {
                let piece = piece?;
                self.ended_with = piece.last().copied().unwrap_or(self.ended_with);
                Ok(Some(piece))
            }
            // One object, which ends with its brace.
            None if self.ended_with == b'}' => {
                self.is_over = true;
                Ok(None)
            }
            None => Err(ClientError::CutOff),
        }
    }
}

impl Client {
    /// The own devices, as the server has them: at most 8.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn sessions(&self) -> Result<Vec<OwnDevice>, ClientError> {
        self.ask(Command::Sessions).await?
    }

    /// Ends a device's connection and tokens. It can sign in again: whoever has its keys is not
    /// shut out by this.
    ///
    /// # Errors
    /// If it is no own device, or the server cannot be reached.
    pub async fn end_session(&self, device: DeviceId) -> Result<(), ClientError> {
        self.ask(|reply| Command::EndSession(device, reply)).await?
    }

    /// Everything that the server holds of the account. Messages are not in it: they are sealed,
    /// and wait only until they are delivered.
    ///
    /// # Errors
    /// If the server refuses (a few an hour are allowed) or cannot be reached.
    pub async fn export_account(&self) -> Result<Export, ClientError> {
        let download = self.ask(Command::Export).await??;
        Ok(Export { download, ended_with: 0, is_over: false })
    }

    /// Deletes the account at the server, for good, and when the server has said so, this
    /// device's store: its file is erased and removed, and the client is closed. The username is
    /// never given to anybody again. A key file is the program's to remove.
    ///
    /// # Errors
    /// What the server says, and then nothing was erased here; [`ClientError::Store`] if the
    /// account is gone and the file could not be erased.
    pub async fn delete_account(&self) -> Result<(), ClientError> {
        self.ask(Command::DeleteAccount).await?
    }
}
