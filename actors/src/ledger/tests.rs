use std::sync::Arc;

use hushwire_wire::UserId;
use proptest::prelude::*;

use super::*;
use crate::testing::entry;

const NODE: NodeId = NodeId([1; 16]);

fn conn(k: u8) -> Conn {
    Conn([k; 16])
}

fn page(ledger: &mut Ledger, k: u8, after: u64) -> Page {
    let op = Op::Page {
        conn: conn(k),
        after,
        notices_after: 0,
        skip: vec![],
        messages: 10_000,
        bytes: 1 << 30,
    };
    match ledger.apply(&op, &Limits::default(), 0) {
        Outcome::Page(page) => page,
        other => panic!("{other:?}"),
    }
}

fn attach(ledger: &mut Ledger, k: u8) {
    let op = Op::Attach { node: NODE, conn: conn(k) };
    assert_eq!(ledger.apply(&op, &Limits::default(), 0), Outcome::Attached);
}

fn flip(ledger: &mut Ledger, k: u8, last: u64) -> Outcome {
    let op = Op::Flip { conn: conn(k), last, notices_last: 0 };
    ledger.apply(&op, &Limits::default(), 0)
}

fn force(ledger: &mut Ledger, entry: Entry, limits: &Limits) -> Taken {
    force_at(ledger, entry, limits, 0)
}

fn force_at(ledger: &mut Ledger, entry: Entry, limits: &Limits, now_ms: u64) -> Taken {
    match ledger.apply(&Op::Force { entries: vec![entry] }, limits, now_ms) {
        Outcome::Written(taken) => taken[0],
        other => panic!("{other:?}"),
    }
}

const FULL: Taken = Taken::Skipped(SkipReason::Full);

#[test]
fn a_key_goes_behind_live_and_behind_again() {
    let limits = Limits::default();
    let mut ledger = Ledger::default();
    attach(&mut ledger, 1);
    assert_eq!(flip(&mut ledger, 1, 0), Outcome::Flipped(true));
    let enqueue = |sn, dead: Option<u8>| Op::Enqueue {
        entries: vec![entry(1, 2, sn, 100)],
        dead: dead.map(conn),
    };
    let held = ledger.apply(&enqueue(1, None), &limits, 0);
    assert!(matches!(held, Outcome::Held(key) if key.conn == conn(1)));
    assert_eq!(ledger.len().0, 0, "nothing was written");
    // The connection was tried and is gone.
    let written = ledger.apply(&enqueue(1, Some(1)), &limits, 0);
    assert_eq!(written, Outcome::Written(vec![Taken::Queued]));
    assert_eq!(ledger.holder(0).unwrap().mode, Mode::Behind);
    assert_eq!(flip(&mut ledger, 1, 0), Outcome::Flipped(false), "something lies above");
    assert_eq!(flip(&mut ledger, 1, 1), Outcome::Flipped(true));
    assert_eq!(force(&mut ledger, entry(1, 2, 2, 100), &limits), Taken::Queued);
    assert_eq!(ledger.holder(0).unwrap().mode, Mode::Behind, "forced");
    // Another connection takes over; the first one's calls no longer count as the holder's.
    attach(&mut ledger, 2);
    assert_eq!(flip(&mut ledger, 1, 9), Outcome::NotHolder);
    assert_eq!(flip(&mut ledger, 2, 2), Outcome::Flipped(true));
    let detach = Op::Detach { conn: conn(1), entries: vec![entry(1, 2, 3, 100)] };
    assert_eq!(ledger.apply(&detach, &limits, 0), Outcome::Written(vec![Taken::Queued]));
    assert_eq!(ledger.holder(0).map(|key| key.mode), Some(Mode::Behind), "as force");
    let detach = Op::Detach { conn: conn(2), entries: vec![] };
    ledger.apply(&detach, &limits, 0);
    assert_eq!(ledger.holder(0), None);
}

