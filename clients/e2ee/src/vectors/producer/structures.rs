//! Logins, prekeys, requests, headers, safety numbers, and the library's edges.

use hushwire_identity::{Suite, Suites};

use super::Dice;
use super::dice::{DAY_MS, START_MS};
use super::logs::Book;
use crate::key::DeviceKey;
use crate::vectors::bytes::{B32, Hex};
use crate::vectors::edges::{Exchange, IdentityKey, Signature};
use crate::vectors::file::Case;
use crate::vectors::logs::Point;
use crate::vectors::prekeys::{PrekeyMade, PrekeyRule, Published, Role};
use crate::vectors::structures::{
    Header, HeaderMade, HeaderRefused, Listed, Login, Request, RequestMade, Safety, Xwing,
};

fn point(dice: &mut Dice) -> Point {
    Point { log_id: dice.bytes(), seq: u32::from_be_bytes(dice.array()), head: dice.bytes() }
}

pub(super) fn logins(dice: &mut Dice) -> Vec<Login> {
    let login = |domain: &str| Login {
        name: format!("at {domain}"),
        seed: dice.bytes(),
        domain: domain.to_owned(),
        server_nonce: dice.bytes(),
        log_id: dice.bytes(),
        ..Login::default()
    };
    ["a", "127.0.0.1:8443", "hush-wire.example"].map(login).map(|case| case.made().unwrap()).into()
}

/// A prekey of `device` in its log, made on `day`.
fn prekey(dice: &mut Dice, book: &Book, device: &DeviceKey, id: u32, day: u32) -> Published {
    let point = book.log().point();
    let suites = book.log().device(&device.device_id()).map_or(7, |device| device.suites.bits());
    let xwing = Suites::from_bits(suites).is_some_and(|suites| suites.has(Suite::XWing));
    Published {
        device_seed: (*device.to_seed()).into(),
        log_id: point.user.0.into(),
        id,
        day,
        log_seq: point.seq,
        log_head: point.head.0.into(),
        suites,
        x25519_secret: dice.bytes(),
        xwing_seed: xwing.then(|| dice.bytes()),
        ..Published::default()
    }
}

pub(super) fn prekeys(dice: &mut Dice) -> Vec<PrekeyMade> {
    let mut book = Book::new(dice);
    [1, 2, 3, 4, 5, 6, 7, 0x8004]
        .into_iter()
        .take(7)
        .map(|mask| {
            let device = book.add(dice, mask);
            let (id, day) = (u32::from_be_bytes(dice.array()), u32::from_be_bytes(dice.array()));
            let prekey = prekey(dice, &book, &device, id.max(1), day);
            PrekeyMade { name: format!("mask {mask}"), prekey: prekey.made().unwrap() }
        })
        .collect()
}

