//! Zero knowledge in the binary: the server holds no function that opens ciphertext.
//!
//! Reads the symbol tables with `nm`. Mangled Rust names hold every path segment in clear, so no
//! demangling is needed. The check has two controls, without which it would prove nothing: the
//! server's table must name the server's own crates (it is not stripped), and the terminal
//! client's must show the functions that are looked for.

use std::path::Path;
use std::process::Command;

use crate::finding::Finding;

/// A way to open ciphertext, and what its symbols hold.
struct Opener {
    name: &'static str,
    /// Any of these, each of which is a set of parts that must all be there.
    marks: &'static [&'static [&'static str]],
    /// Whether the terminal client uses it, so that it must be seen there.
    in_control: bool,
}

const OPENERS: &[Opener] = &[
    Opener {
        name: "secretbox open",
        marks: &[
            &["crypto_secretbox_open"],
            &["crypto_secretbox_impl4open"],
            &["dryocsecretbox", "decrypt"],
        ],
        in_control: true,
    },
    Opener {
        name: "box open",
        marks: &[
            &["crypto_box_open"],
            &["crypto_box_seal_open"],
            &["dryocbox", "decrypt"],
            &["dryocbox", "precalc_decrypt"],
            &["dryocsealedbox", "4open"],
        ],
        in_control: false,
    },
    Opener {
        name: "KEM decapsulation",
        marks: &[
            &["crypto_kem_dec"],
            &["crypto_kem_xwing_dec"],
            &["crypto_kem_xwing3dec"],
            &["crypto_kem_mlkem768_dec"],
            &["decapsulate"],
            &["decaps_with"],
        ],
        in_control: true,
    },
    Opener {
        name: "AEAD open",
        marks: &[
            &["crypto_aead", "decrypt"],
            &["dryocaead", "decrypt"],
            &["aes_gcm", "decrypt"],
            &["AesGcm", "decrypt"],
            &["AeadInOut", "decrypt"],
        ],
        in_control: true,
    },
    Opener {
        name: "secretstream pull",
        marks: &[
            &["secretstream_xchacha20poly1305_pull"],
            &["secretstream_xchacha20poly1305_init_pull"],
            &["dryocstream", "4pull"],
        ],
        in_control: false,
    },
    Opener {
        name: "the clients' cryptography",
        marks: &[&["hushwire_e2ee"], &["hushwire_client"]],
        in_control: true,
    },
];

/// What the server's own table must name, or it is stripped.
const SERVER_MARK: &str = "hushwire_actors";
/// Fewer symbols than this are a stripped binary, or another one.
const SYMBOLS_MIN: usize = 1_000;

/// Checks the server's binary, with the terminal client's as positive control.
pub(crate) fn check(server: &Path, control: &Path) -> Result<Vec<Finding>, String> {
    Ok(judge(&symbols(server)?, &symbols(control)?, SYMBOLS_MIN))
}

fn judge(server: &str, control: &str, symbols_min: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    if server.lines().count() < symbols_min || !server.contains(SERVER_MARK) {
        findings.push(Finding::new(
            "server binary",
            "shows no symbols of the server's own crates, so it is stripped or another program",
            "build it with `strip = \"none\"` and pass the path of `hushwire`",
        ));
    }
    for opener in OPENERS {
        for line in server.lines().filter(|line| opener.is_in(line)).take(3) {
            let symbol = line.split_whitespace().last().unwrap_or(line);
            findings.push(Finding::new(
                "server binary",
                format!("holds {} ({symbol})", opener.name),
                "the server must not be able to decrypt: find the caller and move it to clients/",
            ));
        }
        if opener.in_control && !control.lines().any(|line| opener.is_in(line)) {
            findings.push(Finding::new(
                "control binary",
                format!(
                    "does not show {}, so its absence in the server proves nothing",
                    opener.name
                ),
                "pass the unstripped path of `hush`; if the function has another name now, add it \
                 to OPENERS in xtask/src/symbols.rs",
            ));
        }
    }
    findings
}

impl Opener {
    fn is_in(&self, symbol: &str) -> bool {
        self.marks.iter().any(|parts| parts.iter().all(|part| symbol.contains(part)))
    }
}

/// The symbols of a binary, one a line.
fn symbols(binary: &Path) -> Result<String, String> {
    let output = Command::new("nm")
        .arg("--defined-only")
        .arg(binary)
        .output()
        .map_err(|error| format!("nm: {error}; it comes with binutils, which gcc needs"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("nm {}: {}", binary.display(), stderr.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// Compiles a program whose modules have the names that real symbols hold.
    fn compile(folder: &Path, name: &str, functions: &[(&str, &str)]) -> PathBuf {
        let mut source = String::new();
        let mut main = String::new();
        for (module, function) in functions {
            source += &format!(
                "pub mod {module} {{ #[inline(never)] pub fn {function}(x: u8) -> u8 \
                 {{ std::hint::black_box(x) }} }}\n"
            );
            main += &format!("{module}::{function}(1);\n");
        }
        source += &format!("fn main() {{ {main} }}\n");
        let (input, output) = (folder.join(format!("{name}.rs")), folder.join(name));
        fs::write(&input, source).unwrap();
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let status = Command::new(rustc)
            .args(["--edition", "2024", "--cap-lints", "allow", "-o"])
            .arg(&output)
            .arg(&input)
            .status()
            .unwrap();
        assert!(status.success());
        output
    }

    const SERVER: &[(&str, &str)] = &[("hushwire_actors", "route")];
    const CONTROL: &[(&str, &str)] = &[
        ("crypto_secretbox", "crypto_secretbox_open_easy"),
        ("crypto_kem_xwing", "dec"),
        ("hushwire_e2ee", "open"),
        ("aes_gcm", "decrypt_inout_detached"),
    ];

    fn verdict(server: &[(&str, &str)], control: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let server = compile(folder.path(), "server", server);
        let control = compile(folder.path(), "control", control);
        let found = judge(&symbols(&server).unwrap(), &symbols(&control).unwrap(), 10);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_server_that_only_routes_passes_beside_a_client_that_opens() {
        assert_eq!(verdict(SERVER, CONTROL), Vec::<String>::new());
    }

    #[test]
    fn a_server_that_can_open_is_found_by_its_symbol() {
        for (module, function) in [
            ("crypto_secretbox", "crypto_secretbox_open_easy"),
            ("crypto_box", "crypto_box_open_easy_afternm"),
            ("crypto_kem_xwing", "dec"),
            ("kem", "crypto_kem_dec"),
            ("aes_gcm", "decrypt_in_place"),
            ("AeadInOut", "decrypt_inout_detached"),
            ("stream", "crypto_secretstream_xchacha20poly1305_pull"),
        ] {
            let server = [SERVER[0], (module, function)];
            let found = verdict(&server, CONTROL);
            assert_eq!(found.len(), 1, "{function}: {found:?}");
            assert!(found[0].contains("holds") && found[0].contains("move it to clients/"));
        }
    }

    #[test]
    fn without_the_positive_control_absence_proves_nothing() {
        let found = verdict(SERVER, &[("main_loop", "run"), CONTROL[1], CONTROL[2], CONTROL[3]]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("control binary: does not show secretbox open"), "{found:?}");
        assert!(found[0].contains("add it to OPENERS"), "{found:?}");
    }

    #[test]
    fn a_stripped_server_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let server = compile(folder.path(), "server", SERVER);
        let control = compile(folder.path(), "control", CONTROL);
        assert!(Command::new("strip").arg(&server).status().unwrap().success());
        let found = judge(&symbols(&server).unwrap(), &symbols(&control).unwrap(), 10);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].to_string().contains("stripped"), "{}", found[0]);
    }

    #[test]
    fn a_binary_that_is_none_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        fs::write(&path, "not a binary").unwrap();
        assert!(check(&path, &path).is_err());
    }
}
