//! Which faults come when, from the seed alone: each part of the system has a lane of its own, in
//! which a fault and its end are followed by a pause. The lanes overlap as they fall.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;

use crate::dice::Dice;
use crate::proxy::{Way, Weather};

/// What may be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Lane {
    /// Servers: kill -9, SIGSTOP, and SIGTERM, each with a start after it.
    Nodes,
    /// Redis: SIGSTOP of the primary, all connections cut, a replica or the primary killed, the loss of
    /// all of them; and SIGSTOP of a Sentinel.
    Redis,
    /// PostgreSQL: SIGSTOP, and a crash.
    Postgres,
    /// The network between devices and servers: delay, slices, cuts, half-closes, one-way holes.
    Weather,
    /// The same between servers and Redis.
    Backbone,
    /// Devices: programs that end, are killed, and stay away for a while.
    Devices,
}

/// One act of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// `kill -9` of a server; it is started again at once or later ([`Act::StartNode`]).
    KillNode(usize),
    /// A server that was killed is started.
    StartNode(usize),
    /// SIGSTOP of a server.
    PauseNode(usize),
    /// SIGCONT.
    ResumeNode(usize),
    /// SIGTERM: it drains, and is started again when it has ended.
    DrainNode(usize),
    /// SIGSTOP of the primary; a replica may take its place.
    PauseRedis,
    /// SIGCONT.
    ResumeRedis,
    /// SIGSTOP of one of the Sentinels.
    PauseSentinel,
    /// SIGCONT.
    ResumeSentinel,
    /// All connections to the primary are cut.
    CutRedis,
    /// `kill -9` of a replica.
    KillReplica,
    /// `kill -9` of the primary: a replica takes its place.
    KillPrimary,
    /// What was killed is started again, as a replica.
    RestartRedis,
    /// `kill -9` of all: everything that Redis holds is lost.
    LoseRedis,
    /// All are started again, empty.
    StartRedis,
    /// SIGSTOP of PostgreSQL and its children.
    PausePostgres,
    /// SIGCONT.
    ResumePostgres,
    /// PostgreSQL crashes.
    StopPostgres,
    /// It is started again.
    StartPostgres,
    /// Other weather between devices and servers.
    Weather(Weather),
    /// One direction between devices and servers stands still, for so many milliseconds.
    Hole(Way, u32),
    /// Other weather between servers and Redis.
    Backbone(Weather),
    /// One direction between servers and Redis stands still, for so many milliseconds.
    BackboneHole(Way, u32),
}

impl Act {
    /// A name for the report; `None` for what only ends a fault.
    #[must_use]
    pub const fn fault(&self) -> Option<&'static str> {
        Some(match self {
            Self::KillNode(_) => "node kill -9",
            Self::PauseNode(_) => "node SIGSTOP",
            Self::DrainNode(_) => "node SIGTERM",
            Self::PauseRedis => "redis SIGSTOP",
            Self::CutRedis => "redis connections cut",
            Self::KillReplica => "redis replica kill -9",
            Self::KillPrimary => "redis primary kill -9",
            Self::PauseSentinel => "sentinel SIGSTOP",
            Self::LoseRedis => "redis total loss",
            Self::PausePostgres => "postgres SIGSTOP",
            Self::StopPostgres => "postgres crash",
            Self::Weather(weather) if weather.is_bad() => "weather",
            Self::Hole(..) => "one-way hole",
            Self::Backbone(weather) if weather.is_bad() => "backbone weather",
            Self::BackboneHole(..) => "backbone one-way hole",
            _ => return None,
        })
    }

    /// The fault that is over with this act, and from which the system has to recover.
    #[must_use]
    pub const fn ends(&self) -> Option<&'static str> {
        match self {
            Self::StartNode(node) => Self::KillNode(*node).fault(),
            Self::ResumeNode(node) => Self::PauseNode(*node).fault(),
            Self::ResumeRedis => Self::PauseRedis.fault(),
            Self::ResumeSentinel => Self::PauseSentinel.fault(),
            Self::StartRedis => Self::LoseRedis.fault(),
            Self::ResumePostgres => Self::PausePostgres.fault(),
            Self::StartPostgres => Self::StopPostgres.fault(),
            // Nobody waits for an end of these.
            Self::DrainNode(_) | Self::CutRedis | Self::KillReplica | Self::KillPrimary => {
                self.fault()
            }
            _ => None,
        }
    }
}

