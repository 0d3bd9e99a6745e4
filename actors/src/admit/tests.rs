use proptest::prelude::*;

use super::*;
use crate::testing::offer;

const ME: DeviceId = DeviceId([1; 16]);

fn admit() -> Admit {
    Admit::new(1_000, 31 * 24 * 3_600_000)
}

fn accepted(to: u8, sn: u64) -> Arc<Accepted> {
    Arc::new(Accepted { sn, mid: offer(to, sn).mid, delivered: vec![], skipped: vec![] })
}

fn retry_after(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::Refused(Reject::RateLimited { retry_after_ms, .. }) => retry_after_ms,
        other => panic!("{other:?}"),
    }
}

fn last_sn(verdict: Verdict) -> (u64, bool) {
    match verdict {
        Verdict::Refused(Reject::StaleSn { last_sn, answer, .. }) => (last_sn, answer.is_some()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn repeats_before_and_after_custody() {
    let mut admit = admit();
    let mine = offer(2, 5);
    assert_eq!(admit.look(ME, &mine, 0), Verdict::New);
    assert_eq!(admit.routed(ME, &mine, &Verdict::New, 1_000), 1_000);
    assert_eq!(retry_after(admit.look(ME, &mine, 1_500)), 1_500);
    let mut now = 1_000;
    for _ in 0..REPEATS_FAST {
        now += REPEAT_EVERY_MS;
        assert_eq!(admit.look(ME, &mine, now), Verdict::Again);
        assert_eq!(admit.routed(ME, &mine, &Verdict::Again, now), 1_000, "first admitted");
    }
    assert_eq!(retry_after(admit.look(ME, &mine, now + 2_000)), 58_000, "once a minute now");
    assert_eq!(admit.look(ME, &mine, now + REPEAT_SLOWLY_MS), Verdict::Again, "without end");
    assert!(admit.accepted(ME, mine.to, accepted(2, 5)));
    assert!(!admit.accepted(ME, mine.to, accepted(2, 5)), "another flight was answered first");
    assert_eq!(admit.look(ME, &mine, now), Verdict::Answer(accepted(2, 5)));
}

#[test]
fn lower_numbers_and_other_bytes() {
    let mut admit = admit();
    admit.routed(ME, &offer(2, 5), &Verdict::New, 0);
    assert_eq!(last_sn(admit.look(ME, &offer(2, 4), 0)), (5, false));
    let other = Offer { hash: [9; 32], ..offer(2, 5) };
    assert_eq!(last_sn(admit.look(ME, &other, 0)), (5, false), "in the same epoch");
    let rotated = Offer { epoch: EpochId([2; 32]), counter: 0, mid: Mid([8; 16]), ..other };
    assert_eq!(admit.look(ME, &rotated, 0), Verdict::Changed);
    assert!(admit.counter_rises(ME, &rotated), "from its new epoch's start");
    assert_eq!(admit.routed(ME, &rotated, &Verdict::Changed, 9_000), 0, "first admitted");
    let back = Offer { hash: [7; 32], epoch: EpochId([2; 32]), ..rotated.clone() };
    assert_eq!(last_sn(admit.look(ME, &back, 0)), (5, false), "once for each change");
    // The first encryption completes after all: it is the answer, and any other goes on.
    admit.accepted(ME, rotated.to, accepted(2, 5));
    assert_eq!(last_sn(admit.look(ME, &back, 0)), (5, true));
}

#[test]
fn one_message_at_a_time_for_each_recipient() {
    let mut admit = admit();
    admit.routed(ME, &offer(2, 1), &Verdict::New, 0);
    let busy = Verdict::Refused(Reject::Unavailable { retry_after_ms: UNDER_WAY_RETRY_MS });
    assert_eq!(admit.look(ME, &offer(2, 2), 0), busy);
    assert_eq!(admit.look(ME, &offer(3, 2), 0), Verdict::New, "another recipient");
    let user = offer(2, 1).to;
    let mut refused = admit.clone();
    refused.refused(ME, user, 1);
    assert_eq!(refused.look(ME, &offer(2, 2), 0), Verdict::New);
    assert_eq!(admit.look(ME, &offer(2, 2), UNDER_WAY_MS - 1), busy);
    assert_eq!(admit.look(ME, &offer(2, 2), UNDER_WAY_MS), Verdict::New, "its node is gone");
    admit.landed(ME, user);
    assert_eq!(admit.look(ME, &offer(2, 2), 0), Verdict::New, "no flight is left");
}

#[test]
fn counters_rise_in_an_epoch() {
    let mut admit = admit();
    admit.routed(ME, &Offer { counter: 7, ..offer(2, 1) }, &Verdict::New, 0);
    for (counter, epoch, rises) in [(7, 1, false), (6, 1, false), (8, 1, true), (0, 2, true)] {
        let next = Offer { counter, epoch: EpochId([epoch; 32]), ..offer(2, 2) };
        assert_eq!(admit.counter_rises(ME, &next), rises, "{counter} in {epoch}");
    }
    assert!(admit.counter_rises(DeviceId([2; 16]), &offer(2, 1)), "each device its own");
}

#[test]
fn resubmissions_have_a_budget_and_repeats_are_free() {
    let mut admit = admit();
    let again = |sn| Offer { re: Some(Gen([4; 16])), size: 5_000, ..offer(2, sn) };
    admit.routed(ME, &offer(2, 3), &Verdict::New, 0);
    let mut now = 10_000;
    let mut sent = 0;
    for sn in (1..=AGAIN_MESSAGES as u64).rev() {
        while let Verdict::Refused(Reject::RateLimited { retry_after_ms, .. }) =
            admit.look(ME, &again(sn), now)
        {
            assert!((1..=1_000).contains(&retry_after_ms));
            now += retry_after_ms;
        }
        if admit.look(ME, &again(sn), now) != Verdict::Resubmitted {
            break;
        }
        admit.routed(ME, &again(sn), &Verdict::Resubmitted, now);
        sent += 1;
    }
    assert_eq!(sent, AGAIN_BYTES / 5_000, "the bytes are used first");
    now += 1_000;
    assert_eq!(admit.look(ME, &again(500), now), Verdict::Resubmitted, "a repeat is free");
    assert!(admit.counter_rises(ME, &again(500)), "and repeats its counter");
    let next = Offer { re: Some(Gen([5; 16])), ..again(1) };
    assert_eq!(admit.look(ME, &next, now), Verdict::Resubmitted, "each generation its own");
}

#[test]
fn records_are_bounded_and_forgotten() {
    let mut admit = Admit::new(10, 1_000);
    for to in 0..30 {
        admit.routed(ME, &offer(to, 1), &Verdict::New, u64::from(to));
    }
    assert_eq!(admit.len(), 10);
    assert_eq!(admit.look(ME, &offer(19, 1), 30), Verdict::New, "the oldest are forgotten");
    assert_ne!(admit.look(ME, &offer(20, 1), 30), Verdict::New);
    for sn in 2..5_000 {
        admit.landed(ME, offer(20, 1).to);
        admit.routed(ME, &offer(20, sn), &Verdict::New, 40);
    }
    assert!(admit.order.len() <= 2 * 10 + 65, "{}", admit.order.len());
    admit.expire(2_000);
    assert!(admit.is_empty() && admit.order.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a device sends: each number is accepted once, and its answer never changes.
    #[test]
    fn an_accepted_number_has_one_answer_for_ever(
        acts in proptest::collection::vec((1u64..6, 0u8..3, any::<bool>(), 0u64..3_000), 0..80),
    ) {
        let mut admit = admit();
        let mut now = 0;
        let mut answers: HashMap<u64, Arc<Accepted>> = HashMap::new();
        for (sn, variant, completes, wait) in acts {
            now += wait;
            let mid = Mid([variant; 16]);
            let epoch = EpochId([variant; 32]);
            let mine = Offer { hash: [variant; 32], mid, epoch, ..offer(2, sn) };
            let verdict = admit.look(ME, &mine, now);
            match &verdict {
                Verdict::Answer(answer) => prop_assert_eq!(Some(answer), answers.get(&sn)),
                Verdict::Refused(Reject::StaleSn { last_sn, answer, .. }) => {
                    prop_assert!(*last_sn >= sn);
                    prop_assert_eq!(answer.as_ref(), answers.get(last_sn).map(|a| &**a));
                }
                Verdict::Refused(_) => {}
                _ => {
                    prop_assert!(!answers.contains_key(&sn), "accepted twice");
                    prop_assert!(answers.keys().all(|known| *known < sn), "out of order");
                    admit.routed(ME, &mine, &verdict, now);
                    if completes {
                        let answer = Accepted { sn, mid, delivered: vec![], skipped: vec![] };
                        answers.insert(sn, Arc::new(answer));
                        admit.accepted(ME, mine.to, answers[&sn].clone());
                    } else {
                        admit.landed(ME, mine.to);
                    }
                }
            }
        }
    }
}

#[test]
fn a_clock_that_is_put_back_holds_nothing_up() {
    let mut admit = admit();
    let mine = offer(2, 1);
    admit.routed(ME, &mine, &Verdict::New, 9_000_000);
    assert_eq!(admit.look(ME, &mine, 5_000), Verdict::Again, "an hour and more before");
    let again = |sn| Offer { re: Some(Gen([1; 16])), ..offer(3, sn) };
    for sn in 1..=u64::from(AGAIN_PER_SECOND) {
        admit.routed(ME, &again(sn), &Verdict::Resubmitted, 9_000_000);
    }
    assert_eq!(retry_after(admit.look(ME, &again(9), 9_000_000)), 1_000);
    assert_eq!(admit.look(ME, &again(9), 5_000), Verdict::Resubmitted);
    for sn in 1..=u64::from(AGAIN_PER_SECOND) {
        admit.routed(ME, &again(sn), &Verdict::Resubmitted, 5_000);
    }
    assert_eq!(retry_after(admit.look(ME, &again(9), 5_400)), 600, "and counts on from there");
}
