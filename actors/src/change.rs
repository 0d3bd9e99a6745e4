//! What was committed to the database: what a node forgets of it, and whom it tells (DELIVERY, "Many
//! nodes").
//!
//! The users' stamps make it hold on every node from the next send on; the word between nodes is
//! the fast path, and how live devices on other nodes hear of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hushwire_wire::UserId;
use hushwire_wire::frame::{Event, EventKind};
use serde::{Deserialize, Serialize};
use slog::warn;
use tokio::time::{sleep, timeout};

use crate::aside::Aside;
use crate::node::Node;
use crate::ports::{Unavailable, Word};
use crate::user::Note;

/// How long the answer to whoever made a change waits for the stamps.
const WITHIN: Duration = Duration::from_secs(3);
/// The pause before they are raised again.
const PAUSE: Duration = Duration::from_secs(1);

/// What was committed to the database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    /// Pairs whose epoch, roster or contact changed; equal users for the self-pair.
    pub pairs: Vec<(UserId, UserId)>,
    /// What users' live devices must hear.
    pub events: Vec<(UserId, Event)>,
}

/// Makes a change hold: here at once, elsewhere from the next send on. What cannot be told to the
/// queue store now is told as soon as it can.
///
/// # Errors
/// If other nodes may not know yet.
pub(crate) async fn committed(node: &Arc<Node>, change: Change) -> Result<(), Unavailable> {
    apply(node, &change);
    let both = change.pairs.iter().flat_map(|(a, b)| [*a, *b]);
    let users: Vec<_> = both.collect::<BTreeSet<_>>().into_iter().collect();
    let raised = if users.is_empty() {
        Ok(())
    } else {
        timeout(WITHIN, node.admissions.raise(users.clone())).await.unwrap_or(Err(Unavailable))
    };
    node.tell_others(Word::Aside(Aside::Changed(change)));
    if raised.is_err() {
        raise_later(node, users);
    }
    raised
}

/// Goes on until the store knows, or has lost what it knew. Sends wait for the same store meanwhile.
fn raise_later(node: &Arc<Node>, users: Vec<UserId>) {
    let generation = node.queue.generation();
    warn!(node.log, "a change is not known to other servers yet: telling them again");
    let of = node.clone();
    node.landings.spawn(async move {
        while of.queue.generation() == generation
            && of.admissions.raise(users.clone()).await.is_err()
        {
            sleep(PAUSE).await;
        }
    });
}

/// Forgets what was cached, and tells the users' live devices here. Users of whom an event says that
/// one removed or blocked the other hear nothing live of each other from now on.
pub(crate) fn apply(node: &Arc<Node>, change: &Change) {
    for &(a, b) in &change.pairs {
        node.pairs.changed(a, b);
        let parted = change.events.iter().any(|(user, event)| parts(*user, event, a, b));
        node.presence.changed(node, a, b, parted);
        if parted {
            node.calls.parted(a, b);
        }
    }
    for (user, event) in &change.events {
        let (user, event) = (*user, event.clone());
        node.tell(user, Note::Changed { user, event });
    }
}

/// Whether an event for `user` says that `a` and `b` are no contacts any more.
fn parts(user: UserId, event: &Event, a: UserId, b: UserId) -> bool {
    let between = event.peer.is_some_and(|peer| (user, peer) == (a, b) || (user, peer) == (b, a));
    between && matches!(event.kind, EventKind::Block | EventKind::Removed)
}
