//! The process: it leaves no core dump, lets nobody read its memory, and has as many open files
//! as the system allows, since each connection is one.
//!
//! It is done before anything secret is read. What the system did is read back and logged.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slog::{Logger, info, warn};

use crate::settings::Settings;

/// Files for everything but sockets: the database, listeners, the runtime, ordinary requests.
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
    if let Some(short) = shortage(files, settings.sockets.connections) {
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

/// Whether `files` (`None` for no limit) are enough for so many connections.
fn shortage(files: Option<u64>, connections: usize) -> Option<Shortage> {
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    let files = files.filter(|files| *files < needed)?;
    Some(Shortage { needed, possible: files.saturating_sub(OTHER_FILES) })
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
        assert_eq!(shortage(None, 50_000), None);
        assert_eq!(shortage(Some(50_256), 50_000), None);
        let short = Shortage { needed: 50_256, possible: 49_999 };
        assert_eq!(shortage(Some(50_255), 50_000), Some(short));
        assert_eq!(shortage(Some(20), 1), Some(Shortage { needed: 257, possible: 0 }));
    }
}
