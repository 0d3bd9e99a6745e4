//! Why Redis cannot be used.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use bb8_redis::redis::{ErrorKind, RedisError};

use crate::check::Finding;

/// Redis cannot be used. No message holds a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is none.
    #[error(
        "it is not a URL like redis://user:password@host:6379, with rediss:// for TLS; options \
         behind # are not known"
    )]
    Url(#[source] Option<RedisError>),
    /// A URL of a Sentinel is none. The number counts from 1.
    #[error("redis.sentinels: number {0} is not a URL like redis://user:password@host:26379")]
    SentinelUrl(usize),
    /// A file with certificates or a key cannot be used.
    #[error("{path}: it cannot be read, or holds no PEM that is fit for TLS")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// No Sentinel leads to a primary: what each says.
    #[error("redis.sentinels: no Sentinel leads to the primary:\n  {}", .0.join("\n  "))]
    Sentinels(Vec<String>),
    /// TLS fails.
    #[error(
        "no TLS with {at}: its certificate must be for this name, and be signed by whom \
         redis.ca_file names; it may ask for one of this server (redis.certificate_file)"
    )]
    Tls {
        /// Where.
        at: String,
        /// Why.
        source: RedisError,
    },
    /// Nobody answers.
    #[error("nobody answers at {at}: start Redis there, or correct host and port")]
    Absent {
        /// Where.
        at: String,
        /// Why.
        source: RedisError,
    },
    /// Wrong password or user.
    #[error("user or password are wrong: correct them in the URL")]
    Password,
    /// Rights are missing.
    #[error("the user lacks a right: give it what deploy/redis-users.acl lists")]
    Rights(#[source] RedisError),
    /// The version is too old.
    #[error("it is Redis {found}: at least 7 is needed, for functions")]
    TooOld {
        /// Its version.
        found: String,
    },
    /// It is a replica.
    #[error("it is a replica, which takes no writes: name the primary")]
    Replica,
    /// It would bring messages to a disk, or lose some.
    #[error("messages would not be in memory only:\n{}", lines(.0))]
    NotMemoryOnly(Vec<Finding>),
    /// It refused.
    #[error("it refused")]
    Refused(#[source] RedisError),
    /// It did not answer in time.
    #[error(
        "it did not answer in time: it hangs, it speaks no TLS though the URL does, or something between drops packets"
    )]
    Unreachable,
    /// A thread could not be started.
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
}

impl OpenError {
    /// What the server at `at`, which is shown, did not do.
    pub(crate) fn from_redis(error: RedisError, at: &str) -> Self {
        let at = || at.to_owned();
        match error.code() {
            Some("WRONGPASS" | "NOAUTH") => Self::Password,
            Some("NOPERM") => Self::Rights(error),
            Some("READONLY") => Self::Replica,
            _ if error.kind() == ErrorKind::AuthenticationFailed => Self::Password,
            _ if error.is_timeout() => Self::Unreachable,
            _ if is_tls(&error) => Self::Tls { at: at(), source: error },
            _ if error.is_io_error() => Self::Absent { at: at(), source: error },
            _ => Self::Refused(error),
        }
    }
}

/// Whether a connection was made, and TLS over it was not.
fn is_tls(error: &RedisError) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(one) = cause {
        if one.is::<rustls::Error>() {
            return true;
        }
        cause = if let Some(shared) = one.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
            Some(&**shared)
        } else if let Some(io) = one.downcast_ref::<std::io::Error>() {
            io.get_ref().map(|inner| inner as _)
        } else {
            one.source()
        };
    }
    false
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(|one| format!("  {one}")).collect::<Vec<_>>().join("\n")
}
