//! Every rule of the device log (CRYPTO 3), kept and broken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{add, key, log_of, rec_add, rec_del, revoke};
use hushwire_identity::entry::ENTRY_MAX;
use hushwire_identity::log::{DEVICES_MAX, ENTRIES_MAX, RECOVERY_MAX};
use hushwire_identity::{
    Code, DeviceKind, DeviceLog, Entry, Handle, LogError, LogPoint, Payload, Pin, PinError, Suites,
};
use hushwire_wire::{DeviceId, UserId};
use proptest::prelude::*;

/// The log refuses the entry for this reason and stays as it was.
fn refuses(log: &DeviceLog, wire: &[u8], error: LogError) {
    let mut copy = log.clone();
    assert_eq!(copy.extend(wire), Err(error));
    assert_eq!(copy, *log, "a refused entry changes nothing");
}

#[test]
fn a_whole_life_verifies_and_every_point_can_be_looked_up() {
    let (one, two, three, paper) = (key(1), key(2), key(3), key(9));
    let mut wires = vec![one.genesis("alice")];
    let mut log = DeviceLog::genesis(&wires[0]).unwrap();
    assert_eq!((log.domain(), log.handle().as_str(), log.seq()), ("example.org", "alice", 0));
    assert_eq!(log.user().0, log.head().0, "the user is the hash of the genesis entry");
    let mut push = |log: &mut DeviceLog, wire: Vec<u8>| {
        log.extend(&wire).unwrap();
        wires.push(wire);
    };
    let wire = one.next(&log, add(&two), Some(&two));
    push(&mut log, wire);
    let wire = two.next(&log, rec_add(&paper), Some(&paper));
    push(&mut log, wire);
    let wire = paper.next(&log, add(&three), Some(&three));
    push(&mut log, wire);
    let wire = three.next(&log, revoke(&[&one]), None);
    push(&mut log, wire);
    let wire = paper.next(&log, rec_del(&paper), None);
    push(&mut log, wire);

    assert_eq!(DeviceLog::verify(&wires), Ok(log.clone()));
    assert_eq!(log.seq(), 5);
    let mut active = vec![two.id(), three.id()];
    active.sort();
    assert_eq!(log.devices().map(|device| device.id).collect::<Vec<_>>(), active);
    assert_eq!(log.devices_at(0).map(|device| device.id).collect::<Vec<_>>(), [one.id()]);
    assert!(log.is_active_at(&one.id(), 3) && !log.is_active_at(&one.id(), 4));
    assert!(!log.is_active(&one.id()) && log.device(&one.id()).unwrap().revoked == Some(4));
    assert_eq!(log.login_key(&one.id()), None, "a revoked device cannot sign in");
    assert_eq!(log.login_key(&two.id()), Some(&two.public));
    assert_eq!(log.login_key(&paper.id()), None);
    assert_eq!(log.recovery_keys().count(), 0);
    for (seq, wire) in (0..).zip(&wires) {
        assert_eq!(log.head_at(seq), Some(Entry::parse(wire).unwrap().head));
    }
    assert_eq!(log.head_at(6), None);
    assert!(log.contains(&log.point()));
    assert!(!log.contains(&LogPoint { seq: 4, ..log.point() }));
    assert!(!log.contains(&LogPoint { user: UserId([1; 32]), ..log.point() }));
}

