//! Layers of settings: defaults, a file, the environment, flags. The later wins, and each value
//! remembers where it came from.
//!
//! The keys are those of [`Settings`]; whatever else stands in a layer is an error that names
//! the nearest key. Nothing here reads the environment by itself: it is handed in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Value, ValueKind};

use super::{Invalid, Settings};

/// What an environment variable that sets a key begins with: `HUSHWIRE__SERVER__LISTEN`.
pub const ENV_PREFIX: &str = "HUSHWIRE__";
/// The largest file that is read, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// The layers above the defaults, as they come.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The file, if one was named.
    pub file: Option<PathBuf>,
    /// Environment variables; only those that begin with [`ENV_PREFIX`] are looked at.
    pub environment: Vec<(String, String)>,
    /// Flags: name, key and text.
    pub flags: Vec<(String, String, String)>,
}

/// Settings could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum LayersError {
    /// The file cannot be read.
    #[error("{path}: cannot be read")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path}, line {line}: {message}")]
    Syntax {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A layer has a key that does not exist.
    #[error("{key} ({origin}): no such key{}", nearest.as_ref().map(|key| format!("; did you mean {key}?")).unwrap_or_default())]
    Unknown {
        /// Which.
        key: String,
        /// Where it stands.
        origin: String,
        /// The key that is most like it.
        nearest: Option<String>,
    },
    /// A value has another type.
    #[error("{key} ({origin}): expected {expected}")]
    Type {
        /// Which key.
        key: String,
        /// Where it stands.
        origin: String,
        /// What is allowed.
        expected: String,
    },
    /// A value is not allowed.
    #[error("{invalid} ({origin})")]
    Invalid {
        /// Which, and what is allowed.
        invalid: Invalid,
        /// Where it stands.
        origin: String,
    },
}

/// Settings, and where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The result.
    pub settings: Settings,
    values: BTreeMap<String, Value>,
}

impl Layers {
    /// Puts the layers together and checks the result.
    ///
    /// # Errors
    /// For a file that cannot be read, an unknown key, and a value that is not allowed.
    pub fn load(&self) -> Result<Loaded, LayersError> {
        let defaults = defaults();
        let mut layers = Vec::new();
        if let Some(path) = &self.file {
            layers.extend(flatten(read(path)?, Some(&path.display().to_string()), &defaults));
        }
        for (name, text) in &self.environment {
            let Some(rest) = name.strip_prefix(ENV_PREFIX) else { continue };
            let key = rest.to_lowercase().replace("__", ".");
            layers.push((key.clone(), Value::new(Some(name), from_text(&defaults, &key, text))));
        }
        for (name, key, text) in &self.flags {
            layers.push((key.clone(), Value::new(Some(name), from_text(&defaults, key, text))));
        }
        let mut builder = Config::builder();
        for (key, value) in &defaults {
            builder = builder.set_default(key, value.clone()).map_err(broken)?;
        }
        for (key, value) in layers {
            check(&defaults, &key, &value)?;
            builder = builder.set_override(key, value).map_err(broken)?;
        }
        let config = builder.build().map_err(broken)?;
        let values = flatten(config.cache.clone(), None, &BTreeMap::new());
        let settings: Settings = config.try_deserialize().map_err(broken)?;
        settings.validate().map_err(|invalid| {
            let origin = values.get(invalid.key).map_or(DEFAULT, origin).to_owned();
            LayersError::Invalid { invalid, origin }
        })?;
        Ok(Loaded { settings, values })
    }
}

const DEFAULT: &str = "default";

fn origin(value: &Value) -> &str {
    value.origin().unwrap_or(DEFAULT)
}

/// Each value was tried by itself: whatever fails now is the layering itself.
fn broken(_: ConfigError) -> LayersError {
    LayersError::Type {
        key: "settings".to_owned(),
        origin: DEFAULT.to_owned(),
        expected: "another value".to_owned(),
    }
}

impl Loaded {
    /// Every key, its value as TOML (secrets masked) and where it came from.
    pub fn lines(&self) -> impl Iterator<Item = (&str, String, &str)> {
        self.values.iter().map(|(key, value)| (key.as_str(), shown(key, value), origin(value)))
    }
}

