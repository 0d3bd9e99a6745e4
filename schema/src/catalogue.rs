//! What a database says of its own tables, to be compared with what they are meant to hold.

use diesel::QueryableByName;
use diesel::sql_types::Text;

/// A column that a database has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, QueryableByName)]
pub struct Column {
    /// Of which table.
    #[diesel(sql_type = Text)]
    pub table: String,
    /// Its name.
    #[diesel(sql_type = Text)]
    pub name: String,
}

impl Column {
    /// What this version keeps there; `None` for a column that it did not make.
    #[must_use]
    pub fn holds(&self) -> Option<&'static str> {
        let known = |(table, columns): &(&str, &'static [(&'static str, &'static str)])| {
            (*table == self.table).then_some(*columns)
        };
        let columns = COLUMNS.iter().find_map(known)?;
        columns.iter().find(|(name, _)| *name == self.name).map(|(_, holds)| *holds)
    }
}

const TIME: &str = "a time";
const USER: &str = "a user's id";
const DEVICE: &str = "a device's id";
const EPOCH: &str = "an epoch's id";

/// Every column that this version makes, whatever the database, and what it holds. None holds a
/// message, sealed or not.
const COLUMNS: &[(&str, &[(&str, &str)])] = &[
    ("__diesel_schema_migrations", &[("version", "a migration's number"), ("run_on", TIME)]),
    (
        "blocks",
        &[
            ("blocker", USER),
            ("blocked", USER),
            ("request", "the signed contact request"),
            ("since_ms", TIME),
        ],
    ),
    (
        "changes",
        &[
            ("log_id", USER),
            ("v", "the user's version"),
            ("kind", "what changed, as a number"),
            ("peer", USER),
            ("at_ms", TIME),
        ],
    ),
    (
        "devices",
        &[
            ("device_id", DEVICE),
            ("log_id", USER),
            ("ik", "its public key"),
            ("since_ms", TIME),
            ("prekey_id", "a number"),
            ("revoked_seq", "a number"),
        ],
    ),
    ("epoch_prekeys", &[("epoch_id", EPOCH), ("device_id", DEVICE), ("prekey_id", "a number")]),
    (
        "epochs",
        &[
            ("epoch_id", EPOCH),
            ("a", USER),
            ("b", USER),
            ("n", "its number"),
            ("creator", USER),
            ("header", "who is in it, signed"),
            ("posted_ms", TIME),
            ("superseded_ms", TIME),
        ],
    ),
    (
        "log_entries",
        &[
            ("log_id", USER),
            ("seq", "a number"),
            ("head", "a hash"),
            ("wire", "devices added and removed, signed"),
        ],
    ),
    ("log_keys", &[("key", "a public key"), ("key_id", "a public key's id"), ("log_id", USER)]),
    ("meta", &[("name", "a name"), ("value", "this installation's domain and the like")]),
    (
        "pairs",
        &[
            ("a", USER),
            ("b", USER),
            ("request_id", "a request's id"),
            ("request", "the signed contact request"),
            ("since_ms", TIME),
            ("newest_n", "a number"),
            ("newest_epoch", EPOCH),
            ("ended_ms", TIME),
        ],
    ),
    (
        "prekeys",
        &[
            ("device_id", DEVICE),
            ("id", "a number"),
            ("record", "a public key, signed"),
            ("xwing", "a public key"),
        ],
    ),
    (
        "requests",
        &[
            ("request_id", "a request's id"),
            ("asker", USER),
            ("handle", "a username"),
            ("answerer", USER),
            ("request", "the signed contact request"),
            ("asked_ms", TIME),
        ],
    ),
    (
        "users",
        &[
            ("log_id", USER),
            ("handle", "the username"),
            ("v", "a number"),
            ("keys_v", "a number"),
            ("since_ms", TIME),
            ("gone_ms", TIME),
            ("asked_day", "a day"),
            ("asked_count", "a number"),
        ],
    ),
    (
        "wraps",
        &[
            ("epoch_id", EPOCH),
            ("device_id", DEVICE),
            ("wrap", "an epoch's key, sealed to one device until it has it"),
            ("posted_ms", TIME),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SqliteStore;

    #[test]
    fn every_column_of_the_migrations_is_known_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hushwire.sqlite");
        drop(SqliteStore::open(&path).unwrap());
        let found = SqliteStore::columns(&path).unwrap();
        let unknown: Vec<_> = found.iter().filter(|column| column.holds().is_none()).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        let known: usize = COLUMNS.iter().map(|(_, columns)| columns.len()).sum();
        assert_eq!(found.len(), known, "a column is listed that is not there");
    }

    #[test]
    fn a_column_that_was_not_made_here_is_not_known() {
        let column = |table: &str, name: &str| Column { table: table.into(), name: name.into() };
        assert!(column("users", "handle").holds().is_some());
        assert!(column("users", "body").holds().is_none());
        assert!(column("messages", "handle").holds().is_none());
    }
}
