//! Rules that are read from the files themselves: no file of a machine's own paths, none longer
//! than a person reads, no `do_send`, no clock or socket where none belongs, no emoji, and no
//! link and no name of a file in the book that leads nowhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::finding::Finding;

/// Lines of a hand-written source file, at most.
const LINES_MAX: usize = 800;
/// Folders that hold nothing hand-written.
const SKIPPED: &[&str] = &["target", ".git", "node_modules"];
/// Endings of source code, to which the length rule applies.
const CODE: &[&str] = &["rs", "ts", "js", "svelte", "py", "sh", "sql"];
/// Endings and names of the other files that are text.
const TEXT: &[&str] = &["md", "toml", "json", "yml", "yaml", "html", "css"];
const TEXT_NAMES: &[&str] = &[
    "Makefile",
    "Dockerfile",
    "fuzz",
    "run",
    "setup",
    ".dockerignore",
    ".editorconfig",
    ".gitignore",
];
/// Where a socket, a file or a clock has no place, and what must not be named there.
const PURE: &[&str] = &["wire/src", "identity/src", "clients/e2ee/src"];
const IMPURE: &[&str] =
    &["std::net", "std::fs", "std::time::Instant", "SystemTime", "std::process", "std::thread"];

/// Reads every file below `root`.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>, String> {
    let mut files = Vec::new();
    walk(root, Path::new(""), &mut files)?;
    files.sort();
    let mut findings = Vec::new();
    for path in &files {
        let full = root.join(path);
        let bytes = fs::read(&full).map_err(|error| format!("{}: {error}", full.display()))?;
        let Ok(text) = String::from_utf8(bytes) else {
            findings.push(Finding::new(
                path.display().to_string(),
                "is not UTF-8",
                "save it as UTF-8",
            ));
            continue;
        };
        findings.extend(file(path, &text));
        if ending(path) == "md" {
            findings.extend(links(root, path, &text));
            findings.extend(names(root, path, &text));
        }
    }
    findings.extend(summary(root, &files));
    Ok(findings)
}

fn walk(root: &Path, at: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let folder = root.join(at);
    let entries =
        fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries {
        let entry = entry.map_err(|error| error.to_string())?;
        let kind = entry.file_type().map_err(|error| error.to_string())?;
        let name = entry.file_name();
        let path = at.join(&name);
        if kind.is_dir() {
            if !SKIPPED.iter().any(|skipped| name == *skipped) {
                walk(root, &path, files)?;
            }
        } else if kind.is_file() && is_text(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_text(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    let ending = ending(path);
    CODE.contains(&ending) || TEXT.contains(&ending) || TEXT_NAMES.contains(&name)
}

fn ending(path: &Path) -> &str {
    path.extension().and_then(|ending| ending.to_str()).unwrap_or("")
}

/// The rules that one file can break by itself.
fn file(path: &Path, text: &str) -> Vec<Finding> {
    let place = path.display().to_string();
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if CODE.contains(&ending(path)) && lines > LINES_MAX {
        findings.push(Finding::new(
            &place,
            format!("has {lines} lines, more than {LINES_MAX}"),
            "split it by the nouns it is about",
        ));
    }
    let pure = PURE.iter().any(|folder| path.starts_with(folder));
    let private = private_paths();
    let unbounded_send = [".do_", "send("].concat();
    for (at, line) in text.lines().enumerate() {
        let here = || format!("{place}:{}", at + 1);
        if private.iter().any(|needle| line.contains(needle)) {
            findings.push(Finding::new(
                here(),
                "names a path of somebody's own machine",
                "make it relative, or take it from an argument or a temporary folder",
            ));
        }
        if ending(path) == "rs" && line.contains(&unbounded_send) {
            findings.push(Finding::new(
                here(),
                "sends past the mailbox' capacity",
                "use try_send on a stored address, by reference, and say what happens if it is full",
            ));
        }
        if pure && let Some(needle) = IMPURE.iter().find(|needle| line.contains(*needle)) {
            findings.push(Finding::new(
                here(),
                format!("names {needle}"),
                "this folder does no I/O and knows no clock: take the value as an argument",
            ));
        }
        if let Some(found) = line.chars().find(|c| is_emoji(*c)) {
            findings.push(Finding::new(
                here(),
                format!("holds the emoji U+{:04X}", u32::from(found)),
                "say it in words; in a test, write it as an escape",
            ));
        }
    }
    findings
}

/// What a path of one machine begins with. Put together here, so that this file does not break
/// its own rule.
fn private_paths() -> Vec<String> {
    ["work", "root", "home", "tmp", "Users"].iter().map(|name| format!("/{name}/")).collect()
}

/// Pictographs; check mark and ballot cross are letters of interfaces.
fn is_emoji(c: char) -> bool {
    matches!(u32::from(c), 0x1F000..=0x1FAFF | 0x2600..=0x27BF | 0x2B50 | 0x2B55 | 0xFE0F)
        && !matches!(c, '\u{2713}' | '\u{2717}')
}

/// Relative links of a Markdown file that lead nowhere.
fn links(root: &Path, path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, target) in targets(text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
        let full = if file.is_empty() { path.to_path_buf() } else { join(path, file) };
        let place = format!("{}:{line}", path.display());
        let absent = |what: &str| {
            Finding::new(&place, format!("links to `{target}`: {what}"), "mend the link")
        };
        if !root.join(&full).exists() {
            findings.push(absent("no such file"));
        } else if !anchor.is_empty() {
            let found = fs::read_to_string(root.join(&full)).unwrap_or_default();
            if !anchors(&found).contains(anchor) {
                findings.push(absent("no such heading"));
            }
        }
    }
    findings
}

/// The targets of `[text](target)` outside code, with their lines.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, line) in prose(text) {
        // Odd parts between backticks are code.
        for part in line.split('`').step_by(2) {
            for piece in part.split("](").skip(1) {
                if let Some((target, _)) = piece.split_once(')') {
                    found.push((at, target.to_owned()));
                }
            }
        }
    }
    found
}

