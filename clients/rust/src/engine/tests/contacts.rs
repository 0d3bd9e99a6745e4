//! What a person must know of a contact: changed names, changed devices, forks, silence, and what
//! a message says about its sender.

use std::sync::atomic::Ordering;

use hushwire_identity::ContactLink;
use hushwire_wire::Sealed;

use super::friend::{Friend, asks, contact};
use super::hostile::World;
use super::*;
use crate::client::ContactTrouble;
use crate::event::Trouble;
use crate::record::{Point, Standing};
use crate::said::Said;

const DAY_MS: u64 = 86_400_000;

async fn sends(world: &mut World, handle: &str) -> Result<Id, ClientError> {
    let (reply, mut answer) = tokio::sync::oneshot::channel();
    let said = Said::Text { text: "secret".to_owned(), reply_to: None };
    world.engine.command(Command::Send(handle.to_owned(), said, reply)).await.unwrap();
    world.engine.settle().unwrap();
    answer.try_recv().unwrap()
}

async fn card(world: &mut World, handle: &str) -> crate::ContactCard {
    let (reply, mut answer) = tokio::sync::oneshot::channel();
    world.engine.command(Command::Contact(handle.to_owned(), reply)).await.unwrap();
    world.engine.settle().unwrap();
    answer.try_recv().unwrap().unwrap()
}

fn alarms(events: &[Event]) -> Vec<Code> {
    let alarm = |event: &Event| match event {
        Event::Alarm { code, .. } => Some(*code),
        _ => None,
    };
    events.iter().filter_map(alarm).collect()
}

fn troubles(events: &[Event]) -> Vec<Trouble> {
    let trouble = |event: &Event| match event {
        Event::Trouble { trouble, .. } => Some(*trouble),
        _ => None,
    };
    events.iter().filter_map(trouble).collect()
}

#[tokio::test]
async fn a_name_that_another_log_takes_blocks_until_that_one_is_accepted() {
    let (mut world, board, bob, first) = contact().await;
    sends(&mut world, "bob").await.unwrap();
    let other = Friend::new(&world, "bob");
    asks(&other, &board, 1);
    for _ in 0..2 {
        world.engine.sync_contacts().await.unwrap();
    }
    let told = world.tells();
    assert_eq!(alarms(&told), [Code::PeerChanged], "once");
    assert!(told.iter().any(|event| matches!(event, Event::ContactRequest { .. })));
    let refused = sends(&mut world, "bob").await;
    assert!(matches!(refused, Err(ClientError::Changed)), "{refused:?}");
    let shown = card(&mut world, "bob").await;
    assert_eq!((shown.trouble, shown.blocked), (Some(ContactTrouble::Changed), true));
    // What the old keys say is still read.
    let mut theirs = first.state;
    let arrived = bob.says(&mut theirs, "it is still me", 0, world.now());
    world.engine.message(arrived).await.unwrap().unwrap();

    let (reply, mut answer) = tokio::sync::oneshot::channel();
    world.engine.command(Command::Accept(ContactLink::parse("bob").unwrap(), reply)).await.unwrap();
    world.engine.settle().unwrap();
    answer.try_recv().unwrap().unwrap();
    assert_eq!(world.engine.peers[&other.user()].standing, Standing::Active);
    let old = &world.engine.peers[&bob.user()];
    assert_eq!((old.standing, old.epochs.len()), (Standing::Replaced, 0));
    assert!(world.engine.epoch_state(&first.id).unwrap().is_none(), "the old keys are erased");
    let id = sends(&mut world, "bob").await.unwrap();
    let (_, entry) = world.engine.outbox.entries().find(|(_, entry)| entry.id == id).unwrap();
    assert_eq!(entry.to, other.user());
    world.tells();
    let arrived = bob.says(&mut theirs, "and now?", 0, world.now());
    assert!(world.engine.message(arrived).await.unwrap().is_err());
    world.engine.sync_contacts().await.unwrap();
    assert_eq!(world.engine.peers[&bob.user()].standing, Standing::Replaced);
    assert!(alarms(&world.tells()).is_empty());
}

