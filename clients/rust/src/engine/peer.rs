//! What the server shows of another user: log and prekeys, verified and pinned before they are
//! used (CRYPTO 3, 4 and 9). What contradicts is told once and changes nothing, but that a forked
//! log blocks sending for good.

use std::sync::Arc;

use hushwire_identity::{Code, DeviceLog, Handle, Pin, Prekey, PrekeyError, PrekeyRecord};
use hushwire_wire::http::{LogEntries, PrekeyBundle, Prekeys};
use hushwire_wire::{DeviceId, EpochId, Sealed, UserId};

use super::Engine;
use crate::error::ClientError;
use crate::event::{Trouble, alarm, trouble};
use crate::record::{Peer, Standing, to_json};
use crate::store::{Batch, Space, StoreError};

/// Prekeys of a contact are looked up again after so many milliseconds: 12 h.
const LOOKED_UP_MS: u64 = 12 * 3_600_000;
/// Prekeys in one answer, at most: one for each device.
const PREKEYS_MAX: usize = 8;
/// Silent contacts that are looked after at a time, at most.
const SILENT_MAX: usize = 64;
/// Alarms that are remembered so that they are told once, at most; past it all are forgotten.
const ALARMS_MAX: usize = 1_024;
const DAY_MS: u64 = 86_400_000;

/// A prekey as it came.
pub(super) fn parse(bundle: &PrekeyBundle) -> Result<Prekey, PrekeyError> {
    Prekey::parse(bundle.record.as_bytes(), bundle.xwing.as_ref().map(Sealed::as_bytes))
}

impl Engine {
    /// The verified log of a known user.
    pub(super) fn log_of(&mut self, user: &UserId) -> Result<Arc<DeviceLog>, ClientError> {
        let peer = self.peers.get(user).ok_or(ClientError::NoContact)?;
        if let Some(log) = self.logs.get(user).filter(|log| log.seq() == peer.seq()) {
            return Ok(Arc::clone(log));
        }
        let log = Arc::new(peer.device_log()?);
        self.logs.insert(*user, Arc::clone(&log));
        Ok(log)
    }

    /// Fetches and verifies a user's whole log, and checks that it continues what is pinned.
    pub(super) async fn fetch_log(
        &mut self,
        user: UserId,
    ) -> Result<(Vec<Sealed>, DeviceLog), ClientError> {
        let path = format!("/v1/users/{}/log", user.to_base64url());
        let LogEntries { entries } = self.get(path).await?;
        let log = DeviceLog::verify(entries.iter().map(Sealed::as_bytes))
            .map_err(|error| ClientError::Unverified(error.code()))?;
        if log.user() != user || log.domain() != self.account.domain {
            return Err(ClientError::Unverified(Code::LogInvalid));
        }
        if self.peers.get(&user).is_some_and(|peer| !peer.log.is_empty()) {
            let pinned = self.log_of(&user)?;
            if let Err(error) = Pin::of(&pinned).check(&log) {
                return Err(self.contradicted(&user, error.code()));
            }
        }
        Ok((entries, log))
    }

    /// Fetches a known user's log, and takes what is new of it.
    pub(super) async fn renew_log(&mut self, user: UserId) -> Result<Arc<DeviceLog>, ClientError> {
        let (entries, log) = self.fetch_log(user).await?;
        self.take_log(user, entries, log)
    }

    /// Keeps a verified log that continues the one that is known; tells of new devices.
    fn take_log(
        &mut self,
        user: UserId,
        entries: Vec<Sealed>,
        log: DeviceLog,
    ) -> Result<Arc<DeviceLog>, ClientError> {
        let known = self.peers.get(&user).ok_or(ClientError::NoContact)?;
        if entries.len() > known.log.len() {
            let peer = Peer { log: entries, ..known.clone() };
            let what = match (peer.verified.is_some(), known.waits_for_person()) {
                (true, false) => Some(Trouble::VerifiedChanged),
                (false, _) => Some(Trouble::DevicesChanged),
                (true, true) => None,
            };
            let what = what.filter(|_| peer.standing == Standing::Active);
            let handle = peer.handle.clone();
            self.put_peer(peer)?;
            if let Some(what) = what {
                self.tell(trouble(what, &handle));
            }
        }
        let log = Arc::new(log);
        self.logs.insert(user, Arc::clone(&log));
        Ok(log)
    }

