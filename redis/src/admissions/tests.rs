//! The functions of the library against the values that the model checks: the same asks, the same
//! answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hushwire_actors::admit::Offer;
use hushwire_actors::limiter::Limiter;
use hushwire_actors::ports::Clock;
use hushwire_testbed::Redis;
use hushwire_wire::EpochId;
use hushwire_wire::frame::{Accepted, SkipReason, Skipped};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::testing::{open, settings};

const RECORDS: usize = 3;
/// Shards of the limiter, each of which has its part of the records.
const SHARDS: usize = 16;

fn limits() -> Limits {
    Limits {
        admit_records: RECORDS * SHARDS,
        admit_records_per_user: RECORDS,
        control_burst: 3,
        remember_ms: 200_000,
        ..Limits::default()
    }
}

#[derive(Debug, Default)]
struct Hands(AtomicU64);

impl Clock for Hands {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checked {
    Now,
    Before,
    Refused,
    RefusedBefore,
    Not,
}

#[derive(Clone, Debug)]
enum Act {
    Admit { device: u8, offer: Offer, class: Class, checked: Checked },
    Land { device: u8, to: u8, landing: Landing },
    Raise,
    Pass(u64),
}

fn sn() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 1u64..5, 1 => Just((1 << 53) - 1)]
}

fn any_act() -> impl Strategy<Value = Act> {
    let ids = (0u8..2, 0u8..4);
    let re = proptest::option::weighted(0.3, 1u8..3);
    let size = prop_oneof![9 => Just(400usize), 1 => Just(1_500_000usize)];
    let class = prop_oneof![2 => Just(Class::Text), 3 => Just(Class::Reaction)];
    let checked = prop_oneof![
        12 => Just(Checked::Now), 1 => Just(Checked::Before), 1 => Just(Checked::Refused),
        1 => Just(Checked::RefusedBefore), 1 => Just(Checked::Not)
    ];
    let admit = (ids.clone(), sn(), 0u8..3, 0u8..2, 0u32..5, size, re, class, checked).prop_map(
        |((device, to), sn, variant, epoch, counter, size, re, class, checked)| {
            let offer = Offer {
                to: UserId([to; 32]),
                sn,
                mid: Mid([variant; 16]),
                hash: [variant; 32],
                epoch: EpochId([epoch; 32]),
                counter: counter << (8 * epoch),
                size,
                re: re.map(|re| Gen([re; 16])),
                withdraw: Box::default(),
            };
            Act::Admit { device, offer, class, checked }
        },
    );
    let answer = (sn(), 0u8..3).prop_map(|(sn, variant)| {
        let skipped = Skipped { device: DeviceId([8; 16]), why: SkipReason::Full };
        let (delivered, skipped) = (vec![DeviceId([7; 16])], vec![skipped]);
        Landing::Accepted(Arc::new(Accepted { sn, mid: Mid([variant; 16]), delivered, skipped }))
    });
    let landing = prop_oneof![
        3 => answer,
        1 => sn().prop_map(Landing::Refused),
        1 => Just(Landing::Neither),
    ];
    let ms = prop_oneof![
        4 => 1u64..3_000,
        2 => Just(10_000u64),
        2 => Just(15_000),
        1 => Just(60_000),
        1 => Just(201_000),
    ];
    prop_oneof![
        12 => admit,
        6 => (ids, landing).prop_map(|((device, to), landing)| Act::Land { device, to, landing }),
        1 => Just(Act::Raise),
        4 => ms.prop_map(Act::Pass),
    ]
}

