//! Kinds `contents`, `contents-refused` and `paddings`: what stands inside a message.

use hushwire_wire::message::{Class, PADDED};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bytes::{B16, B32, Bytes, Hex};
use super::file::{Case, Fault};
use crate::content::{
    Body, CONTENT_OVERHEAD, Call, CallKind, Content, ContentId, FileContent, Item, ReceiptKind,
    Received, SyncKind,
};
use crate::file::{FileKey, ct_size};

/// A content: its type's fields, and the bytes that follow.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    #[serde(rename = "type")]
    pub(super) kind: u8,
    pub(super) class: u8,
    pub(super) lane: u8,
    pub(super) content_id: B16,
    pub(super) sent_ms: u64,
    pub(super) prev_sent: u32,
    pub(super) seen: Vec<u32>,
    /// By type: one of [`Fields`].
    pub(super) fields: Value,
    pub(super) body: Hex,
    pub(super) content: Hex,
    pub(super) padded: Hex,
}

impl Said {
    /// The content as this implementation has it.
    pub(super) fn content(&self) -> Result<Content, Fault> {
        Ok(Content {
            id: ContentId(self.content_id.0),
            sent_ms: self.sent_ms,
            prev_sent: self.prev_sent,
            seen: self.seen.clone(),
            body: body_of(self.kind, &self.fields)?,
        })
    }

    /// Class and lane; an error for a pair that no header can have.
    pub(super) fn class_and_lane(&self) -> Result<(Class, u8), Fault> {
        let class = Class::from_pair(self.class, self.lane);
        Ok((class.ok_or_else(|| format!("class {} on lane {}", self.class, self.lane))?, self.lane))
    }

    pub(super) fn made(&self) -> Result<Self, Fault> {
        let content = self.content()?;
        let padded = content.lay_out().map_err(|error| error.to_string())?.to_vec();
        let (class, lane) = content.body.class_and_lane();
        let read = Content::parse(&padded, class, lane).map_err(|error| error.to_string())?;
        if read != Received::Content(content) {
            return Err("the content is not read as it was written".to_owned());
        }
        let head = CONTENT_OVERHEAD + 4 * self.seen.len();
        let len = padded[head - 4..head].try_into().map(u32::from_be_bytes);
        let end = head + len.map_or(0, |len| len as usize);
        Ok(Self {
            body: padded[head..end].into(),
            content: padded[..end].into(),
            padded: padded.into(),
            ..self.clone()
        })
    }
}

fn body_of(kind: u8, fields: &Value) -> Result<Body, Fault> {
    // The fields are compared with what is read of them, like everything in a file.
    fn read<T: serde::de::DeserializeOwned + Serialize>(fields: &Value) -> Result<T, Fault> {
        let read: T = serde_json::from_value(fields.clone()).map_err(|error| error.to_string())?;
        super::file::same(&read, fields)?;
        Ok(read)
    }
    let target = |Bytes(id): B16| ContentId(id);
    Ok(match kind {
        1 => {
            let Text { reply_to, text } = read(fields)?;
            Body::Text { reply_to: (reply_to.0 != [0; 16]).then_some(target(reply_to)), text }
        }
        2 => {
            let Edit { target: of, rev, text } = read(fields)?;
            Body::Edit { target: target(of), rev, text }
        }
        3 => Body::Remove { target: target(read::<Remove>(fields)?.target) },
        4 => read::<Attached>(fields)?.body()?,
        5 => {
            let Signal { call_id, sub, expires_ms, payload } = read(fields)?;
            let all = [CallKind::Offer, CallKind::Answer, CallKind::Ice, CallKind::End];
            let kind = all.into_iter().find(|kind| *kind as u8 == sub).ok_or("no sub")?;
            Body::Call(Call { call_id: call_id.0, kind, expires_ms, payload: payload.0 })
        }
        6 => {
            let Receipt { receipt, ids } = read(fields)?;
            let all = [ReceiptKind::Delivered, ReceiptKind::Read];
            let kind = all.into_iter().find(|kind| *kind as u8 == receipt).ok_or("no receipt")?;
            Body::Receipt { kind, of: ids.into_iter().map(target).collect() }
        }
        7 => {
            let Sync { sub, data } = read(fields)?;
            let kind = SyncKind::from_number(sub).ok_or("no sub")?;
            Body::SelfSync { kind, payload: data.0 }
        }
        8 => match read::<Typing>(fields)?.on {
            0 => Body::Typing { on: false },
            1 => Body::Typing { on: true },
            on => return Err(format!("typing is {on}")),
        },
        9 => {
            let Reaction { target: of, reaction } = read(fields)?;
            Body::Reaction { target: target(of), symbol: reaction }
        }
        10 => Body::Timer { seconds: read::<Timer>(fields)?.seconds },
        11 => {
            let Batch { items } = read(fields)?;
            let item = |item: BatchItem| {
                let id = target(item.content_id);
                Ok::<_, Fault>(Item { id, body: body_of(item.kind, &item.fields)? })
            };
            Body::Batch(items.into_iter().map(item).collect::<Result<_, _>>()?)
        }
        12 => Body::Profile { name: read::<Profile>(fields)?.display_name },
        _ => return Err(format!("type {kind}")),
    })
}

