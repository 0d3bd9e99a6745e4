//! The end of contacts, what is told of it, and catching up after a cut.

use std::sync::Mutex;

use hushwire_identity::ContactLink;
use hushwire_wire::frame::{self, EventKind};
use hushwire_wire::http::{Change, Changes, Contact, ContactState, ProblemCode};
use hushwire_wire::{Reject, Sealed};

use super::friend::{Board, Friend, asks, contact};
use super::hostile::{World, reply};
use super::*;
use crate::client::{ContactTrouble, Parting};
use crate::event::Trouble;
use crate::outbox::Answer;
use crate::record::Standing;
use crate::said::Said;
use crate::transport::Method;

/// The board, with calls that it does not know answered 204 and written down.
fn parting_on(world: &World, board: &Board) -> Arc<Mutex<Vec<String>>> {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (noted, shown) = (Arc::clone(&calls), board.clone());
    world.script(move |call| {
        noted.lock().unwrap().push(call.path.clone());
        let is_parting = ["decline", "remove", "block", "unblock"]
            .iter()
            .any(|act| call.method == Method::Post && call.path == format!("/v1/contacts/{act}"));
        Some(if is_parting { reply(204, &()) } else { shown.answer(call) })
    });
    calls
}

fn says(world: &mut World, text: &str) -> Result<Id, ClientError> {
    let peer = world.engine.recipient("bob")?.clone();
    let said = Said::Text { text: text.to_owned(), reply_to: None };
    let mut batch = Batch::default();
    let (id, _) = world.engine.say(&peer, said, 1, &mut batch)?;
    world.engine.store.add(&batch).unwrap();
    Ok(id)
}

fn troubles(events: &[Event]) -> Vec<Trouble> {
    let trouble = |event: &Event| match event {
        Event::Trouble { trouble, .. } => Some(*trouble),
        _ => None,
    };
    events.iter().filter_map(trouble).collect()
}

async fn cards(world: &mut World) -> Vec<crate::ContactCard> {
    let (reply, mut answer) = tokio::sync::oneshot::channel();
    world.engine.command(Command::Contacts(reply)).await.unwrap();
    world.engine.settle().unwrap();
    answer.try_recv().unwrap().unwrap()
}

#[tokio::test]
async fn who_blocks_erases_keys_and_what_waits_and_lists_it_until_it_is_taken_back() {
    let (mut world, board, bob, first) = contact().await;
    let calls = parting_on(&world, &board);
    let mut theirs = first.state;
    let unread = bob.says(&mut theirs, "unread", 0, world.now());
    world.engine.message(unread).await.unwrap().unwrap();
    says(&mut world, "waits").unwrap();
    world.engine.part("bob", Parting::Block).await.unwrap();
    assert!(calls.lock().unwrap().contains(&"/v1/contacts/block".to_owned()));
    assert!(world.engine.epoch_state(&first.id).unwrap().is_none(), "keys are erased");
    assert_eq!(world.engine.outbox.entries().count(), 0);
    let told = world.tells();
    assert!(!told.iter().any(|event| matches!(event, Event::MessageReceived(_))), "{told:?}");
    assert!(told.iter().any(|event| matches!(event, Event::Failed { code: "parted", .. })));
    assert!(matches!(says(&mut world, "more"), Err(ClientError::YouBlock)));
    let link = ContactLink::parse("bob").unwrap();
    let refused = world.engine.ask_contact(&link).await;
    assert!(matches!(refused, Err(ClientError::YouBlock)), "{refused:?}");
    // What was on its way is acknowledged and never seen.
    let late = bob.says(&mut theirs, "late", 0, world.now());
    world.engine.message(late).await.unwrap().unwrap();
    assert_eq!(world.tells(), []);
    board.set(|shown| shown.contacts[0].state = ContactState::Blocked);
    assert_eq!(cards(&mut world).await[0].standing, Standing::Blocked);
    // The history stays.
    assert_eq!(world.engine.acquaintance("bob").unwrap().messages, 1);

    world.engine.part("bob", Parting::Unblock).await.unwrap();
    board.set(|shown| shown.contacts.clear());
    assert_eq!(cards(&mut world).await, []);
    let twice = world.engine.part("bob", Parting::Unblock).await;
    assert!(matches!(twice, Err(ClientError::NotBlocked)), "{twice:?}");
    // A new request begins anew, above the last number.
    let request = asks(&bob, &board, 9);
    let newest = Some(hushwire_wire::http::EpochRef { n: 0, epoch: first.id });
    board.set(|shown| shown.contacts[0].newest = newest);
    world.engine.sync_contacts().await.unwrap();
    world.engine.accept_contact(&link).await.unwrap();
    let peer = &world.engine.peers[&bob.user()];
    assert_eq!((peer.standing, peer.request), (Standing::Active, request.id()));
    assert_eq!(peer.newest().unwrap().n, 1);
}

