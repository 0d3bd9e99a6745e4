//! Checks the worlds: `make model`.

use std::collections::BTreeSet;
use std::time::Instant;

use hushwire_model::Config;
use hushwire_model::letters;
use hushwire_model::rules::{Delivery, RULES};
use stateright::{Checker as _, HasDiscoveries, Model as _};

fn main() {
    let want: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| want.is_empty() || want.iter().any(|one| one == name);
    for config in letters::general() {
        if wanted(config.name) || wanted("general") {
            check(config, "", None);
        }
    }
    for letter in letters::letters() {
        let name = letter.letter.to_string();
        if wanted(&name) || wanted("letters") {
            check(letter.config.clone(), &name, None);
            check(letter.config.with(letter.bug), &name, Some(letter.rule));
        }
    }
}

fn check(config: Config, letter: &str, rule: Option<&'static str>) {
    let (name, bug, marks) = (config.name, config.bug, config.marks.clone());
    let begun = Instant::now();
    let finish =
        rule.map_or(HasDiscoveries::All, |rule| HasDiscoveries::AnyOf(BTreeSet::from([rule])));
    let checker = Delivery::new(config).checker().threads(2).finish_when(finish).spawn_bfs().join();
    println!(
        "{letter} {name} {bug:?}: {} states, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.max_depth(),
        begun.elapsed().as_secs_f64()
    );
    let found = checker.discoveries();
    for rule in checker.model().rules() {
        let is_rule = RULES.contains(&rule);
        match (found.get(rule), is_rule) {
            (Some(path), true) => {
                let told = checker.model().tell(&path.clone().into_actions());
                println!("  BROKEN {rule}:\n{told}");
            }
            (None, false) if bug.is_none() => println!("  NEVER {rule} {marks:?}"),
            _ => {}
        }
    }
}
