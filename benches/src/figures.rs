//! The run: the server and the relay in turn, several rounds, the same generator for both.
//!
//! Bounded in everything: accounts, messages, rounds, and every single wait.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::{join_all, try_join_all};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hdrhistogram::Histogram;
use hushwire_e2ee::EpochState;
use hushwire_wire::frame::{Ack, ClientFrame, ClientOp, Send, ServerOp};
use hushwire_wire::{Encoding, RequestId};

use crate::line::{Line, name};
use crate::person::{Api, Person, random, seal_text};
use crate::program::{Program, is_pinned};
use crate::report::{Report, Sample, Subject};
use crate::stage::{approximate, bar, each, log_tail, micros, people, raise_nofile, start};

/// What is measured, and how much of it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Plan {
    /// The server's binary, a release build. Without it the relay is measured alone.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Idle signed-in devices.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    devices: u32,
    /// Messages of one pair, one after the other.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    messages: u32,
    /// Pairs that write at the same time, each one message after the other.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    pairs: u32,
    /// Rounds; the median of them is reported.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    rounds: u32,
    /// Where to write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// All pairs together write so many times the messages of one alone, since they are that fast.
pub(crate) const TOGETHER: u32 = 10;

/// Two people, of whom the first writes to the second.
pub(crate) struct Pair {
    from: Arc<Person>,
    to: Arc<Person>,
    keys: EpochState,
    sn: u64,
}

impl Pair {
    /// Makes contacts of the first two of `people`; without a server, in thought only.
    pub(crate) async fn make(
        api: Option<&Api>,
        people: &[Arc<Person>],
        now_ms: u64,
    ) -> Result<Self, String> {
        let [to, from, ..] = people else { return Err("a pair needs two people".to_owned()) };
        let keys = match api {
            Some(api) => api.befriend(to, from, now_ms).await?,
            None => from.first_epoch(to, RequestId(random()?), now_ms)?.state,
        };
        Ok(Self { from: from.clone(), to: to.clone(), keys, sn: 0 })
    }
}

/// Measures, prints a table and writes the JSON.
pub(crate) async fn run(plan: Plan) -> Result<(), String> {
    raise_nofile(u64::from(plan.devices) + 500)?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let measured = measure(&plan, &folder).await;
    measured.map_err(|error| format!("{error}\n{}", log_tail(folder.path())))
}

async fn measure(plan: &Plan, folder: &tempfile::TempDir) -> Result<(), String> {
    let Prepared { people, mut pairs, now_ms } = prepare(plan, folder.path()).await?;
    let mut report = Report::new(is_pinned(), plan.devices, plan.messages, plan.pairs);
    let subjects = if plan.server.is_some() {
        &[Subject::Server, Subject::Relay][..]
    } else {
        &[Subject::Relay]
    };
    let rounds = bar("rounds", u64::from(plan.rounds) * subjects.len() as u64);
    for _ in 0..plan.rounds {
        for &subject in subjects {
            let program = match (&plan.server, subject) {
                (Some(binary), Subject::Server) => start(binary, folder.path()).await?,
                _ => Program::relay()?,
            };
            let idle_kib = memory(&program, subject, &people).await?;
            let (latency, cpu_alone) =
                alone(&program, subject, &mut pairs, plan.messages, now_ms).await?;
            let each = (plan.messages * TOGETHER / plan.pairs).max(1);
            let (cpu_together, rate) =
                together(&program, subject, &mut pairs, each, now_ms).await?;
            report.add(
                subject,
                Sample {
                    idle_kib,
                    p50_us: micros(latency.value_at_quantile(0.5)),
                    p99_us: micros(latency.value_at_quantile(0.99)),
                    cpu_alone_us: cpu_alone,
                    cpu_together_us: cpu_together,
                    rate,
                },
            );
            rounds.inc(1);
        }
    }
    rounds.finish_and_clear();
    print!("{}", report.table());
    if let Some(path) = &plan.json {
        let text = serde_json::to_string_pretty(&report.json()).map_err(|e| e.to_string())?;
        std::fs::write(path, text + "\n").map_err(|e| format!("{}: {e}", path.display()))?;
        println!("written to {}", path.display());
    }
    Ok(())
}

/// Everybody who takes part.
struct Prepared {
    people: Vec<Arc<Person>>,
    pairs: Vec<Pair>,
    now_ms: u64,
}

/// Makes everybody and, at the server, registers them and makes the contacts: once, since later
/// rounds start from the same database.
async fn prepare(plan: &Plan, folder: &Path) -> Result<Prepared, String> {
    let server = match &plan.server {
        Some(binary) => Some(start(binary, folder).await?),
        None => None,
    };
    let (api, domain, now_ms) = match &server {
        Some(server) => {
            let api = Api::new(server.address)?;
            let card = api.card().await?;
            if card.message_interval_ms != 0 {
                return Err("the server keeps its 10-second rule, which must be off".to_owned());
            }
            (Some(api), card.domain, card.server_time)
        }
        None => (None, "relay.local".to_owned(), 1_795_000_000_000),
    };
    let count = usize::try_from(plan.devices.max(plan.pairs * 2)).map_err(|e| e.to_string())?;
    let people = people(api.as_ref(), &domain, now_ms, count).await?;
    let mut pairs = Vec::new();
    for two in people.chunks_exact(2).take(usize::try_from(plan.pairs).unwrap_or(0)) {
        pairs.push(Pair::make(api.as_ref(), two, now_ms).await?);
    }
    Ok(Prepared { people, pairs, now_ms })
}

