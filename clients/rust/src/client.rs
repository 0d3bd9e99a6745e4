//! The handle of a device: open a store, register, start, and ask for what is to be done. What
//! happens comes back as [`Event`]s.

use std::path::Path;
use std::sync::Arc;

use hushwire_identity::{ContactLink, Handle, LogPoint, Suites};
use hushwire_wire::{DeviceId, Encoding, UserId};
use tokio::sync::{mpsc, oneshot};

use crate::engine::{self, Engine, Parts};
use crate::error::ClientError;
use crate::event::{EVENTS_MAX, Event};
use crate::key::StoreKey;
use crate::message::{Message, ProfileName};
use crate::ports::{Clock, Random, SystemClock, SystemRandom};
use crate::record;
use crate::said::{Id, Said};
use crate::store::{OpenStoreError, Space, Store};
use crate::transport::{Download, Transport};

mod account;
mod card;
mod live;
mod parting;

pub use account::{Export, OwnDevice};
pub use card::{ContactCard, ContactTrouble, UNCONFIRMED_AFTER_MS};
pub use live::ShownTo;
pub(crate) use parting::Parting;

/// Commands that wait, at most; past it a caller waits.
const COMMANDS_MAX: usize = 64;
/// Contents that one receipt names, at most.
pub const RECEIPT_MAX: usize = hushwire_e2ee::content::RECEIPT_IDS_MAX;

/// The own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The username.
    pub handle: String,
    /// The server's address.
    pub server: String,
    /// The server's domain, which everything signed names.
    pub domain: String,
    /// The own log.
    pub user: UserId,
    /// This device.
    pub device: DeviceId,
    /// The link to give to others: it names the log itself.
    pub link: String,
}

/// A safety number and what it covers (CRYPTO 8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Safety {
    /// Twelve groups of five digits.
    pub number: String,
    /// The newest entry of the own log that it covers.
    pub own: LogPoint,
    /// The newest entry of the other log. Compare only if both sides show the same two numbers.
    pub peer: LogPoint,
    /// It was compared before, and still holds.
    pub verified: bool,
}

/// What a person does to a message or a conversation.
#[derive(Clone, PartialEq, Eq)]
pub enum Act {
    /// Other words for an own message.
    Edit {
        /// Which.
        id: Id,
        /// The new words.
        text: String,
    },
    /// Takes an own message back.
    Remove {
        /// Which.
        id: Id,
    },
    /// One grapheme beside a message of either side; empty to take it back.
    React {
        /// Which.
        id: Id,
        /// The grapheme.
        symbol: String,
    },
    /// How long messages of both are kept from now on.
    Timer {
        /// In seconds; 0: for ever.
        seconds: u32,
    },
}

impl std::fmt::Debug for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Edit { .. } => "Edit(..)",
            Self::Remove { .. } => "Remove(..)",
            Self::React { .. } => "React(..)",
            Self::Timer { .. } => "Timer(..)",
        })
    }
}

/// Texts that went out together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentBatch {
    /// What the events on their way name. The text's own id if it is one.
    pub id: Id,
    /// The texts' own ids, for replies, edits and the history.
    pub items: Vec<Id>,
}

/// A message in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub id: Id,
    /// To whom.
    pub to: String,
    /// The server has it, but not yet all devices.
    pub accepted: bool,
}

/// What is in the outbox, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxStatus {
    /// The messages.
    pub waiting: Vec<Waiting>,
}

impl OutboxStatus {
    /// How many the server does not have yet.
    #[must_use]
    pub fn unaccepted(&self) -> usize {
        self.waiting.iter().filter(|waiting| !waiting.accepted).count()
    }
}

type Reply<T> = oneshot::Sender<Result<T, ClientError>>;

pub(crate) enum Command {
    Account(oneshot::Sender<Account>),
    Ask(ContactLink, Reply<()>),
    Accept(ContactLink, Reply<()>),
    Contacts(Reply<Vec<ContactCard>>),
    Contact(String, Reply<ContactCard>),
    Safety(String, Reply<Safety>),
    MarkVerified(String, Safety, Reply<()>),
    Acknowledge(String, u32, Reply<()>),
    RenewKey(String, Reply<()>),
    Send(String, Said, Reply<Id>),
    Texts(String, Vec<(String, Option<Id>)>, Reply<SentBatch>),
    Act(String, Act, Reply<Option<Id>>),
    Timer(String, Reply<u32>),
    SetProfile(String, Reply<()>),
    Profile(oneshot::Sender<Option<ProfileName>>),
    History(String, usize, Reply<Vec<Message>>),
    Shown((UserId, u64), Reply<()>),
    Outbox(oneshot::Sender<OutboxStatus>),
    Part(String, Parting, Reply<()>),
    Typing(String, Reply<()>),
    ShowPresence(ShownTo, Reply<()>),
    Presence(oneshot::Sender<ShownTo>),
    Sessions(Reply<Vec<OwnDevice>>),
    EndSession(DeviceId, Reply<()>),
    Export(Reply<Download>),
    DeleteAccount(Reply<()>),
    Close(oneshot::Sender<()>),
}

