//! What the store holds beside keys: the account, contacts, messages. JSON, sealed by the store.

use std::io;

use hushwire_e2ee::Zeroizing;
use hushwire_identity::hash::{Label, hash};
use hushwire_identity::{DeviceLog, Head, LogPoint, Prekey, PrekeyRecord};
use hushwire_wire::{DeviceId, EpochId, RequestId, Sealed, UserId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::message::ProfileName;
use crate::store::{Space, Store, StoreError};

/// This device's account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) server: String,
    pub(crate) domain: String,
    pub(crate) handle: String,
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    pub(crate) log: Vec<Sealed>,
    /// The server has confirmed it.
    pub(crate) registered: bool,
    /// One text so often, in milliseconds, as the server said last.
    pub(crate) interval_ms: u64,
}

/// This device's newest prekey, as published.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OwnPrekey {
    pub(crate) id: u32,
    pub(crate) day: u32,
    /// When it was made, in milliseconds since 1970.
    #[serde(default)]
    pub(crate) made_ms: u64,
    pub(crate) record: Sealed,
    pub(crate) xwing: Option<Sealed>,
    /// The server has it.
    pub(crate) published: bool,
}

/// A request that this user made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) request: Sealed,
    /// The log that a contact link named.
    pub(crate) link: Option<UserId>,
}

/// How a contact stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// This user asked and waits.
    Asked,
    /// The other side asked and waits.
    AsksMe,
    /// Both agreed.
    Active,
    /// Another log took the name, and this user accepted that one.
    Replaced,
    /// This user ended the contact. The history stays.
    Removed,
    /// This user ended the contact, and no request arrives.
    Blocked,
}

/// Another user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) user: UserId,
    pub(crate) handle: String,
    pub(crate) standing: Standing,
    /// This user accepted, whether or not the server has heard of it. Only then is a request that
    /// came in a contact.
    #[serde(default)]
    pub(crate) accepted: bool,
    /// The verified log, from its first entry.
    pub(crate) log: Vec<Sealed>,
    pub(crate) request: RequestId,
    /// The point that a person compared.
    pub(crate) verified: Option<Point>,
    /// The newest entry of the log that a person said to have seen, after comparing an older one.
    #[serde(default)]
    pub(crate) acknowledged: Option<u32>,
    /// Accepted epochs, in the order in which they were accepted.
    pub(crate) epochs: Vec<EpochNote>,
    /// Messages in the history.
    pub(crate) messages: u64,
    /// The newest verified prekey record of each device. Their ids never go back.
    #[serde(default)]
    pub(crate) records: Vec<Sealed>,
    /// When its prekeys were looked up last, in milliseconds since 1970.
    #[serde(default)]
    pub(crate) looked_ms: u64,
    /// The latest authenticated evidence of the other side, in milliseconds since 1970.
    #[serde(default)]
    pub(crate) confirmed_ms: u64,
    /// The log is forked: nothing is sent (CRYPTO 9).
    pub(crate) forked: bool,
    /// The name belongs to another log now: nothing is sent (CRYPTO 9).
    #[serde(default)]
    pub(crate) changed: bool,
    /// No device of the other side has a usable prekey: nothing is sent (CRYPTO 9).
    #[serde(default)]
    pub(crate) unreachable: bool,
    /// The server took nothing for them, last time: they may have removed or blocked this user, or
    /// be gone.
    #[serde(default)]
    pub(crate) refused: bool,
    /// The number of the first epoch that this user's acceptance makes: above 0 if the two were
    /// contacts before.
    #[serde(default)]
    pub(crate) first_n: u32,
    /// The highest number of which a fork was told.
    #[serde(default)]
    pub(crate) fork_told: Option<u32>,
    /// What went wrong with the other side's epochs.
    #[serde(default)]
    pub(crate) heal: Heal,
    /// What the two agreed on and told each other.
    #[serde(default)]
    pub(crate) talk: Talk,
}

/// What two people agreed on and told each other beside messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Talk {
    /// How long messages are kept.
    #[serde(default)]
    pub(crate) timer: Timer,
    /// The name that the other one wants to be shown under.
    #[serde(default)]
    pub(crate) profile: Option<ProfileName>,
    /// The version of the own profile name that was sent to them; 0: none.
    #[serde(default)]
    pub(crate) told_profile: u32,
}

/// How long messages of a conversation are kept. Both may set it; the later one holds, and of two
/// at the same time that of the lower device, so that both ends agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Timer {
    /// 0: for ever.
    pub(crate) seconds: u32,
    /// When it was set, in milliseconds since 1970; 0: never.
    pub(crate) at_ms: u64,
    /// By which device.
    pub(crate) by: Option<DeviceId>,
}

