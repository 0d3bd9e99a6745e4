//! Epoch headers, and what a server refuses of a post (CRYPTO 5, 10).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Key, key, log_of, revoke};
use hushwire_identity::{
    Code, Current, DeviceLog, EpochHeader, Head, LogPoint, PostError, Posting, PrekeyRecord,
    Reason, Side, Slot, Suite, Suites, check_post, day_of, post,
};
use hushwire_wire::{DeviceId, UserId};
use proptest::prelude::*;

const NOW: u64 = 20_000 * 86_400_000;

/// Two users with two devices each; the logs in the order of their ids.
struct Pair {
    keys: [[Key; 2]; 2],
    logs: [DeviceLog; 2],
    prekeys: [Vec<PrekeyRecord>; 2],
}

fn pair() -> Pair {
    let mut sides = [[key(1), key(2)], [key(3), key(4)]];
    let log = |keys: &[Key; 2], handle| log_of(handle, &[&keys[0], &keys[1]]);
    let mut logs = [log(&sides[0], "alice"), log(&sides[1], "bob")];
    if logs[0].user() > logs[1].user() {
        sides.reverse();
        logs.reverse();
    }
    let prekeys = [0, 1].map(|i| {
        let of = |key: &Key| key.prekey(&logs[i], 5, day_of(NOW), Suites::HERE);
        sides[i].iter().map(of).collect()
    });
    Pair { keys: sides, logs, prekeys }
}

impl Pair {
    fn current(&self, side: usize) -> Current<'_> {
        Current { log: &self.logs[side], prekeys: &self.prekeys[side] }
    }

    fn header(&self) -> EpochHeader {
        let (roster, suite) = post::roster(&self.current(0), Some(&self.current(1)), NOW).unwrap();
        let header = EpochHeader {
            suite,
            n: 3,
            prev: [9; 32],
            created_ms: NOW,
            creator: 0,
            reason: Reason::Age,
            a: self.logs[0].point(),
            b: Some(self.logs[1].point()),
            kc: [1; 32],
            roster,
        };
        let creator = header.index_of(&self.keys[0][0].id()).unwrap();
        EpochHeader { creator, ..header }
    }

    fn check(&self, header: &EpochHeader) -> Result<(), PostError> {
        self.check_wraps(header, &wraps(header))
    }

    fn check_wraps(
        &self,
        header: &EpochHeader,
        wraps: &[(DeviceId, usize)],
    ) -> Result<(), PostError> {
        let creator = self.keys[0][0].id();
        let posting = Posting { creator, n: 3, prev: [9; 32], wraps, now_ms: NOW };
        check_post(header, &posting, &self.current(0), Some(&self.current(1)))
    }
}

fn wraps(header: &EpochHeader) -> Vec<(DeviceId, usize)> {
    let len = header.suite.wrap_len();
    header.targets(header.creator).map(|slot| (slot.device, len)).collect()
}

#[test]
fn an_honest_post_is_taken() {
    let pair = pair();
    let header = pair.header();
    assert_eq!(header.suite, Suite::XWing);
    assert_eq!(header.roster.len(), 4);
    assert_eq!(header.to_bytes().len(), 217 + 21 * 4);
    assert_eq!(pair.check(&header), Ok(()));
    let read = EpochHeader::parse(&header.to_bytes()).unwrap();
    assert_eq!((read.id(), read), (header.id(), header));
}

