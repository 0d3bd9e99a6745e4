//! Contents of every type, and some that are none.

use serde_json::{Value, json};

use super::Dice;
use super::dice::START_MS;
use crate::content::call::answer_payload;
use crate::content::{BATCH_MAX, EDIT_MAX, RECEIPT_IDS_MAX, TEXT_MAX};
use crate::file::ct_size;
use crate::vectors::bytes::Hex;
use crate::vectors::contents::{ContentMade, ContentRefused, Padding, Said};
use crate::vectors::file::Case;

/// All types that there are, as numbers.
const TYPES: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

fn id(dice: &mut Dice) -> String {
    hex::encode(dice.array::<16>())
}

fn ids(dice: &mut Dice, count: usize) -> Vec<String> {
    (0..count).map(|_| id(dice)).collect()
}

fn file(dice: &mut Dice, size: u64) -> Value {
    let thumbnail = dice.below(200);
    json!({
        "mime": "image/jpeg", "file_name": format!("{}.jpg", dice.words()), "size": size,
        "ct_size": ct_size(size).unwrap(), "blob": id(dice), "key": dice.bytes::<32>(),
        "hdr": dice.bytes::<24>(), "ct_hash": dice.bytes::<32>(), "thumbnail": dice.hex(thumbnail),
    })
}

fn call(dice: &mut Dice, sent_ms: u64) -> Value {
    let sub = 1 + dice.below(4);
    let sdp = dice.words().into_bytes();
    let payload = match sub {
        2 => answer_payload(b"v=0", &sdp),
        4 => b"elsewhere".to_vec(),
        _ => sdp,
    };
    let expires_ms = sent_ms + u64::try_from(dice.below(60_001)).unwrap();
    json!({ "call_id": id(dice), "sub": sub, "expires_ms": expires_ms, "payload": Hex(payload) })
}

/// The fields of a content of this type.
pub(super) fn fields(dice: &mut Dice, kind: u8, sent_ms: u64) -> Value {
    let nothing = "00".repeat(16);
    match kind {
        1 => {
            let reply_to = if dice.one_in(2) { nothing } else { id(dice) };
            json!({ "reply_to": reply_to, "text": dice.words() })
        }
        2 => json!({
            "target": id(dice), "rev": u16::from_be_bytes(dice.array()), "text": dice.words(),
        }),
        3 => json!({ "target": id(dice) }),
        4 => {
            let size = *dice.pick(&[0, 1, 1 << 20, (1 << 20) + 1, 16 << 20, 100 << 20]);
            file(dice, size)
        }
        5 => call(dice, sent_ms),
        6 => {
            let count = 1 + dice.below(RECEIPT_IDS_MAX);
            json!({ "receipt": 1 + dice.below(2), "ids": ids(dice, count) })
        }
        7 => {
            let len = dice.below(900);
            json!({ "sub": 1 + dice.below(7), "data": dice.hex(len) })
        }
        8 => json!({ "on": dice.below(2) }),
        9 => {
            let reaction = *dice.pick(&[
                "",
                "a",
                "e\u{301}",
                "\u{1f44d}\u{1f3fd}",
                "\u{1f3f3}\u{fe0f}\u{200d}\u{1f308}",
            ]);
            json!({ "target": id(dice), "reaction": reaction })
        }
        10 => json!({ "seconds": u32::from_be_bytes(dice.array()) }),
        11 => {
            let count = 1 + dice.below(BATCH_MAX);
            let item = |_| {
                let kind = *dice.pick(&[1, 9]);
                json!({ "content_id": id(dice), "type": kind, "fields": fields(dice, kind, 0) })
            };
            json!({ "items": (0..count).map(item).collect::<Vec<_>>() })
        }
        _ => json!({ "display_name": dice.words() }),
    }
}

/// A content of this type, not yet with its bytes.
pub(super) fn said(dice: &mut Dice, kind: u8, sent_ms: u64, seen: Vec<u32>) -> Said {
    let fields = fields(dice, kind, sent_ms);
    let content_id = dice.bytes();
    let said = Said { kind, content_id, sent_ms, seen, fields, ..Said::default() };
    let (class, lane) = said.content().unwrap().body.class_and_lane();
    Said { class: class as u8, lane, ..said }
}