    /// What does not verify, told once if a person must know; a fork of the log blocks the
    /// contact.
    pub(super) fn contradicted(&mut self, user: &UserId, code: Code) -> ClientError {
        if code.is_alarm() {
            self.alarm_once(user, EpochId([0; 32]), code);
        }
        if code == Code::LogFork
            && let Some(known) = self.peers.get(user).filter(|peer| !peer.forked).cloned()
            && let Err(error) = self.put_peer(Peer { forked: true, ..known })
        {
            return error.into();
        }
        ClientError::Unverified(code)
    }

    /// Tells an alarm, once in a run of the program for each user, epoch and code.
    pub(super) fn alarm_once(&mut self, user: &UserId, epoch: EpochId, code: Code) {
        if self.alarmed.len() >= ALARMS_MAX {
            self.alarmed.clear();
        }
        if self.alarmed.insert((*user, epoch, code)) {
            let words = alarm(code, &self.name_of(user));
            self.tell(words);
        }
    }

    /// Fetches and verifies the newest prekeys of a known user, and the log if it is wished or a
    /// prekey names more of it. Everything is kept, or nothing.
    pub(super) async fn fetch_prekeys(
        &mut self,
        user: UserId,
        with_log: bool,
    ) -> Result<Vec<Prekey>, ClientError> {
        let path = format!("/v1/users/{}/prekeys", user.to_base64url());
        let Prekeys { prekeys } = self.get(path).await?;
        if prekeys.len() > PREKEYS_MAX {
            return Err(ClientError::Nonsense);
        }
        let parsed = prekeys.iter().map(parse).collect::<Result<Vec<_>, _>>();
        let prekeys = parsed.map_err(|error| ClientError::Unverified(error.code()))?;
        let known = self.log_of(&user)?;
        // Each record names its signer's own log head: a heartbeat of that log.
        let names_more = prekeys.iter().any(|prekey| prekey.record.log_seq > known.seq());
        // A device may have been taken out since, which only the log says.
        let lacks = self.lacks_prekey(&user, &known, &prekeys);
        let renewed =
            if with_log || names_more || lacks { Some(self.fetch_log(user).await?) } else { None };
        let log = renewed.as_ref().map_or(&*known, |(_, log)| log);
        for prekey in &prekeys {
            if let Err(error) = prekey.record.verify(log) {
                return Err(self.contradicted(&user, error.code()));
            }
        }
        let records = self.newer_records(&user, log, &prekeys)?;
        if let Some((entries, log)) = renewed {
            self.take_log(user, entries, log)?;
        }
        self.note_prekeys(user, records, &prekeys)?;
        Ok(prekeys)
    }

    /// Whether an answer leaves an active device out of which a usable prekey is known.
    fn lacks_prekey(&self, user: &UserId, log: &DeviceLog, prekeys: &[Prekey]) -> bool {
        let today = self.today();
        let known = self.peers.get(user).map(Peer::prekeys).unwrap_or_default();
        let serves =
            |record: &PrekeyRecord| record.usable_on(today) && is_active(log, &record.device);
        let is_there = |record: &PrekeyRecord| {
            prekeys.iter().any(|prekey| prekey.record.device == record.device)
        };
        known.iter().any(|prekey| serves(&prekey.record) && !is_there(&prekey.record))
    }

