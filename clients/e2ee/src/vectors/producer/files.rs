//! Files and reports.

use super::Dice;
use super::contents::said;
use super::dice::START_MS;
use crate::file::{CHUNK, CT_CHUNK};
use crate::vectors::bytes::{B32, Bytes, Hex};
use crate::vectors::file::Case;
use crate::vectors::files::{FileMade, FileRefused, Padme};
use crate::vectors::reports::{Report, Shown};

pub(super) fn padme(dice: &mut Dice) -> Vec<Padme> {
    let mut sizes: Vec<u64> =
        (0..20).map(|i| u64::from_be_bytes(dice.array()) >> (12 + 2 * i)).collect();
    sizes.extend([0, 1, 2, 3, 5, 15, 33, (1 << 53) - (1 << 48)]);
    sizes.sort_unstable();
    sizes.dedup();
    let case = |size| Padme { name: format!("{size}"), size, padded: 0 }.made().unwrap();
    sizes.into_iter().map(case).collect()
}

fn file(dice: &mut Dice, size: usize) -> FileMade {
    FileMade {
        name: format!("{size} bytes"),
        content_id: dice.bytes(),
        key: dice.bytes(),
        hdr: dice.bytes(),
        size: size as u64,
        plain: (size <= 2_000).then(|| dice.hex(size)),
        ..FileMade::default()
    }
}

pub(super) fn valid(dice: &mut Dice) -> Vec<FileMade> {
    let drawn = [2 + dice.below(1_998), 20_000 + dice.below(400_000)];
    [0, 1, 16, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 1 << 20]
        .into_iter()
        .chain(drawn)
        .map(|size| file(dice, size).made().unwrap())
        .collect()
}

pub(super) fn refused(dice: &mut Dice) -> Vec<FileRefused> {
    let made = file(dice, 2 * CHUNK + 5);
    let (ct, key) = made.encrypted().unwrap();
    let good = FileRefused {
        name: String::new(),
        content_id: made.content_id,
        key: made.key,
        hdr: made.hdr,
        size: made.size,
        ct_size: ct.len() as u64,
        ct_hash: key.ct_hash.into(),
        ct: Hex(ct),
    };
    let hash = |hdr: &Bytes<24>, ct: &[u8]| -> B32 {
        use hushwire_identity::hash::{Label, hash};
        hash(Label::File, &[&hdr.0, ct]).into()
    };
    let mut cases = Vec::new();
    let mut add = |name: &str, change: &dyn Fn(&mut FileRefused)| {
        let mut case = FileRefused { name: name.to_owned(), ..good.clone() };
        change(&mut case);
        cases.push(case);
    };
    let bit = dice.below(8 * good.ct.0.len());
    // Each with the hash that belongs to the ciphertext, unless the hash is what is wrong.
    add("another hash", &|case| case.ct_hash.0[9] ^= 1);
    add("a bit is changed", &|case| {
        case.ct.0[bit / 8] ^= 1 << (bit % 8);
        case.ct_hash = hash(&case.hdr, &case.ct.0);
    });
    add("another header", &|case| {
        case.hdr.0[0] ^= 1;
        case.ct_hash = hash(&case.hdr, &case.ct.0);
    });
    add("another key", &|case| case.key.0[31] ^= 0x80);
    add("of another content", &|case| case.content_id.0[0] ^= 1);
    add("said to be shorter", &|case| case.size = 2 * CHUNK as u64 + 4);
    add("chunks in another order", &|case| {
        case.ct.0.rotate_left(CT_CHUNK);
        case.ct_hash = hash(&case.hdr, &case.ct.0);
    });
    add("a chunk twice", &|case| {
        let first = case.ct.0[..CT_CHUNK].to_vec();
        case.ct.0[CT_CHUNK..2 * CT_CHUNK].copy_from_slice(&first);
        case.ct_hash = hash(&case.hdr, &case.ct.0);
    });
    add("cut off", &|case| {
        case.ct.0.truncate(CT_CHUNK);
        case.ct_hash = hash(&case.hdr, &case.ct.0);
    });
    add("cut off, and said to be", &|case| {
        case.ct.0.truncate(CT_CHUNK);
        (case.size, case.ct_size) = (CHUNK as u64, CT_CHUNK as u64);
        case.ct_hash = hash(&case.hdr, &case.ct.0);
    });
    add("another ct_size", &|case| case.ct_size -= 1);
    cases
}

fn report(dice: &mut Dice, suite: u8) -> Report {
    let kind = 1 + u8::try_from(dice.below(3)).unwrap();
    let said = said(dice, kind, START_MS, Vec::new()).made().unwrap();
    let mut header: [u8; 56] = dice.array();
    header[..4].copy_from_slice(&[1, said.class, 5, said.lane]);
    let report = Report {
        name: format!("type {kind} in suite {suite}"),
        suite,
        mk: dice.bytes(),
        header: header.into(),
        padded: said.padded,
        k_srv: dice.bytes(),
        from_user: dice.bytes(),
        from_device: dice.bytes(),
        to_user: dice.bytes(),
        time_ms: dice.later(START_MS),
        commit: B32::default(),
        ct: Hex::default(),
        env: B32::default(),
        stamp: B32::default(),
    };
    report.made().unwrap()
}

pub(super) fn reports(dice: &mut Dice) -> Vec<Report> {
    [1, 2, 3].map(|suite| report(dice, suite)).into()
}

pub(super) fn reports_refused(dice: &mut Dice) -> Vec<Shown> {
    let mut cases = Vec::new();
    for suite in [1, 2, 3] {
        let good = report(dice, suite).shown();
        let mut add = |name: &str, change: &dyn Fn(&mut Shown)| {
            let mut case = Shown { name: format!("{name}, suite {suite}"), ..good.clone() };
            change(&mut case);
            cases.push(case);
        };
        add("another key", &|case| case.mk.0[0] ^= 1);
        add("another salt", &|case| case.header.0[55] ^= 1);
        add("another commitment", &|case| case.commit.0[31] ^= 1);
        add("other words", &|case| case.padded.0[40] ^= 1);
        add("another stamp", &|case| case.stamp.0[0] ^= 0x80);
        add("a millisecond later", &|case| case.time_ms += 1);
        add("by another", &|case| case.from_user.0[0] ^= 1);
        add("from another device", &|case| case.from_device.0[0] ^= 1);
        add("to another", &|case| case.to_user.0[0] ^= 1);
        add("the users swapped", &|case| std::mem::swap(&mut case.from_user, &mut case.to_user));
        add("at another server", &|case| case.k_srv.0[0] ^= 1);
    }
    cases
}
