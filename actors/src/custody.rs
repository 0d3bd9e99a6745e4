//! Custody of one message: a small set by target device (DELIVERY, "Send" 3 and 5).
//!
//! A plain value. A target's state only rises: *Pending < Skipped < Queued < Failed < Acked*, so
//! transitions are idempotent and come in any order. It is complete when no target is Pending,
//! and says so once. The sender's own devices are routed when the first device of the recipient
//! has taken custody, and never if none has.

use hushwire_wire::frame::{SkipReason, Skipped};
use hushwire_wire::{DeviceId, Reject};

/// Where the copy for one device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Nobody has taken it.
    Pending,
    /// The device will not get it.
    Skipped(Skip),
    /// It is in the device's queue.
    Queued,
    /// The device has it and cannot read it.
    Failed,
    /// The device has persisted it.
    Acked,
}

/// [`SkipReason`] with an order, so that places join in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// Its queue is full.
    Full,
    /// It was revoked.
    Revoked,
    /// It has no usable prekey.
    Stale,
    /// It is away, and the whole store has no room.
    Store,
}

impl From<SkipReason> for Skip {
    fn from(why: SkipReason) -> Self {
        match why {
            SkipReason::Full => Self::Full,
            SkipReason::Revoked => Self::Revoked,
            SkipReason::Stale => Self::Stale,
        }
    }
}

impl From<Skip> for SkipReason {
    fn from(why: Skip) -> Self {
        match why {
            Skip::Full | Skip::Store => Self::Full,
            Skip::Revoked => Self::Revoked,
            Skip::Stale => Self::Stale,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Target {
    device: DeviceId,
    own: bool,
    place: Place,
}

/// Who has taken custody of a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Custody {
    targets: Box<[Target]>,
    released: bool,
    complete: bool,
}

/// What follows from a transition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The sender's own devices are to be routed now.
    pub release: bool,
    /// Custody is complete. Said once.
    pub complete: Option<Outcome>,
    /// The device has it, and the sender was answered before: it must be told.
    pub late: bool,
}

/// The answer to the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every target that is not skipped has it or has it in its queue.
    Accepted {
        /// Devices that persisted it.
        delivered: Vec<DeviceId>,
        /// Devices that will not get it.
        skipped: Vec<Skipped>,
    },
    /// No device of the recipient took it: `store_full`, `queue_full` or `recipient_stale`.
    Rejected(Reject),
}

impl Custody {
    /// Starts with all targets Pending, in roster order. `own` marks the sender's other devices;
    /// in the self-pair they are the recipients, so none is marked.
    #[must_use]
    pub fn new(targets: impl IntoIterator<Item = (DeviceId, bool)>) -> Self {
        let targets = targets
            .into_iter()
            .map(|(device, own)| Target { device, own, place: Place::Pending })
            .collect();
        Self { targets, released: false, complete: false }
    }

    /// The first step: with no target at all, custody is complete at once.
    pub fn begin(&mut self) -> Step {
        self.step(false)
    }

