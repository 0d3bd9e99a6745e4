//! What stands inside a message (CRYPTO 6 and 7): the common layout, text and receipts.
//!
//! Types that are not known here are told apart from broken ones, so that a client can drop and
//! count them. A content's type must fit the class and lane outside. `Debug` shows no content.

use std::fmt;

use hushwire_identity::epoch::ROSTER_MAX;
use hushwire_wire::layout::{LayoutError, Reader, Writer};
use hushwire_wire::message::{Class, LANE_DURABLE, PADDED};
use zeroize::Zeroizing;

/// The size of the common layout with an empty body, less 4 bytes for each roster device in
/// `seen`.
pub const CONTENT_OVERHEAD: usize = 37;
/// The longest text in bytes, whatever the roster: what is left of 65,536 bytes.
pub const TEXT_MAX: usize = 65_536 - CONTENT_OVERHEAD - 4 * ROSTER_MAX - 16;
/// Content ids in one receipt, at most: as many as 512 bytes hold in the largest roster.
pub const RECEIPT_IDS_MAX: usize = (512 - CONTENT_OVERHEAD - 4 * ROSTER_MAX - 3) / 16;

const TYPE_TEXT: u8 = 1;
const TYPE_RECEIPT: u8 = 6;

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

/// What a receipt confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ReceiptKind {
    /// A device of the user has it.
    Delivered = 1,
    /// The user has seen it.
    Read = 2,
}

/// What a content says.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// Type 1, class 1, lane 0.
    Text {
        /// The content that it answers.
        reply_to: Option<ContentId>,
        /// The words: at most [`TEXT_MAX`] bytes.
        text: String,
    },
    /// Type 6, class 17, lane 0.
    Receipt {
        /// Which confirmation.
        kind: ReceiptKind,
        /// Of which contents: 1 to [`RECEIPT_IDS_MAX`].
        of: Vec<ContentId>,
    },
}

impl Body {
    /// The content's type (CRYPTO 7).
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Text { .. } => TYPE_TEXT,
            Self::Receipt { .. } => TYPE_RECEIPT,
        }
    }

    /// The class and lane that it travels in.
    #[must_use]
    pub const fn class_and_lane(&self) -> (Class, u8) {
        match self {
            Self::Text { .. } => (Class::Text, LANE_DURABLE),
            Self::Receipt { .. } => (Class::Control, LANE_DURABLE),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { .. } => f.write_str("Text(..)"),
            Self::Receipt { kind, .. } => write!(f, "Receipt({kind:?}, ..)"),
        }
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
    /// A type that is not known here.
    UnknownType(u8),
    /// A known type that does not fit class and lane.
    Mismatch(u8),
}

/// A content cannot be written, or is not laid out as its type demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Not laid out as it should be.
    #[error("the layout is broken")]
    Layout(#[source] LayoutError),
    /// Longer than its padding or its class allows, or too many parts, or none.
    #[error("the content has a size that is not allowed")]
    Size,
    /// The type does not fit class and lane.
    #[error("the type does not fit class and lane")]
    Pairing,
}

