//! Seeded bugs: one for each interleaving that DELIVERY names. They are faults of the model's glue
//! or wrappers around one transition; the engine's code has no switch.

use hushwire_actors::Limits;
use hushwire_actors::ledger::Ledger;
use hushwire_actors::queue::{Mode, Op, Outcome, Taken};

use crate::ids::NOW_MS;

/// A fault that the rules must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bug {
    /// (a) A second report of one device counts for the next device.
    AckAndFallbackBothCount,
    /// (b) What a node received over the bus counts as taken.
    ReceivedIsTaken,
    /// (c) A holder that does not answer stays the holder.
    SilentHolderStays,
    /// (d) A write appends for whoever is live, and tells nobody.
    AppendsUnderALiveKey,
    /// (e) A flip does not look at what lies above.
    FlipLooksNowhere,
    /// (f) A device shows what comes, in the order in which it comes.
    NoHold,
    /// (g) A device does not know what it has.
    NoDedup,
    /// (h) What a killed node had under way counts as under way for ever.
    UnderWayForEver,
    /// (i) A device knows the latest message of each sender only.
    DedupOfTheLatest,
    /// (j) A revoked device leaves no trace.
    NoTombstone,
    /// (k) The first device completes custody.
    FirstCompletes,
    /// (l) Nothing is written for a device without a key, and it is reported as queued.
    NoKeyNoWrite,
    /// (m) A heartbeat restores a missing key as live.
    TouchRestoresLive,
    /// (n) A write past a dead connection leaves its key live.
    DeadStaysLive,
    /// (o) The sender's own devices are routed at once.
    OwnAtOnce,
    /// (p) A heartbeat takes a revoked device's queue up again.
    TouchRevives,
    /// (q) A device knows messages by their mid only.
    NoDedupByContent,
    /// (r) An acknowledgement deletes nothing whose backing is not answered.
    AckForgetsBacked,
    /// (s) New messages are taken before what was lost is sent again.
    NewBeforeLost,
    /// (t) A skipped message is written when there is room again.
    SkipIsForgotten,
    /// (u) A flip whose reply is lost waits for it for ever.
    LostFlipWaits,
    /// (v) A message counts as accepted when the first recipient has it.
    AcceptedBeforeOwn,
    /// Beside the letters: a call that names another generation is executed.
    OldGenerationWrites,
    /// Beside the letters: a queue takes whatever comes.
    NoQuota,
    /// Beside the letters: a repeat is charged.
    RepeatIsCharged,
    /// Beside the letters: a device acknowledges before it persists.
    AcksUnread,
}

/// [`Ledger::apply`], or what a bug makes of it.
pub(crate) fn apply(ledger: &mut Ledger, op: &Op, limits: &Limits, bug: Option<Bug>) -> Outcome {
    let holder = ledger.holder(NOW_MS);
    let is_live = holder.is_some_and(|key| key.mode == Mode::Live);
    match (bug, op) {
        (Some(Bug::AppendsUnderALiveKey), Op::Enqueue { .. }) if is_live => {
            return append(ledger, op, limits);
        }
        (Some(Bug::DeadStaysLive), Op::Enqueue { dead, .. })
            if is_live && holder.map(|key| key.conn) == *dead =>
        {
            return append(ledger, op, limits);
        }
        (Some(Bug::FlipLooksNowhere), Op::Flip { conn, .. }) => {
            let op = Op::Flip { conn: *conn, last: u64::MAX - 1, notices_last: u64::MAX - 1 };
            return ledger.apply(&op, limits, NOW_MS);
        }
        (Some(Bug::NoKeyNoWrite), Op::Enqueue { entries, .. }) if holder.is_none() => {
            return Outcome::Written(vec![Taken::Queued; entries.len()]);
        }
        (Some(Bug::TouchRestoresLive), Op::Touch { conn, .. }) if holder.is_none() => {
            let outcome = ledger.apply(op, limits, NOW_MS);
            let flip = Op::Flip { conn: *conn, last: u64::MAX - 1, notices_last: u64::MAX - 1 };
            ledger.apply(&flip, limits, NOW_MS);
            return outcome;
        }
        (Some(Bug::SkipIsForgotten), Op::Enqueue { .. } | Op::Force { .. }) => {
            // As if `again`: exempt from what is remembered.
            return ledger.apply(&forgetful(op), limits, NOW_MS);
        }
        (Some(Bug::NoTombstone), Op::Revoke) => {
            *ledger = Ledger::default();
            return Outcome::Revoked;
        }
        (Some(Bug::TouchRevives), Op::Touch { .. })
            if ledger.apply(op, limits, NOW_MS) == Outcome::Revoked =>
        {
            *ledger = Ledger::default();
        }
        (Some(Bug::NoQuota), _) => return ledger.apply(op, &Limits::default(), NOW_MS),
        _ => {}
    }
    ledger.apply(op, limits, NOW_MS)
}

/// Writes and leaves the key as it was.
fn append(ledger: &mut Ledger, op: &Op, limits: &Limits) -> Outcome {
    let Op::Enqueue { entries, .. } = op else { return Outcome::Attached };
    let Some(key) = ledger.holder(NOW_MS) else { return Outcome::Attached };
    let outcome = ledger.apply(&Op::Force { entries: entries.clone() }, limits, NOW_MS);
    let flip = Op::Flip { conn: key.conn, last: u64::MAX - 1, notices_last: u64::MAX - 1 };
    ledger.apply(&flip, limits, NOW_MS);
    outcome
}

fn forgetful(op: &Op) -> Op {
    let forget = |entries: &[hushwire_actors::envelope::Entry]| {
        let forget = |entry: &hushwire_actors::envelope::Entry| {
            let from = crate::ids::Sealing::of(&entry.envelope.mid);
            let envelope = crate::ids::envelope(
                entry.envelope.from_device.0[0],
                entry.envelope.from_user.0[0],
                entry.envelope.to.0[0],
                u8::try_from(entry.envelope.sn).unwrap_or(u8::MAX),
                from.mid(),
                true,
            );
            crate::ids::entry(&std::sync::Arc::new(envelope), entry.own)
        };
        entries.iter().map(forget).collect()
    };
    match op {
        Op::Enqueue { entries, dead } => Op::Enqueue { entries: forget(entries), dead: *dead },
        Op::Force { entries } => Op::Force { entries: forget(entries) },
        other => other.clone(),
    }
}