pub(super) fn prekey_rules(dice: &mut Dice) -> Vec<PrekeyRule> {
    let mut book = Book::new(dice);
    let device = book.add(dice, 5);
    let today = u32::try_from(START_MS / DAY_MS).unwrap();
    let good = prekey(dice, &book, &device, 10, today).made().unwrap();
    let rule = |name: &str, prekey: &Published, code: Option<&str>| PrekeyRule {
        name: name.to_owned(),
        log: book.wires(),
        record: prekey.record.clone(),
        xwing: prekey.xwing.clone(),
        created_ms: START_MS,
        seen_id: 10,
        role: Role::Creator,
        code: code.map(str::to_owned),
    };
    let changed = |change: &dyn Fn(&mut Published)| {
        let mut prekey = good.clone();
        change(&mut prekey);
        prekey.made().unwrap()
    };
    let on = |day: u32| changed(&|prekey| prekey.day = day);
    let mut rules = vec![
        rule("today's", &good, None),
        rule("30 days old", &on(today - 30), None),
        rule("31 days old", &on(today - 31), Some("PREKEY_STALE")),
        rule("tomorrow's", &on(today + 1), None),
        rule("of the day after", &on(today + 2), Some("PREKEY_STALE")),
        rule("day 0", &on(0), Some("PREKEY_STALE")),
        rule("a lower id, to create", &changed(&|p| p.id = 9), Some("PREKEY_ROLLBACK")),
        rule("a higher id", &changed(&|p| p.id = 11), None),
        rule("all suites", &changed(&|p| p.suites = 7), None),
        rule("a suite less", &changed(&|p| p.suites = 4), Some("PREKEY_INVALID")),
        rule("another log", &changed(&|p| p.log_id.0[3] ^= 1), Some("PREKEY_INVALID")),
        rule("another head", &changed(&|p| p.log_head.0[3] ^= 1), Some("LOG_FORK")),
        rule("a newer head", &changed(&|p| p.log_seq += 1), Some("HOLD")),
        rule("a stranger's", &changed(&|p| p.device_seed.0[0] ^= 1), Some("PREKEY_INVALID")),
        rule(
            "a genesis head",
            &changed(&|p| {
                p.log_seq = 0;
                p.log_head = p.log_id;
            }),
            Some("PREKEY_INVALID"),
        ),
    ];
    let lower = changed(&|p| p.id = 9);
    rules.push(PrekeyRule { role: Role::Recipient, ..rule("a lower id, to take", &lower, None) });
    let bad = |name: &str, record: Hex, xwing: Option<Hex>| PrekeyRule {
        record,
        xwing,
        ..rule(name, &good, Some("PREKEY_INVALID"))
    };
    let (record, xwing) = (&good.record.0, good.xwing.as_ref().unwrap());
    rules.push(bad("a bit is changed", dice.flipped(record), good.xwing.clone()));
    rules.push(bad("a bit of the X-Wing key", good.record.clone(), Some(dice.flipped(&xwing.0))));
    rules.push(bad("no X-Wing key", good.record.clone(), None));
    rules.push(bad("a byte less", record[1..].into(), good.xwing.clone()));
    rules.push(bad("nothing", Hex::default(), None));
    rules
}

pub(super) fn requests(dice: &mut Dice) -> Vec<RequestMade> {
    [B32::default(), dice.bytes(), dice.bytes()]
        .into_iter()
        .enumerate()
        .map(|(i, to)| {
            let Point { log_id, seq, head } = point(dice);
            let (handle, nonce) = (dice.handle(), dice.bytes());
            let time_ms = dice.later(START_MS);
            let request =
                Request { log_id, seq, head, to, handle, nonce, time_ms, ..Request::default() };
            RequestMade { name: format!("request {i}"), request: request.made().unwrap() }
        })
        .collect()
}

fn header(dice: &mut Dice, suite: u8, devices: [usize; 2]) -> Header {
    let mut points = [point(dice), point(dice)];
    points.sort_by_key(|point| point.log_id.0);
    let mut roster = Vec::new();
    for (side, count) in [(0, devices[0]), (1, devices[1])] {
        let mut ids: Vec<[u8; 16]> = (0..count).map(|_| dice.array()).collect();
        ids.sort_unstable();
        roster.extend(ids.into_iter().map(|id| Listed {
            side,
            device_id: id.into(),
            prekey_id: if dice.one_in(4) { 0 } else { u32::from_be_bytes(dice.array()) | 1 },
        }));
    }
    let creator = dice.below(roster.len());
    roster[creator].prekey_id |= 1;
    Header {
        suite,
        n: u32::from_be_bytes(dice.array()),
        prev: dice.bytes(),
        created_ms: dice.later(START_MS),
        creator: u8::try_from(creator).unwrap(),
        reason: u8::try_from(dice.below(5)).unwrap(),
        a: points[0],
        b: if devices[1] == 0 { Point::default() } else { points[1] },
        kc: dice.bytes(),
        roster,
        ..Header::default()
    }
}

pub(super) fn headers(dice: &mut Dice) -> Vec<HeaderMade> {
    [(1, [1, 1]), (2, [2, 3]), (3, [8, 8]), (3, [8, 1]), (1, [1, 0]), (2, [8, 0])]
        .into_iter()
        .map(|(suite, devices)| {
            let name = format!("{} + {} devices in suite {suite}", devices[0], devices[1]);
            HeaderMade { name, header: header(dice, suite, devices).made().unwrap() }
        })
        .collect()
}

