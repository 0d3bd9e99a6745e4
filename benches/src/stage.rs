//! What every measurement stands on: a server that answers, people at it, bars, open files, and
//! the arithmetic of figures.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::person::{Api, Person};
use crate::program::{Program, Settings};

/// Starts the server and waits until it answers.
pub(crate) async fn start(binary: &Path, folder: &Path) -> Result<Program, String> {
    start_with(binary, folder, &Vec::new()).await
}

/// The same with more settings.
pub(crate) async fn start_with(
    binary: &Path,
    folder: &Path,
    more: &Settings,
) -> Result<Program, String> {
    let mut program = Program::server(binary, folder, more)?;
    let api = Api::new(program.address)?;
    for _ in 0..200 {
        if api.card().await.is_ok() {
            return Ok(program);
        }
        if !program.is_running() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("the server does not answer".to_owned())
}

/// The end of the server's log, for a failure's report.
pub(crate) fn log_tail(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let tail = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default();
    if tail.is_empty() { String::new() } else { format!("the server's log:\n{}", tail.join("\n")) }
}

/// Makes `count` people and, with an `api`, registers them.
pub(crate) async fn people(
    api: Option<&Api>,
    domain: &str,
    now_ms: u64,
    count: usize,
) -> Result<Vec<Arc<Person>>, String> {
    let progress = bar("accounts", count as u64);
    let people: Vec<Arc<Person>> = stream::iter(0..count)
        .map(|number| {
            let progress = progress.clone();
            async move {
                let person = Person::new(domain, number, now_ms)?;
                if let Some(api) = api {
                    api.register(&person).await?;
                }
                progress.inc(1);
                Ok::<_, String>(Arc::new(person))
            }
        })
        .buffer_unordered(8)
        .try_collect()
        .await?;
    progress.finish_and_clear();
    Ok(people)
}

/// Microseconds for each of `count`.
pub(crate) fn each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / approximate(count)
}

pub(crate) fn micros(nanos: u64) -> f64 {
    approximate(nanos) / 1e3
}

/// Figures are medians of noisy measurements: 53 bits are plenty.
#[expect(clippy::cast_precision_loss, reason = "figures below 2^53")]
pub(crate) fn approximate(value: u64) -> f64 {
    value as f64
}

pub(crate) fn bar(what: &'static str, count: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {pos}/{len} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(count).with_style(style).with_prefix(what)
}

/// One socket for each device, here and, since children inherit it, in the programs.
pub(crate) fn raise_nofile(needed: u64) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if limit.maximum.is_none_or(|maximum| maximum >= needed) {
        let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
        return setrlimit(Resource::Nofile, raised).map_err(|e| format!("open files: {e}"));
    }
    Err(format!(
        "{needed} open files are needed, at most {} are allowed: raise the hard limit (ulimit -Hn \
         {needed}) or pass fewer --devices",
        limit.maximum.unwrap_or_default()
    ))
}
