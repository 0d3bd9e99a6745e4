//! A server that lies, with real keys: what it says is refused or bounded.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use hushwire_e2ee::{Created, NewEpoch, Party};
use hushwire_identity::{
    Code, ContactRequest, DeviceKind, EpochHeader, Prekey, Reason, Suites, day_of,
};
use hushwire_wire::http::{Contact, ContactState, EpochBundle};
use hushwire_wire::{Close, EpochId, RequestId, Sealed};

use super::*;
use crate::outbox::Answer;
use crate::record::{EpochNote, Standing};
use crate::said::Said;

type Answers = Box<dyn FnMut(&Call) -> Option<Reply> + Send>;

/// Answers calls as it is told, or says that nobody is there; counts them.
#[derive(Default)]
pub(super) struct Scripted(Mutex<Option<Answers>>, pub(super) AtomicU64);

impl Transport for Scripted {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, Unreachable>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let mut script = self.0.lock().unwrap();
        let reply = script.as_mut().and_then(|answers| answers(&call));
        let reply = reply.ok_or(Unreachable { why: "no network" });
        Box::pin(async { reply })
    }

    fn open(&self, _: Encoding) -> BoxFuture<'static, Result<Link, Unreachable>> {
        Box::pin(async { Err(Unreachable { why: "no network" }) })
    }
}

pub(super) fn reply(status: u16, body: &impl serde::Serialize) -> Reply {
    Reply { status, body: serde_json::to_vec(body).unwrap() }
}

pub(super) struct Moved(pub(super) AtomicU64);

impl Clock for Moved {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn ticks_ms(&self) -> u64 {
        self.now_ms()
    }
}

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) script: Arc<Scripted>,
    pub(super) clock: Arc<Moved>,
    pub(super) told: mpsc::Receiver<Event>,
    pub(super) last_key: Option<DeviceKey>,
    pub(super) last_secret: Option<PrekeySecret>,
    dir: tempfile::TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = begun(&dir, true);
        let now = SystemClock::default().now_ms();
        Self::load(dir, store, Arc::new(Moved(now.into())))
    }

    fn load(dir: tempfile::TempDir, store: Store, clock: Arc<Moved>) -> Self {
        let script = Arc::new(Scripted::default());
        let (events, told) = mpsc::channel(64);
        let parts = Parts {
            store,
            transport: Arc::clone(&script) as Arc<dyn Transport>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random: Box::new(SystemRandom),
            encoding: Encoding::Cbor,
            events,
        };
        let mut engine = Engine::load(parts).unwrap().unwrap();
        engine.prekey.published = true;
        engine.is_current = true;
        engine.token = Some((Token([0; 32]), u64::MAX));
        Self { engine, script, clock, told, last_key: None, last_secret: None, dir }
    }

    /// The same store, opened by another run of the program.
    pub(super) fn restarted(mut self) -> Self {
        self.engine.settle().unwrap();
        let Self { engine, clock, dir, last_key, last_secret, .. } = self;
        drop(engine);
        let opened = store(&dir);
        Self { last_key, last_secret, ..Self::load(dir, opened, clock) }
    }

    /// Every call is answered alike.
    fn answers(&self, status: u16, body: &impl serde::Serialize) {
        let reply = reply(status, body);
        self.script(move |_| Some(reply.clone()));
    }

    pub(super) fn script(&self, answers: impl FnMut(&Call) -> Option<Reply> + Send + 'static) {
        *self.script.0.lock().unwrap() = Some(Box::new(answers));
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.now_ms()
    }

    /// A contact with real keys, and its prekey.
    pub(super) fn contact(
        &mut self,
        name: &str,
        standing: Standing,
    ) -> (UserId, DeviceLog, Prekey) {
        let mut random = |out: &mut [u8]| SystemRandom.fill(out);
        let key = DeviceKey::generate(&mut random).unwrap();
        self.last_key = Some(key.clone());
        let handle = Handle::parse(name).unwrap();
        let (kind, suites) = (DeviceKind::TERMINAL, Suites::HERE);
        let wire = key.genesis("example.org", &handle, kind, suites, self.now()).unwrap();
        let log = DeviceLog::genesis(&wire).unwrap();
        let secret = PrekeySecret::generate(NonZeroU32::MIN, &mut random).unwrap();
        let prekey = secret.publish(&key, &log, suites, day_of(self.now()));
        self.last_secret = Some(secret);
        let peer = Peer {
            handle: name.to_owned(),
            log: vec![Sealed::new(wire)],
            records: vec![Sealed::new(prekey.record.to_bytes())],
            confirmed_ms: self.now(),
            ..Peer::new(log.user(), standing, RequestId([7; 32]))
        };
        self.engine.put_peer(peer).unwrap();
        (log.user(), log, prekey)
    }

    /// An epoch with a contact, made here and stored, not yet used.
    pub(super) fn epoch(
        &mut self,
        (_, log, prekey): &(UserId, DeviceLog, Prekey),
        n: u32,
    ) -> Created {
        let (own, theirs) = ([self.engine.own_prekey().unwrap()], [prekey.clone()]);
        let secret = self.engine.newest_secret().unwrap();
        let new = NewEpoch {
            me: &self.engine.key,
            prekey: &secret,
            mine: Party { log: &self.engine.log, prekeys: &own },
            peer: Some(Party { log, prekeys: &theirs }),
            n,
            prev: [7; 32],
            reason: Reason::First,
            created_ms: self.now(),
        };
        let created =
            hushwire_e2ee::create(&new, &mut |out: &mut [u8]| SystemRandom.fill(out)).unwrap();
        let mut batch = Batch::default();
        batch.put(Space::Epoch, created.id.as_bytes(), created.state.to_bytes());
        self.engine.store.add(&batch).unwrap();
        created
    }

    /// The last contact's log goes on, as it is known here.
    pub(super) fn add_device(&mut self, user: UserId) {
        let key = self.last_key.clone().unwrap();
        let mut peer = self.engine.peers[&user].clone();
        let entry = second_device(&key, &peer.device_log().unwrap());
        peer.log.push(Sealed::new(entry));
        self.engine.put_peer(peer).unwrap();
    }

    pub(super) fn note(&mut self, user: UserId, created: &Created, n: u32) {
        let note = EpochNote {
            n,
            id: created.id,
            created_ms: self.now(),
            accepted_ms: self.now(),
            stale: false,
            unclaimed: true,
            gap: false,
            dropped: false,
            prev_sent: 0,
        };
        self.engine.peers.get_mut(&user).unwrap().epochs.push(note);
    }
}

