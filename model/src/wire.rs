//! What is on its way, anywhere: frames, calls of the store, replies, words of the bus.

use hushwire_actors::path::Path;
use hushwire_actors::ports::Word;
use hushwire_actors::queue::{DeviceReply, Op};
use hushwire_wire::frame::{Accepted, News};
use hushwire_wire::{DeviceId, Gen, Mid, NodeId};

use crate::flight::Copy;

/// From a device to its node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Up {
    Send { to: u8, sn: u8, mid: Mid, re: Option<Gen> },
    Ack(u64),
    Sync,
    Resynced(Gen),
}

/// From a node to a device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Down {
    Welcome(Gen),
    Message { n: u64, from: DeviceId, mid: Mid },
    Notice { n: u64, news: News },
    Answer { sn: u8, mid: Mid, answer: Answer },
    Synced,
    Resync(Gen),
    Resynced(bool),
    Close,
}

/// To a send.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Accepted(Accepted),
    Unavailable,
    EpochStale,
    CounterReuse,
    QueueFull,
    RecipientStale,
    StaleSn { last_sn: u8, mid: Mid, answer: Option<Accepted> },
}

/// Where a reply of the store goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum To {
    Session { conn: u8, flights: Vec<Option<Copy>> },
    Custody { flights: Vec<Option<Copy>>, path: Path },
    Nobody,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Item {
    Up { conn: u8, frame: Up },
    Down { conn: u8, frame: Down },
    Call { node: NodeId, r#gen: Gen, device: DeviceId, op: Op, to: To },
    Reply { node: NodeId, device: DeviceId, to: To, reply: Option<DeviceReply>, wrote: bool },
    Word { to: NodeId, word: Word },
}

/// An item, and whether it is held up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct OnWay {
    pub(crate) item: Item,
    pub(crate) late: bool,
}

/// What keeps its order: a connection in each direction, and the calls of a node for a device.
#[derive(PartialEq, Eq)]
pub(crate) enum Line {
    Up(u8),
    Down(u8),
    Calls(NodeId, DeviceId),
}

impl Item {
    pub(crate) const fn line(&self) -> Option<Line> {
        match self {
            Self::Up { conn, .. } => Some(Line::Up(*conn)),
            Self::Down { conn, .. } => Some(Line::Down(*conn)),
            Self::Call { node, device, .. } => Some(Line::Calls(*node, *device)),
            Self::Reply { .. } | Self::Word { .. } => None,
        }
    }

    /// Whether it may be lost while both ends live.
    pub(crate) const fn may_be_lost(&self) -> bool {
        matches!(self, Self::Call { .. } | Self::Reply { .. } | Self::Word { .. })
    }
}
