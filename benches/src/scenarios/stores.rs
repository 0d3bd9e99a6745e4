//! The server over PostgreSQL and Redis, all on this machine: what a queue in Redis costs.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use hushwire_testbed::{Postgres, Redis};
use serde_json::{Value, json};

use super::hub::{Hub, drain, send_all};
use super::{Round, SPOKES};
use crate::figures::{Pair, Talk};
use crate::line::Line;
use crate::person::Api;
use crate::program::{Program, Settings, cpu_of};
use crate::report::{Subject, machine};
use crate::stage::{approximate, bar, each, log_tail, micros, people, start_with};

/// What is measured, and how much of it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Plan {
    /// The server's binary, a release build.
    #[arg(long)]
    server: PathBuf,
    /// Messages of one pair, one after the other.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    hops: u32,
    /// Messages that wait for one device.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(10..=5_000))]
    messages: u32,
    /// How many Redis processes have a message before it is accepted: 1, or 2 with a replica.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    copies: u32,
    /// Rounds; the median of them is reported.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    rounds: u32,
    /// Where to write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Keys, and rows of the table, in its order.
const ROWS: [(&str, &str); 12] = [
    ("hop_p50_us", "one hop, p50, us"),
    ("hop_p99_us", "one hop, p99, us"),
    ("between_p50_us", "one hop between two servers, p50, us"),
    ("between_p99_us", "one hop between two servers, p99, us"),
    ("enqueue_rate", "queue: enqueued a second"),
    ("enqueue_cpu_us", "queue: server CPU of an enqueued message, us"),
    ("enqueue_redis_us", "queue: Redis CPU of an enqueued message, us"),
    ("queued_bytes", "queue: Redis memory of a queued message, bytes"),
    ("upload_bytes", "queue: its upload, bytes"),
    ("drain_rate", "queue: drained a second"),
    ("drain_cpu_us", "queue: server CPU of a drained message, us"),
    ("drain_redis_us", "queue: Redis CPU of a drained message, us"),
];

/// What the server stands on.
struct Ground {
    postgres: Postgres,
    redis: Redis,
    _replica: Option<Redis>,
    copies: u32,
}

/// Measures, prints a table and writes the JSON.
pub(crate) async fn run(plan: Plan) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let measured = measure(&plan, folder.path()).await;
    measured.map_err(|error| format!("{error}\n{}", log_tail(folder.path())))
}

