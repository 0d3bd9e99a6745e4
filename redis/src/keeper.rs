//! Looks after what is known of Redis: every two seconds, and at once when something is in doubt.
//!
//! The generation is stored with the id of the process that it was begun at. Another process may
//! have lost what that one held, whether it was restarted or is a replica that took over: the first
//! node that finds another id begins a new generation.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bb8_redis::redis::{RedisError, cmd};
use hushwire_wire::Gen;
use slog::{error, info, warn};
use tokio::time::{Instant, sleep, timeout};

use crate::check::{self, Finding};
use crate::error::OpenError;
use crate::link::{Inner, Link};
use crate::primary::Loan;
use crate::state::{Facts, Room, State};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(2);
/// How long after a look that failed.
const AGAIN: Duration = Duration::from_millis(500);
/// Looks that fail in a row until Redis counts as unreachable.
const FAILED: u32 = 2;

/// What `INFO` says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Info {
    run_id: String,
    /// Those that are online.
    replicas: Vec<(String, u16)>,
    /// Replicas, online or not.
    connected: usize,
    used: u64,
    most: u64,
}

/// Looks once; the facts, or why not.
async fn look(link: &Link) -> Result<(Facts, Vec<(String, u16)>), OpenError> {
    let mut connection = link.opened().await?;
    let info = info(link, &mut connection).await?;
    let generation = cmd("FCALL")
        .arg("hushwire1_generation")
        .arg(1)
        .arg(link.generation_key())
        .arg(&info.run_id)
        .arg(&link.random())
        .arg(link.state().said_now())
        .query_async::<(Vec<u8>, u64)>(&mut **connection)
        .await;
    let (r#gen, born_ms) = generation.map_err(|error| {
        link.failed(&mut connection, &error);
        OpenError::Refused(error)
    })?;
    let r#gen = Gen::from_slice(&r#gen).ok_or(OpenError::Unreachable)?;
    let facts = Facts {
        r#gen: Some(r#gen),
        born_ms,
        reachable: true,
        room: room(info.used, info.most),
        acknowledged_by: info.replicas.len().max(link.copies().saturating_sub(1)),
        refused: None,
    };
    Ok((facts, info.replicas))
}

/// Every setting that matters, of the primary and its replicas; changes nothing.
pub(crate) async fn audit(link: &Link) -> Result<Vec<Finding>, OpenError> {
    let info = {
        let mut connection = link.opened().await?;
        info(link, &mut connection).await?
    };
    let mut findings = link.check(&info.replicas).await?;
    // One that is on its way to being a replica is fed with all messages, too.
    let others = info.connected.saturating_sub(info.replicas.len());
    findings.extend((0..others).map(|_| check::unreachable("a replica that is not online")));
    Ok(findings)
}

async fn info(link: &Link, connection: &mut Loan<'_>) -> Result<Info, OpenError> {
    let text: Result<String, RedisError> = cmd("INFO").query_async(&mut ***connection).await;
    let text = text.map_err(|error| {
        link.failed(connection, &error);
        OpenError::Refused(error)
    })?;
    Ok(parse(&text))
}

/// The first look of all: Redis must be fit for messages.
pub(crate) async fn first(link: &Link) -> Result<Facts, OpenError> {
    let (facts, replicas) = look(link).await?;
    let mut findings = link.check(&replicas).await?;
    findings.retain(|one| !one.holds);
    if findings.is_empty() { Ok(facts) } else { Err(OpenError::NotMemoryOnly(findings)) }
}