#[tokio::test]
async fn a_refusal_of_the_server_erases_nothing_here() {
    let (mut world, board, bob, first) = contact().await;
    let shown = board.clone();
    world.script(move |call| {
        let is_parting = call.path.starts_with("/v1/contacts/");
        let refusal = || prekeys::problem(ProblemCode::Unavailable);
        Some(if is_parting { refusal() } else { shown.answer(call) })
    });
    for how in [Parting::Block, Parting::Remove] {
        assert!(world.engine.part("bob", how).await.is_err());
    }
    assert_eq!(world.engine.peers[&bob.user()].standing, Standing::Active);
    assert!(world.engine.epoch_state(&first.id).unwrap().is_some());
    for how in [Parting::Block, Parting::Remove] {
        let nobody = world.engine.part("eve", how).await;
        assert!(matches!(nobody, Err(ClientError::NoContact)), "{nobody:?}");
    }
    let nobody = world.engine.part("eve", Parting::Decline).await;
    assert!(matches!(nobody, Err(ClientError::NobodyAsks)), "{nobody:?}");
}

#[tokio::test]
async fn a_request_is_declined_and_an_own_one_forgotten() {
    let mut world = World::new();
    let board = Board::of(&world);
    let calls = parting_on(&world, &board);
    let bob = Friend::new(&world, "bob");
    asks(&bob, &board, 1);
    world.engine.part("bob", Parting::Decline).await.unwrap();
    assert!(calls.lock().unwrap().contains(&"/v1/contacts/decline".to_owned()));
    assert!(world.engine.peers.is_empty(), "nothing is kept of a stranger");
    let asked = Asked { request: Sealed::new(vec![1]), link: None };
    world.engine.asked.insert("carol".to_owned(), asked);
    world.engine.part("carol", Parting::Remove).await.unwrap();
    assert!(world.engine.asked.is_empty());
}

#[tokio::test]
async fn that_the_server_takes_nothing_is_told_once_and_ends_with_what_it_takes() {
    let (mut world, board, bob, _) = contact().await;
    let answers = |world: &mut World, answer| {
        let id = says(world, "words").unwrap();
        let (order, _) = world.engine.outbox.entries().find(|(_, e)| e.id == id).unwrap();
        world.engine.questions.insert(1, (Question::Send(order), 0));
        answer
    };
    let refused = || Answer::Reject(Reject::NotContact {});
    for _ in 0..2 {
        let answer = answers(&mut world, refused());
        world.engine.answer(Some(1), answer).await.unwrap();
    }
    let told = world.tells();
    assert_eq!(troubles(&told), [Trouble::Refused], "once");
    let failed = told.iter().filter_map(|event| match event {
        Event::Failed { why, .. } => Some(why.clone()),
        _ => None,
    });
    let failed: Vec<_> = failed.collect();
    assert!(failed.len() == 2 && failed[0].contains("blocked you"), "{failed:?}");
    assert!(world.engine.peers[&bob.user()].refused);
    // The list says otherwise, and then nothing of them any more.
    let card = &cards(&mut world).await[0];
    assert_eq!((card.trouble, card.blocked), (None, false));
    board.set(|shown| shown.contacts.clear());
    let card = &cards(&mut world).await[0];
    assert_eq!(card.trouble, Some(ContactTrouble::Refused));
    assert_eq!(troubles(&world.tells()), [Trouble::Refused]);
    assert!(world.engine.peers[&bob.user()].newest().is_some(), "no key is erased for it");
}

#[tokio::test]
async fn a_gap_is_told_and_marked_once() {
    let (mut world, _board, bob, _) = contact().await;
    for count in [3, 3, 0] {
        world.engine.note_gap(&bob.user(), count).unwrap();
    }
    world.engine.note_gap(&UserId([9; 32]), 3).unwrap();
    let gap = Event::Gap { handle: "bob".to_owned(), count: 3 };
    assert_eq!(world.tells(), [gap]);
    let (reply, mut answer) = tokio::sync::oneshot::channel();
    world.engine.command(Command::History("bob".to_owned(), 9, reply)).await.unwrap();
    world.engine.settle().unwrap();
    let history = answer.try_recv().unwrap().unwrap();
    assert_eq!(history.iter().map(|message| message.missed).collect::<Vec<_>>(), [3]);
}

/// What is asked while the engine catches up to a version.
async fn asked_for(world: &mut World, calls: &Mutex<Vec<String>>, v: u64) -> Vec<String> {
    calls.lock().unwrap().clear();
    world.engine.catch_up(v).await.unwrap();
    let calls = calls.lock().unwrap().clone();
    calls.into_iter().filter(|path| !path.contains("prekeys")).collect()
}

