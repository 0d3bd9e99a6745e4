use hushwire_e2ee::ContentId;
use hushwire_wire::frame::{SkipReason, Skipped};

use hushwire_wire::EpochId;

use super::*;

pub(super) const BOB: UserId = UserId([2; 32]);
pub(super) const BOB_PHONE: DeviceId = DeviceId([0x2a; 16]);
const BOB_DESK: DeviceId = DeviceId([0x2b; 16]);
const OWN_OTHER: DeviceId = DeviceId([0x1b; 16]);
const GEN: Gen = Gen([1; 16]);

fn text(n: u8) -> (Id, Said) {
    let said = Said::Text { text: format!("text {n}"), reply_to: None };
    (Id(ContentId([n; 16])), said)
}

fn receipt(n: u8) -> (Id, Said) {
    (Id(ContentId([n; 16])), Said::Read { of: vec![Id(ContentId([1; 16]))] })
}

fn sent(n: u8) -> Sent {
    let target = |device, is_peer| Target { device, is_peer };
    Sent {
        mid: Mid([n; 16]),
        upload: Sealed::new(vec![n; 20]),
        epoch: EpochId([7; 32]),
        targets: vec![target(OWN_OTHER, false), target(BOB_PHONE, true), target(BOB_DESK, true)],
    }
}

fn accepted(sn: u64, mid: u8, delivered: &[DeviceId]) -> Answer {
    Answer::Accepted(Accepted {
        sn,
        mid: Mid([mid; 16]),
        delivered: delivered.to_vec(),
        skipped: vec![],
    })
}

fn limited(rule: Rule, retry_after_ms: u64) -> Answer {
    Answer::Reject(Reject::RateLimited { retry_after_ms, rule, limit: 1, window_ms: 10_000 })
}

fn up() -> Outbox {
    let mut outbox = Outbox::restore(BTreeMap::new(), HashMap::new(), Some(GEN));
    assert_eq!(outbox.connected(GEN, 0), []);
    outbox
}

fn submit(outbox: &mut Outbox, (id, said): (Id, Said), now: u64) -> Vec<Effect> {
    outbox.submit(BOB, id, said, now, now).unwrap()
}

fn transmitted(effects: &[Effect]) -> Vec<(u64, u64, Sealed)> {
    let one = |effect: &Effect| match effect {
        Effect::Transmit { order, sn, upload, .. } => Some((*order, *sn, upload.clone())),
        _ => None,
    };
    effects.iter().filter_map(one).collect()
}

fn told(effects: &[Effect]) -> Vec<Progress> {
    let one = |effect: &Effect| match effect {
        Effect::Tell(progress) => Some(progress.clone()),
        _ => None,
    };
    effects.iter().filter_map(one).collect()
}

fn reject(reject: Reject) -> Answer {
    Answer::Reject(reject)
}

#[test]
fn a_message_is_stored_sealed_stored_and_sent() {
    let mut outbox = up();
    let seal = Effect::Seal { order: 1, fresh: false };
    assert_eq!(submit(&mut outbox, text(1), 0), [Effect::Put(1), seal]);
    let effects = outbox.sealed(1, sent(1), 0);
    assert_eq!(effects[..2], [Effect::PutSn(BOB, 1), Effect::Put(1)]);
    assert_eq!(transmitted(&effects), [(1, 1, Sealed::new(vec![1; 20]))]);
    assert_eq!(told(&effects), [Progress::Sent(text(1).0)]);
    let effects = outbox.answered(1, accepted(1, 1, &[BOB_PHONE]), 5);
    let id = text(1).0;
    let both = [Progress::Accepted { id, skipped: 0 }, Progress::Delivered(id)];
    assert_eq!(told(&effects), both);
    assert!(outbox.entry(1).unwrap().sent.is_some(), "kept until all devices have it");
    for (device, effect) in [(BOB_DESK, Effect::Put(1)), (OWN_OTHER, Effect::Drop(1))] {
        let news = News::Delivered { mid: Mid([1; 16]), device };
        assert_eq!(outbox.notice(&news, 6), [effect]);
    }
    assert_eq!(outbox.entries().count(), 0);
}

