//! The vectors of `tests/vectors`: every file is held against this crate, and files of the same
//! formats are made here, with other choices, for the second implementation to check.
//!
//! The tests stand inside the crate because the vectors name what it keeps to itself: exchanges,
//! wrap keys, chains and message keys. Nothing here knows how the second implementation works.
//! Unknown kinds and fields are errors, and a kind that is missing is one too.

mod bytes;
mod contents;
mod conversations;
mod edges;
mod file;
mod files;
#[path = "../../tests/common/folder.rs"]
mod folder;
mod logs;
mod mutations;
mod people;
mod prekeys;
mod producer;
mod reports;
mod structures;

use std::collections::BTreeMap;
use std::path::Path;

use file::{Case, Fault};
use folder::Folder;

/// Files of the folder that have other formats, and checks of their own.
const APART: [&str; 2] = ["hw1-first.json", "hw1-salamander.json"];

/// How a kind of file is checked: the number of its cases, or the first faults.
type Checker = fn(&str) -> Result<usize, Fault>;

const fn kind<C: Case>() -> (&'static str, Checker) {
    (C::KIND, file::check::<C>)
}

/// All kinds.
const KINDS: &[(&str, Checker)] = &[
    kind::<logs::Log>(),
    kind::<logs::LogRefused>(),
    kind::<structures::Login>(),
    kind::<prekeys::PrekeyMade>(),
    kind::<prekeys::PrekeyRule>(),
    kind::<structures::RequestMade>(),
    kind::<structures::HeaderMade>(),
    kind::<structures::HeaderRefused>(),
    kind::<structures::Safety>(),
    kind::<contents::ContentMade>(),
    kind::<contents::ContentRefused>(),
    kind::<contents::Padding>(),
    kind::<files::Padme>(),
    kind::<files::FileMade>(),
    kind::<files::FileRefused>(),
    kind::<structures::Xwing>(),
    kind::<people::Qr>(),
    kind::<people::AddCode>(),
    kind::<people::Link>(),
    kind::<people::Recovery>(),
    kind::<people::RecoveryRefused>(),
    kind::<edges::Signature>(),
    kind::<edges::IdentityKey>(),
    kind::<edges::Exchange>(),
    kind::<reports::Report>(),
    kind::<reports::Shown>(),
    kind::<conversations::Conversation>(),
];

/// Checks a file of any kind, and gives the kind and the number of cases.
fn check(text: &str) -> Result<(&'static str, usize), Fault> {
    let name = file::kind_of(text)?;
    let (kind, check) = KINDS
        .iter()
        .find(|(kind, _)| *kind == name)
        .ok_or_else(|| format!("the kind {name} is not known"))?;
    Ok((kind, check(text)?))
}

/// Checks a folder, its mutations too, and gives the number of cases of each kind. None may be
/// missing.
fn check_all(folder: &Folder) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    let mut faults = Vec::new();
    for (name, text) in folder.iter().filter(|(name, _)| !APART.contains(&name.as_str())) {
        let checked = match file::kind_of(text) {
            Ok(kind) if kind == mutations::KIND => {
                mutations::check_mutations(text, folder).map(|cases| (mutations::KIND, cases))
            }
            _ => check(text),
        };
        match checked {
            Ok((kind, cases)) => *counts.entry(kind).or_default() += cases,
            Err(fault) => faults.push(format!("{name}: {fault}")),
        }
    }
    for kind in KINDS.iter().map(|(kind, _)| *kind).chain([mutations::KIND]) {
        if counts.get(kind).is_none_or(|cases| *cases == 0) {
            faults.push(format!("no {kind}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    counts
}

#[test]
fn the_committed_vectors_hold() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    check_all(&folder::read(&here.join("../../tests/vectors")));
}

#[test]
#[ignore = "checks the folder HUSHWIRE_VECTORS_IN: make vectors"]
fn the_vectors_handed_in_hold() {
    let path = std::env::var_os("HUSHWIRE_VECTORS_IN").unwrap();
    let counts = check_all(&folder::read(Path::new(&path)));
    println!("{counts:#?}");
}

/// With the seed `HUSHWIRE_VECTORS_SEED`, or 1. The files go to the folder
/// `HUSHWIRE_VECTORS_OUT`, if it is set.
#[test]
fn what_is_written_here_holds() {
    let seed = std::env::var("HUSHWIRE_VECTORS_SEED").map_or(1, |seed| seed.parse().unwrap());
    let files = producer::produce(seed);
    if let Some(path) = std::env::var_os("HUSHWIRE_VECTORS_OUT") {
        folder::write(Path::new(&path), &files);
    }
    check_all(&files);
}