#[test]
fn a_key_ends_unless_it_is_touched_and_returns_as_behind() {
    let limits = Limits::default();
    let mut ledger = Ledger::default();
    attach(&mut ledger, 1);
    flip(&mut ledger, 1, 0);
    let touch = |k| Op::Touch { node: NODE, conn: conn(k) };
    assert_eq!(ledger.apply(&touch(1), &limits, KEY_TTL_MS), Outcome::Attached);
    assert_eq!(ledger.holder(2 * KEY_TTL_MS).unwrap().mode, Mode::Live);
    assert_eq!(ledger.apply(&touch(2), &limits, KEY_TTL_MS), Outcome::NotHolder);
    assert_eq!(ledger.apply(&touch(1), &limits, 2 * KEY_TTL_MS + 1), Outcome::Attached);
    assert_eq!(ledger.holder(2 * KEY_TTL_MS + 1).unwrap().mode, Mode::Behind);
}

#[test]
fn every_quota_fills_and_nothing_accepted_is_dropped() {
    let all = Limits {
        ledger_messages: 6,
        ledger_bytes: 5_000,
        ledger_messages_per_sender: 3,
        ledger_bytes_per_sender: 2_000,
        ..Limits::default()
    };
    let mut ledger = Ledger::default();
    for sn in 1..=3 {
        assert_eq!(force(&mut ledger, entry(1, 9, sn, 100), &all), Taken::Queued);
    }
    assert_eq!(force(&mut ledger, entry(1, 9, 4, 100), &all), FULL, "messages of one sender");
    assert_eq!(force(&mut ledger, entry(2, 9, 1, 2_001), &all), FULL, "bytes of one sender");
    assert_eq!(force(&mut ledger, entry(3, 9, 1, 2_000), &all), Taken::Queued);
    assert_eq!(force(&mut ledger, entry(4, 9, 1, 2_000), &all), Taken::Queued);
    assert_eq!(force(&mut ledger, entry(5, 9, 1, 800), &all), FULL, "bytes");
    assert_eq!(force(&mut ledger, entry(6, 9, 1, 100), &all), Taken::Queued);
    assert_eq!(force(&mut ledger, entry(7, 9, 1, 1), &all), FULL, "messages");
    assert_eq!(ledger.len(), (6, 4_400, 4), "and four gaps");
    // A skip is remembered: the late write of the same message does not undo it.
    let settled = [1, 2, 3].map(|sn| {
        let (from, mid) = entry(1, 9, sn, 100).id();
        Settled { from, mid, news: None }
    });
    ledger.settle(&settled);
    assert_eq!(force(&mut ledger, entry(1, 9, 4, 100), &all), FULL, "skipped before");
    assert_eq!(force(&mut ledger, entry(1, 9, 3, 100), &all), Taken::Queued, "delivered before");
    assert_eq!(ledger.len().0, 3, "and not written again");
    assert_eq!(force(&mut ledger, entry(1, 9, 5, 100), &all), Taken::Queued);
}

#[test]
fn notices_and_remembered_senders_are_bounded() {
    let limits =
        Limits { notices_per_device: 5, ledger_senders: 4, remember_ms: 100, ..Limits::default() };
    let mut ledger = Ledger::default();
    let news = |k: u8| News::Delivered { mid: Mid([k; 16]), device: DeviceId([1; 16]) };
    for k in 0..9 {
        ledger.apply(&Op::Notice { news: news(k) }, &limits, 0);
        ledger.apply(&Op::Notice { news: news(k) }, &limits, 0);
    }
    assert_eq!(ledger.len().2, 5, "coalesced and bounded");
    attach(&mut ledger, 1);
    let notices = page(&mut ledger, 1, 0).notices;
    assert_eq!(
        notices.iter().map(|(_, n)| n.clone()).collect::<Vec<_>>(),
        [4, 5, 6, 7, 8].map(news)
    );
    ledger.apply(&Op::Ack { settled: vec![], notices: notices[2].0 }, &limits, 0);
    assert_eq!(ledger.len().2, 2);
    for from in 0..20 {
        force(&mut ledger, entry(from, 9, 1, 10), &limits);
    }
    assert_eq!(ledger.lines.len(), (4, 0));
    ledger.expire(DeviceId([1; 16]), &limits, 100, 10);
    assert_eq!((ledger.lines.len().0, ledger.len().2), (0, 0), "forgotten after 31 days");
}

