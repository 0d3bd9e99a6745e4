//! The worlds.

use crate::config::{Config, Faults, away, reader, sender};

/// Worlds without a letter: what is general.
#[must_use]
pub fn general() -> Vec<Config> {
    let none = Faults::default();
    vec![
        Config::new(
            "one node, two messages",
            &[sender(1, 0), reader(2, 0)],
            Faults { messages: 2, delays: 1, cuts: 1, connects: 1, seconds: 1, resends: 1, ..none },
        ),
        Config::new(
            "two nodes, one message",
            &[sender(1, 0), reader(2, 1)],
            Faults { messages: 1, delays: 1, losses: 1, kills: 1, connects: 1, resends: 1, ..none },
        ),
        Config::new(
            "away",
            &[sender(1, 0), away(2)],
            Faults { messages: 2, delays: 1, connects: 1, resends: 1, ..none },
        ),
    ]
}
