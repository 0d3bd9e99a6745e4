//! How often: the leaky buckets of users, and with them the admit records of their devices
//! (DELIVERY, "Lanes" and "Send" 2).
//!
//! The [`RateLimiter`] actor owns a shard of users and forgets what is idle. Sessions decide by a
//! plain call on their [`Admission`]; the state outlives the actor. A bucket holds as many units
//! as the interval has milliseconds and refills one a millisecond; a message costs an interval's
//! units, so that `retry_after_ms` is exact.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, WrapFuture as _};
use hushwire_wire::frame::Accepted;
use hushwire_wire::message::Class;
use hushwire_wire::{DeviceId, Gen, Reject, Rule, UserId};
use leaky_bucket::RateLimiter as Bucket;
use tokio::time::Instant;

use crate::admit::{Admit, Offer, Verdict};
use crate::fault;
use crate::limits::Limits;
use crate::pace::{Pace, Paces};
use crate::ports::Clock;
use crate::supervise::Alive;

const SHARDS: usize = 16;
const MINUTE_MS: u64 = 60_000;
/// Idle buckets and old records are looked for so often.
const SWEEP: Duration = Duration::from_secs(60);

/// All shards of the limiter.
#[derive(Clone, Debug)]
pub(crate) struct Limiter {
    shards: Arc<[Arc<Mutex<Shard>>]>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Shard {
    admit: Admit,
    /// The generation of the queue store that the records are of: another one knows nothing of what
    /// they say was accepted.
    generation: Gen,
    users: HashMap<UserId, Buckets>,
    most_users: usize,
    interval_ms: u64,
    control_cost_ms: u64,
    control_burst: u32,
    control_per_minute: u32,
    paces: Paces,
}

#[derive(Debug, Default)]
struct Buckets {
    paced: Option<Bucket>,
    control: Option<Bucket>,
    used: Option<Instant>,
    /// What only live devices hear.
    live: Option<Box<Pace>>,
}

/// One device's way to be admitted.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    shard: Arc<Mutex<Shard>>,
    clock: Arc<dyn Clock>,
    user: UserId,
    device: DeviceId,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits, clock: Arc<dyn Clock>) -> Self {
        let shard = || {
            let per_minute = limits.control_per_minute.max(1);
            Arc::new(Mutex::new(Shard {
                admit: Admit::new(limits.admit_records / SHARDS, limits.remember_ms),
                generation: Gen([0; Gen::LEN]),
                users: HashMap::new(),
                most_users: (limits.limiter_users / SHARDS).max(1),
                interval_ms: limits.message_interval_ms,
                control_cost_ms: MINUTE_MS / u64::from(per_minute),
                control_burst: limits.control_burst.max(1),
                control_per_minute: per_minute,
                paces: Paces::new(limits),
            }))
        };
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), clock }
    }

    /// The admission of one device.
    pub(crate) fn admission(&self, user: UserId, device: DeviceId) -> Admission {
        let shard = self.shards[usize::from(user.0[0]) % SHARDS].clone();
        Admission { shard, clock: self.clock.clone(), user, device }
    }

    /// The actors that look after the shards, one each.
    pub(crate) fn actor(&self, shard: usize, alive: Alive) -> RateLimiter {
        let shard = self.shards[shard % SHARDS].clone();
        RateLimiter { shard, clock: self.clock.clone(), _alive: alive }
    }

    pub(crate) const fn shards() -> usize {
        SHARDS
    }
}

/// Looks after a shard of users: forgets idle buckets and old records.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    shard: Arc<Mutex<Shard>>,
    clock: Arc<dyn Clock>,
    _alive: Alive,
}

impl Actor for RateLimiter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(sweep(self.shard.clone(), self.clock.clone()).into_actor(self));
    }
}

/// No interval: a node that stood still does not make up for the sweeps that it missed.
async fn sweep(shard: Arc<Mutex<Shard>>, clock: Arc<dyn Clock>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let now_ms = clock.now_ms();
        let mut shard = lock(&shard);
        fault::point("limiter: sweep");
        shard.admit.expire(now_ms);
        shard.forget_idle(Instant::now());
    }
}

impl Admission {
    /// Forgets what was recorded in another generation of the queue store than this one: its
    /// messages are sent again, from the first number on.
    pub(crate) fn believe(&self, generation: Gen) {
        let mut shard = lock(&self.shard);
        if shard.generation != generation {
            shard.generation = generation;
            shard.admit.clear();
        }
    }

    /// What is known about an offer, before it is checked.
    pub(crate) fn look(&self, offer: &Offer) -> Verdict {
        let now_ms = self.clock.now_ms();
        lock(&self.shard).admit.look(self.device, offer, now_ms)
    }