#[test]
fn skipped_expired_and_unreadable_settle_but_do_not_deliver() {
    let mut outbox = up();
    submit(&mut outbox, text(1), 0);
    outbox.sealed(1, sent(1), 0);
    let skipped = vec![Skipped { device: OWN_OTHER, why: SkipReason::Full }];
    let mid = Mid([1; 16]);
    let answer = Accepted { sn: 1, mid, delivered: vec![], skipped };
    let told_first = told(&outbox.answered(1, Answer::Accepted(answer), 0));
    assert_eq!(told_first, [Progress::Accepted { id: text(1).0, skipped: 1 }]);
    let news = News::Undecryptable { mid, device: BOB_PHONE, code: "BAD_TAG".to_owned() };
    let effects = outbox.notice(&news, 0);
    assert!(matches!(told(&effects)[..], [Progress::Unreadable { .. }]));
    let effects = outbox.notice(&News::Expired { mid, device: BOB_DESK }, 0);
    assert_eq!(effects, [Effect::Tell(Progress::Expired(text(1).0)), Effect::Drop(1)]);
}

#[test]
fn delivered_before_accepted_releases_nothing() {
    let mut outbox = up();
    submit(&mut outbox, text(1), 0);
    outbox.sealed(1, sent(1), 0);
    for device in [BOB_PHONE, BOB_DESK, OWN_OTHER] {
        let effects = outbox.notice(&News::Delivered { mid: Mid([1; 16]), device }, 0);
        assert_eq!(effects, [Effect::Put(1)]);
    }
    let effects = outbox.answered(1, accepted(1, 1, &[]), 0);
    let id = text(1).0;
    let both = [Progress::Accepted { id, skipped: 0 }, Progress::Delivered(id)];
    assert_eq!(told(&effects), both);
    assert!(effects.contains(&Effect::Drop(1)));
}

#[test]
fn the_rule_holds_and_the_same_bytes_follow() {
    let mut outbox = up();
    submit(&mut outbox, text(1), 0);
    outbox.sealed(1, sent(1), 0);
    let effects = outbox.answered(1, limited(Rule::MessageInterval, 4321), 100);
    assert_eq!(told(&effects), [Progress::Held { id: text(1).0, for_ms: 4321 }]);
    assert_eq!(outbox.wake(), Some(4421));
    assert_eq!(transmitted(&outbox.tick(4420)), []);
    assert_eq!(transmitted(&outbox.tick(4421)), [(1, 1, Sealed::new(vec![1; 20]))]);
}

#[test]
fn a_receipt_overtakes_a_held_text_which_is_then_encrypted_again() {
    let mut outbox = up();
    submit(&mut outbox, text(1), 0);
    outbox.sealed(1, sent(1), 0);
    outbox.answered(1, limited(Rule::MessageInterval, 9000), 0);
    let effects = submit(&mut outbox, receipt(2), 1);
    assert!(effects.contains(&Effect::Seal { order: 2, fresh: false }));
    assert_eq!(transmitted(&outbox.sealed(2, sent(2), 1)), [(2, 2, Sealed::new(vec![2; 20]))]);
    outbox.answered(2, accepted(2, 2, &[]), 2);
    let effects = outbox.tick(9000);
    assert_eq!(effects, [Effect::Put(1), Effect::Seal { order: 1, fresh: false }]);
    let effects = outbox.sealed(1, sent(3), 9000);
    assert_eq!(transmitted(&effects), [(1, 3, Sealed::new(vec![3; 20]))]);
    assert_eq!(outbox.entry(1).unwrap().mids, [Mid([1; 16]), Mid([3; 16])]);
}

