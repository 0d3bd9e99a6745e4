//! Buses without a network: none at all, and one between the engines of one process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use hushwire_wire::NodeId;
use tokio::sync::Notify;

use crate::ports::{Address, Bus, Unavailable, Word};

/// Words that wait for one node, at most; more are not received.
const INBOX: usize = 1 << 14;

/// There is no other node: the embedded default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

#[async_trait]
impl Bus for Alone {
    async fn publish(&self, _from: NodeId, words: Vec<(Address, Word)>) -> Vec<bool> {
        vec![false; words.len()]
    }

    async fn next(&self, _node: NodeId) -> Result<Vec<Word>, Unavailable> {
        std::future::pending().await
    }

    async fn beat(&self, node: NodeId, _there: bool) -> Result<Vec<NodeId>, Unavailable> {
        Ok(vec![node])
    }

    fn is_alone(&self) -> bool {
        true
    }
}

/// The engines of one process. Clones are the same bus.
#[derive(Clone, Debug, Default)]
pub struct MemoryBus {
    nodes: Arc<Mutex<HashMap<NodeId, Arc<Inbox>>>>,
}

#[derive(Debug, Default)]
struct Inbox {
    words: Mutex<VecDeque<Word>>,
    came: Notify,
}

impl Inbox {
    fn put(&self, word: &Word) -> bool {
        let mut waiting = lock(&self.words);
        let received = waiting.len() < INBOX;
        if received {
            waiting.push_back(word.clone());
        }
        drop(waiting);
        self.came.notify_one();
        received
    }
}

impl MemoryBus {
    /// A node is gone: nobody receives for it any more.
    pub fn leave(&self, node: NodeId) {
        lock(&self.nodes).remove(&node);
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn publish(&self, from: NodeId, words: Vec<(Address, Word)>) -> Vec<bool> {
        let give = |(to, word): (Address, Word)| {
            let inboxes: Vec<_> = {
                let nodes = lock(&self.nodes);
                match to {
                    Address::Node(node) => nodes.get(&node).cloned().into_iter().collect(),
                    Address::Others => nodes
                        .iter()
                        .filter(|(node, _)| **node != from)
                        .map(|(_, i)| i.clone())
                        .collect(),
                }
            };
            let received = inboxes.iter().filter(|inbox| inbox.put(&word)).count();
            received > 0
        };
        words.into_iter().map(give).collect()
    }

    async fn next(&self, node: NodeId) -> Result<Vec<Word>, Unavailable> {
        let inbox = lock(&self.nodes).entry(node).or_default().clone();
        loop {
            let words = std::mem::take(&mut *lock(&inbox.words));
            if !words.is_empty() {
                return Ok(words.into());
            }
            inbox.came.notified().await;
        }
    }

    /// Whoever receives is there.
    async fn beat(&self, node: NodeId, there: bool) -> Result<Vec<NodeId>, Unavailable> {
        if !there {
            self.leave(node);
        }
        Ok(lock(&self.nodes).keys().copied().collect())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use hushwire_wire::DeviceId;

    use super::*;

    #[tokio::test]
    async fn words_reach_who_listens_and_nobody_else() {
        let (bus, a, b) = (MemoryBus::default(), NodeId([1; 16]), NodeId([2; 16]));
        let word = Word::Notices { device: DeviceId([3; 16]) };
        let say = async |to| bus.publish(b, vec![(to, word.clone())]).await == [true];
        assert!(!say(Address::Node(a)).await, "nobody listens yet");
        let listening = tokio::spawn({
            let bus = bus.clone();
            async move { bus.next(a).await }
        });
        tokio::task::yield_now().await;
        let both = vec![(Address::Node(a), word.clone()), (Address::Node(b), word.clone())];
        assert_eq!(bus.publish(b, both).await, [true, false]);
        assert_eq!(listening.await.unwrap(), Ok(vec![word.clone()]));
        assert_eq!(bus.publish(a, vec![(Address::Others, word.clone())]).await, [false]);
        assert!(say(Address::Others).await);
        assert_eq!(bus.next(a).await, Ok(vec![word.clone()]), "all but whoever says it");
        for _ in 0..INBOX {
            assert!(say(Address::Node(a)).await);
        }
        assert!(!say(Address::Node(a)).await, "full");
        bus.leave(a);
        assert!(!say(Address::Node(a)).await, "gone");
        assert_eq!(Alone.publish(b, vec![(Address::Node(a), word.clone())]).await, [false]);
    }
}
