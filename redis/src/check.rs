//! Memory only: whether Redis, and each replica of it, would ever bring a message to a disk, lose
//! one to make room, or show one to somebody.
//!
//! Looked at when a server starts and every half a minute. What is found refuses: nothing is written
//! until it is mended, and each finding says how.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;

use bb8_redis::redis::aio::MultiplexedConnection;
use bb8_redis::redis::{RedisError, cmd};

/// A setting that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which server: `host:port` and its role.
    pub server: String,
    /// The setting, as `redis.conf` names it.
    pub setting: &'static str,
    /// What it is.
    pub found: String,
    /// Whether it is as it must be.
    pub holds: bool,
    /// What it must be.
    pub wanted: &'static str,
    /// Why.
    pub why: &'static str,
    /// The command that mends it now; the same goes into `redis.conf`.
    pub mend: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, setting, found, wanted, why, mend, .. } = self;
        write!(
            f,
            "{server}: {setting} is \"{found}\", must be {wanted}, since {why}. Now: {mend}; and the \
             same in redis.conf"
        )
    }
}

/// What a setting must be.
struct Rule {
    setting: &'static str,
    wanted: &'static str,
    holds: fn(&str) -> bool,
    why: &'static str,
    mend: &'static str,
    /// Whether it matters without replicas, too.
    always: bool,
}

const RULES: &[Rule] = &[
    Rule {
        setting: "save",
        wanted: "\"\"",
        holds: |value| value.is_empty(),
        why: "snapshots bring messages to a disk",
        mend: "CONFIG SET save \"\"",
        always: true,
    },
    Rule {
        setting: "appendonly",
        wanted: "no",
        holds: |value| value == "no",
        why: "the log brings messages to a disk",
        mend: "CONFIG SET appendonly no",
        always: true,
    },
    Rule {
        setting: "maxmemory-policy",
        wanted: "noeviction",
        holds: |value| value == "noeviction",
        why: "other policies delete accepted messages to make room",
        mend: "CONFIG SET maxmemory-policy noeviction",
        always: true,
    },
    Rule {
        setting: "maxmemory",
        wanted: "more than 0",
        holds: |value| value.parse::<u64>().is_ok_and(|bytes| bytes > 0),
        why: "without a bound the system ends Redis, and with it what waits",
        mend: "CONFIG SET maxmemory 1gb",
        always: true,
    },
    Rule {
        setting: "slowlog-log-slower-than",
        wanted: "-1",
        holds: |value| value.starts_with('-'),
        why: "the slow log keeps arguments, among them who writes to whom",
        mend: "CONFIG SET slowlog-log-slower-than -1",
        always: true,
    },
    Rule {
        setting: "crash-log-enabled",
        wanted: "no",
        holds: |value| value == "no",
        why: "the log of a crash holds parts of the memory",
        mend: "CONFIG SET crash-log-enabled no",
        always: true,
    },
    Rule {
        setting: "repl-diskless-sync",
        wanted: "yes",
        holds: |value| value == "yes",
        why: "otherwise a replica is fed from a file with all messages",
        mend: "CONFIG SET repl-diskless-sync yes",
        always: false,
    },
    Rule {
        setting: "repl-diskless-load",
        wanted: "swapdb or on-empty-db",
        holds: |value| value == "swapdb" || value == "on-empty-db",
        why: "otherwise a replica writes all messages to a file before it loads them",
        mend: "CONFIG SET repl-diskless-load swapdb",
        always: false,
    },
];

/// Looks at the settings of one server. `replicates`: whether it is, or has, a replica.
///
/// # Errors
/// If it does not tell its settings.
pub(crate) async fn server(
    connection: &mut MultiplexedConnection,
    name: &str,
    replicates: bool,
) -> Result<Vec<Finding>, RedisError> {
    let names: Vec<_> = RULES.iter().map(|rule| rule.setting).collect();
    let settings: HashMap<String, String> =
        cmd("CONFIG").arg("GET").arg(names).query_async(connection).await?;
    let looked = RULES.iter().filter(|rule| rule.always || replicates).map(|rule| {
        let found = settings.get(rule.setting).map_or("", String::as_str);
        Finding {
            server: name.to_owned(),
            setting: rule.setting,
            found: found.to_owned(),
            holds: (rule.holds)(found),
            wanted: rule.wanted,
            why: rule.why,
            mend: format!("redis-cli {}", rule.mend),
        }
    });
    Ok(looked.collect())
}

/// A replica that cannot be looked at.
pub(crate) fn unreachable(name: &str) -> Finding {
    Finding {
        server: name.to_owned(),
        setting: "replica",
        found: "no answer".to_owned(),
        holds: false,
        wanted: "reachable with the primary's user and password",
        why: "nobody knows whether it brings messages to a disk",
        mend: format!("redis-cli -h HOST -p PORT PING, for {name}"),
    }
}
