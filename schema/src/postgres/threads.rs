//! The threads that own the connections, one each, and the bounded queue of acts before them.
//!
//! A full queue refuses at once, and an act's time runs from when it is queued: nobody waits longer,
//! behind whatever. A thread whose connection ended opens another for the next act; while that
//! fails, acts are refused at once for [`REST`] at a time, so that what waits behind a database that
//! is gone costs nobody's patience. An act that began goes on to its end or its deadline, whether or
//! not its caller still listens: no connection is left within a transaction.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use diesel::Connection as _;
use diesel::result::{DatabaseErrorKind, Error};
use tokio::sync::oneshot;

use super::Conn;
use super::connect::{Acts, Connector, Live};
use super::error::PostgresOpenError;
use crate::failure::{Fails, Failure};

/// Acts that wait for a thread, at most.
pub(super) const WAITING: usize = 1024;
/// How often an act is begun that others come between, at most.
pub(super) const ATTEMPTS: u32 = 24;
/// The longest pause before it is begun again.
const PAUSE_MAX: Duration = Duration::from_millis(64);
/// After a connection could not be opened.
const REST: Duration = Duration::from_millis(500);

/// What came of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is decided.
    Done,
    /// Another act came between.
    Again,
    /// The server takes no writes; a new connection may find one that does.
    ReadOnly,
    /// The connection is of no use any more.
    Broken,
}

trait Job: Send {
    /// When nobody waits for it any more.
    fn deadline(&self) -> Instant;
    /// Does it once, in a transaction.
    fn attempt(&mut self, conn: &mut Conn) -> Outcome;
    /// Answers what the latest attempt came to.
    fn answer(&mut self);
    /// Answers that it was not done.
    fn refuse(&mut self, failure: Failure);
}

/// A queue of acts and the threads that do them.
pub(super) struct Threads {
    jobs: Option<SyncSender<Box<dyn Job>>>,
    joins: Vec<JoinHandle<()>>,
    connector: Arc<Connector>,
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").field("threads", &self.joins.len()).finish_non_exhaustive()
    }
}

impl Threads {
    /// Starts so many, each with a connection of its own from its first act on.
    pub(super) fn start(
        connector: &Arc<Connector>,
        acts: Acts,
        count: usize,
    ) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel::<Box<dyn Job>>(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        let joins = (0..count).map(|_| {
            let (connector, waiting) = (connector.clone(), waiting.clone());
            let serve = move || serve(&connector, acts, &waiting);
            std::thread::Builder::new().name("postgres-act".into()).spawn(serve)
        });
        let joins = joins.collect::<Result<_, _>>()?;
        Ok(Self { jobs: Some(jobs), joins, connector: Arc::clone(connector) })
    }

    /// Does an act in a transaction; its error undoes it. Answers within
    /// [`super::PostgresSettings::within`].
    pub(super) async fn run<T, E>(
        &self,
        act: impl Fn(&mut Conn) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Fails,
    {
        let (answer, answered) = oneshot::channel();
        let deadline = Instant::now() + self.connector.within();
        let job = Act { act, deadline, result: None, answer: Some(answer) };
        let jobs = self.jobs.as_ref().ok_or(Failure::Stopped)?;
        jobs.try_send(Box::new(job)).map_err(|refused| match refused {
            TrySendError::Full(_) => Failure::Full,
            TrySendError::Disconnected(_) => Failure::Stopped,
        })?;
        let answered = {
            // The timer is the store's: a caller's runtime may have none.
            let _inside = self.connector.handle().enter();
            tokio::time::timeout_at(deadline.into(), answered)
        };
        match answered.await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(Failure::Stopped.into())),
            Err(_) => Err(Failure::Unreachable.into()),
        }
    }

    /// Ends them, after what waits is done.
    pub(super) fn stop(&mut self) {
        self.jobs = None;
        for join in self.joins.drain(..) {
            let _ = join.join();
        }
    }
}

