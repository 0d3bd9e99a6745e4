//! Logs that were verified before: only what is new of one is verified again.
//!
//! The database is ours, and still nothing is taken from here that it does not say: an entry's
//! hash covers the one before it, so a cached log is a prefix of what was read if their entry of
//! the same number has the same hash.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hushwire_identity::hash::{Label, hash};
use hushwire_identity::{DeviceLog, LogError};
use hushwire_wire::UserId;

/// Entries of all remembered logs together, at most: some 10 MB.
const ENTRIES: usize = 65_536;

/// Verified logs by user.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    logs: HashMap<UserId, Arc<DeviceLog>>,
    entries: usize,
}

impl Logs {
    /// The log of `user` that these entries are, all of them in order.
    ///
    /// # Errors
    /// At the first new entry that breaks a rule.
    pub(crate) fn verified(
        &self,
        user: UserId,
        entries: &[Vec<u8>],
    ) -> Result<Arc<DeviceLog>, LogError> {
        let known = self.known(&user);
        let log = match known.and_then(|log| Some((after(&log, entries)?, log))) {
            Some(([], log)) => return Ok(log),
            Some((new, log)) => {
                let mut log = DeviceLog::clone(&log);
                new.iter().try_for_each(|entry| log.extend(entry))?;
                log
            }
            None => DeviceLog::verify(entries)?,
        };
        let log = Arc::new(log);
        self.keep(user, &log);
        Ok(log)
    }

    fn known(&self, user: &UserId) -> Option<Arc<DeviceLog>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.logs.get(user).cloned()
    }

    fn keep(&self, user: UserId, log: &Arc<DeviceLog>) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).keep(user, Arc::clone(log));
    }
}

impl Known {
    fn keep(&mut self, user: UserId, log: Arc<DeviceLog>) {
        self.forget(&user);
        while self.entries + len(&log) > ENTRIES {
            // Any will do: a hash table's order is as good as random.
            let Some(any) = self.logs.keys().next().copied() else { break };
            self.forget(&any);
        }
        self.entries += len(&log);
        self.logs.insert(user, log);
    }

    fn forget(&mut self, user: &UserId) {
        if let Some(log) = self.logs.remove(user) {
            self.entries -= len(&log);
        }
    }
}

/// The number of a log's entries.
fn len(log: &DeviceLog) -> usize {
    usize::try_from(log.seq()).unwrap_or(usize::MAX).saturating_add(1)
}

/// What comes after `log` in `entries`; `None` if it does not begin them.
fn after<'a>(log: &DeviceLog, entries: &'a [Vec<u8>]) -> Option<&'a [Vec<u8>]> {
    let seq = usize::try_from(log.seq()).ok()?;
    let same = hash(Label::Entry, &[entries.get(seq)?]) == log.head().0;
    if same { entries.get(seq + 1..) } else { None }
}

#[cfg(test)]
mod tests {
    use hushwire_e2ee::{DeviceKey, RandomError};
    use hushwire_identity::{DeviceKind, Draft, Handle, Payload, Suites};

    use super::*;

    fn random(out: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(out).map_err(|_| RandomError)
    }

    fn key() -> DeviceKey {
        DeviceKey::generate(&mut random).unwrap()
    }

    fn genesis(key: &DeviceKey) -> Vec<u8> {
        let handle = Handle::parse("alice").unwrap();
        key.genesis("localhost", &handle, DeviceKind::PHONE, Suites::HERE, 1).unwrap()
    }

    fn add(log: &DeviceLog, signer: &DeviceKey, new: &DeviceKey) -> Vec<u8> {
        let (kind, suites) = (DeviceKind::PHONE, Suites::HERE);
        let draft = Draft {
            seq: log.seq() + 1,
            log: log.user(),
            prev: log.head().0,
            time_ms: log.time_ms(),
            signer: signer.device_id(),
            payload: Payload::Add { ik: *new.public(), kind, suites },
        };
        signer.sign_entry(&draft, Some(&new.claim(&log.user(), kind, suites)))
    }

    #[test]
    fn a_known_log_grows_and_another_is_verified_whole() {
        let (logs, alice) = (Logs::default(), key());
        let mut entries = vec![genesis(&alice)];
        let log = DeviceLog::verify(&entries).unwrap();
        let user = log.user();
        let first = logs.verified(user, &entries).unwrap();
        assert!(Arc::ptr_eq(&first, &logs.verified(user, &entries).unwrap()));

        entries.push(add(&log, &alice, &key()));
        let second = logs.verified(user, &entries).unwrap();
        assert_eq!(*second, DeviceLog::verify(&entries).unwrap());

        // Another second entry, and none at all: neither is what is known.
        let fork = vec![entries[0].clone(), add(&log, &alice, &key())];
        assert_eq!(*logs.verified(user, &fork).unwrap(), DeviceLog::verify(&fork).unwrap());
        assert_eq!(*logs.verified(user, &entries[..1]).unwrap(), log);
        let mut broken = entries.clone();
        *broken[1].last_mut().unwrap() ^= 1;
        assert_eq!(logs.verified(user, &broken), Err(LogError::Signature));
        assert_eq!(logs.verified(user, &[]), Err(LogError::Empty));
    }

    #[test]
    fn no_more_are_remembered_than_the_bound() {
        let logs = Logs::default();
        let alice = key();
        let mut log = DeviceLog::genesis(&genesis(&alice)).unwrap();
        log.extend(&add(&log, &alice, &key())).unwrap();
        let log = Arc::new(log);
        for n in 0..=ENTRIES as u64 / 2 {
            let mut user = [0; 32];
            user[..8].copy_from_slice(&n.to_be_bytes());
            for _ in 0..2 {
                logs.keep(UserId(user), &log);
            }
        }
        let known = logs.known.lock().unwrap();
        assert_eq!((known.logs.len(), known.entries), (ENTRIES / 2, ENTRIES));
    }
}
