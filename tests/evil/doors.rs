//! All places where the server or the SDK verifies a signature of somebody else, as one list: what
//! is signed is right in everything but what the test does to the signature.

use std::num::NonZeroU32;

use hushwire_client::Code;
use hushwire_e2ee::{DeviceKey, PrekeySecret};
use hushwire_identity::hash::Label;
use hushwire_identity::log::device_id;
use hushwire_identity::{
    DeviceKind, DeviceLog, Draft, Handle, Payload, Prekey, day_of, login_message,
};
use hushwire_wire::close::Close;
use hushwire_wire::frame::{ClientOp, ServerOp};
use hushwire_wire::http::{AuthAnswer, AuthChallenge, Problem, ProblemCode, Register};
use hushwire_wire::{Encoding, Sealed, UserId};

use crate::scene::Scene;
use crate::support::forge::sign;
use crate::support::insider::History;
use crate::support::person::{Person, both_suites, bundle, now_ms, random};
use crate::support::{Http, Socket};

/// Signs `D(label) | parts`, or does something else.
pub(crate) type Sign<'a> = &'a dyn Fn(Label, &[&[u8]]) -> [u8; 64];

/// `POST /v1/accounts` of a new user with this key. `None`: registered.
pub(crate) async fn genesis(
    http: &Http,
    domain: &str,
    name: &str,
    ik: &[u8; 32],
    by: Sign<'_>,
) -> Option<Problem> {
    let draft = Draft {
        seq: 0,
        log: UserId::ZERO,
        prev: [0; 32],
        time_ms: now_ms(),
        signer: device_id(ik),
        payload: Payload::Genesis {
            domain: domain.to_owned(),
            handle: Handle::parse(name).unwrap(),
            ik: *ik,
            kind: DeviceKind::TERMINAL,
            suites: both_suites(),
        },
    };
    let wire = draft.wire(None, &by(Label::Log, &[&draft.body()]));
    let secret = PrekeySecret::generate(NonZeroU32::MIN, &mut random).unwrap();
    // For a log that nobody verifies, any prekey does: the log is looked at first.
    let prekey = DeviceLog::genesis(&wire).map_or_else(
        |_| {
            let any = DeviceKey::generate(&mut random).unwrap();
            let handle = Handle::parse(name).unwrap();
            let (kind, suites) = (DeviceKind::TERMINAL, both_suites());
            let wire = any.genesis(domain, &handle, kind, suites, now_ms()).unwrap();
            let log = DeviceLog::genesis(&wire).unwrap();
            secret.publish(&any, &log, suites, day_of(now_ms()))
        },
        |log| {
            let any = DeviceKey::generate(&mut random).unwrap();
            let mut prekey = secret.publish(&any, &log, both_suites(), day_of(now_ms()));
            prekey.record.device = device_id(ik);
            resign(prekey, by)
        },
    );
    let body = Register { genesis: Sealed::new(wire), prekey: bundle(&prekey) };
    let reply = http.post("/v1/accounts", None, &body).await;
    (!reply.status.is_success()).then(|| reply.problem())
}

fn resign(mut prekey: Prekey, by: Sign<'_>) -> Prekey {
    prekey.record.signature = by(Label::Prekey, &[&prekey.record.signed_part()]);
    prekey
}

/// `PUT /v1/prekey` of the next prekey. `None`: taken.
pub(crate) async fn prekey(person: &Person, by: Sign<'_>) -> Option<Problem> {
    let id = NonZeroU32::new(person.prekey.record.id + 1).unwrap();
    let secret = PrekeySecret::generate(id, &mut random).unwrap();
    let prekey = secret.publish(&person.key, &person.log, both_suites(), day_of(now_ms()));
    let body = bundle(&resign(prekey, by));
    let reply = person.http.put("/v1/prekey", person.token(), &body).await;
    (!reply.status.is_success()).then(|| reply.problem())
}

