//! Where accounts are kept and where messages wait, as the settings choose: in a SQLite file of this
//! server's own or in PostgreSQL; in this process' memory or in Redis.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hushwire_actors::Limits;
use hushwire_actors::admissions::Admissions;
use hushwire_actors::bus::Alone;
use hushwire_actors::ports::{Bus, Clock};
use hushwire_actors::queue::{MemoryQueue, Queue};
use hushwire_redis::{Finding, Link, RedisAdmissions, RedisBus, RedisQueue};
use hushwire_schema::{
    Column, MigrationState, PostgresSettings, PostgresStore, SqliteStore, Store,
};

use slog::Logger;

use crate::adapters::SystemRandom;
use crate::server::StartError;
use crate::settings::{Database, Redis, Secret, Settings};

/// Says that a database is in use, for as long as it lives. PostgreSQL's says its store.
#[derive(Debug)]
pub(crate) struct InUse(
    #[expect(dead_code, reason = "it is locked until it is closed")] Option<File>,
);

/// The database, made if there is none, and what says that it is in use.
///
/// # Errors
/// If it cannot be used, or another server uses it.
pub(crate) async fn open(settings: &Settings) -> Result<(Arc<dyn Store>, InUse), StartError> {
    let database = &settings.database;
    if database.is_postgres() {
        let store = PostgresStore::open(postgres(database, !settings.redis.is_used())?).await?;
        return Ok((Arc::new(store), InUse(None)));
    }
    let path = &database.path;
    let lock = claim(path)?;
    let store = SqliteStore::open(path)
        .map_err(|source| StartError::Database { path: path.clone(), source })?;
    Ok((Arc::new(store), InUse(Some(lock))))
}

/// Brings the database to this version's schema.
///
/// # Errors
/// If it cannot be used, or another server uses it.
pub(crate) async fn migrate(settings: &Settings) -> Result<(), StartError> {
    open(settings).await.map(drop)
}

/// Which migrations the database has, and which it lacks, without changing it.
///
/// # Errors
/// If it cannot be read.
pub(crate) async fn migrations(settings: &Settings) -> Result<Vec<MigrationState>, StartError> {
    let database = &settings.database;
    if database.is_postgres() {
        return Ok(PostgresStore::migrations(postgres(database, false)?).await?);
    }
    let path = &database.path;
    SqliteStore::migrations(path)
        .map_err(|source| StartError::Database { path: path.clone(), source })
}

/// Every column of every table that the database has, without changing it.
///
/// # Errors
/// If it cannot be read.
pub(crate) async fn columns(settings: &Settings) -> Result<Vec<Column>, StartError> {
    let database = &settings.database;
    if database.is_postgres() {
        return Ok(PostgresStore::columns(postgres(database, false)?).await?);
    }
    let path = &database.path;
    SqliteStore::columns(path).map_err(|source| StartError::Database { path: path.clone(), source })
}

/// Where accounts are kept, for people: without user and password.
pub(crate) fn place(database: &Database) -> String {
    if !database.is_postgres() {
        return database.path.display().to_string();
    }
    let url = postgres(database, false).map(|settings| settings.url).unwrap_or_default();
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let (before, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    // What is no such URL may hold a password anywhere.
    if parameters.contains('@') || before.matches('@').count() > 1 {
        return "PostgreSQL".to_owned();
    }
    let host = before.rsplit_once('@').map_or(before, |(_, host)| host);
    format!("PostgreSQL at {host}")
}

/// Where messages wait, what is known of who sent them, and the way to other servers.
pub(crate) struct Waiting {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) admissions: Option<Arc<dyn Admissions>>,
    pub(crate) bus: Arc<dyn Bus>,
}

