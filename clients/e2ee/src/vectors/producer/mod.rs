//! What this implementation writes for the other: files of all kinds, with choices of its own.
//!
//! Refused cases are written with the code that the scene means; that this implementation gives it
//! is for the checks of [`super`] to find.

mod contents;
mod dice;
mod files;
mod logs;
mod mutations;
mod people;
mod structures;
mod talks;

use serde::Serialize;

use super::file::{Case, FORMAT, File};
use super::folder::Folder;

pub(super) use dice::Dice;

/// All files of a seed.
pub(super) fn produce(seed: u64) -> Folder {
    let mut dice = Dice::new(seed);
    let dice = &mut dice;
    let mut folder = Files { seed, folder: Folder::new() };
    folder.add(logs::valid(dice));
    folder.add(logs::refused(dice));
    folder.add(people::qr(dice));
    folder.add(people::codes(dice));
    folder.add(people::links(dice));
    folder.add(people::recovery(dice));
    folder.add(people::recovery_refused(dice));
    folder.add(structures::logins(dice));
    folder.add(structures::prekeys(dice));
    folder.add(structures::prekey_rules(dice));
    folder.add(structures::requests(dice));
    folder.add(structures::headers(dice));
    folder.add(structures::headers_refused(dice));
    folder.add(structures::safety_numbers(dice));
    folder.add(structures::xwing(dice));
    folder.add(structures::signatures(dice));
    folder.add(structures::identity_keys(dice));
    folder.add(structures::exchanges(dice));
    folder.add(contents::valid(dice));
    folder.add(contents::refused(dice));
    folder.add(contents::paddings(dice));
    folder.add(files::padme(dice));
    folder.add(files::valid(dice));
    folder.add(files::refused(dice));
    folder.add(files::reports(dice));
    folder.add(files::reports_refused(dice));
    folder.add(talks::all(dice));
    let mutations = mutations::of(&folder.folder, dice);
    folder.write("mutations", mutations);
    folder.folder
}

struct Files {
    seed: u64,
    folder: Folder,
}

impl Files {
    fn add<C: Case>(&mut self, cases: Vec<C>) {
        self.write(C::KIND, cases);
    }

    fn write<C: Serialize>(&mut self, kind: &str, cases: Vec<C>) {
        let file = File {
            format: FORMAT.to_owned(),
            kind: kind.to_owned(),
            made_by: format!("rust seed {}", self.seed),
            cases,
        };
        let text = serde_json::to_string_pretty(&file).unwrap() + "\n";
        self.folder.insert(format!("{kind}.json"), text);
    }
}