#[test]
fn what_waited_too_long_is_told_before_it_goes() {
    let limits = Limits { expire_after_ms: 1_000, ..Limits::default() };
    let mut ledger = Ledger::default();
    for sn in 1..=3 {
        let op = Op::Force { entries: vec![entry(1, 2, sn, 50)] };
        ledger.apply(&op, &limits, sn * 100);
    }
    let me = DeviceId([2; 16]);
    assert_eq!(ledger.expire(me, &limits, 1_099, 10), []);
    let due = ledger.expire(me, &limits, 1_250, 10);
    assert_eq!(due.len(), 2);
    assert!(matches!(due[0].news, Some(News::Expired { device, .. }) if device == me));
    assert_eq!(ledger.len().0, 3, "still there until the senders were told");
    ledger.settle(&due);
    assert_eq!(ledger.len().0, 1);
}

#[test]
fn a_page_respects_window_and_bounds() {
    let mut ledger = Ledger::default();
    attach(&mut ledger, 1);
    for sn in 1..=6 {
        force(&mut ledger, entry(1, 2, sn, 100), &Limits::default());
    }
    let get = |skip: Vec<u64>, messages, bytes| {
        let skip = skip.into_iter().map(|sn| entry(1, 2, sn, 100).id()).collect();
        let op = Op::Page { conn: conn(1), after: 1, notices_after: 0, skip, messages, bytes };
        let Outcome::Page(page) = ledger.clone().apply(&op, &Limits::default(), 0) else {
            panic!("no page")
        };
        let sns: Vec<_> = page.entries.iter().map(|e| e.envelope.sn).collect();
        (sns, page.last, page.more)
    };
    assert_eq!(get(vec![3], 10, 10_000), (vec![2, 4, 5, 6], 6, false));
    assert_eq!(get(vec![], 2, 10_000), (vec![2, 3], 3, true));
    assert_eq!(get(vec![], 10, 250), (vec![2, 3], 3, true));
    assert_eq!(get(vec![], 10, 50), (vec![2], 2, true), "one may exceed it alone");
    assert_eq!(get(vec![1], 10, 50), (vec![], 1, true), "but not beside another");
}

#[test]
fn after_a_revocation_nothing_is_written_and_nobody_attaches() {
    let limits = Limits::default();
    let mut ledger = Ledger::default();
    attach(&mut ledger, 1);
    force(&mut ledger, entry(1, 2, 1, 100), &limits);
    let news = News::Delivered { mid: Mid([1; 16]), device: DeviceId([1; 16]) };
    ledger.apply(&Op::Notice { news: news.clone() }, &limits, 0);
    assert_eq!(ledger.apply(&Op::Revoke, &limits, 0), Outcome::Revoked);
    assert_eq!((ledger.len(), ledger.holder(0)), ((0, 0, 0), None));
    let entries = || vec![entry(1, 2, 2, 100), entry(1, 2, 3, 100)];
    let (conn, node) = (conn(1), NODE);
    let skipped = Outcome::Written(vec![Taken::Skipped(SkipReason::Revoked); 2]);
    for op in [
        Op::Enqueue { entries: entries(), dead: None },
        Op::Enqueue { entries: entries(), dead: Some(conn) },
        Op::Force { entries: entries() },
        Op::Back { conn, entries: entries() },
        Op::Detach { conn, entries: entries() },
    ] {
        assert_eq!(ledger.apply(&op, &limits, 0), skipped, "{op:?}");
    }
    for op in [
        Op::Attach { node, conn },
        Op::Touch { node, conn },
        Op::Flip { conn, last: 9, notices_last: 9 },
        Op::Page { conn, after: 0, notices_after: 0, skip: vec![], messages: 9, bytes: 999 },
        Op::Revoke,
    ] {
        assert_eq!(ledger.apply(&op, &limits, 0), Outcome::Revoked, "{op:?}");
    }
    ledger.apply(&Op::Notice { news: news.clone() }, &limits, 0);
    ledger.notice(news, &limits, 0);
    assert_eq!(ledger, Ledger::revoked(), "nothing but the tombstone");
}

