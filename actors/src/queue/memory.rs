//! The queue store in this process' memory: the embedded default. What it holds is lost with the
//! process, which shows as a new generation.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use hushwire_wire::limits::NONCE_TTL_MS;
use hushwire_wire::{DeviceId, Gen, NodeId, Nonce};

use super::tokens::{Held, Tokens};
use super::tombstones::Tombstones;
use super::{Call, DeviceReply, Key, Op, Outcome, Queue, Reply, Settled, Stored};
use crate::fault;
use crate::ledger::{Ledger, Room};
use crate::limits::Limits;
use crate::ports::{Clock, Random, Unavailable};

/// Ledgers looked at in one sweep.
const SWEEP_LEDGERS: usize = 4_096;

/// Ledgers, nonces and tokens in memory.
#[derive(Debug)]
pub struct MemoryQueue {
    generation: Gen,
    born_ms: u64,
    limits: Limits,
    clock: Arc<dyn Clock>,
    store: Mutex<Store>,
    /// The sums after the latest batch, for whoever must not wait.
    messages: AtomicU64,
    bytes: AtomicU64,
    notices: AtomicU64,
}

#[derive(Debug, Default)]
struct Store {
    /// Boxed: a table of large values keeps much room empty.
    ledgers: HashMap<DeviceId, Box<Ledger>>,
    nonces: HashMap<Nonce, u64>,
    nonce_order: VecDeque<(u64, Nonce)>,
    tokens: Tokens,
    tombstones: Tombstones,
    stored: Stored,
    /// The highest position in any ledger that was forgotten: no ledger uses one twice.
    floor: u64,
    /// The ledger that is changed now, and what it held before. Found set, a panic has left the
    /// change half done.
    changing: Option<(DeviceId, Sums)>,
    sweep: VecDeque<DeviceId>,
}

/// Messages, their bytes, and notices of one ledger.
type Sums = (usize, usize, usize);

