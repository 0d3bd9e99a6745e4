//! The import rules (ARCHITECTURE, "Who may import whom"), read from `cargo metadata`, and zero
//! knowledge in the graph, read from `cargo tree`.
//!
//! A chain `a <- b <- c` lets each package import everything to its left. What no row allows is
//! forbidden: a new package needs a new row. Only normal and build dependencies count; tests may
//! import what they like.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::finding::Finding;

/// Who may import which of our packages.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("hushwire-wire", &[]),
    ("hushwire-identity", &["hushwire-wire"]),
    ("hushwire-schema", &["hushwire-wire", "hushwire-identity"]),
    ("hushwire-actors", &["hushwire-wire"]),
    ("hushwire-redis", &["hushwire-wire", "hushwire-actors"]),
    (
        "hushwire",
        &[
            "hushwire-wire",
            "hushwire-identity",
            "hushwire-schema",
            "hushwire-actors",
            "hushwire-redis",
        ],
    ),
    // Starts real processes for tests; linked into no server and no client.
    ("hushwire-testbed", &[]),
    ("hushwire-e2ee", &["hushwire-wire", "hushwire-identity"]),
    ("hushwire-client", &["hushwire-wire", "hushwire-identity", "hushwire-e2ee"]),
    ("hushwire-chat", &["hushwire-wire", "hushwire-identity", "hushwire-e2ee", "hushwire-client"]),
    // Measures from outside, as a client; the bare relay shares the frame codec only.
    (
        "hushwire-benches",
        &["hushwire-wire", "hushwire-identity", "hushwire-e2ee", "hushwire-testbed"],
    ),
    // Feeds every parser from outside; linked into nothing.
    ("hushwire-fuzz", &["hushwire-wire", "hushwire-identity", "hushwire-e2ee", "hushwire-client"]),
    // Attacks a running server, as clients; linked into nothing but a test.
    (
        "hushwire-fuzz-live",
        &["hushwire-wire", "hushwire-identity", "hushwire-e2ee", "hushwire-fuzz"],
    ),
    // Breaks a cluster under people with the SDK; linked into nothing but a test.
    ("hushwire-chaos", &["hushwire-wire", "hushwire-client", "hushwire-testbed"]),
    // Drives the engine's values; linked into nothing.
    ("hushwire-model", &["hushwire-wire", "hushwire-actors"]),
    // Describes the types, behind its feature `api`.
    ("xtask", &["hushwire-wire"]),
];

/// Which outside packages one of ours must not import. A trailing `*` is any ending.
const MUST_NOT_IMPORT: &[(&str, &[&str], &str)] = &[
    ("hushwire-wire", NO_IO, "wire/ does no I/O and knows no clock"),
    ("hushwire-identity", NO_IO, "identity/ verifies, hashes and compares; it does no I/O"),
    (
        "hushwire-actors",
        &["diesel*", "libsqlite3-sys", "redis", "bb8*", "actix-web*", "reqwest", "dryoc"],
        "actors/ knows no database, no Redis, no HTTP and no cryptography: declare a port in \
         actors/src/ports.rs and implement it in src/adapters/",
    ),
    ("hushwire-schema", &["actix*", "reqwest", "redis"], "schema/ is what is durable, only"),
    (
        "hushwire-e2ee",
        &[
            "tokio*",
            "actix*",
            "getrandom",
            "rand",
            "diesel*",
            "reqwest",
            "hyper*",
            "socket2",
            "mio",
            "rusqlite",
        ],
        "clients/e2ee does no I/O, knows no clock and is handed its randomness",
    ),
];

const NO_IO: &[&str] =
    &["tokio*", "actix*", "reqwest", "hyper*", "diesel*", "socket2", "mio", "getrandom", "rand"];

/// The packages that may hold a private key: never in the server's graph.
const CLIENT_FOLDERS: &[&str] = &["clients", "load"];
const CLIENT_PACKAGES: &[&str] =
    &["hushwire-e2ee", "hushwire-client", "hushwire-chat", "hushwire-load"];

/// What `cargo xtask api` is built with, and the server never.
const DESCRIBES: &str = "schemars";

/// What `cargo metadata` says of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Graph {
    pub(crate) packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    pub(crate) workspace_root: PathBuf,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    id: String,
    pub(crate) license: Option<String>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    kind: Option<String>,
}

impl Dependency {
    /// Whether it ends up in the program: everything but what only tests use.
    pub(crate) fn is_linked(&self) -> bool {
        self.kind.as_deref() != Some("dev")
    }
}

