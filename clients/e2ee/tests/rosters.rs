//! Epochs over arbitrary histories of two device logs, against a roster computed apart (CRYPTO 5):
//! devices come and go, prekeys age or are missing, recovery keys step in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use common::{Device, NOW, REQUEST, deliver, random, seal_text};
use dryoc::classic::crypto_sign::{crypto_sign_detached, crypto_sign_seed_keypair};
use hushwire_e2ee::{
    AcceptError, CreateError, Created, DeviceKey, EpochState, History, NewEpoch, Offered, Party,
    PrekeySecret, Random, create, open,
};
use hushwire_identity::hash::{Label, signed};
use hushwire_identity::{
    DeviceKind, DeviceLog, Draft, EpochHeader, Handle, Payload, Prekey, Reason, Side, Slot, Suite,
    Suites, day_of,
};
use hushwire_wire::DeviceId;
use proptest::prelude::*;

/// One entry of a history, as far as the state of the log allows it.
#[derive(Clone, Debug)]
enum Entry {
    Add {
        suites: u16,
    },
    Revoke {
        which: usize,
    },
    RecoveryAdd,
    /// The recovery key adds a device.
    ByRecovery,
}

/// What a device publishes.
#[derive(Clone, Copy, Debug)]
enum Publishes {
    Nothing,
    /// So many days before (or after, if negative) the epoch's day, under this many ids.
    Prekey {
        age: i64,
        ids: u32,
        more: u16,
    },
}

#[derive(Clone, Debug)]
struct Life {
    first: u16,
    entries: Vec<Entry>,
    publishes: Vec<Publishes>,
}

fn history() -> impl Strategy<Value = Life> {
    let suites = prop_oneof![2 => Just(0b001_u16), 1 => Just(0b111), 1 => 1..8_u16];
    let entry = prop_oneof![
        4 => suites.clone().prop_map(|suites| Entry::Add { suites }),
        2 => any::<usize>().prop_map(|which| Entry::Revoke { which }),
        1 => Just(Entry::RecoveryAdd),
        1 => Just(Entry::ByRecovery),
    ];
    let age =
        prop_oneof![6 => 0..3_i64, 1 => Just(-1), 1 => Just(-2), 1 => Just(30), 1 => Just(31)];
    let publishes = prop_oneof![
        1 => Just(Publishes::Nothing),
        5 => (age, 1..4_u32, 0..8_u16)
            .prop_map(|(age, ids, more)| Publishes::Prekey { age, ids, more }),
    ];
    (suites, prop::collection::vec(entry, 0..7), prop::collection::vec(publishes, 12))
        .prop_map(|(first, entries, publishes)| Life { first, entries, publishes })
}

/// A user whose devices are known to the test by its own books.
struct Person {
    devices: Vec<Device>,
    log: DeviceLog,
    prekeys: Vec<Prekey>,
    /// The books: who is active, with which suites; and the newest prekey, if any.
    active: BTreeMap<DeviceId, u16>,
    newest: BTreeMap<DeviceId, (u32, i64, u16)>,
}

fn suites(bits: u16) -> Suites {
    Suites::from_bits(bits).unwrap()
}

impl Person {
    fn live(handle: &str, seed: u8, history: &Life) -> Self {
        let mut bytes = random(u64::from(seed));
        let mut keys = (0..20_u8).map(|i| DeviceKey::from_seed([seed + i; 32]));
        let first = keys.next().unwrap();
        let paper = keys.next().unwrap();
        let handle = Handle::parse(handle).unwrap();
        let kind = DeviceKind::TERMINAL;
        let genesis = first.genesis("example.org", &handle, kind, suites(history.first), 1_000);
        let mut log = DeviceLog::genesis(&genesis.unwrap()).unwrap();
        let mut active = BTreeMap::from([(first.device_id(), history.first)]);
        let mut all = vec![first];
        let mut paper_active = false;
        for entry in &history.entries {
            let signer = all.iter().find(|key| active.contains_key(&key.device_id()));
            let by_paper = matches!(entry, Entry::ByRecovery);
            let signer = if by_paper { paper_active.then_some(&paper) } else { signer };
            let Some(signer) = signer else { continue };
            let mut new = None;
            let payload = match entry {
                Entry::Add { .. } | Entry::ByRecovery if active.len() < 8 => {
                    let key = keys.next().unwrap();
                    let bits = if let Entry::Add { suites } = entry { *suites } else { 1 };
                    let ik = *key.public();
                    new = Some((key, bits));
                    Payload::Add { ik, kind, suites: suites(bits) }
                }
                Entry::Revoke { which } if active.len() > 1 => {
                    let id = *active.keys().nth(which % active.len()).unwrap();
                    Payload::Revoke { devices: vec![id], reason: 0 }
                }
                Entry::RecoveryAdd if !paper_active => Payload::RecoveryAdd { rk: *paper.public() },
                _ => continue,
            };
            let draft = Draft {
                seq: log.seq() + 1,
                log: log.user(),
                prev: log.head().0,
                time_ms: log.time_ms(),
                signer: signer.device_id(),
                payload: payload.clone(),
            };
            let consenting = new.as_ref().map_or(&paper, |(key, _)| key);
            let claim = claim(consenting, &log, &payload);
            log.extend(&signer.sign_entry(&draft, claim.as_ref())).unwrap();
            match payload {
                Payload::Revoke { devices, .. } => drop(active.remove(&devices[0])),
                Payload::RecoveryAdd { .. } => paper_active = true,
                _ => {
                    let (key, bits) = new.unwrap();
                    active.insert(key.device_id(), bits);
                    all.push(key);
                }
            }
        }
        let mut person =
            Self { devices: Vec::new(), log, prekeys: Vec::new(), active, newest: BTreeMap::new() };
        for (key, publishes) in all.into_iter().zip(history.publishes.iter().cycle()) {
            person.publish(key, *publishes, &mut bytes);
        }
        // In any order: whoever uses them must look for the newest.
        person.prekeys.reverse();
        person
    }

