//! Epochs beside one another and after one another: siblings, gaps, stale heads, new devices and
//! removed ones, stale devices, a new request.

use super::super::Dice;
use super::super::dice::DAY_MS;
use super::talk::Talk;
use crate::vectors::conversations::Conversation;

/// Two devices create the same number; both are read, and all send in the lower.
pub(super) fn siblings(dice: &mut Dice, suite: u8, masks: &[u16]) -> Conversation {
    let mut talk = Talk::new(dice, &format!("siblings in suite {suite}"), masks, masks);
    talk.epoch("first", "b2");
    talk.all_take("first", "b2");
    let one = talk.epoch("one", "a1");
    let early = talk.text("a1", "one");
    let other = talk.epoch("other", "b1");
    let late = talk.text("b1", "other");
    talk.receive("b2", &early.message, "EPOCH_UNKNOWN");
    talk.take("a1", "other", &["FORK"]);
    talk.take("b1", "one", &["FORK"]);
    for device in ["a2", "b2"] {
        talk.take(device, "other", &[]);
        talk.take(device, "one", &["FORK"]);
        talk.refuse(device, "other", "REPLAY");
    }
    talk.refuse("a2", "first", "REPLAY");
    for device in ["b1", "a2", "b2"] {
        talk.receive(device, &early.message, "ok");
    }
    for device in ["a1", "a2", "b2"] {
        talk.receive(device, &late.message, "ok");
    }
    let lower = if one.header.epoch_id.0 < other.header.epoch_id.0 { "one" } else { "other" };
    for device in talk.names() {
        let sent = talk.text(&device, lower);
        for to in talk.others(&device) {
            talk.receive(&to, &sent.message, "ok");
        }
    }
    // The next one heals; but two make it. A new device knows nothing before either.
    talk.add("a", "a3", masks[0]);
    for device in ["a1", "a2", "a3", "b1", "b2"] {
        talk.learn(device, "a");
    }
    talk.learn("a3", "b");
    talk.prekey("a3");
    talk.epoch("healed", "a2");
    talk.epoch("healed too", "b1");
    talk.take("a3", "healed", &["GAP"]);
    talk.take("a3", "healed too", &["FORK", "GAP"]);
    talk.take("a1", "healed", &[]);
    talk.take("b2", "healed too", &[]);
    talk.finish()
}

pub(super) fn rotations(dice: &mut Dice, suite: u8, masks: &[u16]) -> Conversation {
    let mut talk = Talk::new(dice, &format!("rotations in suite {suite}"), masks, masks);
    talk.epoch("e0", "b1");
    talk.all_take("e0", "b1");
    let old = talk.text("a2", "e0");
    // A new device of a, which b learns of first: a1 knows it, a2 does not yet.
    talk.add("a", "a3", masks[1]);
    talk.learn("a3", "a");
    talk.learn("a3", "b");
    talk.learn("a1", "a");
    // b1 knows nothing of it: its epoch is stale for a1.
    talk.epoch("stale", "b1");
    talk.take("a1", "stale", &["STALE"]);
    talk.take("b2", "stale", &[]);
    talk.prekey("a3");
    talk.epoch("three", "a1");
    for behind in ["a2", "b1", "b2"] {
        talk.refuse(behind, "three", "HOLD");
        talk.learn(behind, "a");
        talk.take(behind, "three", if behind == "a2" { &["GAP"] } else { &[] });
    }
    talk.take("a3", "three", &["GAP"]);
    let sent = talk.text("a3", "three");
    for device in talk.others("a3") {
        talk.receive(&device, &sent.message, "ok");
    }
    talk.receive("b1", &old.message, "ok");
    talk.receive("b1", &old.message, "REPLAY");
    // It is taken out again: what it sends in the old epoch is still read, in no new one.
    let last = talk.text("a3", "three");
    talk.revoke("a3");
    for device in ["a1", "a2", "b1", "b2"] {
        talk.learn(device, "a");
    }
    talk.receive("b2", &last.message, "ok");
    talk.epoch("two again", "b2");
    for device in ["a1", "a2", "b1"] {
        talk.take(device, "two again", &[]);
    }
    // A month later a2 has no usable prekey, until it comes back.
    talk.now_ms += 31 * DAY_MS;
    for device in ["a1", "b1", "b2"] {
        talk.prekey(device);
    }
    talk.epoch("without a2", "b1");
    talk.take("a1", "without a2", &[]);
    talk.take("b2", "without a2", &[]);
    let sent = talk.text("a1", "without a2");
    talk.receive("b2", &sent.message, "ok");
    talk.prekey("a2");
    talk.epoch("with a2", "a1");
    talk.take("a2", "with a2", &["GAP"]);
    talk.take("b1", "with a2", &[]);
    talk.take("b2", "with a2", &[]);
    // Removed and accepted anew: the number goes on, after the new request.
    let request = talk.request();
    talk.epoch_after("anew", "b2", 6, request.0);
    for device in talk.others("b2") {
        talk.take(&device, "anew", &[]);
    }
    let sent = talk.text("a2", "anew");
    for device in talk.others("a2") {
        talk.receive(&device, &sent.message, "ok");
    }
    talk.finish()
}
