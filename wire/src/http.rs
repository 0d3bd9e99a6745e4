//! The bodies of the HTTP interface under `/v1`, JSON both ways. Layouts that are hashed or
//! signed (log entries, prekeys, epoch headers, requests) travel in them as opaque byte strings.

use serde::{Deserialize, Serialize};

use crate::frame::EventKind;
use crate::ids::{DeviceId, EntryHash, EpochId, Nonce, RequestId, Token, UserId};
use crate::sealed::Sealed;

/// `GET /v1/server`: what a client must know before it registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServerCard {
    /// The domain that genesis entries and signatures name. It never changes.
    pub domain: String,
    /// The server's version.
    pub version: String,
    /// The WebSocket subprotocols it speaks.
    pub protocols: Vec<String>,
    /// The server's clock, in milliseconds since 1970.
    pub server_time: u64,
    /// One text, edit or file so often, in milliseconds; 0 for no such rule.
    pub message_interval_ms: u64,
}

/// `POST /v1/accounts`: a new account with its first device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// The genesis entry (CRYPTO 3, wire form). It names domain and username.
    pub genesis: Sealed,
    /// The device's first prekey.
    pub prekey: PrekeyBundle,
}

/// The answer to [`Register`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Registered {
    /// The user: the hash of the genesis entry.
    pub user: UserId,
    /// The first device.
    pub device: DeviceId,
}

/// A prekey record and the post-quantum key beside it (CRYPTO 4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PrekeyBundle {
    /// The 223-byte record.
    pub record: Sealed,
    /// The 1,216-byte X-Wing key; absent if the record's `pq_hash` is zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xwing: Option<Sealed>,
}

/// The answer to `POST /v1/auth/challenge`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuthChallenge {
    /// Good for one answer within 60 seconds.
    pub nonce: Nonce,
    /// The server's domain.
    pub domain: String,
    /// The server's clock, in milliseconds since 1970.
    pub server_time: u64,
}

/// `POST /v1/auth/token`: the signed challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AuthAnswer {
    /// The user.
    pub user: UserId,
    /// The device, or the recovery key.
    pub key_id: DeviceId,
    /// The nonce that was signed.
    pub nonce: Nonce,
    /// `Sign(key, hw1/auth, v8 domain | b32 nonce | b32 log_id | b16 key_id)`.
    pub signature: Sealed,
}

/// A session token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuthToken {
    /// For `Authorization: Bearer`.
    pub token: Token,
    /// When it ends, in milliseconds since 1970.
    pub until: u64,
}

/// `GET /v1/users/{user}/log?after={seq}`: entries after `seq`, or all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogEntries {
    /// In order, wire form.
    pub entries: Vec<Sealed>,
}

/// `POST /v1/log`: the next entry of the caller's own log (CRYPTO 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LogAppend {
    /// The entry, wire form.
    pub entry: Sealed,
    /// The first prekey of the device that the entry adds, if that device signed one over this
    /// very entry. Without it the device has none until it puts one itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prekey: Option<PrekeyBundle>,
}

/// Where a log stands. The answer to [`LogAppend`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogHead {
    /// The newest entry's number.
    pub seq: u32,
    /// Its hash.
    pub head: EntryHash,
}

/// `GET /v1/users/{user}/prekeys`: the current prekey of each active device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Prekeys {
    /// In the order of device ids.
    pub prekeys: Vec<PrekeyBundle>,
}

/// The answer to `PUT /v1/prekey`: what the device must claim before it erases the secrets of its
/// older prekeys (CRYPTO 4, "Rotation").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PrekeyPut {
    /// Wraps for this device that are sealed to older prekeys and not claimed, the oldest epoch
    /// first: at most [`UNCLAIMED_MAX`].
    #[cfg_attr(feature = "schema", schemars(length(max = UNCLAIMED_MAX)))]
    pub unclaimed: Vec<Unclaimed>,
    /// There are more: claim these, and put the same prekey again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// Wraps that one answer lists, at most.
pub const UNCLAIMED_MAX: usize = 1_000;

/// A wrap that waits for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Unclaimed {
    /// The epoch.
    pub epoch: EpochId,
    /// The prekey that the wrap is sealed to.
    pub prekey: u32,
}