    /// Admits an offer that was checked: counter, then rate. Tells when the message was first
    /// admitted, or what to answer instead.
    pub(crate) fn admit(&self, offer: &Offer, class: Class) -> Result<u64, Verdict> {
        let now_ms = self.clock.now_ms();
        let mut shard = lock(&self.shard);
        let verdict = shard.admit.look(self.device, offer, now_ms);
        match verdict {
            Verdict::Answer(_) | Verdict::Refused(_) => return Err(verdict),
            Verdict::Again => {}
            Verdict::New | Verdict::Changed | Verdict::Resubmitted => {
                if !shard.admit.counter_rises(self.device, offer) {
                    return Err(Verdict::Refused(Reject::CounterReuse {}));
                }
            }
        }
        if verdict == Verdict::New {
            shard.take(self.user, class).map_err(Verdict::Refused)?;
        }
        let at_ms = shard.admit.routed(self.device, offer, &verdict, now_ms);
        fault::point("limiter: admitted");
        Ok(at_ms)
    }

    /// Whether an ephemeral message may go to `to` now.
    pub(crate) fn ephemeral(&self, to: UserId) -> Result<(), Reject> {
        lock(&self.shard).live(self.user, |pace, paces, now| pace.ephemeral(to, paces, now))
    }

    /// Whether a step of a call may be taken now.
    pub(crate) fn signal(&self) -> Result<(), Reject> {
        lock(&self.shard).live(self.user, Pace::signal)
    }

    /// Whether the device may change now whom it shows itself to.
    pub(crate) fn presence(&self) -> Result<(), Reject> {
        lock(&self.shard).live(self.user, Pace::presence)
    }

    /// Custody is complete. Whether this is the answer that counts.
    pub(crate) fn accepted(&self, to: UserId, answer: Arc<Accepted>) -> bool {
        lock(&self.shard).admit.accepted(self.device, to, answer)
    }

    /// Custody ended in a reject.
    pub(crate) fn refused(&self, to: UserId, sn: u64) {
        lock(&self.shard).admit.refused(self.device, to, sn);
    }

    /// A flight is over.
    pub(crate) fn landed(&self, to: UserId) {
        lock(&self.shard).admit.landed(self.device, to);
    }
}

impl Shard {
    fn take(&mut self, user: UserId, class: Class) -> Result<(), Reject> {
        let paced = class.is_paced();
        if paced && self.interval_ms == 0 {
            return Ok(());
        }
        let now = Instant::now();
        self.make_room(user, now)?;
        let (interval_ms, cost_ms, burst) =
            (self.interval_ms, self.control_cost_ms, u64::from(self.control_burst));
        let buckets = self.users.entry(user).or_default();
        buckets.used = Some(now);
        let (bucket, cost) = if paced {
            (buckets.paced.get_or_insert_with(|| bucket(interval_ms)), interval_ms)
        } else {
            (buckets.control.get_or_insert_with(|| bucket(cost_ms * burst)), cost_ms)
        };
        let Err(retry_after_ms) = draw(bucket, cost) else { return Ok(()) };
        Err(if paced {
            let (rule, window_ms) = (Rule::MessageInterval, interval_ms);
            Reject::RateLimited { retry_after_ms, rule, limit: 1, window_ms }
        } else {
            let (rule, limit) = (Rule::ControlLane, self.control_per_minute);
            Reject::RateLimited { retry_after_ms, rule, limit, window_ms: MINUTE_MS }
        })
    }

    fn live(
        &mut self,
        user: UserId,
        may: impl FnOnce(&mut Pace, &Paces, Instant) -> Result<(), Reject>,
    ) -> Result<(), Reject> {
        let now = Instant::now();
        self.make_room(user, now)?;
        let pace = self.users.entry(user).or_default().live.get_or_insert_default();
        may(pace, &self.paces, now)
    }

    fn make_room(&mut self, user: UserId, now: Instant) -> Result<(), Reject> {
        if self.users.len() >= self.most_users && !self.users.contains_key(&user) {
            self.forget_idle(now);
            if self.users.len() >= self.most_users {
                return Err(Reject::Unavailable { retry_after_ms: 1_000 });
            }
        }
        Ok(())
    }

    /// A bucket that was left alone for as long as it takes to fill is as good as a new one.
    fn forget_idle(&mut self, now: Instant) {
        let full_ms = self.interval_ms.max(self.control_cost_ms * u64::from(self.control_burst));
        let full = Duration::from_millis(full_ms);
        self.users.retain(|_, buckets| {
            buckets.live.take_if(|pace| pace.is_idle(now));
            let used = |used| now.saturating_duration_since(used) < full;
            buckets.live.is_some() || buckets.used.is_some_and(used)
        });
    }
}

/// A full bucket of `units`, one a millisecond.
fn bucket(units: u64) -> Bucket {
    let units = usize::try_from(units).unwrap_or(usize::MAX >> 1);
    Bucket::builder().max(units).initial(units).refill(1).interval(Duration::from_millis(1)).build()
}

