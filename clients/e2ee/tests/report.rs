//! Reports: evidence that the server's check takes, and one that lies (CRYPTO 6, test 23).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use common::*;
use dryoc::classic::crypto_secretbox::crypto_secretbox_open_easy;
use hushwire_e2ee::{EpochState, OpenError};
use hushwire_identity::hash::{Label, kdf};
use hushwire_identity::report::envelope;
use hushwire_identity::{Code, Delivery, Evidence, ReportError, Suite, Suites};
use hushwire_wire::message::Delivered;
use hushwire_wire::{DeviceId, UserId};
use serde_json::Value;
use zeroize::Zeroizing;

const K_SRV: [u8; 32] = [0x5e; 32];

/// What the server knows when it delivers: who, to whom, and the stamp.
fn stamped(from: &EpochState, to: &EpochState, delivered: &[u8]) -> (Delivery, [u8; 32]) {
    let slot = from.header().roster[usize::from(from.me())];
    let other = to.header().roster[usize::from(to.me())];
    let delivery = Delivery {
        from_user: from.header().user(slot.side).unwrap(),
        from_device: slot.device,
        to_user: to.header().user(other.side).unwrap(),
        time_ms: NOW + 5,
    };
    let message = Delivered::parse(delivered).unwrap();
    let envelope = envelope(&message.header.to_bytes(), message.commit, message.ct);
    (delivery, delivery.stamp(&K_SRV, &envelope))
}

fn check(evidence: &Evidence, suite: Suite, of: &Delivery) -> Result<(), ReportError> {
    evidence.check(&K_SRV, suite, of.from_user, of.from_device, of.to_user)
}

#[test]
fn evidence_of_a_message_convinces_the_server_in_every_suite() {
    for suites in [Suites::NACL, Suites::AES, Suites::HERE] {
        let alice = user("alice", 10, 1, suites);
        let bob = user("bob", 20, 1, suites);
        let mut states = states(&alice, Some(&bob));
        let sealed = seal_text(&mut states[0], "abuse");
        let bytes = deliver(&states[0], &sealed, &states[1]);
        let (delivery, stamp) = stamped(&states[0], &states[1], &bytes);
        let suite = states[0].header().suite;

        let before = states[1].to_bytes();
        let evidence = states[1].evidence(&bytes, stamp, delivery.time_ms).unwrap();
        assert_eq!(states[1].to_bytes(), before, "making evidence changes nothing");
        assert_eq!(evidence.padded, text("abuse").to_padded().unwrap());
        let evidence = Evidence::parse(&evidence.to_bytes()).unwrap();
        assert_eq!(check(&evidence, suite, &delivery), Ok(()));

        let mut other_words = evidence.clone();
        other_words.padded = text("worse").to_padded().unwrap();
        assert_eq!(check(&other_words, suite, &delivery), Err(ReportError::Stamp));

        // Nothing of it can be made of what was opened, or would not open.
        states[1].open(&bytes, NOW).unwrap();
        assert_eq!(states[1].evidence(&bytes, stamp, NOW), Err(OpenError::Replay));
        let mut broken = bytes;
        broken[100] ^= 1;
        assert_eq!(states[1].evidence(&broken, stamp, NOW), Err(OpenError::Tag));
    }
}

/// Opens as a recipient would that does not look at the commitment.
fn opened(suite: Suite, message_key: &[u8; 32], ct: &[u8]) -> Zeroizing<Vec<u8>> {
    let key = kdf(message_key, Label::Enc, &[]);
    let mut out = Zeroizing::new(vec![0; ct.len() - 16]);
    if suite == Suite::Aes {
        let (text, tag) = ct.split_last_chunk::<16>().unwrap();
        out.copy_from_slice(text);
        Aes256Gcm::new((&key).into())
            .decrypt_inout_detached(&Nonce::default(), &[], out.as_mut_slice().into(), tag.into())
            .unwrap();
    } else {
        crypto_secretbox_open_easy(&mut out, ct, &[0; 24], &key).unwrap();
    }
    out
}

#[test]
fn a_ciphertext_that_opens_under_two_keys_proves_one_content_only() {
    let cases: Vec<Value> = serde_json::from_str(include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/edges/salamander.json"
    )))
    .unwrap();
    assert_eq!(cases.len(), 2);
    let bytes = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
    let delivery = Delivery {
        from_user: UserId([1; 32]),
        from_device: DeviceId([2; 16]),
        to_user: UserId([3; 32]),
        time_ms: NOW,
    };
    for case in cases {
        let number = u8::try_from(case["suite"].as_u64().unwrap()).unwrap();
        let suite = Suite::from_number(number).unwrap();
        let header: [u8; 56] = bytes(&case["header"]).try_into().unwrap();
        let keys: [[u8; 32]; 2] =
            std::array::from_fn(|i| bytes(&case["mk"][i]).try_into().unwrap());
        let commits = keys.map(|key| kdf(&key, Label::Commit, &[&header]));
        let ct = bytes(&case["sealed"]);
        let contents = keys.map(|key| opened(suite, &key, &ct));
        assert_ne!(contents[0], contents[1], "the ciphertext opens under both");
        for (i, content) in contents.iter().enumerate() {
            assert_eq!(content[..], bytes(&case["opened"][i]));
        }

        // It is delivered with the commitment to the first key.
        let stamp = delivery.stamp(&K_SRV, &envelope(&header, &commits[0], &ct));
        let evidence = |key: usize, commit: usize| Evidence {
            header,
            commit: commits[commit],
            message_key: Zeroizing::new(keys[key]),
            padded: contents[key].clone(),
            stamp,
            time_ms: NOW,
        };
        assert_eq!(check(&evidence(0, 0), suite, &delivery), Ok(()));
        let other = check(&evidence(1, 0), suite, &delivery).unwrap_err();
        assert_eq!((other, other.code()), (ReportError::Commit, Code::BadCommit));
        let other = check(&evidence(1, 1), suite, &delivery).unwrap_err();
        assert_eq!((other, other.code()), (ReportError::Stamp, Code::BadTag));
    }
}
