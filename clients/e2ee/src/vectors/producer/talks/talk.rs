//! The pen of the scenes: each step is done in a [`World`] as it is written, and must come out as
//! the scene means it.

use std::collections::BTreeMap;

use hushwire_identity::{Suite, Suites};
use serde_json::Value;

use super::super::Dice;
use super::super::contents::said;
use super::super::dice::{DAY_MS, START_MS};
use crate::key::DeviceKey;
use crate::vectors::bytes::{B32, Hex};
use crate::vectors::contents::Said;
use crate::vectors::conversations::{Conversation, Epoch, Receive, Send, Step, Take, World};
use crate::vectors::logs::{Does, Entry};
use crate::vectors::prekeys::Published;
use crate::vectors::structures::{Header, Request};

pub(super) struct Talk<'d> {
    pub(super) dice: &'d mut Dice,
    pub(super) world: World,
    pub(super) now_ms: u64,
    pub(super) pair: Vec<String>,
    name: String,
    steps: Vec<Step>,
    /// Each device's user, mask and newest prekey.
    devices: BTreeMap<String, (String, u16, u32)>,
    messages: usize,
}

impl<'d> Talk<'d> {
    /// Users `a` and `b` (none without masks) with a device for each mask, who know each other's
    /// logs, have prekeys, and whose contact `a` asked for.
    pub(super) fn new(dice: &'d mut Dice, name: &str, a: &[u16], b: &[u16]) -> Self {
        let mut talk = Self {
            dice,
            world: World::default(),
            now_ms: START_MS,
            pair: vec!["a".to_owned()],
            name: name.to_owned(),
            steps: Vec::new(),
            devices: BTreeMap::new(),
            messages: 0,
        };
        talk.join("a", a);
        if !b.is_empty() {
            talk.pair.push("b".to_owned());
            talk.join("b", b);
        }
        for device in talk.names() {
            for user in talk.pair.clone() {
                talk.learn(&device, &user);
            }
        }
        for device in talk.names() {
            talk.prekey(&device);
        }
        if !b.is_empty() {
            talk.request();
        }
        talk
    }

    pub(super) fn finish(self) -> Conversation {
        Conversation { name: self.name, steps: self.steps }
    }

    /// Does a step and writes it as it came out.
    pub(super) fn go(&mut self, step: Step) -> Step {
        let made = self.world.go(&step);
        let made = made.unwrap_or_else(|fault| panic!("{}: {step:?}: {fault}", self.name));
        self.steps.push(made.clone());
        self.now_ms = self.dice.later(self.now_ms);
        made
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.devices.keys().cloned().collect()
    }

    /// All devices but one.
    pub(super) fn others(&self, than: &str) -> Vec<String> {
        self.names().into_iter().filter(|name| name != than).collect()
    }

    pub(super) fn join(&mut self, user: &str, masks: &[u16]) {
        let seed = self.dice.array();
        for (i, mask) in masks.iter().enumerate() {
            let device = format!("{user}{}", i + 1);
            if i == 0 {
                let does = Does::Genesis {
                    domain: "hushwire.example".to_owned(),
                    handle: format!("{user}_{}", self.dice.below(1_000)),
                    kind: 2,
                    suites: *mask,
                };
                self.log(user, Some(&device), does, seed);
                self.devices.insert(device, (user.to_owned(), *mask, 0));
            } else {
                self.add(user, &device, *mask);
            }
        }
    }

    fn log(&mut self, user: &str, device: Option<&str>, does: Does, signer: [u8; 32]) {
        let entry = Entry::new(does, self.now_ms, signer);
        self.go(Step::Log { user: user.to_owned(), device: device.map(str::to_owned), entry });
    }

    /// A new device, which another of the user adds.
    pub(super) fn add(&mut self, user: &str, device: &str, mask: u16) {
        let signer = self.key(&self.of_user(user)[0]);
        let new_seed = self.dice.bytes();
        let does = Does::Add { new_seed, kind: 3, suites: mask };
        self.log(user, Some(device), does, *signer.to_seed());
        self.devices.insert(device.to_owned(), (user.to_owned(), mask, 0));
    }

