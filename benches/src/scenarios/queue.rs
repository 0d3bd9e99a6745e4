//! Queue: messages for a device that is away, and what it costs to drain them.

use std::time::Instant;

use super::hub::{Hub, drain, send_all};
use super::{Round, Stage};
use crate::line::Line;
use crate::stage::{approximate, each};

/// Enqueues and drains once, in a fresh process.
pub(super) async fn round(
    stage: &Stage<'_>,
    hub: &mut Hub,
    messages: u32,
    out: &mut Round,
) -> Result<(), String> {
    let program = stage.start().await?;
    let count = u64::from(messages);
    let share = count.div_ceil(hub.spokes.len() as u64);
    let share = usize::try_from(share).map_err(|e| e.to_string())?;
    let mut senders = hub.senders(program.address, share, stage.now_ms).await?;
    let count = (share * senders.len()) as u64;
    let (cpu, start) = (program.cpu()?, Instant::now());
    send_all(&mut senders).await?;
    let (spent, time) = (program.cpu()? - cpu, start.elapsed());
    out.add("enqueue_rate", approximate(count) / time.as_secs_f64());
    out.add("enqueue_cpu_us", each(spent, count));
    let mut line = Line::open(program.address).await?;
    line.greet(&hub.to).await?;
    let (cpu, start) = (program.cpu()?, Instant::now());
    drain(&mut line, &senders).await?;
    let (spent, time) = (program.cpu()? - cpu, start.elapsed());
    out.add("drain_rate", approximate(count) / time.as_secs_f64());
    out.add("drain_cpu_us", each(spent, count));
    Ok(())
}
