//! A signed-in connection: its frames, its sends, its heartbeat, and the ways to everything
//! shared. What it sends goes into a buffer that its socket empties.
//!
//! It owns its place in the directory and its user's list, and gives both up when it ends, also
//! in a panic: what is in window and lane is then written to the ledger.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use hushwire_wire::frame::{ClientOp, Event, EventKind, Send, ServerOp, Welcome, Window};
use hushwire_wire::limits::SENDS_UNANSWERED;
use hushwire_wire::message::Upload;
use hushwire_wire::{Close, Conn, DecodeError, Encoding, Gen, Reject, Token, UserId};

use super::channel::{Channel, Out};
use super::{check, write_message, write_op};
use crate::admit::{Offer, UNDER_WAY_RETRY_MS, Verdict};
use crate::directory::Live;
use crate::envelope::Envelope;
use crate::lane::{Fact, Lane};
use crate::limiter::Admission;
use crate::node::Node;
use crate::path::Path;
use crate::ports::{PairFacts, SignedIn, Unavailable};
use crate::queue::{Call, To};
use crate::route::{self, FlightRef};
use crate::user::Note;

/// `ping` is answered at any rate, but counts as refused when it comes sooner than this.
const PING_EVERY_MS: u64 = 10_000;
const MINUTE_MS: u64 = 60_000;
/// What a send with too many before it is told.
const BUSY_RETRY_MS: u64 = 1_000;
/// How often a pair is loaded again that changes while it is loaded.
const LOADS: usize = 3;

/// Why a connection ends, and when the client may come back.
pub(crate) type End = (Close, Option<u64>);

/// Whether the peer is to be pinged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ping {
    Now,
    NotYet,
}

type Loading = Pin<Box<dyn Future<Output = Result<Option<Arc<PairFacts>>, Unavailable>>>>;

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
    admission: Admission,
    sends: Vec<Unanswered>,
    welcoming: Option<Box<Welcoming>>,
    ping_ms: u64,
    /// The peer's pong is due; before the welcome, the queue store's reply.
    pong_by_ms: Option<u64>,
    asked_ms: u64,
    refused: (u64, u32),
}

