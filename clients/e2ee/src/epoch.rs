//! Making and accepting epochs (CRYPTO 5): the pair's key, its wraps, and E1 to E9.

use std::cmp::Ordering;
use std::fmt;

use hushwire_identity::epoch::AHEAD_MAX_MS;
use hushwire_identity::post::{newest, side_slots};
use hushwire_identity::{
    Code, Device, DeviceLog, EpochHeader, LogPoint, Prekey, PrekeyError, PrekeyRecord, Reason,
    Side, Slot, Suite, Suites, day_of,
};
use hushwire_wire::{DeviceId, EpochId, LayoutError, RequestId, UserId};
use subtle::ConstantTimeEq;

use crate::key::DeviceKey;
use crate::prekey::PrekeySecret;
use crate::random::{Random, RandomError};
use crate::seal::{self, WrapFor};
use crate::secret::Secret;
use crate::state::{EpochState, TagKeys};

/// One side of a pair: the verified log, and the prekeys that are known of its devices.
#[derive(Clone, Copy, Debug)]
pub struct Party<'a> {
    /// The verified log, as new as it is known.
    pub log: &'a DeviceLog,
    /// Prekeys, in any order. To create: the highest of each device, with its X-Wing key. To
    /// accept: at least those that the header names. Each is verified again here.
    pub prekeys: &'a [Prekey],
}

/// What a creator needs.
#[derive(Clone, Copy, Debug)]
pub struct NewEpoch<'a> {
    /// This device.
    pub me: &'a DeviceKey,
    /// The secret of this device's newest prekey, which is among `mine.prekeys`.
    pub prekey: &'a PrekeySecret,
    /// This user.
    pub mine: Party<'a>,
    /// The other user; `None` for the self-pair.
    pub peer: Option<Party<'a>>,
    /// The epoch's number.
    pub n: u32,
    /// The epoch before, or the request, or zero for the self-pair's first.
    pub prev: [u8; 32],
    /// Why.
    pub reason: Reason,
    /// Now, in milliseconds since 1970; not earlier than the epoch before was created.
    pub created_ms: u64,
}

/// A new epoch, not yet posted. Persist header and state as pending first: the creator has no
/// wrap of its own. `Debug` shows neither wraps nor keys.
#[derive(Clone)]
pub struct Created {
    /// The header.
    pub header: Vec<u8>,
    /// The epoch's id.
    pub id: EpochId,
    /// One wrap for each other wrapped device, in roster order.
    pub wraps: Vec<(DeviceId, Vec<u8>)>,
    /// The creator's keys.
    pub state: EpochState,
}

impl fmt::Debug for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Created").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why an epoch could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// There are no random bytes.
    #[error("the key cannot be made")]
    Random(#[source] RandomError),
    /// A prekey does not verify.
    #[error("a prekey is not valid")]
    Prekey(#[source] PrekeyError),
    /// This device is not active on the own log, or its newest prekey is not `prekey`.
    #[error("this device cannot take part")]
    Me,
    /// No device of the other side has a usable prekey.
    #[error("no device of the other side can be reached")]
    PeerStale,
    /// The devices share no suite.
    #[error("the devices share no suite")]
    Suite,
    /// A key exchange gave no secret: a key of small order.
    #[error("a key exchange failed")]
    Exchange,
}

/// An epoch's number is at most so far above the newest that was accepted: numbers end, and one
/// header shall not use them up.
pub const JUMP_MAX: u32 = 1 << 16;

/// What a recipient knows of the pair before an epoch comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History<'a> {
    /// The request that made the contact: epoch 0 must name it. `None` for the self-pair.
    pub request: Option<RequestId>,
    /// The epochs that were accepted, in any order, as far as they are kept; the newest among them.
    pub known: &'a [Previous],
}

/// An epoch that was accepted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its number.
    pub n: u32,
    /// Its id.
    pub id: EpochId,
    /// When it was created, by its header.
    pub created_ms: u64,
}

/// An epoch that somebody made, and what is needed to judge it. `Debug` shows neither header nor
/// wrap.
#[derive(Clone, Copy)]
pub struct Offered<'a> {
    /// The header.
    pub header: &'a [u8],
    /// The wrap for this device.
    pub wrap: &'a [u8],
    /// This device.
    pub me: &'a DeviceKey,
    /// This device's prekey secrets, as far as they are kept.
    pub secrets: &'a [PrekeySecret],
    /// This user.
    pub mine: Party<'a>,
    /// The other user; `None` for the self-pair.
    pub peer: Option<Party<'a>>,
    /// What was accepted before.
    pub history: History<'a>,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

