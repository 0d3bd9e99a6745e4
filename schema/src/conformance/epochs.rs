//! Epochs, wraps and what is pruned.

use hushwire_wire::frame::EventKind;

use super::*;
use crate::account::ReadError;
use crate::change::Acquaintance;
use crate::epoch::{ClaimError, PostEpochError};

pub(super) async fn all<S: Store, G>(open: &impl Fn() -> (S, G)) {
    epochs_follow_one_another(&open().0).await;
    a_self_pair_needs_no_request(&open().0).await;
    a_wrap_is_there_until_it_is_claimed(&open().0).await;
    named_prekeys_stay_and_others_go(&open().0).await;
    a_device_is_told_what_waits_under_its_older_prekeys(&open().0).await;
    only_what_is_kept_no_longer_is_pruned(&open().0).await;
}

async fn epochs_follow_one_another(store: &impl Store) {
    for tag in 1..=3 {
        store.register(account(tag)).await.unwrap();
    }
    assert!(store.pair_keys(user(1), user(2), NOW).await.unwrap().is_none(), "no contacts");
    assert!(store.pair(user(1), user(2)).await.unwrap().is_none());
    befriend(store, 1, 2).await;

    let now = store.pair(user(2), user(1)).await.unwrap().unwrap();
    assert_eq!((now.epoch.id, now.epoch.n), (EpochId([0x10; 32]), 0));
    let points: Vec<_> = now.points.iter().map(|point| (point.user, point.seq)).collect();
    assert_eq!(points, [(user(1), 0), (user(2), 0)]);
    assert_eq!(now.points[0].head, Head(user(1).0));

    let before = store.pair_keys(user(1), user(2), NOW + 5).await.unwrap().unwrap();
    assert_eq!(before.newest.as_ref().unwrap().id, EpochId([0x10; 32]));
    assert!(before.posted_ms.is_empty(), "the other side posted it");
    let next = epoch(0x11, 1, 1, &[2], &[(1, 1), (2, 1)]);
    let told = store.post_epoch(before.stamp, next).await.unwrap();
    let kind = EventKind::Epoch;
    assert_eq!(told, [told_of(1, 3, kind, 2), told_of(2, 4, kind, 1)]);

    let late = store.post_epoch(before.stamp, epoch(0x12, 1, 2, &[1], &[(1, 1)])).await;
    assert!(matches!(late, Err(PostEpochError::Moved)), "the second of one number loses");
    let now = store.pair(user(1), user(2)).await.unwrap().unwrap();
    assert_eq!((now.epoch.id, now.epoch.n), (EpochId([0x11; 32]), 1));
    assert_eq!(store.contacts(user(1)).await.unwrap().v, 3);

    let stale = store.pair_keys(user(1), user(2), NOW + 5).await.unwrap().unwrap();
    assert_eq!(stale.posted_ms, [NOW]);
    store.put_prekey(user(2), prekey(2, 2)).await.unwrap();
    let moved = store.post_epoch(stale.stamp, epoch(0x13, 2, 1, &[2], &[(2, 1)])).await;
    assert!(matches!(moved, Err(PostEpochError::Moved)), "a prekey changed in between");

    let hidden = store.epoch(user(3), device(3), EpochId([0x11; 32])).await;
    assert!(matches!(hidden, Err(ReadError::NotFound)));
    let unknown = store.epoch(user(1), device(1), EpochId([0x77; 32])).await;
    assert!(matches!(unknown, Err(ReadError::NotFound)));
}

async fn a_self_pair_needs_no_request(store: &impl Store) {
    store.register(account(1)).await.unwrap();
    let keys = store.pair_keys(user(1), user(1), NOW).await.unwrap().unwrap();
    assert!(keys.b.is_none() && keys.newest.is_none());
    assert!(store.pair(user(1), user(1)).await.unwrap().is_none());
    let told = store.post_epoch(keys.stamp, epoch(0x10, 0, 1, &[], &[(1, 1)])).await.unwrap();
    assert_eq!(told, [told_of(1, 2, EventKind::Epoch, 1)]);
    let now = store.pair(user(1), user(1)).await.unwrap().unwrap();
    assert_eq!((now.epoch.n, now.points.len()), (0, 1));
    assert!(store.contacts(user(1)).await.unwrap().contacts.is_empty(), "no contact of oneself");
    let keys = store.pair_keys(user(1), user(1), NOW).await.unwrap().unwrap();
    store.post_epoch(keys.stamp, epoch(0x11, 1, 1, &[], &[(1, 1)])).await.unwrap();
    assert_eq!(store.pair(user(1), user(1)).await.unwrap().unwrap().epoch.n, 1);
}

async fn a_wrap_is_there_until_it_is_claimed(store: &impl Store) {
    for tag in 1..=3 {
        store.register(account(tag)).await.unwrap();
    }
    befriend(store, 1, 2).await;
    let id = EpochId([0x10; 32]);
    for _ in 0..2 {
        let found = store.epoch(user(1), device(1), id).await.unwrap();
        assert_eq!(found.wrap, Some(vec![1; 80]), "fetching takes nothing away");
        assert_eq!(found.header, [0x10, 1, 2, 3]);
        assert_eq!(found.prekeys, [prekey(1, 1), prekey(2, 1)]);
    }
    assert_eq!(store.epoch(user(2), device(2), id).await.unwrap().wrap, None, "its creator");
    store.claim(user(2), device(2), id).await.unwrap();
    assert!(store.epoch(user(1), device(1), id).await.unwrap().wrap.is_some());
    assert!(matches!(store.claim(user(3), device(1), id).await, Err(ClaimError::NotFound)));
    store.claim(user(1), device(1), id).await.unwrap();
    store.claim(user(1), device(1), id).await.unwrap();
    let found = store.epoch(user(1), device(1), id).await.unwrap();
    assert_eq!((found.wrap, found.prekeys.len()), (None, 2));
}