#[test]
fn a_genesis_entry_must_be_one() {
    let one = key(1);
    assert_eq!(DeviceLog::verify::<&[u8]>([]), Err(LogError::Empty));
    let log = log_of("alice", &[&one]);
    let second = one.next(&log, add(&key(2)), Some(&key(2)));
    assert_eq!(DeviceLog::genesis(&second), Err(LogError::Genesis));
    refuses(&log, &one.genesis("alice"), LogError::Genesis);

    let good = Entry::parse(&one.genesis("alice")).unwrap().draft;
    let with = |change: &dyn Fn(&mut hushwire_identity::Draft)| {
        let mut draft = good.clone();
        change(&mut draft);
        DeviceLog::genesis(&one.entry(&draft, None)).unwrap_err()
    };
    assert_eq!(with(&|draft| draft.seq = 1), LogError::Link);
    assert_eq!(with(&|draft| draft.log = UserId([1; 32])), LogError::Link);
    assert_eq!(with(&|draft| draft.prev = [1; 32]), LogError::Link);
    assert_eq!(with(&|draft| draft.signer = DeviceId([1; 16])), LogError::Signer);
    let forged =
        good.wire(None, &key(2).sign(hushwire_identity::hash::Label::Log, &[&good.body()]));
    assert_eq!(DeviceLog::genesis(&forged), Err(LogError::Signature));
    let cross = good.wire(None, &one.sign(hushwire_identity::hash::Label::Auth, &[&good.body()]));
    assert_eq!(DeviceLog::genesis(&cross), Err(LogError::Signature), "another label");
}

#[test]
fn keys_that_are_no_honest_points_are_refused() {
    let one = key(1);
    let good = Entry::parse(&one.genesis("alice")).unwrap().draft;
    let mut small = vec![[0; 32], [0xff; 32]];
    small[0][0] = 1; // The neutral element.
    let mut order_eight = [0; 32];
    order_eight.copy_from_slice(
        &hex::decode("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05").unwrap(),
    );
    small.push(order_eight);
    // An honest key and a point of order 8: of mixed order.
    let mut mixed = [0; 32];
    mixed.copy_from_slice(
        &hex::decode("3bcfb78c4ad06f9b8d7e8c50e37e33dd40042a7805f5df945fbf33620745bc68").unwrap(),
    );
    small.push(mixed);
    // p + 1: the neutral element, not canonically written.
    let mut unreduced = [0xff; 32];
    unreduced[0] = 0xee;
    unreduced[31] = 0x7f;
    small.push(unreduced);
    let log = log_of("alice", &[&one]);
    for bad in small {
        let mut draft = good.clone();
        let kind = DeviceKind::WEB;
        if let Payload::Genesis { ik, .. } = &mut draft.payload {
            *ik = bad;
        }
        draft.signer = hushwire_identity::log::device_id(&bad);
        assert_eq!(DeviceLog::genesis(&one.entry(&draft, None)), Err(LogError::Key));
        // A small-order key would let anybody sign for it, so even its claim is refused.
        let payload = Payload::Add { ik: bad, kind, suites: Suites::HERE };
        let draft = one.draft(&log, payload);
        refuses(&log, &one.entry(&draft, Some(&[0; 64])), LogError::Claim);
    }
}

/// Signatures by the seed `01 * 32` over "edge", computed from the curve's equations alone: one
/// that is good, one that only a verifier with the cofactor takes, and one whose `S` is not reduced.
#[test]
fn signatures_are_judged_by_the_strict_rules() {
    let public = key(1).public;
    let check = |hex: &str| {
        let signature = hex::decode(hex).unwrap().try_into().unwrap();
        hushwire_identity::hash::verify(
            &public,
            hushwire_identity::hash::Label::Log,
            &[b"edge"],
            &signature,
        )
    };
    assert!(check(
        "ef4f62f8479733ad879cfaced3c89a9c39dd4fc795ef2efa1c3eafe4d729a081\
         8a09f88096d5cf280dcddf97e45bfc661a02c1cce43e04752d542882abd1800b"
    ));
    assert!(!check(
        "cdbc161be64c4302f56443ff29ccf36a2075be1a1fa67ff126b56315f5681c38\
         0d45d74cdca76fa508874957c937452f30a2f8524b2859f8ed71a24ff313c90b"
    ));
    assert!(!check(
        "ef4f62f8479733ad879cfaced3c89a9c39dd4fc795ef2efa1c3eafe4d729a081\
         77ddedddb038e280e369d73ac355db7b1a02c1cce43e04752d542882abd1801b"
    ));
}

