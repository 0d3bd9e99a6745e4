//! Logs that grow by the dice, and logs that break one rule.

use hushwire_identity::hash::Label;
use hushwire_identity::{DeviceKind, DeviceLog, Draft, Payload, Suites};
use hushwire_wire::{DeviceId, UserId};

use super::Dice;
use super::dice::START_MS;
use crate::key::DeviceKey;
use crate::vectors::bytes::Hex;
use crate::vectors::file::Case;
use crate::vectors::logs::{Does, Entry, Log, LogRefused, Point};

/// A log with the keys that can sign for it.
#[derive(Clone, Debug)]
pub(super) struct Book {
    pub(super) log: Option<DeviceLog>,
    pub(super) entries: Vec<Entry>,
    pub(super) devices: Vec<DeviceKey>,
    recovery: Vec<DeviceKey>,
    time_ms: u64,
}

impl Book {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let time_ms = dice.later(START_MS);
        let mut book = Self {
            log: None,
            entries: Vec::new(),
            devices: Vec::new(),
            recovery: Vec::new(),
            time_ms,
        };
        let does = Does::Genesis {
            domain: "chat.example.org:443".to_owned(),
            handle: dice.handle(),
            kind: u8::try_from(1 + dice.below(4)).unwrap(),
            suites: 0b111,
        };
        let seed = dice.array();
        book.devices.push(DeviceKey::from_seed(seed));
        book.write(does, seed);
        book
    }

    pub(super) fn log(&self) -> &DeviceLog {
        self.log.as_ref().unwrap()
    }

    pub(super) fn wires(&self) -> Vec<Hex> {
        self.entries.iter().map(|entry| entry.wire.clone()).collect()
    }

    pub(super) fn write(&mut self, does: Does, signer: [u8; 32]) {
        let entry = Entry::new(does, self.time_ms, signer);
        self.entries.push(entry.append(&mut self.log).unwrap());
    }

    fn signer(&self, dice: &mut Dice) -> [u8; 32] {
        let all: Vec<_> = self.devices.iter().chain(&self.recovery).collect();
        *dice.pick(&all).to_seed()
    }

    /// Adds a device with this mask.
    pub(super) fn add(&mut self, dice: &mut Dice, suites: u16) -> DeviceKey {
        let (signer, new_seed) = (self.signer(dice), dice.bytes());
        let kind = *dice.pick(&[1, 2, 3, 4]);
        self.write(Does::Add { new_seed, kind, suites }, signer);
        self.devices.push(DeviceKey::from_seed(new_seed.0));
        self.devices.last().unwrap().clone()
    }

    fn recovery_add(&mut self, dice: &mut Dice) {
        let signer = match self.recovery.first() {
            Some(recovery) => *recovery.to_seed(),
            None => *dice.pick(&self.devices).to_seed(),
        };
        let new_seed = dice.bytes();
        self.write(Does::RecAdd { new_seed }, signer);
        self.recovery.push(DeviceKey::from_seed(new_seed.0));
    }

    /// Grows by so many valid entries.
    pub(super) fn grow(&mut self, dice: &mut Dice, entries: usize) {
        for _ in 0..entries {
            self.time_ms = if dice.one_in(4) { self.time_ms } else { dice.later(self.time_ms) };
            match dice.below(6) {
                0 if self.recovery.len() < 2 => self.recovery_add(dice),
                1 if self.recovery.len() == 2 => {
                    let signer = *dice.pick(&self.recovery).to_seed();
                    let gone = self.recovery.remove(dice.below(2));
                    let recovery_id = gone.device_id().0.into();
                    self.write(Does::RecDel { recovery_id }, signer);
                }
                2 | 3 if self.devices.len() > 1 => {
                    let signer = self.signer(dice);
                    let count = 1 + dice.below(self.devices.len() - 1);
                    let mut gone = Vec::new();
                    for _ in 0..count {
                        gone.push(self.devices.remove(dice.below(self.devices.len())));
                    }
                    let devices = gone.iter().map(|key| key.device_id().0.into()).collect();
                    self.write(Does::Revoke { devices, reason: dice.array::<1>()[0] }, signer);
                }
                _ if self.devices.len() < 8 => {
                    let suites = *dice.pick(&[1, 2, 4, 7, 0x8001]);
                    self.add(dice, suites);
                }
                _ => {}
            }
        }
    }
}

pub(super) fn valid(dice: &mut Dice) -> Vec<Log> {
    (0..12)
        .map(|i| {
            let mut book = Book::new(dice);
            book.grow(dice, 3 * i);
            let case =
                Log { name: format!("{} steps", 3 * i), entries: book.entries, ..Log::default() };
            case.made().unwrap()
        })
        .collect()
}

/// What the first device could write next.
fn draft(book: &Book, payload: Payload) -> Draft {
    let log = book.log();
    Draft {
        seq: log.seq() + 1,
        log: log.user(),
        prev: log.head().0,
        time_ms: log.time_ms(),
        signer: book.devices[0].device_id(),
        payload,
    }
}

/// A revocation of the second device, after `change`.
fn changed(book: &Book, change: impl Fn(&mut Draft)) -> Vec<u8> {
    let devices = vec![book.devices[1].device_id()];
    let mut draft = draft(book, Payload::Revoke { devices, reason: 1 });
    change(&mut draft);
    book.devices[0].sign_entry(&draft, None)
}

/// As [`changed`], in what is signed, which may then be no entry any more.
fn misshapen(book: &Book, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let devices = vec![book.devices[1].device_id()];
    let mut body = draft(book, Payload::Revoke { devices, reason: 1 }).body();
    change(&mut body);
    let signature = book.devices[0].sign(Label::Log, &[&body]);
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&len[..], &body, &signature].concat()
}