#[tokio::test]
async fn a_verified_contact_with_a_new_device_waits_for_the_person() {
    let (mut world, board, mut bob, _) = contact().await;
    let mut peer = world.engine.peers[&bob.user()].clone();
    peer.verified = Some(Point::of(&bob.log));
    world.engine.put_peer(peer).unwrap();
    bob.add_device();
    bob.renew_prekey(&world, 0);
    bob.shown_on(&board);
    // A prekey names the newer entry: a heartbeat of the log.
    world.engine.heard_of_prekey(bob.user()).await.unwrap();
    world.engine.heard_of_prekey(bob.user()).await.unwrap();
    assert_eq!(troubles(&world.tells()), [Trouble::VerifiedChanged]);
    let refused = sends(&mut world, "bob").await;
    assert!(matches!(refused, Err(ClientError::Unacknowledged)), "{refused:?}");
    let shown = card(&mut world, "bob").await;
    assert!(shown.verified && shown.blocked, "it continues what was compared");
    assert_eq!((shown.verified_seq, shown.seq), (Some(0), 1));
    for (seen, is_newest) in [(0, false), (2, false), (1, true)] {
        let (reply, mut answer) = tokio::sync::oneshot::channel();
        world.engine.command(Command::Acknowledge("bob".to_owned(), seen, reply)).await.unwrap();
        world.engine.settle().unwrap();
        let done = answer.try_recv().unwrap();
        assert!(is_newest || matches!(done, Err(ClientError::DevicesMoved)), "{seen}: {done:?}");
        assert_eq!(card(&mut world, "bob").await.blocked, !is_newest, "{seen}");
    }
    sends(&mut world, "bob").await.unwrap();
    assert!(!card(&mut world, "bob").await.blocked);
    // The next one is asked about again.
    bob.add_device();
    bob.renew_prekey(&world, 0);
    bob.shown_on(&board);
    world.engine.heard_of_prekey(bob.user()).await.unwrap();
    assert_eq!(troubles(&world.tells()), [Trouble::VerifiedChanged]);
    assert!(card(&mut world, "bob").await.blocked);
}

async fn safety(world: &mut World) -> crate::Safety {
    let (reply, mut answer) = tokio::sync::oneshot::channel();
    world.engine.command(Command::Safety("bob".to_owned(), reply)).await.unwrap();
    world.engine.settle().unwrap();
    answer.try_recv().unwrap().unwrap()
}

async fn verifies(world: &mut World, compared: crate::Safety) -> Result<(), ClientError> {
    let (reply, mut answer) = tokio::sync::oneshot::channel();
    let command = Command::MarkVerified("bob".to_owned(), compared, reply);
    world.engine.command(command).await.unwrap();
    world.engine.settle().unwrap();
    answer.try_recv().unwrap()
}

#[tokio::test]
async fn only_the_devices_that_were_compared_are_verified() {
    let (mut world, board, mut bob, _) = contact().await;
    let compared = safety(&mut world).await;
    // While two people read numbers to each other, the log goes on.
    bob.add_device();
    bob.renew_prekey(&world, 0);
    bob.shown_on(&board);
    world.engine.heard_of_prekey(bob.user()).await.unwrap();
    let now = safety(&mut world).await;
    assert_ne!(now.number, compared.number);
    let mut own_moved = now.clone();
    own_moved.own.seq += 1;
    for moved in [compared, own_moved] {
        let refused = verifies(&mut world, moved).await;
        assert!(matches!(refused, Err(ClientError::DevicesMoved)), "{refused:?}");
        assert!(!card(&mut world, "bob").await.verified);
    }
    verifies(&mut world, now).await.unwrap();
    let shown = card(&mut world, "bob").await;
    assert_eq!((shown.verified, shown.verified_seq, shown.seq), (true, Some(1), 1));
}

#[tokio::test]
async fn a_new_device_of_an_unverified_contact_is_told_and_blocks_nothing() {
    let (mut world, board, mut bob, _) = contact().await;
    bob.add_device();
    bob.renew_prekey(&world, 0);
    bob.shown_on(&board);
    world.engine.heard_of_prekey(bob.user()).await.unwrap();
    assert_eq!(troubles(&world.tells()), [Trouble::DevicesChanged]);
    sends(&mut world, "bob").await.unwrap();
}

#[tokio::test]
async fn a_log_that_is_shorter_than_it_was_is_told_and_changes_nothing() {
    let (mut world, board, mut bob, _) = contact().await;
    bob.add_device();
    bob.shown_on(&board);
    world.engine.renew_log(bob.user()).await.unwrap();
    world.tells();
    let before = world.engine.peers[&bob.user()].clone();
    board.set(|shown| shown.logs.get_mut(&bob.user().to_base64url()).unwrap().pop());
    for _ in 0..2 {
        let refused = world.engine.renew_log(bob.user()).await;
        assert!(matches!(refused, Err(ClientError::Unverified(Code::LogRollback))));
    }
    assert_eq!(alarms(&world.tells()), [Code::LogRollback], "once");
    assert_eq!(world.engine.peers[&bob.user()], before);
    // The whole log again is nothing new.
    bob.shown_on(&board);
    world.engine.renew_log(bob.user()).await.unwrap();
}