/// A value as it may be printed: the last part of a secret's key says that it is one. That none is
/// set may be told.
fn shown(key: &str, value: &Value) -> String {
    let name = key.rsplit('.').next().unwrap_or(key);
    let is_empty = match &value.kind {
        ValueKind::String(text) => text.is_empty(),
        ValueKind::Array(list) => list.is_empty(),
        _ => false,
    };
    let secret = ["secret", "password", "token", "key", "url", "sentinels"]
        .iter()
        .any(|word| name == *word || name.ends_with(&format!("_{word}")))
        && !is_empty;
    // What `config` prints is no TOML: texts have no quotes, lists have them around them.
    let toml = value.clone().try_deserialize::<toml::Value>();
    toml.ok().filter(|_| !secret).map_or("\"***\"".to_owned(), |value| value.to_string())
}

/// The keys that exist, with their defaults.
fn defaults() -> BTreeMap<String, Value> {
    // By way of TOML: `Config::try_from` loses lists that are empty. Neither step can fail.
    let table = toml::Table::try_from(Settings::default()).unwrap_or_default();
    flatten(table.try_into().unwrap_or_default(), None, &BTreeMap::new())
}

/// Tables to dotted keys. A table in the place of a known key stays a value, to be refused.
fn flatten(
    value: Value,
    origin: Option<&String>,
    known: &BTreeMap<String, Value>,
) -> BTreeMap<String, Value> {
    fn walk(
        key: &str,
        value: Value,
        known: &BTreeMap<String, Value>,
        out: &mut BTreeMap<String, Value>,
    ) {
        match value.kind {
            ValueKind::Table(inner) if inner.is_empty() && has_section(known, key) => {}
            ValueKind::Table(inner) if !inner.is_empty() && !known.contains_key(key) => {
                for (name, value) in inner {
                    let key = if key.is_empty() { name } else { format!("{key}.{name}") };
                    walk(&key, value, known, out);
                }
            }
            _ => drop(out.insert(key.to_owned(), value)),
        }
    }
    let mut out = BTreeMap::new();
    walk("", value, known, &mut out);
    if origin.is_some() {
        out.values_mut().for_each(|value| *value = Value::new(origin, value.kind.clone()));
    }
    out
}

fn has_section(known: &BTreeMap<String, Value>, section: &str) -> bool {
    section.is_empty()
        || known
            .keys()
            .any(|key| key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.')))
}

fn read(path: &Path) -> Result<Value, LayersError> {
    let file = |source| LayersError::File { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(file)?.len();
    if size > FILE_MAX {
        return Err(file(std::io::Error::other("larger than 1 MiB")));
    }
    let text = std::fs::read_to_string(path).map_err(file)?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let line = 1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
        LayersError::Syntax { path: path.to_owned(), line, message: error.message().to_owned() }
    })?;
    Ok(table.try_into().unwrap_or_default())
}

/// A text as the type that the key has; as itself if it has none, to be refused.
fn from_text(defaults: &BTreeMap<String, Value>, key: &str, text: &str) -> ValueKind {
    let as_is = || ValueKind::String(text.to_owned());
    match defaults.get(key).map(|value| &value.kind) {
        Some(ValueKind::I64(_)) => text.trim().parse().map_or_else(|_| as_is(), ValueKind::I64),
        Some(ValueKind::Boolean(_)) => {
            text.trim().parse().map_or_else(|_| as_is(), ValueKind::Boolean)
        }
        Some(ValueKind::Array(_)) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            items.map(Value::from).collect::<Vec<_>>().into()
        }
        _ => as_is(),
    }
}

