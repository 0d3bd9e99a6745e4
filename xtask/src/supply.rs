//! Licences and bans of everything that is linked, from `deny.toml`, so that they hold where
//! `cargo deny` is not installed too.
//!
//! Reads the allow-list and the bans from the same file. It does not read advisories: those need
//! a database that changes daily.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::finding::Finding;
use crate::graph::Graph;

#[derive(Debug, Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    /// Who may import it directly; nobody if empty.
    #[serde(default)]
    wrappers: Vec<String>,
    reason: String,
}

/// Checks every package of the graph against `deny.toml`.
pub(crate) fn check(root: &Path, graph: &Graph) -> Result<Vec<Finding>, String> {
    let text = fs::read_to_string(root.join("deny.toml"))
        .map_err(|error| format!("deny.toml: {error}"))?;
    judge(&text, graph)
}

fn judge(deny: &str, graph: &Graph) -> Result<Vec<Finding>, String> {
    let deny: Deny = toml::from_str(deny).map_err(|error| format!("deny.toml: {error}"))?;
    let mut findings = Vec::new();
    for package in &graph.packages {
        let place = format!("{} {}", package.name, package.version);
        let licence = package.license.as_deref().unwrap_or("");
        if !permitted(licence, &deny.licenses.allow) {
            findings.push(Finding::new(
                &place,
                format!("has the licence `{licence}`, which deny.toml does not allow"),
                "use another package, or, if the licence fits MIT OR Apache-2.0, allow it in \
                 deny.toml",
            ));
        }
        for ban in deny.bans.deny.iter().filter(|ban| ban.name == package.name) {
            findings.extend(banned(ban, graph));
        }
    }
    Ok(findings)
}

fn banned(ban: &Ban, graph: &Graph) -> Vec<Finding> {
    if ban.wrappers.is_empty() {
        let finding =
            Finding::new(&ban.name, "is in the graph and banned by deny.toml", &ban.reason);
        return vec![finding];
    }
    graph
        .packages
        .iter()
        .filter(|package| !ban.wrappers.contains(&package.name))
        .filter(|package| package.dependencies.iter().any(|d| d.is_linked() && d.name == ban.name))
        .map(|package| {
            Finding::new(
                &package.name,
                format!("imports {}, which only {} may", ban.name, ban.wrappers.join(", ")),
                &ban.reason,
            )
        })
        .collect()
}

/// Whether an SPDX expression can be met with the licences in `allow`. What cannot be read is not
/// permitted.
fn permitted(expression: &str, allow: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    any_of(&tokens, &mut at, allow).is_some_and(|ok| ok && at == tokens.len())
}

/// `all_of (OR all_of)*`
fn any_of(tokens: &[&str], at: &mut usize, allow: &[String]) -> Option<bool> {
    let mut ok = all_of(tokens, at, allow)?;
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        ok |= all_of(tokens, at, allow)?;
    }
    Some(ok)
}

/// `one (AND one)*`
fn all_of(tokens: &[&str], at: &mut usize, allow: &[String]) -> Option<bool> {
    let mut ok = one(tokens, at, allow)?;
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        ok &= one(tokens, at, allow)?;
    }
    Some(ok)
}

/// `( any_of )`, or a licence with its exception
fn one(tokens: &[&str], at: &mut usize, allow: &[String]) -> Option<bool> {
    let token = *tokens.get(*at)?;
    *at += 1;
    if token == "(" {
        let ok = any_of(tokens, at, allow)?;
        let closed = tokens.get(*at) == Some(&")");
        *at += 1;
        return closed.then_some(ok);
    }
    let mut licence = token.to_owned();
    if tokens.get(*at) == Some(&"WITH") {
        licence = format!("{token} WITH {}", tokens.get(*at + 1)?);
        *at += 2;
    }
    Some(allow.contains(&licence))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(packages: &[(&str, Option<&str>, &[&str])]) -> Graph {
        let packages: Vec<serde_json::Value> = packages
            .iter()
            .map(|(name, license, dependencies)| {
                let dependencies: Vec<_> = dependencies
                    .iter()
                    .map(|name| serde_json::json!({ "name": name, "kind": null }))
                    .collect();
                serde_json::json!({
                    "name": name, "version": "1.0.0", "id": name, "license": license,
                    "manifest_path": "Cargo.toml", "dependencies": dependencies,
                })
            })
            .collect();
        serde_json::from_value(serde_json::json!({
            "packages": packages, "workspace_members": [], "workspace_root": ".",
        }))
        .unwrap()
    }

    const DENY: &str = r#"
        [licenses]
        allow = ["MIT", "Apache-2.0", "ISC"]
        [bans]
        deny = [
            { crate = "openssl-sys", reason = "rustls with ring only" },
            { crate = "hushwire-e2ee", wrappers = ["hushwire-client"], reason = "clients only" },
        ]
    "#;

    fn texts(packages: &[(&str, Option<&str>, &[&str])]) -> Vec<String> {
        judge(DENY, &graph(packages)).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn expressions_are_read_as_spdx_says() {
        let allow = ["MIT".to_owned(), "ISC".to_owned(), "A WITH x".to_owned()];
        for good in ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "(GPL-3.0 OR MIT) AND ISC", "A WITH x"]
        {
            assert!(permitted(good, &allow), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "A", "A WITH y", "(MIT", "MIT)", "MIT OR"] {
            assert!(!permitted(bad, &allow), "{bad}");
        }
    }

    #[test]
    fn a_foreign_licence_is_found() {
        assert_eq!(texts(&[("good", Some("MIT OR Apache-2.0"), &[])]), Vec::<String>::new());
        let found = texts(&[("bad", Some("AGPL-3.0"), &[]), ("none", None, &[])]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("AGPL-3.0") && found[0].contains("allow it in deny.toml"));
    }

    #[test]
    fn a_banned_package_is_found_with_its_reason() {
        let found = texts(&[("openssl-sys", Some("MIT"), &[])]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("rustls with ring only"), "{found:?}");
    }

    #[test]
    fn a_wrapped_package_is_found_below_anything_else() {
        let found = texts(&[
            ("hushwire-e2ee", Some("MIT"), &[]),
            ("hushwire-client", Some("MIT"), &["hushwire-e2ee"]),
            ("hushwire", Some("MIT"), &["hushwire-e2ee"]),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("hushwire: imports hushwire-e2ee"), "{found:?}");
    }
}
