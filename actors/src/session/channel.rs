//! A signed-in connection against its device's queue: what is sent, acknowledged, backed, paged
//! (DELIVERY, "Session and ledger").
//!
//! A plain value: events and the node's time in, frames and queue calls out. Its queue calls run
//! in order, one under way. It begins *behind* and pages; when all is acknowledged and nothing
//! lies above, it flips to *live* and takes what routers put into its lane. While it flips, what
//! is routed waits in the lane.

use std::collections::VecDeque;

use hushwire_wire::frame::{Ack, News, ServerOp};
use hushwire_wire::limits::ACK_FAILED_MAX;
use hushwire_wire::{Close, Conn, DeviceId, Gen, NodeId, Reject};

use super::window::Window;
use crate::custody::Place;
use crate::envelope::Entry;
use crate::fault;
use crate::lane::{Delivery, Lane};
use crate::limits::Limits;
use crate::ports::Unavailable;
use crate::queue::{DeviceReply, Mode, Op, Outcome, Page, Settled, Taken};

/// How long after a failed queue call the next one is tried, in milliseconds.
pub const RETRY_MS: u64 = 1_000;
/// `sync` frames that wait for their answer.
pub const SYNCS_MAX: usize = 4;
/// The longest code in `ack.failed`, in bytes.
const CODE_MAX: usize = 32;

/// Where a device's copy is, told to whoever keeps the custody.
pub trait Custodian {
    /// The copy is at `place`. Whether the sender was answered before and must be told.
    fn reached(&self, place: Place) -> bool;

    /// Whether its custody is kept on another node, which cannot say at once whether the sender
    /// was answered: what was written to the ledger counts as answered then.
    fn is_away(&self) -> bool {
        false
    }
}

/// A queue call to be made, and whose custody its reply settles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueCall<F> {
    /// The generation it believes in.
    pub r#gen: Gen,
    /// The call.
    pub op: Op,
    /// For each entry of the call, in order.
    pub flights: Vec<Option<F>>,
}

/// What goes to the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    /// A message with its number.
    Message(u64, Entry),
    /// A notice with its number.
    Notice(u64, News),
    /// An answer, or an event of the connection.
    Op(Option<u64>, ServerOp),
    /// The reply to the attach: the connection is signed in.
    Attached,
    /// The end.
    Close(Close),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    Attaching,
    Behind,
    Flipping,
    Live,
}

