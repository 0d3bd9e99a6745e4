//! The queue and its threads: what they hold, how long anybody waits, and what becomes of an act.

use std::sync::atomic::AtomicU32;
use std::sync::mpsc::sync_channel;

use diesel::connection::SimpleConnection as _;
use diesel::result::{DatabaseErrorKind, Error};
use hushwire_testbed::Signal;

use super::*;
use crate::conformance::{account, ask, device, prekey, user};
use crate::postgres::threads::{ATTEMPTS, WAITING};

async fn store(server: &Postgres, name: &str) -> PostgresStore {
    PostgresStore::open(settings(server.fresh(name))).await.unwrap()
}

/// Polls once.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut cx) {
        std::task::Poll::Ready(out) => Some(out),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_full_queue_refuses_and_all_that_waited_are_answered() {
    let server = Postgres::start();
    let within = Duration::from_secs(5);
    let store = PostgresStore::open(PostgresSettings { within, ..settings(server.url()) });
    let store = store.await.unwrap();
    server.signal_all(Signal::STOP);
    let mut waiting = Vec::new();
    let mut refused = None;
    // One more may be with the thread.
    for _ in 0..WAITING + 2 {
        let mut act = Box::pin(store.login_key(user(1), device(1)));
        match poll_once(&mut act) {
            None => waiting.push(act),
            Some(answer) => refused = Some(answer),
        }
    }
    assert!(matches!(refused, Some(Err(Failure::Full))), "{refused:?}");
    assert!(waiting.len() >= WAITING);
    for act in waiting {
        let answer = act.await;
        assert!(matches!(answer, Err(Failure::Unreachable)), "{answer:?}");
    }
    server.signal_all(Signal::CONT);
    bad_days::recovers(&store).await;
}

#[tokio::test]
async fn an_act_that_others_always_come_between_is_begun_a_bounded_number_of_times() {
    let server = server();
    let store = store(&server, "attempts").await;
    let begun = Arc::new(AtomicU32::new(0));
    let counted = begun.clone();
    let conflict = move |conn: &mut Conn| {
        counted.fetch_add(1, Ordering::Relaxed);
        conn.batch_execute(
            "DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '40001'; END $$",
        )?;
        Ok::<(), Failure>(())
    };
    let refused = store.writers.run(conflict).await.unwrap_err();
    let Failure::Database(error) = &refused else { panic!("{refused:?}") };
    let kind = DatabaseErrorKind::SerializationFailure;
    assert!(matches!(&**error, Error::DatabaseError(found, _) if *found == kind), "{error:?}");
    assert_eq!(begun.load(Ordering::Relaxed), ATTEMPTS);
    store.ping().await.unwrap();
}

#[tokio::test]
async fn an_act_whose_caller_went_away_is_done_to_its_end() {
    let server = server();
    let store = store(&server, "dropped").await;
    let (started, is_started) = sync_channel(1);
    let (release, released) = sync_channel::<()>(1);
    let released = Mutex::new(released);
    let mut act = Box::pin(store.writers.run(move |conn| {
        conn.batch_execute("INSERT INTO meta VALUES ('half', 'way')")?;
        let _ = started.send(());
        let _ = released.lock().unwrap_or_else(PoisonError::into_inner).recv();
        conn.batch_execute("INSERT INTO meta VALUES ('all', 'through')")?;
        Ok::<(), Failure>(())
    }));
    assert!(poll_once(&mut act).is_none());
    is_started.recv().unwrap();
    drop(act);
    release.send(()).unwrap();
    // There is one thread that writes: what it answers next is after that act.
    store.ping().await.unwrap();
    assert_eq!(server.sql("dropped", "SELECT count(*) FROM meta").unwrap(), "2");
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'dropped' \
        AND state LIKE 'idle in transaction%'";
    assert_eq!(server.sql("dropped", idle).unwrap(), "0");
}

