//! Where messages wait: Redis, and each replica of it, brings none to a disk.

use hushwire_redis::Reading;

use super::Line;
use crate::logging::causes;
use crate::settings::Settings;
use crate::stores;

const PART: &str = "queue";

pub(super) async fn look(settings: &Settings) -> Vec<Line> {
    match stores::readings(settings).await {
        Ok(None) => {
            vec![Line::holds(PART, "messages", "in the memory of the server's process alone")]
        }
        Ok(Some(readings)) => readings.into_iter().map(line).collect(),
        Err(error) => vec![Line::fails(PART, "Redis", causes(&error))],
    }
}

fn line(reading: Reading) -> Line {
    let Reading { server, setting, found, finding } = reading;
    let what = format!("{setting}, {server}");
    match finding {
        None => Line::holds(PART, what, format!("\"{found}\"")),
        Some(finding) => Line::fails(
            PART,
            what,
            format!("\"{found}\", must be {}: {}", finding.wanted, finding.mend),
        ),
    }
}
