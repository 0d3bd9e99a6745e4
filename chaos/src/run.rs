//! A run: everything starts, people meet in fair weather, talk while faults befall, come to rest,
//! and the journal is judged.

use std::fs;
use std::hash::BuildHasher as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::checker::judge;
use crate::faults::{Done, calm};
use crate::inject::all_are_flagged;
use crate::journal::Entry;
use crate::parts::Parts;
use crate::people::{Phase, World, live};
use crate::report::{Report, longest_silence, recoveries};
use crate::schedule::{Lane, schedule};

/// How long people may take to meet in fair weather.
const MEET_WITHIN: Duration = Duration::from_secs(180);
/// How long is waited after everything is settled, for what comes late.
const AFTER: Duration = Duration::from_secs(3);
/// How often the run looks.
const LOOK: Duration = Duration::from_millis(20);

/// What is done.
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// The server's binary.
    #[arg(long, default_value = "target/debug/hushwire")]
    pub server: PathBuf,
    /// For how many minutes faults befall; 0.5 is half a minute.
    #[arg(long, default_value_t = 5.0, value_parser = minutes)]
    pub minutes: f64,
    /// What the faults are made from: the same seed, time, servers and kinds of faults give the
    /// same schedule. Drawn if not given.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Servers over one PostgreSQL and one Redis.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub nodes: u8,
    /// Devices, each of a person of its own, in a ring of contacts.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(2..=500))]
    pub devices: u16,
    /// The mean time between two messages of one device, in milliseconds.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(10..=60_000))]
    pub pace_ms: u32,
    /// What may be broken, with commas between; all of it if not given.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [
        Lane::Nodes, Lane::Redis, Lane::Postgres, Lane::Weather, Lane::Backbone, Lane::Devices,
    ])]
    pub faults: Vec<Lane>,
    /// How long everything may take to settle after the faults, in seconds.
    #[arg(long, default_value_t = 180)]
    pub quiet_seconds: u32,
    /// A folder for the journal, the schedule and the servers' logs.
    #[arg(long)]
    pub keep: Option<PathBuf>,
    /// Prints the schedule, and does nothing.
    #[arg(long)]
    pub dry: bool,
}

/// From nothing to a day.
fn minutes(text: &str) -> Result<f64, String> {
    let parsed = text.parse().ok().filter(|minutes| (0.0..=1_440.0).contains(minutes));
    parsed.ok_or_else(|| "expected minutes from 0 to 1440, like 5 or 0.5".to_owned())
}

/// A seed that is short enough to be typed.
#[must_use]
pub fn drawn() -> u64 {
    std::collections::hash_map::RandomState::new().hash_one(0) % 1_000_000
}

impl Plan {
    /// How long faults befall.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::try_from_secs_f64(self.minutes * 60.0).unwrap_or_default()
    }
}

/// Runs the plan with this seed.
///
/// # Errors
/// If it could not run: a part did not start, or people did not meet in fair weather. What a run
/// finds is in its report.
pub fn run(plan: &Plan, seed: u64) -> Result<Report, String> {
    let bar = bar(plan, seed);
    let outcome = attempt(plan, seed, &bar);
    bar.finish_and_clear();
    outcome
}

fn attempt(plan: &Plan, seed: u64, bar: &ProgressBar) -> Result<Report, String> {
    bar.set_message("starting");
    let mut parts = Parts::start(&plan.server, plan.nodes.into(), seed)?;
    let pace = Duration::from_millis(plan.pace_ms.into());
    let die = plan.faults.contains(&Lane::Devices);
    let world = Arc::new(World::new(parts.url(), seed, plan.devices, pace, die));
    let threads: Vec<_> = (0..plan.devices)
        .map(|device| {
            let world = Arc::clone(&world);
            std::thread::Builder::new()
                .name(format!("device-{device}"))
                .spawn(move || live(&world, device))
        })
        .collect();
    let mut stage = Stage { parts: &mut parts, world: &world, bar };
    let met = stage.meet();
    let mut report = Report { seed, time: plan.time(), ..Report::default() };
    if met.is_ok() {
        let done = stage.talk(plan, seed);
        let most = Duration::from_secs(plan.quiet_seconds.into());
        report.settled = stage.rest(most);
        let facts = world.journal.facts();
        report.recoveries = recoveries(&facts, &done.ended);
        report.longest_silence = longest_silence(&facts);
        report.faults = done.faults;
        if report.settled >= most {
            report.troubles.push(format!("not settled within {most:?}: {}", stage.unsettled()));
        }
    }
    world.set_phase(Phase::Over);
    for thread in threads {
        let ended = thread.map_err(|error| error.to_string())?.join();
        if ended.is_err() {
            report.troubles.push("a device's thread panicked".to_owned());
        }
    }
    met?;
    let facts = world.journal.facts();
    finish(&mut report, plan, seed, &facts, &world, &mut parts);
    if let Some(folder) = &plan.keep {
        keep(folder, plan, seed, &facts, &parts)
            .map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    Ok(report)
}

fn finish(
    report: &mut Report,
    plan: &Plan,
    seed: u64,
    facts: &[Entry],
    world: &World,
    parts: &mut Parts,
) {
    (report.nodes, report.devices) = (plan.nodes.into(), plan.devices);
    report.verdict = judge(facts);
    let counters = [&world.killed, &world.closed, &world.stranded, &world.renewed];
    report.people = counters.map(|counter| counter.load(Ordering::Relaxed));
    (report.front, report.back) = (parts.front.counts(), parts.redis.counts());
    report.starts.clone_from(&parts.starts);
    parts.look_at_logs();
    report.troubles.append(&mut parts.troubles);
    report.troubles.extend(world.troubles());
    if world.journal.is_full() {
        report.troubles.push("the journal was full: run for less time".to_owned());
    }
    // In every run: a checker that sees no injected fault has proved nothing.
    report.troubles.extend(all_are_flagged(facts, &report.verdict, seed).err());
}

/// The parts, the people, and what is shown of them.
struct Stage<'a> {
    parts: &'a mut Parts,
    world: &'a World,
    bar: &'a ProgressBar,
}

