//! Prekeys that the server or a contact made up: shown to somebody who is about to make a key for
//! them, or named by an epoch.

use std::num::NonZeroU32;

use hushwire_client::{ClientError, Code, Event};
use hushwire_e2ee::{DeviceKey, PrekeySecret};
use hushwire_identity::hash::Label;
use hushwire_identity::{Head, Prekey, PrekeyRecord, Suite, day_of};
use hushwire_wire::DeviceId;
use hushwire_wire::http::Prekeys;

use crate::scene::Scene;
use crate::support::Server;
use crate::support::forge::sign;
use crate::support::insider::History;
use crate::support::person::{Person, both_suites, bundle, now_ms, plain_suite, random};
use crate::support::victim::{Victim, alarms, server};

/// Mallory asks, bob has not answered.
async fn asked() -> (Server, Victim, Person) {
    let server = server();
    let mut bob = Victim::register(&server, "bob").await;
    let mallory = Person::register(&server.http(), "mallory").await;
    assert!(mallory.ask(&mallory.request("bob")).await.status.is_success());
    bob.until(|event| matches!(event, Event::ContactRequest { .. }).then_some(())).await;
    (server, bob, mallory)
}

fn path(mallory: &Person) -> String {
    History::of(mallory).path().replace("/log", "/prekeys")
}

fn shown(prekey: &Prekey) -> Prekeys {
    Prekeys { prekeys: vec![bundle(prekey)] }
}

/// A prekey of hers with one thing changed, and her own signature over it.
fn signed(key: &DeviceKey, prekey: &Prekey, change: impl FnOnce(&mut PrekeyRecord)) -> Prekey {
    let mut changed = prekey.clone();
    change(&mut changed.record);
    changed.record.signature = sign(key, Label::Prekey, &[&changed.record.signed_part()]);
    if !changed.record.suites.has(Suite::XWing) {
        changed.xwing = None;
    }
    changed
}

/// What is wrong with each, and the code that it is refused with.
fn lies(mallory: &Person) -> Vec<(&'static str, Prekey, Code)> {
    let (key, honest) = (&mallory.key, &mallory.prekey);
    let of_mallory = |change: &dyn Fn(&mut PrekeyRecord)| signed(key, honest, change);
    let stranger = DeviceKey::generate(&mut random).unwrap();
    let other = PrekeySecret::generate(NonZeroU32::MIN, &mut random).unwrap();
    let substituted = other.publish(&stranger, &mallory.log, both_suites(), honest.record.day);
    let mut in_her_name = substituted.clone();
    in_her_name.record.device = mallory.device();
    let in_her_name = signed(&stranger, &in_her_name, |_| ());
    let mut unmatched = honest.clone();
    unmatched.xwing = substituted.xwing.clone();
    let mut missing = honest.clone();
    missing.xwing = None;
    let mut list = vec![
        ("the server's own device", substituted, Code::PrekeyInvalid),
        ("the server's own key in her name", in_her_name, Code::PrekeyInvalid),
        ("an X-Wing key that is not hashed", unmatched, Code::PrekeyInvalid),
        ("no X-Wing key", missing, Code::PrekeyInvalid),
        (
            "suite 3 taken out",
            of_mallory(&|record| {
                record.suites = plain_suite();
                record.pq_hash = [0; 32];
            }),
            Code::PrekeyInvalid,
        ),
        ("another user", of_mallory(&|record| record.user.0[0] ^= 1), Code::PrekeyInvalid),
        (
            "a device that is on no log",
            of_mallory(&|record| record.device = DeviceId([7; 16])),
            Code::PrekeyInvalid,
        ),
        (
            "a head that is not on the log",
            of_mallory(&|record| record.log_head = Head([7; 32])),
            Code::LogFork,
        ),
    ];
    for point in small_order() {
        let low = signed(key, honest, |record| record.x25519 = point);
        list.push(("a key of small order", low, Code::PrekeyInvalid));
    }
    list
}

/// Points of small order on Curve25519, as X25519 reads them.
fn small_order() -> [[u8; 32]; 5] {
    let mut one = [0; 32];
    one[0] = 1;
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    let eight = [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ];
    let mut zero_again = [0xff; 32];
    (zero_again[0], zero_again[31]) = (0xed, 0x7f);
    [[0; 32], one, minus_one, eight, zero_again]
}

/// Bob accepts, and refuses what he is shown of Mallory: no key is made, nothing is told, nothing
/// is written.
async fn refuses(bob: &mut Victim, what: &str, code: Code) {
    bob.told().await;
    let before = bob.state("mallory").await;
    let refused = bob.client.contacts_accept("mallory").await;
    let is_refused = matches!(refused, Err(ClientError::Unverified(c)) if c == code);
    assert!(is_refused, "{what}: {refused:?}");
    assert_eq!(bob.told().await, [], "{what}");
    assert!(bob.state("mallory").await == before, "{what} left a trace");
}

/// 9, 10 in the bundle: nobody makes a key for a prekey that does not verify.
#[tokio::test]
async fn no_key_is_made_for_a_false_prekey() {
    let (_server, mut bob, mallory) = asked().await;
    for (what, lie, code) in lies(&mallory) {
        if code == Code::LogFork {
            continue;
        }
        bob.evil.show(&path(&mallory), &shown(&lie));
        refuses(&mut bob, what, code).await;
    }
    assert_eq!(bob.evil.count("Post /v1/contacts/accept"), 0);
    bob.evil.rest();
    bob.client.contacts_accept("mallory").await.unwrap();
}

