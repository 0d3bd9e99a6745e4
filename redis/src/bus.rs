//! The way between nodes, over Redis' publish and subscribe: nothing is stored, and what nobody
//! hears is told so to whoever said it.

mod ear;
mod inbox;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bb8_redis::redis::{cmd, pipe};
use hushwire_actors::ports::{Address, Bus, Unavailable, Word};
use hushwire_wire::NodeId;
use tokio::task::AbortHandle;

pub(crate) use self::ear::ANSWERS_WITHIN;
use self::inbox::Inbox;
use crate::link::Link;
use crate::words;

/// A node that does not beat for so long is not there any more, in milliseconds.
const THERE_MS: u64 = 9_000;

/// The bus of one node. Dropped, it hears no more.
///
/// Up to 16,384 words of 32 MiB wait for whoever calls [`Bus::next`]; what is more is lost, and said
/// to be.
#[derive(Debug)]
pub struct RedisBus {
    link: Link,
    ear: OnceLock<Ear>,
}

#[derive(Debug)]
struct Ear {
    node: NodeId,
    inbox: Arc<Inbox>,
    task: AbortHandle,
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RedisBus {
    /// Over an open link. Words are published on its connections, and heard on one that it is
    /// opened for, from the first call of [`Bus::next`] on.
    #[must_use]
    pub const fn new(link: Link) -> Self {
        Self { link, ear: OnceLock::new() }
    }

    fn ear(&self, node: NodeId) -> Result<&Ear, Unavailable> {
        if let Some(ear) = self.ear.get() {
            return Ok(ear);
        }
        let inbox = Arc::new(Inbox::new(node));
        let channels = [self.link.channel(node), self.link.channel_of_all()];
        let hear = ear::hear(self.link.clone(), channels, inbox.clone());
        let task = self.link.spawn(hear)?;
        // Of two that are made at once, the one that is not kept ends here.
        Ok(self.ear.get_or_init(|| Ear { node, inbox, task }))
    }
}

#[async_trait]
impl Bus for RedisBus {
    async fn publish(&self, from: NodeId, words: Vec<(Address, Word)>) -> Vec<bool> {
        let count = words.len();
        let link = self.link.clone();
        let heard = self.link.run(async move { publish(&link, from, &words).await });
        match heard.await {
            Ok(Ok(heard)) if heard.len() == count => heard.iter().map(|nodes| *nodes > 0).collect(),
            // Some may have been heard: who hears a word twice, or one that was given up, ignores it.
            _ => vec![false; count],
        }
    }

    async fn beat(&self, node: NodeId, there: bool) -> Result<Vec<NodeId>, Unavailable> {
        let link = self.link.clone();
        self.link.run(async move { beat(&link, node, there).await }).await?
    }

    /// For one node, that of the first call; and for one caller at a time.
    async fn next(&self, node: NodeId) -> Result<Vec<Word>, Unavailable> {
        let ear = self.ear(node)?;
        if ear.node != node {
            return Err(Unavailable);
        }
        ear.inbox.next().await
    }
}

/// Beats, and hears who else does.
async fn beat(link: &Link, node: NodeId, there: bool) -> Result<Vec<NodeId>, Unavailable> {
    let mut command = cmd("FCALL");
    command.arg("hushwire1_beat").arg(1).arg(link.nodes_key()).arg(&node.0);
    command.arg(link.state().said_now()).arg(if there { THERE_MS } else { 0 });
    let mut shared = link.shared().await?;
    let nodes: Result<Vec<Vec<u8>>, _> = command.query_async(&mut shared.connection).await;
    let nodes = nodes.map_err(|error| link.failed_shared(&shared, &error))?;
    Ok(nodes.iter().filter_map(|node| NodeId::from_slice(node)).collect())
}

/// For each word, how many heard it. On the one shared connection, so that a node's words come in
/// their order.
async fn publish(
    link: &Link,
    from: NodeId,
    words: &[(Address, Word)],
) -> Result<Vec<u64>, Unavailable> {
    let mut pipeline = pipe();
    for (to, word) in words {
        let channel = match to {
            Address::Node(node) => link.channel(*node),
            Address::Others => link.channel_of_all(),
        };
        pipeline.cmd("PUBLISH").arg(channel).arg(words::write(from, word));
    }
    let mut shared = link.shared().await?;
    let heard = pipeline.query_async(&mut shared.connection).await;
    heard.map_err(|error| link.failed_shared(&shared, &error))
}