#[test]
fn an_entry_must_continue_the_log() {
    let (one, two) = (key(1), key(2));
    let log = log_of("alice", &[&one]);
    let good = one.draft(&log, add(&two));
    let claim = two.claim(&log.user(), DeviceKind::PHONE.number(), Suites::HERE.bits());
    let with = |change: &dyn Fn(&mut hushwire_identity::Draft), error| {
        let mut draft = good.clone();
        change(&mut draft);
        refuses(&log, &one.entry(&draft, Some(&claim)), error);
    };
    with(&|draft| draft.seq = 2, LogError::Link);
    with(&|draft| draft.seq = 0, LogError::Link);
    with(&|draft| draft.log = UserId([1; 32]), LogError::Link);
    with(&|draft| draft.prev = [1; 32], LogError::Link);
    with(&|draft| draft.time_ms -= 1, LogError::Time);
    with(&|draft| draft.signer = two.id(), LogError::Signer);
    let mut same_time = log.clone();
    same_time.extend(&one.entry(&good, Some(&claim))).unwrap();

    // The signature covers the claim.
    let mut swapped = one.entry(&good, Some(&claim));
    let at = swapped.len() - 128;
    swapped[at] ^= 1;
    refuses(&log, &swapped, LogError::Signature);
    refuses(&log, &two.entry(&good, Some(&claim)), LogError::Signature);
    // The claim is the new key's, over this log, this kind, these suites.
    for wrong in [
        one.claim(&log.user(), DeviceKind::PHONE.number(), Suites::HERE.bits()),
        two.claim(&UserId([1; 32]), DeviceKind::PHONE.number(), Suites::HERE.bits()),
        two.claim(&log.user(), DeviceKind::WEB.number(), Suites::HERE.bits()),
        two.claim(&log.user(), DeviceKind::PHONE.number(), Suites::NACL.bits()),
    ] {
        refuses(&log, &one.entry(&good, Some(&wrong)), LogError::Claim);
    }
}

#[test]
fn revoked_devices_sign_nothing_and_never_come_back() {
    let (one, two, three) = (key(1), key(2), key(3));
    let mut log = log_of("alice", &[&one, &two]);
    refuses(&log, &one.next(&log, add(&two), Some(&two)), LogError::KeyKnown);
    log.extend(&one.next(&log, revoke(&[&two]), None)).unwrap();
    refuses(&log, &two.next(&log, add(&three), Some(&three)), LogError::Signer);
    refuses(&log, &one.next(&log, add(&two), Some(&two)), LogError::KeyKnown);
    refuses(&log, &one.next(&log, rec_add(&two), Some(&two)), LogError::KeyKnown);
    refuses(&log, &one.next(&log, revoke(&[&two]), None), LogError::Target);
    refuses(&log, &one.next(&log, revoke(&[&three]), None), LogError::Target);
    refuses(&log, &one.next(&log, revoke(&[&one]), None), LogError::NobodyLeft);
    let mut twice = log.clone();
    twice.extend(&one.next(&log, add(&three), Some(&three))).unwrap();
    refuses(&twice, &one.next(&twice, revoke(&[&three, &three]), None), LogError::Target);
    refuses(&twice, &one.next(&twice, revoke(&[&one, &three]), None), LogError::NobodyLeft);
    twice.extend(&three.next(&twice, revoke(&[&three]), None)).unwrap();
    assert!(!twice.is_active(&three.id()), "a device may take itself out");
}

