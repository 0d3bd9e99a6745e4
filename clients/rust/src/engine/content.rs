//! What contents mean: messages to be shown, changes of earlier ones, timers, names, receipts.
//!
//! An edit or a removal counts from the user who wrote its target and from nobody else; a
//! reaction from both. A change that comes before its target is kept for it ([`super::early`]). Everything goes into the transaction of the message that said it.

use hushwire_e2ee::{Opened, Received, Zeroizing};
use hushwire_wire::{DeviceId, UserId};

use super::{Engine, REMEMBERED_DAYS};
use crate::event::Event;
use crate::message::{Change, EarlyChange, Held, Message, ProfileName, Reaction, Since, Stage};
use crate::record::{Timer, WaitingMessage, place, to_json};
use crate::said::{Id, Item, Said};
use crate::store::{Batch, Space, StoreError};

/// How far ahead of this clock a timer may claim to be set, in milliseconds: a day. Past it nobody
/// could set another one.
const TIMER_AHEAD_MS: u64 = 86_400_000;
/// In the index of contents: it was here, and disappeared.
pub(super) const GONE: &[u8] = &[0];

/// What an opened content asks for, beside what it has put into the batch already.
#[derive(Default)]
pub(super) struct Meaning {
    /// To be shown, in order.
    pub(super) messages: Vec<Message>,
    /// Changes, and what they change: after the messages are shown.
    pub(super) changes: Vec<(Id, EarlyChange)>,
}

/// Whether a content is in the history.
pub(super) enum Found {
    /// At this place.
    Here(Vec<u8>, Box<Message>),
    /// Not any more.
    Gone,
    /// Not yet.
    Not,
}

impl Engine {
    /// Reads an opened content.
    pub(super) fn content(
        &mut self,
        waiting: &WaitingMessage,
        opened: Opened,
        batch: &mut Batch,
    ) -> Result<Meaning, StoreError> {
        let mut meaning = Meaning::default();
        // Unknown types and mismatches are dropped silently; their counter is used up.
        let Received::Content(content) = opened.content else { return Ok(meaning) };
        let Some(said) = Said::from_body(content.body) else { return Ok(meaning) };
        let (user, device) = (opened.user, opened.device);
        let is_mine = user == self.account.user;
        let handle = self.name_of(&waiting.peer);
        if let Said::Typing { on } = said {
            if !is_mine {
                self.tell(Event::Typing { handle, on });
            }
            return Ok(meaning);
        }
        let id = Id(content.id);
        if !self.is_new(&user, &id, batch)? {
            return Ok(meaning);
        }
        let items = match said {
            Said::Batch { items } => items,
            said => vec![Item { id, said }],
        };
        let is_batch = items.first().is_some_and(|item| item.id != id) || items.len() > 1;
        for Item { id, said } in items {
            // The ids inside a batch are remembered, too.
            if is_batch && !self.is_new(&user, &id, batch)? {
                continue;
            }
            match said {
                Said::Text { text, reply_to } => {
                    let known = meaning.messages.iter().any(|message| message.id == id);
                    if !known {
                        meaning.messages.push(Message {
                            id,
                            peer: waiting.peer,
                            from: self.name(&user),
                            stage: is_mine.then_some(Stage::Sent),
                            text,
                            reply_to,
                            sent_ms: content.sent_ms,
                            at_ms: waiting.at,
                            position: 0,
                            from_removed: false,
                            since: Since::default(),
                            missed: 0,
                        });
                    }
                }
                Said::Edit { target, rev, text } => {
                    let change = Change::Edit { rev, text };
                    meaning.changes.push((target, EarlyChange { user, device, change }));
                }
                Said::Remove { target } => {
                    let change = Change::Remove;
                    meaning.changes.push((target, EarlyChange { user, device, change }));
                }
                Said::React { target, symbol } => {
                    let change = Change::React { symbol };
                    meaning.changes.push((target, EarlyChange { user, device, change }));
                }
                Said::Timer { seconds } => {
                    let at_ms = content.sent_ms.min(self.clock.now_ms() + TIMER_AHEAD_MS);
                    let timer = Timer { seconds, at_ms, by: Some(device) };
                    self.take_timer(&waiting.peer, &user, timer, batch);
                }
                Said::Profile { name } if !is_mine => self.take_profile(&user, name, batch),
                Said::Read { of } if !is_mine => {
                    for id in &of {
                        self.put_stage(*id, Stage::Read, Some(&waiting.peer), batch)?;
                    }
                    self.tell(Event::Read { handle: handle.clone(), of });
                }
                Said::Profile { .. }
                | Said::Read { .. }
                | Said::Delivered { .. }
                | Said::Typing { .. }
                | Said::Batch { .. } => {}
            }
        }
        Ok(meaning)
    }

    /// Whether a content was not received before; it is remembered from now on.
    fn is_new(&mut self, user: &UserId, id: &Id, batch: &mut Batch) -> Result<bool, StoreError> {
        let key = index(user, id);
        if self.store.has(Space::Content, &key)? {
            return Ok(false);
        }
        batch.put_until(Space::Content, &key, self.today() + REMEMBERED_DAYS, Vec::new());
        Ok(true)
    }

    fn take_timer(&mut self, peer: &UserId, user: &UserId, timer: Timer, batch: &mut Batch) {
        let by = self.name(user);
        let Some(peer) = self.peers.get_mut(peer) else { return };
        if peer.talk.timer.take(timer) {
            batch.put(Space::Peer, peer.user.as_bytes(), to_json(&*peer));
            let handle = peer.handle.clone();
            self.tell(Event::TimerSet { handle, by, seconds: timer.seconds });
        }
    }

