//! The node's calls, sharded by pair, and a `SignalingActor` for each shard: it drives the timers
//! and hears of connections that come and go.
//!
//! Steps of devices are decided by a plain call, as admissions are; the state outlives the actor.
//! What devices must hear is told under the shard's lock, so that all hear of a call in one order.
//! Lock order: shard, then parties, directory, lane.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, WrapFuture as _};
use hushwire_wire::{Conn, DeviceId, Reject, UserId};
use tokio::time::timeout_at;

use super::exchange::{Effects, Exchange};
use super::{Patience, Step};
use crate::aside::Aside;
use crate::fault;
use crate::lane::Passing;
use crate::limits::Limits;
use crate::node::Node;
use crate::ports::Word;
use crate::presence::{Pair, pair};
use crate::supervise::Alive;

const SHARDS: u8 = 8;
/// Facts that wait for one shard, at most: more than all devices of its calls can tell. One that
/// finds no place is dropped; its call ends by its own time.
const INBOX: usize = 1 << 15;

/// All calls of the node.
#[derive(Debug)]
pub(crate) struct Signaling {
    shards: Box<[Shard]>,
    parties: Parties,
}

#[derive(Debug)]
struct Shard {
    exchange: Mutex<Exchange>,
    inbox: Inbox,
}

/// What a shard is told.
#[derive(Clone, Copy, Debug)]
enum Fact {
    /// A device of a user with a call signed in.
    Came { user: UserId, device: DeviceId, conn: Conn },
    /// A connection of such a user ended.
    Left { device: DeviceId, conn: Conn },
    /// Two users are no contacts any more.
    Parted(Pair),
}

impl Signaling {
    pub(crate) fn new(limits: &Limits) -> Self {
        let patience = Patience { ring_ms: limits.call_ring_ms, lease_ms: limits.call_lease_ms };
        let most = limits.calls.div_ceil(usize::from(SHARDS));
        let shard = || Shard {
            exchange: Mutex::new(Exchange::new(most, patience)),
            inbox: Inbox::default(),
        };
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            parties: Parties { calls: Mutex::default(), most: limits.calls_per_user },
        }
    }

    pub(crate) const fn shards() -> u8 {
        SHARDS
    }

    /// A step of a device, checked against its pair.
    pub(crate) fn step(&self, node: &Node, step: Step) -> Result<(), Reject> {
        let (a, b) = (step.from, step.to);
        let k = shard_of(pair(a, b));
        let Some(shard) = self.shards.get(usize::from(k)) else { return Ok(()) };
        let mut exchange = self.exchange(shard, k);
        let mut reserved = false;
        let effects = exchange.step(step, node.now_ms(), || {
            reserved = self.parties.reserve(a, b, k);
            reserved
        })?;
        let began = effects.began.is_some();
        if began && !reserved {
            self.parties.join(a, b, k);
        }
        self.follow(node, k, effects);
        drop(exchange);
        if began {
            shard.inbox.look();
        }
        Ok(())
    }

    /// Whether the call of a step is kept here.
    pub(crate) fn knows(&self, step: &Step) -> bool {
        let pair = pair(step.from, step.to);
        let k = shard_of(pair);
        let shard = self.shards.get(usize::from(k));
        shard.is_some_and(|shard| self.exchange(shard, k).knows(pair, step.call_id))
    }

    /// A device signed in: what rings at its user rings there, too.
    pub(crate) fn came(&self, user: UserId, device: DeviceId, conn: Conn) {
        self.tell(user, Fact::Came { user, device, conn });
    }

    /// A connection ended.
    pub(crate) fn left(&self, user: UserId, device: DeviceId, conn: Conn) {
        self.tell(user, Fact::Left { device, conn });
    }

    /// Two users are no contacts any more: their calls are over.
    pub(crate) fn parted(&self, a: UserId, b: UserId) {
        let pair = pair(a, b);
        if let Some(shard) = self.shards.get(usize::from(shard_of(pair))) {
            shard.inbox.push(Fact::Parted(pair));
        }
    }

    /// Tells the shards where the user has calls: mostly none.
    fn tell(&self, user: UserId, fact: Fact) {
        for k in self.parties.of(&user) {
            if let Some(shard) = self.shards.get(usize::from(k)) {
                shard.inbox.push(fact);
            }
        }
    }

    /// The calls of a shard. If something broke half-way under its lock, the places that its
    /// users have taken are counted anew.
    fn exchange<'a>(&self, shard: &'a Shard, k: u8) -> MutexGuard<'a, Exchange> {
        shard.exchange.lock().unwrap_or_else(|poisoned| {
            shard.exchange.clear_poison();
            let exchange = poisoned.into_inner();
            self.parties.count_anew(k, exchange.pairs());
            exchange
        })
    }

    /// To be called under the shard's lock.
    fn follow(&self, node: &Node, k: u8, effects: Effects) {
        fault::point("signaling: effects");
        for (a, b) in effects.over {
            self.parties.leave(a, b, k);
        }
        for tell in effects.tell {
            match node.directory.get(&tell.device) {
                Some(live) => live.lane.pass_or_end(Passing::Call(tell.frame)),
                None => {
                    let (device, frame) = (tell.device, tell.frame);
                    node.tell_others(Word::Aside(Aside::Call { device, frame }));
                }
            }
        }
    }
}

