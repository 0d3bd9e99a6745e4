//! Every configurable bound of the engine, once, with its default. Fixed bounds of the protocol
//! are in `wire::limits`.
//!
//! A limit is a number here and a check where it is used; each has a test that fills it.

use hushwire_wire::limits as wire;

/// From so much of the store on, messages are queued only for devices that are there: what is
/// under way to them may need it.
pub const STORE_AWAY_PERCENT: u64 = 85;
/// From so much of the store on, no new message is admitted.
pub const STORE_NEW_PERCENT: u64 = 95;

/// So many percent, rounded down.
pub(crate) const fn percent(all: u64, percent: u64) -> u64 {
    all / 100 * percent + all % 100 * percent / 100
}

/// The engine's bounds. All times are in milliseconds, all sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How often the server pings (DELIVERY, "Signing in").
    pub heartbeat_ms: u64,
    /// How long the answer to a ping may take, before 4408.
    pub pong_within_ms: u64,
    /// How long a connection may take until `hello`, before 4401.
    pub hello_within_ms: u64,
    /// One text, file or edit per interval and user. 0 switches the rule off.
    pub message_interval_ms: u64,
    /// Removals, reactions, receipts and timers of one user in a minute.
    pub control_per_minute: u32,
    /// How many of them may come at once.
    pub control_burst: u32,
    /// Refused frames of one connection in a minute, before 4429.
    pub refused_per_minute: u32,
    /// When a live device that has not acknowledged is backed by its queue (DELIVERY, "Send").
    pub custody_after_ms: u64,
    /// Custody that another node has not reported counts as refused after so long.
    pub bus_within_ms: u64,
    /// When a send that has no custody is answered `unavailable`.
    pub send_deadline_ms: u64,
    /// Behind for so long without an acknowledgement, before 4410.
    pub slow_after_ms: u64,
    /// Messages and notices sent to a device and not acknowledged.
    pub window_messages: usize,
    /// Their bytes; one message may exceed it alone.
    pub window_bytes: usize,
    /// Messages that wait in a session's lane.
    pub lane_messages: usize,
    /// Their bytes; one message may exceed it alone.
    pub lane_bytes: usize,
    /// Events that wait in a session's lane; more become one `state`.
    pub lane_events: usize,
    /// Messages in one device's queue.
    pub ledger_messages: usize,
    /// Their bytes.
    pub ledger_bytes: usize,
    /// Messages in one device's queue from one sender.
    pub ledger_messages_per_sender: usize,
    /// Their bytes.
    pub ledger_bytes_per_sender: usize,
    /// Messages in all queues of the store.
    pub store_messages: u64,
    /// Their bytes.
    pub store_bytes: u64,
    /// Notices that wait for one device.
    pub notices_per_device: usize,
    /// Contacts whose skipped messages one device's queue counts; the oldest go.
    pub ledger_gaps: usize,
    /// Senders whose highest `sn` one device's queue remembers.
    pub ledger_senders: usize,
    /// Senders whose dropped messages one device's queue remembers; the oldest go.
    pub ledger_dropped: usize,
    /// How long a message waits in a queue.
    pub expire_after_ms: u64,
    /// How long admit records, sequence numbers and notices are kept.
    pub remember_ms: u64,
    /// Admit records on this node; the oldest settled ones go first.
    pub admit_records: usize,
    /// Those of one user in Redis, which has no bound for all; the oldest go.
    pub admit_records_per_user: usize,
    /// Users with a rate limiter's state on this node.
    pub limiter_users: usize,
    /// Calls that wait for the queue store.
    pub intake: usize,
    /// Nonces that are issued and not taken.
    pub nonces: usize,
    /// Tokens that have not ended.
    pub tokens: usize,
    /// Those of one device; its oldest goes.
    pub tokens_per_device: usize,
    /// Revoked devices that the queue store remembers. At the bound those revoked more than an
    /// hour ago are forgotten first; without one a revocation answers `Unavailable`.
    pub tombstones: usize,
    /// Pairs whose facts are cached.
    pub pairs: usize,
    /// How long a cached pair is believed without asking again.
    pub pair_fresh_ms: u64,
    /// Sockets, signed in or not.
    pub connections: usize,
    /// Of them, sockets that are not signed in.
    pub unsigned: usize,
    /// The same from one address.
    pub unsigned_per_address: usize,
    /// Signed-in sockets from one address; 0 for no limit.
    pub signed_in_per_address: usize,
    /// How long a drain waits for custody.
    pub drain_custody_ms: u64,
    /// Clients are told to come back within so long of a drain, spread evenly.
    pub drain_spread_ms: u64,
    /// One ephemeral message so often for each user and contact. 0 switches the rule off.
    pub ephemeral_every_ms: u64,
    /// How often a user's devices may change in a minute whom they show themselves to. 0 switches
    /// the rule off.
    pub presence_per_minute: u32,
    /// Users named in all lists of whom devices show themselves to, on this node.
    pub presence_names: usize,
    /// Steps of calls of one user in a second. 0 switches the rule off.
    pub call_signals_per_second: u32,
    /// How many of them may come at once.
    pub call_signal_burst: u32,
    /// How long a call rings.
    pub call_ring_ms: u64,
    /// How long a call waits for a device that lost its connection.
    pub call_lease_ms: u64,
    /// Calls of one user at a time, in both directions.
    pub calls_per_user: usize,
    /// Calls on this node at a time. 0 switches calls off.
    pub calls: usize,
}

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

impl Default for Limits {
    fn default() -> Self {
        Self {
            heartbeat_ms: wire::HEARTBEAT_MS,
            pong_within_ms: wire::PONG_WITHIN_MS,
            hello_within_ms: wire::HELLO_WITHIN_MS,
            message_interval_ms: 10_000,
            control_per_minute: 60,
            control_burst: 30,
            refused_per_minute: 120,
            custody_after_ms: 1_000,
            bus_within_ms: 3_000,
            send_deadline_ms: 10_000,
            slow_after_ms: 30_000,
            window_messages: wire::WINDOW_MESSAGES,
            window_bytes: wire::WINDOW_BYTES,
            lane_messages: 64,
            lane_bytes: 256 * 1024,
            lane_events: 32,
            ledger_messages: 5_000,
            ledger_bytes: 16 << 20,
            ledger_messages_per_sender: 1_000,
            ledger_bytes_per_sender: 4 << 20,
            store_messages: 2_000_000,
            store_bytes: 2 << 30,
            notices_per_device: 10_000,
            ledger_gaps: 1_000,
            ledger_senders: 10_000,
            ledger_dropped: 1_000,
            expire_after_ms: 30 * DAY,
            remember_ms: 31 * DAY,
            admit_records: 1 << 20,
            admit_records_per_user: 1 << 13,
            limiter_users: 1 << 18,
            intake: 1 << 16,
            nonces: 1 << 16,
            tokens: 1 << 20,
            tokens_per_device: 16,
            tombstones: 1 << 18,
            pairs: 1 << 16,
            pair_fresh_ms: MINUTE,
            connections: 50_000,
            unsigned: 2_000,
            unsigned_per_address: 20,
            signed_in_per_address: 0,
            drain_custody_ms: 5_000,
            drain_spread_ms: 10_000,
            ephemeral_every_ms: 3_000,
            presence_per_minute: 12,
            presence_names: 1 << 20,
            call_signals_per_second: 10,
            call_signal_burst: 50,
            call_ring_ms: 45_000,
            call_lease_ms: 20_000,
            calls_per_user: 4,
            calls: 1 << 14,
        }
    }
}
