//! Safety numbers (CRYPTO 8): what two people compare to know that nobody stands between them.
//!
//! A number covers genesis and current head of both logs, so it changes with every device. People
//! compare only when both see the same two entry numbers beside it.

use std::fmt;

use crate::digits;
use crate::hash::{Label, hash64};
use crate::point::LogPoint;

/// Twelve groups of five digits. `Display` prints them with single spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SafetyNumber([u32; 12]);

impl SafetyNumber {
    /// The groups, each below 100,000.
    #[must_use]
    pub const fn groups(&self) -> &[u32; 12] {
        &self.0
    }
}

impl fmt::Display for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        digits::write(f, &self.0)
    }
}

/// The number of two log points. Both people get the same, whoever's comes first.
#[must_use]
pub fn safety_number(one: &LogPoint, other: &LogPoint) -> SafetyNumber {
    let (a, b) = (one.to_bytes(), other.to_bytes());
    let (smaller, larger) = if a <= b { (a, b) } else { (b, a) };
    let hash = hash64(Label::Sn, &[&smaller, &larger]);
    SafetyNumber(digits::groups(&hash))
}

#[cfg(test)]
mod tests {
    use hushwire_wire::UserId;

    use super::*;
    use crate::point::Head;

    #[test]
    fn both_sides_see_the_same_and_any_change_shows() {
        let a = LogPoint { user: UserId([1; 32]), seq: 0, head: Head([1; 32]) };
        let b = LogPoint { user: UserId([2; 32]), seq: 3, head: Head([9; 32]) };
        let number = safety_number(&a, &b);
        assert_eq!(number, safety_number(&b, &a));
        assert_ne!(number, safety_number(&a, &LogPoint { seq: 4, ..b }));
        assert_ne!(number, safety_number(&a, &LogPoint { head: Head([8; 32]), ..b }));
        let text = number.to_string();
        assert_eq!(text.len(), 12 * 5 + 11);
        assert!(text.split(' ').all(|group| group.len() == 5));
    }
}
