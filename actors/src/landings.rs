//! Answers that wait until all nodes know them: a send is told *accepted* once its repeats would be,
//! too, wherever they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::ArbiterHandle;
use hushwire_wire::frame::ServerOp;

use crate::admissions::Soon;
use crate::route::Flight;

/// Answers that wait, at most. One more is given at once: custody is what it stands on.
const MOST: usize = 1 << 14;

/// The answers that wait, each a task on one arbiter.
#[derive(Debug)]
pub(crate) struct Landings {
    arbiter: ArbiterHandle,
    waiting: Arc<AtomicUsize>,
}

/// One that waits.
struct Place(Arc<AtomicUsize>);

impl Landings {
    pub(crate) fn new(arbiter: ArbiterHandle) -> Self {
        Self { arbiter, waiting: Arc::default() }
    }

    /// Gives `op` to the sender of `flight` when it is recorded. What cannot be recorded is answered
    /// all the same: its repeat is routed again, and known where it is.
    pub(crate) fn tell(&self, flight: Arc<Flight>, op: ServerOp, recording: Soon<bool>) {
        if let Soon::Now(counts) = recording {
            return flight.tell(op, counts.unwrap_or(false));
        }
        let Some(place) = self.place() else { return flight.tell(op, false) };
        self.arbiter.spawn(async move {
            let counts = recording.await;
            flight.tell(op, counts.unwrap_or(false));
            drop(place);
        });
    }

    /// Does something that nobody waits for, unless too much waits already.
    pub(crate) fn spawn(&self, act: impl Future<Output = ()> + Send + 'static) {
        let Some(place) = self.place() else { return };
        self.arbiter.spawn(async move {
            act.await;
            drop(place);
        });
    }

    fn place(&self) -> Option<Place> {
        let taken = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(self.waiting.clone());
        (taken < MOST).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn what_waits_is_bounded_and_gives_its_place_back() {
        let landings = Landings::new(actix::Arbiter::current());
        let mut places: Vec<_> = (0..MOST).map(|_| landings.place().expect("room")).collect();
        assert!(landings.place().is_none() && landings.place().is_none());
        places.pop();
        assert!(landings.place().is_some());
    }
}
