//! Who is there: users with their logs and prekeys, and devices that each know what they learned.

use std::collections::{BTreeMap, BTreeSet};

use hushwire_identity::{DeviceLog, Prekey};
use hushwire_wire::{DeviceId, EpochId, RequestId, UserId};

use super::step::{Pair, Step};
use crate::content::ContentId;
use crate::epoch::Party;
use crate::key::DeviceKey;
use crate::prekey::PrekeySecret;
use crate::state::EpochState;
use crate::vectors::file::Fault;
use crate::vectors::prekeys::Published;

/// All users and devices of a conversation, and what is on its way between them.
#[derive(Debug, Default)]
pub(in crate::vectors) struct World {
    pub(super) users: BTreeMap<String, User>,
    pub(super) devices: BTreeMap<String, Device>,
    pub(super) requests: Vec<(Pair, RequestId)>,
    pub(super) epochs: BTreeMap<String, Made>,
    pub(super) messages: BTreeMap<String, Sent>,
    /// Steps so far: the clock of what is received.
    pub(super) time: u64,
}

/// A user as the server knows it.
#[derive(Debug, Default)]
pub(super) struct User {
    pub(super) log: Option<DeviceLog>,
    pub(super) wires: Vec<Vec<u8>>,
    pub(super) prekeys: Vec<Prekey>,
}

/// A device, with all that it alone knows.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) user: String,
    pub(super) key: DeviceKey,
    /// The prekey secrets that it still has.
    pub(super) secrets: Vec<PrekeySecret>,
    /// All that it ever had, to look into what was sealed to it.
    pub(super) ever: Vec<PrekeySecret>,
    /// The logs that it has verified, as far as it has learned them.
    pub(super) logs: BTreeMap<String, DeviceLog>,
    pub(super) held: BTreeMap<Pair, Vec<Held>>,
    /// Contents that it knows, by author.
    pub(super) contents: BTreeSet<(UserId, ContentId)>,
}

/// An epoch that a device holds.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) state: EpochState,
    /// E5: not to be sent in.
    pub(super) stale: bool,
}

/// An epoch as its creator posted it.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) id: EpochId,
    pub(super) pair: Pair,
    pub(super) header: Vec<u8>,
    pub(super) wraps: Vec<(DeviceId, Vec<u8>)>,
}

/// A message as its sender uploaded it.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) upload: Vec<u8>,
    /// The devices of its tags, in their order.
    pub(super) targets: Vec<DeviceId>,
    pub(super) padded: Vec<u8>,
}

impl World {
    /// Does a step and gives it with everything that follows from its inputs: what this
    /// implementation computes, and how it judges.
    pub(in crate::vectors) fn go(&mut self, step: &Step) -> Result<Step, Fault> {
        self.time += 1;
        Ok(match step {
            Step::Log { user, device, entry } => {
                let to = self.users.entry(user.clone()).or_default();
                let entry = entry.append(&mut to.log)?;
                to.wires.push(entry.wire.0.clone());
                let log = to.log.as_ref().ok_or("no log")?;
                let new = entry.new_key().filter(|key| log.is_active(&key.device_id()));
                match (device, new) {
                    (Some(name), Some(key)) => self.join(name, user, key)?,
                    (None, None) => {}
                    _ => return Err("a name stands exactly with a new device".to_owned()),
                }
                Step::Log { user: user.clone(), device: device.clone(), entry }
            }
            Step::Learn { device, user, seq } => {
                self.learn(device, user, *seq)?;
                step.clone()
            }
            Step::Prekey { device, prekey } => {
                let prekey = prekey.made()?;
                self.publish(device, &prekey)?;
                Step::Prekey { device: device.clone(), prekey }
            }
            Step::Erase { device, id } => {
                let device = self.device_mut(device)?;
                let before = device.secrets.len();
                device.secrets.retain(|secret| secret.id() != *id);
                if device.secrets.len() + 1 != before {
                    return Err("there is no such secret".to_owned());
                }
                step.clone()
            }
            Step::Request { pair, request } => {
                let request = request.made()?;
                self.check_pair(pair)?;
                self.requests.push((pair.clone(), RequestId(request.request_id.0)));
                Step::Request { pair: pair.clone(), request }
            }
            Step::Epoch(epoch) => Step::Epoch(Box::new(self.create(epoch)?)),
            Step::Take(take) => Step::Take(self.take(take)?),
            Step::Send(send) => Step::Send(Box::new(self.send(send)?)),
            Step::Skip { device, epoch, lane, count } => {
                let id = self.made(epoch)?.id;
                let state =
                    self.device_mut(device)?.state_mut(&id).ok_or("the epoch is not held")?;
                for _ in 0..*count {
                    state.sent_one(*lane);
                }
                step.clone()
            }
            Step::Receive(receive) => Step::Receive(self.receive(receive)?),
        })
    }

    fn join(&mut self, name: &str, user: &str, key: DeviceKey) -> Result<(), Fault> {
        let device = Device {
            user: user.to_owned(),
            key,
            secrets: Vec::new(),
            ever: Vec::new(),
            logs: BTreeMap::new(),
            held: BTreeMap::new(),
            contents: BTreeSet::new(),
        };
        match self.devices.insert(name.to_owned(), device) {
            None => Ok(()),
            Some(_) => Err(format!("{name} is there already")),
        }
    }

