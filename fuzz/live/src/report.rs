//! What a run did and saw, for people.

use std::fmt;
use std::time::Duration;

use crate::oracle::Heard;

/// A run without a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Connections played.
    pub connections: u64,
    /// Requests and frames sent on them.
    pub inputs: u64,
    /// How long that took.
    pub took: Duration,
    /// Connections that could not be opened, since another of the same device displaced them.
    pub unopened: u64,
    /// Messages that the bystanders exchanged.
    pub messages: u64,
    /// Median of their hop, in microseconds.
    pub hop_p50_us: u64,
    /// The 99th percentile.
    pub hop_p99_us: u64,
    /// Resident memory after the warm-up, at most, and at the end, in KiB.
    pub memory_kib: [u64; 3],
    /// Open files of the server before, and when all was over.
    pub files: [usize; 2],
    pub(crate) heard: Heard,
}

impl Report {
    /// HTTP answers that granted and refused, frames, and `accepted`, rejects and closes among them.
    #[must_use]
    pub const fn answers(&self) -> [u64; 6] {
        let Heard { granted, refused, frames, accepted, rejects, closes } = self.heard;
        [granted, refused, frames, accepted, rejects, closes]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64().max(0.001);
        // Figures for people.
        #[expect(clippy::cast_precision_loss, reason = "figures below 2^53")]
        let rate = |count: u64| count as f64 / seconds;
        let [granted, refused, frames, accepted, rejects, closes] = self.answers();
        let [warm, most, end] = self.memory_kib;
        writeln!(
            f,
            "seed {}: {} inputs on {} connections in {seconds:.1} s ({:.0} inputs and {:.0} \
             connections a second), no finding",
            self.seed,
            self.inputs,
            self.connections,
            rate(self.inputs),
            rate(self.connections),
        )?;
        writeln!(
            f,
            "answers: {granted} granted and {refused} refused by HTTP; {frames} frames, of them \
             {accepted} accepted, {rejects} rejects and {closes} closes; {} displaced before their welcome",
            self.unopened
        )?;
        writeln!(
            f,
            "bystanders: {} messages, none lost; hop p50 {} us, p99 {} us",
            self.messages, self.hop_p50_us, self.hop_p99_us
        )?;
        write!(
            f,
            "server: {warm} KiB after the warm-up, {most} at most, {end} at the end; {} files \
             before, {} after",
            self.files[0], self.files[1]
        )
    }
}
