//! Contact requests and acceptance.

use hushwire_wire::frame::EventKind;
use hushwire_wire::http::{ContactState, EpochRef};

use super::*;
use crate::contact::{AcceptError, RequestError};

pub(super) async fn all<S: Store, G>(open: &impl Fn() -> (S, G)) {
    a_request_is_accepted_once(&open().0).await;
    known_and_unknown_names_are_answered_alike(&open().0).await;
    crossing_requests_name_the_first(&open().0).await;
    a_newer_request_replaces_an_older_one(&open().0).await;
    open_requests_are_bounded(&open().0).await;
    requests_of_a_day_are_bounded(&open().0).await;
    waiting_requests_are_bounded(&open().0).await;
    an_acceptance_that_was_overtaken_changes_nothing(&open().0).await;
}

async fn a_request_is_accepted_once(store: &impl Store) {
    store.register(account(1)).await.unwrap();
    store.register(account(2)).await.unwrap();
    let request = ask(1, 2, 1);
    let (id, bytes) = (request.id, request.bytes.clone());
    let told = store.request(request.clone()).await.unwrap();
    assert_eq!(told, Requested::Delivered(told_of(2, 2, EventKind::Request, 1)));
    assert_eq!(store.request(request.clone()).await.unwrap(), Requested::Silent, "a repeat");

    let list = store.contacts(user(2)).await.unwrap();
    assert_eq!((list.v, list.contacts.len()), (2, 1));
    assert_eq!(list.contacts[0].state, ContactState::Requested);
    assert_eq!((list.contacts[0].peer, &list.contacts[0].request), (user(1), &bytes));
    assert!(store.contacts(user(1)).await.unwrap().contacts.is_empty(), "the asker sees nothing");

    assert!(store.asked(user(1), id, NOW).await.unwrap().is_none(), "not the asker's to accept");
    let asked = store.asked(user(2), id, NOW).await.unwrap().unwrap();
    assert_eq!((asked.asker, asked.accepted), (user(1), false));
    assert_eq!(asked.keys.a.log, [vec![1; 200]]);
    assert_eq!(asked.keys.b.as_ref().unwrap().prekeys, [prekey(2, 1).record]);
    assert!(asked.keys.newest.is_none());

    let first = epoch(0x10, 0, 2, &[1], &[(1, 1), (2, 1)]);
    let stamp = asked.keys.stamp;
    let told = store.accept(user(2), id, stamp, first.clone()).await.unwrap();
    let accepted = EventKind::Accepted;
    assert_eq!(told, [told_of(2, 3, accepted, 1), told_of(1, 2, accepted, 2)]);
    for (me, peer) in [(1, 2), (2, 1)] {
        let list = store.contacts(user(me)).await.unwrap();
        assert_eq!(list.contacts.len(), 1);
        let contact = &list.contacts[0];
        assert_eq!((contact.peer, contact.state), (user(peer), ContactState::Active));
        assert_eq!(contact.request, bytes);
        assert_eq!(contact.newest, Some(EpochRef { n: 0, epoch: EpochId([0x10; 32]) }));
    }

    let again = store.accept(user(2), id, stamp, first).await;
    assert!(matches!(again, Err(AcceptError::NotFound)));
    let asked = store.asked(user(2), id, NOW).await.unwrap().unwrap();
    assert!(asked.accepted);
    assert_eq!(asked.keys.newest.unwrap().id, EpochId([0x10; 32]));
    assert_eq!(store.request(request).await.unwrap(), Requested::Silent, "a late repeat");
    assert_eq!(store.request(ask(1, 2, 5)).await.unwrap(), Requested::Silent, "a contact already");
    assert_eq!(store.contacts(user(2)).await.unwrap().contacts.len(), 1);
}

async fn known_and_unknown_names_are_answered_alike(store: &impl Store) {
    for tag in 1..=3 {
        store.register(account(tag)).await.unwrap();
    }
    assert_eq!(store.request(ask(1, 9, 1)).await.unwrap(), Requested::Silent, "unknown");
    assert_eq!(store.request(ask(1, 1, 1)).await.unwrap(), Requested::Silent, "oneself");
    let mut misdirected = ask(1, 2, 1);
    misdirected.to = Some(user(3));
    assert_eq!(store.request(misdirected).await.unwrap(), Requested::Silent, "another log");
    assert!(store.contacts(user(2)).await.unwrap().contacts.is_empty());

    // Whoever takes an unknown name later does not find what was sent to it before.
    store.register(account(9)).await.unwrap();
    assert!(store.contacts(user(9)).await.unwrap().contacts.is_empty());

    let mut directed = ask(1, 2, 2);
    directed.to = Some(user(2));
    assert!(matches!(store.request(directed).await.unwrap(), Requested::Delivered(_)));
}

async fn crossing_requests_name_the_first(store: &impl Store) {
    store.register(account(1)).await.unwrap();
    store.register(account(2)).await.unwrap();
    let first = ask(1, 2, 1);
    let id = first.id;
    store.request(first).await.unwrap();
    assert_eq!(store.request(ask(2, 1, 2)).await.unwrap(), Requested::Crossed(id));
    assert!(store.contacts(user(1)).await.unwrap().contacts.is_empty(), "the second is not kept");
    assert!(store.asked(user(2), id, NOW).await.unwrap().is_some());
}

