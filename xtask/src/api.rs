//! Descriptions of the interface, made from the types: `docs/api/` and `docs/limits.md`.
//!
//! Nothing in them is written by hand: words come from doc comments, bounds from `wire::limits`.
//! `--check` fails when what is committed differs from what would be written.

mod asyncapi;
mod expression;
mod limits;
mod openapi;
mod routes;
mod source;
mod types;

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Writes the files, or says which of them differ.
pub(crate) fn run(root: &Path, check: bool) -> Result<(), String> {
    let schemas = types::schemas();
    let files = [
        ("docs/api/schema.json", pretty(&types::document(&schemas))?),
        ("docs/api/openapi.json", pretty(&openapi::document(&schemas))?),
        ("docs/api/asyncapi.json", pretty(&asyncapi::document(&schemas))?),
        ("docs/limits.md", limits::page(root)?),
    ];
    let mut differ = Vec::new();
    for (name, text) in &files {
        let path = root.join(name);
        if !check {
            fs::write(&path, text).map_err(|error| format!("{name}: {error}"))?;
        } else if fs::read_to_string(&path).ok().as_deref() != Some(text) {
            differ.push(*name);
        }
    }
    if differ.is_empty() {
        return Ok(());
    }
    Err(format!("not what the types say: {}. Run `cargo xtask api`.", differ.join(", ")))
}

fn pretty(value: &Value) -> Result<String, String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_what_the_types_say() {
        run(&crate::root(), true).unwrap();
    }

    #[test]
    fn what_differs_is_named() {
        let empty = tempfile::tempdir().unwrap();
        for name in ["wire/src", "actors/src", "config", "docs/api"] {
            fs::create_dir_all(empty.path().join(name)).unwrap();
        }
        for name in ["wire/src/limits.rs", "actors/src/limits.rs", "config/default.toml"] {
            fs::copy(crate::root().join(name), empty.path().join(name)).unwrap();
        }
        run(empty.path(), false).unwrap();
        run(empty.path(), true).unwrap();
        fs::write(empty.path().join("docs/limits.md"), "by hand").unwrap();
        let error = run(empty.path(), true).unwrap_err();
        assert!(error.contains("docs/limits.md") && !error.contains("openapi"), "{error}");
    }
}
