//! One copy's way to its device (DELIVERY, "Send" 4, "Session and ledger", "Many nodes"): which
//! session it is given to, and when it goes to the ledger instead.
//!
//! A plain value: what happened in, what to do next out. It knows no directory, lane, queue or
//! bus; whoever carries it out tells it what came of it. Invariants: a copy is never left with a
//! session that cannot be reached, and whoever turned a key to *behind* says so to its holder.

use hushwire_wire::{Conn, NodeId};

use crate::custody::Place;
use crate::queue::{Key, Mode};

/// How often a copy follows its device's holder, before it waits for its sender.
pub const TRIES: u8 = 4;

/// Where a copy is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    at: At,
    tries: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    /// To be routed here.
    Start,
    /// Came from another node, for this connection only.
    Guest(Conn),
    /// Given to a session of this node; `guest` if another node asked for it.
    Lane { conn: Conn, guest: bool },
    /// Sent to another node, for this connection.
    Away { node: NodeId, conn: Conn },
    /// To be written unless somebody else is live.
    Enqueued { dead: Option<Conn> },
    /// To be written whoever is live.
    Forced,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The directory was asked: which connection of the device lives on this node.
    Looked(Option<Conn>),
    /// The lane is shut, or was full and is from now on.
    Shut,
    /// The lane is closed: its session is gone.
    Closed,
    /// The store wrote nothing: somebody else is live. `here`: who lives on this node, `me`.
    Held {
        /// The holder.
        holder: Key,
        /// This node.
        me: NodeId,
        /// The connection of the device that lives on this node.
        here: Option<Conn>,
    },
    /// The other node has no such session (`custody_no`), nobody received what was published, or
    /// no custody came in time.
    NotThere,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// Push it into the lane of this connection, which lives here.
    Push(Conn),
    /// Publish it to this node, for this connection.
    Publish {
        /// The node.
        node: NodeId,
        /// The connection.
        conn: Conn,
    },
    /// Write it, unless somebody else than `dead` is live.
    Enqueue {
        /// The connection that was tried and is gone.
        dead: Option<Conn>,
    },
    /// Write it, whoever is live.
    Force,
    /// Tell the node that asked that this connection does not live here.
    Refuse(Conn),
    /// Nothing: it stays Pending, and its sender comes again.
    Rest,
}

impl Path {
    /// A copy that is to be routed from this node.
    #[must_use]
    pub const fn new() -> Self {
        Self { at: At::Start, tries: 0 }
    }

    /// A copy that another node sent for `conn`.
    #[must_use]
    pub const fn guest(conn: Conn) -> Self {
        Self { at: At::Guest(conn), tries: 0 }
    }

    /// Copies that a session writes at its end.
    #[must_use]
    pub const fn forced() -> Self {
        Self { at: At::Forced, tries: 0 }
    }

    /// Something happened. An event that does not belong to where the copy is changes nothing.
    pub fn on(&mut self, event: Event) -> Next {
        match (self.at, event) {
            (At::Start, Event::Looked(Some(conn))) => self.push(conn, false),
            (At::Start, Event::Looked(None)) => self.enqueue(None),
            (At::Guest(conn), Event::Looked(Some(here))) if here == conn => self.push(conn, true),
            (At::Guest(conn), Event::Looked(_))
            | (At::Lane { conn, guest: true }, Event::Closed) => Next::Refuse(conn),
            (At::Lane { .. }, Event::Shut) => {
                self.at = At::Forced;
                Next::Force
            }
            (At::Lane { conn, guest: false }, Event::Closed) => self.enqueue(Some(conn)),
            (At::Enqueued { .. }, Event::Held { holder, me, here }) => self.held(holder, me, here),
            (At::Away { conn, .. }, Event::NotThere) => self.enqueue(Some(conn)),
            _ => Next::Rest,
        }
    }

    /// The store wrote it. Who was turned to *behind* by it, and must be told before custody is.
    #[must_use]
    pub fn turned(&self, holder: Option<Key>) -> Option<Key> {
        let holder = holder.filter(|holder| holder.mode == Mode::Behind)?;
        let turned = match self.at {
            At::Enqueued { dead } => dead == Some(holder.conn),
            At::Forced => true,
            _ => false,
        };
        turned.then_some(holder)
    }

    /// Another node says where the copy is. Custody counts only while the copy is away, and only
    /// as more than Pending.
    #[must_use]
    pub fn custody(&self, place: Place) -> Option<Place> {
        (matches!(self.at, At::Away { .. }) && place > Place::Pending).then_some(place)
    }

    /// The connection on another node that the copy was sent to.
    #[must_use]
    pub const fn away(&self) -> Option<(NodeId, Conn)> {
        match self.at {
            At::Away { node, conn } => Some((node, conn)),
            _ => None,
        }
    }