impl Content {
    /// The layout, zero-filled to the smallest size of [`PADDED`].
    ///
    /// # Errors
    /// [`ContentError::Size`] for a text or a receipt past its limit, a receipt of nothing, or
    /// more than 16 counts in `seen`.
    pub fn to_padded(&self) -> Result<Zeroizing<Vec<u8>>, ContentError> {
        let body = self.body.to_bytes()?;
        let m = u8::try_from(self.seen.len()).map_err(|_| ContentError::Size)?;
        if self.seen.len() > ROSTER_MAX {
            return Err(ContentError::Size);
        }
        let len = CONTENT_OVERHEAD + 4 * self.seen.len() + body.len();
        let size = PADDED.into_iter().find(|size| *size >= len).ok_or(ContentError::Size)?;
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
    /// body is not laid out as it should be; [`ContentError::Size`] for a receipt past its limit.
    pub fn parse(padded: &[u8], class: Class, lane: u8) -> Result<Received, ContentError> {
        Self::read(padded, class, lane).map_err(ContentError::Layout)
    }

    fn read(padded: &[u8], class: Class, lane: u8) -> Result<Received, LayoutError> {
        let mut r = Reader::new(padded);
        if r.u8("content.ver")? != 1 {
            return Err(LayoutError::new("content.ver", "1"));
        }
        let kind = r.u8("content.type")?;
        if r.u16("content.zero")? != 0 {
            return Err(LayoutError::new("content.zero", "0"));
        }
        let id = ContentId(r.array("content.id")?);
        let sent_ms = r.u64("content.sent_ms")?;
        let prev_sent = r.u32("content.prev_sent")?;
        let m = usize::from(r.u8("content.m")?);
        if m > ROSTER_MAX {
            return Err(LayoutError::new("content.m", "at most 16"));
        }
        let seen = (0..m).map(|_| r.u32("content.seen")).collect::<Result<Vec<_>, _>>()?;
        let body = r.v32("content.body")?;
        if r.rest().iter().any(|byte| *byte != 0) {
            return Err(LayoutError::new("content", "zeros after the body"));
        }
        let Some(body) = Body::parse(kind, body)? else { return Ok(Received::UnknownType(kind)) };
        if body.class_and_lane() != (class, lane) {
            return Ok(Received::Mismatch(kind));
        }
        Ok(Received::Content(Self { id, sent_ms, prev_sent, seen, body }))
    }
}

impl Body {
    fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, ContentError> {
        let mut w = Writer::default();
        match self {
            Self::Text { reply_to, text } => {
                if text.len() > TEXT_MAX {
                    return Err(ContentError::Size);
                }
                w = Writer::with_capacity(16 + text.len());
                w.raw(&reply_to.map_or([0; 16], |id| id.0)).raw(text.as_bytes());
            }
            Self::Receipt { kind, of } => {
                if !(1..=RECEIPT_IDS_MAX).contains(&of.len()) {
                    return Err(ContentError::Size);
                }
                let n = u16::try_from(of.len()).map_err(|_| ContentError::Size)?;
                w.u8(*kind as u8).u16(n);
                for id in of {
                    w.raw(&id.0);
                }
            }
        }
        Ok(Zeroizing::new(w.finish()))
    }

