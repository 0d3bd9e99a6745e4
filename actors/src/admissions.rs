//! Admission as a port: who sent what and how often, kept for all nodes together (DELIVERY, "Send"
//! 2, "Many nodes").
//!
//! Whoever implements [`Admissions`] keeps the rules of [`crate::admit`] and of the buckets of
//! [`crate::limiter`], which the in-memory implementation runs as they stand. What can be told at
//! once is told without a wait: see [`Soon`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hushwire_wire::frame::Accepted;
use hushwire_wire::message::Class;
use hushwire_wire::{DeviceId, Gen, UserId};

use crate::admit::{Offer, Verdict};
use crate::ports::Unavailable;

/// Who sent what and how often.
pub trait Admissions: Send + Sync + fmt::Debug {
    /// Looks up, judges, pays and records in one step.
    fn admit(&self, ask: &Ask) -> Soon<Admitted>;

    /// A flight is over. Whether its answer is the one that counts: not if another flight of the
    /// message was answered first, or the sender has gone on. A flight that never lands, since its
    /// node is gone, counts as landed after [`crate::admit::UNDER_WAY_MS`].
    fn landed(&self, landed: Landed) -> Soon<bool>;

    /// The stamps of two users.
    fn stamps(&self, users: [UserId; 2]) -> Soon<[Stamp; 2]>;

    /// Raises the stamps of users, after a commit and before it is answered.
    fn raise(&self, users: Vec<UserId>) -> Soon<()>;
}

/// A user's version in the queue store: it rises with every change of the user's contacts, blocks,
/// logs, epochs and suspension, after its commit. Nodes compare it with what they cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The generation that it was read in: another one says nothing.
    pub r#gen: Gen,
    /// Rises with every change.
    pub v: u64,
}

/// A message that asks for admission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The generation that the caller believes in.
    pub r#gen: Gen,
    /// Who sends.
    pub user: UserId,
    /// With which device.
    pub device: DeviceId,
    /// What.
    pub offer: Offer,
    /// Its class, which says what it costs.
    pub class: Class,
    /// The sender's stamp that the pair's facts were read at; `None` if there are none.
    pub stamp: Option<Stamp>,
    /// Whether the facts allow the message, and it has room. If not, only repeats and refusals are
    /// told, and whether the facts are those of now; nothing is changed.
    pub allowed: bool,
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// To be routed; when the message was first admitted, in milliseconds since 1970.
    At(u64),
    /// Not to be routed: answered before, or refused. To an ask that is not allowed also what it
    /// would have been: `New`, `Changed`, `Again` or `Resubmitted`.
    Told(Verdict),
    /// The sender's stamp is another one: the facts are to be loaded again. Nothing was changed.
    Changed,
}

/// A flight that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    /// The generation that it was admitted in: in another one nothing is known of it.
    pub r#gen: Gen,
    /// Who sent it.
    pub user: UserId,
    /// With which device.
    pub device: DeviceId,
    /// To whom.
    pub to: UserId,
    /// What became of it.
    pub landing: Landing,
}

/// What became of a flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landing {
    /// Custody is complete: repeats get this answer.
    Accepted(Arc<Accepted>),
    /// Custody ended in a reject of this number.
    Refused(u64),
    /// It ended without either.
    Neither,
}

/// What is known now, or comes. What comes was begun already, and is done even if nobody waits.
pub enum Soon<T> {
    /// Known at once.
    Now(Result<T, Unavailable>),
    /// On its way.
    Later(Pin<Box<dyn Future<Output = Result<T, Unavailable>> + Send>>),
}

impl<T> Soon<T> {
    /// It is known.
    pub const fn now(value: T) -> Self {
        Self::Now(Ok(value))
    }

    /// It comes.
    pub fn later(future: impl Future<Output = Result<T, Unavailable>> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }
}

/// What a future says now, without anybody being woken later.
pub(crate) fn poll_now<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(std::task::Waker::noop()))
}

impl<T> fmt::Debug for Soon<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Now(_) => "Now",
            Self::Later(_) => "Later",
        })
    }
}

impl<T: Unpin> Future for Soon<T> {
    type Output = Result<T, Unavailable>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            // Told once; whoever asks again after that hears nothing good.
            Self::Now(result) => Poll::Ready(std::mem::replace(result, Err(Unavailable))),
            Self::Later(future) => future.as_mut().poll(cx),
        }
    }
}