    const fn push(&mut self, conn: Conn, guest: bool) -> Next {
        self.at = At::Lane { conn, guest };
        Next::Push(conn)
    }

    const fn enqueue(&mut self, dead: Option<Conn>) -> Next {
        self.at = At::Enqueued { dead };
        Next::Enqueue { dead }
    }

    /// Routes to the holder. One of this node that is not in its directory is dead.
    fn held(&mut self, holder: Key, me: NodeId, here: Option<Conn>) -> Next {
        if self.tries >= TRIES {
            return Next::Rest;
        }
        self.tries += 1;
        let Key { node, conn, .. } = holder;
        if here == Some(conn) {
            self.push(conn, false)
        } else if node == me {
            self.enqueue(Some(conn))
        } else {
            self.at = At::Away { node, conn };
            Next::Publish { node, conn }
        }
    }
}

impl Default for Path {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custody::Skip;

    const ME: NodeId = NodeId([1; 16]);
    const OTHER: NodeId = NodeId([2; 16]);
    const A: Conn = Conn([0xa; 16]);
    const B: Conn = Conn([0xb; 16]);

    fn key(node: NodeId, conn: Conn, mode: Mode) -> Key {
        Key { node, conn, mode }
    }

    fn held(node: NodeId, conn: Conn, here: Option<Conn>) -> Event {
        Event::Held { holder: key(node, conn, Mode::Live), me: ME, here }
    }

    #[test]
    fn who_is_live_here_is_pushed_to_and_a_shut_lane_forces() {
        let mut path = Path::new();
        assert_eq!(path.on(Event::Looked(Some(A))), Next::Push(A));
        assert_eq!(path.on(Event::Shut), Next::Force);
        let behind = key(ME, A, Mode::Behind);
        assert_eq!(path.turned(Some(behind)), Some(behind));
        assert_eq!(path.turned(Some(key(ME, A, Mode::Live))), None);
        assert_eq!(path.on(Event::Closed), Next::Rest, "it is written");
    }

    #[test]
    fn a_closed_lane_is_a_dead_connection() {
        let mut path = Path::new();
        path.on(Event::Looked(Some(A)));
        assert_eq!(path.on(Event::Closed), Next::Enqueue { dead: Some(A) });
        // Only the one that was tried is turned; another that is behind was so before.
        assert!(path.turned(Some(key(ME, A, Mode::Behind))).is_some());
        assert!(path.turned(Some(key(ME, B, Mode::Behind))).is_none());
    }

    #[test]
    fn a_holder_here_that_is_not_in_the_directory_is_dead() {
        let mut path = Path::new();
        assert_eq!(path.on(Event::Looked(None)), Next::Enqueue { dead: None });
        assert_eq!(path.on(held(ME, A, None)), Next::Enqueue { dead: Some(A) });
        assert_eq!(path.on(held(ME, B, Some(B))), Next::Push(B), "it came meanwhile");
    }

    #[test]
    fn who_is_live_elsewhere_is_asked_and_counts_as_dead_when_it_does_not_answer() {
        let mut path = Path::new();
        path.on(Event::Looked(None));
        assert_eq!(path.custody(Place::Acked), None, "nobody was asked");
        let publish = Next::Publish { node: OTHER, conn: A };
        assert_eq!(path.on(held(OTHER, A, None)), publish);
        assert_eq!(path.away(), Some((OTHER, A)));
        assert_eq!(path.custody(Place::Pending), None);
        assert_eq!(path.custody(Place::Skipped(Skip::Full)), Some(Place::Skipped(Skip::Full)));
        assert_eq!(path.on(Event::NotThere), Next::Enqueue { dead: Some(A) });
        assert_eq!(path.custody(Place::Acked), None, "it is being written");
        assert_eq!(path.on(Event::NotThere), Next::Rest, "once");
    }

    #[test]
    fn a_copy_follows_a_device_that_moves_for_a_few_tries() {
        let mut path = Path::new();
        path.on(Event::Looked(None));
        for _ in 0..TRIES {
            assert!(matches!(path.on(held(OTHER, A, None)), Next::Publish { .. }));
            assert!(matches!(path.on(Event::NotThere), Next::Enqueue { .. }));
        }
        assert_eq!(path.on(held(OTHER, A, None)), Next::Rest);
    }

    #[test]
    fn a_guest_is_for_one_connection_only() {
        let mut path = Path::guest(A);
        assert_eq!(path.on(Event::Looked(Some(B))), Next::Refuse(A));
        assert_eq!(Path::guest(A).on(Event::Looked(None)), Next::Refuse(A));
        assert_eq!(path.on(Event::Looked(Some(A))), Next::Push(A));
        assert_eq!(path.on(Event::Closed), Next::Refuse(A));
        assert_eq!(path.on(Event::Shut), Next::Force);
    }
}
