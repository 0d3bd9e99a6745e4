//! Expiry: a look at some ledgers at a time, by whichever node comes to it.

use bb8_redis::redis::cmd;
use hushwire_actors::ports::Unavailable;
use hushwire_actors::queue::{Op, Settled};
use hushwire_wire::frame::News;
use hushwire_wire::{DeviceId, Gen, NodeId};

use super::{Inner, Ordering};
use crate::link::Link;

/// Keys that one sweep looks through, at least.
const LOOKED_AT: usize = 4_096;

/// Where the sweep is, and the sums that it has found since it began.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    at: u64,
    sums: [u64; 3],
}

impl Inner {
    /// What the clock of Redis says, in milliseconds since 1970.
    pub(super) async fn time(&self) -> Result<u64, Unavailable> {
        let mut connection = self.link.connection().await?;
        let time: Result<(u64, u64), _> = cmd("TIME").query_async(&mut **connection).await;
        let (seconds, micros) = time.map_err(|error| self.link.failed(&mut connection, &error))?;
        Ok(seconds * 1_000 + micros / 1_000)
    }

    /// The next part of all ledgers: expires at most `most` messages. The devices that have new
    /// notices, and the nodes that hold them.
    pub(super) async fn sweep(&self, most: usize, now_ms: u64) -> Vec<(DeviceId, NodeId)> {
        // One at a time; what fails is looked at again when the sweep comes round.
        let Ok(mut cursor) = self.cursor.try_lock() else { return Vec::new() };
        let Some(r#gen) = self.link.state().facts().r#gen else { return Vec::new() };
        let (mut noticed, mut left, mut looked_at) = (Vec::new(), most, 0);
        while left > 0 && looked_at < LOOKED_AT {
            let Ok((next, devices)) = self.scan(cursor.at).await else { break };
            looked_at += 1_024;
            for device in devices {
                let Ok(expired) =
                    self.expire_one(r#gen, device, (left, now_ms), &mut cursor.sums).await
                else {
                    continue;
                };
                left = left.saturating_sub(expired.0);
                noticed.extend(expired.1);
            }
            cursor.at = next;
            if next == 0 {
                let sums = std::mem::take(&mut cursor.sums);
                for (sum, found) in
                    [&self.messages, &self.bytes, &self.notices].into_iter().zip(sums)
                {
                    sum.store(found, Ordering::Relaxed);
                }
                break;
            }
        }
        noticed
    }

    /// Some ledgers, and where to go on.
    async fn scan(&self, at: u64) -> Result<(u64, Vec<DeviceId>), Unavailable> {
        let mut connection = self.link.connection().await?;
        let pattern = self.link.pattern("meta");
        let mut scan = cmd("SCAN");
        scan.arg(at).arg("MATCH").arg(pattern).arg("COUNT").arg(1_024);
        let found: Result<(u64, Vec<Vec<u8>>), _> = scan.query_async(&mut **connection).await;
        let (next, keys) = found.map_err(|error| self.link.failed(&mut connection, &error))?;
        Ok((next, keys.iter().filter_map(|key| Link::tag(key).and_then(device)).collect()))
    }

    /// The senders' notices first, then the messages go.
    async fn expire_one(
        &self,
        r#gen: Gen,
        device: DeviceId,
        (most, now_ms): (usize, u64),
        sums: &mut [u64; 3],
    ) -> Result<(usize, Vec<(DeviceId, NodeId)>), Unavailable> {
        let mut ran = self.run_all(vec![(0, self.expire(r#gen, &device, most, now_ms))]).await;
        let returned = ran.remove(&0).and_then(Result::ok).ok_or(Unavailable)?;
        for (sum, found) in sums.iter_mut().zip(returned.sums) {
            *sum += found;
        }
        let mut due = returned.due;
        if due.is_empty() {
            return Ok((0, Vec::new()));
        }
        for one in &mut due {
            one.news = Some(News::Expired { mid: one.mid, device });
        }
        let told = self.tell(vec![(0, r#gen, due.as_slice())]).await.remove(&0);
        let told = told.ok_or(Unavailable)??;
        let count = due.len();
        let settled: Vec<Settled> = due;
        let ack = self.function(r#gen, &device, &Op::Ack { settled, notices: 0 });
        self.run_all(vec![(0, ack)]).await;
        Ok((count, told))
    }
}

fn device(tag: Vec<u8>) -> Option<DeviceId> {
    DeviceId::from_slice(&tag)
}
