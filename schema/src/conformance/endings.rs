//! Deletion of an account, and its export.

use hushwire_wire::frame::EventKind;
use hushwire_wire::http::ContactState;

use super::*;
use crate::account::{ReadError, RegisterError};
use crate::contact::BlockError;
use crate::epoch::PostEpochError;

pub(super) async fn all<S: Store, G>(open: &impl Fn() -> (S, G)) {
    a_deleted_account_leaves_its_name_and_keys(&open().0).await;
    contacts_of_a_deleted_account_are_told(&open().0).await;
    what_comes_late_from_a_deleted_account_leaves_nothing(&open().0).await;
    an_export_has_everything_of_its_owner(&open().0).await;
}

async fn people(store: &impl Store) {
    for tag in 1..=4 {
        store.register(account(tag)).await.unwrap();
    }
}

async fn a_deleted_account_leaves_its_name_and_keys(store: &impl Store) {
    people(store).await;
    befriend(store, 1, 2).await;
    let keys = store.pair_keys(user(1), user(1), NOW).await.unwrap().unwrap();
    store.post_epoch(keys.stamp, epoch(0x12, 0, 1, &[], &[(1, 1)])).await.unwrap();
    let deleted = store.delete_account(user(1), NOW).await.unwrap().unwrap();
    assert_eq!(deleted.devices, [device(1)]);
    assert!(store.delete_account(user(1), NOW).await.unwrap().is_none(), "a repeat");
    assert!(store.delete_account(user(9), NOW).await.unwrap().is_none(), "unknown");

    assert!(store.login_key(user(1), device(1)).await.unwrap().is_none());
    assert!(matches!(store.log(user(1), user(1), None).await, Err(ReadError::NotFound)));
    assert!(matches!(store.contacts(user(1)).await, Err(ReadError::NotFound)));
    assert!(matches!(store.changes(user(1), 1, 9).await, Err(ReadError::NotFound)));
    assert!(matches!(store.export(user(1)).await, Err(ReadError::NotFound)));
    assert_eq!(store.devices(user(1)).await.unwrap(), []);
    assert_eq!(store.pair_epochs(user(1), user(1)).await.unwrap(), []);

    assert!(matches!(store.register(account(1)).await, Err(RegisterError::HandleTaken)));
    let mut same_name = account(6);
    same_name.handle = handle(1);
    assert!(matches!(store.register(same_name).await, Err(RegisterError::HandleTaken)));
    let mut same_key = account(7);
    same_key.ik = [1; 32];
    assert!(matches!(store.register(same_key).await, Err(RegisterError::KeyKnown)));
    assert_eq!(store.request(ask(3, 1, 1)).await.unwrap(), Requested::Silent, "like unknown");
}

/// Checked before the deletion, done after it.
async fn what_comes_late_from_a_deleted_account_leaves_nothing(store: &impl Store) {
    people(store).await;
    let keys = store.pair_keys(user(1), user(1), NOW).await.unwrap().unwrap();
    store.delete_account(user(1), NOW).await.unwrap().unwrap();
    let late = store.post_epoch(keys.stamp, epoch(0x12, 0, 1, &[], &[])).await;
    assert!(matches!(late, Err(PostEpochError::Moved)), "{late:?}");
    assert!(store.request(ask(1, 3, 1)).await.is_err());
    assert_eq!(store.contacts(user(3)).await.unwrap().contacts, []);
}

async fn contacts_of_a_deleted_account_are_told(store: &impl Store) {
    people(store).await;
    befriend(store, 1, 2).await;
    store.request(ask(1, 3, 1)).await.unwrap();
    store.request(ask(4, 1, 1)).await.unwrap();
    let v = store.contacts(user(4)).await.unwrap().v;
    let deleted = store.delete_account(user(1), NOW).await.unwrap().unwrap();
    assert_eq!(deleted.told, [told_of(2, 4, EventKind::Removed, 1)]);
    assert_eq!(store.changes(user(2), 3, 9).await.unwrap().changes[0].peer, Some(user(1)));
    for tag in [2, 3] {
        assert_eq!(store.contacts(user(tag)).await.unwrap().contacts, [], "{tag}");
    }
    assert!(store.pair(user(2), user(1)).await.unwrap().is_none());
    let gone = store.epoch(user(2), device(2), EpochId([0x10; 32])).await;
    assert!(matches!(gone, Err(ReadError::NotFound)));
    assert!(matches!(store.block(user(2), user(1), NOW).await, Err(BlockError::NotFound)));
    assert_eq!(store.contacts(user(4)).await.unwrap().v, v, "who had asked is not told");
    store.prune(NOW).await.unwrap();
    assert_eq!(store.prekeys(user(2), user(2)).await.unwrap(), [prekey(2, 1)], "others' stay");
}

async fn an_export_has_everything_of_its_owner(store: &impl Store) {
    people(store).await;
    befriend(store, 1, 2).await;
    store.request(ask(1, 4, 1)).await.unwrap();
    store.request(ask(3, 1, 1)).await.unwrap();
    store.block(user(1), user(3), NOW).await.unwrap();
    let export = store.export(user(1)).await.unwrap();
    assert_eq!((export.handle.as_str(), export.since_ms, export.v), ("user1", NOW, 4));
    assert_eq!((export.log, export.prekeys), (vec![vec![1; 200]], vec![prekey(1, 1)]));
    assert_eq!((export.devices.len(), export.devices[0].unclaimed), (1, 1));
    let states: Vec<_> = export.contacts.iter().map(|row| (row.peer, row.state)).collect();
    let (active, blocked) = (ContactState::Active, ContactState::Blocked);
    assert_eq!(states, [(user(2), active), (user(3), blocked)]);
    assert_eq!(export.asked, [(ask(1, 4, 1).bytes, NOW)]);
    assert_eq!((export.asked_that_day, export.changes.len(), export.ended.len()), (2, 3, 0));
    let epochs = store.pair_epochs(user(1), user(2)).await.unwrap();
    assert_eq!((epochs.len(), epochs[0].epoch.n, epochs[0].posted_ms), (1, 0, NOW));

    store.remove(user(1), user(2), NOW + 7).await.unwrap();
    let export = store.export(user(1)).await.unwrap();
    assert_eq!(export.ended.len(), 1);
    let ended = &export.ended[0];
    assert_eq!((ended.peer, ended.n, ended.at_ms), (user(2), 0, NOW + 7));
    assert_eq!(store.pair_epochs(user(1), user(2)).await.unwrap(), []);
}
