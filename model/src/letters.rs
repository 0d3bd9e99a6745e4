//! The worlds: general ones, and one for each interleaving that DELIVERY names, with the bug that
//! must be found in it.

use crate::bug::Bug;
use crate::config::{Config, Faults, Person, away, reader, sender};
use crate::rules::{CUSTODY, FREE, GONE, ONCE, ORDER, OWN, PERSISTED, QUOTA, STALL, TOLD};

/// An interleaving that DELIVERY names.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its letter.
    pub letter: char,
    /// What happens.
    pub story: &'static str,
    /// A small world that contains it.
    pub config: Config,
    /// What is broken on purpose.
    pub bug: Bug,
    /// The rule that finds it.
    pub rule: &'static str,
}

const NONE: Faults = Faults {
    messages: 0,
    delays: 0,
    losses: 0,
    cuts: 0,
    half_cuts: 0,
    connects: 0,
    resends: 0,
    kills: 0,
    pauses: 0,
    drains: 0,
    rotations: 0,
    failovers: 0,
    wipes: 0,
    expiries: 0,
    revokes: 0,
    seconds: 0,
    beats: 0,
};
const ONE: Faults = Faults { messages: 1, ..NONE };
const TWO: Faults = Faults { messages: 2, ..NONE };

/// A device that stays where it is.
const fn stays(mut person: Person) -> Person {
    person.nodes = 0;
    person
}

/// A device that can only connect to this node.
const fn only(mut person: Person, node: u8) -> Person {
    person.nodes = 1 << node;
    person
}

/// Worlds without a letter: what is general.
#[must_use]
pub fn general() -> Vec<Config> {
    vec![
        Config::new(
            "one node, two messages",
            &[stays(sender(1, 0)), only(reader(2, 0), 0)],
            Faults { delays: 1, losses: 1, cuts: 1, connects: 1, seconds: 1, resends: 1, ..TWO },
        ),
        Config::new(
            "two nodes, one message",
            &[sender(1, 0), reader(2, 1)],
            Faults { delays: 1, losses: 1, kills: 1, connects: 1, resends: 1, ..ONE },
        ),
        Config::new(
            "away, two messages",
            &[stays(sender(1, 0)), away(2)],
            Faults { delays: 2, connects: 1, resends: 1, ..TWO },
        ),
    ]
}

/// Bugs beside the letters, for the rules that no letter breaks, and for generations.
#[must_use]
pub fn beside() -> Vec<(Config, Bug, &'static str)> {
    let (from, to) = (stays(sender(1, 0)), only(away(2), 1));
    let world = |name, faults| Config::new(name, &[from, to], faults);
    let full =
        Config { ledger_messages: 1, ..world("a full queue", Faults { connects: 1, ..TWO }) };
    let repeats = world("repeats", Faults { delays: 1, resends: 1, connects: 1, ..ONE });
    let away = world("away, one message", Faults { connects: 1, ..ONE });
    let faults = Faults { delays: 1, wipes: 1, connects: 1, ..TWO };
    let lost = world("a call that is later than a loss", faults);
    vec![
        (full, Bug::NoQuota, QUOTA),
        (repeats, Bug::RepeatIsCharged, FREE),
        (away, Bug::AcksUnread, PERSISTED),
        (lost, Bug::OldGenerationWrites, STALL),
    ]
}

