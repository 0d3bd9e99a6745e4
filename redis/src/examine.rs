//! What an audit reads of Redis: every setting that matters, of the primary and of each replica.
//!
//! It changes nothing: not even the functions are loaded.

use std::sync::Arc;

use bb8_redis::redis::{Client, RedisError, cmd};
use hushwire_actors::ports::Random;
use slog::Logger;

use crate::check::{self, Finding, Reading};
use crate::keeper;
use crate::link::{Link, OpenError};
use crate::settings::Settings;

impl Link {
    /// Reads the settings of the primary and of its replicas, without using it for anything else. A
    /// replica that cannot be looked at is a reading with a finding.
    ///
    /// # Errors
    /// If the primary cannot be reached or used.
    pub async fn examine(
        settings: Settings,
        random: Arc<dyn Random>,
        log: Logger,
    ) -> Result<Vec<Reading>, OpenError> {
        let link = Self::start(settings, random, log)?;
        let looking = link.clone();
        let looked = link.run(async move { looking.readings().await }).await;
        looked.unwrap_or(Err(OpenError::Unreachable))
    }

    async fn readings(&self) -> Result<Vec<Reading>, OpenError> {
        let why = |error: RedisError| self.why(error);
        let primary = self.primary();
        let client = Client::open(primary.info.clone()).map_err(why)?;
        let config = primary.config();
        let opened = client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = opened.map_err(why)?;
        let text: String = cmd("INFO").query_async(&mut connection).await.map_err(why)?;
        let info = keeper::parse(&text);
        if info.version < 7 {
            return Err(OpenError::TooOld { found: info.version });
        }
        if !info.is_primary {
            return Err(OpenError::Replica);
        }
        let name = format!("{} (primary)", self.at());
        let replicates = info.connected > 0;
        let read = check::readings(&mut connection, &name, replicates).await;
        let mut all = read.map_err(why)?;
        for (host, port) in &info.replicas {
            let name = format!("{host}:{port} (replica)");
            match self.read_replica(host, *port, &name).await {
                Some(read) => all.extend(read),
                None => all.push(unseen(check::unreachable(&name))),
            }
        }
        // One that is on its way to being a replica is fed with all messages, too.
        for _ in info.replicas.len()..info.connected {
            all.push(unseen(check::unreachable("a replica that is not online")));
        }
        Ok(all)
    }
}

fn unseen(finding: Finding) -> Reading {
    let (server, setting, found) = (finding.server.clone(), finding.setting, finding.found.clone());
    Reading { server, setting, found, finding: Some(finding) }
}

#[cfg(test)]
mod tests {
    use hushwire_testbed::Redis;
    use slog::{Discard, o};

    use super::*;

    #[derive(Debug)]
    struct Zeros;

    impl Random for Zeros {
        fn fill(&self, out: &mut [u8]) {
            out.fill(0);
        }
    }

    async fn examine(redis: &Redis) -> Result<Vec<Reading>, OpenError> {
        let settings = Settings { url: redis.url(), ..Settings::default() };
        Link::examine(settings, Arc::new(Zeros), Logger::root(Discard, o!())).await
    }

    #[tokio::test]
    async fn every_setting_of_primary_and_replica_is_read_and_nothing_changed() {
        let redis = Redis::start();
        let all = examine(&redis).await.unwrap();
        assert!(all.iter().all(|one| one.finding.is_none()), "{all:?}");
        let policy = all.iter().find(|one| one.setting == "maxmemory-policy").unwrap();
        assert_eq!(policy.found, "noeviction");
        assert_eq!(redis.command(&["FUNCTION", "LIST"]).unwrap(), "*0\r\n");
        assert_eq!(redis.command(&["DBSIZE"]).unwrap(), ":0\r\n");

        let replica = redis.replica(&[("save", "3600 1")]);
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let all = loop {
            let all = examine(&redis).await.unwrap();
            if all.iter().any(|one| one.server.contains(&replica.port().to_string())) {
                break all;
            }
            assert!(std::time::Instant::now() < until, "the replica is not seen: {all:?}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        let broken: Vec<_> = all.iter().filter(|one| one.finding.is_some()).collect();
        assert_eq!(broken.len(), 1, "{broken:?}");
        assert!(broken[0].setting == "save" && broken[0].server.ends_with("(replica)"));
        assert!(matches!(examine(&replica).await, Err(OpenError::Replica)));
    }
}
