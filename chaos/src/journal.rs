//! What happened, in the order in which it happened: an append-only list of facts that devices and
//! their connections tell. Nothing of it is taken back, and nothing of the engine is in it.
//!
//! A fact is written before the act that it is the cause of (a word before it is said, an
//! acknowledgement before it leaves) and after the act that it is the effect of. So a fact that
//! must come after another on the wire comes after it here, too.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A device, by its number in the run.
pub type Device = u16;
/// 16 bytes: a message's id on the wire, or a device's.
pub type Bytes16 = [u8; 16];

/// Facts at most, some 48 bytes each: past it the run ends early and says so.
pub const FACTS_MAX: usize = 8_000_000;

/// One message of one device to another: the pair and its number in it, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Line {
    /// Who says it.
    pub from: Device,
    /// To whom.
    pub to: Device,
    /// Its number among what the one says to the other.
    pub n: u32,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A device's program begins.
    Began(Device),
    /// It ended in good order.
    Closed(Device),
    /// It was killed.
    Killed(Device),
    /// The line is about to be said.
    Says(Line),
    /// It is in the outbox for good.
    Said(Line),
    /// The outbox did not take it.
    Unsaid(Line),
    /// The sender heard that the server has it in custody.
    Accepted(Line),
    /// The sender heard that the recipient has it.
    Delivered(Line),
    /// The sender heard that it will not be sent.
    Failed(Line),
    /// The sender heard that the recipient could not read it.
    Unreadable(Line),
    /// The recipient's program was handed the line, with its place in the conversation.
    Told(Line, u64),
    /// The recipient's program has said that it showed what is at this place, and was heard.
    Marked(Line, u64),
    /// At the end, the line is in the recipient's history.
    Kept(Line),
    /// The device was shown something that nobody said to it.
    Strange(Device),
    /// An acknowledgement of a message leaves a device.
    Acked(Bytes16, Bytes16),
    /// The server says to a sender that a device has persisted a message.
    Claimed(Bytes16, Bytes16),
    /// A message leaves a device, with its number, and whether it is sent again after a loss. This
    /// and what follows is judged by nobody: it is for whoever looks for a cause.
    Sent(Device, Bytes16, u64, bool),
    /// The server takes a message.
    Took(Device, Bytes16),
    /// The server refuses a message, with the row of the table of rejects.
    Refused(Device, Bytes16, &'static str),
    /// The server greets a device, with the generation of its queues.
    Welcomed(Device, Bytes16),
    /// The server says that its queues were lost.
    Lost(Device, Bytes16),
    /// The device says that it has sent again what was lost.
    Restored(Device, Bytes16),
}

/// A fact and when, since the beginning of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// In milliseconds.
    pub at_ms: u32,
    /// What.
    pub fact: Fact,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |bytes: &Bytes16| {
            // Enough to tell them apart.
            bytes[..6].iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
        };
        write!(f, "{:>9} ", self.at_ms)?;
        match &self.fact {
            Fact::Acked(device, mid) => write!(f, "Acked({}, {})", hex(device), hex(mid)),
            Fact::Claimed(device, mid) => write!(f, "Claimed({}, {})", hex(device), hex(mid)),
            Fact::Sent(device, mid, sn, again) => {
                let again = if *again { ", again" } else { "" };
                write!(f, "Sent({device}, {}, sn {sn}{again})", hex(mid))
            }
            Fact::Took(device, mid) => write!(f, "Took({device}, {})", hex(mid)),
            Fact::Refused(device, mid, why) => write!(f, "Refused({device}, {}, {why})", hex(mid)),
            Fact::Welcomed(device, of) => write!(f, "Welcomed({device}, {})", hex(of)),
            Fact::Lost(device, of) => write!(f, "Lost({device}, {})", hex(of)),
            Fact::Restored(device, of) => write!(f, "Restored({device}, {})", hex(of)),
            Fact::Told(line, place) => write!(f, "Told({line}, at {place})"),
            Fact::Marked(line, place) => write!(f, "Marked({line}, at {place})"),
            Fact::Says(line) => write!(f, "Says({line})"),
            Fact::Said(line) => write!(f, "Said({line})"),
            Fact::Unsaid(line) => write!(f, "Unsaid({line})"),
            Fact::Accepted(line) => write!(f, "Accepted({line})"),
            Fact::Delivered(line) => write!(f, "Delivered({line})"),
            Fact::Failed(line) => write!(f, "Failed({line})"),
            Fact::Unreadable(line) => write!(f, "Unreadable({line})"),
            Fact::Kept(line) => write!(f, "Kept({line})"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}>{} #{}", self.from, self.to, self.n)
    }
}

