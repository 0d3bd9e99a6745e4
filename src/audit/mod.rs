//! `hushwire audit`: what can be seen from outside of a running deployment that it keeps messages
//! in memory only. Nothing of it asks the server: the database's catalogue, the settings of Redis,
//! the log's own file and the kernel are read.

mod database;
mod log;
mod process;
mod queue;

use std::path::PathBuf;

use serde::Serialize;

use crate::settings::Settings;

/// How something looked at came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// As it must be.
    Holds,
    /// Not as it must be, or not to be seen.
    Fails,
    /// Nothing to be said of it here, and nothing wrong.
    Skipped,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Line {
    outcome: Outcome,
    /// What it belongs to: `database`, `queue`, `process`, `files` or `log`.
    part: &'static str,
    /// What was looked at.
    what: String,
    /// What was found, or what to do.
    found: String,
}

impl Line {
    fn holds(part: &'static str, what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { outcome: Outcome::Holds, part, what: what.into(), found: found.into() }
    }

    fn fails(part: &'static str, what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { outcome: Outcome::Fails, part, what: what.into(), found: found.into() }
    }

    fn skipped(part: &'static str, what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { outcome: Outcome::Skipped, part, what: what.into(), found: found.into() }
    }
}

/// What the operator names besides the settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sought {
    /// The server's process; `None` for whoever listens at `admin.listen`.
    pub(crate) pid: Option<u32>,
    /// The file that the server's log goes to.
    pub(crate) log: Option<PathBuf>,
}

/// Everything that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    passed: bool,
    lines: Vec<Line>,
}

impl Report {
    /// Looks at everything.
    pub(crate) async fn of(settings: &Settings, sought: &Sought) -> Self {
        let mut lines = database::look(settings).await;
        lines.extend(queue::look(settings).await);
        lines.extend(process::look(settings, sought));
        lines.extend(log::look(sought.log.as_deref()));
        Self::new(lines)
    }

    fn new(lines: Vec<Line>) -> Self {
        let passed = lines.iter().all(|line| line.outcome != Outcome::Fails);
        Self { passed, lines }
    }

    /// Whether nothing fails.
    pub(crate) const fn passed(&self) -> bool {
        self.passed
    }

    /// How many lines fail.
    pub(crate) fn failures(&self) -> usize {
        self.lines.iter().filter(|line| line.outcome == Outcome::Fails).count()
    }

    /// For programs.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// For people: a line each, in columns, with what fails at the end again.
    pub(crate) fn text(&self) -> String {
        let width = |of: fn(&Line) -> &str| {
            self.lines.iter().map(|line| of(line).chars().count()).max().unwrap_or(0)
        };
        let (part, what) = (width(|line| line.part), width(|line| &line.what).min(44));
        let row = |line: &Line| {
            let outcome = match line.outcome {
                Outcome::Holds => "ok  ",
                Outcome::Fails => "FAIL",
                Outcome::Skipped => "-   ",
            };
            format!("{outcome}  {:<part$}  {:<what$}  {}", line.part, line.what, line.found)
        };
        let mut rows: Vec<_> = self.lines.iter().map(row).collect();
        rows.push(String::new());
        let failed = self.lines.iter().filter(|line| line.outcome == Outcome::Fails);
        match self.failures() {
            0 => rows.push("Nothing was found that could keep a message.".to_owned()),
            1 => rows.push("One thing is not as it must be:".to_owned()),
            more => rows.push(format!("{more} things are not as they must be:")),
        }
        rows.extend(failed.map(row));
        rows.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_fails_all_and_is_told_again_at_the_end() {
        let good = Line::holds("database", "users.handle", "the username");
        let bad = Line::fails("log", "line 7", "a long text");
        let skipped = Line::skipped("process", "memory", "not to be told");
        let report = Report::new(vec![good.clone(), skipped.clone()]);
        assert!(report.passed() && report.text().contains("Nothing was found"));
        let report = Report::new(vec![good, bad, skipped]);
        assert!(!report.passed());
        let text = report.text();
        assert!(text.starts_with("ok    database  users.handle  the username\n"), "{text}");
        assert_eq!(text.matches("FAIL  log       line 7").count(), 2, "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["passed"], false);
        assert_eq!(json["lines"][1]["outcome"], "fails");
    }
}
