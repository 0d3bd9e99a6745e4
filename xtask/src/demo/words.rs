//! How `hush` says things with `--json`: one object a line. The one place that knows its words.

use serde_json::Value;

/// How far an own message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits for the 10-second rule.
    Held,
    /// It went to the server.
    Sent,
    /// The server has custody of it.
    Accepted,
    /// The other person's device has it.
    Delivered,
    /// The other person has seen it.
    Read,
}

impl Stage {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }
}

/// The kind of a line.
fn kind(line: &Value) -> &str {
    line.get("event").and_then(Value::as_str).unwrap_or("")
}

fn field<'a>(line: &'a Value, name: &str) -> &'a str {
    line.get(name).and_then(Value::as_str).unwrap_or("")
}

/// The text of a message from the other person.
pub(super) fn shown(line: &Value) -> Option<&str> {
    (kind(line) == "message").then(|| field(line, "text"))
}

/// The words that a message of the other person has now.
pub(super) fn edited(line: &Value) -> Option<&str> {
    (kind(line) == "edited").then(|| field(line, "text"))
}

/// Whether a line says that a message was taken back.
pub(super) fn removed(line: &Value) -> bool {
    kind(line) == "removed"
}

/// Whether a line says that somebody reacted like this.
pub(super) fn reacted(line: &Value, symbol: &str) -> bool {
    kind(line) == "reacted" && field(line, "symbol") == symbol
}

/// The id that the n-th line that was typed got, from 0: `hush` queues them in order.
pub(super) fn id_of(lines: &[Value], n: usize) -> Option<&str> {
    let found = lines.iter().filter(|line| kind(line) == "queued").nth(n)?;
    Some(field(found, "id"))
}

/// Whether a line says that the own message `id` has come to `stage`.
pub(super) fn tells(line: &Value, id: &str, stage: Stage) -> bool {
    let is_named = match stage {
        Stage::Read => {
            let of = line.get("of").and_then(Value::as_array);
            of.is_some_and(|of| of.iter().any(|one| one == id))
        }
        _ => field(line, "id") == id,
    };
    kind(line) == stage.word() && is_named
}

/// Whether a line says that the person is signed in.
pub(super) fn is_ready(line: &Value) -> bool {
    kind(line) == "connected"
}