    /// The targets to route first: the recipient's.
    pub fn recipients(&self) -> impl Iterator<Item = usize> + '_ {
        self.targets.iter().enumerate().filter(|(_, t)| !t.own).map(|(k, _)| k)
    }

    /// The targets to route on [`Step::release`]: the sender's own.
    pub fn own(&self) -> impl Iterator<Item = usize> + '_ {
        self.targets.iter().enumerate().filter(|(_, t)| t.own).map(|(k, _)| k)
    }

    /// The `k`-th target is now at `place`, or further. Unknown targets change nothing.
    pub fn reach(&mut self, k: usize, place: Place) -> Step {
        let Some(target) = self.targets.get_mut(k) else { return Step::default() };
        let rose = place > target.place;
        if rose {
            target.place = place;
        }
        self.step(rose && place >= Place::Failed && self.complete)
    }

    /// Where the copy for the `k`-th target is.
    #[must_use]
    pub fn place(&self, k: usize) -> Option<Place> {
        self.targets.get(k).map(|t| t.place)
    }

    /// Whether the sender was answered.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    fn step(&mut self, late: bool) -> Step {
        let mut step = Step { late, ..Step::default() };
        let taken = self.targets.iter().any(|t| !t.own && t.place >= Place::Queued);
        if taken && !self.released {
            self.released = true;
            step.release = self.targets.iter().any(|t| t.own);
        }
        if self.complete {
            return step;
        }
        let waits = |t: &Target| t.place == Place::Pending && (!t.own || taken);
        if self.targets.iter().any(waits) {
            return step;
        }
        self.complete = true;
        step.complete = Some(self.outcome(taken));
        step
    }

    fn outcome(&self, taken: bool) -> Outcome {
        let recipients = || self.targets.iter().filter(|t| !t.own);
        if !taken && recipients().next().is_some() {
            let is = |why| recipients().any(|t| t.place == Place::Skipped(why));
            return Outcome::Rejected(if is(Skip::Store) {
                Reject::StoreFull {}
            } else if is(Skip::Full) {
                Reject::QueueFull {}
            } else {
                Reject::RecipientStale {}
            });
        }
        let (mut delivered, mut skipped) = (Vec::new(), Vec::new());
        for target in &self.targets {
            match target.place {
                Place::Acked => delivered.push(target.device),
                Place::Skipped(why) => {
                    skipped.push(Skipped { device: target.device, why: why.into() });
                }
                Place::Pending | Place::Queued | Place::Failed => {}
            }
        }
        Outcome::Accepted { delivered, skipped }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device(k: u8) -> DeviceId {
        DeviceId([k; 16])
    }

    fn accepted(delivered: &[u8]) -> Option<Outcome> {
        let delivered = delivered.iter().map(|&k| device(k)).collect();
        Some(Outcome::Accepted { delivered, skipped: vec![] })
    }

    #[test]
    fn own_devices_follow_the_first_recipient_and_belong_to_the_custody() {
        let mut custody = Custody::new([(device(0), false), (device(1), true), (device(2), false)]);
        assert_eq!(custody.begin(), Step::default());
        assert_eq!(custody.recipients().collect::<Vec<_>>(), [0, 2]);
        let step = custody.reach(2, Place::Queued);
        assert!(step.release && step.complete.is_none());
        assert!(!custody.reach(0, Place::Acked).release);
        assert_eq!(custody.reach(1, Place::Queued).complete, accepted(&[0]));
        assert!(custody.reach(1, Place::Acked).late, "told by a notice");
        assert!(!custody.reach(1, Place::Acked).late, "once");
    }

    #[test]
    fn no_recipient_means_a_reject_and_no_own_copy() {
        let mut custody = Custody::new([(device(0), false), (device(1), true)]);
        let step = custody.reach(0, Place::Skipped(Skip::Full));
        assert_eq!(step.complete, Some(Outcome::Rejected(Reject::QueueFull {})));
        assert!(!step.release);
        let mut custody = Custody::new([(device(0), false)]);
        let step = custody.reach(0, Place::Skipped(Skip::Revoked));
        assert_eq!(step.complete, Some(Outcome::Rejected(Reject::RecipientStale {})));
        let mut custody = Custody::new([(device(0), false), (device(1), false)]);
        custody.reach(0, Place::Skipped(Skip::Full));
        let step = custody.reach(1, Place::Skipped(Skip::Store));
        assert_eq!(step.complete, Some(Outcome::Rejected(Reject::StoreFull {})));
    }

    #[test]
    fn nobody_to_tell_is_accepted_at_once() {
        assert_eq!(Custody::new([]).begin().complete, accepted(&[]));
    }

    #[test]
    fn what_a_device_cannot_read_is_taken_but_never_delivered() {
        let mut custody = Custody::new([(device(0), false)]);
        assert_eq!(custody.reach(0, Place::Failed).complete, accepted(&[]));
        assert!(custody.reach(0, Place::Queued).complete.is_none());
    }

    fn place() -> impl Strategy<Value = Place> {
        prop_oneof![
            Just(Place::Skipped(Skip::Full)),
            Just(Place::Skipped(Skip::Revoked)),
            Just(Place::Skipped(Skip::Store)),
            Just(Place::Queued),
            Just(Place::Failed),
            Just(Place::Acked),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_order_and_any_repeat_end_alike(
            own in proptest::collection::vec(any::<bool>(), 1..5),
            events in proptest::collection::vec((0usize..5, place()), 0..20),
            seed in any::<u64>(),
        ) {
            let targets = || own.iter().enumerate().map(|(k, &own)| (device(k as u8), own));
            let run = |events: &[(usize, Place)]| {
                let mut custody = Custody::new(targets());
                let first = custody.begin();
                let steps = events.iter().map(|&(k, p)| custody.reach(k, p));
                let steps: Vec<_> = std::iter::once(first).chain(steps).collect();
                let releases = steps.iter().filter(|s| s.release).count();
                let completes = steps.iter().filter(|s| s.complete.is_some()).count();
                (custody, releases, completes)
            };
            let mut shuffled = events.clone();
            for i in (1..shuffled.len()).rev() {
                shuffled.swap(i, (seed as usize).wrapping_mul(i + 7) % (i + 1));
            }
            shuffled.extend(events.clone());
            let (a, releases, completes) = run(&events);
            let (b, again, _) = run(&shuffled);
            prop_assert_eq!(&a.targets, &b.targets);
            prop_assert_eq!(releases, again);
            prop_assert!(releases <= 1 && completes <= 1);
            let pending = a.targets.iter().any(|t| !t.own && t.place == Place::Pending);
            prop_assert!(!(pending && a.is_complete()), "complete only when nobody is pending");
        }
    }
}
