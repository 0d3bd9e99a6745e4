//! Two people with real keys, logs, prekeys and an epoch, made once: what scripts act upon.
#![expect(clippy::unwrap_used, reason = "a fixture that cannot be made is a finding too")]

use std::num::NonZeroU32;
use std::sync::OnceLock;

use dryoc::classic::crypto_sign::{crypto_sign_detached, crypto_sign_seed_keypair};
use hushwire_e2ee::{
    Body, Content, ContentId, Created, DeviceKey, EpochState, History, NewEpoch, Offered, Party,
    PrekeySecret, RandomError, create, open,
};
use hushwire_identity::hash::{Label, hash, signed};
use hushwire_identity::{
    DeviceKind, DeviceLog, Draft, Handle, Payload, Prekey, Reason, Suites, day_of,
};
use hushwire_wire::message::{Class, Upload};
use hushwire_wire::{RequestId, Sealed};

/// Now, in milliseconds since 1970.
pub(crate) const NOW: u64 = 20_000 * 86_400_000;
pub(crate) const REQUEST: RequestId = RequestId([0x7e; 32]);
/// The server's key for stamps.
pub(crate) const K_SRV: [u8; 32] = [0x5e; 32];
/// Messages that Alice's first device has sent.
pub(crate) const MESSAGES: usize = 16;

/// One person: two devices for Alice, one for Bob.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) keys: Vec<DeviceKey>,
    pub(crate) secrets: Vec<PrekeySecret>,
    pub(crate) wires: Vec<Vec<u8>>,
    pub(crate) log: DeviceLog,
    pub(crate) prekeys: Vec<Prekey>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) alice: Person,
    pub(crate) bob: Person,
    /// Epoch 0, made by Alice's first device.
    pub(crate) created: Created,
    /// Bob's state before the first message.
    pub(crate) bob_state: EpochState,
    /// What Bob's device is handed, in the order of sending, and the uploads they are from.
    pub(crate) delivered: Vec<Vec<u8>>,
    pub(crate) uploads: Vec<Vec<u8>>,
    pub(crate) contents: Vec<Content>,
}

pub(crate) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(World::make)
}

/// Signs as the device with seed `[seed; 32]`, under any label.
pub(crate) fn sign(seed: u8, label: Label, parts: &[&[u8]]) -> [u8; 64] {
    let (_, secret) = crypto_sign_seed_keypair(&[seed; 32]);
    let mut out = [0; 64];
    crypto_sign_detached(&mut out, &signed(label, parts), &secret).unwrap();
    out
}

/// Random bytes that are the same in every run.
pub(crate) fn random(seed: u8) -> impl FnMut(&mut [u8]) -> Result<(), RandomError> {
    let mut count = 0_u64;
    move |out: &mut [u8]| {
        for chunk in out.chunks_mut(32) {
            count += 1;
            let block = hash(Label::Recovery, &[&[seed], &count.to_be_bytes()]);
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}

impl Person {
    fn make(handle: &str, seeds: &[u8]) -> Self {
        let suites = Suites::NACL;
        let keys: Vec<_> = seeds.iter().map(|seed| DeviceKey::from_seed([*seed; 32])).collect();
        let name = Handle::parse(handle).unwrap();
        let kind = DeviceKind::TERMINAL;
        let mut wires = vec![keys[0].genesis("example.org", &name, kind, suites, 1_000).unwrap()];
        let mut log = DeviceLog::genesis(&wires[0]).unwrap();
        for key in &keys[1..] {
            let draft = Draft {
                seq: log.seq() + 1,
                log: log.user(),
                prev: log.head().0,
                time_ms: log.time_ms(),
                signer: keys[0].device_id(),
                payload: Payload::Add { ik: *key.public(), kind, suites },
            };
            let claim = key.claim(&log.user(), kind, suites);
            let wire = keys[0].sign_entry(&draft, Some(&claim));
            log.extend(&wire).unwrap();
            wires.push(wire);
        }
        let mut random = random(seeds[0]);
        let secret = |_| PrekeySecret::generate(NonZeroU32::MIN, &mut random).unwrap();
        let secrets: Vec<_> = keys.iter().map(secret).collect();
        let publish =
            |(secret, key): (&PrekeySecret, _)| secret.publish(key, &log, suites, day_of(NOW));
        let prekeys = secrets.iter().zip(&keys).map(publish).collect();
        Self { keys, secrets, wires, log, prekeys }
    }

    pub(crate) fn party(&self) -> Party<'_> {
        Party { log: &self.log, prekeys: &self.prekeys }
    }
}

impl World {
    fn make() -> Self {
        let alice = Person::make("alice", &[1, 2]);
        let bob = Person::make("bob", &[3]);
        let new = NewEpoch {
            me: &alice.keys[0],
            prekey: &alice.secrets[0],
            mine: alice.party(),
            peer: Some(bob.party()),
            n: 0,
            prev: REQUEST.0,
            reason: Reason::First,
            created_ms: NOW,
        };
        let created = create(&new, &mut random(9)).unwrap();
        let offered = offered(&alice, &bob, &created.header, wrap_for_bob(&created, &bob));
        let bob_state = open(&offered).unwrap().state;
        let mut state = created.state.clone();
        let (mut uploads, mut delivered, mut contents) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..u8::try_from(MESSAGES).unwrap() {
            let content = text(i);
            let sealed = state.seal(Class::Text, 0, &content, [i; 16]).unwrap();
            let at = state.targets().iter().position(|d| *d == bob.keys[0].device_id()).unwrap();
            let upload = Upload::parse(&Sealed::new(sealed.upload.clone())).unwrap();
            let tag = upload.tag(at).unwrap();
            delivered.push([upload.shared.as_bytes(), &tag].concat());
            uploads.push(sealed.upload);
            contents.push(content);
        }
        Self { alice, bob, created, bob_state, delivered, uploads, contents }
    }

    /// Epoch 0 as Bob's device is offered it, with this header and wrap.
    pub(crate) fn offered<'a>(&'a self, header: &'a [u8], wrap: &'a [u8]) -> Offered<'a> {
        offered(&self.alice, &self.bob, header, wrap)
    }

    pub(crate) fn wrap(&self) -> &[u8] {
        wrap_for_bob(&self.created, &self.bob)
    }
}

pub(crate) fn text(i: u8) -> Content {
    Content {
        id: ContentId([i + 1; 16]),
        sent_ms: NOW,
        prev_sent: 0,
        seen: vec![1, 2, 3],
        body: Body::Text { reply_to: None, text: format!("message {i}") },
    }
}

fn wrap_for_bob<'a>(created: &'a Created, bob: &Person) -> &'a [u8] {
    let device = bob.keys[0].device_id();
    &created.wraps.iter().find(|(to, _)| *to == device).unwrap().1
}

fn offered<'a>(
    alice: &'a Person,
    bob: &'a Person,
    header: &'a [u8],
    wrap: &'a [u8],
) -> Offered<'a> {
    Offered {
        header,
        wrap,
        me: &bob.keys[0],
        secrets: &bob.secrets,
        mine: bob.party(),
        peer: Some(alice.party()),
        history: History { request: Some(REQUEST), known: &[] },
        now_ms: NOW,
    }
}
