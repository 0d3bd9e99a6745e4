//! Words: texts, the batch that holds several of them or reactions, and profile names.

use std::fmt;

use hushwire_identity::epoch::ROSTER_MAX;
use hushwire_wire::layout::{LayoutError, Reader, Writer};

use super::body::{REACTION, TEXT, utf8};
use super::{Body, CONTENT_MAX, CONTENT_OVERHEAD, ContentError, ContentId};

/// The longest text in bytes, whatever the roster: what is left of 65,536 bytes.
pub const TEXT_MAX: usize = CONTENT_MAX - CONTENT_OVERHEAD - 4 * ROSTER_MAX - 16;
/// The longest text of an edit in bytes: its number takes two.
pub const EDIT_MAX: usize = TEXT_MAX - 2;
/// The longest profile name in bytes.
pub const NAME_MAX: usize = 255;
/// The most items in one batch.
pub const BATCH_MAX: usize = 16;

/// One part of a batch: a content of its own, which only travels with others.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    /// Its own logical id.
    pub id: ContentId,
    /// A [`Body::Text`] or a [`Body::Reaction`].
    pub body: Body,
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Item({:?}, {:?})", self.id, self.body)
    }
}

pub(super) fn write_text(
    w: &mut Writer,
    reply_to: Option<ContentId>,
    text: &str,
) -> Result<(), ContentError> {
    if text.len() > TEXT_MAX {
        return Err(ContentError::Size);
    }
    w.raw(&reply_to.map_or([0; 16], |id| id.0)).raw(text.as_bytes());
    Ok(())
}

pub(super) fn read_text(r: &mut Reader<'_>) -> Result<(Option<ContentId>, String), LayoutError> {
    let reply_to = ContentId(r.array("text.reply_to")?);
    let text = utf8(r.take(r.rest().len(), "text")?, "text")?;
    Ok(((reply_to.0 != [0; 16]).then_some(reply_to), text))
}

pub(super) fn write_name(w: &mut Writer, name: &str) -> Result<(), ContentError> {
    if name.len() > NAME_MAX {
        return Err(ContentError::Size);
    }
    w.v8(name.as_bytes());
    Ok(())
}

pub(super) fn read_name(r: &mut Reader<'_>) -> Result<String, LayoutError> {
    utf8(r.v8("profile.name")?, "profile.name")
}

pub(super) fn write_batch(w: &mut Writer, items: &[Item]) -> Result<(), ContentError> {
    let n = u8::try_from(items.len()).map_err(|_| ContentError::Size)?;
    if !(1..=BATCH_MAX).contains(&items.len()) {
        return Err(ContentError::Size);
    }
    w.u8(n);
    for item in items {
        if !matches!(item.body.kind(), TEXT | REACTION) {
            return Err(ContentError::Pairing);
        }
        w.raw(&item.id.0).u8(item.body.kind()).v32(&item.body.to_bytes()?);
    }
    Ok(())
}

pub(super) fn read_batch(r: &mut Reader<'_>) -> Result<Vec<Item>, LayoutError> {
    let n = usize::from(r.u8("batch.n")?);
    if !(1..=BATCH_MAX).contains(&n) {
        return Err(LayoutError::new("batch.n", "1 to 16"));
    }
    let mut items = Vec::with_capacity(n);
    for _ in 0..n {
        let id = ContentId(r.array("batch.content_id")?);
        let kind = r.u8("batch.type")?;
        let body = r.v32("batch.body")?;
        let body = match kind {
            TEXT | REACTION => Body::parse(kind, body)?,
            _ => None,
        };
        let body = body.ok_or(LayoutError::new("batch.type", "1 or 9"))?;
        items.push(Item { id, body });
    }
    Ok(items)
}
