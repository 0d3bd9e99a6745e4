//! Every world keeps the rules, contains what it is named for, and has its bug found.

use std::collections::BTreeSet;

use hushwire_model::Config;
use hushwire_model::letters::{beside, general, letters};
use hushwire_model::rules::{Delivery, RULES};
use stateright::{Checker, HasDiscoveries, Model as _};

fn check(config: Config, finish: HasDiscoveries) -> impl Checker<Delivery> {
    Delivery::new(config).checker().threads(2).finish_when(finish).spawn_bfs().join()
}

/// What is broken in a world, or never shown.
fn faults(config: Config) -> Vec<String> {
    let name = config.name;
    let checker = check(config, HasDiscoveries::All);
    let found = checker.discoveries();
    let mut faults = Vec::new();
    for rule in checker.model().rules() {
        match (found.get(rule), RULES.contains(&rule)) {
            (Some(path), true) => {
                let told = checker.model().tell(&path.clone().into_actions());
                faults.push(format!("{name}: {rule} is broken:\n{told}"));
            }
            (None, false) => {
                let marks = &checker.model().config().marks;
                faults.push(format!("{name}: never {rule}, {marks:?}"));
            }
            _ => {}
        }
    }
    faults
}

#[test]
fn every_interleaving_is_there_and_keeps_the_rules() {
    let faults: Vec<_> = letters().into_iter().flat_map(|letter| faults(letter.config)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_seeded_bug_is_found_by_its_rule() {
    for letter in letters() {
        let checker = check(
            letter.config.with(letter.bug),
            HasDiscoveries::AnyOf(BTreeSet::from([letter.rule])),
        );
        let found = checker.discoveries();
        assert!(found.contains_key(letter.rule), "{}: {:?}", letter.letter, letter.bug);
    }
}

#[test]
fn bugs_beside_the_letters_are_found_and_their_worlds_keep_the_rules() {
    for (config, bug, rule) in beside() {
        let finish = HasDiscoveries::AnyOf(BTreeSet::from([rule]));
        let checker = check(config.clone().with(bug), finish);
        assert!(checker.discoveries().contains_key(rule), "{bug:?}");
        assert_eq!(faults(config), Vec::<String>::new());
    }
}

#[test]
fn the_letters_are_complete() {
    let all: String = letters().iter().map(|letter| letter.letter).collect();
    assert_eq!(all, ('a'..='v').collect::<String>());
    let bugs: BTreeSet<_> = letters().iter().map(|l| format!("{:?}", l.bug)).collect();
    assert_eq!(bugs.len(), letters().len(), "each has one of its own");
}

#[test]
fn general_worlds_keep_the_rules() {
    let faults: Vec<_> = general().into_iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
