//! Accounts, sign-in, logs and prekeys.

use super::*;
use crate::account::{DomainError, PutPrekeyError, ReadError, RegisterError};

pub(super) async fn all<S: Store, G>(open: &impl Fn() -> (S, G)) {
    the_domain_is_settled_once(&open().0).await;
    names_and_keys_are_unique(&open().0).await;
    sign_in_finds_active_devices_of_the_user(&open().0).await;
    logs_and_prekeys_are_shown_to_whom_they_concern(&open().0).await;
    prekeys_follow_one_another(&open().0).await;
}

async fn the_domain_is_settled_once(store: &impl Store) {
    store.settle_domain("one.example").await.unwrap();
    store.settle_domain("one.example").await.unwrap();
    let other = store.settle_domain("two.example").await.unwrap_err();
    assert!(matches!(other, DomainError::Other { stored } if stored == "one.example"));
    store.ping().await.unwrap();
}

async fn names_and_keys_are_unique(store: &impl Store) {
    store.register(account(1)).await.unwrap();
    store.register(account(1)).await.unwrap();

    let mut same_name = account(2);
    same_name.handle = handle(1);
    assert!(matches!(store.register(same_name).await, Err(RegisterError::HandleTaken)));

    let mut same_key = account(3);
    same_key.ik = [1; 32];
    assert!(matches!(store.register(same_key).await, Err(RegisterError::KeyKnown)));

    let mut same_device = account(4);
    same_device.device = device(1);
    same_device.prekey = prekey(1, 1);
    assert!(matches!(store.register(same_device).await, Err(RegisterError::KeyKnown)));

    for tag in [2, 3, 4] {
        assert!(store.login_key(user(tag), device(tag)).await.unwrap().is_none(), "undone");
        assert!(matches!(store.contacts(user(tag)).await, Err(ReadError::NotFound)));
    }
}

async fn sign_in_finds_active_devices_of_the_user(store: &impl Store) {
    store.register(account(1)).await.unwrap();
    store.register(account(2)).await.unwrap();
    let found = store.login_key(user(1), device(1)).await.unwrap().unwrap();
    assert_eq!((found.key, found.v, found.since_ms), ([1; 32], 1, NOW));
    assert!(store.login_key(user(1), device(2)).await.unwrap().is_none());
    assert!(store.login_key(user(9), device(1)).await.unwrap().is_none());
}

async fn logs_and_prekeys_are_shown_to_whom_they_concern(store: &impl Store) {
    for tag in 1..=3 {
        store.register(account(tag)).await.unwrap();
    }
    assert_eq!(store.log(user(1), user(1), None).await.unwrap(), [vec![1; 200]]);
    assert!(store.log(user(1), user(1), Some(0)).await.unwrap().is_empty());
    assert_eq!(store.prekeys(user(1), user(1)).await.unwrap(), [prekey(1, 1)]);
    let hidden = |result| matches!(result, Err(ReadError::NotFound));
    assert!(hidden(store.log(user(1), user(2), None).await));
    assert!(hidden(store.log(user(1), user(9), None).await), "unknown and hidden alike");

    // 1 asks 2: the one asked may look, the asker may not, nobody else may.
    let request = ask(1, 2, 1);
    let id = request.id;
    store.request(request).await.unwrap();
    assert_eq!(store.log(user(2), user(1), None).await.unwrap(), [vec![1; 200]]);
    assert_eq!(store.prekeys(user(2), user(1)).await.unwrap(), [prekey(1, 1)]);
    assert!(hidden(store.log(user(1), user(2), None).await));
    assert!(matches!(store.prekeys(user(1), user(2)).await, Err(ReadError::NotFound)));
    assert!(hidden(store.log(user(3), user(1), None).await));

    // Once accepted, both may.
    let keys = store.asked(user(2), id, NOW).await.unwrap().unwrap().keys;
    let first = epoch(0x10, 0, 2, &[1], &[(1, 1), (2, 1)]);
    store.accept(user(2), id, keys.stamp, first).await.unwrap();
    assert_eq!(store.log(user(1), user(2), None).await.unwrap(), [vec![2; 200]]);
    assert_eq!(store.prekeys(user(1), user(2)).await.unwrap(), [prekey(2, 1)]);
    assert!(hidden(store.log(user(3), user(1), None).await));
}

async fn prekeys_follow_one_another(store: &impl Store) {
    store.register(account(1)).await.unwrap();
    store.register(account(2)).await.unwrap();
    store.put_prekey(user(1), prekey(1, 2)).await.unwrap();
    store.put_prekey(user(1), prekey(1, 2)).await.unwrap();
    assert_eq!(store.prekeys(user(1), user(1)).await.unwrap(), [prekey(1, 2)]);
    for id in [1, 4, u32::MAX] {
        let refused = store.put_prekey(user(1), prekey(1, id)).await;
        assert!(matches!(refused, Err(PutPrekeyError::NotNext { next: 3 })), "{id}");
    }
    let mut other = prekey(1, 2);
    other.record = vec![7];
    let refused = store.put_prekey(user(1), other).await;
    assert!(matches!(refused, Err(PutPrekeyError::NotNext { next: 3 })));
    for (owner, tag) in [(2, 1), (1, 9), (9, 1)] {
        let refused = store.put_prekey(user(owner), prekey(tag, 3)).await;
        assert!(matches!(refused, Err(PutPrekeyError::NoDevice)), "{owner} {tag}");
    }
    assert_eq!(store.prekeys(user(1), user(1)).await.unwrap(), [prekey(1, 2)]);
}
