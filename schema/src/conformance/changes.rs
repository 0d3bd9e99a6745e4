//! The list of what changed.

use hushwire_wire::frame::EventKind;

use super::*;
use crate::account::ReadError;
use crate::change::{CHANGES_KEPT, CHANGES_KEPT_MS};

pub(super) async fn all<S: Store, G>(open: &impl Fn() -> (S, G)) {
    changes_come_in_order_and_in_pages(&open().0).await;
    what_is_kept_is_bounded(&open().0).await;
    what_is_kept_is_bounded_for_contacts_too(&open().0).await;
    old_changes_are_pruned(&open().0).await;
}

async fn kinds(store: &impl Store, tag: u8, after: u64) -> Vec<(u64, EventKind, Option<UserId>)> {
    let list = store.changes(user(tag), after, 999).await.unwrap();
    assert!(list.complete);
    list.changes.iter().map(|change| (change.v, change.kind, change.peer)).collect()
}

async fn changes_come_in_order_and_in_pages(store: &impl Store) {
    for tag in 1..=2 {
        store.register(account(tag)).await.unwrap();
    }
    assert_eq!(kinds(store, 1, 1).await, []);
    assert!(!store.changes(user(1), 0, 9).await.unwrap().complete, "before the account");
    assert!(matches!(store.changes(user(9), 1, 9).await, Err(ReadError::NotFound)));
    befriend(store, 1, 2).await;
    store.block(user(2), user(1), NOW).await.unwrap();
    store.unblock(user(2), user(1), NOW).await.unwrap();
    let (one, two) = (Some(user(1)), Some(user(2)));
    assert_eq!(kinds(store, 1, 1).await, [(2, EventKind::Accepted, two)]);
    let all = [
        (2, EventKind::Request, one),
        (3, EventKind::Accepted, one),
        (4, EventKind::Block, one),
        (5, EventKind::Block, one),
    ];
    assert_eq!(kinds(store, 2, 1).await, all);
    assert_eq!(kinds(store, 2, 4).await, all[3..]);
    assert_eq!(kinds(store, 2, 5).await, []);
    let page = store.changes(user(2), 2, 2).await.unwrap();
    assert_eq!((page.v, page.changes.len(), page.changes[1].v), (5, 2, 4));
    assert_eq!(page.changes[0].at_ms, NOW);
    let ahead = store.changes(user(2), 6, 9).await.unwrap();
    assert!(!ahead.complete, "a version that was never reached");
    assert!(!store.changes(user(2), u64::MAX, 9).await.unwrap().complete);
}

async fn what_is_kept_is_bounded(store: &impl Store) {
    for tag in 1..=2 {
        store.register(account(tag)).await.unwrap();
    }
    befriend(store, 1, 2).await;
    store.remove(user(1), user(2), NOW).await.unwrap();
    for _ in 0..CHANGES_KEPT / 2 {
        store.block(user(2), user(1), NOW).await.unwrap();
        store.unblock(user(2), user(1), NOW).await.unwrap();
    }
    let v = store.contacts(user(2)).await.unwrap().v;
    assert_eq!(v, 3 + CHANGES_KEPT);
    let list = store.changes(user(2), 3, 9_999).await.unwrap();
    assert!(list.complete);
    assert_eq!(u64::try_from(list.changes.len()).unwrap(), CHANGES_KEPT);
    let older = store.changes(user(2), 2, 9_999).await.unwrap();
    assert_eq!((older.complete, older.changes, older.v), (false, vec![], v));
}

async fn what_is_kept_is_bounded_for_contacts_too(store: &impl Store) {
    for tag in 1..=3 {
        store.register(account(tag)).await.unwrap();
    }
    befriend(store, 1, 2).await;
    let request = ask(3, 2, 1);
    let id = request.id;
    store.request(request).await.unwrap();
    let stamp = store.asked(user(2), id, NOW).await.unwrap().unwrap().keys.stamp;
    store.accept(user(2), id, stamp, epoch(0x13, 0, 2, &[3], &[(2, 1), (3, 1)])).await.unwrap();
    for _ in 0..CHANGES_KEPT / 2 {
        store.block(user(2), user(3), NOW).await.unwrap();
        store.unblock(user(2), user(3), NOW).await.unwrap();
    }
    let v = store.contacts(user(2)).await.unwrap().v;
    store.delete_account(user(1), NOW).await.unwrap();
    let list = store.changes(user(2), v + 1 - CHANGES_KEPT, 9_999).await.unwrap();
    assert_eq!((list.complete, list.v), (true, v + 1));
    assert_eq!(u64::try_from(list.changes.len()).unwrap(), CHANGES_KEPT);
    assert_eq!(list.changes.last().unwrap().kind, EventKind::Removed);
    assert!(!store.changes(user(2), v - CHANGES_KEPT, 9).await.unwrap().complete);
}

async fn old_changes_are_pruned(store: &impl Store) {
    for tag in 1..=2 {
        store.register(account(tag)).await.unwrap();
    }
    befriend(store, 1, 2).await;
    store.remove(user(2), user(1), NOW + 10).await.unwrap();
    store.prune(NOW + CHANGES_KEPT_MS).await.unwrap();
    assert_eq!(kinds(store, 2, 1).await.len(), 3);
    store.prune(NOW + CHANGES_KEPT_MS + 1).await.unwrap();
    assert!(!store.changes(user(2), 2, 9).await.unwrap().complete);
    assert_eq!(kinds(store, 2, 3).await, [(4, EventKind::Removed, Some(user(1)))]);
    store.prune(NOW + CHANGES_KEPT_MS + 11).await.unwrap();
    assert!(!store.changes(user(2), 3, 9).await.unwrap().complete);
    assert_eq!(kinds(store, 2, 4).await, []);
}
