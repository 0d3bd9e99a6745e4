//! What waits to be published. Pushing never waits; what finds no place is lost, as a word on the
//! bus may always be.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use hushwire_wire::NodeId;

use crate::ports::{Address, Word};

/// Words that wait to be published, at most.
const WORDS: usize = 1 << 14;

/// Words to other nodes.
#[derive(Debug, Default)]
pub(crate) struct Post {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    words: VecDeque<(Address, Word)>,
    waker: Option<Waker>,
}

impl Post {
    /// Puts a word in; whether it found a place.
    pub(crate) fn push(&self, to: NodeId, word: Word) -> bool {
        self.put(Address::Node(to), word)
    }

    /// The same, for all other nodes.
    pub(crate) fn push_to_others(&self, word: Word) -> bool {
        self.put(Address::Others, word)
    }

    fn put(&self, to: Address, word: Word) -> bool {
        let waker = {
            let mut inner = self.lock();
            if inner.words.len() >= WORDS {
                return false;
            }
            inner.words.push_back((to, word));
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// The next words, at most `most`, as soon as there is one.
    pub(crate) async fn next(&self, most: usize) -> Vec<(Address, Word)> {
        // Never empty, it would keep its thread for itself.
        tokio::task::coop::consume_budget().await;
        poll_fn(|cx| {
            let mut inner = self.lock();
            if inner.words.is_empty() {
                inner.words = VecDeque::new();
                inner.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let count = inner.words.len().min(most);
            Poll::Ready(inner.words.drain(..count).collect())
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use hushwire_wire::DeviceId;

    use super::*;

    #[tokio::test]
    async fn a_full_post_loses_the_newest_word() {
        let post = Post::default();
        let word = Word::Notices { device: DeviceId([1; 16]) };
        for _ in 0..WORDS {
            assert!(post.push(NodeId([2; 16]), word.clone()));
        }
        assert!(!post.push(NodeId([2; 16]), word.clone()));
        assert_eq!(post.next(10).await.len(), 10);
        assert!(post.push(NodeId([2; 16]), word));
    }
}
