//! The checker: from the journal alone, what was lost, duplicated, reordered and falsely reported
//! as delivered. It knows nothing of the engine, and shares no code with it.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::journal::{Bytes16, Device, Entry, Fact, Line};

/// Examples that are kept of what is wrong.
const EXAMPLES_MAX: usize = 20;

/// What the journal says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Lines that an outbox took for good.
    pub said: u64,
    /// Lines that a sender heard to be accepted.
    pub accepted: u64,
    /// Different lines that were shown.
    pub shown: u64,
    /// Lines of which the sender heard that they were delivered.
    pub delivered: u64,
    /// Claims of the server that a device has persisted a message.
    pub claims: u64,
    /// Accepted, and at the end not shown: each is a broken promise.
    pub lost: u64,
    /// Shown more often than once.
    pub duplicated: u64,
    /// Shown after a later one of the same pair.
    pub reordered: u64,
    /// Reported as delivered before the recipient's device had said so, or never shown.
    pub falsely_delivered: u64,
    /// Said, and at the end neither accepted, nor shown, nor reported as failed.
    pub unsettled: u64,
    /// Reported as failed to the sender.
    pub failed: u64,
    /// Reported as unreadable to the sender.
    pub unreadable: u64,
    /// Shown, though nobody said it to that device, or shown and not in the history at the end, or
    /// the other way round.
    pub strange: u64,
    /// Some of what is wrong, in words.
    pub examples: Vec<String>,
}

impl Verdict {
    /// Whether every promise was kept and nothing is left over.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.lost == 0
            && self.duplicated == 0
            && self.reordered == 0
            && self.falsely_delivered == 0
            && self.unsettled == 0
            && self.strange == 0
            && self.failed == 0
            && self.unreadable == 0
    }

    fn example(&mut self, what: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(what());
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "said {} | accepted {} | shown {} | delivered {} | lost {} | duplicated {} | reordered \
             {} | falsely delivered {} | unsettled {} | failed {} | unreadable {} | strange {}",
            self.said,
            self.accepted,
            self.shown,
            self.delivered,
            self.lost,
            self.duplicated,
            self.reordered,
            self.falsely_delivered,
            self.unsettled,
            self.failed,
            self.unreadable,
            self.strange,
        )
    }
}

/// What is known of one line.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    begun: bool,
    said: bool,
    unsaid: bool,
    accepted: bool,
    delivered: bool,
    failed: bool,
    unreadable: bool,
    kept: bool,
    shown: Option<Shown>,
}

/// Where a line was shown first, and whether it may be handed over again: a program that was
/// killed before it could say that it showed a line is handed it again, and drops it by its place.
#[derive(Clone, Copy, Debug)]
struct Shown {
    place: u64,
    marked: bool,
    life: u32,
}

#[derive(Default)]
struct Reading {
    lines: HashMap<Line, Known>,
    lives: HashMap<Device, u32>,
    /// By pair: the highest number that was shown.
    newest: HashMap<(Device, Device), u32>,
    acked: HashSet<(Bytes16, Bytes16)>,
    closed: bool,
    verdict: Verdict,
}

/// Judges a journal of a run that has come to rest.
#[must_use]
pub fn judge(facts: &[Entry]) -> Verdict {
    let mut reading = Reading::default();
    for entry in facts {
        reading.take(entry);
    }
    reading.end()
}