impl fmt::Debug for Offered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offered").field("history", &self.history).finish_non_exhaustive()
    }
}

/// An accepted epoch. Persist the state, then acknowledge the wrap (E10).
#[derive(Clone, Debug)]
pub struct Accepted {
    /// This device's keys.
    pub state: EpochState,
    /// The epoch before is not known here (E3, `EPOCH_GAP`): say so, and go on.
    pub gap: bool,
    /// Another epoch with this number was accepted (E3, `FORK`): alarm once, receive on both,
    /// send on the lower id.
    pub fork: bool,
    /// A head in the header is older than what is known here (E5): receive only, and create the
    /// next epoch at once.
    pub stale: bool,
}

/// Why an epoch is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// E1: not laid out as a header.
    #[error("the epoch header is not laid out as it should be")]
    Layout(#[source] LayoutError),
    /// E1: the suite is not the best common one.
    #[error("the suite is not the best common one")]
    Suite,
    /// E2: the header names another pair.
    #[error("the epoch is of another pair")]
    Pair,
    /// E2: the creator is not active any more.
    #[error("the epoch's creator is not active")]
    Creator,
    /// This device made it: its keys were kept then, or are lost (R4).
    #[error("the epoch was made by this device")]
    Own,
    /// E3: not newer than what was accepted.
    #[error("the epoch is not newer than those known")]
    Old,
    /// E3: its number is more than [`JUMP_MAX`] above the newest.
    #[error("the epoch's number is too far above those known")]
    Jump,
    /// E3: the first epoch does not name the request that made the contact.
    #[error("the first epoch does not name the contact request")]
    Request,
    /// E4: the header names an entry that is not here yet: fetch this user's log, then try again.
    #[error("the epoch names a newer log entry")]
    Behind(UserId),
    /// E4: a head is not on the verified log.
    #[error("the epoch names a head that is not on the log")]
    LogFork,
    /// E6: the roster is not the active devices of both logs.
    #[error("the roster is not the active devices of both logs")]
    Roster,
    /// E6: a prekey that the header names is not here: fetch it, then try again.
    #[error("a prekey of the roster is missing")]
    PrekeyMissing,
    /// E6: a prekey that the header names does not verify or is not usable on that day.
    #[error("a prekey of the roster is not valid")]
    Prekey(#[source] PrekeyError),
    /// E6: a prekey that the header names is too old or too new.
    #[error("a prekey of the roster is not usable on that day")]
    PrekeyDay,
    /// E7: the wrap is sealed to a prekey whose secret is not here, or this device is marked
    /// stale.
    #[error("the epoch is not sealed to a prekey of this device")]
    NoSecret,
    /// E8: created more than 24 h ahead, or before the epoch that it follows.
    #[error("the epoch's time is not believable")]
    Time,
    /// E9: the wrap does not open.
    #[error("the wrap does not open")]
    Wrap,
    /// E9: the wrap opens to another key than the header commits to.
    #[error("the wrap holds another key")]
    KcMismatch,
}

impl AcceptError {
    /// The code of CRYPTO 11.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Suite => Code::EpochSuite,
            Self::Pair | Self::Roster | Self::Layout(_) | Self::Request => Code::EpochRoster,
            Self::Creator => Code::DeviceRevoked,
            Self::Own | Self::Old | Self::Time => Code::EpochStale,
            Self::Jump => Code::EpochGap,
            Self::Behind(_) | Self::PrekeyMissing => Code::EpochUnknown,
            Self::LogFork => Code::LogFork,
            Self::Prekey(error) => error.code(),
            Self::PrekeyDay | Self::NoSecret => Code::PrekeyStale,
            Self::Wrap => Code::WrapInvalid,
            Self::KcMismatch => Code::KcMismatch,
        }
    }
}

