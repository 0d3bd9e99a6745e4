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
use hushwire_e2ee::content::{CallKind, FileContent, Item, SyncKind};
use hushwire_e2ee::file::{Check, Encryptor, FileKey};
use hushwire_e2ee::{Body, Content, ContentId, Received, RecoveryWords, Zeroizing, content};
use hushwire_identity::Evidence;
use hushwire_identity::hash::{Label, kdf};
use hushwire_wire::frame::{ServerFrame, ServerOp, Welcome, Window};
use hushwire_wire::message::Class;
use hushwire_wire::{Conn, Encoding, Gen, Sealed, Token, http};
use people::{NOW, Pair};

/// Types that hold secrets and are printed here.
const PRINTED: &[&str] = &[
    "Accepted",
    "Arrival",
    "AuthToken",
    "Body",
    "Call",
    "Check",
    "Checked",
    "Content",
    "Created",
    "Decryptor",
    "Device",
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
    "Reply",
    "SealedMessage",
    "ServerFrame",
    "ServerOp",
    "StoreKey",
    "Token",
    "Welcome",
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
fn files_and_their_keys_print_nothing() {
    let (canary, words) =
        (Canary::random("a file's key", 7), Canary::text("a name", people::WORDS));
    let key = FileKey::new(canary.bytes().try_into().unwrap(), [3; 24], [4; 32]);
    let all = [&canary, &words];
    hides("FileKey", &key, &all);
    let file = FileContent {
        mime: people::WORDS.to_owned(),
        name: people::WORDS.to_owned(),
        size: 0,
        blob: [1; 16],
        key: key.clone(),
        thumbnail: people::WORDS.as_bytes().to_vec(),
    };
    hides("FileContent", &file, &all);
    hides("Body", &Body::File(Box::new(file.clone())), &all);
    // A file of its own, since only what was checked whole is decrypted.
    let id = ContentId([1; 16]);
    let mut random = |out: &mut [u8]| {
        out.copy_from_slice(&canary.bytes()[..out.len()]);
        Ok(())
    };
    let mut encryptor = Encryptor::new(id, words.bytes().len() as u64, &mut random).unwrap();
    let mut ct = encryptor.push(words.bytes()).unwrap();
    hides("Encryptor", &encryptor, &all);
    let (rest, key) = encryptor.finish().unwrap();
    ct.extend_from_slice(&rest);
    let file = FileContent { size: words.bytes().len() as u64, key, ..file };
    let mut check = Check::new(id, &file).unwrap();
    check.push(&ct).unwrap();
    hides("Check", &check, &all);
    let checked = check.finish().unwrap();
    hides("Checked", &checked, &all);
    let mut decryptor = checked.decrypt().unwrap();
    let mut plain = decryptor.push(&ct).unwrap();
    hides("Decryptor", &decryptor, &all);
    plain.extend_from_slice(&decryptor.finish().unwrap());
    assert_eq!(&plain[..], words.bytes());
}

#[test]
fn recovery_words_print_nothing() {
    let entropy = Canary::random("the entropy", 8);
    let words = RecoveryWords::from_entropy(entropy.bytes().try_into().unwrap());
    let seed = Canary::new("the seed", &kdf(&words.entropy(), Label::Recovery, &[]));
    let text = words.to_words();
    let spoken = Canary::text("the words", &text);
    let all = [&entropy, &seed, &spoken];
    hides("RecoveryWords", &words, &all);
    hides("RecoveryKey", &words.key(), &all);
    let wrong = RecoveryWords::parse(&text[1..]).unwrap_err();
    for shown in [format!("{wrong:?}"), wrong.to_string()] {
        assert_eq!(spoken.found_in(&shown), None, "an error repeats no word");
    }
}

#[test]
fn contents_of_every_type_print_no_words() {
    let words = Canary::text("the words", people::WORDS);
    let (id, text) = (ContentId([1; 16]), || people::WORDS.to_owned());
    let payload = || people::WORDS.as_bytes().to_vec();
    let call = content::Call {
        call_id: [1; 16],
        kind: CallKind::Offer,
        expires_ms: 1,
        payload: payload(),
    };
    let item = Item { id, body: Body::Text { reply_to: None, text: text() } };
    hides("Item", &item, &[&words]);
    for body in [
        Body::Edit { target: id, rev: 1, text: text() },
        Body::Call(call),
        Body::SelfSync { kind: SyncKind::Drafts, payload: payload() },
        Body::Reaction { target: id, symbol: text() },
        Body::Batch(vec![item]),
        Body::Profile { name: text() },
    ] {
        hides("Body", &body, &[&words]);
    }
}

#[test]
fn a_report_prints_nothing() {
    let (key, words) =
        (Canary::random("a message's key", 6), Canary::text("the words", people::WORDS));
    let evidence = Evidence {
        header: [1; 56],
        commit: [2; 32],
        message_key: Zeroizing::new(key.bytes().try_into().unwrap()),
        padded: Zeroizing::new(people::WORDS.as_bytes().to_vec()),
        stamp: [3; 32],
        time_ms: 4,
    };
    hides("Evidence", &evidence, &[&key, &words]);
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
