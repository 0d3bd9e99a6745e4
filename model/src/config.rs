//! What a world consists of, and what may go wrong in it, and how often.

use hushwire_actors::Limits;

use crate::bug::Bug;

/// How often each thing may happen. Every one is bounded, so that a world is finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Messages that each sending device submits.
    pub messages: u8,
    /// Things on their way (frames, calls, replies, words) that are held up, to come at any time
    /// later, or never before something else.
    pub delays: u8,
    /// Words of the bus, requests and replies of the store that are lost.
    pub losses: u8,
    /// Sockets that break and both sides know it.
    pub cuts: u8,
    /// Sockets that break and only the device knows it.
    pub half_cuts: u8,
    /// Times that a device connects, beside the first.
    pub connects: u8,
    /// Times that a sender repeats what was answered `unavailable`.
    pub resends: u8,
    /// Nodes that are killed. They come back at once, as another process.
    pub kills: u8,
    /// Nodes that stop for a while and go on.
    pub pauses: u8,
    /// Nodes that are drained.
    pub drains: u8,
    /// Epochs that begin.
    pub rotations: u8,
    /// Queue stores that fail over and lose what was not replicated.
    pub failovers: u8,
    /// Queue stores that lose everything.
    pub wipes: u8,
    /// Keys that run out, or are lost alone.
    pub expiries: u8,
    /// Devices that are revoked.
    pub revokes: u8,
    /// Seconds that pass for a session: what is not acknowledged is backed.
    pub seconds: u8,
    /// Heartbeats of sessions.
    pub beats: u8,
}

/// A device of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Person {
    /// Whose it is.
    pub user: u8,
    /// Whether it submits messages to the other user.
    pub sends: bool,
    /// The node that it is connected to at first, if any.
    pub at: Option<u8>,
    /// Where it may connect to later: a bit for each node.
    pub nodes: u8,
}

/// A world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its name.
    pub name: &'static str,
    /// The devices. Device `k` is the `k`-th, from 0.
    pub devices: Vec<Person>,
    /// What may happen.
    pub faults: Faults,
    /// Messages that fit into a device's queue.
    pub ledger_messages: usize,
    /// Messages that fit into a window.
    pub window_messages: usize,
    /// Messages that fit into a lane.
    pub lane_messages: usize,
    /// A fault of the glue that the rules must find.
    pub bug: Option<Bug>,
    /// What must be reached at least once, for the world to show what it is for.
    pub marks: Vec<&'static str>,
}

/// A sender on a node.
pub const fn sender(user: u8, at: u8) -> Person {
    Person { user, sends: true, at: Some(at), nodes: 0b11 }
}

/// A recipient on a node.
pub const fn reader(user: u8, at: u8) -> Person {
    Person { user, sends: false, at: Some(at), nodes: 0b11 }
}

/// A recipient that is away.
pub const fn away(user: u8) -> Person {
    Person { user, sends: false, at: None, nodes: 0b11 }
}

impl Config {
    /// A world without faults.
    #[must_use]
    pub fn new(name: &'static str, devices: &[Person], faults: Faults) -> Self {
        Self {
            name,
            devices: devices.to_vec(),
            faults,
            ledger_messages: 4,
            window_messages: 2,
            lane_messages: 2,
            bug: None,
            marks: Vec::new(),
        }
    }

    /// With what must be reached.
    #[must_use]
    pub fn marks(mut self, marks: &[&'static str]) -> Self {
        self.marks = marks.to_vec();
        self
    }

    /// With a bug.
    #[must_use]
    pub fn with(mut self, bug: Bug) -> Self {
        self.bug = Some(bug);
        self
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            ledger_messages: self.ledger_messages,
            window_messages: self.window_messages,
            lane_messages: self.lane_messages,
            ..Limits::default()
        }
    }
}
