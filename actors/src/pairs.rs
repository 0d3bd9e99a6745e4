//! What is known about pairs of users: a bounded cache in front of the `Accounts` port.
//!
//! An entry is believed for 60 s, for up to a day while the port cannot answer, and dropped on a
//! change. A load that began before a change does not bring the old facts back; and each entry has
//! the users' stamps from before it was loaded, which tell of changes that were not heard of. That
//! two users are no contacts is never cached.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hushwire_wire::UserId;
use tokio::time::{Duration, Instant};

use crate::admissions::Stamp;
use crate::limits::Limits;
use crate::ports::PairFacts;

const SHARDS: usize = 16;
/// How long facts are used that cannot be asked for anew: not as long as stamps last.
const OLDEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The cache.
#[derive(Debug)]
pub(crate) struct Pairs {
    shards: Box<[Mutex<Shard>]>,
    most: usize,
    fresh: Duration,
}

#[derive(Debug, Default)]
struct Shard {
    known: HashMap<(UserId, UserId), Entry>,
    version: u64,
}

#[derive(Debug)]
struct Entry {
    facts: Arc<PairFacts>,
    /// Of the users in the key's order, from before the facts were loaded.
    stamps: [Stamp; 2],
    at: Instant,
}

/// The facts of a pair, as one of its users needs them.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) facts: Arc<PairFacts>,
    /// That user's stamp.
    pub(crate) stamp: Stamp,
}

/// When a load began: facts older than a change are not kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version(u64);

impl Pairs {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            most: (limits.pairs / SHARDS).max(1),
            fresh: Duration::from_millis(limits.pair_fresh_ms),
        }
    }

    /// The pair's facts as `a` needs them, or the version to load them at.
    pub(crate) fn get(&self, a: UserId, b: UserId) -> Result<Known, Version> {
        let key = pair(a, b);
        let shard = self.shard(&key);
        match shard.known.get(&key) {
            Some(entry) if entry.at.elapsed() < self.fresh => Ok(entry.known(a, key)),
            _ => Err(Version(shard.version)),
        }
    }

    /// The same however old, for when nobody can be asked for newer ones: who uses them compares
    /// their stamp.
    pub(crate) fn known(&self, a: UserId, b: UserId) -> Option<Known> {
        let key = pair(a, b);
        let shard = self.shard(&key);
        let entry = shard.known.get(&key).filter(|entry| entry.at.elapsed() < OLDEST)?;
        Some(entry.known(a, key))
    }

    /// Keeps facts that were loaded after these stamps of `a` and `b`, unless something changed
    /// since the load began. Tells whether they may be used.
    pub(crate) fn put(
        &self,
        (a, b): (UserId, UserId),
        facts: &Arc<PairFacts>,
        stamps: [Stamp; 2],
        at: Version,
    ) -> bool {
        let key = pair(a, b);
        let mut shard = self.shard(&key);
        if shard.version != at.0 {
            return false;
        }
        if shard.known.len() >= self.most && !shard.known.contains_key(&key) {
            let fresh = self.fresh;
            shard.known.retain(|_, entry| entry.at.elapsed() < fresh);
        }
        if shard.known.len() >= self.most && !shard.known.contains_key(&key) {
            // Any entry will do: a hash table's order is as good as random.
            let any = shard.known.keys().next().copied();
            any.and_then(|any| shard.known.remove(&any));
        }
        let [of_a, of_b] = stamps;
        let stamps = if key.0 == a { [of_a, of_b] } else { [of_b, of_a] };
        shard.known.insert(key, Entry { facts: facts.clone(), stamps, at: Instant::now() });
        true
    }

    /// The pair's facts are older than a change: they are loaded again.
    pub(crate) fn outdated(&self, a: UserId, b: UserId) {
        let key = pair(a, b);
        self.shard(&key).known.remove(&key);
    }

    /// The pair changed.
    pub(crate) fn changed(&self, a: UserId, b: UserId) {
        let key = pair(a, b);
        let mut shard = self.shard(&key);
        shard.version += 1;
        shard.known.remove(&key);
    }

    fn shard(&self, (a, b): &(UserId, UserId)) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[usize::from(a.0[1] ^ b.0[0]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn known(&self, user: UserId, key: (UserId, UserId)) -> Known {
        let [first, second] = self.stamps;
        let stamp = if key.0 == user { first } else { second };
        Known { facts: self.facts.clone(), stamp }
    }
}

fn pair(a: UserId, b: UserId) -> (UserId, UserId) {
    (a.min(b), a.max(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(n: u32) -> Arc<PairFacts> {
        let epoch = hushwire_wire::EpochId([1; 32]);
        Arc::new(PairFacts { epoch, n, heads_current: true, roster: vec![] })
    }

    fn stamp(v: u64) -> Stamp {
        Stamp { r#gen: hushwire_wire::Gen([0; 16]), v }
    }

    #[tokio::test(start_paused = true)]
    async fn facts_are_believed_for_a_while_and_until_a_change() {
        let pairs = Pairs::new(&Limits::default());
        let (a, b) = (UserId([1; 32]), UserId([2; 32]));
        let at = pairs.get(a, b).unwrap_err();
        assert!(pairs.put((b, a), &facts(1), [stamp(20), stamp(10)], at));
        let known = pairs.get(b, a).unwrap();
        assert_eq!((known.facts.n, known.stamp.v), (1, 20), "one entry for both directions");
        assert_eq!(pairs.get(a, b).unwrap().stamp.v, 10, "each has its own stamp");
        tokio::time::advance(Duration::from_secs(60)).await;
        let at = pairs.get(a, b).unwrap_err();
        let known = pairs.known(a, b).unwrap();
        assert_eq!((known.facts.n, known.stamp.v), (1, 10), "old, and not known to be wrong");
        pairs.changed(b, a);
        assert!(pairs.known(a, b).is_none());
        assert!(!pairs.put((a, b), &facts(1), [stamp(1); 2], at), "loaded before the change");
        let at = pairs.get(a, b).unwrap_err();
        assert!(pairs.put((a, b), &facts(1), [stamp(1); 2], at));
        tokio::time::advance(OLDEST).await;
        assert!(pairs.known(a, b).is_none(), "too old for anything");
        let at = pairs.get(a, b).unwrap_err();
        assert!(pairs.put((a, b), &facts(1), [stamp(1); 2], at));
        pairs.outdated(b, a);
        assert!(pairs.known(a, b).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_grows_past_its_bound() {
        let pairs = Pairs::new(&Limits { pairs: SHARDS * 4, ..Limits::default() });
        for k in 0..1_000u32 {
            let mut b = [0; 32];
            b[4..8].copy_from_slice(&k.to_be_bytes());
            let at = pairs.get(UserId([0; 32]), UserId(b)).unwrap_err();
            pairs.put((UserId([0; 32]), UserId(b)), &facts(k), [stamp(0); 2], at);
        }
        assert_eq!(pairs.shards[0].lock().unwrap().known.len(), 4);
    }
}