#[test]
fn every_refusal_has_its_reason() {
    let pair = pair();
    let good = pair.header();
    let with = |change: &dyn Fn(&mut EpochHeader)| {
        let mut header = good.clone();
        change(&mut header);
        pair.check(&header).unwrap_err()
    };
    assert_eq!(with(&|h| h.b = None), PostError::Pair);
    assert_eq!(with(&|h| h.a.user = UserId([0; 32])), PostError::Pair);
    assert_eq!(with(&|h| h.n = 4), PostError::Order);
    assert_eq!(with(&|h| h.prev = [8; 32]), PostError::Order);
    assert_eq!(with(&|h| h.a.head = Head([8; 32])), PostError::Head);
    assert_eq!(with(&|h| h.a.seq = 0), PostError::Head);
    assert_eq!(with(&|h| h.created_ms = NOW + 86_400_001), PostError::Time);
    assert_eq!(with(&|h| h.roster.truncate(3)), PostError::Roster);
    assert_eq!(with(&|h| h.roster[3].device = DeviceId([0xff; 16])), PostError::Roster);
    let ghost = Slot { side: Side::B, device: DeviceId([0xff; 16]), prekey: 1 };
    assert_eq!(with(&|h| h.roster.push(ghost)), PostError::Roster);
    assert_eq!(with(&|h| h.roster[3].prekey = 4), PostError::Prekey);
    assert_eq!(with(&|h| h.roster[3].prekey = 0), PostError::Prekey, "falsely stale");
    assert_eq!(with(&|h| h.suite = Suite::NaCl), PostError::Suite, "a downgrade");
    assert_eq!(with(&|h| h.creator ^= 1), PostError::Creator);
    assert_eq!(PostError::Order.code(), Code::EpochConflict);
    assert_eq!(PostError::Head.code(), Code::EpochStale);
    assert_eq!(PostError::Roster.code(), Code::EpochRoster);

    let all = wraps(&good);
    let refuse = |wraps: &[(DeviceId, usize)]| {
        assert_eq!(pair.check_wraps(&good, wraps), Err(PostError::Wraps));
    };
    refuse(&all[..2]);
    refuse(&[&all[..], &[(DeviceId([1; 16]), 1168)]].concat());
    refuse(&[all[1], all[0], all[2]]);
    refuse(&[(all[0].0, 80), all[1], all[2]]);
}

#[test]
fn the_roster_follows_logs_and_prekeys() {
    let mut pair = pair();
    // A device that revokes another: the old header's head is stale, and so is its roster.
    let old = pair.header();
    let entry = pair.keys[1][0].next(&pair.logs[1], revoke(&[&pair.keys[1][1]]), None);
    pair.logs[1].extend(&entry).unwrap();
    assert_eq!(pair.check(&old), Err(PostError::Head));
    assert_eq!(pair.header().roster.len(), 3);
    assert_eq!(pair.check(&pair.header()), Ok(()));
    // A prekey of 31 days ago: the device stays in the roster and gets no wrap.
    let stale = pair.keys[1][0].prekey(&pair.logs[1], 6, day_of(NOW) - 31, Suites::HERE);
    pair.prekeys[1] = vec![stale];
    let header = pair.header();
    assert_eq!(header.roster.last().map(|slot| slot.prekey), Some(0));
    assert_eq!(pair.check(&header), Ok(()));
    assert_eq!(header.targets(header.creator).count(), 1);
    // A device without suite 3 takes all down to suite 1.
    pair.prekeys[1] = vec![pair.keys[1][0].prekey(&pair.logs[1], 7, day_of(NOW), Suites::NACL)];
    assert_eq!(pair.header().suite, Suite::NaCl);
    assert_eq!(
        pair.check(&EpochHeader { suite: Suite::XWing, ..pair.header() }),
        Err(PostError::Suite)
    );
}

#[test]
fn a_self_pair_has_one_side() {
    let (one, two) = (key(1), key(2));
    let log = log_of("alice", &[&one, &two]);
    let prekeys = [&one, &two].map(|key| key.prekey(&log, 1, day_of(NOW), Suites::HERE));
    let current = Current { log: &log, prekeys: &prekeys };
    let (roster, suite) = post::roster(&current, None, NOW).unwrap();
    let header = EpochHeader {
        suite,
        n: 0,
        prev: [0; 32],
        created_ms: NOW,
        creator: 0,
        reason: Reason::First,
        a: log.point(),
        b: None,
        kc: [1; 32],
        roster,
    };
    assert_eq!(EpochHeader::parse(&header.to_bytes()), Ok(header.clone()));
    let creator = header.roster[0].device;
    let wraps = wraps(&header);
    let posting = Posting { creator, n: 0, prev: [0; 32], wraps: &wraps, now_ms: NOW };
    assert_eq!(check_post(&header, &posting, &current, None), Ok(()));
    assert_eq!(check_post(&header, &posting, &current, Some(&current)), Err(PostError::Pair));
}

