//! The own prekey (CRYPTO 4, "Rotation"): renewed, published, and its older secrets erased as soon
//! as no wrap needs them; and the finding that this store is an old copy, or is in use twice.
//!
//! A secret is stored before the server hears of its prekey, and erased only after every wrap that
//! the server lists for it was taken and claimed, or refused for good. A record of our own making
//! that is newer than ours is believed only with our own signature.

use std::num::NonZeroU32;

use hushwire_e2ee::{DeviceKey, PrekeySecret, RandomError};
use hushwire_identity::{Code, DeviceLog, EpochHeader, Prekey, PrekeyRecord, Suites, day_of};
use hushwire_wire::http::{EpochBundle, PrekeyBundle, PrekeyPut, Prekeys, ProblemCode, Unclaimed};
use hushwire_wire::{EpochId, Sealed, UserId};

use super::{Engine, FORGET_EVERY_MS, account, call, peer};
use crate::error::ClientError;
use crate::event::{Trouble, alarm, trouble};
use crate::record::{OwnPrekey, Standing, to_json};
use crate::store::{Batch, Space, StoreError};
use crate::transport::Method;

/// A prekey is renewed after so many milliseconds: 24 h.
const RENEWED_AFTER_MS: u64 = 86_400_000;
/// A secret that a wrap still needs is kept so many days, at most.
const SECRET_KEPT_DAYS: u32 = 31;
/// Two findings of a newer own prekey within so many milliseconds mean a clone: 24 h.
const CLONED_WITHIN_MS: u64 = 86_400_000;
/// Attempts to publish, each after what stands was looked at.
const ATTEMPTS: usize = 3;
/// Lists of waiting wraps that are worked off one after the other, at most.
const LISTS_MAX: usize = 8;

/// A new prekey of this device, as it is stored and published.
pub(super) fn own_prekey(
    secret: &PrekeySecret,
    key: &DeviceKey,
    log: &DeviceLog,
    now_ms: u64,
) -> OwnPrekey {
    let day = day_of(now_ms);
    // What the log entry says: more would let others choose what this person did not.
    let suites = log.device(&key.device_id()).map_or(Suites::HERE, |device| device.suites);
    let prekey = secret.publish(key, log, suites, day);
    OwnPrekey {
        id: secret.id(),
        day,
        made_ms: now_ms,
        record: Sealed::new(prekey.record.to_bytes()),
        xwing: prekey.xwing.map(Sealed::new),
        published: false,
    }
}

pub(super) fn bundle(prekey: &OwnPrekey) -> PrekeyBundle {
    PrekeyBundle { record: prekey.record.clone(), xwing: prekey.xwing.clone() }
}

impl Engine {
    /// The own prekey as others see it.
    pub(super) fn own_prekey(&self) -> Result<Prekey, StoreError> {
        let xwing = self.prekey.xwing.as_ref().map(Sealed::as_bytes);
        Prekey::parse(self.prekey.record.as_bytes(), xwing).map_err(|_| StoreError::Damaged)
    }

    /// The record of the own prekey, without the post-quantum key: for what only compares.
    pub(super) fn own_record(&self) -> Result<Prekey, StoreError> {
        let record = PrekeyRecord::parse(self.prekey.record.as_bytes());
        Ok(Prekey { record: record.map_err(|_| StoreError::Damaged)?, xwing: None })
    }

    pub(super) fn newest_secret(&self) -> Result<PrekeySecret, StoreError> {
        let newest = self.secrets.iter().find(|secret| secret.id() == self.prekey.id);
        newest.cloned().ok_or(StoreError::Damaged)
    }

    /// Makes sure, once in a run, that no newer prekey of this device stands: else no chain of this
    /// store may be used.
    pub(super) async fn check_current(&mut self) -> Result<(), ClientError> {
        if self.is_current {
            return Ok(());
        }
        let done = self.renew_prekey().await;
        if self.is_current { Ok(()) } else { done }
    }

