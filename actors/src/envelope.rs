//! A message as the engine carries it: the open facts, and the ciphertext kept once for all its
//! recipients.
//!
//! Two envelopes are equal if they are the same message (sender device, recipient, `sn`, mid);
//! what is sealed in them is never compared, printed or read.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hushwire_wire::deliver::{MessageRef, SharedBody};
use hushwire_wire::message::TAG_LEN;
use hushwire_wire::{DeviceId, Mid, UserId};

/// What all recipients of one message share.
#[derive(Debug)]
pub struct Envelope {
    /// The sender.
    pub from_user: UserId,
    /// The sending device.
    pub from_device: DeviceId,
    /// The user it was sent to; the sender for the self-pair.
    pub to: UserId,
    /// Its number for this device and recipient.
    pub sn: u64,
    /// Its id.
    pub mid: Mid,
    /// When it was first admitted, in milliseconds since 1970.
    pub at: u64,
    /// Whether it makes a loss good (`re`), and so is exempt from the order of `sn`.
    pub again: bool,
    /// Messages of the sender's user to the same recipient that a queue drops when it takes this
    /// one: at most [`hushwire_wire::limits::WITHDRAW_MAX`].
    pub withdraw: Box<[Mid]>,
    /// The ciphertext.
    pub body: SharedBody,
}

impl Envelope {
    /// What it counts in queues and lanes, in bytes: the shared part and one tag.
    #[must_use]
    pub fn size(&self) -> usize {
        self.body.len() + TAG_LEN
    }

    /// Whether this message withdraws `other`.
    #[must_use]
    pub fn withdraws(&self, other: &Self) -> bool {
        let pair = other.from_user == self.from_user && other.to == self.to;
        pair && other.mid != self.mid && self.withdraw.contains(&other.mid)
    }

    fn same(&self) -> (&DeviceId, &UserId, u64, &Mid) {
        (&self.from_device, &self.to, self.sn, &self.mid)
    }
}

impl PartialEq for Envelope {
    fn eq(&self, other: &Self) -> bool {
        self.same() == other.same()
    }
}

impl Eq for Envelope {}

impl Hash for Envelope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.same().hash(state);
    }
}

/// A message for one device: the shared part and the device's own tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What all recipients share.
    pub envelope: Arc<Envelope>,
    /// The device's own tag.
    pub tag: [u8; TAG_LEN],
    /// Whether the device is one of the sender's others.
    pub own: bool,
}

impl Entry {
    /// What deduplicates it: sending device and message.
    #[must_use]
    pub fn id(&self) -> (DeviceId, Mid) {
        (self.envelope.from_device, self.envelope.mid)
    }

    /// The other user of the pair, for the device that it is for: on own copies the recipient.
    #[must_use]
    pub fn contact(&self) -> UserId {
        if self.own { self.envelope.to } else { self.envelope.from_user }
    }

    /// The frame for a device of `owner`, with its number on the connection. `peer` is the other
    /// user of the pair: on own copies the recipient.
    #[must_use]
    pub fn frame<'a>(&'a self, owner: &UserId, n: u64) -> MessageRef<'a> {
        let envelope = &*self.envelope;
        let own = envelope.from_user == *owner;
        MessageRef {
            n,
            at: envelope.at,
            peer: if own { &envelope.to } else { &envelope.from_user },
            from_user: &envelope.from_user,
            from_device: &envelope.from_device,
            body: &envelope.body,
            tag: &self.tag,
        }
    }
}
