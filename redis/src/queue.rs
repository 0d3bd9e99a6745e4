//! The queue store over Redis: each call is one function of the library on one device's keys.
//!
//! A batch goes over a few connections at once, the calls of a device in order on one of them; what
//! was written counts when enough replicas have it, waited for once for each connection. News for
//! senders is stored before what it tells of is deleted.

mod calls;
mod sweep;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use hushwire_actors::Limits;
use hushwire_actors::ports::Unavailable;
use hushwire_actors::queue::{Call, DeviceReply, Op, Outcome, Queue, Reply, Stored};
use hushwire_wire::{DeviceId, Gen, NodeId};
use tokio::sync::Mutex;

use self::calls::{Function, Returned};
use self::sweep::Cursor;
use crate::link::Link;
use crate::state::Room;
use crate::tokens;

/// Connections that a batch is spread over, at most.
const SPREAD: usize = 4;

/// What came of a function: what it returned, or why not.
type Run = Result<Returned, Refused>;

/// Why a function did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// Redis has no memory left for messages.
    NoMemory,
    /// It did not answer, or not so that it counts.
    Unavailable,
}

/// Ledgers, nonces and tokens in Redis. Clones are the same.
#[derive(Clone, Debug)]
pub struct RedisQueue {
    inner: std::sync::Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    link: Link,
    limits: Limits,
    /// The limits as functions take them.
    bounds: String,
    /// Where the sweep is.
    cursor: Mutex<Cursor>,
    messages: AtomicU64,
    bytes: AtomicU64,
    notices: AtomicU64,
}

impl RedisQueue {
    /// Over an open link.
    #[must_use]
    pub fn new(link: Link, limits: Limits) -> Self {
        let bounds = [
            limits.ledger_messages as u64,
            limits.ledger_bytes as u64,
            limits.ledger_messages_per_sender as u64,
            limits.ledger_bytes_per_sender as u64,
            limits.notices_per_device as u64,
            limits.ledger_gaps as u64,
            limits.ledger_senders as u64,
            limits.ledger_dropped as u64,
            limits.expire_after_ms,
            limits.remember_ms,
        ];
        let bounds = bounds.map(|bound| bound.to_string()).join(" ");
        let inner = Inner {
            link,
            limits,
            bounds,
            cursor: Mutex::default(),
            messages: AtomicU64::default(),
            bytes: AtomicU64::default(),
            notices: AtomicU64::default(),
        };
        Self { inner: std::sync::Arc::new(inner) }
    }
}

#[async_trait]
impl Queue for RedisQueue {
    async fn call(&self, calls: Vec<Call>) -> Vec<Result<Reply, Unavailable>> {
        let count = calls.len();
        if !self.inner.link.state().facts().reachable {
            // It is looked for by one that has nothing else to do.
            return vec![Err(Unavailable); count];
        }
        let inner = self.inner.clone();
        let link = self.inner.link.clone();
        let run = link.run(async move { inner.call(calls).await });
        run.await.unwrap_or_else(|_| vec![Err(Unavailable); count])
    }

    fn generation(&self) -> Gen {
        self.inner.link.state().facts().r#gen.unwrap_or(Gen([0; Gen::LEN]))
    }

    fn born_ms(&self) -> u64 {
        self.inner.link.state().facts().born_ms
    }

    /// As the latest sweep over all ledgers found it.
    fn stored(&self) -> Stored {
        Stored {
            messages: self.inner.messages.load(Ordering::Relaxed),
            bytes: self.inner.bytes.load(Ordering::Relaxed),
            notices: self.inner.notices.load(Ordering::Relaxed),
        }
    }

    fn is_full(&self) -> bool {
        self.inner.link.state().facts().room == Room::Full
    }

    fn refuses(&self) -> Option<&'static str> {
        let facts = self.inner.link.state().facts();
        if !facts.reachable {
            Some("Redis cannot be reached")
        } else if facts.refused.is_some() {
            Some(
                "Redis would not keep messages in memory only, or does not tell: the log says which",
            )
        } else {
            None
        }
    }
}

