//! Epochs: fetched and judged by E1 to E10, or made anew (CRYPTO 5).

use hushwire_e2ee::{
    AcceptError, Created, EpochState, History, NewEpoch, Offered, Party, PrekeySecret, Previous,
};
use hushwire_identity::{Code, EpochHeader, Prekey, Reason};
use hushwire_wire::http::{self, Contacts, EpochBundle, EpochPost, ProblemCode, Wrap};
use hushwire_wire::{EpochId, Sealed, UserId};

use super::{Engine, contact};
use crate::error::ClientError;
use crate::event::alarm;
use crate::record::{EpochNote, Peer, to_json};
use crate::store::{Batch, Space, StoreError};
use crate::transport::Method;

/// How many epochs back are fetched before the newest one.
const BACK_MAX: usize = 16;
/// Attempts to judge an epoch, each after something that it names was fetched.
const ATTEMPTS: usize = 4;
/// Epochs of one pair with the same number that are kept, at most (CRYPTO 5).
const SIBLINGS_MAX: usize = 4;
/// Open epochs of one pair, at most: more than an honest server admits in 7 days.
const OPEN_MAX: usize = 1_024;
/// An epoch closes so long after a newer one was accepted, in milliseconds: 7 days.
const CLOSED_AFTER_MS: u64 = 7 * 86_400_000;

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

    /// Fetches, judges and takes an epoch, those before it first.
    pub(super) async fn ensure_epoch(
        &mut self,
        peer: UserId,
        id: EpochId,
    ) -> Result<(), ClientError> {
        let mut chain: Vec<(EpochHeader, EpochBundle)> = Vec::new();
        let mut next = id;
        while chain.len() < BACK_MAX {
            let known = self.peers.get(&peer).ok_or(ClientError::NoContact)?;
            if known.knows(&next) {
                break;
            }
            let newest = known.newest().map(|note| note.n);
            let path = format!("/v1/epochs/{}", next.to_base64url());
            let bundle: EpochBundle = match self.get(path).await {
                Ok(bundle) => bundle,
                // What came before may be gone: the epoch itself may not.
                Err(error) if chain.is_empty() => return Err(error),
                Err(_) => break,
            };
            let header = EpochHeader::parse(bundle.header.as_bytes())
                .map_err(|_| ClientError::Unverified(Code::EpochRoster))?;
            if header.id() != next {
                return Err(ClientError::Unverified(Code::EpochRoster));
            }
            let (n, prev) = (header.n, EpochId(header.prev));
            chain.push((header, bundle));
            if n == 0 || newest.is_some_and(|newest| n <= newest.saturating_add(1)) {
                break;
            }
            next = prev;
        }
        while let Some((header, bundle)) = chain.pop() {
            let taken = self.take_epoch(peer, &header, &bundle).await;
            if chain.is_empty() {
                return taken;
            }
            if let Err(ClientError::Store(error)) = taken {
                return Err(ClientError::Store(error));
            }
        }
        Ok(())
    }

    async fn take_epoch(
        &mut self,
        user: UserId,
        header: &EpochHeader,
        bundle: &EpochBundle,
    ) -> Result<(), ClientError> {
        let id = header.id();
        // Made here, stored, and the server's answer was lost.
        if let Some(state) = self.epoch_state(&id)? {
            let newest = self.peers.get(&user).and_then(Peer::newest).map(|note| note.n);
            if !self.is_of_pair(&state, &user) || newest.is_some_and(|n| header.n < n) {
                return Err(ClientError::Unverified(Code::EpochRoster));
            }
            let stale = self.has_moved(&state, &user);
            return self.adopt(user, state, stale, false);
        }
        let known = self.peers.get(&user).map(|peer| peer.epochs.as_slice()).unwrap_or_default();
        let siblings = known.iter().filter(|note| note.n == header.n).count();
        if siblings >= SIBLINGS_MAX || known.len() >= OPEN_MAX {
            return Err(ClientError::Unverified(Code::Limit));
        }
        let Some(wrap) = &bundle.wrap else {
            return Err(ClientError::Unverified(Code::EpochUnknown));
        };
        let mut prekeys: Vec<Prekey> =
            bundle.prekeys.iter().filter_map(|bundle| contact::parse(bundle).ok()).collect();
        for _ in 0..ATTEMPTS {
            let peer = self.peers.get(&user).ok_or(ClientError::NoContact)?.clone();
            let log = peer.device_log()?;
            let newest = peer.newest();
            let offered = Offered {
                header: bundle.header.as_bytes(),
                wrap: wrap.as_bytes(),
                me: &self.key,
                secrets: &self.secrets,
                mine: Party { log: &self.log, prekeys: &prekeys },
                peer: Some(Party { log: &log, prekeys: &prekeys }),
                history: History {
                    request: Some(peer.request),
                    newest: newest.map(|note| Previous {
                        n: note.n,
                        id: note.id,
                        created_ms: note.created_ms,
                    }),
                },
                now_ms: self.clock.now_ms(),
            };
            match hushwire_e2ee::open(&offered) {
                Ok(accepted) => {
                    if accepted.fork {
                        self.tell(alarm(Code::Fork, &peer.handle));
                    }
                    self.adopt(user, accepted.state, accepted.stale, true)?;
                    // Repeated by the next upkeep if it is lost.
                    return match self.claim(user, id).await {
                        Err(error) if !error.is_passing() => Err(error),
                        _ => Ok(()),
                    };
                }
                Err(AcceptError::Behind(whose)) if whose == user => {
                    let mut peer = peer;
                    self.peer_log(&mut peer).await?;
                    self.put_peer(peer)?;
                }
                Err(AcceptError::PrekeyMissing) => {
                    let mut peer = peer;
                    let known = prekeys.len();
                    prekeys.extend(self.peer_prekeys(&mut peer, &log).await?);
                    prekeys.push(self.own_prekey()?);
                    if prekeys.len() > known + 64 {
                        break;
                    }
                }
                Err(error) => {
                    let code = error.code();
                    if code.is_alarm() {
                        self.tell(alarm(code, &peer.handle));
                    }
                    if code == Code::LogFork {
                        self.put_peer(Peer { forked: true, ..peer })?;
                    }
                    return Err(ClientError::Unverified(code));
                }
            }
        }
        Err(ClientError::Unverified(Code::EpochUnknown))
    }

    /// Takes an epoch into use: its keys and the contact's note of it, in one transaction.
    fn adopt(
        &mut self,
        user: UserId,
        state: EpochState,
        stale: bool,
        unclaimed: bool,
    ) -> Result<(), ClientError> {
        let before = self.peers.get(&user).and_then(Peer::newest).map(|note| note.id);
        let prev_sent = match before {
            Some(before) => self.epoch_state(&before)?.map(|state| state.sent()),
            None => None,
        };
        let now = self.clock.now_ms();
        let Some(peer) = self.peers.get_mut(&user) else { return Err(ClientError::NoContact) };
        if !peer.knows(&state.id()) {
            let header = state.header();
            let (n, created_ms) = (header.n, header.created_ms);
            let (id, accepted_ms) = (state.id(), now);
            peer.epochs.push(EpochNote { n, id, created_ms, accepted_ms, stale, unclaimed });
            peer.prev_sent = prev_sent.unwrap_or(peer.prev_sent);
        }
        let mut batch = Batch::default();
        batch.put(Space::Epoch, state.id().as_bytes(), state.to_bytes());
        batch.put(Space::Peer, user.as_bytes(), to_json(peer));
        self.store.add(&batch)?;
        self.epochs.insert(state.id(), state);
        Ok(())
    }

    /// Says that an epoch's keys are kept, so that its wrap is erased (E10). A lost call is made
    /// again by [`Self::claim_again`].
    async fn claim(&mut self, user: UserId, id: EpochId) -> Result<(), ClientError> {
        let path = format!("/v1/epochs/{}/claimed", id.to_base64url());
        match self.signed(Method::Post, path, None).await {
            Err(error @ ClientError::Store(_)) => return Err(error),
            Err(error) if error.is_passing() => return Err(error),
            // What is refused was erased before.
            _ => {}
        }
        let Some(mut peer) = self.peers.get(&user).cloned() else { return Ok(()) };
        for note in peer.epochs.iter_mut().filter(|note| note.id == id) {
            note.unclaimed = false;
        }
        self.put_peer(peer)
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
    pub(super) fn has_moved(&self, state: &EpochState, user: &UserId) -> bool {
        let header = state.header();
        let names = |point| header.a == point || header.b == Some(point);
        let peer = self.peers.get(user).and_then(Peer::point);
        !(names(self.log.point()) && peer.is_some_and(names))
    }

    /// Looks for the pair's newest epoch; makes the next one if the server has none newer.
    pub(super) async fn refresh_pair(&mut self, user: UserId) -> Result<(), ClientError> {
        let Contacts { contacts, .. } = self.get("/v1/contacts".to_owned()).await?;
        let newest = contacts.iter().find(|c| c.peer == user).and_then(|c| c.newest);
        let newest = newest.ok_or(ClientError::NoContact)?;
        let known = self.peers.get(&user).ok_or(ClientError::NoContact)?;
        if known.knows(&newest.epoch) {
            self.rotate(user, Reason::Devices).await
        } else {
            self.ensure_epoch(user, newest.epoch).await
        }
    }

    /// Makes an epoch after fetching and verifying the other side's log and prekeys. What was
    /// learned and the keys are stored before anybody hears of them: a creator has no wrap of its
    /// own. The time is not before `not_before_ms`.
    pub(super) async fn make_epoch(
        &mut self,
        mut peer: Peer,
        n: u32,
        prev: [u8; 32],
        reason: Reason,
        not_before_ms: u64,
    ) -> Result<Created, ClientError> {
        let log = self.peer_log(&mut peer).await?;
        let prekeys = self.peer_prekeys(&mut peer, &log).await?;
        self.put_peer(peer)?;
        let own = [self.own_prekey()?];
        let secret = self.newest_secret()?;
        let new = NewEpoch {
            me: &self.key,
            prekey: &secret,
            mine: Party { log: &self.log, prekeys: &own },
            peer: Some(Party { log: &log, prekeys: &prekeys }),
            n,
            prev,
            reason,
            created_ms: self.clock.now_ms().max(not_before_ms),
        };
        let random = &mut self.random;
        let created = hushwire_e2ee::create(&new, &mut |out: &mut [u8]| random.fill(out))
            .map_err(ClientError::Epoch)?;
        let mut batch = Batch::default();
        batch.put(Space::Epoch, created.id.as_bytes(), created.state.to_bytes());
        self.store.add(&batch)?;
        Ok(created)
    }

    /// Makes and posts the next epoch of a pair. If another device was first, takes its epoch.
    pub(super) async fn rotate(&mut self, user: UserId, reason: Reason) -> Result<(), ClientError> {
        let peer = self.peers.get(&user).cloned().ok_or(ClientError::NoContact)?;
        let newest = peer.newest().ok_or(ClientError::NoContact)?;
        let n = newest.n.checked_add(1).ok_or(ClientError::Unverified(Code::Limit))?;
        let (prev, created_ms) = (newest.id.0, newest.created_ms);
        let created = self.make_epoch(peer, n, prev, reason, created_ms).await?;
        let body = EpochPost { peer: user, epoch: post(&created) };
        match self.send_body(Method::Post, "/v1/epochs", &body).await {
            Ok(_) => self.adopt(user, created.state, false, false),
            Err(error) => {
                if error.is_passing() {
                    return Err(error);
                }
                // Not taken: the keys of an epoch that never was are worth nothing.
                let mut batch = Batch::default();
                batch.delete(Space::Epoch, created.id.as_bytes());
                self.store.add(&batch)?;
                let winner = match &error {
                    ClientError::Refused(problem) if problem.code == ProblemCode::EpochConflict => {
                        problem.header.as_ref().map(Sealed::as_bytes).map(EpochHeader::parse)
                    }
                    _ => None,
                };
                match winner {
                    Some(Ok(header)) if header.id() != created.id => {
                        self.ensure_epoch(user, header.id()).await
                    }
                    _ => Err(error),
                }
            }
        }
    }

    pub(super) fn newest_secret(&self) -> Result<PrekeySecret, StoreError> {
        let newest = self.secrets.iter().find(|secret| secret.id() == self.prekey.id);
        newest.cloned().ok_or(StoreError::Damaged)
    }

    /// Erases the keys of epochs that are closed, and skipped keys that are too old.
    pub(super) fn forget_old_epochs(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now_ms();
        let mut batch = Batch::default();
        for peer in self.peers.values_mut() {
            let newer = |note: &EpochNote, all: &[EpochNote]| {
                all.iter().any(|o| o.n > note.n && o.accepted_ms + CLOSED_AFTER_MS <= now)
            };
            let all = peer.epochs.clone();
            for closed in all.iter().filter(|note| newer(note, &all)) {
                batch.delete(Space::Epoch, closed.id.as_bytes());
                self.epochs.remove(&closed.id);
                peer.epochs.retain(|note| note.id != closed.id);
                batch.put(Space::Peer, peer.user.as_bytes(), to_json(&*peer));
            }
        }
        let kept = self.peers.values().flat_map(|peer| &peer.epochs).map(|note| note.id);
        for id in kept.collect::<Vec<_>>() {
            self.epoch_state(&id)?;
        }
        for (id, state) in &mut self.epochs {
            if state.expire(now) > 0 {
                batch.put(Space::Epoch, id.as_bytes(), state.to_bytes());
            }
        }
        self.store.add(&batch)
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
