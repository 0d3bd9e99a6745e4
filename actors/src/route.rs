//! `route()`: from an admitted message to its devices, on the sender's thread. Functions, not an
//! actor: one hop from socket to socket.
//!
//! A [`Flight`] is one message on its way. Whoever learns where a copy is tells its custody, on
//! whatever thread; nobody waits for a reply, and a sender that is gone stops nothing.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use hushwire_wire::DeviceId;
use hushwire_wire::frame::{Accepted, ServerOp};
use hushwire_wire::message::TAG_LEN;

use crate::custody::{Custody, Outcome, Place, Step};
use crate::envelope::{Entry, Envelope};
use crate::lane::{Delivery, Fact, Lane};
use crate::limiter::Admission;
use crate::node::Node;
use crate::queue::{Op, To};
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
    admission: Admission,
    /// Where the answer goes, and to which frame.
    lane: Arc<Lane<FlightRef>>,
    id: Option<u64>,
}

/// One device's copy of a message on its way.
#[derive(Clone, Debug)]
pub(crate) struct FlightRef {
    flight: Arc<Flight>,
    k: usize,
}

/// Routes an admitted message to the recipient's devices; the sender's own follow.
pub(crate) fn route(
    node: &Arc<Node>,
    envelope: Arc<Envelope>,
    targets: Vec<Target>,
    admission: Admission,
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
        admission,
        lane,
        id,
    });
    flight.follow(first);
    for k in recipients {
        deliver(node, FlightRef { flight: flight.clone(), k }, 0);
    }
}

/// Brings one copy to its device: into the lane of a live session, or into the device's ledger.
pub(crate) fn deliver(node: &Arc<Node>, flight: FlightRef, attempts: u8) {
    let Some(device) = flight.device() else { return };
    let write = |entry: Entry, flight: FlightRef, dead| {
        let entries = vec![entry];
        let to = To::Custody { flights: vec![Some(flight)], device, attempts };
        match dead {
            None => node.call(device, Op::Force { entries }, to),
            Some(dead) => node.call(device, Op::Enqueue { entries, dead }, to),
        }
    };
    let entry = flight.entry();
    let Some(live) = node.directory.get(&device) else {
        return write(entry, flight, Some(None));
    };
    let delivery = Delivery { entry, flight, since_ms: node.now_ms() };
    // Refused by a lane that is shut, it is forced into the ledger, under the lane's lock.
    let refused = live.lane.push(delivery, |d| write(d.entry, d.flight, None));
    if let Err(Delivery { entry, flight, .. }) = refused {
        write(entry, flight, Some(Some(live.conn)));
    }
}

impl Flight {
    fn follow(self: &Arc<Self>, step: Step) {
        if let Some(outcome) = step.complete {
            self.node.flights.fetch_sub(1, Ordering::Relaxed);
            self.answer(outcome);
        }
        if step.release {
            let own: Vec<_> = self.custody().own().collect();
            for k in own {
                deliver(&self.node, FlightRef { flight: self.clone(), k }, 0);
            }
        }
    }

    fn answer(&self, outcome: Outcome) {
        let Envelope { to, sn, mid, .. } = *self.envelope;
        let op = match outcome {
            Outcome::Accepted { delivered, skipped } => {
                let accepted = Accepted { sn, mid, delivered, skipped };
                self.admission.accepted(to, Arc::new(accepted.clone()));
                ServerOp::Accepted(accepted)
            }
            Outcome::Rejected(reject) => {
                self.admission.refused(to, sn);
                ServerOp::Reject(reject)
            }
        };
        self.lane.tell(Fact::Answer { id: self.id, sn, op });
    }

    fn custody(&self) -> std::sync::MutexGuard<'_, Custody> {
        self.custody.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.custody().is_complete() {
            self.node.flights.fetch_sub(1, Ordering::Relaxed);
        }
        self.admission.landed(self.envelope.to);
    }
}

impl FlightRef {
    /// The copy.
    pub(crate) fn entry(&self) -> Entry {
        let target = self.flight.targets.get(self.k);
        let (tag, own) = target.map_or(([0; TAG_LEN], false), |target| (target.tag, target.own));
        Entry { envelope: self.flight.envelope.clone(), tag, own }
    }

    fn device(&self) -> Option<DeviceId> {
        self.flight.targets.get(self.k).map(|target| target.device)
    }
}

impl Custodian for FlightRef {
    fn reached(&self, place: Place) -> bool {
        let step = self.flight.custody().reach(self.k, place);
        let late = step.late;
        self.flight.follow(step);
        late
    }
}
