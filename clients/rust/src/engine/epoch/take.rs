//! Taking an epoch that somebody else made: fetched with all before it, judged by E1 to E9 in the
//! order of their numbers, persisted, then claimed (E10).
//!
//! Headers are believed only as a chain: each names the one before by its hash, down to one that is
//! known here or to the request that made the contact.

use hushwire_e2ee::{AcceptError, History, JUMP_MAX, Offered, Party, Previous};
use hushwire_identity::epoch::AHEAD_MAX_MS;
use hushwire_identity::{Code, EpochHeader, Prekey, PrekeyRecord};
use hushwire_wire::http::{EpochBundle, PrekeyBundle};
use hushwire_wire::{EpochId, Sealed, UserId};

use super::{Engine, Marks};
use crate::engine::Ahead;
use crate::error::ClientError;
use crate::event::{Trouble, trouble};
use crate::record::{Peer, Standing, Wanted};

/// How many epochs back are fetched before the newest one: as many as may be open.
const BACK_MAX: usize = OPEN_MAX;
/// Attempts to judge an epoch, each after something that it names was fetched.
const ATTEMPTS: usize = 4;
/// Epochs of one pair with the same number that are kept, at most (CRYPTO 5).
const SIBLINGS_MAX: usize = 4;
/// Open epochs of one pair, at most: more than an honest server admits in 7 days.
const OPEN_MAX: usize = 1_024;

/// Epochs that are remembered as refused for good, at most; past it all are forgotten.
const REFUSED_MAX: usize = 1_024;

/// What the server shows of an epoch.
struct Fetched {
    header: EpochHeader,
    bytes: Sealed,
    wrap: Option<Sealed>,
    prekeys: Vec<Prekey>,
}

/// How an epoch stands that is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    /// Not at all: what it takes could not be had, or does not verify.
    NotYet,
    /// Refused, and nothing that comes later changes that.
    ForGood,
    /// Not usable now.
    ForNow,
}

/// Why an epoch is not used, and what it calls for if it is the newest.
struct Refused {
    error: ClientError,
    judged: Judged,
    calls_for: Option<Wanted>,
}

impl From<ClientError> for Refused {
    fn from(error: ClientError) -> Self {
        Self { error, judged: Judged::NotYet, calls_for: None }
    }
}

impl From<Code> for Refused {
    fn from(code: Code) -> Self {
        let judged = match code {
            Code::EpochUnknown | Code::Limit | Code::LogRollback => Judged::ForNow,
            _ => Judged::ForGood,
        };
        Self { error: ClientError::Unverified(code), judged, calls_for: None }
    }
}

impl Fetched {
    fn read(bundle: &EpochBundle, id: EpochId) -> Result<Self, ClientError> {
        let header = EpochHeader::parse(bundle.header.as_bytes()).ok();
        let header = header.filter(|header| header.id() == id);
        let header = header.ok_or(ClientError::Unverified(Code::EpochRoster))?;
        // A recipient needs no post-quantum keys.
        let record = |b: &PrekeyBundle| PrekeyRecord::parse(b.record.as_bytes()).ok();
        let prekey = |record| Prekey { record, xwing: None };
        let prekeys = bundle.prekeys.iter().filter_map(record).map(prekey).collect();
        let (bytes, wrap) = (bundle.header.clone(), bundle.wrap.clone());
        Ok(Self { header, bytes, wrap, prekeys })
    }
}

impl Engine {
    /// Takes the epoch that the server calls the pair's newest, and all before it that are not
    /// known yet. One that cannot be used, or is to be superseded, calls for the next (E5, R4).
    pub(in crate::engine) async fn follow_epoch(
        &mut self,
        user: UserId,
        id: EpochId,
    ) -> Result<(), ClientError> {
        self.take_up_to(user, id, true).await.map_err(|refused| refused.error)
    }

    /// Takes an epoch and all before it that are not known yet.
    pub(in crate::engine) async fn ensure_epoch(
        &mut self,
        user: UserId,
        id: EpochId,
    ) -> Result<(), ClientError> {
        self.take_up_to(user, id, false).await.map_err(|refused| refused.error)
    }

    /// Takes an epoch and all before it that are not known yet, or says that it is refused for
    /// good: `false`.
    ///
    /// # Errors
    /// If it may still be taken later.
    pub(in crate::engine) async fn take_or_refuse(
        &mut self,
        user: UserId,
        id: EpochId,
    ) -> Result<bool, ClientError> {
        match self.take_up_to(user, id, false).await {
            Ok(()) => Ok(true),
            Err(Refused { judged: Judged::ForGood, .. }) => Ok(false),
            Err(Refused { error, .. }) => Err(error),
        }
    }