    /// What is known of a user's active devices with these prekeys: none may go back, be left out
    /// while it can be used, or have two contents.
    fn newer_records(
        &self,
        user: &UserId,
        log: &DeviceLog,
        prekeys: &[Prekey],
    ) -> Result<Vec<Sealed>, ClientError> {
        let rolled_back = ClientError::Unverified(Code::PrekeyRollback);
        if self.lacks_prekey(user, log, prekeys) {
            return Err(rolled_back);
        }
        let known = self.peers.get(user).ok_or(ClientError::NoContact)?.prekeys();
        let mut records: Vec<PrekeyRecord> = known.into_iter().map(|known| known.record).collect();
        records.retain(|record| is_active(log, &record.device));
        for Prekey { record, .. } in prekeys {
            match records.iter_mut().find(|seen| seen.device == record.device) {
                None => records.push(record.clone()),
                Some(seen) if record.id < seen.id => return Err(rolled_back),
                Some(seen) if record.id == seen.id && record != seen => {
                    return Err(ClientError::Unverified(Code::PrekeyInvalid));
                }
                Some(seen) => seen.clone_from(record),
            }
        }
        Ok(records.iter().map(|record| Sealed::new(record.to_bytes())).collect())
    }

    fn note_prekeys(
        &mut self,
        user: UserId,
        records: Vec<Sealed>,
        prekeys: &[Prekey],
    ) -> Result<(), ClientError> {
        let now = self.clock.now_ms();
        let known = self.peers.get(&user).ok_or(ClientError::NoContact)?;
        let mut peer = Peer { records, looked_ms: now, ..known.clone() };
        for Prekey { record, .. } in prekeys {
            // The end of the day that the record names: it is not told more exactly.
            peer.confirm((u64::from(record.day) + 1) * DAY_MS - 1, now);
        }
        self.looked.insert(user, now);
        Ok(self.put_peer(peer)?)
    }

    /// Looks a contact's prekeys up if what is known of them is old: of another connection, or
    /// of 12 hours ago.
    pub(super) async fn look_up(&mut self, user: UserId) -> Result<(), ClientError> {
        let now = self.clock.now_ms();
        let is_fresh = |at: &u64| now.saturating_sub(*at) < LOOKED_UP_MS;
        if !self.looked.get(&user).is_some_and(is_fresh) {
            self.fetch_prekeys(user, false).await?;
        }
        Ok(())
    }