pub(super) fn headers_refused(dice: &mut Dice) -> Vec<HeaderRefused> {
    let good = header(dice, 3, [2, 2]).made().unwrap().header.0;
    let with = |at: usize, byte: u8| {
        let mut header = good.clone();
        header[at] = byte;
        header
    };
    let cut = dice.below(good.len());
    [
        ("another version", with(0, 0x81)),
        ("suite 255", with(1, 255)),
        ("a creator far outside", with(46, 200)),
        ("reason 5", with(47, 5)),
        ("count above the devices", with(216, 5)),
        ("count 0", with(216, 0)),
        ("side 7", with(217, 7)),
        ("cut off somewhere", good[..cut].to_vec()),
        ("two bytes more", [&good[..], &[0, 0]].concat()),
    ]
    .into_iter()
    .map(|(name, header)| HeaderRefused {
        name: name.to_owned(),
        header: Hex(header),
        code: "MALFORMED".to_owned(),
    })
    .collect()
}

pub(super) fn safety_numbers(dice: &mut Dice) -> Vec<Safety> {
    let (a, mut b) = (point(dice), point(dice));
    let of = |name: &str, a: Point, b: Point| {
        let case = Safety { name: name.to_owned(), a, b, ..Safety::default() };
        case.made().unwrap()
    };
    let mut cases = vec![of("drawn", a, b), of("swapped", b, a), of("with oneself", a, a)];
    b.log_id = a.log_id;
    cases.push(of("two points of one log", a, b));
    cases
}

pub(super) fn xwing(dice: &mut Dice) -> Vec<Xwing> {
    (0..3)
        .map(|i| {
            let (seed, eseed) = (dice.bytes(), dice.bytes());
            Xwing { name: format!("drawn {i}"), seed, eseed, ..Xwing::default() }.made().unwrap()
        })
        .collect()
}

pub(super) fn signatures(dice: &mut Dice) -> Vec<Signature> {
    let key = DeviceKey::from_seed(dice.array());
    let message = Hex(hushwire_identity::hash::signed(
        hushwire_identity::hash::Label::Tag,
        &[&dice.hex(50).0],
    ));
    let signature = key.sign(hushwire_identity::hash::Label::Tag, &[&message.0[8..]]);
    let good = Signature {
        name: "good".to_owned(),
        public: (*key.public()).into(),
        message,
        signature: signature.into(),
        valid: true,
    };
    let mut cases = vec![good.clone()];
    for i in 0..12 {
        let mut bad = Signature { name: format!("changed {i}"), valid: false, ..good.clone() };
        let at = dice.below(256);
        match i % 3 {
            0 => bad.signature.0[at / 4] ^= 1 << (i % 8),
            1 => bad.public.0[at / 8] ^= 1 << (i % 8),
            _ => bad.message = dice.flipped(&good.message.0),
        }
        cases.push(bad);
    }
    cases
}

pub(super) fn identity_keys(dice: &mut Dice) -> Vec<IdentityKey> {
    let of = |name: String, key: [u8; 32]| {
        IdentityKey { name, key: key.into(), x25519: None }.made().unwrap()
    };
    let mut cases: Vec<_> = (0..4)
        .map(|i| {
            let key = DeviceKey::from_seed(dice.array());
            of(format!("drawn {i}"), *key.public())
        })
        .collect();
    // Any 32 bytes: half of them are no point, seven of eight of the rest not torsion-free.
    cases.extend((0..40).map(|i| of(format!("any bytes {i}"), dice.array())));
    cases
}

pub(super) fn exchanges(dice: &mut Dice) -> Vec<Exchange> {
    let ends = |first: u8, between: u8, last: u8| {
        let mut key = [between; 32];
        (key[0], key[31]) = (first, last);
        key
    };
    let mut keys: Vec<_> = (0xe9..=0xff).map(|first| ends(first, 0xff, 0x7f)).collect();
    keys.extend([ends(0, 0, 0), ends(1, 0, 0), ends(2, 0, 0), ends(0, 0, 0x80), ends(1, 0, 0x80)]);
    keys.extend((0..8).map(|_| dice.array()));
    keys.into_iter()
        .enumerate()
        .map(|(i, public)| {
            let (name, secret) = (format!("key {i}"), dice.bytes());
            Exchange { name, public: public.into(), secret, shared: None }.made().unwrap()
        })
        .collect()
}
