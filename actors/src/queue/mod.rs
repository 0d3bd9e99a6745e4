//! The queue store as a port: devices' ledgers, notices, nonces and tokens (DELIVERY, "Stores").
//!
//! Calls come in batches and are answered in order. Every device call names the generation it
//! believes in; another one writes nothing. Whoever implements [`Queue`] keeps the rules of
//! [`crate::ledger`], which the in-memory implementation runs as they stand.

mod actor;
mod intake;
mod leaps;
mod memory;
mod tokens;
mod tombstones;

use std::fmt;

use async_trait::async_trait;
use hushwire_wire::frame::{News, SkipReason};
use hushwire_wire::{Conn, DeviceId, Gen, Mid, NodeId, Nonce, UserId};

pub(crate) use actor::QueueActor;
pub(crate) use intake::{Intake, To};
pub(crate) use leaps::Leaps;
pub use memory::MemoryQueue;

use crate::envelope::Entry;
use crate::ports::Unavailable;

/// The queue store.
#[async_trait]
pub trait Queue: Send + Sync + fmt::Debug {
    /// Executes the calls in order; as many replies, in the same order. Calls for one device are
    /// atomic each.
    async fn call(&self, calls: Vec<Call>) -> Vec<Result<Reply, Unavailable>>;

    /// The generation, as last known.
    fn generation(&self) -> Gen;

    /// When the generation began, in milliseconds since 1970: devices added before may send again
    /// what it lost.
    fn born_ms(&self) -> u64;

    /// What is stored, as last known.
    fn stored(&self) -> Stored;

    /// Whether the store takes no new message: what room it has left is for what is under way.
    fn is_full(&self) -> bool;

    /// Why the store takes no messages, as last known: it cannot be reached, or would not keep them
    /// as it must.
    fn refuses(&self) -> Option<&'static str> {
        None
    }
}

/// What a queue store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Messages in all ledgers.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Notices of all devices.
    pub notices: u64,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// On a device's ledger.
    Device {
        /// The generation the caller believes in.
        r#gen: Gen,
        /// Whose ledger.
        device: DeviceId,
        /// What to do.
        op: Op,
    },
    /// Remembers a nonce for 60 s.
    PutNonce(Nonce),
    /// Takes a nonce, once.
    TakeNonce(Nonce),
    /// Remembers a token by its hash; not for a device that was revoked.
    PutToken {
        /// The token's hash.
        hash: [u8; 32],
        /// Whose it is.
        user: UserId,
        /// The device.
        device: DeviceId,
        /// How long it lasts, in milliseconds.
        ttl_ms: u64,
    },
    /// Whose a token is.
    CheckToken {
        /// The token's hash.
        hash: [u8; 32],
    },
    /// Who holds a device.
    Holder {
        /// The device.
        device: DeviceId,
    },
    /// Forgets all tokens of a device.
    DropTokens {
        /// The device.
        device: DeviceId,
    },
    /// What the store's clock says.
    Time,
    /// Expires what is due, at most so many messages.
    Sweep {
        /// The most messages to expire.
        most: usize,
        /// Until when they must have come, and the time that they may wait passed: in milliseconds
        /// since 1970, by the store's clock and not ahead of it.
        now_ms: u64,
    },
}