impl Graph {
    /// Asks cargo for the whole graph of the workspace in `root`.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let text = cargo(root, &["metadata", "--format-version", "1"])?;
        serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))
    }

    /// Our own packages.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// Which imports break the rules.
    pub(crate) fn imports(&self) -> Vec<Finding> {
        let ours: BTreeSet<&str> = self.ours().map(|package| package.name.as_str()).collect();
        self.ours().flat_map(|package| package_imports(package, &ours)).collect()
    }

    /// Names that must not appear in the server's tree.
    fn client_packages(&self) -> BTreeSet<String> {
        let in_client_folder = |package: &&Package| {
            package
                .manifest_path
                .strip_prefix(&self.workspace_root)
                .ok()
                .and_then(|path| path.components().next())
                .is_some_and(|first| CLIENT_FOLDERS.iter().any(|f| first.as_os_str() == *f))
        };
        let found = self.ours().filter(in_client_folder).map(|package| package.name.clone());
        found.chain(CLIENT_PACKAGES.iter().map(|name| (*name).to_owned())).collect()
    }
}

fn package_imports(package: &Package, ours: &BTreeSet<&str>) -> Vec<Finding> {
    let name = package.name.as_str();
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(row, _)| *row == name) else {
        return vec![Finding::new(
            name,
            "no import rule names this package",
            "add a row for it to MAY_IMPORT in xtask/src/graph.rs and to the architecture",
        )];
    };
    let linked: BTreeSet<&str> = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.is_linked())
        .map(|dependency| dependency.name.as_str())
        .collect();
    let mut findings = Vec::new();
    for import in linked {
        if ours.contains(import) && !allowed.contains(&import) {
            findings.push(Finding::new(
                name,
                format!("imports {import}, which the architecture forbids"),
                format!(
                    "it may import {}; move the code, or declare a port and implement it further \
                     out",
                    if allowed.is_empty() { "none of ours".to_owned() } else { allowed.join(", ") }
                ),
            ));
        }
        for (_, banned, why) in MUST_NOT_IMPORT.iter().filter(|(row, _, _)| *row == name) {
            if banned.iter().any(|pattern| matches(pattern, import)) {
                findings.push(Finding::new(name, format!("imports {import}"), *why));
            }
        }
    }
    findings
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

/// Zero knowledge in the graph: what the server links names no package that can decrypt.
pub(crate) fn server_tree(root: &Path, graph: &Graph) -> Result<Vec<Finding>, String> {
    let tree = cargo(root, &["tree", "-p", "hushwire", "-e", "normal,build", "--prefix", "none"])?;
    Ok(tree_findings(&tree, &graph.client_packages()))
}

fn tree_findings(tree: &str, clients: &BTreeSet<String>) -> Vec<Finding> {
    let names: BTreeSet<&str> = tree.lines().filter_map(|l| l.split_whitespace().next()).collect();
    if !names.contains("hushwire") {
        return vec![Finding::new(
            "cargo tree -p hushwire",
            "does not name the server itself, so it proves nothing",
            "run it by hand and see what it prints",
        )];
    }
    let described = names.contains(DESCRIBES).then(|| {
        Finding::new(
            "cargo tree -p hushwire",
            format!("names {DESCRIBES}, which describes types and has no place in a server"),
            "leave the feature `schema` of hushwire-wire to xtask's feature `api`",
        )
    });
    names
        .into_iter()
        .filter(|name| clients.contains(*name))
        .map(|name| {
            Finding::new(
                "cargo tree -p hushwire",
                format!("names {name}, which can hold a private key"),
                "the server must not be able to decrypt: see who imports it with `cargo tree -p \
                 hushwire -e normal,build -i` and remove that import",
            )
        })
        .chain(described)
        .collect()
}

