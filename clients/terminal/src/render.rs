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
mod tests {
    use hushwire_client::{Code, Trouble, UserId};

    use super::*;

    fn id() -> Id {
        Id::from_text("AAAAAAAAAAAAAAAAAAAAAA").unwrap()
    }

    fn message(text: &str) -> Message {
        Message {
            id: id(),
            peer: UserId([1; 32]),
            from: "bob".to_owned(),
            stage: None,
            text: text.to_owned(),
            reply_to: None,
            sent_ms: 1,
            at_ms: 2,
            position: 0,
            from_removed: false,
            since: hushwire_client::Since::default(),
        }
    }

    fn bob() -> String {
        "bob".to_owned()
    }

    fn all() -> Vec<(Event, &'static str)> {
        let user = UserId([1; 32]);
        let (handle, id) = ("bob".to_owned(), id());
        vec![
            (Event::Connected, r#"{"event":"connected"}"#),
            (
                Event::Disconnected { why: "gone".to_owned(), retry_in_ms: Some(1_500) },
                r#"{"event":"disconnected","why":"gone","retry_in_ms":1500}"#,
            ),
            (
                Event::Disconnected { why: "gone".to_owned(), retry_in_ms: None },
                r#"{"event":"disconnected","why":"gone","retry_in_ms":null}"#,
            ),
            (
                Event::MessageReceived(message("hi")),
                r#"{"event":"message","id":"AAAAAAAAAAAAAAAAAAAAAA","from":"bob","text":"hi","sent_ms":1,"at_ms":2}"#,
            ),
            (
                Event::ContactRequest { handle: handle.clone(), user },
                r#"{"event":"contact_request","from":"bob"}"#,
            ),
            (
                Event::ContactAccepted { handle: handle.clone(), user },
                r#"{"event":"contact_accepted","with":"bob"}"#,
            ),
            (
                Event::Read { handle, of: vec![id] },
                r#"{"event":"read","from":"bob","of":["AAAAAAAAAAAAAAAAAAAAAA"]}"#,
            ),
            (
                Event::Edited(message("ho")),
                r#"{"event":"edited","id":"AAAAAAAAAAAAAAAAAAAAAA","from":"bob","text":"ho"}"#,
            ),
            (
                Event::Removed { handle: bob(), id },
                r#"{"event":"removed","id":"AAAAAAAAAAAAAAAAAAAAAA","with":"bob"}"#,
            ),
            (
                Event::Reacted {
                    handle: bob(),
                    id,
                    reaction: Reaction { from: bob(), symbol: "+".to_owned() },
                },
                r#"{"event":"reacted","id":"AAAAAAAAAAAAAAAAAAAAAA","with":"bob","by":"bob","symbol":"+"}"#,
            ),
            (
                Event::TimerSet { handle: bob(), by: bob(), seconds: 60 },
                r#"{"event":"timer","with":"bob","by":"bob","seconds":60}"#,
            ),
            (
                Event::Disappeared { handle: bob(), id },
                r#"{"event":"disappeared","id":"AAAAAAAAAAAAAAAAAAAAAA","with":"bob"}"#,
            ),
            (
                Event::Profile {
                    handle: bob(),
                    name: Some(hushwire_client::ProfileName("Bob M.".to_owned())),
                },
                r#"{"event":"profile","from":"bob","name":"Bob M."}"#,
            ),
            (
                Event::Profile { handle: bob(), name: None },
                r#"{"event":"profile","from":"bob","name":null}"#,
            ),
            (
                Event::Typing { handle: bob(), on: true },
                r#"{"event":"typing","from":"bob","on":true}"#,
            ),
            (Event::Sent(id), r#"{"event":"sent","id":"AAAAAAAAAAAAAAAAAAAAAA"}"#),
            (
                Event::Held { id, for_ms: 7_001 },
                r#"{"event":"held","id":"AAAAAAAAAAAAAAAAAAAAAA","for_ms":7001}"#,
            ),
            (
                Event::Accepted { id, skipped: 0 },
                r#"{"event":"accepted","id":"AAAAAAAAAAAAAAAAAAAAAA"}"#,
            ),
            (
                Event::Accepted { id, skipped: 2 },
                r#"{"event":"accepted","id":"AAAAAAAAAAAAAAAAAAAAAA","skipped":2}"#,
            ),
            (Event::Delivered(id), r#"{"event":"delivered","id":"AAAAAAAAAAAAAAAAAAAAAA"}"#),
            (
                Event::Unreadable { id, code: "X".to_owned() },
                r#"{"event":"unreadable","id":"AAAAAAAAAAAAAAAAAAAAAA","code":"X"}"#,
            ),
            (Event::Expired(id), r#"{"event":"expired","id":"AAAAAAAAAAAAAAAAAAAAAA"}"#),
            (
                Event::Failed { id, code: "too_large", why: "long".to_owned() },
                r#"{"event":"failed","id":"AAAAAAAAAAAAAAAAAAAAAA","code":"too_large","why":"long"}"#,
            ),
            (Event::Resynced { again: 2 }, r#"{"event":"resynced","again":2}"#),
            (
                Event::Alarm { code: Code::Fork, words: "see".to_owned() },
                r#"{"event":"alarm","code":"FORK","words":"see"}"#,
            ),
            (
                Event::Trouble {
                    trouble: Trouble::Unreachable,
                    handle: Some("bob".to_owned()),
                    words: "away".to_owned(),
                },
                r#"{"event":"trouble","trouble":"unreachable","contact":"bob","words":"away"}"#,
            ),
            (
                Event::Trouble {
                    trouble: Trouble::RolledBack,
                    handle: None,
                    words: "old".to_owned(),
                },
                r#"{"event":"trouble","trouble":"rolled_back","words":"old"}"#,
            ),
            (Event::Missed(3), r#"{"event":"missed","count":3}"#),
        ]
    }

    #[test]
    fn events_are_the_promised_lines_of_json() {
        for (event, json) in all() {
            assert_eq!(serde_json::to_string(&Line::from(&event)).unwrap(), json);
        }
        let queued = Line::Queued { id: id(), to: "bob", text: "x", items: &[] };
        assert_eq!(
            serde_json::to_string(&queued).unwrap(),
            r#"{"event":"queued","id":"AAAAAAAAAAAAAAAAAAAAAA","to":"bob","text":"x"}"#
        );
        for line in all().iter().map(|(event, _)| Line::from(event)).chain([
            queued,
            Line::Waiting { from: "b" },
            Line::Withdrawn { id: id() },
            Line::Refused { why: "w" },
            Line::Outbox { unaccepted: 1 },
        ]) {
            let value = serde_json::to_value(&line).unwrap();
            let name = value["event"].as_str().unwrap();
            assert!(EVENTS.contains(&name), "{name} is not in the list that the help is held to");
        }
    }

    #[test]
    fn words_are_one_line_without_colours_and_without_escapes() {
        let progress = Progress::default();
        for (event, _) in all() {
            if let Some(words) = Line::from(&event).words(&progress, Paint::NONE) {
                assert!(!words.chars().any(char::is_control), "{words:?}");
            }
        }
        let held = Line::Held { id: id(), for_ms: 7_001 };
        let words = held.words(&progress, Paint::NONE).unwrap();
        assert_eq!(words, "-- goes in 8 s: an earlier message");
    }

    #[test]
    fn whatever_comes_from_outside_is_escaped() {
        let progress = Progress::default();
        let evil = "x\u{1b}[2J\r\u{202e}y";
        let lines = [
            Line::Disconnected { why: evil, retry_in_ms: None },
            Line::Disconnected { why: evil, retry_in_ms: Some(1) },
            Line::Message {
                id: id(),
                from: evil,
                text: evil,
                sent_ms: 0,
                at_ms: 0,
                reply_to: None,
                from_removed: true,
            },
            Line::Waiting { from: evil },
            Line::Edited { id: id(), from: evil, text: evil },
            Line::Removed { id: id(), with: evil },
            Line::Reacted { id: id(), with: evil, by: evil, symbol: evil },
            Line::Timer { with: evil, by: Some(evil), seconds: 60 },
            Line::Profile { from: evil, name: Some(evil) },
            Line::Read { from: evil, of: &[] },
            Line::Unreadable { id: id(), code: evil },
            Line::Failed { id: id(), code: evil, why: evil },
            Line::ContactRequest { from: evil },
            Line::ContactAccepted { with: evil },
            Line::Alarm { code: evil, words: evil },
            Line::Trouble { trouble: evil, contact: Some(evil), words: evil },
            Line::Refused { why: evil },
        ];
        for line in lines {
            let words = line.words(&progress, Paint::NONE).unwrap();
            assert!(!words.contains(['\u{1b}', '\r', '\u{202e}']), "{words:?}");
        }
    }

    #[test]
    fn a_message_of_a_removed_device_is_marked() {
        let message = Message { from_removed: true, ..message("hi") };
        let line = Line::from(&message);
        let words = line.words(&Progress::default(), Paint::NONE).unwrap();
        assert_eq!(words, "bob: hi (from a device since removed)");
        let json = serde_json::to_value(&line).unwrap();
        assert_eq!(json["from_removed"], true);
    }

    #[test]
    fn a_message_of_several_lines_is_indented() {
        let event = Event::MessageReceived(message("one\nalice: two"));
        let words = Line::from(&event).words(&Progress::default(), Paint::NONE).unwrap();
        assert_eq!(words, "bob: one\n     alice: two");
    }
}
