//! Declining, removing, blocking, unblocking: what the user sees, and what the other side must not.

use hushwire_wire::frame::EventKind;
use hushwire_wire::http::{ContactState, EpochRef};

use super::*;
use crate::account::ReadError;
use crate::contact::{BlockError, ContactRow, RequestError};
use crate::epoch::PostEpochError;

pub(super) async fn all<S: Store, G>(open: &impl Fn() -> (S, G)) {
    a_declined_request_is_gone_for_one_side_only(&open().0).await;
    a_removed_contact_reads_like_a_stranger(&open().0).await;
    epochs_go_on_counting_after_a_second_acceptance(&open().0).await;
    whoever_is_blocked_reaches_nobody_and_learns_nothing(&open().0).await;
    only_people_one_has_met_are_blocked(&open().0).await;
    a_block_ends_what_was_asked_in_both_directions(&open().0).await;
}

async fn people(store: &impl Store) {
    for tag in 1..=3 {
        store.register(account(tag)).await.unwrap();
    }
}

async fn list(store: &impl Store, tag: u8) -> Vec<(UserId, ContactState)> {
    let rows = store.contacts(user(tag)).await.unwrap().contacts;
    rows.iter().map(|row: &ContactRow| (row.peer, row.state)).collect()
}

async fn a_declined_request_is_gone_for_one_side_only(store: &impl Store) {
    people(store).await;
    let request = ask(1, 2, 1);
    let id = request.id;
    let bounds = RequestBounds { asked: 1, ..RequestBounds::default() };
    store.request(NewRequest { bounds, ..request.clone() }).await.unwrap();
    assert_eq!(store.decline(user(3), id, NOW).await.unwrap(), None, "not the one asked");
    assert_eq!(store.decline(user(1), id, NOW).await.unwrap(), None, "not the asker");
    let told = store.decline(user(2), id, NOW).await.unwrap();
    assert_eq!(told, Some(told_of(2, 3, EventKind::Removed, 1)));
    assert_eq!(store.decline(user(2), id, NOW).await.unwrap(), None, "a repeat");
    assert_eq!(list(store, 2).await, []);
    assert!(store.asked(user(2), id, NOW).await.unwrap().is_none());
    assert!(matches!(store.log(user(2), user(1), None).await, Err(ReadError::NotFound)));
    // For the asker it is as open as before: it counts, and its repeat is a repeat.
    let more = store.request(NewRequest { bounds, ..ask(1, 3, 1) }).await;
    assert!(matches!(more, Err(RequestError::TooMany { open: 1, .. })), "{more:?}");
    assert_eq!(store.request(request).await.unwrap(), Requested::Silent);
    assert_eq!(store.contacts(user(1)).await.unwrap().v, 1);
    // The other may ask in turn: nothing crosses.
    assert!(matches!(store.request(ask(2, 1, 5)).await.unwrap(), Requested::Delivered(_)));
}

async fn a_removed_contact_reads_like_a_stranger(store: &impl Store) {
    people(store).await;
    befriend(store, 1, 2).await;
    let stamp = store.pair_keys(user(2), user(1), NOW).await.unwrap().unwrap().stamp;
    let before = store.contacts(user(2)).await.unwrap().v;
    let told = store.remove(user(1), user(2), NOW).await.unwrap();
    assert_eq!(told, Some(told_of(1, 3, EventKind::Removed, 2)));
    assert_eq!(store.remove(user(1), user(2), NOW).await.unwrap(), None, "a repeat");
    assert_eq!(store.remove(user(2), user(1), NOW).await.unwrap(), None, "and from there");
    assert_eq!(store.remove(user(1), user(1), NOW).await.unwrap(), None, "oneself");
    assert_eq!(store.remove(user(1), user(9), NOW).await.unwrap(), None, "unknown");
    assert_eq!(store.contacts(user(2)).await.unwrap().v, before, "the other is not told");
    for (me, peer) in [(1, 2), (2, 1)] {
        let (me, peer) = (user(me), user(peer));
        assert_eq!(store.contacts(me).await.unwrap().contacts, []);
        assert!(matches!(store.log(me, peer, None).await, Err(ReadError::NotFound)));
        assert!(matches!(store.prekeys(me, peer).await, Err(ReadError::NotFound)));
        assert!(store.pair(me, peer).await.unwrap().is_none());
        assert!(store.pair_keys(me, peer, NOW).await.unwrap().is_none());
        assert_eq!(store.acquainted(me, 9).await.unwrap(), []);
    }
    let gone = store.epoch(user(1), device(1), EpochId([0x10; 32])).await;
    assert!(matches!(gone, Err(ReadError::NotFound)), "with its wraps");
    assert_eq!(store.unclaimed(device(1), 9, 9).await.unwrap(), []);
    let late = store.post_epoch(stamp, epoch(0x11, 1, 2, &[1], &[(1, 1)])).await;
    assert!(matches!(late, Err(PostEpochError::Moved)), "checked before the end");
    assert!(store.asked(user(2), ask(1, 2, 1).id, NOW).await.unwrap().is_none());
}

