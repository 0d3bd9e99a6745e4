//! Where messages wait: in the server's own memory, or in a Redis that keeps them there.

use hushwire_redis::Finding;

use super::Line;
use crate::logging::causes;
use crate::settings::Settings;
use crate::stores;

const PART: &str = "queue";

pub(super) async fn look(settings: &Settings) -> Vec<Line> {
    if !settings.redis.is_used() {
        return vec![Line::holds(PART, "messages", "in the memory of the server's process alone")];
    }
    match stores::audit_redis(&settings.redis).await {
        Ok(looked) => looked.iter().map(line).collect(),
        Err(error) => vec![Line::fails(PART, "Redis", causes(&error))],
    }
}

fn line(finding: &Finding) -> Line {
    let Finding { server, setting, found, wanted, why, mend, .. } = finding;
    let what = format!("{server}: {setting}");
    if finding.holds {
        return Line::holds(PART, what, format!("\"{found}\""));
    }
    Line::fails(PART, what, format!("\"{found}\", must be {wanted}, since {why}. Now: {mend}"))
}