#[tokio::test]
async fn a_forked_log_blocks_for_good_and_what_comes_is_still_read() {
    let (mut world, board, mut bob, first) = contact().await;
    let mut fork = bob.entries.clone();
    bob.add_device();
    bob.shown_on(&board);
    world.engine.renew_log(bob.user()).await.unwrap();
    world.tells();
    // Another second entry.
    let honest = std::mem::replace(&mut bob.entries, fork.clone());
    bob.log = DeviceLog::verify(fork.iter().map(Sealed::as_bytes)).unwrap();
    bob.add_device();
    fork = std::mem::replace(&mut bob.entries, honest);
    board.set(|shown| shown.logs.insert(bob.user().to_base64url(), fork));
    let refused = world.engine.renew_log(bob.user()).await;
    assert!(matches!(refused, Err(ClientError::Unverified(Code::LogFork))), "{refused:?}");
    assert_eq!(alarms(&world.tells()), [Code::LogFork]);
    assert_eq!(card(&mut world, "bob").await.trouble, Some(ContactTrouble::Forked));
    let refused = sends(&mut world, "bob").await;
    assert!(matches!(refused, Err(ClientError::Blocked)), "{refused:?}");
    let mut theirs = first.state;
    let arrived = bob.says(&mut theirs, "read", 0, world.now());
    world.engine.message(arrived).await.unwrap().unwrap();
    assert!(world.tells().iter().any(|event| matches!(event, Event::MessageReceived(_))));
}

#[tokio::test]
async fn a_prekey_never_goes_back_and_nothing_is_kept_of_one_that_does() {
    let (mut world, board, mut bob, _) = contact().await;
    let old = board.set(|shown| shown.prekeys.clone());
    bob.renew_prekey(&world, 0);
    bob.shown_on(&board);
    world.engine.fetch_prekeys(bob.user(), false).await.unwrap();
    let before = world.engine.peers[&bob.user()].clone();
    board.set(|shown| shown.prekeys = old);
    let refused = world.engine.fetch_prekeys(bob.user(), false).await;
    assert!(matches!(refused, Err(ClientError::Unverified(Code::PrekeyRollback))), "{refused:?}");
    assert_eq!(world.engine.peers[&bob.user()], before);
}

#[tokio::test]
async fn evidence_of_a_contact_is_dated_by_what_it_says() {
    let (mut world, board, mut bob, first) = contact().await;
    let made = world.now();
    assert_eq!(card(&mut world, "bob").await.confirmed_ms, made, "the epoch is evidence");
    world.clock.0.fetch_add(3 * DAY_MS, Ordering::Relaxed);
    // Delivered now, written a day ago.
    let mut theirs = first.state;
    let arrived = bob.says(&mut theirs, "late", 0, made + 2 * DAY_MS);
    world.engine.message(arrived).await.unwrap().unwrap();
    assert_eq!(card(&mut world, "bob").await.confirmed_ms, made + 2 * DAY_MS);
    // A clock that is ahead proves nothing of the future.
    let arrived = bob.says(&mut theirs, "ahead", 0, u64::MAX);
    world.engine.message(arrived).await.unwrap().unwrap();
    assert_eq!(card(&mut world, "bob").await.confirmed_ms, made + 3 * DAY_MS);
    world.clock.0.fetch_add(2 * DAY_MS, Ordering::Relaxed);
    bob.renew_prekey(&world, 0);
    bob.shown_on(&board);
    world.engine.heard_of_prekey(bob.user()).await.unwrap();
    let now = world.now();
    assert_eq!(card(&mut world, "bob").await.confirmed_ms, now, "a prekey of today");
}

#[tokio::test]
async fn silent_contacts_are_looked_after_twice_a_day() {
    let (mut world, board, mut bob, _) = contact().await;
    let looks = |world: &World| world.script.1.load(Ordering::Relaxed);
    let before = looks(&world);
    world.engine.look_after_silent().await.unwrap();
    assert_eq!(looks(&world), before, "heard of today");
    world.clock.0.fetch_add(3 * DAY_MS, Ordering::Relaxed);
    for hours in 0..13 {
        world.engine.look_after_silent().await.unwrap();
        assert_eq!(looks(&world), before + 1 + u64::from(hours == 12), "{hours}");
        world.clock.0.fetch_add(3_600_000, Ordering::Relaxed);
    }
    bob.renew_prekey(&world, 0);
    bob.shown_on(&board);
    world.clock.0.fetch_add(12 * 3_600_000, Ordering::Relaxed);
    world.engine.look_after_silent().await.unwrap();
    let silent = world.now() - card(&mut world, "bob").await.confirmed_ms;
    assert!(silent < DAY_MS, "its prekey tells that it lives");
}

