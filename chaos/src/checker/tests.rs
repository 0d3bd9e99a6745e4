use super::*;
use crate::journal::Journal;

const fn line(n: u32) -> Line {
    Line { from: 1, to: 2, n }
}

fn of(facts: &[Fact]) -> Verdict {
    let journal = Journal::default();
    facts.iter().for_each(|fact| journal.add(*fact));
    judge(&journal.facts())
}

/// What happens to a line in good order.
fn fine(n: u32) -> Vec<Fact> {
    let line = line(n);
    let (device, mid) = ([2; 16], [n.to_le_bytes()[0]; 16]);
    let place = u64::from(n);
    vec![
        Fact::Says(line),
        Fact::Said(line),
        Fact::Acked(device, mid),
        Fact::Accepted(line),
        Fact::Told(line, place),
        Fact::Marked(line, place),
        Fact::Claimed(device, mid),
        Fact::Delivered(line),
    ]
}

#[test]
fn what_goes_well_is_clean() {
    let verdict = of(&[fine(0), fine(1), fine(2)].concat());
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!((verdict.said, verdict.accepted, verdict.shown), (3, 3, 3));
    assert_eq!((verdict.delivered, verdict.claims), (3, 3));
    assert!(verdict.examples.is_empty());
}

#[test]
fn what_was_accepted_and_never_shown_is_lost() {
    let verdict = of(&[Fact::Says(line(0)), Fact::Said(line(0)), Fact::Accepted(line(0))]);
    assert_eq!((verdict.lost, verdict.unsettled), (1, 0));
    assert!(verdict.examples[0].contains("1>2 #0"), "{:?}", verdict.examples);
}

#[test]
fn what_nobody_answers_for_is_unsettled_and_not_lost() {
    let verdict = of(&[Fact::Says(line(0)), Fact::Said(line(0)), Fact::Says(line(1))]);
    assert_eq!((verdict.lost, verdict.unsettled), (0, 1), "a word cut short was not said");
    let failed = of(&[Fact::Says(line(0)), Fact::Said(line(0)), Fact::Failed(line(0))]);
    assert_eq!((failed.lost, failed.unsettled, failed.failed), (0, 0, 1));
    assert!(!failed.is_clean() && !verdict.is_clean());
    assert!(!of(&[fine(0), vec![Fact::Unreadable(line(0))]].concat()).is_clean());
}

#[test]
fn what_is_shown_at_a_second_place_is_a_duplicate() {
    let twice = [fine(0), vec![Fact::Told(line(0), 7)]].concat();
    assert_eq!(of(&twice).duplicated, 1);
    // Killed in between or not: another place is another message to a person.
    let later = [fine(0), vec![Fact::Killed(2), Fact::Began(2), Fact::Told(line(0), 7)]].concat();
    assert_eq!(of(&later).duplicated, 1);
    let kept = [fine(0), vec![Fact::Kept(line(0)), Fact::Kept(line(0))]].concat();
    assert_eq!(of(&kept).duplicated, 1);
}

#[test]
fn the_same_place_may_come_again_only_after_a_death_before_the_mark() {
    let told = Fact::Told(line(0), 0);
    let begin = [Fact::Began(2), Fact::Says(line(0)), Fact::Said(line(0)), told];
    let of = |more: &[Fact]| of(&[&begin, more].concat()).duplicated;
    assert_eq!(of(&[Fact::Killed(2), Fact::Began(2), told]), 0);
    assert_eq!(of(&[Fact::Killed(2), Fact::Began(2), told, told]), 1, "twice in one life");
    assert_eq!(of(&[told]), 1, "without a death");
    assert_eq!(of(&[Fact::Began(1), told]), 1, "somebody else's death");
    let marked = Fact::Marked(line(0), 0);
    assert_eq!(of(&[marked, Fact::Killed(2), Fact::Began(2), told]), 1, "it was marked");
}

#[test]
fn what_is_shown_after_a_later_one_is_reordered() {
    let says = |n| [Fact::Says(line(n)), Fact::Said(line(n))];
    let said = [says(0), says(1), says(2)].concat();
    let of = |order: &[u32]| {
        let told = order.iter().zip(0..).map(|(n, place)| Fact::Told(line(*n), place));
        of(&said.iter().copied().chain(told).collect::<Vec<_>>()).reordered
    };
    assert_eq!(of(&[0, 1, 2]), 0);
    assert_eq!(of(&[0, 2, 1]), 1);
    assert_eq!(of(&[2, 0, 1]), 2);
    assert_eq!(of(&[0, 2]), 0, "a hole is no disorder");
}

#[test]
fn other_pairs_have_an_order_of_their_own() {
    let other = Line { from: 2, to: 1, n: 0 };
    let more = [Fact::Says(other), Fact::Said(other), Fact::Told(other, 0)];
    let verdict = of(&[fine(0), fine(1), more.to_vec()].concat());
    assert!(verdict.is_clean(), "{verdict}");
}

#[test]
fn delivered_needs_an_acknowledgement_before_it_and_a_sight_some_time() {
    let (device, mid) = ([2; 16], [9; 16]);
    let claimed = Fact::Claimed(device, mid);
    assert_eq!(of(&[claimed, Fact::Acked(device, mid)]).falsely_delivered, 1);
    assert_eq!(of(&[Fact::Acked([3; 16], mid), claimed]).falsely_delivered, 1, "another device");
    assert_eq!(of(&[Fact::Acked(device, mid), claimed]).falsely_delivered, 0);
    let unseen = [Fact::Says(line(0)), Fact::Said(line(0)), Fact::Delivered(line(0))];
    assert_eq!(of(&unseen).falsely_delivered, 1);
}

#[test]
fn what_nobody_said_is_strange() {
    assert_eq!(of(&[Fact::Told(line(0), 0)]).strange, 1);
    assert_eq!(of(&[Fact::Strange(1)]).strange, 1);
    let refused = [Fact::Says(line(0)), Fact::Unsaid(line(0)), Fact::Told(line(0), 0)];
    assert_eq!(of(&refused).strange, 1);
    // Cut short while it was said: it may have been taken.
    assert_eq!(of(&[Fact::Says(line(0)), Fact::Told(line(0), 0)]).strange, 0);
}

#[test]
fn the_history_at_the_end_holds_what_was_shown_and_nothing_else() {
    let kept = |n| vec![Fact::Kept(line(n))];
    assert!(of(&[fine(0), fine(1), kept(0), kept(1)].concat()).is_clean());
    assert_eq!(of(&[fine(0), fine(1), kept(0)].concat()).strange, 1);
    let unseen = [fine(0), kept(0), vec![Fact::Says(line(1)), Fact::Said(line(1))], kept(1)];
    assert_eq!(of(&unseen.concat()).strange, 1);
}

#[test]
fn examples_are_bounded() {
    let lost = |n| [Fact::Says(line(n)), Fact::Said(line(n)), Fact::Accepted(line(n))];
    let verdict = of(&(0..100).flat_map(lost).collect::<Vec<_>>());
    assert_eq!((verdict.lost, verdict.examples.len()), (100, EXAMPLES_MAX));
}