fn bundle(created: &Created) -> EpochBundle {
    EpochBundle { header: Sealed::new(created.header.clone()), wrap: None, prekeys: Vec::new() }
}

#[tokio::test]
async fn an_epoch_of_one_pair_is_never_taken_for_another() {
    let mut world = World::new();
    let bob = world.contact("bob", Standing::Active);
    let carol = world.contact("carol", Standing::Active);
    let with_carol = world.epoch(&carol, 0);
    world.answers(200, &bundle(&with_carol));
    let taken = world.engine.ensure_epoch(bob.0, with_carol.id).await;
    assert!(matches!(taken, Err(ClientError::Unverified(Code::EpochRoster))), "{taken:?}");
    assert!(world.engine.peers[&bob.0].epochs.is_empty());
    world.engine.ensure_epoch(carol.0, with_carol.id).await.unwrap();
    assert!(world.engine.peers[&carol.0].knows(&with_carol.id));
}

#[tokio::test]
async fn the_server_does_not_accept_in_a_person_s_place_and_nobody_is_their_own_contact() {
    let mut world = World::new();
    let (own, handle) = (world.engine.log.point(), Handle::parse("alice").unwrap());
    for is_self in [false, true] {
        let (user, log, _) = world.contact("mallory", Standing::AsksMe);
        let from = if is_self { own } else { log.point() };
        let request =
            ContactRequest { from, to: None, handle: handle.clone(), nonce: [1; 16], time_ms: 1 };
        world.engine.peers.get_mut(&user).unwrap().request = request.id();
        let contact = Contact {
            peer: from.user,
            state: if is_self { ContactState::Requested } else { ContactState::Active },
            request: Sealed::new(request.to_bytes()),
            newest: None,
        };
        let waits = Contact { peer: user, state: ContactState::Requested, ..contact.clone() };
        world.answers(200, &hushwire_wire::http::Contacts { v: 1, contacts: vec![contact, waits] });
        world.engine.sync_contacts().await.unwrap();
        assert_eq!(world.engine.peers[&user].standing, Standing::AsksMe);
        assert!(!world.engine.peers.contains_key(&own.user));
    }
    world.engine.settle().unwrap();
    assert!(world.told.try_recv().is_err());
}

