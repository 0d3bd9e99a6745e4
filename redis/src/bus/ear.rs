//! The subscription of one node, on a connection of its own, for as long as it is wanted.
//!
//! Nobody sees what was published while no subscription stood. It is said after the next one stands:
//! whoever asks the queue store then misses nothing that comes later.

use std::sync::Arc;
use std::time::Duration;

use bb8_redis::redis::{PushInfo, PushKind, Value, cmd};
use slog::{debug, info, warn};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::inbox::Inbox;
use crate::error::OpenError;
use crate::link::Link;

/// How often the connection is tried: one that nothing comes over may lead nowhere.
const TRIED_EVERY: Duration = Duration::from_secs(2);
/// How long it may take to answer.
pub(crate) const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
/// Pauses between attempts to subscribe: from the first, doubled, to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Subscribes, again and again.
pub(super) async fn hear(link: Link, channels: [Vec<u8>; 2], inbox: Arc<Inbox>) {
    let mut pause = PAUSES.0;
    loop {
        let mut stood = false;
        let ended = listen(&link, &channels, &inbox, &mut stood).await;
        inbox.set_listens(false);
        let why = ended.map_or_else(|error| error.to_string(), |()| "it ended".to_owned());
        if stood {
            pause = PAUSES.0;
            warn!(link.log(), "words of other nodes may be lost: subscribing again"; "why" => why);
        } else {
            debug!(link.log(), "no subscription"; "why" => why);
        }
        sleep(pause).await;
        pause = PAUSES.1.min(pause * 2);
    }
}

/// Listens until the subscription is lost, or may be.
async fn listen(
    link: &Link,
    channels: &[Vec<u8>; 2],
    inbox: &Arc<Inbox>,
    stood: &mut bool,
) -> Result<(), OpenError> {
    // Before: another generation may be another server, which this one is left for.
    let generation = link.state().facts().r#gen;
    let gone = Arc::new(Notify::new());
    let took = {
        let (inbox, gone, all) = (inbox.clone(), gone.clone(), link.channel_of_all());
        let log = link.log().clone();
        move |push: PushInfo| match push.kind {
            PushKind::Message => {
                if let [Value::BulkString(on), Value::BulkString(bytes)] = push.data.as_slice() {
                    // Rarely, however many come: of another version, while one replaces another.
                    if inbox.put(bytes, *on == all).is_some_and(u64::is_power_of_two) {
                        warn!(log, "words of other nodes cannot be read: another version?");
                    }
                }
            }
            PushKind::Disconnection | PushKind::Unsubscribe => gone.notify_one(),
            _ => {}
        }
    };
    let why = |error| OpenError::from_redis(error, "the primary");
    let mut connection = link.listener(took).await?;
    connection.subscribe(&channels[..]).await.map_err(why)?;
    *stood = true;
    inbox.set_listens(true);
    inbox.interrupt();
    info!(link.log(), "words of other nodes are heard");
    while timeout(TRIED_EVERY, gone.notified()).await.is_err() {
        let _: String = cmd("PING").query_async(&mut connection).await.map_err(why)?;
        if link.state().facts().r#gen != generation {
            break;
        }
    }
    Ok(())
}
