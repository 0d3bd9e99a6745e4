//! Epochs from somebody hostile: the server, a contact, another of the own devices. Each breaks
//! one rule, and has a wrap that opens unless the wrap is what is wrong.

use hushwire_identity::epoch::Slot;
use hushwire_identity::{EpochHeader, Suite};
use hushwire_wire::DeviceId;

use super::super::Dice;
use super::super::dice::DAY_MS;
use super::talk::Talk;
use crate::seal::{self, WrapFor};
use crate::secret::Secret;
use crate::vectors::conversations::{Conversation, Take};

/// What `by` forges for `to`: a header, changed, and a wrap of its key.
struct Forger<'a> {
    by: &'a str,
    to: &'a str,
}

impl Forger<'_> {
    /// The header that `by` could make next, changed, and the wrap that belongs to it.
    fn forge(
        &self,
        talk: &mut Talk<'_>,
        change: impl Fn(&mut EpochHeader, &mut Dice),
    ) -> (EpochHeader, Vec<u8>) {
        let key = Secret::new(talk.dice.array());
        let mut header = talk.world.next_header(self.by, &talk.pair, talk.now_ms);
        header.kc = seal::key_commitment(&key);
        change(&mut header, talk.dice);
        let wrap = self.wrap(talk, &header, &key, None);
        (header, wrap)
    }

    /// A wrap of `key` under this header; `auth` in the place of the right exchange.
    fn wrap(
        &self,
        talk: &mut Talk<'_>,
        header: &EpochHeader,
        key: &Secret<32>,
        auth: Option<Secret<32>>,
    ) -> Vec<u8> {
        let id = talk.key(self.to).device_id();
        let prekey = talk.world.newest_prekey(self.to);
        let identity = talk.key(self.by);
        let right = seal::exchange(&prekey.record.x25519, &identity.to_x25519()).unwrap();
        let to = WrapFor {
            suite: header.suite,
            epoch: header.id(),
            creator: identity.device_id(),
            device: id,
            prekey: prekey.record.id,
        };
        let (x25519, xwing) = (&prekey.record.x25519, prekey.xwing.as_deref());
        let auth = auth.unwrap_or(right);
        to.seal(x25519, xwing, &auth, key, talk.dice).unwrap().unwrap()
    }
}

pub(super) fn hostile(dice: &mut Dice, suite: u8, masks: &[u16]) -> Conversation {
    let mut talk = Talk::new(dice, &format!("hostile epochs in suite {suite}"), masks, masks);
    let forger = Forger { by: "b2", to: "a1" };
    talk.epoch("e0", "b1");
    talk.all_take("e0", "b1");
    talk.now_ms += DAY_MS;
    headers(&mut talk, &forger);
    rosters(&mut talk, &forger);
    wraps(&mut talk, &forger, suite);
    // After all of it, the honest ones are taken.
    let request = talk.world.request(&talk.pair);
    let (old, wrap) = forger.forge(&mut talk, |header, _| (header.n, header.prev) = (0, request));
    talk.epoch("e1", "b1");
    talk.all_take("e1", "b1");
    talk.forged("a1", old.to_bytes(), wrap, "REPLAY");
    talk.refuse("a1", "e1", "REPLAY");
    talk.go(crate::vectors::conversations::Step::Erase { device: "a2".to_owned(), id: 1 });
    talk.epoch("erased", "b1");
    talk.refuse("a2", "erased", "WRAP_INVALID");
    talk.take("a1", "erased", &[]);
    // One that nobody else has: after a gap, and still good.
    let (ahead, wrap) = forger.forge(&mut talk, |header, dice| {
        header.n += 2;
        header.prev = dice.array();
    });
    let (header, wrap) = (Some(ahead.to_bytes().into()), Some(wrap.into()));
    let take = Take { header, wrap, ..talk.offer("a1") };
    talk.judged(take, "ok", &["GAP"]);
    // Who is taken out creates no more.
    let (late, wrap) = forger.forge(&mut talk, |header, _| header.n += 5);
    talk.revoke("b2");
    talk.learn("a1", "b");
    talk.forged("a1", late.to_bytes(), wrap, "DEVICE_REVOKED");
    // A known epoch before it, but not of the number before; then some created as late as may be,
    // and a millisecond later.
    talk.learn("b1", "b");
    let forger = Forger { by: "b1", to: "a1" };
    let (jump, wrap) = forger.forge(&mut talk, |header, _| header.n += 4);
    let (header, wrap) = (Some(jump.to_bytes().into()), Some(wrap.into()));
    let take = Take { header, wrap, ..talk.offer("a1") };
    talk.judged(take, "ok", &["GAP"]);
    let now_ms = talk.now_ms;
    for (later, code, flags) in [(0, "ok", &["GAP"][..]), (1, "EPOCH_STALE", &[])] {
        let (latest, wrap) = forger.forge(&mut talk, |header, dice| {
            header.n += 5 + u32::try_from(later).unwrap();
            header.prev = dice.array();
            header.created_ms = now_ms + DAY_MS + later;
        });
        let (header, wrap) = (Some(latest.to_bytes().into()), Some(wrap.into()));
        let take = Take { header, wrap, now_ms, ..talk.offer("a1") };
        talk.judged(take, code, flags);
    }
    talk.finish()
}

