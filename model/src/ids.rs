//! Small numbers as ids, and ids as small numbers.

use std::sync::Arc;

use hushwire_actors::envelope::{Entry, Envelope};
use hushwire_wire::deliver::SharedBody;
use hushwire_wire::message::TAG_LEN;
use hushwire_wire::{Conn, DeviceId, EpochId, Gen, Mid, NodeId, Sealed, UserId};

/// The one time of the model, in milliseconds. Time passes as actions: a timer's action hands in a
/// later time for one step, so that no state remembers how long ago anything was.
pub(crate) const NOW_MS: u64 = 1_000_000;
/// Beside the ciphertext, what an upload of the model counts.
const BODY: usize = 84;
/// What a message counts in a queue, in bytes.
pub(crate) const SIZE: usize = BODY + TAG_LEN;

pub(crate) const fn device(k: u8) -> DeviceId {
    DeviceId([k; 16])
}

pub(crate) const fn user(k: u8) -> UserId {
    UserId([k; 32])
}

pub(crate) const fn conn(k: u8) -> Conn {
    Conn([k; 16])
}

pub(crate) const fn generation(k: u8) -> Gen {
    Gen([k; 16])
}

pub(crate) const fn epoch(k: u8) -> EpochId {
    EpochId([k; 32])
}

/// The `life`-th process of a node.
pub(crate) const fn node(k: u8, life: u8) -> NodeId {
    NodeId([k * 16 + life; 16])
}

/// A message: what it says, which attempt to encrypt it this is, under which epoch and counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Sealing {
    /// What it says. The order of contents is the order of submission.
    pub(crate) content: u8,
    /// Under which epoch.
    pub(crate) epoch: u8,
    /// The lane-0 counter, rising over all epochs of the model.
    pub(crate) counter: u8,
}

impl Sealing {
    pub(crate) fn mid(self) -> Mid {
        let mut mid = [0; 16];
        (mid[0], mid[1], mid[2]) = (self.content, self.epoch, self.counter);
        Mid(mid)
    }

    pub(crate) fn of(mid: &Mid) -> Self {
        Self { content: mid.0[0], epoch: mid.0[1], counter: mid.0[2] }
    }
}

/// A message as the engine carries it.
pub(crate) fn envelope(from: u8, from_user: u8, to: u8, sn: u8, mid: Mid, again: bool) -> Envelope {
    Envelope {
        from_user: user(from_user),
        from_device: device(from),
        to: user(to),
        sn: u64::from(sn),
        mid,
        at: NOW_MS,
        again,
        withdraw: Box::default(),
        body: SharedBody::new(Sealed::new(vec![0; BODY])),
    }
}

pub(crate) fn entry(envelope: &Arc<Envelope>, own: bool) -> Entry {
    Entry { envelope: envelope.clone(), tag: [0; TAG_LEN], own }
}
