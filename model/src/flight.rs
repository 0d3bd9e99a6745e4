//! Messages on their way, and the way from a copy to its custody while one of the engine's values
//! holds nothing but a reference.
//!
//! [`Custodian::reached`] is asked in the middle of `Channel::ack`, which knows no world. So a
//! node's flights stand on a stage for as long as such a call takes, and what follows from it is
//! taken from there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use hushwire_actors::custody::{Custody, Outcome, Place};
use hushwire_actors::envelope::{Entry, Envelope};
use hushwire_actors::session::channel::Custodian;
use hushwire_wire::{Gen, NodeId};

use crate::bug::Bug;
use crate::ids;

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flight {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) targets: Vec<u8>,
    /// Which of them are the sender's own.
    pub(crate) own: Vec<usize>,
    pub(crate) custody: Custody,
    /// The connection that sent it.
    pub(crate) conn: u8,
    /// The generation that it was admitted in.
    pub(crate) r#gen: Gen,
}

/// One device's copy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Copy {
    /// Its custody is kept on the node where this is.
    Here { flight: u8, k: usize, device: u8, r#gen: Gen, entry: Entry },
    /// Its custody is kept on another node.
    Away { from: NodeId, ticket: u64, device: u8, r#gen: Gen, entry: Entry },
}

/// What follows from a copy that reached a place.
#[derive(Clone, Debug)]
pub(crate) enum Follow {
    Complete { flight: u8, outcome: Outcome },
    Release { flight: u8 },
    Custody { to: NodeId, ticket: u64, place: Place },
    Twice,
}

#[derive(Default)]
struct Stage {
    flights: BTreeMap<u8, Flight>,
    follows: Vec<Follow>,
    /// A copy reached a place that had reached one before.
    twice: bool,
    bug: Option<Bug>,
}

thread_local! {
    static STAGE: RefCell<Stage> = RefCell::default();
}

/// Runs `act` with the flights on the stage; what followed.
pub(crate) fn on_stage<R>(
    flights: &mut BTreeMap<u8, Flight>,
    bug: Option<Bug>,
    act: impl FnOnce() -> R,
) -> (R, Vec<Follow>) {
    STAGE.with_borrow_mut(|stage| {
        *stage = Stage { flights: std::mem::take(flights), bug, ..Stage::default() };
    });
    let result = act();
    STAGE.with_borrow_mut(|stage| {
        *flights = std::mem::take(&mut stage.flights);
        if stage.twice {
            stage.follows.push(Follow::Twice);
        }
        (result, std::mem::take(&mut stage.follows))
    })
}

impl Copy {
    pub(crate) const fn device(&self) -> u8 {
        match self {
            Self::Here { device, .. } | Self::Away { device, .. } => *device,
        }
    }

    pub(crate) const fn generation(&self) -> Gen {
        match self {
            Self::Here { r#gen, .. } | Self::Away { r#gen, .. } => *r#gen,
        }
    }

    pub(crate) const fn entry(&self) -> &Entry {
        match self {
            Self::Here { entry, .. } | Self::Away { entry, .. } => entry,
        }
    }
}

impl Custodian for Copy {
    fn reached(&self, place: Place) -> bool {
        STAGE.with_borrow_mut(|stage| match self {
            Self::Here { flight, k, .. } => {
                let Some(kept) = stage.flights.get_mut(flight) else { return false };
                let already = kept.custody.place(*k).is_some_and(|place| place > Place::Pending);
                if already && stage.bug == Some(Bug::AckAndFallbackBothCount) {
                    // Counts one more target as taken: the next one that is Pending.
                    let next = (0..kept.targets.len())
                        .find(|k| kept.custody.place(*k) == Some(Place::Pending));
                    if let Some(next) = next {
                        let step = kept.custody.reach(next, place);
                        let flight = *flight;
                        stage.follows.extend(
                            step.complete.map(|outcome| Follow::Complete { flight, outcome }),
                        );
                        return step.late;
                    }
                }
                let mut step = kept.custody.reach(*k, place);
                if stage.bug == Some(Bug::FirstCompletes) {
                    for k in 0..kept.targets.len() {
                        let next = kept.custody.reach(k, Place::Queued);
                        step.complete = step.complete.or(next.complete);
                    }
                }
                stage.twice |= already && place > Place::Pending;
                let flight = *flight;
                let complete = step.complete.map(|outcome| Follow::Complete { flight, outcome });
                stage.follows.extend(complete);
                if step.release {
                    stage.follows.push(Follow::Release { flight });
                }
                step.late
            }
            Self::Away { from, ticket, .. } => {
                let (to, ticket) = (*from, *ticket);
                stage.follows.push(Follow::Custody { to, ticket, place });
                false
            }
        })
    }

    fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. })
    }
}

impl Flight {
    pub(crate) fn copy(&self, flight: u8, k: usize) -> Option<Copy> {
        let device = *self.targets.get(k)?;
        let own = self.own.contains(&k);
        let (r#gen, entry) = (self.r#gen, ids::entry(&self.envelope, own));
        Some(Copy::Here { flight, k, device, r#gen, entry })
    }
}
