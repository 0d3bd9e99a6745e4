//! A device's state against a reference model: for each sender and lane, the counters that are
//! used, skipped, or given up. It stands here because lane 1 has few types of its own, and a
//! padded content of an unknown type does as well.

use std::collections::{BTreeMap, BTreeSet};

use hushwire_identity::Suites;
use hushwire_wire::message::Class;
use proptest::prelude::*;

use crate::common::{NOW, deliver, states, text, user};
use crate::message::{OpenError, SKIP_DURABLE, SKIP_EPHEMERAL};
use crate::state::{EpochState, SKIPPED_KEPT_MS, SKIPPED_MAX};

const DAY: u64 = 86_400_000;

/// What the receiver should remember of one sender's lane.
#[derive(Clone, Debug, Default)]
struct Lane {
    next: u32,
    /// When each skipped counter was passed.
    skipped: BTreeMap<u32, u64>,
    /// Counters whose keys were given up.
    lost: BTreeSet<u32>,
}

/// By sender and lane.
#[derive(Clone, Debug, Default)]
struct Model(BTreeMap<(u8, u8), Lane>);

impl Model {
    fn deliver(&mut self, from: (u8, u8), counter: u32, now: u64) -> Option<OpenError> {
        let lane = self.0.entry(from).or_default();
        if counter < lane.next {
            return lane.skipped.remove(&counter).is_none().then_some(OpenError::Replay);
        }
        let window = if from.1 == 0 { SKIP_DURABLE } else { SKIP_EPHEMERAL };
        if counter - lane.next > window {
            return Some(OpenError::SkipLimit);
        }
        lane.skipped.extend((lane.next..counter).map(|skipped| (skipped, now)));
        lane.next = counter + 1;
        while self.skipped() > SKIPPED_MAX {
            self.give_up_one();
        }
        None
    }

    /// Lane 1 before lane 0; the oldest before the newest; then by counter and sender.
    fn give_up_one(&mut self) {
        let all = self.0.iter().flat_map(|((sender, lane), of)| {
            of.skipped.iter().map(|(counter, at)| (*lane == 0, *at, *counter, *sender))
        });
        let Some((durable, _, counter, sender)) = all.min() else { return };
        let lane = self.0.entry((sender, u8::from(!durable))).or_default();
        lane.skipped.remove(&counter);
        lane.lost.insert(counter);
    }

    fn expire(&mut self, now: u64) -> usize {
        let mut gone = 0;
        for lane in self.0.values_mut() {
            let old: Vec<_> =
                lane.skipped.iter().filter(|(_, at)| now - **at >= SKIPPED_KEPT_MS).collect();
            let old: Vec<_> = old.into_iter().map(|(counter, _)| *counter).collect();
            gone += old.len();
            for counter in old {
                lane.skipped.remove(&counter);
                lane.lost.insert(counter);
            }
        }
        gone
    }

    fn skipped(&self) -> usize {
        self.0.values().map(|lane| lane.skipped.len()).sum()
    }

    /// Lane-0 counters from 0 on that were all received.
    fn seen(&self, sender: u8) -> u32 {
        let Some(lane) = self.0.get(&(sender, 0)) else { return 0 };
        let first = lane.skipped.keys().chain(&lane.lost).min();
        first.map_or(lane.next, |first| (*first).min(lane.next))
    }
}

#[derive(Clone, Debug)]
enum Act {
    /// A sender seals so many on a lane.
    Seal { sender: usize, lane: u8, count: usize },
    /// The receiver gets one: this far back from the newest.
    Deliver { sender: usize, lane: u8, back: usize },
    /// The same, damaged in one byte.
    Damage { sender: usize, lane: u8, back: usize, at: usize },
    /// The receiver starts again from its store.
    Restart,
    /// Days go by, and what is too old is dropped.
    Expire { days: u64 },
}

fn act() -> impl Strategy<Value = Act> {
    let place = || (0..2_usize, 0..2_u8);
    let count = prop_oneof![
        6 => 1..6_usize,
        // Around both windows.
        2 => prop::sample::select(vec![1023, 1024, 1025, 1026]),
        1 => prop::sample::select(vec![4096, 4097, 4098]),
    ];
    let back = prop_oneof![4 => Just(0_usize), 4 => 0..8_usize, 1 => 0..5000_usize];
    prop_oneof![
        3 => (place(), count).prop_map(|((sender, lane), count)| Act::Seal { sender, lane, count }),
        6 => (place(), back.clone())
            .prop_map(|((sender, lane), back)| Act::Deliver { sender, lane, back }),
        1 => (place(), back, any::<usize>())
            .prop_map(|((sender, lane), back, at)| Act::Damage { sender, lane, back, at }),
        1 => Just(Act::Restart),
        1 => (0..5_u64).prop_map(|days| Act::Expire { days }),
    ]
}

/// Two senders and a receiver in one epoch, what was sealed for it, and what it should remember.
struct Scene {
    senders: Vec<EpochState>,
    receiver: EpochState,
    sealed: BTreeMap<(usize, u8), Vec<Vec<u8>>>,
    model: Model,
    now: u64,
}

impl Scene {
    fn new() -> Self {
        let alice = user("alice", 10, 2, Suites::NACL);
        let bob = user("bob", 20, 1, Suites::NACL);
        let mut senders = states(&alice, Some(&bob));
        let receiver = senders.pop().unwrap();
        let (sealed, model) = (BTreeMap::new(), Model::default());
        Self { senders, receiver, sealed, model, now: NOW }
    }

