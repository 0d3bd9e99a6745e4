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
    /// A contact who shows it is there, or is not any more. When the connection ends nobody is
    /// known to be there: that is not told for each.
    Presence {
        /// Who.
        handle: String,
        /// Which.
        on: bool,
    },
    /// So many messages of a contact, or own ones to it, found no room while this device was away,
    /// and are lost to it. The history has a mark at their place.
    Gap {
        /// With whom the conversation is.
        handle: String,
        /// How many.
        count: u64,
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
    /// Something that a person should know, and that is no attack by itself.
    Trouble {
        /// What.
        trouble: Trouble,
        /// With whom; `None` if it is about this device.
        handle: Option<String>,
        /// What it means, and what to do.
        words: String,
    },
    /// Events were left out because nobody took them.
    Missed(u64),
}

/// What [`Event::Trouble`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// No device of the contact was seen for 30 days: nothing is sent until one comes back
    /// (`PEER_STALE` of CRYPTO 9).
    Unreachable,
    /// The contact's devices changed.
    DevicesChanged,
    /// The contact's devices changed after their safety number was compared: nothing is sent
    /// until a person has acknowledged it.
    VerifiedChanged,
    /// The epochs of the pair cannot be used, again and again: the contact's client or the server
    /// misbehaves.
    Misbehaves,
    /// This device's store is an old copy of itself: all keys are made anew.
    RolledBack,
    /// The server takes nothing for the contact.
    Refused,
    /// A key of the pair is missing here: what was sent under it cannot be read.
    KeyMissing,
}

impl Trouble {
    /// A short name for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::DevicesChanged => "devices_changed",
            Self::VerifiedChanged => "verified_changed",
            Self::Misbehaves => "misbehaves",
            Self::RolledBack => "rolled_back",
            Self::Refused => "refused",
            Self::KeyMissing => "key_missing",
        }
    }
}

/// A trouble with a contact in words for a person.
pub(crate) fn trouble(trouble: Trouble, handle: &str) -> Event {
    let words = match trouble {
        Trouble::Unreachable => format!(
            "None of {handle}'s devices was seen for 30 days, so nothing is sent to {handle} now. \
             What waits is sent when {handle} is back."
        ),
        Trouble::DevicesChanged => format!(
            "{handle} added or removed a device. If you did not expect that, ask {handle} in \
             person."
        ),
        Trouble::VerifiedChanged => format!(
            "{handle} added or removed a device after you compared safety numbers. Nothing is \
             sent until you say that you know: compare again with `contacts verify {handle}`, or \
             go on with `contacts acknowledge {handle}`."
        ),
        Trouble::Misbehaves => format!(
            "Keys for your conversation with {handle} do not work, again and again: {handle}'s \
             program or the server misbehaves. Messages may be lost; ask {handle} which it is."
        ),
        Trouble::RolledBack => "The files of this program were put back to an earlier state, from \
             a backup or a copy. Keys that may have been used since are thrown away and made \
             anew; messages of the time between are missing here."
            .to_owned(),
        Trouble::Refused => format!(
            "The server takes nothing for {handle}: {handle} may have removed you, blocked you, or \
             be gone; the server does not say which. Ask {handle} another way, or ask to be a \
             contact again with `contacts add {handle}`."
        ),
        Trouble::KeyMissing => format!(
            "A key between you and {handle} is missing here: messages of some time while you were \
             away cannot be read. Ask {handle} what they said."
        ),
    };
    let handle = (!handle.is_empty()).then(|| handle.to_owned());
    Event::Trouble { trouble, handle, words }
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
            "The name {handle} now belongs to other keys: {handle} lost all devices and began \
             anew, or somebody else took the name. Nothing is sent to it until you accept the new \
             request, or ask with `contacts add {handle}`. Ask {handle} in person first."
        ),
        Code::DeviceCloned => {
            "The files of this program are in use twice, as if there were two copies of this \
             device. Stop one of them and do not use it again: each makes the other's keys \
             useless. If you made no copy, somebody else may have one."
                .to_owned()
        }
        other => format!("{handle}: {other}"),
    };
    Event::Alarm { code, words }
}

/// What a reason for [`Event::Failed`] means, and what to do.
pub(crate) fn advice(code: &str) -> &'static str {
    match code {
        "not_contact" => {
            "the recipient may have removed you, blocked you, or be gone: ask them another way, or \
             ask again with `contacts add`"
        }
        "parted" => "you ended the contact",
        "recipient_stale" => "none of the recipient's devices was seen for 30 days",
        "too_large" => "the message is too long for this server",
        "no_credits" => "the credits of the day do not cover it: wait, or send less",
        "trust_too_low" => "the account is too new for this",
        "restricted" => "the account is restricted; the server's operator knows why",
        "forbidden" => "this device may not do this",
        "bad_request" => "the server did not understand it: the versions may not fit",
        "changed" => "the contact's devices cannot be verified: see the alarm",
        "withdrawn" => "its message was taken back first",
        _ => "it cannot be sent",
    }
}
