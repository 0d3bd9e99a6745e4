//! The files: what is common to all kinds, and how a case is held against this implementation.
//!
//! A case is read, made anew from its inputs, and compared whole. What is read is also written
//! again and compared, so that unknown or missing fields, other spellings and numbers that are
//! none cannot pass.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(super) const FORMAT: &str = "hw1-vectors/1";
/// The largest integer that every reader of JSON takes: 2^53 - 1.
const INT_MAX: u64 = (1 << 53) - 1;
/// Why a case does not hold.
pub(super) type Fault = String;

/// One kind of case.
pub(super) trait Case: Serialize + DeserializeOwned {
    /// The kind, as the file names it.
    const KIND: &'static str;

    fn name(&self) -> &str;

    /// The same inputs with everything that follows from them computed by this implementation,
    /// and what was sealed opened.
    fn made(&self) -> Result<Self, Fault>;
}

/// A file of one kind.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File<C> {
    pub(super) format: String,
    pub(super) kind: String,
    pub(super) made_by: String,
    pub(super) cases: Vec<C>,
}

/// The file's kind.
pub(super) fn kind_of(text: &str) -> Result<String, Fault> {
    let file: File<Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(file.kind)
}

/// Checks a file of cases of `C` and gives their number.
pub(super) fn check<C: Case>(text: &str) -> Result<usize, Fault> {
    let file: File<C> = parse(text)?;
    if file.format != FORMAT || file.kind != C::KIND || file.made_by.is_empty() {
        return Err("another format or kind".to_owned());
    }
    let mut names = BTreeSet::new();
    let mut faults = Vec::new();
    for case in &file.cases {
        let outcome = case.made().and_then(|ours| same(&ours, case));
        if let Err(fault) = outcome {
            faults.push(format!("{}, {:?}: {fault}", C::KIND, case.name()));
        }
        if !names.insert(case.name()) {
            faults.push(format!("{}, {:?}: the name stands twice", C::KIND, case.name()));
        }
    }
    if faults.is_empty() { Ok(file.cases.len()) } else { Err(faults.join("\n")) }
}

/// Reads strictly: what is written again is what was read.
pub(super) fn parse<T: DeserializeOwned + Serialize>(text: &str) -> Result<T, Fault> {
    let read: T = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let raw: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    numbers(&raw)?;
    same(&read, &raw).map_err(|fault| format!("not as it is written: {fault}"))?;
    Ok(read)
}

fn numbers(value: &Value) -> Result<(), Fault> {
    match value {
        Value::Number(number) if number.as_u64().is_none_or(|number| number > INT_MAX) => {
            Err(format!("{number} is no integer of at most 2^53 - 1"))
        }
        Value::Array(items) => items.iter().try_for_each(numbers),
        Value::Object(fields) => fields.values().try_for_each(numbers),
        _ => Ok(()),
    }
}

/// Whether both are written alike; the fault names the first place where they are not.
pub(super) fn same(ours: &impl Serialize, theirs: &impl Serialize) -> Result<(), Fault> {
    let json = |error: serde_json::Error| error.to_string();
    let ours = serde_json::to_value(ours).map_err(json)?;
    compare(&ours, &serde_json::to_value(theirs).map_err(json)?, "")
}

fn compare(ours: &Value, theirs: &Value, at: &str) -> Result<(), Fault> {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            for name in a.keys().chain(b.keys()) {
                let missing = || format!("{at}/{name} is on one side only");
                let (a, b) = (a.get(name), b.get(name));
                compare(a.ok_or_else(missing)?, b.ok_or_else(missing)?, &format!("{at}/{name}"))?;
            }
            Ok(())
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let pairs = a.iter().zip(b).enumerate();
            pairs.into_iter().try_for_each(|(i, (a, b))| compare(a, b, &format!("{at}/{i}")))
        }
        _ if ours == theirs => Ok(()),
        _ => Err(format!("{at} is {}, ours is {}", short(theirs), short(ours))),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}.. ({} characters)", &text[..end], text.len()),
        None => text,
    }
}

/// The check itself can fail: by every rule that is common to all files.
#[test]
fn what_is_not_as_it_should_be_is_noticed() {
    use super::files::Padme;
    use super::people::RecoveryRefused;
    let padme = |case: &str| {
        let head = r#""format": "hw1-vectors/1", "kind": "padme", "made_by": "nobody""#;
        check::<Padme>(&format!(r#"{{{head}, "cases": [{case}]}}"#))
    };
    let good = r#"{"name": "9", "size": 9, "padded": 10}"#;
    assert_eq!(padme(good), Ok(1));
    for bad in [
        r#"{"name": "9", "size": 9, "padded": 11}"#,
        r#"{"name": "9", "size": 9, "padded": 10, "more": 1}"#,
        r#"{"name": "9", "size": 9}"#,
        r#"{"name": "9", "size": 9, "padded": 10, "padded": 10}"#,
        r#"{"name": "9", "size": 9.0, "padded": 10}"#,
        r#"{"name": "9", "size": "9", "padded": 10}"#,
        r#"{"name": "9", "size": 9007199254740992, "padded": 9007199254740992}"#,
        &format!("{good}, {good}"),
    ] {
        assert!(padme(bad).is_err(), "{bad}");
    }
    for (from, to) in [("vectors/1", "vectors/2"), ("padme", "paddings"), ("nobody", "")] {
        let text =
            r#"{"format": "hw1-vectors/1", "kind": "padme", "made_by": "nobody", "cases": []}"#;
        assert_eq!(check::<Padme>(text), Ok(0));
        assert!(check::<Padme>(&text.replace(from, to)).is_err(), "{to}");
    }
    assert!(
        super::check(
            r#"{"format": "hw1-vectors/1", "kind": "poems", "made_by": "x", "cases": []}"#
        )
        .is_err()
    );
    // An absent value is null, and hex is lower case.
    let exchange = |shared: &str| {
        let (public, secret) = ("00".repeat(32), "01".repeat(32));
        let case =
            format!(r#"{{"name": "a", "public": "{public}", "secret": "{secret}"{shared}}}"#);
        let head = r#""format": "hw1-vectors/1", "kind": "exchanges", "made_by": "nobody""#;
        check::<super::edges::Exchange>(&format!(r#"{{{head}, "cases": [{case}]}}"#))
    };
    assert_eq!(exchange(r#", "shared": null"#), Ok(1));
    assert!(exchange("").is_err());
    let recovery = r#"{"format": "hw1-vectors/1", "kind": "recovery-refused", "made_by": "nobody", "cases": [{"name": "a", "words": "no words", "code": "MALFORMED"}]}"#;
    assert_eq!(check::<RecoveryRefused>(recovery), Ok(1));
    assert!(check::<RecoveryRefused>(&recovery.replace("MALFORMED", "BAD_TAG")).is_err());
    let hex: Result<super::bytes::B16, _> = parse(&format!("\"{}\"", "AB".repeat(16)));
    assert!(hex.is_err());
}
