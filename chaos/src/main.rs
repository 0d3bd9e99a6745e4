//! `hushwire-chaos`: the command line.

use std::process::ExitCode;

use clap::Parser;
use hushwire_chaos::{Plan, drawn, run, schedule};

/// Breaks a whole Hushwire, and counts what was lost.
///
/// Starts PostgreSQL, Redis with a replica, and servers on this machine, each in a temporary
/// folder, and devices that say numbered messages to each other through a proxy. While they talk,
/// parts are killed, stopped, restarted and cut off, at times and in ways that the seed gives. Then
/// everything is healed and comes to rest, and a journal of what happened is judged: nothing that
/// was accepted may be lost, nothing shown twice or out of order, nothing reported as delivered
/// that was not.
///
/// It ends with exit code 1 if any of these is not 0, if something was left over, or if the checker
/// does not flag a fault of each kind that is injected into a copy of the journal.
///
/// Examples:
///   hushwire-chaos --minutes 10
///   hushwire-chaos --minutes 2 --seed 7 --faults redis,backbone --keep target/chaos
///   hushwire-chaos --minutes 1 --seed 7 --dry
#[derive(Debug, Parser)]
#[command(name = "hushwire-chaos", verbatim_doc_comment)]
struct Cli {
    #[command(flatten)]
    plan: Plan,
}

fn main() -> ExitCode {
    let Cli { plan } = Cli::parse();
    let seed = plan.seed.unwrap_or_else(drawn);
    if plan.dry {
        let acts = schedule::schedule(seed, plan.time(), &plan.faults, plan.nodes.into());
        acts.iter().for_each(|planned| println!("{planned}"));
        return ExitCode::SUCCESS;
    }
    match run(&plan, seed) {
        Ok(report) => {
            println!("{report}");
            if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("hushwire-chaos: {why}");
            ExitCode::FAILURE
        }
    }
}