#[derive(Debug, Default)]
struct Written {
    facts: Vec<Entry>,
    /// Said, and neither told to the recipient nor failed.
    open: HashSet<Line>,
    accepted: u64,
    told: HashMap<(Device, Device), u32>,
}

/// See the module.
#[derive(Debug)]
pub struct Journal {
    began: Instant,
    most: usize,
    written: Mutex<Written>,
}

impl Default for Journal {
    fn default() -> Self {
        Self::within(FACTS_MAX)
    }
}

impl Journal {
    /// An empty one with room for so many facts.
    #[must_use]
    pub fn within(most: usize) -> Self {
        Self { began: Instant::now(), most, written: Mutex::default() }
    }

    /// Appends.
    pub fn add(&self, fact: Fact) {
        let mut written = self.lock();
        let at_ms = u32::try_from(self.began.elapsed().as_millis()).unwrap_or(u32::MAX);
        if written.facts.len() >= self.most {
            return;
        }
        match fact {
            Fact::Said(line) => drop(written.open.insert(line)),
            Fact::Told(line, _) | Fact::Failed(line) => drop(written.open.remove(&line)),
            Fact::Accepted(_) => written.accepted += 1,
            _ => {}
        }
        if let Fact::Told(line, _) = fact {
            *written.told.entry((line.from, line.to)).or_default() += 1;
        }
        written.facts.push(Entry { at_ms, fact });
    }

    /// Whether there is no room for more: what follows is not written.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.lock().facts.len() >= self.most
    }

    /// How many lines were said and neither shown nor failed yet.
    #[must_use]
    pub fn open(&self) -> usize {
        self.lock().open.len()
    }

    /// How many were accepted, and how many shown, so far.
    #[must_use]
    pub fn so_far(&self) -> (u64, u64) {
        let written = self.lock();
        (written.accepted, written.told.values().map(|told| u64::from(*told)).sum())
    }

    /// The time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// A copy of all that was written.
    #[must_use]
    pub fn facts(&self) -> Vec<Entry> {
        self.lock().facts.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line = Line { from: 1, to: 2, n: 3 };

    #[test]
    fn it_keeps_the_order_and_counts_what_is_open() {
        let journal = Journal::default();
        for fact in [Fact::Says(LINE), Fact::Said(LINE), Fact::Accepted(LINE)] {
            journal.add(fact);
        }
        assert_eq!((journal.open(), journal.so_far()), (1, (1, 0)));
        journal.add(Fact::Told(LINE, 0));
        assert_eq!((journal.open(), journal.so_far()), (0, (1, 1)));
        let facts = journal.facts();
        assert!(facts.is_sorted_by_key(|entry| entry.at_ms));
        assert_eq!(facts.last().map(|entry| entry.fact), Some(Fact::Told(LINE, 0)));
        assert!(facts[0].to_string().ends_with("Says(1>2 #3)"), "{}", facts[0]);
    }

    #[test]
    fn past_its_bound_nothing_is_written_and_it_says_so() {
        let journal = Journal::within(3);
        for n in 0..3 {
            assert!(!journal.is_full());
            journal.add(Fact::Said(Line { n, ..LINE }));
        }
        assert!(journal.is_full());
        journal.add(Fact::Said(Line { n: 9, ..LINE }));
        assert_eq!((journal.facts().len(), journal.open()), (3, 3));
    }
}
