//! Epochs: made from a tape, opened with every recipient's secrets, and judged.

use dryoc::classic::crypto_kem_xwing::crypto_kem_xwing_dec;
use hushwire_identity::epoch::Slot;
use hushwire_identity::{DeviceLog, EpochHeader, Prekey, Suite, day_of};

use super::step::{Chains, Epoch, Pair, Take, Wrap};
use super::world::{Device, Held, Made, World};
use crate::epoch::{
    AcceptError, Accepted, History, NewEpoch, Offered, Party, Previous, create, open,
};
use crate::key::DeviceKey;
use crate::prekey::PrekeySecret;
use crate::random::RandomError;
use crate::seal::{self, WrapFor};
use crate::secret::Secret;
use crate::vectors::file::Fault;
use crate::vectors::prekeys::code_of;
use crate::vectors::structures::{Header, Listed, reason_of};

impl World {
    /// Makes an epoch from its tape; all of the tape must be used.
    pub(super) fn create(&mut self, epoch: &Epoch) -> Result<Epoch, Fault> {
        let creator = self.device(&epoch.by)?;
        let known = self.parties(creator, &epoch.pair)?;
        let (mine, peer) = known.ok_or("the creator does not know the pair")?;
        let seen = [Some(mine), peer].map(|party| Seen::by(party, &epoch.header));
        let [mine, peer] = [0, 1].map(|side| seen[side].as_ref().map(Seen::party));
        let mine = mine.ok_or("no own side")?;
        let prekey = creator.secrets.last().ok_or("the creator has no prekey")?;
        self.check_place(creator, epoch)?;
        let mut tape = epoch.tape.0.as_slice();
        let mut random = |out: &mut [u8]| {
            let (now, later) = tape.split_at_checked(out.len()).ok_or(RandomError)?;
            tape = later;
            out.copy_from_slice(now);
            Ok(())
        };
        let new = NewEpoch {
            me: &creator.key,
            prekey,
            mine,
            peer,
            n: epoch.header.n,
            prev: epoch.header.prev.0,
            reason: reason_of(epoch.header.reason)?,
            created_ms: epoch.header.created_ms,
        };
        let created = create(&new, &mut random).map_err(|error| error.to_string())?;
        if !tape.is_empty() {
            return Err("the tape is longer than what is drawn".to_owned());
        }
        let header = EpochHeader::parse(&created.header).map_err(|error| error.to_string())?;
        let key = epoch.tape.0.first_chunk().copied().map(Secret::new).ok_or("no key")?;
        let mut wraps = Vec::new();
        for (slot, (device, wrap)) in header.targets(header.creator).zip(&created.wraps) {
            if slot.device != *device {
                return Err("the wraps have another order".to_owned());
            }
            wraps.push(self.looked_into(&header, slot, &creator.key, wrap, &key)?);
        }
        let mut chains = Vec::new();
        for (i, slot) in (0..).zip(&header.roster) {
            let chain = |lane| created.state.chain_of(i, lane).map(|(key, _)| *key.get());
            let (Some(lane0), Some(lane1)) = (chain(0), chain(1)) else { continue };
            let device = self.name_of(&slot.device)?;
            chains.push(Chains { device, lane0: lane0.into(), lane1: lane1.into() });
        }
        let made = Epoch { header: Header::of(&header), wraps, chains, ..epoch.clone() };
        let held = Held { state: created.state, stale: false };
        let posted = Made {
            id: created.id,
            pair: epoch.pair.clone(),
            header: created.header,
            wraps: created.wraps,
        };
        if self.epochs.insert(epoch.epoch.clone(), posted).is_some() {
            return Err("the label stands twice".to_owned());
        }
        self.hold(&epoch.by, &epoch.pair, held)?;
        Ok(made)
    }

