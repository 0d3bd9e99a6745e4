//! A signed-in connection: its frames, its sends, its heartbeat, and the ways to everything
//! shared. What it sends goes into a buffer that its socket empties.
//!
//! It owns its place in the directory and its user's list, and gives both up when it ends, also
//! in a panic: what is in window and lane is then written to the ledger.

mod passing;
pub(crate) mod sending;

use std::sync::Arc;
use std::task::Context;

use bytes::BytesMut;
use hushwire_wire::frame::{ClientOp, Event, EventKind, ServerOp, Welcome, Window};
use hushwire_wire::{Close, Conn, DecodeError, Encoding, Gen, Reject, Token};

use super::UNSENT_HIGH;
use super::channel::{Channel, Out};
use super::writing::{write_message, write_op};
use crate::aside::Aside;
use crate::directory::Live;
use crate::fault;
use crate::lane::{Fact, First, Lane};
use crate::limiter::Paced;
use crate::node::Node;
use crate::path::Path;
use crate::ports::{SignedIn, Word};
use crate::queue::{Call, To};
use crate::route::FlightRef;
use crate::supervise::contain;
use crate::user::Note;
use passing::Waiting;
use sending::Unanswered;

/// `ping` is answered at any rate, but counts as refused when it comes sooner than this.
const PING_EVERY_MS: u64 = 10_000;
const MINUTE_MS: u64 = 60_000;
/// What a send with too many before it is told.
const BUSY_RETRY_MS: u64 = 1_000;

/// Why a connection ends, and when the client may come back.
pub(crate) type End = (Close, Option<u64>);

/// Whether the peer is to be pinged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ping {
    Now,
    NotYet,
}

/// What the welcome says, until it is said.
#[derive(Debug)]
pub(crate) struct Welcoming {
    pub(crate) id: Option<u64>,
    pub(crate) token: Token,
    pub(crate) token_until: u64,
}

pub(crate) struct Open {
    node: Arc<Node>,
    me: SignedIn,
    conn: Conn,
    encoding: Encoding,
    lane: Arc<Lane<FlightRef>>,
    channel: Channel<FlightRef>,
    paced: Paced,
    sends: Vec<Unanswered>,
    welcoming: Option<Box<Welcoming>>,
    ping_ms: u64,
    /// The peer's pong is due; before the welcome, the queue store's reply.
    pong_by_ms: Option<u64>,
    asked_ms: u64,
    refused: (u64, u32),
    /// Live operations whose pairs are loaded.
    waiting: Option<Box<Waiting>>,
    /// Whether it shows itself to anybody.
    shows: bool,
}

impl Open {
    /// Takes the device's place in the directory, displaces another connection of it, and
    /// attaches to its queue.
    pub(crate) fn new(
        node: &Arc<Node>,
        me: SignedIn,
        encoding: Encoding,
        last_gen: Option<Gen>,
        welcoming: Welcoming,
    ) -> Self {
        let (conn, now_ms) = (Conn(node.random()), node.now_ms());
        let lane = Arc::new(Lane::new(&node.limits));
        let generation = node.queue.generation();
        let resync = last_gen.is_some_and(|last| last != generation);
        let channel = Channel::new(me.device, conn, node.id, generation, resync, &node.limits);
        let mut open = Self {
            node: node.clone(),
            me,
            conn,
            encoding,
            lane: lane.clone(),
            channel,
            paced: node.limiter.paced(me.user),
            sends: Vec::new(),
            welcoming: Some(Box::new(welcoming)),
            ping_ms: now_ms + node.limits.heartbeat_ms,
            pong_by_ms: Some(now_ms + node.limits.hello_within_ms),
            asked_ms: 0,
            refused: (0, 0),
            waiting: None,
            shows: false,
        };
        let live = Live { user: me.user, conn, lane: lane.clone() };
        // Under the directory's lock, so that both know the same order of attaches.
        let displaced = node.directory.attach(me.device, live, || open.call(now_ms));
        if let Some(displaced) = displaced {
            let kick = Fact::Kick { close: Close::Displaced, after_ms: None };
            displaced.lane.tell(kick);
        }
        node.tell(me.user, Note::Came { user: me.user, conn, lane });
        node.calls.came(me.user, me.device, conn);
        let (user, device) = (me.user, me.device);
        node.tell_others(Word::Aside(Aside::Came { user, device, conn }));
        open
    }

    /// Whether the welcome was said.
    pub(crate) const fn is_welcome(&self) -> bool {
        self.welcoming.is_none()
    }

