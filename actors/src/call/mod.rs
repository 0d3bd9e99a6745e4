//! One call between two people, as far as a server sees it: who rings, who answered, who is gone
//! (PRODUCT, "Calls").
//!
//! A plain value: steps of devices, connections' lives and time in, what devices must hear out.
//! A call belongs to its pair: a step of anybody else, and of a device that the state gives no
//! part, is `forbidden`, which is also the answer for a call that is over or never was. What the
//! steps carry is sealed and never looked at.

pub mod exchange;
pub(crate) mod signaling;
#[cfg(test)]
mod tests;

use hushwire_wire::frame::{Call as Frame, CallAct};
use hushwire_wire::message::TAG_LEN;
use hushwire_wire::{CallId, Conn, DeviceId, Reject, Sealed, UserId};
use serde::{Deserialize, Serialize};

/// A call is forgotten after so long, whatever its devices say, in milliseconds.
pub const LASTS_MS: u64 = 12 * 3_600_000;

/// A step that a device takes, after it was checked against the pair.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Step {
    /// The user.
    pub from: UserId,
    /// The device.
    pub device: DeviceId,
    /// Its connection.
    pub conn: Conn,
    /// The other side.
    pub to: UserId,
    /// The call.
    pub call_id: CallId,
    /// What it does.
    pub act: CallAct,
    /// The other side's devices that the step could be for, in roster order; at most 8.
    pub devices: Vec<DeviceId>,
    /// What it carries.
    pub letter: Option<Letter>,
}

/// What a step carries: one ciphertext, and a tag for each device.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Letter {
    /// What all devices get.
    pub shared: Sealed,
    /// Each device's own tag.
    pub tags: Vec<(DeviceId, [u8; TAG_LEN])>,
}

/// What a device must hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tell {
    /// The device.
    pub device: DeviceId,
    /// The frame.
    pub frame: Frame,
}

/// How long a call rings, and waits for a device that is gone, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until a call that nobody takes is over.
    pub ring_ms: u64,
    /// Until a call is over whose device does not come back.
    pub lease_ms: u64,
}

/// Whether a call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goes {
    /// It does.
    On,
    /// It is over.
    Over,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    id: CallId,
    caller: End,
    callee: UserId,
    /// The callee's devices that ring.
    rung: Vec<DeviceId>,
    began_ms: u64,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// With what the ring carries, for devices that come later.
    Ringing(Option<Letter>),
    /// By this device; the answer is kept for a caller that is away.
    Answered(End, Option<Frame>),
}

/// A device that takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    user: UserId,
    device: DeviceId,
    conn: Conn,
    gone_ms: Option<u64>,
}

impl Letter {
    /// CRYPTO 6, "delivered to j": what the device gets, in a buffer of its own. `None` if the
    /// letter has no tag for it.
    #[must_use]
    pub fn for_device(&self, device: &DeviceId) -> Option<Sealed> {
        let (_, tag) = self.tags.iter().find(|(of, _)| of == device)?;
        let mut msg = Vec::with_capacity(self.shared.len() + TAG_LEN);
        msg.extend_from_slice(self.shared.as_bytes());
        msg.extend_from_slice(tag);
        Some(msg.into())
    }
}

impl Call {
    /// A call begins to ring at the step's devices.
    #[must_use]
    pub fn ring(step: Step, now_ms: u64, tell: &mut Vec<Tell>) -> Self {
        let call = Self {
            id: step.call_id,
            caller: End::of(&step),
            callee: step.to,
            rung: step.devices,
            began_ms: now_ms,
            state: State::Ringing(step.letter),
        };
        for device in &call.rung {
            call.hand_over(*device, tell);
        }
        call
    }

    /// The call's id.
    #[must_use]
    pub const fn id(&self) -> CallId {
        self.id
    }

    /// Who calls, and who is called.
    #[must_use]
    pub const fn users(&self) -> (UserId, UserId) {
        (self.caller.user, self.callee)
    }

    /// The calling device.
    #[must_use]
    pub const fn caller(&self) -> DeviceId {
        self.caller.device
    }

    /// Whether nobody has taken it yet.
    #[must_use]
    pub const fn is_ringing(&self) -> bool {
        matches!(self.state, State::Ringing(_))
    }

    /// A step of a device.
    ///
    /// # Errors
    /// [`Reject::Forbidden`] if the device has no part in the call that allows it; then nothing
    /// changes.
    pub fn step(&mut self, step: &Step, tell: &mut Vec<Tell>) -> Result<Goes, Reject> {
        let calls = step.from == self.caller.user && step.device == self.caller.device;
        let called = step.from == self.callee;
        match (&mut self.state, step.act) {
            (State::Ringing(_), CallAct::Ring) if calls => {}
            (State::Ringing(_), CallAct::Ringing) if called => self.to_caller(step, tell),
            (State::Ringing(_), CallAct::Answer) if called => {
                let answer = self.frame_of(step, self.caller.device);
                let waits = self.caller.gone_ms.is_some();
                if !waits {
                    tell.push(Tell { device: self.caller.device, frame: answer.clone() });
                }
                self.elsewhere(step.device, tell);
                self.state = State::Answered(End::of(step), waits.then_some(answer));
                return Ok(Goes::On);
            }
            (State::Ringing(_), CallAct::Decline | CallAct::Busy) if called => {
                self.to_caller(step, tell);
                self.elsewhere(step.device, tell);
                return Ok(Goes::Over);
            }
            (State::Ringing(_), CallAct::Signal) if calls => self.to_rung(step, tell),
            (State::Ringing(_), CallAct::End) if calls => {
                self.to_rung(step, tell);
                return Ok(Goes::Over);
            }
            (State::Answered(end, _), act) => {
                let answered = called && step.device == end.device;
                match act {
                    // A repeat, whose own answer was lost.
                    CallAct::Answer if answered => {}
                    CallAct::Signal | CallAct::End if answered => self.to_caller(step, tell),
                    CallAct::Signal | CallAct::End if calls => {
                        let device = end.device;
                        tell.push(Tell { device, frame: self.frame_of(step, device) });
                    }
                    _ => return Err(Reject::Forbidden {}),
                }
                if act == CallAct::End {
                    return Ok(Goes::Over);
                }
            }
            _ => return Err(Reject::Forbidden {}),
        }
        self.came(step.from, step.device, step.conn);
        Ok(Goes::On)
    }