#[tokio::test]
async fn a_panic_costs_its_act_and_a_lost_connection_is_replaced() {
    let server = server();
    let store = store(&server, "lost").await;
    let lost = store.writers.run(|conn| -> Result<(), Failure> {
        conn.batch_execute("INSERT INTO meta VALUES ('half', 'way')")?;
        panic!("on purpose")
    });
    assert!(matches!(lost.await, Err(Failure::Stopped)));
    store.ping().await.unwrap();
    assert_eq!(server.sql("lost", "SELECT count(*) FROM meta").unwrap(), "0");
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
        WHERE datname = 'lost' AND application_name = 'hushwire'";
    assert_ne!(server.sql("postgres", end).unwrap(), "0");
    bad_days::recovers(&store).await;
    store.register(account(1)).await.unwrap();
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_given_up() {
    let server = server();
    let within = Duration::from_secs(3);
    let url = server.fresh("slow");
    let store = PostgresStore::open(PostgresSettings { within, ..settings(url) }).await.unwrap();
    let slow = |conn: &mut Conn| Ok::<(), Failure>(conn.batch_execute("SELECT pg_sleep(3600)")?);
    let given_up = store.readers.run(slow).await;
    assert!(matches!(given_up, Err(Failure::Unreachable)), "{given_up:?}");
    bad_days::recovers(&store).await;
    assert!(store.login_key(user(1), device(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn connections_are_set_as_the_acts_need_them() {
    let server = server();
    let url = server.fresh("set");
    server.sql("postgres", "ALTER DATABASE \"set\" SET synchronous_commit = off").unwrap();
    let store = PostgresStore::open(settings(url)).await.unwrap();
    let of = |threads: &Threads, name: &'static str| {
        let told = threads.run(move |conn| Ok::<_, Failure>(connect::setting(conn, name)?));
        futures_on(told)
    };
    assert_eq!(of(&store.writers, "synchronous_commit"), "on");
    assert_eq!(of(&store.writers, "transaction_isolation"), "serializable");
    assert_eq!(of(&store.readers, "transaction_isolation"), "repeatable read");
    let write = |conn: &mut Conn| {
        Ok::<(), Failure>(conn.batch_execute("INSERT INTO meta VALUES ('by', 'reader')")?)
    };
    let refused = store.readers.run(write).await;
    assert!(matches!(refused, Err(Failure::ReadOnly)), "{refused:?}");
}

/// Waits on a thread without a runtime: an act needs none of its caller.
fn futures_on<T: Send>(told: impl Future<Output = Result<T, Failure>> + Send) -> T {
    let wait = || {
        let mut told = Box::pin(told);
        loop {
            if let Some(told) = poll_once(&mut told) {
                return told.unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    std::thread::scope(|scope| scope.spawn(wait).join().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_acts_of_two_nodes_at_once_are_all_done() {
    let server = server();
    let url = server.fresh("many");
    let node =
        || PostgresStore::open(PostgresSettings { connections: 16, ..settings(url.clone()) });
    let nodes = [Arc::new(node().await.unwrap()), Arc::new(node().await.unwrap())];
    let acts: Vec<_> = (1..=60_u8)
        .map(|tag| {
            let node = nodes[usize::from(tag % 2)].clone();
            tokio::spawn(async move {
                node.register(account(tag)).await.unwrap();
                node.put_prekey(user(tag), prekey(tag, 2)).await.unwrap();
                node.request(ask(tag, tag % 60 + 1, 1)).await.unwrap();
                node.login_key(user(tag), device(tag)).await.unwrap().unwrap();
            })
        })
        .collect();
    for act in acts {
        act.await.unwrap();
    }
    assert_eq!(server.sql("many", "SELECT count(*) FROM requests").unwrap(), "60");
}

#[tokio::test]
async fn who_waits_too_long_for_another_that_migrates_is_told_so() {
    let server = server();
    let url = server.fresh("locked");
    let other = PostgresStore::open(settings(url.clone())).await.unwrap();
    let lock = format!("SELECT pg_advisory_lock({})", connect::LOCK);
    let locks = move |conn: &mut Conn| Ok::<(), Failure>(conn.batch_execute(&lock)?);
    other.writers.run(locks).await.unwrap();
    let short = Duration::from_secs(1);
    let settings = settings(url);
    let late = std::thread::spawn(move || PostgresStore::open_here(&settings, short));
    let late = late.join().unwrap();
    assert!(matches!(late, Err(PostgresOpenError::Migrating { .. })), "{late:?}");
}
