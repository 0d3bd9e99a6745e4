//! `route()`: from an admitted message to its devices, on the sender's thread. Functions, not an
//! actor: one hop from socket to socket.
//!
//! A [`Flight`] is one message on its way. Whoever learns where a copy is tells its custody, on
//! whatever thread; nobody waits for a reply, and a sender that is gone stops nothing.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use hushwire_wire::frame::{Accepted, News, ServerOp};
use hushwire_wire::message::TAG_LEN;
use hushwire_wire::{Conn, DeviceId, Gen, NodeId};

use crate::admissions::{Landed, Landing, Soon};
use crate::custody::{Custody, Outcome, Place, Step};
use crate::directory::Live;
use crate::envelope::{Entry, Envelope};
use crate::fault;
use crate::lane::{Delivery, Fact, Lane};
use crate::node::Node;
use crate::path::{Event, Next, Path};
use crate::ports::Word;
use crate::queue::{Call, Key, Op, To};
use crate::session::channel::Custodian;

/// A device that a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) device: DeviceId,
    pub(crate) tag: [u8; TAG_LEN],
    /// Whether it is one of the sender's other devices.
    pub(crate) own: bool,
}

/// One message on its way.
#[derive(Debug)]
pub(crate) struct Flight {
    node: Arc<Node>,
    envelope: Arc<Envelope>,
    targets: Box<[Target]>,
    custody: Mutex<Custody>,
    /// The generation that it was admitted in.
    r#gen: Gen,
    /// Where the answer goes, and to which frame.
    lane: Arc<Lane<FlightRef>>,
    id: Option<u64>,
}

/// One device's copy of a message on its way.
#[derive(Clone, Debug)]
pub(crate) enum FlightRef {
    /// Its custody is kept on this node.
    Here {
        /// The message.
        flight: Arc<Flight>,
        /// Which of its targets.
        k: usize,
    },
    /// Its custody is kept on another node.
    Away(Arc<Away>),
}

/// A copy that another node sent here.
#[derive(Debug)]
pub(crate) struct Away {
    node: Arc<Node>,
    from: NodeId,
    ticket: u64,
    device: DeviceId,
    r#gen: Gen,
    entry: Entry,
}

/// Routes an admitted message to the recipient's devices; the sender's own follow.
pub(crate) fn route(
    node: &Arc<Node>,
    envelope: Arc<Envelope>,
    targets: Vec<Target>,
    r#gen: Gen,
    lane: Arc<Lane<FlightRef>>,
    id: Option<u64>,
) {
    let mut custody = Custody::new(targets.iter().map(|target| (target.device, target.own)));
    let first = custody.begin();
    let recipients: Vec<_> = custody.recipients().collect();
    node.flights.fetch_add(1, Ordering::Relaxed);
    let flight = Arc::new(Flight {
        node: node.clone(),
        envelope,
        targets: targets.into(),
        custody: Mutex::new(custody),
        r#gen,
        lane,
        id,
    });
    flight.follow(first);
    for k in recipients {
        deliver(node, FlightRef::Here { flight: flight.clone(), k }, Path::new());
    }
}

/// Brings one copy to its device: into the lane of a session that lives here, or wherever its
/// path leads instead.
pub(crate) fn deliver(node: &Arc<Node>, flight: FlightRef, mut path: Path) {
    let Some(device) = flight.device() else { return };
    fault::point("route: a copy");
    let live = node.directory.get(&device);
    let next = path.on(Event::Looked(live.as_ref().map(|live| live.conn)));
    carry_out(node, flight, path, next, live);
}

/// Goes on after what happened to a copy that was not given to a session here.
pub(crate) fn follow(node: &Arc<Node>, flight: FlightRef, mut path: Path, event: Event) {
    let next = path.on(event);
    carry_out(node, flight, path, next, None);
}

/// The queue store wrote nothing, since somebody else is live.
pub(crate) fn held(node: &Arc<Node>, flight: FlightRef, mut path: Path, holder: Key) {
    let Some(device) = flight.device() else { return };
    let live = node.directory.get(&device);
    let here = live.as_ref().map(|live| live.conn);
    let next = path.on(Event::Held { holder, me: node.id, here });
    carry_out(node, flight, path, next, live);
}

