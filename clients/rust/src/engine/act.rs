//! What a person does to messages and conversations: edit, remove, react, timers, the own name.
//!
//! An act changes this device's history and enters the outbox in one transaction. Whether it
//! reaches the other side is told like the way of a message.

use hushwire_e2ee::ContentId;
use hushwire_e2ee::content::{BATCH_MAX, EDIT_MAX, NAME_MAX, TEXT_MAX, is_reaction};

use super::Engine;
use super::content::{Found, index, own};
use super::peer::may_send;
use crate::client::{Act, SentBatch};
use crate::error::ClientError;
use crate::message::{Change, Message, ProfileName, Since, Stage};
use crate::outbox::Effect;
use crate::ports::random_bytes;
use crate::record::{OwnProfile, Peer, Timer, place, to_json};
use crate::said::{Id, Item, Said};
use crate::store::{Batch, Space, StoreError};

impl Engine {
    /// Does it here, and puts into the outbox what the other side is to know: `None` if nothing
    /// is.
    pub(super) fn act(
        &mut self,
        handle: &str,
        act: Act,
    ) -> Result<(Option<Id>, Vec<Effect>), ClientError> {
        let peer = self.recipient(handle)?.clone();
        match act {
            Act::Edit { id, text } => self.edit(&peer, id, text),
            Act::Remove { id } => self.remove(&peer, id),
            Act::React { id, symbol } => self.react(&peer, id, symbol),
            Act::Timer { seconds } => self.set_timer(peer, seconds),
        }
    }

    fn edit(
        &mut self,
        peer: &Peer,
        id: Id,
        text: String,
    ) -> Result<(Option<Id>, Vec<Effect>), ClientError> {
        if text.is_empty() || text.len() > EDIT_MAX {
            return Err(ClientError::TextSize { max: EDIT_MAX });
        }
        let (at, message) = self.own_message(peer, id)?;
        let rev = message.since.edit.map_or(0, |edit| edit.rev);
        let rev = rev.checked_add(1).ok_or(ClientError::TooManyEdits)?;
        let said = Said::Edit { target: id, rev, text: text.clone() };
        self.changed(peer, at, message, Change::Edit { rev, text }, said)
    }

    fn remove(&mut self, peer: &Peer, id: Id) -> Result<(Option<Id>, Vec<Effect>), ClientError> {
        let (at, mut message) = self.own_message(peer, id)?;
        if message.since.removed {
            return Err(ClientError::NoMessage);
        }
        let withdrawn = self.outbox.withdraw(&peer.user, &id, self.clock.ticks_ms());
        let mut batch = Batch::default();
        let mut rest = self.stage(withdrawn.effects, &mut batch)?;
        let said = Said::Remove { target: id };
        if !withdrawn.is_unsent {
            // Edits of it that had not left are gone in any case.
            self.store.add(&batch)?;
            let (id, more) = self.changed(peer, at, message, Change::Remove, said)?;
            rest.extend(more);
            return Ok((id, rest));
        }
        message.change(Change::Remove, &self.account.handle, self.account.device);
        message.stage = Some(Stage::Failed);
        self.begin_leaving(&mut message, &mut batch);
        batch.put(Space::History, &at, to_json(&message));
        let mut removal = None;
        if withdrawn.is_known {
            let wall = self.clock.now_ms();
            let (id, more) = self.say(peer, said, wall, &mut batch)?;
            removal = Some(id);
            rest.extend(more);
        }
        self.store.add(&batch)?;
        Ok((removal, rest))
    }

    fn react(
        &mut self,
        peer: &Peer,
        id: Id,
        symbol: String,
    ) -> Result<(Option<Id>, Vec<Effect>), ClientError> {
        if !is_reaction(&symbol) {
            return Err(ClientError::Reaction);
        }
        for author in [peer.user, self.account.user] {
            if let Found::Here(at, message) = self.find(&peer.user, &author, &id)? {
                let said = Said::React { target: id, symbol: symbol.clone() };
                return self.changed(peer, at, *message, Change::React { symbol }, said);
            }
        }
        Err(ClientError::NoMessage)
    }

    fn own_message(&mut self, peer: &Peer, id: Id) -> Result<(Vec<u8>, Message), ClientError> {
        let me = self.account.user;
        if let Found::Here(at, message) = self.find(&peer.user, &me, &id)? {
            return Ok((at, *message));
        }
        match self.find(&peer.user, &peer.user, &id)? {
            Found::Here(..) => Err(ClientError::NotOwn),
            Found::Gone | Found::Not => Err(ClientError::NoMessage),
        }
    }

    /// Changes a message here and says so.
    fn changed(
        &mut self,
        peer: &Peer,
        at: Vec<u8>,
        mut message: Message,
        change: Change,
        said: Said,
    ) -> Result<(Option<Id>, Vec<Effect>), ClientError> {
        let own = own(self.account.user, self.account.device, change);
        if !message.change(own.change, &self.account.handle, own.device) {
            // Removed before, or nothing to take back.
            return Err(ClientError::NoMessage);
        }
        let mut batch = Batch::default();
        if message.since.removed && message.stage.is_some_and(|stage| stage >= Stage::Accepted) {
            self.begin_leaving(&mut message, &mut batch);
        }
        batch.put(Space::History, &at, to_json(&message));
        let wall = self.clock.now_ms();
        let (id, rest) = self.say(peer, said, wall, &mut batch)?;
        self.store.add(&batch)?;
        Ok((Some(id), rest))
    }

