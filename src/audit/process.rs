//! The process, as the kernel has it: no core dump, no memory for others, no file written but the
//! database and the log.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Line, Sought};
use crate::settings::Settings;

const PART: &str = "process";
const FILES: &str = "files";

pub(super) fn look(settings: &Settings, sought: &Sought) -> Vec<Line> {
    let pid = match sought.pid.map_or_else(|| listening(settings), Some) {
        Some(pid) => pid,
        None => {
            let what = "the server";
            let found = "nobody listens at admin.listen: start it, or name it with --pid";
            return vec![Line::fails(PART, what, found)];
        }
    };
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let mut lines = vec![cores(&folder), memory(&folder)];
    lines.extend(files(&folder, settings, sought));
    lines
}

fn unseen(part: &'static str, what: &str, error: &io::Error) -> Line {
    Line::fails(part, what, format!("cannot be seen ({error}): run the audit as root"))
}

/// Whether it may leave a core dump.
fn cores(folder: &Path) -> Line {
    let what = "core dumps";
    match fs::read_to_string(folder.join("limits")) {
        Err(error) => unseen(PART, what, &error),
        Ok(limits) => {
            let words = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
            let hard = words.and_then(|words| words.split_whitespace().nth(1));
            if hard == Some("0") {
                Line::holds(PART, what, "off, for good")
            } else {
                Line::fails(PART, what, "are possible: set LimitCORE=0 in the unit")
            }
        }
    }
}

/// Whether processes of the same user may read its memory.
fn memory(folder: &Path) -> Line {
    use std::os::unix::fs::MetadataExt as _;
    let what = "its memory";
    let user = fs::read_to_string(folder.join("status")).map(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        line.and_then(|uids| uids.split_whitespace().next()?.parse::<u32>().ok())
    });
    // Of a process that cannot be dumped, the kernel's files are root's.
    match (user, fs::metadata(folder.join("environ")).map(|file| file.uid())) {
        (Err(error), _) | (_, Err(error)) => unseen(PART, what, &error),
        (Ok(Some(0)), _) => {
            let found = "not to be told of a process of root: give it a user of its own";
            Line::skipped(PART, what, found)
        }
        (Ok(Some(user)), Ok(owner)) if owner != user => {
            Line::holds(PART, what, "not for other processes of its user")
        }
        _ => Line::fails(PART, what, "other processes of its user read it: server.inspectable"),
    }
}

/// What it has open.
fn files(folder: &Path, settings: &Settings, sought: &Sought) -> Vec<Line> {
    let what = "open files";
    let entries = match fs::read_dir(folder.join("fd")) {
        Ok(entries) => entries,
        Err(error) => return vec![unseen(FILES, what, &error)],
    };
    let allowed = Allowed::of(settings, sought);
    let (mut sockets, mut others, mut lines) = (0, 0, Vec::new());
    for entry in entries.flatten() {
        // One that was closed meanwhile is not open.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let text = target.to_string_lossy().into_owned();
        if text.starts_with("socket:") {
            sockets += 1;
        } else if !text.starts_with('/') || text.starts_with("/dev/") && !text.contains("shm") {
            others += 1;
        } else {
            let info = folder.join("fdinfo").join(entry.file_name());
            let written = fs::read_to_string(info).map_or(true, |info| is_written(&info));
            lines.push(allowed.judge(&target, written));
        }
    }
    match fs::read_to_string(folder.join("maps")) {
        Err(error) => lines.push(unseen(FILES, "mapped files", &error)),
        Ok(maps) => lines.extend(shared(&maps).map(|path| allowed.judge(Path::new(path), true))),
    }
    lines.sort_by(|one, other| one.what.cmp(&other.what));
    lines.dedup();
    let found = format!("{sockets} sockets, {others} pipes, timers and devices");
    lines.insert(0, Line::holds(FILES, what, found));
    lines
}

/// Files that are mapped into memory, so that writing there writes them.
fn shared(maps: &str) -> impl Iterator<Item = &str> {
    maps.lines().filter_map(|line| {
        let is_shared = line
            .split_whitespace()
            .nth(1)
            .is_some_and(|rights| rights.contains('w') && rights.ends_with('s'));
        let path = line.find('/').map(|at| &line[at..]);
        path.filter(|path| is_shared && !path.starts_with("/dev/zero"))
    })
}

