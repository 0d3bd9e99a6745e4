//! The epochs of a pair as they are kept here: their keys, their notes, their claims, and their end
//! (CRYPTO 5). How one is taken, made, or called for stands in the modules below.

use std::collections::HashSet;

use hushwire_e2ee::{Created, EpochState};
use hushwire_wire::http::{self, Wrap};
use hushwire_wire::{EpochId, Sealed, UserId};

use super::{Engine, HealAt};
use crate::error::ClientError;
use crate::record::{EpochNote, Peer, Standing, Wanted, to_json};
use crate::store::{Batch, Space, StoreError};
use crate::transport::Method;

mod heal;
mod make;
mod take;

pub(super) use make::has_moved_on;

/// An epoch closes so long after a newer one was accepted, in milliseconds: 7 days.
const CLOSED_AFTER_MS: u64 = 7 * 86_400_000;

/// What is said of an epoch when it is taken into use.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    stale: bool,
    gap: bool,
    unclaimed: bool,
}

impl Engine {
    /// The keys of an epoch that was accepted for this pair.
    pub(super) fn epoch_state(&mut self, id: &EpochId) -> Result<Option<EpochState>, StoreError> {
        if let Some(state) = self.epochs.get(id) {
            return Ok(Some(state.clone()));
        }
        let Some(bytes) = self.store.get(Space::Epoch, id.as_bytes())? else { return Ok(None) };
        let state = EpochState::from_bytes(&bytes).map_err(|_| StoreError::Damaged)?;
        if state.id() != *id {
            return Err(StoreError::Damaged);
        }
        self.epochs.insert(*id, state.clone());
        Ok(Some(state))
    }

    /// Takes an epoch into use: its keys and the contact's note of it, in one transaction.
    fn adopt(&mut self, user: UserId, state: EpochState, marks: Marks) -> Result<(), ClientError> {
        let header = state.header();
        let (n, created_ms, id) = (header.n, header.created_ms, state.id());
        let made_by = header.roster.get(usize::from(header.creator));
        let by_peer = made_by.is_some_and(|slot| header.user(slot.side) == Some(user));
        let prev_sent = self.state_here(&EpochId(header.prev))?.map_or(0, EpochState::sent);
        let now = self.clock.now_ms();
        let Some(peer) = self.peers.get_mut(&user) else { return Err(ClientError::NoContact) };
        if !peer.knows(&id) {
            let Marks { stale, gap, unclaimed } = marks;
            let (accepted_ms, dropped) = (now, false);
            let note = EpochNote {
                n,
                id,
                created_ms,
                accepted_ms,
                stale,
                unclaimed,
                gap,
                dropped,
                prev_sent,
            };
            peer.epochs.push(note);
        }
        if by_peer {
            peer.confirm(created_ms, now);
        }
        let mut batch = Batch::default();
        batch.put(Space::Epoch, id.as_bytes(), state.to_bytes());
        batch.put(Space::Peer, user.as_bytes(), to_json(peer));
        self.store.add(&batch)?;
        self.epochs.insert(id, state);
        self.orphans.retain(|orphan| *orphan != id);
        Ok(())
    }

    /// Says that an epoch's keys are kept, so that its wrap is erased (E10). A lost call is made
    /// again by [`Self::claim_again`].
    pub(super) async fn claim(&mut self, user: UserId, id: EpochId) -> Result<(), ClientError> {
        self.say_claimed(id).await?;
        let Some(mut peer) = self.peers.get(&user).cloned() else { return Ok(()) };
        for note in peer.epochs.iter_mut().filter(|note| note.id == id) {
            note.unclaimed = false;
        }
        Ok(self.put_peer(peer)?)
    }

    /// Asks the server to erase this device's wrap of an epoch.
    pub(super) async fn say_claimed(&mut self, id: EpochId) -> Result<(), ClientError> {
        let path = format!("/v1/epochs/{}/claimed", id.to_base64url());
        match self.signed(Method::Post, path, None).await {
            Err(error @ ClientError::Store(_)) => Err(error),
            Err(error) if error.is_passing() => Err(error),
            // What is refused was erased before.
            _ => Ok(()),
        }
    }

    /// Makes the calls again that were lost.
    pub(super) async fn claim_again(&mut self) -> Result<(), ClientError> {
        let of = |peer: &Peer| {
            let unclaimed = peer.epochs.iter().filter(|note| note.unclaimed);
            unclaimed.map(|note| (peer.user, note.id)).collect::<Vec<_>>()
        };
        for (user, id) in self.peers.values().flat_map(of).collect::<Vec<_>>() {
            self.claim(user, id).await?;
        }
        Ok(())
    }

