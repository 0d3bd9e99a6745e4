//! A message in the history, and what happened to it since it was said: edits, its removal,
//! reactions, and when it disappears.
//!
//! Plain values: who may change what is judged by [`crate::engine`]'s reading of contents, and
//! here only which of two changes holds. `Debug` shows no words.

use std::fmt;

use hushwire_wire::{DeviceId, UserId};
use serde::{Deserialize, Serialize};

use crate::said::Id;

/// How far an own message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// In the outbox.
    Waiting,
    /// It left this device.
    Sent,
    /// The server has it in custody.
    Accepted,
    /// The recipient's first device has it.
    Delivered,
    /// The recipient read it.
    Read,
    /// It was not sent.
    Failed,
}

/// A message in the history. `Debug` shows no words.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The logical id, the same on every device.
    pub id: Id,
    /// The other user of the conversation.
    pub peer: UserId,
    /// The username of whoever wrote it.
    pub from: String,
    /// How far it has come, for own messages; `None` for those of others.
    pub stage: Option<Stage>,
    /// The words, as they stand now: empty if it was removed.
    pub text: String,
    /// What it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Id>,
    /// When it was sent, by its author's clock, in milliseconds since 1970.
    pub sent_ms: u64,
    /// When the server took it, or this device wrote it, in milliseconds since 1970.
    pub at_ms: u64,
    /// Its place in the conversation on this device, from 0.
    pub position: u64,
    /// It came from a device that its owner has removed since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_removed: bool,
    /// What happened to it since.
    #[serde(default, skip_serializing_if = "Since::is_nothing")]
    pub since: Since,
    /// It is no message, but a mark: so many messages found no room here while this device was
    /// away. 0: a message.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missed: u32,
}

/// What happened to a message since it was said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// The edit that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit>,
    /// Its author took it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// One of each user, at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// For how many seconds it is kept: from its acceptance if it is an own one, else from when it
    /// was shown. 0: for ever.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub keep_s: u32,
    /// When it disappears, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_ms: Option<u64>,
}

/// Which edit a text stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// Its number, from 1.
    pub rev: u16,
    /// The device that made it.
    pub by: DeviceId,
}

/// One user's reaction. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// Whose: a username.
    pub from: String,
    /// One grapheme.
    pub symbol: String,
}

/// The name that somebody wants to be shown under: anybody can take any. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProfileName(pub String);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands in references")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Since {
    /// Nothing happened.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// A later content that changes a message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Edit { rev: u16, text: String },
    Remove,
    React { symbol: String },
}

impl Message {
    /// Applies a change that `from`'s device `by` made. Whether it counts: `false` for an edit
    /// that an edit holds against, and for anything after the removal.
    pub(crate) fn change(&mut self, change: Change, from: &str, by: DeviceId) -> bool {
        if self.since.removed || self.missed > 0 {
            return false;
        }
        match change {
            Change::Edit { rev, text } => {
                let holds = match self.since.edit {
                    None => rev > 0,
                    Some(held) => rev > held.rev || (rev == held.rev && by < held.by),
                };
                if holds {
                    self.since.edit = Some(Edit { rev, by });
                    self.text = text;
                }
                holds
            }
            Change::Remove => {
                self.text.clear();
                self.reply_to = None;
                self.since.reactions.clear();
                self.since.removed = true;
                true
            }
            Change::React { symbol } => {
                let at = self.since.reactions.iter().position(|reaction| reaction.from == from);
                match (at, symbol.is_empty()) {
                    (None, true) => return false,
                    (Some(at), true) => {
                        self.since.reactions.remove(at);
                    }
                    (Some(at), false) => self.since.reactions[at].symbol = symbol,
                    (None, false) => {
                        self.since.reactions.push(Reaction { from: from.to_owned(), symbol });
                    }
                }
                true
            }
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("position", &self.position)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reaction(..)")
    }
}

impl fmt::Debug for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProfileName(..)")
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Edit { .. } => "Edit(..)",
            Self::Remove => "Remove",
            Self::React { .. } => "React(..)",
        })
    }
}

/// Messages that wait behind a gap: those of one content.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) messages: Vec<Message>,
}

/// Changes that came before the message that they change.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Early {
    pub(crate) changes: Vec<EarlyChange>,
}

/// Which messages of a contact have such changes: the one that was changed last at the end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct EarlyIndex {
    pub(crate) messages: Vec<EarlyOf>,
}