fn serve(connector: &Connector, acts: Acts, waiting: &Mutex<Receiver<Box<dyn Job>>>) {
    let _inside = connector.handle().enter();
    let mut live: Option<Live> = None;
    // Why the latest connection could not be opened, and until when no other is tried.
    let mut rest: Option<(Failure, Instant)> = None;
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut job) = next else { return };
        if job.deadline() <= Instant::now() {
            job.refuse(Failure::Unreachable);
            continue;
        }
        if live.as_ref().is_some_and(Live::has_ended) {
            live = None;
        }
        if live.is_none() && rest.as_ref().is_none_or(|(_, until)| *until <= Instant::now()) {
            match connector.connect(acts) {
                Ok(opened) => (live, rest) = (Some(opened), None),
                Err(error) => rest = Some((failure(&error), Instant::now() + REST)),
            }
        }
        let Some(mut current) = live.take() else {
            job.refuse(rest.as_ref().map_or(Failure::Unreachable, |(why, _)| why.clone()));
            continue;
        };
        // An act that panics costs its connection, and its caller hears `Stopped`.
        let done = catch_unwind(AssertUnwindSafe(|| {
            let is_whole = work(connector, &mut current, &mut *job);
            (current, is_whole)
        }));
        if let Ok((current, true)) = done {
            live = Some(current);
        }
    }
}

/// What an act is told whose connection could not be opened.
const fn failure(error: &PostgresOpenError) -> Failure {
    match error {
        PostgresOpenError::ReadOnly => Failure::ReadOnly,
        _ => Failure::Unreachable,
    }
}

/// Does an act, again while others come between. Whether the connection is of use still.
fn work(connector: &Connector, live: &mut Live, job: &mut dyn Job) -> bool {
    let deadline = job.deadline();
    let alarm = connector.alarm(live, deadline);
    let mut outcome = Outcome::Again;
    for attempt in 0..ATTEMPTS {
        outcome = job.attempt(&mut live.conn);
        if outcome != Outcome::Again || live.has_ended() || deadline <= Instant::now() {
            break;
        }
        std::thread::sleep(pause(attempt));
    }
    alarm.abort();
    match outcome {
        Outcome::Broken => job.refuse(Failure::Unreachable),
        Outcome::ReadOnly => job.refuse(Failure::ReadOnly),
        Outcome::Again if live.has_ended() => job.refuse(Failure::Unreachable),
        Outcome::Again | Outcome::Done => job.answer(),
    }
    !matches!(outcome, Outcome::Broken | Outcome::ReadOnly) && !live.has_ended()
}

/// How long to wait before the next attempt: longer each time, and not as long as whom it met.
fn pause(attempt: u32) -> Duration {
    let longest = Duration::from_millis(1 << attempt.min(16)).min(PAUSE_MAX);
    let by_chance = RandomState::new().build_hasher().finish() % 1000;
    longest * u32::try_from(by_chance).unwrap_or_default() / 1000
}

struct Act<T, E, F> {
    act: F,
    deadline: Instant,
    result: Option<Result<T, E>>,
    answer: Option<oneshot::Sender<Result<T, E>>>,
}

impl<T, E, F> Job for Act<T, E, F>
where
    T: Send,
    E: Fails,
    F: Fn(&mut Conn) -> Result<T, E> + Send,
{
    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn attempt(&mut self, conn: &mut Conn) -> Outcome {
        let result = conn.transaction(|conn| (self.act)(conn));
        let outcome = match result.as_ref().err().and_then(Fails::failure) {
            Some(Failure::Database(error)) => judge(error),
            Some(Failure::ReadOnly) => Outcome::ReadOnly,
            _ => Outcome::Done,
        };
        self.result = Some(result);
        outcome
    }

    fn answer(&mut self) {
        if let (Some(answer), Some(result)) = (self.answer.take(), self.result.take()) {
            // Nobody listens any more if the caller went away; the act stands all the same.
            let _ = answer.send(result);
        }
    }

    fn refuse(&mut self, failure: Failure) {
        self.result = Some(Err(failure.into()));
        self.answer();
    }
}

/// A conflict shows as what it is, or as a row that came or went since the act looked: done again,
/// the act sees it and says what that means. A deadlock has no kind of its own.
fn judge(error: &Error) -> Outcome {
    match error {
        Error::DatabaseError(
            DatabaseErrorKind::SerializationFailure
            | DatabaseErrorKind::UniqueViolation
            | DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::Unknown,
            _,
        ) => Outcome::Again,
        Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _) => Outcome::ReadOnly,
        Error::DatabaseError(
            DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection,
            _,
        )
        | Error::RollbackErrorOnCommit { .. }
        | Error::BrokenTransactionManager => Outcome::Broken,
        _ => Outcome::Done,
    }
}
