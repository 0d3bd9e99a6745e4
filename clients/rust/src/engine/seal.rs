//! Encrypting, just before a message leaves: the rotation triggers, then the chain's next step
//! (CRYPTO 5 and 6).

use hushwire_e2ee::{Content, EpochState};
use hushwire_identity::{Code, Reason};
use hushwire_wire::message::Class;
use hushwire_wire::{Sealed, UserId};

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
        let state = match self.sending_state(to, fresh).await {
            Ok(state) => state,
            Err(ClientError::Store(error)) => return Err(error),
            Err(error) => return self.not_sealed(order, &error),
        };
        let Some(entry) = self.outbox.entry(order) else { return Ok(Vec::new()) };
        let body = entry.said.to_body();
        let (class, lane) = body.class_and_lane();
        // Counts of what was received ride on what a person does: what a program answers by
        // itself could be used to probe (CRYPTO 6).
        let seen = if class == Class::Control { Vec::new() } else { state.seen() };
        let note = self.peers.get(&to).and_then(|peer| peer.note(&state.id()));
        let prev_sent = note.map_or(0, |note| note.prev_sent);
        let content = Content { id: entry.id.0, sent_ms: entry.sent_ms, prev_sent, seen, body };
        let mut next = state;
        let sealed = random_bytes(self.random.as_mut())
            .map_err(StoreError::Random)
            .map(|random| next.seal(class, lane, &content, random))?;
        let now = self.clock.ticks_ms();
        let effects = match sealed {
            Ok(sealed) => {
                let sent = Sent {
                    mid: sealed.mid,
                    upload: Sealed::new(sealed.upload),
                    epoch: next.id(),
                    targets: targets(&next, &to),
                };
                self.outbox.sealed(order, sent, now)
            }
            Err(_) => self.outbox.not_sealed(order, NotSealed::Never("too_large"), now),
        };
        let mut batch = Batch::default();
        batch.put(Space::Epoch, next.id().as_bytes(), next.to_bytes());
        let rest = self.stage(effects, &mut batch)?;
        self.store.add(&batch)?;
        self.epochs.insert(next.id(), next);
        Ok(rest)
    }

    /// The epoch to send under, after the triggers R1 to R4 were looked at.
    async fn sending_state(&mut self, to: UserId, fresh: bool) -> Result<EpochState, ClientError> {
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
            let state = if note.dropped { None } else { self.epoch_state(&note.id)? };
            let usable = state.filter(|_| !note.stale && !self.ahead.contains_key(&to));
            let due = match &usable {
                Some(state) => self.due(state, &to)?,
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
                (Err(_), Some(state)) if self.still_serves(&state, &to) => return Ok(state),
                (Err(error), _) => return Err(error),
            }
        }
        Err(ClientError::Unverified(Code::EpochStale))
    }

    fn not_sealed(&mut self, order: u64, error: &ClientError) -> Result<Vec<Effect>, StoreError> {
        let why = match error {
            ClientError::Blocked | ClientError::Changed => NotSealed::Never("changed"),
            ClientError::NoContact | ClientError::NotAccepted => NotSealed::Never("not_contact"),
            ClientError::PeerStale => NotSealed::Later(STALE_AGAIN_MS),
            ClientError::Unacknowledged => NotSealed::Later(UNSEEN_AGAIN_MS),
            ClientError::Refused(problem) => {
                NotSealed::Later(problem.retry_after_ms.unwrap_or(0).max(AGAIN_MS))
            }
            _ => NotSealed::Later(AGAIN_MS),
        };
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
