//! The end of contacts: by this user, and as it shows when the other side or the server ends one.
//!
//! What this user ends is erased here when the server has done it: keys, what waits to be sent,
//! what nobody has looked at. The history stays. That the server takes nothing for a contact is
//! believed as far as it says so, and erases nothing: it may lie, or the contact may come back.

use hushwire_wire::UserId;
use hushwire_wire::http::{ContactDecline, ContactPeer};

use super::Engine;
use crate::client::Parting;
use crate::error::ClientError;
use crate::event::{Trouble, trouble};
use crate::record::{Peer, Standing};
use crate::store::{Batch, Space, StoreError};
use crate::transport::Method;

impl Engine {
    /// Ends a contact or a request, or lets somebody ask again.
    pub(super) async fn part(&mut self, handle: &str, how: Parting) -> Result<(), ClientError> {
        match how {
            Parting::Decline => {
                self.sync_contacts().await?;
                let asking = self.asks_me(handle, None)?.ok_or(ClientError::NobodyAsks)?;
                let (user, request_id) = (asking.user, asking.request);
                let body = ContactDecline { request_id };
                self.send_body(Method::Post, "/v1/contacts/decline", &body).await?;
                self.parted(user, Standing::Removed).await
            }
            Parting::Remove => match self.whom(handle, &[Standing::Active]) {
                Some(user) => self.part_with(user, "remove", Standing::Removed).await,
                None => self.take_back(handle),
            },
            Parting::Block => {
                if self.whom(handle, &[Standing::Active, Standing::AsksMe]).is_none() {
                    self.sync_contacts().await?;
                }
                let all = [Standing::Active, Standing::AsksMe, Standing::Removed];
                let user = self.whom(handle, &all).ok_or(ClientError::NoContact)?;
                self.part_with(user, "block", Standing::Blocked).await
            }
            Parting::Unblock => {
                let user = self.whom(handle, &[Standing::Blocked]);
                let user = user.ok_or(ClientError::NotBlocked)?;
                self.part_with(user, "unblock", Standing::Removed).await
            }
        }
    }

    /// Who has this name, the first standing before the others.
    fn whom(&self, handle: &str, standings: &[Standing]) -> Option<UserId> {
        let of = |standing: &Standing| {
            let is = |peer: &&Peer| peer.handle == handle && peer.standing == *standing;
            self.peers.values().find(is).map(|peer| peer.user)
        };
        standings.iter().find_map(of)
    }

    async fn part_with(
        &mut self,
        peer: UserId,
        act: &str,
        standing: Standing,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/contacts/{act}");
        self.send_body(Method::Post, &path, &ContactPeer { peer }).await?;
        self.parted(peer, standing).await
    }

    /// Forgets an own request that nobody has answered. The server keeps it for its time.
    fn take_back(&mut self, handle: &str) -> Result<(), ClientError> {
        if self.asked.remove(handle).is_none() {
            return Err(ClientError::NoContact);
        }
        let mut batch = Batch::default();
        batch.delete(Space::Asked, handle.as_bytes());
        Ok(self.store.add(&batch)?)
    }

    /// This user has ended a contact: what is left of it here, in one transaction.
    pub(super) async fn parted(
        &mut self,
        user: UserId,
        standing: Standing,
    ) -> Result<(), ClientError> {
        let Some(peer) = self.peers.get(&user) else { return Ok(()) };
        let is_nothing = peer.messages == 0 && peer.verified.is_none() && !peer.forked;
        let is_forgotten = peer.standing == Standing::AsksMe && is_nothing;
        let handle = peer.handle.clone();
        let now = self.clock.ticks_ms();
        let effects = self.outbox.part(&user, now);
        let mut batch = Batch::default();
        let rest = self.stage(effects, &mut batch)?;
        let unshown = self.unshown.iter().filter(|(_, (peer, _))| *peer == user);
        for order in unshown.map(|(order, _)| *order).collect::<Vec<_>>() {
            batch.delete(Space::Unshown, &order.to_be_bytes());
            self.unshown.remove(&order);
        }
        batch.delete(Space::Asked, handle.as_bytes());
        self.asked.remove(&handle);
        self.store.add(&batch)?;
        self.end_keys(user, standing)?;
        if is_forgotten && standing == Standing::Removed {
            self.forget(&user)?;
        }
        self.presence_changed();
        Ok(self.carry_out(rest).await?)
    }

    /// The server takes nothing for a contact, or does again. Told once.
    pub(super) fn takes(&mut self, user: &UserId, takes: bool) -> Result<(), StoreError> {
        let active = |peer: &&Peer| peer.standing == Standing::Active && peer.refused == takes;
        let Some(peer) = self.peers.get(user).filter(active).cloned() else { return Ok(()) };
        let handle = peer.handle.clone();
        self.put_peer(Peer { refused: !takes, ..peer })?;
        if !takes {
            self.tell(trouble(Trouble::Refused, &handle));
        }
        self.presence_changed();
        Ok(())
    }
}
