mod bad_days;
mod crossings;
mod manual;
mod queue;
mod races;
mod secure;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, Weak};

use hushwire_testbed::Postgres;

use super::*;
use crate::account::DomainError;
use crate::store::Store as _;

/// One server for all tests that run at the same time; the last of them stops it.
fn server() -> Arc<Postgres> {
    static SERVER: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let mut shared = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Postgres::start());
        *shared = Arc::downgrade(&server);
        server
    })
}

fn settings(url: String) -> PostgresSettings {
    let within = Duration::from_secs(20);
    PostgresSettings { url, connections: 2, within, ca_file: None, alone: false }
}

/// Opens a store as [`PostgresStore::open`] does, for who cannot wait.
fn open(settings: PostgresSettings) -> Result<PostgresStore, PostgresOpenError> {
    std::thread::spawn(move || PostgresStore::open_here(&settings, MIGRATE_WITHIN)).join().unwrap()
}

#[tokio::test]
async fn it_conforms() {
    let server = server();
    let count = AtomicUsize::new(0);
    crate::conformance::all(|| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let url = server.fresh(&format!("conforms{number}"));
        (open(settings(url)).unwrap(), server.clone())
    })
    .await;
}

#[tokio::test]
async fn nodes_that_start_at_once_migrate_once_and_share_what_is_stored() {
    let server = server();
    let url = server.fresh("nodes");
    let nodes: Vec<_> =
        (0..4).map(|_| tokio::spawn(PostgresStore::open(settings(url.clone())))).collect();
    let mut stores = Vec::new();
    for node in nodes {
        stores.push(node.await.unwrap().unwrap());
    }
    stores[0].settle_domain("one.example").await.unwrap();
    let other = stores[3].settle_domain("two.example").await.unwrap_err();
    assert!(matches!(other, DomainError::Other { stored } if stored == "one.example"));
    let states = PostgresStore::migrations(settings(url.clone())).await.unwrap();
    assert!(!states.is_empty() && states.iter().all(|one| one.applied));
    let none = PostgresStore::migrations(settings(server.fresh("none"))).await.unwrap();
    assert!(!none.is_empty() && none.iter().all(|one| !one.applied));
    server.sql("nodes", "INSERT INTO __diesel_schema_migrations VALUES ('9999')").unwrap();
    let newer = PostgresStore::open(settings(url)).await;
    assert!(matches!(newer, Err(PostgresOpenError::Newer(_))), "{newer:?}");
}

#[tokio::test]
async fn whoever_keeps_messages_in_its_memory_is_alone() {
    let server = server();
    let settings = PostgresSettings { alone: true, ..settings(server.fresh("alone")) };
    let first = PostgresStore::open(settings.clone()).await.unwrap();
    let second = PostgresStore::open(settings.clone()).await;
    assert!(matches!(second, Err(PostgresOpenError::InUse)), "{second:?}");
    let shared = PostgresSettings { alone: false, ..settings.clone() };
    let second = PostgresStore::open(shared.clone()).await;
    assert!(matches!(second, Err(PostgresOpenError::InUse)), "{second:?}");
    drop(first);
    let started = std::time::Instant::now();
    // The server notices the end of a connection a little later.
    let first = loop {
        match PostgresStore::open(shared.clone()).await {
            Ok(store) => break store,
            Err(_) => assert!(started.elapsed() < Duration::from_secs(20)),
        }
    };
    // Who shares where messages wait shares the database, and with nobody else.
    let _second = PostgresStore::open(shared).await.unwrap();
    drop(first);
    let alone = PostgresStore::open(settings).await;
    assert!(matches!(alone, Err(PostgresOpenError::InUse)), "{alone:?}");
}