    fn learn(&mut self, device: &str, user: &str, seq: u32) -> Result<(), Fault> {
        let wires = &self.users.get(user).ok_or("no such user")?.wires;
        let device = self.devices.get_mut(device).ok_or("no such device")?;
        let end = usize::try_from(seq).map_err(|_| "seq")? + 1;
        let known = device.logs.get(user).map_or(0, |log| log.seq() as usize + 1);
        let fetched = wires.get(known..end).filter(|new| !new.is_empty());
        let fetched =
            fetched.ok_or_else(|| format!("{known} entries are known, {end} asked for"))?;
        let refused = |error: hushwire_identity::LogError| error.to_string();
        match device.logs.get_mut(user) {
            Some(log) => fetched.iter().try_for_each(|wire| log.extend(wire)).map_err(refused),
            None => {
                device.logs.insert(user.to_owned(), DeviceLog::verify(fetched).map_err(refused)?);
                Ok(())
            }
        }
    }

    fn publish(&mut self, device: &str, prekey: &Published) -> Result<(), Fault> {
        let device = self.devices.get_mut(device).ok_or("no such device")?;
        let user = self.users.get_mut(&device.user).ok_or("no such user")?;
        let known = user.log.as_ref().map(DeviceLog::user);
        if *device.key.to_seed() != prekey.device_seed.0
            || known.map(|user| user.0) != Some(prekey.log_id.0)
        {
            return Err("the prekey is not this device's".to_owned());
        }
        let secret = prekey.secret()?;
        device.secrets.push(secret.clone());
        device.ever.push(secret);
        user.prekeys.push(prekey.prekey()?);
        Ok(())
    }

    fn check_pair(&self, pair: &Pair) -> Result<(), Fault> {
        let sorted = pair.iter().zip(pair.iter().skip(1)).all(|(one, next)| one < next);
        let known = pair.iter().all(|user| self.users.contains_key(user));
        if sorted && known && (1..=2).contains(&pair.len()) {
            Ok(())
        } else {
            Err(format!("{pair:?} is no pair"))
        }
    }

    pub(super) fn device(&self, name: &str) -> Result<&Device, Fault> {
        self.devices.get(name).ok_or_else(|| format!("no device {name}"))
    }

    pub(super) fn device_mut(&mut self, name: &str) -> Result<&mut Device, Fault> {
        self.devices.get_mut(name).ok_or_else(|| format!("no device {name}"))
    }

    pub(super) fn made(&self, label: &str) -> Result<&Made, Fault> {
        self.epochs.get(label).ok_or_else(|| format!("no epoch {label}"))
    }

    /// The name of a device.
    pub(super) fn name_of(&self, id: &DeviceId) -> Result<String, Fault> {
        let found = self.devices.iter().find(|(_, device)| device.key.device_id() == *id);
        found.map(|(name, _)| name.clone()).ok_or_else(|| "a device without a name".to_owned())
    }

    /// Both sides of a pair as a device of it knows them: its own, then the other. `None` in the
    /// place of a log that it has not learned.
    pub(super) fn parties(
        &self,
        device: &Device,
        pair: &Pair,
    ) -> Result<Option<(Party<'_>, Option<Party<'_>>)>, Fault> {
        self.check_pair(pair)?;
        if !pair.contains(&device.user) {
            return Err("the device is of no user of the pair".to_owned());
        }
        let name = self.name_of(&device.key.device_id())?;
        let logs = &self.device(&name)?.logs;
        let party = |user: &String| {
            let prekeys = &self.users.get(user)?.prekeys;
            Some(Party { log: logs.get(user)?, prekeys })
        };
        let peer = pair.iter().find(|user| **user != device.user);
        let Some(mine) = party(&device.user) else { return Ok(None) };
        Ok(match peer {
            None => Some((mine, None)),
            Some(peer) => party(peer).map(|peer| (mine, Some(peer))),
        })
    }
}

impl Device {
    /// The state of an epoch that it holds.
    pub(super) fn state_mut(&mut self, id: &EpochId) -> Option<&mut EpochState> {
        let mut held = self.held.values_mut().flatten();
        held.find(|held| held.state.id() == *id).map(|held| &mut held.state)
    }

    /// What it holds of a pair.
    pub(super) fn held(&self, pair: &Pair) -> &[Held] {
        self.held.get(pair).map_or(&[], Vec::as_slice)
    }

    /// The epoch that it sends in: the highest number, and the lowest id of siblings.
    pub(super) fn current(&self, pair: &Pair) -> Option<&Held> {
        let newest = |held: &&Held| (held.state.header().n, std::cmp::Reverse(held.state.id()));
        self.held(pair).iter().max_by_key(newest)
    }

    /// The epoch of this id, if it is held: the one before, for a header's `prev`.
    pub(super) fn before(&self, pair: &Pair, prev: [u8; 32]) -> Option<&Held> {
        self.held(pair).iter().find(|held| held.state.id().0 == prev)
    }

    /// The prekey secret of this id, erased or not.
    pub(super) fn secret(&self, id: u32) -> Result<&PrekeySecret, Fault> {
        let secret = self.ever.iter().find(|secret| secret.id() == id);
        secret.ok_or_else(|| format!("no prekey {id}"))
    }
}
