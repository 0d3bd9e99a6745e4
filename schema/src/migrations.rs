//! Bringing a database to this version's tables, whatever its kind. Migrations are compiled in.

use diesel::backend::Backend;
use diesel::migration::{Migration, MigrationSource};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};

/// One migration of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationState {
    /// Its number and name.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

/// A database could not be migrated.
#[derive(Debug)]
pub(crate) enum MigrateError {
    /// It has a migration that this version does not know.
    Newer(String),
    /// One failed; the database is as before it.
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl From<Box<dyn std::error::Error + Send + Sync>> for MigrateError {
    fn from(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self::Failed(error)
    }
}

/// Runs what the database lacks, unless it is of a newer version.
pub(crate) fn run<B: Backend, C: MigrationHarness<B>>(
    conn: &mut C,
    all: EmbeddedMigrations,
) -> Result<(), MigrateError> {
    let known: Vec<_> =
        list::<B>(&all)?.iter().map(|one| one.name().version().to_string()).collect();
    let applied = conn.applied_migrations()?;
    if let Some(newer) = applied.iter().find(|version| !known.contains(&version.to_string())) {
        return Err(MigrateError::Newer(newer.to_string()));
    }
    conn.run_pending_migrations(all)?;
    Ok(())
}

/// All migrations in order, and which of them the database has; none without a database.
pub(crate) fn states<B: Backend, C: MigrationHarness<B>>(
    conn: Option<&mut C>,
    all: EmbeddedMigrations,
) -> Result<Vec<MigrationState>, MigrateError> {
    let names: Vec<_> = list::<B>(&all)?.iter().map(|one| one.name().to_string()).collect();
    let pending: Option<Vec<String>> = match conn {
        None => None,
        Some(conn) => {
            let pending = conn.pending_migrations(all)?;
            Some(pending.iter().map(|one| one.name().to_string()).collect())
        }
    };
    let state = |name: String| {
        let applied = pending.as_ref().is_some_and(|pending| !pending.contains(&name));
        MigrationState { name, applied }
    };
    Ok(names.into_iter().map(state).collect())
}

fn list<B: Backend>(all: &EmbeddedMigrations) -> Result<Vec<Box<dyn Migration<B>>>, MigrateError> {
    let mut all = MigrationSource::<B>::migrations(all)?;
    all.sort_by_key(|one| one.name().version().as_owned());
    Ok(all)
}