#[test]
fn what_waits_from_a_sender_is_dropped_and_so_is_what_is_late() {
    let limits = Limits { ledger_dropped: 2, remember_ms: 1_000, ..Limits::default() };
    let mut ledger = Ledger::default();
    for from in [1, 2] {
        for sn in 1..=2 {
            force(&mut ledger, entry(from, 9, sn, 100), &limits);
        }
    }
    let drop_from = |user: u8| Op::DropFrom { sender: UserId([user; 32]) };
    assert_eq!(ledger.apply(&drop_from(1), &limits, 1), Outcome::Dropped);
    assert_eq!(ledger.len(), (2, 200, 0), "the other sender's stay");
    assert_eq!(
        force_at(&mut ledger, entry(1, 9, 2, 100), &limits, 1),
        Taken::Queued,
        "as recorded"
    );
    assert_eq!(
        force_at(&mut ledger, entry(1, 9, 3, 100), &limits, 1),
        Taken::Queued,
        "was under way"
    );
    assert_eq!(ledger.len(), (2, 200, 0), "neither is written");
    // Admitted later, after they made up.
    let mut later = entry(1, 9, 4, 100);
    Arc::get_mut(&mut later.envelope).unwrap().at = 2;
    assert_eq!(force_at(&mut ledger, later, &limits, 1), Taken::Queued);
    assert_eq!(ledger.len(), (3, 300, 0), "written");
    // Sent again under the old number, when nothing of then can be under way; or by another clock.
    force_at(&mut ledger, entry(1, 9, 5, 100), &limits, 60_001);
    assert_eq!(ledger.len(), (4, 400, 0), "written");
    ledger.apply(&drop_from(1), &limits, 90_000);
    force_at(&mut ledger, entry(1, 9, 6, 100), &limits, 0);
    assert_eq!(ledger.len(), (3, 300, 0), "written");
    ledger.apply(&drop_from(3), &limits, 90_002);
    ledger.apply(&drop_from(4), &limits, 90_003);
    assert_eq!(ledger.lines.len().1, 2, "bounded, the oldest goes");
    ledger.expire(DeviceId([9; 16]), &limits, 91_003, 0);
    assert_eq!(ledger.lines.len(), (0, 0));
}

/// A removal by device `from` of user `user`, which withdraws the messages of user `of` with these
/// numbers.
fn removal(user: u8, from: u8, sn: u64, of: u8, withdraw: &[u64]) -> Entry {
    let mut removal = entry(from, 9, sn, 10);
    let envelope = Arc::get_mut(&mut removal.envelope).unwrap();
    envelope.from_user = UserId([user; 32]);
    envelope.withdraw = withdraw.iter().map(|sn| entry(of, 9, *sn, 10).id().1).collect();
    removal
}

#[test]
fn a_removal_drops_its_users_messages_that_still_wait_and_no_others() {
    let limits = Limits { ledger_messages: 6, ..Limits::default() };
    let mut ledger = Ledger::default();
    attach(&mut ledger, 1);
    // The mids of the test's messages are the same for all senders.
    for from in [1, 2] {
        for sn in 1..=3 {
            force(&mut ledger, entry(from, 9, sn, 100), &limits);
        }
    }
    let sent = |ledger: &mut Ledger| -> Vec<_> {
        let page = page(ledger, 1, 0).entries;
        page.iter().map(|e| (e.envelope.from_device.0[0], e.envelope.sn)).collect()
    };
    // By another device of user 1, and again; it names itself, too. The ledger was full.
    let by_sibling = removal(1, 11, 7, 1, &[1, 3, 7, 99]);
    for _ in 0..2 {
        assert_eq!(force(&mut ledger, by_sibling.clone(), &limits), Taken::Queued);
        assert_eq!(sent(&mut ledger), [(1, 2), (2, 1), (2, 2), (2, 3), (11, 7)]);
    }
    assert_eq!(force(&mut ledger, entry(1, 9, 3, 100), &limits), Taken::Queued, "as recorded");
    assert_eq!(ledger.len(), (5, 416, 0), "and not written again");
    // To another recipient: an own copy in the ledger of a sibling.
    let mut elsewhere = removal(1, 12, 1, 1, &[2]);
    Arc::get_mut(&mut elsewhere.envelope).unwrap().to = UserId([8; 32]);
    force(&mut ledger, elsewhere, &limits);
    assert!(sent(&mut ledger).contains(&(1, 2)), "another pair's");
}