    fn seal(&mut self, sender: usize, lane: u8, count: usize) {
        // A type that nobody knows, so that it fits lane 1 as well.
        let mut padded = text("x").to_padded().unwrap();
        padded[1] = 200;
        let out = self.sealed.entry((sender, lane)).or_default();
        let from = &mut self.senders[sender];
        for _ in 0..count {
            let sealed = from.seal_padded(Class::Control, lane, &padded, [1; 16]).unwrap();
            assert_eq!(sealed.counter as usize, out.len());
            out.push(deliver(from, &sealed, &self.receiver));
        }
    }

    /// The message that stands `back` places before the newest, its place and its counter.
    fn pick(&self, sender: usize, lane: u8, back: usize) -> Option<((u8, u8), u32, Vec<u8>)> {
        let sealed = self.sealed.get(&(sender, lane))?;
        let at = sealed.len().checked_sub(1 + back)?;
        let counter = u32::try_from(at).unwrap();
        Some(((self.senders[sender].me(), lane), counter, sealed[at].clone()))
    }

    fn refuses(&mut self, bytes: &[u8], error: Option<OpenError>) {
        let before = self.receiver.to_bytes();
        let result = self.receiver.open(bytes, self.now);
        assert!(result.is_err() && error.is_none_or(|error| result == Err(error)), "{result:?}");
        assert_eq!(self.receiver.to_bytes(), before, "a refused message changes nothing");
    }

    fn run(&mut self, act: Act) {
        match act {
            Act::Seal { sender, lane, count } => self.seal(sender, lane, count),
            Act::Deliver { sender, lane, back } => {
                let Some((from, counter, bytes)) = self.pick(sender, lane, back) else { return };
                match self.model.deliver(from, counter, self.now) {
                    Some(error) => self.refuses(&bytes, Some(error)),
                    None => {
                        let opened = self.receiver.open(&bytes, self.now).unwrap();
                        assert_eq!((opened.lane, opened.counter), (lane, counter));
                    }
                }
            }
            Act::Damage { sender, lane, back, at } => {
                let Some((_, _, mut bytes)) = self.pick(sender, lane, back) else { return };
                let at = at % bytes.len();
                bytes[at] ^= 0x10;
                self.refuses(&bytes, None);
            }
            Act::Restart => {
                let again = EpochState::from_bytes(&self.receiver.to_bytes()).unwrap();
                assert_eq!(again, self.receiver);
                self.receiver = again;
            }
            Act::Expire { days } => {
                self.now += days * DAY;
                assert_eq!(self.receiver.expire(self.now), self.model.expire(self.now));
            }
        }
    }

    fn agrees(&self) {
        assert_eq!(self.receiver.skipped(), self.model.skipped());
        assert!(self.receiver.skipped() <= SKIPPED_MAX);
        for sender in &self.senders {
            let seen = self.receiver.seen()[usize::from(sender.me())];
            assert_eq!(seen, self.model.seen(sender.me()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_acts_leave_what_the_model_says(acts in prop::collection::vec(act(), 1..60)) {
        let mut scene = Scene::new();
        for act in acts {
            scene.run(act);
            scene.agrees();
        }
    }
}

/// The model is held to the windows and the cap by acts chosen for them, whatever chance brings.
#[test]
fn windows_and_cap_are_reached() {
    let mut scene = Scene::new();
    let deliver = |sender, lane, back| Act::Deliver { sender, lane, back };
    for (lane, window) in [(0, SKIP_DURABLE as usize), (1, SKIP_EPHEMERAL as usize)] {
        let mut fresh = Scene::new();
        fresh.run(Act::Seal { sender: 0, lane, count: window + 2 });
        let (_, _, far) = fresh.pick(0, lane, 0).unwrap();
        fresh.refuses(&far, Some(OpenError::SkipLimit));
        fresh.run(deliver(0, lane, 1));
        fresh.agrees();
        assert_eq!(fresh.receiver.skipped(), window.min(SKIPPED_MAX), "lane {lane}");
    }
    // Twice 1,024 on lane 0 fill the cap; what lane 1 skips goes first, then the oldest, though
    // its counters are the higher ones.
    scene.run(Act::Seal { sender: 0, lane: 0, count: 1 });
    scene.run(deliver(0, 0, 0));
    for sender in [0, 1] {
        scene.run(Act::Seal { sender, lane: 0, count: SKIP_DURABLE as usize + 1 });
        scene.run(deliver(sender, 0, 0));
        scene.run(Act::Expire { days: 1 });
    }
    assert_eq!(scene.receiver.skipped(), SKIPPED_MAX);
    scene.run(Act::Seal { sender: 0, lane: 1, count: 10 });
    scene.run(deliver(0, 1, 0));
    scene.agrees();
    let (_, _, gone) = scene.pick(0, 1, 5).unwrap();
    scene.refuses(&gone, Some(OpenError::Replay));
    scene.run(Act::Seal { sender: 1, lane: 0, count: 3 });
    scene.run(deliver(1, 0, 0));
    scene.agrees();
    // The two that it passed over pushed out the first two of the other, skipped a day before.
    for (back, gone) in [(0, 1), (1, 2)] {
        let (_, counter, bytes) = scene.pick(0, 0, SKIP_DURABLE as usize - back).unwrap();
        assert_eq!(counter, gone);
        scene.refuses(&bytes, Some(OpenError::Replay));
    }
    scene.run(deliver(0, 0, SKIP_DURABLE as usize - 2));
    // The newest of the other is still its lowest.
    let lowest = scene.sealed[&(1, 0)].len() - 1;
    scene.run(deliver(1, 0, lowest));
    scene.agrees();
}
