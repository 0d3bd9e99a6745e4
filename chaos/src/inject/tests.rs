use proptest::prelude::*;

use super::*;
use crate::journal::Journal;

/// A run in which all goes well: pairs talk at the same time, devices die and come back.
fn well(turns: &[(u16, u8)]) -> Vec<Entry> {
    let journal = Journal::default();
    let mut said = [0_u32; 4];
    let mut shown = [0_u32; 4];
    let line = |pair: u16, n| Line { from: pair, to: pair + 10, n };
    for device in 0..14 {
        journal.add(Fact::Began(device));
    }
    let show = |pair: u16, n: u32| {
        let (line, place) = (line(pair, n), u64::from(n));
        let mut mid = [0; 16];
        mid[..4].copy_from_slice(&n.to_le_bytes());
        mid[4] = pair.to_le_bytes()[0];
        journal.add(Fact::Acked([9; 16], mid));
        journal.add(Fact::Told(line, place));
        journal.add(Fact::Claimed([9; 16], mid));
        journal.add(Fact::Delivered(line));
        if n.is_multiple_of(3) {
            journal.add(Fact::Killed(line.to));
            journal.add(Fact::Began(line.to));
            journal.add(Fact::Told(line, place));
        }
        journal.add(Fact::Marked(line, place));
    };
    for (pair, what) in turns {
        let at = usize::from(*pair);
        if what % 3 > 0 {
            let line = line(*pair, said[at]);
            for fact in [Fact::Says(line), Fact::Said(line), Fact::Accepted(line)] {
                journal.add(fact);
            }
            said[at] += 1;
        } else if shown[at] < said[at] {
            show(*pair, shown[at]);
            shown[at] += 1;
        }
    }
    for pair in 0..4 {
        for n in shown[usize::from(pair)]..said[usize::from(pair)] {
            show(pair, n);
        }
    }
    journal.facts()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_good_run_is_clean_and_each_injected_fault_is_flagged(
        turns in prop::collection::vec((0..4_u16, any::<u8>()), 40..200),
        seed in any::<u64>(),
    ) {
        let facts = well(&turns);
        let verdict = judge(&facts);
        prop_assert!(verdict.is_clean(), "{} {:?}", verdict, verdict.examples);
        for (index, kind) in KINDS.into_iter().enumerate() {
            let mut dice = Dice::new(seed, index as u64);
            let Some(spoilt) = inject(&facts, kind, &mut dice) else { continue };
            let after = judge(&spoilt);
            prop_assert!(kind.figure(&after) > 0, "{:?}: {}", kind, after);
            // Nothing else is made of it.
            for other in KINDS.into_iter().filter(|other| *other != kind) {
                let is_unseen = kind == Kind::Loss && other == Kind::FalseDelivery;
                prop_assert!(is_unseen || other.figure(&after) == 0, "{:?}: {}", kind, after);
            }
        }
        // Of so many lines of four pairs, two are of one.
        if verdict.accepted > 4 {
            prop_assert_eq!(all_are_flagged(&facts, &verdict, seed), Ok(()));
        }
    }
}

#[test]
fn a_run_in_which_nothing_happened_proves_nothing() {
    let verdict = judge(&[]);
    assert!(verdict.is_clean());
    let why = all_are_flagged(&[], &verdict, 1).unwrap_err();
    assert!(why.contains("too little happened to inject Loss"), "{why}");
}

#[test]
fn a_checker_that_counts_nothing_more_is_found_out() {
    let facts = well(&[(0, 1); 20]);
    // A verdict that is as bad as the injected fault hides it.
    let verdict = Verdict { lost: 1, ..judge(&facts) };
    assert!(all_are_flagged(&facts, &verdict, 1).unwrap_err().contains("Loss"));
    assert!(all_are_flagged(&facts, &judge(&facts), 1).is_ok());
}