/// `POST /v1/auth/token`. `None`: signed in.
pub(crate) async fn token(person: &Person, by: Sign<'_>) -> Option<ProblemCode> {
    let challenge: AuthChallenge =
        person.http.post("/v1/auth/challenge", None, &serde_json::json!({})).await.ok();
    let (user, key_id, nonce) = (person.user(), person.device(), challenge.nonce);
    let message = login_message(&person.domain, &nonce, &user, &key_id);
    let signature = Sealed::new(by(Label::Auth, &[&message]).to_vec());
    let answer = AuthAnswer { user, key_id, nonce, signature };
    let reply = person.http.post("/v1/auth/token", None, &answer).await;
    (!reply.status.is_success()).then(|| reply.problem().code)
}

/// `hello`. `None`: welcome.
pub(crate) async fn hello(person: &Person, by: Sign<'_>) -> Option<Close> {
    let mut socket = Socket::connect(&person.http.url, Encoding::Cbor).await;
    let ServerOp::Challenge(challenge) = socket.next().await.op else { panic!("it speaks first") };
    let mut hello = person.hello(&challenge.nonce, None);
    let message = login_message(&person.domain, &challenge.nonce, &person.user(), &person.device());
    hello.signature = Sealed::new(by(Label::Auth, &[&message]).to_vec());
    socket.send(ClientOp::Hello(hello)).await;
    match socket.next_or_close().await {
        Ok(frame) => {
            assert!(matches!(frame.op, ServerOp::Welcome(_)), "{frame:?}");
            None
        }
        Err(close) => Some(close.expect("a code")),
    }
}

/// An entry of Mallory's log that adds a device with this key, as two parties sign it.
pub(crate) fn added(
    scene: &Scene,
    ik: &[u8; 32],
    claimed_by: Sign<'_>,
    signed_by: Sign<'_>,
) -> (History, Vec<u8>) {
    let history = History::of(&scene.mallory.person);
    let (kind, suites) = (DeviceKind::PHONE, both_suites());
    let draft = history.draft(&scene.mallory.person.key, Payload::Add { ik: *ik, kind, suites });
    let user = history.log.user();
    let mask = suites.bits().to_be_bytes();
    let claim = claimed_by(Label::Claim, &[user.as_bytes(), ik, &[kind.number()], &mask]);
    let signature = signed_by(Label::Log, &[&draft.body(), &claim]);
    let wire = draft.wire(Some(&claim), &signature);
    (history, wire)
}

/// The SDK is shown that entry, and refuses it.
pub(crate) async fn entry_refused(scene: &mut Scene, (history, wire): (History, Vec<u8>)) {
    let (entries, point) = history.broken(wire);
    scene.bob.evil.show(&history.path(), &entries);
    let lie = scene.honest().naming(point);
    assert_eq!(scene.refuses(&lie, Code::LogInvalid).await, []);
}

/// The SDK is shown that entry, and takes it.
pub(crate) async fn entry_taken(scene: &mut Scene, (history, wire): (History, Vec<u8>)) {
    let history = history.and(wire);
    scene.bob.evil.show(&history.path(), &history.entries());
    let own = [scene.mallory.person.prekey.clone()];
    let mine = hushwire_e2ee::Party { log: &history.log, prekeys: &own };
    let epoch = scene.mallory.next_of(&mine, scene.next, &scene.mallory.epoch);
    scene.takes(&epoch).await;
}

/// The SDK is shown Mallory's prekey in an epoch.
pub(crate) async fn shown_prekey(scene: &mut Scene, by: Sign<'_>) -> Result<(), String> {
    let epoch = scene.honest();
    let prekey = resign(scene.mallory.person.prekey.clone(), by);
    let bundle = epoch.bundle(scene.mallory.wrap(&epoch), &[&prekey, &scene.mallory.prekey]);
    scene.bob.evil.show(&epoch.path(), &bundle);
    scene.bob.told().await;
    let before = scene.bob.state("mallory").await;
    let verdict = scene.bob.evil.deliver(scene.mallory.text(&epoch, 0, "signed")).await;
    if verdict.is_err() {
        assert_eq!(scene.bob.told().await, []);
        assert!(scene.bob.state("mallory").await == before);
    }
    verdict
}

/// The honest way to sign.
pub(crate) fn honest(key: &DeviceKey) -> impl Fn(Label, &[&[u8]]) -> [u8; 64] {
    |label, parts| sign(key, label, parts)
}
