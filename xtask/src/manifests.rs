//! Every package inherits the version and the lints of the workspace, so that both are stated
//! once, and none is published by accident.

use std::fs;
use std::path::Path;

use crate::finding::Finding;
use crate::graph::Graph;

/// What a `[package]` table must inherit.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "publish"];

/// Reads the manifest of each of our packages.
pub(crate) fn check(root: &Path, graph: &Graph) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for package in graph.ours() {
        let path = &package.manifest_path;
        let text =
            fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let place = path.strip_prefix(root).unwrap_or(path).display().to_string();
        findings.extend(manifest(&place, &text)?);
    }
    Ok(findings)
}

fn manifest(place: &str, text: &str) -> Result<Vec<Finding>, String> {
    let table: toml::Table = toml::from_str(text).map_err(|error| format!("{place}: {error}"))?;
    let inherits = |key: &str, value: Option<&toml::Value>| {
        value
            .and_then(|value| value.get("workspace"))
            .and_then(toml::Value::as_bool)
            .is_none_or(|yes| !yes)
            .then(|| key.to_owned())
    };
    let package = table.get("package");
    let missing = INHERITED
        .iter()
        .filter_map(|key| inherits(&format!("package.{key}"), package.and_then(|p| p.get(key))))
        .chain(
            // The root manifest is the workspace's own: its package inherits like the others.
            inherits("lints", table.get("lints")),
        );
    Ok(missing
        .map(|key| {
            let (what, remedy) = if key == "lints" {
                ("does not inherit the workspace's lints", "add `[lints]` with `workspace = true`")
            } else {
                ("does not inherit from the workspace", "write `KEY.workspace = true`")
            };
            Finding::new(place, format!("{key} {what}"), remedy.replace("KEY", &key))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"x\"\nversion.workspace = true\n\
        edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
        publish.workspace = true\n[lints]\nworkspace = true\n";

    #[test]
    fn a_manifest_that_inherits_passes() {
        assert_eq!(manifest("x/Cargo.toml", GOOD).unwrap(), vec![]);
    }

    #[test]
    fn lints_of_its_own_are_found() {
        let own = GOOD.replace("[lints]\nworkspace = true\n", "[lints.rust]\nunused = \"allow\"\n");
        let text = manifest("x/Cargo.toml", &own).unwrap()[0].to_string();
        assert!(text.contains("lints does not inherit"), "{text}");
        assert!(text.contains("workspace = true"), "{text}");
    }

    #[test]
    fn a_version_of_its_own_is_found() {
        let own = GOOD.replace("version.workspace = true\ned", "version = \"0.2.0\"\ned");
        let text = manifest("x/Cargo.toml", &own).unwrap()[0].to_string();
        assert!(text.contains("package.version.workspace = true"), "{text}");
    }
}
