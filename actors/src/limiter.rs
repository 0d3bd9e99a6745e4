//! How often: the leaky buckets of users, and with them the admit records of their devices
//! (DELIVERY, "Lanes" and "Send" 2): the in-memory [`Admissions`].
//!
//! The [`RateLimiter`] actor owns a shard of users and forgets what is idle; the state outlives
//! the actor, and sessions decide by plain calls. A bucket holds as many units as the interval has
//! milliseconds and refills one a millisecond; a message costs an interval's units, so that
//! `retry_after_ms` is exact.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, WrapFuture as _};
use hushwire_wire::message::Class;
use hushwire_wire::{Gen, Reject, UserId};
use leaky_bucket::RateLimiter as Bucket;
use tokio::time::Instant;

use crate::admissions::{Admissions, Admitted, Ask, Landed, Landing, Soon, Stamp};
use crate::admit::{Admit, Verdict};
use crate::fault;
use crate::limits::Limits;
use crate::pace::{Pace, Paces};
use crate::ports::Clock;
use crate::rates::{Price, Rates};
use crate::supervise::Alive;

const SHARDS: usize = 16;
/// Counters of changes. Users share them: one change may have others' facts loaded again.
const STAMPS: usize = 1 << 12;
/// Idle buckets and old records are looked for so often.
const SWEEP: Duration = Duration::from_secs(60);