impl Timer {
    /// Takes `other` if it was set later.
    pub(crate) fn take(&mut self, other: Self) -> bool {
        let is_later =
            other.at_ms > self.at_ms || (other.at_ms == self.at_ms && other.by < self.by);
        if is_later {
            *self = other;
        }
        is_later
    }
}

/// To whom this device shows that it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnPresence {
    pub(crate) on: bool,
    /// `None`: to all contacts.
    pub(crate) only: Option<Vec<UserId>>,
}

/// The own profile name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct OwnProfile {
    /// `None`: none.
    pub(crate) name: Option<ProfileName>,
    /// Counts the changes, from 1; 0: never set.
    pub(crate) version: u32,
}

/// What calls for a next epoch of a pair beside R1 to R3, and how often it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heal {
    /// The reason of the epoch that is to be made.
    pub(crate) wanted: Option<Wanted>,
    /// How often in a row something went wrong.
    pub(crate) troubles: u32,
    /// When it did last, in milliseconds since 1970.
    pub(crate) last_ms: u64,
}

/// A reason for an epoch that is to be made at once (CRYPTO 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wanted {
    /// The other side's log has moved on, or this device was left out (R1).
    Devices,
    /// R4.
    Heal,
}

/// An epoch that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EpochNote {
    pub(crate) n: u32,
    pub(crate) id: EpochId,
    pub(crate) created_ms: u64,
    pub(crate) accepted_ms: u64,
    /// Receive only: a head in it is older than what is known (E5).
    pub(crate) stale: bool,
    /// The server was not told yet that its wrap is kept here (E10).
    #[serde(default)]
    pub(crate) unclaimed: bool,
    /// The epoch before it is not known here (E3, `EPOCH_GAP`).
    #[serde(default)]
    pub(crate) gap: bool,
    /// Its keys were dropped after a rollback: nothing is sent or received under it.
    #[serde(default)]
    pub(crate) dropped: bool,
    /// Durable messages of this device in the epoch before it.
    #[serde(default)]
    pub(crate) prev_sent: u32,
}

/// A point of a log, in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) user: UserId,
    pub(crate) seq: u32,
    /// The head; a request id is 32 bytes, too.
    pub(crate) head: EpochId,
}

impl Point {
    pub(crate) fn of(log: &DeviceLog) -> Self {
        let LogPoint { user, seq, head } = log.point();
        Self { user, seq, head: EpochId(head.0) }
    }

    pub(crate) const fn to_log_point(self) -> LogPoint {
        LogPoint { user: self.user, seq: self.seq, head: Head(self.head.0) }
    }
}

impl Peer {
    /// Somebody of whom nothing is known but the id.
    pub(crate) const fn new(user: UserId, standing: Standing, request: RequestId) -> Self {
        Self {
            user,
            handle: String::new(),
            standing,
            accepted: false,
            log: Vec::new(),
            request,
            verified: None,
            acknowledged: None,
            epochs: Vec::new(),
            messages: 0,
            records: Vec::new(),
            looked_ms: 0,
            confirmed_ms: 0,
            forked: false,
            changed: false,
            unreachable: false,
            refused: false,
            first_n: 0,
            fork_told: None,
            heal: Heal { wanted: None, troubles: 0, last_ms: 0 },
            talk: Talk {
                timer: Timer { seconds: 0, at_ms: 0, by: None },
                profile: None,
                told_profile: 0,
            },
        }
    }

    /// Whether an epoch with them may be taken: not of somebody whom this user has not accepted.
    pub(crate) const fn may_have_epochs(&self) -> bool {
        match self.standing {
            Standing::Asked | Standing::Active => true,
            Standing::AsksMe => self.accepted,
            Standing::Replaced | Standing::Removed | Standing::Blocked => false,
        }
    }

    /// Asks, and this user has not accepted.
    pub(crate) const fn waits_for_answer(&self) -> bool {
        matches!(self.standing, Standing::AsksMe) && !self.accepted
    }

    /// The newest epoch: the highest number; of siblings the lower id, on which messages are sent.
    pub(crate) fn newest(&self) -> Option<&EpochNote> {
        self.epochs.iter().max_by(|a, b| a.n.cmp(&b.n).then(b.id.cmp(&a.id)))
    }

    pub(crate) fn knows(&self, epoch: &EpochId) -> bool {
        self.note(epoch).is_some()
    }

    /// What is noted of an epoch.
    pub(crate) fn note(&self, epoch: &EpochId) -> Option<&EpochNote> {
        self.epochs.iter().find(|note| note.id == *epoch)
    }