    fn take_profile(&mut self, user: &UserId, name: String, batch: &mut Batch) {
        let Some(peer) = self.peers.get_mut(user) else { return };
        peer.talk.profile = (!name.is_empty()).then_some(ProfileName(name));
        batch.put(Space::Peer, peer.user.as_bytes(), to_json(&*peer));
        let (handle, name) = (peer.handle.clone(), peer.talk.profile.clone());
        self.tell(Event::Profile { handle, name });
    }

    /// The username of either user of a conversation.
    pub(super) fn name(&self, user: &UserId) -> String {
        if *user == self.account.user { self.account.handle.clone() } else { self.name_of(user) }
    }

    /// Puts messages of one content at the end of their conversation, to be told.
    pub(super) fn show(
        &mut self,
        messages: Vec<Message>,
        mut order: u64,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        for (i, message) in messages.into_iter().enumerate() {
            if i > 0 {
                order = self.new_order();
            }
            self.show_one(message, order, batch)?;
        }
        Ok(())
    }

    fn show_one(
        &mut self,
        mut message: Message,
        order: u64,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let is_mine = message.stage.is_some();
        let author = if is_mine { self.account.user } else { message.peer };
        for early in self.take_early(&message.peer, &message.id)? {
            if early.user == author || matches!(early.change, Change::React { .. }) {
                let from = self.name(&early.user);
                message.change(early.change, &from, early.device);
            }
        }
        let Some(peer) = self.peers.get_mut(&message.peer) else { return Ok(()) };
        message.position = peer.messages;
        message.since.keep_s = peer.talk.timer.seconds;
        peer.messages += 1;
        batch.put(Space::Peer, peer.user.as_bytes(), to_json(&*peer));
        let at = place(&message.peer, message.position);
        if is_mine || message.since.removed {
            self.begin_leaving(&mut message, batch);
        } else {
            batch.put(Space::Unshown, &order.to_be_bytes(), Zeroizing::new(at.clone()));
            self.unshown.insert(order, (message.peer, message.position));
        }
        batch.put(Space::History, &at, to_json(&message));
        batch.put(Space::Content, &index(&author, &message.id), Zeroizing::new(at));
        Ok(())
    }

    /// Shows what was held behind a gap.
    pub(super) fn release(&mut self, orders: Vec<u64>) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for order in orders {
            let key = order.to_be_bytes();
            if let Some(held) = self.store.record::<Held>(Space::Held, &key)? {
                // It is told after what was shown meanwhile.
                let order = self.new_order();
                self.show(held.messages, order, &mut batch)?;
                batch.delete(Space::Held, &key);
            }
        }
        self.store.add(&batch)
    }

    /// A message of the conversation with `peer` that `author` wrote.
    pub(super) fn find(
        &mut self,
        peer: &UserId,
        author: &UserId,
        id: &Id,
    ) -> Result<Found, StoreError> {
        let Some(at) = self.store.get(Space::Content, &index(author, id))? else {
            return Ok(Found::Not);
        };
        if at.is_empty() {
            // Behind a gap, or nothing that can be changed.
            return Ok(Found::Not);
        }
        match self.store.record::<Message>(Space::History, &at)? {
            Some(message) if message.id == *id && message.peer == *peer => {
                Ok(Found::Here(at.to_vec(), Box::new(message)))
            }
            _ => Ok(Found::Gone),
        }
    }

    /// Changes the message that a content names, or keeps the change until that comes.
    pub(super) fn take_change(
        &mut self,
        peer: &UserId,
        target: Id,
        early: EarlyChange,
    ) -> Result<(), StoreError> {
        let both = [self.account.user, *peer];
        let authors = match early.change {
            Change::React { .. } => &both[..],
            Change::Edit { .. } | Change::Remove => std::slice::from_ref(&early.user),
        };
        for author in authors {
            match self.find(peer, author, &target)? {
                Found::Here(at, message) => return self.change(&at, *message, early),
                Found::Gone => return Ok(()),
                Found::Not => {}
            }
        }
        self.keep_early(peer, &target, early)
    }

    fn change(
        &mut self,
        at: &[u8],
        mut message: Message,
        early: EarlyChange,
    ) -> Result<(), StoreError> {
        let by = self.name(&early.user);
        if !message.change(early.change.clone(), &by, early.device) {
            return Ok(());
        }
        // What was not told yet is told as it stands then, and a removed one never.
        let is_here = (message.peer, message.position);
        let unshown = self.unshown.iter().find(|(_, at)| **at == is_here).map(|(order, _)| *order);
        let is_untold = unshown.is_some_and(|order| order > self.told);
        let mut batch = Batch::default();
        if message.since.removed {
            if let Some(order) = unshown {
                batch.delete(Space::Unshown, &order.to_be_bytes());
                self.unshown.remove(&order);
            }
            self.begin_leaving(&mut message, &mut batch);
        }
        batch.put(Space::History, at, to_json(&message));
        self.store.add(&batch)?;
        if !is_untold {
            let handle = self.name_of(&message.peer);
            let id = message.id;
            self.tell(match early.change {
                Change::Edit { .. } => Event::Edited(message),
                Change::Remove => Event::Removed { handle, id },
                Change::React { symbol } => {
                    Event::Reacted { handle, id, reaction: Reaction { from: by, symbol } }
                }
            });
        }
        Ok(())
    }
}

/// The key of a content: by its author, or for early changes by the conversation.
pub(super) fn index(user: &UserId, id: &Id) -> Vec<u8> {
    [user.as_bytes().as_slice(), id.0.as_bytes()].concat()
}

/// A change that this device makes.
pub(super) fn own(user: UserId, device: DeviceId, change: Change) -> EarlyChange {
    EarlyChange { user, device, change }
}