    /// Renews the prekey if that is due, and puts it on every new connection: the server answers
    /// with what waits under the older ones, and refuses if another one stands.
    pub(super) async fn renew_prekey(&mut self) -> Result<(), ClientError> {
        for _ in 0..ATTEMPTS {
            // One that the server may not have is put first: ids have no holes.
            if self.prekey.published {
                if self.is_prekey_due()? {
                    self.next_prekey(self.prekey.id)?;
                } else if self.put_here && (self.secrets.len() <= 1 || self.unclaimed.is_some()) {
                    return Ok(());
                }
            }
            match self.put_prekey().await {
                Err(error) if error.problem() == Some(ProblemCode::PrekeyConflict) => {
                    self.judge_standing_prekey().await?;
                }
                Ok(()) if self.is_prekey_due()? => {}
                done => return done,
            }
        }
        Err(ClientError::Unverified(Code::PrekeyRollback))
    }

    /// Once in every run of the program, so that an old copy of the store shows; every 24 hours;
    /// and when the own log has moved on.
    pub(super) fn is_prekey_due(&self) -> Result<bool, StoreError> {
        let now = self.clock.now_ms();
        let age = now.saturating_sub(self.prekey.made_ms);
        let knows = self.own_record()?.record.log_seq;
        Ok(!self.renewed
            || age >= RENEWED_AFTER_MS
            || self.prekey.day < day_of(now)
            || knows < self.log.seq())
    }

    /// Makes the prekey after `before`. Its secret is stored before the server hears of it.
    fn next_prekey(&mut self, before: u32) -> Result<(), ClientError> {
        let id = NonZeroU32::MIN.saturating_add(before);
        let random = &mut self.random;
        let mut source = |out: &mut [u8]| -> Result<(), RandomError> { random.fill(out) };
        let secret = PrekeySecret::generate(id, &mut source)?;
        let prekey = own_prekey(&secret, &self.key, &self.log, self.clock.now_ms());
        let mut batch = Batch::default();
        let until = self.today() + SECRET_KEPT_DAYS;
        for old in self.secrets.iter().filter(|old| old.id() == self.prekey.id) {
            let (key, bytes) = (old.id().to_be_bytes(), old.to_bytes());
            batch.put_until(Space::Prekey, &key, until, bytes.to_vec());
        }
        batch.put(Space::Prekey, &secret.id().to_be_bytes(), secret.to_bytes());
        batch.put(Space::Own, b"prekey", to_json(&prekey));
        self.store.add(&batch)?;
        self.secrets.push(secret);
        self.prekey = prekey;
        self.renewed = true;
        Ok(())
    }

    async fn put_prekey(&mut self) -> Result<(), ClientError> {
        let reply = self.send_body(Method::Put, "/v1/prekey", &bundle(&self.prekey)).await?;
        let put: PrekeyPut = call::decode(&reply)?;
        self.put_here = true;
        self.is_current = true;
        self.unclaimed = Some(put);
        if !self.prekey.published {
            self.prekey.published = true;
            let mut batch = Batch::default();
            batch.put(Space::Own, b"prekey", to_json(&self.prekey));
            self.store.add(&batch)?;
        }
        Ok(())
    }

    /// Another prekey of this device stands: looks whether it is a newer one of our own.
    async fn judge_standing_prekey(&mut self) -> Result<(), ClientError> {
        let path = format!("/v1/users/{}/prekeys", self.account.user.to_base64url());
        let Prekeys { prekeys } = self.get(path).await?;
        let standing = prekeys
            .iter()
            .filter_map(|bundle| peer::parse(bundle).ok())
            .find(|prekey| prekey.record.device == self.key.device_id())
            .ok_or(ClientError::Nonsense)?;
        // A record that names more of the own log than is known here cannot be judged yet.
        standing.record.verify(&self.log).map_err(|e| ClientError::Unverified(e.code()))?;
        let (id, mine) = (standing.record.id, self.prekey.id);
        let is_other = standing.record.to_bytes() != self.prekey.record.as_bytes();
        if id > mine || (id == mine && is_other) {
            self.rolled_back(id)
        } else {
            // The server is older than its devices: they may go on, and make no new epochs.
            self.is_current = true;
            Err(ClientError::Unverified(Code::PrekeyRollback))
        }
    }