#[test]
fn malformed_headers_are_refused_by_name() {
    let pair = pair();
    let good = pair.header();
    let field = |change: &dyn Fn(&mut EpochHeader)| {
        let mut header = good.clone();
        change(&mut header);
        EpochHeader::parse(&header.to_bytes()).unwrap_err().field
    };
    assert_eq!(field(&|h| h.roster.clear()), "epoch.count");
    assert_eq!(field(&|h| h.roster.swap(0, 1)), "epoch.roster");
    assert_eq!(field(&|h| h.roster[1] = h.roster[0]), "epoch.roster");
    assert_eq!(field(&|h| h.b = None), "epoch.side");
    assert_eq!(field(&|h| std::mem::swap(&mut h.a, h.b.as_mut().unwrap())), "epoch.a");
    assert_eq!(field(&|h| h.b = Some(h.a)), "epoch.a");
    assert_eq!(field(&|h| h.creator = 4), "epoch.creator");
    assert_eq!(field(&|h| h.roster[usize::from(h.creator)].prekey = 0), "epoch.creator");
    let nine = |h: &mut EpochHeader| {
        h.roster =
            (0..9).map(|i| Slot { side: Side::A, device: DeviceId([i; 16]), prekey: 1 }).collect();
    };
    assert_eq!(field(&nine), "epoch.roster");
    let bytes = good.to_bytes();
    let byte = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        EpochHeader::parse(&bytes).unwrap_err().field
    };
    assert_eq!(byte(0, 2), "epoch.ver");
    assert_eq!(byte(1, 4), "epoch.suite");
    assert_eq!(byte(47, 5), "epoch.reason");
    assert_eq!(byte(216, 17), "epoch.count");
    assert_eq!(byte(217, 2), "epoch.side");
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(EpochHeader::parse(&longer).unwrap_err().field, "epoch");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn headers_read_back(
        n: u32, prev: [u8; 32], created_ms: u64, kc: [u8; 32], seqs: (u32, u32),
        suite in 1..=3_u8, devices in prop::collection::btree_set(any::<([u8; 16], bool, u32)>(), 1..=8),
    ) {
        let mut roster: Vec<_> = devices
            .into_iter()
            .map(|(device, b, prekey)| Slot {
                side: if b { Side::B } else { Side::A },
                device: DeviceId(device),
                prekey: prekey.max(1),
            })
            .collect();
        roster.sort_by_key(|slot| (slot.side, slot.device));
        let point = |id, seq| LogPoint { user: UserId([id; 32]), seq, head: Head([id; 32]) };
        let header = EpochHeader {
            suite: Suite::from_number(suite).unwrap(), n, prev, created_ms, creator: 0,
            reason: Reason::Heal, a: point(1, seqs.0), b: Some(point(2, seqs.1)), kc, roster,
        };
        prop_assert_eq!(EpochHeader::parse(&header.to_bytes()), Ok(header));
    }

    #[test]
    fn arbitrary_headers_never_panic(
        suite in 0..5_u8, count in 0..18_u8, bytes in prop::collection::vec(any::<u8>(), 217..600),
    ) {
        let mut bytes = bytes;
        bytes[0] = 1;
        bytes[1] = suite;
        bytes[47] %= 6;
        bytes[216] = count;
        for at in (217..bytes.len()).step_by(21) {
            bytes[at] %= 3;
        }
        if let Ok(header) = EpochHeader::parse(&bytes) {
            prop_assert_eq!(header.to_bytes(), bytes);
        }
    }
}
