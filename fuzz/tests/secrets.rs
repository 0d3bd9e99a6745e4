//! `Debug` prints no secret: every public type that holds one is printed both ways and searched
//! for its bytes, in every form that bytes are printed in. A source scan keeps the list whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "secrets/canary.rs"]
mod canary;
#[path = "secrets/holders.rs"]
mod holders;
#[path = "secrets/people.rs"]
mod people;

use std::collections::BTreeSet;
use std::fmt::Debug;

use canary::Canary;
use hushwire_client::transport::{Arrival, Call, Method, Reply};
use hushwire_client::{Device, KdfCost, Message, StoreKey};
use hushwire_e2ee::content::{FileContent, Item};
use hushwire_e2ee::file::{Check, Encryptor};
use hushwire_e2ee::{Body, Content, ContentId, Received, RecoveryWords};
use hushwire_wire::frame::{ServerFrame, ServerOp, Welcome, Window};
use hushwire_wire::message::Class;
use hushwire_wire::{Conn, Encoding, Gen, Sealed, Token, http};
use people::{NOW, Pair};

/// Types that hold secrets and are printed here.
const PRINTED: &[&str] = &[
    "Arrival",
    "AuthToken",
    "Call",
    "Device",
    "Reply",
    "ServerFrame",
    "ServerOp",
    "Welcome",
    "Accepted",
    "Body",
    "Check",
    "Checked",
    "Content",
    "Created",
    "Decryptor",
    "DeviceKey",
    "Encryptor",
    "EpochState",
    "Evidence",
    "FileContent",
    "FileKey",
    "Item",
    "Message",
    "NewEpoch",
    "Offered",
    "Opened",
    "PrekeySecret",
    "Received",
    "RecoveryKey",
    "RecoveryWords",
    "SealedMessage",
    "StoreKey",
    "Token",
];
/// Public types that hold secrets and cannot be printed, or print a fixed text: each with the
/// reason.
const NOT_PRINTED: &[(&str, &str)] = &[
    ("Answer", "its `Accepted` is the frame of that name, not the epoch"),
    ("Store", "it is printed with the device that holds it"),
];

/// Prints `value` both ways and finds nothing of `secrets` in it.
fn hides(name: &str, value: &dyn Debug, secrets: &[&Canary]) {
    assert!(PRINTED.contains(&name), "{name} is not in the list");
    for shown in [format!("{value:?}"), format!("{value:#?}")] {
        for secret in secrets {
            if let Some(found) = secret.found_in(&shown) {
                panic!("{name} prints a secret as {found}:\n{shown}");
            }
        }
    }
}

#[test]
fn keys_and_states_print_nothing_of_themselves() {
    let pair = Pair::new();
    let mut secrets = pair.secrets();
    // The state holds chain keys, tag keys and skipped keys: all that its bytes have after the
    // header but the counters.
    let mut bob = pair.accepted().state;
    let sealed = pair.sealed(3);
    // At time 0, so that no date stands among the keys.
    bob.open(&sealed[2].1, 0).unwrap();
    for state in [&bob, &pair.created.state] {
        let header = state.header().to_bytes().len();
        secrets.push(Canary::new("a state's keys", &state.to_bytes()[4 + header..]));
    }
    let words = Canary::text("the words", people::WORDS);
    let mut all: Vec<_> = secrets.iter().collect();
    all.push(&words);
    let ids = pair.ids();
    all.extend(&ids);

    hides("DeviceKey", &pair.alice.key, &all);
    hides("PrekeySecret", &pair.alice.secret, &all);
    hides("EpochState", &bob, &all);
    hides("EpochState", &pair.created.state, &all);
    hides("Created", &pair.created, &all);
    hides("Accepted", &pair.accepted(), &all);
    hides("NewEpoch", &pair.new_epoch(), &all);
    hides("Offered", &pair.offered(), &all);
    hides("SealedMessage", &sealed[0].0, &all);
    let opened = bob.open(&sealed[0].1, NOW).unwrap();
    hides("Opened", &opened, &all);
    let content = pair.content();
    hides("Body", &content.body, &all);
    hides("Received", &Received::Content(content.clone()), &all);
    hides("Content", &content, &all);
    let padded = content.to_padded().unwrap();
    let broken = Content::parse(&padded[..60], Class::Text, 0).unwrap_err();
    hides("Content", &broken, &all);
    // Errors carry no input either.
    hides("Opened", &bob.open(&sealed[0].1, NOW).unwrap_err(), &all);
    hides("Opened", &bob.open(&sealed[0].0.upload, NOW).unwrap_err(), &all);
}