fn headers(talk: &mut Talk<'_>, forger: &Forger<'_>) {
    let now = talk.now_ms;
    let mut refused = |change: &dyn Fn(&mut EpochHeader, &mut Dice), code| {
        let (header, wrap) = forger.forge(talk, change);
        talk.forged(forger.to, header.to_bytes(), wrap, code);
    };
    // E1: another suite than the best.
    refused(
        &|header, _| {
            header.suite = if header.suite == Suite::Aes { Suite::NaCl } else { Suite::Aes };
        },
        "EPOCH_SUITE",
    );
    // E4: heads that are on no log, or on none that is known.
    refused(&|header, dice| header.a.head.0 = dice.array(), "LOG_FORK");
    refused(&|header, dice| header.b.as_mut().unwrap().head.0 = dice.array(), "LOG_FORK");
    refused(&|header, _| header.b.as_mut().unwrap().seq += 1, "HOLD");
    refused(&|header, _| header.a.seq += 100, "HOLD");
    // E8: a day ahead, and before the one it follows.
    refused(&|header, _| header.created_ms = now + DAY_MS * 3 / 2, "EPOCH_STALE");
    refused(&|header, _| header.created_ms -= DAY_MS * 3 / 2, "EPOCH_STALE");
    // E2: another pair.
    refused(
        &|header, dice| {
            let mut user = header.b.unwrap().user;
            user.0[31] = user.0[31].wrapping_add(dice.array::<1>()[0] | 1);
            header.b.as_mut().unwrap().user = user;
        },
        "EPOCH_ROSTER",
    );
    let (header, wrap) = forger.forge(talk, |_, _| {});
    let own = Take { pair: vec!["a".to_owned()], ..talk.offer(forger.to) };
    let bytes = header.to_bytes();
    let offered = |bytes: &[u8], take| Take {
        header: Some(bytes.into()),
        wrap: Some(wrap.as_slice().into()),
        ..take
    };
    talk.judged(offered(&bytes, own), "EPOCH_ROSTER", &[]);
    // E1: not laid out as a header.
    let cut = 1 + talk.dice.below(bytes.len() - 1);
    for malformed in [&bytes[..cut], &[&bytes[..], &[0]].concat(), &[]] {
        let take = offered(malformed, talk.offer(forger.to));
        talk.judged(take, "MALFORMED", &[]);
    }
}

fn rosters(talk: &mut Talk<'_>, forger: &Forger<'_>) {
    let (by, to) = (talk.key(forger.by).device_id(), talk.key(forger.to).device_id());
    let other = move |slot: &Slot| slot.device != by && slot.device != to;
    let mut refused = |change: &dyn Fn(&mut Vec<Slot>, &mut Dice), code| {
        let (header, wrap) = forger.forge(talk, |header, dice| {
            change(&mut header.roster, dice);
            header.creator = header.index_of(&by).unwrap();
        });
        talk.forged(forger.to, header.to_bytes(), wrap, code);
    };
    refused(
        &|roster, _| {
            let gone = third(roster, other).device;
            roster.retain(|slot| slot.device != gone);
        },
        "EPOCH_ROSTER",
    );
    refused(
        &|roster, dice| {
            let ghost = Slot { device: DeviceId(dice.array()), prekey: 1, ..roster[0] };
            roster.push(ghost);
            roster.sort_by_key(|slot| (slot.side, slot.device));
        },
        "EPOCH_ROSTER",
    );
    refused(&|roster, _| roster.swap(0, 1), "EPOCH_ROSTER");
    refused(&|roster, dice| third(roster, other).device.0 = dice.array(), "EPOCH_ROSTER");
    // Said to be stale, with a prekey of yesterday.
    refused(&|roster, _| third(roster, other).prekey = 0, "EPOCH_ROSTER");
    // A prekey that nobody has seen.
    refused(&|roster, _| third(roster, other).prekey = 77, "HOLD");
}

/// A device that neither forges nor is to take it.
fn third(roster: &mut [Slot], other: impl Fn(&Slot) -> bool) -> &mut Slot {
    roster.iter_mut().find(|slot| other(slot)).unwrap()
}

fn wraps(talk: &mut Talk<'_>, forger: &Forger<'_>, suite: u8) {
    let (header, good) = forger.forge(talk, |_, _| {});
    let bytes = header.to_bytes();
    for _ in 0..6 {
        let wrap = talk.dice.flipped(&good).0;
        talk.forged(forger.to, bytes.clone(), wrap, "WRAP_INVALID");
    }
    // In each of its parts.
    for at in [0, if suite == 3 { 1119 } else { 30 }, good.len() - 48, good.len() - 1] {
        let mut wrap = good.clone();
        wrap[at] ^= 1;
        talk.forged(forger.to, bytes.clone(), wrap, "WRAP_INVALID");
    }
    for wrap in [&good[1..], &[&good[..], &[0]].concat(), &[]] {
        talk.forged(forger.to, bytes.clone(), wrap.to_vec(), "WRAP_INVALID");
    }
    // The server seals a key of its own: as nobody, and as the creator could.
    let key = Secret::new(talk.dice.array());
    let nobody = Secret::new(talk.dice.array());
    let wrap = forger.wrap(talk, &header, &key, Some(nobody));
    talk.forged(forger.to, bytes.clone(), wrap, "WRAP_INVALID");
    let wrap = forger.wrap(talk, &header, &key, None);
    talk.forged(forger.to, bytes.clone(), wrap, "KC_MISMATCH");
    // The right key, sealed for another epoch.
    let (_, other) = forger.forge(talk, |_, _| {});
    talk.forged(forger.to, bytes, other, "WRAP_INVALID");
}
