//! Carries out what the schedule says.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::parts::Parts;
use crate::proxy::Weather;
use crate::schedule::{Act, Planned};

/// What was done so far.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// How often each fault befell.
    pub faults: BTreeMap<&'static str, u64>,
    /// Faults that ended, and when, in milliseconds of the journal.
    pub ended: Vec<(&'static str, u64)>,
}

impl Done {
    /// Does what is due `now`, and takes it off the plan, which has the next act last. `clock_ms`
    /// is the journal's time.
    pub fn due(
        &mut self,
        plan: &mut Vec<Planned>,
        now: Duration,
        parts: &mut Parts,
        clock_ms: impl Fn() -> u64,
    ) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        while let Some(planned) = plan.pop_if(|planned| planned.at_ms <= now) {
            perform(planned.act, parts);
            if let Some(fault) = planned.act.fault() {
                *self.faults.entry(fault).or_default() += 1;
            }
            if let Some(fault) = planned.act.ends() {
                self.ended.push((fault, clock_ms()));
            }
        }
    }
}

/// Does one act.
pub fn perform(act: Act, parts: &mut Parts) {
    match act {
        Act::KillNode(node) => parts.kill_node(node),
        Act::StartNode(node) => parts.start_node(node),
        Act::PauseNode(node) => parts.pause_node(node, true),
        Act::ResumeNode(node) => parts.pause_node(node, false),
        Act::DrainNode(node) => parts.drain_node(node),
        Act::PauseRedis => parts.redis.pause(),
        Act::ResumeRedis => parts.redis.resume(),
        Act::PauseSentinel => parts.redis.pause_sentinel(),
        Act::ResumeSentinel => parts.redis.resume_sentinel(),
        Act::CutRedis => parts.redis.cut(),
        Act::KillReplica => parts.redis.kill_replica(),
        Act::KillPrimary => parts.redis.kill_primary(),
        Act::RestartRedis => parts.redis.restart(),
        Act::LoseRedis => parts.redis.lose(),
        Act::StartRedis => parts.redis.start_again(),
        Act::PausePostgres => parts.pause_postgres(true),
        Act::ResumePostgres => parts.pause_postgres(false),
        Act::StopPostgres => parts.postgres.stop(),
        Act::StartPostgres => parts.postgres.restart(),
        Act::Weather(weather) => parts.front.set_weather(weather),
        Act::Hole(way, ms) => parts.front.hole(way, Duration::from_millis(ms.into())),
        Act::Backbone(weather) => parts.redis.set_weather(weather),
        Act::BackboneHole(way, ms) => parts.redis.hole(way, Duration::from_millis(ms.into())),
    }
}

/// Fair weather everywhere.
pub fn calm(parts: &Parts) {
    parts.front.set_weather(Weather::default());
    parts.redis.set_weather(Weather::default());
}
