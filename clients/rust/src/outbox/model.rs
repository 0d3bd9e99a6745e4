//! The outbox against a simple server, with crashes and lost connections at every step and a
//! queue store that forgets. What must hold is checked where it happens; at the end, with all
//! faults gone, every text was shown once and in order, and the outbox is empty.

use std::collections::HashSet;

use hushwire_e2ee::ContentId;
use proptest::prelude::*;

use hushwire_wire::EpochId;

use super::*;

const USERS: u8 = 3;

#[derive(Clone, Debug)]
enum Step {
    Submit {
        to: u8,
        paced: bool,
    },
    Connect,
    Disconnect,
    /// The process dies; with `torn`, after storing and before sending the next effects.
    Crash {
        torn: bool,
    },
    Answer(u8),
    Deliver(u8),
    LoseQueue,
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..USERS, any::<bool>()).prop_map(|(to, paced)| Step::Submit { to, paced }),
        3 => Just(Step::Connect),
        1 => Just(Step::Disconnect),
        1 => any::<bool>().prop_map(|torn| Step::Crash { torn }),
        8 => any::<u8>().prop_map(Step::Answer),
        4 => (0..USERS).prop_map(Step::Deliver),
        1 => Just(Step::LoseQueue),
        3 => (1u16..20_000).prop_map(Step::Wait),
    ]
}

#[derive(Default)]
struct Disk {
    entries: BTreeMap<u64, Entry>,
    sns: HashMap<UserId, u64>,
    r#gen: Option<Gen>,
}

#[derive(Clone)]
struct OnWire {
    order: u64,
    to: UserId,
    sn: u64,
    upload: Sealed,
    re: Option<Gen>,
}

#[derive(Default)]
struct Server {
    r#gen: u8,
    /// By recipient and number: the bytes and whether they were accepted.
    admitted: HashMap<(UserId, u64), (Sealed, bool)>,
    queues: HashMap<UserId, VecDeque<Sealed>>,
}

struct World {
    outbox: Outbox,
    disk: Disk,
    server: Server,
    connected: bool,
    synced: bool,
    wire: VecDeque<OnWire>,
    resynced_said: bool,
    now: u64,
    next: u8,
    salt: u32,
    torn: bool,
    submitted: HashMap<UserId, Vec<Id>>,
    seen_mids: HashSet<Sealed>,
    shown: HashMap<UserId, Vec<Id>>,
    receipts: HashSet<Id>,
    /// Every bytes ever sent under a number and not as a resubmission.
    bytes: HashMap<(UserId, u64), Sealed>,
}

fn device(to: &UserId) -> DeviceId {
    DeviceId([to.0[0]; 16])
}

impl World {
    fn new() -> Self {
        Self {
            outbox: Outbox::restore(BTreeMap::new(), HashMap::new(), None),
            disk: Disk::default(),
            server: Server::default(),
            connected: false,
            synced: false,
            wire: VecDeque::new(),
            resynced_said: false,
            now: 0,
            next: 0,
            salt: 0,
            torn: false,
            submitted: HashMap::new(),
            seen_mids: HashSet::new(),
            shown: HashMap::new(),
            receipts: HashSet::new(),
            bytes: HashMap::new(),
        }
    }

