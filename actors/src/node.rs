//! What everything on this node shares: ports, tables, limits, and the ways to the actors.
//!
//! Tables are looked up, the intake and inboxes are bounded, and nothing here has a life.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hushwire_wire::{DeviceId, NodeId, UserId};
use slog::Logger;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::admissions::Admissions;
use crate::aside::Steps;
use crate::bus::{Post, Waits};
use crate::call::signaling::Signaling;
use crate::directory::Directory;
use crate::homes::Homes;
use crate::landings::Landings;
use crate::limiter::Limiter;
use crate::limits::Limits;
use crate::pairs::Pairs;
use crate::places::Places;
use crate::ports::{Ports, Word};
use crate::presence::actor::Present;
use crate::queue::{Call, Intake, Leaps, Op, Queue, To};
use crate::supervise::Services;
use crate::user::{Inbox, Note};

/// One server process.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) ports: Ports,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) limits: Limits,
    pub(crate) domain: String,
    pub(crate) log: Logger,
    pub(crate) directory: Directory,
    pub(crate) pairs: Pairs,
    /// What is paced on this node alone.
    pub(crate) limiter: Limiter,
    /// Who sent what, on all nodes: the limiter, if there is only this one.
    pub(crate) admissions: Arc<dyn Admissions>,
    pub(crate) landings: Landings,
    pub(crate) presence: Present,
    pub(crate) calls: Signaling,
    /// Steps of calls that other nodes keep.
    pub(crate) steps: Steps,
    pub(crate) homes: Homes,
    pub(crate) intake: Intake,
    pub(crate) leaps: Mutex<Leaps>,
    pub(crate) post: Post,
    pub(crate) waits: Waits,
    pub(crate) services: Services,
    /// The inboxes of the user shards, one a worker.
    pub(crate) workers: Mutex<Vec<Arc<Inbox>>>,
    pub(crate) sockets: AtomicUsize,
    pub(crate) places: Places,
    pub(crate) users: AtomicUsize,
    /// Messages whose custody is not complete.
    pub(crate) flights: AtomicUsize,
    pub(crate) draining: AtomicBool,
    /// Wakes the sockets that are not signed in when a drain begins.
    pub(crate) goodbye: Arc<Notify>,
    pub(crate) origin: Instant,
}

impl Node {
    /// Milliseconds on this node's own clock, which only rises; never 0.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX >> 1) + 1
    }

    /// What is known of the clock of the queue store.
    pub(crate) fn leaps(&self) -> MutexGuard<'_, Leaps> {
        self.leaps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls a device's ledger.
    pub(crate) fn call(&self, device: DeviceId, op: Op, to: To) {
        let r#gen = self.queue.generation();
        self.intake.push(Call::Device { r#gen, device, op }, to);
    }

    /// Random bytes.
    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.ports.random.fill(&mut bytes);
        bytes
    }

    /// The inbox of a user's shard: hash(user) % workers. A user's id is a hash.
    pub(crate) fn inbox(&self, user: UserId) -> Option<Arc<Inbox>> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let spread = user.0.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize;
        spread.checked_rem(workers.len()).and_then(|k| workers.get(k)).cloned()
    }

    /// Tells the shard of a user. Without a worker there is no session to tell.
    pub(crate) fn tell(&self, user: UserId, note: Note) {
        if let Some(inbox) = self.inbox(user) {
            inbox.push(note);
        }
    }

    /// Tells all other nodes, if there may be any.
    pub(crate) fn tell_others(&self, word: Word) {
        if !self.ports.bus.is_alone() {
            self.post.push_to_others(word);
        }
    }

    /// One more worker.
    pub(crate) fn add_worker(&self, inbox: Arc<Inbox>) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(inbox);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