/// Admissions in memory. Clones are the same.
#[derive(Clone, Debug)]
pub struct Limiter {
    shards: Arc<[Arc<Mutex<Shard>>]>,
    stamps: Arc<[AtomicU64]>,
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
    rates: Rates,
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

/// One user's way to what is paced, but not recorded: what only live devices hear.
#[derive(Clone, Debug)]
pub(crate) struct Paced {
    shard: Arc<Mutex<Shard>>,
    user: UserId,
}

impl Limiter {
    /// Empty, with these limits.
    #[must_use]
    pub fn new(limits: &Limits, clock: Arc<dyn Clock>) -> Self {
        let shard = || {
            Arc::new(Mutex::new(Shard {
                admit: Admit::new(limits.admit_records / SHARDS, limits.remember_ms),
                generation: Gen([0; Gen::LEN]),
                users: HashMap::new(),
                most_users: (limits.limiter_users / SHARDS).max(1),
                rates: Rates::new(limits),
                paces: Paces::new(limits),
            }))
        };
        let stamps = (0..STAMPS).map(|_| AtomicU64::new(0)).collect();
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), stamps, clock }
    }

    /// What one user may do how often.
    pub(crate) fn paced(&self, user: UserId) -> Paced {
        Paced { shard: self.shard(&user).clone(), user }
    }

    fn shard(&self, user: &UserId) -> &Arc<Mutex<Shard>> {
        &self.shards[usize::from(user.0[0]) % SHARDS]
    }

    fn stamp(&self, user: &UserId) -> &AtomicU64 {
        let spread = u16::from_le_bytes([user.0[2], user.0[3]]);
        &self.stamps[usize::from(spread) % STAMPS]
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

impl Admissions for Limiter {
    fn admit(&self, ask: &Ask) -> Soon<Admitted> {
        let now_ms = self.clock.now_ms();
        let v = self.stamp(&ask.user).load(Ordering::Acquire);
        let mut shard = lock(self.shard(&ask.user));
        shard.believe(ask.r#gen);
        let admitted = shard.admit(ask, v, now_ms);
        if matches!(admitted, Admitted::At(_)) {
            fault::point("limiter: admitted");
        }
        Soon::now(admitted)
    }

    fn landed(&self, landed: Landed) -> Soon<bool> {
        let Landed { r#gen, user, device, to, landing } = landed;
        let mut shard = lock(self.shard(&user));
        if shard.generation != r#gen {
            return Soon::now(false);
        }
        let admit = &mut shard.admit;
        let counts = match landing {
            Landing::Accepted(answer) => admit.accepted(device, to, answer),
            Landing::Refused(sn) => {
                admit.refused(device, to, sn);
                true
            }
            Landing::Neither => {
                admit.landed(device, to);
                true
            }
        };
        Soon::now(counts)
    }

    fn stamps(&self, users: [UserId; 2]) -> Soon<[Stamp; 2]> {
        // They live as long as what was cached by them.
        let r#gen = Gen([0; Gen::LEN]);
        Soon::now(users.map(|user| Stamp { r#gen, v: self.stamp(&user).load(Ordering::Acquire) }))
    }

    fn raise(&self, users: Vec<UserId>) -> Soon<()> {
        for user in users {
            self.stamp(&user).fetch_add(1, Ordering::AcqRel);
        }
        Soon::now(())
    }
}

impl Paced {
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
}

impl Shard {
    /// Forgets what was recorded in another generation of the queue store than this one: its
    /// messages are sent again, from the first number on.
    fn believe(&mut self, generation: Gen) {
        if self.generation != generation {
            self.generation = generation;
            self.admit.clear();
        }
    }

    /// `v`: the sender's version.
    fn admit(&mut self, ask: &Ask, v: u64, now_ms: u64) -> Admitted {
        let (device, offer) = (ask.device, &ask.offer);
        let verdict = self.admit.look(device, offer, now_ms);
        if matches!(verdict, Verdict::Answer(_) | Verdict::Refused(_)) {
            return Admitted::Told(verdict);
        }
        if ask.stamp.is_some_and(|stamp| stamp.v != v) {
            return Admitted::Changed;
        }
        if !ask.allowed {
            return Admitted::Told(verdict);
        }
        if verdict != Verdict::Again && !self.admit.counter_rises(device, offer) {
            return Admitted::Told(Verdict::Refused(Reject::CounterReuse {}));
        }
        if verdict == Verdict::New
            && let Err(reject) = self.take(ask.user, ask.class)
        {
            return Admitted::Told(Verdict::Refused(reject));
        }
        Admitted::At(self.admit.routed(device, offer, &verdict, now_ms))
    }

    fn take(&mut self, user: UserId, class: Class) -> Result<(), Reject> {
        let Price { paced, most_ms, cost_ms } = self.rates.price(class);
        if most_ms == 0 {
            return Ok(());
        }
        let now = Instant::now();
        self.make_room(user, now)?;
        let buckets = self.users.entry(user).or_default();
        buckets.used = Some(now);
        let bucket = if paced { &mut buckets.paced } else { &mut buckets.control };
        let bucket = bucket.get_or_insert_with(|| full_bucket(most_ms));
        draw(bucket, cost_ms).map_err(|retry_after_ms| self.rates.too_soon(class, retry_after_ms))
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
        let full = Duration::from_millis(self.rates.full_ms());
        self.users.retain(|_, buckets| {
            buckets.live.take_if(|pace| pace.is_idle(now));
            let used = |used| now.saturating_duration_since(used) < full;
            buckets.live.is_some() || buckets.used.is_some_and(used)
        });
    }
}

/// A full bucket of `units`, one a millisecond.
fn full_bucket(units: u64) -> Bucket {
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
    use hushwire_wire::DeviceId;
    use hushwire_wire::frame::Accepted;

    use crate::testing::{FixedClock, offer};

    const ME: UserId = UserId([1; 32]);

    fn limiter(limits: &Limits) -> Limiter {
        Limiter::new(limits, Arc::new(FixedClock::default()))
    }

    fn told<T>(soon: Soon<T>) -> T {
        let Soon::Now(Ok(told)) = soon else { panic!("it is known at once") };
        told
    }

    fn ask(user: UserId, to: u8, sn: u64, class: Class) -> Ask {
        let device = DeviceId([user.0[1]; 16]);
        let (stamp, allowed) = (Some(Stamp { r#gen: Gen([0; 16]), v: 0 }), true);
        Ask { r#gen: Gen([1; 16]), user, device, offer: offer(to, sn), class, stamp, allowed }
    }

    fn send(limiter: &Limiter, to: u8, sn: u64, class: Class) -> Option<u64> {
        send_of(limiter, ME, to, sn, class)
    }

    fn send_of(limiter: &Limiter, user: UserId, to: u8, sn: u64, class: Class) -> Option<u64> {
        match told(limiter.admit(&ask(user, to, sn, class))) {
            Admitted::At(_) => None,
            Admitted::Told(Verdict::Refused(Reject::RateLimited { retry_after_ms, .. })) => {
                Some(retry_after_ms)
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_ten_second_rule_says_exactly_when() {
        let limiter = limiter(&Limits::default());
        assert_eq!(send(&limiter, 2, 1, Class::Text), None);
        assert_eq!(send(&limiter, 3, 1, Class::Edit), Some(10_000));
        tokio::time::advance(Duration::from_millis(4_321)).await;
        let left = send(&limiter, 3, 1, Class::Text).unwrap();
        assert_eq!(left, 5_679);
        tokio::time::advance(Duration::from_millis(left - 1)).await;
        assert_eq!(send(&limiter, 3, 1, Class::Text), Some(1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(send(&limiter, 3, 1, Class::Text), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_control_lane_has_a_burst_and_a_rate_of_its_own() {
        let limiter = limiter(&Limits::default());
        assert_eq!(send(&limiter, 2, 1, Class::Text), None);
        for k in 0..30 {
            assert_eq!(send(&limiter, 10 + k, 1, Class::Control), None, "{k}");
        }
        assert_eq!(send(&limiter, 99, 1, Class::Reaction), Some(1_000));
        tokio::time::advance(Duration::from_millis(1_000)).await;
        assert_eq!(send(&limiter, 99, 1, Class::Reaction), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeat_costs_no_token_and_a_refusal_none() {
        let limiter = limiter(&Limits::default());
        assert_eq!(send(&limiter, 2, 1, Class::Text), None);
        assert_eq!(send(&limiter, 3, 1, Class::Text), Some(10_000));
        let answer =
            Arc::new(Accepted { sn: 1, mid: offer(2, 1).mid, delivered: vec![], skipped: vec![] });
        let landed = Landed {
            r#gen: Gen([1; 16]),
            user: ME,
            device: DeviceId([1; 16]),
            to: UserId([2; 32]),
            landing: Landing::Accepted(answer.clone()),
        };
        assert!(told(limiter.landed(landed.clone())));
        assert!(!told(limiter.landed(landed.clone())), "another flight was answered first");
        let again = told(limiter.admit(&ask(ME, 2, 1, Class::Text)));
        assert_eq!(again, Admitted::Told(Verdict::Answer(answer)));
        let lost = Landed { r#gen: Gen([2; 16]), ..landed };
        assert!(!told(limiter.landed(lost)), "nothing is known in another generation");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(send(&limiter, 3, 1, Class::Text), None);
    }

    #[tokio::test(start_paused = true)]
    async fn zero_switches_the_rule_off() {
        let limits = Limits { message_interval_ms: 0, ..Limits::default() };
        let limiter = limiter(&limits);
        for to in 0..100 {
            assert_eq!(send(&limiter, to, 1, Class::Text), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn idle_buckets_are_forgotten_and_their_number_is_bounded() {
        let limits = Limits { limiter_users: SHARDS * 3, ..Limits::default() };
        let limiter = limiter(&limits);
        let user = |k: u8| {
            let mut id = [0; 32];
            id[1] = k;
            UserId(id)
        };
        for k in 0..3 {
            assert_eq!(send_of(&limiter, user(k), 9, 1, Class::Text), None);
        }
        let full = told(limiter.admit(&ask(user(3), 9, 1, Class::Text)));
        let busy = Reject::Unavailable { retry_after_ms: 1_000 };
        assert_eq!(full, Admitted::Told(Verdict::Refused(busy.clone())));
        assert_eq!(limiter.paced(user(0)).signal(), Ok(()));
        assert_eq!(limiter.paced(user(3)).presence(), Err(busy));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(send_of(&limiter, user(3), 9, 1, Class::Text), None);
        assert_eq!(lock(&limiter.shards[0]).users.len(), 1);
        // A longer memory keeps its user, and nobody else's.
        assert!((0..12).all(|_| limiter.paced(user(3)).presence() == Ok(())));
        tokio::time::advance(Duration::from_secs(59)).await;
        lock(&limiter.shards[0]).forget_idle(Instant::now());
        assert!(
            limiter.paced(user(3)).presence().is_ok() && lock(&limiter.shards[0]).users.len() == 1
        );
    }

    #[tokio::test(start_paused = true)]
    async fn facts_that_are_out_of_date_admit_nothing_and_cost_nothing() {
        let limiter = limiter(&Limits::default());
        let [before, _] = told(limiter.stamps([ME, UserId([2; 32])]));
        told(limiter.raise(vec![ME]));
        let mut mine = Ask { stamp: Some(before), ..ask(ME, 2, 1, Class::Text) };
        for allowed in [true, false] {
            mine.allowed = allowed;
            assert_eq!(told(limiter.admit(&mine)), Admitted::Changed, "nor do they refuse");
        }
        mine.stamp = None;
        assert_eq!(told(limiter.admit(&mine)), Admitted::Told(Verdict::New));
        (mine.stamp, mine.allowed) = (Some(told(limiter.stamps([ME, ME]))[0]), true);
        assert!(matches!(told(limiter.admit(&mine)), Admitted::At(_)));
    }
}
