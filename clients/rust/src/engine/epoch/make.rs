//! Making an epoch: after a look at the other side's log and prekeys, stored before it is posted,
//! used only once the server has it. If another device was first, that one is taken (CRYPTO 5,
//! "CAS").

use hushwire_e2ee::{CreateError, Created, NewEpoch, Party};
use hushwire_identity::{Code, EpochHeader, Reason};
use hushwire_wire::http::{Contacts, EpochPost, ProblemCode};
use hushwire_wire::{EpochId, Sealed, UserId};

use super::{Engine, Marks, post};
use crate::engine::Ahead;
use crate::error::ClientError;
use crate::store::{Batch, Space, StoreError};
use crate::transport::Method;

/// Attempts to post the next epoch, each after what stands was looked at.
const ATTEMPTS: usize = 3;

impl Engine {
    /// Makes an epoch after fetching and verifying the other side's log and prekeys. What was
    /// learned and the keys are stored before anybody hears of them: a creator has no wrap of its
    /// own. The time is not before `not_before_ms`.
    pub(in crate::engine) async fn make_epoch(
        &mut self,
        user: UserId,
        n: u32,
        prev: [u8; 32],
        reason: Reason,
        not_before_ms: u64,
    ) -> Result<Created, ClientError> {
        // A machine that slept may have passed the time at which it is renewed.
        if self.is_prekey_due()? {
            self.renew_prekey().await?;
        }
        let prekeys = self.fetch_prekeys(user, true).await?;
        let log = self.log_of(&user)?;
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
        let created = hushwire_e2ee::create(&new, &mut |out: &mut [u8]| random.fill(out));
        let created = match created {
            Err(CreateError::PeerStale) => {
                self.judge_reach(user)?;
                return Err(ClientError::PeerStale);
            }
            created => created.map_err(ClientError::Epoch)?,
        };
        let mut batch = Batch::default();
        batch.put(Space::Epoch, created.id.as_bytes(), created.state.to_bytes());
        self.store.add(&batch)?;
        // Until it is noted that the server has it.
        self.orphans.push(created.id);
        Ok(created)
    }

    /// The newest epoch that the server is known to have for a pair, usable here or not.
    fn standing_epoch(&self, user: &UserId) -> Result<Ahead, ClientError> {
        let newest = self.peers.get(user).and_then(|peer| peer.newest());
        let newest = newest.ok_or(ClientError::Unverified(Code::EpochUnknown))?;
        let newest = Ahead { n: newest.n, id: newest.id, created_ms: newest.created_ms };
        let ahead = self.ahead.get(user).filter(|ahead| ahead.n > newest.n);
        Ok(ahead.copied().unwrap_or(newest))
    }

    /// Makes and posts the next epoch of a pair. If another device was first, takes its epoch.
    pub(in crate::engine) async fn rotate(
        &mut self,
        user: UserId,
        reason: Reason,
    ) -> Result<(), ClientError> {
        let mut last = ClientError::Unverified(Code::EpochConflict);
        let mut stands = None;
        for _ in 0..ATTEMPTS {
            let newest = self.standing_epoch(&user)?;
            // Of siblings, the one that the server has: recipients take either.
            let before = stands.take().filter(|sibling: &Ahead| sibling.n == newest.n);
            let before = before.unwrap_or(newest);
            let n = before.n.checked_add(1).ok_or(ClientError::Unverified(Code::Limit))?;
            let made = self.make_epoch(user, n, before.id.0, reason, before.created_ms).await;
            let created = made?;
            let body = EpochPost { peer: user, epoch: post(&created) };
            let error = match self.send_body(Method::Post, "/v1/epochs", &body).await {
                Ok(_) => {
                    self.adopt(user, created.state, Marks::default())?;
                    return self.has_rotated(user);
                }
                Err(error) => error,
            };
            // Only a refusal says that it does not stand: else its keys stay until the server's
            // epochs were looked at.
            if error.is_passing() || !matches!(error, ClientError::Refused(_)) {
                return Err(error);
            }
            if has_moved_on(&error) {
                self.look_again(created.id).await?;
                last = error;
                continue;
            }
            self.forget_epoch(created.id)?;
            match error.problem() {
                Some(ProblemCode::EpochConflict) => {
                    let ClientError::Refused(problem) = &error else { return Err(error) };
                    let header = problem.header.as_ref().map(Sealed::as_bytes);
                    let winner = header.and_then(|bytes| EpochHeader::parse(bytes).ok());
                    let Some(winner) = winner.filter(|winner| winner.id() != created.id) else {
                        return Err(error);
                    };
                    self.ahead.remove(&user);
                    let is_new = !self.peers.get(&user).is_some_and(|p| p.knows(&winner.id()));
                    let (n, id, created_ms) = (winner.n, winner.id(), winner.created_ms);
                    stands = Some(Ahead { n, id, created_ms });
                    match self.follow_epoch(user, winner.id()).await {
                        Ok(()) if is_new => return self.has_rotated(user),
                        Err(error) if !self.ahead.contains_key(&user) => return Err(error),
                        _ => {}
                    }
                }
                _ => return Err(error),
            }
            last = error;
        }
        Err(last)
    }

    /// The server did not take an epoch: the keys of one that never was are worth nothing.
    fn forget_epoch(&mut self, id: EpochId) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.delete(Space::Epoch, id.as_bytes());
        self.orphans.retain(|orphan| *orphan != id);
        self.epochs.remove(&id);
        self.store.add(&batch)
    }

    /// After [`has_moved_on`]: forgets the epoch, and makes sure that the own prekey stands.
    pub(in crate::engine) async fn look_again(&mut self, id: EpochId) -> Result<(), ClientError> {
        self.forget_epoch(id)?;
        self.put_here = false;
        self.renew_prekey().await
    }

    /// Looks for the pair's newest epoch; makes the next one if the server has none newer.
    pub(in crate::engine) async fn refresh_pair(
        &mut self,
        user: UserId,
    ) -> Result<(), ClientError> {
        let Contacts { contacts, .. } = self.get("/v1/contacts".to_owned()).await?;
        let newest = contacts.iter().find(|c| c.peer == user).and_then(|c| c.newest);
        let newest: EpochId = newest.ok_or(ClientError::NoContact)?.epoch;
        let known = self.peers.get(&user).ok_or(ClientError::NoContact)?;
        if !known.knows(&newest) {
            return self.follow_epoch(user, newest).await;
        }
        self.rotate(user, Reason::Devices).await
    }
}

/// A head or a prekey moved on between the look and the post: another look, and the next attempt
/// will do.
pub(in crate::engine) fn has_moved_on(error: &ClientError) -> bool {
    matches!(error.problem(), Some(ProblemCode::EpochStale | ProblemCode::EpochRoster))
}