/// What a device needs beside its store.
#[derive(Clone)]
pub struct Outside {
    /// The way to the server.
    pub transport: Arc<dyn Transport>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The encoding of frames.
    pub encoding: Encoding,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outside({:?})", self.encoding)
    }
}

impl Outside {
    /// A transport with the system's clock and CBOR frames.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, clock: Arc::new(SystemClock::default()), encoding: Encoding::Cbor }
    }
}

/// What a person may ask for when an account is registered.
#[derive(Clone, Copy, Debug)]
pub struct Wishes<'a> {
    /// What the server must call itself, if that is not the host of its address.
    pub domain: Option<&'a str>,
    /// The suites that the device offers, for good. A pair uses the best that all devices share:
    /// 3, then 1, then 2 (CRYPTO 1).
    pub suites: Suites,
}

impl Default for Wishes<'_> {
    fn default() -> Self {
        Self { domain: None, suites: Suites::HERE }
    }
}

/// A device that is closed: its store is open, nothing runs.
#[derive(Debug)]
pub struct Device {
    store: Store,
}

impl Device {
    /// Opens or makes the store at `path` with the system's randomness.
    ///
    /// # Errors
    /// [`OpenStoreError`].
    pub fn open(path: &Path, key: &StoreKey) -> Result<Self, OpenStoreError> {
        Ok(Self { store: Store::open(path, key, Box::new(SystemRandom))? })
    }

    /// The server's address, if an account was registered.
    ///
    /// # Errors
    /// If the store is damaged.
    pub fn server(&mut self) -> Result<Option<String>, ClientError> {
        let account = self.store.record::<record::Account>(Space::Own, b"account")?;
        Ok(account.filter(|account| account.registered).map(|account| account.server))
    }

    /// Registers a username at `server`, with this device as the first. What was interrupted goes
    /// on with the same keys.
    ///
    /// # Errors
    /// [`ClientError`]; a taken username is [`ClientError::HandleTaken`], a server that calls
    /// itself by another domain than its address [`ClientError::ForeignDomain`].
    pub async fn register(
        &mut self,
        outside: &Outside,
        server: &str,
        handle: &str,
    ) -> Result<(), ClientError> {
        self.register_with(outside, server, handle, Wishes::default()).await
    }

    /// As [`Self::register`], with wishes.
    ///
    /// # Errors
    /// As [`Self::register`].
    pub async fn register_with(
        &mut self,
        outside: &Outside,
        server: &str,
        handle: &str,
        wishes: Wishes<'_>,
    ) -> Result<(), ClientError> {
        let handle = Handle::parse(handle).map_err(|_| ClientError::Handle)?;
        let (transport, clock) = (&*outside.transport, &*outside.clock);
        let random: &mut dyn Random = &mut SystemRandom;
        engine::register(&mut self.store, transport, clock, random, server, &handle, wishes).await
    }

    /// Starts the device: it connects, and stays connected, until the client is dropped. Must be
    /// called inside a tokio runtime. The task's store calls block it for moments; programs with
    /// many devices give them a runtime of their own.
    ///
    /// # Errors
    /// [`ClientError::NoAccount`], or a damaged store.
    pub fn start(self, outside: Outside) -> Result<(Client, mpsc::Receiver<Event>), ClientError> {
        let (events, told) = mpsc::channel(EVENTS_MAX);
        let parts = Parts {
            store: self.store,
            transport: outside.transport,
            clock: outside.clock,
            random: Box::new(SystemRandom),
            encoding: outside.encoding,
            events,
        };
        let engine = Engine::load(parts)?.ok_or(ClientError::NoAccount)?;
        let (commands, asked) = mpsc::channel(COMMANDS_MAX);
        tokio::spawn(engine.run(asked));
        Ok((Client { commands }, told))
    }
}

/// A running device. Clones ask the same one; when the last is dropped, it stops.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
}

