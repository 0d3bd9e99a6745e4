//! Reconnect storm: all devices lose their connections at once, and all come back at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;

use super::{Round, Stage};
use crate::line::Line;
use crate::person::Person;
use crate::stage::{approximate, each};

/// Everybody signs in, is cut, and signs in again at the same moment.
pub(super) async fn round(
    stage: &Stage<'_>,
    people: &[Arc<Person>],
    out: &mut Round,
) -> Result<(), String> {
    let program = stage.start().await?;
    drop(all(&program, people).await?);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (cpu, start) = (program.cpu()?, Instant::now());
    let lines = all(&program, people).await?;
    let (spent, time) = (program.cpu()? - cpu, start.elapsed());
    let mut welcome = Histogram::<u64>::new(3).map_err(|error| error.to_string())?;
    for (_, waited) in &lines {
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        welcome.record(micros).map_err(|error| error.to_string())?;
    }
    let count = people.len() as u64;
    out.add("storm_rate", approximate(count) / time.as_secs_f64());
    out.add("storm_cpu_us", each(spent, count));
    out.add("storm_p50_ms", approximate(welcome.value_at_quantile(0.5)) / 1e3);
    out.add("storm_p99_ms", approximate(welcome.value_at_quantile(0.99)) / 1e3);
    Ok(())
}

/// All at once: connections, and how long each waited for its welcome.
async fn all(
    program: &crate::program::Program,
    people: &[Arc<Person>],
) -> Result<Vec<(Line, Duration)>, String> {
    let address = program.address;
    try_join_all(people.iter().map(|person| async move {
        let start = Instant::now();
        let mut line = Line::open(address).await?;
        line.greet(person).await?;
        Ok((line, start.elapsed()))
    }))
    .await
}