/// Whether the key exists and takes this value.
fn check(defaults: &BTreeMap<String, Value>, key: &str, value: &Value) -> Result<(), LayersError> {
    let origin = origin(value).to_owned();
    let Some(default) = defaults.get(key) else {
        let key = key.to_owned();
        return Err(LayersError::Unknown { nearest: nearest(defaults, &key), key, origin });
    };
    let wrong = |expected: String| LayersError::Type { key: key.to_owned(), origin, expected };
    // `config` takes "yes", true and 1.5 for numbers, and numbers for texts: not here.
    match (&default.kind, &value.kind) {
        (ValueKind::I64(_), ValueKind::I64(0..)) => {}
        (ValueKind::I64(_), _) => return Err(wrong("a whole number of 0 or more".to_owned())),
        (ValueKind::Boolean(_), ValueKind::Boolean(_))
        | (ValueKind::String(_), ValueKind::String(_)) => {}
        (ValueKind::Boolean(_), _) => return Err(wrong("true or false".to_owned())),
        (ValueKind::String(_), _) => return Err(wrong("a text in quotes".to_owned())),
        (ValueKind::Array(_), ValueKind::Array(items))
            if items.iter().all(|item| matches!(item.kind, ValueKind::String(_))) => {}
        _ => return Err(wrong("a list of texts".to_owned())),
    }
    // Addresses, sizes and names that only the field's own type can judge. By way of TOML, whose
    // decoder says what an enum expects.
    let alone = Config::builder().set_override(key, value.clone()).and_then(|b| b.build());
    let alone: toml::Table = alone.and_then(Config::try_deserialize).map_err(broken)?;
    match alone.try_into::<Settings>() {
        Ok(_) => Ok(()),
        Err(error) => Err(wrong(expected_by(error.message()))),
    }
}

/// What a decoder's message expects, without what it found.
fn expected_by(message: &str) -> String {
    match message.split_once("expected ") {
        Some((_, expected)) => expected.to_owned(),
        None if message.contains("socket address") => {
            "an IP address and port like 127.0.0.1:8080".to_owned()
        }
        None => "another value".to_owned(),
    }
}

