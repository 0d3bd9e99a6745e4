//! Why something that a program asked for did not happen, with advice in plain words.

use hushwire_e2ee::{CreateError, RandomError};
use hushwire_identity::Code;
use hushwire_wire::http::{Problem, ProblemCode};

use crate::store::StoreError;
use crate::transport::Unreachable;

/// Why an act failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The store cannot be read or written.
    #[error("the local store failed")]
    Store(#[from] StoreError),
    /// The server cannot be reached.
    #[error("{0}")]
    Unreachable(#[from] Unreachable),
    /// The server refused, and says why.
    #[error("the server refused: {}", .0.detail)]
    Refused(Box<Problem>),
    /// The server answered something that is no answer.
    #[error("the server's answer makes no sense: is this a Hushwire server of this version?")]
    Nonsense,
    /// The server is not the one where this account was registered.
    #[error("the server names another domain than this account's: nothing was signed for it")]
    Domain,
    /// What the server showed does not verify. Nothing of it was used.
    #[error("what the server showed does not verify ({0}): nothing of it was used")]
    Unverified(Code),
    /// No account in this store.
    #[error("there is no account here yet: register first")]
    NoAccount,
    /// There is an account in this store already.
    #[error("there is an account here already: use another folder for another account")]
    HasAccount,
    /// The username is taken.
    #[error("this username is taken: choose another")]
    HandleTaken,
    /// Not a username.
    #[error("a username has 3 to 32 characters of a-z, 0-9, _ and .")]
    Handle,
    /// Not a contact link.
    #[error("a contact is a username, or a link like name@domain#fingerprint")]
    Link,
    /// A link to an account of another server.
    #[error("this link belongs to another server than this account")]
    OtherServer,
    /// Nobody of this name among the contacts.
    #[error("nobody of this name is a contact: ask with `contacts add`")]
    NoContact,
    /// The contact did not accept yet.
    #[error("this contact is not accepted yet: wait, or ask the person")]
    NotAccepted,
    /// This user blocks them.
    #[error("you block this person: `contacts unblock` lets them ask again")]
    YouBlock,
    /// This user does not block them.
    #[error("you do not block anybody of this name: see `contacts list`")]
    NotBlocked,
    /// More people than can be shown at a time.
    #[error("this device can be shown to at most {max} contacts by name")]
    TooManyShown {
        /// The most.
        max: usize,
    },
    /// A download ended in the middle.
    #[error("the server stopped in the middle: ask again")]
    CutOff,
    /// Nobody of this name asks.
    #[error("nobody of this name asks to be a contact: see `contacts list`")]
    NobodyAsks,
    /// Whoever asks under this name is not whom the link names.
    #[error(
        "whoever asks under this name has other keys than the link names: nobody was accepted. \
         Ask the person, not through this chat, which link is theirs"
    )]
    OtherKeys,
    /// Several logs ask under one name, which an honest server gives to one of them only.
    #[error(
        "two ask under this name with different keys: ask the person, not through this chat, for \
         their link, and accept that: `contacts accept LINK`"
    )]
    TwoAsk,
    /// This is a contact already.
    #[error("this is a contact already")]
    IsContact,
    /// Oneself.
    #[error("this is your own name")]
    Oneself,
    /// The outbox is full.
    #[error("too many messages wait to be sent: wait until some were")]
    OutboxFull,
    /// The text is empty or too long.
    #[error("a message has 1 to {max} bytes")]
    TextSize {
        /// The most.
        max: usize,
    },
    /// No such message in this conversation.
    #[error("there is no such message: it was removed, or has disappeared, or never was")]
    NoMessage,
    /// Somebody else's message.
    #[error("only your own messages can be edited or removed")]
    NotOwn,
    /// A text was edited 65,535 times.
    #[error("this message was edited too often: send a new one")]
    TooManyEdits,
    /// Not a reaction.
    #[error("a reaction is one character or emoji of at most 64 bytes")]
    Reaction,
    /// Too many texts at once, or none.
    #[error("1 to {max} texts go together")]
    BatchSize {
        /// The most.
        max: usize,
    },
    /// A profile name is too long.
    #[error("a profile name has at most {max} bytes")]
    NameSize {
        /// The most.
        max: usize,
    },
    /// The contact's log is forked or the name belongs to somebody else.
    #[error("this contact's devices cannot be verified: sending is blocked, see the alarm")]
    Blocked,
    /// The name belongs to another log now.
    #[error(
        "this name belongs to other keys now: sending is blocked until you accept their request"
    )]
    Changed,
    /// No device of the contact was seen for 30 days.
    #[error("none of this contact's devices was seen for 30 days: wait until one is back")]
    PeerStale,
    /// The devices changed after the safety number was compared.
    #[error(
        "this contact's devices changed after you compared safety numbers: compare again with \
         `contacts verify`, or say that you know with `contacts acknowledge`"
    )]
    Unacknowledged,
    /// The devices are not what was shown.
    #[error(
        "the devices changed after they were shown: nothing was remembered. Look, and compare again"
    )]
    DevicesMoved,
    /// The server names a domain that is neither the one of its address nor the one asked for.
    #[error(
        "the server calls itself {domain}, which is not the domain that was expected: your \
         identity would name it for ever. Register with `--domain {domain}` if that is right"
    )]
    ForeignDomain {
        /// What it calls itself.
        domain: String,
    },
    /// An epoch cannot be made.
    #[error("the key for this conversation cannot be made")]
    Epoch(#[source] CreateError),
    /// There are no random bytes.
    #[error("no random bytes")]
    Random(#[from] RandomError),
    /// The client was closed.
    #[error("the client was closed")]
    Closed,
}

impl ClientError {
    /// The server's code, if it refused.
    #[must_use]
    pub fn problem(&self) -> Option<ProblemCode> {
        match self {
            Self::Refused(problem) => Some(problem.code),
            _ => None,
        }
    }

    /// Whether the same act may succeed later without a change.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(problem) => matches!(
                problem.code,
                ProblemCode::RateLimited
                    | ProblemCode::Internal
                    | ProblemCode::Unavailable
                    | ProblemCode::Unauthenticated
            ),
            _ => false,
        }
    }
}
