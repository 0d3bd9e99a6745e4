//! Changes to what was written, which both implementations must notice.

use serde_json::{Value, json};

use super::Dice;
use crate::vectors::file::File;
use crate::vectors::folder::Folder;
use crate::vectors::mutations::{How, Mutation};

/// Fields that follow from others, wherever they stand: changing one breaks its case.
const DERIVED: &[&str] = &[
    "as",
    "body",
    "bytes",
    "claim",
    "commit",
    "content",
    "ct",
    "ct_hash",
    "device_id",
    "entry_hash",
    "env",
    "epoch_id",
    "hash",
    "header",
    "ik",
    "key_id",
    "lane0",
    "lane1",
    "mk",
    "padded",
    "pq_hash",
    "record",
    "recovery_id",
    "request_id",
    "rk",
    "sig",
    "signature",
    "signed",
    "sk",
    "ss",
    "stamp",
    "tag",
    "upload",
    "wire",
    "wk",
    "wrap",
    "x25519",
    "xwing",
];
/// Kinds whose byte strings are inputs, so that a change can mean another valid case.
const INPUTS: &[&str] = &[
    "logs-refused",
    "headers-refused",
    "contents-refused",
    "prekey-rules",
    "files-refused",
    "reports-refused",
    "recovery-refused",
    "qr",
    "signatures",
    "identity-keys",
    "exchanges",
];

/// Eight changes of bytes for each file that has some which follow.
pub(super) fn of(folder: &Folder, dice: &mut Dice) -> Vec<Mutation> {
    let mut mutations = Vec::new();
    for (name, text) in folder {
        let file: File<Value> = serde_json::from_str(text).unwrap();
        if INPUTS.contains(&file.kind.as_str()) {
            continue;
        }
        for _ in 0..8 {
            let case = dice.pick(&file.cases);
            let mut places = Vec::new();
            derived(case, String::new(), &mut places);
            if places.is_empty() {
                continue;
            }
            let (at, len) = dice.pick(&places).clone();
            let (how, with) = match dice.below(4) {
                0 => (How::Truncate, json!(1)),
                1 => (How::Extend, json!("00")),
                _ => (How::Flip, json!(dice.below(8 * len))),
            };
            let case = case["name"].as_str().unwrap().to_owned();
            let name = format!("{}: {name}, {case}, {at}", mutations.len());
            let file = format!("{}.json", file.kind);
            mutations.push(Mutation { name, file, case, at, how, with });
        }
    }
    mutations
}

/// The places of all derived byte strings, and their lengths.
fn derived(value: &Value, at: String, places: &mut Vec<(String, usize)>) {
    match value {
        Value::Object(fields) => {
            // Bytes from somebody hostile are inputs.
            let judged =
                matches!(fields.get("do"), Some(step) if step == "take" || step == "receive");
            for (name, value) in fields.iter().filter(|_| !judged) {
                let at = format!("{at}/{name}");
                match value.as_str().map(hex::decode) {
                    Some(Ok(bytes)) if DERIVED.contains(&name.as_str()) && !bytes.is_empty() => {
                        places.push((at, bytes.len()));
                    }
                    _ => derived(value, at, places),
                }
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                derived(item, format!("{at}/{i}"), places);
            }
        }
        _ => {}
    }
}