    fn generation(&self) -> Gen {
        Gen([self.server.r#gen; 16])
    }

    /// The upload of the model: the content's id and a salt, which is the message's id.
    fn seal(&mut self, id: Id) -> (Mid, Sealed) {
        self.salt += 1;
        let mut mid = [0; 16];
        mid[..4].copy_from_slice(&self.salt.to_be_bytes());
        let upload = Sealed::new([&mid[..], &id.0.0].concat());
        (Mid(mid), upload)
    }

    fn apply(&mut self, effects: Vec<Effect>) {
        let mut after = Vec::new();
        for effect in effects {
            match effect {
                Effect::Put(order) => {
                    if let Some(entry) = self.outbox.entry(order) {
                        self.disk.entries.insert(order, entry.clone());
                    }
                }
                Effect::Drop(order) => drop(self.disk.entries.remove(&order)),
                Effect::PutSn(to, sn) => {
                    let before = self.disk.sns.insert(to, sn);
                    assert!(before.is_none_or(|before| before < sn), "numbers rise");
                }
                Effect::PutGen(r#gen) => self.disk.r#gen = Some(r#gen),
                other => after.push(other),
            }
        }
        if std::mem::take(&mut self.torn) {
            self.restart();
            return;
        }
        for effect in after {
            match effect {
                Effect::Seal { order, .. } => {
                    let Some(entry) = self.outbox.entry(order) else { continue };
                    let (id, to) = (entry.id, entry.to);
                    let (mid, upload) = self.seal(id);
                    let targets = vec![Target { device: device(&to), is_peer: true }];
                    let sent = Sent { mid, upload, epoch: EpochId([1; 32]), targets };
                    let effects = self.outbox.sealed(order, sent, self.now);
                    self.apply(effects);
                }
                Effect::Transmit { order, to, sn, upload, re, .. } => {
                    assert!(self.connected);
                    let stored = self.disk.entries.get(&order).expect("stored before sent");
                    assert_eq!(stored.sn, sn);
                    assert_eq!(stored.sent.as_ref().map(|s| &s.upload), Some(&upload));
                    if re.is_none() {
                        assert!(self.synced, "nothing new before the loss is made good");
                        let first = self.bytes.entry((to, sn)).or_insert_with(|| upload.clone());
                        assert_eq!(first, &upload, "a repeat has the same bytes");
                        let same = self.wire.iter().filter(|w| w.to == to && w.re.is_none());
                        assert_eq!(same.count(), 0, "one unaccepted message to a recipient");
                    }
                    assert!(self.wire.len() < IN_FLIGHT);
                    self.wire.push_back(OnWire { order, to, sn, upload, re });
                }
                Effect::SayResynced(r#gen) => {
                    assert_eq!(r#gen, self.generation());
                    self.resynced_said = true;
                }
                _ => {}
            }
        }
    }

    fn restart(&mut self) {
        self.cut();
        self.outbox =
            Outbox::restore(self.disk.entries.clone(), self.disk.sns.clone(), self.disk.r#gen);
    }

    fn cut(&mut self) {
        self.connected = false;
        self.wire.clear();
        self.resynced_said = false;
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Submit { to, paced } => {
                self.next = self.next.wrapping_add(1);
                let id = Id(ContentId([self.next; 16]));
                let to = UserId([*to + 1; 32]);
                let said = if *paced {
                    self.submitted.entry(to).or_default().push(id);
                    Said::Text { text: String::new(), reply_to: None }
                } else {
                    self.receipts.insert(id);
                    Said::Read { of: vec![id] }
                };
                let effects = self.outbox.submit(to, id, said, 0, self.now).unwrap();
                // A submission is answered to the person only after it was stored: no torn write.
                let torn = std::mem::take(&mut self.torn);
                self.apply(effects);
                self.torn = torn;
            }
            Step::Connect if !self.connected => {
                self.connected = true;
                let r#gen = self.generation();
                self.synced = self.disk.r#gen.is_none_or(|known| known == r#gen);
                let effects = self.outbox.connected(r#gen, self.now);
                self.apply(effects);
            }
            Step::Disconnect => {
                self.cut();
                self.outbox.disconnected();
            }
            Step::Crash { torn: true } => self.torn = true,
            Step::Crash { torn: false } => self.restart(),
            Step::Answer(kind) => self.answer(*kind),
            Step::Deliver(to) => self.deliver(UserId([*to + 1; 32])),
            Step::LoseQueue => {
                self.server.r#gen = self.server.r#gen.wrapping_add(1);
                self.server.admitted.clear();
                self.server.queues.clear();
                self.wire.clear();
                if self.connected {
                    // The process died, and the connection with it.
                    self.cut();
                    self.outbox.disconnected();
                }
            }
            Step::Wait(ms) => {
                self.now += u64::from(*ms);
                let effects = self.outbox.tick(self.now);
                self.apply(effects);
            }
            Step::Connect => {}
        }
    }

    fn answer(&mut self, kind: u8) {
        if self.connected && self.resynced_said {
            self.resynced_said = false;
            let again = kind.is_multiple_of(4).then_some(300);
            self.synced |= again.is_none();
            let effects = self.outbox.resynced(again, self.now);
            self.apply(effects);
            return;
        }
        let Some(sent) = self.wire.pop_front() else { return };
        let key = (sent.to, sent.sn);
        let accept = |server: &mut Server| {
            let known = server
                .admitted
                .get(&key)
                .is_some_and(|(bytes, accepted)| *accepted && *bytes == sent.upload);
            if !known {
                server.admitted.insert(key, (sent.upload.clone(), true));
                server.queues.entry(sent.to).or_default().push_back(sent.upload.clone());
            }
            let mid = Mid(sent.upload.as_bytes()[..16].try_into().unwrap());
            Accepted { sn: sent.sn, mid, delivered: vec![], skipped: vec![] }
        };
        let answer = match kind % 8 {
            0 => Answer::Reject(Reject::Unavailable { retry_after_ms: 500 }),
            1 if sent.re.is_none() => Answer::Reject(Reject::RateLimited {
                retry_after_ms: 700,
                rule: Rule::MessageInterval,
                limit: 1,
                window_ms: 10_000,
            }),
            2 => Answer::Reject(Reject::EpochStale {}),
            3 if sent.re.is_none() => Answer::Reject(Reject::QueueFull {}),
            4 => {
                // Accepted, and the answer is lost.
                accept(&mut self.server);
                self.cut();
                self.outbox.disconnected();
                return;
            }
            _ => Answer::Accepted(accept(&mut self.server)),
        };
        let effects = self.outbox.answered(sent.order, answer, self.now);
        self.apply(effects);
    }

    fn deliver(&mut self, to: UserId) {
        if !self.connected {
            return;
        }
        let Some(upload) = self.server.queues.entry(to).or_default().pop_front() else { return };
        let mid = Mid(upload.as_bytes()[..16].try_into().unwrap());
        let id = Id(ContentId(upload.as_bytes()[16..].try_into().unwrap()));
        if self.seen_mids.insert(upload) && !self.receipts.contains(&id) {
            let shown = self.shown.entry(to).or_default();
            if !shown.contains(&id) {
                shown.push(id);
            }
        }
        let effects = self.outbox.notice(&News::Delivered { mid, device: device(&to) }, self.now);
        self.apply(effects);
    }

    fn calm(&mut self) {
        self.torn = false;
        for _ in 0..20_000 {
            if self.disk.entries.is_empty() {
                return;
            }
            self.step(&Step::Connect);
            self.answer(7);
            for to in 0..USERS {
                self.step(&Step::Deliver(to));
            }
            self.step(&Step::Wait(5000));
        }
        panic!("something stays in the outbox: {:?}", self.disk.entries);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_text_is_shown_once_and_in_order(
        interval in prop_oneof![Just(0u64), Just(10_000)],
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new();
        world.outbox.set_interval(interval);
        for step in &steps {
            world.step(step);
        }
        world.calm();
        for (to, submitted) in &world.submitted {
            prop_assert_eq!(world.shown.get(to), Some(submitted));
        }
    }
}
