//! The users with a live device on this node: one supervisor actor each, kept by the shard of
//! their worker.
//!
//! A supervisor owns its user's sessions as facts: who came, who left, what they must hear. The
//! list outlives the actor: if it breaks, its drop guard tells the shard, which starts another over
//! the same list. It never sees a message.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use actix::{Actor, Addr, AsyncContext as _, Context, Handler, Message, WrapFuture as _};
use hushwire_wire::frame::Event;
use hushwire_wire::{Conn, UserId};

use crate::fault;
use crate::lane::{Fact, Lane};
use crate::node::Node;
use crate::route::FlightRef;
use crate::supervise::Alive;

/// Notes that wait for one shard, at most. Sessions tell two each, and only so many live; past
/// half of the bound events are not taken, and their devices fetch the state later.
const INBOX: usize = 1 << 18;
/// Notes a shard passes on before others have their turn: fewer than a mailbox holds.
const TURN: usize = 16;
/// Mailbox of a supervisor.
const MAILBOX: usize = 32;

/// What a shard is told.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// A device signed in.
    Came { user: UserId, conn: Conn, lane: Arc<Lane<FlightRef>> },
    /// A session ended.
    Left { user: UserId, conn: Conn },
    /// Something changed that all devices of the user must hear.
    Changed { user: UserId, event: Event },
    /// A supervisor ended by itself.
    Down { user: UserId, incarnation: u64 },
}

/// The bounded way to a shard.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    inner: Mutex<(std::collections::VecDeque<Note>, Option<Waker>)>,
}

impl Inbox {
    pub(crate) fn push(&self, note: Note) {
        let waker = {
            let mut inner = lock(&self.inner);
            let most = if matches!(note, Note::Changed { .. }) { INBOX / 2 } else { INBOX };
            if inner.0.len() >= most {
                return;
            }
            inner.0.push_back(note);
            inner.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn next(&self) -> Note {
        poll_fn(|cx| {
            let mut inner = lock(&self.inner);
            match inner.0.pop_front() {
                Some(note) => Poll::Ready(note),
                None => {
                    inner.0.shrink_to(0);
                    inner.1 = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

#[derive(Debug)]
struct Session {
    conn: Conn,
    lane: Arc<Lane<FlightRef>>,
}

type Sessions = Arc<Mutex<Vec<Session>>>;

/// The users of one worker: starts, feeds and restarts their supervisors.
#[derive(Debug)]
pub(crate) struct UserShard {
    node: Arc<Node>,
    inbox: Arc<Inbox>,
    _alive: Alive,
}

impl UserShard {
    pub(crate) const fn new(node: Arc<Node>, inbox: Arc<Inbox>, alive: Alive) -> Self {
        Self { node, inbox, _alive: alive }
    }
}

impl Actor for UserShard {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let users = Users::of(self.node.clone(), self.inbox.clone());
        ctx.spawn(users.run().into_actor(self));
    }
}

/// One user on this node: the supervisor, what it owns, and which one it is.
type User = (Addr<UserSupervisor>, Sessions, u64);

struct Users {
    node: Arc<Node>,
    inbox: Arc<Inbox>,
    users: HashMap<UserId, User>,
}

impl Users {
    /// With the sessions that live already: the shard before this one broke.
    fn of(node: Arc<Node>, inbox: Arc<Inbox>) -> Self {
        let mut users = Self { node: node.clone(), inbox, users: HashMap::new() };
        node.directory.for_each(|_, live| {
            if node.inbox(live.user).is_some_and(|inbox| Arc::ptr_eq(&inbox, &users.inbox)) {
                users.came(live.user, live.conn, live.lane.clone());
            }
        });
        users
    }

    async fn run(mut self) {
        let inbox = self.inbox.clone();
        for turn in 1usize.. {
            self.note(inbox.next().await);
            if turn.is_multiple_of(TURN) {
                tokio::task::yield_now().await;
            }
        }
    }

    fn note(&mut self, note: Note) {
        fault::point("users: a note");
        match note {
            Note::Came { user, conn, lane } => self.came(user, conn, lane),
            Note::Left { user, conn } => {
                let Entry::Occupied(entry) = self.users.entry(user) else { return };
                let empty = {
                    let mut sessions = lock(&entry.get().1);
                    sessions.retain(|session| session.conn != conn);
                    sessions.is_empty()
                };
                if empty {
                    entry.remove();
                    self.node.users.fetch_sub(1, Ordering::Relaxed);
                }
            }
            Note::Changed { user, event } => {
                if let Some((addr, sessions, _)) = self.users.get(&user)
                    && addr.try_send(Tell(event)).is_err()
                {
                    events_lost(sessions);
                }
            }
            Note::Down { user, incarnation } => {
                let inbox = &self.inbox;
                if let Some(entry) = self.users.get_mut(&user).filter(|e| e.2 == incarnation) {
                    *entry = start(inbox, user, entry.1.clone());
                    // What was in its mailbox is lost.
                    events_lost(&entry.1);
                }
            }
        }
    }

    fn came(&mut self, user: UserId, conn: Conn, lane: Arc<Lane<FlightRef>>) {
        let (_, sessions, _) = match self.users.entry(user) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                self.node.users.fetch_add(1, Ordering::Relaxed);
                entry.insert(start(&self.inbox, user, Sessions::default()))
            }
        };
        let mut sessions = lock(sessions);
        if sessions.iter().all(|session| session.conn != conn) {
            // Most have one device here.
            sessions.reserve_exact(1);
            sessions.push(Session { conn, lane });
        }
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.node.users.fetch_sub(self.users.len(), Ordering::Relaxed);
    }
}

fn start(inbox: &Arc<Inbox>, user: UserId, sessions: Sessions) -> User {
    static INCARNATIONS: AtomicU64 = AtomicU64::new(0);
    let incarnation = INCARNATIONS.fetch_add(1, Ordering::Relaxed);
    let guard = Guard { user, incarnation, inbox: inbox.clone() };
    let addr = UserSupervisor { sessions: sessions.clone(), _guard: guard }.start();
    (addr, sessions, incarnation)
}

/// Their devices fetch the state instead.
fn events_lost(sessions: &Sessions) {
    lock(sessions).iter().for_each(|session| session.lane.tell(Fact::EventsLost));
}

/// One user's live devices on this node.
#[derive(Debug)]
struct UserSupervisor {
    sessions: Sessions,
    _guard: Guard,
}

#[derive(Debug)]
struct Guard {
    user: UserId,
    incarnation: u64,
    inbox: Arc<Inbox>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.inbox.push(Note::Down { user: self.user, incarnation: self.incarnation });
    }
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Tell(Event);

impl Actor for UserSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Tell> for UserSupervisor {
    type Result = ();

    fn handle(&mut self, Tell(event): Tell, _: &mut Self::Context) {
        fault::point("user: tell");
        lock(&self.sessions).iter().for_each(|s| s.lane.tell(Fact::Event(event.clone())));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