pub(super) fn valid(dice: &mut Dice) -> Vec<ContentMade> {
    let mut cases = Vec::new();
    let mut add = |name: String, said: Said| {
        cases.push(ContentMade { name, said: said.made().unwrap() });
    };
    for kind in TYPES {
        for i in 0..4 {
            let seen = (0..dice.below(17)).map(|_| u32::from_be_bytes(dice.array())).collect();
            let mut said = said(dice, kind, START_MS, seen);
            said.prev_sent = u32::from_be_bytes(dice.array());
            add(format!("type {kind}, {i}"), said);
        }
    }
    let mut largest = said(dice, 1, START_MS, vec![u32::MAX; 16]);
    largest.fields = json!({ "reply_to": id(dice), "text": "ä".repeat(TEXT_MAX / 2) });
    add("the longest text".to_owned(), largest);
    let mut largest = said(dice, 2, START_MS, Vec::new());
    largest.fields = json!({ "target": id(dice), "rev": 0, "text": "y".repeat(EDIT_MAX) });
    add("the longest edit".to_owned(), largest);
    let mut largest = said(dice, 6, START_MS, vec![0; 16]);
    largest.fields = json!({ "receipt": 2, "ids": ids(dice, RECEIPT_IDS_MAX) });
    add("the longest receipt".to_owned(), largest);
    cases
}

pub(super) fn refused(dice: &mut Dice) -> Vec<ContentRefused> {
    let mut made = |kind| said(dice, kind, START_MS, Vec::new()).made().unwrap();
    let text = made(1);
    let with = |name: &str, said: &Said, change: &dyn Fn(&mut Vec<u8>), verdict: &str| {
        let mut padded = said.padded.clone();
        change(&mut padded.0);
        let (name, verdict) = (name.to_owned(), verdict.to_owned());
        ContentRefused { name, class: said.class, lane: said.lane, roster: 3, padded, verdict }
    };
    let bad = "BAD_CONTENT";
    let (typing, receipt, timer, remove) = (made(8), made(6), made(10), made(3));
    let mut cases = vec![
        with("version 9", &text, &|padded| padded[0] = 9, bad),
        with("type 14", &text, &|padded| padded[1] = 14, "DROP"),
        with("type 200", &text, &|padded| padded[1] = 200, "DROP"),
        with("not zero", &text, &|padded| padded[3] = 1, bad),
        with("the last byte", &text, &|padded| *padded.last_mut().unwrap() = 1, bad),
        with("body too long", &text, &|padded| padded[33] = 1, bad),
        with("17 counts", &text, &|padded| padded[32] = 17, bad),
        with("typing is 7", &typing, &|padded| padded[37] = 7, bad),
        with("receipt of kind 9", &receipt, &|padded| padded[37] = 9, bad),
        with("half a size", &text, &|padded| padded.truncate(128), bad),
        with("a byte of a timer less", &timer, &|padded| padded[36] = 3, bad),
        with("a byte of a removal more", &remove, &|padded| padded[36] = 17, bad),
    ];
    for (said, class, lane) in
        [(&text, 2, 0), (&text, 18, 0), (&typing, 17, 0), (&remove, 1, 0), (&timer, 17, 0)]
    {
        let name = format!("type {} in class {class} on lane {lane}", said.kind);
        let case = with(&name, said, &|_| {}, "DROP");
        cases.push(ContentRefused { class, lane, ..case });
    }
    cases.extend(bodies(dice));
    let seen = said(dice, 1, START_MS, vec![5; 4]).made().unwrap();
    cases.push(with("four counts for three", &seen, &|_| {}, bad));
    cases
}

