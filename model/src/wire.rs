//! What is on its way, anywhere: frames, calls of the store, replies, words of the bus.

use hushwire_actors::envelope::Entry;
use hushwire_actors::path::Path;
use hushwire_actors::ports::Word;
use hushwire_actors::queue::{DeviceReply, Op, Outcome};
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

impl Item {
    /// For people: who, what, and which messages by content and `sn`.
    pub(crate) fn tell(&self) -> String {
        let messages = |entries: &[Entry]| {
            let one = |entry: &Entry| format!("{}#{}", entry.envelope.mid.0[0], entry.envelope.sn);
            entries.iter().map(one).collect::<Vec<_>>().join(" ")
        };
        match self {
            Self::Up { conn, frame } => format!("up {conn} {frame:?}"),
            Self::Down { conn, frame } => format!("down {conn} {frame:?}"),
            Self::Call { node, device, op, .. } => {
                let op = match op {
                    Op::Enqueue { entries, dead } => {
                        format!("Enqueue {} dead {dead:?}", messages(entries))
                    }
                    Op::Force { entries } => format!("Force {}", messages(entries)),
                    Op::Back { conn, entries } => format!("Back {conn:?} {}", messages(entries)),
                    Op::Detach { conn, entries } => {
                        format!("Detach {conn:?} {}", messages(entries))
                    }
                    other => format!("{other:?}"),
                };
                format!("call {node:?} on {} {op}", device.0[0])
            }
            Self::Reply { node, device, reply, .. } => {
                let reply = reply.as_ref().map(|reply| {
                    let outcome = match &reply.outcome {
                        Outcome::Page(page) => format!(
                            "Page {} last {} notices {}",
                            messages(&page.entries),
                            page.last,
                            page.notices.len()
                        ),
                        other => format!("{other:?}"),
                    };
                    let mode = reply.holder.map(|key| (key.conn, key.mode));
                    format!("{outcome} holder {mode:?} tail {}", reply.tail)
                });
                format!("reply {node:?} on {} {reply:?}", device.0[0])
            }
            Self::Word { to, word } => match word {
                Word::Route { ticket, conn, entry, .. } => {
                    let entry = messages(std::slice::from_ref(entry));
                    format!("word to {to:?} Route {ticket} {conn:?} {entry}")
                }
                other => format!("word to {to:?} {other:?}"),
            },
        }
    }
}