    /// A device of one of the two has a new connection. Gives what waits for it.
    pub fn back(&mut self, user: UserId, device: DeviceId, conn: Conn, tell: &mut Vec<Tell>) {
        self.came(user, device, conn);
        if user == self.caller.user && device == self.caller.device {
            if let State::Answered(_, owed) = &mut self.state
                && let Some(frame) = owed.take()
            {
                tell.push(Tell { device, frame });
            }
        } else if user == self.callee && self.is_ringing() && self.rung.contains(&device) {
            self.hand_over(device, tell);
        }
    }

    /// A connection ended. `newer` is the one that its device has already, if it has.
    pub fn gone(&mut self, conn: Conn, newer: Option<Conn>, now_ms: u64) {
        let answered = match &mut self.state {
            State::Answered(end, _) => Some(end),
            State::Ringing(_) => None,
        };
        for end in [Some(&mut self.caller), answered].into_iter().flatten() {
            if end.conn == conn {
                match newer {
                    Some(newer) => end.conn = newer,
                    None => end.gone_ms = end.gone_ms.or(Some(now_ms)),
                }
            }
        }
    }

    /// When it is over, if nothing happens.
    #[must_use]
    pub fn until_ms(&self, patience: &Patience) -> u64 {
        let (rings, answered) = match &self.state {
            State::Ringing(_) => (Some(self.began_ms + patience.ring_ms), None),
            State::Answered(end, _) => (None, end.gone_ms),
        };
        let leases = [self.caller.gone_ms, answered].into_iter().flatten();
        let leases = leases.map(|gone_ms| gone_ms + patience.lease_ms);
        leases.chain(rings).fold(self.began_ms + LASTS_MS, u64::min)
    }

    /// The call is over by no device's step: everybody in it is told.
    pub fn end(&self, tell: &mut Vec<Tell>) {
        let end = |from_user, from_device| Frame {
            from_user,
            from_device,
            call_id: self.id,
            act: CallAct::End,
            msg: None,
        };
        let (answered, callees) = match &self.state {
            State::Ringing(_) => (DeviceId::ZERO, self.rung.clone()),
            State::Answered(end, _) => (end.device, vec![end.device]),
        };
        tell.push(Tell { device: self.caller.device, frame: end(self.callee, answered) });
        let frame = end(self.caller.user, self.caller.device);
        tell.extend(callees.into_iter().map(|device| Tell { device, frame: frame.clone() }));
    }

    fn came(&mut self, user: UserId, device: DeviceId, conn: Conn) {
        let answered = match &mut self.state {
            State::Answered(end, _) => Some(end),
            State::Ringing(_) => None,
        };
        for end in [Some(&mut self.caller), answered].into_iter().flatten() {
            if end.user == user && end.device == device {
                (end.conn, end.gone_ms) = (conn, None);
            }
        }
    }

    /// The ring, with the device's own tag. One that carries something does not ring where it
    /// cannot be read.
    fn hand_over(&self, device: DeviceId, tell: &mut Vec<Tell>) {
        let State::Ringing(letter) = &self.state else { return };
        let msg = letter.as_ref().and_then(|letter| letter.for_device(&device));
        if letter.is_some() && msg.is_none() {
            return;
        }
        let (from_user, from_device) = (self.caller.user, self.caller.device);
        let frame = Frame { from_user, from_device, call_id: self.id, act: CallAct::Ring, msg };
        tell.push(Tell { device, frame });
    }

    fn to_caller(&self, step: &Step, tell: &mut Vec<Tell>) {
        let device = self.caller.device;
        tell.push(Tell { device, frame: self.frame_of(step, device) });
    }

    fn to_rung(&self, step: &Step, tell: &mut Vec<Tell>) {
        for device in &self.rung {
            tell.push(Tell { device: *device, frame: self.frame_of(step, *device) });
        }
    }

    /// The callee's other devices stop ringing.
    fn elsewhere(&self, by: DeviceId, tell: &mut Vec<Tell>) {
        let frame = Frame {
            from_user: self.callee,
            from_device: by,
            call_id: self.id,
            act: CallAct::Elsewhere,
            msg: None,
        };
        let others = self.rung.iter().filter(|device| **device != by);
        tell.extend(others.map(|device| Tell { device: *device, frame: frame.clone() }));
    }

    fn frame_of(&self, step: &Step, device: DeviceId) -> Frame {
        Frame {
            from_user: step.from,
            from_device: step.device,
            call_id: self.id,
            act: step.act,
            msg: step.letter.as_ref().and_then(|letter| letter.for_device(&device)),
        }
    }
}

impl End {
    const fn of(step: &Step) -> Self {
        Self { user: step.from, device: step.device, conn: step.conn, gone_ms: None }
    }
}
