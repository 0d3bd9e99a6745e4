//! The columns of a SQLite file.

use std::path::Path;

use diesel::RunQueryDsl as _;

use super::{OpenError, READER_PRAGMAS, SqliteStore, connect};
use crate::catalogue::Column;

impl SqliteStore {
    /// Every column of every table that the file has, without changing it.
    ///
    /// # Errors
    /// If there is no such file, or it cannot be read.
    pub fn columns(path: &Path) -> Result<Vec<Column>, OpenError> {
        std::fs::metadata(path).map_err(OpenError::File)?;
        let mut conn = connect(path, READER_PRAGMAS).map_err(OpenError::Connect)?;
        let query = diesel::sql_query(
            "SELECT t.name AS \"table\", c.name AS name FROM sqlite_schema AS t, \
             pragma_table_info(t.name) AS c \
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1, c.cid",
        );
        query.load(&mut conn).map_err(OpenError::Pragma)
    }
}
