//! Restarts the engine's own services. actix's supervisor does not survive a panic; a drop guard
//! in the actor does.
//!
//! A service that ends is rebuilt from its factory, later each time it fails soon again; while it
//! is down, or keeps failing, the node is not ready. Sessions and user supervisors never count
//! here: a panic on somebody's input must not become a kill switch.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::ArbiterHandle;
use slog::{Logger, error};
use tokio::time::Instant;

/// The first pause before a restart; it doubles up to [`BACKOFF_MOST`].
const BACKOFF: Duration = Duration::from_millis(50);
/// The longest pause before a restart.
const BACKOFF_MOST: Duration = Duration::from_secs(5);
/// A service that ran for so long failed by accident.
const STEADY: Duration = Duration::from_secs(60);
/// Failures in a row after which the node is not ready, even between them.
const BUDGET: u32 = 3;

/// Takes a step that must not take along what it is a part of; if it breaks, the panic ends here,
/// and its hook has said so. Whether it was taken.
pub(crate) fn contain(step: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(step)).is_ok()
}

/// The health of all services.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    log: Logger,
    all: Arc<Mutex<Vec<Arc<Service>>>>,
    stopping: Arc<AtomicBool>,
}

struct Service {
    what: &'static str,
    arbiter: ArbiterHandle,
    services: Services,
    start: Box<dyn Fn(Alive) + Send + Sync>,
    life: Mutex<Life>,
}

#[derive(Debug)]
struct Life {
    up: bool,
    since: Instant,
    failures: u32,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("what", &self.what).finish_non_exhaustive()
    }
}

/// Lives in a service's actor: dropped, the service is down.
#[derive(Debug)]
pub(crate) struct Alive(Arc<Service>);

impl Services {
    pub(crate) fn new(log: Logger) -> Self {
        Self { log, all: Arc::default(), stopping: Arc::default() }
    }

    /// Keeps a service up. `start` runs on `arbiter`.
    pub(crate) fn keep(
        &self,
        what: &'static str,
        arbiter: ArbiterHandle,
        start: impl Fn(Alive) + Send + Sync + 'static,
    ) {
        let life = Mutex::new(Life { up: false, since: Instant::now(), failures: 0 });
        let service = Arc::new(Service {
            what,
            arbiter,
            services: self.clone(),
            start: Box::new(start),
            life,
        });
        lock(&self.all).push(service.clone());
        service.run(Duration::ZERO);
    }

    /// What is down, or keeps failing.
    pub(crate) fn failing(&self) -> Option<&'static str> {
        let all = lock(&self.all);
        let failing = |service: &&Arc<Service>| {
            let life = lock(&service.life);
            let settled = life.up && life.since.elapsed() >= STEADY;
            !life.up || (life.failures >= BUDGET && !settled)
        };
        all.iter().find(failing).map(|service| service.what)
    }

    /// The end: nothing is restarted any more.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        lock(&self.all).clear();
    }
}

impl Service {
    fn run(self: Arc<Self>, pause: Duration) {
        let arbiter = self.arbiter.clone();
        arbiter.spawn(async move {
            tokio::time::sleep(pause).await;
            {
                let mut life = lock(&self.life);
                life.up = true;
                life.since = Instant::now();
            }
            (self.start)(Alive(self.clone()));
        });
    }

    fn down(self: &Arc<Self>) {
        if self.services.stopping.load(Ordering::Relaxed) {
            return;
        }
        let pause = {
            let mut life = lock(&self.life);
            life.failures =
                if life.since.elapsed() >= STEADY { 1 } else { life.failures.saturating_add(1) };
            life.up = false;
            BACKOFF.saturating_mul(1 << (life.failures - 1).min(10)).min(BACKOFF_MOST)
        };
        error!(self.services.log, "service down"; "service" => self.what,
            "restart_after_ms" => pause.as_millis());
        self.clone().run(pause);
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.down();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use actix::{Actor, Addr, Context, Handler, Message};

    use super::*;

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Break;

    struct Fragile(#[allow(dead_code)] Alive);

    impl Actor for Fragile {
        type Context = Context<Self>;
    }

    impl Handler<Break> for Fragile {
        type Result = ();

        fn handle(&mut self, _: Break, _: &mut Self::Context) {
            panic!("broken on purpose");
        }
    }

    #[actix::test]
    async fn a_panicked_service_is_rebuilt_and_readiness_tells_the_truth() {
        let log = Logger::root(slog::Discard, slog::o!());
        let services = Services::new(log);
        tokio::time::pause();
        let current: Arc<Mutex<Option<Addr<Fragile>>>> = Arc::default();
        let slot = current.clone();
        services.keep("fragile", actix::Arbiter::current(), move |alive| {
            *lock(&slot) = Some(Fragile(alive).start());
        });
        for round in 1..=BUDGET {
            let addr = loop {
                tokio::task::yield_now().await;
                if let Some(addr) = lock(&current).take() {
                    break addr;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            };
            assert_eq!(services.failing(), None, "up in round {round}");
            addr.try_send(Break).unwrap();
            while services.failing().is_none() {
                tokio::task::yield_now().await;
            }
        }
        while lock(&current).is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(services.failing(), Some("fragile"), "up, but the budget is used");
        services.stop();
    }
}