#[test]
fn a_known_interval_holds_plaintext() {
    let mut outbox = up();
    outbox.set_interval(10_000);
    submit(&mut outbox, text(1), 0);
    outbox.sealed(1, sent(1), 0);
    outbox.answered(1, accepted(1, 1, &[]), 50);
    let held = |n: u8, for_ms| Progress::Held { id: text(n).0, for_ms };
    assert_eq!(told(&submit(&mut outbox, text(2), 60)), [held(2, 9990)]);
    assert_eq!(told(&submit(&mut outbox, text(3), 60)), [held(3, 19_990)]);
    assert!(outbox.entry(2).unwrap().sent.is_none());
    let effects = outbox.tick(10_050);
    assert_eq!(effects, [Effect::Seal { order: 2, fresh: false }]);
}

#[test]
fn unavailable_keeps_number_bytes_and_slot() {
    let mut outbox = up();
    submit(&mut outbox, text(1), 0);
    outbox.sealed(1, sent(1), 0);
    outbox.answered(1, reject(Reject::Unavailable { retry_after_ms: 200 }), 0);
    let effects = submit(&mut outbox, receipt(2), 1);
    assert_eq!(effects, [Effect::Put(2)], "the slot is taken");
    assert_eq!(transmitted(&outbox.tick(200)), [(1, 1, Sealed::new(vec![1; 20]))]);
}

#[test]
fn a_stale_epoch_is_looked_up_and_a_stubborn_one_backs_off() {
    let mut outbox = up();
    submit(&mut outbox, text(1), 0);
    outbox.sealed(1, sent(1), 0);
    let effects = outbox.answered(1, reject(Reject::EpochStale {}), 0);
    assert_eq!(effects, [Effect::Put(1), Effect::Seal { order: 1, fresh: true }]);
    assert_eq!(transmitted(&outbox.sealed(1, sent(2), 0))[0].1, 2, "a new number");
    let effects = outbox.answered(1, reject(Reject::EpochStale {}), 0);
    assert_eq!(effects, [Effect::Put(1)]);
    assert_eq!(outbox.wake(), Some(10_000));
}

#[test]
fn a_stale_number_takes_a_known_answer_or_goes_on_past_the_last() {
    let stale =
        |mid: u8, answer| reject(Reject::StaleSn { last_sn: 40, mid: Mid([mid; 16]), answer });
    let mut outbox = up();
    submit(&mut outbox, text(1), 0);
    outbox.sealed(1, sent(1), 0);
    let Answer::Accepted(known) = accepted(1, 1, &[BOB_PHONE]) else { unreachable!() };
    let mut other = outbox.clone();
    let effects = outbox.answered(1, stale(1, Some(known)), 0);
    assert!(told(&effects).contains(&Progress::Delivered(text(1).0)));

    let effects = other.answered(1, stale(9, None), 0);
    assert!(effects.contains(&Effect::PutSn(BOB, 40)));
    assert_eq!(transmitted(&other.sealed(1, sent(2), 0))[0].1, 41);
}

#[test]
fn refusals_for_good_say_why() {
    for (refusal, why) in [
        (Reject::NotContact {}, "not_contact"),
        (Reject::RecipientStale {}, "recipient_stale"),
        (Reject::TooLarge { limit: 1 }, "too_large"),
        (Reject::Forbidden {}, "forbidden"),
    ] {
        let mut outbox = up();
        submit(&mut outbox, text(1), 0);
        outbox.sealed(1, sent(1), 0);
        let effects = outbox.answered(1, reject(refusal), 0);
        let failed = Progress::Failed { id: text(1).0, why, may_have_arrived: false };
        assert_eq!(effects, [Effect::Drop(1), Effect::Tell(failed)]);
    }
}