/// 9: a prekey that names another past of its own log is evidence of a fork.
#[tokio::test]
async fn a_prekey_with_another_head_is_a_fork() {
    let (_server, mut bob, mallory) = asked().await;
    let lie = signed(&mallory.key, &mallory.prekey, |record| record.log_head = Head([7; 32]));
    bob.evil.show(&path(&mallory), &shown(&lie));
    let refused = bob.client.contacts_accept("mallory").await;
    assert!(matches!(refused, Err(ClientError::Unverified(Code::LogFork))), "{refused:?}");
    assert_eq!(alarms(&bob.told().await), [Code::LogFork]);
    assert_eq!(bob.evil.count("Post /v1/contacts/accept"), 0);
}

/// 9: prekeys of 31 days ago and of the day after tomorrow are nobody's; those of 30 days ago and
/// of tomorrow are.
#[tokio::test]
async fn prekeys_are_used_for_thirty_days() {
    let today = day_of(now_ms());
    for (day, usable) in [(today - 31, false), (today + 2, false), (today - 30, true)] {
        let (_server, mut bob, mallory) = asked().await;
        let old = signed(&mallory.key, &mallory.prekey, |record| record.day = day);
        bob.evil.show(&path(&mallory), &shown(&old));
        bob.evil.show("/v1/contacts/accept", &());
        let accepted = bob.client.contacts_accept("mallory").await;
        if usable {
            accepted.unwrap();
        } else {
            let stale = matches!(accepted, Err(ClientError::PeerStale));
            assert!(stale, "{accepted:?}");
            assert_eq!(bob.evil.count("Post /v1/contacts/accept"), 0);
            // A newer one of today.
            let fresh = signed(&mallory.key, &mallory.prekey, |record| record.id = 2);
            bob.evil.show(&path(&mallory), &shown(&fresh));
            bob.client.contacts_accept("mallory").await.unwrap();
        }
        bob.told().await;
    }
}

/// 9: the ids of a device's prekeys never go back.
#[tokio::test]
async fn an_older_prekey_than_seen_is_a_rollback() {
    let (_server, mut bob, mallory) = asked().await;
    let second = PrekeySecret::generate(NonZeroU32::new(2).unwrap(), &mut random).unwrap();
    let day = day_of(now_ms());
    let newer = second.publish(&mallory.key, &mallory.log, both_suites(), day);
    bob.evil.show(&path(&mallory), &shown(&newer));
    // Seen, and the acceptance is lost.
    bob.evil.lose("/v1/contacts/accept");
    assert!(bob.client.contacts_accept("mallory").await.is_err());
    bob.evil.rest();
    refuses(&mut bob, "the first prekey", Code::PrekeyRollback).await;
    // With the id that was seen, it is as it was.
    bob.evil.show(&path(&mallory), &shown(&newer));
    bob.evil.show("/v1/contacts/accept", &());
    bob.client.contacts_accept("mallory").await.unwrap();
}

/// 9, in an epoch: its creator names a prekey of her own that does not verify.
#[tokio::test]
async fn an_epoch_with_a_false_prekey_is_refused() {
    let mut scene = Scene::set().await;
    let epoch = scene.honest();
    let today = day_of(now_ms());
    let mallory = &scene.mallory.person;
    let mut lies: Vec<_> = lies(mallory)
        .into_iter()
        // What does not parse is not looked at: the right one is fetched.
        .filter(|(_, lie, code)| {
            let names = lie.record.device == mallory.device() && lie.record.user == mallory.user();
            let parses = lie.record.check_xwing(lie.xwing.as_deref()).is_ok();
            names && parses && *code != Code::LogFork
        })
        .collect();
    for day in [today - 31, today + 2] {
        let lie = signed(&mallory.key, &mallory.prekey, |record| record.day = day);
        lies.push(("not of these days", lie, Code::PrekeyStale));
    }
    assert!(lies.len() > 7);
    for (n, (_, lie, code)) in lies.into_iter().enumerate() {
        let epoch = epoch.with(|header| header.created_ms += n as u64);
        let wrap = scene.mallory.wrap(&epoch);
        let bundle = epoch.bundle(wrap, &[&lie, &scene.mallory.prekey]);
        scene.bob.evil.show(&epoch.path(), &bundle);
        assert_eq!(scene.refuses_shown(&epoch, code).await, []);
    }
    scene.takes(&epoch).await;
}

/// 9: prekeys of a device that was revoked, before an epoch is made and in one.
#[tokio::test]
async fn a_revoked_device_has_no_prekeys() {
    let (_server, mut bob, mallory) = asked().await;
    let second = DeviceKey::generate(&mut random).unwrap();
    let history = History::of(&mallory);
    let history = history.and(history.add(&mallory.key, &second));
    let secret = PrekeySecret::generate(NonZeroU32::MIN, &mut random).unwrap();
    let while_active = secret.publish(&second, &history.log, both_suites(), day_of(now_ms()));
    let history = history.and(history.revoke(&mallory.key, second.device_id()));
    let afterwards = secret.publish(&second, &history.log, both_suites(), day_of(now_ms()));
    bob.evil.show(&history.path(), &history.entries());
    for lie in [while_active, afterwards] {
        let prekeys = vec![bundle(&mallory.prekey), bundle(&lie)];
        bob.evil.show(&path(&mallory), &Prekeys { prekeys });
        refuses(&mut bob, "a revoked device's", Code::PrekeyInvalid).await;
    }
    bob.evil.show(&path(&mallory), &shown(&mallory.prekey));
    bob.evil.show("/v1/contacts/accept", &());
    bob.client.contacts_accept("mallory").await.unwrap();
}
