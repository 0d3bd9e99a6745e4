//! What happened, as a line: JSON for programs, words for people. The keys of the JSON are a
//! promise; the help lists them.

use hushwire_client::{Event, Id, Message, Reaction};
use serde::Serialize;

use crate::escape;
use crate::output::Paint;
use crate::progress::Progress;
use crate::span;

/// The names of all events, as JSON has them.
#[cfg(test)]
pub(crate) const EVENTS: &[&str] = &[
    "connected",
    "disconnected",
    "message",
    "waiting",
    "queued",
    "held",
    "sent",
    "accepted",
    "delivered",
    "read",
    "edited",
    "removed",
    "withdrawn",
    "reacted",
    "timer",
    "disappeared",
    "profile",
    "typing",
    "presence",
    "gap",
    "unreadable",
    "expired",
    "failed",
    "resynced",
    "contact_request",
    "contact_accepted",
    "alarm",
    "trouble",
    "missed",
    "refused",
    "outbox",
];

/// One line of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Line<'a> {
    Connected,
    Disconnected {
        why: &'a str,
        retry_in_ms: Option<u64>,
    },
    Message {
        id: Id,
        from: &'a str,
        text: &'a str,
        sent_ms: u64,
        at_ms: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_to: Option<Id>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        from_removed: bool,
    },
    Waiting {
        from: &'a str,
    },
    Queued {
        id: Id,
        to: &'a str,
        text: &'a str,
        #[serde(skip_serializing_if = "<[Id]>::is_empty")]
        items: &'a [Id],
    },
    Held {
        id: Id,
        for_ms: u64,
    },
    Sent {
        id: Id,
    },
    Accepted {
        id: Id,
        #[serde(skip_serializing_if = "is_zero")]
        skipped: usize,
    },
    Delivered {
        id: Id,
    },
    Read {
        from: &'a str,
        of: &'a [Id],
    },
    Edited {
        id: Id,
        from: &'a str,
        text: &'a str,
    },
    Removed {
        id: Id,
        with: &'a str,
    },
    Withdrawn {
        id: Id,
    },
    Reacted {
        id: Id,
        with: &'a str,
        by: &'a str,
        symbol: &'a str,
    },
    Timer {
        with: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<&'a str>,
        seconds: u32,
    },
    Disappeared {
        id: Id,
        with: &'a str,
    },
    Profile {
        from: &'a str,
        name: Option<&'a str>,
    },
    Typing {
        from: &'a str,
        on: bool,
    },
    Presence {
        from: &'a str,
        on: bool,
    },
    Gap {
        with: &'a str,
        count: u64,
    },
    Unreadable {
        id: Id,
        code: &'a str,
    },
    Expired {
        id: Id,
    },
    Failed {
        id: Id,
        code: &'a str,
        why: &'a str,
    },
    Resynced {
        again: usize,
    },
    ContactRequest {
        from: &'a str,
    },
    ContactAccepted {
        with: &'a str,
    },
    Alarm {
        code: &'a str,
        words: &'a str,
    },
    Trouble {
        trouble: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        contact: Option<&'a str>,
        words: &'a str,
    },
    Missed {
        count: u64,
    },
    Refused {
        why: &'a str,
    },
    Outbox {
        unaccepted: usize,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands in references")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl<'a> From<&'a Message> for Line<'a> {
    fn from(message: &'a Message) -> Self {
        Self::Message {
            id: message.id,
            from: &message.from,
            text: &message.text,
            sent_ms: message.sent_ms,
            at_ms: message.at_ms,
            reply_to: message.reply_to,
            from_removed: message.from_removed,
        }
    }
}