    fn set_timer(
        &mut self,
        mut peer: Peer,
        seconds: u32,
    ) -> Result<(Option<Id>, Vec<Effect>), ClientError> {
        // Later than the one that holds, whatever the other side's clock says.
        let at_ms = self.clock.now_ms().max(peer.talk.timer.at_ms.saturating_add(1));
        peer.talk.timer = Timer { seconds, at_ms, by: Some(self.account.device) };
        let mut batch = Batch::default();
        let (id, rest) = self.say(&peer, Said::Timer { seconds }, at_ms, &mut batch)?;
        batch.put(Space::Peer, peer.user.as_bytes(), to_json(&peer));
        self.store.add(&batch)?;
        self.peers.insert(peer.user, peer);
        Ok((Some(id), rest))
    }

    /// Puts a content into the outbox; what it stores goes into `batch`.
    pub(super) fn say(
        &mut self,
        peer: &Peer,
        said: Said,
        sent_ms: u64,
        batch: &mut Batch,
    ) -> Result<(Id, Vec<Effect>), ClientError> {
        let id = self.new_id()?;
        let now = self.clock.ticks_ms();
        let effects = self
            .outbox
            .submit(peer.user, id, said, sent_ms, now)
            .map_err(|_| ClientError::OutboxFull)?;
        Ok((id, self.stage(effects, batch)?))
    }

    fn new_id(&mut self) -> Result<Id, ClientError> {
        Ok(Id(ContentId(random_bytes(self.random.as_mut())?)))
    }

    /// Takes texts into outbox and history, in one transaction: one as a message, more as a batch.
    pub(super) fn submit_texts(
        &mut self,
        handle: &str,
        texts: Vec<(String, Option<Id>)>,
    ) -> Result<(SentBatch, Vec<Effect>), ClientError> {
        let mut peer = self.recipient(handle)?.clone();
        if !(1..=BATCH_MAX).contains(&texts.len()) {
            return Err(ClientError::BatchSize { max: BATCH_MAX });
        }
        let sum: usize = texts.iter().map(|(text, _)| text.len() + 37).sum();
        if texts.iter().any(|(text, _)| text.is_empty() || text.len() > TEXT_MAX)
            || (texts.len() > 1 && sum > TEXT_MAX)
        {
            return Err(ClientError::TextSize { max: TEXT_MAX });
        }
        let wall = self.clock.now_ms();
        let mut items = Vec::with_capacity(texts.len());
        for (text, reply_to) in texts {
            items.push(Item { id: self.new_id()?, said: Said::Text { text, reply_to } });
        }
        let is_batch = items.len() > 1;
        let id = if is_batch { self.new_id()? } else { items[0].id };
        let said = match items.as_slice() {
            [only] => only.said.clone(),
            _ => Said::Batch { items: items.clone() },
        };
        let now = self.clock.ticks_ms();
        let effects = self
            .outbox
            .submit(peer.user, id, said, wall, now)
            .map_err(|_| ClientError::OutboxFull)?;
        let mut batch = Batch::default();
        let mut places = Vec::new();
        let mut sent = SentBatch { id, items: Vec::new() };
        for Item { id, said } in items {
            let Said::Text { text, reply_to } = said else { continue };
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
                from_removed: false,
                since: Since { keep_s: peer.talk.timer.seconds, ..Since::default() },
                missed: 0,
            };
            let at = place(&peer.user, peer.messages);
            peer.messages += 1;
            batch.put(Space::History, &at, to_json(&message));
            let key = index(&self.account.user, &id);
            batch.put(Space::Content, &key, hushwire_e2ee::Zeroizing::new(at.clone()));
            places.extend_from_slice(&at);
            sent.items.push(id);
        }
        if is_batch {
            let key = index(&self.account.user, &id);
            batch.put(Space::Content, &key, hushwire_e2ee::Zeroizing::new(places));
        }
        batch.put(Space::Peer, peer.user.as_bytes(), to_json(&peer));
        let rest = self.stage(effects, &mut batch)?;
        self.store.add(&batch)?;
        self.peers.insert(peer.user, peer);
        Ok((sent, rest))
    }

    /// The name that contacts are to see; it is sent to each, and to later ones when they accept.
    pub(super) fn set_profile(&mut self, name: String) -> Result<(), ClientError> {
        if name.len() > NAME_MAX {
            return Err(ClientError::NameSize { max: NAME_MAX });
        }
        let version = self.profile.version.saturating_add(1);
        let name = (!name.is_empty()).then_some(ProfileName(name));
        let profile = OwnProfile { name, version };
        let mut batch = Batch::default();
        batch.put(Space::Own, b"profile", to_json(&profile));
        self.store.add(&batch)?;
        self.profile = profile;
        Ok(())
    }

    /// Sends the own name to contacts that have not got it.
    pub(super) async fn tell_profile(&mut self) -> Result<(), StoreError> {
        let version = self.profile.version;
        let owes = |peer: &&Peer| {
            let is_talkable = may_send(peer).is_ok() && !peer.unreachable;
            is_talkable && peer.newest().is_some() && peer.talk.told_profile != version
        };
        if version == 0 {
            return Ok(());
        }
        let owed: Vec<Peer> = self.peers.values().filter(owes).cloned().collect();
        for mut peer in owed {
            let mut batch = Batch::default();
            let name = self.profile.name.as_ref().map_or_else(String::new, |name| name.0.clone());
            let said = Said::Profile { name };
            let wall = self.clock.now_ms();
            let rest = match self.say(&peer, said, wall, &mut batch) {
                Ok((_, rest)) => rest,
                Err(ClientError::Store(error)) => return Err(error),
                // A full outbox: at another occasion.
                Err(_) => return Ok(()),
            };
            peer.talk.told_profile = version;
            batch.put(Space::Peer, peer.user.as_bytes(), to_json(&peer));
            self.store.add(&batch)?;
            self.peers.insert(peer.user, peer);
            self.carry_out(rest).await?;
        }
        Ok(())
    }
}
