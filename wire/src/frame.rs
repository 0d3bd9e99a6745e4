//! The frames of the WebSocket protocol (DELIVERY, "Frames"), one set of types for JSON and CBOR.
//!
//! Operations are externally tagged: `{"id": 17, "op": {"send": {…}}}`. An answer carries the
//! request's id; events carry none. Clients' frames must hold no unknown field; servers' may, so
//! that a client of today reads a server of tomorrow.

use serde::{Deserialize, Serialize};

use crate::ids::{CallId, Conn, DeviceId, Gen, Mid, Nonce, Token, UserId};
use crate::reject::Reject;
use crate::sealed::Sealed;

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClientFrame {
    /// Chosen by the client, repeated in the answer. Operations without an answer need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The operation.
    pub op: ClientOp,
}

/// The operations of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClientOp {
    /// Signs in. The first frame, and only the first.
    Hello(Hello),
    /// Sends a durable message. Answer: `accepted` or `reject`.
    Send(Send),
    /// Everything up to `n` is persisted. No answer.
    Ack(Ack),
    /// All of the loss was sent again. Answer: `ok`.
    Resynced(Resynced),
    /// Sends what only live devices get, typing and the like. No answer but `reject`.
    Ephemeral(SendEphemeral),
    /// Signals a call. Answer: `ok` or `reject`.
    Call(SendCall),
    /// Shows this device to contacts that show themselves, or no more. Answer: `ok` or `reject`.
    Presence(ShowPresence),
    /// Answers `ok` when all that was in the ledger at the time of asking has been sent.
    Sync {},
    /// Answer: `pong`.
    Ping {},
}

/// Lists operations once, so that the list and the match cannot differ: a variant that is
/// missing here does not compile.
macro_rules! client_ops {
    ($($variant:ident => $name:literal,)*) => {
        impl ClientOp {
            /// The names of all operations, as they are on the wire.
            pub const NAMES: &[&str] = &[$($name),*];

            /// The name of this one.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)*
                }
            }
        }
    };
}

client_ops! {
    Hello => "hello",
    Send => "send",
    Ack => "ack",
    Resynced => "resynced",
    Ephemeral => "ephemeral",
    Call => "call",
    Presence => "presence",
    Sync => "sync",
    Ping => "ping",
}

/// Answers the challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// The user.
    pub user: UserId,
    /// The device that signs in.
    pub device: DeviceId,
    /// `Sign(ik, hw1/auth, v8 domain | b32 nonce | b32 log_id | b16 key_id)` (CRYPTO 3).
    pub signature: Sealed,
    /// The generation that the device saw last, if it was ever signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#gen: Option<Gen>,
    /// Name and version of the client, at most 64 bytes.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = crate::limits::CLIENT_NAME_MAX)))]
    pub client: String,
    /// What the client can do, at most 16 names.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = crate::limits::FEATURES_MAX)))]
    pub features: Vec<String>,
}

/// A durable message (DELIVERY, "Send").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Send {
    /// The recipient; oneself for the self-pair.
    pub to: UserId,
    /// Strictly rising per device and recipient, at most 2^53 - 1.
    pub sn: u64,
    /// CRYPTO 6, `upload`.
    pub upload: Sealed,
    /// Messages of the sender's own user to this recipient that need not be delivered any more,
    /// if they still wait: with class 3 (removal) only, at most [`crate::limits::WITHDRAW_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = crate::limits::WITHDRAW_MAX)))]
    pub withdraw: Vec<Mid>,
    /// Set when a loss is made good: the generation that this message is sent to again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub re: Option<Gen>,
}

/// An ephemeral message: to the recipient's live devices, and kept nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SendEphemeral {
    /// The recipient.
    pub to: UserId,
    /// CRYPTO 6, `upload`, of lane 1 and class 17.
    pub upload: Sealed,
}

/// A signal of a call (CRYPTO 7, "Call"). The server sees that a call happens, and its steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SendCall {
    /// The other side.
    pub to: UserId,
    /// Chosen by the caller for one call.
    pub call_id: CallId,
    /// The step.
    pub act: CallAct,
    /// CRYPTO 6, `upload`, of lane 1 and class 16: what the step carries, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<Sealed>,
}

/// A step of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CallAct {
    /// The caller calls: all devices of the other side ring.
    Ring,
    /// A device rings.
    Ringing,
    /// A device takes the call. The first one wins.
    Answer,
    /// The other side does not want it.
    Decline,
    /// The other side is in a call.
    Busy,
    /// Offers, answers and candidates on the way.
    Signal,
    /// It is over.
    End,
    /// Another device of the same user took or ended it. Sent by the server only.
    Elsewhere,
}

/// Whom a device shows itself to.
///
/// Presence is mutual: each side hears of the other as long as both name each other and both have
/// a live device that does. A new list replaces the last one of this connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ShowPresence {
    /// Whether this device is shown at all.
    pub on: bool,
    /// To whom: accepted contacts, at most [`crate::limits::PRESENCE_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = crate::limits::PRESENCE_MAX)))]
    pub to: Vec<UserId>,
}

/// A cumulative acknowledgement: everything numbered up to `n` is persisted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// The highest number.
    pub n: u64,
    /// Those among them that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = crate::limits::ACK_FAILED_MAX)))]
    pub failed: Vec<Failed>,
}

/// A message that could not be read, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// Its number on this connection.
    pub n: u64,
    /// A code of CRYPTO 11, at most 32 bytes.
    #[cfg_attr(feature = "schema", schemars(length(max = 32)))]
    pub code: String,
}