impl<'a> From<&'a Event> for Line<'a> {
    fn from(event: &'a Event) -> Self {
        match event {
            Event::Connected => Self::Connected,
            Event::Disconnected { why, retry_in_ms } => {
                Self::Disconnected { why, retry_in_ms: *retry_in_ms }
            }
            Event::ContactRequest { handle, .. } => Self::ContactRequest { from: handle },
            Event::ContactAccepted { handle, .. } => Self::ContactAccepted { with: handle },
            Event::MessageReceived(message) => message.into(),
            Event::Read { handle, of } => Self::Read { from: handle, of },
            Event::Edited(message) => {
                Self::Edited { id: message.id, from: &message.from, text: &message.text }
            }
            Event::Removed { handle, id } => Self::Removed { id: *id, with: handle },
            Event::Reacted { handle, id, reaction } => {
                let Reaction { from: by, symbol } = reaction;
                Self::Reacted { id: *id, with: handle, by, symbol }
            }
            Event::TimerSet { handle, by, seconds } => {
                Self::Timer { with: handle, by: Some(by), seconds: *seconds }
            }
            Event::Disappeared { handle, id } => Self::Disappeared { id: *id, with: handle },
            Event::Profile { handle, name } => {
                Self::Profile { from: handle, name: name.as_ref().map(|name| name.0.as_str()) }
            }
            Event::Typing { handle, on } => Self::Typing { from: handle, on: *on },
            Event::Presence { handle, on } => Self::Presence { from: handle, on: *on },
            Event::Gap { handle, count } => Self::Gap { with: handle, count: *count },
            Event::Sent(id) => Self::Sent { id: *id },
            Event::Held { id, for_ms } => Self::Held { id: *id, for_ms: *for_ms },
            Event::Accepted { id, skipped } => Self::Accepted { id: *id, skipped: *skipped },
            Event::Delivered(id) => Self::Delivered { id: *id },
            Event::Unreadable { id, code } => Self::Unreadable { id: *id, code },
            Event::Expired(id) => Self::Expired { id: *id },
            Event::Failed { id, code, why } => Self::Failed { id: *id, code, why },
            Event::Resynced { again } => Self::Resynced { again: *again },
            Event::Alarm { code, words } => Self::Alarm { code: code.as_str(), words },
            Event::Trouble { trouble, handle, words } => {
                Self::Trouble { trouble: trouble.as_str(), contact: handle.as_deref(), words }
            }
            Event::Missed(count) => Self::Missed { count: *count },
        }
    }
}

/// Seconds until something, rounded up.
pub(crate) const fn seconds(ms: u64) -> u64 {
    ms.div_ceil(1_000)
}

/// "1 message", "2 messages".
pub(crate) fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A message for people: who, and the words, indented so that no line of them passes for another
/// message.
pub(crate) fn spoken(from: &str, text: &str, paint: Paint) -> String {
    let from = escape::line(from);
    let indent = " ".repeat(from.chars().count() + 2);
    format!("{} {}", paint.name(&format!("{from}:")), escape::lines(text, &indent))
}

/// That messages found no room.
pub(crate) fn missed(with: &str, count: u64) -> String {
    let with = escape::line(with);
    let what = counted(count, "message");
    format!("{what} from {with} did not fit while you were away; ask {with} to send again")
}

/// A message with the mark of a device that its owner has removed since.
pub(crate) fn marked(words: String, from_removed: bool, paint: Paint) -> String {
    if from_removed {
        format!("{words} {}", paint.loud("(from a device since removed)"))
    } else {
        words
    }
}

