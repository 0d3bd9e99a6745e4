//! Codes, QR payloads, links and recovery words.

use super::Dice;
use super::logs::Book;
use crate::vectors::bytes::Hex;
use crate::vectors::file::Case;
use crate::vectors::people::{AddCode, Link, Qr, Recovery, RecoveryRefused};

pub(super) fn codes(dice: &mut Dice) -> Vec<AddCode> {
    let mut code = |kind: u8, suites: u16| {
        let case = AddCode {
            name: format!("kind {kind}, mask {suites}"),
            log_id: dice.bytes(),
            new_seed: dice.bytes(),
            kind,
            suites,
            ..AddCode::default()
        };
        case.made().unwrap()
    };
    vec![code(1, 1), code(2, 7), code(3, 0xffff), code(254, 2)]
}

pub(super) fn links(dice: &mut Dice) -> Vec<Link> {
    let domains = ["localhost:8080", "a", "chat.example.org", "1.2.3.4:1"];
    let link = |domain: &str| Link {
        name: format!("at {domain}"),
        handle: dice.handle(),
        domain: domain.to_owned(),
        log_id: dice.bytes(),
        ..Link::default()
    };
    domains.map(link).map(|link| link.made().unwrap()).into()
}

pub(super) fn recovery(dice: &mut Dice) -> Vec<Recovery> {
    let of = |i: usize| Recovery {
        name: format!("drawn {i}"),
        entropy: dice.bytes(),
        ..Recovery::default()
    };
    (0..4).map(of).map(|case| case.made().unwrap()).collect()
}

pub(super) fn recovery_refused(dice: &mut Dice) -> Vec<RecoveryRefused> {
    let good = recovery(dice).remove(0).words;
    let words: Vec<_> = good.split(' ').collect();
    let replaced = |at: usize, by: &str| {
        let mut words = words.clone();
        words[at] = by;
        words.join(" ")
    };
    // The last word holds the checksum: a neighbour in the list breaks it, whichever it is.
    let last = if words[23] == "zoo" { "zone" } else { "zoo" };
    let at = dice.below(24);
    [
        ("one word", words[0].to_owned()),
        ("12 words", words[..12].join(" ")),
        ("a word twice", format!("{good} {}", words[0])),
        ("a word that is none", replaced(at, "hedgehogs")),
        ("a word cut off", replaced(at, "ab")),
        ("the last word is another", replaced(23, last)),
    ]
    .into_iter()
    .map(|(name, words)| RecoveryRefused {
        name: name.to_owned(),
        words,
        code: "MALFORMED".to_owned(),
    })
    .collect()
}

pub(super) fn qr(dice: &mut Dice) -> Vec<Qr> {
    let (mut shower, mut scanner) = (Book::new(dice), Book::new(dice));
    let genesis = [shower.log().point(), scanner.log().point()];
    shower.grow(dice, 3);
    scanner.grow(dice, 2);
    let newest = [shower.log().point(), scanner.log().point()];
    let payload = |[one, other]: [hushwire_identity::LogPoint; 2]| {
        [one.to_bytes(), other.to_bytes()].concat()
    };
    let mut stranger = newest[0];
    stranger.user.0[7] ^= 1;
    let mut fork = newest[1];
    fork.head.0[31] ^= 0x80;
    let mut ahead = newest[1];
    ahead.seq += 1;
    let good = payload(newest);
    [
        ("both newest", good.clone(), true),
        ("both at genesis", payload(genesis), true),
        ("the shower's own log is older", payload([genesis[0], newest[1]]), true),
        ("another log", payload([stranger, newest[1]]), false),
        ("another head", payload([newest[0], fork]), false),
        ("ahead of the log", payload([newest[0], ahead]), false),
        ("the other way round", payload([newest[1], newest[0]]), false),
        ("the shower twice", payload([newest[0], newest[0]]), false),
        ("one side", good[..68].to_vec(), false),
        ("empty", Vec::new(), false),
        ("a byte more", [&good[..], &[0]].concat(), false),
    ]
    .into_iter()
    .map(|(name, payload, accept)| Qr {
        name: name.to_owned(),
        shower: shower.wires(),
        scanner: scanner.wires(),
        payload: Hex(payload),
        accept,
    })
    .collect()
}