#[test]
fn what_is_skipped_is_counted_for_its_contact_once() {
    let limits = Limits { ledger_messages: 1, ..Limits::default() };
    let mut ledger = Ledger::default();
    force(&mut ledger, entry(1, 9, 1, 10), &limits);
    for sn in [2, 2, 3] {
        assert_eq!(force(&mut ledger, entry(1, 9, sn, 10), &limits), FULL);
    }
    // A copy of an own message: the contact is its recipient.
    assert_eq!(force(&mut ledger, Entry { own: true, ..entry(9, 7, 1, 10) }, &limits), FULL);
    assert_eq!(ledger.len(), (1, 16, 2));
    attach(&mut ledger, 1);
    let notices = page(&mut ledger, 1, 0).notices;
    let gap = |contact, count| News::Gap { contact: UserId([contact; 32]), count };
    assert_eq!(notices, [(1, gap(1, 2)), (2, gap(7, 1))], "a repeat is not another one");
    assert_eq!(flip(&mut ledger, 1, 9), Outcome::Flipped(false), "not before it was told");
    ledger.apply(&Op::Ack { settled: vec![], notices: 2 }, &limits, 0);
    assert_eq!(ledger.len(), (1, 16, 0));
}

#[derive(Clone, Debug)]
enum Act {
    Attach(u8),
    Write { how: u8, conn: u8, from: u8, sn: u64 },
    Flip(u8),
    Ack { from: u8, sn: u64 },
    Withdraw { from: u8, sn: u64, of: u64 },
    DropFrom(u8),
    Revoke,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0u8..3).prop_map(Act::Attach),
        24 => (0u8..5, 0u8..3, 1u8..4, 1u64..12)
            .prop_map(|(how, conn, from, sn)| Act::Write { how, conn, from, sn }),
        8 => (0u8..3).prop_map(Act::Flip),
        12 => (1u8..4, 1u64..12).prop_map(|(from, sn)| Act::Ack { from, sn }),
        6 => (1u8..4, 1u64..12, 1u64..12)
            .prop_map(|(from, sn, of)| Act::Withdraw { from, sn, of }),
        1 => (1u8..4).prop_map(Act::DropFrom),
        1 => Just(Act::Revoke),
    ]
}

/// The rules again, over plain lists.
#[derive(Default)]
struct Model {
    key: Option<(u8, bool)>,
    queue: Vec<(u8, u64)>,
    /// (sender, highest sn, what became of it)
    highest: Vec<(u8, u64, Taken)>,
    dropped: Vec<u8>,
    revoked: bool,
}

impl Model {
    fn recorded(&self, from: u8, sn: u64) -> Option<Taken> {
        if self.queue.contains(&(from, sn)) {
            return Some(Taken::Queued);
        }
        let (_, highest, taken) = self.highest.iter().find(|h| h.0 == from)?;
        match sn.cmp(highest) {
            std::cmp::Ordering::Less => Some(Taken::Queued),
            std::cmp::Ordering::Equal => Some(*taken),
            std::cmp::Ordering::Greater => None,
        }
    }

