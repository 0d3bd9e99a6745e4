//! Which node keeps what belongs to two users together: who of them is there, and their calls.
//!
//! All nodes that see the same others agree on it, without asking: the pair's home is the node that
//! weighs most for it. Who is there is told by beats in the queue store; it decides nothing else,
//! and never custody (DELIVERY, "Many nodes").

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hushwire_wire::NodeId;

use crate::presence::Pair;

/// The nodes that beat lately, and this one.
#[derive(Debug)]
pub(crate) struct Homes {
    me: NodeId,
    nodes: Mutex<Arc<[NodeId]>>,
}

impl Homes {
    pub(crate) fn new(me: NodeId) -> Self {
        Self { me, nodes: Mutex::new(Arc::new([me])) }
    }

    /// Where a pair is kept.
    pub(crate) fn of(&self, pair: Pair) -> NodeId {
        home(&self.all(), pair).unwrap_or(self.me)
    }

    /// All nodes.
    pub(crate) fn all(&self) -> Arc<[NodeId]> {
        self.lock().clone()
    }

    /// These nodes beat lately. Whether they are others than before.
    pub(crate) fn set(&self, mut nodes: Vec<NodeId>) -> bool {
        nodes.push(self.me);
        nodes.sort_unstable();
        nodes.dedup();
        let mut known = self.lock();
        let changed = **known != *nodes;
        if changed {
            *known = nodes.into();
        }
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Arc<[NodeId]>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one of `nodes` that weighs most for the pair.
pub(crate) fn home(nodes: &[NodeId], pair: Pair) -> Option<NodeId> {
    nodes.iter().copied().max_by_key(|node| (weight(*node, pair), *node))
}

/// Ids are hashes or random: their first bytes are as good as all of them.
fn weight(node: NodeId, (a, b): Pair) -> u64 {
    let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    let (a, b) = (number(&a.0), number(&b.0));
    mix(number(&node.0) ^ mix(a ^ mix(b)))
}

/// Each bit of the result depends on each of `x` (the finaliser of SplitMix64).
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use hushwire_wire::UserId;

    use super::*;

    fn node(k: u8) -> NodeId {
        NodeId([k; 16])
    }

    fn pair(k: u16) -> Pair {
        let (mut a, mut b) = ([1; 32], [2; 32]);
        a[..2].copy_from_slice(&k.to_be_bytes());
        b[..2].copy_from_slice(&k.wrapping_mul(31).to_be_bytes());
        (UserId(a), UserId(b))
    }

    #[test]
    fn pairs_spread_and_few_move_when_a_node_comes_or_goes() {
        let three = [node(1), node(2), node(3)];
        let homes: Vec<_> = (0..3_000).map(|k| home(&three, pair(k)).unwrap()).collect();
        for one in three {
            let count = homes.iter().filter(|home| **home == one).count();
            assert!((800..1_200).contains(&count), "{count}");
        }
        for (k, before) in (0..).zip(&homes) {
            let after = home(&three[..2], pair(k)).unwrap();
            assert!(after == *before || *before == node(3), "only what was there moves");
        }
        assert_eq!(home(&[], pair(1)), None);
    }

    #[test]
    fn a_node_always_knows_itself() {
        let homes = Homes::new(node(2));
        assert_eq!(homes.of(pair(1)), node(2));
        assert!(homes.set(vec![node(3), node(1)]));
        assert!(!homes.set(vec![node(1), node(3), node(2)]));
        assert_eq!(*homes.all(), [node(1), node(2), node(3)]);
        assert!(homes.set(vec![]));
        assert_eq!(homes.of(pair(1)), node(2));
    }
}