impl Weather {
    const fn is_bad(&self) -> bool {
        let Self { delay_ms, slice, cut, half_close, hole, .. } = *self;
        delay_ms > 0 || slice > 0 || cut > 0 || half_close > 0 || hole > 0
    }
}

/// An act and when, since the faults began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// In milliseconds.
    pub at_ms: u64,
    /// What.
    pub act: Act,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9} {:?}", self.at_ms, self.act)
    }
}

/// The acts of a run of `time` over so many servers, in order. All that begins also ends within it.
#[must_use]
pub fn schedule(seed: u64, time: Duration, lanes: &[Lane], nodes: usize) -> Vec<Planned> {
    let end = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let mut all = Vec::new();
    for lane in [Lane::Nodes, Lane::Redis, Lane::Postgres, Lane::Weather, Lane::Backbone] {
        if !lanes.contains(&lane) {
            continue;
        }
        let several = if lane == Lane::Nodes { nodes } else { 1 };
        for node in 0..several {
            let index = 1_000 * lane as u64 + u64::try_from(node).unwrap_or(0);
            let mut walk = Walk { dice: Dice::new(seed, index), at: 0, end, out: &mut all };
            walk.lane(lane, node);
        }
    }
    all.sort_by_key(|planned| planned.at_ms);
    all
}

/// A walk along one lane.
struct Walk<'a> {
    dice: Dice,
    at: u64,
    end: u64,
    out: &'a mut Vec<Planned>,
}

