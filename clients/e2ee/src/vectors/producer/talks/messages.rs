//! Messages from somebody hostile: the server that changes bytes, and a device with real keys
//! that breaks the rules. And counters to their bounds.

use hushwire_identity::aead;
use hushwire_wire::Mid;
use hushwire_wire::message::{Class, HEADER_LEN, Header};
use serde_json::json;

use super::super::Dice;
use super::talk::Talk;
use crate::seal;
use crate::secret::Secret;
use crate::state::EpochState;
use crate::vectors::conversations::{Conversation, Send};

/// What the server hands to `to`.
fn delivered(sent: &Send, to: &str) -> Vec<u8> {
    let tag = &sent.tags.iter().find(|tag| tag.device == to).unwrap().tag;
    let len = u32::try_from(sent.ct.0.len()).unwrap().to_be_bytes();
    [&sent.header.0[..], &sent.commit.0, &len, &sent.ct.0, &tag.0].concat()
}

/// A delivered message with a right tag over whatever stands before it.
fn tagged(
    from: &EpochState,
    to: usize,
    header: &[u8; HEADER_LEN],
    commit: &[u8; 32],
    ct: &[u8],
) -> Vec<u8> {
    let envelope = seal::envelope(header, commit, ct);
    let tag = seal::tag(from.sending_tags().nth(to).unwrap(), &envelope);
    let len = u32::try_from(ct.len()).unwrap().to_be_bytes();
    [&header[..], commit, &len, ct, &tag].concat()
}

pub(super) fn hostile(dice: &mut Dice, suite: u8, masks: &[u16]) -> Conversation {
    let mut talk = Talk::new(dice, &format!("hostile messages in suite {suite}"), masks, masks);
    talk.epoch("e0", "a2");
    talk.all_take("e0", "a2");
    let sent = talk.text("b1", "e0");
    changed(&mut talk, &sent);
    insider(&mut talk);
    dropped(&mut talk);
    for device in ["a1", "a2", "b2"] {
        talk.receive(device, &sent.message, "ok");
        talk.receive(device, &sent.message, "REPLAY");
    }
    talk.finish()
}

/// What the server can do: change any bit, cut, put the parts of messages together.
fn changed(talk: &mut Talk<'_>, sent: &Send) {
    let good = delivered(sent, "a1");
    // Sender and counter, salt, commitment, ciphertext, tag.
    for (from, to) in [(2, 3), (4, 8), (40, 56), (56, 88), (92, good.len() - 16)] {
        let mut bytes = good.clone();
        let at = from + talk.dice.below(to - from);
        bytes[at] ^= 1 << talk.dice.below(8);
        talk.receive_bytes("a1", bytes, "BAD_TAG");
    }
    let mut bytes = good.clone();
    *bytes.last_mut().unwrap() ^= 1;
    talk.receive_bytes("a1", bytes, "BAD_TAG");
    talk.receive_bytes("a2", good.clone(), "BAD_TAG");
    let mut bytes = good.clone();
    bytes[8 + talk.dice.below(32)] ^= 1;
    talk.receive_bytes("a1", bytes, "EPOCH_UNKNOWN");
    let mut long = good.clone();
    long[91] ^= 1;
    let cut = talk.dice.below(good.len());
    for bytes in [&good[..cut], &[&good[..], &[0]].concat(), &[], &long] {
        talk.receive_bytes("a1", bytes.to_vec(), "MALFORMED");
    }
    let mut version = good;
    version[0] = 2;
    talk.receive_bytes("a1", version, "MALFORMED");
}

/// What a device of the roster can do.
fn insider(talk: &mut Talk<'_>) {
    let liar = talk.world.state("b2", &talk.pair);
    let target = liar.targets().iter().position(|id| *id == talk.key("a1").device_id()).unwrap();
    let (sender, epoch) = (liar.me(), liar.id());
    let header = |counter: u32, lane: u8, class: Class, sender: u8| {
        Header { class, sender, lane, counter, epoch, mid: Mid([7; 16]) }.to_bytes()
    };
    let first = header(0, 0, Class::Text, sender);
    let sealed = |header: &[u8; HEADER_LEN], padded: &[u8]| {
        let (chain, _) = liar.chain_of(sender, header[3]).unwrap();
        let mk = seal::message_key(&seal::skipped_key(chain), header);
        let ct = aead::seal(liar.suite(), seal::content_key(&mk).get(), padded);
        (seal::commitment(&mk, header), ct)
    };
    let text = talk.content("b2", 1).made().unwrap().padded.0;
    let (commit, ct) = sealed(&first, &text);
    let mut other = commit;
    other[talk.dice.below(32)] ^= 1;
    talk.receive_bytes("a1", tagged(&liar, target, &first, &other, &ct), "BAD_COMMIT");
    let other = talk.dice.flipped(&ct).0;
    talk.receive_bytes("a1", tagged(&liar, target, &first, &commit, &other), "BAD_AEAD");
    // A key of its own, with the right commitment to it.
    let own = Secret::new(talk.dice.array());
    let commit = seal::commitment(&own, &first);
    talk.receive_bytes("a1", tagged(&liar, target, &first, &commit, &ct), "BAD_COMMIT");
    for padded in [vec![9; 256], vec![0; 512], text[..].iter().map(|b| b ^ 1).collect()] {
        let (commit, ct) = sealed(&first, &padded);
        talk.receive_bytes("a1", tagged(&liar, target, &first, &commit, &ct), "BAD_CONTENT");
    }
    // As another, as nobody, as the receiver itself.
    let (commit, ct) = sealed(&first, &text);
    for speaker in (0..6).filter(|speaker| *speaker != sender) {
        let header = header(0, 0, Class::Text, speaker);
        talk.receive_bytes("a1", tagged(&liar, target, &header, &commit, &ct), "BAD_TAG");
    }
    for (counter, lane, class) in [
        (1025, 0, Class::Text),
        (u32::MAX, 0, Class::Text),
        (4097, 1, Class::Control),
        (u32::MAX, 1, Class::Control),
    ] {
        let header = header(counter, lane, class, sender);
        talk.receive_bytes("a1", tagged(&liar, target, &header, &commit, &ct), "SKIP_LIMIT");
    }
    // Authentic, and not known here: it uses the counter up.
    let mut unknown = text.clone();
    unknown[1] = 99;
    let (commit, ct) = sealed(&first, &unknown);
    let bytes = tagged(&liar, target, &first, &commit, &ct);
    talk.receive_bytes("a1", bytes.clone(), "drop");
    talk.receive_bytes("a1", bytes, "REPLAY");
    talk.skip("b2", "e0", 0, 1);
    let honest = talk.text("b2", "e0");
    talk.receive("a1", &honest.message, "ok");
}

