//! Receiving (DELIVERY, "Receiving"; CRYPTO 6, "Receive"): known ones are dropped, unknown epochs
//! fetched, failures named; chains, plaintext and marks go into one transaction before the ack.

use hushwire_e2ee::state::SKIPPED_MAX;
use hushwire_e2ee::{Body, EpochState, Opened, Received};
use hushwire_identity::{Code, DeviceLog};
use hushwire_wire::frame;
use hushwire_wire::message::{Delivered, LANE_DURABLE};
use hushwire_wire::{DeviceId, EpochId, Mid, UserId};

use super::{Engine, REMEMBERED_DAYS};
use crate::error::ClientError;
use crate::inbox::Chain;
use crate::message::Held;
use crate::record::{Peer, Standing, WaitingMessage, to_json};
use crate::store::{Batch, Space, StoreError};

/// Messages that wait for their epoch, at most; past it they fail as `EPOCH_UNKNOWN`.
const WAITING_MAX: usize = 1_000;
/// How exactly the time of evidence is stored, in milliseconds: an hour.
const CONFIRMED_TO_MS: u64 = 3_600_000;
/// How many days they wait (CRYPTO 6).
const WAITING_DAYS: u32 = 7;

/// Persisted, or why it could not be read.
type Outcome = Result<(), Code>;

impl Engine {
    /// Takes one message: persisted when this returns, or failed by a code.
    pub(super) async fn message(&mut self, message: frame::Message) -> Result<Outcome, StoreError> {
        let Ok(parsed) = Delivered::parse(message.msg.as_bytes()) else {
            return Ok(Err(Code::BadContent));
        };
        let (epoch, mid) = (parsed.header.epoch, parsed.header.mid);
        if self.store.has(Space::Mid, &mark(&message.from_device, &mid))? {
            return Ok(Ok(()));
        }
        let waiting = WaitingMessage {
            at: message.at,
            peer: message.peer,
            from_user: message.from_user,
            from_device: message.from_device,
            msg: message.msg,
        };
        let note = |engine: &Self| {
            engine.peers.get(&waiting.peer).and_then(|peer| peer.note(&epoch).cloned())
        };
        let knows = |engine: &Self| note(engine).is_some();
        let is_replaced = |peer: &Peer| peer.standing == Standing::Replaced;
        // What is still on its way from somebody with whom this user has parted goes unread, and
        // nobody is told that it was looked at.
        let is_parted =
            |peer: &Peer| matches!(peer.standing, Standing::Removed | Standing::Blocked);
        if self.peers.get(&waiting.peer).is_some_and(is_parted) {
            return Ok(Ok(()));
        }
        if note(self).is_some_and(|note| note.dropped)
            || self.peers.get(&waiting.peer).is_some_and(is_replaced)
        {
            return Ok(Err(Code::EpochUnknown));
        }
        if !knows(self) {
            // The news of a contact may be behind its first message.
            let fetched = if self.peers.contains_key(&waiting.peer) {
                self.ensure_epoch(waiting.peer, epoch).await
            } else {
                self.sync_contacts().await
            };
            match fetched {
                Ok(()) if knows(self) => {}
                Err(ClientError::Store(error)) => return Err(error),
                Err(ClientError::Unverified(code)) if code != Code::EpochUnknown => {
                    return Ok(Err(code));
                }
                _ => return self.wait_for_epoch(&waiting),
            }
        }
        self.open_message(&waiting, None)
    }

    /// Keeps it until its epoch is here. It is not marked as received: nothing of it is authentic
    /// yet, and an honest message may have the same id.
    fn wait_for_epoch(&mut self, waiting: &WaitingMessage) -> Result<Outcome, StoreError> {
        if self.waiting.len() >= WAITING_MAX {
            return Ok(Err(Code::EpochUnknown));
        }
        let order = self.new_order();
        let today = self.today();
        let mut batch = Batch::default();
        let json = to_json(waiting).to_vec();
        batch.put_until(Space::Waiting, &order.to_be_bytes(), today + WAITING_DAYS, json);
        self.store.add(&batch)?;
        self.waiting.push(order);
        Ok(Ok(()))
    }

