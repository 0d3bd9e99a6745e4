//! Conversations: random ones, and those that a scene lays out.

mod chat;
mod epochs;
mod forks;
mod messages;
mod talk;

use super::Dice;
use crate::vectors::conversations::Conversation;

/// The masks of a user's devices, so that a pair of them has this suite.
const fn masks(suite: u8) -> [u16; 2] {
    match suite {
        1 => [0b011, 0b001],
        2 => [0b110, 0b010],
        _ => [0b111, 0b101],
    }
}

pub(super) fn all(dice: &mut Dice) -> Vec<Conversation> {
    let mut talks = Vec::new();
    for suite in [1, 2, 3] {
        let masks = masks(suite);
        talks.push(chat::chat(
            dice,
            &format!("1+1 in suite {suite}"),
            &masks[..1],
            &masks[1..],
            60,
        ));
        talks.push(chat::chat(dice, &format!("2+2 in suite {suite}"), &masks, &masks, 90));
        talks.push(chat::chat(dice, &format!("self-pair in suite {suite}"), &masks, &[], 40));
        talks.push(forks::siblings(dice, suite, &masks));
        talks.push(forks::rotations(dice, suite, &masks));
        talks.push(epochs::hostile(dice, suite, &masks));
        talks.push(messages::hostile(dice, suite, &masks));
        talks.push(messages::skipping(dice, suite, &masks));
    }
    let eight = [[0b001; 7].as_slice(), &[0b111]].concat();
    talks.push(chat::chat(dice, "8+8 in suite 1", &eight, &eight, 60));
    talks.push(chat::chat(dice, "self-pair of 8 in suite 3", &[0b100; 8], &[], 30));
    talks
}
