//! Two nodes over one PostgreSQL and one Redis, all on this machine: what the way between nodes
//! adds to a hop, and what a queue in Redis costs.

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
const ROWS: [(&str, &str); 13] = [
    ("hop_here_p50_us", "one hop, both on one node, p50, us"),
    ("hop_here_p99_us", "one hop, both on one node, p99, us"),
    ("hop_between_p50_us", "one hop, from node to node, p50, us"),
    ("hop_between_p99_us", "one hop, from node to node, p99, us"),
    ("hop_added_us", "what the way between nodes adds, p50, us"),
    ("enqueue_rate", "queue: enqueued a second"),
    ("enqueue_cpu_us", "queue: server CPU of an enqueued message, us"),
    ("enqueue_redis_us", "queue: Redis CPU of an enqueued message, us"),
    ("queued_bytes", "queue: Redis memory of a queued message, bytes"),
    ("upload_bytes", "queue: its upload, bytes"),
    ("drain_rate", "queue: drained a second"),
    ("drain_cpu_us", "queue: server CPU of a drained message, us"),
    ("drain_redis_us", "queue: Redis CPU of a drained message, us"),
];

/// What the nodes stand on.
struct Ground {
    postgres: Postgres,
    redis: Redis,
    replica: Option<Redis>,
    copies: u32,
}

/// Measures, prints a table and writes the JSON.
pub(crate) async fn run(plan: Plan) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let measured = measure(&plan, folder.path()).await;
    measured.map_err(|error| format!("{error}\n{}", log_tail(&folder.path().join("a"))))
}

async fn measure(plan: &Plan, folder: &Path) -> Result<(), String> {
    let redis = Redis::start_with(&[("maxmemory", "1gb")]);
    let replica = (plan.copies > 1).then(|| redis.replica(&[]));
    let ground = Ground { postgres: Postgres::start(), redis, replica, copies: plan.copies };
    let (a, b) = ground.nodes(&plan.server, folder).await?;
    let api = Api::new(a.address)?;
    let card = api.card().await?;
    let now_ms = card.server_time;
    let all = people(Some(&api), &card.domain, now_ms, SPOKES + 3).await?;
    let (hub, rest) = all.split_at_checked(SPOKES + 1).ok_or("too few people")?;
    let mut hub = Hub::make(&api, hub, now_ms).await?;
    let mut pair = Pair::make(Some(&api), rest, now_ms).await?;
    let mut figures = Round::default();
    let progress = bar("rounds", u64::from(plan.rounds));
    for _ in 0..plan.rounds {
        hops(plan, (&a, &b), &mut pair, now_ms, &mut figures).await?;
        queue(plan, &ground, (&a, &b), &mut hub, now_ms, &mut figures).await?;
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
    async fn nodes(&self, binary: &Path, folder: &Path) -> Result<(Program, Program), String> {
        let settings: Settings = vec![
            ("HUSHWIRE__DATABASE__URL", self.postgres.url()),
            ("HUSHWIRE__REDIS__URL", self.redis.url()),
            ("HUSHWIRE__REDIS__COPIES", self.copies.to_string()),
            ("HUSHWIRE__REDIS__REPLICAS", self.replicas()),
        ];
        let mut nodes = Vec::new();
        for name in ["a", "b"] {
            let folder = folder.join(name);
            std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
            nodes.push(start_with(binary, &folder, &settings).await?);
        }
        let b = nodes.pop().ok_or("no second node")?;
        Ok((nodes.pop().ok_or("no first node")?, b))
    }

    fn replicas(&self) -> String {
        self.replica.iter().map(|redis| format!("127.0.0.1:{}", redis.port())).collect()
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

/// One pair on one node, then over both.
async fn hops(
    plan: &Plan,
    (a, b): (&Program, &Program),
    pair: &mut Pair,
    now_ms: u64,
    out: &mut Round,
) -> Result<(), String> {
    let mut here = Talk::open(a, Subject::Server, pair, plan.hops + 50, now_ms).await?;
    here.run(50).await?;
    let near = here.run(plan.hops).await?;
    drop(here);
    let mut between = Talk::between((a, b), Subject::Server, pair, plan.hops + 50, now_ms).await?;
    between.run(50).await?;
    let far = between.run(plan.hops).await?;
    for (hop, p50, p99) in [
        (&near, "hop_here_p50_us", "hop_here_p99_us"),
        (&far, "hop_between_p50_us", "hop_between_p99_us"),
    ] {
        out.add(p50, micros(hop.value_at_quantile(0.5)));
        out.add(p99, micros(hop.value_at_quantile(0.99)));
    }
    let median = |hop: &hdrhistogram::Histogram<u64>| micros(hop.value_at_quantile(0.5));
    out.add("hop_added_us", median(&far) - median(&near));
    Ok(())
}

/// Fills the queue of a device through one node, and drains it through the other.
async fn queue(
    plan: &Plan,
    ground: &Ground,
    (a, b): (&Program, &Program),
    hub: &mut Hub,
    now_ms: u64,
    out: &mut Round,
) -> Result<(), String> {
    let share = u64::from(plan.messages).div_ceil(hub.spokes.len() as u64);
    let share = usize::try_from(share).map_err(|error| error.to_string())?;
    let mut senders = hub.senders(a.address, share, now_ms).await?;
    let count = (share * senders.len()) as u64;
    let bytes = ground.redis_bytes()?;
    let (cpu, redis, start) = (a.cpu()?, ground.redis_cpu()?, Instant::now());
    send_all(&mut senders).await?;
    let time = start.elapsed();
    out.add("enqueue_rate", approximate(count) / time.as_secs_f64());
    out.add("enqueue_cpu_us", each(a.cpu()? - cpu, count));
    out.add("enqueue_redis_us", each(ground.redis_cpu()? - redis, count));
    let held = ground.redis_bytes()?.saturating_sub(bytes);
    out.add("queued_bytes", approximate(held) / approximate(count));
    out.add("upload_bytes", approximate(super::hub::bytes(&senders)) / approximate(count));
    let mut line = Line::open(b.address).await?;
    line.greet(&hub.to).await?;
    let (cpu, redis, start) = (b.cpu()?, ground.redis_cpu()?, Instant::now());
    drain(&mut line, &senders).await?;
    let time = start.elapsed();
    out.add("drain_rate", approximate(count) / time.as_secs_f64());
    out.add("drain_cpu_us", each(b.cpu()? - cpu, count));
    out.add("drain_redis_us", each(ground.redis_cpu()? - redis, count));
    Ok(())
}

fn table(plan: &Plan, figures: &Round) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "| {:<55} | {:>30} |", "medians (lowest-highest)", "two nodes");
    let _ = writeln!(out, "| {:<55} | {:>30} |", "---", "---:");
    for (key, title) in ROWS {
        let _ = writeln!(out, "| {title:<55} | {:>30} |", figures.spread(key).cell());
    }
    let _ = writeln!(
        out,
        "\n{} rounds; {} hops; {} messages in the queue of one device from {SPOKES} senders, filled \
         at one\nnode and drained at the other; {} copies; two nodes, PostgreSQL, Redis and the \
         generator share\nthis machine's cores.",
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