/// A call on a device's ledger (DELIVERY, "Session and ledger").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Sets the key *behind* for this connection and displaces another holder.
    Attach {
        /// The node.
        node: NodeId,
        /// The connection.
        conn: Conn,
    },
    /// Writes, unless the key is live with another connection than `dead`.
    Enqueue {
        /// What to write, in order.
        entries: Vec<Entry>,
        /// The connection that was tried and is gone.
        dead: Option<Conn>,
    },
    /// Writes always, and turns a live key to *behind*.
    Force {
        /// What to write, in order.
        entries: Vec<Entry>,
    },
    /// Writes what the holder has sent and not seen acknowledged; as `Force` if `conn` is not it.
    Back {
        /// The connection.
        conn: Conn,
        /// What to write, in order.
        entries: Vec<Entry>,
    },
    /// Writes what is not backed and deletes the key; as `Force` if `conn` is not the holder.
    Detach {
        /// The connection.
        conn: Conn,
        /// What to write, in order.
        entries: Vec<Entry>,
    },
    /// Reads messages above `after` and notices above `notices_after`.
    Page {
        /// The connection.
        conn: Conn,
        /// Messages above this position.
        after: u64,
        /// Notices above this position.
        notices_after: u64,
        /// What is in the window already, left out.
        skip: Vec<(DeviceId, Mid)>,
        /// At most so many messages and notices.
        messages: usize,
        /// At most so many bytes (the first message may exceed it alone).
        bytes: usize,
    },
    /// Turns *live* if nothing lies above `last` and no notice above `notices_last`.
    Flip {
        /// The connection.
        conn: Conn,
        /// The last position paged.
        last: u64,
        /// The last notice paged.
        notices_last: u64,
    },
    /// Settles messages: first stores what their senders must hear, then deletes them. Deletes
    /// notices up to `notices`.
    Ack {
        /// What was acknowledged.
        settled: Vec<Settled>,
        /// Notices up to here were acknowledged; 0 for none.
        notices: u64,
    },
    /// Stores a notice for this device.
    Notice {
        /// The news.
        news: News,
    },
    /// Renews the key; a missing one is restored as *behind*.
    Touch {
        /// The node.
        node: NodeId,
        /// The connection.
        conn: Conn,
    },
    /// Deletes messages, key, notices and tokens of this device, and leaves a tombstone that every
    /// other call respects.
    Revoke,
    /// Drops what waits from one user. What that user's devices had under way until now is dropped
    /// when it comes to be written, and answered as if it were in the queue.
    DropFrom {
        /// The sender.
        sender: UserId,
    },
}

/// A message that its device acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settled {
    /// The sending device, which gets the notice.
    pub from: DeviceId,
    /// The message.
    pub mid: Mid,
    /// What the sender must hear, if anything.
    pub news: Option<News>,
}

/// Who holds a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The node.
    pub node: NodeId,
    /// The connection.
    pub conn: Conn,
    /// Whether its session may be pushed to.
    pub mode: Mode,
}

/// Whether a session takes messages from routers, or pages its ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// What is new is appended to the ledger; the session pages.
    Behind,
    /// What is new goes into the session's lane.
    Live,
}

/// The reply to a [`Call`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To a device call.
    Device(DeviceReply),
    /// To `PutNonce` and `PutToken`.
    Done,
    /// To `DropTokens`: who holds the device, and must hear of it.
    Dropped(Option<Key>),
    /// To `Holder`.
    Holder(Option<Key>),
    /// To `TakeNonce`: whether it was there.
    Nonce(bool),
    /// To `CheckToken`.
    Token(Option<(UserId, DeviceId)>),
    /// To `Time`: milliseconds since 1970.
    Time(u64),
    /// To `Sweep`: the devices that have new notices, and the nodes that hold them.
    Swept(Vec<(DeviceId, NodeId)>),
}

/// The reply to a device call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeviceReply {
    /// The store's generation.
    pub r#gen: Gen,
    /// Who holds the device after the call.
    pub holder: Option<Key>,
    /// To `Attach` and `Revoke`: who held it before with another connection, and must hear of it.
    pub displaced: Option<Key>,
    /// The last position in the ledger.
    pub tail: u64,
    /// The last position of a notice.
    pub notices_tail: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a device call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The call named another generation: nothing was done.
    OtherGen,
    /// To `Enqueue`, `Force`, `Back`, `Detach`: what became of each entry.
    Written(Vec<Taken>),
    /// To `Enqueue`: live with this holder, nothing was written.
    Held(Key),
    /// To `Page`.
    Page(Page),
    /// To `Flip`: whether the key is live now.
    Flipped(bool),
    /// To `Page`, `Flip`, `Touch`: somebody else holds the device.
    NotHolder,
    /// To `Ack` and `Notice`: the devices that have new notices, and the nodes that hold them.
    /// To `Touch`: its device has some, new or not.
    Noticed(Vec<(DeviceId, NodeId)>),
    /// To `Attach` and `Touch`.
    Attached,
    /// To `Revoke`, and to `Attach`, `Touch`, `Flip` and `Page` of a device that was revoked.
    Revoked,
    /// To `DropFrom`.
    Dropped,
}

/// What became of an entry that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Taken {
    /// It is in the queue, or was and has been delivered.
    Queued,
    /// It was not written.
    Skipped(SkipReason),
    /// It was not written: the whole store has no room for it.
    NoRoom,
}

/// A page of a ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Page {
    /// Messages with their positions, rising.
    pub entries: Vec<Entry>,
    /// The position up to which this page has looked.
    pub last: u64,
    /// Notices with their positions, rising.
    pub notices: Vec<(u64, News)>,
    /// Whether more lies above.
    pub more: bool,
}
