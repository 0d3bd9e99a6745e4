//! The process of a server: what the kernel says of it, not what it says of itself.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use support::Server;

/// Soft and hard limit.
fn limit(server: &Server, name: &str) -> (String, String) {
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().unwrap(), words.next().unwrap())
}

/// Whose the kernel's files of it are: root's, if it cannot be dumped.
fn owner(server: &Server) -> u32 {
    fs::metadata(format!("/proc/{}/environ", server.pid())).unwrap().uid()
}

#[test]
fn it_leaves_no_core_dump_and_shows_nobody_its_memory() {
    let server = Server::start();
    assert_eq!(limit(&server, "Max core file size"), ("0".to_owned(), "0".to_owned()));
    let log = server.log();
    assert!(log.contains("inspectable: false") && log.contains("core_dumps: false"), "{log}");
    assert!(!log.contains("can read this one's memory"), "{log}");
    let me = fs::metadata("/proc/self").unwrap().uid();
    assert!(me == 0 || owner(&server) != me, "they would be root's in any case, or are not mine");

    let open = Server::start_with(&[("server.inspectable", "true")]);
    assert!(open.log().contains("inspectable: true"), "{}", open.log());
    assert_eq!(owner(&open), me);
    assert_eq!(limit(&open, "Max core file size").0, "0", "not even then");
}

#[test]
fn it_has_all_the_files_that_it_may_have_and_says_if_they_are_too_few() {
    let start = |connections| {
        let requests = [("server.workers", "2"), ("http.connections_per_worker", "100")];
        Server::start_with(&[requests[0], requests[1], ("sockets.connections", connections)])
    };
    let server = start("1");
    let (soft, hard) = limit(&server, "Max open files");
    assert_eq!(soft, hard);
    assert!(!server.log().contains("too few open files"), "{}", server.log());
    let files: u64 = soft.parse().unwrap();
    if files >= 10_000_000 {
        // More than connections can be set: there is no shortage to see.
        return;
    }
    let server = start("10000000");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("too few open files")).expect("a warning");
    assert!(line.contains("LimitNOFILE") && line.contains("needed: 10000456"), "{line}");
    assert!(line.contains(&format!("possible: {}", files - 456)), "{line}");
}