fn revoking(book: &Book, devices: Vec<DeviceId>) -> Vec<u8> {
    changed(book, |draft| draft.payload = Payload::Revoke { devices: devices.clone(), reason: 2 })
}

fn claimed(book: &Book, payload: Payload, claim: [u8; 64]) -> Vec<u8> {
    book.devices[0].sign_entry(&draft(book, payload), Some(&claim))
}

const KIND: DeviceKind = DeviceKind::WEB;
const SUITES: Suites = Suites::HERE;

fn add(ik: [u8; 32]) -> Payload {
    Payload::Add { ik, kind: KIND, suites: SUITES }
}

pub(super) fn refused(dice: &mut Dice) -> Vec<LogRefused> {
    let mut book = Book::new(dice);
    for _ in 0..7 {
        book.add(dice, 7);
    }
    book.recovery_add(dice);
    let mut cases = Vec::new();
    let mut refuse = |book: &Book, name: &str, wire: Vec<u8>| cases.push(case(book, name, wire));

    let second = book.devices[1].device_id();
    let stranger = DeviceKey::from_seed(dice.array());
    let nobody = stranger.device_id();
    refuse(&book, "seq goes on by two", changed(&book, |draft| draft.seq += 1));
    refuse(&book, "another prev", changed(&book, |draft| draft.prev[0] ^= 1));
    refuse(&book, "another log", changed(&book, |draft| draft.log.0[31] ^= 1));
    refuse(&book, "a millisecond earlier", changed(&book, |draft| draft.time_ms -= 1));
    refuse(&book, "in another's name", changed(&book, |draft| draft.signer = second));
    refuse(&book, "in nobody's name", changed(&book, |draft| draft.signer = nobody));
    refuse(&book, "another version", misshapen(&book, |body| body[0] = 2));
    refuse(&book, "another type", misshapen(&book, |body| body[1] = 7));
    refuse(&book, "a byte more", misshapen(&book, |body| body.push(0)));
    refuse(&book, "a byte less", misshapen(&book, |body| body.truncate(body.len() - 1)));
    refuse(&book, "empty", Vec::new());
    refuse(&book, "a stranger is taken out", revoking(&book, vec![nobody]));
    refuse(&book, "one is taken out twice", revoking(&book, vec![second, second]));
    refuse(&book, "nobody is taken out", revoking(&book, Vec::new()));
    let recovery = book.recovery[0].device_id();
    let del = changed(&book, |draft| draft.payload = Payload::RecoveryDel { recovery });
    refuse(&book, "a device takes a recovery key out", del);
    let user = book.log().user();
    let rk = *stranger.public();
    let claim = stranger.sign(Label::Claim, &[user.as_bytes(), &rk, &[255], &[0, 0]]);
    let second_rk = claimed(&book, Payload::RecoveryAdd { rk }, claim);
    refuse(&book, "a device adds a second recovery key", second_rk);
    let own = stranger.claim(&user, KIND, SUITES);
    refuse(&book, "a ninth device", claimed(&book, add(rk), own));

    // With room for a device.
    let old = book.devices.remove(7);
    let signer = *book.devices[0].to_seed();
    book.write(Does::Revoke { devices: vec![old.device_id().0.into()], reason: 0 }, signer);
    let first = &book.devices[0];
    let claim = |key: &DeviceKey| key.claim(&user, KIND, SUITES);
    let (mut flipped, mut half) = (own, rk);
    flipped[dice.below(64)] ^= 1;
    half[31] ^= 0x80;
    let other_log = stranger.claim(&UserId(dice.array()), KIND, SUITES);
    let other_kind = Payload::Add { ik: rk, kind: DeviceKind::PHONE, suites: SUITES };
    refuse(&book, "a claim on another log", claimed(&book, add(rk), other_log));
    refuse(&book, "a claim for another kind", claimed(&book, other_kind, own));
    refuse(&book, "a claim by another device", claimed(&book, add(rk), claim(first)));
    refuse(&book, "a claim with a changed bit", claimed(&book, add(rk), flipped));
    refuse(&book, "an old device comes back", claimed(&book, add(*old.public()), claim(&old)));
    refuse(&book, "an active one again", claimed(&book, add(*first.public()), claim(first)));
    refuse(&book, "the other half of the point", claimed(&book, add(half), own));
    cases.extend(pinned(&book, dice));
    cases
}

fn case(book: &Book, name: &str, wire: Vec<u8>) -> LogRefused {
    let mut entries = book.wires();
    let accepted = entries.len();
    entries.push(Hex(wire));
    // What comes after a refused entry is not looked at.
    entries.push(book.wires().remove(0));
    let (name, code) = (name.to_owned(), "LOG_INVALID".to_owned());
    LogRefused { name, entries, pin: None, accepted, code }
}

fn pinned(book: &Book, dice: &mut Dice) -> Vec<LogRefused> {
    let point = book.log().point();
    let mut fork = Point::of(&point);
    fork.seq = u32::try_from(dice.below(book.entries.len())).unwrap();
    let other = Point::of(&Book::new(dice).log().point());
    let refused = |name: &str, entries: usize, pin: Point, code: &str| LogRefused {
        name: name.to_owned(),
        entries: book.wires()[..entries].to_vec(),
        pin: Some(pin),
        accepted: entries,
        code: code.to_owned(),
    };
    let all = book.entries.len();
    if fork.seq == point.seq {
        fork.seq -= 1;
    }
    vec![
        refused("an entry less than was pinned", all - 1, Point::of(&point), "LOG_ROLLBACK"),
        refused("genesis alone", 1, Point::of(&point), "LOG_ROLLBACK"),
        refused("the pinned head at another place", all, fork, "LOG_FORK"),
        refused("another's log", all, other, "LOG_FORK"),
    ]
}