    /// This store is older than what its device has done: no chain in it may be used again. Goes
    /// on with a new prekey, and with new epochs everywhere.
    fn rolled_back(&mut self, standing: u32) -> Result<(), ClientError> {
        let now = self.clock.now_ms();
        let mut times: Vec<u64> = self.store.record(Space::Own, b"rollbacks")?.unwrap_or_default();
        times.retain(|at| now.saturating_sub(*at) < CLONED_WITHIN_MS);
        times.push(now);
        let mut batch = Batch::default();
        batch.put(Space::Own, b"rollbacks", to_json(&times));
        self.store.add(&batch)?;
        self.drop_chains()?;
        self.next_prekey(standing)?;
        if times.len() > 1 {
            self.tell(alarm(Code::DeviceCloned, ""));
        } else {
            self.tell(trouble(Trouble::RolledBack, ""));
        }
        Ok(())
    }

    /// Takes what waits under older prekeys, then erases every secret that nothing waits for.
    pub(super) async fn take_unclaimed(&mut self) -> Result<(), ClientError> {
        // The list is of the prekey that stands, which is sealed to until the next one does.
        if !self.prekey.published {
            return Ok(());
        }
        for _ in 0..LISTS_MAX {
            let Some(PrekeyPut { unclaimed, more }) = self.unclaimed.take() else { return Ok(()) };
            let mut needed = Vec::new();
            for Unclaimed { epoch, prekey } in unclaimed.iter().copied() {
                match self.take_waiting(epoch).await {
                    Ok(()) => {}
                    Err(error @ ClientError::Store(_)) => return Err(error),
                    Err(_) => needed.push(prekey),
                }
            }
            if !more {
                return Ok(self.erase_secrets(&needed)?);
            }
            if needed.len() == unclaimed.len() {
                return Ok(());
            }
            self.put_prekey().await?;
        }
        Ok(())
    }

    /// Takes one epoch that waits. An error means that it may still be taken later.
    async fn take_waiting(&mut self, epoch: EpochId) -> Result<(), ClientError> {
        let known = self.peers.values().find(|peer| peer.knows(&epoch)).map(|peer| peer.user);
        if let Some(user) = known {
            return self.claim(user, epoch).await;
        }
        let path = format!("/v1/epochs/{}", epoch.to_base64url());
        let bundle: EpochBundle = self.get(path).await?;
        let header = EpochHeader::parse(bundle.header.as_bytes()).ok();
        let header = header.filter(|header| header.id() == epoch);
        let header = header.ok_or(ClientError::Nonsense)?;
        if let Some(user) = self.other_of(&header)
            && self.take_or_refuse(user, epoch).await?
        {
            return Ok(());
        }
        // Refused for good: it is not to be listed again.
        self.say_claimed(epoch).await
    }

    /// The contact whose pair with this user an epoch is of.
    fn other_of(&self, header: &EpochHeader) -> Option<UserId> {
        let users = [Some(header.a.user), header.b.map(|b| b.user)];
        let other = users.into_iter().flatten().find(|user| *user != self.account.user)?;
        let peer = self.peers.get(&other).filter(|_| users.contains(&Some(self.account.user)))?;
        (peer.standing != Standing::AsksMe).then_some(other)
    }

    fn erase_secrets(&mut self, needed: &[u32]) -> Result<(), StoreError> {
        let current = self.prekey.id;
        let is_kept = |id: u32| id == current || needed.contains(&id);
        let mut batch = Batch::default();
        for old in self.secrets.iter().filter(|secret| !is_kept(secret.id())) {
            batch.delete(Space::Prekey, &old.id().to_be_bytes());
        }
        self.store.add(&batch)?;
        self.secrets.retain(|secret| is_kept(secret.id()));
        Ok(())
    }

    /// Erases what is past its time, whether there is a connection or not: rows past their day,
    /// secrets of prekeys among them, and skipped keys.
    pub(super) fn forget_expired(&mut self) -> Result<(), StoreError> {
        self.forget_at = self.clock.ticks_ms() + FORGET_EVERY_MS;
        self.forget_skipped()?;
        let today = self.today();
        if self.store.expire(today)? > 0 {
            self.secrets = account::secrets(&mut self.store)?;
        }
        Ok(())
    }
}
