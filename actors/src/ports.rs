//! What the engine needs from outside, and nothing about how it is done: accounts and contacts
//! from a database, the queue store, other nodes, time, randomness. `src/adapters/` implements these.
//!
//! A port that cannot answer says [`Unavailable`]; the engine then refuses and changes nothing.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use hushwire_wire::frame::Hello;
use hushwire_wire::{Close, Conn, DeviceId, EpochId, Gen, NodeId, Nonce, UserId};

use crate::admissions::Admissions;
use crate::aside::Aside;
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

/// The way between nodes. Words may be lost, delayed and repeated: each is a hint, or is missed by
/// a timer of the node that published it.
#[async_trait]
pub trait Bus: Send + Sync + fmt::Debug {
    /// Publishes words of the node `from`, in order; for each, whether a node received it.
    async fn publish(&self, from: NodeId, words: Vec<(Address, Word)>) -> Vec<bool>;

    /// The next words for `node`, which receives from its first call on.
    ///
    /// # Errors
    /// If words may have been lost since the last call.
    async fn next(&self, node: NodeId) -> Result<Vec<Word>, Unavailable>;

    /// Says that `node` is there, or that it is not any more; the nodes that said so lately.
    ///
    /// # Errors
    /// If nobody can be told.
    async fn beat(&self, node: NodeId, there: bool) -> Result<Vec<NodeId>, Unavailable>;

    /// Whether there is never another node.
    fn is_alone(&self) -> bool {
        false
    }
}

/// Whom a word is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// One node.
    Node(NodeId),
    /// All but the one that says it.
    Others,
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
        /// The generation that the message was admitted in.
        r#gen: Gen,
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
    /// Something beside messages.
    Aside(Aside),
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
    /// Who sent what, as all nodes know it. Without, this node knows it for itself.
    pub admissions: Option<Arc<dyn Admissions>>,
    /// The budget of sign-ins by address.
    pub sign_ins: Arc<dyn SignIns>,
}
