//! What a program asks for, one command after the other.

use hushwire_identity::{Reason, contact_link, safety_number};
use tokio::sync::oneshot;

use super::Engine;
use super::peer::may_send;
use crate::client::{Account, Command, ContactCard, ContactTrouble, OutboxStatus, Safety, Waiting};
use crate::error::ClientError;
use crate::message::Message;
use crate::outbox::Effect;
use crate::record::{Peer, Point, Standing, place, to_json};
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
            Command::Accept(link, reply) => {
                let done = self.accept_contact(&link).await;
                self.reply(reply, done);
            }
            Command::Contacts(reply) => {
                let done = self.sync_contacts().await.map(|()| self.contact_cards());
                self.reply(reply, done);
            }
            Command::Contact(handle, reply) => {
                let answer = self.contact(&handle).map(card);
                self.reply(reply, answer);
            }
            Command::Safety(handle, reply) => {
                let answer = self.safety(&handle);
                self.reply(reply, answer);
            }
            Command::MarkVerified(handle, compared, reply) => {
                let answer = self.mark_verified(&handle, &compared);
                self.reply(reply, answer);
                self.try_again().await?;
            }
            Command::Acknowledge(handle, seq, reply) => {
                let answer = self.acknowledge_devices(&handle, seq);
                self.reply(reply, answer);
                self.try_again().await?;
            }
            Command::RenewKey(handle, reply) => {
                let answer = self.renew_key(&handle).await;
                self.reply(reply, answer);
            }
            Command::Send(handle, said, reply) => {
                let sent = self.submit(&handle, said);
                self.answered(sent, reply).await?;
            }
            Command::Texts(handle, texts, reply) => {
                let sent = self.submit_texts(&handle, texts);
                self.answered(sent, reply).await?;
            }
            Command::Act(handle, act, reply) => {
                let done = self.act(&handle, act);
                self.answered(done, reply).await?;
            }
            Command::Timer(handle, reply) => {
                let timer = self.contact(&handle).map(|peer| peer.talk.timer.seconds);
                self.reply(reply, timer);
            }
            Command::SetProfile(name, reply) => {
                let done = self.set_profile(name);
                self.reply(reply, done);
            }
            Command::Profile(reply) => {
                let name = self.profile.name.clone();
                self.reply(reply, name);
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
            Command::Part(handle, how, reply) => {
                let done = self.part(&handle, how).await;
                self.reply(reply, done);
            }
            Command::Typing(handle, reply) => {
                let done = self.type_to(&handle);
                self.reply(reply, done);
            }
            Command::ShowPresence(to, reply) => {
                let done = self.show_to(&to);
                self.reply(reply, done);
                self.show_due();
            }
            Command::Presence(reply) => {
                let shown = self.shown_to();
                self.reply(reply, shown);
            }
            Command::Sessions(reply) => {
                let done = self.sessions().await;
                self.reply(reply, done);
            }
            Command::EndSession(device, reply) => {
                let done = self.end_session(device).await;
                self.reply(reply, done);
            }
            Command::Export(reply) => {
                let done = self.export().await;
                self.reply(reply, done);
            }
            // The loop that owns this engine ends with these.
            Command::Close(_) | Command::DeleteAccount(_) => {}
        }
        Ok(())
    }

    /// Answers, then carries out what is to be done.
    async fn answered<T: Send + 'static>(
        &mut self,
        done: Result<(T, Vec<Effect>), ClientError>,
        reply: oneshot::Sender<Result<T, ClientError>>,
    ) -> Result<(), StoreError> {
        let (answer, effects) = match done {
            Ok((answer, effects)) => (Ok(answer), effects),
            Err(ClientError::Store(error)) => return Err(error),
            Err(error) => (Err(error), Vec::new()),
        };
        self.reply(reply, answer);
        self.carry_out(effects).await
    }

    /// Takes a content that is no message into the outbox.
    fn submit(&mut self, handle: &str, said: Said) -> Result<(Id, Vec<Effect>), ClientError> {
        let peer = self.recipient(handle)?.clone();
        let mut batch = Batch::default();
        let wall = self.clock.now_ms();
        let (id, rest) = self.say(&peer, said, wall, &mut batch)?;
        self.store.add(&batch)?;
        Ok((id, rest))
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
        let shown = |peer: &&Peer| {
            matches!(peer.standing, Standing::AsksMe | Standing::Active | Standing::Blocked)
        };
        let mut cards: Vec<_> = self.peers.values().filter(shown).map(card).collect();
        cards.extend(self.asked.keys().map(|handle| ContactCard {
            handle: handle.clone(),
            user: None,
            standing: Standing::Asked,
            verified: false,
            blocked: false,
            trouble: None,
            seq: 0,
            verified_seq: None,
            confirmed_ms: 0,
            profile: None,
            timer_s: 0,
        }));
        cards.sort_by(|a, b| a.handle.cmp(&b.handle));
        cards
    }

    fn safety(&self, handle: &str) -> Result<Safety, ClientError> {
        let peer = self.contact(handle)?;
        let log = peer.device_log()?;
        let (own, peer_at) = (self.log.point(), log.point());
        Ok(Safety {
            number: safety_number(&own, &peer_at).to_string(),
            own,
            peer: peer_at,
            verified: peer.is_verified(),
        })
    }

    /// A person compared a number. What either log says since then was not compared.
    fn mark_verified(&mut self, handle: &str, compared: &Safety) -> Result<(), ClientError> {
        let mut peer = self.contact(handle)?.clone();
        let log = peer.device_log()?;
        if (self.log.point(), log.point()) != (compared.own, compared.peer) {
            return Err(ClientError::DevicesMoved);
        }
        peer.verified = Some(Point::of(&log));
        self.seen_by_person(peer)
    }

    /// A person knows of the contact's devices up to an entry, which must be the newest still.
    fn acknowledge_devices(&mut self, handle: &str, seq: u32) -> Result<(), ClientError> {
        let mut peer = self.contact(handle)?.clone();
        if peer.seq() != seq {
            return Err(ClientError::DevicesMoved);
        }
        peer.acknowledged = Some(seq);
        self.seen_by_person(peer)
    }

    fn seen_by_person(&mut self, peer: Peer) -> Result<(), ClientError> {
        self.retries.push(peer.user);
        Ok(self.put_peer(peer)?)
    }

    /// A person wishes a new key (R4).
    async fn renew_key(&mut self, handle: &str) -> Result<(), ClientError> {
        let user = self.recipient(handle)?.user;
        self.sync_contacts().await?;
        self.rotate(user, Reason::Heal).await
    }

    /// The last messages, oldest first. What was erased leaves no trace.
    fn history(&mut self, handle: &str, limit: usize) -> Result<Vec<Message>, ClientError> {
        let peer = self.acquaintance(handle)?;
        let (user, end, now) = (peer.user, peer.messages, self.clock.now_ms());
        let mut out = Vec::new();
        for position in (0..end).rev() {
            if out.len() >= limit {
                break;
            }
            let message = self.store.record::<Message>(Space::History, &place(&user, position))?;
            out.extend(message.filter(|m| m.since.gone_ms.is_none_or(|gone| gone > now)));
        }
        out.reverse();
        Ok(out)
    }

    fn mark_shown(&mut self, message: (hushwire_wire::UserId, u64)) -> Result<(), ClientError> {
        let found = self.unshown.iter().find(|(_, at)| **at == message).map(|(order, _)| *order);
        if let Some(order) = found {
            let mut batch = Batch::default();
            batch.delete(Space::Unshown, &order.to_be_bytes());
            let at = place(&message.0, message.1);
            if let Some(mut shown) = self.store.record::<Message>(Space::History, &at)? {
                self.begin_leaving(&mut shown, &mut batch);
                batch.put(Space::History, &at, to_json(&shown));
            }
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

fn card(peer: &Peer) -> ContactCard {
    ContactCard {
        handle: peer.handle.clone(),
        user: Some(peer.user),
        standing: peer.standing,
        verified: peer.is_verified(),
        blocked: peer.standing == Standing::Active && may_send(peer).is_err(),
        trouble: ContactTrouble::of(peer),
        seq: peer.seq(),
        verified_seq: peer.verified.map(|point| point.seq),
        confirmed_ms: peer.confirmed_ms,
        profile: peer.talk.profile.clone(),
        timer_s: peer.talk.timer.seconds,
    }
}
