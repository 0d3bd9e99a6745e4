//! A short run of the chaos harness: three servers, PostgreSQL and Redis are broken for some
//! twenty seconds under people who talk. `make chaos` is the long one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use hushwire_chaos::{Lane, Plan, drawn, run};

#[test]
fn nothing_accepted_is_lost_whatever_breaks() {
    let plan = Plan {
        server: PathBuf::from(env!("CARGO_BIN_EXE_hushwire")),
        minutes: 20.0 / 60.0,
        seed: None,
        nodes: 3,
        devices: 6,
        pace_ms: 300,
        faults: vec![
            Lane::Nodes,
            Lane::Redis,
            Lane::Postgres,
            Lane::Weather,
            Lane::Backbone,
            Lane::Devices,
        ],
        quiet_seconds: 240,
        keep: None,
        dry: false,
    };
    let seed = drawn();
    let report = run(&plan, seed).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    println!("{report}");
    assert!(report.is_clean(), "{report}");
    // It reached what it is for: everything was broken, and people talked all the same.
    for part in ["node", "redis", "postgres"] {
        assert!(report.faults.keys().any(|fault| fault.starts_with(part)), "{report}");
    }
    assert!(report.verdict.shown > 10 && report.verdict.claims > 10, "{report}");
}
