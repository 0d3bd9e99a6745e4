//! Epochs of real devices over a real store, and each way to get them wrong.

use std::num::NonZeroU32;

use hushwire_e2ee::{Created, DeviceKey, NewEpoch as Making, Party, PrekeySecret, RandomError};
use hushwire_identity::{
    ContactRequest, DeviceKind, DeviceLog, Handle, Prekey, Reason, Suites, day_of,
};
use hushwire_schema::{
    Asked, NewAccount, NewRequest, PrekeyRow, RequestBounds, Requested, SqliteStore, Store as _,
};
use hushwire_wire::http::Wrap;
use hushwire_wire::{RequestId, Sealed};

use super::*;

const NOW: u64 = 1_700_000_000_000;

fn random(out: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(out).map_err(|_| RandomError)
}

/// A user with one device, registered.
struct Person {
    key: DeviceKey,
    log: DeviceLog,
    secret: PrekeySecret,
    prekey: Prekey,
}

fn row(prekey: &Prekey) -> PrekeyRow {
    let record = prekey.record.to_bytes();
    let (device, id) = (prekey.record.device, prekey.record.id);
    PrekeyRow { device, id, record, xwing: prekey.xwing.clone() }
}

impl Person {
    async fn register(store: &SqliteStore, name: &str) -> Self {
        let key = DeviceKey::generate(&mut random).unwrap();
        let handle = Handle::parse(name).unwrap();
        let (kind, suites) = (DeviceKind::TERMINAL, Suites::HERE);
        let genesis = key.genesis("localhost", &handle, kind, suites, NOW).unwrap();
        let log = DeviceLog::genesis(&genesis).unwrap();
        let secret = PrekeySecret::generate(NonZeroU32::MIN, &mut random).unwrap();
        let prekey = secret.publish(&key, &log, suites, day_of(NOW));
        let device = log.devices().next().unwrap();
        let account = NewAccount {
            user: log.user(),
            handle,
            device: device.id,
            ik: device.ik,
            genesis,
            head: log.head(),
            prekey: row(&prekey),
            now_ms: NOW,
        };
        store.register(account).await.unwrap();
        Self { key, log, secret, prekey }
    }

    async fn rotate(&mut self, store: &SqliteStore) {
        let id = NonZeroU32::new(self.prekey.record.id + 1).unwrap();
        self.secret = PrekeySecret::generate(id, &mut random).unwrap();
        self.prekey = self.secret.publish(&self.key, &self.log, Suites::HERE, day_of(NOW));
        store.put_prekey(self.log.user(), row(&self.prekey)).await.unwrap();
    }

    fn caller(&self) -> Caller {
        Caller { user: self.log.user(), device: self.key.device_id() }
    }

    fn make(&self, peer: &Self, n: u32, prev: [u8; 32], created_ms: u64) -> NewEpoch {
        let (mine, theirs) = ([self.prekey.clone()], [peer.prekey.clone()]);
        let making = Making {
            me: &self.key,
            prekey: &self.secret,
            mine: Party { log: &self.log, prekeys: &mine },
            peer: Some(Party { log: &peer.log, prekeys: &theirs }),
            n,
            prev,
            reason: Reason::Heal,
            created_ms,
        };
        let Created { header, wraps, .. } = hushwire_e2ee::create(&making, &mut random).unwrap();
        let wrap = |(device, wrap): &(DeviceId, _)| Wrap {
            device: *device,
            wrap: Sealed::from(Vec::clone(wrap)),
        };
        NewEpoch { header: Sealed::from(header), wraps: wraps.iter().map(wrap).collect() }
    }
}

/// Alice has asked Bob.
struct Scene {
    store: SqliteStore,
    alice: Person,
    bob: Person,
    request: RequestId,
    _dir: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("hushwire.sqlite")).unwrap();
        let alice = Person::register(&store, "alice").await;
        let bob = Person::register(&store, "bob").await;
        let request = ContactRequest {
            from: alice.log.point(),
            to: None,
            handle: Handle::parse("bob").unwrap(),
            nonce: [7; 16],
            time_ms: NOW,
        };
        let new = NewRequest {
            id: request.id(),
            asker: alice.log.user(),
            handle: request.handle.clone(),
            to: None,
            bytes: request.to_bytes(),
            now_ms: NOW,
            bounds: RequestBounds::default(),
        };
        assert!(matches!(store.request(new).await, Ok(Requested::Delivered(_))));
        Self { store, alice, bob, request: request.id(), _dir: dir }
    }

    async fn asked(&self) -> Asked {
        let bob = self.bob.log.user();
        self.store.asked(bob, self.request, NOW).await.unwrap().unwrap()
    }

    async fn keys(&self) -> PairKeys {
        let (alice, bob) = (self.alice.log.user(), self.bob.log.user());
        self.store.pair_keys(bob, alice, NOW).await.unwrap().unwrap()
    }

    /// Bob accepts; gives the header of epoch 0.
    async fn accept(&self) -> Vec<u8> {
        let made = self.bob.make(&self.alice, 0, self.request.0, NOW);
        let post = Post::parse(&made, self.bob.caller(), NOW).unwrap();
        let keys = self.asked().await.keys;
        post.check(&Logs::default(), &keys, self.request.0).unwrap();
        let bob = self.bob.log.user();
        self.store.accept(bob, self.request, keys.stamp, post.new_epoch()).await.unwrap();
        made.header.as_bytes().to_vec()
    }
}

