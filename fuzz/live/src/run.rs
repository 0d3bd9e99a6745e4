//! The run: connections by the dozen, the bystanders, and a watch over the process.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::bystander;
use crate::connection::{Outcome, play};
use crate::finding::{Fault, Finding};
use crate::oracle::Heard;
use crate::process::Server;
use crate::report::Report;
use crate::script::{Opening, Script};
use crate::world::World;

/// The process is looked at so often.
const WATCH: Duration = Duration::from_millis(200);
/// How long memory, files and the last connections have to come to rest.
const REST: Duration = Duration::from_secs(20);
/// What a sign-in leaves behind for an hour: its token, with the tables' own room, in bytes.
const TOKEN_BYTES: u64 = 320;
/// Open files that may differ at the end: a connection to the database, a log.
const FILES_MORE: usize = 4;

/// What is done, and what must hold.
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// The server's binary.
    #[arg(long, default_value = "target/debug/hushwire")]
    pub server: PathBuf,
    /// Requests and frames to send.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: u64,
    /// What everything is made from. Drawn anew if not given.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Connections at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub connections: u32,
    /// MiB by which the server's resident memory may grow after the warm-up (the first fifth),
    /// beside 320 bytes for each sign-in, whose token lives for an hour.
    #[arg(long, default_value_t = 32)]
    pub grow_mib: u64,
    /// Milliseconds that 99 of 100 hops between the bystanders may take at most.
    #[arg(long, default_value_t = 2_000)]
    pub p99_ms: u64,
}

/// What the connections share.
pub(crate) struct Shared {
    seed: u64,
    count: u64,
    world: World,
    next: AtomicU64,
    inputs: AtomicU64,
    signed_in: AtomicU64,
    unopened: AtomicU64,
    over: AtomicBool,
    heard: Mutex<Heard>,
    /// The latest connections' numbers, at most [`RECENT`]: who may have been the fault of it.
    recent: Mutex<VecDeque<u64>>,
    fault: Mutex<Option<Fault>>,
    bar: ProgressBar,
}

/// Numbers that are remembered.
const RECENT: usize = 4_096;

impl Shared {
    fn new(seed: u64, count: u64, world: World, bar: ProgressBar) -> Self {
        Self {
            seed,
            count,
            world,
            next: AtomicU64::new(0),
            inputs: AtomicU64::new(0),
            signed_in: AtomicU64::new(0),
            unopened: AtomicU64::new(0),
            over: AtomicBool::new(false),
            heard: Mutex::default(),
            recent: Mutex::default(),
            fault: Mutex::default(),
            bar,
        }
    }

    fn inputs(&self) -> u64 {
        self.inputs.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.inputs() >= self.count
    }

    /// The first fault is reported, and ends the run.
    fn fail(&self, fault: Fault) {
        lock(&self.fault).get_or_insert(fault);
        self.over.store(true, Ordering::Relaxed);
    }

