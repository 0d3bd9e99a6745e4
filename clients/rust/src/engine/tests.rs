use hushwire_identity::Handle;
use hushwire_wire::http::ServerCard;

use super::*;
use crate::error::ClientError;
use crate::key::StoreKey;
use crate::ports::{SystemClock, SystemRandom};
use crate::transport::{Call, Reply};

mod contacts;
mod contents;
mod epochs;
mod friend;
mod hostile;
mod live;
mod partings;
mod prekeys;
mod requests;

/// A machine without a network.
struct Nowhere;

impl Transport for Nowhere {
    fn call(&self, _: Call) -> BoxFuture<'static, Result<Reply, Unreachable>> {
        Box::pin(async { Err(Unreachable { why: "no network" }) })
    }

    fn open(&self, _: Encoding) -> BoxFuture<'static, Result<Link, Unreachable>> {
        Box::pin(async { Err(Unreachable { why: "no network" }) })
    }
}

fn store(dir: &tempfile::TempDir) -> Store {
    let key = StoreKey::File(dir.path().join("store.key"));
    Store::open(&dir.path().join("store.db"), &key, Box::new(SystemRandom)).unwrap()
}

/// Keys and account in the store, as registering leaves them.
fn begun(dir: &tempfile::TempDir, registered: bool) -> Store {
    let mut store = store(dir);
    let card = ServerCard {
        domain: "example.org".to_owned(),
        version: String::new(),
        protocols: Vec::new(),
        server_time: 0,
        message_interval_ms: 10_000,
    };
    let handle = Handle::parse("alice").unwrap();
    let (clock, random) = (SystemClock::default(), &mut SystemRandom);
    let server = "https://example.org";
    let begun = account::begin(
        &mut store,
        &clock,
        random,
        server,
        &handle,
        &card,
        hushwire_identity::Suites::HERE,
    )
    .unwrap();
    let mut batch = Batch::default();
    batch.put(Space::Own, b"account", to_json(&Account { registered, ..begun }));
    store.write(&batch).unwrap();
    store
}

fn engine(store: Store, room: usize) -> (Option<Engine>, mpsc::Receiver<Event>) {
    let (events, told) = mpsc::channel(room);
    let parts = Parts {
        store,
        transport: Arc::new(Nowhere),
        clock: Arc::new(SystemClock::default()),
        random: Box::new(SystemRandom),
        encoding: Encoding::Cbor,
        events,
    };
    (Engine::load(parts).unwrap(), told)
}

#[test]
fn an_account_that_was_not_confirmed_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    assert!(engine(store(&dir), 1).0.is_none());
    assert!(engine(begun(&dir, false), 1).0.is_none());
}

#[test]
fn events_that_nobody_takes_are_counted_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, mut told) = engine(begun(&dir, true), 2);
    let mut engine = engine.unwrap();
    for _ in 0..5 {
        engine.tell(Event::Connected);
    }
    assert!(told.try_recv().is_err(), "nothing is told before the turn is settled");
    engine.settle().unwrap();
    for _ in 0..2 {
        assert_eq!(told.try_recv().unwrap(), Event::Connected);
    }
    engine.tell(Event::Connected);
    engine.settle().unwrap();
    assert_eq!(told.try_recv().unwrap(), Event::Missed(3));
    assert_eq!(told.try_recv().unwrap(), Event::Connected);
}

#[tokio::test]
async fn without_a_network_it_says_so_and_tries_again_later() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, mut told) = engine(begun(&dir, true), 8);
    let mut engine = engine.unwrap();
    assert!(matches!(engine.contact("bob"), Err(ClientError::NoContact)));
    assert!(matches!(engine.sync_contacts().await, Err(ClientError::Unreachable(_))));
    engine.connection_tick(0).await.unwrap();
    let Turn::Opened(opened) = next(&mut engine.phase).await else { panic!("it opens") };
    engine.opened(opened);
    engine.settle().unwrap();
    let Ok(Event::Disconnected { why, retry_in_ms: Some(ms) }) = told.try_recv() else {
        panic!("it is told")
    };
    assert!(why.contains("no network"));
    assert!((1..=500).contains(&ms));
}

#[tokio::test]
async fn registering_twice_in_one_store_is_refused_before_the_server_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = begun(&dir, true);
    let handle = Handle::parse("alice").unwrap();
    let clock = SystemClock::default();
    let refused = register(
        &mut store,
        &Nowhere,
        &clock,
        &mut SystemRandom,
        "https://x",
        &handle,
        crate::client::Wishes::default(),
    )
    .await;
    assert!(matches!(refused, Err(ClientError::HasAccount)), "{refused:?}");
}

#[test]
fn frames_and_answers_wait_for_the_commit_and_never_leave_a_broken_store() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, mut told) = engine(begun(&dir, true), 8);
    let mut engine = engine.unwrap();
    let (out, mut sent) = mpsc::channel(8);
    let (_arrivals, arrivals) = mpsc::channel(1);
    let link = Link { out, arrivals };
    engine.phase =
        Phase::Up(Up { link, numbers: Numbers::default(), heard_at: 0, heartbeat_ms: 0 });
    for breaks in [false, true] {
        let (reply, mut answer) = tokio::sync::oneshot::channel();
        let mut batch = Batch::default();
        batch.put(Space::Sn, if breaks { &[0; 70_000] } else { b"a" }, to_json(&1));
        assert_eq!(engine.store.add(&batch).is_err(), breaks);
        engine.send(&ClientFrame { id: None, op: ClientOp::Ping {} });
        engine.reply(reply, ());
        engine.tell(Event::Connected);
        assert!(sent.try_recv().is_err() && answer.try_recv().is_err() && told.try_recv().is_err());
        assert_eq!(engine.settle().is_err(), breaks);
        assert_eq!(sent.try_recv().is_ok(), !breaks);
        assert_eq!(answer.try_recv().is_ok(), !breaks);
        assert_eq!(told.try_recv().is_ok(), !breaks);
    }
}
