//! The device log against a model of plain sets: any sequence of entries, honest or not, has the
//! model's verdict, and leaves the model's devices and keys (CRYPTO 3).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Key, from_seed, log_of};
use hushwire_identity::hash::Label;
use hushwire_identity::{DeviceKind, DeviceLog, LogError, Payload, Suites};
use hushwire_wire::{DeviceId, UserId};
use proptest::prelude::*;

/// Keys that acts name: few, so that they meet again.
const KEYS: usize = 14;

#[derive(Clone, Debug)]
enum Act {
    Add(usize),
    Revoke(Vec<usize>),
    RecoveryAdd(usize),
    RecoveryDel(usize),
}

/// What is wrong with an entry beside what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Seq,
    Log,
    Prev,
    Time,
    /// Signed by the key with this number, in the signer's name.
    Forged(usize),
    /// Signed under another label.
    Label,
    /// The claim is by the key with this number.
    Claim(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..KEYS).prop_map(Act::Add),
        3 => prop::collection::vec(0..KEYS, 1..4).prop_map(Act::Revoke),
        2 => (0..KEYS).prop_map(Act::RecoveryAdd),
        1 => (0..KEYS).prop_map(Act::RecoveryDel),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        12 => Just(Fault::None),
        1 => prop::sample::select(vec![Fault::Seq, Fault::Log, Fault::Prev, Fault::Time, Fault::Label]),
        1 => (0..KEYS).prop_map(Fault::Forged),
        1 => (0..KEYS).prop_map(Fault::Claim),
    ]
}

/// By number of key.
#[derive(Clone, Debug, Default)]
struct Model {
    devices: BTreeSet<usize>,
    recovery: BTreeSet<usize>,
    known: BTreeSet<usize>,
    /// When each device was added, and when it was revoked.
    lives: BTreeMap<usize, (u32, Option<u32>)>,
    seq: u32,
}

impl Model {
    /// What a log must say to an entry, and what it becomes.
    fn judge(&mut self, by: usize, act: &Act, fault: Fault) -> Option<LogError> {
        match fault {
            Fault::Seq | Fault::Log | Fault::Prev => return Some(LogError::Link),
            Fault::Time => return Some(LogError::Time),
            _ => {}
        }
        if !self.devices.contains(&by) && !self.recovery.contains(&by) {
            return Some(LogError::Signer);
        }
        match (fault, act) {
            (Fault::Label, _) => return Some(LogError::Signature),
            (Fault::Forged(other), _) if other != by => return Some(LogError::Signature),
            (Fault::Claim(other), Act::Add(new) | Act::RecoveryAdd(new)) if other != *new => {
                return Some(LogError::Claim);
            }
            _ => {}
        }
        self.act(by, act).err()
    }

    fn act(&mut self, by: usize, act: &Act) -> Result<(), LogError> {
        let by_recovery = self.recovery.contains(&by);
        let left = self.devices.len() + self.recovery.len();
        match act {
            Act::Add(new) => {
                refuse(self.known.contains(new), LogError::KeyKnown)?;
                refuse(self.devices.len() == 8, LogError::Limit)?;
                self.devices.insert(*new);
                self.known.insert(*new);
                self.lives.insert(*new, (self.seq + 1, None));
            }
            Act::Revoke(old) => {
                let named: BTreeSet<_> = old.iter().copied().collect();
                let all_active = named.is_subset(&self.devices);
                refuse(named.len() < old.len() || !all_active, LogError::Target)?;
                refuse(left == named.len(), LogError::NobodyLeft)?;
                for device in named {
                    self.devices.remove(&device);
                    self.lives.get_mut(&device).unwrap().1 = Some(self.seq + 1);
                }
            }
            Act::RecoveryAdd(new) => {
                refuse(!by_recovery && !self.recovery.is_empty(), LogError::Authority)?;
                refuse(self.known.contains(new), LogError::KeyKnown)?;
                refuse(self.recovery.len() == 2, LogError::Limit)?;
                self.recovery.insert(*new);
                self.known.insert(*new);
            }
            Act::RecoveryDel(old) => {
                refuse(!by_recovery, LogError::Authority)?;
                refuse(!self.recovery.contains(old), LogError::Target)?;
                refuse(left == 1, LogError::NobodyLeft)?;
                self.recovery.remove(old);
            }
        }
        self.seq += 1;
        Ok(())
    }

    fn active_at(&self, seq: u32) -> BTreeSet<usize> {
        let active = self.lives.iter().filter(|(_, (added, revoked))| {
            *added <= seq && revoked.is_none_or(|revoked| revoked > seq)
        });
        active.map(|(device, _)| *device).collect()
    }
}

