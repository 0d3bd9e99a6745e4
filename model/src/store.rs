//! The queue store: the engine's ledgers and admit records, shared by all nodes as Redis has them,
//! with a replica that is behind and a generation.

use std::collections::BTreeMap;

use hushwire_actors::Limits;
use hushwire_actors::admit::Admit;
use hushwire_actors::ledger::{KEY_TTL_MS, Ledger};
use hushwire_actors::queue::{DeviceReply, Op, Outcome};
use hushwire_wire::{DeviceId, Gen, NodeId};

use crate::bug::Bug;
use crate::ids::{self, NOW_MS};

/// Admit records, at most.
const RECORDS: usize = 16;

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kept {
    pub(crate) ledgers: BTreeMap<DeviceId, Ledger>,
    pub(crate) admit: Admit,
}

/// The store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub(crate) generation: u8,
    pub(crate) kept: Kept,
    /// What the replica has: all that was written before the last write that was waited for. Only
    /// kept where the store may fail over.
    pub(crate) replica: Option<Box<Kept>>,
}

impl Kept {
    pub(crate) fn empty() -> Self {
        Self { ledgers: BTreeMap::new(), admit: Admit::new(RECORDS, 1 << 40) }
    }
}

impl Store {
    pub(crate) fn new(replicated: bool) -> Self {
        let replica = replicated.then(|| Box::new(Kept::empty()));
        Self { generation: 1, kept: Kept::empty(), replica }
    }

    pub(crate) fn r#gen(&self) -> Gen {
        ids::generation(self.generation)
    }

    pub(crate) fn ledger(&self, device: u8) -> Option<&Ledger> {
        self.kept.ledgers.get(&ids::device(device))
    }

    /// `WAIT`: everything up to now is on the replica.
    pub(crate) fn wait(&mut self) {
        if let Some(replica) = &mut self.replica {
            **replica = self.kept.clone();
        }
    }

    pub(crate) fn fail_over(&mut self) {
        self.generation += 1;
        if let Some(replica) = &self.replica {
            self.kept = (**replica).clone();
        }
    }

    pub(crate) fn wipe(&mut self) {
        self.generation += 1;
        self.kept = Kept::empty();
        if self.replica.is_some() {
            self.replica = Some(Box::new(Kept::empty()));
        }
    }

    /// As the store executes a call. What its senders must hear is stored first.
    pub(crate) fn execute(
        &mut self,
        r#gen: Gen,
        device: DeviceId,
        op: &Op,
        limits: &Limits,
        bug: Option<Bug>,
    ) -> DeviceReply {
        let mut noticed = Vec::new();
        let holder =
            |kept: &Kept, device| kept.ledgers.get(device).and_then(|l: &Ledger| l.holder(NOW_MS));
        let displaced = match op {
            Op::Attach { conn, .. } => holder(&self.kept, &device).filter(|key| key.conn != *conn),
            _ => None,
        };
        let outcome = if r#gen == self.r#gen() || bug == Some(Bug::OldGenerationWrites) {
            if let Op::Ack { settled, .. } = op {
                for one in settled {
                    let Some(news) = &one.news else { continue };
                    let ledger = self.kept.ledgers.entry(one.from).or_default();
                    ledger.notice(news.clone(), limits, NOW_MS);
                    noticed.extend(holder(&self.kept, &one.from).map(|key| (one.from, key.node)));
                }
            }
            let ledger = self.kept.ledgers.entry(device).or_default();
            crate::bug::apply(ledger, op, limits, bug)
        } else {
            Outcome::OtherGen
        };
        let outcome = match (outcome, op) {
            (Outcome::Noticed(_), Op::Notice { .. }) => {
                let key = holder(&self.kept, &device);
                Outcome::Noticed(key.map(|key| (device, key.node)).into_iter().collect())
            }
            (Outcome::Noticed(_), _) => Outcome::Noticed(noticed),
            (outcome, _) => outcome,
        };
        DeviceReply {
            r#gen: self.r#gen(),
            holder: holder(&self.kept, &device),
            displaced,
            tail: self.kept.ledgers.get(&device).map_or(0, Ledger::tail),
            notices_tail: self.kept.ledgers.get(&device).map_or(0, Ledger::notices_tail),
            outcome,
        }
    }

    /// A key runs out, as nobody renews it.
    pub(crate) fn expire_key(&mut self, device: u8, limits: &Limits) {
        let me = ids::device(device);
        if let Some(ledger) = self.kept.ledgers.get_mut(&me) {
            ledger.expire(me, limits, NOW_MS + KEY_TTL_MS + 1, 0);
        }
    }

    /// Whether anybody of this node's process holds the device.
    pub(crate) fn holder_node(&self, device: u8) -> Option<NodeId> {
        self.ledger(device).and_then(|ledger| ledger.holder(NOW_MS)).map(|key| key.node)
    }
}