/// Takes `cost` units, or tells in how many milliseconds they will be there. `balance` is up to
/// date after a refused `try_acquire`, which refills first.
fn draw(bucket: &Bucket, cost: u64) -> Result<(), u64> {
    let units = usize::try_from(cost).unwrap_or(usize::MAX >> 1);
    if bucket.try_acquire(units) {
        return Ok(());
    }
    Err(cost.saturating_sub(bucket.balance() as u64).max(1))
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FixedClock, offer};

    fn limiter(limits: &Limits) -> (Limiter, Admission) {
        let limiter = Limiter::new(limits, Arc::new(FixedClock::default()));
        let admission = limiter.admission(UserId([1; 32]), DeviceId([1; 16]));
        (limiter, admission)
    }

    fn retry_after(result: Result<u64, Verdict>) -> Option<u64> {
        match result {
            Ok(_) => None,
            Err(Verdict::Refused(Reject::RateLimited { retry_after_ms, .. })) => {
                Some(retry_after_ms)
            }
            other => panic!("{other:?}"),
        }
    }

    fn send(admission: &Admission, to: u8, sn: u64, class: Class) -> Option<u64> {
        retry_after(admission.admit(&offer(to, sn), class))
    }

    #[tokio::test(start_paused = true)]
    async fn the_ten_second_rule_says_exactly_when() {
        let (_limiter, admission) = limiter(&Limits::default());
        assert_eq!(send(&admission, 2, 1, Class::Text), None);
        assert_eq!(send(&admission, 3, 1, Class::Edit), Some(10_000));
        tokio::time::advance(Duration::from_millis(4_321)).await;
        let left = send(&admission, 3, 1, Class::Text).unwrap();
        assert_eq!(left, 5_679);
        tokio::time::advance(Duration::from_millis(left - 1)).await;
        assert_eq!(send(&admission, 3, 1, Class::Text), Some(1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(send(&admission, 3, 1, Class::Text), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_control_lane_has_a_burst_and_a_rate_of_its_own() {
        let (_limiter, admission) = limiter(&Limits::default());
        assert_eq!(send(&admission, 2, 1, Class::Text), None);
        for k in 0..30 {
            assert_eq!(send(&admission, 10 + k, 1, Class::Control), None, "{k}");
        }
        assert_eq!(send(&admission, 99, 1, Class::Reaction), Some(1_000));
        tokio::time::advance(Duration::from_millis(1_000)).await;
        assert_eq!(send(&admission, 99, 1, Class::Reaction), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeat_costs_no_token_and_a_refusal_none() {
        let (_limiter, admission) = limiter(&Limits::default());
        assert_eq!(send(&admission, 2, 1, Class::Text), None);
        assert_eq!(send(&admission, 3, 1, Class::Text), Some(10_000));
        admission.accepted(
            UserId([2; 32]),
            Arc::new(Accepted { sn: 1, mid: offer(2, 1).mid, delivered: vec![], skipped: vec![] }),
        );
        assert!(matches!(admission.look(&offer(2, 1)), Verdict::Answer(_)));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(send(&admission, 3, 1, Class::Text), None);
    }

    #[tokio::test(start_paused = true)]
    async fn zero_switches_the_rule_off() {
        let limits = Limits { message_interval_ms: 0, ..Limits::default() };
        let (_limiter, admission) = limiter(&limits);
        for to in 0..100 {
            assert_eq!(send(&admission, to, 1, Class::Text), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn idle_buckets_are_forgotten_and_their_number_is_bounded() {
        let limits = Limits { limiter_users: SHARDS * 3, ..Limits::default() };
        let (limiter, _) = limiter(&limits);
        let user = |k: u8| {
            let mut id = [0; 32];
            id[1] = k;
            limiter.admission(UserId(id), DeviceId([k; 16]))
        };
        for k in 0..3 {
            assert_eq!(send(&user(k), 9, 1, Class::Text), None);
        }
        let full = user(3).admit(&offer(9, 1), Class::Text);
        assert_eq!(full, Err(Verdict::Refused(Reject::Unavailable { retry_after_ms: 1_000 })));
        assert_eq!(user(0).signal(), Ok(()));
        assert_eq!(user(3).presence(), Err(Reject::Unavailable { retry_after_ms: 1_000 }));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(send(&user(3), 9, 1, Class::Text), None);
        assert_eq!(lock(&limiter.shards[0]).users.len(), 1);
        // A longer memory keeps its user, and nobody else's.
        assert!((0..12).all(|_| user(3).presence() == Ok(())));
        tokio::time::advance(Duration::from_secs(59)).await;
        lock(&limiter.shards[0]).forget_idle(Instant::now());
        assert!(user(3).presence().is_ok() && lock(&limiter.shards[0]).users.len() == 1);
    }
}
