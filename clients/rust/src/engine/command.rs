//! What a program asks for, one command after the other.

use hushwire_e2ee::ContentId;
use hushwire_e2ee::content::TEXT_MAX;
use hushwire_identity::{contact_link, safety_number};

use super::Engine;
use crate::client::{Account, Command, ContactCard, OutboxStatus, Safety, Waiting};
use crate::error::ClientError;
use crate::ports::random_bytes;
use crate::record::{Message, Point, Stage, Standing, place, to_json};
use crate::said::{Id, Said};
use crate::store::{Batch, Space, StoreError};

impl Engine {
    pub(super) async fn command(&mut self, command: Command) -> Result<(), StoreError> {
        match command {
            Command::Account(reply) => {
                let answer = self.own_account();
                self.reply(reply, answer);
            }
            Command::Ask(link, reply) => {
                let done = self.ask_contact(&link).await;
                self.reply(reply, done);
            }
            Command::Accept(handle, reply) => {
                let done = self.accept_contact(&handle).await;
                self.reply(reply, done);
            }
            Command::Contacts(reply) => {
                let done = self.sync_contacts().await.map(|()| self.contact_cards());
                self.reply(reply, done);
            }
            Command::Safety(handle, reply) => {
                let answer = self.safety(&handle);
                self.reply(reply, answer);
            }
            Command::MarkVerified(handle, reply) => {
                let answer = self.mark_verified(&handle);
                self.reply(reply, answer);
            }
            Command::Send(handle, said, reply) => {
                let sent = self.submit(&handle, said);
                let (answer, effects) = match sent {
                    Ok((id, effects)) => (Ok(id), effects),
                    Err(ClientError::Store(error)) => return Err(error),
                    Err(error) => (Err(error), Vec::new()),
                };
                self.reply(reply, answer);
                self.carry_out(effects).await?;
            }
            Command::History(handle, limit, reply) => {
                let answer = self.history(&handle, limit);
                self.reply(reply, answer);
            }
            Command::Shown(position, reply) => {
                let answer = self.mark_shown(position);
                self.reply(reply, answer);
            }
            Command::Outbox(reply) => {
                let answer = self.outbox_status();
                self.reply(reply, answer);
            }
            // The loop that owns this engine ends with it.
            Command::Close(_) => {}
        }
        Ok(())
    }

    fn own_account(&self) -> Account {
        Account {
            handle: self.account.handle.clone(),
            server: self.account.server.clone(),
            domain: self.account.domain.clone(),
            user: self.account.user,
            device: self.account.device,
            link: contact_link(&self.account.handle, &self.account.domain, &self.account.user),
        }
    }

    fn contact_cards(&self) -> Vec<ContactCard> {
        let mut cards: Vec<_> = self
            .peers
            .values()
            .filter(|peer| peer.standing != Standing::Asked)
            .map(|peer| ContactCard {
                handle: peer.handle.clone(),
                user: Some(peer.user),
                standing: peer.standing,
                verified: peer.is_verified(),
                blocked: peer.forked,
            })
            .collect();
        cards.extend(self.asked.keys().map(|handle| ContactCard {
            handle: handle.clone(),
            user: None,
            standing: Standing::Asked,
            verified: false,
            blocked: false,
        }));
        cards.sort_by(|a, b| a.handle.cmp(&b.handle));
        cards
    }

    fn safety(&self, handle: &str) -> Result<Safety, ClientError> {
        let peer = self.contact(handle)?;
        let log = peer.device_log()?;
        let number = safety_number(&self.log.point(), &log.point());
        Ok(Safety {
            number: number.to_string(),
            own_seq: self.log.seq(),
            peer_seq: log.seq(),
            verified: peer.is_verified(),
        })
    }

    fn mark_verified(&mut self, handle: &str) -> Result<(), ClientError> {
        let mut peer = self.contact(handle)?.clone();
        peer.verified = Some(Point::of(&peer.device_log()?));
        self.put_peer(peer)
    }

    /// Takes a message into outbox and history, in one transaction.
    fn submit(
        &mut self,
        handle: &str,
        said: Said,
    ) -> Result<(Id, Vec<crate::outbox::Effect>), ClientError> {
        let peer = self.contact(handle)?;
        if peer.forked {
            return Err(ClientError::Blocked);
        }
        if let Said::Text { text, .. } = &said
            && (text.is_empty() || text.len() > TEXT_MAX)
        {
            return Err(ClientError::TextSize { max: TEXT_MAX });
        }
        let mut peer = peer.clone();
        let id = Id(ContentId(random_bytes(self.random.as_mut())?));
        let (wall, now) = (self.clock.now_ms(), self.clock.ticks_ms());
        let effects = self
            .outbox
            .submit(peer.user, id, said.clone(), wall, now)
            .map_err(|_| ClientError::OutboxFull)?;
        let mut batch = Batch::default();
        if let Said::Text { text, reply_to } = said {
            let message = Message {
                id,
                peer: peer.user,
                from: self.account.handle.clone(),
                stage: Some(Stage::Waiting),
                text,
                reply_to,
                sent_ms: wall,
                at_ms: wall,
                position: peer.messages,
            };
            let at = place(&peer.user, peer.messages);
            peer.messages += 1;
            batch.put(Space::History, &at, to_json(&message));
            batch.put(Space::Content, &self.own_content(&id), hushwire_e2ee::Zeroizing::new(at));
            batch.put(Space::Peer, peer.user.as_bytes(), to_json(&peer));
        }
        let rest = self.stage(effects, &mut batch)?;
        self.store.add(&batch)?;
        self.peers.insert(peer.user, peer);
        Ok((id, rest))
    }

    fn history(&mut self, handle: &str, limit: usize) -> Result<Vec<Message>, ClientError> {
        let peer = self.contact(handle)?;
        let (user, end) = (peer.user, peer.messages);
        let begin = end.saturating_sub(u64::try_from(limit).unwrap_or(u64::MAX));
        let mut out = Vec::new();
        for position in begin..end {
            out.extend(self.store.record::<Message>(Space::History, &place(&user, position))?);
        }
        Ok(out)
    }

    fn mark_shown(&mut self, message: (hushwire_wire::UserId, u64)) -> Result<(), ClientError> {
        let found = self.unshown.iter().find(|(_, at)| **at == message).map(|(order, _)| *order);
        if let Some(order) = found {
            let mut batch = Batch::default();
            batch.delete(Space::Unshown, &order.to_be_bytes());
            self.store.add(&batch)?;
            self.unshown.remove(&order);
        }
        Ok(())
    }

    fn outbox_status(&self) -> OutboxStatus {
        let mut waiting = Vec::new();
        for (_, entry) in self.outbox.entries() {
            let to = self.name_of(&entry.to);
            waiting.push(Waiting { id: entry.id, to, accepted: entry.accepted });
        }
        OutboxStatus { waiting }
    }
}
