//! The server when it is bad weather: a slow reader, a reconnect storm, and queues that fill and
//! drain. The relay has none of it, so there is nothing to hold these figures against.

mod hub;
mod queue;
mod slow;
pub(crate) mod stores;
mod storm;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use self::hub::Hub;
use crate::figures::Pair;
use crate::person::Api;
use crate::program::{Program, is_pinned};
use crate::report::{Spread, machine};
use crate::stage::{bar, log_tail, people, raise_nofile, start};

/// What is measured, and how much of it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Plan {
    /// The server's binary, a release build.
    #[arg(long)]
    server: PathBuf,
    /// Devices that come back at once.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(20..=20_000))]
    devices: u32,
    /// Messages that wait for one device.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(10..=5_000))]
    messages: u32,
    /// How long the slow reader is written to.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(2..=300))]
    seconds: u32,
    /// Rounds; the median of them is reported.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    rounds: u32,
    /// Where to write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Senders to one device: with at most 1,000 messages of each, its quota of 5,000 can be filled.
const SPOKES: usize = 8;

/// Keys, and rows of the table, in its order.
const ROWS: [(&str, &str); 17] = [
    ("slow_queued_kib", "slow reader: accepted and queued, as uploaded, KiB"),
    ("slow_grown_kib", "slow reader: memory more than before, at most, KiB"),
    ("slow_control_kib", "the same messages to a device that is away: memory, KiB"),
    ("slow_more_kib", "slow reader: memory beyond what is queued, KiB"),
    ("slow_after_kib", "slow reader: memory more than before, drained, KiB"),
    ("slow_before_p50_us", "bystanders before: one hop, p50, us"),
    ("slow_before_p99_us", "bystanders before: one hop, p99, us"),
    ("slow_during_p50_us", "bystanders meanwhile: one hop, p50, us"),
    ("slow_during_p99_us", "bystanders meanwhile: one hop, p99, us"),
    ("storm_rate", "reconnect storm: signed in a second"),
    ("storm_cpu_us", "reconnect storm: CPU of a sign-in, us"),
    ("storm_p50_ms", "reconnect storm: until the welcome, p50, ms"),
    ("storm_p99_ms", "reconnect storm: until the welcome, p99, ms"),
    ("enqueue_rate", "queue: enqueued a second"),
    ("enqueue_cpu_us", "queue: CPU of an enqueued message, us"),
    ("drain_rate", "queue: drained a second"),
    ("drain_cpu_us", "queue: CPU of a drained message, us"),
];

/// All rounds' figures by key.
#[derive(Debug, Default)]
struct Round(BTreeMap<&'static str, Vec<f64>>);

impl Round {
    fn add(&mut self, key: &'static str, value: f64) {
        self.0.entry(key).or_default().push(value);
    }

    fn spread(&self, key: &str) -> Spread {
        Spread::of_values(self.0.get(key).cloned().unwrap_or_default())
    }
}

/// A server that can be started again and again on the same accounts.
struct Stage<'a> {
    binary: &'a Path,
    folder: &'a Path,
    now_ms: u64,
}

impl Stage<'_> {
    async fn start(&self) -> Result<Program, String> {
        start(self.binary, self.folder).await
    }
}

/// Measures, prints a table and writes the JSON.
pub(crate) async fn run(plan: Plan) -> Result<(), String> {
    raise_nofile(u64::from(plan.devices) + 500)?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let measured = measure(&plan, folder.path()).await;
    measured.map_err(|error| format!("{error}\n{}", log_tail(folder.path())))
}

async fn measure(plan: &Plan, folder: &Path) -> Result<(), String> {
    let server = start(&plan.server, folder).await?;
    let api = Api::new(server.address)?;
    let card = api.card().await?;
    let now_ms = card.server_time;
    let count = usize::try_from(plan.devices).map_err(|error| error.to_string())?;
    let all = people(Some(&api), &card.domain, now_ms, count).await?;
    let (hub, rest) = all.split_at_checked(SPOKES + 1).ok_or("too few devices")?;
    let mut hub = Hub::make(&api, hub, now_ms).await?;
    let mut pair = Pair::make(Some(&api), rest, now_ms).await?;
    drop(server);
    let stage = Stage { binary: &plan.server, folder, now_ms };
    let mut figures = Round::default();
    let progress = bar("rounds", u64::from(plan.rounds) * 3);
    for _ in 0..plan.rounds {
        queue::round(&stage, &mut hub, plan.messages, &mut figures).await?;
        progress.inc(1);
        storm::round(&stage, &all, &mut figures).await?;
        progress.inc(1);
        slow::round(&stage, &mut hub, &mut pair, plan.seconds, &mut figures).await?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    print!("{}", table(plan, &figures));
    if let Some(path) = &plan.json {
        let text =
            serde_json::to_string_pretty(&json(plan, &figures)).map_err(|e| e.to_string())?;
        std::fs::write(path, text + "\n").map_err(|e| format!("{}: {e}", path.display()))?;
        println!("written to {}", path.display());
    }
    Ok(())
}

fn table(plan: &Plan, figures: &Round) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "| {:<55} | {:>30} |", "medians (lowest-highest)", "server");
    let _ = writeln!(out, "| {:<55} | {:>30} |", "---", "---:");
    for (key, title) in ROWS {
        let _ = writeln!(out, "| {title:<55} | {:>30} |", figures.spread(key).cell());
    }
    let _ = writeln!(
        out,
        "\n{} rounds; {} devices in the storm; {} messages in the queue of one device; {SPOKES} \
         senders write\nto the slow reader for {} s; {}.",
        plan.rounds,
        plan.devices,
        plan.messages,
        plan.seconds,
        if is_pinned() { "server on core 0, generator on core 1" } else { "not pinned to cores" }
    );
    out
}

fn json(plan: &Plan, figures: &Round) -> Value {
    let rows: serde_json::Map<String, Value> =
        ROWS.iter().map(|(key, _)| ((*key).to_owned(), figures.spread(key).json())).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "rounds": plan.rounds,
        "devices": plan.devices,
        "messages": plan.messages,
        "seconds": plan.seconds,
        "pinned": is_pinned(),
        "machine": machine(),
        "figures": rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_its_median_and_one_without_figures_a_dash() {
        let mut figures = Round::default();
        for value in [3.0, 1.0, 2.0] {
            figures.add("drain_rate", value);
        }
        let plan = Plan {
            server: PathBuf::new(),
            devices: 20,
            messages: 10,
            seconds: 2,
            rounds: 3,
            json: None,
        };
        let table = table(&plan, &figures);
        let line = |title| table.lines().find(|line| line.contains(title)).unwrap_or_default();
        assert!(line("drained a second").contains("2.00 (1.00-3.00)"), "{table}");
        assert!(line("enqueued a second").contains(" - |"), "{table}");
        assert_eq!(json(&plan, &figures)["figures"]["drain_rate"]["median"], 2.0);
    }
}