    /// The newest entry's number.
    pub(crate) fn seq(&self) -> u32 {
        u32::try_from(self.log.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// A person compared an older log and has not said to have seen that it went on: nothing is
    /// sent until then.
    pub(crate) fn waits_for_person(&self) -> bool {
        let seen = self.verified.map(|point| point.seq.max(self.acknowledged.unwrap_or(0)));
        seen.is_some_and(|seen| seen < self.seq())
    }

    /// The prekeys that are known, without their post-quantum keys.
    pub(crate) fn prekeys(&self) -> Vec<Prekey> {
        let record = |bytes: &Sealed| PrekeyRecord::parse(bytes.as_bytes()).ok();
        let prekey = |record| Prekey { record, xwing: None };
        self.records.iter().filter_map(record).map(prekey).collect()
    }

    /// Takes evidence that the other side made at `at_ms` by its own clock.
    pub(crate) fn confirm(&mut self, at_ms: u64, now_ms: u64) {
        self.confirmed_ms = self.confirmed_ms.max(at_ms.min(now_ms));
    }

    /// The log, verified again from its bytes.
    pub(crate) fn device_log(&self) -> Result<DeviceLog, StoreError> {
        DeviceLog::verify(self.log.iter().map(Sealed::as_bytes)).map_err(|_| StoreError::Damaged)
    }

    /// The newest entry of the verified log.
    pub(crate) fn point(&self) -> Option<LogPoint> {
        let last = self.log.last()?;
        let seq = u32::try_from(self.log.len().checked_sub(1)?).ok()?;
        let head = Head(hash(Label::Entry, &[last.as_bytes()]));
        Some(LogPoint { user: self.user, seq, head })
    }

    /// Whether a person compared safety numbers, and the log still continues what was compared.
    pub(crate) fn is_verified(&self) -> bool {
        let Some(point) = self.verified else { return false };
        self.device_log().is_ok_and(|log| log.contains(&point.to_log_point()))
    }
}

/// A message whose epoch is not here yet: as it came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WaitingMessage {
    pub(crate) at: u64,
    pub(crate) peer: UserId,
    pub(crate) from_user: UserId,
    pub(crate) from_device: DeviceId,
    pub(crate) msg: Sealed,
}

/// Counts what is written.
struct Size(usize);

impl io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A value as JSON for the store.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Zeroizing<Vec<u8>> {
    // Its whole size first, so that no half-written secret is left behind by growing.
    let mut size = Size(0);
    let counted = serde_json::to_writer(&mut size, value);
    let mut out = Zeroizing::new(Vec::with_capacity(size.0));
    // Our records hold no map with other keys than text and no float: it cannot fail.
    if counted.and_then(|()| serde_json::to_writer(&mut *out, value)).is_err() {
        out.clear();
    }
    out
}

/// A value from the store's JSON.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|_| StoreError::Damaged)
}

impl Store {
    /// A record in a space.
    pub(crate) fn record<T: DeserializeOwned>(
        &mut self,
        space: Space,
        key: &[u8],
    ) -> Result<Option<T>, StoreError> {
        self.get(space, key)?.map(|bytes| from_json(&bytes)).transpose()
    }

    /// All records of a space with their keys.
    pub(crate) fn records<T: DeserializeOwned>(
        &mut self,
        space: Space,
    ) -> Result<Vec<(Vec<u8>, T)>, StoreError> {
        let rows = self.list(space)?;
        rows.into_iter().map(|(key, value)| Ok((key, from_json(&value)?))).collect()
    }
}

/// The size of [`place`] in bytes.
pub(crate) const PLACE_LEN: usize = 40;

/// The key of a message in the history.
pub(crate) fn place(peer: &UserId, position: u64) -> Vec<u8> {
    [peer.as_bytes().as_slice(), &position.to_be_bytes()].concat()
}

/// A number as a key: big-endian, so that keys sort like numbers.
pub(crate) fn number(key: &[u8]) -> Result<u64, StoreError> {
    key.try_into().map(u64::from_be_bytes).map_err(|_| StoreError::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_timers_both_ends_take_the_same() {
        let timer = |seconds, at_ms, by| Timer { seconds, at_ms, by: Some(DeviceId([by; 16])) };
        let (one, other, later) = (timer(10, 5, 1), timer(20, 5, 2), timer(0, 6, 9));
        for order in [[one, other, later], [later, other, one], [other, later, one]] {
            let mut held = Timer::default();
            for timer in order {
                held.take(timer);
            }
            assert_eq!(held, later);
        }
        let mut held = other;
        assert!(held.take(one), "of two at once the lower device's");
        assert!(!held.take(other) && !held.take(one));
    }
}