/// An entry by which `key` adds a device to its log.
fn second_device(key: &DeviceKey, log: &DeviceLog) -> Vec<u8> {
    let other = DeviceKey::generate(&mut |out: &mut [u8]| SystemRandom.fill(out)).unwrap();
    let (kind, suites) = (DeviceKind::PHONE, Suites::HERE);
    let draft = hushwire_identity::Draft {
        seq: 1,
        log: log.user(),
        prev: log.head().0,
        time_ms: log.time_ms(),
        signer: key.device_id(),
        payload: hushwire_identity::Payload::Add { ik: *other.public(), kind, suites },
    };
    key.sign_entry(&draft, Some(&other.claim(&log.user(), kind, suites)))
}

/// An epoch of a server's making that is not in the store, by another time in its header.
fn stranger(created: &Created, n: u32, ms: u64) -> (EpochId, EpochBundle) {
    let mut header = EpochHeader::parse(&created.header).unwrap();
    (header.n, header.created_ms) = (n, header.created_ms + ms);
    let bundle = EpochBundle {
        header: Sealed::new(header.to_bytes()),
        wrap: Some(Sealed::new(vec![0; 1168])),
        prekeys: Vec::new(),
    };
    (header.id(), bundle)
}

#[tokio::test]
async fn epochs_without_end_are_refused_before_they_are_looked_at() {
    let mut world = World::new();
    let bob = world.contact("bob", Standing::Active);
    let first = world.epoch(&bob, 0);
    let offer = async |world: &mut World, n| {
        let (id, bundle) = stranger(&first, n, 1);
        world.answers(200, &bundle);
        match world.engine.ensure_epoch(bob.0, id).await {
            Err(ClientError::Unverified(code)) => Some(code),
            // It is judged, and the server shows no prekeys to judge it by.
            Err(ClientError::Nonsense) => None,
            other => panic!("{other:?}"),
        }
    };
    for _ in 0..3 {
        world.note(bob.0, &first, 0);
    }
    assert_ne!(offer(&mut world, 0).await, Some(Code::Limit), "the fourth sibling is judged");
    world.note(bob.0, &first, 0);
    assert_eq!(offer(&mut world, 0).await, Some(Code::Limit), "the fifth is not");
    for n in 1..1_019 {
        world.note(bob.0, &first, n);
    }
    assert_ne!(offer(&mut world, 1_019).await, Some(Code::Limit));
    world.note(bob.0, &first, 1_018);
    world.note(bob.0, &first, 1_018);
    assert_eq!(offer(&mut world, 1_019).await, Some(Code::Limit), "1,024 are open");
}

#[tokio::test]
async fn the_last_epoch_number_ends_a_pair_without_a_panic() {
    let mut world = World::new();
    let bob = world.contact("bob", Standing::Active);
    let last = world.epoch(&bob, u32::MAX);
    world.note(bob.0, &last, u32::MAX);
    world.answers(200, &bundle(&last));
    assert!(world.engine.rotate(bob.0, Reason::Age).await.is_err());
    let other = world.epoch(&bob, 3);
    world.answers(200, &bundle(&other));
    assert!(world.engine.ensure_epoch(bob.0, other.id).await.is_err());
}

#[tokio::test]
async fn nothing_is_sent_under_an_epoch_whose_heads_are_not_the_newest() {
    let mut world = World::new();
    let bob = world.contact("bob", Standing::Active);
    let made = world.epoch(&bob, 0);
    world.note(bob.0, &made, 0);
    let said = Said::Text { text: "secret".to_owned(), reply_to: None };
    let id = Id(hushwire_e2ee::ContentId([1; 16]));
    let effects = world.engine.outbox.submit(bob.0, id, said, 1, 1).unwrap();
    world.engine.carry_out(effects).await.unwrap();
    // The log goes on; a next epoch cannot be made, and the server offers nothing better.
    let before = world.engine.peers[&bob.0].clone();
    world.add_device(bob.0);
    world.engine.seal(1, false).await.unwrap();
    assert!(world.engine.outbox.entry(1).is_some_and(|entry| entry.sent.is_none()));
    world.engine.put_peer(before).unwrap();
    world.engine.seal(1, false).await.unwrap();
    assert!(world.engine.outbox.entry(1).is_some_and(|entry| entry.sent.is_some()));
}