/// Where messages wait: in Redis, if it is set, so that servers share it.
///
/// # Errors
/// If Redis cannot be used.
pub(crate) async fn waiting(
    settings: &Settings,
    limits: &Limits,
    clock: Arc<dyn Clock>,
    log: Logger,
) -> Result<Waiting, StartError> {
    if !settings.redis.is_used() {
        let queue = Arc::new(MemoryQueue::new(limits.clone(), &SystemRandom, clock));
        return Ok(Waiting { queue, admissions: None, bus: Arc::new(Alone) });
    }
    let link = Link::open(redis(&settings.redis)?, Arc::new(SystemRandom), log).await?;
    Ok(Waiting {
        queue: Arc::new(RedisQueue::new(link.clone(), limits.clone())),
        admissions: Some(Arc::new(RedisAdmissions::new(link.clone(), limits))),
        bus: Arc::new(RedisBus::new(link)),
    })
}

/// What Redis and its replicas say of their settings.
///
/// # Errors
/// If Redis cannot be reached or does not tell.
pub(crate) async fn audit_redis(settings: &Redis) -> Result<Vec<Finding>, StartError> {
    let log = Logger::root(slog::Discard, slog::o!());
    Ok(Link::audit(redis(settings)?, Arc::new(SystemRandom), log).await?)
}

fn redis(redis: &Redis) -> Result<hushwire_redis::Settings, StartError> {
    let failed = |path: PathBuf, source| StartError::RedisUrlFile { path, source };
    Ok(hushwire_redis::Settings {
        url: url(&redis.url, &redis.url_file, failed)?,
        sentinels: redis.sentinels.iter().map(|url| url.0.clone()).collect(),
        ca_file: set(&redis.ca_file),
        certificate: set(&redis.certificate_file).zip(set(&redis.key_file)),
        copies: redis.copies,
        connections: redis.connections,
        within: Duration::from_millis(redis.within_ms),
        copied_within: Duration::from_millis(redis.copied_within_ms),
        check_every: Duration::from_millis(redis.check_every_ms),
        prefix: redis.prefix.clone(),
    })
}

/// A path, unless it is empty.
fn set(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

/// A URL, or what its file holds.
fn url(
    url: &Secret,
    file: &Path,
    failed: impl FnOnce(PathBuf, std::io::Error) -> StartError,
) -> Result<String, StartError> {
    if file.as_os_str().is_empty() {
        return Ok(url.0.clone());
    }
    let text = std::fs::read_to_string(file).map_err(|source| failed(file.to_owned(), source))?;
    Ok(text.trim().to_owned())
}

/// `alone`: a second server is refused, since the two would not share what waits.
fn postgres(database: &Database, alone: bool) -> Result<PostgresSettings, StartError> {
    let failed = |path: PathBuf, source| StartError::UrlFile { path, source };
    let url = url(&database.url, &database.url_file, failed)?;
    Ok(PostgresSettings {
        url,
        connections: database.connections,
        within: Duration::from_millis(database.within_ms),
        ca_file: set(&database.ca_file),
        alone,
    })
}

/// Makes the database's folder, for its owner only, and locks it: two servers over one database
/// would each queue what the other's devices wait for.
///
/// # Errors
/// If the folder cannot be made, or another process holds the lock.
fn claim(database: &Path) -> Result<File, StartError> {
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let failed = |source| StartError::Folder { path: folder.to_owned(), source };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(failed)?;
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    let lock =
        File::options().create(true).truncate(false).write(true).open(name).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse { path: database.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_has_one_server_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data").join("hushwire.sqlite");
        let lock = claim(&path).unwrap();
        assert!(matches!(claim(&path), Err(StartError::InUse { .. })));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        drop(lock);
        claim(&path).unwrap();
    }

    #[test]
    fn the_place_is_told_without_user_and_password() {
        let of = |url: &str| {
            let url = Secret(url.to_owned());
            let database = Database { url, ..Database::default() };
            assert!(!format!("{database:?}").contains("s3cret"));
            place(&database)
        };
        let url = "postgres://me:s3cret@db.example:5433/chat?sslmode=require";
        assert_eq!(of(url), "PostgreSQL at db.example:5433/chat");
        for url in [
            "postgres://me:x@s3cret@db.example/chat",
            "postgres://me:s3cret?x@db.example/chat",
            "postgres://db.example/chat?password=x@s3cret",
        ] {
            assert_eq!(of(url), "PostgreSQL");
        }
        assert!(place(&Database::default()).ends_with("hushwire.sqlite"));
    }
}
