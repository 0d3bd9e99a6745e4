//! A node: what the actors do with the engine's values. Volatile: it is gone when it is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hushwire_actors::admit::{Offer, Verdict};
use hushwire_actors::custody::{Custody, Outcome, Place, Skip};
use hushwire_actors::lane::{Delivery, Fact, Lane};
use hushwire_actors::path::{Event, Next, Path};
use hushwire_actors::ports::{Unavailable, Word};
use hushwire_actors::queue::{DeviceReply, Op, Outcome as Done, Taken};
use hushwire_actors::session::channel::{Channel, Custodian as _, Out};
use hushwire_wire::frame::{Accepted, Ack, News, ServerOp};
use hushwire_wire::{Close, DeviceId, Gen, Mid, NodeId, Reject};

use crate::bug::Bug;
use crate::flight::{self, Copy, Flight, Follow};
use crate::ids::{self, NOW_MS, SIZE, Sealing};
use crate::wire::{Answer, Down, Item, To, Up};
use crate::world::World;

/// Repeats are looked at as if they came so much later: how often is not the model's question.
const LATER_MS: u64 = 120_000;

/// A signed-in connection.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Session {
    pub(crate) device: u8,
    pub(crate) channel: Channel<Copy>,
    pub(crate) lane: Lane<Copy>,
    /// Sends that wait for their answer.
    waiting: BTreeSet<(u8, Mid)>,
    /// Whether the socket still leads to the device.
    pub(crate) open: bool,
}

/// One server process.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) draining: bool,
    pub(crate) paused: bool,
    /// The generation as last known.
    pub(crate) r#gen: Gen,
    pub(crate) sessions: BTreeMap<u8, Session>,
    pub(crate) directory: BTreeMap<u8, u8>,
    pub(crate) flights: BTreeMap<u8, Flight>,
    next_flight: u8,
    pub(crate) waits: BTreeMap<u64, (Copy, Path)>,
    next_ticket: u64,
}

impl Node {
    pub(crate) const fn new(id: NodeId, r#gen: Gen) -> Self {
        Self {
            id,
            draining: false,
            paused: false,
            r#gen,
            sessions: BTreeMap::new(),
            directory: BTreeMap::new(),
            flights: BTreeMap::new(),
            next_flight: 0,
            waits: BTreeMap::new(),
            next_ticket: 0,
        }
    }
}

