//! What must hold in every state, and when everything that can go wrong has.

use std::sync::Arc;

use hushwire_actors::ledger::Ledger;
use hushwire_actors::queue::Settled;
use hushwire_wire::DeviceId;
use stateright::{Model, Property};

use crate::config::Config;
use crate::device::Device;
use crate::ids::{self, Sealing};
use crate::settle;
use crate::world::{Action, World};

/// The rules, by name. Each is checked in every state; the last, where nothing can go wrong any
/// more.
pub const RULES: [&str; 10] =
    [CUSTODY, ONCE, ORDER, PERSISTED, QUOTA, FREE, TOLD, OWN, GONE, STALL];
/// Accepted: every device that is not skipped has it, or its queue has, or the outbox puts it back.
pub const CUSTODY: &str = "custody";
/// Nothing is shown twice.
pub const ONCE: &str = "no double show";
/// What one device sends is shown in its order.
pub const ORDER: &str = "order for each sender";
/// An acknowledgement deletes only what its device has.
pub const PERSISTED: &str = "an ack removes only what was persisted";
/// No queue is over its bounds, and none holds a message twice.
pub const QUOTA: &str = "quota";
/// Bytes that were charged are not charged again.
pub const FREE: &str = "a retry costs no token";
/// `delivered` is said only of what its device has.
pub const TOLD: &str = "delivered only after persist";
/// The sender's own devices get nothing that no recipient took.
pub const OWN: &str = "no own copy of what nobody took";
/// Once the store knows that a device is revoked, it keeps nothing for it.
pub const GONE: &str = "a revoked device gets nothing";
/// Once faults end, everything arrives, its sender knows, and queues are empty.
pub const STALL: &str = "nothing stalls once faults end";

/// The model of one configuration.
#[derive(Clone, Debug)]
pub struct Delivery {
    config: Arc<Config>,
}

impl Delivery {
    /// Of this configuration.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config: Arc::new(config) }
    }

    /// Tells a path step by step, and what is wrong at its end.
    #[must_use]
    pub fn tell(&self, actions: &[Action]) -> String {
        let mut world = World::new(&self.config);
        let mut told = String::new();
        for action in actions {
            told.push_str(&format!("    {}\n", world.describe(*action)));
            world.act(*action);
            world.check();
        }
        told.push_str(&format!("    broken: {:?}\n", world.broken));
        if world.is_quiet() {
            told.push_str(&format!("    in the end: {:?}\n", settle::run(&world)));
        }
        told
    }

    /// The names of all rules, and of what must be reached.
    #[must_use]
    pub fn rules(&self) -> Vec<&'static str> {
        self.properties().iter().map(|property| property.name).collect()
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }
}

impl Model for Delivery {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.config)]
    }

    fn actions(&self, state: &World, actions: &mut Vec<Action>) {
        if state.broken.is_empty() {
            state.actions(actions);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut next = last.clone();
        next.act(action);
        next.check();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always(CUSTODY, |_, w: &World| !w.broken.contains(CUSTODY)),
            Property::always(ONCE, |_, w: &World| !w.broken.contains(ONCE)),
            Property::always(ORDER, |_, w: &World| !w.broken.contains(ORDER)),
            Property::always(PERSISTED, |_, w: &World| !w.broken.contains(PERSISTED)),
            Property::always(QUOTA, |_, w: &World| !w.broken.contains(QUOTA)),
            Property::always(FREE, |_, w: &World| !w.broken.contains(FREE)),
            Property::always(TOLD, |_, w: &World| !w.broken.contains(TOLD)),
            Property::always(OWN, |_, w: &World| !w.broken.contains(OWN)),
            Property::always(GONE, |_, w: &World| !w.broken.contains(GONE)),
            Property::always(STALL, |_, w: &World| {
                !w.is_quiet() || !w.broken.is_empty() || settle::ends_well(w)
            }),
        ];
        // For each rule, that there is something to hold it against.
        all.extend([
            Property::sometimes("something is accepted", |_, w: &World| !w.promised.is_empty()),
            Property::sometimes("something is shown", |_, w: &World| {
                w.devices.iter().any(|device| !device.shown.is_empty())
            }),
            Property::sometimes("it ends", |_, w: &World| w.is_over()),
            Property::sometimes("all marks are reached", |model: &Self, w: &World| {
                w.marks.len() == model.config.marks.len()
            }),
        ]);
        all
    }
}

impl World {
    /// Whether nothing can happen any more but what always may.
    fn is_over(&self) -> bool {
        let mut actions = Vec::new();
        self.actions(&mut actions);
        self.broken.is_empty() && actions.is_empty()
    }

