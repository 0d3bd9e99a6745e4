//! The world: store, nodes, devices, what is on its way between them, and what may happen next.
//!
//! What is on its way arrives in order and at once, unless it is held up or lost: a bounded number
//! of delays stands for every interleaving that needs no more than so many things to be late
//! (delay-bounded exploration). Where the bound is high enough, that is every one.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use hushwire_actors::Limits;
use hushwire_actors::queue::{DeviceReply, Op, Outcome as Done, Taken};
use hushwire_wire::frame::SkipReason;
use hushwire_wire::{DeviceId, Mid};

use crate::bug::Bug;
use crate::config::{Config, Faults};
use crate::device::Device;
use crate::ids::{self, NOW_MS, Sealing};
use crate::node::Node;
use crate::store::Store;
use crate::wire::{Answer, Down, Item, OnWay, To, Up};

/// How much later a second is, in milliseconds: `custody_after` and the pause after a failure.
pub(crate) const SECOND_MS: u64 = 1_000;

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The `k`-th thing on its way arrives.
    Take(usize),
    /// It is held up.
    Delay(usize),
    /// It is lost.
    Lose(usize),
    /// A call is executed and its reply lost.
    LoseReply(usize),
    /// A device submits a message.
    Submit(u8),
    /// A sender repeats what was not accepted.
    Resend(u8),
    /// A device connects to a node.
    Connect(u8, usize),
    /// A socket breaks.
    Cut(u8),
    /// A socket breaks, and the node does not know.
    HalfCut(u8),
    /// A node finds a broken socket out.
    NoPong(usize, u8),
    /// A second passes for a session.
    Second(usize, u8),
    /// A heartbeat of a session.
    Beat(usize, u8),
    /// Another node says nothing for three seconds.
    Miss(usize, u64),
    /// A node is killed and starts again.
    Kill(usize),
    /// A node stops.
    Pause(usize),
    /// It goes on.
    Resume(usize),
    /// A node is drained: its connections end.
    Drain(usize),
    /// A new epoch begins.
    Rotate,
    /// The store fails over.
    FailOver,
    /// The store loses everything.
    Wipe,
    /// A device's key is lost.
    Expire(u8),
    /// An idle node reads the generation.
    ReadGen(usize),
    /// A device is revoked.
    Revoke(u8),
}

/// A state of the world.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) config: Arc<Config>,
    pub(crate) limits: Limits,
    pub(crate) store: Store,
    pub(crate) nodes: Vec<Node>,
    pub(crate) lives: Vec<u8>,
    pub(crate) devices: Vec<Device>,
    pub(crate) wire: Vec<OnWay>,
    pub(crate) left: Faults,
    pub(crate) epoch: u8,
    conns: u8,
    contents: u8,
    // What nobody in the world knows.
    /// Contents that were answered as accepted, and the devices that must get them.
    pub(crate) promised: BTreeSet<(DeviceId, u8, u8)>,
    /// Contents and devices that were answered as skipped.
    pub(crate) skipped: BTreeSet<(DeviceId, u8, u8)>,
    /// Sealings that a token was taken for.
    pub(crate) charged: BTreeSet<(u8, Mid)>,
    /// Devices whose revocation the store has executed, by generation.
    pub(crate) struck: BTreeSet<(u8, u8)>,
    pub(crate) submits: Vec<u8>,
    pub(crate) broken: BTreeSet<&'static str>,
    pub(crate) marks: BTreeSet<&'static str>,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.store, &self.nodes, &self.lives, &self.devices, &self.wire).hash(state);
        (&self.left, self.epoch, self.conns, self.contents).hash(state);
        (&self.promised, &self.skipped, &self.charged, &self.submits).hash(state);
        (&self.struck, &self.broken, &self.marks).hash(state);
    }
}

impl PartialEq for World {
    /// By hash, as the checker tells states apart.
    fn eq(&self, other: &Self) -> bool {
        let hash = |world: &Self| {
            let mut hasher = DefaultHasher::new();
            world.hash(&mut hasher);
            hasher.finish()
        };
        hash(self) == hash(other)
    }
}

