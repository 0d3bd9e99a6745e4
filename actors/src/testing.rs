//! What several tests of this crate need.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hushwire_wire::deliver::SharedBody;
use hushwire_wire::message::TAG_LEN;
use hushwire_wire::{DeviceId, EpochId, Mid, Sealed, UserId};

use crate::admit::Offer;
use crate::envelope::{Entry, Envelope};
use crate::ports::Clock;

/// A wall clock that stands until it is moved.
#[derive(Debug, Default)]
pub(crate) struct FixedClock(pub(crate) AtomicU64);

impl Clock for FixedClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A message of `size` bytes from a device to a user; its mid follows from all of them.
pub(crate) fn entry(from: u8, to: u8, sn: u64, size: usize) -> Entry {
    let envelope = Envelope {
        from_user: UserId([from; 32]),
        from_device: DeviceId([from; 16]),
        to: UserId([to; 32]),
        sn,
        mid: mid(to, sn),
        at: 1,
        again: false,
        withdraw: Box::default(),
        body: SharedBody::new(Sealed::new(vec![0; size.saturating_sub(TAG_LEN)])),
    };
    Entry { envelope: Arc::new(envelope), tag: [0; TAG_LEN], own: false }
}

/// The offer of a message.
pub(crate) fn offer(to: u8, sn: u64) -> Offer {
    Offer {
        to: UserId([to; 32]),
        sn,
        mid: mid(to, sn),
        hash: [sn as u8; 32],
        epoch: EpochId([1; 32]),
        counter: sn as u32,
        size: 400,
        re: None,
        withdraw: Box::default(),
    }
}

fn mid(to: u8, sn: u64) -> Mid {
    let mut mid = [to; 16];
    mid[..8].copy_from_slice(&sn.to_be_bytes());
    Mid(mid)
}