    /// An active device and all the prekeys that it ever published.
    fn publish(&mut self, key: DeviceKey, publishes: Publishes, bytes: &mut dyn Random) {
        let id = key.device_id();
        let Some(own) = self.active.get(&id) else { return };
        let mut secret =
            |id: u32| PrekeySecret::generate(NonZeroU32::new(id).unwrap(), bytes).unwrap();
        let mut last = secret(1);
        if let Publishes::Prekey { age, ids, more } = publishes {
            let bits = own | more;
            let day = u32::try_from(i64::from(day_of(NOW)) - age).unwrap();
            for id in 1..=ids {
                last = secret(id);
                self.prekeys.push(last.publish(&key, &self.log, suites(bits), day));
            }
            self.newest.insert(id, (ids, age, bits));
        }
        self.devices.push(Device { key, secret: last });
    }

    fn party(&self) -> Party<'_> {
        Party { log: &self.log, prekeys: &self.prekeys }
    }

    fn is_usable(&self, device: &Device) -> bool {
        let newest = self.newest.get(&device.key.device_id());
        newest.is_some_and(|(_, age, _)| (-1..=30).contains(age))
    }

    /// The side's slots by the books alone, and the suites of those that take part.
    fn slots(&self, side: Side) -> (Vec<Slot>, Vec<u16>) {
        let mut suites = Vec::new();
        let slot = |device: &DeviceId| {
            let usable = self.newest.get(device).filter(|(_, age, _)| (-1..=30).contains(age));
            suites.extend(usable.map(|(.., bits)| *bits));
            Slot { side, device: *device, prekey: usable.map_or(0, |(id, ..)| *id) }
        };
        (self.active.keys().map(slot).collect(), suites)
    }
}

/// The consent of the key that an entry adds, signed by hand: the same for both kinds of keys.
fn claim(key: &DeviceKey, log: &DeviceLog, payload: &Payload) -> Option<[u8; 64]> {
    let (public, kind, suites) = payload.claim()?;
    let (_, secret) = crypto_sign_seed_keypair(&key.to_seed());
    let (user, suites) = (log.user(), suites.to_be_bytes());
    let parts: [&[u8]; 4] = [user.as_bytes(), public, &[kind], &suites];
    let mut claim = [0; 64];
    crypto_sign_detached(&mut claim, &signed(Label::Claim, &parts), &secret).unwrap();
    Some(claim)
}

fn best_common(all: &[u16]) -> Option<Suite> {
    let common = all.iter().copied().reduce(|a, b| a & b)?;
    let order = [(0b100, Suite::XWing), (0b001, Suite::NaCl), (0b010, Suite::Aes)];
    order.into_iter().find(|(bit, _)| common & bit != 0).map(|(_, suite)| suite)
}

fn offered<'a>(
    created: &'a Created,
    header: &'a [u8],
    device: &'a Device,
    mine: &'a Person,
    peer: &'a Person,
) -> Option<Offered<'a>> {
    let id = device.key.device_id();
    let (_, wrap) = created.wraps.iter().find(|(to, _)| *to == id)?;
    Some(Offered {
        header,
        wrap,
        me: &device.key,
        secrets: std::slice::from_ref(&device.secret),
        mine: mine.party(),
        peer: Some(peer.party()),
        history: History { request: Some(REQUEST), known: &[] },
        now_ms: NOW,
    })
}

