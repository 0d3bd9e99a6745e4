//! Requests for a contact: who may be accepted by a name or a link, and what somebody who was not
//! accepted can do.

use hushwire_identity::{ContactLink, ContactRequest, Handle, contact_link};
use hushwire_wire::http::{Contact, ContactState};
use hushwire_wire::{Sealed, UserId};

use super::friend::{Board, Friend, REQUEST, asks};
use super::hostile::World;
use super::*;
use crate::record::{Peer, Point, Standing};

/// `bob`, or the link to the friend.
fn named(friend: Option<&Friend>) -> ContactLink {
    let link = friend.map(|friend| contact_link("bob", "example.org", &friend.user()));
    ContactLink::parse(&link.unwrap_or_else(|| "bob".to_owned())).unwrap()
}

fn standing(world: &World, friend: &Friend) -> Option<Standing> {
    world.engine.peers.get(&friend.user()).map(|peer| peer.standing)
}

#[tokio::test]
async fn a_link_makes_no_contact_of_other_keys() {
    let mut world = World::new();
    let board = Board::of(&world);
    let (bob, mallory) = (Friend::new(&world, "bob"), Friend::new(&world, "bob"));
    asks(&mallory, &board, 1);
    world.engine.sync_contacts().await.unwrap();
    let link = named(Some(&bob));
    for refused in [world.engine.ask_contact(&link).await, world.engine.accept_contact(&link).await]
    {
        assert!(matches!(refused, Err(ClientError::OtherKeys)), "{refused:?}");
    }
    assert_eq!(standing(&world, &mallory), Some(Standing::AsksMe));
    assert!(matches!(world.engine.recipient("bob"), Err(ClientError::NotAccepted)));
    // Of two who ask, it takes the one that it names.
    asks(&bob, &board, 2);
    world.engine.accept_contact(&link).await.unwrap();
    assert_eq!(world.engine.recipient("bob").unwrap().user, bob.user());
    assert_eq!(standing(&world, &mallory), Some(Standing::Replaced));
}

#[tokio::test]
async fn a_link_that_was_asked_by_binds_the_name_afterwards() {
    let mut world = World::new();
    let board = Board::of(&world);
    let (bob, mallory) = (Friend::new(&world, "bob"), Friend::new(&world, "bob"));
    // The server does not tell; that the answer was lost changes nothing.
    let asked = world.engine.ask_contact(&named(Some(&bob))).await;
    assert!(asked.is_err() && world.engine.asked.contains_key("bob"));
    let _ = world.engine.ask_contact(&named(None)).await;
    assert_eq!(world.engine.asked["bob"].link, Some(bob.user()), "asking again forgets no link");
    asks(&mallory, &board, 1);
    let refused = world.engine.accept_contact(&named(None)).await;
    assert!(matches!(refused, Err(ClientError::OtherKeys)), "{refused:?}");
    let refused = world.engine.ask_contact(&named(None)).await;
    assert!(matches!(refused, Err(ClientError::OtherKeys)), "{refused:?}");
    assert_eq!(standing(&world, &mallory), Some(Standing::AsksMe));
}

#[tokio::test]
async fn a_request_that_crosses_a_link_is_taken_only_of_the_log_that_it_names() {
    let mut world = World::new();
    let board = Board::of(&world);
    let (bob, mallory) = (Friend::new(&world, "bob"), Friend::new(&world, "bob"));
    let request = asks(&mallory, &board, 1);
    board.set(|shown| shown.crossed = Some(request.id()));
    let refused = world.engine.ask_contact(&named(Some(&bob))).await;
    assert!(matches!(refused, Err(ClientError::OtherKeys)), "{refused:?}");
    assert_eq!(standing(&world, &mallory), Some(Standing::AsksMe));
}

#[tokio::test]
async fn of_two_who_ask_under_one_name_none_is_taken_without_a_link() {
    let mut world = World::new();
    let board = Board::of(&world);
    let (bob, mallory) = (Friend::new(&world, "bob"), Friend::new(&world, "bob"));
    asks(&mallory, &board, 1);
    asks(&bob, &board, 2);
    for _ in 0..2 {
        let refused = world.engine.accept_contact(&named(None)).await;
        assert!(matches!(refused, Err(ClientError::TwoAsk)), "{refused:?}");
        let refused = world.engine.ask_contact(&named(None)).await;
        assert!(matches!(refused, Err(ClientError::TwoAsk)), "{refused:?}");
    }
    assert!(matches!(world.engine.recipient("bob"), Err(ClientError::NotAccepted)));
    world.engine.accept_contact(&named(Some(&bob))).await.unwrap();
    assert_eq!(world.engine.recipient("bob").unwrap().user, bob.user());
}