#[test]
fn a_new_generation_gets_what_was_not_delivered_before_anything_new() {
    let mut outbox = up();
    for n in [1, 2] {
        submit(&mut outbox, text(n), 0);
        outbox.sealed(n.into(), sent(n), 0);
        outbox.answered(n.into(), accepted(n.into(), n, &[]), 0);
    }
    outbox.disconnected();
    submit(&mut outbox, text(3), 0);
    let next = Gen([2; 16]);
    let effects = outbox.connected(next, 1000);
    let first = Effect::Transmit {
        order: 1,
        to: BOB,
        sn: 1,
        upload: Sealed::new(vec![1; 20]),
        withdraw: Vec::new(),
        re: Some(next),
    };
    assert_eq!(effects, [first]);
    outbox.answered(1, accepted(1, 1, &[]), 1000);
    assert_eq!(outbox.wake(), Some(1200), "at most five a second");
    assert_eq!(transmitted(&outbox.tick(1200))[0].1, 2);
    // The epoch moved on meanwhile: same number, other bytes.
    let effects = outbox.answered(2, reject(Reject::EpochStale {}), 1200);
    assert_eq!(effects, [Effect::Seal { order: 2, fresh: true }]);
    let effects = outbox.sealed(2, sent(8), 1200);
    assert_eq!(transmitted(&effects), [(2, 2, Sealed::new(vec![8; 20]))]);
    outbox.answered(2, accepted(2, 8, &[]), 1200);
    assert_eq!(outbox.tick(1400), [Effect::SayResynced(next)]);
    let effects = outbox.resynced(None, 1500);
    let told = Effect::Tell(Progress::Resynced { again: 2 });
    assert_eq!(effects, [Effect::PutGen(next), told, Effect::Seal { order: 3, fresh: false }]);
}

#[test]
fn answers_to_something_else_change_nothing() {
    let mut outbox = up();
    submit(&mut outbox, text(1), 0);
    outbox.sealed(1, sent(1), 0);
    assert_eq!(outbox.answered(1, accepted(1, 9, &[]), 0), []);
    assert_eq!(outbox.answered(77, accepted(1, 1, &[]), 0), []);
    assert!(!outbox.entry(1).unwrap().accepted);
}

#[test]
fn the_bounds_hold_when_filled() {
    let mut outbox = up();
    let mut seals = 0;
    for n in 0..ENTRIES_MAX {
        let to = UserId([u8::try_from(n % 50).unwrap(); 32]);
        let effects = outbox.submit(to, text(1).0, text(1).1, 0, 0).unwrap();
        seals += effects.iter().filter(|e| matches!(e, Effect::Seal { .. })).count();
        if n == 200 {
            // The rest need not look at the wire each time.
            outbox.disconnected();
        }
    }
    assert_eq!(seals, IN_FLIGHT);
    assert_eq!(outbox.submit(BOB, text(1).0, text(1).1, 0, 0), Err(Full));

    let mut outbox = up();
    submit(&mut outbox, text(1), 0);
    for n in 0..200 {
        outbox.sealed(1, sent(n), 0);
        outbox.answered(1, reject(Reject::EpochStale {}), u64::from(n) * 1_000_000);
        outbox.tick(u64::from(n) * 1_000_000 + 900_000);
    }
    assert_eq!(outbox.entry(1).unwrap().mids.len(), MIDS_MAX);
}

#[test]
fn an_entry_survives_the_store() {
    let mut outbox = up();
    submit(&mut outbox, text(1), 0);
    outbox.sealed(1, sent(1), 0);
    let entry = outbox.entry(1).unwrap();
    let json = serde_json::to_vec(entry).unwrap();
    assert_eq!(&serde_json::from_slice::<Entry>(&json).unwrap(), entry);
}

#[test]
fn numbers_of_a_hostile_server_neither_overflow_nor_hold_for_ever() {
    let forever = u64::MAX;
    for answer in [
        reject(Reject::Unavailable { retry_after_ms: forever }),
        limited(Rule::Repeat, forever),
        limited(Rule::Resubmission, forever),
        limited(Rule::ControlLane, forever),
        limited(Rule::MessageInterval, forever),
    ] {
        let mut outbox = up();
        outbox.set_interval(forever);
        submit(&mut outbox, text(1), 1);
        submit(&mut outbox, text(2), 1);
        outbox.sealed(1, sent(1), 1);
        outbox.answered(1, answer, 1);
        assert!(outbox.wake().is_none_or(|at| at <= 1 + WAIT_MAX_MS), "{:?}", outbox.wake());
    }
    let mut outbox = up();
    submit(&mut outbox, text(1), 1);
    outbox.not_sealed(1, NotSealed::Later(forever), 1);
    assert_eq!(outbox.wake(), Some(1 + WAIT_MAX_MS));
    outbox.resync(Gen([2; 16]), 1);
    outbox.resynced(Some(forever), 1);
}

