//! Receiving (DELIVERY, "Receiving"; CRYPTO 6, "Receive"): known ones are dropped, unknown epochs
//! fetched, failures named; chains, plaintext and marks go into one transaction before the ack.

use hushwire_e2ee::EpochState;
use hushwire_identity::Code;
use hushwire_wire::frame;
use hushwire_wire::message::{Delivered, LANE_DURABLE};
use hushwire_wire::{DeviceId, Mid, UserId};

use super::{Engine, REMEMBERED_DAYS};
use crate::error::ClientError;
use crate::message::Held;
use crate::record::{WaitingMessage, to_json};
use crate::store::{Batch, Space, StoreError};

/// Messages that wait for their epoch, at most; past it they fail as `EPOCH_UNKNOWN`.
const WAITING_MAX: usize = 1_000;
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
        let knows =
            |engine: &Self| engine.peers.get(&waiting.peer).is_some_and(|p| p.knows(&epoch));
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
    fn open_message(
        &mut self,
        waiting: &WaitingMessage,
        waited_at: Option<u64>,
    ) -> Result<Outcome, StoreError> {
        let Ok(parsed) = Delivered::parse(waiting.msg.as_bytes()) else {
            return Ok(Err(Code::BadContent));
        };
        let (id, sender) = (parsed.header.epoch, parsed.header.sender);
        let Some(before) = self.epoch_state(&id)? else { return Ok(Err(Code::EpochUnknown)) };
        if !self.is_of_pair(&before, &waiting.peer) {
            return Ok(Err(Code::BadTag));
        }
        let received = before.seen().get(usize::from(sender)).copied().unwrap_or(0);
        let beside = self.skipped_beside(&before, &waiting.peer)?;
        let mut state = before;
        let now = self.clock.now_ms();
        let opened = match state.open_beside(waiting.msg.as_bytes(), now, beside) {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(error.code())),
        };
        if opened.user != waiting.from_user || opened.device != waiting.from_device {
            return Ok(Err(Code::BadTag));
        }
        let mut batch = Batch::default();
        batch.put(Space::Epoch, id.as_bytes(), state.to_bytes());
        let key = mark(&opened.device, &opened.mid);
        batch.put_until(Space::Mid, &key, self.today() + REMEMBERED_DAYS, Vec::new());
        if let Some(order) = waited_at {
            batch.delete(Space::Waiting, &order.to_be_bytes());
        }
        let chain = (id, sender);
        let counter = opened.counter;
        let is_durable = opened.lane == LANE_DURABLE;
        let meaning = self.content(waiting, opened, &mut batch)?;
        if !is_durable {
            // Nothing of it is kept, and it fills no gap.
            self.store.add(&batch)?;
            self.epochs.insert(id, state);
            return Ok(Ok(()));
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
        self.epochs.insert(id, state);
        for (target, change) in meaning.changes {
            self.take_change(&waiting.peer, target, change)?;
        }
        self.release(verdict.release)?;
        Ok(Ok(()))
    }

    pub(super) fn is_of_pair(&self, state: &EpochState, peer: &UserId) -> bool {
        let header = state.header();
        let users = [Some(header.a.user), header.b.map(|b| b.user)];
        *peer != self.account.user
            && users.contains(&Some(*peer))
            && users.contains(&Some(self.account.user))
    }

    /// Skipped keys in the pair's other epochs.
    fn skipped_beside(&mut self, state: &EpochState, peer: &UserId) -> Result<usize, StoreError> {
        let notes = self.peers.get(peer).map(|peer| peer.epochs.clone()).unwrap_or_default();
        let mut sum = 0;
        for note in notes.iter().filter(|note| note.id != state.id()) {
            sum += self.epoch_state(&note.id)?.map_or(0, |state| state.skipped());
        }
        Ok(sum)
    }
}

fn mark(device: &DeviceId, mid: &Mid) -> Vec<u8> {
    [device.as_bytes().as_slice(), mid.as_bytes()].concat()
}
