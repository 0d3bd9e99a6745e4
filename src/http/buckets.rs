//! Leaky buckets by key, in a table of a fixed size.
//!
//! A full table forgets the key whose bucket drained longest ago.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// A bucket for each key.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    /// How many may come in `per_ms`, at once or spread; 0 for no limit.
    rate: u32,
    per_ms: u64,
    most: usize,
    /// When each bucket is empty again, in milliseconds since 1970.
    empty_at: Mutex<HashMap<K, u64>>,
}

impl<K: Copy + Eq + Hash> Buckets<K> {
    /// At most `rate` in `per_ms` for each of `most` keys.
    pub(crate) fn new(rate: u32, per_ms: u64, most: usize) -> Self {
        Self { rate, per_ms, most, empty_at: Mutex::new(HashMap::new()) }
    }

    /// Takes one drop.
    ///
    /// # Errors
    /// When to try again, in milliseconds from now.
    pub(crate) fn admit(&self, key: K, now_ms: u64) -> Result<(), u64> {
        if self.rate == 0 {
            return Ok(());
        }
        let drop_ms = self.per_ms.div_ceil(u64::from(self.rate));
        let mut table = self.empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = now_ms + drop_ms * u64::from(self.rate);
        let empty_at = table.get_mut(&key).map_or(now_ms, |empty_at| {
            // Fuller than full, if the clock was put back: that keeps nobody out for longer.
            *empty_at = (*empty_at).min(full_at);
            (*empty_at).max(now_ms)
        });
        if empty_at + drop_ms > full_at {
            return Err(empty_at + drop_ms - full_at);
        }
        if !table.contains_key(&key) && table.len() >= self.most {
            make_room(&mut table, now_ms);
        }
        table.insert(key, empty_at + drop_ms);
        Ok(())
    }
}

/// Forgets all that are empty, or the one that is soonest.
fn make_room<K: Copy + Eq + Hash>(table: &mut HashMap<K, u64>, now_ms: u64) {
    let before = table.len();
    table.retain(|_, empty_at| *empty_at > now_ms);
    if table.len() == before
        && let Some(soonest) = table.iter().min_by_key(|(_, at)| **at).map(|(key, _)| *key)
    {
        table.remove(&soonest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_and_drains() {
        let buckets = Buckets::new(3, 3_000, 10);
        for _ in 0..3 {
            assert_eq!(buckets.admit(1, 5_000), Ok(()));
        }
        assert_eq!(buckets.admit(1, 5_000), Err(1_000));
        assert_eq!(buckets.admit(1, 5_400), Err(600));
        assert_eq!(buckets.admit(2, 5_400), Ok(()), "another key");
        assert_eq!(buckets.admit(1, 6_000), Ok(()));
        assert_eq!(buckets.admit(1, 6_000), Err(1_000));
    }

    #[test]
    fn a_clock_that_is_put_back_keeps_nobody_out() {
        let buckets = Buckets::new(3, 3_000, 10);
        for _ in 0..3 {
            assert_eq!(buckets.admit(1, 9_000_000), Ok(()));
        }
        assert_eq!(buckets.admit(1, 5_000), Err(1_000), "as full as it was, and no fuller");
        assert_eq!(buckets.admit(1, 6_000), Ok(()));
    }

    #[test]
    fn zero_is_no_limit() {
        let off = Buckets::new(0, 1_000, 1);
        for _ in 0..5 {
            assert_eq!(off.admit(1, 1), Ok(()));
        }
    }

    #[test]
    fn the_table_stays_within_its_bound() {
        let buckets = Buckets::new(2, 1_000, 4);
        for key in 0..=255 {
            assert_eq!(buckets.admit(key, 10), Ok(()));
            assert!(buckets.empty_at.lock().unwrap().len() <= 4);
        }
        assert_eq!(buckets.admit(1_000, 10_000), Ok(()));
        assert_eq!(buckets.empty_at.lock().unwrap().len(), 1, "empty buckets are forgotten");
    }
}
