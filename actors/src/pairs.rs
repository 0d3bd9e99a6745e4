//! What is known about pairs of users: a bounded cache in front of the `Accounts` port.
//!
//! An entry is believed for 60 s, longer while the port cannot answer, and dropped on a change. A load that began before a change does
//! not bring the old facts back. That two users are no contacts is never cached.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hushwire_wire::UserId;
use tokio::time::{Duration, Instant};

use crate::limits::Limits;
use crate::ports::PairFacts;

const SHARDS: usize = 16;

/// The cache.
#[derive(Debug)]
pub(crate) struct Pairs {
    shards: Box<[Mutex<Shard>]>,
    most: usize,
    fresh: Duration,
}

#[derive(Debug, Default)]
struct Shard {
    known: HashMap<(UserId, UserId), (Arc<PairFacts>, Instant)>,
    version: u64,
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

    /// The pair's facts, or the version to load them at.
    pub(crate) fn get(&self, a: UserId, b: UserId) -> Result<Arc<PairFacts>, Version> {
        let key = pair(a, b);
        let shard = self.shard(&key);
        match shard.known.get(&key) {
            Some((facts, at)) if at.elapsed() < self.fresh => Ok(facts.clone()),
            _ => Err(Version(shard.version)),
        }
    }

    /// The pair's facts however old, for when nobody can be asked for newer ones: a change would
    /// have dropped them.
    pub(crate) fn known(&self, a: UserId, b: UserId) -> Option<Arc<PairFacts>> {
        let key = pair(a, b);
        self.shard(&key).known.get(&key).map(|(facts, _)| facts.clone())
    }

    /// Keeps loaded facts, unless something changed since the load began. Tells whether they may
    /// be used.
    pub(crate) fn put(&self, a: UserId, b: UserId, facts: &Arc<PairFacts>, at: Version) -> bool {
        let key = pair(a, b);
        let mut shard = self.shard(&key);
        if shard.version != at.0 {
            return false;
        }
        if shard.known.len() >= self.most && !shard.known.contains_key(&key) {
            let fresh = self.fresh;
            shard.known.retain(|_, (_, at)| at.elapsed() < fresh);
        }
        if shard.known.len() >= self.most && !shard.known.contains_key(&key) {
            // Any entry will do: a hash table's order is as good as random.
            let any = shard.known.keys().next().copied();
            any.and_then(|any| shard.known.remove(&any));
        }
        shard.known.insert(key, (facts.clone(), Instant::now()));
        true
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

    #[tokio::test(start_paused = true)]
    async fn facts_are_believed_for_a_while_and_until_a_change() {
        let pairs = Pairs::new(&Limits::default());
        let (a, b) = (UserId([1; 32]), UserId([2; 32]));
        let at = pairs.get(a, b).unwrap_err();
        assert!(pairs.put(a, b, &facts(1), at));
        assert_eq!(pairs.get(b, a).unwrap().n, 1, "one entry for both directions");
        tokio::time::advance(Duration::from_secs(60)).await;
        let at = pairs.get(a, b).unwrap_err();
        assert_eq!(pairs.known(a, b).unwrap().n, 1, "old, and not known to be wrong");
        pairs.changed(b, a);
        assert!(pairs.known(a, b).is_none());
        assert!(!pairs.put(a, b, &facts(1), at), "loaded before the change");
        assert!(pairs.get(a, b).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_grows_past_its_bound() {
        let pairs = Pairs::new(&Limits { pairs: SHARDS * 4, ..Limits::default() });
        for k in 0..1_000u32 {
            let mut b = [0; 32];
            b[4..8].copy_from_slice(&k.to_be_bytes());
            let at = pairs.get(UserId([0; 32]), UserId(b)).unwrap_err();
            pairs.put(UserId([0; 32]), UserId(b), &facts(k), at);
        }
        assert_eq!(pairs.shards[0].lock().unwrap().known.len(), 4);
    }
}