impl World {
    /// A device's new connection at a node. An older one there is displaced.
    pub(crate) fn open(&mut self, at: usize, device: u8, conn: u8) {
        let limits = self.limits.clone();
        let last = self.devices[usize::from(device)].r#gen;
        let node = &mut self.nodes[at];
        let resync = last.is_some_and(|last| last != node.r#gen);
        let (me, c) = (ids::device(device), ids::conn(conn));
        let channel = Channel::new(me, c, node.id, node.r#gen, resync, &limits);
        let (lane, waiting) = (Lane::new(&limits), BTreeSet::new());
        let session = Session { device, channel, lane, waiting, open: true };
        node.sessions.insert(conn, session);
        let displaced = node.directory.insert(device, conn);
        self.pump(at, conn);
        if let Some(displaced) = displaced {
            self.end(at, displaced);
        }
    }

    /// A connection ends, orderly or by its drop guard.
    pub(crate) fn end(&mut self, at: usize, conn: u8) {
        let node = &mut self.nodes[at];
        let Some(mut session) = node.sessions.remove(&conn) else { return };
        let (id, device) = (node.id, ids::device(session.device));
        if node.directory.get(&session.device) == Some(&conn) {
            node.directory.remove(&session.device);
        }
        let mut calls = Vec::new();
        session.channel.end(&session.lane, |call| calls.push(call));
        for call in calls {
            let to = To::Custody { flights: call.flights, path: Path::forced() };
            self.send(Item::Call { node: id, r#gen: call.r#gen, device, op: call.op, to });
        }
        if session.open {
            self.send(Item::Down { conn, frame: Down::Close });
        }
    }

    /// Hears the lane's facts, sends what waits, and makes the next call.
    pub(crate) fn pump(&mut self, at: usize, conn: u8) {
        self.pump_at(at, conn, NOW_MS);
    }

    pub(crate) fn pump_at(&mut self, at: usize, conn: u8, now_ms: u64) {
        let mut downs = Vec::new();
        let mut kicked = false;
        let node = &mut self.nodes[at];
        let Some(session) = node.sessions.get_mut(&conn) else { return };
        let attached = session.channel.is_attached();
        while let Some(fact) = session.lane.next_fact(attached) {
            match fact {
                Fact::Kick { .. } => kicked = true,
                Fact::Behind => session.channel.behind(&session.lane, NOW_MS),
                Fact::Notices => session.channel.notices(),
                Fact::Touch => session.channel.heartbeat(),
                _ => {}
            }
        }
        while let Some((n, entry)) = session.channel.deliver(&session.lane, NOW_MS) {
            let (from, mid) = entry.id();
            downs.push(Down::Message { n, from, mid });
        }
        let call = session.channel.next_call(&session.lane, now_ms);
        let (device, id) = (ids::device(session.device), node.id);
        for frame in downs {
            self.down(at, conn, frame);
        }
        if let Some(mut call) = call {
            if self.config.bug == Some(Bug::AckForgetsBacked)
                && let Op::Ack { settled, .. } = &mut call.op
            {
                settled.retain(|one| one.news.is_some());
            }
            let to = To::Session { conn, flights: call.flights };
            self.send(Item::Call { node: id, r#gen: call.r#gen, device, op: call.op, to });
        }
        if kicked {
            self.end(at, conn);
        }
    }

    fn down(&mut self, at: usize, conn: u8, frame: Down) {
        if self.nodes[at].sessions.get(&conn).is_some_and(|session| session.open) {
            self.send(Item::Down { conn, frame });
        }
    }

    /// Time passes for one session.
    pub(crate) fn tick(&mut self, at: usize, conn: u8, now_ms: u64) {
        let Some(session) = self.nodes[at].sessions.get_mut(&conn) else { return };
        match session.channel.tick(&session.lane, now_ms) {
            Some(_) => self.end(at, conn),
            None => self.pump_at(at, conn, now_ms),
        }
    }

    pub(crate) fn beat(&mut self, at: usize, conn: u8) {
        if let Some(session) = self.nodes[at].sessions.get_mut(&conn) {
            session.channel.heartbeat();
        }
        self.pump(at, conn);
    }

    /// A frame of a device.
    pub(crate) fn up(&mut self, at: usize, conn: u8, frame: Up) {
        let bug = self.config.bug;
        let node = &mut self.nodes[at];
        let Some(session) = node.sessions.get_mut(&conn) else { return };
        match frame {
            Up::Ack(n) => {
                let ack = Ack { n, failed: Vec::new() };
                let channel = &mut session.channel;
                let (done, follows) =
                    flight::on_stage(&mut node.flights, bug, || channel.ack(&ack, NOW_MS));
                if done.is_err() {
                    self.broken("an acknowledgement is refused");
                }
                self.follow(at, follows);
            }
            Up::Sync => {
                // Refused if too many wait: asked again by the next message.
                let _ = session.channel.sync(Some(0));
            }
            Up::Resynced(r#gen) => {
                let done = session.channel.resynced(r#gen).is_ok();
                self.down(at, conn, Down::Resynced(done));
            }
            Up::Send { to, sn, mid, re } => {
                if let Some(answer) = self.admit(at, conn, to, sn, mid, re) {
                    self.down(at, conn, Down::Answer { sn, mid, answer });
                }
            }
        }
        self.pump(at, conn);
    }

    /// DELIVERY, "Send" 2 to 4. `None`: the answer comes later.
    fn admit(
        &mut self,
        at: usize,
        conn: u8,
        to: u8,
        sn: u8,
        mid: Mid,
        re: Option<Gen>,
    ) -> Option<Answer> {
        let bug = self.config.bug;
        let session = self.nodes[at].sessions.get(&conn)?;
        let device = session.device;
        match re {
            None if session.channel.is_resyncing() && bug != Some(Bug::NewBeforeLost) => {
                return Some(Answer::Unavailable);
            }
            Some(r#gen) if r#gen != session.channel.generation() => {
                return Some(Answer::Unavailable);
            }
            _ => {}
        }
        if session.channel.generation() != self.store.r#gen() {
            // The store's own records name another generation.
            return Some(Answer::Unavailable);
        }
        let sealing = Sealing::of(&mid);
        let mut hash = [0; 32];
        hash[..16].copy_from_slice(&mid.0);
        let offer = Offer {
            to: ids::user(to),
            sn: u64::from(sn),
            mid,
            hash,
            epoch: ids::epoch(sealing.epoch),
            counter: u32::from(sealing.counter),
            size: SIZE,
            re,
            withdraw: Box::default(),
        };
        let from = ids::device(device);
        let look = |ms| self.store.kept.admit.look(from, &offer, ms);
        let verdict = match look(NOW_MS) {
            Verdict::Refused(Reject::RateLimited { .. }) => look(NOW_MS + LATER_MS),
            verdict => verdict,
        };
        match &verdict {
            Verdict::Answer(answer) => {
                let answer = Answer::Accepted((**answer).clone());
                let others = self.devices.iter().map(|d| d.me).filter(|d| *d != device);
                self.promise(mid, &others.collect::<Vec<_>>(), &answer);
                return Some(answer);
            }
            Verdict::Refused(Reject::StaleSn { last_sn, mid, answer }) => {
                let last_sn = u8::try_from(*last_sn).unwrap_or(u8::MAX);
                return Some(Answer::StaleSn { last_sn, mid: *mid, answer: answer.clone() });
            }
            Verdict::Refused(_) => return Some(Answer::Unavailable),
            _ => {}
        }
        if sealing.epoch != self.epoch {
            self.mark("epoch refused");
            return Some(Answer::EpochStale);
        }
        if verdict != Verdict::Again && !self.store.kept.admit.counter_rises(from, &offer) {
            return Some(Answer::CounterReuse);
        }
        let charged = verdict == Verdict::New
            || (verdict == Verdict::Again && bug == Some(Bug::RepeatIsCharged));
        if charged && !self.charged.insert((device, mid)) {
            self.broken("a retry costs no token");
        }
        match verdict {
            Verdict::Again => self.mark("routed again"),
            Verdict::Resubmitted => self.mark("resubmitted"),
            _ => {}
        }
        self.store.kept.admit.routed(from, &offer, &verdict, NOW_MS);
        self.store.wait();
        let (mut targets, mut roster) = (Vec::new(), Vec::new());
        for person in self.devices.iter().filter(|d| d.me != device && !d.left_roster()) {
            let own = person.user == self.devices[usize::from(device)].user;
            targets.push(person.me);
            roster.push((ids::device(person.me), own && bug != Some(Bug::OwnAtOnce)));
        }
        if targets.is_empty() {
            return Some(Answer::RecipientStale);
        }
        let from_user = self.devices[usize::from(device)].user;
        let envelope = Arc::new(ids::envelope(device, from_user, to, sn, mid, offer.re.is_some()));
        let mut custody = Custody::new(roster);
        let _ = custody.begin();
        let first: Vec<_> = custody.recipients().collect();
        let node = &mut self.nodes[at];
        let number = node.next_flight;
        node.next_flight += 1;
        let own = custody.own().collect();
        let r#gen = self.store.r#gen();
        let flight = Flight { envelope, targets, own, custody, conn, r#gen };
        let copies: Vec<_> = first.iter().filter_map(|k| flight.copy(number, *k)).collect();
        node.flights.insert(number, flight);
        if let Some(session) = node.sessions.get_mut(&conn) {
            session.waiting.insert((sn, mid));
        }
        for copy in copies {
            self.deliver(at, copy, Path::new());
        }
        None
    }

    pub(crate) fn deliver(&mut self, at: usize, copy: Copy, mut path: Path) {
        let here = self.nodes[at].directory.get(&copy.device()).map(|conn| ids::conn(*conn));
        let next = path.on(Event::Looked(here));
        self.carry_out(at, copy, path, next);
    }

    /// Goes on after what happened to a copy.
    pub(crate) fn go_on(&mut self, at: usize, copy: Copy, mut path: Path, event: Event) {
        let next = path.on(event);
        self.carry_out(at, copy, path, next);
    }

    fn carry_out(&mut self, at: usize, copy: Copy, path: Path, next: Next) {
        let id = self.nodes[at].id;
        match next {
            Next::Push(conn) => {
                let conn = conn.0[0];
                let Some(session) = self.nodes[at].sessions.get_mut(&conn) else { return };
                let entry = copy.entry().clone();
                let delivery = Delivery { entry, flight: copy, since_ms: NOW_MS };
                let mut shut = None;
                let closed = session.lane.push(delivery, |d| shut = Some(d.flight));
                if let Some(copy) = shut {
                    self.mark("refused by a shut lane");
                    self.go_on(at, copy, path, Event::Shut);
                } else if let Err(delivery) = closed {
                    self.go_on(at, delivery.flight, path, Event::Closed);
                }
                self.pump(at, conn);
            }
            Next::Publish { node: to, conn } => {
                let node = &mut self.nodes[at];
                node.next_ticket += 1;
                let ticket = node.next_ticket;
                let (device, entry) = (ids::device(copy.device()), copy.entry().clone());
                let r#gen = copy.generation();
                if self.config.bug == Some(Bug::ReceivedIsTaken) && self.lives(to) {
                    self.reach(at, &copy, Place::Queued);
                }
                self.nodes[at].waits.insert(ticket, (copy, path));
                self.mark("published");
                let word = Word::Route { from: id, ticket, device, conn, r#gen, entry };
                self.publish(at, to, word);
            }
            Next::Enqueue { dead } => {
                let op = Op::Enqueue { entries: vec![copy.entry().clone()], dead };
                self.write(at, copy, path, op);
            }
            Next::Force => {
                let op = Op::Force { entries: vec![copy.entry().clone()] };
                self.write(at, copy, path, op);
            }
            Next::Refuse(conn) => {
                if let Copy::Away { from, ticket, .. } = copy {
                    self.mark("not here");
                    self.publish(at, from, Word::CustodyNo { ticket, conn });
                }
            }
            Next::Rest => {}
        }
    }

    fn write(&mut self, at: usize, copy: Copy, path: Path, op: Op) {
        let (node, r#gen) = (self.nodes[at].id, copy.generation());
        let device = ids::device(copy.device());
        let to = To::Custody { flights: vec![Some(copy)], path };
        self.send(Item::Call { node, r#gen, device, op, to });
    }

    fn lives(&self, id: NodeId) -> bool {
        self.nodes.iter().any(|node| node.id == id)
    }

    /// Publishes. Without a receiver, what was routed counts as not there at once.
    fn publish(&mut self, at: usize, to: NodeId, word: Word) {
        if self.lives(to) {
            self.send(Item::Word { to, word });
        } else if let Word::Route { ticket, .. } = word {
            self.mark("nobody received it");
            self.missed(at, ticket);
        }
    }

    /// A copy that is away is not there, or says nothing in time.
    pub(crate) fn missed(&mut self, at: usize, ticket: u64) {
        let Some((copy, path)) = self.nodes[at].waits.remove(&ticket) else { return };
        self.mark("missed");
        if self.config.bug != Some(Bug::SilentHolderStays) {
            self.go_on(at, copy, path, Event::NotThere);
        }
    }

    /// A word of another node.
    pub(crate) fn hear(&mut self, at: usize, word: Word) {
        match word {
            Word::Route { from, ticket, device, conn, r#gen, entry } => {
                let copy = Copy::Away { from, ticket, device: device.0[0], r#gen, entry };
                self.deliver(at, copy, Path::guest(conn));
            }
            Word::Custody { ticket, place } => {
                let node = &mut self.nodes[at];
                let counts =
                    node.waits.get(&ticket).is_some_and(|(_, p)| p.custody(place).is_some());
                let Some((copy, _)) = node.waits.remove(&ticket).filter(|_| counts) else { return };
                let late = self.reach(at, &copy, place);
                if late && place == Place::Acked {
                    let (from, mid) = copy.entry().id();
                    let news = News::Delivered { mid, device: ids::device(copy.device()) };
                    let (node, r#gen) = (self.nodes[at].id, self.nodes[at].r#gen);
                    let op = Op::Notice { news };
                    self.send(Item::Call { node, r#gen, device: from, op, to: To::Nobody });
                }
            }
            Word::CustodyNo { ticket, conn } => {
                let mine = self.nodes[at].waits.get(&ticket).and_then(|(_, p)| p.away());
                if mine.is_some_and(|(_, away)| away == conn) {
                    self.missed(at, ticket);
                }
            }
            Word::Behind { device, conn } => self.tell(at, device, Some(conn.0[0]), Fact::Behind),
            Word::Notices { device } => self.tell(at, device, None, Fact::Notices),
            Word::Displaced { device, conn } => {
                let kick = Fact::Kick { close: Close::Displaced, after_ms: None };
                self.tell(at, device, Some(conn.0[0]), kick);
            }
            // No property is about them.
            Word::Aside(_) => {}
            Word::Ended { device, conn, close } => {
                let kick = Fact::Kick { close, after_ms: None };
                self.tell(at, device, Some(conn.0[0]), kick);
            }
        }
    }

    pub(crate) fn tell(&mut self, at: usize, device: DeviceId, conn: Option<u8>, fact: Fact) {
        let Some(&live) = self.nodes[at].directory.get(&device.0[0]) else { return };
        if conn.is_none_or(|conn| conn == live)
            && let Some(session) = self.nodes[at].sessions.get(&live)
        {
            session.lane.tell(fact);
            self.pump(at, live);
        }
    }

    /// A reply of the store, or its loss.
    pub(crate) fn replied(
        &mut self,
        at: usize,
        device: DeviceId,
        to: To,
        reply: Option<DeviceReply>,
    ) {
        let id = self.nodes[at].id;
        if let Some(reply) = &reply {
            self.nodes[at].r#gen = reply.r#gen;
            if let Done::Noticed(told) = &reply.outcome {
                for (device, node) in told.clone() {
                    if node == id {
                        self.tell(at, device, None, Fact::Notices);
                    } else {
                        self.publish(at, node, Word::Notices { device });
                    }
                }
            }
            let turned = match (&reply.outcome, &to) {
                (Done::Written(_), To::Custody { path, .. }) => path.turned(reply.holder),
                (Done::Written(_), _) => Path::forced().turned(reply.holder),
                _ => None,
            };
            if let Some(holder) = turned {
                if holder.node == id {
                    self.tell(at, device, Some(holder.conn.0[0]), Fact::Behind);
                } else {
                    self.publish(at, holder.node, Word::Behind { device, conn: holder.conn });
                }
            }
            if let Some(key) = reply.displaced.filter(|key| key.node != id) {
                self.publish(at, key.node, Word::Displaced { device, conn: key.conn });
            }
        }
        match to {
            To::Nobody => {}
            To::Custody { flights, path } => {
                let Some(reply) = reply else { return };
                if let Done::Held(holder) = reply.outcome {
                    for copy in flights.into_iter().flatten() {
                        let here = self.nodes[at].directory.get(&copy.device());
                        let here = here.map(|conn| ids::conn(*conn));
                        self.go_on(at, copy, path, Event::Held { holder, me: id, here });
                    }
                    return;
                }
                self.taken(at, &reply.outcome, &flights);
            }
            To::Session { conn, flights } => {
                if let Some(reply) = &reply {
                    self.taken(at, &reply.outcome, &flights);
                }
                self.reply(at, conn, reply);
            }
        }
    }

    fn taken(&mut self, at: usize, outcome: &Done, flights: &[Option<Copy>]) {
        let Done::Written(taken) = outcome else { return };
        for (copy, taken) in flights.iter().zip(taken) {
            let Some(copy) = copy else { continue };
            let place = match taken {
                Taken::Queued => Place::Queued,
                Taken::Skipped(why) => Place::Skipped((*why).into()),
                Taken::NoRoom => Place::Skipped(Skip::Store),
            };
            self.reach(at, copy, place);
        }
    }

    fn reply(&mut self, at: usize, conn: u8, reply: Option<DeviceReply>) {
        let Some(session) = self.nodes[at].sessions.get_mut(&conn) else { return };
        if reply.is_none() && self.config.bug == Some(Bug::LostFlipWaits) && session.lane.is_open()
        {
            return;
        }
        let reply = reply.ok_or(Unavailable);
        let outs = session.channel.reply(reply, &session.lane, NOW_MS);
        let r#gen = session.channel.generation();
        let mut over = false;
        for out in outs {
            match out {
                Out::Message(n, entry) => {
                    let (from, mid) = entry.id();
                    self.down(at, conn, Down::Message { n, from, mid });
                }
                Out::Notice(n, news) => self.down(at, conn, Down::Notice { n, news }),
                Out::Op(_, ServerOp::Ok {}) => self.down(at, conn, Down::Synced),
                Out::Op(_, ServerOp::Resync(resync)) => {
                    self.down(at, conn, Down::Resync(resync.r#gen));
                }
                Out::Op(..) => {}
                Out::Attached => self.down(at, conn, Down::Welcome(r#gen)),
                Out::Close(_) => over = true,
            }
        }
        if over {
            self.end(at, conn);
        } else {
            self.pump(at, conn);
        }
    }

    /// A copy reached a place. Whether its sender was answered before.
    pub(crate) fn reach(&mut self, at: usize, copy: &Copy, place: Place) -> bool {
        let bug = self.config.bug;
        let flights = &mut self.nodes[at].flights;
        let (late, follows) = flight::on_stage(flights, bug, || copy.reached(place));
        if late {
            self.mark("acknowledged after the answer");
        }
        self.follow(at, follows);
        late
    }

    fn follow(&mut self, at: usize, follows: Vec<Follow>) {
        for follow in follows {
            match follow {
                Follow::Complete { flight, outcome } => self.complete(at, flight, outcome),
                Follow::Release { flight } => self.release(at, flight),
                Follow::Twice => self.mark("reached twice"),
                Follow::Custody { to, ticket, place } => {
                    self.publish(at, to, Word::Custody { ticket, place });
                }
            }
        }
    }

    fn release(&mut self, at: usize, number: u8) {
        let Some(flight) = self.nodes[at].flights.get(&number) else { return };
        let own: Vec<_> = flight.custody.own().filter_map(|k| flight.copy(number, k)).collect();
        if self.config.bug == Some(Bug::AcceptedBeforeOwn) {
            let envelope = flight.envelope.clone();
            let sn = envelope.sn;
            let answer = Accepted { sn, mid: envelope.mid, delivered: vec![], skipped: vec![] };
            let from = envelope.from_device;
            self.store.kept.admit.accepted(from, envelope.to, Arc::new(answer));
        }
        self.mark("own copies released");
        for copy in own {
            self.deliver(at, copy, Path::new());
        }
    }

    fn complete(&mut self, at: usize, number: u8, outcome: Outcome) {
        let Some(flight) = self.nodes[at].flights.get(&number) else { return };
        let (envelope, conn) = (flight.envelope.clone(), flight.conn);
        let targets = flight.targets.clone();
        let (from, to, mid) = (envelope.from_device, envelope.to, envelope.mid);
        let sn = u8::try_from(envelope.sn).unwrap_or(u8::MAX);
        let admit = &mut self.store.kept.admit;
        let mut unsaid = Vec::new();
        let answer = match outcome {
            Outcome::Accepted { delivered, skipped } => {
                let accepted = Accepted { sn: envelope.sn, mid, delivered, skipped };
                if !admit.accepted(from, to, Arc::new(accepted.clone())) {
                    unsaid.clone_from(&accepted.delivered);
                }
                Answer::Accepted(accepted)
            }
            Outcome::Rejected(reject) => {
                self.marks
                    .extend(self.config.marks.contains(&"queue full").then_some("queue full"));
                admit.refused(from, to, envelope.sn);
                match reject {
                    Reject::QueueFull {} => Answer::QueueFull,
                    _ => Answer::RecipientStale,
                }
            }
        };
        for device in unsaid {
            let (node, r#gen) = (self.nodes[at].id, self.nodes[at].r#gen);
            let op = Op::Notice { news: News::Delivered { mid, device } };
            self.send(Item::Call { node, r#gen, device: from, op, to: To::Nobody });
        }
        if let Some(session) = self.nodes[at].sessions.get_mut(&conn)
            && session.waiting.remove(&(sn, mid))
        {
            self.promise(mid, &targets, &answer);
            self.down(at, conn, Down::Answer { sn, mid, answer });
        }
    }
}
