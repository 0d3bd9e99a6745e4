//! What a device must hear beside messages: news of what it sent, and the gaps in what it got.
//!
//! One row of positions for both, in which a device pages and acknowledges. A gap counts what was
//! skipped of one contact because the queue was full. As long as no page has shown it, it counts
//! on; from then on a new one begins, so that an acknowledgement deletes only what was told.
//! Both are bounded, and neither pushes out the other.

use std::collections::BTreeMap;

use hushwire_wire::UserId;
use hushwire_wire::frame::News;

use crate::limits::Limits;

/// A notice is compared with so many of the latest ones, and stored once.
const COALESCED: usize = 64;

/// The notices of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Notices {
    news: BTreeMap<u64, (u64, News)>,
    gaps: BTreeMap<u64, Gap>,
    tail: u64,
    /// The last position that a page has shown.
    paged: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Gap {
    contact: UserId,
    count: u64,
    at_ms: u64,
}

impl Notices {
    pub(super) fn above(floor: u64) -> Self {
        Self { tail: floor, paged: floor, ..Self::default() }
    }

    /// Stores news, unless it is there. At the bound the oldest goes: its sender's outbox keeps a
    /// ciphertext longer, and nothing is lost.
    pub(super) fn push(&mut self, news: News, limits: &Limits, now_ms: u64) {
        let recent = self.news.values().rev().take(COALESCED);
        if recent.into_iter().any(|(_, known)| *known == news) {
            return;
        }
        while self.news.len() >= limits.notices_per_device.max(1) {
            self.news.pop_first();
        }
        self.tail += 1;
        self.news.insert(self.tail, (now_ms, news));
    }

    /// Counts a message of the pair with `contact` that was skipped. At the bound the oldest gap
    /// goes.
    pub(super) fn skipped(&mut self, contact: UserId, limits: &Limits, now_ms: u64) {
        let unseen = self.gaps.range_mut(self.paged + 1..);
        if let Some((_, gap)) = unseen.into_iter().find(|(_, gap)| gap.contact == contact) {
            gap.count += 1;
            gap.at_ms = now_ms;
            return;
        }
        while self.gaps.len() >= limits.ledger_gaps.max(1) {
            self.gaps.pop_first();
        }
        self.tail += 1;
        self.gaps.insert(self.tail, Gap { contact, count: 1, at_ms: now_ms });
    }

    /// A new connection, which has seen nothing: what an earlier one was told of a contact and did
    /// not acknowledge is counted together. In a new place, so that a late acknowledgement of the
    /// earlier one does not take it.
    pub(super) fn rejoin(&mut self) {
        let mut together: BTreeMap<UserId, (usize, Gap)> = BTreeMap::new();
        for gap in self.gaps.values() {
            let (parts, sum) = together.entry(gap.contact).or_insert((0, gap.clone()));
            if *parts > 0 {
                sum.count += gap.count;
                sum.at_ms = sum.at_ms.max(gap.at_ms);
            }
            *parts += 1;
        }
        if together.len() == self.gaps.len() {
            return;
        }
        together.retain(|_, (parts, _)| *parts > 1);
        self.gaps.retain(|_, gap| !together.contains_key(&gap.contact));
        for (_, sum) in together.into_values() {
            self.tail += 1;
            self.gaps.insert(self.tail, sum);
        }
    }

    /// The next notices above `after`, at most `most`, and whether more lie above.
    pub(super) fn page(&mut self, after: u64, most: usize) -> (Vec<(u64, News)>, bool) {
        let news =
            self.news.range(after + 1..).map(|(position, (_, news))| (*position, news.clone()));
        let gaps = self.gaps.range(after + 1..).map(|(position, gap)| {
            (*position, News::Gap { contact: gap.contact, count: gap.count })
        });
        let mut page: Vec<_> = news.take(most + 1).chain(gaps.take(most + 1)).collect();
        page.sort_unstable_by_key(|(position, _)| *position);
        let more = page.len() > most;
        page.truncate(most);
        if let Some((last, _)) = page.last() {
            self.paged = self.paged.max(*last);
        }
        (page, more)
    }

    /// The device has persisted everything up to this position.
    pub(super) fn ack(&mut self, position: u64) {
        self.news = self.news.split_off(&(position + 1));
        self.gaps = self.gaps.split_off(&(position + 1));
    }

    /// Whether something lies above a position.
    pub(super) fn is_above(&self, position: u64) -> bool {
        self.news.range(position + 1..).next().is_some()
            || self.gaps.range(position + 1..).next().is_some()
    }