#[tokio::test]
async fn after_a_cut_only_what_changed_is_asked_for() {
    let (mut world, board, mut bob, _) = contact().await;
    let changes =
        Arc::new(Mutex::new(Changes { v: 2, changes: Vec::new(), more: false, complete: true }));
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (noted, shown, told) = (Arc::clone(&calls), board.clone(), Arc::clone(&changes));
    world.script(move |call| {
        noted.lock().unwrap().push(call.path.clone());
        let is_state = call.path.starts_with("/v1/state");
        Some(if is_state { reply(200, &*told.lock().unwrap()) } else { shown.answer(call) })
    });
    assert_eq!(world.engine.known_v, Some(1), "the list that was taken first");
    changes.lock().unwrap().v = 1;
    assert_eq!(asked_for(&mut world, &calls, 1).await, ["/v1/state?after=1"]);
    assert_eq!(world.engine.known_v, Some(1));
    // Only a log.
    bob.add_device();
    bob.shown_on(&board);
    let log = Change { v: 2, kind: EventKind::Log, peer: Some(bob.user()), at: 0 };
    *changes.lock().unwrap() = Changes { v: 2, changes: vec![log], more: false, complete: true };
    let asked = asked_for(&mut world, &calls, 2).await;
    let path = format!("/v1/users/{}/log", bob.user().to_base64url());
    assert_eq!(asked, ["/v1/state?after=1".to_owned(), path]);
    assert_eq!((world.engine.known_v, world.engine.peers[&bob.user()].seq()), (Some(2), 1));
    // Anything else, something missing, or a server that was put back: the whole list.
    let epoch = Change { v: 3, kind: EventKind::Epoch, peer: Some(bob.user()), at: 0 };
    let odd = [
        (3, vec![epoch], true),
        (3, vec![log], false),
        (3, vec![log], true),
        (3, vec![], true),
        (1, vec![], true),
    ];
    for (v, list, complete) in odd {
        world.engine.known_v = Some(2);
        *changes.lock().unwrap() = Changes { v, changes: list, more: false, complete };
        let asked = asked_for(&mut world, &calls, v).await;
        assert!(asked.contains(&"/v1/contacts".to_owned()), "{v}: {asked:?}");
        assert_eq!(world.engine.known_v, Some(1), "as the list says");
    }
    // An event of a log that follows needs no list, either.
    calls.lock().unwrap().clear();
    let event = frame::Event { v: 2, kind: EventKind::Log, peer: Some(bob.user()) };
    world.engine.event(&event).await.unwrap();
    assert!(!calls.lock().unwrap().contains(&"/v1/contacts".to_owned()));
    assert_eq!(world.engine.known_v, Some(2));
    // One that is not the next leaves a hole.
    let event = frame::Event { v: 9, ..event };
    world.engine.event(&event).await.unwrap();
    assert_eq!(world.engine.known_v, None);
}

#[tokio::test]
async fn a_list_with_an_entry_that_cannot_be_taken_is_fetched_again() {
    let (mut world, board, _bob, _) = contact().await;
    let broken = Contact {
        peer: UserId([9; 32]),
        state: ContactState::Requested,
        request: Sealed::new(vec![1]),
        newest: None,
    };
    board.set(|shown| shown.contacts.push(broken));
    world.engine.sync_contacts().await.unwrap();
    assert_eq!(world.engine.known_v, None);
}

#[tokio::test]
async fn what_cannot_be_sealed_for_somebody_who_is_gone_fails_after_a_look_at_the_list() {
    let (mut world, board, bob, _) = contact().await;
    board.set(|shown| {
        shown.contacts.clear();
        shown.prekeys.clear();
        shown.logs.clear();
    });
    let _sent = world.goes_up();
    world.engine.looked.clear();
    let effects = world.engine.outbox.connected(Gen([1; 16]), world.now());
    world.engine.carry_out(effects).await.unwrap();
    let id = says(&mut world, "hello?").unwrap();
    for is_failed in [false, true] {
        let (order, _) = world.engine.outbox.entries().find(|(_, e)| e.id == id).unwrap();
        let rest = world.engine.seal(order, false).await.unwrap();
        world.engine.carry_out(rest).await.unwrap();
        let told = world.tells();
        let failed = |event: &Event| matches!(event, Event::Failed { code: "not_contact", .. });
        assert_eq!(told.iter().any(failed), is_failed, "{told:?}");
        if !is_failed {
            world.engine.tick().await.unwrap();
            assert_eq!(troubles(&world.tells()), [Trouble::Refused]);
        }
    }
    assert!(world.engine.peers[&bob.user()].refused);
}