    /// Registers whom to wake when something comes.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.lane.register(cx);
    }

    /// One frame of the client.
    pub(crate) fn frame(
        &mut self,
        bytes: &[u8],
        now_ms: u64,
        out: &mut BytesMut,
    ) -> Result<(), Close> {
        fault::point("session: a frame");
        let frame = match self.encoding.decode_client(bytes) {
            Ok(frame) => frame,
            Err(DecodeError::Malformed) => return Err(Close::Invalid),
            Err(DecodeError::Refused { id, field }) => {
                let reject = Reject::bad(field, "what the protocol defines");
                return self.refuse(id, reject, now_ms, out);
            }
        };
        let id = frame.id;
        let done = match frame.op {
            ClientOp::Send(send) => match self.send(id, send, now_ms) {
                Ok(None) => return Ok(()),
                Ok(Some(answer)) => Ok(answer),
                Err(reject) => Err(reject),
            },
            ClientOp::Ack(ack) => match self.channel.ack(&ack, now_ms) {
                Ok(()) => return Ok(()),
                Err(reject) => Err(reject),
            },
            ClientOp::Sync {} => match self.channel.sync(id) {
                Ok(()) => return Ok(()),
                Err(reject) => Err(reject),
            },
            ClientOp::Resynced(resynced) => {
                self.channel.resynced(resynced.r#gen).map(|()| ServerOp::Ok {})
            }
            ClientOp::Ping {} => {
                let soon = now_ms < self.asked_ms + PING_EVERY_MS && self.asked_ms > 0;
                self.asked_ms = now_ms;
                if soon {
                    self.count_refused(now_ms)?;
                }
                Ok(ServerOp::Pong {})
            }
            ClientOp::Ephemeral(send) => match self.ephemeral(id, send, now_ms) {
                Ok(None) => return Ok(()),
                Ok(Some(answer)) => Ok(answer),
                Err(reject) => Err(reject),
            },
            ClientOp::Call(send) => match self.signal(id, send, now_ms) {
                Ok(None) => return Ok(()),
                Ok(Some(answer)) => Ok(answer),
                Err(reject) => Err(reject),
            },
            ClientOp::Presence(show) => self.show(show),
            ClientOp::Hello(_) => Err(Reject::bad("op.hello", "the first frame only")),
        };
        match done {
            Ok(op) => {
                write_op(out, self.encoding, id, op);
                Ok(())
            }
            Err(reject) => self.refuse(id, reject, now_ms, out),
        }
    }

    /// The answer to a ping came.
    pub(crate) const fn pong(&mut self) {
        self.pong_by_ms = None;
    }

    /// Hears the lane's facts and what was loaded. An error ends the connection.
    pub(crate) fn hear(
        &mut self,
        cx: &mut Context<'_>,
        now_ms: u64,
        out: &mut BytesMut,
    ) -> Result<(), End> {
        while let Some(fact) = self.next_fact(out.len()) {
            fault::point("session: a fact");
            match fact {
                Fact::Kick { close, after_ms } => return Err((close, after_ms)),
                Fact::Reply(reply) => {
                    for frame in self.channel.reply(reply, &self.lane, now_ms) {
                        self.write(frame, out)?;
                    }
                }
                Fact::Answer { id, sn, op } => {
                    // An answer that comes after the deadline is fetched by the resend.
                    let mine = self.sends.iter().position(|s| s.id == id && s.sn == sn);
                    if let Some(k) = mine {
                        self.sends.swap_remove(k);
                        self.free_sends();
                        write_op(out, self.encoding, id, op);
                    }
                }
                Fact::Event(event) => {
                    write_op(out, self.encoding, None, ServerOp::Event(event));
                }
                Fact::EventsLost => {
                    let event = Event { v: self.me.v, kind: EventKind::State, peer: None };
                    write_op(out, self.encoding, None, ServerOp::Event(event));
                }
                Fact::Behind => self.channel.behind(&self.lane, now_ms),
                Fact::Notices => self.channel.notices(),
                Fact::Touch => self.channel.heartbeat(),
            }
        }
        self.judged(cx, now_ms, out)?;
        self.loaded_live(cx, now_ms, out)
    }

    /// Whether events wait only because so much is unsent: to be heard when it is not, and before
    /// any message, since an epoch is told before what is sent under it.
    pub(crate) fn owes_events(&self) -> bool {
        self.is_welcome() && self.lane.first() == First::Events
    }

    fn next_fact(&self, unsent: usize) -> Option<Fact> {
        let all = self.channel.is_attached();
        let fact = self.lane.next_fact(all);
        let may_tell = all && unsent < UNSENT_HIGH;
        fact.or_else(|| if may_tell { self.lane.next_event() } else { None })
    }

    /// The next of what passes by, or the next delivery if the window has room: only when nothing
    /// is unsent.
    pub(crate) fn deliver(&mut self, now_ms: u64, out: &mut BytesMut) -> bool {
        if self.welcoming.is_some() {
            return false;
        }
        match self.lane.first() {
            First::Events => return false,
            First::Passing => {
                if let Some(op) = self.lane.next_passing() {
                    write_op(out, self.encoding, None, op);
                    return true;
                }
            }
            First::Deliveries => {}
        }
        let Some((n, entry)) = self.channel.deliver(&self.lane, now_ms) else {
            return false;
        };
        fault::point("session: deliver");
        write_message(out, self.encoding, &entry.frame(&self.me.user, n));
        true
    }

    /// Time passed: pings, deadlines, what is due at the queue. An error ends the connection.
    pub(crate) fn tick(&mut self, now_ms: u64, out: &mut BytesMut) -> Result<Ping, End> {
        fault::point("session: tick");
        if let Some(close) = self.channel.tick(&self.lane, now_ms) {
            return Err((close, None));
        }
        while let Some(k) = self.sends.iter().position(|send| send.until_ms <= now_ms) {
            let late = self.sends.swap_remove(k);
            let op = ServerOp::Reject(Reject::Unavailable { retry_after_ms: BUSY_RETRY_MS });
            write_op(out, self.encoding, late.id, op);
        }
        self.free_sends();
        self.give_up_live(now_ms, out);
        self.call(now_ms);
        if self.pong_by_ms.is_some_and(|by_ms| by_ms <= now_ms) {
            return Err(if self.welcoming.is_some() {
                (Close::Overloaded, Some(BUSY_RETRY_MS))
            } else {
                (Close::NoAnswer, None)
            });
        }
        if self.ping_ms > now_ms {
            return Ok(Ping::NotYet);
        }
        self.ping_ms = now_ms + self.node.limits.heartbeat_ms;
        self.pong_by_ms.get_or_insert(now_ms + self.node.limits.pong_within_ms);
        self.channel.heartbeat();
        self.call(now_ms);
        Ok(Ping::Now)
    }

    /// When [`Open::tick`] has something to do.
    pub(crate) fn deadline_ms(&self) -> u64 {
        let sends = self.sends.iter().map(|send| send.until_ms).min();
        let waiting = self.waiting.as_ref().map(|waiting| waiting.until_ms);
        [self.pong_by_ms, self.channel.deadline_ms(&self.lane), sends, waiting]
            .into_iter()
            .flatten()
            .fold(self.ping_ms, u64::min)
    }

    fn call(&mut self, now_ms: u64) {
        if let Some(call) = self.channel.next_call(&self.lane, now_ms) {
            let (r#gen, device, op) = (call.r#gen, self.me.device, call.op);
            let to = To::Session { device, lane: self.lane.clone(), flights: call.flights };
            self.node.intake.push(Call::Device { r#gen, device, op }, to);
        }
    }

    fn write(&mut self, frame: Out, out: &mut BytesMut) -> Result<(), End> {
        match frame {
            Out::Message(n, entry) => {
                write_message(out, self.encoding, &entry.frame(&self.me.user, n));
            }
            Out::Notice(n, what) => {
                let notice = hushwire_wire::frame::Notice { n, what };
                write_op(out, self.encoding, None, ServerOp::Notice(notice));
            }
            Out::Op(id, op) => write_op(out, self.encoding, id, op),
            Out::Attached => self.welcome(out),
            Out::Close(close) => {
                let after_ms = (close == Close::Overloaded).then_some(BUSY_RETRY_MS);
                return Err((close, after_ms));
            }
        }
        Ok(())
    }

    fn welcome(&mut self, out: &mut BytesMut) {
        let Some(welcoming) = self.welcoming.take() else { return };
        self.pong_by_ms = None;
        let limits = &self.node.limits;
        let welcome = Welcome {
            conn: self.conn,
            r#gen: self.channel.generation(),
            v: self.me.v,
            heartbeat_ms: limits.heartbeat_ms,
            window: Window {
                messages: limits.window_messages as u64,
                bytes: limits.window_bytes as u64,
            },
            token: welcoming.token,
            token_until: welcoming.token_until,
        };
        write_op(out, self.encoding, welcoming.id, ServerOp::Welcome(welcome));
    }

    fn refuse(
        &mut self,
        id: Option<u64>,
        reject: Reject,
        now_ms: u64,
        out: &mut BytesMut,
    ) -> Result<(), Close> {
        write_op(out, self.encoding, id, ServerOp::Reject(reject));
        self.count_refused(now_ms)
    }

    fn count_refused(&mut self, now_ms: u64) -> Result<(), Close> {
        let (since_ms, count) = &mut self.refused;
        if now_ms >= *since_ms + MINUTE_MS {
            (*since_ms, *count) = (now_ms, 0);
        }
        *count += 1;
        if *count > self.node.limits.refused_per_minute { Err(Close::Flooding) } else { Ok(()) }
    }
}

impl Drop for Open {
    /// The one end of a signed-in connection, orderly or not: the lane is closed and what is in
    /// no ledger is written there, in one call that also gives the key back. Each step happens
    /// even if the one before it breaks, since a panic during a panic would end the process.
    fn drop(&mut self) {
        let (node, me, conn) = (self.node.clone(), self.me, self.conn);
        contain(|| {
            self.channel.end(&self.lane, |call| {
                let r#gen = call.r#gen;
                let to =
                    To::Custody { flights: call.flights, device: me.device, path: Path::forced() };
                node.intake.push(Call::Device { r#gen, device: me.device, op: call.op }, to);
            });
        });
        contain(|| node.directory.remove_if(me.device, conn));
        contain(|| node.calls.left(me.user, me.device, conn));
        contain(|| {
            let (user, device) = (me.user, me.device);
            node.tell_others(Word::Aside(Aside::Left { user, device, conn }));
        });
        if self.shows {
            contain(|| node.presence.hide(&node, me.user, conn));
        }
        contain(|| node.tell(me.user, Note::Left { user: me.user, conn }));
    }
}