    /// Forgets what `is_old` says of its time.
    pub(super) fn forget(&mut self, is_old: impl Fn(u64) -> bool) {
        self.news.retain(|_, (at_ms, _)| !is_old(*at_ms));
        self.gaps.retain(|_, gap| !is_old(gap.at_ms));
    }

    pub(super) const fn tail(&self) -> u64 {
        self.tail
    }

    pub(super) fn len(&self) -> usize {
        self.news.len() + self.gaps.len()
    }
}

#[cfg(test)]
mod tests {
    use hushwire_wire::{DeviceId, Mid};
    use proptest::prelude::*;

    use super::*;

    fn user(k: u8) -> UserId {
        UserId([k; 32])
    }

    fn gaps(page: &[(u64, News)]) -> Vec<(u8, u64)> {
        let gap = |news: &News| match news {
            News::Gap { contact, count } => Some((contact.0[0], *count)),
            _ => None,
        };
        page.iter().filter_map(|(_, news)| gap(news)).collect()
    }

    #[test]
    fn a_gap_counts_until_it_is_shown_and_a_new_one_begins() {
        let limits = Limits::default();
        let mut notices = Notices::default();
        for contact in [1, 2, 1, 1] {
            notices.skipped(user(contact), &limits, 0);
        }
        let (page, _) = notices.page(0, 10);
        assert_eq!(gaps(&page), [(1, 3), (2, 1)]);
        notices.skipped(user(1), &limits, 0);
        notices.ack(page[1].0);
        let (page, _) = notices.page(page[1].0, 10);
        assert_eq!(gaps(&page), [(1, 1)], "what came after the page was not acknowledged");
        // Shown, not acknowledged, and the connection goes: the next one hears it with the rest.
        notices.skipped(user(1), &limits, 0);
        notices.skipped(user(1), &limits, 0);
        notices.rejoin();
        notices.ack(page[0].0);
        assert_eq!(gaps(&notices.page(0, 10).0), [(1, 3)]);
        assert_eq!(gaps(&notices.page(0, 10).0), [(1, 3)], "until it is acknowledged");
        notices.ack(notices.tail());
        assert_eq!(notices.len(), 0);
    }

    #[test]
    fn both_kinds_are_bounded_and_neither_pushes_out_the_other() {
        let limits = Limits { ledger_gaps: 3, notices_per_device: 2, ..Limits::default() };
        let mut notices = Notices::default();
        for k in 0..9 {
            notices.skipped(user(k), &limits, u64::from(k));
            let news = News::Delivered { mid: Mid([k; 16]), device: DeviceId([1; 16]) };
            notices.push(news, &limits, u64::from(k));
        }
        let (page, more) = notices.page(0, 4);
        assert!(more && page.len() == 4);
        assert_eq!(gaps(&notices.page(0, 9).0), [(6, 1), (7, 1), (8, 1)]);
        assert_eq!(notices.len(), 5);
        assert!(page.is_sorted_by_key(|(position, _)| *position));
        notices.forget(|at_ms| at_ms < 8);
        assert_eq!(notices.len(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Whatever is skipped, shown, acknowledged and begun anew: each skip is acknowledged in
        /// some notice, and in only one unless a connection was lost between.
        #[test]
        fn no_count_is_lost(acts in proptest::collection::vec(0u8..8, 0..80)) {
            let limits = Limits::default();
            let mut notices = Notices::default();
            let (mut skipped, mut heard, mut lost_connections) = ([0u64; 3], [0u64; 3], 0);
            let mut shown: Vec<(u64, News)> = Vec::new();
            for act in acts {
                let last = shown.last().map_or(0, |(position, _)| *position);
                match act {
                    0..=2 => {
                        skipped[usize::from(act)] += 1;
                        notices.skipped(user(act), &limits, 0);
                    }
                    3 | 4 => shown.extend(notices.page(last, 2).0),
                    5 | 6 if !shown.is_empty() => {
                        // All that was shown, or the first of it.
                        let rest = shown.split_off(if act == 5 { 1 } else { shown.len() });
                        notices.ack(shown.last().map_or(0, |(position, _)| *position));
                        for (contact, count) in gaps(&shown) {
                            heard[usize::from(contact)] += count;
                        }
                        shown = rest;
                    }
                    5 | 6 => {}
                    _ => {
                        lost_connections += 1;
                        shown.clear();
                        notices.rejoin();
                    }
                }
            }
            notices.rejoin();
            for (contact, count) in gaps(&notices.page(0, 1_000).0) {
                heard[usize::from(contact)] += count;
            }
            if lost_connections == 0 {
                prop_assert_eq!(heard, skipped);
            } else {
                prop_assert!(heard.iter().zip(skipped).all(|(heard, skipped)| *heard >= skipped));
            }
        }
    }
}
