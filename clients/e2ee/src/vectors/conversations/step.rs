//! The steps, field by field.

use serde::{Deserialize, Serialize};

use crate::vectors::bytes::{B16, B32, Bytes, Hex};
use crate::vectors::contents::Said;
use crate::vectors::logs::Entry;
use crate::vectors::prekeys::Published;
use crate::vectors::structures::{Header, Request};

/// The users of a pair in alphabetical order; one alone is the self-pair.
pub(in crate::vectors) type Pair = Vec<String>;

/// What happens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::vectors) enum Step {
    /// The user's log grows.
    Log { user: String, device: Option<String>, entry: Entry },
    /// The device has fetched and verified that log up to `seq`.
    Learn { device: String, user: String, seq: u32 },
    /// From here on all know the record.
    Prekey { device: String, prekey: Published },
    /// The device erases the secret of that prekey.
    Erase { device: String, id: u32 },
    /// A contact request that both users' devices know.
    Request { pair: Pair, request: Request },
    /// A device creates an epoch, and holds it.
    Epoch(Box<Epoch>),
    /// A device gets an epoch and its wrap, and judges them.
    Take(Take),
    /// A device makes a message.
    Send(Box<Send>),
    /// The device makes and loses so many messages.
    Skip { device: String, epoch: String, lane: u8, count: u32 },
    /// A device gets a message, and judges it.
    Receive(Receive),
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vectors) struct Epoch {
    pub(in crate::vectors) epoch: String,
    pub(in crate::vectors) pair: Pair,
    pub(in crate::vectors) by: String,
    pub(in crate::vectors) header: Header,
    pub(in crate::vectors) tape: Hex,
    pub(in crate::vectors) wraps: Vec<Wrap>,
    pub(in crate::vectors) chains: Vec<Chains>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vectors) struct Wrap {
    pub(in crate::vectors) device: String,
    pub(in crate::vectors) ss: B32,
    #[serde(rename = "as")]
    pub(in crate::vectors) auth: B32,
    pub(in crate::vectors) wk: B32,
    pub(in crate::vectors) wrap: Hex,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vectors) struct Chains {
    pub(in crate::vectors) device: String,
    pub(in crate::vectors) lane0: B32,
    pub(in crate::vectors) lane1: B32,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vectors) struct Take {
    pub(in crate::vectors) device: String,
    pub(in crate::vectors) pair: Pair,
    pub(in crate::vectors) epoch: Option<String>,
    pub(in crate::vectors) header: Option<Hex>,
    pub(in crate::vectors) wrap: Option<Hex>,
    pub(in crate::vectors) now_ms: u64,
    pub(in crate::vectors) expect: String,
    pub(in crate::vectors) flags: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vectors) struct Send {
    pub(in crate::vectors) message: String,
    pub(in crate::vectors) device: String,
    pub(in crate::vectors) epoch: String,
    pub(in crate::vectors) content: Said,
    pub(in crate::vectors) rnd16: B16,
    pub(in crate::vectors) counter: u32,
    pub(in crate::vectors) header: Bytes<56>,
    pub(in crate::vectors) sk: B32,
    pub(in crate::vectors) mk: B32,
    pub(in crate::vectors) commit: B32,
    pub(in crate::vectors) ct: Hex,
    pub(in crate::vectors) env: B32,
    pub(in crate::vectors) tags: Vec<Tag>,
    pub(in crate::vectors) upload: Hex,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vectors) struct Tag {
    pub(in crate::vectors) device: String,
    pub(in crate::vectors) tag: B16,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vectors) struct Receive {
    pub(in crate::vectors) device: String,
    pub(in crate::vectors) message: Option<String>,
    pub(in crate::vectors) bytes: Option<Hex>,
    pub(in crate::vectors) expect: String,
}
