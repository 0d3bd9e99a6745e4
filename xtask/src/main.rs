//! Checks that keep the rules of the architecture, and the demonstration.
//!
//! `cargo xtask rules` fails with one paragraph for each rule that is broken: where, what, and
//! what to do about it. Each rule has a test that breaks it on purpose.

#[cfg(feature = "api")]
mod api;
#[cfg(test)]
mod book;
mod demo;
mod finding;
mod graph;
mod manifests;
mod sources;
mod supply;
mod symbols;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::finding::Finding;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Checks and demonstrations of the workspace")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Checks imports, zero knowledge, licences, bans and the source tree.
    Rules {
        /// The server's binary, unstripped: it must hold no function that opens ciphertext.
        #[arg(long, requires = "control")]
        binary: Option<PathBuf>,
        /// The terminal client's binary, unstripped: the positive control, it must show them.
        #[arg(long, requires = "binary")]
        control: Option<PathBuf>,
    },
    /// Writes docs/api and docs/limits.md from the types.
    Api {
        /// Writes nothing, and fails if what is there differs.
        #[arg(long)]
        check: bool,
    },
    /// Two people talk through a real server, which is killed in the middle.
    Demo(demo::Play),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.verb {
        Verb::Rules { binary, control } => rules(binary.zip(control)),
        Verb::Api { check } => api(check),
        Verb::Demo(play) => demo::run(&play).map(|()| ExitCode::SUCCESS),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A set of rules, as it is reported.
type Rule<'a> = (&'a str, Box<dyn Fn() -> Result<Vec<Finding>, String> + 'a>);

fn rules(binaries: Option<(PathBuf, PathBuf)>) -> Result<ExitCode, String> {
    let root = root();
    let graph = graph::Graph::read(&root)?;
    let mut rules: Vec<Rule<'_>> = vec![
        ("imports: who may import whom", Box::new(|| Ok(graph.imports()))),
        ("zero knowledge in the graph", Box::new(|| graph::server_tree(&root, &graph))),
        ("manifests: lints and version once", Box::new(|| manifests::check(&root, &graph))),
        ("licences and bans", Box::new(|| supply::check(&root, &graph))),
        ("the source tree", Box::new(|| sources::check(&root))),
    ];
    if let Some((server, client)) = &binaries {
        rules.push((
            "zero knowledge in the binary, with its positive control",
            Box::new(|| symbols::check(server, client)),
        ));
    }
    let mut broken = 0;
    for (name, rule) in rules {
        let findings = rule()?;
        println!("{} {name}", if findings.is_empty() { "kept  " } else { "BROKEN" });
        for finding in &findings {
            println!("{finding}");
        }
        broken += findings.len();
    }
    if binaries.is_none() {
        println!("not asked: zero knowledge in the binary (pass --binary and --control)");
    }
    if broken > 0 {
        eprintln!("xtask: {broken} finding(s)");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "api")]
fn api(check: bool) -> Result<ExitCode, String> {
    api::run(&root(), check).map(|()| ExitCode::SUCCESS)
}

/// Runs the build that has JSON Schema in it: a feature, so that nothing else is built with it.
#[cfg(not(feature = "api"))]
fn api(check: bool) -> Result<ExitCode, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut again = std::process::Command::new(cargo);
    again.current_dir(root()).args(["run", "--quiet", "--locked", "--package", "xtask"]);
    again.args(["--features", "api", "--", "api"]).args(check.then_some("--check"));
    let status = again.status().map_err(|error| format!("cargo: {error}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The workspace's folder: the parent of this package's.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