impl Walk<'_> {
    fn lane(&mut self, lane: Lane, node: usize) {
        let (low, high) = match lane {
            Lane::Nodes => (3_000, 14_000),
            Lane::Redis => (5_000, 20_000),
            Lane::Postgres => (8_000, 25_000),
            Lane::Weather | Lane::Backbone | Lane::Devices => (2_000, 10_000),
        };
        // The first comes early, so that a short run has one of each lane.
        let mut pause = self.dice.between(500, 4_000);
        loop {
            self.at += pause;
            let before = self.out.len();
            match lane {
                Lane::Nodes => self.node(node),
                Lane::Redis => self.redis(),
                Lane::Postgres => self.postgres(),
                Lane::Weather => self.weather(Act::Weather, Act::Hole),
                Lane::Backbone => self.weather(Act::Backbone, Act::BackboneHole),
                Lane::Devices => {}
            }
            if self.at >= self.end || self.out.len() == before {
                // What would not be over in time does not begin.
                self.out.truncate(before);
                return;
            }
            pause = self.dice.between(low, high);
        }
    }

    fn act(&mut self, act: Act) {
        self.out.push(Planned { at_ms: self.at, act });
    }

    /// A fault, and after a time from `low` to `high` milliseconds its end.
    fn for_a_while(&mut self, begin: Act, end: Act, low: u64, high: u64) {
        self.act(begin);
        self.at += self.dice.between(low, high);
        self.act(end);
    }

    fn node(&mut self, node: usize) {
        match self.dice.below(10) {
            0..=4 => self.for_a_while(Act::KillNode(node), Act::StartNode(node), 0, 4_000),
            5..=7 => self.for_a_while(Act::PauseNode(node), Act::ResumeNode(node), 500, 14_000),
            _ => self.act(Act::DrainNode(node)),
        }
    }

    fn redis(&mut self) {
        match self.dice.below(11) {
            10 => self.for_a_while(Act::PauseSentinel, Act::ResumeSentinel, 500, 6_000),
            0..=2 => self.for_a_while(Act::PauseRedis, Act::ResumeRedis, 300, 6_000),
            3..=4 => self.act(Act::CutRedis),
            5 => self.for_a_while(Act::KillReplica, Act::RestartRedis, 500, 4_000),
            // Not before the Sentinels have replaced it: it comes back empty.
            6..=7 => self.for_a_while(Act::KillPrimary, Act::RestartRedis, 5_000, 9_000),
            _ => self.for_a_while(Act::LoseRedis, Act::StartRedis, 0, 4_000),
        }
    }

    fn postgres(&mut self) {
        if self.dice.per_mille(500) {
            self.for_a_while(Act::PausePostgres, Act::ResumePostgres, 500, 15_000);
        } else {
            self.for_a_while(Act::StopPostgres, Act::StartPostgres, 0, 6_000);
        }
    }

    fn weather(&mut self, weather: fn(Weather) -> Act, hole: fn(Way, u32) -> Act) {
        if self.dice.per_mille(250) {
            let way = self.dice.pick([Way::Up, Way::Down]);
            let time = self.dice.between(1_000, 12_000);
            self.act(hole(way, u32::try_from(time).unwrap_or(u32::MAX)));
            self.at += time;
            // Said, so that what follows is measured from its end.
            self.act(weather(Weather::default()));
            return;
        }
        let mut bad = Weather::default();
        while !bad.is_bad() {
            bad = Weather {
                delay_ms: self.dice.pick([0, 0, 5, 50, 300]),
                slice: self.dice.pick([0, 0, 1, 7, 100]),
                cut: self.dice.pick([0, 0, 5, 20, 100]),
                half_close: self.dice.pick([0, 0, 0, 10, 50]),
                hole: self.dice.pick([0, 0, 0, 10, 50]),
                hole_ms: self.dice.pick([500, 2_000, 12_000]),
            };
        }
        self.for_a_while(weather(bad), weather(Weather::default()), 2_000, 10_000);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const ALL: &[Lane] =
        &[Lane::Nodes, Lane::Redis, Lane::Postgres, Lane::Weather, Lane::Backbone, Lane::Devices];
    const HOUR: Duration = Duration::from_secs(3_600);

    fn is_of_redis(name: &str) -> bool {
        name.starts_with("redis") || name.starts_with("sentinel")
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_gives_others() {
        assert_eq!(schedule(7, HOUR, ALL, 3), schedule(7, HOUR, ALL, 3));
        assert_ne!(schedule(7, HOUR, ALL, 3), schedule(8, HOUR, ALL, 3));
    }

    #[test]
    fn an_hour_has_every_fault_and_half_a_minute_one_of_each_lane() {
        let long: HashSet<_> =
            schedule(1, HOUR, ALL, 1).iter().filter_map(|planned| planned.act.fault()).collect();
        assert_eq!(long.len(), 15, "{long:?}");
        for seed in 0..50 {
            let short = schedule(seed, Duration::from_secs(30), ALL, 1);
            let has = |pick: fn(&str) -> bool| {
                short.iter().filter_map(|planned| planned.act.fault()).any(pick)
            };
            assert!(has(|name| name.starts_with("node")), "{seed}");
            assert!(has(is_of_redis), "{seed}");
            assert!(has(|name| name.starts_with("postgres")), "{seed}");
        }
    }

    #[test]
    fn only_the_lanes_that_were_asked_for_are_broken() {
        let only = schedule(3, HOUR, &[Lane::Redis], 3);
        assert!(!only.is_empty());
        assert!(only.iter().filter_map(|planned| planned.act.fault()).all(is_of_redis));
        assert!(schedule(3, HOUR, &[], 3).is_empty());
        assert!(schedule(3, Duration::ZERO, ALL, 3).is_empty());
    }

    proptest! {
        #[test]
        fn what_begins_ends_in_time_and_no_part_is_broken_twice(
            seed in any::<u64>(), seconds in 0..900_u64, nodes in 1..5_usize,
        ) {
            let acts = schedule(seed, Duration::from_secs(seconds), ALL, nodes);
            prop_assert!(acts.is_sorted_by_key(|planned| planned.at_ms));
            prop_assert!(acts.iter().all(|planned| planned.at_ms < seconds * 1_000));
            let mut broken = HashSet::new();
            for planned in acts {
                let (part, begins) = match planned.act {
                    Act::KillNode(node) | Act::PauseNode(node) => (format!("node {node}"), true),
                    Act::StartNode(node) | Act::ResumeNode(node) => (format!("node {node}"), false),
                    Act::PauseRedis
                    | Act::PauseSentinel
                    | Act::KillReplica
                    | Act::KillPrimary
                    | Act::LoseRedis => ("redis".to_owned(), true),
                    Act::ResumeRedis
                    | Act::ResumeSentinel
                    | Act::RestartRedis
                    | Act::StartRedis => ("redis".to_owned(), false),
                    Act::PausePostgres | Act::StopPostgres => ("postgres".to_owned(), true),
                    Act::ResumePostgres | Act::StartPostgres => ("postgres".to_owned(), false),
                    _ => continue,
                };
                if begins {
                    prop_assert!(broken.insert(part), "{planned}");
                } else {
                    prop_assert!(broken.remove(&part), "{planned}");
                }
            }
            prop_assert!(broken.is_empty(), "{broken:?}");
        }
    }
}
