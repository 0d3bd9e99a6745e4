//! A finding: what went wrong, the connection that did it if one alone repeats it, made as small
//! as leaving parts out makes it, and the command that plays it again.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::connection::{Outcome, play};
use crate::process::Server;
use crate::run::Plan;
use crate::script::{Opening, Script};
use crate::world::World;

/// How often a smaller connection is tried.
const TRIES: usize = 60;
/// Bytes of a part that a finding shows.
const SHOWN: usize = 512;
/// How long a panic may take to reach the log.
const SETTLE: Duration = Duration::from_millis(100);

/// What ended a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The run itself could not go on: no finding.
    Broken(String),
    /// One connection was answered what it must not be.
    Said { index: u64, opening: Opening, why: String },
    /// The process ended or panicked; the latest connections, newest first.
    Died { recent: Vec<u64>, why: String },
    /// Something that is no single connection's.
    Whole(String),
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    why: String,
    seed: u64,
    server: String,
    /// The connection that repeats it, with the parts that are enough, and its opening and bytes.
    culprit: Option<(u64, Vec<usize>, String)>,
}

impl Finding {
    /// The run could not be made.
    pub(crate) fn broken(why: String) -> Self {
        Self { why, seed: 0, server: String::new(), culprit: None }
    }

    /// Looks for the connection that repeats a fault by itself, against fresh servers.
    pub(crate) async fn look(plan: &Plan, seed: u64, fault: Fault) -> Self {
        let (suspects, why) = match fault {
            Fault::Broken(why) | Fault::Whole(why) => (Vec::new(), why),
            Fault::Said { index, opening, why } => {
                (vec![index], format!("connection {index}, which began {opening:?}: {why}"))
            }
            Fault::Died { recent, why } => (recent, why),
        };
        let server = plan.server.display().to_string();
        let culprit = smallest(&plan.server, seed, &suspects).await.ok().flatten();
        Self { why, seed, server, culprit }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "FOUND (seed {}): {}", self.seed, self.why)?;
        match &self.culprit {
            Some((index, keep, sent)) => {
                let keep: Vec<_> = keep.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "connection {index} repeats it alone, with the parts {}:\n{sent}again: \
                     hushwire-fuzz-live replay --server {} --seed {} --index {index} --keep {}",
                    keep.join(","),
                    self.server,
                    self.seed,
                    keep.join(",")
                )
            }
            None => write!(
                f,
                "no connection repeats it alone; again: hushwire-fuzz-live run --server {} --seed {}",
                self.server, self.seed
            ),
        }
    }
}

/// The first suspect that repeats a fault by itself, and the parts that are enough for it.
async fn smallest(
    binary: &Path,
    seed: u64,
    suspects: &[u64],
) -> Result<Option<(u64, Vec<usize>, String)>, String> {
    let mut stage = Stage::set(binary).await?;
    for &index in suspects {
        let whole = Script::make(seed, index, &stage.world);
        if stage.fails(&whole, index).await?.is_none() {
            continue;
        }
        let mut keep: Vec<usize> = (0..whole.parts.len()).collect();
        let mut tries = 0;
        let mut at = 0;
        while at < keep.len() && keep.len() > 1 && tries < TRIES {
            tries += 1;
            let mut fewer = keep.clone();
            fewer.remove(at);
            // The world may be another since the last fault.
            let script = Script::make(seed, index, &stage.world).only(&fewer);
            if stage.fails(&script, index).await?.is_some() {
                keep = fewer;
            } else {
                at += 1;
            }
        }
        let script = Script::make(seed, index, &stage.world).only(&keep);
        return Ok(Some((index, keep, sent(&script, SHOWN))));
    }
    Ok(None)
}

/// A server of its own, with people.
struct Stage<'a> {
    binary: &'a Path,
    server: Server,
    world: World,
}

impl<'a> Stage<'a> {
    async fn set(binary: &'a Path) -> Result<Self, String> {
        let server = Server::start(binary).await?;
        let (world, _) = World::make(server.address).await?;
        Ok(Self { binary, server, world })
    }

    /// What is wrong after this connection, if anything. A broken stage is set again.
    async fn fails(&mut self, script: &Script, index: u64) -> Result<Option<String>, String> {
        let outcome = play(script, &self.world, index).await;
        tokio::time::sleep(SETTLE).await;
        let died = match self.server.panic() {
            Some(panic) => Some(panic),
            None if self.server.is_running() => None,
            None => Some(format!("the server ended:\n{}", self.server.log())),
        };
        match (died, outcome) {
            (Some(why), _) => {
                *self = Self::set(self.binary).await?;
                Ok(Some(why))
            }
            (None, Outcome::Finding(why)) => Ok(Some(why)),
            (None, Outcome::Fine(_) | Outcome::Unopened(_)) => Ok(None),
        }
    }
}

/// The bytes of a connection, part by part, at most so many of each.
fn sent(script: &Script, most: usize) -> String {
    let mut out = format!(
        "  {:?}, then in pieces of {} (0: all at once), {:?}\n",
        script.opening, script.piece, script.ending
    );
    for part in &script.parts {
        out.push_str("  ");
        for byte in part.iter().take(most) {
            // Writing to a string cannot fail.
            let _ = write!(out, "{byte:02x}");
        }
        if part.len() > most {
            let _ = write!(out, " and so on: {} bytes, replay prints them", part.len());
        }
        out.push('\n');
    }
    out
}

/// Plays connection `index` of `seed` against a fresh server, with all its parts or those in
/// `keep`, and tells what was sent and how it went.
///
/// # Errors
/// If there is no such server.
pub async fn replay(
    binary: &Path,
    seed: u64,
    index: u64,
    keep: Option<&[usize]>,
) -> Result<(String, Result<(), String>), String> {
    let mut stage = Stage::set(binary).await?;
    let mut script = Script::make(seed, index, &stage.world);
    if let Some(keep) = keep {
        script = script.only(keep);
    }
    let said = sent(&script, usize::MAX);
    let outcome = stage.fails(&script, index).await?;
    Ok((said, outcome.map_or(Ok(()), Err)))
}