/// `POST /v1/contacts/request`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ContactAsk {
    /// The request (CRYPTO 9). It names the handle that is asked for.
    pub request: Sealed,
}

/// The answer to [`ContactAsk`], the same for users that exist, do not, or block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ContactAsked {
    /// The hash of the request.
    pub request_id: RequestId,
    /// The other side asked first: accept that one instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crossed: Option<RequestId>,
}

/// `POST /v1/contacts/accept`: the contact and its epoch 0, in one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ContactAccept {
    /// The request that is accepted.
    pub request_id: RequestId,
    /// Epoch 0, with `prev` = the request's id.
    pub epoch: NewEpoch,
}

/// `POST /v1/contacts/decline`: the request goes, and its asker learns nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ContactDecline {
    /// The request.
    pub request_id: RequestId,
}

/// `POST /v1/contacts/block`, `/unblock` and `/remove`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ContactPeer {
    /// The other user.
    pub peer: UserId,
}

/// An epoch as its creator posts it (CRYPTO 5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewEpoch {
    /// The header.
    pub header: Sealed,
    /// One wrap for each roster device with a prekey, less the creator, in roster order.
    pub wraps: Vec<Wrap>,
}

/// The epoch's key, sealed to one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Wrap {
    /// The device.
    pub device: DeviceId,
    /// 80 bytes (suites 1 and 2) or 1,168 (suite 3).
    pub wrap: Sealed,
}

/// `POST /v1/epochs`: the next epoch of a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EpochPost {
    /// The other user; oneself for the self-pair.
    pub peer: UserId,
    /// The epoch.
    pub epoch: NewEpoch,
}

/// `GET /v1/epochs/{epoch}`: an epoch as one device gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EpochBundle {
    /// The header.
    pub header: Sealed,
    /// This device's wrap, until it is claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrap: Option<Sealed>,
    /// The prekey records that the header names.
    pub prekeys: Vec<PrekeyBundle>,
}

/// `GET /v1/contacts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Contacts {
    /// The user's version of which this is the state.
    pub v: u64,
    /// Accepted contacts, then those whom the user blocks, then requests that came in.
    pub contacts: Vec<Contact>,
}

/// An accepted contact, somebody who asks to become one, or somebody blocked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Contact {
    /// The other user.
    pub peer: UserId,
    /// How things stand.
    pub state: ContactState,
    /// The request that began it.
    pub request: Sealed,
    /// The newest epoch, once accepted. For a request of a former contact, the last one of then:
    /// the epoch that accepts has the number after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<EpochRef>,
}

/// How a contact stands, as its owner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ContactState {
    /// The other side asked.
    Requested,
    /// Both agreed.
    Active,
    /// The user blocks the other side, which is told nothing of it.
    Blocked,
}

/// An epoch by number and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EpochRef {
    /// Its number in the pair, from 0.
    pub n: u32,
    /// Its id.
    pub epoch: EpochId,
}

/// Changes that one page lists, at most.
pub const CHANGES_MAX: usize = 256;

/// `GET /v1/state?after={v}`: what changed for the user, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Changes {
    /// The user's version.
    pub v: u64,
    /// The changes after the version that was asked for: at most [`CHANGES_MAX`].
    pub changes: Vec<Change>,
    /// There are more: ask again, after the last of these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Whether nothing is missing. If not, fetch contacts and the own log, and go on from there.
    pub complete: bool,
}

/// One change: an event as it was told to the devices that were live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Change {
    /// The user's version after it.
    pub v: u64,
    /// What changed.
    pub kind: EventKind,
    /// The other user concerned, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<UserId>,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

/// `GET /v1/sessions`: the own active devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sessions {
    /// In the order of device ids: at most 8.
    pub sessions: Vec<Session>,
}

/// An own device as the server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Session {
    /// The device.
    pub device: DeviceId,
    /// What it says that it is (CRYPTO 3, device kinds).
    pub kind: u8,
    /// When it was added, in milliseconds since 1970.
    pub since: u64,
    /// Whether it has a live connection.
    pub live: bool,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// `GET /v1/account/export`: everything that the server holds of the caller's account. Messages
