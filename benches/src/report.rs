//! Medians, ranges and ratios, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::figures::TOGETHER;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The server.
    Server,
    /// The bare relay.
    Relay,
}

/// One round's figures of one subject.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Resident memory of an idle device, in KiB.
    pub(crate) idle_kib: f64,
    /// Median latency of one hop, in microseconds.
    pub(crate) p50_us: f64,
    /// The 99th percentile.
    pub(crate) p99_us: f64,
    /// CPU of a message, in microseconds, one pair writing.
    pub(crate) cpu_alone_us: f64,
    /// The same, all pairs writing.
    pub(crate) cpu_together_us: f64,
    /// Messages a second, all pairs writing.
    pub(crate) rate: f64,
}

type Column = (&'static str, &'static str, fn(&Sample) -> f64);

const COLUMNS: [Column; 6] = [
    ("idle_kib", "memory of an idle device, KiB", |s| s.idle_kib),
    ("p50_us", "one hop, p50, us", |s| s.p50_us),
    ("p99_us", "one hop, p99, us", |s| s.p99_us),
    ("cpu_alone_us", "CPU of a message, one pair, us", |s| s.cpu_alone_us),
    ("cpu_together_us", "CPU of a message, all pairs, us", |s| s.cpu_together_us),
    ("rate", "messages a second, all pairs", |s| s.rate),
];

/// All rounds.
#[derive(Debug)]
pub(crate) struct Report {
    pinned: bool,
    devices: u32,
    messages: u32,
    pairs: u32,
    server: Vec<Sample>,
    relay: Vec<Sample>,
}

/// Median, lowest and highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    median: f64,
    low: f64,
    high: f64,
}

impl Spread {
    fn of(samples: &[Sample], figure: fn(&Sample) -> f64) -> Self {
        Self::of_values(samples.iter().map(figure).collect())
    }

    pub(crate) fn of_values(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let nth = |at: usize| values.get(at).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        let median = f64::midpoint(nth(last / 2), nth(last.div_ceil(2)));
        Self { median, low: nth(0), high: nth(last) }
    }

    /// For a table; a dash for nothing measured.
    pub(crate) fn cell(&self) -> String {
        if self.median.is_nan() {
            return "-".to_owned();
        }
        format!("{:.2} ({:.2}-{:.2})", self.median, self.low, self.high)
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "median": self.median, "low": self.low, "high": self.high })
    }
}

impl Report {
    pub(crate) fn new(pinned: bool, devices: u32, messages: u32, pairs: u32) -> Self {
        Self { pinned, devices, messages, pairs, server: Vec::new(), relay: Vec::new() }
    }

    pub(crate) fn add(&mut self, subject: Subject, sample: Sample) {
        match subject {
            Subject::Server => self.server.push(sample),
            Subject::Relay => self.relay.push(sample),
        }
    }

    /// For people: medians, ranges in parentheses, and server over relay.
    pub(crate) fn table(&self) -> String {
        let mut out = String::new();
        let row = |out: &mut String, cells: [&str; 4]| {
            let [what, server, relay, ratio] = cells;
            // Writing to a string cannot fail.
            let _ = writeln!(out, "| {what:<33} | {server:>26} | {relay:>26} | {ratio:>5} |");
        };
        row(&mut out, ["medians (lowest-highest)", "server", "bare relay", "ratio"]);
        row(&mut out, ["---", "---:", "---:", "---:"]);
        for (_, title, figure) in COLUMNS {
            let (server, relay) = self.spreads(figure);
            let ratio = server.median / relay.median;
            let ratio = if ratio.is_nan() { "-".to_owned() } else { format!("{ratio:.2}") };
            row(&mut out, [title, &server.cell(), &relay.cell(), &ratio]);
        }
        let _ = writeln!(
            out,
            "\n{} rounds in turn; {} idle devices; {} messages one after the other, and {} of {} \
             pairs at once;\ncontent padded to 256 bytes, CBOR; {}.",
            self.relay.len(),
            self.devices,
            self.messages,
            self.messages * TOGETHER,
            self.pairs,
            if self.pinned {
                "server or relay on core 0, generator on core 1"
            } else {
                "not pinned to cores"
            }
        );
        out
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let figures: serde_json::Map<String, Value> = COLUMNS
            .iter()
            .map(|(key, _, figure)| {
                let (server, relay) = self.spreads(*figure);
                let value = json!({
                    "server": server.json(),
                    "relay": relay.json(),
                    "ratio": server.median / relay.median,
                });
                ((*key).to_owned(), value)
            })
            .collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "rounds": self.relay.len(),
            "devices": self.devices,
            "messages": self.messages,
            "pairs": self.pairs,
            "pinned": self.pinned,
            "machine": machine(),
            "figures": figures,
        })
    }

    fn spreads(&self, figure: fn(&Sample) -> f64) -> (Spread, Spread) {
        (Spread::of(&self.server, figure), Spread::of(&self.relay, figure))
    }
}

/// What the figures were measured on: processor and number of cores.
pub(crate) fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, m)| m)
        .collect();
    format!("{} x {}", models.len(), models.first().copied().unwrap_or("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(value: f64) -> Sample {
        Sample {
            idle_kib: value,
            p50_us: value,
            p99_us: value,
            cpu_alone_us: value,
            cpu_together_us: value,
            rate: value,
        }
    }

    #[test]
    fn medians_ranges_and_ratios() {
        let mut report = Report::new(true, 10, 20, 2);
        for value in [9.0, 3.0, 6.0] {
            report.add(Subject::Server, sample(value));
        }
        for value in [2.0, 4.0] {
            report.add(Subject::Relay, sample(value));
        }
        let (server, relay) = report.spreads(|s| s.p50_us);
        assert_eq!(server, Spread { median: 6.0, low: 3.0, high: 9.0 });
        assert_eq!(relay.median, 3.0);
        let table = report.table();
        assert!(table.contains("6.00 (3.00-9.00)") && table.contains(" 2.00 |"), "{table}");
        assert_eq!(report.json()["figures"]["p50_us"]["ratio"], 2.0);
    }
}
