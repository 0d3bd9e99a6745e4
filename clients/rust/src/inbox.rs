//! The receiving side's bookkeeping (DELIVERY, "Receiving"): numbers on a connection, what is to
//! be acknowledged, and messages held behind a gap.
//!
//! Plain values without I/O, clock or keys. What is held was persisted and acknowledged before;
//! only its showing waits.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use hushwire_wire::EpochId;
use hushwire_wire::frame::{Ack, Failed};

/// An ack leaves at the latest after so many messages.
pub(crate) const ACK_EVERY: u64 = 16;
/// How long a gap may hold what came after it, in milliseconds, once `sync` was asked.
pub(crate) const HOLD_MS: u64 = 5_000;
/// Messages held behind gaps, at most; past it the oldest is shown.
pub(crate) const HELD_MAX: usize = 1_000;
/// Chains whose next counter is remembered, at most; past it all are learnt anew.
const CHAINS_MAX: usize = 4_096;

/// The server skipped or repeated a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfOrder;

/// Numbers of one connection, and what is not yet acknowledged of it.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    last: u64,
    acked: u64,
    failed: Vec<Failed>,
}

impl Numbers {
    /// Takes the next number: they begin at 1 and have no holes.
    pub(crate) fn take(&mut self, n: u64) -> Result<(), OutOfOrder> {
        if n != self.last + 1 {
            return Err(OutOfOrder);
        }
        self.last = n;
        Ok(())
    }

    /// The message just taken could not be read.
    pub(crate) fn fail(&mut self, code: &str) {
        self.failed.push(Failed { n: self.last, code: code.to_owned() });
    }

    /// What is persisted and not yet acknowledged.
    pub(crate) fn due(&self) -> u64 {
        self.last - self.acked
    }

    /// The acknowledgement of all that was taken, if any is due.
    pub(crate) fn ack(&mut self) -> Option<Ack> {
        if self.due() == 0 {
            return None;
        }
        self.acked = self.last;
        Some(Ack { n: self.last, failed: std::mem::take(&mut self.failed) })
    }
}

/// One sender's durable chain in one epoch.
pub(crate) type Chain = (EpochId, u8);

/// What to do with a message that was opened and persisted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Hold it; else show it now.
    pub(crate) hold: bool,
    /// Then show these, in this order.
    pub(crate) release: Vec<u64>,
}

/// Messages behind a gap: a lane-0 counter that is missing before them.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    next: HashMap<Chain, u32>,
    /// Chains whose sender sent more in the epoch before: that chain, and how many.
    behind: HashMap<Chain, (Chain, u32)>,
    /// By chain and counter; `None` for what is received and has nothing to show.
    held: BTreeMap<(Chain, u32), Option<u64>>,
    /// Held by an earlier run of the program.
    stray: Vec<u64>,
    /// Until when the answer to `sync` is waited for, and up to which order it counts.
    asked: Option<(u64, u64)>,
}

impl Gaps {
    /// What an earlier run left held.
    pub(crate) fn restore(orders: Vec<u64>) -> Self {
        Self { stray: orders, ..Self::default() }
    }

    /// Judges the message at `counter`. `received` counts what the chain had without a hole
    /// before it; `order` is where it was stored, `None` if there is nothing to show of it.
    pub(crate) fn take(
        &mut self,
        chain: Chain,
        counter: u32,
        received: u32,
        order: Option<u64>,
    ) -> Verdict {
        let waits = self.waits(&chain);
        // What was received and waits for something else is not passed over.
        let known = self.next.get(&chain).copied().filter(|_| waits);
        let next = self.next_of(chain, known.unwrap_or(received));
        if waits || counter > *next {
            self.held.insert((chain, counter), order);
            let release = if self.held.len() > HELD_MAX { self.release_all() } else { Vec::new() };
            return Verdict { hold: order.is_some(), release };
        }
        if counter == *next {
            *next = counter.saturating_add(1);
        }
        let mut release = Vec::new();
        self.drain(chain, &mut release);
        Verdict { hold: false, release }
    }

    /// A chain's sender says to have sent `sent` in `before`, its chain in the epoch before, of
    /// which `received` came without a hole: what comes in `chain` waits for the rest.
    pub(crate) fn follows(&mut self, chain: Chain, before: Chain, received: u32, sent: u32) {
        // What came there and is held itself holds this up, too.
        let is_held = self.waits(&before) || self.holds_of(&before).next().is_some();
        let known = self.next.get(&before).copied().filter(|_| is_held);
        if *self.next_of(before, known.unwrap_or(received)) < sent {
            if self.behind.len() >= CHAINS_MAX {
                self.behind.clear();
            }
            self.behind.insert(chain, (before, sent));
        }
    }

