//! Starts three servers behind a balancer on this machine, and looks after them until Ctrl-C.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use hushwire_testbed::{Cluster, Node};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

/// How often it is looked whether a server ended.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Three Hushwire servers behind a balancer, over one PostgreSQL and one Redis with replicas and
/// Sentinels: all on this machine, on loopback, with nothing kept when it ends.
#[derive(Debug, Parser)]
#[command(name = "hushwire-cluster")]
struct Arguments {
    /// Where people reach it.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The server's program.
    #[arg(long, value_name = "PATH", default_value = "target/debug/hushwire")]
    server: PathBuf,
    /// A setting of every server, as `section.key=value`; again for more.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected section.key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        eprintln!("hushwire-cluster: this system lets no program wait for its end");
        return ExitCode::FAILURE;
    };
    if !arguments.server.is_file() {
        eprintln!(
            "hushwire-cluster: --server: there is no program at {}: build it with `cargo build -p hushwire`",
            arguments.server.display()
        );
        return ExitCode::from(2);
    }
    let settings: Vec<_> =
        arguments.settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let say = |what: &str| println!("Starting {what} ...");
    let mut cluster = Cluster::start(&arguments.server, Some(arguments.listen), &settings, say);
    explain(&mut cluster);
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            () = sleep(LOOK_EVERY) => {}
        }
        for (k, node) in (1..).zip(&mut cluster.nodes) {
            if !node.process().is_running() {
                println!("Server {k} ended, and is started again ...");
                node.restart();
                tell(k, node);
            }
        }
        if !cluster.is_balanced() {
            eprintln!("hushwire-cluster: the balancer ended");
            return ExitCode::FAILURE;
        }
    }
    println!("Ending ...");
    for node in &mut cluster.nodes {
        node.terminate();
    }
    ExitCode::SUCCESS
}

fn tell(k: usize, node: &mut Node) {
    println!("  server {k}: process {}, {}", node.process().id(), node.url());
}

fn explain(cluster: &mut Cluster) {
    let url = cluster.url();
    println!("\nThree servers behind {url}. Ctrl-C ends all, and nothing is kept.");
    for (k, node) in (1..).zip(&mut cluster.nodes) {
        tell(k, node);
    }
    println!(
        "  Redis: process {}, its replicas: processes {} and {}, watched by three Sentinels",
        cluster.redis.process_id(),
        cluster.replicas[0].process_id(),
        cluster.replicas[1].process_id()
    );
    println!(
        "\nIn other terminals, two people (hush is target/debug/hush):\n\n  \
         hush --home .hushwire/alice register alice --server {url}\n  \
         hush --home .hushwire/bob   register bob   --server {url}\n  \
         hush --home .hushwire/alice contacts add bob\n  \
         hush --home .hushwire/bob   contacts accept alice\n  \
         hush --home .hushwire/alice chat bob\n  \
         hush --home .hushwire/bob   chat alice\n\n\
         Then end a server under them: `kill -9 PROCESS` at once, `kill PROCESS` as an update does. It \
         is started again, they go on, and nothing that was accepted is lost. Or end Redis once: a \
         replica takes its place within seconds."
    );
}