    /// Looks the prekeys of contacts up of whom nothing was heard for a day: each record says that
    /// its device lives and what it knows of its log (CRYPTO, F4). Bounded, the longest silent
    /// first; one that stays silent is looked at twice a day.
    pub(super) async fn look_after_silent(&mut self) -> Result<(), ClientError> {
        let now = self.clock.now_ms();
        let is_silent = |peer: &&Peer| {
            peer.standing == Standing::Active
                && now.saturating_sub(peer.confirmed_ms) >= DAY_MS
                && now.saturating_sub(peer.looked_ms) >= LOOKED_UP_MS
        };
        let silent = self.peers.values().filter(is_silent);
        let mut silent: Vec<_> = silent.map(|peer| (peer.confirmed_ms, peer.user)).collect();
        silent.sort_unstable();
        for (_, user) in silent.into_iter().take(SILENT_MAX) {
            match self.fetch_prekeys(user, false).await {
                Err(error @ ClientError::Store(_)) => return Err(error),
                Err(error) if error.is_passing() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// A contact has a fresher prekey: what waited for it goes on.
    pub(super) async fn heard_of_prekey(&mut self, user: UserId) -> Result<(), ClientError> {
        let is_active = |peer: &&Peer| matches!(peer.standing, Standing::Active) && !peer.forked;
        if self.peers.get(&user).filter(is_active).is_none() {
            return Ok(());
        }
        self.fetch_prekeys(user, false).await?;
        self.judge_reach(user)?;
        Ok(())
    }

    /// Whether any device of a contact may be sealed to; tells when that ends.
    pub(super) fn judge_reach(&mut self, user: UserId) -> Result<bool, StoreError> {
        let today = self.today();
        let Ok(log) = self.log_of(&user) else { return Ok(false) };
        let active = |peer: &&Peer| peer.standing == Standing::Active;
        let Some(peer) = self.peers.get(&user).filter(active) else { return Ok(false) };
        let serves = |prekey: &Prekey| {
            prekey.record.usable_on(today) && is_active(&log, &prekey.record.device)
        };
        let reach = peer.prekeys().iter().any(serves);
        if peer.unreachable != reach {
            return Ok(reach);
        }
        let peer = Peer { unreachable: !reach, ..peer.clone() };
        let handle = peer.handle.clone();
        self.put_peer(peer)?;
        if reach {
            self.retries.push(user);
        } else {
            self.tell(trouble(Trouble::Unreachable, &handle));
        }
        Ok(reach)
    }

    /// Stores what is known of a user, if anything of it changed.
    pub(super) fn put_peer(&mut self, peer: Peer) -> Result<(), StoreError> {
        if self.peers.get(&peer.user) == Some(&peer) {
            return Ok(());
        }
        let mut batch = Batch::default();
        batch.put(Space::Peer, peer.user.as_bytes(), to_json(&peer));
        self.store.add(&batch)?;
        self.peers.insert(peer.user, peer);
        Ok(())
    }

    /// The handle of a user, for alarms.
    pub(super) fn name_of(&self, user: &UserId) -> String {
        self.peers.get(user).map_or_else(|| "a contact".to_owned(), |peer| peer.handle.clone())
    }

    /// The active contact of this name.
    pub(super) fn contact(&self, handle: &str) -> Result<&Peer, ClientError> {
        Handle::parse(handle).map_err(|_| ClientError::Handle)?;
        let named =
            |standing| self.peers.values().find(|p| p.handle == handle && p.standing == standing);
        if let Some(peer) = named(Standing::Active) {
            return Ok(peer);
        }
        let waits = named(Standing::AsksMe).or_else(|| named(Standing::Asked));
        if waits.is_some() || self.asked.contains_key(handle) {
            return Err(ClientError::NotAccepted);
        }
        match named(Standing::Blocked) {
            Some(_) => Err(ClientError::YouBlock),
            None => Err(ClientError::NoContact),
        }
    }

    /// As [`Self::contact`], or somebody who was one: the history stays.
    pub(super) fn acquaintance(&self, handle: &str) -> Result<&Peer, ClientError> {
        let ended = |peer: &&Peer| {
            let is_ended = matches!(peer.standing, Standing::Removed | Standing::Blocked);
            peer.handle == handle && is_ended
        };
        match self.contact(handle) {
            Err(error @ ClientError::Handle) => Err(error),
            Err(error) => self.peers.values().find(ended).ok_or(error),
            found => found,
        }
    }

    /// As [`Self::contact`], if it may be sent to.
    pub(super) fn recipient(&self, handle: &str) -> Result<&Peer, ClientError> {
        let peer = self.contact(handle)?;
        may_send(peer)?;
        if peer.unreachable {
            return Err(ClientError::PeerStale);
        }
        Ok(peer)
    }
}

fn is_active(log: &DeviceLog, device: &DeviceId) -> bool {
    log.device(device).is_some_and(|device| device.revoked.is_none())
}

/// Whether anything may be sent to a contact, reachable or not (CRYPTO 9).
pub(super) fn may_send(peer: &Peer) -> Result<(), ClientError> {
    if peer.standing != Standing::Active {
        return Err(ClientError::NotAccepted);
    }
    if peer.forked {
        return Err(ClientError::Blocked);
    }
    if peer.changed {
        return Err(ClientError::Changed);
    }
    if peer.waits_for_person() {
        return Err(ClientError::Unacknowledged);
    }
    Ok(())
}