#[test]
fn recovery_keys_guard_themselves() {
    let (one, paper, other, third) = (key(1), key(8), key(9), key(10));
    let mut log = log_of("alice", &[&one]);
    log.extend(&one.next(&log, rec_add(&paper), Some(&paper))).unwrap();
    assert_eq!(log.login_key(&paper.id()), Some(&paper.public));
    assert!(log.device(&paper.id()).is_none(), "never in a roster");
    refuses(&log, &one.next(&log, rec_add(&other), Some(&other)), LogError::Authority);
    refuses(&log, &one.next(&log, rec_del(&paper), None), LogError::Authority);
    refuses(&log, &paper.next(&log, rec_del(&other), None), LogError::Target);
    refuses(&log, &paper.next(&log, revoke(&[&paper]), None), LogError::Target);
    refuses(&log, &paper.next(&log, rec_add(&paper), Some(&paper)), LogError::KeyKnown);
    refuses(&log, &paper.next(&log, add(&paper), Some(&paper)), LogError::KeyKnown);
    // A claim for a recovery key is none for a device.
    let draft = paper.draft(&log, rec_add(&other));
    let wrong = other.claim(&log.user(), DeviceKind::PHONE.number(), 0);
    refuses(&log, &paper.entry(&draft, Some(&wrong)), LogError::Claim);
    log.extend(&paper.next(&log, rec_add(&other), Some(&other))).unwrap();
    assert_eq!(log.recovery_keys().count(), RECOVERY_MAX);
    refuses(&log, &paper.next(&log, rec_add(&third), Some(&third)), LogError::Limit);
    // All devices may go while a recovery key stays; the last key then may not.
    log.extend(&other.next(&log, revoke(&[&one]), None)).unwrap();
    log.extend(&other.next(&log, rec_del(&paper), None)).unwrap();
    refuses(&log, &other.next(&log, rec_del(&other), None), LogError::NobodyLeft);
    refuses(&log, &paper.next(&log, add(&third), Some(&third)), LogError::Signer);
    log.extend(&other.next(&log, add(&third), Some(&third))).unwrap();
    assert_eq!(log.devices().count(), 1);
}

#[test]
fn the_limits_hold() {
    let keys: Vec<_> = (1..=9).map(key).collect();
    let refs: Vec<_> = keys.iter().collect();
    let mut log = log_of("alice", &refs[..DEVICES_MAX]);
    refuses(&log, &keys[0].next(&log, add(&keys[8]), Some(&keys[8])), LogError::Limit);
    log.extend(&keys[0].next(&log, revoke(&refs[1..DEVICES_MAX]), None)).unwrap();
    log.extend(&keys[0].next(&log, add(&keys[8]), Some(&keys[8]))).unwrap();

    let mut oversize = keys[0].genesis("alice");
    oversize.resize(ENTRY_MAX + 1, 0);
    assert!(matches!(DeviceLog::genesis(&oversize), Err(LogError::Layout(_))));
    assert_eq!(LogError::Limit.code(), Code::LogInvalid);
}

#[test]
fn a_log_ends_at_1024_entries() {
    let one = key(1);
    let mut log = log_of("alice", &[&one]);
    let seed = |i: usize| {
        let mut seed = [0xee; 32];
        seed[..8].copy_from_slice(&(i as u64).to_be_bytes());
        seed
    };
    // Two entries each: a device comes and goes.
    for i in 0..(ENTRIES_MAX - 1) / 2 {
        let new = common::from_seed(&seed(i));
        log.extend(&one.next(&log, add(&new), Some(&new))).unwrap();
        log.extend(&one.next(&log, revoke(&[&new]), None)).unwrap();
    }
    let last = common::from_seed(&seed(5_000));
    log.extend(&one.next(&log, add(&last), Some(&last))).unwrap();
    assert_eq!(log.seq() as usize, ENTRIES_MAX - 1);
    refuses(&log, &one.next(&log, revoke(&[&last]), None), LogError::Limit);
}

