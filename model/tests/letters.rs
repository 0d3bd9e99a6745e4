//! Every world keeps the rules, contains what it is named for, and has its bug found.

use std::collections::BTreeSet;

use hushwire_model::Config;
use hushwire_model::letters::{general, letters};
use hushwire_model::rules::{Delivery, RULES};
use stateright::{Checker, HasDiscoveries, Model as _};

fn check(config: Config, finish: HasDiscoveries) -> impl Checker<Delivery> {
    Delivery::new(config).checker().threads(2).finish_when(finish).spawn_bfs().join()
}

fn holds(config: Config) {
    let name = config.name;
    let checker = check(config, HasDiscoveries::All);
    let found = checker.discoveries();
    for rule in checker.model().rules() {
        match (found.get(rule), RULES.contains(&rule)) {
            (Some(path), true) => {
                let told = checker.model().tell(&path.clone().into_actions());
                panic!("{name}: {rule} is broken:\n{told}");
            }
            (None, false) => panic!("{name}: never {rule}, {:?}", checker.model().config().marks),
            _ => {}
        }
    }
}

#[test]
fn every_interleaving_is_there_and_keeps_the_rules() {
    letters().into_iter().for_each(|letter| holds(letter.config));
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
fn the_letters_are_complete() {
    let all: String = letters().iter().map(|letter| letter.letter).collect();
    assert_eq!(all, ('a'..='v').collect::<String>());
    let bugs: BTreeSet<_> = letters().iter().map(|l| format!("{:?}", l.bug)).collect();
    assert_eq!(bugs.len(), letters().len(), "each has one of its own");
}

#[test]
fn general_worlds_keep_the_rules() {
    general().into_iter().for_each(holds);
}
