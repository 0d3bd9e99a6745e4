//! Seeded dice: the same seed gives the same files.

use hushwire_identity::hash::{Label, hash};

use crate::random::{Random, RandomError};
use crate::vectors::bytes::{Bytes, Hex};

/// When the vectors play, in milliseconds since 1970.
pub(in crate::vectors) const START_MS: u64 = 1_800_000_000_000;
/// A day in milliseconds.
pub(in crate::vectors) const DAY_MS: u64 = 86_400_000;

#[derive(Clone, Debug)]
pub(in crate::vectors) struct Dice {
    seed: u64,
    count: u64,
}

impl Dice {
    pub(in crate::vectors) const fn new(seed: u64) -> Self {
        Self { seed, count: 0 }
    }

    pub(in crate::vectors) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        for chunk in out.chunks_mut(32) {
            self.count += 1;
            let parts = [self.seed.to_be_bytes(), self.count.to_be_bytes()];
            let block = hash(Label::Recovery, &[&parts[0], &parts[1]]);
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        out
    }

    pub(in crate::vectors) fn bytes<const N: usize>(&mut self) -> Bytes<N> {
        Bytes(self.array())
    }

    pub(in crate::vectors) fn hex(&mut self, len: usize) -> Hex {
        Hex((0..len).map(|_| self.array::<1>()[0]).collect())
    }

    /// A number below `end`.
    pub(in crate::vectors) fn below(&mut self, end: usize) -> usize {
        let number = u64::from_be_bytes(self.array()) % u64::try_from(end).unwrap();
        usize::try_from(number).unwrap()
    }

    pub(in crate::vectors) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(in crate::vectors) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// A time after `ms`, by less than a minute.
    pub(in crate::vectors) fn later(&mut self, ms: u64) -> u64 {
        ms + 1 + u64::from(u16::from_be_bytes(self.array()))
    }

    /// A few words, some of them not in ASCII.
    pub(in crate::vectors) fn words(&mut self) -> String {
        let words =
            ["slow", "river", "Straße", "никто", "雨", "\u{1f994}", "e\u{301}te", "tea", "", "\n"];
        let count = 1 + self.below(9);
        (0..count).map(|_| *self.pick(&words)).collect::<Vec<_>>().join(" ")
    }

    /// `bytes` with one bit changed.
    pub(in crate::vectors) fn flipped(&mut self, bytes: &[u8]) -> Hex {
        let mut bytes = bytes.to_vec();
        let at = self.below(8 * bytes.len());
        bytes[at / 8] ^= 1 << (at % 8);
        Hex(bytes)
    }

    /// A username.
    pub(in crate::vectors) fn handle(&mut self) -> String {
        let letters: Vec<char> = "abcdefghijklmnopqrstuvwxyz0123456789_.".chars().collect();
        let count = 3 + self.below(30);
        (0..count).map(|_| *self.pick(&letters)).collect()
    }
}

impl Random for Dice {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        out.copy_from_slice(&self.hex(out.len()).0);
        Ok(())
    }
}
