//! The database's threads: one that writes, a few that read.
//!
//! Acts wait in bounded queues; a full one refuses at once. The writer takes whatever is waiting
//! into one transaction (group commit), each act in a savepoint of its own, and answers after
//! the commit. An act that panics costs its group and a new connection, never the thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use diesel::{Connection as _, SqliteConnection};
use tokio::sync::oneshot;

use crate::failure::Failure;

/// Acts that wait for the writer, at most.
pub(super) const WRITES_WAITING: usize = 1024;
/// Acts that wait for a reader, at most.
pub(super) const READS_WAITING: usize = 1024;
/// Acts in one commit, at most.
const GROUP: usize = 64;

type Reply = Box<dyn FnOnce(Result<(), Failure>) + Send>;
type Job = Box<dyn FnOnce(&mut SqliteConnection) -> Reply + Send>;
/// Opens one more connection.
pub(super) type Connect =
    Arc<dyn Fn() -> Result<SqliteConnection, diesel::ConnectionError> + Send + Sync>;

/// A queue of acts and the threads that do them. Dropped, it does what waits and ends.
pub(super) struct Threads {
    jobs: Option<SyncSender<Job>>,
    joins: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").field("threads", &self.joins.len()).finish_non_exhaustive()
    }
}

impl Threads {
    /// Starts the writer.
    pub(super) fn writer(connect: Connect, mut conn: SqliteConnection) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel::<Job>(WRITES_WAITING);
        let join = std::thread::Builder::new().name("store-write".into()).spawn(move || {
            while let Ok(first) = waiting.recv() {
                let group = catch_unwind(AssertUnwindSafe(|| commit(&mut conn, first, &waiting)));
                if group.is_err() {
                    match connect() {
                        Ok(fresh) => conn = fresh,
                        Err(_) => return,
                    }
                }
            }
        })?;
        Ok(Self { jobs: Some(jobs), joins: vec![join] })
    }

    /// Starts a reader for each of `conns`; they share one queue.
    pub(super) fn readers(
        connect: &Connect,
        conns: Vec<SqliteConnection>,
    ) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel::<Job>(READS_WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        let joins = conns.into_iter().map(|mut conn| {
            let (waiting, connect) = (Arc::clone(&waiting), Arc::clone(connect));
            std::thread::Builder::new().name("store-read".into()).spawn(move || {
                while let Some(job) = next(&waiting) {
                    match catch_unwind(AssertUnwindSafe(|| job(&mut conn))) {
                        Ok(reply) => reply(Ok(())),
                        Err(_) => match connect() {
                            Ok(fresh) => conn = fresh,
                            Err(_) => return,
                        },
                    }
                }
            })
        });
        Ok(Self { joins: joins.collect::<Result<_, _>>()?, jobs: Some(jobs) })
    }

    /// Does an act in a transaction; its error undoes it.
    pub(super) async fn run<T, E>(
        &self,
        act: impl FnOnce(&mut SqliteConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + From<diesel::result::Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |conn| {
            let result = conn.transaction(act);
            Box::new(move |committed| {
                // Nobody listens any more if the caller went away; the act stands all the same.
                let _ = answer.send(committed.map_err(E::from).and(result));
            })
        });
        let jobs = self.jobs.as_ref().ok_or(Failure::Stopped)?;
        jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => Failure::Full,
            TrySendError::Disconnected(_) => Failure::Stopped,
        })?;
        answered.await.unwrap_or_else(|_| Err(Failure::Stopped.into()))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.jobs = None;
        for join in self.joins.drain(..) {
            let _ = join.join();
        }
    }
}

fn next(waiting: &Mutex<Receiver<Job>>) -> Option<Job> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// One transaction around everything that waits. `IMMEDIATE`, because a transaction that reads
/// first and writes later fails at once if somebody else wrote in between.
fn commit(conn: &mut SqliteConnection, first: Job, waiting: &Receiver<Job>) {
    let mut replies: Vec<Reply> = Vec::new();
    let committed = conn.immediate_transaction(|conn| {
        replies.push(first(conn));
        while replies.len() < GROUP
            && let Ok(job) = waiting.try_recv()
        {
            replies.push(job(conn));
        }
        Ok::<(), diesel::result::Error>(())
    });
    let committed = committed.map_err(Failure::from);
    for reply in replies {
        reply(committed.clone());
    }
}

#[cfg(test)]
mod tests {
    use diesel::RunQueryDsl as _;
    use diesel::connection::SimpleConnection as _;

    use super::*;

    fn writer() -> (Threads, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db").to_str().unwrap().to_owned();
        let connect: Connect = Arc::new(move || SqliteConnection::establish(&path));
        let mut conn = connect().unwrap();
        conn.batch_execute("CREATE TABLE t (x INTEGER)").unwrap();
        (Threads::writer(connect, conn).unwrap(), dir)
    }

    fn insert(conn: &mut SqliteConnection) -> Result<usize, Failure> {
        Ok(diesel::sql_query("INSERT INTO t VALUES (1)").execute(conn)?)
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_what_waited_is_done() {
        let (threads, _dir) = writer();
        let (started, is_started) = sync_channel(1);
        let (release, released) = sync_channel::<()>(1);
        let blocker = threads.run(move |_| {
            started.send(()).unwrap();
            released.recv().unwrap();
            Ok::<(), Failure>(())
        });
        let mut blocker = Box::pin(blocker);
        assert!(futures_poll(&mut blocker).is_none());
        is_started.recv().unwrap();
        let mut waiting: Vec<_> =
            (0..WRITES_WAITING).map(|_| Box::pin(threads.run(insert))).collect();
        for act in &mut waiting {
            assert!(futures_poll(act).is_none());
        }
        assert!(matches!(threads.run(insert).await, Err(Failure::Full)));
        release.send(()).unwrap();
        blocker.await.unwrap();
        for act in waiting {
            assert_eq!(act.await.unwrap(), 1);
        }
    }

    #[tokio::test]
    async fn a_panic_costs_its_group_and_not_the_thread() {
        let (threads, _dir) = writer();
        let lost = threads.run(|conn| -> Result<(), Failure> {
            insert(conn)?;
            panic!("on purpose")
        });
        assert!(matches!(lost.await, Err(Failure::Stopped)));
        assert_eq!(threads.run(insert).await.unwrap(), 1);
        let left =
            threads.run(|conn| Ok::<_, Failure>(diesel::sql_query("DELETE FROM t").execute(conn)?));
        assert_eq!(left.await.unwrap(), 1, "what the panicking act wrote is gone");
    }

    #[tokio::test]
    async fn an_error_undoes_its_own_act_only() {
        let (threads, _dir) = writer();
        let failed = threads.run(|conn| {
            insert(conn)?;
            Err::<(), _>(Failure::Corrupt("t.x"))
        });
        let (failed, done) = tokio::join!(failed, threads.run(insert));
        assert!(matches!(failed, Err(Failure::Corrupt(_))));
        done.unwrap();
        let left =
            threads.run(|conn| Ok::<_, Failure>(diesel::sql_query("DELETE FROM t").execute(conn)?));
        assert_eq!(left.await.unwrap(), 1);
    }

    /// Polls once.
    fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut cx) {
            std::task::Poll::Ready(out) => Some(out),
            std::task::Poll::Pending => None,
        }
    }
}
