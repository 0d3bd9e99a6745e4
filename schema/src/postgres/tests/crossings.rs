//! Two nodes do different things to the same rows at once: each order is one that could have been.

use hushwire_identity::Head;
use hushwire_wire::EpochId;
use hushwire_wire::http::ContactState;

use super::races::{ROUNDS, nodes};
use super::*;
use crate::conformance::{NOW, account, ask, befriend, device, epoch, user};
use crate::contact::{AcceptError, Requested};
use crate::entry::{AppendError, EntryAct, NewEntry};
use crate::epoch::PostEpochError;

fn add(tag: u8, key: u8) -> NewEntry {
    NewEntry {
        user: user(tag),
        seq: 1,
        prev: Head(user(tag).0),
        head: Head([key; 32]),
        wire: vec![key],
        act: EntryAct::Add { device: device(key), ik: [key; 32], prekey: None },
        now_ms: NOW,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_or_replaced() {
    let server = server();
    let [a, b] = nodes(&server, "answers").await;
    for round in 0..ROUNDS {
        let (one, two) = (2 * round + 1, 2 * round + 2);
        a.register(account(one)).await.unwrap();
        a.register(account(two)).await.unwrap();
        let first = ask(one, two, 1);
        a.request(first.clone()).await.unwrap();
        let asked = b.asked(user(two), first.id, NOW).await.unwrap().unwrap();
        let epoch = epoch(0x40 + round, 0, two, &[one], &[(one, 1), (two, 1)]);
        let accepting = b.accept(user(two), first.id, asked.keys.stamp, epoch);
        let (again, accepted) = tokio::join!(a.request(ask(one, two, 2)), accepting);
        let list = a.contacts(user(two)).await.unwrap().contacts;
        let states: Vec<_> = list.iter().map(|contact| contact.state).collect();
        match accepted {
            Ok(told) => {
                assert_eq!((told.len(), again.unwrap()), (2, Requested::Silent));
                assert_eq!(states, [ContactState::Active]);
            }
            Err(AcceptError::NotFound) => {
                assert!(matches!(again, Ok(Requested::Delivered(_))), "{again:?}");
                assert_eq!(states, [ContactState::Requested]);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrap_that_two_claim_is_gone_once_and_a_contact_ends_once() {
    let server = server();
    let [a, b] = nodes(&server, "claims").await;
    a.register(account(1)).await.unwrap();
    a.register(account(2)).await.unwrap();
    befriend(&*a, 1, 2).await;
    for round in 1..=ROUNDS {
        let keys = a.pair_keys(user(1), user(2), NOW).await.unwrap().unwrap();
        let next = epoch(0x40 + round, u32::from(round), 2, &[1], &[(1, 1), (2, 1)]);
        a.post_epoch(keys.stamp, next).await.unwrap();
        let id = EpochId([0x40 + round; 32]);
        let (one, other, pruned) = tokio::join!(
            a.claim(user(1), device(1), id),
            b.claim(user(1), device(1), id),
            b.prune(NOW)
        );
        assert!(one.is_ok() && other.is_ok() && pruned.is_ok(), "{one:?} {other:?} {pruned:?}");
        assert_eq!(a.epoch(user(1), device(1), id).await.unwrap().wrap, None);
    }
    let both = tokio::join!(a.remove(user(1), user(2), NOW), b.remove(user(2), user(1), NOW));
    let told = [both.0.unwrap(), both.1.unwrap()];
    assert_eq!(told.iter().flatten().count(), 1, "{told:?}");
    assert!(a.pair(user(1), user(2)).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_is_of_the_newest_keys_and_a_deleted_account_keeps_no_entry() {
    let server = server();
    let [a, b] = nodes(&server, "keys").await;
    for round in 0..ROUNDS {
        let (one, two) = (2 * round + 1, 2 * round + 2);
        a.register(account(one)).await.unwrap();
        a.register(account(two)).await.unwrap();
        let self_pair = a.pair_keys(user(one), user(one), NOW).await.unwrap().unwrap();
        let next = epoch(0x40 + round, 0, one, &[], &[(one, 1)]);
        let posting = a.post_epoch(self_pair.stamp, next);
        let (appended, posted) = tokio::join!(b.append(add(one, 100 + round)), posting);
        appended.unwrap();
        // Either it came first, or it was of keys that are not the newest.
        let kept = a.pair(user(one), user(one)).await.unwrap().is_some();
        match posted {
            Ok(_) => assert!(kept),
            Err(PostEpochError::Moved) => assert!(!kept),
            Err(other) => panic!("{other:?}"),
        }
        let (appended, one_deletes, other_deletes) = tokio::join!(
            a.append(add(two, 150 + round)),
            b.delete_account(user(two), NOW),
            a.delete_account(user(two), NOW)
        );
        if let Err(error) = appended {
            assert!(matches!(error, AppendError::Moved), "{error:?}");
        }
        let deleted = [one_deletes.unwrap(), other_deletes.unwrap()];
        assert_eq!(deleted.iter().flatten().count(), 1, "{deleted:?}");
    }
    let left = "SELECT count(*) FROM log_entries JOIN users USING (log_id) WHERE gone_ms > 0";
    assert_eq!(server.sql("keys", left).unwrap(), "0");
    let left = "SELECT count(*) FROM devices JOIN users USING (log_id) WHERE gone_ms > 0";
    assert_eq!(server.sql("keys", left).unwrap(), "0");
}
