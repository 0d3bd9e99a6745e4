//! What the engine needs from outside, and nothing about how it is done: accounts and contacts
//! from a database, the queue store, other nodes, time, randomness. `src/adapters/` implements these.
//!
//! A port that cannot answer says [`Unavailable`]; the engine then refuses and changes nothing.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use hushwire_wire::frame::{Accepted, Hello};
use hushwire_wire::message::Class;
use hushwire_wire::{Close, Conn, DeviceId, EpochId, Gen, NodeId, Nonce, UserId};

use crate::admit::{Offer, Verdict};
use crate::custody::Place;
use crate::envelope::Entry;

/// The port cannot answer now. Nothing fails open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unavailable")]
pub struct Unavailable;

/// Accounts, contacts and epochs, as the database has them.
#[async_trait]
pub trait Accounts: Send + Sync + fmt::Debug {
    /// Checks a `hello` against the challenge of its connection: known user, active device,
    /// strict signature over this server's domain and this nonce (CRYPTO 3, "Login").
    ///
    /// `Ok(None)` is the one answer for an unknown user, an unknown or revoked device and a
    /// signature that does not verify.
    async fn authenticate(
        &self,
        hello: &Hello,
        nonce: &Nonce,
    ) -> Result<Option<SignedIn>, Unavailable>;

    /// The newest epoch of the pair `user`, `peer` (equal for the self-pair), with its facts.
    ///
    /// `Ok(None)` if they are no accepted contacts: one answer for unknown, removed and blocked.
    async fn pair(&self, user: UserId, peer: UserId) -> Result<Option<PairFacts>, Unavailable>;
}

/// How often somebody may try to sign in from one address, over HTTP and sockets together.
pub trait SignIns: Send + Sync + fmt::Debug {
    /// Counts one try.
    ///
    /// # Errors
    /// When to try again, in milliseconds from now.
    fn admit(&self, from: IpAddr) -> Result<(), u64>;
}

/// Who signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The user.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
    /// The user's version.
    pub v: u64,
    /// When the device was added, in milliseconds since 1970.
    pub since_ms: u64,
}

/// What `send` is checked against: the newest epoch of an accepted pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairFacts {
    /// The newest epoch.
    pub epoch: EpochId,
    /// Its number.
    pub n: u32,
    /// Whether both its heads are the newest of their logs.
    pub heads_current: bool,
    /// Its roster in order: all active devices of both users at those heads.
    pub roster: Vec<RosterDevice>,
}

/// A device in an epoch's roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RosterDevice {
    /// Whose it is.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
    /// Whether it has a prekey, and so a wrap and a tag.
    pub wrapped: bool,
}

/// A user's version in the queue store: it rises with every change of the user's contacts, blocks,
/// logs, epochs and suspension, after its commit. Nodes compare it with what they cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The generation that it was read in: another one says nothing.
    pub r#gen: Gen,
    /// How often it was raised.
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
    /// The sender's stamp that the pair's facts were read at, if they allow the message. `None` if
    /// they refuse it: then only repeats and refusals are told, and nothing is changed.
    pub checked: Option<Stamp>,
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// To be routed; when the message was first admitted, in milliseconds since 1970.
    At(u64),
    /// Not to be routed: answered before, or refused. To an ask that was not checked also what it
    /// would have been: `New`, `Changed`, `Again` or `Resubmitted`.
    Told(Verdict),
    /// The sender's stamp is another one: the facts are to be loaded again. Nothing was changed.
    Changed(Stamp),
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

/// Who sent what and how often, kept for all nodes together (DELIVERY, "Send" 2): the rules of
/// [`crate::admit::Admit`] and of the limiter's buckets, in the queue store.
#[async_trait]
pub trait Admissions: Send + Sync + fmt::Debug {
    /// Looks up, judges, pays and records in one step. The record counts only once as many copies
    /// have it as are asked for.
    ///
    /// # Errors
    /// If the store does not answer, or is of another generation.
    async fn admit(&self, ask: Ask) -> Result<Admitted, Unavailable>;

    /// A flight to `to` is over. Whether its answer is the one that counts: not if another flight
    /// of the message was answered first, or the sender has gone on. May be lost with its node: a
    /// record that nothing lands on counts as landed after 15 s.
    async fn landed(
        &self,
        r#gen: Gen,
        user: UserId,
        device: DeviceId,
        to: UserId,
        landing: Landing,
    ) -> Result<bool, Unavailable>;

    /// The stamps of users, in order.
    ///
    /// # Errors
    /// If the store does not answer.
    async fn stamps(&self, users: &[UserId]) -> Result<Vec<Stamp>, Unavailable>;

    /// Raises the stamps of users, after a commit and before it is answered.
    ///
    /// # Errors
    /// If the store did not raise all of them; to be called again.
    async fn raise(&self, users: &[UserId]) -> Result<(), Unavailable>;
}

/// The way between nodes. Words may be lost, delayed and repeated: each is a hint, or is missed by
/// a timer of the node that published it.
#[async_trait]
pub trait Bus: Send + Sync + fmt::Debug {
    /// Publishes words in order; for each, whether a node received it.
    async fn publish(&self, words: Vec<(NodeId, Word)>) -> Vec<bool>;

    /// The next words for `node`, which receives from its first call on.
    ///
    /// # Errors
    /// If words may have been lost since the last call.
    async fn next(&self, node: NodeId) -> Result<Vec<Word>, Unavailable>;
}

/// What nodes tell each other (DELIVERY, "Many nodes").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// Give this copy to a connection.
    Route {
        /// The node that asks.
        from: NodeId,
        /// Its number for the copy, repeated in the answer.
        ticket: u64,
        /// The device.
        device: DeviceId,
        /// The connection, as the queue store knows it.
        conn: Conn,
        /// The copy.
        entry: Entry,
    },
    /// Where a copy is.
    Custody {
        /// The number of [`Word::Route`].
        ticket: u64,
        /// Its place.
        place: Place,
    },
    /// The connection does not live here.
    CustodyNo {
        /// The number of [`Word::Route`].
        ticket: u64,
        /// The connection.
        conn: Conn,
    },
    /// Something was written for a live connection: it is *behind* now.
    Behind {
        /// The device.
        device: DeviceId,
        /// The connection.
        conn: Conn,
    },
    /// New notices are stored.
    Notices {
        /// The device.
        device: DeviceId,
    },
    /// A newer connection took a device over.
    Displaced {
        /// The device.
        device: DeviceId,
        /// The older connection.
        conn: Conn,
    },
    /// A device was revoked or signed out: its connection ends.
    Ended {
        /// The device.
        device: DeviceId,
        /// The connection.
        conn: Conn,
        /// Why.
        close: Close,
    },
}

/// The wall clock. Durations are measured with tokio's clock, which tests move.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
}

/// Randomness for ids, nonces and tokens.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills `out` with bytes of cryptographic quality.
    fn fill(&self, out: &mut [u8]);
}

/// A hash of 32 bytes that nobody can invert or collide: tokens are kept, and repeated sends are
/// recognised, by it. The engine holds no cryptography of its own.
pub trait Digest: Send + Sync + fmt::Debug {
    /// The hash of `bytes`.
    fn digest(&self, bytes: &[u8]) -> [u8; 32];
}

/// Everything the engine is given.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Accounts and contacts.
    pub accounts: Arc<dyn Accounts>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Hashes.
    pub digest: Arc<dyn Digest>,
    /// The way to other nodes.
    pub bus: Arc<dyn Bus>,
    /// The budget of sign-ins by address.
    pub sign_ins: Arc<dyn SignIns>,
}