#[test]
fn files_reports_and_recovery_keys_print_nothing_of_themselves() {
    let words = Canary::text("the words", people::WORDS);
    let plain = Canary::random("the plaintext", 21);
    let mut random = people::random(22);
    let id = ContentId([1; 16]);
    let mut encryptor = Encryptor::new(id, 32, &mut random).unwrap();
    let mut ct = encryptor.push(plain.bytes()).unwrap();
    hides("Encryptor", &encryptor, &[&plain]);
    let (rest, key) = encryptor.finish().unwrap();
    ct.extend_from_slice(&rest);
    let secret = Canary::new("the file's key", key.key());
    let hash = Canary::new("the file's hash", &key.ct_hash);
    let all = [&words, &plain, &secret, &hash];
    hides("FileKey", &key, &all);
    let file = FileContent {
        mime: people::WORDS.to_owned(),
        name: people::WORDS.to_owned(),
        size: 32,
        blob: [1; 16],
        key,
        thumbnail: plain.bytes().to_vec(),
    };
    hides("FileContent", &file, &all);
    let mut check = Check::new(id, &file).unwrap();
    hides("Check", &check, &all);
    check.push(&ct).unwrap();
    let checked = check.finish().unwrap();
    hides("Checked", &checked, &all);
    let decryptor = checked.decrypt().unwrap();
    hides("Decryptor", &decryptor, &all);
    hides("Body", &Body::File(Box::new(file)), &all);
    let text = Body::Text { reply_to: None, text: people::WORDS.to_owned() };
    hides("Item", &Item { id, body: text }, &all);

    let pair = Pair::new();
    let sealed = pair.sealed(1);
    let evidence = pair.accepted().state.evidence(&sealed[0].1, [7; 32], NOW).unwrap();
    let key = Canary::new("the message key", &evidence.message_key[..]);
    hides("Evidence", &evidence, &[&key, &words]);

    let recovery = RecoveryWords::generate(&mut random).unwrap();
    let entropy = Canary::new("the entropy", &recovery.entropy()[..]);
    let spelled = Canary::text("the recovery words", &recovery.to_words());
    hides("RecoveryWords", &recovery, &[&entropy, &spelled]);
    let key = recovery.key();
    let public = Canary::new("the recovery key", key.public());
    hides("RecoveryKey", &key, &[&entropy, &spelled, &public]);
    // Errors name a place and no word.
    let wrong = recovery.to_words().replacen(' ', "x ", 1);
    hides("RecoveryWords", &RecoveryWords::parse(&wrong).unwrap_err(), &[&spelled]);
}

#[test]
fn what_the_sdk_holds_is_not_printed() {
    let words = Canary::text("the words", people::WORDS);
    let passphrase = people::WORDS.to_owned().into();
    hides("StoreKey", &StoreKey::Passphrase(passphrase, KdfCost::LEAST), &[&words]);
    let path = std::path::PathBuf::from(people::WORDS);
    hides("StoreKey", &StoreKey::File(path), &[&words]);
    hides("Message", &message(), &[&words]);
    let event = hushwire_client::Event::MessageReceived(message());
    hides("Message", &event, &[&words]);
}

/// A message of the history, by way of what the store keeps.
fn message() -> Message {
    let json = serde_json::json!({
        "id": hushwire_wire::to_base64url(&[7; 16]),
        "peer": hushwire_wire::to_base64url(&[1; 32]),
        "from": "alice",
        "stage": null,
        "text": people::WORDS,
        "sent_ms": 1, "at_ms": 2, "position": 3,
    });
    serde_json::from_value(json).unwrap()
}