async fn named_prekeys_stay_and_others_go(store: &impl Store) {
    store.register(account(1)).await.unwrap();
    store.register(account(2)).await.unwrap();
    befriend(store, 1, 2).await;
    for id in 2..=4 {
        store.put_prekey(user(1), prekey(1, id)).await.unwrap();
    }
    let found = store.epoch(user(2), device(2), EpochId([0x10; 32])).await.unwrap();
    assert_eq!(found.prekeys, [prekey(1, 1), prekey(2, 1)], "the epoch still names the first");
    assert_eq!(store.prekeys(user(2), user(1)).await.unwrap(), [prekey(1, 4)]);
}

async fn a_device_is_told_what_waits_under_its_older_prekeys(store: &impl Store) {
    for tag in 1..=3 {
        store.register(account(tag)).await.unwrap();
    }
    befriend(store, 1, 2).await;
    let waits = async |device: DeviceId, prekey, most| {
        let rows = store.unclaimed(device, prekey, most).await.unwrap();
        rows.iter().map(|row| (row.epoch.0[0], row.prekey)).collect::<Vec<_>>()
    };
    assert_eq!(waits(device(1), 1, 9).await, [], "nothing older than the first");
    assert_eq!(waits(device(1), 2, 9).await, [(0x10, 1)]);
    assert_eq!(waits(device(2), 9, 9).await, [], "a creator has no wrap");

    let replaced = store.put_prekey(user(1), prekey(1, 2)).await.unwrap();
    assert_eq!(replaced, Some(prekey(1, 1).record));
    assert_eq!(store.put_prekey(user(1), prekey(1, 2)).await.unwrap(), None, "a repeat");
    let keys = store.pair_keys(user(1), user(2), NOW).await.unwrap().unwrap();
    let mut next = epoch(0x11, 1, 2, &[1], &[(1, 2), (2, 1)]);
    next.now_ms = NOW + 1;
    store.post_epoch(keys.stamp, next).await.unwrap();
    assert_eq!(waits(device(1), 2, 9).await, [(0x10, 1)]);
    assert_eq!(waits(device(1), 3, 9).await, [(0x10, 1), (0x11, 2)], "the oldest first");
    assert_eq!(waits(device(1), 3, 1).await, [(0x10, 1)]);
    store.claim(user(1), device(1), EpochId([0x10; 32])).await.unwrap();
    assert_eq!(waits(device(1), 3, 9).await, [(0x11, 2)]);

    let told = store.acquainted(user(1), 9).await.unwrap();
    let v = store.contacts(user(2)).await.unwrap().v;
    assert_eq!(told, [Acquaintance { user: user(2), v }]);
    assert_eq!(store.acquainted(user(2), 9).await.unwrap()[0].user, user(1));
    assert_eq!(store.acquainted(user(2), 0).await.unwrap(), []);
    assert_eq!(store.acquainted(user(3), 9).await.unwrap(), [], "no contacts");
}

async fn only_what_is_kept_no_longer_is_pruned(store: &impl Store) {
    for tag in 1..=3 {
        store.register(account(tag)).await.unwrap();
    }
    befriend(store, 1, 2).await;
    store.request(ask(3, 1, 1)).await.unwrap();
    let (old, new) = (EpochId([0x10; 32]), EpochId([0x11; 32]));
    store.put_prekey(user(1), prekey(1, 2)).await.unwrap();
    let keys = store.pair_keys(user(1), user(2), NOW).await.unwrap().unwrap();
    let next = epoch(0x11, 1, 1, &[2], &[(1, 2), (2, 1)]);
    store.post_epoch(keys.stamp, next).await.unwrap();

    store.prune(NOW + 30 * DAY).await.unwrap();
    assert!(store.epoch(user(1), device(1), old).await.unwrap().wrap.is_some());
    assert_eq!(store.contacts(user(1)).await.unwrap().contacts.len(), 2);

    store.prune(NOW + 30 * DAY + 1).await.unwrap();
    let found = store.epoch(user(1), device(1), old).await.unwrap();
    assert_eq!(found.wrap, None, "unclaimed for 30 days");
    assert_eq!(found.prekeys, [prekey(1, 1), prekey(2, 1)]);
    assert_eq!(store.contacts(user(1)).await.unwrap().contacts.len(), 1, "the request is gone");

    store.prune(NOW + 61 * DAY + 1).await.unwrap();
    let gone = store.epoch(user(1), device(1), old).await;
    assert!(matches!(gone, Err(ReadError::NotFound)), "replaced 61 days ago");
    let kept = store.epoch(user(1), device(1), new).await.unwrap();
    assert_eq!(kept.prekeys, [prekey(1, 2), prekey(2, 1)], "the newest stays, however old");
    assert_eq!(store.pair(user(1), user(2)).await.unwrap().unwrap().epoch.id, new);
}
