//! Checks the worlds: `make model`.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use hushwire_model::letters::{beside, general, large, letters};
use hushwire_model::rules::{Delivery, RULES};
use hushwire_model::{Bug, Config};
use stateright::{Checker as _, HasDiscoveries, Model as _};

const HELP: &str = "\
Checks delivery over the engine's own state machines (model/README.md).

    hushwire-model [--seconds N] [WHAT ...]

WHAT is `general`, `large`, `letters`, `beside`, a letter from a to v, or the name of a world; all
without it. What has a bug is checked twice: as the code is, and with the bug, which must be found.
--seconds N ends each world after so long (default: no limit). It says so if a world was not done.
Ends with 1 if a rule is broken, a bug is not found, or a world never shows what it is for.";

fn main() -> ExitCode {
    let mut limit = None;
    let mut wanted = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            "--seconds" => match words.next().and_then(|n| n.parse().ok()) {
                Some(seconds) => limit = Some(Duration::from_secs(seconds)),
                None => {
                    eprintln!("--seconds needs a number. See --help.");
                    return ExitCode::FAILURE;
                }
            },
            _ => wanted.push(word),
        }
    }
    let is_wanted = |names: [&str; 2]| {
        wanted.is_empty() || wanted.iter().any(|word| names.contains(&word.as_str()))
    };
    let (mut good, mut some) = (true, false);
    for (set, worlds) in [("general", general()), ("large", large())] {
        for config in worlds.into_iter().filter(|config| is_wanted([set, config.name])) {
            some = true;
            good &= check(config, None, limit);
        }
    }
    for letter in letters() {
        if is_wanted(["letters", &letter.letter.to_string()]) {
            some = true;
            println!("({})", letter.letter);
            good &= check(letter.config.clone(), None, limit);
            good &= check(letter.config, Some((letter.bug, letter.rule)), limit);
        }
    }
    for (config, bug, rule) in beside() {
        if is_wanted(["beside", config.name]) {
            some = true;
            good &= check(config.clone(), None, limit);
            good &= check(config, Some((bug, rule)), limit);
        }
    }
    if !some {
        eprintln!("There is no such world: {}. See --help.", wanted.join(" "));
    }
    if good && some { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Checks a world, and says what came of it.
fn check(config: Config, bug: Option<(Bug, &'static str)>, limit: Option<Duration>) -> bool {
    let begun = Instant::now();
    let (mut title, mut finish) = (config.name.to_owned(), HasDiscoveries::All);
    let config = match bug {
        None => config,
        Some((bug, rule)) => {
            title = format!("{title}, {bug:?}");
            finish = HasDiscoveries::AnyOf(BTreeSet::from([rule]));
            config.with(bug)
        }
    };
    let mut builder = Delivery::new(config).checker().threads(2).finish_when(finish);
    if let Some(limit) = limit {
        builder = builder.timeout(limit);
    }
    let checker = builder.spawn_bfs().join();
    println!(
        "{title}: {} states, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.max_depth(),
        begun.elapsed().as_secs_f64()
    );
    if limit.is_some_and(|limit| begun.elapsed() >= limit) {
        println!("  not done: the time was up");
    }
    let found = checker.discoveries();
    if let Some((_, rule)) = bug {
        let is_found = found.contains_key(rule);
        println!("  {}: {rule}", if is_found { "found" } else { "NOT FOUND" });
        return is_found;
    }
    let mut good = true;
    for rule in checker.model().rules() {
        match (found.get(rule), RULES.contains(&rule)) {
            (Some(path), true) => {
                let told = checker.model().tell(&path.clone().into_actions());
                println!("  BROKEN: {rule}\n{told}");
                good = false;
            }
            (None, true) => println!("  kept: {rule}"),
            (Some(_), false) => println!("  shown: {rule}"),
            (None, false) => {
                println!("  NEVER SHOWN: {rule} {:?}", checker.model().config().marks);
                good = false;
            }
        }
    }
    good
}
