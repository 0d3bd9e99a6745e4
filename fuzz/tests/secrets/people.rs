//! Two people whose every secret is known to the test.

use std::num::NonZeroU32;

use hushwire_e2ee::{
    Accepted, Body, Content, ContentId, Created, DeviceKey, History, NewEpoch, Offered, Party,
    PrekeySecret, SealedMessage, create, open,
};
use hushwire_identity::hash::{Label, hash};
use hushwire_identity::{DeviceKind, DeviceLog, Handle, Prekey, Reason, Suites, day_of};
use hushwire_wire::message::{Class, Upload};
use hushwire_wire::{RequestId, Sealed};

use super::canary::Canary;

pub(crate) const NOW: u64 = 20_000 * 86_400_000;
/// Words that stand nowhere else.
pub(crate) const WORDS: &str = "quagga zephyr vexillology";
const REQUEST: RequestId = RequestId([0x7e; 32]);

pub(crate) struct Person {
    pub(crate) key: DeviceKey,
    pub(crate) secret: PrekeySecret,
    log: DeviceLog,
    prekeys: Vec<Prekey>,
}

impl Person {
    fn new(handle: &str, n: u8) -> Self {
        let seed = hash(Label::Recovery, &[b"person", &[n]]);
        let key = DeviceKey::from_seed(seed);
        let handle = Handle::parse(handle).unwrap();
        let suites = Suites::HERE;
        let kind = DeviceKind::TERMINAL;
        let genesis = key.genesis("example.org", &handle, kind, suites, 1_000).unwrap();
        let log = DeviceLog::genesis(&genesis).unwrap();
        let secret = PrekeySecret::generate(NonZeroU32::MIN, &mut random(n)).unwrap();
        let prekeys = vec![secret.publish(&key, &log, suites, day_of(NOW))];
        Self { key, secret, log, prekeys }
    }

    fn party(&self) -> Party<'_> {
        Party { log: &self.log, prekeys: &self.prekeys }
    }
}

/// Random bytes that are the same in every run.
pub(crate) fn random(n: u8) -> impl FnMut(&mut [u8]) -> Result<(), hushwire_e2ee::RandomError> {
    let mut count = 0_u8;
    move |out: &mut [u8]| {
        for chunk in out.chunks_mut(32) {
            count += 1;
            chunk.copy_from_slice(&hash(Label::Recovery, &[&[n, count]])[..chunk.len()]);
        }
        Ok(())
    }
}

pub(crate) struct Pair {
    pub(crate) alice: Person,
    pub(crate) bob: Person,
    pub(crate) created: Created,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let (alice, bob) = (Person::new("alice", 1), Person::new("bob", 2));
        let created = create(&new_epoch(&alice, &bob), &mut random(3)).unwrap();
        Self { alice, bob, created }
    }

    pub(crate) fn new_epoch(&self) -> NewEpoch<'_> {
        new_epoch(&self.alice, &self.bob)
    }

    pub(crate) fn offered(&self) -> Offered<'_> {
        Offered {
            header: &self.created.header,
            wrap: &self.created.wraps[0].1,
            me: &self.bob.key,
            secrets: std::slice::from_ref(&self.bob.secret),
            mine: self.bob.party(),
            peer: Some(self.alice.party()),
            history: History { request: Some(REQUEST), known: &[] },
            now_ms: NOW,
        }
    }

    pub(crate) fn accepted(&self) -> Accepted {
        open(&self.offered()).unwrap()
    }

    pub(crate) fn content(&self) -> Content {
        Content {
            id: ContentId([1; 16]),
            sent_ms: NOW,
            prev_sent: 0,
            seen: Vec::new(),
            body: Body::Text { reply_to: None, text: WORDS.to_owned() },
        }
    }

    /// The first messages of Alice, and what Bob is handed of each.
    pub(crate) fn sealed(&self, count: u8) -> Vec<(SealedMessage, Vec<u8>)> {
        let mut state = self.created.state.clone();
        let seal = |i| {
            let sealed = state.seal(Class::Text, 0, &self.content(), [i; 16]).unwrap();
            let upload = Upload::parse(&Sealed::new(sealed.upload.clone())).unwrap();
            let bytes = [upload.shared.as_bytes(), &upload.tag(0).unwrap()].concat();
            (sealed, bytes)
        };
        (0..count).map(seal).collect()
    }

    /// Who talks to whom: all of an id but the four bytes that are shown of one.
    pub(crate) fn ids(&self) -> Vec<Canary> {
        let people = [&self.alice, &self.bob];
        let users = people.map(|person| person.log.user().0[4..].to_vec());
        let devices = people.map(|person| person.key.device_id().0[4..].to_vec());
        users.iter().chain(&devices).map(|id| Canary::new("an id", id)).collect()
    }

    /// Seeds, what is derived from them, prekey secrets, and the epoch's key.
    pub(crate) fn secrets(&self) -> Vec<Canary> {
        use dryoc::classic::crypto_sign::crypto_sign_seed_keypair;
        use dryoc::classic::crypto_sign_ed25519::crypto_sign_ed25519_sk_to_curve25519;
        let mut out = Vec::new();
        for person in [&self.alice, &self.bob] {
            let seed = person.key.to_seed();
            let (_, secret) = crypto_sign_seed_keypair(&seed);
            let mut x25519 = [0; 32];
            crypto_sign_ed25519_sk_to_curve25519(&mut x25519, &secret);
            out.push(Canary::new("a seed", &*seed));
            out.push(Canary::new("an identity's exchange key", &x25519));
            out.push(Canary::new("a prekey's secrets", &person.secret.to_bytes()[5..]));
        }
        let mut key = [0; 32];
        hushwire_e2ee::Random::fill(&mut random(3), &mut key).unwrap();
        assert_eq!(
            hushwire_identity::hash::kdf(&key, Label::Kc, &[]),
            self.created.state.header().kc,
            "the first random bytes are the epoch's key"
        );
        out.push(Canary::new("an epoch's key", &key));
        out
    }
}

fn new_epoch<'a>(alice: &'a Person, bob: &'a Person) -> NewEpoch<'a> {
    NewEpoch {
        me: &alice.key,
        prekey: &alice.secret,
        mine: alice.party(),
        peer: Some(bob.party()),
        n: 0,
        prev: REQUEST.0,
        reason: Reason::First,
        created_ms: NOW,
    }
}
