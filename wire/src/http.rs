//! The bodies of the HTTP interface under `/v1`, JSON both ways. Layouts that are hashed or
//! signed (log entries, prekeys, epoch headers, requests) travel in them as opaque byte strings.

use serde::{Deserialize, Serialize};

use crate::ids::{DeviceId, EpochId, Nonce, RequestId, Token, UserId};
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
    /// Accepted contacts and requests that came in.
    pub contacts: Vec<Contact>,
}

/// An accepted contact, or somebody who asks to become one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Contact {
    /// The other user.
    pub peer: UserId,
    /// How things stand.
    pub state: ContactState,
    /// The request that began it.
    pub request: Sealed,
    /// The newest epoch, once accepted.
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
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::HandleTaken
            | Self::KeyKnown
            | Self::EpochConflict
            | Self::EpochStale
            | Self::EpochRoster
            | Self::PrekeyConflict => 409,
            Self::TooLarge => 413,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}