impl MemoryQueue {
    /// Empty, with a random generation.
    #[must_use]
    pub fn new(limits: Limits, random: &dyn Random, clock: Arc<dyn Clock>) -> Self {
        let mut generation = [0; Gen::LEN];
        random.fill(&mut generation);
        Self {
            generation: Gen(generation),
            born_ms: clock.now_ms(),
            limits,
            clock,
            store: Mutex::default(),
            messages: AtomicU64::default(),
            bytes: AtomicU64::default(),
            notices: AtomicU64::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn execute(&self, store: &mut Store, call: Call, now_ms: u64) -> Result<Reply, Unavailable> {
        fault::point("store: a call");
        match call {
            Call::Device { r#gen, device, op } => {
                let reply = self.device(store, r#gen, device, &op, now_ms);
                if op == Op::Revoke && reply.outcome == Outcome::Revoked {
                    fault::point("store: half revoked");
                    store.tokens.drop_device(&device);
                    store.tombstones.set(device, self.limits.tombstones, now_ms)?;
                }
                Ok(Reply::Device(reply))
            }
            Call::PutNonce(nonce) => {
                store.put_nonce(nonce, now_ms, self.limits.nonces).map(|()| Reply::Done)
            }
            Call::TakeNonce(nonce) => {
                let until = store.nonces.remove(&nonce);
                Ok(Reply::Nonce(until.is_some_and(|until| now_ms < until)))
            }
            Call::PutToken { device, .. } if store.tombstones.has(&device) => Err(Unavailable),
            Call::PutToken { hash, user, device, ttl_ms } => {
                let token = Held { user, device, until_ms: now_ms + ttl_ms };
                store.tokens.put(hash, token, &self.limits, now_ms);
                Ok(Reply::Done)
            }
            Call::CheckToken { hash } => Ok(Reply::Token(store.tokens.check(&hash, now_ms))),
            Call::Holder { device } => Ok(Reply::Holder(store.holder(device, now_ms))),
            Call::DropTokens { device } => {
                store.tokens.drop_device(&device);
                Ok(Reply::Dropped(store.holder(device, now_ms)))
            }
            Call::Time => Ok(Reply::Time(now_ms)),
            Call::Sweep { most, now_ms: due } => {
                Ok(Reply::Swept(self.sweep(store, most, due.min(now_ms), now_ms)))
            }
        }
    }

    fn device(
        &self,
        store: &mut Store,
        r#gen: Gen,
        device: DeviceId,
        op: &Op,
        now_ms: u64,
    ) -> DeviceReply {
        let limits = &self.limits;
        let mut noticed = Vec::new();
        let displaced = match op {
            Op::Attach { conn, .. } => store.holder(device, now_ms).filter(|key| key.conn != *conn),
            Op::Revoke => store.holder(device, now_ms),
            _ => None,
        };
        let outcome = if r#gen == self.generation {
            if let Op::Ack { settled, .. } = op {
                noticed = store.tell_senders(settled, limits, now_ms);
            }
            let room = Room::beside(&store.stored, limits);
            store.change(device, |ledger| ledger.apply_within(room, op, limits, now_ms))
        } else {
            Outcome::OtherGen
        };
        let outcome = match (outcome, op) {
            (Outcome::Noticed(_), Op::Notice { .. } | Op::Touch { .. }) => {
                let holder = store.holder(device, now_ms).map(|key| (device, key.node));
                Outcome::Noticed(holder.into_iter().collect())
            }
            (Outcome::Noticed(_), _) => Outcome::Noticed(noticed),
            (outcome, _) => outcome,
        };
        let displaced =
            displaced.filter(|_| matches!(outcome, Outcome::Attached | Outcome::Revoked));
        let ledger = store.ledgers.get(&device);
        DeviceReply {
            r#gen: self.generation,
            holder: ledger.and_then(|ledger| ledger.holder(now_ms)),
            displaced,
            tail: ledger.map_or(0, |ledger| ledger.tail()),
            notices_tail: ledger.map_or(0, |ledger| ledger.notices_tail()),
            outcome,
        }
    }

    /// Expires by `due_ms`, and tells senders at `now_ms`.
    fn sweep(
        &self,
        store: &mut Store,
        most: usize,
        due_ms: u64,
        now_ms: u64,
    ) -> Vec<(DeviceId, NodeId)> {
        if store.sweep.is_empty() {
            store.sweep = store.ledgers.keys().copied().collect();
        }
        let (mut noticed, mut expired) = (Vec::new(), 0);
        for _ in 0..SWEEP_LEDGERS {
            let Some(device) = store.sweep.pop_front() else { break };
            let left = most - expired;
            let due =
                store.change(device, |ledger| ledger.expire(device, &self.limits, due_ms, left));
            expired += due.len();
            // The senders' notices first, then the messages go.
            noticed.extend(store.tell_senders(&due, &self.limits, now_ms));
            fault::point("store: half swept");
            store.change(device, |ledger| ledger.settle(&due));
            if expired == most {
                store.sweep.push_front(device);
                break;
            }
        }
        noticed
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn call(&self, calls: Vec<Call>) -> Vec<Result<Reply, Unavailable>> {
        let now_ms = self.clock.now_ms();
        let mut store = self.lock();
        let replies =
            calls.into_iter().map(|call| self.execute(&mut store, call, now_ms)).collect();
        let Stored { messages, bytes, notices } = store.stored;
        self.messages.store(messages, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        self.notices.store(notices, Ordering::Relaxed);
        replies
    }

    fn generation(&self) -> Gen {
        self.generation
    }

    fn born_ms(&self) -> u64 {
        self.born_ms
    }

    fn stored(&self) -> Stored {
        Stored {
            messages: self.messages.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            notices: self.notices.load(Ordering::Relaxed),
        }
    }

    fn is_full(&self) -> bool {
        self.stored().is_full(&self.limits)
    }
}

impl Stored {
    fn change(&mut self, before: Sums, after: Sums) {
        self.messages = self.messages + after.0 as u64 - before.0 as u64;
        self.bytes = self.bytes + after.1 as u64 - before.1 as u64;
        self.notices = self.notices + after.2 as u64 - before.2 as u64;
    }
}

impl Store {
    /// Changes a ledger, keeps the sums, and forgets it when it is empty.
    fn change<R>(&mut self, device: DeviceId, change: impl FnOnce(&mut Ledger) -> R) -> R {
        self.mend();
        let (floor, tombstones) = (self.floor, &self.tombstones);
        let ledger = self.ledgers.entry(device).or_insert_with(|| {
            Box::new(if tombstones.has(&device) { Ledger::revoked() } else { Ledger::above(floor) })
        });
        let before = ledger.len();
        self.changing = Some((device, before));
        let result = change(ledger);
        let after = ledger.len();
        self.changing = None;
        if ledger.is_empty() {
            self.floor = floor.max(ledger.top());
            self.ledgers.remove(&device);
        }
        self.stored.change(before, after);
        result
    }

    /// Makes whole what a panic has left half done.
    fn mend(&mut self) {
        let Some((device, before)) = self.changing.take() else { return };
        let Some(ledger) = self.ledgers.get_mut(&device) else { return };
        ledger.mend();
        self.stored.change(before, ledger.len());
    }

    fn holder(&self, device: DeviceId, now_ms: u64) -> Option<Key> {
        self.ledgers.get(&device).and_then(|ledger| ledger.holder(now_ms))
    }

    /// Stores what the senders must hear. Those of them that somebody holds.
    fn tell_senders(
        &mut self,
        settled: &[Settled],
        limits: &Limits,
        now_ms: u64,
    ) -> Vec<(DeviceId, NodeId)> {
        let mut told = Vec::new();
        for one in settled {
            if let Some(news) = &one.news {
                self.change(one.from, |ledger| ledger.notice(news.clone(), limits, now_ms));
                told.extend(self.holder(one.from, now_ms).map(|key| (one.from, key.node)));
            }
        }
        told.dedup();
        told
    }

    fn put_nonce(&mut self, nonce: Nonce, now_ms: u64, most: usize) -> Result<(), Unavailable> {
        while self
            .nonce_order
            .front()
            .is_some_and(|(until, nonce)| *until <= now_ms || !self.nonces.contains_key(nonce))
        {
            if let Some((_, old)) = self.nonce_order.pop_front() {
                self.nonces.remove(&old);
            }
        }
        if self.nonces.len() >= most {
            return Err(Unavailable);
        }
        // Seldom, so that nobody can make every call look through all of them.
        if self.nonce_order.len() >= 2 * most {
            let nonces = &self.nonces;
            self.nonce_order.retain(|(_, nonce)| nonces.contains_key(nonce));
        }
        let until = now_ms + NONCE_TTL_MS;
        self.nonces.insert(nonce, until);
        self.nonce_order.push_back((until, nonce));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
