//! Encrypting, just before a message leaves: the rotation triggers, then the chain's next step
//! (CRYPTO 5 and 6).

use hushwire_e2ee::{Content, EpochState};
use hushwire_identity::{Code, Reason};
use hushwire_wire::http::ProblemCode;
use hushwire_wire::message::Class;
use hushwire_wire::{EpochId, Sealed, UserId};

use super::Engine;
use super::peer::may_send;
use crate::error::ClientError;
use crate::outbox::{Effect, NotSealed, Sent, Target};
use crate::ports::random_bytes;
use crate::store::{Batch, Space, StoreError};

/// After something could not be fetched, in milliseconds.
const AGAIN_MS: u64 = 5_000;
/// While no device of the recipient is reachable, in milliseconds: 12 h. News of a prekey comes
/// before.
const STALE_AGAIN_MS: u64 = 12 * 3_600_000;
/// While a person has to acknowledge something, in milliseconds. Doing so comes before.
const UNSEEN_AGAIN_MS: u64 = 3_600_000;
/// Epochs that are looked at for one message.
const ATTEMPTS: usize = 3;

impl Engine {
    /// Encrypts an entry: the chain's step, the counter and the bytes in one transaction. Gives
    /// what is to be done next; nothing of it is to be stored any more.
    pub(super) async fn seal(
        &mut self,
        order: u64,
        fresh: bool,
    ) -> Result<Vec<Effect>, StoreError> {
        let Some(to) = self.outbox.entry(order).map(|entry| entry.to) else {
            return Ok(Vec::new());
        };
        let id = match self.sending_epoch(to, fresh).await {
            Ok(id) => id,
            Err(ClientError::Store(error)) => return Err(error),
            Err(error) => return self.not_sealed(order, &error),
        };
        let random = random_bytes(self.random.as_mut()).map_err(StoreError::Random)?;
        let Some(entry) = self.outbox.entry(order) else { return Ok(Vec::new()) };
        let note = self.peers.get(&to).and_then(|peer| peer.note(&id));
        let prev_sent = note.map_or(0, |note| note.prev_sent);
        let body = entry.said.to_body();
        let (class, lane) = body.class_and_lane();
        // The one copy of these keys in memory: a refusal leaves it as it was.
        let Some(next) = self.epochs.get_mut(&id) else { return Err(StoreError::Damaged) };
        // Counts of what was received ride on what a person does: what a program answers by
        // itself could be used to probe (CRYPTO 6).
        let seen = if class == Class::Control { Vec::new() } else { next.seen() };
        let content = Content { id: entry.id.0, sent_ms: entry.sent_ms, prev_sent, seen, body };
        let sealed = next.seal(class, lane, &content, random);
        let mut batch = Batch::default();
        batch.put(Space::Epoch, id.as_bytes(), next.to_bytes());
        let targets = targets(next, &to);
        let now = self.clock.ticks_ms();
        let effects = match sealed {
            Ok(sealed) => {
                let sent = Sent {
                    mid: sealed.mid,
                    upload: Sealed::new(sealed.upload),
                    epoch: id,
                    targets,
                };
                self.outbox.sealed(order, sent, now)
            }
            Err(_) => self.outbox.not_sealed(order, NotSealed::Never("too_large"), now),
        };
        let rest = self.stage(effects, &mut batch)?;
        self.store.add(&batch)?;
        Ok(rest)
    }

