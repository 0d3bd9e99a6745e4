//! What calls for the next epoch of a pair (CRYPTO 5, "Rotation triggers"): R1 to R3 before each
//! send, R4 and E5 at once, with a delay that doubles while the other side goes on making trouble.

use hushwire_e2ee::{EpochState, Party};
use hushwire_identity::Reason;
use hushwire_wire::{EpochId, UserId};

use super::Engine;
use crate::engine::peer::may_send;
use crate::engine::{HealAt, Phase};
use crate::error::ClientError;
use crate::event::{Trouble, trouble};
use crate::record::{Heal, Peer, Standing, Wanted, to_json};
use crate::store::{Batch, Space, StoreError};

/// The delay after the second trouble in a row, in milliseconds; it doubles (CRYPTO 11).
const AGAIN_MS: u64 = 10_000;
/// The longest such delay, in milliseconds: an hour.
const AGAIN_MAX_MS: u64 = 3_600_000;
/// So many troubles in a row are told to the person.
const TROUBLES_TOLD: u32 = 4;
/// A trouble so long after the last is the first of a row again, in milliseconds: a day.
const ROW_MS: u64 = 86_400_000;
/// Pairs that get a new epoch in one turn, at most.
const AT_ONCE: usize = 4;

impl Wanted {
    const fn reason(self) -> Reason {
        match self {
            Self::Devices => Reason::Devices,
            Self::Heal => Reason::Heal,
        }
    }
}

/// How long to wait after so many failures, in milliseconds.
const fn again_after(failures: u32) -> u64 {
    let doubled = AGAIN_MS << if failures < 16 { failures } else { 16 };
    if doubled < AGAIN_MAX_MS { doubled } else { AGAIN_MAX_MS }
}

impl Engine {
    /// Why the next epoch is due before a send, if it is (R1 to R3).
    pub(in crate::engine) fn due(
        &mut self,
        state: &EpochState,
        user: &UserId,
    ) -> Result<Option<Reason>, ClientError> {
        let log = self.log_of(user)?;
        let own = [self.own_record()?];
        let theirs = self.peers.get(user).map(Peer::prekeys).unwrap_or_default();
        let mine = Party { log: &self.log, prekeys: &own };
        let peer = Party { log: &log, prekeys: &theirs };
        Ok(state.due(&mine, Some(&peer), self.clock.now_ms()))
    }

    /// Whether an epoch may be sent under although the next one cannot be made now: its heads are
    /// the newest, and it is not too old (CRYPTO, F4). Why it could not be made may be that nothing
    /// is to be sent any more.
    pub(in crate::engine) fn still_serves(&self, state: &EpochState, user: &UserId) -> bool {
        if self.peers.get(user).is_none_or(|peer| may_send(peer).is_err()) {
            return false;
        }
        let age = self.clock.now_ms().saturating_sub(state.header().created_ms);
        !self.has_moved(state, user) && age < hushwire_e2ee::state::AGE_MAX_MS
    }

    /// What is wanted of a pair's next epoch and may be tried now.
    pub(in crate::engine) fn wanted(&self, user: &UserId) -> Option<Reason> {
        let wanted = self.peers.get(user)?.heal.wanted?;
        let now = self.clock.ticks_ms();
        self.heals.get(user).is_none_or(|heal| heal.at <= now).then(|| wanted.reason())
    }

    /// Whether an epoch is wanted whose time has not come.
    pub(in crate::engine) fn is_delayed(&self, user: &UserId) -> bool {
        let now = self.clock.ticks_ms();
        self.heals.get(user).is_some_and(|heal| heal.at > now)
    }

    /// Something is wrong with the newest epoch: the next one is made at once, or after a delay if
    /// that goes on.
    pub(super) fn want_epoch(&mut self, user: UserId, wanted: Wanted) -> Result<(), ClientError> {
        let now = self.clock.now_ms();
        let Some(peer) = self.peers.get_mut(&user) else { return Ok(()) };
        if peer.standing != Standing::Active || peer.forked {
            return Ok(());
        }
        // Seen again while it is waited for: nothing new.
        if peer.heal.wanted.is_some() && self.heals.contains_key(&user) {
            return Ok(());
        }
        let in_row = now.saturating_sub(peer.heal.last_ms) < ROW_MS;
        let before = if in_row { peer.heal.troubles } else { 0 };
        let troubles = before.saturating_add(1);
        peer.heal = Heal { wanted: Some(wanted), troubles, last_ms: now };
        let delay = before.checked_sub(1).map_or(0, again_after);
        let mut batch = Batch::default();
        batch.put(Space::Peer, user.as_bytes(), to_json(peer));
        let handle = peer.handle.clone();
        self.store.add(&batch)?;
        let at = self.clock.ticks_ms().saturating_add(delay);
        self.heals.insert(user, HealAt { at, failures: 0 });
        if troubles == TROUBLES_TOLD {
            self.tell(trouble(Trouble::Misbehaves, &handle));
        }
        Ok(())
    }