/// The lines outside fenced blocks, numbered from 1.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        if !fence && !fenced {
            found.push((at + 1, line));
        }
    }
    found
}

/// Files and folders that prose names in code, like `src/cli.rs`, and that are not there. A name
/// counts if it begins with a folder of the tree. Decisions are never rewritten, so theirs may be
/// of another day.
fn names(root: &Path, path: &Path, text: &str) -> Vec<Finding> {
    if path.starts_with("docs/decisions") {
        return Vec::new();
    }
    let is_path = |code: &&str| {
        let first = code.split('/').next().unwrap_or("");
        code.contains('/')
            && code.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c))
            && !first.is_empty()
            && !SKIPPED.contains(&first)
            && root.join(first).is_dir()
    };
    let mut findings = Vec::new();
    for (at, line) in prose(text) {
        // Odd parts between backticks are code.
        for code in line.split('`').skip(1).step_by(2).filter(is_path) {
            if !root.join(code).exists() {
                findings.push(Finding::new(
                    format!("{}:{at}", path.display()),
                    format!("names `{code}`, which is not there"),
                    "name what took its place",
                ));
            }
        }
    }
    findings
}

/// `path`'s folder joined with `link`, `..` resolved.
fn join(path: &Path, link: &str) -> PathBuf {
    let mut out = path.parent().unwrap_or(Path::new("")).to_path_buf();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::Normal(name) => out.push(name),
            _ => {}
        }
    }
    out
}

/// The anchors that Markdown renderers make of headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        if !fenced && line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            found.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
        }
    }
    found
}

/// Chapters of the book that its summary does not name.
fn summary(root: &Path, files: &[PathBuf]) -> Vec<Finding> {
    let at = Path::new("docs/SUMMARY.md");
    let Ok(text) = fs::read_to_string(root.join(at)) else { return Vec::new() };
    let named: BTreeSet<PathBuf> =
        targets(&text).iter().map(|(_, target)| join(at, target)).collect();
    files
        .iter()
        .filter(|path| path.starts_with("docs") && ending(path) == "md" && *path != at)
        .filter(|path| !named.contains(*path))
        .map(|path| {
            Finding::new(
                path.display().to_string(),
                "is a chapter that docs/SUMMARY.md does not name",
                "add it there",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(path: &str, text: &str) -> String {
        let found = file(Path::new(path), text);
        assert_eq!(found.len(), 1, "{path}: {found:?}");
        found[0].to_string()
    }

    #[test]
    fn clean_source_passes() {
        assert_eq!(file(Path::new("src/lib.rs"), "//! Fine: \u{2713} \u{e9}\nfn x() {}\n"), vec![]);
    }

    #[test]
    fn each_rule_is_broken_on_purpose() {
        assert!(one("src/a.rs", &"\n".repeat(801)).contains("801 lines"));
        assert!(
            one("docs/a.md", &format!("see {}/x", ["/ho", "me"].concat())).contains("relative")
        );
        assert!(one("src/a.rs", &["address.do_", "send(x);"].concat()).contains("try_send"));
        assert!(one("wire/src/a.rs", "use std::net::TcpStream;").contains("std::net"));
        assert!(one("src/a.rs", "\n// \u{1F680}").contains("src/a.rs:2: holds the emoji U+1F680"));
    }

    #[test]
    fn long_prose_and_data_are_no_source() {
        assert_eq!(file(Path::new("docs/a.md"), &"\n".repeat(2_000)), vec![]);
        assert_eq!(file(Path::new("tests/vectors/a.json"), &"\n".repeat(2_000)), vec![]);
    }

    #[test]
    fn a_whole_tree_is_read_and_build_output_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (path, text) in [
            ("src/a.rs", "\u{1F680}"),
            ("target/debug/b.rs", "\u{1F680}"),
            ("docs/SUMMARY.md", "- [A](a.md)\n- [Lost](lost.md)\n- [1](decisions/1.md)\n"),
            ("docs/a.md", "# One two\n[ok](#one-two) [bad](#three) `[code](none.md)`\n"),
            ("docs/forgotten.md", "[up](../src/a.rs)\n```\n[fenced](none.md)\n```\n"),
            ("README.md", "`src/a.rs` `src/b.rs` `srv/c.rs` `src/*.rs`\n```\n`src/d.rs`\n```\n"),
            ("docs/decisions/1.md", "`src/old.rs`\n"),
        ] {
            let full = root.join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, text).unwrap();
        }
        let texts: Vec<String> =
            check(root).unwrap().iter().map(|finding| finding.to_string()).collect();
        let all = texts.join("\n");
        assert_eq!(texts.len(), 5, "{all}");
        assert!(all.contains("README.md:1: names `src/b.rs`, which is not there"), "{all}");
        assert!(all.contains("src/a.rs:1: holds the emoji"), "{all}");
        assert!(all.contains("docs/SUMMARY.md:2: links to `lost.md`: no such file"), "{all}");
        assert!(all.contains("docs/a.md:2: links to `#three`: no such heading"), "{all}");
        assert!(all.contains("docs/forgotten.md: is a chapter"), "{all}");
    }
}