/// The key that is most like `key`, if one is somewhat.
fn nearest(defaults: &BTreeMap<String, Value>, key: &str) -> Option<String> {
    let name = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let near = |other: &&String| {
        let whole = strsim::normalized_damerau_levenshtein(key, other);
        let last = strsim::normalized_damerau_levenshtein(&name(key), &name(other));
        whole.max(0.95 * last)
    };
    defaults
        .keys()
        .map(|other| (near(&other), other))
        .filter(|(score, _)| *score > 0.6)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, other)| other.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, Layers) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hushwire.toml");
        std::fs::write(&path, text).unwrap();
        (dir, Layers { file: Some(path), ..Layers::default() })
    }

    fn refused(text: &str) -> String {
        let (dir, layers) = file(text);
        let message = layers.load().unwrap_err().to_string();
        message.replace(&format!("{}/", dir.path().display()), "")
    }

    fn origin(loaded: &Loaded, key: &str) -> String {
        loaded.lines().find(|(name, ..)| *name == key).unwrap().2.to_owned()
    }

    #[test]
    fn later_layers_win_and_each_value_says_where_it_came_from() {
        let (_dir, mut layers) = file(
            "[server]\ndomain = \"file.example\"\nlisten = \"127.0.0.1:1\"\nworkers = 3\n[log]\n",
        );
        let path = layers.file.clone().unwrap();
        let env = [("HUSHWIRE__SERVER__LISTEN", "127.0.0.1:2"), ("HUSHWIRE__SERVER__WORKERS", "4")];
        layers.environment = env.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec();
        layers.environment.push(("PATH".to_owned(), "/bin".to_owned()));
        let flag = ("--listen", "server.listen", "127.0.0.1:3");
        layers.flags = vec![(flag.0.to_owned(), flag.1.to_owned(), flag.2.to_owned())];
        let loaded = layers.load().unwrap();
        let server = &loaded.settings.server;
        assert_eq!((server.domain.as_str(), server.workers), ("file.example", 4));
        assert_eq!(server.listen.port(), 3);
        assert_eq!(origin(&loaded, "server.domain"), path.display().to_string());
        let name = "HUSHWIRE__SERVER__WORKERS".to_owned();
        assert_eq!(origin(&loaded, "server.workers"), name);
        assert_eq!(origin(&loaded, "server.listen"), "--listen");
        assert_eq!(origin(&loaded, "log.level"), "default");
    }

    #[test]
    fn lists_come_from_the_environment_separated_by_commas() {
        let name = "HUSHWIRE__SOCKETS__ORIGINS".to_owned();
        let text = "https://a.example, https://b.example".to_owned();
        let layers = Layers { environment: vec![(name, text)], ..Layers::default() };
        let origins = layers.load().unwrap().settings.sockets.origins;
        assert_eq!(origins, ["https://a.example", "https://b.example"]);
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest_one() {
        assert_eq!(
            refused("[server]\nlsten = \"127.0.0.1:1\"\n"),
            "server.lsten (hushwire.toml): no such key; did you mean server.listen?"
        );
        assert_eq!(
            refused("message_interval_ms = 5\n"),
            "message_interval_ms (hushwire.toml): no such key; did you mean limits.message_interval_ms?"
        );
        assert_eq!(refused("[zzz]\nqqq = 1\n"), "zzz.qqq (hushwire.toml): no such key");
        assert_eq!(refused("[zzz]\n"), "zzz (hushwire.toml): no such key");
        let name = "HUSHWIRE__LOG__LEVL".to_owned();
        let layers = Layers { environment: vec![(name, "debug".to_owned())], ..Layers::default() };
        assert_eq!(
            layers.load().unwrap_err().to_string(),
            "log.levl (HUSHWIRE__LOG__LEVL): no such key; did you mean log.level?"
        );
    }

    #[test]
    fn values_of_the_wrong_kind_are_refused_without_repeating_them() {
        for (text, expected) in [
            (
                "server.workers = \"many\"",
                "server.workers (hushwire.toml): expected a whole number of 0 or more",
            ),
            (
                "server.workers = -1",
                "server.workers (hushwire.toml): expected a whole number of 0 or more",
            ),
            ("server.backlog = 99999999999", "server.backlog (hushwire.toml): expected u32"),
            ("server.listen = 8080", "server.listen (hushwire.toml): expected a text in quotes"),
            (
                "server.listen = \"here\"",
                "server.listen (hushwire.toml): expected an IP address and port like 127.0.0.1:8080",
            ),
            ("server = 1", "server (hushwire.toml): no such key"),
            ("sockets.origins = [1]", "sockets.origins (hushwire.toml): expected a list of texts"),
            (
                "limits.epochs_per_day = 1000",
                "limits.epochs_per_day: expected at most 256 (hushwire.toml)",
            ),
        ] {
            assert_eq!(refused(text), expected, "{text}");
        }
        let format = refused("log.format = \"xml\"");
        assert!(format.starts_with("log.format (hushwire.toml): expected "), "{format}");
        assert!(format.contains("json") && !format.contains("xml"), "{format}");
    }

    #[test]
    fn a_file_that_is_missing_or_no_toml_is_refused() {
        let syntax = refused("[server]\ndomain = \n");
        assert!(syntax.starts_with("hushwire.toml, line 2: "), "{syntax}");
        let path = PathBuf::from("does-not-exist.toml");
        let missing = Layers { file: Some(path), ..Layers::default() }.load().unwrap_err();
        assert!(matches!(missing, LayersError::File { .. }));
    }

    #[test]
    fn secrets_are_masked() {
        let value = Value::from("hunter2");
        assert_eq!(shown("redis.password", &value), "\"***\"");
        assert_eq!(shown("turn.shared_secret", &value), "\"***\"");
        assert_eq!(shown("database.url", &value), "\"***\"");
        assert_eq!(shown("database.url", &Value::from("")), "\"\"");
        assert_eq!(shown("redis.sentinels", &Value::from(vec!["redis://:x@y:1"])), "\"***\"");
        assert_eq!(shown("redis.sentinels", &Value::from(Vec::<&str>::new())), "[]");
        assert_eq!(shown("server.domain", &value), "\"hunter2\"");
    }

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
    }

    #[test]
    fn the_reference_file_has_every_key_with_its_default() {
        let table = read(&folder().join("default.toml")).unwrap();
        let written = flatten(table, None, &defaults());
        assert_eq!(written, defaults());
    }

    #[test]
    fn the_examples_are_allowed() {
        for name in ["default.toml", "development.toml", "production.example.toml"] {
            let layers = Layers { file: Some(folder().join(name)), ..Layers::default() };
            layers.load().unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