    /// The server has seen a counter of this device before: its chain here is older than what the
    /// device has done, and is not used again.
    pub(in crate::engine) fn is_reused(&mut self, order: u64) -> Result<(), StoreError> {
        let Some(entry) = self.outbox.entry(order) else { return Ok(()) };
        let (user, sent) = (entry.to, entry.sent.as_ref().map(|sent| sent.epoch));
        let Some(peer) = self.peers.get(&user) else { return Ok(()) };
        let mut peer = peer.clone();
        let Some(note) = peer.epochs.iter_mut().find(|note| Some(note.id) == sent) else {
            return Ok(());
        };
        note.stale = true;
        peer.heal.wanted = Some(Wanted::Heal);
        self.put_peer(peer)
    }

    /// Two epochs of one number: told once for each number, healed by the next (E3, FORK).
    pub(super) fn forked(&mut self, user: UserId, n: u32) -> Result<(), ClientError> {
        let Some(peer) = self.peers.get(&user) else { return Ok(()) };
        if peer.fork_told.is_some_and(|told| told >= n) {
            return Ok(());
        }
        let peer = Peer { fork_told: Some(n), ..peer.clone() };
        let words = crate::event::alarm(hushwire_identity::Code::Fork, &peer.handle);
        self.put_peer(peer)?;
        self.tell(words);
        self.want_epoch(user, Wanted::Heal)
    }

    /// An epoch was taken as the pair's newest: if a head in it is older than what is known, it is
    /// superseded at once (E5).
    pub(super) fn judge_newest(&mut self, user: UserId, id: EpochId) -> Result<(), ClientError> {
        let Some(peer) = self.peers.get(&user) else { return Ok(()) };
        let (Some(note), Some(newest)) = (peer.note(&id), peer.newest()) else { return Ok(()) };
        // A server that has lost the newest one says nothing about it.
        if note.n < newest.n {
            return Ok(());
        }
        let is_stale = note.stale;
        self.ahead.remove(&user);
        if !is_stale {
            return self.is_well(user, &id);
        }
        let own = self.log.point();
        let names_own = self
            .state_here(&id)?
            .is_some_and(|state| state.header().a == own || state.header().b == Some(own));
        // For the own log this device is the authority.
        self.want_epoch(user, if names_own { Wanted::Devices } else { Wanted::Heal })
    }

    /// The other side made an epoch that works: a row of troubles is over.
    fn is_well(&mut self, user: UserId, id: &EpochId) -> Result<(), ClientError> {
        let Some(peer) = self.peers.get(&user) else { return Ok(()) };
        if peer.heal.troubles == 0 || peer.heal.wanted.is_some() {
            return Ok(());
        }
        let peer = Peer { heal: Heal::default(), ..peer.clone() };
        let by_peer = self.state_here(id)?.is_some_and(|state| {
            let header = state.header();
            let creator = header.roster.get(usize::from(header.creator));
            creator.is_some_and(|slot| header.user(slot.side) == Some(user))
        });
        if by_peer {
            self.put_peer(peer)?;
        }
        Ok(())
    }

    /// The pair has a new epoch: nothing is wanted any more.
    pub(super) fn has_rotated(&mut self, user: UserId) -> Result<(), ClientError> {
        self.ahead.remove(&user);
        let Some(peer) = self.peers.get(&user) else { return Ok(()) };
        let is_usable = peer.newest().is_some_and(|note| !note.stale && !note.dropped);
        if peer.heal.wanted.is_some() && is_usable {
            let heal = Heal { wanted: None, ..peer.heal };
            self.put_peer(Peer { heal, ..peer.clone() })?;
            self.heals.remove(&user);
        }
        Ok(())
    }

    /// When the next wanted epoch may be made, in ticks.
    pub(in crate::engine) fn heal_wake(&self) -> Option<u64> {
        self.heals.values().map(|heal| heal.at).min()
    }

    /// Makes the epochs that are wanted and due.
    pub(in crate::engine) async fn heal_due(&mut self) -> Result<(), StoreError> {
        let now = self.clock.ticks_ms();
        let due = self.heals.iter().filter(|(_, heal)| heal.at <= now);
        let due = due.map(|(user, heal)| (*user, heal.failures)).take(AT_ONCE);
        for (user, failures) in due.collect::<Vec<_>>() {
            if !matches!(self.phase, Phase::Up(_)) {
                return Ok(());
            }
            let wanted = self.peers.get(&user).and_then(|peer| peer.heal.wanted);
            self.heals.remove(&user);
            let Some(wanted) = wanted else { continue };
            match self.rotate(user, wanted.reason()).await {
                Err(ClientError::Store(error)) => return Err(error),
                // Before the next send, or after the delay, whatever comes first.
                Err(_) if !self.heals.contains_key(&user) => {
                    let at = now.saturating_add(again_after(failures));
                    self.heals.insert(user, HealAt { at, failures: failures.saturating_add(1) });
                }
                _ => {}
            }
        }
        Ok(())
    }
}