macro_rules! fields {
    ($($name:ident { $($field:ident: $type:ty),+ })+) => {
        $(
            #[derive(Clone, Debug, Deserialize, Serialize)]
            #[serde(deny_unknown_fields)]
            pub(super) struct $name { $(pub(super) $field: $type),+ }
        )+
    };
}

fields! {
    Text { reply_to: B16, text: String }
    Edit { target: B16, rev: u16, text: String }
    Remove { target: B16 }
    Attached {
        mime: String, file_name: String, size: u64, ct_size: u64, blob: B16, key: B32,
        hdr: Bytes<24>, ct_hash: B32, thumbnail: Hex
    }
    Signal { call_id: B16, sub: u8, expires_ms: u64, payload: Hex }
    Receipt { receipt: u8, ids: Vec<B16> }
    Sync { sub: u8, data: Hex }
    Typing { on: u8 }
    Reaction { target: B16, reaction: String }
    Timer { seconds: u32 }
    Batch { items: Vec<BatchItem> }
    Profile { display_name: String }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchItem {
    pub(super) content_id: B16,
    #[serde(rename = "type")]
    pub(super) kind: u8,
    pub(super) fields: Value,
}

impl Attached {
    fn body(self) -> Result<Body, Fault> {
        if ct_size(self.size) != Some(self.ct_size) {
            return Err(format!("a file of {} bytes has another ct_size", self.size));
        }
        Ok(Body::File(Box::new(FileContent {
            mime: self.mime,
            name: self.file_name,
            size: self.size,
            blob: self.blob.0,
            key: FileKey::new(self.key.0, self.hdr.0, self.ct_hash.0),
            thumbnail: self.thumbnail.0,
        })))
    }
}

/// Kind `contents`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct ContentMade {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) said: Said,
}

impl Case for ContentMade {
    const KIND: &'static str = "contents";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        if self.said.class_and_lane()? != self.said.content()?.body.class_and_lane() {
            return Err("the type has another class and lane".to_owned());
        }
        Ok(Self { said: self.said.made()?, ..self.clone() })
    }
}

/// Kind `contents-refused`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContentRefused {
    pub(super) name: String,
    pub(super) class: u8,
    pub(super) lane: u8,
    pub(super) roster: usize,
    pub(super) padded: Hex,
    pub(super) verdict: String,
}

impl Case for ContentRefused {
    const KIND: &'static str = "contents-refused";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let class = Class::from_pair(self.class, self.lane);
        let class = class.ok_or("a class and lane that no header has")?;
        let verdict = if PADDED.contains(&self.padded.0.len()) {
            match Content::parse(&self.padded.0, class, self.lane) {
                Err(_) => "BAD_CONTENT",
                Ok(Received::UnknownType(_) | Received::Mismatch(_)) => "DROP",
                Ok(Received::Content(Content { seen, .. }))
                    if !seen.is_empty() && seen.len() != self.roster =>
                {
                    "BAD_CONTENT"
                }
                Ok(Received::Content(_)) => return Err("it is a content".to_owned()),
            }
        } else {
            // Refused with the message: no ciphertext has such a size.
            "BAD_CONTENT"
        };
        Ok(Self { verdict: verdict.to_owned(), ..self.clone() })
    }
}

/// Kind `paddings`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Padding {
    pub(super) name: String,
    pub(super) content_len: usize,
    pub(super) padded_len: Option<usize>,
}

impl Case for Padding {
    const KIND: &'static str = "paddings";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let padded_len = PADDED.into_iter().find(|size| *size >= self.content_len);
        // A text is as long as it is made: the smallest content with one has 53 bytes, and the
        // largest counts all of 16 devices.
        let seen = if self.content_len > 256 { vec![0; 16] } else { Vec::new() };
        let rest = self.content_len.checked_sub(CONTENT_OVERHEAD + 16 + 4 * seen.len());
        if let Some(rest) = rest {
            let body = Body::Text { reply_to: None, text: "x".repeat(rest) };
            let id = ContentId([1; 16]);
            let content = Content { id, sent_ms: 0, prev_sent: 0, seen, body };
            if content.to_padded().ok().map(|padded| padded.len()) != padded_len {
                return Err("a text of this size is padded otherwise".to_owned());
            }
        }
        Ok(Self { padded_len, ..self.clone() })
    }
}