    /// Plays one connection after the other.
    async fn play(self: Arc<Self>) {
        while !self.is_over() {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            {
                let mut recent = lock(&self.recent);
                if recent.len() == RECENT {
                    recent.pop_front();
                }
                recent.push_back(index);
            }
            let script = Script::make(self.seed, index, &self.world);
            if matches!(script.opening, Opening::SignedIn(..)) {
                self.signed_in.fetch_add(1, Ordering::Relaxed);
            }
            match play(&script, &self.world, index).await {
                Outcome::Fine(heard) => lock(&self.heard).add(heard),
                Outcome::Unopened(_) => drop(self.unopened.fetch_add(1, Ordering::Relaxed)),
                Outcome::Finding(why) => {
                    self.fail(Fault::Said { index, opening: script.opening, why });
                }
            }
            let sent = u64::try_from(script.parts.len()).unwrap_or(0);
            self.inputs.fetch_add(sent, Ordering::Relaxed);
            self.bar.inc(sent);
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the plan.
///
/// # Errors
/// With the first finding, made small where one connection alone repeats it.
pub async fn run(plan: &Plan) -> Result<Report, Finding> {
    let seed = match plan.seed {
        Some(seed) => seed,
        // Short enough to be typed.
        None => crate::world::random::<4>()
            .map(|bytes| u64::from(u32::from_be_bytes(bytes)))
            .map_err(Finding::broken)?,
    };
    let bar = bar(plan.count, seed);
    let outcome = attack(plan, seed, &bar).await;
    bar.finish_and_clear();
    match outcome {
        Ok(report) => Ok(report),
        Err(fault) => Err(Finding::look(plan, seed, fault).await),
    }
}

async fn attack(plan: &Plan, seed: u64, bar: &ProgressBar) -> Result<Report, Fault> {
    let mut server = Server::start(&plan.server).await.map_err(Fault::Broken)?;
    let (world, bystanders) = World::make(server.address).await.map_err(Fault::Broken)?;
    let (address, now_ms) = (world.address, world.now_ms);
    let shared = Arc::new(Shared::new(seed, plan.count, world, bar.clone()));
    let (end, over) = watch::channel(false);
    let talk = tokio::spawn(bystander::talk(address, bystanders, now_ms, over));
    // What the pair and the preparation opened is there before and after.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let files = server.files().map_err(Fault::Broken)?;
    let start = Instant::now();
    let mut connections = JoinSet::new();
    for _ in 0..plan.connections {
        connections.spawn(shared.clone().play());
    }
    let mut memory = Memory::default();
    while !connections.is_empty() {
        let done = tokio::time::timeout(WATCH, connections.join_next()).await;
        if done.is_err() {
            look(&mut server, &shared)?;
            memory.take(&server, &shared)?;
            if talk.is_finished() {
                shared.over.store(true, Ordering::Relaxed);
            }
        }
    }
    let took = start.elapsed();
    if let Some(fault) = lock(&shared.fault).take() {
        return Err(fault);
    }
    // A panic that nobody was answered for.
    look(&mut server, &shared)?;
    let files_after = rest(&server, files).await?;
    let _ = end.send(true);
    let seen = talk
        .await
        .map_err(|error| Fault::Broken(error.to_string()))?
        .map_err(|why| Fault::Whole(format!("the bystanders: {why}")))?;
    look(&mut server, &shared)?;
    let memory_kib = memory.judge(plan, &server, &shared)?;
    let hop = |quantile| seen.hop_us.value_at_quantile(quantile);
    if hop(0.99) > plan.p99_ms * 1_000 {
        let why = format!("99 of 100 hops of the bystanders took up to {} us", hop(0.99));
        return Err(Fault::Whole(why));
    }
    let connections = shared.next.load(Ordering::Relaxed);
    let unopened = shared.unopened.load(Ordering::Relaxed);
    if unopened * 2 > connections {
        let why = format!("{unopened} of {connections} connections could not be opened");
        return Err(Fault::Whole(why));
    }
    Ok(Report {
        seed,
        connections,
        inputs: shared.inputs(),
        took,
        unopened,
        messages: seen.hop_us.len(),
        hop_p50_us: hop(0.5),
        hop_p99_us: hop(0.99),
        memory_kib,
        files: [files, files_after],
        heard: *lock(&shared.heard),
    })
}

/// Whether the process lives and nothing in it panicked.
fn look(server: &mut Server, shared: &Shared) -> Result<(), Fault> {
    let why = match server.panic() {
        Some(panic) => panic,
        None if server.is_running() => return Ok(()),
        None => format!("the server ended:\n{}", server.log()),
    };
    let recent = lock(&shared.recent).iter().rev().copied().collect();
    Err(Fault::Died { recent, why })
}

/// Waits until the files are back.
async fn rest(server: &Server, before: usize) -> Result<usize, Fault> {
    let until = Instant::now() + REST;
    loop {
        let now = server.files().map_err(Fault::Broken)?;
        if now <= before + FILES_MORE {
            return Ok(now);
        }
        if Instant::now() > until {
            let why = format!("{before} files were open before, and {now} long after");
            return Err(Fault::Whole(why));
        }
        tokio::time::sleep(WATCH).await;
    }
}

/// The server's resident memory over the run, in KiB.
#[derive(Debug, Default)]
struct Memory {
    /// After the warm-up, and how many had signed in by then.
    warm: Option<(u64, u64)>,
    most: u64,
}

impl Memory {
    fn take(&mut self, server: &Server, shared: &Shared) -> Result<(), Fault> {
        let now = server.memory_kib().map_err(Fault::Broken)?;
        self.most = self.most.max(now);
        shared.bar.set_message(format!(
            "seed {}, {} connections, {} MiB",
            shared.seed,
            shared.next.load(Ordering::Relaxed),
            now / 1_024
        ));
        if shared.inputs() * 5 >= shared.count {
            let signed_in = shared.signed_in.load(Ordering::Relaxed);
            self.warm.get_or_insert((now, signed_in));
        }
        Ok(())
    }

    fn judge(&self, plan: &Plan, server: &Server, shared: &Shared) -> Result<[u64; 3], Fault> {
        let end = server.memory_kib().map_err(Fault::Broken)?;
        let signed_in = shared.signed_in.load(Ordering::Relaxed);
        let (warm, by_then) = self.warm.unwrap_or((end, signed_in));
        let tokens = (signed_in - by_then) * TOKEN_BYTES / 1_024;
        if end > warm + plan.grow_mib * 1_024 + tokens {
            let why = format!(
                "{warm} KiB were resident after the warm-up, and {end} at the end; {} and {tokens} \
                 for tokens may be added",
                plan.grow_mib * 1_024
            );
            return Err(Fault::Whole(why));
        }
        Ok([warm, self.most.max(end), end])
    }
}

fn bar(count: u64, seed: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "[{bar:30}] {human_pos}/{human_len} inputs, {per_sec}, {eta} left; {msg}",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(count).with_style(style).with_message(format!("seed {seed}"))
}