    /// Whether all of a chain waits for something else: for the epoch before, or for what an earlier
    /// run left held, of which nobody knows the chain.
    fn waits(&self, chain: &Chain) -> bool {
        self.behind.contains_key(chain) || !self.stray.is_empty()
    }

    fn holds_of(&self, chain: &Chain) -> impl Iterator<Item = u32> {
        self.held.range((*chain, 0)..=(*chain, u32::MAX)).map(|((_, counter), _)| *counter)
    }

    fn next_of(&mut self, chain: Chain, received: u32) -> &mut u32 {
        if self.next.len() >= CHAINS_MAX && !self.next.contains_key(&chain) {
            self.next.clear();
        }
        let next = self.next.entry(chain).or_insert(received);
        *next = (*next).max(received);
        next
    }

    /// Releases what a chain holds without a hole, and then what waited for that chain.
    fn drain(&mut self, chain: Chain, release: &mut Vec<u64>) {
        let next = self.next.entry(chain).or_default();
        while let Some(held) = self.held.remove(&(chain, *next)) {
            release.extend(held);
            *next = next.saturating_add(1);
        }
        let next = *next;
        let free = |(_, (before, sent)): &(Chain, (Chain, u32))| *before == chain && *sent <= next;
        let behind = self.behind.iter().map(|(chain, waits)| (*chain, *waits));
        for (chain, _) in behind.filter(free).collect::<Vec<_>>() {
            self.behind.remove(&chain);
            self.drain(chain, release);
        }
    }

    /// Whether `sync` should be asked.
    pub(crate) fn wants_sync(&self) -> bool {
        self.asked.is_none() && (!self.stray.is_empty() || self.held.values().any(Option::is_some))
    }

    /// `sync` was asked at `now`; all that is stored below `order` waits for its answer.
    pub(crate) fn asked(&mut self, now: u64, order: u64) {
        self.asked = Some((now + HOLD_MS, order));
    }

    /// The connection is gone, and the answer with it.
    pub(crate) fn disconnected(&mut self) {
        self.asked = None;
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn wake(&self) -> Option<u64> {
        self.asked.map(|(until, _)| until)
    }

    /// `sync` was answered: what was held when it was asked is shown now, oldest first.
    pub(crate) fn answered(&mut self) -> Vec<u64> {
        let Some((_, below)) = self.asked.take() else { return Vec::new() };
        self.release_below(below)
    }

    /// Shows what waited long enough.
    pub(crate) fn tick(&mut self, now: u64) -> Vec<u64> {
        match self.asked {
            Some((until, _)) if now >= until => self.answered(),
            _ => Vec::new(),
        }
    }

    fn release_all(&mut self) -> Vec<u64> {
        self.release_below(u64::MAX)
    }

    /// A chain that waits for the epoch before, which waits for none.
    fn foremost(&self) -> Option<(Chain, (Chain, u32))> {
        let is_first =
            |(_, (before, _)): &(&Chain, &(Chain, u32))| !self.behind.contains_key(before);
        // Epochs name the one before by its hash: there is no ring. If there were, any is as good.
        let first = self.behind.iter().find(is_first).or_else(|| self.behind.iter().next());
        first.map(|(chain, waits)| (*chain, *waits))
    }

    fn release_below(&mut self, below: u64) -> Vec<u64> {
        let mut release: Vec<u64> = self.stray.extract_if(.., |order| *order < below).collect();
        let over = |order: &Option<u64>| order.is_none_or(|order| order < below);
        let passed: Vec<_> =
            self.held.iter().filter(|(_, order)| over(order)).map(|(key, _)| *key).collect();
        for (chain, counter) in passed {
            release.extend(self.held.remove(&(chain, counter)).flatten());
            let next = self.next.entry(chain).or_default();
            *next = (*next).max(counter.saturating_add(1));
        }
        // What did not come in an epoch before is given up, too: the oldest epoch first, for what
        // came there goes before what came after it.
        while let Some((chain, (before, sent))) = self.foremost() {
            self.behind.remove(&chain);
            let passed: Vec<u32> = self.holds_of(&before).filter(|held| *held < sent).collect();
            for counter in passed {
                release.extend(self.held.remove(&(before, counter)).flatten());
            }
            let next = self.next.entry(before).or_default();
            *next = (*next).max(sent);
            self.drain(chain, &mut release);
        }
        if self.stray.is_empty() {
            // They waited for nothing else.
            let chains: BTreeSet<Chain> = self.held.keys().map(|(chain, _)| *chain).collect();
            chains.into_iter().for_each(|chain| self.drain(chain, &mut release));
        }
        release.sort_unstable();
        release
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHAIN: Chain = (EpochId([1; 32]), 0);

    fn shown() -> Verdict {
        Verdict::default()
    }

    fn held() -> Verdict {
        Verdict { hold: true, release: vec![] }
    }

    #[test]
    fn numbers_have_no_holes_and_acks_are_cumulative() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.take(2), Err(OutOfOrder));
        assert_eq!(numbers.ack(), None);
        for n in 1..=3 {
            numbers.take(n).unwrap();
        }
        numbers.fail("BAD_TAG");
        assert_eq!(numbers.take(3), Err(OutOfOrder));
        let failed = vec![Failed { n: 3, code: "BAD_TAG".to_owned() }];
        assert_eq!(numbers.ack(), Some(Ack { n: 3, failed }));
        assert_eq!(numbers.ack(), None);
    }