impl World {
    /// The beginning: everybody who is to be connected is.
    #[must_use]
    pub fn new(config: &Arc<Config>) -> Self {
        let store = Store::new(config.faults.failovers > 0);
        let r#gen = store.r#gen();
        let nodes = (0..2).map(|k| Node::new(ids::node(k, 0), r#gen)).collect();
        let devices = (0u8..)
            .zip(&config.devices)
            .map(|(k, person)| Device::new(k, person.user, if person.user == 1 { 2 } else { 1 }));
        let mut world = Self {
            config: config.clone(),
            limits: config.limits(),
            store,
            nodes,
            lives: vec![0, 0],
            devices: devices.collect(),
            wire: Vec::new(),
            left: config.faults,
            epoch: 1,
            conns: 0,
            contents: 0,
            promised: BTreeSet::new(),
            skipped: BTreeSet::new(),
            charged: BTreeSet::new(),
            struck: BTreeSet::new(),
            submits: vec![0; config.devices.len()],
            broken: BTreeSet::new(),
            marks: BTreeSet::new(),
        };
        for (device, person) in (0u8..).zip(&config.devices) {
            if let Some(at) = person.at {
                world.connect(device, usize::from(at));
            }
        }
        while !world.wire.is_empty() {
            world.act(Action::Take(0));
        }
        world
    }

    pub(crate) fn mark(&mut self, mark: &'static str) {
        if self.config.marks.contains(&mark) {
            self.marks.insert(mark);
        }
    }

    pub(crate) fn broken(&mut self, rule: &'static str) {
        self.broken.insert(rule);
    }

    pub(crate) fn send(&mut self, item: Item) {
        self.wire.push(OnWay { item, late: false });
    }

    /// The node that a connection leads to.
    fn node_of(&self, conn: u8) -> Option<usize> {
        self.nodes.iter().position(|node| node.sessions.contains_key(&conn))
    }

    /// Whether it may arrive now: nothing of its line is before it, and whoever gets it is not
    /// stopped.
    pub(crate) fn is_due(&self, k: usize) -> bool {
        let Some(way) = self.wire.get(k) else { return false };
        let line = way.item.line();
        let first =
            line.is_none() || self.wire[..k].iter().all(|before| before.item.line() != line);
        let stopped = match &way.item {
            Item::Up { conn, .. } => self.node_of(*conn).is_some_and(|at| self.nodes[at].paused),
            Item::Reply { node, .. } | Item::Word { to: node, .. } => {
                self.nodes.iter().any(|n| n.id == *node && n.paused)
            }
            Item::Down { .. } | Item::Call { .. } => false,
        };
        first && !stopped
    }

    /// The first thing that is due and not held up.
    fn prompt(&self) -> Option<usize> {
        (0..self.wire.len()).find(|k| !self.wire[*k].late && self.is_due(*k))
    }

    /// What may happen now.
    pub fn actions(&self, actions: &mut Vec<Action>) {
        let left = &self.left;
        if let Some(k) = self.prompt() {
            actions.push(Action::Take(k));
            if left.delays > 0 {
                actions.push(Action::Delay(k));
            }
            if left.losses > 0 && self.wire[k].item.may_be_lost() {
                actions.push(Action::Lose(k));
                if matches!(self.wire[k].item, Item::Call { .. }) {
                    actions.push(Action::LoseReply(k));
                }
            }
            return;
        }
        for k in 0..self.wire.len() {
            if self.is_due(k) {
                actions.push(Action::Take(k));
            }
        }
        for (device, person) in (0u8..).zip(&self.config.devices) {
            let at = &self.devices[usize::from(device)];
            if at.left_roster() {
                continue;
            }
            if person.sends && self.submits[usize::from(device)] < self.config.faults.messages {
                actions.push(Action::Submit(device));
            }
            if left.resends > 0 && at.is_waiting() {
                actions.push(Action::Resend(device));
            }
            if left.connects > 0 {
                for node in 0..self.nodes.len() {
                    if person.nodes & (1 << node) != 0 && !self.nodes[node].draining {
                        actions.push(Action::Connect(device, node));
                    }
                }
            }
            if at.link.is_some() && left.cuts > 0 {
                actions.push(Action::Cut(device));
            }
            if at.link.is_some() && left.half_cuts > 0 {
                actions.push(Action::HalfCut(device));
            }
            if left.expiries > 0 && !person.sends && self.store.holder_node(device).is_some() {
                actions.push(Action::Expire(device));
            }
            if left.revokes > 0 && !person.sends {
                actions.push(Action::Revoke(device));
            }
        }
        for (at, node) in self.nodes.iter().enumerate() {
            self.node_actions(at, node, actions);
        }
        if left.rotations > 0 {
            actions.push(Action::Rotate);
        }
        if left.failovers > 0 {
            actions.push(Action::FailOver);
        }
        if left.wipes > 0 {
            actions.push(Action::Wipe);
        }
    }

    fn node_actions(&self, at: usize, node: &Node, actions: &mut Vec<Action>) {
        let left = &self.left;
        if node.paused {
            actions.push(Action::Resume(at));
            return;
        }
        for (conn, session) in &node.sessions {
            if !session.open {
                actions.push(Action::NoPong(at, *conn));
            }
            let due = session.channel.deadline_ms(&session.lane);
            if left.seconds > 0 && due.is_some_and(|ms| ms <= NOW_MS + SECOND_MS) {
                actions.push(Action::Second(at, *conn));
            }
            if left.beats > 0 {
                actions.push(Action::Beat(at, *conn));
            }
        }
        for ticket in node.waits.keys() {
            actions.push(Action::Miss(at, *ticket));
        }
        if left.kills > 0 {
            actions.push(Action::Kill(at));
        }
        if left.pauses > 0 {
            actions.push(Action::Pause(at));
        }
        if left.drains > 0 && !node.draining {
            actions.push(Action::Drain(at));
        }
        if node.r#gen != self.store.r#gen() {
            actions.push(Action::ReadGen(at));
        }
    }

    /// What an action would do, for people.
    #[must_use]
    pub fn describe(&self, action: Action) -> String {
        match action {
            Action::Take(k) | Action::Delay(k) | Action::Lose(k) | Action::LoseReply(k) => {
                let item = self.wire.get(k).map(|way| way.item.tell()).unwrap_or_default();
                format!("{action:?}: {item}")
            }
            _ => format!("{action:?}"),
        }
    }

    /// Does it.
    pub fn act(&mut self, action: Action) {
        match action {
            Action::Take(k) => self.take(k),
            Action::Delay(k) => {
                self.left.delays -= 1;
                self.wire[k].late = true;
            }
            Action::Lose(k) => {
                self.left.losses -= 1;
                self.lose(k);
            }
            Action::LoseReply(k) => {
                self.left.losses -= 1;
                let count = self.wire.len();
                self.take(k);
                // The reply is what the call put on its way.
                if self.wire.len() >= count {
                    self.lose(count - 1);
                }
            }
            Action::Submit(device) => self.submit(device),
            Action::Resend(device) => {
                self.left.resends -= 1;
                self.resend(device);
            }
            Action::Connect(device, at) => {
                self.left.connects -= 1;
                self.connect(device, at);
            }
            Action::Cut(device) => {
                self.left.cuts -= 1;
                self.cut(device, true);
            }
            Action::HalfCut(device) => {
                self.left.half_cuts -= 1;
                self.cut(device, false);
            }
            Action::NoPong(at, conn) => self.end(at, conn),
            Action::Second(at, conn) => {
                self.left.seconds = self.left.seconds.saturating_sub(1);
                self.tick(at, conn, NOW_MS + SECOND_MS);
            }
            Action::Beat(at, conn) => {
                self.left.beats = self.left.beats.saturating_sub(1);
                self.beat(at, conn);
            }
            Action::Miss(at, ticket) => self.missed(at, ticket),
            Action::Kill(at) => {
                self.left.kills -= 1;
                self.kill(at);
            }
            Action::Pause(at) => {
                self.left.pauses -= 1;
                self.nodes[at].paused = true;
            }
            Action::Resume(at) => {
                self.nodes[at].paused = false;
                self.wire.iter_mut().for_each(|way| way.late = false);
            }
            Action::Drain(at) => {
                self.left.drains -= 1;
                self.nodes[at].draining = true;
                self.mark("drained");
                let all: Vec<_> = self.nodes[at].sessions.keys().copied().collect();
                all.into_iter().for_each(|conn| self.end(at, conn));
            }
            Action::Rotate => {
                self.left.rotations -= 1;
                self.epoch += 1;
            }
            Action::FailOver => {
                self.left.failovers -= 1;
                self.store.fail_over();
                self.forget_charges();
            }
            Action::Wipe => {
                self.left.wipes -= 1;
                self.store.wipe();
                self.forget_charges();
            }
            Action::Expire(device) => {
                self.left.expiries -= 1;
                self.store.expire_key(device, &self.limits);
            }
            Action::ReadGen(at) => {
                self.nodes[at].r#gen = self.store.r#gen();
                let all: Vec<_> = self.nodes[at].sessions.keys().copied().collect();
                all.into_iter().for_each(|conn| self.beat(at, conn));
            }
            Action::Revoke(device) => {
                self.left.revokes -= 1;
                self.revoke(device);
            }
        }
    }

    /// What was admitted before a loss may be charged again.
    fn forget_charges(&mut self) {
        self.charged.clear();
        self.mark("another generation");
    }

    fn take(&mut self, k: usize) {
        let OnWay { item, late } = self.wire.remove(k);
        match item {
            Item::Up { conn, frame } => {
                if let Some(at) = self.node_of(conn) {
                    self.up(at, conn, frame);
                }
            }
            Item::Down { conn, frame } => {
                let (epoch, bug) = (self.epoch, self.config.bug);
                let device = self
                    .devices
                    .iter_mut()
                    .find(|device| device.link.as_ref().is_some_and(|link| link.conn == conn));
                if let Some(device) = device {
                    let again = match &frame {
                        Down::Message { from, mid, .. } => device.knows(*from, mid),
                        _ => None,
                    };
                    let ups = device.take(frame, epoch, bug);
                    let is_holding = !device.held.is_empty();
                    self.ups(conn, ups);
                    if let Some(again) = again {
                        self.mark(again);
                    }
                    if is_holding {
                        self.mark("held back");
                    }
                }
            }
            Item::Call { node, r#gen, device, op, to } => {
                if let Op::Ack { settled, .. } = &op {
                    self.check_settled(device, settled);
                    if settled.iter().any(|one| one.news.is_none()) {
                        self.mark("acknowledged while backed");
                    }
                }
                if matches!(op, Op::Touch { .. }) && self.store.holder_node(device.0[0]).is_none() {
                    self.mark("touched without a key");
                }
                let bug = self.config.bug;
                let reply = self.store.execute(r#gen, device, &op, &self.limits, bug);
                let writes = matches!(reply.outcome, Done::Written(_));
                self.mark_call(device.0[0], &op, &reply, late, &to);
                let reply = Some(reply);
                self.send(Item::Reply { node, device, to, reply, wrote: writes });
            }
            Item::Reply { node, device, to, reply, wrote } => {
                if wrote && reply.as_ref().is_some_and(|reply| reply.r#gen == self.store.r#gen()) {
                    // Told only when the replica has it.
                    self.store.wait();
                }
                if let Some(at) = self.nodes.iter().position(|n| n.id == node) {
                    self.replied(at, device, to, reply);
                }
            }
            Item::Word { to, word } => {
                if let Some(at) = self.nodes.iter().position(|n| n.id == to) {
                    self.hear(at, word);
                }
            }
        }
    }

    /// What a call shows.
    fn mark_call(&mut self, device: u8, op: &Op, reply: &DeviceReply, late: bool, to: &To) {
        match (op, &reply.outcome) {
            (Op::Enqueue { .. } | Op::Force { .. }, Done::Written(taken)) => {
                if taken.contains(&Taken::Skipped(SkipReason::Full)) {
                    self.mark("queue full");
                }
                if taken.contains(&Taken::Skipped(SkipReason::Revoked)) {
                    self.mark("skipped as revoked");
                }
                if late && matches!(to, To::Custody { .. }) {
                    self.mark("written late");
                }
            }
            (Op::Enqueue { .. }, _) if late => self.mark("written late"),
            (Op::Flip { .. }, Done::Flipped(false)) => self.mark("flip refused"),
            (Op::Touch { .. }, Done::Revoked) => self.mark("touched after revoke"),
            (Op::Revoke, Done::Revoked) => {
                self.struck.insert((self.store.generation, device));
            }
            _ => {}
        }
    }

    /// A call or a reply that is lost is answered `unavailable`; a word is not answered.
    fn lose(&mut self, k: usize) {
        let OnWay { item, .. } = self.wire.remove(k);
        match item {
            Item::Call { node, device, to, .. } | Item::Reply { node, device, to, .. } => {
                if let To::Session { conn, .. } = &to
                    && self.nodes.iter().any(|node| {
                        node.sessions.get(conn).is_some_and(|session| session.lane.is_open())
                    })
                {
                    self.mark("a flip's reply was lost");
                }
                self.mark(match &to {
                    To::Session { .. } => "a session's call was lost",
                    _ => "a write was lost",
                });
                let item = Item::Reply { node, device, to, reply: None, wrote: false };
                self.send(item);
            }
            Item::Word { .. } => self.mark("a word was lost"),
            Item::Up { .. } | Item::Down { .. } => {}
        }
    }

    pub(crate) fn connect(&mut self, device: u8, at: usize) {
        self.cut(device, true);
        self.conns += 1;
        let conn = self.conns;
        if self.store.holder_node(device).is_some_and(|node| node != self.nodes[at].id) {
            self.mark("taken over");
        }
        self.devices[usize::from(device)].connect(conn);
        self.open(at, device, conn);
    }

    fn cut(&mut self, device: u8, known: bool) {
        let Some(link) = self.devices[usize::from(device)].link.take() else { return };
        let conn = link.conn;
        self.wire.retain(|way| match &way.item {
            // Half a cut: what was sent before still arrives.
            Item::Up { conn: c, .. } => *c != conn || !known,
            Item::Down { conn: c, .. } => *c != conn,
            _ => true,
        });
        let Some(at) = self.node_of(conn) else { return };
        if let Some(session) = self.nodes[at].sessions.get_mut(&conn) {
            session.open = false;
        }
        if known && !self.nodes[at].paused {
            self.end(at, conn);
        }
    }

    fn submit(&mut self, device: u8) {
        self.submits[usize::from(device)] += 1;
        self.contents += 1;
        let (content, epoch) = (self.contents, self.epoch);
        let conn = self.devices[usize::from(device)].link.as_ref().map(|link| link.conn);
        let ups = self.devices[usize::from(device)].submit(content, epoch);
        if let Some(conn) = conn {
            self.ups(conn, ups);
        }
    }

    pub(crate) fn resend(&mut self, device: u8) {
        let (epoch, bug) = (self.epoch, self.config.bug);
        let conn = self.devices[usize::from(device)].link.as_ref().map(|link| link.conn);
        let ups = self.devices[usize::from(device)].again(epoch, bug);
        if let Some(conn) = conn {
            self.ups(conn, ups);
        }
    }

    fn ups(&mut self, conn: u8, frames: Vec<Up>) {
        for frame in frames {
            self.send(Item::Up { conn, frame });
        }
    }

    /// Everything volatile is gone. What is held up on its way to the store may still arrive.
    fn kill(&mut self, at: usize) {
        let id = self.nodes[at].id;
        let conns: BTreeSet<u8> = self.nodes[at].sessions.keys().copied().collect();
        for device in &mut self.devices {
            if device.link.as_ref().is_some_and(|link| conns.contains(&link.conn)) {
                device.link = None;
            }
        }
        self.wire.retain(|way| match &way.item {
            Item::Up { conn, .. } | Item::Down { conn, .. } => !conns.contains(conn),
            Item::Call { node, .. } => *node != id || way.late,
            Item::Reply { node, .. } | Item::Word { to: node, .. } => *node != id,
        });
        // The store counts who is under way, and forgets those of a dead node.
        for flight in self.nodes[at].flights.values().filter(|f| !f.custody.is_complete()) {
            let envelope = &flight.envelope;
            if self.config.bug != Some(Bug::UnderWayForEver) {
                self.store.kept.admit.landed(envelope.from_device, envelope.to);
            }
        }
        self.mark("killed");
        self.lives[at] += 1;
        let life = self.lives[at];
        self.nodes[at] =
            Node::new(ids::node(u8::try_from(at).unwrap_or(0), life), self.store.r#gen());
    }

    /// The first node does it: the database, then the store, then its own connection of the device.
    fn revoke(&mut self, device: u8) {
        self.devices[usize::from(device)].revoked = true;
        let (node, r#gen) = (self.nodes[0].id, self.nodes[0].r#gen);
        let (op, to) = (Op::Revoke, To::Nobody);
        self.send(Item::Call { node, r#gen, device: ids::device(device), op, to });
        if let Some(&conn) = self.nodes[0].directory.get(&device) {
            self.end(0, conn);
        }
    }

    /// Whether nothing is on its way but what is held up.
    pub(crate) fn is_quiet(&self) -> bool {
        self.prompt().is_none()
    }

    /// What a send is answered, as nobody in the world knows it.
    pub(crate) fn promise(&mut self, mid: Mid, targets: &[u8], answer: &Answer) {
        let content = Sealing::of(&mid).content;
        let Some(from) =
            self.devices.iter().find(|d| d.outgoing.iter().any(|o| o.content == content))
        else {
            return;
        };
        let from = ids::device(from.me);
        let Answer::Accepted(accepted) = answer else { return };
        for target in targets {
            let device = ids::device(*target);
            if accepted.skipped.iter().any(|skipped| skipped.device == device) {
                self.skipped.insert((from, content, *target));
            } else {
                self.promised.insert((from, content, *target));
            }
        }
        for device in &accepted.delivered {
            self.check_delivered(from, content, *device);
        }
    }
}
