//! What a message says, in the form that the store keeps: text or receipt, and its bytes in JSON.

use std::fmt;

use hushwire_e2ee::{Body, ContentId, ReceiptKind};
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

impl Said {
    /// As the cryptography takes it.
    #[must_use]
    pub fn to_body(&self) -> Body {
        let ids = |of: &[Id]| of.iter().map(|id| id.0).collect();
        match self {
            Self::Text { text, reply_to } => {
                Body::Text { reply_to: reply_to.map(|id| id.0), text: text.clone() }
            }
            Self::Read { of } => Body::Receipt { kind: ReceiptKind::Read, of: ids(of) },
            Self::Delivered { of } => Body::Receipt { kind: ReceiptKind::Delivered, of: ids(of) },
        }
    }

    /// From a body that was opened; `None` for what this client does not show yet.
    #[must_use]
    pub fn from_body(body: Body) -> Option<Self> {
        let ids = |of: Vec<ContentId>| of.into_iter().map(Id).collect();
        Some(match body {
            Body::Text { reply_to, text } => Self::Text { text, reply_to: reply_to.map(Id) },
            Body::Receipt { kind: ReceiptKind::Read, of } => Self::Read { of: ids(of) },
            Body::Receipt { kind: ReceiptKind::Delivered, of } => Self::Delivered { of: ids(of) },
            _ => return None,
        })
    }

    /// Whether the 10-second rule counts it.
    #[must_use]
    pub fn is_paced(&self) -> bool {
        self.to_body().class_and_lane().0.is_paced()
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text { .. } => "Text(..)",
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
        for said in [
            Said::Text { text: "grüße".to_owned(), reply_to: Some(id) },
            Said::Text { text: String::new(), reply_to: None },
            Said::Read { of: vec![id] },
            Said::Delivered { of: vec![id, id] },
        ] {
            let json = serde_json::to_vec(&said).unwrap();
            assert_eq!(serde_json::from_slice::<Said>(&json).unwrap(), said);
            assert_eq!(Said::from_body(said.to_body()), Some(said));
        }
        assert_eq!(Id::from_text(&id.to_string()), Some(id));
        assert_eq!(Id::from_text("short"), None);
        let secret = Said::Text { text: "secret".to_owned(), reply_to: None };
        assert!(secret.is_paced() && !format!("{secret:?}").contains("secret"));
        assert!(!Said::Read { of: vec![id] }.is_paced());
    }
}
