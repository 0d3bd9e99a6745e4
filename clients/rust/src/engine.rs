//! One task owns all of a device's state: store, keys, outbox, connection.
//!
//! It reacts to commands of the handle, arrivals of the socket and the clock, one after the
//! other: turns. What a turn writes is one transaction (turns that are due at once share it), and what it tells, answers or sends waits
//! for that ([`After`]); only an HTTP call divides a turn, which commits first. A store that fails
//! ends it: nothing is acknowledged or sent that could not be written down.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hushwire_e2ee::{DeviceKey, EpochState, PrekeySecret};
use hushwire_identity::{Code, DeviceLog};
use hushwire_wire::frame::{ClientFrame, ClientOp, Resynced};
use hushwire_wire::http::PrekeyPut;
use hushwire_wire::{Encoding, EpochId, Gen, Token, UserId};
use tokio::sync::mpsc;

use crate::backoff::{Backoff, Ending};
use crate::client::Command;
use crate::error::ClientError;
use crate::event::Event;
use crate::inbox::{Gaps, Numbers};
use crate::message::{Message, Stage};
use crate::outbox::{Effect, Outbox, Progress};
use crate::ports::{Clock, Random};
use crate::record::{Account, Asked, OwnPrekey, OwnProfile, PLACE_LEN, Peer, number, to_json};
use crate::said::Id;
use crate::store::{Batch, Space, Store, StoreError};
use crate::transport::{Arrival, Link, Transport, Unreachable};

use after::After;

mod account;
mod act;
mod after;
mod call;
mod command;
mod connection;
mod contact;
mod content;
mod early;
mod ending;
mod epoch;
mod expiry;
mod live;
mod missed;
mod parting;
mod peer;
mod prekey;
mod receive;
mod seal;
mod state;

pub(crate) use account::register;

/// What is remembered of received messages, in days (DELIVERY, "Words": at least 31).
pub(crate) const REMEMBERED_DAYS: u32 = 32;

/// Questions without an answer, at most; past it the connection is given up.
const QUESTIONS_MAX: usize = 64;
/// How often a connected device looks after its keys, in milliseconds.
const UPKEEP_EVERY_MS: u64 = 3_600_000;
/// How often what is past its time is erased, in milliseconds, connected or not.
const FORGET_EVERY_MS: u64 = 3_600_000;
/// Turns that share a transaction, at most.
const TURNS_MAX: u32 = 8;

pub(crate) struct Engine {
    store: Store,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    random: Box<dyn Random>,
    encoding: Encoding,
    account: Account,
    key: DeviceKey,
    log: DeviceLog,
    secrets: Vec<PrekeySecret>,
    prekey: OwnPrekey,
    /// The own prekey was renewed in this run.
    renewed: bool,
    /// It was put on this connection.
    put_here: bool,
    /// In this run the server has shown nothing that is newer than this store.
    is_current: bool,
    /// What the server said then, until it is worked off.
    unclaimed: Option<PrekeyPut>,
    peers: BTreeMap<UserId, Peer>,
    /// Verified logs of peers, as far as they were needed.
    logs: HashMap<UserId, Arc<DeviceLog>>,
    /// When peers' prekeys were looked up on this connection, in milliseconds since 1970.
    looked: HashMap<UserId, u64>,
    /// When the epochs that are wanted may be made, in ticks.
    heals: HashMap<UserId, HealAt>,
    /// Newest epochs of the server that cannot be used here.
    ahead: HashMap<UserId, Ahead>,
    /// Epochs whose headers lead nowhere.
    refused: HashSet<(UserId, EpochId)>,
    /// Keys of epochs that were made here and are not noted: the server may not have them.
    orphans: Vec<EpochId>,
    /// Alarms that were told.
    alarmed: HashSet<(UserId, EpochId, Code)>,
    /// Recipients for whom what waits may be tried again.
    retries: Vec<UserId>,
    asked: BTreeMap<String, Asked>,
    epochs: HashMap<EpochId, EpochState>,
    outbox: Outbox,
    gaps: Gaps,
    /// Messages that wait for their epoch, by order.
    waiting: Vec<u64>,
    token: Option<(Token, u64)>,
    phase: Phase,
    backoff: Backoff,
    /// Until when, in ticks, a connection that nobody closed may still come in at the server, and
    /// displace the one that followed it.
    late_until: u64,
    /// By frame id: what was asked, and when.
    questions: HashMap<u64, (Question, u64)>,
    next_id: u64,
    events: mpsc::Sender<Event>,
    missed: u64,
    /// What leaves once this turn is written.
    after: After,
    /// Messages that nobody has looked at, by order.
    unshown: BTreeMap<u64, (UserId, u64)>,
    /// The last of them that was told.
    told: u64,
    /// One numbering for what is unshown, held and waiting.
    next_order: u64,
    /// When keys are looked after next, in ticks.
    upkeep_at: u64,
    /// When what is past its time is erased next, in ticks.
    forget_at: u64,
    /// Messages that disappear.
    leaving: expiry::Leaving,
    /// The own profile name.
    profile: OwnProfile,
    /// Typing signs and presence.
    live: live::Live,
    /// Something of a contact is not there: the list is to be looked at.
    looks_again: bool,
    /// The user's version of which all was taken, in this run.
    known_v: Option<u64>,
}

