//! Somebody with more than one device, by hand: entries of the log, and signing in again.

use std::num::NonZeroU32;

use hushwire_e2ee::{DeviceKey, PrekeySecret};
use hushwire_identity::{DeviceLog, day_of};
use hushwire_wire::http::{
    AuthAnswer, AuthChallenge, AuthToken, ContactPeer, LogAppend, PrekeyBundle,
};
use hushwire_wire::{Sealed, Token, UserId};
use reqwest::Method;

use super::http::{Http, Reply};
use super::insider::History;
use super::person::{Person, bundle, now_ms, random};

/// A device of `person` that no log knows yet, as the log will be after `entry` adds it.
#[derive(Debug)]
pub struct Newcomer {
    pub device: Person,
    pub entry: Vec<u8>,
}

impl Newcomer {
    /// Keys, the entry that adds them (signed by `person`'s device), and a first prekey.
    pub fn prepare(person: &Person, history: &History) -> Self {
        let key = DeviceKey::generate(&mut random).unwrap();
        let entry = history.add(&person.key, &key);
        let mut log = history.log.clone();
        log.extend(&entry).unwrap();
        let secret = PrekeySecret::generate(NonZeroU32::MIN, &mut random).unwrap();
        let prekey = secret.publish(&key, &log, person.suites, day_of(now_ms()));
        let (http, handle) = (person.http.clone(), person.handle.clone());
        let (domain, suites) = (person.domain.clone(), person.suites);
        let device = Person { http, handle, domain, key, log, prekey, secret, suites, token: None };
        Self { device, entry }
    }

    /// With its first prekey.
    pub fn bundle(&self) -> PrekeyBundle {
        bundle(&self.device.prekey)
    }
}

/// Posts an entry of the own log.
pub async fn append(person: &Person, entry: &[u8], prekey: Option<PrekeyBundle>) -> Reply {
    let body = LogAppend { entry: Sealed::new(entry.to_vec()), prekey };
    person.http.post("/v1/log", person.token(), &body).await
}

/// Adds a device to a person's log, and signs it in over HTTP.
pub async fn add_device(person: &mut Person, history: &mut History) -> Person {
    let Newcomer { mut device, entry } = Newcomer::prepare(person, history);
    let reply = append(person, &entry, Some(bundle(&device.prekey))).await;
    assert!(reply.status.is_success(), "{}", reply.text());
    *history = history.and(entry);
    follow(person, &history.log);
    device.token = Some(sign_in(&device).await);
    device
}

/// The person's own view of its log.
pub fn follow(person: &mut Person, log: &DeviceLog) {
    person.log = log.clone();
}

/// The answer to a fresh challenge.
pub async fn proof(person: &Person) -> AuthAnswer {
    let challenge: AuthChallenge =
        person.http.post("/v1/auth/challenge", None, &serde_json::json!({})).await.ok();
    person.auth_answer(challenge.nonce)
}

/// Signs a device in over HTTP.
pub async fn sign_in(person: &Person) -> Token {
    let reply = person.http.post("/v1/auth/token", None, &proof(person).await).await;
    reply.ok::<AuthToken>().token
}

/// One of `/v1/contacts/block`, `unblock` and `remove`.
pub async fn part(person: &Person, act: &str, peer: &UserId) -> Reply {
    let path = format!("/v1/contacts/{act}");
    person.http.post(&path, person.token(), &ContactPeer { peer: *peer }).await
}

/// A `DELETE` with or without a body.
pub async fn delete(
    http: &Http,
    path: &str,
    token: Option<&Token>,
    body: Option<&AuthAnswer>,
) -> Reply {
    let body = body.map(|body| serde_json::to_vec(body).unwrap());
    http.call(Method::DELETE, path, token, body).await
}