/// Makes an epoch: the key, the header, a wrap for each other device with a prekey, and this
/// device's chains.
///
/// # Errors
/// [`CreateError`].
pub fn create(new: &NewEpoch<'_>, random: &mut dyn Random) -> Result<Created, CreateError> {
    let (a, b) = sides(&new.mine, new.peer.as_ref()).ok_or(CreateError::Me)?;
    let c = day_of(new.created_ms);
    let mut roster = Vec::new();
    let mut chosen: Vec<Chosen<'_>> = Vec::new();
    for (side, party) in [(Side::A, Some(a)), (Side::B, b)] {
        let Some(party) = party else { continue };
        let log = party.log;
        for slot in side_slots(side, log, log.seq(), c, |device| party.newest(device)) {
            if slot.is_wrapped() {
                let found = party.find(&slot).ok_or(CreateError::Me)?;
                found.record.verify(log).map_err(CreateError::Prekey)?;
                let device = log.device(&slot.device).ok_or(CreateError::Me)?;
                chosen.push(Chosen { slot, prekey: found, device });
            }
            roster.push(slot);
        }
    }
    let suite = Suites::best_common(chosen.iter().map(|c| c.prekey.record.suites));
    let suite = suite.ok_or(CreateError::Suite)?;
    let mine = chosen.iter().find(|c| c.slot.device == new.me.device_id());
    let mine = mine.ok_or(CreateError::Me)?;
    if mine.slot.prekey != new.prekey.id()
        || mine.prekey.record.x25519 != new.prekey.x25519_public()
    {
        return Err(CreateError::Me);
    }
    if b.is_some() && chosen.iter().all(|c| c.slot.side == mine.slot.side) {
        return Err(CreateError::PeerStale);
    }
    let epoch_key = Secret::random(random).map_err(CreateError::Random)?;
    let at = roster.iter().position(|slot| slot.device == new.me.device_id());
    let creator = at.and_then(|at| u8::try_from(at).ok()).ok_or(CreateError::Me)?;
    let exchanges =
        exchanges(&chosen, new.me, new.prekey).map_err(|seal::Failed| CreateError::Exchange)?;
    let header = EpochHeader {
        suite,
        n: new.n,
        prev: new.prev,
        created_ms: new.created_ms,
        creator,
        reason: new.reason,
        a: a.log.point(),
        b: b.map(|b| b.log.point()),
        kc: seal::key_commitment(&epoch_key),
        roster,
    };
    let id = header.id();
    let mut wraps = Vec::with_capacity(exchanges.len());
    for Exchanged { with: Chosen { slot, prekey, .. }, out, .. } in &exchanges {
        if suite == Suite::XWing {
            prekey.record.check_xwing(prekey.xwing.as_deref()).map_err(CreateError::Prekey)?;
        }
        let to = WrapFor {
            suite,
            epoch: id,
            creator: new.me.device_id(),
            device: slot.device,
            prekey: slot.prekey,
        };
        let xwing = prekey.xwing.as_deref();
        let wrap = to
            .seal(&prekey.record.x25519, xwing, out, &epoch_key, random)
            .map_err(CreateError::Random)?
            .map_err(|seal::Failed| CreateError::Exchange)?;
        wraps.push((slot.device, wrap));
    }
    let bytes = header.to_bytes();
    let state = chains(header, creator, &epoch_key, new.me.device_id(), &exchanges)
        .map_err(|seal::Failed| CreateError::Exchange)?;
    Ok(Created { header: bytes, id, wraps, state })
}