    /// `None` for a type that is not known here.
    fn parse(kind: u8, body: &[u8]) -> Result<Option<Self>, LayoutError> {
        let mut r = Reader::new(body);
        match kind {
            TYPE_TEXT => {
                let reply_to = ContentId(r.array("text.reply_to")?);
                let text = std::str::from_utf8(r.rest())
                    .map_err(|_| LayoutError::new("text", "UTF-8"))?
                    .to_owned();
                let reply_to = (reply_to.0 != [0; 16]).then_some(reply_to);
                Ok(Some(Self::Text { reply_to, text }))
            }
            TYPE_RECEIPT => {
                let kind = match r.u8("receipt.kind")? {
                    1 => ReceiptKind::Delivered,
                    2 => ReceiptKind::Read,
                    _ => return Err(LayoutError::new("receipt.kind", "1 or 2")),
                };
                let n = usize::from(r.u16("receipt.n")?);
                if !(1..=RECEIPT_IDS_MAX).contains(&n) {
                    return Err(LayoutError::new("receipt.n", "1 to 25"));
                }
                let of = (0..n)
                    .map(|_| r.array("receipt.ids").map(ContentId))
                    .collect::<Result<Vec<_>, _>>()?;
                r.finish("receipt")?;
                Ok(Some(Self::Receipt { kind, of }))
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Content {
        Content {
            id: ContentId([7; 16]),
            sent_ms: 1,
            prev_sent: 2,
            seen: vec![3; 4],
            body: Body::Text { reply_to: None, text: text.to_owned() },
        }
    }

    fn body() -> impl Strategy<Value = Body> {
        let id = any::<[u8; 16]>().prop_filter("zero is none", |id| *id != [0; 16]);
        let text = (prop::option::of(id.clone().prop_map(ContentId)), ".{0,300}")
            .prop_map(|(reply_to, text)| Body::Text { reply_to, text });
        let kind = prop_oneof![Just(ReceiptKind::Delivered), Just(ReceiptKind::Read)];
        let receipt = (kind, prop::collection::vec(id.prop_map(ContentId), 1..=RECEIPT_IDS_MAX))
            .prop_map(|(kind, of)| Body::Receipt { kind, of });
        prop_oneof![text, receipt]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read_back(
            id: [u8; 16], sent_ms: u64, prev_sent: u32,
            seen in prop::collection::vec(any::<u32>(), 0..=ROSTER_MAX), body in body(),
        ) {
            let content = Content { id: ContentId(id), sent_ms, prev_sent, seen, body };
            let padded = content.to_padded().unwrap();
            prop_assert!(PADDED.contains(&padded.len()));
            let (class, lane) = content.body.class_and_lane();
            prop_assert_eq!(Content::parse(&padded, class, lane), Ok(Received::Content(content)));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Content::parse(&bytes, Class::Text, 0);
            let mut known = vec![1, 1, 0, 0];
            known.extend_from_slice(&bytes);
            let _ = Content::parse(&known, Class::Text, 0);
            known[1] = 6;
            let _ = Content::parse(&known, Class::Control, 0);
        }
    }

    #[test]
    fn padding_takes_the_smallest_size_and_must_be_zero() {
        let fits = 256 - CONTENT_OVERHEAD - 16 - 16;
        assert_eq!(text(&"x".repeat(fits)).to_padded().unwrap().len(), 256);
        assert_eq!(text(&"x".repeat(fits + 1)).to_padded().unwrap().len(), 512);
        assert_eq!(text(&"x".repeat(TEXT_MAX)).to_padded().unwrap().len(), 65_536);
        assert_eq!(text(&"x".repeat(TEXT_MAX + 1)).to_padded(), Err(ContentError::Size));
        let mut padded = text("hello").to_padded().unwrap();
        padded[255] = 1;
        assert!(matches!(
            Content::parse(&padded, Class::Text, 0),
            Err(ContentError::Layout(LayoutError { field: "content", .. }))
        ));
    }

    #[test]
    fn types_must_fit_class_and_lane_and_unknown_ones_are_told_apart() {
        let mut padded = text("hello").to_padded().unwrap();
        assert_eq!(Content::parse(&padded, Class::Edit, 0), Ok(Received::Mismatch(1)));
        assert_eq!(Content::parse(&padded, Class::Control, 0), Ok(Received::Mismatch(1)));
        padded[1] = 200;
        assert_eq!(Content::parse(&padded, Class::Text, 0), Ok(Received::UnknownType(200)));
        padded[0] = 2;
        assert!(Content::parse(&padded, Class::Text, 0).is_err());
    }

    #[test]
    fn receipts_are_bounded_and_stay_small() {
        let receipt = |n| Content {
            seen: vec![0; ROSTER_MAX],
            body: Body::Receipt { kind: ReceiptKind::Read, of: vec![ContentId([1; 16]); n] },
            ..text("")
        };
        assert_eq!(RECEIPT_IDS_MAX, 25);
        assert_eq!(receipt(RECEIPT_IDS_MAX).to_padded().unwrap().len(), 512);
        assert_eq!(receipt(RECEIPT_IDS_MAX + 1).to_padded(), Err(ContentError::Size));
        assert_eq!(receipt(0).to_padded(), Err(ContentError::Size));
    }

    #[test]
    fn broken_bodies_are_refused() {
        let mut padded = text("hello").to_padded().unwrap();
        let at = CONTENT_OVERHEAD + 16 + 16;
        padded[at] = 0xff;
        assert!(Content::parse(&padded, Class::Text, 0).is_err(), "no UTF-8");
        let mut padded = text("hello").to_padded().unwrap();
        padded[33 + 16 + 1] = 0xff;
        assert!(Content::parse(&padded, Class::Text, 0).is_err(), "longer than the padding");
        let mut padded = text("hello").to_padded().unwrap();
        padded[32] = 17;
        assert!(Content::parse(&padded, Class::Text, 0).is_err(), "more counts than devices");
    }

    #[test]
    fn debug_shows_no_content() {
        let shown = format!("{:?}", text("a secret"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
