//! What a run says at its end.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use crate::checker::Verdict;
use crate::journal::{Entry, Fact};
use crate::proxy::Counts;

/// The figures of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What repeats its faults.
    pub seed: u64,
    /// How long faults befell.
    pub time: Duration,
    /// Servers.
    pub nodes: usize,
    /// Devices.
    pub devices: u16,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// From the end of each fault until a message was accepted that was said after it.
    pub recoveries: BTreeMap<&'static str, Vec<Duration>>,
    /// From each start of a server until it was ready.
    pub starts: Vec<Duration>,
    /// How long it took until everything was settled after the faults.
    pub settled: Duration,
    /// The longest time without a message that was accepted.
    pub longest_silence: Duration,
    /// Programs of devices that were killed, that ended, and that were stranded; and keys that
    /// people had made anew.
    pub people: [u64; 4],
    /// What the proxy between devices and servers did.
    pub front: Counts,
    /// What the one between servers and Redis did.
    pub back: Counts,
    /// What the checker found.
    pub verdict: Verdict,
    /// Everything else that must not be: panics, ends without a cause, alarms, an injected fault
    /// that was not flagged.
    pub troubles: Vec<String>,
}

impl Report {
    /// Whether every promise was kept, and the checker has proved that it looks.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.verdict.is_clean() && self.troubles.is_empty()
    }
}

/// From the end of each fault to the first acceptance of what was said after it.
#[must_use]
pub fn recoveries(
    facts: &[Entry],
    ended: &[(&'static str, u64)],
) -> BTreeMap<&'static str, Vec<Duration>> {
    let mut all: BTreeMap<&'static str, Vec<Duration>> = BTreeMap::new();
    for (fault, at) in ended {
        let mut said = HashSet::new();
        let after = facts.iter().skip_while(|entry| u64::from(entry.at_ms) < *at);
        let first = after.into_iter().find(|entry| match entry.fact {
            Fact::Says(line) => {
                said.insert(line);
                false
            }
            Fact::Accepted(line) => said.contains(&line),
            _ => false,
        });
        if let Some(first) = first {
            let took = u64::from(first.at_ms) - at;
            all.entry(fault).or_default().push(Duration::from_millis(took));
        }
    }
    all
}

/// The longest time between two acceptances.
#[must_use]
pub fn longest_silence(facts: &[Entry]) -> Duration {
    let accepted = accepted(facts);
    let gaps = accepted.windows(2).map(|pair| pair[1] - pair[0]);
    Duration::from_millis(gaps.max().unwrap_or(0))
}

fn accepted(facts: &[Entry]) -> Vec<u64> {
    let is_one = |entry: &&Entry| matches!(entry.fact, Fact::Accepted(_));
    facts.iter().filter(is_one).map(|entry| u64::from(entry.at_ms)).collect()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Median and longest.
fn spread(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    match (sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(median), Some(last)) => {
            format!("median {}, longest {}", seconds(*median), seconds(*last))
        }
        _ => "none".to_owned(),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, time, nodes, devices, verdict, .. } = self;
        writeln!(
            f,
            "seed {seed}: {} of faults, {nodes} servers, {devices} devices; settled {} later",
            seconds(*time),
            seconds(self.settled),
        )?;
        writeln!(f, "faults:")?;
        for (name, count) in &self.faults {
            let after = self.recoveries.get(name);
            let after = after.map(|times| format!("  said then, accepted: {}", spread(times)));
            writeln!(f, "  {name:<32} {count:>6}{}", after.unwrap_or_default())?;
        }
        let [killed, closed, stranded, renewed] = self.people;
        writeln!(f, "  {:<32} {killed:>6}", "device program killed")?;
        writeln!(f, "  {:<32} {closed:>6}", "device program ended")?;
        writeln!(f, "  {:<32} {stranded:>6}", "device told to stay away")?;
        writeln!(f, "  {:<32} {renewed:>6}", "conversation keys made anew")?;
        for (name, counts) in [("devices", self.front), ("Redis", self.back)] {
            let Counts { connections, cuts, half_closes, holes } = counts;
            writeln!(
                f,
                "  proxy to {name}: {connections} connections, {cuts} cut, {half_closes} \
                 half-closed, {holes} holes"
            )?;
        }
        writeln!(f, "servers ready after a start: {}", spread(&self.starts))?;
        writeln!(f, "longest time without an acceptance: {}", seconds(self.longest_silence))?;
        writeln!(f, "said               {:>8}", verdict.said)?;
        writeln!(f, "accepted           {:>8}", verdict.accepted)?;
        writeln!(f, "shown              {:>8}", verdict.shown)?;
        writeln!(f, "delivered          {:>8}", verdict.delivered)?;
        writeln!(f, "lost               {:>8}", verdict.lost)?;
        writeln!(f, "duplicated         {:>8}", verdict.duplicated)?;
        writeln!(f, "reordered          {:>8}", verdict.reordered)?;
        writeln!(f, "falsely delivered  {:>8}", verdict.falsely_delivered)?;
        writeln!(
            f,
            "unsettled {}, failed {}, unreadable {}, strange {}; {} claims of the server checked",
            verdict.unsettled, verdict.failed, verdict.unreadable, verdict.strange, verdict.claims,
        )?;
        for example in &verdict.examples {
            writeln!(f, "  wrong: {example}")?;
        }
        for trouble in &self.troubles {
            writeln!(f, "  trouble: {trouble}")?;
        }
        write!(f, "{}", if self.is_clean() { "every promise was kept" } else { "NOT CLEAN" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Line;

    #[test]
    fn recovery_is_the_time_until_what_is_said_is_accepted() {
        let line = |n| Line { from: 0, to: 1, n };
        let says = |at_ms, n| Entry { at_ms, fact: Fact::Says(line(n)) };
        let accepted = |at_ms, n| Entry { at_ms, fact: Fact::Accepted(line(n)) };
        let facts =
            [says(50, 1), accepted(100, 1), says(110, 2), accepted(900, 2), accepted(1_000, 3)];
        let found = recoveries(&facts, &[("a", 50), ("a", 51), ("b", 111)]);
        let ms = Duration::from_millis;
        assert_eq!(found.get("a"), Some(&vec![ms(50), ms(849)]));
        assert_eq!(found.get("b"), None);
        assert_eq!(longest_silence(&facts), ms(800));
        assert_eq!(longest_silence(&[]), ms(0));
    }

    #[test]
    fn a_report_says_whether_it_is_clean() {
        let clean = Report::default();
        assert!(clean.to_string().ends_with("every promise was kept"));
        let verdict = Verdict { lost: 1, ..Verdict::default() };
        let lost = Report { verdict, ..Report::default() };
        assert!(!lost.is_clean() && lost.to_string().ends_with("NOT CLEAN"));
        let blind = Report { troubles: vec!["blind".to_owned()], ..Report::default() };
        assert!(!blind.is_clean());
    }
}