fn code(checked: Result<(), Refusal>) -> ProblemCode {
    checked.unwrap_err().problem().code
}

#[actix_web::test]
async fn an_epoch_is_taken_only_as_both_logs_and_all_prekeys_stand() {
    let mut scene = Scene::new().await;
    let keys = scene.asked().await.keys;
    let prev = scene.request.0;
    let good = scene.bob.make(&scene.alice, 0, prev, NOW);
    let bob = scene.bob.caller();
    let logs = Logs::default();
    let check = |made: &NewEpoch, caller, keys: &PairKeys, prev| {
        Post::parse(made, caller, NOW).unwrap().check(&logs, keys, prev)
    };
    check(&good, bob, &keys, prev).unwrap();

    let second = scene.bob.make(&scene.alice, 1, prev, NOW);
    assert_eq!(code(check(&second, bob, &keys, prev)), ProblemCode::EpochConflict, "number");
    assert_eq!(code(check(&good, bob, &keys, [9; 32])), ProblemCode::EpochConflict, "request");
    let alice = scene.alice.caller();
    assert_eq!(code(check(&good, alice, &keys, prev)), ProblemCode::EpochRoster, "creator");
    let late = scene.bob.make(&scene.alice, 0, prev, NOW + DAY_MS + 1);
    assert_eq!(code(check(&late, bob, &keys, prev)), ProblemCode::EpochStale, "the future");

    let mut none = good.clone();
    none.wraps.clear();
    assert_eq!(code(check(&none, bob, &keys, prev)), ProblemCode::BadRequest, "no wrap");
    let mut short = good.clone();
    short.wraps[0].wrap = Sealed::new(vec![0; 80]);
    assert_eq!(code(check(&short, bob, &keys, prev)), ProblemCode::BadRequest, "wrap's size");
    let mut own = good.clone();
    own.wraps[0].device = bob.device;
    assert_eq!(code(check(&own, bob, &keys, prev)), ProblemCode::BadRequest, "whose wrap");

    let carol = Person::register(&scene.store, "carol").await;
    let other = carol.make(&scene.alice, 0, prev, NOW);
    assert_eq!(code(check(&other, bob, &keys, prev)), ProblemCode::EpochRoster, "pair");
    let mut garbage = good.clone();
    garbage.header = Sealed::new(vec![1; 40]);
    let refusal = Post::parse(&garbage, bob, NOW).unwrap_err();
    assert_eq!(refusal.problem().field.as_deref(), Some("epoch.header"));

    scene.alice.rotate(&scene.store).await;
    let keys = scene.asked().await.keys;
    assert_eq!(code(check(&good, bob, &keys, prev)), ProblemCode::EpochStale, "a prekey");
}

#[actix_web::test]
async fn a_loser_is_told_what_stands_and_a_repeat_is_known() {
    let scene = Scene::new().await;
    let stands = scene.accept().await;
    let keys = scene.keys().await;
    let late = scene.bob.make(&scene.alice, 0, scene.request.0, NOW + 1);
    let late = Post::parse(&late, scene.bob.caller(), NOW).unwrap();
    assert!(!late.is_newest(&keys));
    let refusal =
        late.check(&Logs::default(), &keys, keys.newest.as_ref().unwrap().id.0).unwrap_err();
    assert_eq!(refusal.problem().code, ProblemCode::EpochConflict);
    assert_eq!(refusal.problem().header.as_ref().unwrap().as_bytes(), stands);

    let asked = scene.asked().await;
    assert!(asked.accepted);
    let same = NewEpoch { header: Sealed::from(stands), wraps: Vec::new() };
    assert!(Post::parse(&same, scene.bob.caller(), NOW).unwrap().is_newest(&asked.keys));
}

#[actix_web::test]
async fn epochs_without_a_cause_are_limited_and_others_are_not() {
    let mut scene = Scene::new().await;
    scene.accept().await;
    let keys = scene.keys().await;
    let prev = keys.newest.as_ref().unwrap().id.0;
    let next = scene.bob.make(&scene.alice, 1, prev, NOW);
    let rate = |made: &NewEpoch, keys: &PairKeys, now_ms, hour, day| {
        let limits = Limits { epochs_per_hour: hour, epochs_per_day: day, ..Limits::default() };
        Post::parse(made, scene.bob.caller(), now_ms).unwrap().check_rate(keys, &limits)
    };
    rate(&next, &keys, NOW, 2, 2).unwrap();
    rate(&next, &keys, NOW, 0, 0).unwrap();
    for (hour, day, span) in [(1, 9, HOUR_MS), (9, 1, DAY_MS), (0, 1, DAY_MS)] {
        let refusal = rate(&next, &keys, NOW + 10, hour, day).unwrap_err();
        assert_eq!(refusal.problem().code, ProblemCode::RateLimited);
        assert_eq!(refusal.problem().retry_after_ms, Some(span - 10));
    }
    rate(&next, &keys, NOW + HOUR_MS, 1, 9).unwrap();

    scene.alice.rotate(&scene.store).await;
    let keys = scene.keys().await;
    let caused = scene.bob.make(&scene.alice, 1, prev, NOW);
    let limits = Limits { epochs_per_hour: 1, epochs_per_day: 1, ..Limits::default() };
    let post = Post::parse(&caused, scene.bob.caller(), NOW).unwrap();
    post.check(&Logs::default(), &keys, prev).unwrap();
    post.check_rate(&keys, &limits).unwrap();
}