/// Drives the calls of one shard.
#[derive(Debug)]
pub(crate) struct SignalingActor {
    node: Arc<Node>,
    shard: u8,
    _alive: Alive,
}

impl SignalingActor {
    pub(crate) const fn new(node: Arc<Node>, shard: u8, alive: Alive) -> Self {
        Self { node, shard, _alive: alive }
    }
}

impl Actor for SignalingActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(drive(self.node.clone(), self.shard).into_actor(self));
    }
}

async fn drive(node: Arc<Node>, k: u8) {
    let calls = &node.calls;
    let Some(shard) = calls.shards.get(usize::from(k)) else { return };
    loop {
        let due_ms = calls.exchange(shard, k).deadline_ms();
        let fact = match due_ms {
            Some(due_ms) => {
                let at = node.origin + Duration::from_millis(due_ms.saturating_sub(1));
                timeout_at(at, shard.inbox.next()).await.ok().flatten()
            }
            None => shard.inbox.next().await,
        };
        fault::point("signaling: a fact");
        let mut exchange = calls.exchange(shard, k);
        let effects = match fact {
            Some(Fact::Came { user, device, conn }) => exchange.came(user, device, conn),
            Some(Fact::Left { device, conn }) => {
                // A step of a displaced connection may have come after its device's newer one.
                let newer = node.directory.get(&device).map(|live| live.conn);
                exchange.left(conn, newer, node.now_ms());
                Effects::default()
            }
            Some(Fact::Parted(pair)) => exchange.parted(pair),
            None => exchange.tick(node.now_ms()),
        };
        calls.follow(&node, k, effects);
    }
}

/// In how many calls users are, and in which shards: at most as many entries as calls have sides.
#[derive(Debug)]
struct Parties {
    calls: Mutex<HashMap<UserId, Vec<u8>>>,
    most: usize,
}

impl Parties {
    /// Takes a place for a call of the two, if both have room.
    fn reserve(&self, a: UserId, b: UserId, shard: u8) -> bool {
        let mut calls = lock(&self.calls);
        let room = |user| calls.get(user).map_or(0, Vec::len) < self.most;
        let both = room(&a) && room(&b);
        if both {
            enter(&mut calls, a, b, shard);
        }
        both
    }

    /// The same, when another call of the two made the room.
    fn join(&self, a: UserId, b: UserId, shard: u8) {
        enter(&mut lock(&self.calls), a, b, shard);
    }

    fn leave(&self, a: UserId, b: UserId, shard: u8) {
        let mut calls = lock(&self.calls);
        for user in [a, b] {
            let Some(shards) = calls.get_mut(&user) else { continue };
            if let Some(k) = shards.iter().position(|of| *of == shard) {
                shards.swap_remove(k);
            }
            if shards.is_empty() {
                calls.remove(&user);
            }
        }
    }

