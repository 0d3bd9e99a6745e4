//! `hush listen`: prints what comes in, from everybody.

use std::future::pending;
use std::time::{Duration, Instant};

use hushwire_client::{ClientError, Event};

use crate::failure::Failure;
use crate::output::Out;
use crate::progress::Progress;
use crate::render::Line;
use crate::session::Session;

/// Prints events until `count` messages came, `seconds` passed, or the program is asked to end.
///
/// # Errors
/// If the connection ends for good, or fewer messages came in time.
pub(crate) async fn run(
    session: &mut Session,
    json: bool,
    count: Option<u64>,
    seconds: Option<u64>,
    out: &mut Out,
) -> Result<(), Failure> {
    let mut progress = Progress::default();
    let deadline = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => pending().await,
        }
    };
    tokio::pin!(deadline);
    let mut got = 0;
    loop {
        let event = tokio::select! {
            biased;
            () = session.stop.asked() => return Ok(()),
            () = &mut deadline => {
                return match count {
                    Some(wanted) => Err(Failure::TooFew { got, wanted }),
                    None => Ok(()),
                };
            }
            event = session.events.recv() => event,
        };
        let Some(event) = event else { return Err(ClientError::Closed.into()) };
        let line = Line::from(&event);
        progress.take(&line, Instant::now());
        if json {
            out.json(&line)?;
        } else if let Some(words) = line.words(&progress, out.paint()) {
            out.line(&words)?;
        }
        match &event {
            Event::MessageReceived(message) => {
                // Printed and flushed: only now it counts as shown.
                session.client.mark_shown(message).await?;
                got += 1;
                if count.is_some_and(|count| got >= count) {
                    return Ok(());
                }
            }
            Event::Disconnected { why, retry_in_ms: None } => {
                return Err(Failure::Ended(why.clone()));
            }
            _ => {}
        }
    }
}