/// Runs cargo in `root` and returns what it prints.
pub(crate) fn cargo(root: &Path, args: &[&str]) -> Result<String, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(args)
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo {}: {error}", args.join(" ")))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo {}: {}", args.join(" "), stderr.trim()));
    }
    String::from_utf8(output.stdout).map_err(|_| "cargo did not print UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A workspace of empty packages, each with the dependencies given.
    fn workspace(packages: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let members: Vec<String> =
            packages.iter().map(|(path, _, _)| format!("{path:?}")).collect();
        let manifest =
            format!("[workspace]\nresolver = \"3\"\nmembers = [{}]\n", members.join(", "));
        fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
        for (path, name, dependencies) in packages {
            let at = folder.path().join(path);
            fs::create_dir_all(at.join("src")).unwrap();
            fs::write(at.join("src/lib.rs"), "").unwrap();
            let manifest = format!(
                "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{dependencies}"
            );
            fs::write(at.join("Cargo.toml"), manifest).unwrap();
        }
        folder
    }

    fn findings(packages: &[(&str, &str, &str)]) -> Vec<Finding> {
        let folder = workspace(packages);
        Graph::read(folder.path()).unwrap().imports()
    }

    #[test]
    fn a_forbidden_edge_is_found_and_says_what_to_do() {
        let found = findings(&[
            ("wire", "hushwire-wire", ""),
            (
                "schema",
                "hushwire-schema",
                "[dependencies]\nhushwire-wire = { path = \"../wire\" }\n",
            ),
            (
                "actors",
                "hushwire-actors",
                "[dependencies]\nhushwire-schema = { path = \"../schema\" }\n",
            ),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        let text = found[0].to_string();
        assert!(text.contains("hushwire-actors: imports hushwire-schema"), "{text}");
        assert!(text.contains("it may import hushwire-wire"), "{text}");
        assert!(text.contains("declare a port"), "{text}");
    }

    #[test]
    fn a_build_dependency_counts_and_a_test_dependency_does_not() {
        let edge = |kind: &str| {
            findings(&[
                ("e2ee", "hushwire-e2ee", ""),
                (
                    "server",
                    "hushwire",
                    &format!("[{kind}]\nhushwire-e2ee = {{ path = \"../e2ee\" }}\n"),
                ),
            ])
            .len()
        };
        assert_eq!(edge("dependencies"), 1);
        assert_eq!(edge("build-dependencies"), 1);
        assert_eq!(edge("target.'cfg(windows)'.dependencies"), 1);
        assert_eq!(edge("dev-dependencies"), 0);
    }

    #[test]
    fn an_outside_package_is_refused_where_it_does_not_belong() {
        let found = findings(&[
            ("diesel", "diesel_migrations", ""),
            ("tokio", "tokio-util", ""),
            (
                "actors",
                "hushwire-actors",
                "[dependencies]\ndiesel_migrations = { path = \"../diesel\" }\n",
            ),
            ("e2ee", "hushwire-e2ee", "[dependencies]\ntokio-util = { path = \"../tokio\" }\n"),
        ]);
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(texts.iter().any(|t| t.contains("knows no database")), "{texts:?}");
        assert!(texts.iter().any(|t| t.contains("does no I/O, knows no clock")), "{texts:?}");
    }

    #[test]
    fn a_package_without_a_rule_is_found() {
        let found = findings(&[("new", "hushwire-brand-new", "")]);
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().contains("add a row"), "{}", found[0]);
    }

    #[test]
    fn a_tree_that_names_a_client_is_found_through_any_path() {
        let packages = |edge: &str| {
            workspace(&[
                ("clients/sub", "hushwire-new-client", ""),
                ("wire", "hushwire-wire", edge),
                ("server", "hushwire", "[dependencies]\nhushwire-wire = { path = \"../wire\" }\n"),
            ])
        };
        let found = |folder: &tempfile::TempDir| {
            let graph = Graph::read(folder.path()).unwrap();
            server_tree(folder.path(), &graph).unwrap()
        };
        let kept = packages("");
        assert_eq!(found(&kept), vec![]);
        let broken =
            packages("[dependencies]\nhushwire-new-client = { path = \"../clients/sub\" }\n");
        let text = found(&broken)[0].to_string();
        assert!(text.contains("names hushwire-new-client"), "{text}");
        assert!(text.contains("must not be able to decrypt"), "{text}");
    }

    #[test]
    fn an_empty_tree_proves_nothing() {
        let clients = BTreeSet::from(["hushwire-e2ee".to_owned()]);
        assert_eq!(tree_findings("", &clients).len(), 1);
        assert_eq!(tree_findings("hushwire v0.1.0\nserde v1.0.0\n", &clients), vec![]);
        assert_eq!(tree_findings("hushwire v0.1.0\nhushwire-e2ee v0.1.0 (x)\n", &clients).len(), 1);
        let described = tree_findings("hushwire v0.1.0\nschemars v1.2.3\n", &clients);
        assert!(described[0].to_string().contains("feature `schema`"), "{described:?}");
    }
}