    /// What a shard's calls take, and nothing else of it.
    fn count_anew(&self, shard: u8, pairs: impl Iterator<Item = Pair>) {
        let mut calls = lock(&self.calls);
        calls.retain(|_, shards| {
            shards.retain(|k| *k != shard);
            !shards.is_empty()
        });
        for (a, b) in pairs {
            enter(&mut calls, a, b, shard);
        }
    }

    /// Each shard with a call of the user, once.
    fn of(&self, user: &UserId) -> Vec<u8> {
        let mut shards = lock(&self.calls).get(user).cloned().unwrap_or_default();
        shards.sort_unstable();
        shards.dedup();
        shards
    }
}

fn enter(calls: &mut HashMap<UserId, Vec<u8>>, a: UserId, b: UserId, shard: u8) {
    for user in [a, b] {
        calls.entry(user).or_default().push(shard);
    }
}

/// The bounded way to a shard's actor.
#[derive(Debug, Default)]
struct Inbox {
    inner: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    facts: VecDeque<Fact>,
    /// Deadlines changed.
    look: bool,
    waker: Option<Waker>,
}

impl Inbox {
    fn push(&self, fact: Fact) {
        let mut inner = lock(&self.inner);
        if inner.facts.len() < INBOX {
            inner.facts.push_back(fact);
        }
        wake(inner);
    }

    fn look(&self) {
        let mut inner = lock(&self.inner);
        inner.look = true;
        wake(inner);
    }

    /// The next fact; `None` if there is something else to look at.
    async fn next(&self) -> Option<Fact> {
        poll_fn(|cx| {
            let mut inner = lock(&self.inner);
            if let Some(fact) = inner.facts.pop_front() {
                return Poll::Ready(Some(fact));
            }
            inner.facts = VecDeque::new();
            if std::mem::take(&mut inner.look) {
                return Poll::Ready(None);
            }
            inner.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

fn wake(mut inner: MutexGuard<'_, Waiting>) {
    let waker = inner.waker.take();
    drop(inner);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A user's id is a hash: the pair's sum spreads evenly.
fn shard_of((a, b): Pair) -> u8 {
    let spread = |user: UserId| user.as_bytes().last().copied().unwrap_or(0);
    spread(a).wrapping_add(spread(b)) % SHARDS
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(k: u8) -> UserId {
        UserId([k; 32])
    }

    #[test]
    fn a_users_calls_are_bounded_in_both_directions() {
        let parties = Parties { calls: Mutex::default(), most: 2 };
        assert!(parties.reserve(user(1), user(2), 0));
        assert!(parties.reserve(user(3), user(1), 5));
        assert!(!parties.reserve(user(1), user(4), 1) && !parties.reserve(user(4), user(1), 1));
        assert!(parties.of(&user(4)).is_empty(), "a refusal leaves nothing behind");
        parties.join(user(1), user(3), 5);
        assert_eq!(parties.of(&user(1)), [0, 5]);
        parties.leave(user(3), user(1), 5);
        assert_eq!(parties.of(&user(1)), [0, 5]);
        parties.leave(user(1), user(3), 5);
        parties.leave(user(1), user(2), 0);
        assert!(lock(&parties.calls).is_empty());
    }

    #[test]
    fn places_are_counted_anew_for_one_shard() {
        let parties = Parties { calls: Mutex::default(), most: 4 };
        for (a, b, k) in [(1, 2, 0), (1, 2, 0), (1, 3, 5), (4, 5, 0)] {
            assert!(parties.reserve(user(a), user(b), k));
        }
        parties.count_anew(0, [(user(1), user(2))].into_iter());
        let calls = lock(&parties.calls).clone();
        let expected = [(1, vec![5, 0]), (2, vec![0]), (3, vec![5])];
        assert_eq!(calls, expected.map(|(k, shards)| (user(k), shards)).into());
    }

    #[tokio::test]
    async fn the_inbox_is_bounded() {
        let inbox = Inbox::default();
        for _ in 0..INBOX + 10 {
            inbox.push(Fact::Left { device: DeviceId([1; 16]), conn: Conn([1; 16]) });
        }
        inbox.look();
        let mut facts = 0;
        while inbox.next().await.is_some() {
            facts += 1;
        }
        assert_eq!(facts, INBOX);
    }
}
