//! Requests for a contact: who may be accepted by a name or a link, and what somebody who was not
//! accepted can do.

use hushwire_identity::{ContactLink, ContactRequest, Handle, contact_link};
use hushwire_wire::Sealed;
use hushwire_wire::http::{Contact, ContactState};

use super::friend::{Board, Friend};
use super::hostile::World;
use super::*;
use crate::record::{Peer, Standing};

/// A request of the friend to the world's user, the only one of theirs on the board.
fn asks(friend: &Friend, board: &Board, nonce: u8) -> ContactRequest {
    friend.shown_on(board);
    let request = ContactRequest {
        from: friend.log.point(),
        to: None,
        handle: Handle::parse("alice").unwrap(),
        nonce: [nonce; 16],
        time_ms: 1,
    };
    let contact = Contact {
        peer: friend.user(),
        state: ContactState::Requested,
        request: Sealed::new(request.to_bytes()),
        newest: None,
    };
    board.set(|shown| {
        shown.contacts.retain(|contact| contact.peer != friend.user());
        shown.contacts.push(contact);
    });
    request
}

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