/// Looks for as long as the link lives.
pub(crate) async fn keep(link: Weak<Inner>, state: Arc<State>) {
    let (mut failed, mut checked) = (0, Instant::now());
    loop {
        let pause = if failed == 0 { EVERY } else { AGAIN };
        let _ = timeout(pause, state.doubted()).await;
        let Some(link) = Link::upgrade(&link) else { return };
        match look(&link).await {
            Ok((mut facts, replicas)) => {
                failed = 0;
                let before = link.state().facts();
                facts.refused.clone_from(&before.refused);
                if before.r#gen != facts.r#gen || checked.elapsed() >= link.check_every() {
                    checked = Instant::now();
                    facts.refused = verdict(&link, &replicas).await;
                }
                if before.r#gen != facts.r#gen {
                    info!(link.log(), "Redis is another one: a new generation begins");
                }
                if !before.reachable {
                    info!(link.log(), "Redis answers again");
                }
                if before.room != facts.room {
                    warn!(link.log(), "the memory of Redis"; "room" => ?facts.room);
                }
                link.state().change(|known| *known = facts);
            }
            Err(error) => {
                failed += 1;
                link.reconnect();
                if failed == FAILED {
                    warn!(link.log(), "Redis cannot be used"; "why" => %error);
                    link.state().change(|known| known.reachable = false);
                }
            }
        }
        // What is in doubt again at once is not looked at in a circle.
        sleep(Duration::from_millis(100)).await;
    }
}

/// Why nothing may be written. What cannot be seen is not believed to be well.
async fn verdict(link: &Link, replicas: &[(String, u16)]) -> Option<String> {
    match link.check(replicas).await {
        Ok(mut findings) => {
            findings.retain(|one| !one.holds);
            for one in &findings {
                error!(link.log(), "messages would not be in memory only"; "why" => %one);
            }
            findings.first().map(ToString::to_string)
        }
        Err(error) => {
            error!(link.log(), "the settings of Redis cannot be seen"; "why" => %error);
            Some(error.to_string())
        }
    }
}

fn parse(text: &str) -> Info {
    let mut info = Info::default();
    for line in text.lines() {
        let Some((name, value)) = line.trim_end().split_once(':') else { continue };
        match name {
            "run_id" => value.clone_into(&mut info.run_id),
            "connected_slaves" => info.connected = value.parse().unwrap_or(0),
            "used_memory" => info.used = value.parse().unwrap_or(0),
            "maxmemory" => info.most = value.parse().unwrap_or(0),
            _ if name.starts_with("slave") && value.contains("state=online") => {
                info.replicas.extend(replica(value));
            }
            _ => {}
        }
    }
    info
}

/// `ip=…,port=…,state=online,…`
fn replica(value: &str) -> Option<(String, u16)> {
    let field = |name: &str| value.split(',').find_map(|field| field.strip_prefix(name));
    Some((field("ip=")?.to_owned(), field("port=")?.parse().ok()?))
}

fn room(used: u64, most: u64) -> Room {
    let percent = used.saturating_mul(100).checked_div(most).unwrap_or(0);
    match percent {
        95.. => Room::Full,
        85.. => Room::Reserved,
        _ => Room::Ample,
    }
}

#[cfg(test)]
mod tests {
    use hushwire_testbed::Redis;
    use slog::{Discard, Logger, o};

    use super::*;
    use crate::testing::{Counting, settings};

    #[test]
    fn info_is_read_and_room_follows_from_it() {
        let text = "run_id:abc\r\nused_memory:90\r\n\
            maxmemory:100\r\nslave0:ip=1,port=2,state=online,offset=3\r\n\
            slave1:ip=1,port=3,state=wait_bgsave,offset=0\r\nconnected_slaves:2\r\n";
        let info = parse(text);
        assert_eq!((info.connected, info.replicas), (2, vec![("1".to_owned(), 2)]));
        assert_eq!((info.run_id.as_str(), room(info.used, info.most)), ("abc", Room::Reserved));
        assert_eq!(
            (room(95, 100), room(84, 100), room(5, 0)),
            (Room::Full, Room::Ample, Room::Ample)
        );
    }

    #[tokio::test]
    async fn an_audit_reads_every_setting_and_loads_nothing() {
        let redis = Redis::start();
        let log = Logger::root(Discard, o!());
        let random = Arc::new(Counting::default());
        let looked = Link::audit(settings(&redis), random, log).await.unwrap();
        assert!(looked.len() > 4 && looked.iter().all(|one| one.holds), "{looked:?}");
        assert_eq!(redis.command(&["FUNCTION", "LIST"]).unwrap(), "*0\r\n");
        assert_eq!(redis.command(&["DBSIZE"]).unwrap(), ":0\r\n");
    }
}
