//! Faults injected into copies of a run's own journal, one of each kind: a checker that does not
//! see them sees nothing.

use crate::checker::{Verdict, judge};
use crate::dice::Dice;
use crate::journal::{Entry, Fact, Line};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An accepted message that was never shown.
    Loss,
    /// A message that was shown twice.
    Duplicate,
    /// Two messages that were shown the wrong way round.
    Reorder,
    /// A `delivered` that no device had acknowledged.
    FalseDelivery,
}

/// All of them.
pub const KINDS: [Kind; 4] = [Kind::Loss, Kind::Duplicate, Kind::Reorder, Kind::FalseDelivery];

impl Kind {
    const fn figure(self, verdict: &Verdict) -> u64 {
        match self {
            Self::Loss => verdict.lost,
            Self::Duplicate => verdict.duplicated,
            Self::Reorder => verdict.reordered,
            Self::FalseDelivery => verdict.falsely_delivered,
        }
    }
}

/// Puts one fault of each kind into a copy, and has the checker look.
///
/// # Errors
/// Which kind could not be injected, for want of messages, or was not flagged.
pub fn all_are_flagged(facts: &[Entry], verdict: &Verdict, seed: u64) -> Result<(), String> {
    for (index, kind) in KINDS.into_iter().enumerate() {
        let mut dice = Dice::new(seed, u64::try_from(index).unwrap_or(0));
        let spoilt = inject(facts, kind, &mut dice)
            .ok_or_else(|| format!("too little happened to inject {kind:?}: run longer"))?;
        let (before, after) = (kind.figure(verdict), kind.figure(&judge(&spoilt)));
        if after <= before {
            return Err(format!("the checker did not flag an injected {kind:?}: {before}"));
        }
    }
    Ok(())
}

/// A copy with one fault; `None` if nothing in it can be spoilt so.
#[must_use]
pub fn inject(facts: &[Entry], kind: Kind, dice: &mut Dice) -> Option<Vec<Entry>> {
    match kind {
        Kind::Loss => lose(facts, dice),
        Kind::Duplicate => duplicate(facts, dice),
        Kind::Reorder => reorder(facts, dice),
        Kind::FalseDelivery => claim(facts, dice),
    }
}

fn choose<T: Copy>(all: &[T], dice: &mut Dice) -> Option<T> {
    all.get(dice.below(all.len())).copied()
}

fn told(facts: &[Entry]) -> Vec<(usize, Line, u64)> {
    let told = facts.iter().enumerate().filter_map(|(at, entry)| match entry.fact {
        Fact::Told(line, place) => Some((at, line, place)),
        _ => None,
    });
    told.collect()
}

fn lose(facts: &[Entry], dice: &mut Dice) -> Option<Vec<Entry>> {
    let shown: std::collections::HashSet<Line> =
        told(facts).into_iter().map(|(_, line, _)| line).collect();
    let accepted: Vec<Line> = facts
        .iter()
        .filter_map(|entry| match entry.fact {
            Fact::Accepted(line) if shown.contains(&line) => Some(line),
            _ => None,
        })
        .collect();
    let lost = choose(&accepted, dice)?;
    let is_of_it = |fact: &Fact| {
        matches!(fact, Fact::Told(line, _) | Fact::Marked(line, _) | Fact::Kept(line)
            if *line == lost)
    };
    Some(facts.iter().filter(|entry| !is_of_it(&entry.fact)).copied().collect())
}

fn duplicate(facts: &[Entry], dice: &mut Dice) -> Option<Vec<Entry>> {
    let told = told(facts);
    let (at, line, _) = choose(&told, dice)?;
    let place = 1 + told.iter().map(|(_, _, place)| *place).max()?;
    let mut spoilt = facts.to_vec();
    let again = Entry { fact: Fact::Told(line, place), ..facts[at] };
    spoilt.insert(at + 1 + dice.below(facts.len() - at), again);
    Some(spoilt)
}

fn reorder(facts: &[Entry], dice: &mut Dice) -> Option<Vec<Entry>> {
    let told = told(facts);
    // The first sight of each line, and the next of its pair after it.
    let pairs: Vec<(usize, usize)> = told
        .iter()
        .enumerate()
        .filter_map(|(index, (at, line, _))| {
            let mut later = told[index + 1..].iter();
            let is_next = |(_, other, _): &&(usize, Line, u64)| {
                (other.from, other.to) == (line.from, line.to) && other.n > line.n
            };
            let first = !told[..index].iter().any(|(_, other, _)| other == line);
            first.then(|| later.find(is_next)).flatten().map(|(next, _, _)| (*at, *next))
        })
        // One of the first is as good as any, and a long journal is read once only.
        .take(1_000)
        .collect();
    let (one, other) = choose(&pairs, dice)?;
    // It comes late: after the next, and not before. The next does not come early, for it may not
    // have been said yet.
    let late = facts[one].fact;
    let is_of_it = |at: &usize| *at < other && facts[*at].fact == late;
    let rest = (0..facts.len()).filter(|at| !is_of_it(at));
    Some(
        rest.flat_map(|at| {
            let then = (at == other).then_some(Entry { fact: late, ..facts[at] });
            std::iter::once(facts[at]).chain(then)
        })
        .collect(),
    )
}

fn claim(facts: &[Entry], dice: &mut Dice) -> Option<Vec<Entry>> {
    let claims: Vec<(usize, usize)> = facts
        .iter()
        .enumerate()
        .filter_map(|(at, entry)| {
            let Fact::Claimed(device, mid) = entry.fact else { return None };
            let acked = facts[..at].iter().rposition(|e| e.fact == Fact::Acked(device, mid))?;
            Some((acked, at))
        })
        .take(100)
        .collect();
    let (_, at) = choose(&claims, dice)?;
    // The server says it before anything happened.
    let mut spoilt = facts.to_vec();
    let claimed = spoilt.remove(at);
    spoilt.insert(0, claimed);
    Some(spoilt)
}

#[cfg(test)]
mod tests;