    /// What a creator owes to the epochs that it holds: the next number, after the one that it
    /// sends in or a request, and no earlier time.
    fn check_place(&self, creator: &Device, epoch: &Epoch) -> Result<(), Fault> {
        let (n, prev) = (epoch.header.n, epoch.header.prev.0);
        let requested = self.requests.iter().any(|(pair, id)| *pair == epoch.pair && id.0 == prev);
        let fits = match creator.current(&epoch.pair) {
            Some(Held { state, .. }) => {
                let before = state.header();
                n == before.n + 1
                    && (prev == state.id().0 || requested)
                    && epoch.header.created_ms >= before.created_ms
            }
            None if n > 0 => true,
            None => requested || (epoch.pair.len() == 1 && prev == [0; 32]),
        };
        if fits {
            Ok(())
        } else {
            Err("the epoch does not follow what its creator holds".to_owned())
        }
    }

    /// Opens a wrap with its recipient's secrets, and gives what it is made of.
    fn looked_into(
        &self,
        header: &EpochHeader,
        slot: &Slot,
        creator: &DeviceKey,
        wrap: &[u8],
        key: &Secret<32>,
    ) -> Result<Wrap, Fault> {
        let failed = |seal::Failed| "a wrap does not open".to_owned();
        let name = self.name_of(&slot.device)?;
        let device = self.device(&name)?;
        let secret = device.secret(slot.prekey)?;
        let log = self.users.get(&self.device(&self.name_of(&creator.device_id())?)?.user);
        let log = log.and_then(|user| user.log.as_ref()).ok_or("no log")?;
        let creator_x25519 = log.device(&creator.device_id()).ok_or("no creator")?.x25519;
        let auth = seal::exchange(&creator_x25519, secret.x25519()).map_err(failed)?;
        let to = WrapFor {
            suite: header.suite,
            epoch: header.id(),
            creator: creator.device_id(),
            device: slot.device,
            prekey: slot.prekey,
        };
        if to.open(secret, &auth, wrap).as_ref() != Ok(key) {
            return Err("a wrap does not hold the epoch's key".to_owned());
        }
        let (ct, _) = wrap.split_at_checked(header.suite.ct_len()).ok_or("a short wrap")?;
        let (shared, kem_key) = decapsulate(header.suite, secret, ct).map_err(failed)?;
        let wk = to.key(&shared, &auth, &kem_key, ct);
        Ok(Wrap {
            device: name,
            ss: (*shared.get()).into(),
            auth: (*auth.get()).into(),
            wk: (*wk.get()).into(),
            wrap: wrap.into(),
        })
    }

    /// Offers an epoch to a device and gives what it says.
    pub(super) fn take(&mut self, take: &Take) -> Result<Take, Fault> {
        let (header, wrap) = match (&take.epoch, &take.header, &take.wrap) {
            (Some(label), None, None) => {
                let (made, id) = (self.made(label)?, self.device(&take.device)?.key.device_id());
                let wrap = made.wraps.iter().find(|(to, _)| *to == id);
                (made.header.clone(), wrap.map(|(_, wrap)| wrap.clone()).unwrap_or_default())
            }
            (None, Some(header), Some(wrap)) => (header.0.clone(), wrap.0.clone()),
            _ => return Err("either an epoch, or a header and a wrap".to_owned()),
        };
        let judged = self.judge(take, &header, &wrap)?;
        let (expect, flags) = match judged {
            Err(code) => (code, Vec::new()),
            Ok(Accepted { state, gap, fork, stale }) => {
                let flags = [(fork, "FORK"), (gap, "GAP"), (stale, "STALE")];
                let flags = flags.into_iter().filter(|(set, _)| *set);
                let flags = flags.map(|(_, name)| name.to_owned()).collect();
                self.hold(&take.device, &take.pair, Held { state, stale })?;
                ("ok", flags)
            }
        };
        Ok(Take { expect: expect.to_owned(), flags, ..take.clone() })
    }