    /// Another device takes this one out.
    pub(super) fn revoke(&mut self, device: &str) {
        let user = self.devices.remove(device).unwrap().0;
        let id = self.key(device).device_id();
        let signer = *self.key(&self.of_user(&user)[0]).to_seed();
        let devices = vec![id.0.into()];
        self.log(&user, None, Does::Revoke { devices, reason: 1 }, signer);
    }

    pub(super) fn of_user(&self, user: &str) -> Vec<String> {
        let of = self.devices.iter().filter(|(_, (of, _, _))| of == user);
        of.map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn key(&self, device: &str) -> DeviceKey {
        self.world.key(device)
    }

    pub(super) fn learn(&mut self, device: &str, user: &str) {
        let seq = self.world.log(user).seq();
        self.go(Step::Learn { device: device.to_owned(), user: user.to_owned(), seq });
    }

    /// The device's next prekey, with the newest head of its log.
    pub(super) fn prekey(&mut self, device: &str) {
        let (user, mask, id) = self.devices.get_mut(device).unwrap();
        *id += 1;
        let (user, suites, id) = (user.clone(), *mask, *id);
        let point = self.world.log(&user).point();
        let xwing = Suites::from_bits(suites).unwrap().has(Suite::XWing);
        let prekey = Published {
            device_seed: (*self.key(device).to_seed()).into(),
            log_id: point.user.0.into(),
            id,
            day: u32::try_from(self.now_ms / DAY_MS).unwrap(),
            log_seq: point.seq,
            log_head: point.head.0.into(),
            suites,
            x25519_secret: self.dice.bytes(),
            xwing_seed: xwing.then(|| self.dice.bytes()),
            ..Published::default()
        };
        self.go(Step::Prekey { device: device.to_owned(), prekey });
    }

    pub(super) fn request(&mut self) -> B32 {
        let from = self.world.log("a").point();
        let known = self.dice.one_in(2);
        let request = Request {
            log_id: from.user.0.into(),
            seq: from.seq,
            head: from.head.0.into(),
            to: if known { self.world.log("b").user().0.into() } else { B32::default() },
            handle: self.world.log("b").handle().to_string(),
            nonce: self.dice.bytes(),
            time_ms: self.now_ms,
            ..Request::default()
        };
        match self.go(Step::Request { pair: self.pair.clone(), request }) {
            Step::Request { request, .. } => request.request_id,
            other => panic!("{other:?}"),
        }
    }

    /// The next epoch after the one that `by` sends in, or the first after `request`.
    pub(super) fn epoch(&mut self, label: &str, by: &str) -> Epoch {
        let before = self.world.current(by, &self.pair);
        let (n, prev) = match before {
            Some((n, id)) => (n + 1, id),
            None => (0, self.world.request(&self.pair)),
        };
        self.epoch_after(label, by, n, prev)
    }

    pub(super) fn epoch_after(&mut self, label: &str, by: &str, n: u32, prev: [u8; 32]) -> Epoch {
        let header = Header {
            n,
            prev: prev.into(),
            created_ms: self.now_ms,
            reason: u8::try_from(self.dice.below(5)).unwrap(),
            ..Header::default()
        };
        let len = self.tape_len(by);
        let (epoch, by) = (label.to_owned(), by.to_owned());
        let (pair, tape) = (self.pair.clone(), self.dice.hex(len));
        let step = Epoch { epoch, pair, by, header, tape, ..Epoch::default() };
        match self.go(Step::Epoch(Box::new(step))) {
            Step::Epoch(epoch) => *epoch,
            other => panic!("{other:?}"),
        }
    }

    /// What a creator draws: the key, and a seed for each wrap.
    fn tape_len(&self, by: &str) -> usize {
        let header = self.world.next_header(by, &self.pair, self.now_ms);
        let seed = if header.suite == Suite::XWing { 64 } else { 32 };
        32 + seed * header.targets(header.creator).count()
    }

    pub(super) fn take(&mut self, device: &str, epoch: &str, flags: &[&str]) {
        let take = Take { epoch: Some(epoch.to_owned()), ..self.offer(device) };
        self.judged(take, "ok", flags);
    }

    pub(super) fn refuse(&mut self, device: &str, epoch: &str, code: &str) {
        let take = Take { epoch: Some(epoch.to_owned()), ..self.offer(device) };
        self.judged(take, code, &[]);
    }

    /// A header and a wrap from somebody hostile.
    pub(super) fn forged(&mut self, device: &str, header: Vec<u8>, wrap: Vec<u8>, code: &str) {
        let (header, wrap) = (Some(Hex(header)), Some(Hex(wrap)));
        let take = Take { header, wrap, ..self.offer(device) };
        self.judged(take, code, &[]);
    }

    pub(super) fn offer(&self, device: &str) -> Take {
        let (device, pair) = (device.to_owned(), self.pair.clone());
        Take { device, pair, now_ms: self.now_ms, ..Take::default() }
    }

    pub(super) fn judged(&mut self, take: Take, code: &str, flags: &[&str]) {
        let Step::Take(took) = self.go(Step::Take(take)) else { panic!("no take") };
        assert_eq!(
            (took.expect.as_str(), took.flags),
            (code, flags.iter().map(|f| (*f).to_owned()).collect()),
            "{}",
            self.name
        );
    }

    /// Everybody else takes it.
    pub(super) fn all_take(&mut self, epoch: &str, by: &str) {
        for device in self.others(by) {
            self.take(&device, epoch, &[]);
        }
    }

    /// A content of this type in the epoch that the device sends in.
    pub(super) fn content(&mut self, device: &str, kind: u8) -> Said {
        let (seen, prev_sent) = self.world.counts(device, &self.pair);
        let seen = if self.dice.one_in(3) { Vec::new() } else { seen };
        Said { prev_sent, ..said(self.dice, kind, self.now_ms, seen) }
    }

    pub(super) fn send(&mut self, device: &str, epoch: &str, content: Said) -> Send {
        self.messages += 1;
        let step = Send {
            message: format!("m{}", self.messages),
            device: device.to_owned(),
            epoch: epoch.to_owned(),
            content,
            rnd16: self.dice.bytes(),
            ..Send::default()
        };
        match self.go(Step::Send(Box::new(step))) {
            Step::Send(send) => *send,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn text(&mut self, device: &str, epoch: &str) -> Send {
        let content = self.content(device, 1);
        self.send(device, epoch, content)
    }

    pub(super) fn receive(&mut self, device: &str, message: &str, expect: &str) {
        let (device, message) = (device.to_owned(), Some(message.to_owned()));
        self.received(Receive { device, message, ..Receive::default() }, expect);
    }

    pub(super) fn receive_bytes(&mut self, device: &str, bytes: Vec<u8>, expect: &str) {
        let (device, bytes) = (device.to_owned(), Some(Hex(bytes)));
        self.received(Receive { device, bytes, ..Receive::default() }, expect);
    }

    fn received(&mut self, receive: Receive, expect: &str) {
        let step = self.go(Step::Receive(receive));
        let Step::Receive(received) = &step else { panic!("no receive") };
        assert_eq!(received.expect, expect, "{}: {received:?}", self.name);
    }

    pub(super) fn skip(&mut self, device: &str, epoch: &str, lane: u8, count: u32) {
        let (device, epoch) = (device.to_owned(), epoch.to_owned());
        self.go(Step::Skip { device, epoch, lane, count });
    }

    /// A content with these fields instead.
    pub(super) fn with(said: Said, fields: Value) -> Said {
        Said { fields, ..said }
    }
}