/// Everything that the loss took has been sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Resynced {
    /// The new generation.
    pub r#gen: Gen,
}

/// What the server sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServerFrame {
    /// The id of the frame that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The operation.
    pub op: ServerOp,
}

/// The operations of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ServerOp {
    /// The first frame on every connection.
    Challenge(Challenge),
    /// Signed in.
    Welcome(Welcome),
    /// Custody is complete.
    Accepted(Accepted),
    /// The command failed, the connection lives.
    Reject(Reject),
    /// Done.
    Ok {},
    /// The answer to `ping`.
    Pong {},
    /// A message for this device.
    Message(Message),
    /// News of a message that this device sent.
    Notice(Notice),
    /// Something about the account changed.
    Event(Event),
    /// The queue store lost its data: send again what was accepted and not delivered.
    Resync(Resync),
    /// An ephemeral message of a contact.
    Ephemeral(Ephemeral),
    /// A step of a call.
    Call(Call),
    /// A contact is there, or no more.
    Presence(Presence),
}

/// What the device signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Challenge {
    /// 32 random bytes, for this connection only.
    pub nonce: Nonce,
    /// The server's domain. A client signs only for the domain it registered at.
    pub domain: String,
    /// The largest frame in bytes.
    pub frame_max: u64,
    /// The server's clock, in milliseconds since 1970.
    pub server_time: u64,
}

/// The connection is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Welcome {
    /// This connection.
    pub conn: Conn,
    /// The queue store's generation. Another one than in `hello` is a resync.
    pub r#gen: Gen,
    /// The user's version: it rises with each change of contacts, logs and epochs.
    pub v: u64,
    /// How often the server pings, in milliseconds.
    pub heartbeat_ms: u64,
    /// What may be unacknowledged at a time.
    pub window: Window,
    /// For the HTTP interface.
    pub token: Token,
    /// When the token ends, in milliseconds since 1970.
    pub token_until: u64,
}

/// Bounds on what is sent and not yet acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Window {
    /// Messages.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Every target device that is not skipped has persisted the message, or has it in its queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Accepted {
    /// The `sn` of the send.
    pub sn: u64,
    /// The message.
    pub mid: Mid,
    /// Devices that persisted it already.
    pub delivered: Vec<DeviceId>,
    /// Devices that will not get it.
    pub skipped: Vec<Skipped>,
}

/// A device that will not get a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Skipped {
    /// The device.
    pub device: DeviceId,
    /// Why.
    pub why: SkipReason,
}

/// Why a device was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Its queue is full.
    Full,
    /// It was revoked.
    Revoked,
    /// It has no usable prekey.
    Stale,
}

/// A message for this device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Message {
    /// Its number on this connection, from 1, shared with notices.
    pub n: u64,
    /// When the server first admitted it, in milliseconds since 1970.
    pub at: u64,
    /// The other user of the pair.
    pub peer: UserId,
    /// The sender; oneself on own copies.
    pub from_user: UserId,
    /// The sending device.
    pub from_device: DeviceId,
    /// CRYPTO 6, `delivered to j`.
    pub msg: Sealed,
}

/// News of a message that this device sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Notice {
    /// Its number on this connection, shared with messages.
    pub n: u64,
    /// What happened.
    pub what: News,
}

/// What happened to a message that this device sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// A device persisted it after it had been accepted.
    Delivered {
        /// The message.
        mid: Mid,
        /// The device.
        device: DeviceId,
    },
    /// A device could not read it.
    Undecryptable {
        /// The message.
        mid: Mid,
        /// The device.
        device: DeviceId,
        /// A code of CRYPTO 11.
        code: String,
    },
    /// It waited 30 days.
    Expired {
        /// The message.
        mid: Mid,
        /// The device.
        device: DeviceId,
    },
    /// Messages of a contact (or own ones to it) found this device's queue full and were skipped:
    /// ask another own device for the history.
    Gap {
        /// The other user of the pair.
        contact: UserId,
        /// How many, since the last such notice.
        count: u64,
    },
}

/// Something about the account changed; the HTTP interface has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// The user's version after the change.
    pub v: u64,
    /// What changed.
    pub kind: EventKind,
    /// The other user concerned, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<UserId>,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A contact request came in.
    Request,
    /// A contact request was accepted.
    Accepted,
    /// A new epoch of a pair.
    Epoch,
    /// The log of `peer`, or the own one, has a new entry.
    Log,
    /// The user blocked `peer`, or unblocked it: for the user's own devices only.
    Block,
    /// `peer` is no contact any more, because the user removed it or because its account is gone.
    Removed,
    /// A device of `peer` has a fresher prekey, or knows more of its log. Told to contacts'
    /// devices that are live, and to nobody else: it changes no version.
    Prekey,
    /// More changed than could be listed: fetch all.
    State,
}

/// The queue store lost its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Resync {
    /// The new generation.
    pub r#gen: Gen,
}

/// An ephemeral message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ephemeral {
    /// The sender.
    pub from_user: UserId,
    /// The sending device.
    pub from_device: DeviceId,
    /// CRYPTO 6, `delivered to j`.
    pub msg: Sealed,
}

/// A step of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Call {
    /// Who made it; oneself for `elsewhere`.
    pub from_user: UserId,
    /// The device.
    pub from_device: DeviceId,
    /// The call.
    pub call_id: CallId,
    /// The step.
    pub act: CallAct,
    /// CRYPTO 6, `delivered to j`, if the step carries something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg: Option<Sealed>,
}

/// Whether a contact is there: a device of it is live and shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Presence {
    /// The contact.
    pub user: UserId,
    /// Whether it is there.
    pub on: bool,
}
