//! Random conversations: messages of all types, late, lost, repeated and out of order, and epochs
//! in between. A model of what each device has had says what must come out.

use std::collections::BTreeMap;

use super::super::Dice;
use super::super::dice::DAY_MS;
use super::talk::Talk;
use crate::vectors::conversations::Conversation;

pub(super) fn chat(
    dice: &mut Dice,
    name: &str,
    a: &[u16],
    b: &[u16],
    actions: usize,
) -> Conversation {
    let mut talk = Talk::new(dice, name, a, b);
    let mut epoch = Round { n: 0, label: "e0".to_owned() };
    let creator = talk.dice.pick(&talk.of_user(if b.is_empty() { "a" } else { "b" })).clone();
    talk.epoch(&epoch.label, &creator);
    talk.all_take(&epoch.label, &creator);
    // What is on its way to each device, and what it had.
    let mut waiting: Vec<(String, String)> = Vec::new();
    let mut had: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for _ in 0..actions {
        match talk.dice.below(20) {
            0..=6 => {
                let from = talk.dice.pick(&talk.names()).clone();
                let kind = kind(talk.dice, b.is_empty());
                let content = talk.content(&from, kind);
                let sent = talk.send(&from, &epoch.label, content);
                waiting.extend(sent.tags.into_iter().map(|to| (to.device, sent.message.clone())));
            }
            7..=16 if !waiting.is_empty() => {
                let (to, message) = waiting.remove(talk.dice.below(waiting.len()));
                talk.receive(&to, &message, "ok");
                had.entry(to).or_default().push(message);
            }
            17 if !had.is_empty() => {
                let (to, messages) = talk.dice.pick(&had.iter().collect::<Vec<_>>()).to_owned();
                let message = talk.dice.pick(messages).clone();
                talk.receive(to, &message, "REPLAY");
            }
            18 => {
                let from = talk.dice.pick(&talk.names()).clone();
                let (lane, count) = (*talk.dice.pick(&[0, 1]), 1 + talk.dice.below(20));
                talk.skip(&from, &epoch.label, lane, u32::try_from(count).unwrap());
            }
            19 => epoch = next(&mut talk, &epoch),
            _ => {}
        }
    }
    // What was late comes in at last, in any order.
    while !waiting.is_empty() {
        let (to, message) = waiting.remove(talk.dice.below(waiting.len()));
        talk.receive(&to, &message, "ok");
    }
    talk.finish()
}

struct Round {
    n: usize,
    label: String,
}

/// The next epoch, some time later, for fresher prekeys.
fn next(talk: &mut Talk<'_>, before: &Round) -> Round {
    talk.now_ms += DAY_MS / 2;
    for device in talk.names() {
        if talk.dice.one_in(2) {
            talk.prekey(&device);
        }
    }
    let n = before.n + 1;
    let label = format!("e{n}");
    let creator = talk.dice.pick(&talk.names()).clone();
    talk.epoch(&label, &creator);
    talk.all_take(&label, &creator);
    Round { n, label }
}

/// Any type, texts more often. Self-sync stands in a self-pair only.
fn kind(dice: &mut Dice, self_pair: bool) -> u8 {
    match dice.below(16) {
        kind @ 0..=12 if kind != 7 => u8::try_from(kind).unwrap().max(1),
        _ if self_pair => 7,
        _ => 1,
    }
}