#[tokio::test]
async fn nothing_is_sent_before_the_server_has_confirmed_that_the_store_is_current() {
    let (mut world, board, _bob, _) = contact().await;
    world.engine.is_current = false;
    world.engine.put_here = false;
    let shown = board.clone();
    world.script(move |call| {
        if call.path == "/v1/prekey" {
            return Some(prekeys::problem(hushwire_wire::http::ProblemCode::Unavailable));
        }
        Some(shown.answer(call))
    });
    sends(&mut world, "bob").await.unwrap();
    let order = world.engine.outbox.entries().next().unwrap().0;
    world.engine.seal(order, false).await.unwrap();
    assert!(world.engine.outbox.entry(order).unwrap().sent.is_none());
    let shown = board.clone();
    world.script(move |call| Some(shown.answer(call)));
    world.engine.seal(order, false).await.unwrap();
    assert!(world.engine.outbox.entry(order).unwrap().sent.is_some());
}

#[tokio::test]
async fn a_message_of_a_device_that_was_removed_is_marked() {
    let (mut world, board, mut bob, first) = contact().await;
    let other = bob.add_device();
    bob.revoke_first(&other);
    bob.shown_on(&board);
    let mut theirs = first.state;
    let arrived = bob.says(&mut theirs, "before it is known", 0, world.now());
    world.engine.message(arrived).await.unwrap().unwrap();
    world.engine.renew_log(bob.user()).await.unwrap();
    let arrived = bob.says(&mut theirs, "after", 0, world.now());
    world.engine.message(arrived).await.unwrap().unwrap();
    let marks: Vec<bool> = world
        .tells()
        .into_iter()
        .filter_map(|event| match event {
            Event::MessageReceived(message) => Some(message.from_removed),
            _ => None,
        })
        .collect();
    assert_eq!(marks, [false, true]);
}

#[tokio::test]
async fn what_an_epoch_before_still_owes_holds_what_comes_after() {
    let (mut world, board, bob, first) = contact().await;
    let next = bob.makes(&world, 1, first.id.0);
    bob.posts(&world, &board, &next);
    world.engine.sync_contacts().await.unwrap();
    let (mut old, mut new) = (first.state, next.state);
    let texts = |world: &mut World| -> Vec<String> {
        let text = |event| match event {
            Event::MessageReceived(message) => Some(message.text),
            _ => None,
        };
        world.tells().into_iter().filter_map(text).collect()
    };
    let one = bob.says(&mut old, "one", 0, world.now());
    let two = bob.says(&mut old, "two", 0, world.now());
    let three = bob.says(&mut new, "three", 2, world.now());
    world.engine.message(one).await.unwrap().unwrap();
    world.engine.message(three).await.unwrap().unwrap();
    assert_eq!(texts(&mut world), ["one"]);
    assert!(world.engine.gaps.wants_sync());
    world.engine.message(two).await.unwrap().unwrap();
    assert_eq!(texts(&mut world), ["two", "three"]);
}

#[tokio::test]
async fn counts_ride_on_what_a_person_says_and_not_on_receipts() {
    let (mut world, _board, bob, first) = contact().await;
    let mut theirs = first.state;
    let arrived = bob.says(&mut theirs, "hello", 0, world.now());
    let message = world.engine.message(arrived).await.unwrap();
    message.unwrap();
    let id = Id(hushwire_e2ee::ContentId([3; 16]));
    for (said, seen) in [
        (Said::Text { text: "answer".to_owned(), reply_to: None }, 2),
        (Said::Read { of: vec![id] }, 0),
        (Said::Delivered { of: vec![id] }, 0),
    ] {
        let (user, now) = (bob.user(), world.now());
        let one = world.engine.outbox.entries().map(|(order, _)| order).max().unwrap_or(0) + 1;
        let mut content = [0; 16];
        SystemRandom.fill(&mut content).unwrap();
        let content = Id(hushwire_e2ee::ContentId(content));
        let _ = world.engine.outbox.submit(user, content, said, now, now).unwrap();
        let _ = world.engine.seal(one, false).await.unwrap();
        let entry = world.engine.outbox.entry(one).unwrap().clone();
        let upload = entry.sent.unwrap().upload.as_bytes().to_vec();
        let tag = &upload[upload.len() - 16..];
        let arrived = [&upload[..upload.len() - 17], tag].concat();
        let opened = theirs.open(&arrived, now).unwrap();
        let hushwire_e2ee::message::Received::Content(content) = opened.content else { panic!() };
        assert_eq!(content.seen.len(), seen);
    }
}