fn carry_out(node: &Arc<Node>, flight: FlightRef, path: Path, next: Next, live: Option<Live>) {
    match next {
        Next::Push(conn) => {
            let Some(live) = live.filter(|live| live.conn == conn) else { return };
            let entry = flight.entry();
            let delivery = Delivery { entry, flight, since_ms: node.now_ms() };
            // Refused by a lane that is shut, it is written under the lane's lock.
            let refused = live.lane.push(delivery, |d| follow(node, d.flight, path, Event::Shut));
            if let Err(Delivery { flight, .. }) = refused {
                follow(node, flight, path, Event::Closed);
            }
        }
        Next::Publish { node: to, conn } => {
            let (Some(device), entry) = (flight.device(), flight.entry()) else { return };
            let r#gen = flight.generation();
            let until_ms = node.now_ms() + node.limits.bus_within_ms;
            let ticket = match node.waits.put(flight, path, until_ms) {
                Ok(ticket) => ticket,
                Err(flight) => return follow(node, flight, path, Event::NotThere),
            };
            let word = Word::Route { from: node.id, ticket, device, conn, r#gen, entry };
            if !node.post.push(to, word)
                && let Some(wait) = node.waits.take(ticket, |_| true)
            {
                follow(node, wait.flight, path, Event::NotThere);
            }
        }
        Next::Enqueue { dead } => {
            let op = Op::Enqueue { entries: vec![flight.entry()], dead };
            write(node, flight, path, op);
        }
        Next::Force => {
            let op = Op::Force { entries: vec![flight.entry()] };
            write(node, flight, path, op);
        }
        Next::Refuse(conn) => flight.refused(conn),
        Next::Rest => {}
    }
}

fn write(node: &Arc<Node>, flight: FlightRef, path: Path, op: Op) {
    let Some(device) = flight.device() else { return };
    // Not of now: after a loss, what was accepted before it comes first.
    let r#gen = flight.generation();
    let to = To::Custody { flights: vec![Some(flight)], device, path };
    node.intake.push(Call::Device { r#gen, device, op }, to);
}

impl Flight {
    fn follow(self: &Arc<Self>, step: Step) {
        if let Some(outcome) = step.complete {
            self.node.flights.fetch_sub(1, Ordering::Relaxed);
            self.answer(outcome);
        }
        if step.release {
            fault::point("route: own copies");
            let own: Vec<_> = self.custody().own().collect();
            for k in own {
                let copy = FlightRef::Here { flight: self.clone(), k };
                deliver(&self.node, copy, Path::new());
            }
        }
    }

    /// Has the answer recorded for repeats, then gives it: whoever hears it may send the next one.
    fn answer(self: &Arc<Self>, outcome: Outcome) {
        let Envelope { sn, mid, .. } = *self.envelope;
        let (landing, op) = match outcome {
            Outcome::Accepted { delivered, skipped } => {
                let accepted = Accepted { sn, mid, delivered, skipped };
                (Landing::Accepted(Arc::new(accepted.clone())), ServerOp::Accepted(accepted))
            }
            Outcome::Rejected(reject) => (Landing::Refused(sn), ServerOp::Reject(reject)),
        };
        self.node.landings.tell(self.clone(), op, self.landed(landing));
    }

    /// `counts`: repeats get this answer, too.
    pub(crate) fn tell(&self, op: ServerOp, counts: bool) {
        if let ServerOp::Accepted(accepted) = &op {
            if !counts {
                // Another flight was answered first, without these.
                accepted.delivered.iter().for_each(|device| self.tell_sender(*device));
            }
            fault::point("route: accepted, not answered");
        }
        self.lane.tell(Fact::Answer { id: self.id, sn: self.envelope.sn, op });
    }

    fn landed(&self, landing: Landing) -> Soon<bool> {
        let Envelope { from_user: user, from_device: device, to, .. } = *self.envelope;
        self.node.admissions.landed(Landed { r#gen: self.r#gen, user, device, to, landing })
    }

    /// A device has it, and no answer says so.
    fn tell_sender(&self, device: DeviceId) {
        let news = News::Delivered { mid: self.envelope.mid, device };
        self.node.call(self.envelope.from_device, Op::Notice { news }, To::Nobody);
    }

    fn custody(&self) -> std::sync::MutexGuard<'_, Custody> {
        self.custody.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.custody().is_complete() {
            self.node.flights.fetch_sub(1, Ordering::Relaxed);
            drop(self.landed(Landing::Neither));
        }
    }
}

impl FlightRef {
    /// A copy that another node sent, under its ticket.
    pub(crate) fn away(
        node: &Arc<Node>,
        from: NodeId,
        ticket: u64,
        device: DeviceId,
        r#gen: Gen,
        entry: Entry,
    ) -> Self {
        Self::Away(Arc::new(Away { node: node.clone(), from, ticket, device, r#gen, entry }))
    }

    /// The generation of the queue store that its message was admitted in.
    pub(crate) fn generation(&self) -> Gen {
        match self {
            Self::Here { flight, .. } => flight.r#gen,
            Self::Away(away) => away.r#gen,
        }
    }

    /// The copy.
    pub(crate) fn entry(&self) -> Entry {
        match self {
            Self::Here { flight, k } => {
                let target = flight.targets.get(*k);
                let (tag, own) = target.map_or(([0; TAG_LEN], false), |t| (t.tag, t.own));
                Entry { envelope: flight.envelope.clone(), tag, own }
            }
            Self::Away(away) => away.entry.clone(),
        }
    }

    /// The device that it is for.
    pub(crate) fn device(&self) -> Option<DeviceId> {
        match self {
            Self::Here { flight, k } => flight.targets.get(*k).map(|target| target.device),
            Self::Away(away) => Some(away.device),
        }
    }

    /// Its connection does not live here.
    fn refused(&self, conn: Conn) {
        if let Self::Away(away) = self {
            away.node.post.push(away.from, Word::CustodyNo { ticket: away.ticket, conn });
        }
    }
}

impl Custodian for FlightRef {
    fn reached(&self, place: Place) -> bool {
        match self {
            Self::Here { flight, k } => {
                let step = flight.custody().reach(*k, place);
                let late = step.late;
                flight.follow(step);
                late
            }
            Self::Away(away) => {
                away.node.post.push(away.from, Word::Custody { ticket: away.ticket, place });
                false
            }
        }
    }

    fn is_away(&self) -> bool {
        matches!(self, Self::Away(_))
    }
}