    fn write(&mut self, from: u8, sn: u64, most: usize) -> Taken {
        if self.revoked {
            return Taken::Skipped(SkipReason::Revoked);
        }
        if let Some(taken) = self.recorded(from, sn) {
            return taken;
        }
        self.highest.retain(|highest| highest.0 != from);
        let taken = if self.dropped.contains(&from) {
            Taken::Queued
        } else if self.queue.len() >= most {
            FULL
        } else {
            self.queue.push((from, sn));
            Taken::Queued
        };
        self.highest.push((from, sn, taken));
        taken
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn it_does_what_plain_lists_do(acts in proptest::collection::vec(act(), 0..60)) {
        let limits = Limits { ledger_messages: 6, ..Limits::default() };
        let (mut ledger, mut model) = (Ledger::default(), Model::default());
        for act in acts {
            match act {
                Act::Attach(_) if model.revoked => {}
                Act::Attach(k) => {
                    attach(&mut ledger, k);
                    model.key = Some((k, false));
                }
                Act::Withdraw { from, sn, of } => {
                    if !model.revoked && of != sn {
                        model.queue.retain(|one| *one != (from, of));
                    }
                    let removal = removal(from, from, sn, from, &[of]);
                    let taken = force_at(&mut ledger, removal, &limits, 1);
                    prop_assert_eq!(taken, model.write(from, sn, 6));
                    model.key = model.key.map(|(holder, _)| (holder, false));
                }
                Act::DropFrom(from) => {
                    ledger.apply(&Op::DropFrom { sender: UserId([from; 32]) }, &limits, 1);
                    model.queue.retain(|one| one.0 != from);
                    model.dropped.push(from);
                }
                Act::Revoke => {
                    prop_assert_eq!(ledger.apply(&Op::Revoke, &limits, 0), Outcome::Revoked);
                    model.revoked = true;
                    model.queue.clear();
                    model.key = None;
                }
                Act::Write { how, conn: k, from, sn } => {
                    let entries = vec![entry(from, 9, sn, 10)];
                    let mine = model.key.is_some_and(|(holder, _)| holder == k);
                    let (op, held) = match how {
                        0 => {
                            let live = model.key.is_some_and(|(_, live)| live);
                            (Op::Enqueue { entries, dead: None }, live)
                        }
                        1 => {
                            let live = model.key.is_some_and(|(_, live)| live);
                            (Op::Enqueue { entries, dead: Some(conn(k)) }, live && !mine)
                        }
                        2 => (Op::Force { entries }, false),
                        3 => (Op::Back { conn: conn(k), entries }, false),
                        _ => (Op::Detach { conn: conn(k), entries }, false),
                    };
                    let outcome = ledger.apply(&op, &limits, 1);
                    if held {
                        match model.recorded(from, sn) {
                            None => prop_assert!(matches!(outcome, Outcome::Held(_))),
                            Some(taken) => {
                                prop_assert_eq!(outcome, Outcome::Written(vec![taken]));
                            }
                        }
                        continue;
                    }
                    let taken = model.write(from, sn, 6);
                    prop_assert_eq!(outcome, Outcome::Written(vec![taken]));
                    model.key = match (how, mine) {
                        (3, true) => model.key,
                        (4, true) => None,
                        _ => model.key.map(|(holder, _)| (holder, false)),
                    };
                }
                Act::Flip(k) => {
                    // A session flips at what it has paged: all that is there.
                    let last = ledger.tail();
                    let op = Op::Flip { conn: conn(k), last, notices_last: ledger.top() };
                    let outcome = ledger.apply(&op, &limits, 0);
                    let mine = model.key.is_some_and(|(holder, _)| holder == k);
                    prop_assert_eq!(outcome == Outcome::Flipped(true), mine);
                    if mine {
                        model.key = Some((k, true));
                    }
                }
                Act::Ack { from, sn } => {
                    let (device, mid) = entry(from, 9, sn, 10).id();
                    let settled = vec![Settled { from: device, mid, news: None }];
                    ledger.apply(&Op::Ack { settled, notices: 0 }, &limits, 0);
                    model.queue.retain(|one| *one != (from, sn));
                }
            }
            let holder = ledger.holder(0).map(|key| (key.conn.0[0], key.mode == Mode::Live));
            prop_assert_eq!(holder, model.key);
            prop_assert_eq!(ledger.len().1, model.queue.len() * entry(1, 9, 1, 10).envelope.size());
        }
        if model.revoked {
            return Ok(());
        }
        attach(&mut ledger, 1);
        let left = page(&mut ledger, 1, 0);
        let left: Vec<_> =
            left.entries.iter().map(|e| (e.envelope.from_device.0[0], e.envelope.sn)).collect();
        prop_assert_eq!(left, model.queue);
    }
}

#[test]
fn what_was_skipped_is_not_routed_when_it_comes_late() {
    let limits = Limits { ledger_messages: 1, ..Limits::default() };
    let mut ledger = Ledger::default();
    let enqueue = |sn| Op::Enqueue { entries: vec![entry(1, 2, sn, 100)], dead: None };
    let (node, conn) = (NodeId([1; 16]), Conn([1; 16]));
    assert_eq!(ledger.apply(&enqueue(1), &limits, 1), Outcome::Written(vec![Taken::Queued]));
    let skipped = Outcome::Written(vec![Taken::Skipped(SkipReason::Full)]);
    assert_eq!(ledger.apply(&enqueue(2), &limits, 1), skipped);
    ledger.apply(&Op::Attach { node, conn }, &limits, 1);
    let (from, mid) = entry(1, 2, 1, 100).id();
    let settled = vec![Settled { from, mid, news: None }];
    ledger.apply(&Op::Ack { settled, notices: 9 }, &limits, 1);
    let flip = Op::Flip { conn, last: 9, notices_last: 9 };
    assert_eq!(ledger.apply(&flip, &limits, 1), Outcome::Flipped(true));
    // Its sender was told, and may have sent others since.
    assert_eq!(ledger.apply(&enqueue(2), &limits, 1), skipped);
    assert!(matches!(ledger.apply(&enqueue(3), &limits, 1), Outcome::Held(_)));
}
