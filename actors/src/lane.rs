//! The bounded lane into one session: deliveries, and beside them the few facts that a session
//! must hear (answers to its sends, the reply to its queue call, events, its end).
//!
//! Deliveries are bounded by count and bytes. A lane that refused one stays shut for routers until
//! the session's next successful flip, so that nothing overtakes what went to the ledger instead.
//! What is done about a refusal is done under the lane's lock, so that it is ordered against the
//! session's flip. Lock order: lane, then intake. Empty, a lane holds no buffer.
//!
//! What a session may miss has bounds of its own ([`passing`]) and never takes a delivery's place.

mod passing;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use hushwire_wire::Close;
use hushwire_wire::frame::{Event, ServerOp};

use crate::envelope::Entry;
use crate::fault;
use crate::limits::Limits;
use crate::ports::Unavailable;
use crate::queue::DeviceReply;
use crate::supervise::contain;
use passing::Waiting;
pub use passing::{CALL_BYTES, CALLS, EPHEMERALS, PRESENCES, Passing};

/// Answers that wait in a lane. One that finds no place is dropped: its send is sent again and
/// fetches it.
pub const LANE_ANSWERS: usize = 64;

/// A message on its way to a session. `F` refers to its custody.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delivery<F> {
    /// The message and the device's tag.
    pub entry: Entry,
    /// Its custody.
    pub flight: F,
    /// When it was routed, by the node's clock in milliseconds.
    pub since_ms: u64,
}

/// Whether routers may push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gate {
    /// Live, or about to be.
    Open,
    /// Behind: what is new belongs into the ledger.
    Shut,
    /// The session is gone.
    Closed,
}

/// What a session hears beside deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The reply to its queue call; one is under way at a time.
    Reply(Result<DeviceReply, Unavailable>),
    /// The answer to one of its sends.
    Answer {
        /// The frame's id.
        id: Option<u64>,
        /// Its `sn`.
        sn: u64,
        /// The answer.
        op: ServerOp,
    },
    /// Something about the account changed.
    Event(Event),
    /// Events found no place: fetch everything.
    EventsLost,
    /// The key was turned *behind*, or the lane refused a message.
    Behind,
    /// New notices are stored.
    Notices,
    /// Words of other nodes may be lost: ask the queue store.
    Touch,
    /// Close the connection.
    Kick {
        /// Why.
        close: Close,
        /// When the client may come back.
        after_ms: Option<u64>,
    },
}

/// What of a lane goes out first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// [`Lane::next_event`].
    Events,
    /// [`Lane::next_passing`].
    Passing,
    /// [`Lane::next_delivery`], if there is one.
    Deliveries,
}

/// The lane of one session.
#[derive(Debug)]
pub struct Lane<F> {
    inner: Mutex<Inner<F>>,
    most_messages: usize,
    most_bytes: usize,
    most_events: usize,
}

#[derive(Debug)]
struct Inner<F> {
    gate: Gate,
    behind: bool,
    notices: bool,
    touch: bool,
    events_lost: bool,
    deliveries: VecDeque<Delivery<F>>,
    bytes: usize,
    answers: VecDeque<(Option<u64>, u64, ServerOp)>,
    events: VecDeque<Event>,
    reply: Option<Box<Result<DeviceReply, Unavailable>>>,
    kick: Option<(Close, Option<u64>)>,
    passing: Option<Box<Waiting>>,
    waker: Option<Waker>,
}

impl<F: Clone> Clone for Lane<F> {
    /// A lane of its own with what waits in this one. Nobody waits on it.
    fn clone(&self) -> Self {
        let inner = self.lock();
        Self {
            inner: Mutex::new(Inner {
                deliveries: inner.deliveries.clone(),
                answers: inner.answers.clone(),
                events: inner.events.clone(),
                reply: inner.reply.clone(),
                passing: inner.passing.clone(),
                waker: None,
                ..*inner
            }),
            ..*self
        }
    }
}

impl<F: Hash> Hash for Lane<F> {
    /// What its session will hear. Answers and events count by number only.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let inner = self.lock();
        (inner.gate, inner.behind, inner.notices, inner.touch, inner.events_lost).hash(state);
        (&inner.deliveries, inner.answers.len(), inner.events.len()).hash(state);
        (inner.reply.is_some(), inner.kick).hash(state);
    }
}

impl<F> Inner<F> {
    fn has_room(&self, size: usize, messages: usize, bytes: usize) -> bool {
        self.deliveries.is_empty()
            || (self.deliveries.len() < messages && self.bytes + size <= bytes)
    }

