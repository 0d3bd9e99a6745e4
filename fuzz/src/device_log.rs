//! A script of log entries by real keys, some of them tampered with: whatever is accepted keeps
//! the limits of CRYPTO 3, whatever is refused leaves the log as it was.

use std::sync::OnceLock;

use hushwire_e2ee::DeviceKey;
use hushwire_identity::hash::Label;
use hushwire_identity::log::{DEVICES_MAX, RECOVERY_MAX};
use hushwire_identity::{DeviceKind, DeviceLog, Draft, Payload, Suites};
use hushwire_wire::UserId;

use crate::fixture::{sign, world};
use crate::script::Script;

/// The keys that scripts name: Alice's two, and ten that nobody knows yet.
const KEYS: usize = 12;
/// Entries of one script, at most.
const STEPS: usize = 12;

pub(crate) fn run(bytes: &[u8]) -> bool {
    let mut script = Script::new(bytes);
    let mut wires = vec![world().alice.wires[0].clone()];
    let Ok(mut log) = DeviceLog::genesis(&wires[0]) else { return false };
    for _ in 0..STEPS {
        if script.is_over() {
            break;
        }
        let (wire, must_fail) = next(&mut script, &log);
        let before = log.clone();
        if log.extend(&wire).is_err() {
            assert_eq!(log, before, "a refused entry changes nothing");
            continue;
        }
        assert!(!must_fail, "a tampered entry was taken");
        wires.push(wire);
        assert_eq!(log.seq() as usize, wires.len() - 1);
        let (devices, recovery) = (log.devices().count(), log.recovery_keys().count());
        assert!(devices <= DEVICES_MAX && recovery <= RECOVERY_MAX && devices + recovery > 0);
        for seq in 0..before.seq() {
            assert_eq!(log.head_at(seq), before.head_at(seq));
            assert!(log.devices_at(seq).map(|d| d.id).eq(before.devices_at(seq).map(|d| d.id)));
        }
    }
    assert_eq!(DeviceLog::verify(&wires), Ok(log));
    wires.len() > 1
}

fn keys() -> &'static [DeviceKey] {
    static KEYS_MADE: OnceLock<Vec<DeviceKey>> = OnceLock::new();
    let make = || (1..=KEYS).map(|i| DeviceKey::from_seed([seed(i - 1); 32])).collect();
    KEYS_MADE.get_or_init(make)
}

fn seed(i: usize) -> u8 {
    u8::try_from(i + 1).unwrap_or(u8::MAX)
}

/// The next entry that the script asks for, and whether it must be refused.
fn next(script: &mut Script<'_>, log: &DeviceLog) -> (Vec<u8>, bool) {
    let (signer, kind) = (script.below(KEYS), script.below(5));
    let new = script.below(KEYS);
    let payload = match kind {
        0 | 1 => {
            let suites = Suites::from_bits(script.u16()).unwrap_or(Suites::NACL);
            Payload::Add { ik: *keys()[new].public(), kind: DeviceKind::WEB, suites }
        }
        2 => {
            let n = 1 + script.below(8);
            let devices = (0..n).map(|_| keys()[script.below(KEYS)].device_id()).collect();
            Payload::Revoke { devices, reason: script.byte() }
        }
        3 => Payload::RecoveryAdd { rk: *keys()[new].public() },
        _ => Payload::RecoveryDel { recovery: keys()[new].device_id() },
    };
    let mut draft = Draft {
        seq: log.seq() + 1,
        log: log.user(),
        prev: log.head().0,
        time_ms: log.time_ms() + u64::from(script.byte()),
        signer: keys()[signer].device_id(),
        payload,
    };
    let tamper = script.byte();
    match tamper {
        1 => draft.seq += 1,
        2 => draft.prev[script.below(32)] ^= 1,
        3 => draft.log = UserId([9; 32]),
        4 => draft.time_ms = log.time_ms() - 1,
        _ => {}
    }
    let claim = draft.payload.claim().map(|(key, kind, suites)| {
        let by = if tamper == 5 { (new + 1) % KEYS } else { new };
        let (user, suites) = (log.user(), suites.to_be_bytes());
        let parts: [&[u8]; 4] = [user.as_bytes(), key, &[kind], &suites];
        sign(seed(by), Label::Claim, &parts)
    });
    let label = if tamper == 6 { Label::Prekey } else { Label::Log };
    let covered = claim.as_ref().map_or(&[][..], <[u8; 64]>::as_slice);
    let signature = sign(seed(signer), label, &[&draft.body(), covered]);
    let mut wire = draft.wire(claim.as_ref(), &signature);
    let damaged = tamper == 7 && script.damage(&mut wire);
    let claimless = tamper == 5 && claim.is_none();
    (wire, damaged || ((1..=6).contains(&tamper) && !claimless))
}