#[test]
fn a_device_and_its_store_print_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join(people::WORDS);
    let store = folder.path().join("store");
    let device = Device::open(&store, &StoreKey::File(key.clone())).unwrap();
    let key = Canary::new("the store's key", &std::fs::read(key).unwrap());
    let path = Canary::text("the path", people::WORDS);
    hides("Device", &device, &[&key, &path]);
}

#[test]
fn what_crosses_the_network_is_printed_without_tokens_and_ciphertexts() {
    let canary = Canary::random("a token", 5);
    let bytes: [u8; 32] = canary.bytes().try_into().unwrap();
    let token = || Token(bytes);
    hides("Token", &token(), &[&canary]);
    hides("AuthToken", &http::AuthToken { token: token(), until: 1 }, &[&canary]);
    let welcome = Welcome {
        conn: Conn([1; 16]),
        r#gen: Gen([2; 16]),
        v: 1,
        heartbeat_ms: 2,
        window: Window { messages: 3, bytes: 4 },
        token: token(),
        token_until: 5,
    };
    hides("Welcome", &welcome, &[&canary]);
    let op = ServerOp::Welcome(welcome);
    hides("ServerOp", &op, &[&canary]);
    let frame = ServerFrame { id: None, op };
    hides("ServerFrame", &frame, &[&canary]);
    let bytes = Encoding::Json.encode_server(&frame);
    hides("Arrival", &Arrival::Frame(bytes.clone()), &[&canary]);
    hides("Reply", &Reply { status: 200, body: bytes.clone() }, &[&canary]);
    let path = "/v1/me".to_owned();
    let call = Call { method: Method::Put, path, token: Some(token()), body: Some(bytes) };
    hides("Call", &call, &[&canary]);
    let shown = format!("{:?}", Sealed::new(canary.bytes().to_vec()));
    assert_eq!(canary.found_in(&shown), None);
}

#[test]
fn every_public_type_that_holds_a_secret_is_printed_above() {
    let listed: BTreeSet<_> =
        PRINTED.iter().copied().chain(NOT_PRINTED.iter().map(|row| row.0)).collect();
    let found = holders::public_holders();
    let missing: Vec<_> = found.iter().filter(|name| !listed.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "print these here, or say why not: {missing:?}");
    let rows = include_str!("secrets.rs");
    for name in PRINTED {
        assert!(rows.contains(&format!("hides(\"{name}\", ")), "{name} is listed and not printed");
    }
    // The scan finds what it should: a scan that sees nothing would agree with anything.
    for known in ["DeviceKey", "PrekeySecret", "EpochState", "Created", "Offered", "StoreKey"] {
        assert!(found.contains(known), "the scan no longer finds {known}");
    }
}

/// The search itself finds each form: a search that finds nothing would agree with anything.
#[test]
fn the_search_finds_every_form() {
    let canary = Canary::random("known", 9);
    let bytes = canary.bytes().to_vec();
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    for shown in [
        format!("Secret({hex})"),
        hex.to_uppercase(),
        format!("{bytes:?}"),
        format!("{bytes:#?}"),
        format!("{:x?}", &bytes[8..16]),
        hushwire_wire::to_base64url(&bytes),
        hushwire_wire::to_base64url(&[&[0][..], &bytes].concat()),
        hushwire_wire::to_base64url(&[&[0, 0][..], &bytes].concat()),
        format!("..{}..", &hex[20..32]),
        format!("{:?}", &bytes[3..9]),
    ] {
        assert!(canary.found_in(&shown).is_some(), "{shown}");
    }
    assert_eq!(canary.found_in("DeviceKey(DeviceId(81b0d8ea..))"), None);
    let words = Canary::text("words", people::WORDS);
    assert!(words.found_in(&format!("Text({:?})", people::WORDS)).is_some());
    let content = Content {
        id: ContentId([1; 16]),
        sent_ms: 0,
        prev_sent: 0,
        seen: Vec::new(),
        body: Body::Text { reply_to: None, text: people::WORDS.to_owned() },
    };
    assert!(words.found_in(&format!("{:?}", &content.to_padded().unwrap()[..])).is_some());
}