/// One act, or the same ask many times with a pause between, also with numbers and counters that
/// rise.
fn some_acts() -> impl Strategy<Value = Vec<Act>> {
    let gap = prop_oneof![Just(1u64), Just(199), Just(1_999), Just(14_998), Just(14_999)];
    let many = (any_act(), 2u64..30, gap, any::<bool>()).prop_map(|(act, count, gap, rising)| {
        let mut acts = Vec::new();
        for k in 0..count {
            let mut act = act.clone();
            if let (Act::Admit { offer, .. }, true) = (&mut act, rising) {
                let sn = offer.sn.saturating_add(k).min((1 << 53) - 1);
                (offer.sn, offer.counter) = (sn, offer.counter + k as u32);
            }
            acts.extend([act, Act::Pass(gap)]);
        }
        acts
    });
    prop_oneof![8 => any_act().prop_map(|act| vec![act]), 1 => many]
}

/// Both, each with a user of its own.
struct Both {
    redis: RedisAdmissions,
    limiter: Limiter,
    clock: Arc<Hands>,
    user: UserId,
}

impl Both {
    fn new(redis: &RedisAdmissions) -> Self {
        static USERS: AtomicU64 = AtomicU64::new(0);
        let mut user = [3; 32];
        user[..8].copy_from_slice(&USERS.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let clock = Arc::new(Hands(AtomicU64::new(1_000_000)));
        let limiter = Limiter::new(&limits(), clock.clone());
        Self { redis: redis.clone(), limiter, clock, user: UserId(user) }
    }

    async fn pass(&self, ms: u64) {
        tokio::time::advance(Duration::from_millis(ms)).await;
        let now_ms = self.clock.0.fetch_add(ms, Ordering::Relaxed) + ms;
        self.redis.link.state().say_now(now_ms);
    }

    /// What one of them says.
    async fn ask(&self, of: &dyn Admissions, act: &Act) -> String {
        let (r#gen, user) = (self.redis.link.state().facts().r#gen.unwrap(), self.user);
        match act.clone() {
            Act::Admit { device, offer, class, checked } => {
                let [stamp, _] = of.stamps([user, UserId([0; 32])]).await.unwrap();
                let other = Stamp { v: stamp.v + 1, ..stamp };
                let (stamp, allowed) = match checked {
                    Checked::Now => (Some(stamp), true),
                    Checked::Before => (Some(other), true),
                    Checked::Refused => (Some(stamp), false),
                    Checked::RefusedBefore => (Some(other), false),
                    Checked::Not => (None, false),
                };
                let device = DeviceId([device; 16]);
                let ask = Ask { r#gen, user, device, offer, class, stamp, allowed };
                format!("{:?}", of.admit(&ask).await)
            }
            Act::Land { device, to, landing } => {
                let (device, to) = (DeviceId([device; 16]), UserId([to; 32]));
                format!("{:?}", of.landed(Landed { r#gen, user, device, to, landing }).await)
            }
            Act::Raise => format!("{:?}", of.raise(vec![user]).await),
            Act::Pass(_) => String::new(),
        }
    }
}

fn first() -> Act {
    let offer = Offer {
        to: UserId([9; 32]),
        sn: 1,
        mid: Mid([0; 16]),
        hash: [0; 32],
        epoch: EpochId([0; 32]),
        counter: 0,
        size: 1,
        re: None,
        withdraw: Box::default(),
    };
    Act::Admit { device: 0, offer, class: Class::Reaction, checked: Checked::Now }
}

#[test]
fn redis_answers_what_the_values_answer() {
    let redis = Redis::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let link = runtime.block_on(open(settings(&redis))).unwrap();
    let admissions = RedisAdmissions::new(link, &limits());
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = ProptestConfig::with_cases(cases.unwrap_or(300));
    let acts = proptest::collection::vec(some_acts(), 1..40);
    let checked = TestRunner::new(config).run(&acts, |acts| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let both = Both::new(&admissions);
            for act in std::iter::once(&first()).chain(acts.iter().flatten()) {
                // No two records are of the same time.
                both.pass(if let Act::Pass(ms) = act { *ms } else { 1 }).await;
                let expected = both.ask(&both.limiter, act).await;
                let found = both.ask(&both.redis, act).await;
                prop_assert_eq!(expected, found, "{:?}", act);
            }
            Ok(())
        })
    });
    checked.unwrap();
}

#[tokio::test]
async fn a_burst_of_sends_at_once_shares_a_connection() {
    let redis = Redis::start();
    let link = open(settings(&redis)).await.unwrap();
    let (limits, r#gen) = (Limits::default(), link.state().facts().r#gen.unwrap());
    let admissions = RedisAdmissions::new(link, &limits);
    let Act::Admit { offer, .. } = first() else { unreachable!() };
    let asks = (0..1_000u16).map(|k| {
        let mut user = [0; 32];
        user[..2].copy_from_slice(&k.to_be_bytes());
        let (stamp, allowed) = (Some(Stamp { r#gen, v: 0 }), true);
        let (user, device, class) = (UserId(user), DeviceId([1; 16]), Class::Text);
        admissions.admit(&Ask { r#gen, user, device, offer: offer.clone(), class, stamp, allowed })
    });
    for soon in asks.collect::<Vec<_>>() {
        assert!(matches!(soon.await, Ok(Admitted::At(_))));
    }
    let listed = redis.command(&["CLIENT", "LIST"]).unwrap();
    let on_shared = listed.lines().filter(|line| line.contains("cmd=fcall ")).count();
    assert!(on_shared <= 1, "{listed}");
}

#[tokio::test]
async fn a_change_is_seen_by_every_node_and_another_generation_knows_nothing() {
    let mut redis = Redis::start();
    let node = async |redis: &Redis| {
        RedisAdmissions::new(open(settings(redis)).await.unwrap(), &Limits::default())
    };
    let (one, other) = (node(&redis).await, node(&redis).await);
    let (user, peer) = (UserId([1; 32]), UserId([2; 32]));
    let r#gen = one.link.state().facts().r#gen.unwrap();
    let [stamp, of_peer] = one.stamps([user, peer]).await.unwrap();
    assert_eq!((stamp, of_peer.v), (Stamp { r#gen, v: 0 }, 0));
    other.raise(vec![user]).await.unwrap();
    let [raised, of_peer] = one.stamps([user, peer]).await.unwrap();
    assert!(raised.v > 0 && of_peer.v == 0);
    other.raise(vec![user, peer]).await.unwrap();
    assert!(one.stamps([user, peer]).await.unwrap()[0].v > raised.v);

    let Act::Admit { offer, class, .. } = first() else { unreachable!() };
    let device = DeviceId([1; 16]);
    let stamp = Some(raised);
    let mut ask = Ask { r#gen, user, device, offer, class, stamp, allowed: true };
    assert_eq!(one.admit(&ask).await, Ok(Admitted::Changed));
    ask.stamp = Some(one.stamps([user, peer]).await.unwrap()[0]);
    assert!(matches!(one.admit(&ask).await, Ok(Admitted::At(_))));
    let landing = Landing::Accepted(Arc::new(Accepted {
        sn: 1,
        mid: Mid([0; 16]),
        delivered: vec![],
        skipped: vec![],
    }));
    let landed = Landed { r#gen, user, device, to: ask.offer.to, landing };
    assert_eq!(other.landed(landed.clone()).await, Ok(true));
    assert_eq!(one.landed(landed.clone()).await, Ok(false), "another was answered first");

    // All is lost: nothing is answered from before, and nothing that lands late counts.
    redis.kill();
    assert_eq!(one.admit(&ask).await, Err(Unavailable));
    redis.restart();
    let known = |of: &RedisAdmissions| of.link.state().facts().r#gen.unwrap();
    while known(&one) == r#gen {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(one.landed(landed).await, Ok(false));
    assert_eq!(one.admit(&ask).await, Err(Unavailable), "of another generation");
    ask.r#gen = known(&one);
    assert_eq!(one.admit(&ask).await, Ok(Admitted::Changed), "the stamp is of before");
    ask.stamp = Some(one.stamps([user, peer]).await.unwrap()[0]);
    assert!(matches!(one.admit(&ask).await, Ok(Admitted::At(_))));
}