/// Authentic, and not to be shown.
fn dropped(talk: &mut Talk<'_>) {
    let words = talk.text("a1", "e0");
    for device in ["a2", "b1", "b2"] {
        talk.receive(device, &words.message, "ok");
    }
    // Another user edits and removes them; the own other device may.
    for (from, expect) in [("b2", "drop"), ("a2", "ok")] {
        let target = words.content.content_id;
        let edit = talk.content(from, 2);
        let edit = Talk::with(edit, json!({ "target": target, "rev": 1, "text": "other" }));
        let edit = talk.send(from, "e0", edit);
        let remove = talk.content(from, 3);
        let remove = Talk::with(remove, json!({ "target": target }));
        let remove = talk.send(from, "e0", remove);
        talk.receive("b1", &remove.message, expect);
        talk.receive("b1", &edit.message, expect);
    }
    // A text as a reaction, a typing sign that waits.
    for (kind, class, lane) in [(1, 18, 0), (8, 17, 0), (3, 1, 0)] {
        let mut said = talk.content("a1", kind);
        (said.class, said.lane) = (class, lane);
        let sent = talk.send("a1", "e0", said);
        talk.receive("b1", &sent.message, "drop");
        talk.receive("b1", &sent.message, "REPLAY");
    }
    // The own devices' matters, told by another or to another.
    let said = talk.content("a1", 7);
    let sent = talk.send("a1", "e0", said);
    talk.receive("a2", &sent.message, "drop");
    talk.receive("b2", &sent.message, "drop");
    // Encrypted again after a lost race: the same content, shown once.
    let mut again = talk.content("a1", 1);
    again.content_id = words.content.content_id;
    let sent = talk.send("a1", "e0", again);
    talk.receive("b1", &sent.message, "duplicate");
    // The same id by another author is another content.
    let mut by_other = talk.content("b1", 1);
    by_other.content_id = words.content.content_id;
    let sent = talk.send("b1", "e0", by_other);
    talk.receive("b2", &sent.message, "ok");
}

/// Counters to their bounds: the windows of both lanes, and what is kept of the skipped.
pub(super) fn skipping(dice: &mut Dice, suite: u8, masks: &[u16]) -> Conversation {
    let mut talk = Talk::new(dice, &format!("skipping in suite {suite}"), masks, masks);
    talk.epoch("e0", "a1");
    talk.all_take("e0", "a1");
    let first = talk.text("b1", "e0");
    let second = talk.text("b1", "e0");
    talk.skip("b1", "e0", 0, 1022);
    let far = talk.text("b1", "e0");
    talk.receive("a1", &far.message, "ok");
    talk.receive("a1", &second.message, "ok");
    talk.receive("a1", &second.message, "REPLAY");
    // Lane 1 has a window of its own, and its keys go first when there are too many.
    let sign = talk.content("a2", 8);
    let sign = talk.send("a2", "e0", sign);
    talk.skip("a2", "e0", 1, 4094);
    let near = talk.content("a2", 8);
    let near = talk.send("a2", "e0", near);
    let last = talk.content("a2", 8);
    let last = talk.send("a2", "e0", last);
    talk.receive("a1", &last.message, "ok");
    talk.receive("a1", &near.message, "ok");
    talk.receive("a1", &sign.message, "REPLAY");
    talk.receive("a1", &first.message, "ok");
    // A window more than there may be.
    talk.skip("b2", "e0", 0, 1025);
    let lost = talk.text("b2", "e0");
    talk.receive("a1", &lost.message, "SKIP_LIMIT");
    // What was given up is not counted as seen.
    let said = talk.text("a1", "e0");
    talk.receive("b1", &said.message, "ok");
    talk.finish()
}