#[tokio::test]
async fn a_contact_of_other_keys_than_the_link_is_not_called_a_contact_already() {
    let mut world = World::new();
    let board = Board::of(&world);
    let (bob, mallory) = (Friend::new(&world, "bob"), Friend::new(&world, "bob"));
    asks(&mallory, &board, 1);
    world.engine.accept_contact(&named(None)).await.unwrap();
    let again = world.engine.ask_contact(&named(Some(&mallory))).await;
    assert!(matches!(again, Err(ClientError::IsContact)), "{again:?}");
    world.engine.accept_contact(&named(Some(&mallory))).await.unwrap();
    let refused = world.engine.accept_contact(&named(Some(&bob))).await;
    assert!(matches!(refused, Err(ClientError::NobodyAsks)), "{refused:?}");
    let asked = world.engine.ask_contact(&named(Some(&bob))).await;
    assert!(!matches!(asked, Err(ClientError::IsContact)), "{asked:?}");
    assert_eq!(world.engine.asked["bob"].link, Some(bob.user()));
}

#[tokio::test]
async fn a_link_to_another_server_accepts_nobody() {
    let mut world = World::new();
    let board = Board::of(&world);
    let bob = Friend::new(&world, "bob");
    asks(&bob, &board, 1);
    world.engine.sync_contacts().await.unwrap();
    let link = ContactLink::parse(&contact_link("bob", "elsewhere.org", &bob.user())).unwrap();
    for refused in [world.engine.ask_contact(&link).await, world.engine.accept_contact(&link).await]
    {
        assert!(matches!(refused, Err(ClientError::OtherServer)), "{refused:?}");
    }
    assert_eq!(standing(&world, &bob), Some(Standing::AsksMe));
}

#[tokio::test]
async fn nothing_is_shown_of_somebody_who_was_not_accepted() {
    let mut world = World::new();
    let board = Board::of(&world);
    let mallory = Friend::new(&world, "mallory");
    let request = asks(&mallory, &board, 1);
    world.engine.sync_contacts().await.unwrap();
    let first = mallory.makes(&world, 0, request.id().0);
    let bundle = mallory.bundle(&world, &first);
    board.set(|shown| shown.epochs.insert(first.id.to_base64url(), bundle));
    let mut theirs = first.state;
    let arrived = mallory.says(&mut theirs, "unsolicited", 0, world.now());
    // It waits, in bounds: whoever is accepted later may have written before that was heard of.
    world.engine.message(arrived).await.unwrap().unwrap();
    assert_eq!(world.engine.waiting.len(), 1);
    let taken = world.engine.ensure_epoch(mallory.user(), first.id).await;
    assert!(matches!(taken, Err(ClientError::NoContact)), "{taken:?}");
    let told = world.tells();
    assert!(!told.iter().any(|event| matches!(event, Event::MessageReceived(_))), "{told:?}");
    let peer = &world.engine.peers[&mallory.user()];
    assert_eq!((peer.standing, peer.epochs.len(), peer.messages), (Standing::AsksMe, 0, 0));
    // Once a person has agreed, the server's answer may be lost.
    let agreed = Peer { accepted: true, ..peer.clone() };
    world.engine.put_peer(agreed).unwrap();
    world.engine.ensure_epoch(mallory.user(), first.id).await.unwrap();
}

/// Accepts whoever asks as bob.
async fn accepts(world: &mut World) -> Result<(), ClientError> {
    world.engine.accept_contact(&named(None)).await
}