#[test]
fn devices_that_a_server_invents_do_not_fill_an_entry() {
    let mut outbox = up();
    submit(&mut outbox, text(1), 0);
    outbox.sealed(1, sent(1), 0);
    outbox.answered(1, accepted(1, 1, &[]), 0);
    for n in 100..=255 {
        outbox.notice(&News::Delivered { mid: Mid([1; 16]), device: DeviceId([n; 16]) }, 0);
    }
    assert!(outbox.entry(1).is_some_and(|entry| entry.settled.len() <= SETTLED_MAX));
}

#[test]
fn a_code_that_is_none_is_not_passed_on() {
    for (said, told_as) in [("BAD_TAG", "BAD_TAG"), ("\u{1b}[2J", "UNKNOWN")] {
        let mut outbox = up();
        submit(&mut outbox, text(1), 0);
        outbox.sealed(1, sent(1), 0);
        outbox.answered(1, accepted(1, 1, &[]), 0);
        let (mid, device) = (Mid([1; 16]), BOB_PHONE);
        let news = News::Undecryptable { mid, device, code: said.to_owned() };
        let (id, code) = (text(1).0, told_as.to_owned());
        assert_eq!(told(&outbox.notice(&news, 0)), [Progress::Unreadable { id, code }]);
    }
}

/// The removal of what `text(target)` said, and what its transmission withdraws.
fn removal_of(outbox: &mut Outbox, target: u8, n: u8) -> Vec<Mid> {
    let said = Said::Remove { target: text(target).0 };
    submit(outbox, (Id(ContentId([n; 16])), said), 0);
    let effects = outbox.sealed(n.into(), sent(n), 0);
    let withdraw = |effect: &Effect| match effect {
        Effect::Transmit { withdraw, .. } => Some(withdraw.clone()),
        _ => None,
    };
    effects.iter().find_map(withdraw).unwrap()
}

#[test]
fn a_removal_withdraws_what_was_sent_for_its_target_and_nothing_else() {
    let mut outbox = up();
    for n in [1, 2] {
        submit(&mut outbox, text(n), 0);
        outbox.sealed(n.into(), sent(n), 0);
        outbox.answered(n.into(), accepted(n.into(), n, &[]), 0);
    }
    let edit = Said::Edit { target: text(1).0, rev: 1, text: "other".to_owned() };
    submit(&mut outbox, (Id(ContentId([3; 16])), edit), 0);
    outbox.sealed(3, sent(3), 0);
    outbox.answered(3, accepted(3, 3, &[]), 0);
    assert_eq!(removal_of(&mut outbox, 1, 4), [Mid([1; 16]), Mid([3; 16])]);
    // Until the removal is accepted the loss of the queues puts them back in order.
    assert!(outbox.entry(1).is_some() && outbox.entry(3).is_some());
    let effects = outbox.answered(4, accepted(4, 4, &[]), 0);
    assert!(effects.contains(&Effect::Drop(1)) && effects.contains(&Effect::Drop(3)));
    assert!(outbox.entry(2).is_some() && outbox.entry(4).is_some());
    // Its delivery may still be told: of something that is forgotten.
    let news = News::Delivered { mid: Mid([1; 16]), device: BOB_PHONE };
    assert_eq!(outbox.notice(&news, 0), []);
}