/// are not in it: those that wait are sealed, and go to the devices they wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AccountExport {
    /// The user.
    pub user: UserId,
    /// The username.
    pub handle: String,
    /// When the account was made, in milliseconds since 1970.
    pub since: u64,
    /// The user's version.
    pub v: u64,
    /// The log, wire form, in order.
    pub log: Vec<Sealed>,
    /// All devices that ever were.
    pub devices: Vec<ExportedDevice>,
    /// The prekeys that are kept: the current ones and those that a kept epoch names.
    pub prekeys: Vec<PrekeyBundle>,
    /// Contacts, blocked users and requests that came in.
    pub contacts: Vec<Contact>,
    /// Contacts that ended: what is kept so that epochs go on counting.
    pub ended: Vec<ExportedEnd>,
    /// Requests that the user made and that are kept.
    pub asked: Vec<ExportedRequest>,
    /// Contact requests made on the last day on which there was one.
    pub asked_that_day: u32,
    /// The list that `GET /v1/state` reads.
    pub changes: Vec<Change>,
    /// Epochs of the user's pairs.
    pub epochs: Vec<ExportedEpoch>,
}

/// A device in an [`AccountExport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExportedDevice {
    /// The device.
    pub device: DeviceId,
    /// When it was added, in milliseconds since 1970.
    pub since: u64,
    /// The entry that revoked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<u32>,
    /// Wraps that wait to be claimed by it.
    pub unclaimed: u64,
}

/// A contact that ended, in an [`AccountExport`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExportedEnd {
    /// The other user.
    pub peer: UserId,
    /// The request that began it.
    pub request: Sealed,
    /// The number of its last epoch.
    pub n: u32,
    /// When it ended, in milliseconds since 1970.
    pub at: u64,
}

/// A request that the user made, in an [`AccountExport`]. Whether it reached somebody is not said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExportedRequest {
    /// Its bytes.
    pub request: Sealed,
    /// When it came, in milliseconds since 1970.
    pub at: u64,
}

/// An epoch in an [`AccountExport`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExportedEpoch {
    /// Its header.
    pub header: Sealed,
    /// When it was posted, in milliseconds since 1970.
    pub at: u64,
}

/// The body of every HTTP error (RFC 9457), `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// `about:blank`: the code says it all.
    pub r#type: String,
    /// For a person.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// For a program: a closed table.
    pub code: ProblemCode,
    /// What was wrong with this request, and what to do next.
    pub detail: String,
    /// Which field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What should have stood there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// When to try again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The epoch header that stands, for `epoch_stale` and `epoch_conflict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Sealed>,
    /// Where the own log stands, for `log_conflict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogHead>,
    /// Which limit, for `rate_limited` and `limit_reached`: the key of the server's settings, or
    /// the name of a fixed bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// How much it allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// How much is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
}

/// Why an HTTP request failed: a closed table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// 400: not what the interface allows.
    BadRequest,
    /// 401: no token, an ended one, or a signature that does not verify.
    Unauthenticated,
    /// 403: not for this device.
    Forbidden,
    /// 403: a bound is reached that no waiting raises; `rule`, `limit` and `used` say which.
    LimitReached,
    /// 404: nothing there that this device may see.
    NotFound,
    /// 405: the path exists, the method does not.
    MethodNotAllowed,
    /// 409: the username is taken.
    HandleTaken,
    /// 409: some log knows this key already.
    KeyKnown,
    /// 409: another epoch took this number; `header` holds the winner.
    EpochConflict,
    /// 409: a head or a prekey in the header is not the newest.
    EpochStale,
    /// 409: the roster is not the active devices of both logs.
    EpochRoster,
    /// 409: another prekey of this device stands: it was rolled back, or lives twice.
    PrekeyConflict,
    /// 409: the entry does not continue the own log as it stands; `log` says where that is.
    LogConflict,
    /// 413: the body is too large.
    TooLarge,
    /// 429: too often.
    RateLimited,
    /// 500: our fault.
    Internal,
    /// 503: not now.
    Unavailable,
}

impl ProblemCode {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden | Self::LimitReached => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::HandleTaken
            | Self::KeyKnown
            | Self::EpochConflict
            | Self::EpochStale
            | Self::EpochRoster
            | Self::PrekeyConflict
            | Self::LogConflict => 409,
            Self::TooLarge => 413,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}