/// A send that waits for its answer.
struct Unanswered {
    id: Option<u64>,
    to: UserId,
    sn: u64,
    until_ms: u64,
    /// Set while its pair is loaded.
    loading: Option<(Box<(Offer, Upload)>, Loading)>,
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
        let conn = Conn(node.random());
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
            admission: node.limiter.admission(me.user, me.device),
            sends: Vec::new(),
            welcoming: Some(Box::new(welcoming)),
            ping_ms: node.now_ms() + node.limits.heartbeat_ms,
            pong_by_ms: Some(node.now_ms() + node.limits.hello_within_ms),
            asked_ms: 0,
            refused: (0, 0),
        };
        let live = Live { user: me.user, conn, lane: lane.clone() };
        // Under the directory's lock, so that both know the same order of attaches.
        let displaced = node.directory.attach(me.device, live, || open.call());
        if let Some(displaced) = displaced {
            let kick = Fact::Kick { close: Close::Displaced, after_ms: None };
            displaced.lane.tell(kick);
        }
        node.tell(me.user, Note::Came { user: me.user, device: me.device, conn, lane });
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
    pub(crate) fn frame(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<(), Close> {
        let now_ms = self.node.now_ms();
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
            ClientOp::Ephemeral(_) | ClientOp::Call(_) | ClientOp::Presence(_) => {
                Err(Reject::bad("op", "an operation that is spoken"))
            }
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
    pub(crate) fn hear(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Result<(), End> {
        let now_ms = self.node.now_ms();
        while let Some(fact) = self.lane.next_fact(self.channel.is_attached()) {
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
        self.loaded(cx, now_ms, out)
    }

    /// The next delivery, if the window has room: only when nothing is unsent.
    pub(crate) fn deliver(&mut self, out: &mut BytesMut) -> bool {
        if self.welcoming.is_some() {
            return false;
        }
        let Some((n, entry)) = self.channel.deliver(&self.lane, self.node.now_ms()) else {
            return false;
        };
        write_message(out, self.encoding, &entry.frame(&self.me.user, n));
        true
    }

    /// Time passed: pings, deadlines, what is due at the queue. An error ends the connection.
    pub(crate) fn tick(&mut self, out: &mut BytesMut) -> Result<Ping, End> {
        let now_ms = self.node.now_ms();
        if let Some(close) = self.channel.tick(&self.lane, now_ms) {
            return Err((close, None));
        }
        while let Some(k) = self.sends.iter().position(|send| send.until_ms <= now_ms) {
            let late = self.sends.swap_remove(k);
            let op = ServerOp::Reject(Reject::Unavailable { retry_after_ms: BUSY_RETRY_MS });
            write_op(out, self.encoding, late.id, op);
        }
        self.free_sends();
        self.call();
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
        self.call();
        Ok(Ping::Now)
    }

    /// When [`Open::tick`] has something to do.
    pub(crate) fn deadline_ms(&self) -> u64 {
        let sends = self.sends.iter().map(|send| send.until_ms).min();
        [self.pong_by_ms, self.channel.deadline_ms(&self.lane), sends]
            .into_iter()
            .flatten()
            .fold(self.ping_ms, u64::min)
    }

    fn call(&mut self) {
        if let Some(call) = self.channel.next_call(&self.lane, self.node.now_ms()) {
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

    /// DELIVERY, "Send" 2: shape, repeats, pair, then admission and on its way. `None`: the
    /// answer comes later.
    fn send(
        &mut self,
        id: Option<u64>,
        send: Send,
        now_ms: u64,
    ) -> Result<Option<ServerOp>, Reject> {
        let upload = check::shape(self.me.user, &send)?;
        self.check_resync(send.re)?;
        if self.sends.len() >= SENDS_UNANSWERED {
            return Err(Reject::Unavailable { retry_after_ms: BUSY_RETRY_MS });
        }
        if self.sends.iter().any(|s| s.to == send.to && s.loading.is_some()) {
            return Err(Reject::Unavailable { retry_after_ms: UNDER_WAY_RETRY_MS });
        }
        let offer = self.offer(&send, &upload);
        match self.admission.look(&offer) {
            Verdict::Answer(answer) => return Ok(Some(ServerOp::Accepted((*answer).clone()))),
            Verdict::Refused(reject) => return Err(reject),
            Verdict::New if self.node.queue.stored().is_full(&self.node.limits) => {
                return Err(Reject::StoreFull {});
            }
            Verdict::New | Verdict::Changed | Verdict::Again | Verdict::Resubmitted => {}
        }
        let until_ms = now_ms + self.node.limits.send_deadline_ms;
        let (to, sn) = (send.to, send.sn);
        let loading = match self.node.pairs.get(self.me.user, to) {
            Ok(facts) => {
                // In place before it is routed: the answer may come at once.
                let loading = None;
                self.sends.push(Unanswered { id, to, sn, until_ms, loading });
                let done = self.admit(id, &offer, &upload, &facts);
                if !matches!(done, Ok(None)) {
                    self.sends.pop();
                    self.free_sends();
                }
                return done;
            }
            Err(_) => Box::pin(load(self.node.clone(), self.me.user, to)) as Loading,
        };
        let loading = Some((Box::new((offer, upload)), loading));
        self.sends.push(Unanswered { id, to, sn, until_ms, loading });
        Ok(None)
    }

    fn check_resync(&self, re: Option<Gen>) -> Result<(), Reject> {
        match re {
            None if self.channel.is_resyncing() => {
                Err(Reject::Unavailable { retry_after_ms: BUSY_RETRY_MS })
            }
            Some(r#gen) if r#gen != self.channel.generation() => {
                Err(Reject::bad("op.send.re", "the current generation"))
            }
            Some(_) if self.me.since_ms >= self.node.queue.born_ms() => {
                Err(Reject::bad("op.send.re", "a device older than the generation"))
            }
            _ => Ok(()),
        }
    }

    fn offer(&self, send: &Send, upload: &Upload) -> Offer {
        Offer {
            to: send.to,
            sn: send.sn,
            mid: upload.header.mid,
            hash: self.node.ports.digest.digest(send.upload.as_bytes()),
            epoch: upload.header.epoch,
            counter: upload.header.counter,
            size: send.upload.len(),
            re: send.re,
            withdraw: send.withdraw.as_slice().into(),
        }
    }

    fn admit(
        &self,
        id: Option<u64>,
        offer: &Offer,
        upload: &Upload,
        facts: &PairFacts,
    ) -> Result<Option<ServerOp>, Reject> {
        let targets = check::targets(&self.me, offer.to, upload, facts)?;
        let at = match self.admission.admit(offer, upload.header.class) {
            Ok(at) => at,
            Err(Verdict::Answer(answer)) => {
                return Ok(Some(ServerOp::Accepted((*answer).clone())));
            }
            Err(Verdict::Refused(reject)) => return Err(reject),
            Err(_) => return Err(Reject::Unavailable { retry_after_ms: BUSY_RETRY_MS }),
        };
        let envelope = Arc::new(Envelope {
            from_user: self.me.user,
            from_device: self.me.device,
            to: offer.to,
            sn: offer.sn,
            mid: offer.mid,
            at,
            again: offer.re.is_some(),
            withdraw: offer.withdraw.clone(),
            body: hushwire_wire::deliver::SharedBody::new(upload.shared.clone()),
        });
        let (admission, lane) = (self.admission.clone(), self.lane.clone());
        route::route(&self.node, envelope, targets, admission, lane, id);
        Ok(None)
    }

    /// Goes on with the sends whose pairs are loaded.
    fn loaded(&mut self, cx: &mut Context<'_>, now_ms: u64, out: &mut BytesMut) -> Result<(), End> {
        for k in (0..self.sends.len()).rev() {
            let Some(waiting) = self.sends.get_mut(k) else { continue };
            let Some((_, loading)) = &mut waiting.loading else { continue };
            let Poll::Ready(facts) = loading.as_mut().poll(cx) else { continue };
            let Some((parts, _)) = waiting.loading.take() else { continue };
            let (id, (offer, upload)) = (waiting.id, *parts);
            let done = match facts {
                Ok(Some(facts)) => self.admit(id, &offer, &upload, &facts),
                Ok(None) => Err(Reject::NotContact {}),
                Err(Unavailable) => Err(Reject::Unavailable { retry_after_ms: BUSY_RETRY_MS }),
            };
            match done {
                Ok(None) => continue,
                Ok(Some(op)) => write_op(out, self.encoding, id, op),
                Err(reject) => {
                    self.refuse(id, reject, now_ms, out).map_err(|close| (close, None))?;
                }
            }
            self.sends.swap_remove(k);
        }
        self.free_sends();
        Ok(())
    }

    /// An idle session keeps no room for sends.
    fn free_sends(&mut self) {
        if self.sends.is_empty() && self.sends.capacity() > 0 {
            self.sends = Vec::new();
        }
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
    /// no ledger is written there, in one call that also gives the key back.
    fn drop(&mut self) {
        let (node, device) = (self.node.clone(), self.me.device);
        self.channel.end(&self.lane, |call| {
            let r#gen = call.r#gen;
            let to = To::Custody { flights: call.flights, device, path: Path::forced() };
            node.intake.push(Call::Device { r#gen, device, op: call.op }, to);
        });
        node.directory.remove_if(device, self.conn);
        node.tell(self.me.user, Note::Left { user: self.me.user, conn: self.conn });
    }
}

/// The facts of a pair, from the port, into the cache.
async fn load(
    node: Arc<Node>,
    a: UserId,
    b: UserId,
) -> Result<Option<Arc<PairFacts>>, Unavailable> {
    for _ in 0..LOADS {
        let at = match node.pairs.get(a, b) {
            Ok(facts) => return Ok(Some(facts)),
            Err(at) => at,
        };
        let Some(facts) = node.ports.accounts.pair(a, b).await? else { return Ok(None) };
        let facts = Arc::new(facts);
        if node.pairs.put(a, b, &facts, at) {
            return Ok(Some(facts));
        }
    }
    Err(Unavailable)
}