async fn epochs_go_on_counting_after_a_second_acceptance(store: &impl Store) {
    people(store).await;
    befriend(store, 1, 2).await;
    store.remove(user(1), user(2), NOW).await.unwrap();
    // The first request began the old contact, and begins no other.
    assert_eq!(store.request(ask(1, 2, 1)).await.unwrap(), Requested::Silent);
    let request = ask(2, 1, 7);
    let id = request.id;
    assert!(matches!(store.request(request).await.unwrap(), Requested::Delivered(_)));
    let listed = store.contacts(user(1)).await.unwrap().contacts.remove(0);
    assert_eq!(listed.newest, Some(EpochRef { n: 0, epoch: EpochId([0x10; 32]) }));
    let asked = store.asked(user(1), id, NOW).await.unwrap().unwrap();
    assert!(asked.keys.newest.is_none() && !asked.accepted);
    assert_eq!(asked.keys.next_n, 1);
    let next = epoch(0x20, 1, 1, &[2], &[(1, 1), (2, 1)]);
    store.accept(user(1), id, asked.keys.stamp, next).await.unwrap();
    for (me, peer) in [(1, 2), (2, 1)] {
        let now = store.pair(user(me), user(peer)).await.unwrap().unwrap();
        assert_eq!((now.epoch.id, now.epoch.n), (EpochId([0x20; 32]), 1));
        assert_eq!(list(store, me).await, [(user(peer), ContactState::Active)]);
    }
    let found = store.epoch(user(2), device(2), EpochId([0x20; 32])).await.unwrap();
    assert!(found.wrap.is_some());
    let keys = store.pair_keys(user(1), user(2), NOW).await.unwrap().unwrap();
    assert_eq!((keys.next_n, keys.newest.unwrap().n), (2, 1));
}

async fn whoever_is_blocked_reaches_nobody_and_learns_nothing(store: &impl Store) {
    people(store).await;
    befriend(store, 1, 2).await;
    let before = store.contacts(user(1)).await.unwrap().v;
    let blocked = store.block(user(2), user(1), NOW).await.unwrap();
    assert_eq!(blocked.told.unwrap().kind, EventKind::Block);
    assert_eq!((blocked.told.unwrap().user, blocked.devices.clone()), (user(2), vec![device(2)]));
    let again = store.block(user(2), user(1), NOW).await.unwrap();
    assert_eq!((again.told, again.devices), (None, blocked.devices), "a repeat");
    assert_eq!(list(store, 2).await, [(user(1), ContactState::Blocked)]);
    let row = store.contacts(user(2)).await.unwrap().contacts.remove(0);
    assert_eq!((row.request, row.newest), (ask(1, 2, 1).bytes, None));

    assert_eq!(list(store, 1).await, []);
    assert_eq!(store.contacts(user(1)).await.unwrap().v, before, "not told");
    assert!(store.pair(user(1), user(2)).await.unwrap().is_none());
    assert!(matches!(store.log(user(1), user(2), None).await, Err(ReadError::NotFound)));
    let v = store.contacts(user(2)).await.unwrap().v;
    assert_eq!(store.request(ask(1, 2, 4)).await.unwrap(), Requested::Silent);
    assert!(store.asked(user(2), ask(1, 2, 4).id, NOW).await.unwrap().is_none());
    assert_eq!(store.contacts(user(2)).await.unwrap().v, v, "silent");
    assert!(matches!(store.request(ask(2, 1, 5)).await, Err(RequestError::Blocking)));

    let told = store.unblock(user(2), user(1), NOW).await.unwrap().unwrap();
    assert_eq!((told.kind, told.peer), (EventKind::Block, user(1)));
    assert_eq!(store.unblock(user(2), user(1), NOW).await.unwrap(), None, "a repeat");
    assert_eq!(list(store, 2).await, [], "it restores nothing");
    assert!(store.pair(user(1), user(2)).await.unwrap().is_none());
    assert!(matches!(store.request(ask(1, 2, 6)).await.unwrap(), Requested::Delivered(_)));
}

async fn only_people_one_has_met_are_blocked(store: &impl Store) {
    people(store).await;
    for nobody in [2, 9, 1] {
        let refused = store.block(user(1), user(nobody), NOW).await;
        assert!(matches!(refused, Err(BlockError::NotFound)), "{nobody}");
    }
    let keys = store.pair_keys(user(1), user(1), NOW).await.unwrap().unwrap();
    store.post_epoch(keys.stamp, epoch(0x11, 0, 1, &[], &[(1, 1)])).await.unwrap();
    let oneself = store.block(user(1), user(1), NOW).await;
    assert!(matches!(oneself, Err(BlockError::NotFound)), "not with a self-pair either");
    // Who asks, and who was a contact once.
    store.request(ask(2, 1, 1)).await.unwrap();
    store.block(user(1), user(2), NOW).await.unwrap();
    assert_eq!(list(store, 1).await, [(user(2), ContactState::Blocked)]);
    befriend(store, 3, 2).await;
    store.remove(user(3), user(2), NOW).await.unwrap();
    store.block(user(2), user(3), NOW).await.unwrap();
    assert_eq!(list(store, 2).await, [(user(3), ContactState::Blocked)]);
}

async fn a_block_ends_what_was_asked_in_both_directions(store: &impl Store) {
    people(store).await;
    befriend(store, 1, 2).await;
    store.remove(user(1), user(2), NOW).await.unwrap();
    let own = ask(1, 2, 8);
    store.request(own.clone()).await.unwrap();
    store.block(user(1), user(2), NOW).await.unwrap();
    assert!(store.asked(user(2), own.id, NOW).await.unwrap().is_none(), "taken back");
    assert_eq!(list(store, 2).await, []);
}