/// Judges an epoch by E1 to E9 and opens this device's wrap.
///
/// # Errors
/// The first [`AcceptError`] that holds; the epoch is then not used.
pub fn open(offered: &Offered<'_>) -> Result<Accepted, AcceptError> {
    let header = EpochHeader::parse(offered.header).map_err(AcceptError::Layout)?;
    let (a, b) = sides(&offered.mine, offered.peer.as_ref()).ok_or(AcceptError::Pair)?;
    if header.a.user != a.log.user() || header.b.map(|b| b.user) != b.map(|b| b.log.user()) {
        return Err(AcceptError::Pair);
    }
    let before = offered.history.known.iter().find(|known| known.id.0 == header.prev);
    let (gap, fork) = offered.history.judge(&header, before)?;
    let mut stale = false;
    let parties = [(Side::A, Some(a), Some(header.a)), (Side::B, b, header.b)];
    for (_, party, point) in parties {
        let (Some(party), Some(point)) = (party, point) else { continue };
        match party.log.head_at(point.seq) {
            None => return Err(AcceptError::Behind(point.user)),
            Some(head) if head != point.head => return Err(AcceptError::LogFork),
            Some(_) => stale |= point.seq < party.log.seq(),
        }
    }
    let ahead = offered.now_ms.saturating_add(AHEAD_MAX_MS);
    let newest = offered.history.newest().filter(|newest| newest.n < header.n);
    let early = |p: &Previous| header.created_ms < p.created_ms;
    if header.created_ms > ahead || newest.into_iter().chain(before).any(early) {
        return Err(AcceptError::Time);
    }
    let chosen = judge_roster(&header, &parties)?;
    let suite = Suites::best_common(chosen.iter().map(|c| c.prekey.record.suites));
    if suite != Some(header.suite) {
        return Err(AcceptError::Suite);
    }
    let creator = header.roster.get(usize::from(header.creator)).ok_or(AcceptError::Creator)?;
    let creator = chosen.iter().find(|c| c.slot == *creator).ok_or(AcceptError::Creator)?;
    let creator = creator.device;
    if creator.revoked.is_some() {
        return Err(AcceptError::Creator);
    }
    if creator.id == offered.me.device_id() {
        return Err(AcceptError::Own);
    }
    let me = header.index_of(&offered.me.device_id()).ok_or(AcceptError::NoSecret)?;
    let mine = chosen.iter().find(|c| c.slot.device == offered.me.device_id());
    let mine = mine.ok_or(AcceptError::NoSecret)?;
    let secret = offered.secrets.iter().find(|secret| {
        secret.id() == mine.slot.prekey && secret.x25519_public() == mine.prekey.record.x25519
    });
    let secret = secret.ok_or(AcceptError::NoSecret)?;
    let wrap = WrapFor {
        suite: header.suite,
        epoch: header.id(),
        creator: creator.id,
        device: mine.slot.device,
        prekey: mine.slot.prekey,
    };
    let exchanges =
        exchanges(&chosen, offered.me, secret).map_err(|seal::Failed| AcceptError::Wrap)?;
    let with = exchanges.iter().find(|e| e.with.slot.device == creator.id);
    let auth = &with.ok_or(AcceptError::Creator)?.back;
    let epoch_key =
        wrap.open(secret, auth, offered.wrap).map_err(|seal::Failed| AcceptError::Wrap)?;
    if !bool::from(seal::key_commitment(&epoch_key).ct_eq(&header.kc)) {
        return Err(AcceptError::KcMismatch);
    }
    let state = chains(header, me, &epoch_key, offered.me.device_id(), &exchanges)
        .map_err(|seal::Failed| AcceptError::Wrap)?;
    Ok(Accepted { state, gap, fork, stale })
}

/// A wrapped roster device with the prekey that the header names.
#[derive(Clone, Copy, Debug)]
struct Chosen<'a> {
    slot: Slot,
    prekey: &'a Prekey,
    device: &'a Device,
}

impl<'a> Party<'a> {
    fn newest(&self, device: &DeviceId) -> Option<&'a PrekeyRecord> {
        newest(self.prekeys.iter().map(|prekey| &prekey.record), device)
    }

    fn find(&self, slot: &Slot) -> Option<&'a Prekey> {
        let is = |prekey: &&Prekey| {
            prekey.record.device == slot.device && prekey.record.id == slot.prekey
        };
        self.prekeys.iter().find(is)
    }
}

impl History<'_> {
    /// The newest epoch: the highest number; of siblings the lower id.
    fn newest(&self) -> Option<&Previous> {
        self.known.iter().max_by(|a, b| a.n.cmp(&b.n).then(b.id.cmp(&a.id)))
    }

    /// E3: whether there is a gap before the epoch, and whether it is a sibling. `before` is the
    /// accepted epoch that it names.
    fn judge(
        &self,
        header: &EpochHeader,
        before: Option<&Previous>,
    ) -> Result<(bool, bool), AcceptError> {
        let request = self.request.map_or([0; 32], |request| request.0);
        let Some(newest) = self.newest() else {
            if header.n > 0 {
                return Ok((true, false));
            }
            return if header.prev == request {
                Ok((false, false))
            } else {
                Err(AcceptError::Request)
            };
        };
        if header.n < newest.n || self.known.iter().any(|known| known.id == header.id()) {
            return Err(AcceptError::Old);
        }
        if header.n - newest.n > JUMP_MAX {
            return Err(AcceptError::Jump);
        }
        let fork = header.n == newest.n;
        let follows = before.is_some_and(|before| header.n.checked_sub(1) == Some(before.n))
            || (header.n <= newest.n.saturating_add(1)
                && self.request.is_some_and(|request| header.prev == request.0));
        Ok((!follows, fork))
    }
}

