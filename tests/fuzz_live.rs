//! A short run of the live fuzz against a real server process: some thousand malformed connections
//! beside two devices that talk. `make fuzz-live` is the long one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use hushwire_fuzz_live::{Plan, run};

#[tokio::test]
async fn malformed_connections_break_nothing_and_harm_no_bystander() {
    let plan = Plan {
        server: PathBuf::from(env!("CARGO_BIN_EXE_hushwire")),
        count: 12_000,
        seed: None,
        connections: 64,
        grow_mib: 32,
        p99_ms: 5_000,
    };
    // A finding names the seed, the connection and the command that plays it again.
    let report = run(&plan).await.unwrap_or_else(|finding| panic!("{finding}"));
    println!("{report}");
    let [granted, refused, frames, accepted, rejects, closes] = report.answers();
    // It reached what it is for: every kind of answer came.
    for kind in [granted, refused, frames, accepted, rejects, closes] {
        assert!(kind > 0, "{report}");
    }
    assert!(report.connections > 2_000 && report.messages > 10, "{report}");
}
