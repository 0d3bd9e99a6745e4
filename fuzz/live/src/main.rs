//! `hushwire-fuzz-live`: the command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hushwire_fuzz_live::{Plan, replay, run};

/// Fuzzes a running server from outside.
///
/// Starts a server of its own in a temporary folder, sends it malformed frames, HTTP heads and
/// bodies on many connections, before and after sign-in, and watches the process and two devices
/// that talk beside it. It ends with exit code 1 at the first finding, prints the bytes that did
/// it and the command that plays them again.
#[derive(Debug, Parser)]
#[command(name = "hushwire-fuzz-live")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Fuzzes until so many inputs were sent.
    Run(Plan),
    /// Plays one connection again, against a fresh server.
    Replay {
        /// The server's binary.
        #[arg(long, default_value = "target/debug/hushwire")]
        server: PathBuf,
        /// The seed of the run.
        #[arg(long)]
        seed: u64,
        /// The number of the connection.
        #[arg(long)]
        index: u64,
        /// The parts to send, from 0; all of them if not given.
        #[arg(long, value_delimiter = ',')]
        keep: Option<Vec<usize>>,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Run(plan) => match run(&plan).await {
            Ok(report) => {
                println!("{report}");
                Ok(())
            }
            Err(finding) => Err(finding.to_string()),
        },
        Verb::Replay { server, seed, index, keep } => {
            match replay(&server, seed, index, keep.as_deref()).await {
                Ok((sent, outcome)) => {
                    print!("{sent}");
                    outcome.map(|()| println!("nothing is wrong with it"))
                }
                Err(why) => Err(why),
            }
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("hushwire-fuzz-live: {why}");
            ExitCode::FAILURE
        }
    }
}