async fn a_newer_request_replaces_an_older_one(store: &impl Store) {
    store.register(account(1)).await.unwrap();
    store.register(account(2)).await.unwrap();
    let (old, new) = (ask(1, 2, 1), ask(1, 2, 2));
    let (old_id, new_id) = (old.id, new.id);
    store.request(old).await.unwrap();
    store.request(new).await.unwrap();
    assert_eq!(store.contacts(user(2)).await.unwrap().contacts.len(), 1);
    assert!(store.asked(user(2), old_id, NOW).await.unwrap().is_none());
    assert!(store.asked(user(2), new_id, NOW).await.unwrap().is_some());
}

async fn open_requests_are_bounded(store: &impl Store) {
    store.register(account(1)).await.unwrap();
    store.register(account(2)).await.unwrap();
    let bounds = RequestBounds { asked: 3, waiting: 9, open_ms: 1000, per_day: 0 };
    let bounded =
        |answerer, nonce, now_ms| NewRequest { bounds, now_ms, ..ask(1, answerer, nonce) };
    for unknown in [20, 21] {
        store.request(bounded(unknown, 1, NOW + 10)).await.unwrap();
    }
    store.request(bounded(2, 1, NOW + 20)).await.unwrap();
    // Known and unknown names count alike, and a replacement is no further one.
    for answerer in [22, 2] {
        let nonce = answerer;
        match store.request(bounded(answerer, nonce, NOW + 100)).await {
            Ok(Requested::Delivered(_)) => assert_eq!(answerer, 2),
            Err(RequestError::TooMany { open, retry_after_ms }) => {
                assert_eq!((answerer, open, retry_after_ms), (22, 3, 910));
            }
            other => panic!("{other:?}"),
        }
    }
    // After its time a request counts no longer.
    store.request(bounded(23, 1, NOW + 1010)).await.unwrap();
}

async fn requests_of_a_day_are_bounded(store: &impl Store) {
    store.register(account(1)).await.unwrap();
    store.register(account(2)).await.unwrap();
    let day = NOW / DAY * DAY;
    let bounds = RequestBounds { asked: 99, per_day: 3, ..RequestBounds::default() };
    let bounded =
        |answerer, nonce, now_ms| NewRequest { bounds, now_ms, ..ask(1, answerer, nonce) };
    // Replacements, unknown names and declined ones count; a repeat of the same one does not.
    store.request(bounded(2, 1, day)).await.unwrap();
    store.request(bounded(2, 2, day)).await.unwrap();
    store.request(bounded(2, 2, day)).await.unwrap();
    store.decline(user(2), ask(1, 2, 2).id, day).await.unwrap();
    store.request(bounded(9, 1, day)).await.unwrap();
    for answerer in [2, 9] {
        match store.request(bounded(answerer, 7, day + DAY - 10)).await {
            Err(RequestError::TooManyToday { made, retry_after_ms }) => {
                assert_eq!((made, retry_after_ms), (3, 10));
            }
            other => panic!("{other:?}"),
        }
    }
    store.request(bounded(9, 8, day + DAY)).await.unwrap();
    let off = RequestBounds { per_day: 0, ..bounds };
    for nonce in 20..30 {
        store.request(NewRequest { bounds: off, ..bounded(9, nonce, day + DAY) }).await.unwrap();
    }
}

async fn waiting_requests_are_bounded(store: &impl Store) {
    let bounds = RequestBounds { asked: 9, waiting: 2, ..RequestBounds::default() };
    for tag in 1..=4 {
        store.register(account(tag)).await.unwrap();
    }
    for (asker, delivered) in [(2, true), (3, true), (4, false)] {
        let outcome = store.request(NewRequest { bounds, ..ask(asker, 1, 1) }).await.unwrap();
        assert_eq!(matches!(outcome, Requested::Delivered(_)), delivered, "{asker}");
    }
    assert_eq!(store.contacts(user(1)).await.unwrap().contacts.len(), 2);
}

async fn an_acceptance_that_was_overtaken_changes_nothing(store: &impl Store) {
    for tag in 1..=3 {
        store.register(account(tag)).await.unwrap();
    }
    let request = ask(1, 2, 1);
    let id = request.id;
    store.request(request).await.unwrap();
    let stamp = store.asked(user(2), id, NOW).await.unwrap().unwrap().keys.stamp;
    store.put_prekey(user(1), prekey(1, 2)).await.unwrap();
    let first = epoch(0x10, 0, 2, &[1], &[(1, 1), (2, 1)]);
    let moved = store.accept(user(2), id, stamp, first.clone()).await;
    assert!(matches!(moved, Err(AcceptError::Moved)));
    let other = store.accept(user(3), id, stamp, first).await;
    assert!(matches!(other, Err(AcceptError::NotFound)));
    assert!(store.contacts(user(1)).await.unwrap().contacts.is_empty());
    assert_eq!(store.contacts(user(2)).await.unwrap().v, 2, "the request's version");
    assert!(store.pair(user(1), user(2)).await.unwrap().is_none());
}