    fn judge(
        &self,
        take: &Take,
        header: &[u8],
        wrap: &[u8],
    ) -> Result<Result<Accepted, &'static str>, Fault> {
        let device = self.device(&take.device)?;
        let Some((mine, peer)) = self.parties(device, &take.pair)? else { return Ok(Err("HOLD")) };
        let parsed = EpochHeader::parse(header);
        let held = device.held(&take.pair);
        if let Ok(parsed) = &parsed
            && held.iter().any(|held| held.state.id() == parsed.id())
        {
            return Ok(Err("REPLAY"));
        }
        let previous = |Held { state, .. }: &Held| Previous {
            n: state.header().n,
            id: state.id(),
            created_ms: state.header().created_ms,
        };
        let mut requests = self.requests.iter().filter(|(pair, _)| *pair == take.pair);
        let named = |id: &[u8; 32]| parsed.as_ref().is_ok_and(|parsed| parsed.prev == *id);
        let request = requests.clone().find(|(_, id)| named(&id.0)).or(requests.next_back());
        let known: Vec<_> = held.iter().map(previous).collect();
        let history = History { request: request.map(|(_, id)| *id), known: &known };
        let offered = Offered {
            header,
            wrap,
            me: &device.key,
            secrets: &device.secrets,
            mine,
            peer,
            history,
            now_ms: take.now_ms,
        };
        Ok(open(&offered).map_err(refusal))
    }

    fn hold(&mut self, device: &str, pair: &Pair, held: Held) -> Result<(), Fault> {
        self.device_mut(device)?.held.entry(pair.clone()).or_default().push(held);
        Ok(())
    }
}

/// A side as a creator saw it.
struct Seen<'a> {
    log: &'a DeviceLog,
    prekeys: Vec<Prekey>,
}

impl<'a> Seen<'a> {
    /// All prekeys but those that came out on the day of an epoch that marks their device stale:
    /// its creator may not have seen them, and E6 lets it pass.
    fn by(party: Option<Party<'a>>, header: &Header) -> Option<Self> {
        let Party { log, prekeys } = party?;
        let stale = |prekey: &&Prekey| {
            let is = |listed: &&Listed| listed.device_id.0 == prekey.record.device.0;
            header.roster.iter().find(is).is_some_and(|listed| listed.prekey_id == 0)
                && prekey.record.day >= day_of(header.created_ms)
        };
        let prekeys = prekeys.iter().filter(|prekey| !stale(prekey)).cloned().collect();
        Some(Self { log, prekeys })
    }

    fn party(&self) -> Party<'_> {
        Party { log: self.log, prekeys: &self.prekeys }
    }
}

/// `ss`, and the key that `ct` was made for.
fn decapsulate(
    suite: Suite,
    secret: &PrekeySecret,
    ct: &[u8],
) -> Result<(Secret<32>, Vec<u8>), seal::Failed> {
    if suite == Suite::XWing {
        let mut shared = Secret::zero();
        let ct = ct.as_array().ok_or(seal::Failed)?;
        crypto_kem_xwing_dec(shared.get_mut(), ct, secret.xwing_seed().get())
            .map_err(|_| seal::Failed)?;
        return Ok((shared, secret.xwing_public()));
    }
    let shared = seal::exchange(ct.as_array().ok_or(seal::Failed)?, secret.x25519())?;
    Ok((shared, secret.x25519_public().to_vec()))
}

/// The code of the vectors for a refusal.
fn refusal(error: AcceptError) -> &'static str {
    match error {
        // These the header's parser knows already; CRYPTO 5 counts them to E2 and E6.
        AcceptError::Layout(layout)
            if layout.expected != "more bytes"
                && matches!(layout.field, "epoch.a" | "epoch.creator" | "epoch.roster") =>
        {
            "EPOCH_ROSTER"
        }
        AcceptError::Layout(_) => "MALFORMED",
        AcceptError::Suite => "EPOCH_SUITE",
        AcceptError::Pair | AcceptError::Roster => "EPOCH_ROSTER",
        AcceptError::Creator => "DEVICE_REVOKED",
        AcceptError::Old | AcceptError::Own => "REPLAY",
        AcceptError::Request | AcceptError::Jump => "EPOCH_GAP",
        AcceptError::Behind(_) | AcceptError::PrekeyMissing => "HOLD",
        AcceptError::LogFork => "LOG_FORK",
        AcceptError::Prekey(error) => code_of(error),
        AcceptError::PrekeyDay => "PREKEY_STALE",
        AcceptError::NoSecret | AcceptError::Wrap => "WRAP_INVALID",
        AcceptError::Time => "EPOCH_STALE",
        AcceptError::KcMismatch => "KC_MISMATCH",
    }
}
