//! Appending to device logs.

use hushwire_wire::frame::EventKind;

use super::*;
use crate::entry::{AppendError, EntryAct, NewEntry};
use crate::epoch::PostEpochError;

pub(super) async fn all<S: Store, G>(open: &impl Fn() -> (S, G)) {
    entries_follow_one_another(&open().0).await;
    a_key_is_known_once_and_for_ever(&open().0).await;
    a_revoked_device_leaves_nothing_that_waits(&open().0).await;
    contacts_are_told_at_once(&open().0).await;
}

/// The entry `seq` of user 1's log, which does `act`.
fn entry(seq: u8, act: EntryAct) -> NewEntry {
    let prev = if seq == 1 { Head(user(1).0) } else { Head([0x80 + seq - 1; 32]) };
    NewEntry {
        user: user(1),
        seq: u32::from(seq),
        prev,
        head: Head([0x80 + seq; 32]),
        wire: vec![0x80 + seq; 150],
        act,
        now_ms: NOW + 5,
    }
}

fn add(tag: u8, prekey: Option<PrekeyRow>) -> EntryAct {
    EntryAct::Add { device: device(tag), ik: [tag; 32], prekey }
}

async fn entries_follow_one_another(store: &impl Store) {
    store.register(account(1)).await.unwrap();
    let keys = store.pair_keys(user(1), user(1), NOW).await.unwrap().unwrap();
    let told = store.append(entry(1, add(5, Some(prekey(5, 1))))).await.unwrap();
    assert_eq!(told, [told_of(1, 2, EventKind::Log, 1)]);
    assert_eq!(store.log(user(1), user(1), Some(0)).await.unwrap(), [vec![0x81; 150]]);
    assert_eq!(store.login_key(user(1), device(5)).await.unwrap().unwrap().since_ms, NOW + 5);
    assert_eq!(store.prekeys(user(1), user(1)).await.unwrap(), [prekey(1, 1), prekey(5, 1)]);
    let late = store.post_epoch(keys.stamp, epoch(0x11, 0, 1, &[], &[(1, 1)])).await;
    assert!(matches!(late, Err(PostEpochError::Moved)), "the log changed in between");

    for (seq, prev) in [(1, Head(user(1).0)), (2, Head([7; 32])), (3, Head([0x81; 32]))] {
        let wrong = NewEntry { prev, ..entry(seq, add(6, None)) };
        let refused = store.append(wrong).await;
        assert!(matches!(refused, Err(AppendError::Moved)), "{seq}");
    }
    let nobody = NewEntry { user: user(9), ..entry(2, add(6, None)) };
    assert!(matches!(store.append(nobody).await, Err(AppendError::Moved)));
    assert!(store.login_key(user(1), device(6)).await.unwrap().is_none(), "undone");

    // A device may bring its first prekey later.
    store.append(entry(2, add(6, None))).await.unwrap();
    assert_eq!(store.prekeys(user(1), user(1)).await.unwrap().len(), 2);
    store.put_prekey(user(1), prekey(6, 1)).await.unwrap();
    assert_eq!(store.prekeys(user(1), user(1)).await.unwrap().len(), 3);
    let ids: Vec<_> = store.devices(user(1)).await.unwrap().iter().map(|row| row.device).collect();
    assert_eq!(ids, [device(1), device(5), device(6)]);
}

async fn a_key_is_known_once_and_for_ever(store: &impl Store) {
    store.register(account(1)).await.unwrap();
    store.register(account(2)).await.unwrap();
    let other = store.append(entry(1, add(2, None))).await;
    assert!(matches!(other, Err(AppendError::KeyKnown)), "another log's");
    let recovery = EntryAct::RecoveryAdd { id: device(2), rk: [2; 32] };
    assert!(matches!(store.append(entry(1, recovery)).await, Err(AppendError::KeyKnown)));
    let recovery = EntryAct::RecoveryAdd { id: device(7), rk: [7; 32] };
    store.append(entry(1, recovery)).await.unwrap();
    assert!(store.login_key(user(1), device(7)).await.unwrap().is_none(), "no device");
    store.append(entry(2, EntryAct::RecoveryDel)).await.unwrap();
    let mut taken = account(3);
    (taken.ik, taken.device, taken.prekey) = ([7; 32], device(7), prekey(7, 1));
    let refused = store.register(taken).await;
    assert!(
        matches!(refused, Err(crate::account::RegisterError::KeyKnown)),
        "known though deleted"
    );
}

async fn a_revoked_device_leaves_nothing_that_waits(store: &impl Store) {
    store.register(account(1)).await.unwrap();
    store.register(account(2)).await.unwrap();
    store.append(entry(1, add(5, Some(prekey(5, 1))))).await.unwrap();
    befriend(store, 1, 2).await;
    let keys = store.pair_keys(user(2), user(1), NOW).await.unwrap().unwrap();
    let next = epoch(0x11, 1, 2, &[1, 5], &[(1, 1), (2, 1), (5, 1)]);
    store.post_epoch(keys.stamp, next).await.unwrap();
    store.put_prekey(user(1), prekey(5, 2)).await.unwrap();
    assert_eq!(store.unclaimed(device(5), 9, 9).await.unwrap().len(), 1);

    store.append(entry(2, EntryAct::Revoke { devices: vec![device(5)] })).await.unwrap();
    assert!(store.login_key(user(1), device(5)).await.unwrap().is_none());
    assert_eq!(store.unclaimed(device(5), 9, 9).await.unwrap(), []);
    assert_eq!(store.prekeys(user(2), user(1)).await.unwrap(), [prekey(1, 1)]);
    assert!(store.put_prekey(user(1), prekey(5, 3)).await.is_err());
    let found = store.epoch(user(1), device(1), EpochId([0x11; 32])).await.unwrap();
    assert!(found.wrap.is_some(), "the others' stay");
    assert_eq!(found.prekeys.len(), 3, "and the prekeys that the epoch names");
    let rows = store.devices(user(1)).await.unwrap();
    let revoked: Vec<_> = rows.iter().map(|row| (row.device, row.revoked_seq)).collect();
    assert_eq!(revoked, [(device(1), None), (device(5), Some(2))]);
}

async fn contacts_are_told_at_once(store: &impl Store) {
    for tag in 1..=4 {
        store.register(account(tag)).await.unwrap();
    }
    befriend(store, 1, 2).await;
    let request = ask(3, 1, 1);
    let id = request.id;
    store.request(request).await.unwrap();
    let stamp = store.asked(user(1), id, NOW).await.unwrap().unwrap().keys.stamp;
    store.accept(user(1), id, stamp, epoch(0x13, 0, 1, &[3], &[(1, 1), (3, 1)])).await.unwrap();
    store.remove(user(3), user(1), NOW).await.unwrap();
    let told = store.append(entry(1, add(5, None))).await.unwrap();
    assert_eq!(told, [told_of(1, 5, EventKind::Log, 1), told_of(2, 4, EventKind::Log, 1)]);
    let listed = store.changes(user(2), 3, 9).await.unwrap().changes;
    assert_eq!((listed.len(), listed[0].kind, listed[0].v), (1, EventKind::Log, 4));
    assert_eq!((listed[0].peer, listed[0].at_ms), (Some(user(1)), NOW + 5));
    assert_eq!(store.contacts(user(4)).await.unwrap().v, 1, "strangers are not");
}