/// Rosters that are not the right one, made from it.
fn wrong_rosters(header: &EpochHeader) -> Vec<EpochHeader> {
    let mut out = Vec::new();
    let mut with = |change: &dyn Fn(&mut EpochHeader)| {
        let mut wrong = header.clone();
        change(&mut wrong);
        if EpochHeader::parse(&wrong.to_bytes()).is_ok() {
            out.push(wrong);
        }
    };
    for i in 0..header.roster.len() {
        if i == usize::from(header.creator) {
            continue;
        }
        with(&|h| {
            h.roster.remove(i);
            h.creator -= u8::from(i < usize::from(h.creator));
        });
    }
    with(&|h| h.roster.push(Slot { side: Side::B, device: DeviceId([0xff; 16]), prekey: 1 }));
    out
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn epochs_have_the_roster_of_the_books(one in history(), two in history(), by: usize) {
        let alice = Person::live("alice", 10, &one);
        let bob = Person::live("bob", 60, &two);
        let (a, b) = if alice.log.user() < bob.log.user() { (&alice, &bob) } else { (&bob, &alice) };
        let ((mut roster, mut suites), (of_b, suites_b)) = (a.slots(Side::A), b.slots(Side::B));
        roster.extend(of_b);
        suites.extend(&suites_b);
        let side = if std::ptr::eq(a, &alice) { Side::A } else { Side::B };
        // Mostly a device that can take part.
        let able: Vec<_> = alice.devices.iter().filter(|d| alice.is_usable(d)).collect();
        let any = by % 8 == 0 || able.is_empty();
        let creator = if any { &alice.devices[0] } else { able[by % able.len()] };
        let me = creator.key.device_id();

        let new = NewEpoch {
            me: &creator.key,
            prekey: &creator.secret,
            mine: alice.party(),
            peer: Some(bob.party()),
            n: 0,
            prev: REQUEST.0,
            reason: Reason::First,
            created_ms: NOW,
        };
        let created = create(&new, &mut random(77));
        let takes_part = |slot: &&Slot| slot.prekey != 0;
        let mine = roster.iter().filter(takes_part).any(|slot| slot.device == me);
        let theirs = roster.iter().filter(takes_part).any(|slot| slot.side != side);
        let Some(suite) = best_common(&suites) else {
            prop_assert_eq!(created.unwrap_err(), CreateError::Suite);
            return Ok(());
        };
        if !mine {
            prop_assert_eq!(created.unwrap_err(), CreateError::Me);
            return Ok(());
        }
        if !theirs {
            prop_assert_eq!(created.unwrap_err(), CreateError::PeerStale);
            return Ok(());
        }
        let created = created.unwrap();
        let header = EpochHeader::parse(&created.header).unwrap();
        prop_assert_eq!(&header.roster, &roster);
        prop_assert_eq!((header.suite, header.a, header.b.unwrap()), (suite, a.log.point(), b.log.point()));
        prop_assert_eq!(roster[usize::from(header.creator)].device, me);
        let wrapped: Vec<_> = roster.iter().filter(takes_part).map(|slot| slot.device).collect();
        let others: Vec<_> = wrapped.iter().copied().filter(|device| *device != me).collect();
        prop_assert_eq!(created.wraps.iter().map(|(to, _)| *to).collect::<Vec<_>>(), others.clone());

        let mut opened: Vec<EpochState> = Vec::new();
        for (person, peer) in [(&alice, &bob), (&bob, &alice)] {
            for device in &person.devices {
                let offer = offered(&created, &created.header, device, person, peer);
                prop_assert_eq!(offer.is_some(), others.contains(&device.key.device_id()));
                let Some(offer) = offer else { continue };
                opened.push(open(&offer).unwrap().state);
                for wrong in wrong_rosters(&header) {
                    let bytes = wrong.to_bytes();
                    let offer = Offered { header: &bytes, ..offer };
                    prop_assert_eq!(open(&offer).unwrap_err(), AcceptError::Roster);
                }
            }
        }
        // All of them read the creator, and the creator reads all of them.
        let mut first = created.state.clone();
        let sealed = seal_text(&mut first, "to all");
        for state in &mut opened {
            prop_assert_eq!(state.targets().len(), wrapped.len() - 1);
            let bytes = deliver(&first, &sealed, state);
            prop_assert_eq!(state.open(&bytes, NOW).unwrap().device, me);
            let back = seal_text(state, "back");
            let bytes = deliver(state, &back, &first);
            first.open(&bytes, NOW).unwrap();
        }
    }
}