/// Whether the flags of an open file allow writing.
fn is_written(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_none_or(|flags| flags & 0o3 != 0)
}

/// Files that the server may write.
struct Allowed {
    database: Option<PathBuf>,
    log: Option<PathBuf>,
}

impl Allowed {
    fn of(settings: &Settings, sought: &Sought) -> Self {
        let whole = |path: &Path| fs::canonicalize(path).ok();
        let database = &settings.database;
        Self {
            database: (!database.is_postgres()).then(|| whole(&database.path)).flatten(),
            log: sought.log.as_deref().and_then(whole),
        }
    }

    fn judge(&self, path: &Path, written: bool) -> Line {
        let what = path.display().to_string();
        let is_database = self.database.as_ref().is_some_and(|database| {
            ["", "-wal", "-shm", ".lock"].iter().any(|ending| {
                let mut name = database.as_os_str().to_owned();
                name.push(ending);
                path.as_os_str() == name
            })
        });
        if is_database {
            Line::holds(FILES, what, "the database")
        } else if self.log.as_deref() == Some(path) {
            Line::holds(FILES, what, "the log")
        } else if written {
            let found = "is written, and is neither the database nor the log (--log PATH)";
            Line::fails(FILES, what, found)
        } else {
            Line::holds(FILES, what, "is read, not written")
        }
    }
}

/// The process that listens at the admin interface.
fn listening(settings: &Settings) -> Option<u32> {
    let port = settings.admin.address()?.port();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let lines = tables.iter().flatten().flat_map(|table| table.lines());
    let inodes = lines.filter_map(|line| listener(line, port));
    let inodes: Vec<_> = inodes.map(|inode| format!("socket:[{inode}]")).collect();
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let mut open = fs::read_dir(entry.path().join("fd")).ok()?.flatten();
        let is_it = open.any(|file| {
            let target = fs::read_link(file.path());
            target.is_ok_and(|target| inodes.iter().any(|inode| target.as_os_str() == &**inode))
        });
        is_it.then_some(pid)
    })
}

/// The inode of a line of the kernel's table, if that socket listens at the port.
fn listener(line: &str, port: u16) -> Option<&str> {
    let mut words = line.split_whitespace();
    let at = words.nth(1)?;
    let state = words.nth(1)?;
    let (_, hex) = at.split_once(':')?;
    let is_it = state == "0A" && u16::from_str_radix(hex, 16) == Ok(port);
    words.nth(5).filter(|_| is_it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Outcome;

    #[test]
    fn the_kernels_tables_are_read() {
        let line = "   0: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     \
                    0        0 31415 1 0000000000000000 100 0 0 10 0";
        assert_eq!(listener(line, 8081), Some("31415"));
        assert_eq!(listener(line, 8080), None);
        assert_eq!(listener(&line.replace(" 0A ", " 01 "), 8081), None);
        assert!(is_written("pos:\t0\nflags:\t0100002\n") && is_written("flags:\t01\n"));
        assert!(!is_written("pos:\t0\nflags:\t0100000\n"));
        assert!(is_written("nothing"), "what cannot be told is not allowed");
        let maps = "7f00-7f01 rw-s 00000000 fe:00 1 /a/db-shm\n7f02-7f03 rw-p 0 fe:00 2 /b\n";
        assert_eq!(shared(maps).collect::<Vec<_>>(), ["/a/db-shm"]);
    }

    #[test]
    fn only_the_database_and_the_log_may_be_written() {
        let allowed =
            Allowed { database: Some("/d/hushwire.sqlite".into()), log: Some("/l/log".into()) };
        let judge = |path: &str, written| allowed.judge(Path::new(path), written).outcome;
        assert_eq!(judge("/d/hushwire.sqlite-wal", true), Outcome::Holds);
        assert_eq!(judge("/l/log", true), Outcome::Holds);
        assert_eq!(judge("/etc/tls/key.pem", false), Outcome::Holds);
        assert_eq!(judge("/var/spool/x", true), Outcome::Fails);
        assert_eq!(judge("/var/spool/x (deleted)", true), Outcome::Fails);
        let other = Allowed { database: None, log: None };
        assert_eq!(other.judge(Path::new("/d/hushwire.sqlite"), true).outcome, Outcome::Fails);
    }
}