impl Client {
    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ClientError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| ClientError::Closed)?;
        answer.await.map_err(|_| ClientError::Closed)
    }

    /// The own account.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn account(&self) -> Result<Account, ClientError> {
        self.ask(Command::Account).await
    }

    /// Asks for a contact, by username or link. If the other side asked first, this accepts; of a
    /// link, only the log that it names.
    ///
    /// # Errors
    /// [`ClientError`]. An unknown username is no error: nobody learns which names exist.
    pub async fn contacts_add(&self, name: &str) -> Result<(), ClientError> {
        let link = ContactLink::parse(name).ok_or(ClientError::Link)?;
        self.ask(|reply| Command::Ask(link, reply)).await?
    }

    /// Accepts a request, by username or link. A link takes only the log that it names.
    ///
    /// # Errors
    /// [`ClientError::NobodyAsks`], [`ClientError::OtherKeys`], [`ClientError::TwoAsk`], or what
    /// the server says.
    pub async fn contacts_accept(&self, name: &str) -> Result<(), ClientError> {
        let link = ContactLink::parse(name).ok_or(ClientError::Link)?;
        self.ask(|reply| Command::Accept(link, reply)).await?
    }

    /// All contacts and requests, by name, after asking the server.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn contacts(&self) -> Result<Vec<ContactCard>, ClientError> {
        self.ask(Command::Contacts).await?
    }

    /// A contact as it is known here, without asking the server.
    ///
    /// # Errors
    /// If there is no such contact.
    pub async fn contact(&self, handle: &str) -> Result<ContactCard, ClientError> {
        self.ask(|reply| Command::Contact(handle.to_owned(), reply)).await?
    }

    /// The safety number with a contact.
    ///
    /// # Errors
    /// If there is no such contact.
    pub async fn safety_number(&self, handle: &str) -> Result<Safety, ClientError> {
        self.ask(|reply| Command::Safety(handle.to_owned(), reply)).await?
    }

    /// Remembers that a person compared the safety number: `compared` is what was shown.
    ///
    /// # Errors
    /// If there is no such contact; [`ClientError::DevicesMoved`] if either log is not any more
    /// where it was when the number was shown: nobody compared what it says now.
    pub async fn mark_verified(&self, handle: &str, compared: &Safety) -> Result<(), ClientError> {
        let compared = compared.clone();
        self.ask(|reply| Command::MarkVerified(handle.to_owned(), compared, reply)).await?
    }

    /// Remembers that a person knows of a verified contact's devices up to the entry `seq` that
    /// was shown ([`ContactCard::seq`]): sending goes on.
    ///
    /// # Errors
    /// If there is no such contact; [`ClientError::DevicesMoved`] if `seq` is not the newest entry
    /// any more.
    pub async fn acknowledge(&self, handle: &str, seq: u32) -> Result<(), ClientError> {
        self.ask(|reply| Command::Acknowledge(handle.to_owned(), seq, reply)).await?
    }

    /// Makes a new key for the conversation with a contact (R4), as a person may wish who fears
    /// that an older one leaked.
    ///
    /// # Errors
    /// If there is no such contact, it may not be sent to, or the server refuses or cannot be
    /// reached.
    pub async fn renew_key(&self, handle: &str) -> Result<(), ClientError> {
        self.ask(|reply| Command::RenewKey(handle.to_owned(), reply)).await?
    }

    /// Sends a text. It is in the outbox when this returns, and survives the process.
    ///
    /// # Errors
    /// If there is no such contact, the text is empty or too long, or the outbox is full.
    pub async fn send_text(&self, handle: &str, text: &str) -> Result<Id, ClientError> {
        let texts = vec![(text.to_owned(), None)];
        Ok(self.ask(|reply| Command::Texts(handle.to_owned(), texts, reply)).await??.id)
    }

    /// Answers a message with a text.
    ///
    /// # Errors
    /// As [`Self::send_text`].
    pub async fn send_reply(&self, handle: &str, to: Id, text: &str) -> Result<Id, ClientError> {
        let texts = vec![(text.to_owned(), Some(to))];
        Ok(self.ask(|reply| Command::Texts(handle.to_owned(), texts, reply)).await??.id)
    }

    /// Sends 1 to 16 texts as one message: the server's 10-second rule counts them as one.
    ///
    /// # Errors
    /// As [`Self::send_text`], and [`ClientError::BatchSize`].
    pub async fn send_texts(
        &self,
        handle: &str,
        texts: Vec<String>,
    ) -> Result<SentBatch, ClientError> {
        let texts = texts.into_iter().map(|text| (text, None)).collect();
        self.ask(|reply| Command::Texts(handle.to_owned(), texts, reply)).await?
    }

    /// Gives an own message other words. They stand in the history when this returns; the 10-second
    /// rule counts the edit like a text.
    ///
    /// # Errors
    /// [`ClientError::NotOwn`], [`ClientError::NoMessage`], and as [`Self::send_text`].
    pub async fn edit(&self, handle: &str, id: Id, text: &str) -> Result<Option<Id>, ClientError> {
        self.act(handle, Act::Edit { id, text: text.to_owned() }).await
    }

    /// Takes an own message back. The other side's client erases it, too; it cannot make the person
    /// forget. `None`: it had not left this device yet.
    ///
    /// # Errors
    /// [`ClientError::NotOwn`], [`ClientError::NoMessage`], and as [`Self::send_text`].
    pub async fn remove(&self, handle: &str, id: Id) -> Result<Option<Id>, ClientError> {
        self.act(handle, Act::Remove { id }).await
    }

    /// Reacts to a message of either side with one grapheme; an empty one takes it back.
    ///
    /// # Errors
    /// [`ClientError::Reaction`], [`ClientError::NoMessage`], and as [`Self::send_text`].
    pub async fn react(
        &self,
        handle: &str,
        id: Id,
        symbol: &str,
    ) -> Result<Option<Id>, ClientError> {
        self.act(handle, Act::React { id, symbol: symbol.to_owned() }).await
    }

    /// Sets how long messages of both are kept from now on: so many seconds after the server has
    /// taken an own one, and after one of the other side was shown; 0 for ever.
    ///
    /// # Errors
    /// As [`Self::send_text`].
    pub async fn set_timer(&self, handle: &str, seconds: u32) -> Result<Option<Id>, ClientError> {
        self.act(handle, Act::Timer { seconds }).await
    }

    /// For how many seconds messages are kept from now on; 0: for ever.
    ///
    /// # Errors
    /// If there is no such contact.
    pub async fn timer(&self, handle: &str) -> Result<u32, ClientError> {
        self.ask(|reply| Command::Timer(handle.to_owned(), reply)).await?
    }

    /// Does any of these. The id is that of the content that tells the other side; `None` if there
    /// is nothing to tell.
    ///
    /// # Errors
    /// As the methods for each.
    pub async fn act(&self, handle: &str, act: Act) -> Result<Option<Id>, ClientError> {
        self.ask(|reply| Command::Act(handle.to_owned(), act, reply)).await?
    }

    /// Sets the name that contacts see; empty for none. It goes to every contact, encrypted, and to
    /// later ones when they accept.
    ///
    /// # Errors
    /// [`ClientError::NameSize`].
    pub async fn set_profile(&self, name: &str) -> Result<(), ClientError> {
        self.ask(|reply| Command::SetProfile(name.to_owned(), reply)).await?
    }

    /// The name that contacts see, if there is one.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn profile(&self) -> Result<Option<ProfileName>, ClientError> {
        self.ask(Command::Profile).await
    }

    /// Tells a contact that these were read: 1 to [`RECEIPT_MAX`].
    ///
    /// # Errors
    /// As [`Self::send_text`].
    pub async fn send_read(&self, handle: &str, of: Vec<Id>) -> Result<Id, ClientError> {
        if !(1..=RECEIPT_MAX).contains(&of.len()) {
            return Err(ClientError::TextSize { max: RECEIPT_MAX });
        }
        let said = Said::Read { of };
        self.ask(|reply| Command::Send(handle.to_owned(), said, reply)).await?
    }

    /// The last `limit` messages with a contact, oldest first.
    ///
    /// # Errors
    /// If there is no such contact.
    pub async fn history(&self, handle: &str, limit: usize) -> Result<Vec<Message>, ClientError> {
        self.ask(|reply| Command::History(handle.to_owned(), limit, reply)).await?
    }

    /// A message was shown: it is not told again after the next start.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn mark_shown(&self, message: &Message) -> Result<(), ClientError> {
        let at = (message.peer, message.position);
        self.ask(|reply| Command::Shown(at, reply)).await?
    }

    /// What is in the outbox.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn outbox(&self) -> Result<OutboxStatus, ClientError> {
        self.ask(Command::Outbox).await
    }

    /// Ends the device in good order: what was received is acknowledged, the connection and the
    /// store are closed when this returns. What waits in the outbox is sent after the next start.
    /// Clones of this client are closed with it.
    pub async fn close(self) {
        let _ = self.ask(Command::Close).await;
    }
}
