//! A running device: opened, started, and closed in good order whatever happens between.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hushwire_client::{Account, Client, ClientError, Device, Event, NetTransport, Outside};
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::home::Home;

/// How long closing may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);
/// What the socket gets for its last frames: acknowledgements that were just queued.
const LAST_FRAMES: Duration = Duration::from_millis(100);

/// A device that runs.
#[derive(Debug)]
pub(crate) struct Session {
    /// What to ask.
    pub(crate) client: Client,
    /// What happens.
    pub(crate) events: mpsc::Receiver<Event>,
    /// The own account.
    pub(crate) me: Account,
    /// Ctrl-C and the like.
    pub(crate) stop: Stop,
}

/// Signals that ask the program to end.
#[derive(Debug)]
pub(crate) struct Stop {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 3],
}

impl Stop {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            signals: [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ],
        })
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Returns when the program is asked to end.
    #[cfg(unix)]
    pub(crate) async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }

    /// Returns when the program is asked to end.
    #[cfg(not(unix))]
    pub(crate) async fn asked(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A runtime on this thread.
///
/// # Errors
/// If the system gives none.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Start)
}

/// Opens the store in `home`, starts the device, does `act`, and closes. `act` looks after
/// [`Session::stop`] itself.
///
/// # Errors
/// What `act` says, or why the device does not start.
pub(crate) fn in_runtime(
    home: &Home,
    act: impl AsyncFnOnce(&mut Session) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if !home.store().exists() {
        return Err(ClientError::NoAccount.into());
    }
    // Before the runtime: it may ask for a passphrase, and deriving its key takes a moment.
    let mut device = Device::open(&home.store(), &home.key(false)?).map_err(Failure::Open)?;
    let server = device.server()?.ok_or(ClientError::NoAccount)?;
    let transport = NetTransport::new(&server).map_err(Failure::Address)?;
    runtime()?.block_on(async {
        let stop = Stop::new().map_err(Failure::Start)?;
        let (client, events) = device.start(Outside::new(Arc::new(transport)))?;
        let me = client.account().await?;
        let mut session = Session { client, events, me, stop };
        let done = act(&mut session).await;
        let _ = tokio::time::timeout(CLOSE_WITHIN, session.client.close()).await;
        tokio::time::sleep(LAST_FRAMES).await;
        done
    })
}

impl Session {
    /// What `act` gives, unless the program is asked to end first.
    ///
    /// # Errors
    /// What `act` says, or [`Failure::Interrupted`].
    pub(crate) async fn unless_stopped<T>(
        &mut self,
        act: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.stop.asked() => Err(Failure::Interrupted),
            done = act(&self.client) => Ok(done?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Unlock;

    #[test]
    fn without_an_account_nothing_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { folder: dir.path().join("none"), unlock: Unlock::KeyFile(None) };
        let done = in_runtime(&home, async |_| Ok(()));
        assert!(matches!(done, Err(Failure::Client(ClientError::NoAccount))));
        assert!(!home.folder.exists());
    }

    #[test]
    fn a_store_whose_registration_did_not_finish_is_no_account() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { folder: dir.path().to_owned(), unlock: Unlock::KeyFile(None) };
        drop(Device::open(&home.store(), &home.key(true).unwrap()).unwrap());
        let done = in_runtime(&home, async |_| Ok(()));
        assert!(matches!(done, Err(Failure::Client(ClientError::NoAccount))));
        let passphrase = home.folder.join("p");
        std::fs::write(&passphrase, "words").unwrap();
        let home = Home { unlock: Unlock::PassphraseFile(passphrase), ..home };
        let done = in_runtime(&home, async |_| Ok(()));
        let words = format!("{:?}", done.unwrap_err());
        assert!(words.contains("NeedsKeyFile"), "{words}");
    }
}
