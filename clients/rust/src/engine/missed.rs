//! What this device will never get: messages that found no room in its queue. The person is told,
//! and the history has a mark where they would stand.

use hushwire_e2ee::ContentId;
use hushwire_wire::UserId;

use super::Engine;
use crate::event::Event;
use crate::message::{Message, Since};
use crate::ports::random_bytes;
use crate::record::{place, to_json};
use crate::said::Id;
use crate::store::{Batch, Space, StoreError};

impl Engine {
    /// So many messages of a conversation were skipped. A notice that comes again after a cut is
    /// one with its mark.
    pub(super) fn note_gap(&mut self, contact: &UserId, count: u64) -> Result<(), StoreError> {
        let missed = u32::try_from(count).unwrap_or(u32::MAX);
        let Some(mut peer) = self.peers.get(contact).cloned() else { return Ok(()) };
        if count == 0 {
            return Ok(());
        }
        if let Some(last) = peer.messages.checked_sub(1) {
            let last = self.store.record::<Message>(Space::History, &place(contact, last))?;
            if last.is_some_and(|last| last.missed == missed) {
                return Ok(());
            }
        }
        let now = self.clock.now_ms();
        let id = random_bytes(self.random.as_mut()).map_err(StoreError::Random)?;
        let mark = Message {
            id: Id(ContentId(id)),
            peer: *contact,
            from: peer.handle.clone(),
            stage: None,
            text: String::new(),
            reply_to: None,
            sent_ms: now,
            at_ms: now,
            position: peer.messages,
            from_removed: false,
            since: Since::default(),
            missed,
        };
        let mut batch = Batch::default();
        batch.put(Space::History, &place(contact, mark.position), to_json(&mark));
        peer.messages += 1;
        let handle = peer.handle.clone();
        batch.put(Space::Peer, contact.as_bytes(), to_json(&peer));
        self.store.add(&batch)?;
        self.peers.insert(*contact, peer);
        self.tell(Event::Gap { handle, count });
        Ok(())
    }
}
