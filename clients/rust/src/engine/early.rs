//! Changes that came before the message that they change: kept for it for 32 days.
//!
//! They are bounded for each contact alone, so that nobody's push another's out, and nothing of
//! them is read at the start: a contact has a row that names its messages, the one changed last
//! at the end. What cannot matter any more is not kept: of a device the highest edit, of a user
//! the last reaction, and no edit beside the removal by the same user.

use hushwire_wire::UserId;

use super::content::index;
use super::{Engine, REMEMBERED_DAYS};
use crate::message::{Change, Early, EarlyChange, EarlyIndex, EarlyOf};
use crate::record::to_json;
use crate::said::Id;
use crate::store::{Batch, Space, StoreError};

/// Messages of a contact of which early changes are kept, at most; past it those of the message
/// that was changed the longest ago are dropped.
pub(super) const EARLY_MAX: usize = 256;
/// Bytes of a contact's early changes as they are stored, at most: 1 MiB. Past it as above.
pub(super) const EARLY_BYTES_MAX: usize = 1 << 20;
/// Early changes of one message, at most; past it the oldest that is no removal is dropped.
pub(super) const CHANGES_MAX: usize = 16;
/// Bytes of one message's early changes as they are stored, at most: 512 KiB, in which the longest
/// edit finds room. Past it as above.
pub(super) const CHANGES_BYTES_MAX: usize = 1 << 19;

impl Engine {
    /// Keeps a change until its message comes.
    pub(super) fn keep_early(
        &mut self,
        peer: &UserId,
        target: &Id,
        change: EarlyChange,
    ) -> Result<(), StoreError> {
        let key = index(peer, target);
        let mut kept = self.store.record::<Early>(Space::Early, &key)?.unwrap_or_default();
        if !kept.take(change) {
            return Ok(());
        }
        let mut json = to_json(&kept);
        while (kept.changes.len() > CHANGES_MAX || json.len() > CHANGES_BYTES_MAX)
            && kept.drop_oldest()
        {
            json = to_json(&kept);
        }
        let mut named = self.early_index(peer)?;
        named.messages.retain(|of| of.id != *target);
        named.messages.push(EarlyOf { id: *target, bytes: json.len() });
        let mut bytes: usize = named.messages.iter().map(|of| of.bytes).sum();
        let mut batch = Batch::default();
        while named.messages.len() > EARLY_MAX || bytes > EARLY_BYTES_MAX {
            let oldest = named.messages.remove(0);
            bytes -= oldest.bytes;
            batch.delete(Space::Early, &index(peer, &oldest.id));
        }
        let day = self.today() + REMEMBERED_DAYS;
        batch.put_until(Space::Early, &key, day, json.to_vec());
        batch.put_until(Space::Early, peer.as_bytes(), day, to_json(&named).to_vec());
        self.store.add(&batch)
    }

    /// Takes the changes of a message that has come.
    pub(super) fn take_early(
        &mut self,
        peer: &UserId,
        id: &Id,
    ) -> Result<Vec<EarlyChange>, StoreError> {
        let key = index(peer, id);
        let Some(kept) = self.store.record::<Early>(Space::Early, &key)? else {
            return Ok(Vec::new());
        };
        let mut named = self.early_index(peer)?;
        named.messages.retain(|of| of.id != *id);
        let mut batch = Batch::default();
        batch.delete(Space::Early, &key);
        if named.messages.is_empty() {
            batch.delete(Space::Early, peer.as_bytes());
        } else {
            let day = self.today() + REMEMBERED_DAYS;
            batch.put_until(Space::Early, peer.as_bytes(), day, to_json(&named).to_vec());
        }
        // At once: the next message of the same content reads what this one left.
        self.store.add(&batch)?;
        Ok(kept.changes)
    }

    /// Which messages of a contact have early changes.
    pub(super) fn early_index(&mut self, peer: &UserId) -> Result<EarlyIndex, StoreError> {
        Ok(self.store.record(Space::Early, peer.as_bytes())?.unwrap_or_default())
    }
}

impl Early {
    /// Takes a change in the place of what it makes void; `false` if it is void itself.
    fn take(&mut self, new: EarlyChange) -> bool {
        let (user, device) = (new.user, new.device);
        let is_removed =
            self.changes.iter().any(|old| old.user == user && matches!(old.change, Change::Remove));
        match &new.change {
            Change::Edit { rev, .. } => {
                let of_device = |old: &EarlyChange| match &old.change {
                    Change::Edit { rev, .. } if old.user == user && old.device == device => {
                        Some(*rev)
                    }
                    _ => None,
                };
                let highest = self.changes.iter().filter_map(of_device).max().unwrap_or(0);
                if is_removed || *rev <= highest {
                    return false;
                }
                self.changes.retain(|old| of_device(old).is_none());
            }
            Change::Remove => {
                if is_removed {
                    return false;
                }
                let is_edit = |old: &EarlyChange| matches!(old.change, Change::Edit { .. });
                self.changes.retain(|old| old.user != user || !is_edit(old));
            }
            Change::React { .. } => {
                let is_reaction = |old: &EarlyChange| matches!(old.change, Change::React { .. });
                self.changes.retain(|old| old.user != user || !is_reaction(old));
            }
        }
        self.changes.push(new);
        true
    }

    /// Drops the oldest change that is no removal, never the last of all; whether there was one.
    fn drop_oldest(&mut self) -> bool {
        let mut old = self.changes.iter().take(self.changes.len().saturating_sub(1));
        let oldest = old.position(|change| !matches!(change.change, Change::Remove));
        if let Some(at) = oldest {
            self.changes.remove(at);
        }
        oldest.is_some()
    }
}