/// Large worlds, for `make model`: minutes, not seconds.
#[must_use]
pub fn large() -> Vec<Config> {
    let faults = Faults { delays: 2, connects: 1, resends: 1, ..ONE };
    vec![
        Config::new(
            "kills, losses and moves",
            &[sender(1, 0), reader(2, 1)],
            Faults { losses: 1, kills: 1, seconds: 1, ..faults },
        ),
        Config::new(
            "two messages, a kill and a move",
            &[sender(1, 0), reader(2, 1)],
            Faults { messages: 2, delays: 1, kills: 1, connects: 2, ..NONE },
        ),
        Config::new(
            "a pause and broken sockets",
            &[sender(1, 0), reader(2, 1)],
            Faults { messages: 2, delays: 1, pauses: 1, half_cuts: 1, connects: 1, ..NONE },
        ),
        Config::new(
            "own copies, a kill and a cut",
            &[sender(1, 0), stays(reader(1, 1)), only(reader(2, 1), 1)],
            Faults { kills: 1, cuts: 1, ..faults },
        ),
        Config::new(
            "loss of the store",
            &[sender(1, 0), only(away(2), 1)],
            Faults { messages: 2, delays: 1, wipes: 1, connects: 2, ..NONE },
        ),
        Config::new(
            "failover",
            &[sender(1, 0), reader(2, 1)],
            Faults { messages: 2, delays: 1, failovers: 1, connects: 1, ..NONE },
        ),
        Config::new(
            "lost keys and heartbeats",
            &[stays(sender(1, 0)), only(reader(2, 1), 1)],
            Faults { messages: 2, delays: 2, expiries: 1, beats: 1, connects: 1, ..NONE },
        ),
        Config::new(
            "a drain and a move",
            &[sender(1, 0), reader(2, 0)],
            Faults { messages: 2, delays: 1, drains: 1, connects: 2, ..NONE },
        ),
        Config::new(
            "two senders",
            &[stays(sender(1, 0)), stays(sender(1, 1)), only(reader(2, 1), 0)],
            Faults { delays: 1, losses: 1, connects: 1, ..ONE },
        ),
        Config::new(
            "new epochs",
            &[sender(1, 0), reader(2, 1)],
            Faults { rotations: 2, connects: 2, resends: 2, ..faults },
        ),
        Config::new(
            "revocation",
            &[sender(1, 0), reader(2, 1), only(reader(2, 0), 1)],
            Faults { delays: 1, revokes: 1, connects: 1, seconds: 1, ..ONE },
        ),
    ]
}