impl Line<'_> {
    /// The line in words for people; `None` if it is not worth a line. The texts of own messages
    /// come from `progress`.
    pub(crate) fn words(&self, progress: &Progress, paint: Paint) -> Option<String> {
        let aside = |words: String| Some(paint.aside(&format!("-- {words}")));
        let loud = |words: String| Some(paint.loud(&format!("!! {words}")));
        let own = |id: &Id| progress.text(id).unwrap_or("an earlier message");
        match self {
            Self::Connected => aside("connected".to_owned()),
            // Said once; then it is tried again without a word.
            Self::Disconnected { retry_in_ms: Some(_), .. } if progress.is_still_offline() => None,
            Self::Disconnected { why, retry_in_ms: Some(_) } => {
                aside(format!("{} (trying again)", escape::line(why)))
            }
            Self::Disconnected { why, retry_in_ms: None } => loud(escape::line(why)),
            Self::Message { from, text, from_removed, .. } => {
                Some(marked(spoken(from, text, paint), *from_removed, paint))
            }
            Self::Waiting { from } => {
                let from = escape::line(from);
                aside(format!("{from} wrote to you: `hush chat {from}` shows it"))
            }
            Self::Queued { .. } | Self::Sent { .. } | Self::Resynced { again: 0 } => None,
            Self::Held { id, for_ms } => {
                aside(format!("goes in {} s: {}", seconds(*for_ms), own(id)))
            }
            Self::Accepted { id, skipped: 0 } => aside(format!("\u{2713} accepted: {}", own(id))),
            Self::Accepted { id, skipped } => aside(format!(
                "\u{2713} accepted, but {} will not get it: {}",
                counted(u64::try_from(*skipped).unwrap_or(u64::MAX), "device"),
                own(id)
            )),
            Self::Delivered { id } => {
                Some(paint.good(&format!("-- \u{2713}\u{2713} delivered: {}", own(id))))
            }
            Self::Read { from, of } => {
                let count = u64::try_from(of.len()).unwrap_or(u64::MAX);
                aside(format!("{} read {}", escape::line(from), counted(count, "message")))
            }
            Self::Edited { from, text, .. } => {
                Some(format!("{} {}", paint.aside("-- edited:"), spoken(from, text, paint)))
            }
            Self::Removed { with, .. } => {
                aside(format!("a message in the talk with {} was removed", escape::line(with)))
            }
            Self::Withdrawn { .. } => aside("withdrawn: it had not left this device".to_owned()),
            Self::Reacted { by, symbol: "", .. } => {
                aside(format!("{} took a reaction back", escape::line(by)))
            }
            Self::Reacted { id, by, symbol, .. } => {
                let (by, symbol) = (escape::line(by), escape::line(symbol));
                let what = progress.text(id).unwrap_or("a message");
                aside(format!("{by} reacted {symbol} to: {what}"))
            }
            Self::Timer { with, by, seconds } => {
                let (with, by) = (escape::line(with), by.map(escape::line));
                let kept = match seconds {
                    0 => format!("messages with {with} do not disappear"),
                    some => format!(
                        "messages with {with} disappear {} after they were seen",
                        span::words(*some)
                    ),
                };
                aside(by.map_or(kept.clone(), |by| format!("{kept}, from now on (set by {by})")))
            }
            Self::Profile { from, name: Some(name) } => {
                let (from, name) = (escape::line(from), escape::line(name));
                aside(format!("{from} wants to be shown as {name}"))
            }
            Self::Profile { from, name: None } => {
                aside(format!("{} wants to be shown by username only", escape::line(from)))
            }
            Self::Disappeared { .. } | Self::Typing { .. } => None,
            Self::Presence { from, on: true } => aside(format!("{} is there", escape::line(from))),
            Self::Presence { from, on: false } => {
                aside(format!("{} is not there any more", escape::line(from)))
            }
            Self::Gap { with, count } => loud(missed(with, *count)),
            Self::Unreadable { id, code } => {
                let code = escape::line(code);
                loud(format!("a device could not open it ({code}): {}", own(id)))
            }
            Self::Expired { id } => {
                loud(format!("it waited 30 days and was not fetched: {}", own(id)))
            }
            Self::Failed { id, why, .. } => {
                loud(format!("not sent, {}: {}", escape::line(why), own(id)))
            }
            Self::Resynced { again } => {
                let count = u64::try_from(*again).unwrap_or(u64::MAX);
                aside(format!(
                    "the server lost its queues; {} sent again",
                    counted(count, "message")
                ))
            }
            Self::ContactRequest { from } => {
                let from = escape::line(from);
                aside(format!("{from} asks to talk: `hush contacts accept {from}`"))
            }
            Self::ContactAccepted { with } => {
                let with = escape::line(with);
                aside(format!("{with} is a contact; compare: `hush contacts verify {with}`"))
            }
            Self::Alarm { words, .. } | Self::Trouble { words, .. } => loud(escape::line(words)),
            Self::Missed { count } => loud(format!("{} left out", counted(*count, "event"))),
            Self::Refused { why } => loud(escape::line(why)),
            Self::Outbox { unaccepted } => {
                let count = u64::try_from(*unaccepted).unwrap_or(u64::MAX);
                aside(format!(
                    "{} in the outbox: sent when `hush` connects again",
                    counted(count, "message")
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests;
