//! What was sent on a connection and not acknowledged: numbered from 1, messages and notices in
//! one numbering, acknowledged cumulatively (DELIVERY, "Frames").
//!
//! A plain value, bounded by count and bytes; one message may exceed the bytes alone.

use std::collections::VecDeque;

/// The unacknowledged part of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window<T> {
    items: VecDeque<(usize, T)>,
    bytes: usize,
    next: u64,
    most_items: usize,
    most_bytes: usize,
}

/// An acknowledgement of a number that was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a number that was never sent")]
pub struct NeverSent;

impl<T> Window<T> {
    /// Empty, for at most `most_items` and `most_bytes`.
    #[must_use]
    pub const fn new(most_items: usize, most_bytes: usize) -> Self {
        Self { items: VecDeque::new(), bytes: 0, next: 1, most_items, most_bytes }
    }

    /// Whether one more of `size` bytes may be sent.
    #[must_use]
    pub fn has_room(&self, size: usize) -> bool {
        self.items.is_empty()
            || (self.items.len() < self.most_items && self.bytes + size <= self.most_bytes)
    }

    /// How many more may be sent, and how many bytes.
    #[must_use]
    pub fn room(&self) -> (usize, usize) {
        (
            self.most_items.saturating_sub(self.items.len()),
            self.most_bytes.saturating_sub(self.bytes),
        )
    }

    /// Takes an item of `size` bytes, and gives its number.
    pub fn push(&mut self, size: usize, item: T) -> u64 {
        let n = self.next;
        self.next += 1;
        self.bytes += size;
        self.items.push_back((size, item));
        n
    }

    /// Takes out everything up to `n`, with its numbers. A number acknowledged before gives
    /// nothing.
    ///
    /// # Errors
    /// If `n` was never sent; then nothing changes.
    pub fn ack(&mut self, n: u64) -> Result<Vec<(u64, T)>, NeverSent> {
        if n >= self.next {
            return Err(NeverSent);
        }
        let first = self.first();
        let count = usize::try_from((n + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        let count = count.min(self.items.len());
        let bytes = &mut self.bytes;
        let numbered = (first..).zip(self.items.drain(..count));
        let taken = numbered.map(|(n, (size, item))| {
            *bytes -= size;
            (n, item)
        });
        let taken = taken.collect();
        if self.items.is_empty() {
            self.items = VecDeque::new();
        }
        Ok(taken)
    }

    /// Everything, oldest first, with its numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        (self.first()..).zip(self.items.iter().map(|(_, item)| item))
    }

    /// Everything, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut T)> {
        (self.first()..).zip(self.items.iter_mut().map(|(_, item)| item))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing is unacknowledged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn first(&self) -> u64 {
        self.next - self.items.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_fills_by_count_and_by_bytes_and_one_may_exceed() {
        let mut window = Window::new(2, 100);
        assert!(window.has_room(1_000), "one may exceed it alone");
        assert_eq!(window.push(60, 'a'), 1);
        assert!(!window.has_room(41));
        assert_eq!(window.push(40, 'b'), 2);
        assert!(!window.has_room(0));
        assert_eq!(window.room(), (0, 0));
        assert_eq!(window.ack(1), Ok(vec![(1, 'a')]));
        assert_eq!(window.ack(1), Ok(vec![]));
        assert_eq!(window.ack(3), Err(NeverSent));
        assert_eq!(window.iter().collect::<Vec<_>>(), [(2, &'b')]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn each_item_comes_out_once_in_order_with_its_number(
            acts in proptest::collection::vec(prop_oneof![Just(None), (0u64..40).prop_map(Some)], 0..60),
        ) {
            let mut window = Window::new(8, 1_000);
            let (mut sent, mut out) = (0u64, Vec::new());
            for act in acts {
                match act {
                    None if window.has_room(10) => {
                        sent += 1;
                        prop_assert_eq!(window.push(10, sent), sent);
                    }
                    None => prop_assert_eq!(window.len(), 8),
                    Some(n) => match window.ack(n) {
                        Ok(items) => out.extend(items),
                        Err(NeverSent) => prop_assert!(n > sent),
                    },
                }
            }
            let acked = out.len() as u64;
            prop_assert_eq!(acked + window.len() as u64, sent);
            prop_assert!(out.iter().all(|(n, item)| n == item));
            prop_assert!(out.iter().map(|(n, _)| *n).eq(1..=acked));
        }
    }
}
