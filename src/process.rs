//! The process: it leaves no core dump, lets nobody read its memory, and has as many open files
//! as the system allows, since each connection is one.
//!
//! It is done before anything secret is read. What the system did is read back and logged.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slog::{Logger, info, warn};

use crate::settings::Settings;

/// Files for everything but connections: the database, listeners, the runtime.
const OTHER_FILES: u64 = 256;

/// Takes the rights away that the process does not need.
pub(crate) fn harden(settings: &Settings) {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // What the system forbids shows in what is read back.
    let _ = setrlimit(Resource::Core, none);
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    #[cfg(target_os = "linux")]
    if !settings.server.inspectable {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// Logs what is in force, and warns of what is not as it should be.
pub(crate) fn report(settings: &Settings, log: &Logger) {
    let files = getrlimit(Resource::Nofile).current;
    let cores = getrlimit(Resource::Core).current != Some(0);
    let inspectable = is_inspectable();
    info!(log, "process"; "files" => files, "core_dumps" => cores, "inspectable" => inspectable);
    if cores {
        warn!(log, "core dumps cannot be switched off: set LimitCORE=0 in the unit");
    }
    if inspectable && !settings.server.inspectable {
        warn!(
            log,
            "other processes of this user can read this one's memory: run it as a user of its own"
        );
    }
    if let Some(short) = shortage(files, settings.sockets.connections, requests(settings)) {
        warn!(log, "too few open files for sockets.connections: set LimitNOFILE in the unit (or \
            ulimit -n) to what is needed, or sockets.connections to what is possible";
            "files" => files, "needed" => short.needed, "possible" => short.possible);
    }
}

/// Too few files.
#[derive(Debug, PartialEq, Eq)]
struct Shortage {
    needed: u64,
    /// Connections that the files are enough for.
    possible: u64,
}

/// Connections of ordinary requests that all workers together may hold.
fn requests(settings: &Settings) -> usize {
    settings.workers().saturating_mul(settings.http.connections_per_worker)
}

/// Whether `files` (`None` for no limit) are enough for so many WebSocket connections, and for
/// so many of ordinary requests beside them.
fn shortage(files: Option<u64>, connections: usize, requests: usize) -> Option<Shortage> {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let other = count(requests).saturating_add(OTHER_FILES);
    let needed = count(connections).saturating_add(other);
    let files = files.filter(|files| *files < needed)?;
    Some(Shortage { needed, possible: files.saturating_sub(other) })
}

#[cfg(target_os = "linux")]
fn is_inspectable() -> bool {
    use rustix::process::{DumpableBehavior, dumpable_behavior};
    dumpable_behavior().is_ok_and(|behavior| behavior == DumpableBehavior::Dumpable)
}

#[cfg(not(target_os = "linux"))]
fn is_inspectable() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_needs_a_file() {
        assert_eq!(shortage(None, 50_000, 8_192), None);
        assert_eq!(shortage(Some(58_448), 50_000, 8_192), None);
        let short = Shortage { needed: 58_448, possible: 49_999 };
        assert_eq!(shortage(Some(58_447), 50_000, 8_192), Some(short));
        assert_eq!(shortage(Some(20), 1, 1), Some(Shortage { needed: 258, possible: 0 }));
    }
}