    /// Whether the log of either side has moved on since the epoch was made (R1).
    fn has_moved(&self, state: &EpochState, user: &UserId) -> bool {
        let header = state.header();
        let names = |point| header.a == point || header.b == Some(point);
        let peer = self.peers.get(user).and_then(Peer::point);
        !(names(self.log.point()) && peer.is_some_and(names))
    }

    /// Throws the keys of all epochs away: the store is older than its device. The notes stay, so
    /// that numbers never go back; every pair is due a new epoch.
    pub(super) fn drop_chains(&mut self) -> Result<(), StoreError> {
        let now = self.clock.ticks_ms();
        let mut batch = Batch::default();
        for (id, _) in self.store.list(Space::Epoch)? {
            batch.delete(Space::Epoch, &id);
        }
        for peer in self.peers.values_mut() {
            peer.epochs.iter_mut().for_each(|note| note.dropped = true);
            if peer.standing == Standing::Active {
                peer.heal.wanted = Some(Wanted::Heal);
                self.heals.insert(peer.user, HealAt { at: now, failures: 0 });
            }
            batch.put(Space::Peer, peer.user.as_bytes(), to_json(&*peer));
        }
        self.epochs.clear();
        self.orphans.clear();
        self.store.add(&batch)
    }

    /// Epochs that are past their time, and that no message waits for which is here.
    pub(super) fn old_epochs(&mut self) -> Result<Vec<(UserId, EpochId)>, StoreError> {
        let now = self.clock.now_ms();
        let mut old = Vec::new();
        for peer in self.peers.values() {
            let past = peer.epochs.iter().filter(|note| note.accepted_ms + CLOSED_AFTER_MS <= now);
            let Some(newest) = past.map(|note| note.n).max() else { continue };
            let is_old = |note: &&EpochNote| note.n < newest;
            old.extend(peer.epochs.iter().filter(is_old).map(|note| (peer.user, note.id)));
        }
        // What waits is read only if there is something to close.
        if !old.is_empty() {
            let waiting = self.waiting_epochs()?;
            old.retain(|(_, id)| !waiting.contains(id));
        }
        Ok(old)
    }

    /// Closes epochs that are past their time, and erases their keys. Only when the server has
    /// just said that all that it had was sent: what waits in the queue may be under them.
    pub(super) fn close_old_epochs(&mut self) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for (user, id) in self.old_epochs()? {
            batch.delete(Space::Epoch, id.as_bytes());
            self.epochs.remove(&id);
            let Some(peer) = self.peers.get_mut(&user) else { continue };
            peer.epochs.retain(|note| note.id != id);
            batch.put(Space::Peer, user.as_bytes(), to_json(&*peer));
        }
        self.store.add(&batch)
    }

    /// Erases skipped keys that are too old.
    pub(super) fn forget_skipped(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now_ms();
        let mut batch = Batch::default();
        let open = self.peers.values().flat_map(|peer| &peer.epochs).filter(|note| !note.dropped);
        for id in open.map(|note| note.id).collect::<Vec<_>>() {
            self.state_here(&id)?;
        }
        for (id, state) in &mut self.epochs {
            if state.expire(now) > 0 {
                batch.put(Space::Epoch, id.as_bytes(), state.to_bytes());
            }
        }
        self.store.add(&batch)
    }

    /// Erases the keys of epochs that were made here and that the server does not have: asked for
    /// after a whole look at what it has.
    pub(super) fn forget_orphans(&mut self) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for id in std::mem::take(&mut self.orphans) {
            if self.peers.values().any(|peer| peer.knows(&id)) {
                continue;
            }
            batch.delete(Space::Epoch, id.as_bytes());
            self.epochs.remove(&id);
        }
        self.store.add(&batch)
    }

    fn waiting_epochs(&mut self) -> Result<HashSet<EpochId>, StoreError> {
        let mut out = HashSet::new();
        for order in self.waiting.clone() {
            out.extend(self.waiting_epoch(order)?);
        }
        Ok(out)
    }
}

/// An epoch as it is posted.
pub(super) fn post(created: &Created) -> http::NewEpoch {
    let wrap =
        |(device, wrap): &(_, Vec<u8>)| Wrap { device: *device, wrap: Sealed::new(wrap.clone()) };
    http::NewEpoch {
        header: Sealed::new(created.header.clone()),
        wraps: created.wraps.iter().map(wrap).collect(),
    }
}