#[tokio::test]
async fn who_asks_again_is_accepted_by_the_newer_request() {
    let mut world = World::new();
    let board = Board::of(&world);
    let bob = Friend::new(&world, "bob");
    let one = asks(&bob, &board, 1);
    world.engine.sync_contacts().await.unwrap();
    let held = |world: &World| world.engine.peers[&bob.user()].request;
    assert_eq!(held(&world), one.id());
    let two = asks(&bob, &board, 2);
    for _ in 0..2 {
        world.engine.sync_contacts().await.unwrap();
    }
    assert_eq!(held(&world), two.id());
    let requests = world.tells().into_iter();
    let requests = requests.filter(|event| matches!(event, Event::ContactRequest { .. }));
    assert_eq!(requests.count(), 1, "a person is asked once");
    // One that is not for this user, or not of who is said to ask, replaces nothing.
    let other = Friend::new(&world, "carol");
    for (from, handle) in [(&other, "alice"), (&bob, "eve")] {
        let mut wrong = asks(&bob, &board, 3);
        (wrong.from, wrong.handle) = (from.log.point(), Handle::parse(handle).unwrap());
        board.set(|shown| shown.contacts[0].request = Sealed::new(wrong.to_bytes()));
        world.engine.sync_contacts().await.unwrap();
        assert_eq!(held(&world), two.id());
    }
    asks(&bob, &board, 2);
    accepts(&mut world).await.unwrap();
    assert_eq!(standing(&world, &bob), Some(Standing::Active));
    // A contact who asks has ended it before: that is told, and nothing is sent until a person
    // agrees again.
    let four = asks(&bob, &board, 4);
    world.engine.sync_contacts().await.unwrap();
    assert_eq!((held(&world), standing(&world, &bob)), (four.id(), Some(Standing::AsksMe)));
    let told = world.tells();
    let is_refused =
        |event: &Event| matches!(event, Event::Trouble { trouble: crate::Trouble::Refused, .. });
    assert!(told.iter().any(is_refused), "{told:?}");
    assert!(matches!(world.engine.recipient("bob"), Err(ClientError::NotAccepted)));
}

#[tokio::test]
async fn an_acceptance_that_was_lost_is_asked_for_again_by_a_newer_request() {
    let mut world = World::new();
    let board = Board::of(&world);
    let bob = Friend::new(&world, "bob");
    asks(&bob, &board, 1);
    let lost = prekeys::problem(hushwire_wire::http::ProblemCode::Unavailable);
    board.set(|shown| shown.refuse_accept = vec![lost]);
    accepts(&mut world).await.unwrap_err();
    assert!(world.engine.peers[&bob.user()].accepted);
    world.engine.sync_contacts().await.unwrap();
    assert!(world.engine.peers[&bob.user()].accepted, "the same request says nothing new");
    let two = asks(&bob, &board, 2);
    world.engine.sync_contacts().await.unwrap();
    let peer = &world.engine.peers[&bob.user()];
    assert_eq!((peer.accepted, peer.request), (false, two.id()));
    accepts(&mut world).await.unwrap();
}

#[tokio::test]
async fn keys_that_were_replaced_come_back_by_a_new_request_and_only_as_one_who_asks() {
    let mut world = World::new();
    let board = Board::of(&world);
    let (mut bob, other) = (Friend::new(&world, "bob"), Friend::new(&world, "bob"));
    asks(&bob, &board, 1);
    accepts(&mut world).await.unwrap();
    let verified = Some(Point::of(&bob.log));
    let peer = Peer { verified, messages: 3, ..world.engine.peers[&bob.user()].clone() };
    world.engine.put_peer(peer).unwrap();
    board.set(|shown| shown.contacts.clear());
    asks(&other, &board, 2);
    accepts(&mut world).await.unwrap();
    assert_eq!(standing(&world, &bob), Some(Standing::Replaced));
    // The request by which it was a contact is nothing new.
    asks(&bob, &board, 1);
    world.engine.sync_contacts().await.unwrap();
    assert_eq!(standing(&world, &bob), Some(Standing::Replaced));
    // Another log than the one that is pinned is not taken for it.
    let honest = bob.entries.clone();
    let fork = Friend::new(&world, "bob");
    let request = asks(&bob, &board, 3);
    let user = bob.user().to_base64url();
    board.set(|shown| shown.logs.insert(user.clone(), fork.entries.clone()));
    world.engine.sync_contacts().await.unwrap();
    assert_eq!(standing(&world, &bob), Some(Standing::Replaced));
    board.set(|shown| shown.logs.insert(user, honest));
    world.engine.sync_contacts().await.unwrap();
    let peer = &world.engine.peers[&bob.user()];
    assert_eq!(
        (peer.standing, peer.accepted, peer.request),
        (Standing::AsksMe, false, request.id())
    );
    assert_eq!((peer.messages, peer.verified), (3, verified), "what is known of a log stays");
    assert!(matches!(world.engine.recipient("bob"), Err(ClientError::Changed)), "an alarm");
    accepts(&mut world).await.unwrap();
    assert_eq!(world.engine.recipient("bob").unwrap().user, bob.user());
    assert_eq!(standing(&world, &other), Some(Standing::Replaced));
    // And so for good: also the one that was replaced while its name was another's.
    asks(&other, &board, 5);
    world.engine.sync_contacts().await.unwrap();
    assert!(matches!(world.engine.recipient("bob"), Err(ClientError::Changed)));
    bob.add_device();
    accepts(&mut world).await.unwrap();
    assert_eq!(world.engine.recipient("bob").unwrap().user, other.user());
}

