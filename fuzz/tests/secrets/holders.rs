//! Which types hold a secret, read from the sources: whatever has a field of one of the types
//! that erase themselves, or of a type that has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Where types are looked for; each may hold types of those before it.
const FOLDERS: &[&str] = &["wire/src", "identity/src", "clients/e2ee/src", "clients/rust/src"];
/// The types that erase themselves, and those that hold secrets without.
const ROOTS: &[&str] = &["Secret", "Zeroizing", "Token"];

#[derive(Debug)]
struct Declared {
    folder: usize,
    name: String,
    public: bool,
    /// The names in the types of its fields.
    holds: BTreeSet<String>,
}

/// Every `pub` type that holds a secret, however deep.
pub(crate) fn public_holders() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut declared = Vec::new();
    for (i, folder) in FOLDERS.iter().enumerate() {
        read(i, &root.join(folder), &mut declared);
    }
    let mut places: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for one in &declared {
        places.entry(&one.name).or_default().insert(one.folder);
    }
    let mut holders: BTreeSet<(usize, &str)> = BTreeSet::new();
    loop {
        let is_secret = |from: usize, name: &String| {
            // A name means the package's own type, else that of the nearest before it.
            let folder = places.get(name.as_str()).and_then(|in_| in_.range(..=from).next_back());
            ROOTS.contains(&name.as_str())
                || folder.is_some_and(|folder| holders.contains(&(*folder, name.as_str())))
        };
        let more: Vec<_> = declared
            .iter()
            .filter(|one| one.holds.iter().any(|name| is_secret(one.folder, name)))
            .map(|one| (one.folder, one.name.as_str()))
            .filter(|one| !holders.contains(one))
            .collect();
        if more.is_empty() {
            break;
        }
        holders.extend(more);
    }
    let public = declared.iter().filter(|one| one.public);
    public
        .filter(|one| holders.contains(&(one.folder, one.name.as_str())))
        .map(|one| one.name.clone())
        .collect()
}

fn read(folder: usize, at: &Path, declared: &mut Vec<Declared>) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(folder, &path, declared);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            types(folder, &fs::read_to_string(&path).unwrap(), declared);
        }
    }
}

/// The structs, enums and aliases at the left margin of a file.
fn types(folder: usize, source: &str, declared: &mut Vec<Declared>) {
    let code: Vec<&str> = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("#["))
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    for (at, line) in code.iter().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let kind = words.iter().position(|word| matches!(*word, "struct" | "enum" | "type"));
        let Some(kind) = kind.filter(|_| !line.starts_with(' ')) else { continue };
        if !words[..kind].iter().all(|word| word.starts_with("pub")) {
            continue;
        }
        let public = words[..kind] == ["pub"] && words[kind] != "type";
        let rest = line.split_once(words[kind]).unwrap().1.trim_start();
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let holds = field_types(rest.strip_prefix(&name).unwrap(), &code[at + 1..]);
        declared.push(Declared { folder, name, public, holds });
    }
}

/// The names in the types of the fields: what stands in parentheses, after a colon, or after the
/// `=` of an alias; not the names of fields and variants.
fn field_types(first: &str, rest: &[&str]) -> BTreeSet<String> {
    let (mut out, mut word) = (BTreeSet::new(), String::new());
    let (mut braces, mut parens, mut angles, mut typed) = (0, 0, 0, false);
    for c in std::iter::once(&first).chain(rest).flat_map(|line| line.chars().chain(['\n'])) {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        let whole = std::mem::take(&mut word);
        if typed || parens > 0 {
            out.insert(whole);
        }
        match c {
            '{' => braces += 1,
            '}' => braces -= 1,
            '(' => parens += 1,
            ')' => parens -= 1,
            '<' => angles += 1,
            '>' => angles -= 1,
            ':' | '=' => typed = true,
            _ => {}
        }
        let ends = matches!(c, ';' | '}') && braces == 0 && parens == 0;
        if ends {
            break;
        }
        if matches!(c, ',' | '}') && angles == 0 && parens == 0 {
            typed = false;
        }
    }
    out
}

#[test]
fn fields_are_told_from_names() {
    let types = |text| field_types(text, &[]).into_iter().filter(|name| !name.is_empty());
    let list = |text| types(text).collect::<Vec<_>>();
    assert_eq!(list("(Zeroizing<[u8; 32]>);"), ["32", "Zeroizing", "u8"]);
    assert_eq!(
        list(" { key: Map<Key, Vec<Secret<32>>>, other: u8 }"),
        ["32", "Key", "Map", "Secret", "Vec", "u8"]
    );
    assert_eq!(list(" { Key, Other(Inner), Named { secret: Kind } }"), ["Inner", "Kind"]);
    assert_eq!(list(" = Zeroizing<u8>;"), ["Zeroizing", "u8"]);
}
