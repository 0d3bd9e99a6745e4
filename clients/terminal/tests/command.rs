//! The real `hush`, without a server: exit codes, words of refusal, and what is left behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn hush(home: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hush"))
        .env_remove("HUSH_HOME")
        .env("HOME", home)
        .env_remove("XDG_DATA_HOME")
        .arg("--home")
        .arg(home.join("account"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn told(output: &Output) -> String {
    assert!(output.stdout.is_empty(), "an error is not for the standard output");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!text.contains('\u{1b}'), "no colours where there is no terminal: {text}");
    text
}

/// An address where nobody listens.
fn nobody() -> String {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{address}")
}

#[test]
fn without_an_account_every_command_says_how_to_get_one() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &["whoami"][..],
        &["chat", "bob", "--json"],
        &["send", "bob", "hello"],
        &["listen"],
        &["history", "bob"],
        &["edit", "bob", "last", "better words"],
        &["remove", "bob", "last"],
        &["react", "bob", "last", "+"],
        &["timer", "bob", "7d"],
        &["profile", "Alice"],
        &["contacts", "list"],
        &["contacts", "add", "bob"],
        &["contacts", "accept", "bob"],
        &["contacts", "verify", "bob"],
        &["contacts", "decline", "bob"],
        &["contacts", "remove", "bob", "--yes"],
        &["contacts", "block", "bob", "--yes"],
        &["contacts", "unblock", "bob"],
        &["presence", "on"],
        &["sessions", "list"],
        &["sessions", "end", "AQEB"],
        &["account", "export", "all.json"],
        &["account", "delete", "--yes", "alice"],
    ] {
        let output = hush(dir.path(), args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let text = told(&output);
        assert!(text.contains("no account") && text.contains("hush register"), "{args:?}: {text}");
        assert!(!dir.path().join("account").exists(), "{args:?} left something behind");
    }
}

#[test]
fn wrong_use_ends_with_2_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &[][..],
        &["register", "Al", "--server", "http://127.0.0.1:1"],
        &["contacts", "add", "no link@"],
        &["send", "bob"],
        &["listen", "--for", "soon"],
        &["edit", "bob", "abc", "words"],
        &["react", "bob", "last"],
        &["timer", "bob", "soon"],
        &["profile", "Alice", "--off"],
        &["contacts", "block"],
        &["presence", "maybe"],
        &["sessions", "end"],
        &["account", "delete", "--yes"],
        &["account", "export"],
        &["whoami", "--passphrase", "--key-file", "k"],
    ] {
        let output = hush(dir.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", told(&output));
        assert!(!dir.path().join("account").exists(), "{args:?} left something behind");
    }
}

#[test]
fn a_server_that_is_away_is_code_4_and_the_folder_can_be_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let url = nobody();
    for _ in 0..2 {
        let output = hush(dir.path(), &["register", "alice", "--server", &url]);
        assert_eq!(output.status.code(), Some(4));
        assert!(told(&output).contains("cannot be reached"));
    }
    let output = hush(dir.path(), &["whoami"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("no account"), "half a registration is no account");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let account = dir.path().join("account");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&account), 0o700);
        for file in fs::read_dir(&account).unwrap() {
            let path = file.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
}

#[test]
fn addresses_and_keys_that_do_not_fit_are_told_with_their_cause() {
    let dir = tempfile::tempdir().unwrap();
    let output = hush(dir.path(), &["register", "alice", "--server", "chat.example.org"]);
    assert_eq!(output.status.code(), Some(1));
    let text = told(&output);
    assert!(text.contains("because:") && text.contains("https://chat.example.org"), "{text}");

    let output = hush(dir.path(), &["register", "alice", "--server", &nobody()]);
    assert_eq!(output.status.code(), Some(4));
    let passphrase = dir.path().join("passphrase");
    fs::write(&passphrase, "correct horse\n").unwrap();
    let words = passphrase.to_str().unwrap();
    let output = hush(dir.path(), &["whoami", "--passphrase-file", words]);
    assert_eq!(output.status.code(), Some(1));
    let text = told(&output);
    assert!(text.contains("key file") && text.contains("leave --passphrase out"), "{text}");
    assert!(!text.contains("correct horse"), "{text}");

    let other = dir.path().join("other.key");
    fs::write(&other, [7; 32]).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let output = hush(dir.path(), &["whoami", "--key-file", other.to_str().unwrap()]);
        assert!(told(&output).contains("others can read"), "{output:?}");
        fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let output = hush(dir.path(), &["whoami", "--key-file", other.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("another store"), "{output:?}");
}

#[test]
fn the_help_teaches_exit_codes_and_json() {
    let dir = tempfile::tempdir().unwrap();
    let help = String::from_utf8(hush(dir.path(), &["--help"]).stdout).unwrap();
    assert!(help.contains("Exit codes") && help.contains("hush register alice"), "{help}");
    let help = String::from_utf8(hush(dir.path(), &["chat", "--help"]).stdout).unwrap();
    assert!(help.contains("retry_in_ms") && help.contains("for_ms"), "{help}");
    assert!(help.contains("/react SYMBOL") && help.contains("--commands"), "{help}");
    for (command, words) in [
        ("edit", "Only the author"),
        ("remove", "Nobody can make a person forget"),
        ("react", "--off"),
        ("timer", "either can change it"),
        ("profile", "Anybody can take any name"),
        ("presence", "you see contacts who show themselves"),
        ("chat", "--no-typing"),
        ("contacts remove", "The other side is not told"),
        ("contacts block", "Unblocking restores nothing"),
        ("sessions end", "It can sign in again"),
        ("account export", "Messages are not in it"),
        ("account delete", "can take the username again"),
    ] {
        let mut args: Vec<&str> = command.split(' ').collect();
        args.push("--help");
        let help = String::from_utf8(hush(dir.path(), &args).stdout).unwrap();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(words), "{command}: {help}");
    }
}