/// The parties in the header's order. `None` if both are the same user.
fn sides<'p, 'a>(
    mine: &'p Party<'a>,
    peer: Option<&'p Party<'a>>,
) -> Option<(&'p Party<'a>, Option<&'p Party<'a>>)> {
    let Some(peer) = peer else { return Some((mine, None)) };
    match mine.log.user().cmp(&peer.log.user()) {
        Ordering::Less => Some((mine, Some(peer))),
        Ordering::Greater => Some((peer, Some(mine))),
        Ordering::Equal => None,
    }
}

type Judged<'p, 'a> = (Side, Option<&'p Party<'a>>, Option<LogPoint>);

/// E6: the roster is exactly the active devices of both logs at the header's heads, each with a
/// prekey that may be used, or marked 0 and without one.
fn judge_roster<'a>(
    header: &EpochHeader,
    parties: &[Judged<'_, 'a>],
) -> Result<Vec<Chosen<'a>>, AcceptError> {
    let c = day_of(header.created_ms);
    let mut slots = header.roster.iter();
    let mut chosen = Vec::new();
    for (side, party, point) in parties {
        let (Some(party), Some(point)) = (party, point) else { continue };
        for device in party.log.devices_at(point.seq) {
            let slot = slots.next().ok_or(AcceptError::Roster)?;
            if slot.side != *side || slot.device != device.id {
                return Err(AcceptError::Roster);
            }
            if !slot.is_wrapped() {
                refuse_falsely_stale(party, device, point.seq, c)?;
                continue;
            }
            let prekey = party.find(slot).ok_or(AcceptError::PrekeyMissing)?;
            match prekey.record.verify_at(party.log, point.seq) {
                Err(PrekeyError::Ahead) => return Err(AcceptError::Behind(point.user)),
                other => other.map_err(AcceptError::Prekey)?,
            }
            if !prekey.record.usable_on(c) {
                return Err(AcceptError::PrekeyDay);
            }
            chosen.push(Chosen { slot: *slot, prekey, device });
        }
    }
    if slots.next().is_some() {
        return Err(AcceptError::Roster);
    }
    Ok(chosen)
}

/// E6: a device marked stale has no known prekey with a day in `[c-30, c-1]`.
fn refuse_falsely_stale(
    party: &Party<'_>,
    device: &Device,
    seq: u32,
    c: u32,
) -> Result<(), AcceptError> {
    let contradicts = |prekey: &Prekey| {
        let record = &prekey.record;
        record.device == device.id
            && record.day < c
            && record.usable_on(c)
            && record.verify_at(party.log, seq).is_ok()
    };
    if party.prekeys.iter().any(contradicts) { Err(AcceptError::Roster) } else { Ok(()) }
}

/// The two exchanges between this device and another of the roster. Each serves twice: for the
/// tags of one direction, and, with the creator at one end, for its wrap (CRYPTO 5, `as` and `M`).
struct Exchanged<'c, 'a> {
    with: &'c Chosen<'a>,
    /// The own identity with the other's prekey.
    out: Secret<32>,
    /// The own prekey with the other's identity.
    back: Secret<32>,
}

/// The exchanges with every wrapped device but the own, in roster order.
fn exchanges<'c, 'a>(
    chosen: &'c [Chosen<'a>],
    key: &DeviceKey,
    secret: &PrekeySecret,
) -> Result<Vec<Exchanged<'c, 'a>>, seal::Failed> {
    let (identity, me) = (key.to_x25519(), key.device_id());
    let others = chosen.iter().filter(|with| with.slot.device != me);
    others
        .map(|with| {
            let out = seal::exchange(&with.prekey.record.x25519, &identity)?;
            let back = seal::exchange(&with.device.x25519, secret.x25519())?;
            Ok(Exchanged { with, out, back })
        })
        .collect()
}

/// Chains and tag keys of this device, from the epoch's key.
fn chains(
    header: EpochHeader,
    me: u8,
    epoch_key: &Secret<32>,
    mine: DeviceId,
    exchanges: &[Exchanged<'_, '_>],
) -> Result<EpochState, seal::Failed> {
    let id = header.id();
    EpochState::derive(header, me, epoch_key, |slot| {
        let other = exchanges.iter().find(|e| e.with.slot == *slot).ok_or(seal::Failed)?;
        Ok(TagKeys {
            send: seal::tag_key(&other.out, &id, &mine, &slot.device),
            receive: seal::tag_key(&other.back, &id, &slot.device, &mine),
        })
    })
}
