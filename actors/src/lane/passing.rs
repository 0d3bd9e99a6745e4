//! What passes by a session and may be missed: steps of calls, who is there, ephemeral messages.
//!
//! Each kind has bounds of its own, so that typing takes no place of a call; past them the oldest
//! of the kind goes. Of a contact that comes and leaves only the latest is kept. It is taken only
//! when the socket has taken everything before, so a peer that does not read costs these bounds
//! and no more.

use std::collections::VecDeque;

use hushwire_wire::frame::{Call, Ephemeral, Presence, ServerOp};
use hushwire_wire::limits::PRESENCE_MAX;

/// Steps of calls that wait, at most.
pub const CALLS: usize = 64;
/// What they carry, in bytes; one may exceed it alone.
pub const CALL_BYTES: usize = 128 * 1024;
/// Ephemeral messages that wait, at most; each has at most 381 bytes.
pub const EPHEMERALS: usize = 16;
/// Contacts whose coming or leaving waits, at most: all that one list names.
pub const PRESENCES: usize = PRESENCE_MAX;

/// Something that a session may miss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passing {
    /// A step of a call.
    Call(Call),
    /// A contact came or left.
    Presence(Presence),
    /// An ephemeral message.
    Ephemeral(Ephemeral),
}

/// What waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    calls: VecDeque<Call>,
    call_bytes: usize,
    presences: VecDeque<Presence>,
    ephemerals: VecDeque<Ephemeral>,
}

impl Waiting {
    pub(super) fn push(&mut self, what: Passing) {
        match what {
            Passing::Call(call) => {
                let size = carries(&call);
                while self.calls.len() >= CALLS
                    || (!self.calls.is_empty() && self.call_bytes + size > CALL_BYTES)
                {
                    self.next_call();
                }
                self.call_bytes += size;
                self.calls.push_back(call);
            }
            Passing::Presence(presence) => {
                self.presences.retain(|waiting| waiting.user != presence.user);
                if self.presences.len() >= PRESENCES {
                    self.presences.pop_front();
                }
                self.presences.push_back(presence);
            }
            Passing::Ephemeral(ephemeral) => {
                if self.ephemerals.len() >= EPHEMERALS {
                    self.ephemerals.pop_front();
                }
                self.ephemerals.push_back(ephemeral);
            }
        }
    }

    /// Calls first.
    pub(super) fn next(&mut self) -> Option<ServerOp> {
        if let Some(call) = self.next_call() {
            return Some(ServerOp::Call(call));
        }
        let presence = self.presences.pop_front().map(ServerOp::Presence);
        presence.or_else(|| self.ephemerals.pop_front().map(ServerOp::Ephemeral))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.presences.is_empty() && self.ephemerals.is_empty()
    }

    pub(super) fn drop_presences(&mut self) {
        self.presences = VecDeque::new();
    }

    pub(super) fn drop_ephemerals(&mut self) {
        self.ephemerals = VecDeque::new();
    }

    fn next_call(&mut self) -> Option<Call> {
        let call = self.calls.pop_front()?;
        self.call_bytes -= carries(&call);
        Some(call)
    }
}

fn carries(call: &Call) -> usize {
    call.msg.as_ref().map_or(0, hushwire_wire::Sealed::len)
}

#[cfg(test)]
mod tests {
    use hushwire_wire::frame::CallAct;
    use hushwire_wire::{CallId, DeviceId, Sealed, UserId};

    use super::*;

    fn call(id: u8, bytes: usize) -> Passing {
        let msg = (bytes > 0).then(|| Sealed::new(vec![0; bytes]));
        let (from_user, from_device) = (UserId([1; 32]), DeviceId([1; 16]));
        let call_id = CallId([id; 16]);
        Passing::Call(Call { from_user, from_device, call_id, act: CallAct::Signal, msg })
    }

    fn presence(user: u16, on: bool) -> Passing {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&user.to_be_bytes());
        Passing::Presence(Presence { user: UserId(id), on })
    }

    fn ephemeral(from: u8) -> Passing {
        let (from_user, from_device) = (UserId([from; 32]), DeviceId([from; 16]));
        Passing::Ephemeral(Ephemeral { from_user, from_device, msg: Sealed::default() })
    }

    #[test]
    fn each_kind_has_its_bound_and_the_oldest_goes() {
        let mut waiting = Waiting::default();
        for k in 0..200 {
            waiting.push(call(k, 0));
            waiting.push(ephemeral(k));
        }
        for k in 0..1_000 {
            waiting.push(presence(k, true));
        }
        let sizes = (waiting.calls.len(), waiting.presences.len(), waiting.ephemerals.len());
        assert_eq!(sizes, (CALLS, PRESENCES, EPHEMERALS));
        let Some(ServerOp::Call(first)) = waiting.next() else { panic!("calls first") };
        assert_eq!(first.call_id, CallId([200 - CALLS as u8; 16]));
        waiting.drop_presences();
        waiting.drop_ephemerals();
        assert_eq!(std::iter::from_fn(|| waiting.next()).count(), CALLS - 1);
        assert!(waiting.is_empty());
    }

    #[test]
    fn calls_are_bounded_by_bytes_and_one_may_exceed() {
        let mut waiting = Waiting::default();
        for k in 0..20 {
            waiting.push(call(k, 16 * 1024));
        }
        assert_eq!((waiting.calls.len(), waiting.call_bytes), (8, CALL_BYTES));
        waiting.push(call(99, CALL_BYTES + 1));
        assert_eq!((waiting.calls.len(), waiting.call_bytes), (1, CALL_BYTES + 1));
        assert!(waiting.next().is_some() && waiting.call_bytes == 0);
    }

    #[test]
    fn of_a_contact_only_the_latest_is_told() {
        let mut waiting = Waiting::default();
        for (user, on) in [(1, true), (2, true), (1, false)] {
            waiting.push(presence(user, on));
        }
        let heard: Vec<_> = std::iter::from_fn(|| waiting.next()).collect();
        let told = |user, on| match presence(user, on) {
            Passing::Presence(presence) => ServerOp::Presence(presence),
            _ => unreachable!(),
        };
        assert_eq!(heard, [told(2, true), told(1, false)]);
    }
}
