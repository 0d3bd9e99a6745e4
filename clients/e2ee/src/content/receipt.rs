//! Receipts: which contents a user's device has, or the user has seen.

use hushwire_identity::epoch::ROSTER_MAX;
use hushwire_wire::layout::{LayoutError, Reader, Writer};

use super::{CONTENT_OVERHEAD, ContentError, ContentId, SMALL_MAX};

/// Content ids in one receipt, at most: as many as 512 bytes hold in the largest roster.
pub const RECEIPT_IDS_MAX: usize = (SMALL_MAX - CONTENT_OVERHEAD - 4 * ROSTER_MAX - 3) / 16;

/// What a receipt confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ReceiptKind {
    /// A device of the user has it.
    Delivered = 1,
    /// The user has seen it.
    Read = 2,
}

pub(super) fn write_receipt(
    w: &mut Writer,
    kind: ReceiptKind,
    of: &[ContentId],
) -> Result<(), ContentError> {
    let n = u16::try_from(of.len()).map_err(|_| ContentError::Size)?;
    if !(1..=RECEIPT_IDS_MAX).contains(&of.len()) {
        return Err(ContentError::Size);
    }
    w.u8(kind as u8).u16(n);
    for id in of {
        w.raw(&id.0);
    }
    Ok(())
}

pub(super) fn read_receipt(
    r: &mut Reader<'_>,
) -> Result<(ReceiptKind, Vec<ContentId>), LayoutError> {
    let kind = match r.u8("receipt.kind")? {
        1 => ReceiptKind::Delivered,
        2 => ReceiptKind::Read,
        _ => return Err(LayoutError::new("receipt.kind", "1 or 2")),
    };
    let n = usize::from(r.u16("receipt.n")?);
    if !(1..=RECEIPT_IDS_MAX).contains(&n) {
        return Err(LayoutError::new("receipt.n", "1 to 25"));
    }
    let of = (0..n).map(|_| r.array("receipt.ids").map(ContentId)).collect::<Result<_, _>>()?;
    Ok((kind, of))
}
