//! Figures: the server beside a bare relay, in one run, and the cryptography by itself.

mod crypto;
mod figures;
mod line;
mod person;
mod program;
mod relay;
mod report;
mod scenarios;
mod stage;

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "hushwire-benches",
    about = "Figures: the server beside a bare relay, and the cryptography"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serves the bare relay until it is killed, and prints where.
    Relay {
        /// Where to listen; port 0 is any free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Threads.
        #[arg(long, default_value_t = 1)]
        workers: usize,
    },
    /// Measures the server beside the relay, in turn, and prints medians, ranges and ratios.
    Figures(figures::Plan),
    /// Measures the server when it is bad weather: a slow reader, a reconnect storm, full queues.
    Scenarios(scenarios::Plan),
    /// Measures the server over PostgreSQL and Redis, which it starts itself: a hop, and a queue that
    /// fills and drains in Redis.
    Stores(scenarios::stores::Plan),
    /// Measures epochs and messages of each suite, and their bytes on the wire.
    Crypto(crypto::Plan),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Relay { listen, workers } => relay(listen, workers),
        Verb::Figures(plan) => pinned(figures::run(plan)),
        Verb::Scenarios(plan) => pinned(scenarios::run(plan)),
        Verb::Stores(plan) => pinned(scenarios::stores::run(plan)),
        Verb::Crypto(plan) => crypto::run(&plan),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hushwire-benches: {error}");
            ExitCode::FAILURE
        }
    }
}

fn relay(listen: SocketAddr, workers: usize) -> Result<(), String> {
    let listener = TcpListener::bind(listen).map_err(|error| format!("{listen}: {error}"))?;
    let local = listener.local_addr().map_err(|error| error.to_string())?;
    println!("listening on {local}");
    actix::System::new()
        .block_on(relay::serve(listener, workers))
        .map_err(|error| format!("relay: {error}"))
}

/// Runs a measurement on a core of its own.
fn pinned(measurement: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    if program::is_pinned() && std::env::var_os(program::PINNED).is_none() {
        return again_on_core_1();
    }
    let ring = rustls::crypto::ring::default_provider().install_default();
    ring.map_err(|_| "another TLS provider is installed".to_owned())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    tokio::task::LocalSet::new().block_on(&runtime, measurement)
}

/// Starts this program again with the same arguments, on a core of its own.
fn again_on_core_1() -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let status = Command::new("taskset")
        .args(["-c", "1"])
        .arg(own)
        .args(std::env::args_os().skip(1))
        .env(program::PINNED, "1")
        .status()
        .map_err(|error| format!("taskset: {error}"))?;
    if status.success() { Ok(()) } else { Err("the pinned run failed".to_owned()) }
}
