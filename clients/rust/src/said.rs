//! What a message says, in the form that the store keeps, and content ids as text.

use std::fmt;

use hushwire_e2ee::{Body, ContentId, ReceiptKind, content};
use hushwire_wire::{from_base64url, to_base64url};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The logical id of a content, as people and programs see it: base64url of 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub ContentId);

impl Id {
    /// From base64url without padding.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes = from_base64url(text)?;
        Some(Self(ContentId(bytes.as_slice().try_into().ok()?)))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_base64url(&self.0.0))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_text(&text).ok_or_else(|| serde::de::Error::custom("expected a content id"))
    }
}

/// What is said. `Debug` shows no content.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// Words.
    Text {
        /// The words.
        text: String,
        /// What they answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<Id>,
    },
    /// Several texts and reactions that travel as one message.
    Batch {
        /// Which: 1 to 16.
        items: Vec<Item>,
    },
    /// Other words for a text.
    Edit {
        /// Which text.
        target: Id,
        /// Counts its edits from 1; the highest wins.
        rev: u16,
        /// The new words.
        text: String,
    },
    /// Takes a text back.
    Remove {
        /// Which text.
        target: Id,
    },
    /// One grapheme beside a text.
    React {
        /// Which text.
        target: Id,
        /// The grapheme; empty to take it back.
        symbol: String,
    },
    /// How long messages of both are kept from now on.
    Timer {
        /// In seconds; 0 is off.
        seconds: u32,
    },
    /// The name that somebody wants to be shown under.
    Profile {
        /// The name; empty for none.
        name: String,
    },
    /// Somebody is typing, or is not any more.
    Typing {
        /// Which.
        on: bool,
    },
    /// These were read by a person.
    Read {
        /// Which: 1 to 25.
        of: Vec<Id>,
    },
    /// These reached a device.
    Delivered {
        /// Which: 1 to 25.
        of: Vec<Id>,
    },
}

/// One part of a batch: a text or a reaction, with an id of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The logical id.
    pub id: Id,
    /// [`Said::Text`] or [`Said::React`].
    pub said: Said,
}

impl Said {
    /// As the cryptography takes it.
    #[must_use]
    pub fn to_body(&self) -> Body {
        let ids = |of: &[Id]| of.iter().map(|id| id.0).collect();
        match self {
            Self::Text { text, reply_to } => {
                Body::Text { reply_to: reply_to.map(|id| id.0), text: text.clone() }
            }
            Self::Batch { items } => {
                let item = |item: &Item| content::Item { id: item.id.0, body: item.said.to_body() };
                Body::Batch(items.iter().map(item).collect())
            }
            Self::Edit { target, rev, text } => {
                Body::Edit { target: target.0, rev: *rev, text: text.clone() }
            }
            Self::Remove { target } => Body::Remove { target: target.0 },
            Self::React { target, symbol } => {
                Body::Reaction { target: target.0, symbol: symbol.clone() }
            }
            Self::Timer { seconds } => Body::Timer { seconds: *seconds },
            Self::Profile { name } => Body::Profile { name: name.clone() },
            Self::Typing { on } => Body::Typing { on: *on },
            Self::Read { of } => Body::Receipt { kind: ReceiptKind::Read, of: ids(of) },
            Self::Delivered { of } => Body::Receipt { kind: ReceiptKind::Delivered, of: ids(of) },
        }
    }

    /// From a body that was opened; `None` for what this client does not use yet: files, calls
    /// and self-sync.
    #[must_use]
    pub fn from_body(body: Body) -> Option<Self> {
        let ids = |of: Vec<ContentId>| of.into_iter().map(Id).collect();
        Some(match body {
            Body::Text { reply_to, text } => Self::Text { text, reply_to: reply_to.map(Id) },
            Body::Batch(items) => {
                let item = |item: content::Item| {
                    Some(Item { id: Id(item.id), said: Self::from_body(item.body)? })
                };
                Self::Batch { items: items.into_iter().map(item).collect::<Option<_>>()? }
            }
            Body::Edit { target, rev, text } => Self::Edit { target: Id(target), rev, text },
            Body::Remove { target } => Self::Remove { target: Id(target) },
            Body::Reaction { target, symbol } => {
                let symbol = content::first_grapheme(&symbol).to_owned();
                Self::React { target: Id(target), symbol }
            }
            Body::Timer { seconds } => Self::Timer { seconds },
            Body::Profile { name } => Self::Profile { name },
            Body::Typing { on } => Self::Typing { on },
            Body::Receipt { kind: ReceiptKind::Read, of } => Self::Read { of: ids(of) },
            Body::Receipt { kind: ReceiptKind::Delivered, of } => Self::Delivered { of: ids(of) },
            Body::File(_) | Body::Call(_) | Body::SelfSync { .. } => return None,
        })
    }

