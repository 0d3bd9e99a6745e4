//! The migrations, compiled in. They run before anything else touches the file.

use diesel::SqliteConnection;
use diesel::migration::{Migration, MigrationSource as _};
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};

use super::OpenError;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// One migration of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationState {
    /// Its number and name.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

pub(super) fn run(conn: &mut SqliteConnection) -> Result<(), OpenError> {
    let known: Vec<_> = list()?.iter().map(|one| one.name().version().to_string()).collect();
    let applied = conn.applied_migrations().map_err(OpenError::Migrate)?;
    if let Some(newer) = applied.iter().find(|version| !known.contains(&version.to_string())) {
        return Err(OpenError::Newer(newer.to_string()));
    }
    conn.run_pending_migrations(MIGRATIONS).map_err(OpenError::Migrate)?;
    Ok(())
}

pub(super) fn states(
    conn: Option<&mut SqliteConnection>,
) -> Result<Vec<MigrationState>, OpenError> {
    let pending: Option<Vec<String>> = match conn {
        None => None,
        Some(conn) => {
            let pending = conn.pending_migrations(MIGRATIONS).map_err(OpenError::Migrate)?;
            Some(pending.iter().map(|one| one.name().to_string()).collect())
        }
    };
    let state = |name: String| {
        let applied = pending.as_ref().is_some_and(|pending| !pending.contains(&name));
        MigrationState { name, applied }
    };
    Ok(list()?.iter().map(|one| state(one.name().to_string())).collect())
}

fn list() -> Result<Vec<Box<dyn Migration<Sqlite>>>, OpenError> {
    let mut all = MIGRATIONS.migrations().map_err(OpenError::Migrate)?;
    all.sort_by_key(|one| one.name().version().as_owned());
    Ok(all)
}