/// Bodies at the bounds of their types.
fn bodies(dice: &mut Dice) -> Vec<ContentRefused> {
    let mut cases = Vec::new();
    let sent = dice.array::<16>();
    let mut refuse =
        |name: &str, kind: u8, (class, lane), body: &[u8], size: usize, verdict: &str| {
            let len = u32::try_from(body.len()).unwrap().to_be_bytes();
            let head = [&[1, kind, 0, 0], &sent[..], &START_MS.to_be_bytes(), &[0; 5]].concat();
            let mut padded = [&head[..], &len, body].concat();
            padded.resize(size, 0);
            let (name, verdict) = (name.to_owned(), verdict.to_owned());
            let padded = Hex(padded);
            cases.push(ContentRefused { name, class, lane, roster: 2, padded, verdict });
        };
    let bad = "BAD_CONTENT";
    let (text, control, reaction) = ((1, 0), (17, 0), (18, 0));
    refuse(
        "a batch of typing",
        11,
        text,
        &[&[1], &[7; 16][..], &[8, 0, 0, 0, 1, 1]].concat(),
        256,
        bad,
    );
    refuse("no body", 1, text, &[], 256, bad);
    refuse("a batch of nothing", 11, text, &[0], 256, bad);
    refuse("a receipt of nothing", 6, control, &[1, 0, 0], 256, bad);
    let ids = [7; 26 * 16];
    refuse("a receipt of 26", 6, control, &[&[2, 0, 26][..], &ids].concat(), 512, bad);
    refuse("self-sync of kind 0", 7, control, &[0, 0, 0, 0, 0], 256, "DROP");
    refuse("self-sync of kind 200", 7, control, &[200, 0, 0, 0, 1, 5], 256, "DROP");
    refuse("a timer of 1024 bytes", 10, reaction, &[0; 4], 1024, bad);
    refuse("a removal of 1024 bytes", 3, (3, 0), &[1; 16], 1024, bad);
    refuse("a typing sign of 512 bytes", 8, (17, 1), &[1], 512, bad);
    refuse("a profile name cut short", 12, control, &[5, b'a', b'b'], 256, bad);
    refuse(
        "a reaction of 65 bytes",
        9,
        reaction,
        &[&[1; 16][..], &[65], &[b'a'; 65]].concat(),
        256,
        bad,
    );
    let call = |sub: u8, expires_ms: u64, payload: &[u8]| {
        let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&[9; 16][..], &[sub], &expires_ms.to_be_bytes(), &len, payload].concat()
    };
    refuse("a call that lasts too long", 5, (16, 1), &call(1, START_MS + 60_001, b"v=0"), 256, bad);
    refuse("an answer without a hash", 5, (16, 1), &call(2, START_MS, &[1; 31]), 256, bad);
    let long = call(3, START_MS, &[1; 16_384]);
    refuse("a call of 32 KiB", 5, (16, 1), &long, 32_768, bad);
    let file = |size: u64, ct_size: u64| {
        [
            &[0, 0, 0][..],
            &size.to_be_bytes(),
            &ct_size.to_be_bytes(),
            &[3; 16 + 32 + 24 + 32],
            &[0, 0],
        ]
        .concat()
    };
    let small = (4, 0);
    refuse("a file with another ct_size", 4, small, &file(100, 104), 256, bad);
    let ct = |size| ct_size(size).unwrap();
    let over = (100 << 20) + 1;
    refuse("a file over 100 MiB", 4, (6, 0), &file(over, ct(100 << 20)), 256, bad);
    refuse("a medium file as a small one", 4, small, &file(1_048_577, ct(1_048_577)), 256, "DROP");
    refuse("a small file as a large one", 4, (6, 0), &file(7, ct(7)), 256, "DROP");
    cases
}

pub(super) fn paddings(dice: &mut Dice) -> Vec<Padding> {
    let mut sizes: Vec<usize> = (0..12).map(|_| dice.below(70_000)).collect();
    sizes.extend((8..=16).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 1]));
    sizes.sort_unstable();
    sizes.dedup();
    let case = |content_len| {
        let name = format!("{content_len}");
        Padding { name, content_len, padded_len: None }.made().unwrap()
    };
    sizes.into_iter().map(case).collect()
}