    /// The content that it changes, if it is a change of one.
    #[must_use]
    pub const fn target(&self) -> Option<&Id> {
        match self {
            Self::Edit { target, .. } | Self::Remove { target } | Self::React { target, .. } => {
                Some(target)
            }
            Self::Text { .. }
            | Self::Batch { .. }
            | Self::Timer { .. }
            | Self::Profile { .. }
            | Self::Typing { .. }
            | Self::Read { .. }
            | Self::Delivered { .. } => None,
        }
    }

    /// Whether it is a batch with this part.
    pub(crate) fn has_part(&self, id: &Id) -> bool {
        matches!(self, Self::Batch { items } if items.iter().any(|item| item.id == *id))
    }

    /// Takes a part out of a batch, and reactions to it; whether anything is left of the batch.
    pub(crate) fn drop_part(&mut self, id: &Id) -> bool {
        let Self::Batch { items } = self else { return false };
        items.retain(|item| item.id != *id && item.said.target() != Some(id));
        !items.is_empty()
    }

    /// Whether the 10-second rule counts it: texts, batches and edits.
    #[must_use]
    pub const fn is_paced(&self) -> bool {
        matches!(self, Self::Text { .. } | Self::Batch { .. } | Self::Edit { .. })
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text { .. } => "Text(..)",
            Self::Batch { .. } => "Batch(..)",
            Self::Edit { .. } => "Edit(..)",
            Self::Remove { .. } => "Remove(..)",
            Self::React { .. } => "React(..)",
            Self::Timer { .. } => "Timer(..)",
            Self::Profile { .. } => "Profile(..)",
            Self::Typing { .. } => "Typing(..)",
            Self::Read { .. } => "Read(..)",
            Self::Delivered { .. } => "Delivered(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_survives_json_and_the_body() {
        let id = Id(ContentId([7; 16]));
        let reaction = || Said::React { target: id, symbol: "+".to_owned() };
        for said in [
            Said::Text { text: "grüße".to_owned(), reply_to: Some(id) },
            Said::Text { text: String::new(), reply_to: None },
            Said::Batch { items: vec![Item { id, said: reaction() }] },
            Said::Edit { target: id, rev: 2, text: "neu".to_owned() },
            Said::Remove { target: id },
            reaction(),
            Said::Timer { seconds: 3_600 },
            Said::Profile { name: "Alice".to_owned() },
            Said::Typing { on: true },
            Said::Read { of: vec![id] },
            Said::Delivered { of: vec![id, id] },
        ] {
            let json = serde_json::to_vec(&said).unwrap();
            assert_eq!(serde_json::from_slice::<Said>(&json).unwrap(), said);
            let body = said.to_body();
            assert_eq!(said.is_paced(), body.class_and_lane().0.is_paced(), "{said:?}");
            assert_eq!(Said::from_body(body), Some(said));
        }
        assert_eq!(Id::from_text(&id.to_string()), Some(id));
        assert_eq!(Id::from_text("short"), None);
        let secret = Said::Text { text: "secret".to_owned(), reply_to: None };
        assert!(secret.is_paced() && !format!("{secret:?}").contains("secret"));
        let edit = Said::Edit { target: id, rev: 1, text: "secret".to_owned() };
        assert!(edit.is_paced() && !format!("{edit:?}").contains("secret"));
        for said in [
            Said::Read { of: vec![id] },
            Said::Remove { target: id },
            reaction(),
            Said::Timer { seconds: 1 },
            Said::Profile { name: String::new() },
        ] {
            assert!(!said.is_paced(), "{said:?}");
        }
    }
}
