//! Encrypting, just before a message leaves: the rotation triggers, then the chain's next step
//! (CRYPTO 5 and 6).

use hushwire_e2ee::{Content, CreateError, EpochState};
use hushwire_identity::{Code, Reason};
use hushwire_wire::{Sealed, UserId};

use super::Engine;
use crate::error::ClientError;
use crate::outbox::{Effect, NotSealed, Sent, Target};
use crate::ports::random_bytes;
use crate::record::Standing;
use crate::store::{Batch, Space, StoreError};

/// After something could not be fetched, in milliseconds.
const AGAIN_MS: u64 = 5_000;

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
        let prev_sent = self.peers.get(&to).map_or(0, |peer| peer.prev_sent);
        let content =
            Content { id: entry.id.0, sent_ms: entry.sent_ms, prev_sent, seen: state.seen(), body };
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

    /// The epoch to send under, after the triggers R1, R2 and R4 were looked at.
    async fn sending_state(&mut self, to: UserId, fresh: bool) -> Result<EpochState, ClientError> {
        if fresh {
            self.refresh_pair(to).await?;
        }
        for attempt in 0..3 {
            let peer = self.peers.get(&to).ok_or(ClientError::NoContact)?;
            if peer.forked {
                return Err(ClientError::Blocked);
            }
            if peer.standing != Standing::Active {
                return Err(ClientError::NotAccepted);
            }
            // A contact whose first epoch could not be fetched yet.
            let missing = ClientError::Unverified(Code::EpochUnknown);
            let note = peer.newest().ok_or(missing)?.clone();
            let state = self.epoch_state(&note.id)?;
            let now = self.clock.now_ms();
            match state {
                Some(state)
                    if !note.stale && !state.is_worn(now) && !self.has_moved(&state, &to) =>
                {
                    return Ok(state);
                }
                // Whoever wins the race for the next one: nothing is sent under such an epoch.
                _ if attempt == 2 => break,
                Some(_) => self.rotate(to, Reason::Age).await?,
                None => self.rotate(to, Reason::Heal).await?,
            }
        }
        Err(ClientError::Unverified(Code::EpochStale))
    }

    fn not_sealed(&mut self, order: u64, error: &ClientError) -> Result<Vec<Effect>, StoreError> {
        let why = match error {
            ClientError::Blocked => NotSealed::Never("changed"),
            ClientError::NoContact | ClientError::NotAccepted => NotSealed::Never("not_contact"),
            ClientError::Epoch(CreateError::PeerStale) => NotSealed::Never("recipient_stale"),
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