/// The interleavings (a) to (v).
#[must_use]
pub fn letters() -> Vec<Letter> {
    let letter = |letter, story, devices: &[Person], faults, bug, rule, marks: &[&'static str]| {
        let config = Config::new(story, devices, faults).marks(marks);
        Letter { letter, story, config, bug, rule }
    };
    let (from, to) = (stays(sender(1, 0)), stays(reader(2, 0)));
    let far = stays(reader(2, 1));
    let tight = |mut letter: Letter, messages| {
        letter.config.ledger_messages = messages;
        letter
    };
    vec![
        letter(
            'a',
            "ack and fallback both count",
            &[from, stays(reader(2, 0)), stays(reader(2, 0))],
            Faults { delays: 2, seconds: 2, ..ONE },
            Bug::AckAndFallbackBothCount,
            TOLD,
            &["reached twice"],
        ),
        letter(
            'b',
            "deaf subscription, node alive",
            &[from, far],
            Faults { losses: 2, ..ONE },
            Bug::ReceivedIsTaken,
            CUSTODY,
            &["a word was lost", "missed"],
        ),
        letter(
            'c',
            "node killed, key remains",
            &[from, far],
            Faults { kills: 1, ..ONE },
            Bug::SilentHolderStays,
            STALL,
            &["killed", "nobody received it"],
        ),
        letter(
            'd',
            "takeover with a late append",
            &[from, only(reader(2, 0), 1)],
            Faults { delays: 2, connects: 1, ..ONE },
            Bug::AppendsUnderALiveKey,
            STALL,
            &["taken over", "written late"],
        ),
        letter(
            'e',
            "page empty, append, flip",
            &[from, only(away(2), 1)],
            Faults { delays: 1, connects: 1, ..ONE },
            Bug::FlipLooksNowhere,
            STALL,
            &["flip refused"],
        ),
        letter(
            'f',
            "force while live, hint lost, next message pushed locally",
            &[only(sender(1, 0), 1), far],
            Faults { losses: 2, connects: 1, beats: 1, ..TWO },
            Bug::NoHold,
            ORDER,
            &["a word was lost", "held back"],
        ),
        letter(
            'g',
            "ack received, node killed before the backed copy is deleted",
            &[from, far],
            Faults { delays: 1, kills: 1, seconds: 1, ..ONE },
            Bug::NoDedup,
            ONCE,
            &["killed", "came twice"],
        ),
        letter(
            'h',
            "sender's node killed after one device acked, retry elsewhere, epoch rotated meanwhile",
            &[sender(1, 0), far, only(away(2), 1)],
            Faults { kills: 1, delays: 1, rotations: 1, connects: 1, ..ONE },
            Bug::UnderWayForEver,
            STALL,
            &["killed", "epoch refused", "came again under another mid"],
        ),
        letter(
            'i',
            "retry accepted elsewhere, then the first node's late fallback",
            &[only(sender(1, 0), 1), far],
            Faults { delays: 2, connects: 1, ..TWO },
            Bug::DedupOfTheLatest,
            ONCE,
            &["written late", "came twice"],
        ),
        letter(
            'j',
            "device revoked during its enqueue",
            &[stays(sender(1, 1)), to, stays(away(2))],
            Faults { delays: 1, revokes: 1, ..ONE },
            Bug::NoTombstone,
            GONE,
            &["skipped as revoked", "written late"],
        ),
        letter(
            'k',
            "one device acks while another's write is pending",
            &[from, to, stays(away(2))],
            Faults { delays: 1, ..ONE },
            Bug::FirstCompletes,
            CUSTODY,
            &["written late"],
        ),
        letter(
            'l',
            "drain: routed after detach",
            &[from, only(reader(2, 1), 0)],
            Faults { drains: 1, delays: 1, connects: 1, ..ONE },
            Bug::NoKeyNoWrite,
            CUSTODY,
            &["drained", "not here"],
        ),
        letter(
            'm',
            "failover loses the newest keys",
            &[from, only(reader(2, 1), 1)],
            Faults { failovers: 1, expiries: 1, delays: 1, beats: 1, ..ONE },
            Bug::TouchRestoresLive,
            STALL,
            &["another generation", "touched without a key"],
        ),
        letter(
            'n',
            "node paused 11 s, sockets still open",
            &[from, far],
            Faults { pauses: 1, ..TWO },
            Bug::DeadStaysLive,
            STALL,
            &["missed"],
        ),
        tight(
            letter(
                'o',
                "all recipient devices full, own copy delivered",
                &[from, stays(reader(1, 0)), only(away(2), 0)],
                Faults { ..TWO },
                Bug::OwnAtOnce,
                OWN,
                &["queue full"],
            ),
            1,
        ),
        letter(
            'p',
            "touch after detach, or after revoke",
            &[from, only(reader(2, 1), 1)],
            Faults { delays: 1, revokes: 1, beats: 1, connects: 1, ..ONE },
            Bug::TouchRevives,
            GONE,
            &["touched after revoke"],
        ),
        letter(
            'q',
            "retry re-encrypted while the first attempt completes",
            &[sender(1, 0), far],
            Faults { delays: 1, rotations: 1, resends: 2, ..ONE },
            Bug::NoDedupByContent,
            ONCE,
            &["epoch refused", "came again under another mid"],
        ),
        letter(
            'r',
            "back overtaken by the ack's delete, or by a takeover",
            &[from, only(reader(2, 0), 1)],
            Faults { delays: 2, seconds: 1, connects: 1, ..ONE },
            Bug::AckForgetsBacked,
            STALL,
            &["acknowledged while backed", "taken over"],
        ),
        letter(
            's',
            "new send, or a surviving window, before resubmission",
            &[from, only(away(2), 0)],
            Faults { wipes: 1, connects: 1, ..TWO },
            Bug::NewBeforeLost,
            ORDER,
            &["another generation", "resubmitted"],
        ),
        tight(
            letter(
                't',
                "skipped, then the late write succeeds",
                &[only(sender(1, 0), 1), to, only(away(2), 1)],
                Faults { messages: 3, delays: 1, connects: 2, ..NONE },
                Bug::SkipIsForgotten,
                ORDER,
                &["queue full", "written late"],
            ),
            1,
        ),
        letter(
            'u',
            "flip's reply lost",
            &[from, only(away(2), 1)],
            Faults { losses: 1, connects: 1, ..ONE },
            Bug::LostFlipWaits,
            STALL,
            &["a flip's reply was lost"],
        ),
        letter(
            'v',
            "first recipient custody, then the sender's node dies before the own copies",
            &[sender(1, 0), stays(away(1)), far],
            Faults { kills: 1, delays: 1, connects: 1, ..ONE },
            Bug::AcceptedBeforeOwn,
            CUSTODY,
            &["killed", "own copies released", "routed again"],
        ),
    ]
}