fn refuse(if_so: bool, error: LogError) -> Result<(), LogError> {
    if if_so { Err(error) } else { Ok(()) }
}

fn keys() -> Vec<Key> {
    (0..KEYS).map(|i| from_seed(&[u8::try_from(i).unwrap() + 1; 32])).collect()
}

/// The entry of an act as it goes over the wire, faults and all.
fn wire(keys: &[Key], log: &DeviceLog, by: usize, act: &Act, fault: Fault) -> Vec<u8> {
    let (kind, suites) = (DeviceKind::WEB, Suites::HERE);
    let (payload, new) = match act {
        Act::Add(new) => (Payload::Add { ik: keys[*new].public, kind, suites }, Some(*new)),
        Act::Revoke(old) => {
            let devices = old.iter().map(|i| keys[*i].id()).collect();
            (Payload::Revoke { devices, reason: 3 }, None)
        }
        Act::RecoveryAdd(new) => (Payload::RecoveryAdd { rk: keys[*new].public }, Some(*new)),
        Act::RecoveryDel(old) => (Payload::RecoveryDel { recovery: keys[*old].id() }, None),
    };
    let mut draft = keys[by].draft(log, payload);
    match fault {
        Fault::Seq => draft.seq += 1,
        Fault::Log => draft.log = UserId([9; 32]),
        Fault::Prev => draft.prev[7] ^= 1,
        Fault::Time => draft.time_ms -= 1,
        _ => {}
    }
    let claim = draft.payload.claim().map(|(public, kind, suites)| {
        let signer = if let Fault::Claim(other) = fault { other } else { new.unwrap() };
        let (user, suites) = (log.user(), suites.to_be_bytes());
        let parts: [&[u8]; 4] = [user.as_bytes(), public, &[kind], &suites];
        keys[signer].sign(Label::Claim, &parts)
    });
    let label = if fault == Fault::Label { Label::Claim } else { Label::Log };
    let signer = if let Fault::Forged(other) = fault { other } else { by };
    let covered = claim.as_ref().map_or(&[][..], <[u8; 64]>::as_slice);
    let signature = keys[signer].sign(label, &[&draft.body(), covered]);
    draft.wire(claim.as_ref(), &signature)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn any_entries_have_the_verdict_of_the_model(
        acts in prop::collection::vec((0..KEYS, any::<bool>(), act(), fault()), 1..50),
    ) {
        let keys = keys();
        let mut log = log_of("alice", &[&keys[0]]);
        let mut model = Model::default();
        model.devices.insert(0);
        model.known.insert(0);
        model.lives.insert(0, (0, None));
        let mut heads = vec![log.head()];
        for (by, anybody, act, fault) in acts {
            // Mostly somebody who may.
            let able: Vec<_> = model.devices.union(&model.recovery).copied().collect();
            let by = if anybody { by } else { able[by % able.len()] };
            let wire = wire(&keys, &log, by, &act, fault);
            let before = log.clone();
            let wanted = model.judge(by, &act, fault);
            prop_assert_eq!(log.extend(&wire).err(), wanted, "{:?} {:?} by {}", act, fault, by);
            if wanted.is_some() {
                prop_assert_eq!(&log, &before, "a refused entry changes nothing");
            } else {
                heads.push(log.head());
            }
            let ids = |of: &BTreeSet<usize>| -> BTreeSet<DeviceId> {
                of.iter().map(|i| keys[*i].id()).collect()
            };
            prop_assert_eq!(log.devices().map(|d| d.id).collect::<BTreeSet<_>>(), ids(&model.devices));
            prop_assert_eq!(
                log.recovery_keys().map(|key| key.id).collect::<BTreeSet<_>>(),
                ids(&model.recovery)
            );
            for (i, key) in keys.iter().enumerate() {
                let may = model.devices.contains(&i) || model.recovery.contains(&i);
                prop_assert_eq!(log.login_key(&key.id()), may.then_some(&key.public));
            }
        }
        prop_assert_eq!(log.seq(), model.seq);
        for (seq, head) in (0..).zip(&heads) {
            prop_assert_eq!(log.head_at(seq), Some(*head));
            let then: BTreeSet<_> = log.devices_at(seq).map(|d| d.id).collect();
            let wanted: BTreeSet<_> = model.active_at(seq).iter().map(|i| keys[*i].id()).collect();
            prop_assert_eq!(then, wanted, "at {}", seq);
        }
    }
}