    pub(crate) fn check(&mut self) {
        let mut broken = Vec::new();
        for device in &self.devices {
            let mut shown = device.shown.clone();
            shown.sort_unstable();
            if shown.windows(2).any(|pair| pair[0] == pair[1]) {
                broken.push(ONCE);
            }
            let out_of_order = device.shown.iter().enumerate().any(|(k, (from, content))| {
                device.shown[..k].iter().any(|(f, c)| f == from && c > content)
            });
            if out_of_order {
                broken.push(ORDER);
            }
        }
        for &(from, content, device) in &self.promised {
            if !self.is_safe(from, content, device) {
                broken.push(CUSTODY);
            }
        }
        for (device, ledger) in &self.store.kept.ledgers {
            let count = ledger.len().0;
            let mut ids: Vec<_> = entries(ledger);
            ids.sort_unstable();
            if count > self.limits.ledger_messages || ids.windows(2).any(|p| p[0] == p[1]) {
                broken.push(QUOTA);
            }
            let is_struck = self.struck.contains(&(self.store.generation, device.0[0]));
            if is_struck && (ledger.len() != (0, 0, 0) || ledger.holder(ids::NOW_MS).is_some()) {
                broken.push(GONE);
            }
        }
        for device in &self.devices {
            for &(from, content) in &device.shown {
                let sender = usize::from(from.0[0]);
                let own = self.devices[sender].user == device.user;
                if own && !self.has_recipient(from, content, device.user) {
                    broken.push(OWN);
                }
            }
        }
        self.broken.extend(broken);
    }

    /// A recipient's device took it.
    fn has_recipient(&self, from: DeviceId, content: u8, user: u8) -> bool {
        self.devices.iter().filter(|device| device.user != user).any(|device| {
            device.contents.contains(&(from, content))
                || self.is_queued(from, content, device.me)
                || self.promised.contains(&(from, content, device.me))
        })
    }

    fn is_queued(&self, from: DeviceId, content: u8, device: u8) -> bool {
        self.store.ledger(device).is_some_and(|ledger| {
            entries(ledger).iter().any(|(f, c, _)| *f == from && *c == content)
        })
    }

    fn is_safe(&self, from: DeviceId, content: u8, device: u8) -> bool {
        let at = &self.devices[usize::from(device)];
        if at.left_roster() || at.contents.contains(&(from, content)) {
            return true;
        }
        if self.is_queued(from, content, device) {
            return true;
        }
        // Lost with the store: the outbox puts it back.
        let sender = &self.devices[usize::from(from.0[0])];
        let out = sender.outgoing.iter().find(|out| out.content == content);
        if out.is_some_and(|out| !out.accepted) {
            // Its sender has not heard it, and sends again.
            return true;
        }
        let is_lost = sender.r#gen != Some(self.store.r#gen());
        let again = sender.link.as_ref().and_then(|link| link.resync.as_ref());
        let is_todo = again.is_none_or(|(_, todo, _)| todo.contains(&content));
        is_lost
            && is_todo
            && out.is_some_and(|out| !out.settled.contains(&ids::device(device)) && !out.failed)
    }

    pub(crate) fn check_settled(&mut self, device: DeviceId, settled: &[Settled]) {
        let at = &self.devices[usize::from(device.0[0])];
        if settled.iter().any(|one| !at.known.contains(&(one.from, one.mid))) {
            self.broken(PERSISTED);
        }
        for one in settled {
            if let Some(hushwire_wire::frame::News::Delivered { mid, device }) = &one.news {
                let (mid, device) = (*mid, *device);
                self.check_delivered(one.from, Sealing::of(&mid).content, device);
            }
        }
    }

    pub(crate) fn check_delivered(&mut self, from: DeviceId, content: u8, device: DeviceId) {
        let at = &self.devices[usize::from(device.0[0])];
        if !at.contents.contains(&(from, content)) {
            self.broken(TOLD);
        }
    }
}

impl Device {
    /// Whether it is in no roster any more.
    pub(crate) const fn left_roster(&self) -> bool {
        self.revoked
    }
}

/// The messages of a queue: sender, content, mid's counter. Read as the sweeper reads them, since
/// everything is old enough for it at the end of time.
pub(crate) fn entries(ledger: &Ledger) -> Vec<(DeviceId, u8, u8)> {
    let limits =
        hushwire_actors::Limits { expire_after_ms: 0, ..hushwire_actors::Limits::default() };
    let mut ledger = ledger.clone();
    let me = DeviceId::ZERO;
    let all = ledger.expire(me, &limits, ids::NOW_MS + 1, usize::MAX);
    all.iter()
        .map(|one| {
            let sealing = Sealing::of(&one.mid);
            (one.from, sealing.content, sealing.counter)
        })
        .collect()
}
