//! Messages that disappear: erased from the history when their time has come, by the clock.
//!
//! The time of an own message begins when the server has taken it, that of another's when it was
//! shown: nothing disappears unsent or unseen. What is still under way stays in the outbox until
//! it is delivered; the history has forgotten it by then.

use hushwire_e2ee::Zeroizing;
use hushwire_wire::UserId;

use super::content::{GONE, index};
use super::{Engine, REMEMBERED_DAYS};
use crate::event::Event;
use crate::message::Message;
use crate::record::{number, place};
use crate::store::{Batch, Space, Store, StoreError};

/// The clock is looked at so often, in milliseconds: it may jump.
const LOOK_EVERY_MS: u64 = 60_000;

/// When, and where: as many as there are messages that leave.
pub(super) type Leaving = std::collections::BTreeSet<(u64, UserId, u64)>;

/// What an earlier run left to disappear.
pub(super) fn load(store: &mut Store) -> Result<Leaving, StoreError> {
    let mut out = Leaving::new();
    for (key, _) in store.list(Space::Leaving)? {
        let (gone, rest) = key.split_at_checked(8).ok_or(StoreError::Damaged)?;
        let (peer, position) = rest.split_at_checked(32).ok_or(StoreError::Damaged)?;
        let peer = UserId::from_slice(peer).ok_or(StoreError::Damaged)?;
        out.insert((number(gone)?, peer, number(position)?));
    }
    Ok(out)
}

fn row(gone: u64, peer: &UserId, position: u64) -> Vec<u8> {
    [gone.to_be_bytes().as_slice(), &place(peer, position)].concat()
}

impl Engine {
    /// The time of a message begins, if it has one and it did not begin before.
    pub(super) fn begin_leaving(&mut self, message: &mut Message, batch: &mut Batch) {
        let since = &mut message.since;
        if since.keep_s == 0 || since.gone_ms.is_some() {
            return;
        }
        let gone = self.clock.now_ms() + 1_000 * u64::from(since.keep_s);
        since.gone_ms = Some(gone);
        let key = row(gone, &message.peer, message.position);
        batch.put(Space::Leaving, &key, Zeroizing::new(Vec::new()));
        self.leaving.insert((gone, message.peer, message.position));
    }

    /// When [`Self::expire`] has something to do, in ticks.
    pub(super) fn leaving_wake(&self) -> Option<u64> {
        let (gone, _, _) = self.leaving.first()?;
        let left = gone.saturating_sub(self.clock.now_ms()).min(LOOK_EVERY_MS);
        Some(self.clock.ticks_ms() + left)
    }

    /// Erases the messages whose time has come.
    pub(super) fn expire(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now_ms();
        let mut batch = Batch::default();
        while let Some((gone, peer, position)) = self.leaving.first().copied()
            && gone <= now
        {
            self.leaving.pop_first();
            batch.delete(Space::Leaving, &row(gone, &peer, position));
            let at = place(&peer, position);
            let Some(message) = self.store.record::<Message>(Space::History, &at)? else {
                continue;
            };
            batch.delete(Space::History, &at);
            let author = if message.stage.is_some() { self.account.user } else { peer };
            let day = self.today() + REMEMBERED_DAYS;
            // A copy that comes late does not bring it back.
            batch.put_until(Space::Content, &index(&author, &message.id), day, GONE.to_vec());
            let unshown = self.unshown.iter().find(|(_, at)| **at == (peer, position));
            if let Some(order) = unshown.map(|(order, _)| *order) {
                batch.delete(Space::Unshown, &order.to_be_bytes());
                self.unshown.remove(&order);
            }
            let handle = self.name_of(&peer);
            self.tell(Event::Disappeared { handle, id: message.id });
        }
        self.store.add(&batch)
    }
}
