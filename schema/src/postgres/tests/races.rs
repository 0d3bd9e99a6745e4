//! Two nodes do the same at once: exactly one comes first, and the other hears what that means.

use hushwire_identity::Head;
use hushwire_wire::frame::EventKind;

use super::*;
use crate::account::RegisterError;
use crate::change::Told;
use crate::conformance::{NOW, account, ask, befriend, device, epoch, handle, prekey, user};
use crate::contact::{AcceptError, Requested};
use crate::entry::{AppendError, EntryAct, NewEntry};
use crate::epoch::PostEpochError;

/// Rounds of each race.
pub(super) const ROUNDS: u8 = 12;

/// Two nodes over one database.
pub(super) async fn nodes(server: &Postgres, name: &str) -> [Arc<PostgresStore>; 2] {
    let url = server.fresh(name);
    let node = || PostgresStore::open(PostgresSettings { connections: 4, ..settings(url.clone()) });
    [Arc::new(node().await.unwrap()), Arc::new(node().await.unwrap())]
}

/// How many of the results are good, when all others are refused as `lost` says.
fn won<T: std::fmt::Debug, E: std::fmt::Debug>(
    results: impl IntoIterator<Item = Result<T, E>>,
    lost: impl Fn(&E) -> bool,
) -> usize {
    let count = |result: Result<T, E>| match result {
        Ok(_) => 1,
        Err(error) => {
            assert!(lost(&error), "{error:?}");
            0
        }
    };
    results.into_iter().map(count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_gets_a_name_a_key_and_a_place_in_a_log() {
    let server = server();
    let [a, b] = nodes(&server, "names").await;
    for round in 0..ROUNDS {
        let (one, other) = (10 + 2 * round, 11 + 2 * round);
        let mut late = account(other);
        late.handle = handle(one);
        let both = tokio::join!(a.register(account(one)), b.register(late));
        let lost = |error: &RegisterError| matches!(error, RegisterError::HandleTaken);
        assert_eq!(won([both.0, both.1], lost), 1, "{round}");
    }
    a.register(account(1)).await.unwrap();
    let mut prev = Head(user(1).0);
    for round in 0..ROUNDS {
        let entry = |side: u8| NewEntry {
            user: user(1),
            seq: u32::from(round) + 1,
            prev,
            head: Head([100 + 2 * round + side; 32]),
            wire: vec![round],
            act: EntryAct::Add {
                device: device(100 + 2 * round + side),
                ik: [100 + 2 * round + side; 32],
                prekey: None,
            },
            now_ms: NOW,
        };
        let both = tokio::join!(a.append(entry(0)), b.append(entry(1)));
        let side = u8::from(both.0.is_err());
        let lost = |error: &AppendError| matches!(error, AppendError::Moved);
        assert_eq!(won([both.0, both.1], lost), 1, "{round}");
        prev = Head([100 + 2 * round + side; 32]);
    }
    assert_eq!(a.log(user(1), user(1), None).await.unwrap().len(), usize::from(ROUNDS) + 1);
    let put = |store: &Arc<PostgresStore>| {
        let store = store.clone();
        async move { store.put_prekey(user(1), prekey(1, 2)).await }
    };
    let both = tokio::join!(put(&a), put(&b));
    assert!(both.0.is_ok() && both.1.is_ok(), "the same prekey twice is a repeat: {both:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_crosses_and_one_epoch_is_next() {
    let server = server();
    let [a, b] = nodes(&server, "pairs").await;
    for tag in 1..=2 * ROUNDS {
        a.register(account(tag)).await.unwrap();
    }
    for round in 0..ROUNDS {
        let (one, two) = (2 * round + 1, 2 * round + 2);
        let both = tokio::join!(a.request(ask(one, two, 1)), b.request(ask(two, one, 1)));
        let both = [both.0.unwrap(), both.1.unwrap()];
        let delivered = both.iter().filter(|one| matches!(one, Requested::Delivered(_))).count();
        let crossed = both.iter().filter(|one| matches!(one, Requested::Crossed(_))).count();
        assert_eq!((delivered, crossed), (1, 1), "{both:?}");
    }
    for tag in [201, 202] {
        a.register(account(tag)).await.unwrap();
    }
    befriend(&*a, 201, 202).await;
    for round in 1..=ROUNDS {
        let keys = a.pair_keys(user(201), user(202), NOW).await.unwrap().unwrap();
        let next =
            |creator: u8, id: u8| epoch(id, u32::from(round), creator, &[], &[(201, 1), (202, 1)]);
        let (left, right) = (next(201, 0x20 + 2 * round), next(202, 0x21 + 2 * round));
        let both = tokio::join!(a.post_epoch(keys.stamp, left), b.post_epoch(keys.stamp, right));
        let lost = |error: &PostEpochError| matches!(error, PostEpochError::Moved);
        assert_eq!(won([both.0, both.1], lost), 1, "{round}");
    }
    let kept = a.pair_epochs(user(201), user(202)).await.unwrap();
    assert!(kept.iter().map(|one| one.epoch.n).eq(0..=u32::from(ROUNDS)));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_have_no_gap_and_deleted_accounts_no_contact() {
    let server = server();
    let [a, b] = nodes(&server, "versions").await;
    for tag in 1..=ROUNDS + 1 {
        a.register(account(tag)).await.unwrap();
    }
    // All ask one, at once.
    let asking = (2..=ROUNDS + 1).map(|tag| {
        let store = if tag % 2 == 0 { a.clone() } else { b.clone() };
        tokio::spawn(async move { store.request(ask(tag, 1, 1)).await.unwrap() })
    });
    let asking: Vec<_> = asking.collect();
    let mut versions = Vec::new();
    for asked in asking {
        match asked.await.unwrap() {
            Requested::Delivered(Told { v, kind: EventKind::Request, .. }) => versions.push(v),
            other => panic!("{other:?}"),
        }
    }
    versions.sort_unstable();
    assert!(versions.iter().copied().eq(2..=u64::from(ROUNDS) + 1), "{versions:?}");
    let changes = b.changes(user(1), 1, 999).await.unwrap();
    assert_eq!((changes.complete, changes.changes.len()), (true, usize::from(ROUNDS)));
    // One node accepts while the other deletes the asker's account.
    for tag in 2..=ROUNDS + 1 {
        let id = ask(tag, 1, 1).id;
        let asked = a.asked(user(1), id, NOW).await.unwrap().unwrap();
        let first = epoch(0x80 + tag, 0, 1, &[tag], &[(1, 1), (tag, 1)]);
        let accepting = a.accept(user(1), id, asked.keys.stamp, first);
        let (accepted, deleted) = tokio::join!(accepting, b.delete_account(user(tag), NOW));
        assert!(deleted.unwrap().is_some());
        if let Err(error) = accepted {
            assert!(matches!(error, AcceptError::NotFound | AcceptError::Moved), "{error:?}");
        }
        assert!(a.pair(user(1), user(tag)).await.unwrap().is_none());
    }
    assert_eq!(server.sql("versions", "SELECT count(*) FROM pairs").unwrap(), "0");
}