impl Reading {
    fn take(&mut self, entry: &Entry) {
        let at = entry.at_ms;
        match entry.fact {
            Fact::Began(device) => *self.lives.entry(device).or_default() += 1,
            Fact::Closed(_) | Fact::Killed(_) => {}
            // What led to it is not judged.
            Fact::Sent(..) | Fact::Took(..) | Fact::Refused(..) => {}
            Fact::Welcomed(..) | Fact::Lost(..) | Fact::Restored(..) => {}
            Fact::Says(line) => self.line(line).begun = true,
            Fact::Said(line) => self.line(line).said = true,
            Fact::Unsaid(line) => self.line(line).unsaid = true,
            Fact::Accepted(line) => self.line(line).accepted = true,
            Fact::Delivered(line) => self.line(line).delivered = true,
            Fact::Failed(line) => self.line(line).failed = true,
            Fact::Unreadable(line) => self.line(line).unreadable = true,
            Fact::Kept(line) => {
                self.closed = true;
                if std::mem::replace(&mut self.line(line).kept, true) {
                    self.verdict.duplicated += 1;
                    self.verdict.example(|| format!("{at} ms: {line} is in the history twice"));
                }
            }
            Fact::Told(line, place) => self.told(line, place, at),
            Fact::Marked(line, place) => {
                if let Some(shown) = &mut self.line(line).shown
                    && shown.place == place
                {
                    shown.marked = true;
                }
            }
            Fact::Strange(device) => {
                self.verdict.strange += 1;
                self.verdict.example(|| format!("{at} ms: {device} was shown something strange"));
            }
            Fact::Acked(device, mid) => drop(self.acked.insert((device, mid))),
            Fact::Claimed(device, mid) => {
                self.verdict.claims += 1;
                if !self.acked.contains(&(device, mid)) {
                    self.verdict.falsely_delivered += 1;
                    self.verdict.example(|| {
                        format!("{at} ms: delivered before the device had acknowledged it")
                    });
                }
            }
        }
    }

    fn line(&mut self, line: Line) -> &mut Known {
        self.lines.entry(line).or_default()
    }

    fn told(&mut self, line: Line, place: u64, at: u32) {
        let life = self.lives.get(&line.to).copied().unwrap_or(0);
        let known = self.line(line);
        if !known.begun || known.unsaid {
            self.verdict.strange += 1;
            self.verdict.example(|| format!("{at} ms: {line} was shown, and never said"));
            return;
        }
        let Some(first) = known.shown else {
            known.shown = Some(Shown { place, marked: false, life });
            self.verdict.shown += 1;
            let newest = self.newest.entry((line.from, line.to)).or_insert(line.n);
            if line.n < *newest {
                let later = *newest;
                self.verdict.reordered += 1;
                self.verdict.example(|| format!("{at} ms: {line} was shown after #{later}"));
            }
            *newest = line.n.max(*newest);
            return;
        };
        let again = first.place == place && !first.marked && first.life < life;
        if again {
            known.shown = Some(Shown { life, ..first });
            return;
        }
        self.verdict.duplicated += 1;
        self.verdict.example(|| {
            format!("{at} ms: {line} was shown again, at {place}; before at {}", first.place)
        });
    }

    fn end(self) -> Verdict {
        let mut lines: Vec<_> = self.lines.into_iter().collect();
        lines.sort_unstable_by_key(|(line, _)| *line);
        let mut verdict = self.verdict;
        for (line, known) in lines {
            let is_shown = known.shown.is_some();
            verdict.said += u64::from(known.said);
            verdict.accepted += u64::from(known.accepted);
            verdict.delivered += u64::from(known.delivered);
            verdict.failed += u64::from(known.failed);
            verdict.unreadable += u64::from(known.unreadable);
            if known.failed {
                verdict.example(|| format!("{line} failed"));
            }
            if known.unreadable {
                verdict.example(|| format!("{line} could not be read"));
            }
            if known.accepted && !is_shown {
                verdict.lost += 1;
                verdict.example(|| format!("{line} was accepted, and never shown"));
            }
            if known.delivered && !is_shown {
                verdict.falsely_delivered += 1;
                verdict.example(|| format!("{line} was delivered, and never shown"));
            }
            let is_settled = known.accepted || known.failed || is_shown;
            if known.said && !is_settled {
                verdict.unsettled += 1;
                verdict.example(|| format!("{line} was said, and nothing came of it"));
            }
            if self.closed && known.kept != is_shown {
                verdict.strange += 1;
                verdict.example(|| {
                    let (is, not) = if is_shown { ("shown", "kept") } else { ("kept", "shown") };
                    format!("{line} was {is}, and not {not}")
                });
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests;