    async fn take_up_to(
        &mut self,
        user: UserId,
        id: EpochId,
        is_newest: bool,
    ) -> Result<(), Refused> {
        if !self.peers.get(&user).is_some_and(Peer::may_have_epochs) {
            return Err(ClientError::NoContact.into());
        }
        let mut chain = self.fetch_back(user, id).await?;
        if chain.is_empty() && is_newest {
            // Taken before it was known to be the newest.
            return Ok(self.judge_newest(user, id)?);
        }
        while let Some(fetched) = chain.pop() {
            let is_last = chain.is_empty();
            let Err(refused) = self.take_epoch(user, &fetched).await else {
                if is_last && is_newest {
                    self.judge_newest(user, id)?;
                }
                continue;
            };
            // What may still be taken is not passed over: later ones would shut it out for ever.
            if refused.judged == Judged::NotYet {
                return Err(refused);
            }
            if is_last {
                if let Some(wanted) = refused.calls_for.filter(|_| is_newest) {
                    self.goes_beyond(user, &fetched.header, wanted)?;
                }
                return Err(refused);
            }
        }
        Ok(())
    }

    /// The epoch and those before it that are not known, the newest first.
    async fn fetch_back(&mut self, user: UserId, id: EpochId) -> Result<Vec<Fetched>, Refused> {
        let mut chain: Vec<Fetched> = Vec::new();
        let mut next = id;
        loop {
            let peer = self.peers.get(&user).ok_or(ClientError::NoContact)?;
            if self.refused.contains(&(user, next)) {
                return Err(Code::EpochRoster.into());
            }
            if let Some(known) = peer.note(&next) {
                let after = chain.last().map(|after| after.header.n);
                if after.is_some_and(|after| after.checked_sub(1) != Some(known.n)) {
                    return Err(self.refuse_chain(user, id));
                }
                return Ok(chain);
            }
            let (newest, request) = (peer.newest().map(|note| note.n), peer.request);
            let path = format!("/v1/epochs/{}", next.to_base64url());
            let bundle: EpochBundle = match self.get(path).await {
                Ok(bundle) => bundle,
                // What came before may be gone; the epoch itself may not.
                Err(error) if chain.is_empty() || error.is_passing() => return Err(error.into()),
                Err(error @ ClientError::Store(_)) => return Err(error.into()),
                Err(_) => break,
            };
            let fetched = Fetched::read(&bundle, next)?;
            let EpochHeader { n, prev, .. } = fetched.header;
            let follows = chain.last().is_none_or(|after| after.header.n.checked_sub(1) == Some(n));
            if !follows || !self.is_pair(&fetched.header, &user) {
                return Err(self.refuse_chain(user, id));
            }
            chain.push(fetched);
            if prev == request.0 || newest.is_some_and(|newest| n <= newest.saturating_add(1)) {
                return Ok(chain);
            }
            if n == 0 {
                return Err(self.refuse_chain(user, id));
            }
            if chain.len() >= BACK_MAX {
                break;
            }
            next = EpochId(prev);
        }
        // There is a gap. Nothing would bind the first epoch of a contact to its request.
        match self.peers.get(&user).and_then(Peer::newest) {
            Some(_) => Ok(chain),
            None => Err(Code::EpochUnknown.into()),
        }
    }

    /// A chain of headers is none, whatever else the server shows: its newest is not looked at
    /// again in this run.
    fn refuse_chain(&mut self, user: UserId, newest: EpochId) -> Refused {
        if self.refused.len() >= REFUSED_MAX {
            self.refused.clear();
        }
        self.refused.insert((user, newest));
        self.alarm_once(&user, newest, Code::EpochRoster);
        Code::EpochRoster.into()
    }