    /// Tries those again that waited for their epoch.
    pub(super) async fn open_waiting(&mut self) -> Result<(), ClientError> {
        let mut orders = std::mem::take(&mut self.waiting).into_iter();
        while let Some(order) = orders.next() {
            let key = order.to_be_bytes();
            let Some(waiting) = self.store.record::<WaitingMessage>(Space::Waiting, &key)? else {
                continue;
            };
            let parsed = Delivered::parse(waiting.msg.as_bytes());
            let epoch = parsed.map(|parsed| parsed.header.epoch);
            let fetched = match epoch {
                Ok(epoch) => self.ensure_epoch(waiting.peer, epoch).await,
                Err(_) => Ok(()),
            };
            match fetched {
                Ok(()) => {
                    // It was acknowledged: a failure now can be told to nobody.
                    let _ = self.open_message(&waiting, Some(order))?;
                    let mut batch = Batch::default();
                    batch.delete(Space::Waiting, &key);
                    self.store.add(&batch)?;
                }
                Err(ClientError::Store(error)) => return Err(ClientError::Store(error)),
                Err(error) => {
                    self.waiting.push(order);
                    if error.is_passing() {
                        self.waiting.extend(orders.by_ref());
                    }
                }
            }
        }
        Ok(())
    }

    /// Opens a message whose epoch is known, and persists all that follows from it.
    pub(super) fn open_message(
        &mut self,
        waiting: &WaitingMessage,
        waited_at: Option<u64>,
    ) -> Result<Outcome, StoreError> {
        let Ok(parsed) = Delivered::parse(waiting.msg.as_bytes()) else {
            return Ok(Err(Code::BadContent));
        };
        let (id, sender) = (parsed.header.epoch, parsed.header.sender);
        let Some(before) = self.epoch_state(&id)? else { return Ok(Err(Code::EpochUnknown)) };
        if !self.is_pair(before.header(), &waiting.peer) {
            return Ok(Err(Code::BadTag));
        }
        let received = before.seen().get(usize::from(sender)).copied().unwrap_or(0);
        let now = self.clock.now_ms();
        let bytes = waiting.msg.as_bytes();
        let mut state = before;
        let mut opened = match state.open(bytes, now) {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(error.code())),
        };
        // The bound is the pair's: only past it the other epochs are touched at all.
        let mut others = Vec::new();
        if state.skipped() + self.skipped_beside(&id, &waiting.peer)? > SKIPPED_MAX {
            let Some(again) = self.epoch_state(&id)? else { return Ok(Err(Code::EpochUnknown)) };
            state = again;
            others = self.states_beside(&state, &waiting.peer)?;
            opened = match state.open_beside(bytes, now, &mut others) {
                Ok(opened) => opened,
                Err(error) => return Ok(Err(error.code())),
            };
        }
        if opened.user != waiting.from_user || opened.device != waiting.from_device {
            return Ok(Err(Code::BadTag));
        }
        let mut batch = Batch::default();
        let is_durable = opened.lane == LANE_DURABLE;
        let mut changed: Vec<_> = others
            .into_iter()
            .filter(|other| {
                let before = self.epochs.get(&other.id()).map(EpochState::skipped);
                before != Some(other.skipped())
            })
            .collect();
        // A typing sign is never delivered again, and its chain is stored with the next message
        // (CRYPTO 7).
        let is_typing = matches!(&opened.content, Received::Content(content)
            if matches!(content.body, Body::Typing { .. }));
        if !is_typing {
            batch.put(Space::Epoch, id.as_bytes(), state.to_bytes());
            let key = mark(&opened.device, &opened.mid);
            batch.put_until(Space::Mid, &key, self.today() + REMEMBERED_DAYS, Vec::new());
        }
        for other in &changed {
            batch.put(Space::Epoch, other.id().as_bytes(), other.to_bytes());
        }
        if let Some(order) = waited_at {
            batch.delete(Space::Waiting, &order.to_be_bytes());
        }
        let chain = (id, sender);
        let counter = opened.counter;
        self.heard_from(waiting.peer, &opened, &mut batch);
        let from_removed = self.is_removed(waiting.peer, &opened)?;
        let earlier = self.earlier(&state, &opened)?;
        changed.push(state);
        let mut meaning = self.content(waiting, opened, &mut batch)?;
        if !is_durable {
            // Nothing of it is kept, and it fills no gap.
            self.store.add(&batch)?;
            self.keep(changed);
            return Ok(Ok(()));
        }
        if let Some((before, received, sent)) = earlier {
            self.gaps.follows(chain, before, received, sent);
        }
        for message in &mut meaning.messages {
            message.from_removed = from_removed;
        }
        let order = (!meaning.messages.is_empty()).then(|| self.new_order());
        let verdict = self.gaps.take(chain, counter, received, order);
        if let Some(order) = order {
            if verdict.hold {
                let held = to_json(&Held { messages: meaning.messages });
                batch.put(Space::Held, &order.to_be_bytes(), held);
            } else {
                self.show(meaning.messages, order, &mut batch)?;
            }
        }
        self.store.add(&batch)?;
        self.keep(changed);
        for (target, change) in meaning.changes {
            self.take_change(&waiting.peer, target, change)?;
        }
        self.release(verdict.release)?;
        Ok(Ok(()))
    }

    /// An authentic message of the contact is evidence of the time that its sender wrote in it.
    fn heard_from(&mut self, peer: UserId, opened: &Opened, batch: &mut Batch) {
        let now = self.clock.now_ms();
        let Received::Content(content) = &opened.content else { return };
        if opened.user == peer
            && let Some(peer) = self.peers.get_mut(&peer)
        {
            let before = peer.confirmed_ms;
            peer.confirm(content.sent_ms, now);
            // To the hour is enough, and what is shown is stored with it in any case.
            if before / CONFIRMED_TO_MS != peer.confirmed_ms / CONFIRMED_TO_MS {
                batch.put(Space::Peer, peer.user.as_bytes(), to_json(&*peer));
            }
        }
    }

    /// What the sender says to have sent in the epoch before: its chain there, what came of it
    /// without a hole, and how many there were. Those that did not come are a gap before this
    /// message (CRYPTO 6, `prev_sent`).
    fn earlier(
        &mut self,
        state: &EpochState,
        opened: &Opened,
    ) -> Result<Option<(Chain, u32, u32)>, StoreError> {
        let Received::Content(content) = &opened.content else { return Ok(None) };
        if content.prev_sent == 0 {
            return Ok(None);
        }
        let before = self.state_here(&EpochId(state.header().prev))?;
        Ok(before.and_then(|before| {
            let index = before.header().index_of(&opened.device)?;
            let received = before.seen().get(usize::from(index)).copied().unwrap_or(0);
            Some(((before.id(), index), received, content.prev_sent))
        }))
    }

    /// Whether the sender's device was revoked after the epoch was made (CRYPTO 6,
    /// `DEVICE_REVOKED`).
    fn is_removed(&mut self, peer: UserId, opened: &Opened) -> Result<bool, StoreError> {
        let is_revoked = |log: &DeviceLog| {
            log.device(&opened.device).is_some_and(|device| device.revoked.is_some())
        };
        if opened.user == self.account.user {
            return Ok(is_revoked(&self.log));
        }
        match self.log_of(&peer) {
            Ok(log) => Ok(is_revoked(&log)),
            Err(ClientError::Store(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// The epoch that a message waits for.
    pub(super) fn waiting_epoch(&mut self, order: u64) -> Result<Option<EpochId>, StoreError> {
        let waiting = self.store.record::<WaitingMessage>(Space::Waiting, &order.to_be_bytes())?;
        let Some(waiting) = waiting else { return Ok(None) };
        Ok(Delivered::parse(waiting.msg.as_bytes()).ok().map(|parsed| parsed.header.epoch))
    }

    /// Takes states over that are stored.
    fn keep(&mut self, states: Vec<EpochState>) {
        self.epochs.extend(states.into_iter().map(|state| (state.id(), state)));
    }

    /// How many skipped keys the pair's other epochs keep.
    fn skipped_beside(&mut self, id: &EpochId, peer: &UserId) -> Result<usize, StoreError> {
        let notes = self.peers.get(peer).map(|peer| peer.epochs.as_slice()).unwrap_or_default();
        let open = notes.iter().filter(|note| note.id != *id && !note.dropped);
        let mut kept = 0;
        for id in open.map(|note| note.id).collect::<Vec<_>>() {
            kept += self.state_here(&id)?.map_or(0, EpochState::skipped);
        }
        Ok(kept)
    }

    /// As [`Self::epoch_state`], without a copy of the keys.
    pub(super) fn state_here(&mut self, id: &EpochId) -> Result<Option<&EpochState>, StoreError> {
        if !self.epochs.contains_key(id) {
            self.epoch_state(id)?;
        }
        Ok(self.epochs.get(id))
    }

    /// The states of the pair's other epochs.
    fn states_beside(
        &mut self,
        state: &EpochState,
        peer: &UserId,
    ) -> Result<Vec<EpochState>, StoreError> {
        let notes = self.peers.get(peer).map(|peer| peer.epochs.clone()).unwrap_or_default();
        let mut states = Vec::new();
        for note in notes.iter().filter(|note| note.id != state.id()) {
            states.extend(self.epoch_state(&note.id)?);
        }
        Ok(states)
    }
}

fn mark(device: &DeviceId, mid: &Mid) -> Vec<u8> {
    [device.as_bytes().as_slice(), mid.as_bytes()].concat()
}
