//! Epochs that others make: bound to the request, taken in order, superseded, healed, closed.

use std::sync::atomic::Ordering;

use hushwire_identity::{ContactLink, Reason};
use hushwire_wire::http::{EpochBundle, ProblemCode};
use hushwire_wire::{Sealed, frame};

use super::friend::{Board, Friend, REQUEST, contact};
use super::hostile::World;
use super::*;
use crate::event::Trouble;
use crate::record::{Heal, Standing, Wanted};

const DAY_MS: u64 = 86_400_000;

fn refused(taken: Result<(), ClientError>) -> Code {
    match taken {
        Err(ClientError::Unverified(code)) => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_epoch_that_is_seen_leads_back_to_the_request() {
    for case in ["honest", "another request", "a hole", "a jump"] {
        let mut world = World::new();
        let board = Board::of(&world);
        let bob = Friend::new(&world, "bob");
        bob.known_to(&mut world, Standing::Asked);
        bob.shown_on(&board);
        let request = if case == "another request" { [8; 32] } else { REQUEST.0 };
        let zero = bob.makes(&world, 0, request);
        let one = bob.makes(&world, if case == "a jump" { 2 } else { 1 }, zero.id.0);
        let two = bob.makes(&world, if case == "a jump" { 3 } else { 2 }, one.id.0);
        for made in [&zero, &one, &two] {
            // Wraps of those before may be gone: headers bind.
            bob.posts(&world, &board, made);
        }
        board.set(|shown| {
            for early in [&zero, &one] {
                shown.epochs.get_mut(&early.id.to_base64url()).unwrap().wrap = None;
            }
            if case == "a hole" {
                shown.epochs.remove(&one.id.to_base64url());
            }
        });
        let taken = world.engine.follow_epoch(bob.user(), two.id).await;
        let knows = world.engine.peers[&bob.user()].knows(&two.id);
        match case {
            "honest" => {
                taken.unwrap();
                assert!(knows && world.engine.peers[&bob.user()].epochs[0].gap);
            }
            "a hole" => assert_eq!((refused(taken), knows), (Code::EpochUnknown, false)),
            _ => assert_eq!((refused(taken), knows), (Code::EpochRoster, false), "{case}"),
        }
    }
}

#[tokio::test]
async fn a_chain_is_taken_in_order_and_what_may_come_later_is_not_passed_over() {
    let (mut world, board, bob, first) = contact().await;
    let mut chain = vec![first];
    for n in 1..40u32 {
        let made = bob.makes(&world, n, chain.last().unwrap().id.0);
        bob.posts(&world, &board, &made);
        chain.push(made);
    }
    let newest = chain.last().unwrap().id;
    // One in the middle cannot be had now: nothing after it is taken.
    let hidden = chain[20].id.to_base64url();
    let bundle = board.set(|shown| shown.epochs.remove(&hidden).unwrap());
    let shown = board.clone();
    let away = hidden.clone();
    world.script(move |call| {
        if call.path.ends_with(&away) {
            return Some(prekeys::problem(ProblemCode::Unavailable));
        }
        Some(shown.answer(call))
    });
    assert!(world.engine.follow_epoch(bob.user(), newest).await.unwrap_err().is_passing());
    assert_eq!(world.engine.peers[&bob.user()].newest().unwrap().n, 0);
    board.set(|shown| shown.epochs.insert(hidden, bundle));
    let shown = board.clone();
    world.script(move |call| Some(shown.answer(call)));
    world.engine.follow_epoch(bob.user(), newest).await.unwrap();
    let peer = &world.engine.peers[&bob.user()];
    let taken: Vec<u32> = peer.epochs.iter().map(|note| note.n).collect();
    assert_eq!(taken, (0..40).collect::<Vec<_>>());
    assert!(peer.epochs.iter().all(|note| !note.gap && !note.unclaimed));
    assert_eq!(board.set(|shown| shown.claimed.len()), 40);
}

#[tokio::test]
async fn what_is_missing_for_good_is_a_gap_and_a_note() {
    let (mut world, board, bob, first) = contact().await;
    let one = bob.makes(&world, 1, first.id.0);
    let two = bob.makes(&world, 2, one.id.0);
    bob.posts(&world, &board, &two);
    world.engine.sync_contacts().await.unwrap();
    let note = world.engine.peers[&bob.user()].note(&two.id).unwrap().clone();
    assert!(note.gap && !note.stale);
    assert!(world.tells().iter().all(|event| !matches!(event, Event::Alarm { .. })));
}

#[tokio::test]
async fn an_epoch_with_an_older_head_is_received_under_and_superseded_at_once() {
    let (mut world, board, mut bob, first) = contact().await;
    let stale = bob.makes(&world, 1, first.id.0);
    // The log has gone on since, and that is known here.
    bob.add_device();
    bob.shown_on(&board);
    world.engine.renew_log(bob.user()).await.unwrap();
    bob.posts(&world, &board, &stale);
    world.engine.sync_contacts().await.unwrap();
    let note = world.engine.peers[&bob.user()].note(&stale.id).unwrap();
    assert!(note.stale);
    assert_eq!(board.posted(), [], "in a turn of its own, which is due now");
    assert_eq!(world.engine.heal_wake(), Some(world.now()));
    world.engine.heal_due().await.unwrap();
    assert_eq!(board.posted(), [(2, Reason::Devices, stale.id.0)]);
    let mut theirs = stale.state;
    let arrived = bob.says(&mut theirs, "still read", 0, world.now());
    world.engine.message(arrived).await.unwrap().unwrap();
    assert!(world.tells().iter().any(|event| matches!(event, Event::MessageReceived(_))));
}

#[tokio::test]
async fn siblings_are_told_once_kept_both_and_healed() {
    let (mut world, board, bob, first) = contact().await;
    let made: Vec<_> = (0..3).map(|_| bob.makes(&world, 1, first.id.0)).collect();
    for sibling in &made {
        bob.posts(&world, &board, sibling);
        world.engine.sync_contacts().await.unwrap();
    }
    let peer = &world.engine.peers[&bob.user()];
    assert!(made.iter().all(|sibling| peer.knows(&sibling.id)));
    let lowest = made.iter().map(|sibling| sibling.id).min().unwrap();
    assert_eq!(peer.newest().unwrap().id, lowest, "sent under the lower id");
    let alarms = |events: Vec<Event>| {
        events.iter().filter(|e| matches!(e, Event::Alarm { code: Code::Fork, .. })).count()
    };
    assert_eq!(alarms(world.tells()), 1, "once for a number");
    assert_eq!(world.engine.wanted(&bob.user()), Some(Reason::Heal));
    world.engine.heal_due().await.unwrap();
    assert_eq!(board.posted(), [(2, Reason::Heal, lowest.0)]);
    assert_eq!(world.engine.wanted(&bob.user()), None);
    for sibling in made {
        let mut theirs = sibling.state;
        let arrived = bob.says(&mut theirs, "both are readable", 0, world.now());
        world.engine.message(arrived).await.unwrap().unwrap();
    }
    assert_eq!(alarms(world.tells()), 0);
}

#[tokio::test]
async fn the_sibling_that_the_server_has_is_followed_and_any_newer_epoch_heals() {
    let (mut world, board, bob, first) = contact().await;
    let mut made: Vec<_> = (0..2).map(|_| bob.makes(&world, 1, first.id.0)).collect();
    made.sort_by_key(|made| made.id);
    for sibling in &made {
        bob.posts(&world, &board, sibling);
        world.engine.sync_contacts().await.unwrap();
    }
    // The server has the higher one, and says so.
    let higher = made.pop().unwrap();
    let mut conflict = prekeys::problem(ProblemCode::EpochConflict);
    let mut body: hushwire_wire::http::Problem = serde_json::from_slice(&conflict.body).unwrap();
    body.header = Some(Sealed::new(higher.header.clone()));
    conflict.body = serde_json::to_vec(&body).unwrap();
    board.set(|shown| shown.refuse.push(conflict));
    world.engine.rotate(bob.user(), Reason::Heal).await.unwrap();
    assert_eq!(board.posted(), [(2, Reason::Heal, higher.id.0)]);

    let newest = world.engine.peers[&bob.user()].newest().unwrap().id;
    let again = [bob.makes(&world, 3, newest.0), bob.makes(&world, 3, newest.0)];
    for sibling in &again {
        bob.posts(&world, &board, sibling);
        world.engine.sync_contacts().await.unwrap();
    }
    assert!(world.engine.wanted(&bob.user()).is_some());
    // The other side heals it first.
    let healed = bob.makes(&world, 4, again[0].id.min(again[1].id).0);
    bob.posts(&world, &board, &healed);
    world.engine.sync_contacts().await.unwrap();
    assert_eq!(world.engine.wanted(&bob.user()), None);
    world.engine.heal_due().await.unwrap();
    assert_eq!(board.posted().len(), 1, "nothing more was made");
}

fn spoil(bundle: &mut EpochBundle) {
    let mut wrap = bundle.wrap.as_ref().unwrap().as_bytes().to_vec();
    wrap[5] ^= 1;
    bundle.wrap = Some(Sealed::new(wrap));
}

#[tokio::test]
async fn garbage_is_answered_by_the_next_epoch_later_each_time_and_then_told() {
    let (mut world, board, bob, first) = contact().await;
    let mut before = first.id;
    let mut delays = Vec::new();
    for round in 0..6u32 {
        let n = 1 + 2 * round;
        let garbage = bob.makes(&world, n, before.0);
        bob.posts(&world, &board, &garbage);
        board.set(|shown| spoil(shown.epochs.get_mut(&garbage.id.to_base64url()).unwrap()));
        for _ in 0..3 {
            // However often it is shown.
            world.engine.sync_contacts().await.unwrap();
        }
        assert!(!world.engine.peers[&bob.user()].knows(&garbage.id));
        let due = world.engine.heal_wake().unwrap();
        delays.push(due - world.now());
        world.clock.0.store(due, Ordering::Relaxed);
        world.engine.heal_due().await.unwrap();
        let (made, reason, prev) = board.posted().pop().unwrap();
        assert_eq!((made, reason, prev), (n + 1, Reason::Heal, garbage.id.0));
        before = world.engine.peers[&bob.user()].newest().unwrap().id;
        board.set(|shown| shown.contacts.clear());
    }
    assert_eq!(delays, [0, 10_000, 20_000, 40_000, 80_000, 160_000]);
    let told = world.tells();
    let misbehaves =
        |event: &&Event| matches!(event, Event::Trouble { trouble: Trouble::Misbehaves, .. });
    assert_eq!(told.iter().filter(misbehaves).count(), 1);
    // One that works ends the row.
    let good = bob.makes(&world, 13, before.0);
    bob.posts(&world, &board, &good);
    world.engine.sync_contacts().await.unwrap();
    assert_eq!(world.engine.peers[&bob.user()].heal, Heal::default());
}

#[tokio::test]
async fn an_own_epoch_whose_keys_are_lost_is_followed_by_another() {
    let (mut world, board, bob, first) = contact().await;
    // Made by this device, posted, and its keys are not here any more.
    let lost = {
        let made = world.engine.make_epoch(bob.user(), 1, first.id.0, Reason::Heal, 0).await;
        let made = made.unwrap();
        let mut batch = Batch::default();
        batch.delete(Space::Epoch, made.id.as_bytes());
        world.engine.store.add(&batch).unwrap();
        made
    };
    bob.posts(&world, &board, &lost);
    world.engine.sync_contacts().await.unwrap();
    assert_eq!(world.engine.peers[&bob.user()].heal.wanted, Some(Wanted::Heal));
    world.engine.heal_due().await.unwrap();
    assert_eq!(board.posted(), [(2, Reason::Heal, lost.id.0)]);
}

#[tokio::test]
async fn a_lost_race_is_settled_by_the_winner() {
    let (mut world, board, bob, first) = contact().await;
    let winner = bob.makes(&world, 1, first.id.0);
    bob.posts(&world, &board, &winner);
    board.set(|shown| {
        let mut conflict = prekeys::problem(ProblemCode::EpochConflict);
        let mut body: hushwire_wire::http::Problem =
            serde_json::from_slice(&conflict.body).unwrap();
        body.header = Some(Sealed::new(winner.header.clone()));
        conflict.body = serde_json::to_vec(&body).unwrap();
        shown.refuse.push(conflict);
    });
    world.engine.rotate(bob.user(), Reason::Age).await.unwrap();
    assert_eq!(board.posted(), [], "refused");
    let peer = &world.engine.peers[&bob.user()];
    assert_eq!(peer.newest().unwrap().id, winner.id);
    let stored = world.engine.store.list(Space::Epoch).unwrap();
    assert_eq!(stored.len(), 2, "the loser's keys are gone");
}

#[tokio::test]
async fn keys_of_an_epoch_that_may_stand_are_kept_until_what_stands_was_looked_at() {
    let html = || Some(Reply { status: 502, body: b"<html>".to_vec() });
    let busy = || Some(prekeys::problem(ProblemCode::Internal));
    for lost in [html, busy, || None] {
        let (mut world, board, bob, first) = contact().await;
        for stands in [true, false] {
            let shown = board.clone();
            world.script(move |call| match (call.method, call.path.as_str()) {
                (crate::transport::Method::Post, "/v1/epochs") => lost(),
                _ => Some(shown.answer(call)),
            });
            world.engine.rotate(bob.user(), Reason::Heal).await.unwrap_err();
            let made = world.engine.store.list(Space::Epoch).unwrap();
            let made = made.iter().filter_map(|(key, _)| EpochId::from_slice(key));
            let known = world.engine.peers[&bob.user()].clone();
            let made: Vec<_> = made.filter(|id| !known.knows(id)).collect();
            let [made] = made[..] else { panic!("its keys are not kept: {made:?}") };
            if stands {
                // The server had it after all.
                let state = world.engine.epoch_state(&made).unwrap().unwrap();
                let header = Sealed::new(state.header().to_bytes());
                assert_eq!(state.header().prev, first.id.0);
                let bundle = EpochBundle { header, wrap: None, prekeys: Vec::new() };
                board.set(|shown| {
                    shown.epochs.insert(made.to_base64url(), bundle);
                    let newest = &mut shown.contacts[0].newest;
                    *newest = Some(hushwire_wire::http::EpochRef { n: 1, epoch: made });
                });
            }
            world.engine.sync_contacts().await.unwrap();
            world.engine.forget_orphans().unwrap();
            assert_eq!(world.engine.peers[&bob.user()].knows(&made), stands);
            assert_eq!(world.engine.epoch_state(&made).unwrap().is_some(), stands);
        }
    }
}

#[tokio::test]
async fn what_moved_on_in_between_is_looked_at_again() {
    let (mut world, board, bob, first) = contact().await;
    for code in [ProblemCode::EpochStale, ProblemCode::EpochRoster] {
        board.set(|shown| shown.refuse.push(prekeys::problem(code)));
    }
    world.engine.rotate(bob.user(), Reason::Age).await.unwrap();
    assert_eq!(board.posted(), [(1, Reason::Age, first.id.0)], "at the third attempt");
    assert_eq!(world.engine.store.list(Space::Epoch).unwrap().len(), 2, "nothing else is kept");
    let stale = || prekeys::problem(ProblemCode::EpochStale);
    board.set(|shown| shown.refuse = vec![stale(), stale(), stale()]);
    let refused = world.engine.rotate(bob.user(), Reason::Age).await.unwrap_err();
    assert_eq!(refused.problem(), Some(ProblemCode::EpochStale), "and not without end");

    let carol = Friend::new(&world, "carol");
    carol.known_to(&mut world, Standing::AsksMe);
    carol.shown_on(&board);
    let waits = hushwire_wire::http::Contact {
        peer: carol.user(),
        state: hushwire_wire::http::ContactState::Requested,
        request: Sealed::new(Vec::new()),
        newest: None,
    };
    board.set(|shown| shown.contacts.push(waits));
    board.set(|shown| shown.refuse_accept = vec![stale(), stale()]);
    world.engine.accept_contact(&ContactLink::parse("carol").unwrap()).await.unwrap();
    assert_eq!(world.engine.peers[&carol.user()].standing, Standing::Active);
}

#[tokio::test]
async fn an_old_epoch_closes_after_seven_days_unless_a_message_waits_for_it() {
    let (mut world, board, bob, first) = contact().await;
    let next = bob.makes(&world, 1, first.id.0);
    bob.posts(&world, &board, &next);
    world.engine.sync_contacts().await.unwrap();
    let is_open = |world: &World, id| world.engine.peers[&bob.user()].knows(id);
    world.clock.0.fetch_add(7 * DAY_MS - 1, Ordering::Relaxed);
    world.engine.close_old_epochs().unwrap();
    assert!(is_open(&world, &first.id));
    let mut theirs = first.state.clone();
    let arrived = bob.says(&mut theirs, "late", 0, world.now());
    let waiting = crate::record::WaitingMessage {
        at: arrived.at,
        peer: arrived.peer,
        from_user: arrived.from_user,
        from_device: arrived.from_device,
        msg: arrived.msg,
    };
    let mut batch = Batch::default();
    batch.put_until(Space::Waiting, &9u64.to_be_bytes(), u32::MAX, to_json(&waiting).to_vec());
    world.engine.store.add(&batch).unwrap();
    world.engine.waiting.push(9);
    world.clock.0.fetch_add(1, Ordering::Relaxed);
    world.engine.close_old_epochs().unwrap();
    assert!(is_open(&world, &first.id), "the queue is not drained");
    world.engine.open_waiting().await.unwrap();
    assert!(world.tells().iter().any(|event| matches!(event, Event::MessageReceived(_))));
    world.engine.close_old_epochs().unwrap();
    assert!(!is_open(&world, &first.id) && is_open(&world, &next.id));
    assert!(world.engine.epoch_state(&first.id).unwrap().is_none(), "and its keys are erased");
    // A message under it cannot be read any more.
    board.set(|shown| shown.epochs.get_mut(&first.id.to_base64url()).unwrap().wrap = None);
    let arrived = bob.says(&mut theirs, "too late", 0, world.now());
    world.engine.message(arrived).await.unwrap().unwrap();
    assert_eq!(world.engine.waiting.len(), 1, "it is held, as one whose epoch may still come");
    assert!(world.tells().is_empty());
}

/// The server says that all that it had was sent, if it was asked.
async fn drained(world: &mut World) -> bool {
    let asked = world.engine.questions.iter().find(|(_, (what, _))| matches!(what, Question::Sync));
    let Some(id) = asked.map(|(id, _)| *id) else { return false };
    let ok = frame::ServerFrame { id: Some(id), op: frame::ServerOp::Ok {} };
    let bytes = world.engine.encoding.encode_server(&ok);
    world.engine.arrival(Arrival::Frame(bytes)).await.unwrap();
    true
}

#[tokio::test]
async fn an_old_epoch_stays_open_until_the_queue_was_drained() {
    let (mut world, board, bob, first) = contact().await;
    let mut theirs = first.state.clone();
    let queued = bob.says(&mut theirs, "in the queue", 0, world.now());
    let next = bob.makes(&world, 1, first.id.0);
    bob.posts(&world, &board, &next);
    world.engine.sync_contacts().await.unwrap();
    let is_open = |world: &World| world.engine.peers[&bob.user()].knows(&first.id);
    // The wraps are claimed, and the connection goes before the queue has come.
    board.set(|shown| shown.epochs.values_mut().for_each(|bundle| bundle.wrap = None));
    world.clock.0.fetch_add(8 * DAY_MS, Ordering::Relaxed);
    world.engine.upkeep().await.unwrap();
    assert!(is_open(&world), "nobody can say what is queued without a connection");
    let _sent = world.goes_up();
    for _ in 0..2 {
        world.engine.upkeep().await.unwrap();
        assert_eq!(world.engine.questions.len(), 1, "asked, once");
    }
    assert!(is_open(&world));
    world.engine.message(queued).await.unwrap().unwrap();
    assert!(world.tells().iter().any(|event| matches!(event, Event::MessageReceived(_))));
    assert!(drained(&mut world).await);
    assert!(!is_open(&world));
    assert!(world.engine.epoch_state(&first.id).unwrap().is_none(), "and its keys are erased");
    world.engine.upkeep().await.unwrap();
    assert!(!drained(&mut world).await, "nothing is to be closed, so nothing is asked");
}

#[tokio::test]
async fn a_forged_header_cannot_use_the_numbers_of_a_pair_up() {
    let (mut world, board, bob, first) = contact().await;
    let _sent = world.goes_up();
    for (jump, prev) in [(u32::MAX - 1, [7; 32]), (hushwire_e2ee::JUMP_MAX + 1, [8; 32])] {
        // Nobody sealed anything, and what it follows cannot be had.
        let mut header = first.state.header().clone();
        (header.n, header.prev, header.created_ms) = (jump, prev, world.now());
        let id = header.id();
        let bundle =
            EpochBundle { header: Sealed::new(header.to_bytes()), wrap: None, prekeys: Vec::new() };
        board.set(|shown| {
            shown.epochs.insert(id.to_base64url(), bundle);
            let newest = hushwire_wire::http::EpochRef { n: header.n, epoch: id };
            shown.contacts[0].newest = Some(newest);
        });
        world.engine.sync_contacts().await.unwrap();
        world.engine.heal_due().await.unwrap();
        assert_eq!(board.posted(), []);
        // Nor if it has a wrap.
        let far = bob.makes(&world, jump, prev);
        bob.posts(&world, &board, &far);
        let taken = world.engine.follow_epoch(bob.user(), far.id).await;
        assert_eq!(refused(taken), Code::EpochGap);
    }
    world.engine.rotate(bob.user(), Reason::Heal).await.unwrap();
    assert_eq!(board.posted(), [(1, Reason::Heal, first.id.0)]);
}

#[tokio::test]
async fn nothing_is_sent_once_a_forked_log_was_seen_while_rotating() {
    for forks in [false, true] {
        let (mut world, board, mut bob, _) = contact().await;
        let before = bob.entries.clone();
        bob.add_device();
        bob.renew_prekey(&world, 0);
        bob.shown_on(&board);
        world.engine.fetch_prekeys(bob.user(), true).await.unwrap();
        world.engine.rotate(bob.user(), Reason::Heal).await.unwrap();
        // What is shown now begins alike and goes on with another device; or nothing can be had.
        bob.log = DeviceLog::verify(before.iter().map(Sealed::as_bytes)).unwrap();
        bob.entries = before;
        bob.add_device();
        let user = bob.user().to_base64url();
        board.set(|shown| match forks {
            true => shown.logs.insert(user, bob.entries.clone()),
            false => shown.logs.remove(&user),
        });
        let peer = world.engine.peers[&bob.user()].clone();
        let heal = Heal { wanted: Some(Wanted::Heal), ..peer.heal };
        world.engine.put_peer(Peer { heal, ..peer }).unwrap();
        let (reply, mut answer) = tokio::sync::oneshot::channel();
        let said = crate::said::Said::Text { text: "hello".to_owned(), reply_to: None };
        world.engine.command(Command::Send("bob".to_owned(), said, reply)).await.unwrap();
        world.engine.settle().unwrap();
        answer.try_recv().unwrap().unwrap();
        let order = world.engine.outbox.entries().next().unwrap().0;
        world.engine.seal(order, false).await.unwrap();
        assert_eq!(world.engine.peers[&bob.user()].forked, forks);
        let sealed = world.engine.outbox.entry(order).is_some_and(|entry| entry.sent.is_some());
        assert_eq!(sealed, !forks);
    }
}

#[tokio::test]
async fn what_cannot_be_fetched_refuses_no_epoch() {
    for case in ["a prekey that goes back", "no prekey", "a log that is none", "another header"] {
        let (mut world, board, mut bob, first) = contact().await;
        bob.add_device();
        bob.renew_prekey(&world, 0);
        let one = bob.makes(&world, 1, first.id.0);
        let two = bob.makes(&world, 2, one.id.0);
        let (user, id) = (bob.user().to_base64url(), two.id.to_base64url());
        let older = board.set(|shown| shown.prekeys[&user].clone());
        bob.posts(&world, &board, &one);
        bob.posts(&world, &board, &two);
        bob.shown_on(&board);
        let kept = board.set(|shown| {
            // They are to be fetched.
            shown.epochs.values_mut().for_each(|bundle| bundle.prekeys.clear());
            (shown.epochs[&id].clone(), shown.logs[&user].clone(), shown.prekeys[&user].clone())
        });
        if case == "a prekey that goes back" {
            world.engine.fetch_prekeys(bob.user(), true).await.unwrap();
        }
        board.set(|shown| match case {
            "a prekey that goes back" => drop(shown.prekeys.insert(user.clone(), older)),
            "no prekey" => drop(shown.prekeys.remove(&user)),
            "a log that is none" => {
                let log = shown.logs.get_mut(&user).unwrap();
                log[1] = log[0].clone();
            }
            _ => {
                let other = shown.epochs[&one.id.to_base64url()].header.clone();
                shown.epochs.get_mut(&id).unwrap().header = other;
            }
        });
        world.engine.unclaimed = Some(PrekeyPut {
            unclaimed: vec![hushwire_wire::http::Unclaimed { epoch: two.id, prekey: 1 }],
            more: false,
        });
        world.engine.take_unclaimed().await.unwrap();
        let claimed = board.set(|shown| shown.claimed.clone());
        assert!(!claimed.contains(&id), "{case}: its wrap is to be had later");
        assert_eq!(world.engine.peers[&bob.user()].newest().unwrap().n, 0, "{case}");
        // It shows what is true.
        board.set(|shown| {
            let (bundle, log, prekeys) = kept;
            shown.epochs.insert(id.clone(), bundle);
            shown.logs.insert(user.clone(), log);
            shown.prekeys.insert(user.clone(), prekeys);
        });
        world.engine.sync_contacts().await.unwrap();
        assert!(world.engine.peers[&bob.user()].knows(&two.id), "{case}");
        let mut theirs = two.state;
        let arrived = bob.says(&mut theirs, "is read", 0, world.now());
        world.engine.message(arrived).await.unwrap().unwrap();
        let is_text = |event: &Event| matches!(event, Event::MessageReceived(_));
        assert!(world.tells().iter().any(is_text), "{case}");
    }
}

#[tokio::test]
async fn skipped_keys_and_secrets_are_erased_in_time_without_a_connection() {
    let (mut world, _board, bob, first) = contact().await;
    let mut theirs = first.state.clone();
    let skipped = bob.says(&mut theirs, "never comes", 0, world.now());
    let second = bob.says(&mut theirs, "comes", 0, world.now());
    world.engine.message(second).await.unwrap().unwrap();
    let old = world.engine.newest_secret().unwrap();
    let today = world.engine.today();
    let mut batch = Batch::default();
    batch.put_until(Space::Prekey, &77u32.to_be_bytes(), today + 31, old.to_bytes().to_vec());
    world.engine.store.add(&batch).unwrap();
    world.engine.settle().unwrap();
    // Nobody is there from now on.
    world.script(|_| None);
    world.engine.phase = Phase::Down { retry_at: None };
    let kept = |world: &mut World| {
        let skipped = world.engine.epoch_state(&first.id).unwrap().unwrap().skipped();
        (skipped, world.engine.store.list(Space::Prekey).unwrap().len())
    };
    for (days, left) in [(6, (1, 2)), (1, (0, 2)), (23, (0, 2)), (1, (0, 1))] {
        world.clock.0.fetch_add(days * DAY_MS, Ordering::Relaxed);
        assert!(world.engine.wake().is_some_and(|at| at <= world.now()), "it wakes for that");
        world.engine.tick().await.unwrap();
        world.engine.settle().unwrap();
        assert_eq!(kept(&mut world), left, "after {days} days more");
        assert_eq!(world.engine.wake(), Some(world.now() + FORGET_EVERY_MS));
    }
    world.engine.message(skipped).await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_sibling_of_the_own_epoch_is_a_fork_whichever_is_shown_first() {
    let is_fork = |event: &&Event| matches!(event, Event::Alarm { code: Code::Fork, .. });
    for own_first in [true, false] {
        let (mut world, board, bob, first) = contact().await;
        // Made here and posted, and the answer was lost.
        let own =
            world.engine.make_epoch(bob.user(), 1, first.id.0, Reason::Heal, 0).await.unwrap();
        let theirs = bob.makes(&world, 1, first.id.0);
        let mut order = [&own, &theirs];
        if !own_first {
            order.reverse();
        }
        bob.posts(&world, &board, order[0]);
        world.engine.sync_contacts().await.unwrap();
        assert_eq!(world.tells().iter().filter(is_fork).count(), 0);
        for _ in 0..2 {
            bob.posts(&world, &board, order[1]);
            world.engine.sync_contacts().await.unwrap();
        }
        let peer = &world.engine.peers[&bob.user()];
        assert!(peer.knows(&own.id) && peer.knows(&theirs.id));
        assert_eq!(world.tells().iter().filter(is_fork).count(), 1, "own first: {own_first}");
        assert_eq!(world.engine.wanted(&bob.user()), Some(Reason::Heal));
    }
}