    #[test]
    fn a_gap_holds_until_it_closes() {
        let mut gaps = Gaps::default();
        assert_eq!(gaps.take(CHAIN, 0, 0, Some(1)), shown());
        assert_eq!(gaps.take(CHAIN, 2, 1, Some(2)), held());
        assert_eq!(gaps.take(CHAIN, 3, 1, Some(3)), held());
        assert!(gaps.wants_sync());
        let release = vec![2, 3];
        assert_eq!(gaps.take(CHAIN, 1, 1, Some(4)), Verdict { hold: false, release });
        assert!(!gaps.wants_sync());
        assert_eq!(gaps.take(CHAIN, 4, 4, Some(5)), shown());
    }

    #[test]
    fn sync_or_five_seconds_end_a_hold_and_the_gap_is_not_asked_about_again() {
        let mut gaps = Gaps::default();
        assert_eq!(gaps.take(CHAIN, 1, 0, Some(1)), held());
        gaps.asked(100, 2);
        assert!(!gaps.wants_sync());
        assert_eq!(gaps.take(CHAIN, 3, 0, Some(2)), held());
        assert_eq!(gaps.answered(), [1]);
        assert!(gaps.wants_sync(), "the second came after the question");
        gaps.asked(200, 3);
        assert_eq!(gaps.tick(5199), Vec::<u64>::new());
        assert_eq!(gaps.tick(5200), [2]);
        assert_eq!(gaps.take(CHAIN, 4, 0, Some(3)), shown(), "0 and 2 are given up");
    }

    #[test]
    fn what_has_nothing_to_show_fills_gaps_and_holds_nobody() {
        let mut gaps = Gaps::default();
        assert_eq!(gaps.take(CHAIN, 1, 0, None), shown());
        assert!(!gaps.wants_sync());
        assert_eq!(gaps.take(CHAIN, 2, 0, Some(1)), held());
        let release = vec![1];
        assert_eq!(gaps.take(CHAIN, 0, 0, None), Verdict { hold: false, release });
    }

    #[test]
    fn what_an_epoch_before_still_owes_is_waited_for_once() {
        const AFTER: Chain = (EpochId([2; 32]), 0);
        let mut gaps = Gaps::default();
        assert_eq!(gaps.take(CHAIN, 0, 0, Some(1)), shown());
        // Three were sent there, one came.
        gaps.follows(AFTER, CHAIN, 1, 3);
        assert_eq!(gaps.take(AFTER, 0, 0, Some(2)), held());
        gaps.follows(AFTER, CHAIN, 1, 3);
        assert_eq!(gaps.take(AFTER, 1, 1, Some(3)), held());
        assert!(gaps.wants_sync());
        assert_eq!(gaps.take(CHAIN, 2, 1, Some(4)), held());
        let release = vec![4, 2, 3];
        assert_eq!(gaps.take(CHAIN, 1, 1, Some(5)), Verdict { hold: false, release });
        gaps.follows(AFTER, CHAIN, 3, 3);
        assert_eq!(gaps.take(AFTER, 2, 2, Some(6)), shown());

        const LATER: Chain = (EpochId([3; 32]), 0);
        gaps.follows(LATER, AFTER, 3, 9);
        assert_eq!(gaps.take(LATER, 0, 0, Some(7)), held());
        gaps.asked(0, 8);
        assert_eq!(gaps.answered(), [7], "given up");
        gaps.follows(LATER, AFTER, 3, 9);
        assert_eq!(gaps.take(LATER, 1, 1, Some(8)), shown(), "and not asked about again");
        // What has nothing to show waits like the rest, and holds nobody.
        gaps.follows(CHAIN, LATER, 2, u32::MAX);
        assert_eq!(gaps.take(CHAIN, 3, 3, None), shown());
        assert!(!gaps.wants_sync());
    }

