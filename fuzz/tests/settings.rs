//! The server's settings from files and variables that somebody got wrong: never a panic, never a
//! value repeated in an error, and what is taken is taken again as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use hushwire::Settings;
use hushwire::settings::layers::{Layers, Loaded};
use proptest::prelude::*;

/// A text that stands in no message of ours.
const SECRET: &str = "qzxv";

/// Every key that there is.
fn keys() -> Vec<String> {
    let loaded = Layers::default().load().unwrap();
    loaded.lines().map(|(key, ..)| key.to_owned()).collect()
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(keys()),
        1 => "[a-z]{1,8}(\\.[a-z_]{1,12}){0,2}",
    ]
}

/// What stands after the equals sign in a file.
fn toml_value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        (0..100_000_u32).prop_map(|n| n.to_string()),
        any::<bool>().prop_map(|yes| yes.to_string()),
        "[a-z0-9.:/-]{0,20}".prop_map(|text| format!("\"{text}\"")),
        Just(format!("\"{SECRET}\"")),
        Just(format!("[\"{SECRET}\", 1]")),
        Just(format!("{{ {SECRET} = 1 }}")),
        Just("[\"https://chat.example.org\"]".to_owned()),
        Just("\"127.0.0.1:9999\"".to_owned()),
        Just("1979-05-27".to_owned()),
        Just("1.5".to_owned()),
        // No TOML.
        Just(format!("{SECRET} {SECRET}")),
        Just("\"".to_owned()),
        "\\PC{0,12}",
    ]
}

fn load(file: &str, environment: &[(String, String)]) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hushwire.toml");
    fs::write(&path, file).unwrap();
    let layers = Layers { file: Some(path), environment: environment.to_vec(), flags: Vec::new() };
    layers.load().map_err(|error| error.to_string())
}

/// As a file that says the same.
fn written(loaded: &Loaded) -> String {
    loaded.lines().map(|(key, value, _)| format!("{key} = {value}\n")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn files_are_taken_whole_or_refused_without_an_echo(
        lines in prop::collection::vec((key(), toml_value()), 0..6),
    ) {
        let file: String = lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        match load(&file, &[]) {
            Ok(loaded) => {
                prop_assert!(loaded.settings.validate().is_ok());
                let again = load(&written(&loaded), &[]).unwrap();
                prop_assert_eq!(again.settings, loaded.settings);
            }
            Err(message) => {
                // A key may be repeated, with the nearest one that exists; a value may not.
                let key = message.contains("no such key");
                prop_assert!(key || !message.contains(SECRET), "{}", message);
            }
        }
    }

    #[test]
    fn variables_are_taken_or_refused_without_an_echo(
        variables in prop::collection::vec((key(), "\\PC{0,16}|[0-9]{1,12}|qzxv|true|127.0.0.1:[0-9]{1,5}"), 0..4),
    ) {
        let name = |key: &str| format!("HUSHWIRE__{}", key.replace('.', "__").to_uppercase());
        let environment: Vec<_> =
            variables.iter().map(|(key, text)| (name(key), text.clone())).collect();
        match load("", &environment) {
            Ok(loaded) => {
                let again = load(&written(&loaded), &[]).unwrap();
                prop_assert_eq!(again.settings, loaded.settings);
            }
            Err(message) => prop_assert!(!message.contains(SECRET), "{}", message),
        }
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hushwire.toml");
        fs::write(&path, &bytes).unwrap();
        let loaded = Layers { file: Some(path), ..Layers::default() }.load();
        if let Ok(loaded) = loaded {
            // Comments and nothing else.
            prop_assert_eq!(loaded.settings, Settings::default());
        }
    }
}
