//! The bounded queue of calls in front of the `Queue` port, and where each reply goes.
//!
//! Pushing never waits. A call that finds no place, or whose reply is lost with the actor that
//! carried it, is answered `Unavailable`; a message then stays Pending and its sender comes again.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use hushwire_wire::DeviceId;
use tokio::sync::oneshot;

use super::{Call, Reply};
use crate::lane::{Fact, Lane};
use crate::path::Path;
use crate::ports::Unavailable;
use crate::route::FlightRef;

/// Where a reply goes.
#[derive(Debug)]
pub(crate) enum To {
    /// To the custody of the entries, in order. Never told of a failure: they stay Pending.
    Custody {
        /// Whose custody, for each entry.
        flights: Vec<Option<FlightRef>>,
        /// The device that is written to.
        device: DeviceId,
        /// Their way so far.
        path: Path,
    },
    /// To a session, after the custody of the entries.
    Session {
        /// Its device.
        device: DeviceId,
        /// Its lane.
        lane: Arc<Lane<FlightRef>>,
        /// Whose custody, for each entry.
        flights: Vec<Option<FlightRef>>,
    },
    /// To one that waits.
    Once(oneshot::Sender<Result<Reply, Unavailable>>),
    /// To nobody but the devices that have new notices.
    Nobody,
}

impl To {
    /// The device whose ledger is called.
    pub(crate) const fn device(&self) -> Option<DeviceId> {
        match self {
            Self::Custody { device, .. } | Self::Session { device, .. } => Some(*device),
            Self::Once(_) | Self::Nobody => None,
        }
    }
}

/// A call's destination, which hears `Unavailable` if the reply is lost.
#[derive(Debug)]
pub(crate) struct Pending(Option<To>);

impl Pending {
    pub(crate) const fn take(&mut self) -> Option<To> {
        self.0.take()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        match self.0.take() {
            Some(To::Session { lane, .. }) => lane.tell(Fact::Reply(Err(Unavailable))),
            Some(To::Once(once)) => drop(once.send(Err(Unavailable))),
            Some(To::Custody { .. } | To::Nobody) | None => {}
        }
    }
}

/// The calls that wait.
#[derive(Debug)]
pub(crate) struct Intake {
    inner: Mutex<Inner>,
    most: usize,
}

#[derive(Debug, Default)]
struct Inner {
    calls: VecDeque<(Call, Pending)>,
    waker: Option<Waker>,
}

impl Intake {
    pub(crate) fn new(most: usize) -> Self {
        Self { inner: Mutex::default(), most }
    }

    /// Takes a call in. Full, the call is answered `Unavailable` at once.
    pub(crate) fn push(&self, call: Call, to: To) {
        let pending = Pending(Some(to));
        let waker = {
            let mut inner = self.lock();
            if inner.calls.len() >= self.most {
                drop(inner);
                drop(pending);
                return;
            }
            inner.calls.push_back((call, pending));
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes a call in and waits for its reply.
    pub(crate) async fn ask(&self, call: Call) -> Result<Reply, Unavailable> {
        self.begin(call).await.unwrap_or(Err(Unavailable))
    }

    /// Takes a call in, before it returns; its reply comes later.
    pub(crate) fn begin(&self, call: Call) -> oneshot::Receiver<Result<Reply, Unavailable>> {
        let (once, reply) = oneshot::channel();
        self.push(call, To::Once(once));
        reply
    }

    /// The next calls, at most `most`, as soon as there is one.
    pub(crate) async fn next(&self, most: usize) -> Vec<(Call, Pending)> {
        // Never empty, it would keep its thread for itself.
        tokio::task::coop::consume_budget().await;
        poll_fn(|cx| {
            let mut inner = self.lock();
            if inner.calls.is_empty() {
                inner.calls = VecDeque::new();
                inner.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let count = inner.calls.len().min(most);
            Poll::Ready(inner.calls.drain(..count).collect())
        })
        .await
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().calls.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    #[tokio::test]
    async fn a_full_intake_and_a_lost_reply_are_unavailable() {
        let intake = Intake::new(2);
        let (once, reply) = oneshot::channel();
        intake.push(Call::Sweep { most: 1, now_ms: 0 }, To::Once(once));
        intake.push(Call::Sweep { most: 2, now_ms: 0 }, To::Nobody);
        let lane = Arc::new(Lane::new(&Limits::default()));
        let device = DeviceId([1; 16]);
        let to = To::Session { device, lane: lane.clone(), flights: vec![] };
        intake.push(Call::Sweep { most: 3, now_ms: 0 }, to);
        assert_eq!(lane.next_fact(true), Some(Fact::Reply(Err(Unavailable))), "full");
        let batch = intake.next(10).await;
        assert_eq!(batch.len(), 2);
        drop(batch);
        assert_eq!(reply.await.unwrap(), Err(Unavailable), "lost with its actor");
    }

    #[tokio::test]
    async fn one_that_is_never_empty_lets_others_have_their_turn() {
        let intake = Intake::new(2);
        let other = tokio::spawn(async {});
        for _ in 0..1_000 {
            intake.push(Call::Time, To::Nobody);
            assert_eq!(intake.next(1).await.len(), 1);
        }
        assert!(other.is_finished());
    }
}