#[test]
fn questions_without_answers_end_the_connection() {
    let mut world = World::new();
    let (out, _sent) = mpsc::channel(1_000);
    let (_arrivals, arrivals) = mpsc::channel(1);
    let numbers = Numbers::default();
    let link = Link { out, arrivals };
    world.engine.phase = Phase::Up(Up { link, numbers, heard_at: 0, heartbeat_ms: 0 });
    for _ in 0..=QUESTIONS_MAX {
        world.engine.ask(ClientOp::Sync {}, Question::Sync);
    }
    assert!(matches!(world.engine.phase, Phase::Down { .. }));
    assert!(world.engine.questions.is_empty());
    let _ = world.engine.outbox.answered(1, Answer::Reject(hushwire_wire::Reject::Forbidden {}), 0);
}

#[test]
fn whoever_may_have_displaced_itself_comes_back_once() {
    let mut world = World::new();
    let broken = Ending::default();
    let displaced = Ending { code: Some(Close::Displaced.code()), ..Ending::default() };
    let ends = |world: &mut World, ending: &Ending| {
        let (out, _sent) = mpsc::channel(1);
        let (_arrivals, arrivals) = mpsc::channel(1);
        world.engine.phase = Phase::Greeting { link: Link { out, arrivals }, until: u64::MAX };
        world.engine.lost("", ending);
        matches!(world.engine.phase, Phase::Down { retry_at: Some(_) })
    };
    // A connection of the program that ran before this one may have come in late.
    assert!(ends(&mut world, &displaced));
    assert!(!ends(&mut world, &displaced), "that was another program");
    assert!(ends(&mut world, &broken));
    assert!(ends(&mut world, &displaced));
    assert!(!ends(&mut world, &displaced));
    assert!(ends(&mut world, &broken));
    world.clock.0.fetch_add(connection::LATE_MS, Ordering::Relaxed);
    assert!(!ends(&mut world, &displaced), "long ago");
}

#[tokio::test]
async fn a_prekey_that_names_another_history_of_its_log_blocks_the_contact() {
    let mut world = World::new();
    let (user, log, _) = world.contact("bob", Standing::Active);
    let key = world.last_key.clone().unwrap();
    // Two histories of one log: another second device in each.
    let shown_entry = second_device(&key, &log);
    let mut signed = log.clone();
    signed.extend(&second_device(&key, &log)).unwrap();
    let secret =
        PrekeySecret::generate(NonZeroU32::MIN, &mut |out: &mut [u8]| SystemRandom.fill(out))
            .unwrap();
    let prekey = secret.publish(&key, &signed, Suites::HERE, day_of(world.now()));
    let bundle = hushwire_wire::http::PrekeyBundle {
        record: Sealed::new(prekey.record.to_bytes()),
        xwing: prekey.xwing.map(Sealed::new),
    };
    world.answers(200, &hushwire_wire::http::Prekeys { prekeys: vec![bundle] });
    let entry = Sealed::new(shown_entry);
    let mut peer = world.engine.peers[&user].clone();
    peer.log.push(entry);
    world.engine.put_peer(peer).unwrap();
    let refused = world.engine.fetch_prekeys(user, false).await;
    assert!(matches!(refused, Err(ClientError::Unverified(Code::LogFork))));
    assert!(world.engine.peers[&user].forked);
    world.engine.settle().unwrap();
    assert!(matches!(world.told.try_recv(), Ok(Event::Alarm { code: Code::LogFork, .. })));
}

#[tokio::test]
async fn a_receipt_counts_for_messages_to_its_author_only() {
    let mut world = World::new();
    let bob = world.contact("bob", Standing::Active);
    let carol = world.contact("carol", Standing::Active);
    let (reply, _answer) = tokio::sync::oneshot::channel();
    let texts = vec![("to bob".to_owned(), None)];
    world.engine.command(Command::Texts("bob".to_owned(), texts, reply)).await.unwrap();
    let id = world.engine.outbox.entries().next().unwrap().1.id;
    for (peer, counts) in [(carol.0, false), (bob.0, true)] {
        let mut batch = Batch::default();
        world.engine.put_stage(id, Stage::Read, Some(&peer), &mut batch).unwrap();
        assert_eq!(!batch.is_empty(), counts);
    }
}