impl Stage<'_> {
    fn meet(&mut self) -> Result<(), String> {
        self.bar.set_message("people meet");
        let until = Instant::now() + MEET_WITHIN;
        while !self.world.have_met() {
            self.parts.tick();
            let troubles = self.world.troubles();
            if let Some(trouble) = troubles.first() {
                return Err(trouble.clone());
            }
            if Instant::now() > until {
                return Err("people did not become contacts in time".to_owned());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn talk(&mut self, plan: &Plan, seed: u64) -> Done {
        let mut acts = schedule(seed, plan.time(), &plan.faults, plan.nodes.into());
        acts.reverse();
        let mut done = Done::default();
        self.world.set_phase(Phase::Talk);
        let (started, journal) = (Instant::now(), &self.world.journal);
        let clock_ms = || u64::try_from(journal.elapsed().as_millis()).unwrap_or(u64::MAX);
        while started.elapsed() < plan.time() && !journal.is_full() {
            done.due(&mut acts, started.elapsed(), self.parts, clock_ms);
            self.parts.tick();
            self.show(started.elapsed(), "talking");
            std::thread::sleep(LOOK);
        }
        // What is left was due a moment ago, or ends what befell.
        done.due(&mut acts, Duration::MAX, self.parts, clock_ms);
        calm(self.parts);
        done
    }

    /// Waits until everything is settled; how long that took.
    fn rest(&mut self, most: Duration) -> Duration {
        self.world.set_phase(Phase::Rest);
        let started = Instant::now();
        let mut quiet_since = None;
        loop {
            self.parts.tick();
            let is_quiet =
                self.parts.are_ready() && self.world.journal.open() == 0 && self.world.busy() == 0;
            let now = Instant::now();
            let since = is_quiet.then(|| *quiet_since.get_or_insert(now));
            quiet_since = since;
            if since.is_some_and(|since| now >= since + AFTER) || started.elapsed() > most {
                let settled = since.unwrap_or(now);
                return settled.duration_since(started);
            }
            self.show(started.elapsed(), "settling");
            std::thread::sleep(LOOK);
        }
    }

    fn unsettled(&self) -> String {
        let (open, busy) = (self.world.journal.open(), self.world.busy());
        let ready = if self.parts.are_ready() { "ready" } else { "not ready" };
        let redis = self.parts.redis.state();
        format!(
            "{open} lines open, {busy} devices with something to send, servers {ready}; {redis}"
        )
    }

    fn show(&self, elapsed: Duration, what: &str) {
        let (accepted, told) = self.world.journal.so_far();
        self.bar.set_position(elapsed.as_secs());
        let open = self.world.journal.open();
        self.bar.set_message(format!("{what}: {accepted} accepted, {told} shown, {open} open"));
    }
}

fn bar(plan: &Plan, seed: u64) -> ProgressBar {
    let bar = ProgressBar::new(plan.time().as_secs());
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} s  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar.set_prefix(format!("chaos, seed {seed}"));
    bar
}

fn keep(
    folder: &Path,
    plan: &Plan,
    seed: u64,
    facts: &[Entry],
    parts: &Parts,
) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut out = std::io::BufWriter::new(fs::File::create(folder.join("journal.txt"))?);
    for entry in facts {
        writeln!(out, "{entry}")?;
    }
    out.flush()?;
    let mut out = fs::File::create(folder.join("schedule.txt"))?;
    for planned in schedule(seed, plan.time(), &plan.faults, plan.nodes.into()) {
        writeln!(out, "{planned}")?;
    }
    parts.keep_logs(folder)
}
