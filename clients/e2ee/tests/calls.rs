//! Calls: what binds an answer to its offer and a call to its media (CRYPTO 7, test 29).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use hushwire_e2ee::content::call::{
    CallError, ELSEWHERE, Fingerprint, answer_payload, fingerprint, offer_hash,
};
use hushwire_e2ee::content::{Call, CallKind};
use hushwire_identity::hash::{Label, hash};

const AT: u64 = 1_795_000_000_000;

fn sdp(byte: u8) -> Vec<u8> {
    let print = vec![format!("{byte:02X}"); 32].join(":");
    format!("v=0\r\na=setup:actpass\r\na=fingerprint:sha-256 {print}\r\nm=audio 9\r\n").into_bytes()
}

fn signal(kind: CallKind, payload: Vec<u8>) -> Call {
    Call { call_id: [1; 16], kind, expires_ms: AT, payload }
}

fn print(byte: u8) -> Fingerprint {
    [byte; 32]
}

#[test]
fn an_answer_is_to_its_offer_and_names_one_certificate() {
    let offer = signal(CallKind::Offer, sdp(0xab));
    assert_eq!(offer.offer(), Ok((&sdp(0xab)[..], print(0xab))));
    assert_eq!(offer_hash(&offer.payload), hash(Label::Env, &[&offer.payload]));
    let answer = signal(CallKind::Answer, answer_payload(&offer.payload, &sdp(0xcd)));
    assert_eq!(answer.answer(&offer.payload), Ok((&sdp(0xcd)[..], print(0xcd))));

    // Another offer, the same offer with the fingerprint swapped, and no hash at all.
    assert_eq!(answer.answer(&sdp(0x01)), Err(CallError::Offer));
    let bare = signal(CallKind::Answer, sdp(0xcd));
    assert_eq!(bare.answer(&offer.payload), Err(CallError::Offer));
    let short = signal(CallKind::Answer, vec![0; 31]);
    assert_eq!(short.answer(&offer.payload), Err(CallError::Offer));
    // One kind does not pass for another.
    assert_eq!(answer.offer(), Err(CallError::Kind));
    assert_eq!(offer.answer(&offer.payload), Err(CallError::Kind));
    assert_eq!(signal(CallKind::End, ELSEWHERE.to_vec()).offer(), Err(CallError::Kind));
}

#[test]
fn a_signal_counts_until_it_expires() {
    let offer = signal(CallKind::Offer, sdp(1));
    assert_eq!(offer.fresh(AT), Ok(()));
    assert_eq!(offer.fresh(AT + 1), Err(CallError::Expired), "a replay after its time");
}

#[test]
fn exactly_one_fingerprint_of_sha_256() {
    assert_eq!(fingerprint(&sdp(0x0f)), Ok(print(0x0f)));
    let line = |text: &str| fingerprint(text.as_bytes());
    let hex = vec!["0f"; 32].join(":");
    assert_eq!(line(&format!("a=fingerprint:sha-256 {hex}")), Ok(print(0x0f)), "no line end");
    for bad in [
        String::new(),
        "v=0\r\n".to_owned(),
        format!("a=fingerprint:sha-256 {hex}\r\na=fingerprint:sha-256 {hex}\r\n"),
        format!("a=fingerprint:sha-256 {hex}\r\na=fingerprint:sha-1 0f\r\n"),
        format!("a=fingerprint:sha-256 {hex}\nA=FINGERPRINT:sha-256 {hex}\n"),
        format!("a=fingerprint:sha-256 {hex}\ra=fingerprint:sha-256 {hex}\r"),
        format!("a=fingerprint:SHA-256 {hex}\r\n"),
        format!("a=fingerprint:sha-1 {hex}\r\n"),
        format!("a=fingerprint:sha-256 {hex}:0f\r\n"),
        format!("a=fingerprint:sha-256 {}\r\n", &hex[3..]),
        format!("a=fingerprint:sha-256 {}\r\n", hex.replace(':', "")),
        format!("a=fingerprint:sha-256 {}\r\n", hex.replacen("0f", "0g", 1)),
        format!("a=fingerprint:sha-256 {}\r\n", hex.replacen("0f", "+f", 1)),
    ] {
        assert_eq!(line(&bad), Err(CallError::Fingerprint), "{bad}");
    }
}
