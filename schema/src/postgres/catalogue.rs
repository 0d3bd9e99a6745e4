//! The columns of a PostgreSQL database.

use diesel::RunQueryDsl as _;

use super::connect::{Acts, Connector};
use super::{PostgresOpenError, PostgresSettings, PostgresStore, elsewhere, runtime};
use crate::catalogue::Column;

/// Of every schema but the system's own, in every kind of table that keeps rows.
const COLUMNS: &str = "SELECT c.relname::text AS \"table\", a.attname::text AS name \
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid \
    JOIN pg_namespace AS n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped \
    AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' \
    ORDER BY n.nspname, c.relname, a.attnum";

impl PostgresStore {
    /// Every column of every table that the database has, without changing it.
    ///
    /// # Errors
    /// If the server cannot be reached or used.
    pub async fn columns(settings: PostgresSettings) -> Result<Vec<Column>, PostgresOpenError> {
        elsewhere(move || {
            let runtime = runtime()?;
            let connector = Connector::new(&settings, runtime.handle().clone());
            let columns = connector.and_then(|connector| {
                let _inside = connector.handle().enter();
                let mut live = connector.connect(Acts::Read)?;
                Ok(diesel::sql_query(COLUMNS).load(&mut live.conn)?)
            });
            runtime.shutdown_background();
            columns
        })
        .await
    }
}