    #[test]
    fn what_is_held_of_an_epoch_holds_up_the_next_ones() {
        const SECOND: Chain = (EpochId([2; 32]), 0);
        const THIRD: Chain = (EpochId([3; 32]), 0);
        // Of the first epoch one is missing for good; all of the second came, and waits for it.
        let arrive = |gaps: &mut Gaps| {
            assert_eq!(gaps.take(CHAIN, 0, 0, Some(1)), shown());
            for (counter, order) in [(0, 2), (1, 3)] {
                gaps.follows(SECOND, CHAIN, 1, 2);
                assert_eq!(gaps.take(SECOND, counter, counter, Some(order)), held());
            }
            gaps.follows(THIRD, SECOND, 2, 2);
            assert_eq!(gaps.take(THIRD, 0, 0, Some(4)), held(), "the second is held");
        };
        let mut gaps = Gaps::default();
        arrive(&mut gaps);
        gaps.asked(0, 10);
        assert_eq!(gaps.answered(), [2, 3, 4]);
        // The question was asked when the first of them was there only.
        let mut gaps = Gaps::default();
        arrive(&mut gaps);
        gaps.asked(0, 3);
        assert_eq!(gaps.answered(), [2, 3, 4]);
        assert!(!gaps.wants_sync());
        // What was missing comes after all.
        let mut gaps = Gaps::default();
        arrive(&mut gaps);
        let release = vec![2, 3, 4];
        assert_eq!(gaps.take(CHAIN, 1, 1, Some(5)), Verdict { hold: false, release });
    }

    #[test]
    fn what_an_earlier_run_left_held_is_shown_before_what_comes_now() {
        let mut gaps = Gaps::restore(vec![7, 9]);
        // The chain has no hole, as far as this run knows.
        assert_eq!(gaps.take(CHAIN, 3, 3, Some(10)), held());
        gaps.asked(0, 11);
        assert_eq!(gaps.take(CHAIN, 4, 4, Some(11)), held());
        assert_eq!(gaps.answered(), [7, 9, 10, 11]);
        assert_eq!(gaps.take(CHAIN, 5, 5, Some(12)), shown());
    }

    #[test]
    fn an_earlier_run_s_are_asked_about_and_shown() {
        let mut gaps = Gaps::restore(vec![7, 9]);
        assert!(gaps.wants_sync());
        gaps.asked(0, 10);
        gaps.disconnected();
        assert!(gaps.wants_sync(), "a reconnect asks again");
        gaps.asked(0, 10);
        assert_eq!(gaps.answered(), [7, 9]);
    }

    #[test]
    fn the_bound_on_what_is_held_bites() {
        let mut gaps = Gaps::default();
        let mut released = 0;
        for n in 1..=u32::try_from(HELD_MAX).unwrap() + 1 {
            let verdict = gaps.take(CHAIN, 2 * n, 0, Some(n.into()));
            released += verdict.release.len();
        }
        assert_eq!(released, HELD_MAX + 1);
        for n in 0..u32::try_from(CHAINS_MAX).unwrap() + 5 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&n.to_be_bytes());
            gaps.take((EpochId(id), 0), 0, 0, None);
        }
        assert!(gaps.next.len() <= CHAINS_MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn each_is_shown_once_and_in_the_order_of_counters(
            burnt in prop::collection::hash_set(0u32..40, 0..10),
            order in Just((0u32..40).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut gaps = Gaps::default();
            let mut out = Vec::new();
            let arrived: Vec<u32> = order.into_iter().filter(|c| !burnt.contains(c)).collect();
            for (at, counter) in arrived.iter().enumerate() {
                let have = &arrived[..at];
                let received = (0..).find(|c| !have.contains(c)).unwrap();
                let verdict = gaps.take(CHAIN, *counter, received, Some((*counter).into()));
                if !verdict.hold {
                    out.push(u64::from(*counter));
                }
                out.extend(verdict.release);
            }
            gaps.asked(0, u64::MAX);
            out.extend(gaps.answered());
            let mut expected: Vec<u64> = arrived.iter().map(|c| (*c).into()).collect();
            expected.sort_unstable();
            prop_assert_eq!(out, expected);
        }
    }
}
