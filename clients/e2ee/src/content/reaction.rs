//! Reactions: one grapheme beside another's words. That it is one is the sender's duty, since what
//! a grapheme is depends on the version of Unicode; a recipient shows the first.

use hushwire_wire::layout::{LayoutError, Reader, Writer};
use unicode_segmentation::UnicodeSegmentation;

use super::{ContentError, ContentId};

/// The longest reaction in bytes. The longest emoji of Unicode (a couple with skin tones, a flag
/// of a region) has 35; but a grapheme can carry combining marks without end, and without a bound
/// "one grapheme" would be a way to put a text, or a tower of marks, beside another's words.
pub const REACTION_MAX: usize = 64;

/// Whether `symbol` can be a reaction: one grapheme of at most [`REACTION_MAX`] bytes, or empty,
/// which takes a reaction back.
#[must_use]
pub fn is_reaction(symbol: &str) -> bool {
    symbol.len() <= REACTION_MAX && symbol.graphemes(true).nth(1).is_none()
}

/// The part of a received reaction that is shown.
#[must_use]
pub fn first_grapheme(symbol: &str) -> &str {
    symbol.graphemes(true).next().unwrap_or_default()
}

pub(super) fn write_reaction(
    w: &mut Writer,
    target: ContentId,
    symbol: &str,
) -> Result<(), ContentError> {
    if symbol.len() > REACTION_MAX {
        return Err(ContentError::Size);
    }
    w.raw(&target.0).v8(symbol.as_bytes());
    Ok(())
}

pub(super) fn read_reaction(r: &mut Reader<'_>) -> Result<(ContentId, String), LayoutError> {
    let target = ContentId(r.array("reaction.target")?);
    let symbol = super::body::utf8(r.v8("reaction.symbol")?, "reaction.symbol")?;
    if symbol.len() > REACTION_MAX {
        return Err(LayoutError::new("reaction.symbol", "at most 64 bytes"));
    }
    Ok((target, symbol))
}