async fn measure(plan: &Plan, folder: &Path) -> Result<(), String> {
    let redis = Redis::start_with(&[("maxmemory", "1gb")]);
    let replica = (plan.copies > 1).then(|| redis.replica(&[]));
    let ground =
        Ground { postgres: Postgres::start(), redis, _replica: replica, copies: plan.copies };
    let server = start_with(&plan.server, folder, &ground.settings()).await?;
    let other = tempfile::tempdir().map_err(|error| error.to_string())?;
    let far = start_with(&plan.server, other.path(), &ground.settings()).await?;
    let api = Api::new(server.address)?;
    let card = api.card().await?;
    let now_ms = card.server_time;
    let all = people(Some(&api), &card.domain, now_ms, SPOKES + 3).await?;
    let (hub, rest) = all.split_at_checked(SPOKES + 1).ok_or("too few people")?;
    let mut hub = Hub::make(&api, hub, now_ms).await?;
    let mut pair = Pair::make(Some(&api), rest, now_ms).await?;
    let mut figures = Round::default();
    let progress = bar("rounds", u64::from(plan.rounds));
    for _ in 0..plan.rounds {
        let names = ("hop_p50_us", "hop_p99_us");
        hops(plan, (&server, &server), &mut pair, now_ms, (names, &mut figures)).await?;
        let names = ("between_p50_us", "between_p99_us");
        hops(plan, (&server, &far), &mut pair, now_ms, (names, &mut figures)).await?;
        queue(plan, &ground, &server, &mut hub, now_ms, &mut figures).await?;
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

impl Ground {
    fn settings(&self) -> Settings {
        vec![
            ("HUSHWIRE__DATABASE__URL", self.postgres.url()),
            ("HUSHWIRE__REDIS__URL", self.redis.url()),
            ("HUSHWIRE__REDIS__COPIES", self.copies.to_string()),
        ]
    }

    fn redis_cpu(&self) -> Result<Duration, String> {
        cpu_of(self.redis.process_id())
    }

    /// What Redis holds, in bytes.
    fn redis_bytes(&self) -> Result<u64, String> {
        let info = self.redis.command(&["INFO", "memory"]).map_err(|error| error.to_string())?;
        info.lines()
            .find_map(|line| line.strip_prefix("used_memory:"))
            .and_then(|value| value.trim().parse().ok())
            .ok_or_else(|| "Redis does not say what it holds".to_owned())
    }
}

/// One pair, both connected: who sent what goes to Redis, and no message of theirs does.
async fn hops(
    plan: &Plan,
    servers: (&Program, &Program),
    pair: &mut Pair,
    now_ms: u64,
    ((p50, p99), out): ((&'static str, &'static str), &mut Round),
) -> Result<(), String> {
    let messages = plan.hops + 50;
    let mut talk = Talk::between(servers, Subject::Server, pair, messages, now_ms).await?;
    talk.run(50).await?;
    let hops = talk.run(plan.hops).await?;
    out.add(p50, micros(hops.value_at_quantile(0.5)));
    out.add(p99, micros(hops.value_at_quantile(0.99)));
    Ok(())
}

/// Fills the queue of a device, and drains it.
async fn queue(
    plan: &Plan,
    ground: &Ground,
    server: &Program,
    hub: &mut Hub,
    now_ms: u64,
    out: &mut Round,
) -> Result<(), String> {
    let share = u64::from(plan.messages).div_ceil(hub.spokes.len() as u64);
    let share = usize::try_from(share).map_err(|error| error.to_string())?;
    let mut senders = hub.senders(server.address, share, now_ms).await?;
    let count = (share * senders.len()) as u64;
    let bytes = ground.redis_bytes()?;
    let (cpu, redis, start) = (server.cpu()?, ground.redis_cpu()?, Instant::now());
    send_all(&mut senders).await?;
    let time = start.elapsed();
    out.add("enqueue_rate", approximate(count) / time.as_secs_f64());
    out.add("enqueue_cpu_us", each(server.cpu()? - cpu, count));
    out.add("enqueue_redis_us", each(ground.redis_cpu()? - redis, count));
    let held = ground.redis_bytes()?.saturating_sub(bytes);
    out.add("queued_bytes", approximate(held) / approximate(count));
    out.add("upload_bytes", approximate(super::hub::bytes(&senders)) / approximate(count));
    let mut line = Line::open(server.address).await?;
    line.greet(&hub.to).await?;
    let (cpu, redis, start) = (server.cpu()?, ground.redis_cpu()?, Instant::now());
    drain(&mut line, &senders).await?;
    let time = start.elapsed();
    out.add("drain_rate", approximate(count) / time.as_secs_f64());
    out.add("drain_cpu_us", each(server.cpu()? - cpu, count));
    out.add("drain_redis_us", each(ground.redis_cpu()? - redis, count));
    Ok(())
}

fn table(plan: &Plan, figures: &Round) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ =
        writeln!(out, "| {:<55} | {:>30} |", "medians (lowest-highest)", "PostgreSQL and Redis");
    let _ = writeln!(out, "| {:<55} | {:>30} |", "---", "---:");
    for (key, title) in ROWS {
        let _ = writeln!(out, "| {title:<55} | {:>30} |", figures.spread(key).cell());
    }
    let _ = writeln!(
        out,
        "\n{} rounds; {} hops each; {} messages in the queue of one device from {SPOKES} senders; {} \
         copies;\nservers on core 0, generator on core 1, PostgreSQL and Redis where there is room.",
        plan.rounds, plan.hops, plan.messages, plan.copies,
    );
    out
}

fn json(plan: &Plan, figures: &Round) -> Value {
    let rows: serde_json::Map<String, Value> =
        ROWS.iter().map(|(key, _)| ((*key).to_owned(), figures.spread(key).json())).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "rounds": plan.rounds,
        "hops": plan.hops,
        "messages": plan.messages,
        "copies": plan.copies,
        "machine": machine(),
        "figures": rows,
    })
}
