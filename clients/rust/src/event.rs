//! What the SDK tells a program, as it happens.

use hushwire_identity::Code;
use hushwire_wire::UserId;

use crate::message::{Message, ProfileName, Reaction};
use crate::said::Id;

/// Events wait in the channel, at most; past it they are counted and left out
/// ([`Event::Missed`]). Messages are never left out: they wait in the store.
pub const EVENTS_MAX: usize = 1_024;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Signed in.
    Connected,
    /// The connection is gone.
    Disconnected {
        /// In plain words.
        why: String,
        /// When it is tried again, in milliseconds; `None`: not by itself.
        retry_in_ms: Option<u64>,
    },
    /// Somebody asks to become a contact.
    ContactRequest {
        /// Who.
        handle: String,
        /// Their log.
        user: UserId,
    },
    /// A request was accepted, by the other side or here.
    ContactAccepted {
        /// Who.
        handle: String,
        /// Their log.
        user: UserId,
    },
    /// A message came in, and waits to be marked as shown ([`crate::Client::mark_shown`]).
    MessageReceived(Message),
    /// The author of a message has changed its words: as it stands now.
    Edited(Message),
    /// The author of a message has taken it back.
    Removed {
        /// With whom the conversation is.
        handle: String,
        /// Which.
        id: Id,
    },
    /// Somebody reacted to a message.
    Reacted {
        /// With whom the conversation is.
        handle: String,
        /// To which.
        id: Id,
        /// Whose it is, and the grapheme; an empty one: it was taken back.
        reaction: Reaction,
    },
    /// Somebody set how long messages of a conversation are kept from now on.
    TimerSet {
        /// With whom the conversation is.
        handle: String,
        /// Who.
        by: String,
        /// In seconds; 0: for ever.
        seconds: u32,
    },
    /// The time of a message has come: it is erased here.
    Disappeared {
        /// With whom the conversation is.
        handle: String,
        /// Which.
        id: Id,
    },
    /// The name that a contact wants to be shown under. It proves nothing: the username does.
    Profile {
        /// Who.
        handle: String,
        /// `None`: no name any more.
        name: Option<ProfileName>,
    },
    /// A contact is typing, or is not any more.
    Typing {
        /// Who.
        handle: String,
        /// Which.
        on: bool,
    },
    /// The recipient read these.
    Read {
        /// Who.
        handle: String,
        /// Which.
        of: Vec<Id>,
    },
    /// The message left this device.
    Sent(Id),
    /// A rule holds the message.
    Held {
        /// Which.
        id: Id,
        /// For how many milliseconds from now.
        for_ms: u64,
    },
    /// The server has the message in custody.
    Accepted {
        /// Which.
        id: Id,
        /// Devices that will not get it.
        skipped: usize,
    },
    /// The recipient's first device has it.
    Delivered(Id),
    /// A device of the recipient could not read it.
    Unreadable {
        /// Which.
        id: Id,
        /// A code of CRYPTO 11, or `UNKNOWN`.
        code: String,
    },
    /// It waited 30 days for a device that did not come.
    Expired(Id),
    /// It will not be sent.
    Failed {
        /// Which.
        id: Id,
        /// A short code.
        code: &'static str,
        /// What it means, and what to do.
        why: String,
    },
    /// The server lost its queues: what was not delivered was sent again.
    Resynced {
        /// How many messages.
        again: usize,
    },
    /// Something that a person must know.
    Alarm {
        /// The code of CRYPTO 11.
        code: Code,
        /// What happened, and what to do.
        words: String,
    },
    /// Events were left out because nobody took them.
    Missed(u64),
}

/// The alarm for a code, in words for a person.
pub(crate) fn alarm(code: Code, handle: &str) -> Event {
    let words = match code {
        Code::LogFork => format!(
            "The server shows a history of {handle}'s devices that contradicts an earlier one. \
             Do not trust new messages from {handle}; compare safety numbers in person."
        ),
        Code::LogRollback => format!(
            "The server hides devices of {handle} that it showed before. Ask its operator, and \
             compare safety numbers with {handle}."
        ),
        Code::Fork => format!(
            "The server accepted two keys at once for your conversation with {handle}. Both are \
             readable; the next key heals it. If it happens again, tell the operator."
        ),
        Code::EpochRoster => format!(
            "A new key for your conversation with {handle} names devices that do not belong to \
             the two of you. It was refused."
        ),
        Code::PeerChanged => format!(
            "The name {handle} now belongs to somebody else. Nothing is sent to that name until \
             you add it as a new contact."
        ),
        Code::DeviceCloned => {
            "This device's store seems to be in use twice. Use only one copy.".to_owned()
        }
        other => format!("{handle}: {other}"),
    };
    Event::Alarm { code, words }
}

/// What a reason for [`Event::Failed`] means, and what to do.
pub(crate) fn advice(code: &str) -> &'static str {
    match code {
        "not_contact" => "the recipient is no contact any more: ask with `contacts add`",
        "recipient_stale" => "none of the recipient's devices was seen for 30 days",
        "too_large" => "the message is too long for this server",
        "no_credits" => "the credits of the day do not cover it: wait, or send less",
        "trust_too_low" => "the account is too new for this",
        "restricted" => "the account is restricted; the server's operator knows why",
        "forbidden" => "this device may not do this",
        "bad_request" => "the server did not understand it: the versions may not fit",
        "changed" => "the contact's devices cannot be verified: see the alarm",
        _ => "it cannot be sent",
    }
}