/// When an epoch that is wanted may be made, in ticks, and how often making it failed.
#[derive(Clone, Copy, Debug)]
struct HealAt {
    at: u64,
    failures: u32,
}

/// An epoch that stands and cannot be used here: the next one follows it.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    n: u32,
    id: EpochId,
    created_ms: u64,
}

/// What a frame id asked.
#[derive(Clone, Copy, Debug)]
enum Question {
    Send(u64),
    Sync,
    Resynced,
    Presence,
}

/// Where the connection stands.
enum Phase {
    Down { retry_at: Option<u64> },
    Opening(BoxFuture<'static, Result<Link, Unreachable>>),
    Greeting { link: Link, until: u64 },
    Up(Up),
}

/// A connection that is signed in.
struct Up {
    link: Link,
    numbers: Numbers,
    heard_at: u64,
    heartbeat_ms: u64,
}

enum Turn {
    Command(Option<Command>),
    Opened(Result<Link, Unreachable>),
    Arrival(Arrival),
    Tick,
}

/// What the engine is made of.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Box<dyn Random>,
    pub(crate) encoding: Encoding,
    pub(crate) events: mpsc::Sender<Event>,
}

impl Engine {
    /// Runs until the handle is closed or the store fails.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut unsettled = 0;
        loop {
            if unsettled == 0 {
                self.tell_unshown();
            }
            let turn = {
                let now = self.clock.ticks_ms();
                let sleep = self.wake().map(|at| Duration::from_millis(at.saturating_sub(now)));
                let phase = &mut self.phase;
                tokio::select! {
                    command = commands.recv() => Turn::Command(command),
                    turn = next(phase) => turn,
                    () = rest(sleep) => Turn::Tick,
                }
            };
            let done = match turn {
                Turn::Command(None) => return self.shut().await,
                Turn::Command(Some(Command::Close(reply))) => {
                    self.shut().await;
                    // The store is closed when the answer comes: it can be opened again.
                    drop(self);
                    let _ = reply.send(());
                    return;
                }
                Turn::Command(Some(Command::DeleteAccount(reply))) => {
                    match self.delete_account().await {
                        Ok(()) => {
                            let _ = reply.send(self.store.erase().map_err(ClientError::Store));
                            return;
                        }
                        Err(error) => self.reply(reply, Err(error)),
                    }
                    Ok(())
                }
                Turn::Command(Some(command)) => self.command(command).await,
                Turn::Opened(opened) => {
                    self.opened(opened);
                    Ok(())
                }
                Turn::Arrival(arrival) => self.arrival(arrival).await,
                Turn::Tick => self.tick().await,
            };
            let done = match done {
                Ok(()) => self.tell_profile().await,
                Err(error) => Err(error),
            };
            unsettled += 1;
            let settled = match done {
                // What is there already goes into the same transaction.
                Ok(()) if unsettled < TURNS_MAX && self.has_more(&commands) => continue,
                Ok(()) => self.settle(),
                Err(error) => Err(error),
            };
            unsettled = 0;
            if settled.is_err() {
                self.phase = Phase::Down { retry_at: None };
                let why = "the local store failed; free some space and start again".to_owned();
                self.tell_now(Event::Disconnected { why, retry_in_ms: None });
                return;
            }
        }
    }

    fn has_more(&self, commands: &mpsc::Receiver<Command>) -> bool {
        let arrived = matches!(&self.phase, Phase::Up(up) if !up.link.arrivals.is_empty());
        arrived || !commands.is_empty()
    }

    fn wake(&self) -> Option<u64> {
        let now = self.clock.ticks_ms();
        let connection = match &self.phase {
            Phase::Down { retry_at } => *retry_at,
            Phase::Opening(_) => None,
            Phase::Greeting { until, .. } => Some(*until),
            Phase::Up(up) => {
                let due = self.answer_due().unwrap_or(u64::MAX);
                let heal = self.heal_wake().unwrap_or(u64::MAX);
                let show = self.live.wake().unwrap_or(u64::MAX);
                Some(up.deadline().min(due).min(self.upkeep_at).min(heal).min(show))
            }
        };
        // A full channel is looked at again soon.
        let is_behind = self.unshown.keys().next_back().is_some_and(|last| *last > self.told);
        let channel = (is_behind || self.missed > 0).then_some(now + 100);
        let leaving = self.leaving_wake();
        let forget = Some(self.forget_at);
        [connection, self.outbox.wake(), self.gaps.wake(), leaving, channel, forget]
            .into_iter()
            .flatten()
            .min()
    }

    async fn tick(&mut self) -> Result<(), StoreError> {
        let now = self.clock.ticks_ms();
        self.expire()?;
        if now >= self.forget_at {
            self.forget_expired()?;
        }
        self.connection_tick(now).await?;
        if matches!(self.phase, Phase::Up(_)) && now >= self.upkeep_at {
            self.upkeep().await?;
        }
        if matches!(self.phase, Phase::Up(_)) && std::mem::take(&mut self.looks_again) {
            // What waits is tried again in any case.
            if let Err(ClientError::Store(error)) = self.sync_contacts().await {
                return Err(error);
            }
        }
        self.heal_due().await?;
        self.show_due();
        self.try_again().await?;
        let release = self.gaps.tick(now);
        self.release(release)?;
        self.ask_sync();
        let effects = self.outbox.tick(now);
        self.carry_out(effects).await
    }

    /// Tries what waited for a recipient that can be sent to again.
    async fn try_again(&mut self) -> Result<(), StoreError> {
        let now = self.clock.ticks_ms();
        while let Some(user) = self.retries.pop() {
            let effects = self.outbox.retry(&user, now);
            self.carry_out(effects).await?;
        }
        Ok(())
    }

    /// Carries out effects of the outbox: what is to be stored first, then the rest.
    async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let rest = self.stage(effects, &mut batch)?;
        self.store.add(&batch)?;
        let mut queue: VecDeque<Effect> = rest.into();
        while let Some(effect) = queue.pop_front() {
            match effect {
                Effect::Transmit { order, to, sn, upload, withdraw, re } => {
                    let send = hushwire_wire::frame::Send { to, sn, upload, withdraw, re };
                    self.ask(ClientOp::Send(send), Question::Send(order));
                }
                Effect::SayResynced(r#gen) => {
                    self.ask(ClientOp::Resynced(Resynced { r#gen }), Question::Resynced);
                }
                Effect::Tell(progress) => self.tell_progress(progress),
                Effect::Seal { order, fresh } => queue.extend(self.seal(order, fresh).await?),
                Effect::Put(_) | Effect::Drop(_) | Effect::PutSn(..) | Effect::PutGen(_) => {}
            }
        }
        Ok(())
    }

    /// Adds what effects store to `batch` and gives the rest, to be done after it is written.
    fn stage(
        &mut self,
        effects: Vec<Effect>,
        batch: &mut Batch,
    ) -> Result<Vec<Effect>, StoreError> {
        let mut rest = Vec::new();
        for effect in effects {
            match effect {
                Effect::Put(order) => {
                    if let Some(entry) = self.outbox.entry(order) {
                        batch.put(Space::Outbox, &order.to_be_bytes(), to_json(entry));
                    }
                }
                Effect::Drop(order) => batch.delete(Space::Outbox, &order.to_be_bytes()),
                Effect::PutSn(to, sn) => batch.put(Space::Sn, to.as_bytes(), to_json(&sn)),
                Effect::PutGen(r#gen) => batch.put(Space::Own, b"gen", to_json::<Gen>(&r#gen)),
                Effect::Tell(progress) => {
                    let stage = match &progress {
                        Progress::Accepted { id, .. } => Some((*id, Stage::Accepted)),
                        Progress::Delivered(id) => Some((*id, Stage::Delivered)),
                        Progress::Failed { id, .. } => Some((*id, Stage::Failed)),
                        _ => None,
                    };
                    if let Some((id, stage)) = stage {
                        self.put_stage(id, stage, None, batch)?;
                    }
                    rest.push(Effect::Tell(progress));
                }
                other => rest.push(other),
            }
        }
        Ok(rest)
    }

    /// Notes how far an own message has come, if it went to `peer`. It never goes back.
    fn put_stage(
        &mut self,
        id: Id,
        stage: Stage,
        peer: Option<&UserId>,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let key = content::index(&self.account.user, &id);
        let Some(at) = self.store.get(Space::Content, &key)? else {
            return Ok(());
        };
        // A batch has as many places as texts.
        for at in at.chunks_exact(PLACE_LEN) {
            let Some(mut message) = self.store.record::<Message>(Space::History, at)? else {
                continue;
            };
            let is_theirs = peer.is_none_or(|peer| message.peer == *peer);
            if is_theirs && message.stage.is_some_and(|known| known < stage) {
                message.stage = Some(stage);
                if stage >= Stage::Accepted {
                    self.begin_leaving(&mut message, batch);
                }
                batch.put(Space::History, at, to_json(&message));
            }
        }
        Ok(())
    }

    /// Sends a frame that is answered.
    fn ask(&mut self, op: ClientOp, question: Question) {
        if self.questions.len() >= QUESTIONS_MAX {
            return self.lost("the server does not answer", &Ending::default());
        }
        self.next_id += 1;
        let id = self.next_id;
        let now = self.clock.ticks_ms();
        self.questions.insert(id, (question, now));
        self.send(&ClientFrame { id: Some(id), op });
    }

    fn today(&self) -> u32 {
        hushwire_identity::day_of(self.clock.now_ms())
    }

    fn new_order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order
    }

    /// Takes up what was stored.
    ///
    /// # Errors
    /// If the store is damaged, or holds no registered account.
    pub(crate) fn load(parts: Parts) -> Result<Option<Self>, StoreError> {
        let Parts { mut store, transport, clock, random, encoding, events } = parts;
        store.expire(hushwire_identity::day_of(clock.now_ms()))?;
        let Some(account) = store.record::<Account>(Space::Own, b"account")? else {
            return Ok(None);
        };
        if !account.registered {
            return Ok(None);
        }
        let own = account::load(&mut store, &account)?;
        let peers = store.records::<Peer>(Space::Peer)?;
        let peers: BTreeMap<UserId, Peer> =
            peers.into_iter().map(|(_, peer)| (peer.user, peer)).collect();
        let asked = store.records::<Asked>(Space::Asked)?.into_iter();
        let asked = asked
            .map(|(key, asked)| {
                Ok((String::from_utf8(key).map_err(|_| StoreError::Damaged)?, asked))
            })
            .collect::<Result<_, StoreError>>()?;
        let mut entries = BTreeMap::new();
        for (key, entry) in store.records(Space::Outbox)? {
            entries.insert(number(&key)?, entry);
        }
        let mut sns = HashMap::new();
        for (key, sn) in store.records(Space::Sn)? {
            sns.insert(UserId::from_slice(&key).ok_or(StoreError::Damaged)?, sn);
        }
        let mut outbox = Outbox::restore(entries, sns, store.record(Space::Own, b"gen")?);
        outbox.set_interval(account.interval_ms);
        let mut unshown = BTreeMap::new();
        for (key, at) in store.list(Space::Unshown)? {
            let (peer, position) = at.split_at_checked(32).ok_or(StoreError::Damaged)?;
            let peer = UserId::from_slice(peer).ok_or(StoreError::Damaged)?;
            unshown.insert(number(&key)?, (peer, number(position)?));
        }
        let orders = |rows: Vec<(Vec<u8>, _)>| -> Result<Vec<u64>, StoreError> {
            rows.iter().map(|(key, _)| number(key)).collect()
        };
        let held = orders(store.list(Space::Held)?)?;
        let waiting = orders(store.list(Space::Waiting)?)?;
        let noted = |id: &EpochId| peers.values().any(|peer: &Peer| peer.knows(id));
        let stored = store.list(Space::Epoch)?;
        let stored = stored.iter().filter_map(|(key, _)| EpochId::from_slice(key));
        let orphans = stored.filter(|id| !noted(id)).collect();
        let wanted = peers.values().filter(|peer| peer.heal.wanted.is_some());
        let heals = wanted.map(|peer| (peer.user, HealAt { at: 0, failures: 0 })).collect();
        let leaving = expiry::load(&mut store)?;
        let profile = store.record(Space::Own, b"profile")?.unwrap_or_default();
        let presence = store.record(Space::Own, b"presence")?.unwrap_or_default();
        // Of the program that ran before.
        let late_until = clock.ticks_ms() + connection::LATE_MS;
        let last = unshown.keys().chain(&held).chain(&waiting).max().copied().unwrap_or(0);
        Ok(Some(Self {
            store,
            transport,
            clock,
            random,
            encoding,
            account,
            key: own.key,
            log: own.log,
            secrets: own.secrets,
            prekey: own.prekey,
            renewed: false,
            put_here: false,
            is_current: false,
            unclaimed: None,
            peers,
            logs: HashMap::new(),
            looked: HashMap::new(),
            heals,
            ahead: HashMap::new(),
            refused: HashSet::new(),
            orphans,
            alarmed: HashSet::new(),
            retries: Vec::new(),
            asked,
            epochs: HashMap::new(),
            outbox,
            gaps: Gaps::restore(held),
            waiting,
            token: None,
            phase: Phase::Down { retry_at: Some(0) },
            backoff: Backoff::default(),
            late_until,
            questions: HashMap::new(),
            next_id: 0,
            events,
            missed: 0,
            after: After::default(),
            unshown,
            told: 0,
            next_order: last,
            upkeep_at: 0,
            forget_at: 0,
            leaving,
            profile,
            live: live::Live::new(presence),
            looks_again: false,
            known_v: None,
        }))
    }
}

async fn next(phase: &mut Phase) -> Turn {
    match phase {
        Phase::Down { .. } => pending().await,
        Phase::Opening(opening) => Turn::Opened(opening.await),
        Phase::Greeting { link, .. } | Phase::Up(Up { link, .. }) => {
            let arrival = link.arrivals.recv().await;
            Turn::Arrival(arrival.unwrap_or(Arrival::Ended(Ending::default())))
        }
    }
}

async fn rest(sleep: Option<Duration>) {
    match sleep {
        Some(sleep) => tokio::time::sleep(sleep).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
