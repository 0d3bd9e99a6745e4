//! The types of CRYPTO 7: their numbers, the class and lane and size of each, and which file reads
//! and writes it.

use std::fmt;

use hushwire_wire::layout::{LayoutError, Reader, Writer};
use hushwire_wire::message::{Class, LANE_DURABLE, LANE_EPHEMERAL};
use zeroize::Zeroizing;

use super::call::Call;
use super::file::FileContent;
use super::reaction::{is_reaction, read_reaction, write_reaction};
use super::receipt::{ReceiptKind, read_receipt, write_receipt};
use super::sync::SyncKind;
use super::text::{Item, read_batch, read_name, read_text, write_batch, write_name, write_text};
use super::{CALL_MAX, CONTENT_MAX, ContentError, ContentId, SMALL_MAX, TYPING_MAX};

pub(super) const TEXT: u8 = 1;
const EDIT: u8 = 2;
const REMOVE: u8 = 3;
const FILE: u8 = 4;
const CALL: u8 = 5;
const RECEIPT: u8 = 6;
const SELF_SYNC: u8 = 7;
const TYPING: u8 = 8;
pub(super) const REACTION: u8 = 9;
const TIMER: u8 = 10;
const BATCH: u8 = 11;
const PROFILE: u8 = 12;

/// What a content says.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// Type 1, class 1, lane 0.
    Text {
        /// The content that it answers.
        reply_to: Option<ContentId>,
        /// The words: at most [`super::TEXT_MAX`] bytes.
        text: String,
    },
    /// Type 2, class 2, lane 0: other words for an own text. Only its author's user may.
    Edit {
        /// The text that is edited.
        target: ContentId,
        /// The highest wins, and among equal ones the lower device id. The text itself has 0.
        rev: u16,
        /// The new words: at most [`super::EDIT_MAX`] bytes.
        text: String,
    },
    /// Type 3, class 3, lane 0: takes an own content back. Only its author's user may.
    Remove {
        /// The content that is removed.
        target: ContentId,
    },
    /// Type 4, class 4, 5 or 6 by its size, lane 0.
    File(Box<FileContent>),
    /// Type 5, class 16, lane 1.
    Call(Call),
    /// Type 6, class 17, lane 0.
    Receipt {
        /// Which confirmation.
        kind: ReceiptKind,
        /// Of which contents: 1 to [`super::RECEIPT_IDS_MAX`].
        of: Vec<ContentId>,
    },
    /// Type 7, class 17, lane 0, only in a self-pair: what a user's own devices tell each other.
    SelfSync {
        /// What it is about.
        kind: SyncKind,
        /// Opaque here. What fits [`CONTENT_MAX`] bytes of padded content.
        payload: Vec<u8>,
    },
    /// Type 8, class 17, lane 1.
    Typing {
        /// Whether the user is typing now.
        on: bool,
    },
    /// Type 9, class 18, lane 0.
    Reaction {
        /// The content that is reacted to.
        target: ContentId,
        /// One grapheme of at most [`super::REACTION_MAX`] bytes, or empty to take it back.
        symbol: String,
    },
    /// Type 10, class 18, lane 0: how long messages of both are kept from now on.
    Timer {
        /// In seconds; 0 is off.
        seconds: u32,
    },
    /// Type 11, class 1, lane 0: 1 to [`super::BATCH_MAX`] texts and reactions, charged as one
    /// text.
    Batch(Vec<Item>),
    /// Type 12, class 17, lane 0: the name that the user wants to be shown under.
    Profile {
        /// At most [`super::NAME_MAX`] bytes.
        name: String,
    },
}

