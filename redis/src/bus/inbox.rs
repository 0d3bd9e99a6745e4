//! Words that came and were not taken yet.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hushwire_actors::ports::{Unavailable, Word};
use hushwire_wire::NodeId;
use tokio::sync::Notify;

use crate::words;

/// Words that wait, at most.
pub(super) const WORDS: usize = 1 << 14;
/// What waits, at most, in bytes as published: a few hundred messages of the largest size.
const BYTES: usize = 32 << 20;

/// The words for one node. What finds no place is dropped, and counts as an interruption.
#[derive(Debug)]
pub(super) struct Inbox {
    /// Whose it is: what this node said to all is not for itself.
    node: NodeId,
    inner: Mutex<Inner>,
    came: Notify,
    unread: AtomicU64,
    listens: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    words: VecDeque<Word>,
    bytes: usize,
    interrupted: bool,
}

impl Inbox {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            inner: Mutex::default(),
            came: Notify::new(),
            unread: AtomicU64::new(0),
            listens: AtomicBool::new(false),
        }
    }

    /// Takes in what was published.
    ///
    /// How many came that this version cannot read, if this is one of them.
    pub(super) fn put(&self, bytes: &[u8], to_all: bool) -> Option<u64> {
        let Some((from, word)) = words::read(bytes) else {
            return Some(self.unread.fetch_add(1, Ordering::Relaxed) + 1);
        };
        if to_all && from == self.node {
            return None;
        }
        {
            let mut inner = self.lock();
            if inner.words.len() < WORDS && inner.bytes + bytes.len() <= BYTES {
                inner.bytes += bytes.len();
                inner.words.push_back(word);
            } else {
                inner.interrupted = true;
            }
        }
        self.came.notify_one();
        None
    }

    /// Words may have been lost.
    pub(super) fn interrupt(&self) {
        self.lock().interrupted = true;
        self.came.notify_one();
    }

    /// All words that wait, as soon as there is one. For one caller at a time.
    ///
    /// # Errors
    /// Once after words may have been lost; those that were not come after it.
    pub(super) async fn next(&self) -> Result<Vec<Word>, Unavailable> {
        loop {
            {
                let mut inner = self.lock();
                if std::mem::take(&mut inner.interrupted) {
                    return Err(Unavailable);
                }
                if !inner.words.is_empty() {
                    inner.bytes = 0;
                    return Ok(std::mem::take(&mut inner.words).into());
                }
            }
            self.came.notified().await;
        }
    }

    /// Whether a subscription stands, as far as is known.
    pub(super) fn set_listens(&self, listens: bool) {
        self.listens.store(listens, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn listens(&self) -> bool {
        self.listens.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    /// How much came that this version cannot read.
    pub(super) fn unread(&self) -> u64 {
        self.unread.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hushwire_actors::envelope::{Entry, Envelope};
    use hushwire_wire::deliver::SharedBody;
    use hushwire_wire::{Conn, DeviceId, Gen, Mid, NodeId, Sealed, UserId};

    use super::*;

    #[tokio::test]
    async fn what_is_too_much_is_lost_and_said_once() {
        let (inbox, word) =
            (Inbox::new(NodeId([9; 16])), Word::Notices { device: DeviceId([1; 16]) });
        let bytes = words::write(NodeId([8; 16]), &word);
        (0..WORDS).for_each(|_| assert_eq!(inbox.put(&bytes, false), None));
        assert!(!inbox.lock().interrupted, "they found a place");
        (0..3).for_each(|_| assert_eq!(inbox.put(&bytes, false), None));
        assert_eq!(inbox.next().await, Err(Unavailable));
        assert_eq!(inbox.next().await.unwrap().len(), WORDS);
        inbox.put(&bytes, false);
        assert_eq!(inbox.next().await, Ok(vec![word.clone()]));
        inbox.put(&words::write(NodeId([9; 16]), &word), true);
        assert!(inbox.lock().words.is_empty(), "its own word to all");
        inbox.put(&words::write(NodeId([8; 16]), &word), true);
        assert_eq!(inbox.next().await, Ok(vec![word]));
    }

    #[tokio::test]
    async fn bytes_are_bounded_too() {
        let envelope = Envelope {
            from_user: UserId([1; 32]),
            from_device: DeviceId([2; 16]),
            to: UserId([3; 32]),
            sn: 1,
            mid: Mid([4; 16]),
            at: 1,
            again: false,
            withdraw: Box::default(),
            body: SharedBody::new(Sealed::from(vec![0; 1 << 16])),
        };
        let entry = Entry { envelope: Arc::new(envelope), tag: [5; 16], own: false };
        let (from, device, conn) = (NodeId([6; 16]), DeviceId([7; 16]), Conn([8; 16]));
        let bytes = words::write(
            from,
            &Word::Route { from, ticket: 1, device, conn, r#gen: Gen([4; 16]), entry },
        );
        let (inbox, fit) = (Inbox::new(NodeId([9; 16])), BYTES / bytes.len());
        (0..=fit).for_each(|_| assert_eq!(inbox.put(&bytes, false), None));
        assert_eq!(inbox.next().await, Err(Unavailable));
        assert_eq!(inbox.next().await.unwrap().len(), fit);
        inbox.put(&bytes, false);
        assert_eq!(inbox.next().await.unwrap().len(), 1, "what was taken counts no more");
    }
}