#[test]
fn pins_tell_forks_from_rollbacks() {
    let (one, two, three) = (key(1), key(2), key(3));
    let short = log_of("alice", &[&one]);
    let long = log_of("alice", &[&one, &two]);
    let fork = log_of("alice", &[&one, &three]);
    let mut pin = Pin::of(&short);
    assert_eq!(pin.advance(&long), Ok(()));
    assert_eq!(pin.0, long.point());
    assert_eq!(pin.advance(&short), Err(PinError::Rollback));
    assert_eq!(pin.advance(&fork), Err(PinError::Fork));
    assert_eq!(pin.check(&log_of("alice", &[&two])), Err(PinError::Fork));
    assert_eq!(pin.0, long.point(), "a refused log moves no pin");
    assert_eq!(PinError::Fork.code(), Code::LogFork);
    assert_eq!(PinError::Rollback.code(), Code::LogRollback);
}

#[test]
fn every_bit_of_an_entry_counts() {
    let (one, two) = (key(1), key(2));
    let log = log_of("alice", &[&one]);
    let wire = one.next(&log, add(&two), Some(&two));
    for at in 0..wire.len() {
        let mut broken = wire.clone();
        broken[at] ^= 1 << (at % 8);
        assert!(log.clone().extend(&broken).is_err(), "byte {at}");
    }
    let mut longer = wire.clone();
    longer.push(0);
    assert!(matches!(log.clone().extend(&longer), Err(LogError::Layout(_))));
    assert!(matches!(log.clone().extend(&wire[..wire.len() - 1]), Err(LogError::Layout(_))));
}

fn payload() -> impl Strategy<Value = Payload> {
    let kind = (0..255_u8).prop_map(|kind| DeviceKind::from_number(kind).unwrap());
    let suites = (1..=u16::MAX).prop_map(|bits| Suites::from_bits(bits).unwrap());
    let add = (any::<[u8; 32]>(), kind.clone(), suites.clone());
    let genesis = ("[a-z0-9.:-]{1,253}", "[a-z0-9_.]{3,32}", any::<[u8; 32]>(), kind, suites)
        .prop_map(|(domain, handle, ik, kind, suites)| {
            let handle = Handle::parse(&handle).unwrap();
            Payload::Genesis { domain, handle, ik, kind, suites }
        });
    let devices = prop::collection::vec(any::<[u8; 16]>().prop_map(DeviceId), 1..=8);
    prop_oneof![
        genesis,
        add.prop_map(|(ik, kind, suites)| Payload::Add { ik, kind, suites }),
        (devices, any::<u8>()).prop_map(|(devices, reason)| Payload::Revoke { devices, reason }),
        any::<[u8; 32]>().prop_map(|rk| Payload::RecoveryAdd { rk }),
        any::<[u8; 16]>().prop_map(|id| Payload::RecoveryDel { recovery: DeviceId(id) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn entries_read_back(
        seq: u32, log: [u8; 32], prev: [u8; 32], time_ms: u64, signer: [u8; 16],
        payload in payload(),
    ) {
        let draft = hushwire_identity::Draft {
            seq, log: UserId(log), prev, time_ms, signer: DeviceId(signer), payload,
        };
        let claim = draft.payload.claim().map(|_| [3; 64]);
        let wire = draft.wire(claim.as_ref(), &[4; 64]);
        let entry = Entry::parse(&wire).unwrap();
        prop_assert_eq!(entry.draft, draft);
        prop_assert_eq!(entry.claim, claim);
        prop_assert_eq!(entry.signature, [4; 64]);
        prop_assert!(Entry::parse(&wire[..wire.len() - 1]).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(kind in 0..7_u8, bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Entry::parse(&bytes);
        let mut known = vec![0, 0, 1, kind];
        known.extend_from_slice(&bytes);
        let body = u16::try_from(known.len() - 2).unwrap().to_be_bytes();
        known[..2].copy_from_slice(&body);
        known.extend_from_slice(&[0; 64]);
        if let Ok(entry) = Entry::parse(&known) {
            prop_assert_eq!(entry.draft.wire(entry.claim.as_ref(), &entry.signature), known);
        }
    }
}
