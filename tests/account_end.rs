//! Sessions, the export and the deletion of an account, with the real SDK.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hushwire_client::{ClientError, Device, DeviceId, Encoding, Event, StoreKey, Trouble};
use hushwire_wire::http::{AccountExport, ProblemCode};
use support::Server;
use support::talker::{Talker, contacts, outside};
use tokio::time::timeout;

#[tokio::test]
async fn an_account_is_exported_whole() {
    let server = Server::start();
    let (alice, _bob) = contacts(&server).await;
    let mut export = alice.client.export_account().await.unwrap();
    let mut json = Vec::new();
    while let Some(piece) = export.next().await.unwrap() {
        json.extend_from_slice(&piece);
    }
    assert!(export.next().await.unwrap().is_none());
    let export: AccountExport = serde_json::from_slice(&json).unwrap();
    assert_eq!((export.handle.as_str(), export.contacts.len()), ("alice", 1));
    assert_eq!(export.epochs.len(), 1);
    // A few an hour, and the refusal says so.
    let refused = loop {
        if let Err(error) = alice.client.export_account().await {
            break error;
        }
    };
    assert_eq!(refused.problem(), Some(ProblemCode::RateLimited), "{refused}");
}

#[tokio::test]
async fn a_session_is_listed_and_ended_and_does_not_come_back_by_itself() {
    let server = Server::start();
    let (mut alice, _bob) = contacts(&server).await;
    let all = alice.client.sessions().await.unwrap();
    let own = alice.client.account().await.unwrap().device;
    assert_eq!(all.len(), 1);
    assert!(all[0].device == own && all[0].live && all[0].current, "{all:?}");
    let nobody = alice.client.end_session(DeviceId([9; 16])).await.unwrap_err();
    assert_eq!(nobody.problem(), Some(ProblemCode::NotFound));
    alice.client.end_session(own).await.unwrap();
    let why = alice
        .until(|event| match event {
            Event::Disconnected { why, retry_in_ms: None } => Some(why.clone()),
            _ => None,
        })
        .await;
    assert!(why.contains("signed out"), "{why}");
    alice.leave().await;
    alice.come_back();
    alice.until(|event| matches!(event, Event::Connected).then_some(())).await;
}

#[tokio::test]
async fn a_deleted_account_leaves_nothing_here_and_contacts_learn_of_it() {
    let mut server = Server::start();
    let (alice, mut bob) = contacts(&server).await;
    let home = tempfile::tempdir().unwrap();
    let outside = outside(&server.url, Encoding::Cbor);
    let key = || StoreKey::File(home.path().join("k"));
    let store = home.path().join("carol.db");
    let mut device = Device::open(&store, &key()).unwrap();
    device.register(&outside, &server.url, "carol").await.unwrap();
    let (client, mut events) = device.start(outside.clone()).unwrap();
    client.contacts().await.unwrap();

    // As long as the server has not said it, nothing is erased.
    server.kill();
    let unreachable = client.delete_account().await;
    assert!(matches!(unreachable, Err(ClientError::Unreachable(_))), "{unreachable:?}");
    assert!(store.exists());
    server.restart();
    client.delete_account().await.unwrap();
    assert!(!store.exists());
    let names = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["k"], "the key file is the program's");
    let over = async { while events.recv().await.is_some() {} };
    timeout(support::talker::PATIENCE, over).await.expect("the client ends");
    assert!(matches!(client.account().await, Err(ClientError::Closed)));
    // The name stays taken.
    let mut device = Device::open(&store, &key()).unwrap();
    let taken = device.register(&outside, &server.url, "carol").await;
    assert!(matches!(taken, Err(ClientError::HandleTaken)), "{taken:?}");

    let gone = gone(&mut bob, "alice");
    alice.client.delete_account().await.unwrap();
    gone.await;
}

/// Somebody is told that the server takes nothing for `name`.
async fn gone(someone: &mut Talker, name: &str) {
    someone
        .until(|event| match event {
            Event::Trouble { trouble: Trouble::Refused, handle: Some(handle), .. } => {
                (handle == name).then_some(())
            }
            _ => None,
        })
        .await;
}