impl Body {
    /// The content's type (CRYPTO 7).
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Text { .. } => TEXT,
            Self::Edit { .. } => EDIT,
            Self::Remove { .. } => REMOVE,
            Self::File(_) => FILE,
            Self::Call(_) => CALL,
            Self::Receipt { .. } => RECEIPT,
            Self::SelfSync { .. } => SELF_SYNC,
            Self::Typing { .. } => TYPING,
            Self::Reaction { .. } => REACTION,
            Self::Timer { .. } => TIMER,
            Self::Batch(_) => BATCH,
            Self::Profile { .. } => PROFILE,
        }
    }

    /// The class and lane that it travels in.
    #[must_use]
    pub const fn class_and_lane(&self) -> (Class, u8) {
        match self {
            Self::Text { .. } | Self::Batch(_) => (Class::Text, LANE_DURABLE),
            Self::Edit { .. } => (Class::Edit, LANE_DURABLE),
            Self::Remove { .. } => (Class::Remove, LANE_DURABLE),
            Self::File(file) => (file.class(), LANE_DURABLE),
            Self::Call(_) => (Class::Call, LANE_EPHEMERAL),
            Self::Receipt { .. } | Self::SelfSync { .. } | Self::Profile { .. } => {
                (Class::Control, LANE_DURABLE)
            }
            Self::Typing { .. } => (Class::Control, LANE_EPHEMERAL),
            Self::Reaction { .. } | Self::Timer { .. } => (Class::Reaction, LANE_DURABLE),
        }
    }

    /// Whether it may stand in a self-pair (`true`) or in a pair of two users (`false`). A
    /// client drops what is not: another user's self-sync would speak for the own devices.
    #[must_use]
    pub const fn fits_pair(&self, self_pair: bool) -> bool {
        self_pair || !matches!(self, Self::SelfSync { .. })
    }

    /// The largest padded content in bytes that holds it, whatever the roster.
    #[must_use]
    pub const fn padded_max(&self) -> usize {
        match self {
            Self::Remove { .. }
            | Self::Receipt { .. }
            | Self::Reaction { .. }
            | Self::Timer { .. }
            | Self::Profile { .. } => SMALL_MAX,
            Self::Typing { .. } => TYPING_MAX,
            Self::Call(_) => CALL_MAX,
            Self::Text { .. }
            | Self::Edit { .. }
            | Self::File(_)
            | Self::SelfSync { .. }
            | Self::Batch(_) => CONTENT_MAX,
        }
    }

    /// What a sender owes beside the layout.
    pub(super) fn check_sent(&self) -> Result<(), ContentError> {
        match self {
            Self::Reaction { symbol, .. } if !is_reaction(symbol) => Err(ContentError::Size),
            Self::Batch(items) => items.iter().try_for_each(|item| item.body.check_sent()),
            _ => Ok(()),
        }
    }

    /// What a body owes to the layout around it.
    pub(super) fn check(&self, sent_ms: u64) -> Result<(), LayoutError> {
        match self {
            Self::Call(call) => call.check(sent_ms),
            _ => Ok(()),
        }
    }

    pub(super) fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, ContentError> {
        let mut w = Writer::default();
        match self {
            Self::Text { reply_to, text } => write_text(&mut w, *reply_to, text)?,
            Self::Edit { target, rev, text } => {
                if text.len() > super::EDIT_MAX {
                    return Err(ContentError::Size);
                }
                w.raw(&target.0).u16(*rev).raw(text.as_bytes());
            }
            Self::Remove { target } => {
                w.raw(&target.0);
            }
            Self::File(file) => file.write(&mut w)?,
            Self::Call(call) => call.write(&mut w)?,
            Self::Receipt { kind, of } => write_receipt(&mut w, *kind, of)?,
            Self::SelfSync { kind, payload } => {
                w.u8(*kind as u8).v32(payload);
            }
            Self::Typing { on } => {
                w.u8(u8::from(*on));
            }
            Self::Reaction { target, symbol } => write_reaction(&mut w, *target, symbol)?,
            Self::Timer { seconds } => {
                w.u32(*seconds);
            }
            Self::Batch(items) => write_batch(&mut w, items)?,
            Self::Profile { name } => write_name(&mut w, name)?,
        }
        Ok(Zeroizing::new(w.finish()))
    }

    /// `None` for a type, or a kind of self-sync, that is not known here.
    pub(super) fn parse(kind: u8, body: &[u8]) -> Result<Option<Self>, LayoutError> {
        let mut r = Reader::new(body);
        let body = match kind {
            TEXT => {
                let (reply_to, text) = read_text(&mut r)?;
                Self::Text { reply_to, text }
            }
            EDIT => Self::Edit {
                target: ContentId(r.array("edit.target")?),
                rev: r.u16("edit.rev")?,
                text: utf8(r.take(r.rest().len(), "edit")?, "edit")?,
            },
            REMOVE => Self::Remove { target: ContentId(r.array("remove.target")?) },
            FILE => Self::File(Box::new(FileContent::read(&mut r)?)),
            CALL => Self::Call(Call::read(&mut r)?),
            RECEIPT => {
                let (kind, of) = read_receipt(&mut r)?;
                Self::Receipt { kind, of }
            }
            SELF_SYNC => {
                let sub = r.u8("self_sync.sub")?;
                let payload = r.v32("self_sync.payload")?.to_vec();
                let Some(kind) = SyncKind::from_number(sub) else { return Ok(None) };
                Self::SelfSync { kind, payload }
            }
            TYPING => Self::Typing { on: flag(&mut r)? },
            REACTION => {
                let (target, symbol) = read_reaction(&mut r)?;
                Self::Reaction { target, symbol }
            }
            TIMER => Self::Timer { seconds: r.u32("timer.seconds")? },
            BATCH => Self::Batch(read_batch(&mut r)?),
            PROFILE => Self::Profile { name: read_name(&mut r)? },
            _ => return Ok(None),
        };
        r.finish("content.body")?;
        Ok(Some(body))
    }
}

/// The words of a field.
pub(super) fn utf8(bytes: &[u8], field: &'static str) -> Result<String, LayoutError> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| LayoutError::new(field, "UTF-8"))
}

fn flag(r: &mut Reader<'_>) -> Result<bool, LayoutError> {
    match r.u8("typing.on")? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(LayoutError::new("typing.on", "0 or 1")),
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { .. } => f.write_str("Text(..)"),
            Self::Edit { rev, .. } => write!(f, "Edit(rev {rev}, ..)"),
            Self::Remove { .. } => f.write_str("Remove(..)"),
            Self::File(file) => file.fmt(f),
            Self::Call(call) => call.fmt(f),
            Self::Receipt { kind, .. } => write!(f, "Receipt({kind:?}, ..)"),
            Self::SelfSync { kind, .. } => write!(f, "SelfSync({kind:?}, ..)"),
            Self::Typing { on } => write!(f, "Typing({on})"),
            Self::Reaction { .. } => f.write_str("Reaction(..)"),
            Self::Timer { .. } => f.write_str("Timer(..)"),
            Self::Batch(items) => write!(f, "Batch({} items)", items.len()),
            Self::Profile { .. } => f.write_str("Profile(..)"),
        }
    }
}