#[tokio::test]
async fn a_contact_whose_name_was_taken_is_admitted_again_by_its_own_link_only() {
    let mut world = World::new();
    let board = Board::of(&world);
    let (bob, other) = (Friend::new(&world, "bob"), Friend::new(&world, "bob"));
    asks(&bob, &board, 1);
    accepts(&mut world).await.unwrap();
    asks(&other, &board, 2);
    world.engine.sync_contacts().await.unwrap();
    assert!(matches!(world.engine.recipient("bob"), Err(ClientError::Changed)));
    world.engine.accept_contact(&named(Some(&bob))).await.unwrap();
    assert_eq!(world.engine.recipient("bob").unwrap().user, bob.user());
    assert_eq!(standing(&world, &other), Some(Standing::AsksMe));
}

#[tokio::test]
async fn keys_that_were_replaced_answer_a_request_of_this_user() {
    let mut world = World::new();
    let board = Board::of(&world);
    let bob = Friend::new(&world, "bob");
    bob.known_to(&mut world, Standing::Replaced);
    let peer = Peer { messages: 3, ..world.engine.peers[&bob.user()].clone() };
    world.engine.put_peer(peer).unwrap();
    bob.shown_on(&board);
    // What nobody asked for here brings nobody back.
    let stray = bob.makes(&world, 0, REQUEST.0);
    bob.posts(&world, &board, &stray);
    world.engine.sync_contacts().await.unwrap();
    assert_eq!(standing(&world, &bob), Some(Standing::Replaced));
    let _ = world.engine.ask_contact(&named(Some(&bob))).await;
    let asked = world.engine.asked["bob"].request.clone();
    let id = ContactRequest::parse(asked.as_bytes()).unwrap().id();
    let first = bob.makes(&world, 0, id.0);
    bob.posts(&world, &board, &first);
    board.set(|shown| shown.contacts[0].request = asked);
    world.engine.sync_contacts().await.unwrap();
    let peer = &world.engine.peers[&bob.user()];
    assert_eq!((peer.standing, peer.epochs.len(), peer.messages), (Standing::Active, 1, 3));
}

#[tokio::test]
async fn requests_that_expired_are_forgotten_and_only_so_many_wait() {
    let mut world = World::new();
    let board = Board::of(&world);
    let bob = Friend::new(&world, "bob");
    asks(&bob, &board, 1);
    world.engine.sync_contacts().await.unwrap();
    // One that a person agreed to is kept: the server may just not have heard of it.
    let carol = Friend::new(&world, "carol");
    carol.known_to(&mut world, Standing::AsksMe);
    let agreed = Peer { accepted: true, ..world.engine.peers[&carol.user()].clone() };
    world.engine.put_peer(agreed).unwrap();
    // So is the log of one with whom there is a history.
    let dora = Friend::new(&world, "dora");
    dora.known_to(&mut world, Standing::AsksMe);
    let before = Peer { messages: 1, ..world.engine.peers[&dora.user()].clone() };
    world.engine.put_peer(before).unwrap();
    board.set(|shown| shown.contacts.clear());
    world.engine.sync_contacts().await.unwrap();
    assert_eq!(standing(&world, &bob), None);
    assert!(!world.engine.store.has(Space::Peer, bob.user().as_bytes()).unwrap());
    assert_eq!(standing(&world, &carol), Some(Standing::AsksMe));
    assert_eq!(standing(&world, &dora), Some(Standing::Replaced));

    for n in 0..200u8 {
        let user = UserId([n; 32]);
        let peer = Peer::new(user, Standing::AsksMe, hushwire_wire::RequestId([n; 32]));
        world.engine.put_peer(peer).unwrap();
        let (peer, state) = (user, ContactState::Requested);
        let contact = Contact { peer, state, request: Sealed::new(vec![0]), newest: None };
        board.set(|shown| shown.contacts.push(contact));
    }
    asks(&bob, &board, 2);
    world.engine.sync_contacts().await.unwrap();
    assert_eq!(standing(&world, &bob), None, "200 wait");
    board.set(|shown| shown.contacts.remove(0));
    for _ in 0..2 {
        world.engine.sync_contacts().await.unwrap();
    }
    assert_eq!(standing(&world, &bob), Some(Standing::AsksMe), "one is gone");
}
