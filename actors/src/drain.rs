//! Going away without losing anything (DELIVERY, "Many nodes"): refuse, finish custody, write
//! what is left to the ledgers, say 1012 with a time to come back that differs for everybody.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hushwire_wire::Close;
use slog::info;
use tokio::time::{Instant, sleep};

use crate::lane::Fact;
use crate::node::Node;

/// How often the drain looks.
const LOOK: Duration = Duration::from_millis(20);
/// How long sockets have for their goodbyes.
const GOODBYE: Duration = Duration::from_secs(3);

/// Drains the node. Returns when all sockets are gone, or have had the time for it.
pub(crate) async fn drain(node: &Arc<Node>) {
    node.draining.store(true, Ordering::Release);
    // Nobody waits for custody of theirs.
    node.goodbye.notify_waiters();
    let custody = Instant::now() + Duration::from_millis(node.limits.drain_custody_ms);
    let settled = || node.flights.load(Ordering::Relaxed) == 0 && node.intake.len() == 0;
    while !settled() && Instant::now() < custody {
        sleep(LOOK).await;
    }
    let live = node.directory.len().max(1) as u64;
    let mut place = 0;
    node.directory.for_each(|_, live_session| {
        let after_ms = node.limits.drain_spread_ms * place / live;
        place += 1;
        let kick = Fact::Kick { close: Close::Restarting, after_ms: Some(after_ms) };
        live_session.lane.tell(kick);
    });
    let goodbye = Instant::now() + GOODBYE;
    while node.sockets.load(Ordering::Acquire) > 0 && Instant::now() < goodbye {
        sleep(LOOK).await;
    }
    info!(node.log, "drained"; "sockets_left" => node.sockets.load(Ordering::Acquire),
        "in_flight" => node.flights.load(Ordering::Relaxed));
    node.services.stop();
}
