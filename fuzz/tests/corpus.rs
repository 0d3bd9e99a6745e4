//! Replays every committed input: seeds made from real structures, and whatever once broke a
//! target.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use hushwire_fuzz::{TARGETS, seeds, target};

fn corpus() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_target_survives_its_corpus_and_accepts_some_of_it() {
    for target in TARGETS {
        let folder = corpus().join(target.name);
        let mut accepted = 0;
        for name in names(&folder) {
            let bytes = fs::read(folder.join(&name)).unwrap();
            println!("{}/{name}", target.name);
            accepted += usize::from((target.run)(&bytes));
        }
        assert!(accepted > 0, "{}: nothing in its corpus is accepted", target.name);
    }
}

#[test]
fn every_target_survives_the_corpora_of_the_others() {
    for folder in names(corpus()) {
        for name in names(&corpus().join(&folder)) {
            let bytes = fs::read(corpus().join(&folder).join(&name)).unwrap();
            for target in TARGETS.iter().filter(|target| target.name != folder) {
                println!("{} on {folder}/{name}", target.name);
                (target.run)(&bytes);
            }
        }
    }
}

#[test]
fn every_corpus_has_a_target_and_every_seed_is_there() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len(), "two targets of one name");
    assert_eq!(names(corpus()).into_iter().collect::<BTreeSet<_>>(), targets);
    let mut written = BTreeSet::new();
    for seed in seeds::all() {
        assert!(target(seed.target).is_some_and(|target| (target.run)(&seed.bytes)), "{seed:?}");
        assert!(written.insert(format!("{}/seed-{}", seed.target, seed.name)), "{seed:?} twice");
    }
    let committed = TARGETS.iter().flat_map(|target| {
        let seeds = names(&corpus().join(target.name)).into_iter();
        seeds.filter(|name| name.starts_with("seed-")).map(|name| format!("{}/{name}", target.name))
    });
    let committed: BTreeSet<_> = committed.collect();
    assert_eq!(committed, written, "run `cargo run -p hushwire-fuzz` and remove what is left over");
}

/// Bodies come and go: each has its place in the target.
#[test]
fn every_http_body_is_fuzzed() {
    let bodies = include_str!("../../wire/src/http.rs");
    let target = include_str!("../src/frame.rs");
    let mut counted = 0;
    for line in bodies.lines() {
        let rest = line.strip_prefix("pub struct ").or(line.strip_prefix("pub enum "));
        let Some(name) = rest.and_then(|rest| rest.split_whitespace().next()) else { continue };
        assert!(target.contains(&format!("body::<http::{name}>")), "{name} is not fuzzed");
        counted += 1;
    }
    assert!(counted > 20, "the bodies are found");
}