/// A connection that is ready to be used.
async fn open(program: &Program, subject: Subject, person: &Person) -> Result<Line, String> {
    let mut line = Line::open(program.address).await?;
    match subject {
        Subject::Server => {
            line.sign_in(person).await?;
        }
        Subject::Relay => line.say_name(person).await?,
    }
    Ok(line)
}

/// KiB for each idle device: what the resident memory grew by, over their number.
async fn memory(
    program: &Program,
    subject: Subject,
    people: &[Arc<Person>],
) -> Result<f64, String> {
    // What the first connections of all allocate once is not a device's.
    let first = try_join_all(people.iter().take(20).map(|p| open(program, subject, p))).await?;
    drop(first);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = program.memory_kib()?;
    let lines: Vec<Line> = stream::iter(people)
        .map(|person| open(program, subject, person))
        .buffer_unordered(32)
        .try_collect()
        .await?;
    let count = lines.len();
    let idle: Vec<_> =
        lines.into_iter().map(|line| tokio::task::spawn_local(line.idle())).collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = program.memory_kib()?;
    if idle.iter().any(tokio::task::JoinHandle::is_finished) {
        return Err("an idle connection was closed".to_owned());
    }
    for task in &idle {
        task.abort();
    }
    join_all(idle).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let grown = after.saturating_sub(before);
    Ok(approximate(grown) / approximate(u64::try_from(count).unwrap_or(1)))
}

/// One pair, one message after the other: latency of the one hop, and CPU for each message.
async fn alone(
    program: &Program,
    subject: Subject,
    pairs: &mut [Pair],
    messages: u32,
    now_ms: u64,
) -> Result<(Histogram<u64>, f64), String> {
    let pair = pairs.first_mut().ok_or("no pair")?;
    let mut talk = Talk::open(program, subject, pair, messages + 50, now_ms).await?;
    talk.run(50).await?;
    let cpu = program.cpu()?;
    let latency = talk.run(messages).await?;
    Ok((latency, each(program.cpu()? - cpu, u64::from(messages))))
}

/// All pairs at once: CPU for each message, and messages a second.
async fn together(
    program: &Program,
    subject: Subject,
    pairs: &mut [Pair],
    messages: u32,
    now_ms: u64,
) -> Result<(f64, f64), String> {
    let mut talks = Vec::new();
    for pair in pairs.iter_mut() {
        talks.push(Talk::open(program, subject, pair, messages + 2, now_ms).await?);
    }
    try_join_all(talks.iter_mut().map(|talk| talk.run(2))).await?;
    let (cpu, start) = (program.cpu()?, Instant::now());
    let count = u64::from(messages) * u64::try_from(talks.len()).unwrap_or(1);
    try_join_all(talks.iter_mut().map(|talk| talk.run(messages))).await?;
    let (spent, time) = (program.cpu()? - cpu, start.elapsed());
    Ok((each(spent, count), approximate(count) / time.as_secs_f64()))
}

/// Both ends of a pair, and frames that were sealed beforehand.
pub(crate) struct Talk {
    subject: Subject,
    from: Line,
    to: Line,
    frames: std::vec::IntoIter<Vec<u8>>,
}

impl Talk {
    /// Connects both, and seals so many messages.
    pub(crate) async fn open(
        program: &Program,
        subject: Subject,
        pair: &mut Pair,
        messages: u32,
        now_ms: u64,
    ) -> Result<Self, String> {
        Self::between((program, program), subject, pair, messages, now_ms).await
    }

    /// The same, the sender at the first program and the recipient at the second.
    pub(crate) async fn between(
        (near, far): (&Program, &Program),
        subject: Subject,
        pair: &mut Pair,
        messages: u32,
        now_ms: u64,
    ) -> Result<Self, String> {
        let to = open(far, subject, &pair.to).await?;
        let from = open(near, subject, &pair.from).await?;
        let mut frames = Vec::new();
        for _ in 0..messages {
            pair.sn += 1;
            let upload = seal_text(&mut pair.keys, now_ms)?.into();
            let send =
                Send { to: pair.to.user(), sn: pair.sn, upload, withdraw: Vec::new(), re: None };
            let frame = ClientFrame { id: Some(pair.sn), op: ClientOp::Send(send) };
            frames.push(Encoding::Cbor.encode_client(&frame));
        }
        Ok(Self { subject, from, to, frames: frames.into_iter() })
    }

    /// Sends `messages`, each after the one before is confirmed: at the server by `accepted`
    /// after the recipient's ack, at the relay by its arrival.
    pub(crate) async fn run(&mut self, messages: u32) -> Result<Histogram<u64>, String> {
        let mut latency = Histogram::new(3).map_err(|error| error.to_string())?;
        for _ in 0..messages {
            let frame = self.frames.next().ok_or("no frame is left")?;
            let start = Instant::now();
            self.from.send_encoded(frame).await?;
            let n = loop {
                match self.to.next().await?.op {
                    ServerOp::Message(message) => break message.n,
                    ServerOp::Event(_) | ServerOp::Notice(_) => {}
                    other => return Err(format!("the recipient got {}", name(&other))),
                }
            };
            let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            latency.record(nanos).map_err(|error| error.to_string())?;
            if self.subject == Subject::Relay {
                continue;
            }
            let ack = ClientOp::Ack(Ack { n, failed: Vec::new() });
            self.to.send(&ClientFrame { id: None, op: ack }).await?;
            loop {
                match self.from.next().await?.op {
                    ServerOp::Accepted(accepted) if accepted.delivered.len() == 1 => break,
                    ServerOp::Accepted(_) => return Err("accepted, but not delivered".to_owned()),
                    ServerOp::Event(_) => {}
                    other => return Err(format!("the sender got {}", name(&other))),
                }
            }
        }
        Ok(latency)
    }
}