impl Inner {
    async fn call(&self, calls: Vec<Call>) -> Vec<Result<Reply, Unavailable>> {
        let refuses = self.link.state().facts().refused.is_some();
        // The senders' notices first.
        let told = self.tell_senders(&calls).await;
        let functions = calls.iter().enumerate().filter_map(|(k, call)| match call {
            Call::Device { r#gen, device, op } => {
                let told = told.get(&k).is_none_or(Result::is_ok);
                let refused = refuses && calls::holds_messages(op);
                (told && !refused).then(|| (k, self.function(*r#gen, device, op)))
            }
            _ => None,
        });
        let mut runs = self.run_all(functions.collect()).await;
        let mut replies = Vec::with_capacity(calls.len());
        for (k, call) in calls.into_iter().enumerate() {
            replies.push(match call {
                Call::Device { r#gen, device, op } => {
                    let run = runs.remove(&k).unwrap_or(Err(Refused::Unavailable));
                    let told = told.get(&k).cloned().and_then(Result::ok).unwrap_or_default();
                    self.reply(r#gen, device, &op, run, told)
                }
                Call::Time => self.time().await.map(Reply::Time),
                Call::Sweep { most, now_ms } => Ok(Reply::Swept(self.sweep(most, now_ms).await)),
                Call::Holder { device } => {
                    self.look(device).await.map(|looked| Reply::Holder(looked.holder))
                }
                Call::DropTokens { device } => self.drop_tokens(device).await,
                other => tokens::call(&self.link, &self.limits, &other).await,
            });
        }
        replies
    }

    async fn drop_tokens(&self, device: DeviceId) -> Result<Reply, Unavailable> {
        tokens::drop_device(&self.link, &device).await?;
        let looked = self.look(device).await?;
        Ok(Reply::Dropped(looked.holder))
    }

    async fn look(&self, device: DeviceId) -> Result<Returned, Unavailable> {
        let r#gen = self.link.state().facts().r#gen.ok_or(Unavailable)?;
        let function = self.on(r#gen, &device, "look");
        let mut runs = self.run_all(vec![(0, function)]).await;
        runs.remove(&0).unwrap_or(Err(Refused::Unavailable)).map_err(|_| Unavailable)
    }

    fn reply(
        &self,
        believed: Gen,
        device: DeviceId,
        op: &Op,
        run: Run,
        told: Vec<(DeviceId, NodeId)>,
    ) -> Result<Reply, Unavailable> {
        let returned = match run {
            Ok(returned) => returned,
            Err(Refused::NoMemory) => return calls::no_memory(believed, op),
            Err(Refused::Unavailable) => return Err(Unavailable),
        };
        let outcome = match (returned.outcome, op) {
            (Outcome::Noticed(_), Op::Notice { .. } | Op::Touch { .. }) => {
                let holder = returned.holder.map(|key| (device, key.node));
                Outcome::Noticed(holder.into_iter().collect())
            }
            (Outcome::Noticed(_), _) => Outcome::Noticed(told),
            (outcome, _) => outcome,
        };
        if returned.r#gen.is_some() {
            self.link.state().doubt();
        }
        let displaced =
            returned.displaced.filter(|_| matches!(outcome, Outcome::Attached | Outcome::Revoked));
        Ok(Reply::Device(DeviceReply {
            r#gen: returned.r#gen.unwrap_or(believed),
            holder: returned.holder,
            displaced,
            tail: returned.tail,
            notices_tail: returned.notices_tail,
            outcome,
        }))
    }

    /// Runs functions over several connections at once, those of a device in order; what came of
    /// each, by its number.
    async fn run_all(
        &self,
        functions: Vec<(usize, Function)>,
    ) -> std::collections::HashMap<usize, Run> {
        let mut groups: [Vec<(usize, Function)>; SPREAD] = Default::default();
        for (k, function) in functions {
            if let Some(group) = groups.get_mut(function.spread % SPREAD) {
                group.push((k, function));
            }
        }
        let groups = groups.into_iter().filter(|group| !group.is_empty());
        let ran = join_all(groups.map(|group| self.run_group(group))).await;
        ran.into_iter().flatten().collect()
    }

    async fn run_group(&self, group: Vec<(usize, Function)>) -> Vec<(usize, Run)> {
        let (numbers, functions): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let runs = match calls::run(&self.link, functions).await {
            Ok(runs) => runs,
            Err(Unavailable) => vec![Err(Refused::Unavailable); numbers.len()],
        };
        numbers.into_iter().zip(runs).collect()
    }
}
