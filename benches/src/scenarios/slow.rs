//! Slow reader: a device that stops reading while its contacts write to it for half a minute.
//!
//! What the server holds then is what waits in the device's queue, which is counted apart by a
//! control in a fresh process: the same messages to the same device while it is away. Beside it a
//! pair talks, before and meanwhile.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;

use super::hub::{Hub, Sender, bytes, drain, send_all};
use super::{Round, Stage};
use crate::figures::{Pair, Talk};
use crate::line::Line;
use crate::program::Program;
use crate::report::Subject;
use crate::stage::{approximate, micros};

/// Messages of each sender: all together stay within the device's quota of 5,000.
const EACH: u32 = 500;
/// Messages that the bystanders exchange before, and how many a second, then and meanwhile.
const BEFORE: u32 = 100;
const A_SECOND: u32 = 20;

/// One round: the control, then the slow reader.
pub(super) async fn round(
    stage: &Stage<'_>,
    hub: &mut Hub,
    pair: &mut Pair,
    seconds: u32,
    out: &mut Round,
) -> Result<(), String> {
    let control = away(stage, hub).await?;
    let program = stage.start().await?;
    let meanwhile = seconds * A_SECOND;
    let mut talk =
        Talk::open(&program, Subject::Server, pair, BEFORE + meanwhile, stage.now_ms).await?;
    let mut senders = hub.senders(program.address, EACH as usize, stage.now_ms).await?;
    let mut slow = Line::open_narrow(program.address).await?;
    slow.sign_in(&hub.to).await?;
    let (before, _) = beside(&program, &mut talk, BEFORE).await?;
    let memory = program.memory_kib()?;
    let pace = Duration::from_secs(u64::from(seconds)) / EACH;
    let flood = try_join_all(senders.iter_mut().map(|sender| paced(sender, pace)));
    let (_, (hops, most)) = tokio::try_join!(flood, beside(&program, &mut talk, meanwhile))?;
    let during = most.max(program.memory_kib()?);
    // It comes back as a client does whose connection broke, and takes everything.
    drop(slow);
    let mut line = Line::open(program.address).await?;
    line.greet(&hub.to).await?;
    drain(&mut line, &senders).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = program.memory_kib()?;
    let grown = approximate(during) - approximate(memory);
    out.add("slow_queued_kib", approximate(bytes(&senders)) / 1_024.0);
    out.add("slow_grown_kib", grown);
    out.add("slow_control_kib", control);
    out.add("slow_more_kib", grown - control);
    out.add("slow_after_kib", approximate(after) - approximate(memory));
    for (name, hops, quantile) in [
        ("slow_before_p50_us", &before, 0.5),
        ("slow_before_p99_us", &before, 0.99),
        ("slow_during_p50_us", &hops, 0.5),
        ("slow_during_p99_us", &hops, 0.99),
    ] {
        out.add(name, micros(hops.value_at_quantile(quantile)));
    }
    Ok(())
}

/// The bystanders' messages at their pace: their hops, and the server's memory at most, in KiB.
async fn beside(
    program: &Program,
    talk: &mut Talk,
    messages: u32,
) -> Result<(Histogram<u64>, u64), String> {
    let mut hops = Histogram::new(3).map_err(|error| error.to_string())?;
    let mut most = 0;
    for _ in 0..messages {
        let until = Instant::now() + Duration::from_secs(1) / A_SECOND;
        hops.add(talk.run(1).await?).map_err(|error| error.to_string())?;
        most = program.memory_kib()?.max(most);
        tokio::time::sleep_until(until.into()).await;
    }
    Ok((hops, most))
}

/// KiB by which the server grows when the same messages wait for a device that is away.
async fn away(stage: &Stage<'_>, hub: &mut Hub) -> Result<f64, String> {
    let program: Program = stage.start().await?;
    let mut senders = hub.senders(program.address, EACH as usize, stage.now_ms).await?;
    let before = program.memory_kib()?;
    send_all(&mut senders).await?;
    Ok(approximate(program.memory_kib()?) - approximate(before))
}

/// Sends everything, not faster than one each `pace`.
async fn paced(sender: &mut Sender, pace: Duration) -> Result<(), String> {
    let mut next = Instant::now();
    while sender.send().await? {
        next += pace;
        tokio::time::sleep_until(next.into()).await;
    }
    Ok(())
}