/// Whether a message that was sent is in the ledger too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Backed {
    No,
    UnderWay,
    Yes,
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sent<F> {
    Message { entry: Entry, flight: Option<F>, backed: Backed, sent_ms: u64 },
    Notice(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Doing<F> {
    Attach,
    Back(Vec<u64>),
    Force(Vec<Delivery<F>>),
    Ack(Vec<Settled>, u64),
    Page,
    Flip,
    Touch,
}

/// The value.
#[derive(Clone, Debug)]
pub struct Channel<F> {
    device: DeviceId,
    conn: Conn,
    node: NodeId,
    generation: Gen,
    state: State,
    window: Window<Sent<F>>,
    last: u64,
    notices_last: u64,
    attach_due: bool,
    page_due: bool,
    /// More lies above and found no room: the next page waits for an acknowledgement.
    full: bool,
    touch_due: bool,
    acks: Vec<Settled>,
    acked_notices: u64,
    forced: VecDeque<Delivery<F>>,
    syncs: VecDeque<(Option<u64>, Option<u64>)>,
    doing: Option<Doing<F>>,
    retry_ms: u64,
    progress_ms: u64,
    custody_after_ms: u64,
    slow_after_ms: u64,
    resync: bool,
}

impl<F: Custodian + Clone> Channel<F> {
    /// A connection that is about to attach. `resync`: the device must first send again what the
    /// last generation lost.
    #[must_use]
    pub fn new(
        device: DeviceId,
        conn: Conn,
        node: NodeId,
        generation: Gen,
        resync: bool,
        limits: &Limits,
    ) -> Self {
        Self {
            device,
            conn,
            node,
            generation,
            state: State::Attaching,
            window: Window::new(limits.window_messages, limits.window_bytes),
            last: 0,
            notices_last: 0,
            attach_due: true,
            page_due: false,
            full: false,
            touch_due: false,
            acks: Vec::new(),
            acked_notices: 0,
            forced: VecDeque::new(),
            syncs: VecDeque::new(),
            doing: None,
            retry_ms: 0,
            progress_ms: 0,
            custody_after_ms: limits.custody_after_ms,
            slow_after_ms: limits.slow_after_ms,
            resync,
        }
    }

    /// The generation of the latest reply.
    pub const fn generation(&self) -> Gen {
        self.generation
    }

    /// Whether new durable sends must wait for `resynced`.
    pub const fn is_resyncing(&self) -> bool {
        self.resync
    }

    /// Whether the attach was answered.
    pub const fn is_attached(&self) -> bool {
        !matches!(self.state, State::Attaching)
    }

    /// Everything that the loss took was sent again.
    ///
    /// # Errors
    /// If it names another generation.
    pub fn resynced(&mut self, r#gen: Gen) -> Result<(), Reject> {
        if r#gen != self.generation {
            return Err(Reject::bad("op.resynced.gen", "the current generation"));
        }
        self.resync = false;
        Ok(())
    }

    /// The next delivery from the lane is sent now, if the window has room. While a flip is under
    /// way it waits.
    pub fn deliver(&mut self, lane: &Lane<F>, now_ms: u64) -> Option<(u64, Entry)> {
        if !matches!(self.state, State::Behind | State::Live) {
            return None;
        }
        let window = &self.window;
        let Delivery { entry, flight, .. } = lane.next_delivery(|size| window.has_room(size))?;
        let n = self.send(entry.clone(), Some(flight), Backed::No, now_ms);
        Some((n, entry))
    }

    /// The device persisted everything up to `ack.n`.
    ///
    /// # Errors
    /// If a number was never sent, or `failed` is malformed; then nothing changes.
    pub fn ack(&mut self, ack: &Ack, now_ms: u64) -> Result<(), Reject> {
        if ack.failed.len() > ACK_FAILED_MAX || ack.failed.iter().any(|f| f.n > ack.n) {
            return Err(Reject::bad("op.ack.failed", "numbers up to n, each once"));
        }
        if ack.failed.iter().any(|f| f.code.len() > CODE_MAX) {
            return Err(Reject::bad("op.ack.failed.code", "at most 32 bytes"));
        }
        let items = self
            .window
            .ack(ack.n)
            .map_err(|_| Reject::bad("op.ack.n", "a number that was sent"))?;
        if !items.is_empty() {
            self.progress_ms = now_ms;
            self.full = false;
        }
        for (n, item) in items {
            fault::point("channel: an acknowledged message");
            let failed = ack.failed.iter().find(|f| f.n == n).map(|f| f.code.as_str());
            match item {
                Sent::Notice(position) => self.acked_notices = self.acked_notices.max(position),
                Sent::Message { entry, flight, backed, .. } => {
                    self.settle(&entry, flight.as_ref(), backed, failed);
                }
            }
        }
        Ok(())
    }

    /// Asks for an answer when everything in the ledger now has been sent.
    ///
    /// # Errors
    /// If [`SYNCS_MAX`] wait already.
    pub fn sync(&mut self, id: Option<u64>) -> Result<(), Reject> {
        if self.syncs.len() >= SYNCS_MAX {
            return Err(Reject::Unavailable { retry_after_ms: RETRY_MS });
        }
        self.syncs.push_back((id, None));
        self.touch_due = true;
        Ok(())
    }

    /// A router wrote to the ledger, or the lane refused a message.
    pub fn behind(&mut self, lane: &Lane<F>, now_ms: u64) {
        if self.state == State::Live {
            lane.shut();
            self.state = State::Behind;
            self.progress_ms = now_ms;
        }
        self.page_due = true;
    }

    /// New notices are stored.
    pub const fn notices(&mut self) {
        self.page_due = true;
    }

    /// The key is to be renewed.
    pub const fn heartbeat(&mut self) {
        self.touch_due = true;
    }

    /// Time passed: what waits in the lane for too long goes to the ledger. Tells whether the
    /// device is too slow.
    pub fn tick(&mut self, lane: &Lane<F>, now_ms: u64) -> Option<Close> {
        let waiting = matches!(self.state, State::Behind | State::Live)
            && lane.oldest_ms().is_some_and(|ms| ms + self.custody_after_ms <= now_ms);
        if waiting {
            self.forced.extend(lane.shut_and_take());
            self.behind(lane, now_ms);
        }
        (self.slow_at_ms()? <= now_ms).then_some(Close::Slow)
    }

    /// When [`Channel::tick`] or [`Channel::next_call`] has something to do.
    pub fn deadline_ms(&self, lane: &Lane<F>) -> Option<u64> {
        let waits = if matches!(self.state, State::Behind | State::Live) {
            lane.oldest_ms().map(|ms| ms + self.custody_after_ms)
        } else {
            None
        };
        let retry = (self.retry_ms > 0).then_some(self.retry_ms);
        // Not before the pause after a failure is over.
        let back = self.back_at_ms().filter(|_| self.doing.is_none());
        let back = back.map(|ms| ms.max(self.retry_ms));
        [waits, retry, back, self.slow_at_ms()].into_iter().flatten().min()
    }

    /// The next queue call, if none is under way and one is due. The order: back, force, deletes
    /// and notices, page, flip, touch.
    pub fn next_call(&mut self, lane: &Lane<F>, now_ms: u64) -> Option<QueueCall<F>> {
        if self.doing.is_some() || self.retry_ms > now_ms {
            return None;
        }
        self.retry_ms = 0;
        let conn = self.conn;
        let (doing, op, flights) = if self.attach_due {
            self.attach_due = false;
            (Doing::Attach, Op::Attach { node: self.node, conn }, Vec::new())
        } else if self.back_at_ms().is_some_and(|ms| ms <= now_ms) {
            let (numbers, entries, flights) = self.unbacked();
            (Doing::Back(numbers), Op::Back { conn, entries }, flights)
        } else if !self.forced.is_empty() {
            let forced = Vec::from(std::mem::take(&mut self.forced));
            let entries = forced.iter().map(|d| d.entry.clone()).collect();
            let flights = forced.iter().map(|d| Some(d.flight.clone())).collect();
            (Doing::Force(forced), Op::Force { entries }, flights)
        } else if !self.acks.is_empty() || self.acked_notices > 0 {
            let settled = std::mem::take(&mut self.acks);
            let notices = std::mem::take(&mut self.acked_notices);
            (Doing::Ack(settled.clone(), notices), Op::Ack { settled, notices }, Vec::new())
        } else if self.state == State::Attaching {
            return None;
        } else if self.page_due && !self.full && self.window.room().0 > 0 && lane.is_empty() {
            self.page_due = false;
            (Doing::Page, self.page_op(), Vec::new())
        } else if self.may_flip() && lane.open() {
            self.state = State::Flipping;
            let (last, notices_last) = (self.last, self.notices_last);
            (Doing::Flip, Op::Flip { conn, last, notices_last }, Vec::new())
        } else if self.touch_due {
            self.touch_due = false;
            (Doing::Touch, Op::Touch { node: self.node, conn }, Vec::new())
        } else {
            return None;
        };
        self.doing = Some(doing);
        Some(QueueCall { r#gen: self.generation, op, flights })
    }

    /// The reply to the call under way.
    pub fn reply(
        &mut self,
        reply: Result<DeviceReply, Unavailable>,
        lane: &Lane<F>,
        now_ms: u64,
    ) -> Vec<Out> {
        let Some(doing) = self.doing.take() else { return Vec::new() };
        fault::point("channel: a reply");
        let mut out = Vec::new();
        match reply {
            Err(Unavailable) => self.failed(doing, lane, now_ms, &mut out),
            Ok(reply) if reply.outcome == Outcome::OtherGen => {
                self.lost(reply.r#gen, doing, lane, now_ms, &mut out);
            }
            Ok(reply) => self.replied(doing, reply, lane, now_ms, &mut out),
        }
        out
    }

    /// The connection ends: the lane is closed, and the last calls are handed over under its lock:
    /// what was acknowledged, then what is in no ledger.
    pub fn end(&mut self, lane: &Lane<F>, mut hand_over: impl FnMut(QueueCall<F>)) {
        let r#gen = self.generation;
        if let Some(Doing::Force(forcing)) = self.doing.take() {
            self.forced.extend(forcing);
        }
        let (_, mut entries, mut flights) = self.unbacked();
        let settled = std::mem::take(&mut self.acks);
        let notices = std::mem::take(&mut self.acked_notices);
        lane.close(|waiting| {
            fault::point("channel: the end");
            if !settled.is_empty() || notices > 0 {
                let op = Op::Ack { settled, notices };
                hand_over(QueueCall { r#gen, op, flights: Vec::new() });
            }
            for delivery in std::mem::take(&mut self.forced).into_iter().chain(waiting) {
                entries.push(delivery.entry);
                flights.push(Some(delivery.flight));
            }
            let op = Op::Detach { conn: self.conn, entries };
            hand_over(QueueCall { r#gen, op, flights });
        });
    }

    fn replied(
        &mut self,
        doing: Doing<F>,
        reply: DeviceReply,
        lane: &Lane<F>,
        now_ms: u64,
        out: &mut Vec<Out>,
    ) {
        let DeviceReply { holder, tail, outcome, .. } = reply;
        if outcome == Outcome::Revoked {
            out.push(Out::Close(Close::Revoked));
            return;
        }
        if outcome == Outcome::NotHolder {
            match holder {
                Some(_) => out.push(Out::Close(Close::Displaced)),
                None => {
                    self.touch_due = true;
                    self.page_due = true;
                    if self.state == State::Flipping {
                        self.flip_refused(lane, now_ms);
                    }
                }
            }
            return;
        }
        match (doing, outcome) {
            (Doing::Attach, _) => {
                let first = self.state == State::Attaching;
                self.state = State::Behind;
                self.page_due = true;
                self.progress_ms = now_ms;
                if first {
                    out.push(Out::Attached);
                }
            }
            (Doing::Back(numbers), Outcome::Written(taken)) => self.backed(&numbers, &taken),
            (Doing::Force(_), _) => self.behind(lane, now_ms),
            (Doing::Page, Outcome::Page(page)) => self.paged(page, now_ms, out),
            // Shut meanwhile: a router wrote something, and the mode follows.
            (Doing::Flip, Outcome::Flipped(true)) if lane.is_open() => self.state = State::Live,
            (Doing::Flip, _) => self.flip_refused(lane, now_ms),
            (Doing::Touch, _) => {
                for (_, target) in self.syncs.iter_mut().filter(|(_, target)| target.is_none()) {
                    *target = Some(tail);
                }
            }
            _ => {}
        }
        let mine = holder.filter(|key| key.conn == self.conn);
        if mine.is_some_and(|key| key.mode == Mode::Behind) && self.state == State::Live {
            self.behind(lane, now_ms);
        }
        self.answer_syncs(out);
    }

    /// Whether what was in the ledger when they were asked has been sent.
    fn answer_syncs(&mut self, out: &mut Vec<Out>) {
        while let Some(&(id, Some(target))) = self.syncs.front() {
            if self.state != State::Live && self.last < target {
                self.page_due |= self.state == State::Behind;
                return;
            }
            self.syncs.pop_front();
            out.push(Out::Op(id, ServerOp::Ok {}));
        }
        if self.syncs.is_empty() {
            self.syncs = VecDeque::new();
        }
    }

    fn paged(&mut self, page: Page, now_ms: u64, out: &mut Vec<Out>) {
        if self.window.is_empty() {
            self.progress_ms = now_ms;
        }
        for (position, news) in page.notices {
            self.notices_last = position;
            let n = self.window.push(0, Sent::Notice(position));
            out.push(Out::Notice(n, news));
        }
        for entry in page.entries {
            let n = self.send(entry.clone(), None, Backed::Yes, now_ms);
            out.push(Out::Message(n, entry));
        }
        self.last = page.last;
        self.page_due |= page.more;
        // All of it may have been acknowledged meanwhile: then nobody would ask again.
        self.full = page.more && !self.window.is_empty();
    }

    fn failed(&mut self, doing: Doing<F>, lane: &Lane<F>, now_ms: u64, out: &mut Vec<Out>) {
        self.retry_ms = now_ms + RETRY_MS;
        match doing {
            Doing::Attach if self.state == State::Attaching => {
                out.push(Out::Close(Close::Overloaded));
            }
            Doing::Attach => self.attach_due = true,
            Doing::Back(_) => self.mark(Backed::UnderWay, Backed::No),
            Doing::Force(forced) => {
                self.forced = forced.into_iter().chain(self.forced.drain(..)).collect()
            }
            Doing::Ack(mut settled, notices) => {
                settled.append(&mut self.acks);
                self.acks = settled;
                self.acked_notices = self.acked_notices.max(notices);
            }
            Doing::Page => self.page_due = true,
            Doing::Flip => self.flip_refused(lane, now_ms),
            Doing::Touch => self.touch_due = true,
        }
    }

    /// Another generation: the store lost everything. What was backed is not; attach again first.
    fn lost(
        &mut self,
        r#gen: Gen,
        doing: Doing<F>,
        lane: &Lane<F>,
        now_ms: u64,
        out: &mut Vec<Out>,
    ) {
        self.failed(doing, lane, now_ms, out);
        self.retry_ms = 0;
        self.generation = r#gen;
        (self.last, self.notices_last, self.acked_notices) = (0, 0, 0);
        self.acks.retain(|settled| settled.news.is_some());
        self.mark(Backed::Yes, Backed::No);
        self.attach_due = true;
        self.behind(lane, now_ms);
        if self.state != State::Attaching {
            self.resync = true;
            let resync = hushwire_wire::frame::Resync { r#gen };
            out.push(Out::Op(None, ServerOp::Resync(resync)));
        }
    }

    fn flip_refused(&mut self, lane: &Lane<F>, now_ms: u64) {
        self.state = State::Behind;
        self.progress_ms = now_ms;
        self.page_due = true;
        self.forced.extend(lane.shut_and_take());
    }

    fn settle(&mut self, entry: &Entry, flight: Option<&F>, backed: Backed, failed: Option<&str>) {
        let (from, mid) = entry.id();
        let device = self.device;
        let place = if failed.is_some() { Place::Failed } else { Place::Acked };
        // What came from the ledger was accepted before, or will be with this device queued.
        let late = flight.is_none_or(|flight| {
            flight.reached(place) || (flight.is_away() && backed != Backed::No)
        });
        let news = match failed {
            Some(code) => Some(News::Undecryptable { mid, device, code: code.to_owned() }),
            None => late.then_some(News::Delivered { mid, device }),
        };
        if news.is_some() || backed != Backed::No {
            self.acks.push(Settled { from, mid, news });
        }
    }

    fn send(&mut self, entry: Entry, flight: Option<F>, backed: Backed, now_ms: u64) -> u64 {
        if self.window.is_empty() {
            self.progress_ms = now_ms;
        }
        let size = entry.envelope.size();
        self.window.push(size, Sent::Message { entry, flight, backed, sent_ms: now_ms })
    }

    /// What was sent and is in no ledger, oldest first: from now on under way to it.
    fn unbacked(&mut self) -> (Vec<u64>, Vec<Entry>, Vec<Option<F>>) {
        let (mut numbers, mut entries, mut flights) = (Vec::new(), Vec::new(), Vec::new());
        for (n, sent) in self.window.iter_mut() {
            if let Sent::Message { entry, flight, backed, .. } = sent
                && matches!(backed, Backed::No | Backed::UnderWay)
            {
                *backed = Backed::UnderWay;
                numbers.push(n);
                entries.push(entry.clone());
                flights.push(flight.clone());
            }
        }
        (numbers, entries, flights)
    }

    fn backed(&mut self, numbers: &[u64], taken: &[Taken]) {
        let mut replies = numbers.iter().zip(taken).peekable();
        for (n, sent) in self.window.iter_mut() {
            // Those acknowledged meanwhile have left the window.
            while replies.next_if(|(number, _)| **number < n).is_some() {}
            let Some((_, taken)) = replies.next_if(|(number, _)| **number == n) else { continue };
            if let Sent::Message { backed, .. } = sent {
                *backed = match taken {
                    Taken::Queued => Backed::Yes,
                    Taken::Skipped(_) | Taken::NoRoom => Backed::Refused,
                };
            }
        }
    }

    fn mark(&mut self, from: Backed, to: Backed) {
        for (_, sent) in self.window.iter_mut() {
            if let Sent::Message { backed, .. } = sent
                && *backed == from
            {
                *backed = to;
            }
        }
    }

    fn back_at_ms(&self) -> Option<u64> {
        self.window.iter().find_map(|(_, sent)| match sent {
            Sent::Message { backed: Backed::No, sent_ms, .. } => {
                Some(sent_ms + self.custody_after_ms)
            }
            _ => None,
        })
    }

    fn slow_at_ms(&self) -> Option<u64> {
        let slow = self.state == State::Behind && !self.window.is_empty();
        slow.then_some(self.progress_ms + self.slow_after_ms)
    }

    fn may_flip(&self) -> bool {
        self.state == State::Behind && !self.page_due && self.window.is_empty()
    }

    fn page_op(&self) -> Op {
        let (messages, bytes) = self.window.room();
        let skip = self.window.iter().filter_map(|(_, sent)| match sent {
            Sent::Message { entry, .. } => Some(entry.id()),
            Sent::Notice(_) => None,
        });
        Op::Page {
            conn: self.conn,
            after: self.last,
            notices_after: self.notices_last,
            skip: skip.collect(),
            messages,
            bytes,
        }
    }
}

#[cfg(test)]
mod tests;
