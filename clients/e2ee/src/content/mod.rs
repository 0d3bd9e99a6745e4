//! What stands inside a message (CRYPTO 6 and 7): the common layout, and all types of CRYPTO 7.
//!
//! Types that are not known here are told apart from broken ones, so that a client can drop and
//! count them. A content's type must fit the class and lane outside, and its size its type. This
//! module knows layouts only: who may edit or remove what is for the client to say. `Debug` shows
//! no content.

use std::fmt;

use hushwire_identity::epoch::ROSTER_MAX;
use hushwire_wire::layout::{LayoutError, Reader, Writer};
use hushwire_wire::message::{Class, PADDED};
use zeroize::Zeroizing;

mod body;
pub mod call;
mod file;
mod reaction;
mod receipt;
mod sync;
#[cfg(test)]
mod tests;
mod text;

pub use body::Body;
pub use call::{Call, CallKind};
pub use file::{FileContent, THUMBNAIL_MAX};
pub use reaction::{REACTION_MAX, first_grapheme, is_reaction};
pub use receipt::{RECEIPT_IDS_MAX, ReceiptKind};
pub use sync::SyncKind;
pub use text::{BATCH_MAX, EDIT_MAX, Item, NAME_MAX, TEXT_MAX};

/// The size of the common layout with an empty body, less 4 bytes for each roster device in
/// `seen`.
pub const CONTENT_OVERHEAD: usize = 37;
/// The largest padded content in bytes of receipts, removals, reactions, timers and profiles.
pub const SMALL_MAX: usize = 512;
/// The largest padded content in bytes of a call signal.
pub const CALL_MAX: usize = 16_384;
/// The largest padded content in bytes of a typing signal.
pub const TYPING_MAX: usize = 256;
/// The largest padded content in bytes of all else.
pub const CONTENT_MAX: usize = 65_536;

/// The logical id of a content: the same when it is encrypted again. 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentId(pub [u8; 16]);

impl ContentId {
    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "ContentId({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// What one device says once: the common layout of CRYPTO 6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The logical id.
    pub id: ContentId,
    /// When it was sent, by the sender's clock, in milliseconds since 1970.
    pub sent_ms: u64,
    /// Lane-0 messages that this device sent in the previous epoch.
    pub prev_sent: u32,
    /// For each roster device, the lane-0 messages received from it in this epoch without a gap
    /// ([`crate::EpochState::seen`]); or empty.
    pub seen: Vec<u32>,
    /// What it says.
    pub body: Body,
}

/// The content of an authentic message. All but the first are dropped silently and counted
/// (CRYPTO 7); their counter is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A content whose type fits class and lane.
    Content(Content),
    /// A type, or a self-sync of a kind, that is not known here.
    UnknownType(u8),
    /// A known type that does not fit class and lane, a file of another size than its class, or a
    /// self-sync from another user.
    Mismatch(u8),
}

/// A content cannot be written, or is not laid out as its type demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Not laid out as it should be.
    #[error("the layout is broken")]
    Layout(#[from] LayoutError),
    /// Longer than its padding or its class allows, or too many parts, or none.
    #[error("the content has a size that is not allowed")]
    Size,
    /// The type does not fit class and lane.
    #[error("the type does not fit class, lane or pair")]
    Pairing,
}

impl Content {
    /// The layout, zero-filled to the smallest size of [`PADDED`].
    ///
    /// # Errors
    /// [`ContentError::Size`] for a body past one of its limits or its type's, a reaction that is
    /// not one grapheme, and for more than 16 counts in `seen`; [`ContentError::Layout`] for a body that no reader would take.
    pub fn to_padded(&self) -> Result<Zeroizing<Vec<u8>>, ContentError> {
        self.body.check_sent()?;
        self.lay_out()
    }

    /// As [`Self::to_padded`], for all that a reader takes.
    pub(crate) fn lay_out(&self) -> Result<Zeroizing<Vec<u8>>, ContentError> {
        let body = self.body.to_bytes()?;
        let m = u8::try_from(self.seen.len()).map_err(|_| ContentError::Size)?;
        if self.seen.len() > ROSTER_MAX {
            return Err(ContentError::Size);
        }
        self.body.check(self.sent_ms)?;
        let len = CONTENT_OVERHEAD + 4 * self.seen.len() + body.len();
        let size = PADDED.into_iter().find(|size| *size >= len).ok_or(ContentError::Size)?;
        if size > self.body.padded_max() {
            return Err(ContentError::Size);
        }
        let mut w = Writer::with_capacity(size);
        w.u8(1).u8(self.body.kind()).u16(0).raw(&self.id.0).u64(self.sent_ms).u32(self.prev_sent);
        w.u8(m);
        for count in &self.seen {
            w.u32(*count);
        }
        w.v32(&body);
        let mut out = Zeroizing::new(w.finish());
        out.resize(size, 0);
        Ok(out)
    }

    /// Reads a padded content that came in a message of this class and lane.
    ///
    /// # Errors
    /// [`ContentError::Layout`] for another version, padding that is not zero, a known type whose
    /// body is not laid out as it should be; [`ContentError::Size`] for more padded bytes than
    /// the type may have.
    pub fn parse(padded: &[u8], class: Class, lane: u8) -> Result<Received, ContentError> {
        let mut r = Reader::new(padded);
        if r.u8("content.ver")? != 1 {
            return Err(LayoutError::new("content.ver", "1").into());
        }
        let kind = r.u8("content.type")?;
        if r.u16("content.zero")? != 0 {
            return Err(LayoutError::new("content.zero", "0").into());
        }
        let id = ContentId(r.array("content.id")?);
        let sent_ms = r.u64("content.sent_ms")?;
        let prev_sent = r.u32("content.prev_sent")?;
        let m = usize::from(r.u8("content.m")?);
        if m > ROSTER_MAX {
            return Err(LayoutError::new("content.m", "at most 16").into());
        }
        let seen = (0..m).map(|_| r.u32("content.seen")).collect::<Result<Vec<_>, _>>()?;
        let body = r.v32("content.body")?;
        if r.rest().iter().any(|byte| *byte != 0) {
            return Err(LayoutError::new("content", "zeros after the body").into());
        }
        let Some(body) = Body::parse(kind, body)? else { return Ok(Received::UnknownType(kind)) };
        if body.class_and_lane() != (class, lane) {
            return Ok(Received::Mismatch(kind));
        }
        if padded.len() > body.padded_max() {
            return Err(ContentError::Size);
        }
        body.check(sent_ms)?;
        Ok(Received::Content(Self { id, sent_ms, prev_sent, seen, body }))
    }
}
