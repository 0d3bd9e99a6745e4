//! The database: every column that it has is one that cannot hold a message.

use hushwire_schema::Column;

use super::Line;
use crate::logging::causes;
use crate::settings::Settings;
use crate::stores;

const PART: &str = "database";

pub(super) async fn look(settings: &Settings) -> Vec<Line> {
    match stores::columns(settings).await {
        Ok(columns) => judge(&columns),
        Err(error) => vec![Line::fails(PART, "its tables", causes(&error))],
    }
}

fn judge(columns: &[Column]) -> Vec<Line> {
    if columns.is_empty() {
        return vec![Line::fails(PART, "its tables", "there is none: is it this database?")];
    }
    let line = |column: &Column| {
        let what = format!("{}.{}", column.table, column.name);
        match column.holds() {
            Some(holds) => Line::holds(PART, what, holds),
            None => Line::fails(
                PART,
                what,
                "this version did not make it: nobody knows what it holds. Drop it, or use a \
                 database of its own",
            ),
        }
    };
    columns.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Outcome;

    #[test]
    fn an_unknown_column_fails_and_so_does_an_empty_database() {
        let column = |table: &str, name: &str| Column { table: table.into(), name: name.into() };
        let outcomes = |columns: &[Column]| -> Vec<_> {
            judge(columns).into_iter().map(|line| line.outcome).collect()
        };
        let columns = [column("users", "handle"), column("users", "body")];
        assert_eq!(outcomes(&columns), [Outcome::Holds, Outcome::Fails]);
        assert_eq!(outcomes(&[]), [Outcome::Fails]);
    }
}