    async fn take_epoch(&mut self, user: UserId, fetched: &Fetched) -> Result<(), Refused> {
        let header = &fetched.header;
        let id = header.id();
        // Made here, stored, and the server's answer was lost.
        if let Some(state) = self.epoch_state(&id).map_err(ClientError::Store)? {
            let newest = self.peers.get(&user).and_then(Peer::newest).map(|note| note.n);
            if newest.is_some_and(|n| header.n < n) {
                return Err(Code::EpochStale.into());
            }
            let marks = Marks { stale: self.has_moved(&state, &user), ..Marks::default() };
            self.adopt(user, state, marks)?;
            // Another one with its number was shown before.
            if newest == Some(header.n) {
                self.forked(user, header.n)?;
            }
            return Ok(());
        }
        let known = self.peers.get(&user).map(|peer| peer.epochs.as_slice()).unwrap_or_default();
        let siblings = known.iter().filter(|note| note.n == header.n).count();
        if siblings >= SIBLINGS_MAX || known.len() >= OPEN_MAX {
            return Err(Code::Limit.into());
        }
        let Some(wrap) = &fetched.wrap else {
            // Claimed by a later state of this device, made by one, or never made for it.
            let calls_for = Some(self.left_out(header));
            return Err(Refused { calls_for, ..Code::EpochUnknown.into() });
        };
        // What was seen before is not forgotten: nobody is called stale who is not (E6), and no
        // other record takes the place of one.
        let mut prekeys = self.peers.get(&user).map(Peer::prekeys).unwrap_or_default();
        prekeys.extend(fetched.prekeys.iter().cloned());
        for _ in 0..ATTEMPTS {
            let log = self.log_of(&user)?;
            let peer = self.peers.get(&user).ok_or(ClientError::NoContact)?;
            let known: Vec<_> = peer
                .epochs
                .iter()
                .map(|note| Previous { n: note.n, id: note.id, created_ms: note.created_ms })
                .collect();
            let request = peer.request;
            let offered = Offered {
                header: fetched.bytes.as_bytes(),
                wrap: wrap.as_bytes(),
                me: &self.key,
                secrets: &self.secrets,
                mine: Party { log: &self.log, prekeys: &prekeys },
                peer: Some(Party { log: &log, prekeys: &prekeys }),
                history: History { request: Some(peer.request), known: &known },
                now_ms: self.clock.now_ms(),
            };
            match hushwire_e2ee::open(&offered) {
                Ok(accepted) => {
                    let (gap, stale) = (accepted.gap, accepted.stale);
                    if accepted.fork {
                        self.forked(user, header.n)?;
                    }
                    self.adopt(user, accepted.state, Marks { stale, gap, unclaimed: true })?;
                    // Former contacts go on counting: their new request is no gap.
                    if gap && header.prev != request.0 {
                        let handle = self.name_of(&user);
                        self.tell(trouble(Trouble::KeyMissing, &handle));
                    }
                    if !accepted.fork {
                        self.has_rotated(user)?;
                    }
                    // Repeated by the next upkeep if it is lost.
                    return match self.claim(user, id).await {
                        Err(error @ ClientError::Store(_)) => Err(error.into()),
                        _ => Ok(()),
                    };
                }
                Err(AcceptError::Behind(whose)) if whose == user => {
                    self.renew_log(user).await?;
                }
                Err(AcceptError::PrekeyMissing) => {
                    let known = prekeys.len();
                    prekeys.extend(self.fetch_prekeys(user, false).await?);
                    prekeys.push(self.own_record().map_err(ClientError::Store)?);
                    if prekeys.len() > known + 64 {
                        break;
                    }
                }
                Err(error) => return Err(self.judge_refusal(user, header, error)),
            }
        }
        Err(Code::EpochUnknown.into())
    }

    fn judge_refusal(&mut self, user: UserId, header: &EpochHeader, error: AcceptError) -> Refused {
        let code = error.code();
        let calls_for = match error {
            AcceptError::Wrap | AcceptError::KcMismatch | AcceptError::Own => Some(Wanted::Heal),
            AcceptError::NoSecret => Some(self.left_out(header)),
            _ => None,
        };
        if code == Code::LogFork {
            // Nothing but a broken store is another error than the code.
            if let error @ ClientError::Store(_) = self.contradicted(&user, code) {
                return error.into();
            }
        } else if code.is_alarm() {
            self.alarm_once(&user, header.id(), code);
        }
        Refused { calls_for, ..code.into() }
    }

    /// What an epoch calls for whose wrap this device cannot have: R1 if it was marked stale.
    fn left_out(&self, header: &EpochHeader) -> Wanted {
        let mine = header.roster.iter().find(|slot| slot.device == self.key.device_id());
        match mine {
            Some(slot) if !slot.is_wrapped() => Wanted::Devices,
            _ => Wanted::Heal,
        }
    }

    /// The newest epoch of a pair is not usable: the next one is made on top of it.
    fn goes_beyond(
        &mut self,
        user: UserId,
        header: &EpochHeader,
        wanted: Wanted,
    ) -> Result<(), ClientError> {
        let Some(peer) = self.peers.get(&user) else { return Ok(()) };
        // Not so far that one header, which nobody vouches for, uses the pair's numbers up.
        let is_past = peer.newest().is_some_and(|newest| {
            header.n.checked_sub(newest.n).is_some_and(|over| (1..=JUMP_MAX).contains(&over))
        });
        let latest = self.clock.now_ms().saturating_add(AHEAD_MAX_MS);
        if peer.standing != Standing::Active || !is_past || header.created_ms > latest {
            return Ok(());
        }
        let (n, created_ms) = (header.n, header.created_ms);
        self.ahead.insert(user, Ahead { n, id: header.id(), created_ms });
        self.want_epoch(user, wanted)
    }

    pub(in crate::engine) fn is_pair(&self, header: &EpochHeader, peer: &UserId) -> bool {
        let users = [Some(header.a.user), header.b.map(|b| b.user)];
        *peer != self.account.user
            && users.contains(&Some(*peer))
            && users.contains(&Some(self.account.user))
    }
}
