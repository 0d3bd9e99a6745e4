//! What one connection does: how it opens, what it sends in which pieces, how it ends. Made from a
//! seed and a number alone, given the world, so that it can be made again.

use hushwire_wire::Encoding;

use crate::dice::Dice;
use crate::world::World;
use crate::{frames, heads};

/// More than the parts of any connection.
const PARTS: u64 = 32;

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// With nothing but TCP.
    Raw,
    /// After a correct upgrade.
    Upgraded(Encoding),
    /// After a correct `hello` of the person of this number.
    SignedIn(Encoding, usize),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// This side says that it will send no more, and reads to the end.
    Shut,
    /// It waits for a moment first.
    Late,
    /// It is cut at once, with whatever is under way.
    Cut,
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) opening: Opening,
    /// Frames or requests, each possibly malformed.
    pub(crate) parts: Vec<Vec<u8>>,
    /// The length of the pieces in which they are written; 0 for all at once.
    pub(crate) piece: usize,
    pub(crate) ending: Ending,
}

impl Script {
    /// The connection of this number under `seed`.
    pub(crate) fn make(seed: u64, index: u64, world: &World) -> Self {
        let mut dice = Dice::new(seed, index);
        let encoding = Encoding::ALL[dice.below(Encoding::ALL.len())];
        let person = dice.below(world.pairs.len() * 2);
        let opening = match dice.below(10) {
            0..4 => Opening::Raw,
            4..6 => Opening::Upgraded(encoding),
            _ => Opening::SignedIn(encoding, person),
        };
        let count = match opening {
            Opening::Raw => dice.between(1, 4),
            Opening::Upgraded(_) => dice.between(1, 3),
            Opening::SignedIn(..) => dice.between(1, 16),
        };
        let parts = (1_u64..)
            .take(count)
            .map(|k| match opening {
                Opening::Raw => heads::request(&mut dice, world, person),
                Opening::Upgraded(encoding) | Opening::SignedIn(encoding, _) => {
                    frames::frames(&mut dice, world, person, encoding, index * PARTS + k)
                }
            })
            .collect();
        let piece = dice.pick([0, 0, 0, 0, 1, 2, 7, 63, 1_000]);
        let ending =
            dice.pick([Ending::Late, Ending::Late, Ending::Late, Ending::Shut, Ending::Cut]);
        Self { opening, parts, piece, ending }
    }

    /// Only the parts with these numbers.
    pub(crate) fn only(&self, keep: &[usize]) -> Self {
        let parts = keep.iter().filter_map(|k| self.parts.get(*k).cloned()).collect();
        Self { parts, ..self.clone() }
    }

    /// All bytes that are sent after the opening.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.parts.concat()
    }

    /// The pieces in which they are written.
    pub(crate) fn pieces<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        // Not more than so many, or tiny pieces of much would take for ever.
        let least = bytes.len().div_ceil(200).max(1);
        let size = if self.piece == 0 { bytes.len().max(1) } else { self.piece.max(least) };
        bytes.chunks(size)
    }
}