#[test]
fn a_removal_names_the_newest_of_many_and_leaves_batches() {
    let mut outbox = up();
    submit(&mut outbox, text(1), 0);
    for mid in 1..=20 {
        outbox.sealed(1, sent(mid), 0);
        if mid < 20 {
            outbox.answered(1, reject(Reject::EpochStale {}), u64::from(mid) * 1_000_000);
        }
    }
    outbox.answered(1, accepted(20, 20, &[]), 0);
    let item = |n| crate::said::Item { id: text(n).0, said: text(n).1 };
    let batch = Said::Batch { items: vec![item(50), item(51)] };
    submit(&mut outbox, (Id(ContentId([52; 16])), batch), 0);
    outbox.sealed(2, sent(52), 0);
    outbox.answered(2, accepted(21, 52, &[]), 0);
    assert_eq!(removal_of(&mut outbox, 50, 3), []);
    outbox.answered(3, accepted(22, 3, &[]), 0);
    assert!(outbox.entry(2).is_some(), "its other part is to arrive");
    let named = removal_of(&mut outbox, 1, 4);
    assert_eq!(named.len(), limits::WITHDRAW_MAX);
    assert_eq!((named[0], named[15]), (Mid([5; 16]), Mid([20; 16])));
}

#[test]
fn who_parts_gives_up_what_was_to_go_to_them() {
    let mut outbox = up();
    for n in [1, 2] {
        submit(&mut outbox, text(n), 0);
    }
    outbox.sealed(1, sent(1), 0);
    outbox.answered(1, accepted(1, 1, &[]), 0);
    let (id, said) = text(3);
    outbox.submit(UserId([3; 32]), id, said, 0, 0).unwrap();
    let effects = outbox.part(&BOB, 0);
    let failed = Progress::Failed { id: text(2).0, why: "parted", may_have_arrived: false };
    assert_eq!(told(&effects), [failed], "what was accepted is with the server");
    assert!(effects.contains(&Effect::Drop(1)) && effects.contains(&Effect::Drop(2)));
    assert!(outbox.entry(3).is_some());
}

#[test]
fn what_follows_something_that_was_encrypted_again_is_encrypted_again_too() {
    use hushwire_wire::message::{Class, Header, write_upload};
    let in_epoch = |n: u8, epoch: u8, counter: u32| {
        let (class, epoch, mid) = (Class::Text, EpochId([epoch; 32]), Mid([n; 16]));
        let header = Header { class, sender: 0, lane: 0, counter, epoch, mid };
        Sent { epoch, upload: write_upload(&header, &[0; 32], &[0; 272], &[]).into(), ..sent(n) }
    };
    let mut outbox = up();
    for (n, epoch, counter) in [(1, 7, 5), (2, 8, 0), (3, 8, 1)] {
        let order = u64::from(n);
        submit(&mut outbox, text(n), 0);
        outbox.sealed(order, in_epoch(n, epoch, counter), 0);
        outbox.answered(order, accepted(order, n, &[]), 0);
    }
    let effects = outbox.resync(Gen([2; 16]), 1_000);
    assert_eq!(transmitted(&effects).len(), 1);
    let effects = outbox.answered(1, reject(Reject::EpochStale {}), 1_000);
    assert!(effects.contains(&Effect::Seal { order: 1, fresh: true }));
    // It comes after what was said later, in the chain of the epoch that they share now.
    assert_eq!(transmitted(&outbox.sealed(1, in_epoch(11, 8, 2), 1_000)).len(), 1);
    outbox.answered(1, accepted(1, 11, &[]), 1_000);
    for (order, n, counter) in [(2, 12, 3), (3, 13, 4)] {
        let now = 1_000 * order;
        assert_eq!(outbox.tick(now), [Effect::Seal { order, fresh: false }]);
        assert_eq!(transmitted(&outbox.sealed(order, in_epoch(n, 8, counter), now)).len(), 1);
        outbox.answered(order, accepted(order, n, &[]), now);
    }
    assert_eq!(outbox.tick(9_000), [Effect::SayResynced(Gen([2; 16]))]);
}
