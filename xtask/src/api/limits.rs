//! `docs/limits.md`: every bound with its value, and the closed tables.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use hushwire_wire::close::CLOSES;
use hushwire_wire::http::ProblemCode;
use serde_json::Value;

use super::expression::Known;
use super::source::{self, Bound};
use super::types::{Row, closes, plain, problems, rejects, rules};

const HEAD: &str = "\
<!-- Made by `cargo xtask api` from the types; do not edit. -->
# Limits and tables

Every bound with its value, and every way in which something is refused, from the source. What to do
about a refusal is in [the protocol](PROTOCOL.md#rejects). Names that end in `_MS` or `_ms` are
milliseconds; `_BYTES` and `_bytes`, and sizes of frames and bodies, are bytes.
";

pub(crate) fn page(root: &Path) -> Result<String, String> {
    let read = |name: &str| {
        fs::read_to_string(root.join(name)).map_err(|error| format!("{name}: {error}"))
    };
    let mut known = Known::new();
    let protocol = source::constants(&read("wire/src/limits.rs")?, &mut known)?;
    let engine = read("actors/src/limits.rs")?;
    let mut engine_bounds = source::constants(&engine, &mut known)?;
    engine_bounds.extend(source::defaults(&engine, &known)?);
    let settings = source::settings(&read("config/default.toml")?)?;

    let mut out = HEAD.to_owned();
    bounds(&mut out, "The protocol", "Fixed: both sides may rely on them.", "value", &protocol);
    let said = "The settings below change some of them; the rest are built in.";
    bounds(&mut out, "The engine", said, "default", &engine_bounds);
    let said = "Keys of the configuration file, as in `config/default.toml`. In the environment \
                `server.listen` is `HUSHWIRE__SERVER__LISTEN`.";
    bounds(&mut out, "Settings", said, "default", &settings);
    let row = |row: &Row| vec![code(&row.name), fields(row), row.meaning.clone()];
    let head = ["name", "fields", "meaning"];
    table(
        &mut out,
        "Rejects",
        "Of a frame; the connection lives.",
        &head,
        rejects().iter().map(row),
    );
    let row = |row: &Row| vec![code(&row.name), row.meaning.clone()];
    let said = "What `rate_limited` names in `rule`.";
    table(&mut out, "Rules", said, &["rule", "what it limits"], rules().iter().map(row));
    let rows = closes().into_iter().filter_map(|row| {
        let close = CLOSES.into_iter().find(|close| close.to_string() == row.name)?;
        let back = if close.comes_back() { "yes" } else { "no" };
        Some(vec![close.code().to_string(), code(&row.name), row.meaning, back.to_owned()])
    });
    let head = ["code", "name", "meaning", "come back by itself"];
    table(&mut out, "Closes", "Of a connection.", &head, rows);
    let rows = problems().into_iter().filter_map(|row| {
        let named: ProblemCode = serde_json::from_value(Value::String(row.name.clone())).ok()?;
        let (status, meaning) = (named.status().to_string(), without_status(&row.meaning));
        Some(vec![code(&row.name), status, meaning])
    });
    let said = "Of an HTTP request.";
    table(&mut out, "Problems", said, &["code", "status", "meaning"], rows);
    Ok(out)
}

fn bounds(out: &mut String, title: &str, said: &str, value: &str, bounds: &[Bound]) {
    let rows = bounds
        .iter()
        .map(|bound| vec![code(&bound.name), bound.value.clone(), plain(&bound.meaning)]);
    table(out, title, said, &["name", value, "what"], rows);
}

fn table(
    out: &mut String,
    title: &str,
    said: &str,
    head: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) {
    let rule = vec!["---"; head.len()].join(" | ");
    // Writing to a string does not fail.
    let _ = write!(out, "\n## {title}\n\n{said}\n\n| {} |\n| {rule} |\n", head.join(" | "));
    for cells in rows {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
}

fn code(name: &str) -> String {
    format!("`{name}`")
}

fn fields(row: &Row) -> String {
    row.fields.join(", ")
}

/// The comment of a problem begins with its status, which has a column of its own.
fn without_status(meaning: &str) -> String {
    let rest = meaning.split_once(": ").filter(|(status, _)| status.parse::<u16>().is_ok());
    let rest = rest.map_or(meaning, |(_, rest)| rest);
    let mut letters = rest.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().to_string() + letters.as_str())
}