/// One of them, and the bytes of its changes in the store.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct EarlyOf {
    pub(crate) id: Id,
    pub(crate) bytes: usize,
}

/// One change, and who made it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EarlyChange {
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    pub(crate) change: Change,
}

#[cfg(test)]
mod tests {
    use hushwire_e2ee::ContentId;

    use super::*;
    use crate::record::{from_json, to_json};

    fn message(text: &str) -> Message {
        Message {
            id: Id(ContentId([1; 16])),
            peer: UserId([2; 32]),
            from: "alice".to_owned(),
            stage: None,
            text: text.to_owned(),
            reply_to: None,
            sent_ms: 1,
            at_ms: 2,
            position: 3,
            from_removed: false,
            since: Since::default(),
            missed: 0,
        }
    }

    fn edit(rev: u16, text: &str) -> Change {
        Change::Edit { rev, text: text.to_owned() }
    }

    fn react(symbol: &str) -> Change {
        Change::React { symbol: symbol.to_owned() }
    }

    #[test]
    fn a_message_shows_no_words_in_debug_and_is_written_without_growing() {
        let mut message = message(&"canary ".repeat(500));
        assert!(message.change(react("c"), "bob", DeviceId([1; 16])));
        let shown = format!("{:?}", crate::Event::MessageReceived(message.clone()));
        assert!(!shown.contains("canary"));
        assert_eq!(format!("{:?}", message.since.reactions), "[Reaction(..)]");
        assert_eq!(format!("{:?}", edit(1, "canary")), "Edit(..)");
        let name = Some(ProfileName("canary".to_owned()));
        let told = crate::Event::Profile { handle: "bob".to_owned(), name };
        assert!(!format!("{told:?}").contains("canary"));
        let json = to_json(&message);
        assert_eq!(json.capacity(), json.len());
        assert_eq!(from_json::<Message>(&json).unwrap(), message);
    }

    #[test]
    fn a_message_of_an_older_store_is_read() {
        let old = br#"{"id":"AQEBAQEBAQEBAQEBAQEBAQ","peer":"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI",
            "from":"alice","stage":null,"text":"hi","sent_ms":1,"at_ms":2,"position":3}"#;
        assert_eq!(from_json::<Message>(old).unwrap(), message("hi"));
    }

    #[test]
    fn the_highest_edit_holds_and_of_two_the_lower_device_in_any_order() {
        let (low, high) = (DeviceId([1; 16]), DeviceId([2; 16]));
        let edits = [(1, "a", low), (2, "b", high), (2, "c", low), (0, "d", low)];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 2, 0, 3]] {
            let mut message = message("first");
            for at in order {
                let (rev, text, by): (u16, _, _) = edits[at];
                message.change(edit(rev, text), "alice", by);
            }
            assert_eq!(message.text, "c", "{order:?}");
            assert_eq!(message.since.edit, Some(Edit { rev: 2, by: low }));
        }
        let mut message = message("first");
        assert!(!message.change(edit(0, "x"), "alice", low), "0 is the text itself");
        assert!(message.change(edit(1, "y"), "alice", high));
        assert!(!message.change(edit(1, "y"), "alice", high), "the same again");
    }

    #[test]
    fn nothing_comes_after_a_removal() {
        let by = DeviceId([1; 16]);
        let mut message = message("first");
        assert!(message.change(react("+"), "bob", by));
        assert!(message.change(Change::Remove, "alice", by));
        assert_eq!((message.text.as_str(), message.since.reactions.len()), ("", 0));
        for change in [Change::Remove, edit(9, "back"), react("+")] {
            assert!(!message.change(change, "alice", by));
        }
        assert_eq!(message.text, "");
    }

    #[test]
    fn one_reaction_of_each_user() {
        let by = DeviceId([1; 16]);
        let mut message = message("first");
        assert!(!message.change(react(""), "bob", by), "nothing to take back");
        assert!(message.change(react("+"), "bob", by));
        assert!(message.change(react("-"), "bob", by));
        assert!(message.change(react("+"), "alice", by));
        let shown: Vec<_> =
            message.since.reactions.iter().map(|r| (r.from.as_str(), r.symbol.as_str())).collect();
        assert_eq!(shown, [("bob", "-"), ("alice", "+")]);
        assert!(message.change(react(""), "bob", by));
        assert_eq!(message.since.reactions.len(), 1);
    }
}