    /// The epoch to send under, after the triggers R1 to R4 were looked at.
    /// Its keys are in memory then.
    async fn sending_epoch(&mut self, to: UserId, fresh: bool) -> Result<EpochId, ClientError> {
        may_send(self.peers.get(&to).ok_or(ClientError::NoContact)?)?;
        self.check_current().await?;
        if fresh && self.wanted(&to).is_none() {
            self.refresh_pair(to).await?;
        }
        match self.look_up(to).await {
            // What is known already may do.
            Err(error) if error.is_passing() => {}
            done => done?,
        }
        for attempt in 0..ATTEMPTS {
            let peer = self.peers.get(&to).ok_or(ClientError::NoContact)?;
            may_send(peer)?;
            // A contact whose first epoch could not be fetched yet.
            let missing = ClientError::Unverified(Code::EpochUnknown);
            let note = peer.newest().ok_or(missing)?.clone();
            let is_here = !note.dropped && self.state_here(&note.id)?.is_some();
            let is_usable = is_here && !note.stale && !self.ahead.contains_key(&to);
            let usable = is_usable.then_some(note.id);
            let due = match usable {
                Some(id) => self.due_of(id, &to)?,
                None => None,
            };
            let reason = match (self.wanted(&to), &usable) {
                (Some(wanted), _) => Some(wanted),
                (None, Some(_)) => due,
                // Its turn comes by itself: trying again at once is what the delay forbids.
                (None, None) if self.is_delayed(&to) => break,
                (None, None) => Some(Reason::Heal),
            };
            let Some(reason) = reason else {
                return usable.ok_or(ClientError::Unverified(Code::EpochStale));
            };
            // Whoever wins the race for the next one: nothing is sent under a stale epoch.
            if attempt + 1 == ATTEMPTS {
                break;
            }
            match (self.rotate(to, reason).await, usable) {
                (Ok(()), _) => {}
                (Err(ClientError::Store(error)), _) => return Err(ClientError::Store(error)),
                (Err(_), Some(id)) if self.still_serves_here(&id, &to) => return Ok(id),
                (Err(error), _) => return Err(error),
            }
        }
        Err(ClientError::Unverified(Code::EpochStale))
    }

    /// As [`Self::due`], of an epoch whose keys are in memory.
    pub(super) fn due_of(
        &mut self,
        id: EpochId,
        to: &UserId,
    ) -> Result<Option<Reason>, ClientError> {
        let Some(state) = self.epochs.remove(&id) else { return Ok(None) };
        let due = self.due(&state, to);
        self.epochs.insert(id, state);
        due
    }

    fn still_serves_here(&self, id: &EpochId, to: &UserId) -> bool {
        self.epochs.get(id).is_some_and(|state| self.still_serves(state, to))
    }

    fn not_sealed(&mut self, order: u64, error: &ClientError) -> Result<Vec<Effect>, StoreError> {
        let to = self.outbox.entry(order).map(|entry| entry.to);
        let is_refused = to.and_then(|to| self.peers.get(&to)).is_some_and(|peer| peer.refused);
        let is_not_there = error.problem() == Some(ProblemCode::NotFound);
        let why = match error {
            // Neither is the contact listed: the same as a reject.
            ClientError::Refused(_) if is_not_there && is_refused => {
                NotSealed::Never("not_contact")
            }
            ClientError::Blocked | ClientError::Changed => NotSealed::Never("changed"),
            ClientError::NoContact | ClientError::NotAccepted => NotSealed::Never("not_contact"),
            ClientError::PeerStale => NotSealed::Later(STALE_AGAIN_MS),
            ClientError::Unacknowledged => NotSealed::Later(UNSEEN_AGAIN_MS),
            ClientError::Refused(problem) => {
                NotSealed::Later(problem.retry_after_ms.unwrap_or(0).max(AGAIN_MS))
            }
            _ => NotSealed::Later(AGAIN_MS),
        };
        // The list says whether the contact has ended; the next attempt knows it.
        self.looks_again |= is_not_there;
        let now = self.clock.ticks_ms();
        let effects = self.outbox.not_sealed(order, why, now);
        let mut batch = Batch::default();
        let rest = self.stage(effects, &mut batch)?;
        self.store.add(&batch)?;
        Ok(rest)
    }
}

fn targets(state: &EpochState, peer: &UserId) -> Vec<Target> {
    let header = state.header();
    let slots = header.targets(state.me());
    slots
        .map(|slot| Target {
            device: slot.device,
            is_peer: header.user(slot.side).as_ref() == Some(peer),
        })
        .collect()
}