    fn take_all(&mut self) -> VecDeque<Delivery<F>> {
        self.bytes = 0;
        std::mem::take(&mut self.deliveries)
    }
}

impl<F> Lane<F> {
    /// A shut lane: a session begins *behind*.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            inner: Mutex::new(Inner {
                gate: Gate::Shut,
                behind: false,
                notices: false,
                touch: false,
                events_lost: false,
                deliveries: VecDeque::new(),
                bytes: 0,
                answers: VecDeque::new(),
                events: VecDeque::new(),
                reply: None,
                kick: None,
                passing: None,
                waker: None,
            }),
            most_messages: limits.lane_messages,
            most_bytes: limits.lane_bytes,
            most_events: limits.lane_events,
        }
    }

    /// Routes a delivery into the lane. One that is refused because the lane is shut, or full and
    /// so shut from now on, is given to `instead` under the lane's lock.
    ///
    /// # Errors
    /// Gives the delivery back if the session is gone.
    pub fn push(
        &self,
        delivery: Delivery<F>,
        instead: impl FnOnce(Delivery<F>),
    ) -> Result<(), Delivery<F>> {
        let mut inner = self.lock();
        let size = delivery.entry.envelope.size();
        match inner.gate {
            Gate::Closed => return Err(delivery),
            Gate::Open if inner.has_room(size, self.most_messages, self.most_bytes) => {
                fault::point("lane: push");
                inner.bytes += size;
                inner.deliveries.push_back(delivery);
            }
            Gate::Open => {
                inner.gate = Gate::Shut;
                inner.behind = true;
                instead(delivery);
            }
            Gate::Shut => {
                instead(delivery);
                return Ok(());
            }
        }
        wake(inner);
        Ok(())
    }

    /// The next delivery, if `room` has place for its size.
    pub fn next_delivery(&self, room: impl FnOnce(usize) -> bool) -> Option<Delivery<F>> {
        let mut inner = self.lock();
        if !room(inner.deliveries.front()?.entry.envelope.size()) {
            return None;
        }
        let delivery = inner.deliveries.pop_front()?;
        inner.bytes -= delivery.entry.envelope.size();
        if inner.deliveries.is_empty() {
            inner.deliveries = VecDeque::new();
        }
        Some(delivery)
    }

    /// Opens the lane for a flip, if nothing waits in it.
    pub fn open(&self) -> bool {
        let mut inner = self.lock();
        let may = inner.gate == Gate::Shut && inner.deliveries.is_empty();
        if may {
            inner.gate = Gate::Open;
            inner.behind = false;
        }
        may
    }

    /// Whether routers may push.
    pub fn is_open(&self) -> bool {
        self.lock().gate == Gate::Open
    }

    /// Shuts the lane for routers; what waits stays.
    pub fn shut(&self) {
        let mut inner = self.lock();
        if inner.gate == Gate::Open {
            inner.gate = Gate::Shut;
        }
    }

    /// Shuts the lane and takes out what waits.
    pub fn shut_and_take(&self) -> VecDeque<Delivery<F>> {
        let mut inner = self.lock();
        if inner.gate == Gate::Open {
            inner.gate = Gate::Shut;
        }
        inner.take_all()
    }

    /// Closes the lane for good. What waits is given to `last` under the lane's lock, so that
    /// whoever is refused afterwards comes after it.
    pub fn close(&self, last: impl FnOnce(VecDeque<Delivery<F>>)) {
        let mut inner = self.lock();
        if inner.gate != Gate::Closed {
            inner.gate = Gate::Closed;
            last(inner.take_all());
        }
        inner.answers = VecDeque::new();
        inner.events = VecDeque::new();
        inner.reply = None;
        inner.passing = None;
        inner.waker = None;
    }

    /// Lets something pass by a session, whatever becomes of it: if that breaks, the session ends,
    /// since it cannot know what it missed, and its device asks anew.
    pub(crate) fn pass_or_end(&self, what: Passing) {
        if !contain(|| self.pass(what)) {
            self.tell(Fact::Kick { close: Close::Overloaded, after_ms: None });
        }
    }

    /// Lets something pass by a session, which may miss it: past the bounds the oldest goes. An
    /// ephemeral message is dropped while the session is behind.
    pub fn pass(&self, what: Passing) {
        let mut inner = self.lock();
        let shut = inner.gate == Gate::Shut && matches!(what, Passing::Ephemeral(_));
        if shut || inner.gate == Gate::Closed {
            return;
        }
        fault::point("lane: pass");
        inner.passing.get_or_insert_default().push(what);
        wake(inner);
    }

    /// What goes out before anything else, seen at once: this is asked before each delivery.
    pub fn first(&self) -> First {
        let inner = self.lock();
        if inner.events_lost || !inner.events.is_empty() {
            First::Events
        } else if inner.passing.is_some() {
            First::Passing
        } else {
            First::Deliveries
        }
    }

    /// The next of what passes by.
    pub fn next_passing(&self) -> Option<ServerOp> {
        let mut inner = self.lock();
        let open = inner.gate == Gate::Open;
        let waiting = inner.passing.as_mut()?;
        if !open {
            waiting.drop_ephemerals();
        }
        let next = waiting.next();
        if waiting.is_empty() {
            inner.passing = None;
        }
        next
    }

    /// Forgets who came and left: the session names others from now on.
    pub fn forget_presence(&self) {
        if let Some(waiting) = &mut self.lock().passing {
            waiting.drop_presences();
        }
    }

    /// When the oldest delivery was routed.
    pub fn oldest_ms(&self) -> Option<u64> {
        self.lock().deliveries.front().map(|delivery| delivery.since_ms)
    }

    /// Whether no delivery waits.
    pub fn is_empty(&self) -> bool {
        self.lock().deliveries.is_empty()
    }

    /// Tells a fact. Facts for a session that is gone, and answers past [`LANE_ANSWERS`], are
    /// dropped.
    pub fn tell(&self, fact: Fact) {
        let mut inner = self.lock();
        if inner.gate == Gate::Closed {
            return;
        }
        match fact {
            Fact::Reply(reply) => inner.reply = Some(Box::new(reply)),
            Fact::Answer { id, sn, op } => {
                if inner.answers.len() < LANE_ANSWERS {
                    inner.answers.push_back((id, sn, op));
                }
            }
            Fact::Event(event) => {
                if inner.events.len() < self.most_events {
                    inner.events.push_back(event);
                } else {
                    inner.events_lost = true;
                }
            }
            Fact::EventsLost => inner.events_lost = true,
            // At once, not when the session hears it: nobody may push past what was written.
            Fact::Behind => {
                inner.gate = Gate::Shut;
                inner.behind = true;
            }
            Fact::Notices => inner.notices = true,
            Fact::Touch => inner.touch = true,
            Fact::Kick { close, after_ms } => {
                inner.kick.get_or_insert((close, after_ms));
            }
        }
        wake(inner);
    }

    /// The next fact but events. With `all` unset only what a session must hear before its welcome: its
    /// end, and the reply to its attach.
    pub fn next_fact(&self, all: bool) -> Option<Fact> {
        let mut inner = self.lock();
        if let Some((close, after_ms)) = inner.kick.take() {
            return Some(Fact::Kick { close, after_ms });
        }
        if let Some(reply) = inner.reply.take() {
            return Some(Fact::Reply(*reply));
        }
        if !all {
            return None;
        }
        if std::mem::take(&mut inner.behind) {
            return Some(Fact::Behind);
        }
        if let Some((id, sn, op)) = inner.answers.pop_front() {
            if inner.answers.is_empty() {
                inner.answers = VecDeque::new();
            }
            return Some(Fact::Answer { id, sn, op });
        }
        if std::mem::take(&mut inner.touch) {
            return Some(Fact::Touch);
        }
        std::mem::take(&mut inner.notices).then_some(Fact::Notices)
    }

    /// The next event, or that some were lost. Apart from the other facts, since they are the one
    /// kind that others make and that goes out whatever the window is: they wait here, in their
    /// bound, while the peer takes nothing.
    pub fn next_event(&self) -> Option<Fact> {
        let mut inner = self.lock();
        if let Some(event) = inner.events.pop_front() {
            if inner.events.is_empty() {
                inner.events = VecDeque::new();
            }
            return Some(Fact::Event(event));
        }
        std::mem::take(&mut inner.events_lost).then_some(Fact::EventsLost)
    }

    /// Registers whom to wake when something comes.
    pub fn register(&self, cx: &Context<'_>) {
        let mut inner = self.lock();
        match &mut inner.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waker => *waker = Some(cx.waker().clone()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<F>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake<F>(mut inner: MutexGuard<'_, Inner<F>>) {
    let waker = inner.waker.take();
    drop(inner);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
