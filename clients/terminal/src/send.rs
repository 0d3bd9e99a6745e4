//! `hush send`: one message, and how far it must come.

use std::io::{self, Read as _};
use std::time::{Duration, Instant};

use hushwire_client::{Event, Id};

use crate::chat;
use crate::cli::{Send, Until, Way};
use crate::failure::Failure;
use crate::output::Out;
use crate::progress::Progress;
use crate::render::{Line, counted};
use crate::session::Session;

/// What is read from the standard input, at most; the SDK judges the rest.
const INPUT_MAX: u64 = 1024 * 1024;

/// The messages: the arguments, the first of which may be `-`.
///
/// # Errors
/// As [`text`].
pub(crate) fn texts(what: &Send) -> Result<Vec<String>, Failure> {
    let mut texts = vec![text(&what.text)?];
    texts.extend_from_slice(&what.more);
    Ok(texts)
}

/// The message: the argument, or the standard input without its last line break for `-`.
///
/// # Errors
/// If the input cannot be read or is not UTF-8.
pub(crate) fn text(argument: &str) -> Result<String, Failure> {
    if argument == "-" { read(io::stdin()) } else { Ok(argument.to_owned()) }
}

fn read(from: impl io::Read) -> Result<String, Failure> {
    let mut text = String::new();
    from.take(INPUT_MAX).read_to_string(&mut text).map_err(Failure::Input)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// How far it came.
enum Reached {
    Enough,
    Not,
    Lost(Failure),
}

/// Sends `texts` as one message and waits as long as `what` says.
///
/// # Errors
/// If it cannot be sent, will not be sent, or does not come far enough in time.
pub(crate) async fn run(
    session: &mut Session,
    what: &Send,
    texts: Vec<String>,
    out: &mut Out,
) -> Result<(), Failure> {
    let last = chat::known(session, &what.name).await?;
    let all = texts.join(" / ");
    let sent = session.client.send_texts(&what.name, texts).await?;
    let mut progress = Progress::with_earlier(&last);
    let items = if sent.items.len() > 1 { sent.items.as_slice() } else { &[] };
    let queued = Line::Queued { id: sent.id, to: &what.name, text: &all, items };
    progress.take(&queued, Instant::now());
    show(&queued, what.way.json, &progress, out)?;
    follow(session, sent.id, &what.way, progress, out).await
}

/// Follows a content of this device until it has come as far as asked for.
///
/// # Errors
/// If it will not be sent, or does not come far enough in time.
pub(crate) async fn follow(
    session: &mut Session,
    id: Id,
    what: &Way,
    mut progress: Progress,
    out: &mut Out,
) -> Result<(), Failure> {
    let deadline = tokio::time::sleep(Duration::from_secs(what.timeout));
    tokio::pin!(deadline);
    let mut others = 0;
    loop {
        let event = tokio::select! {
            biased;
            () = session.stop.asked() => return Err(Failure::Left { wanted: word(what.wait) }),
            event = session.events.recv() => event,
            () = &mut deadline => {
                let wanted = word(what.wait);
                return Err(Failure::NotInTime { wanted, seconds: what.timeout });
            }
        };
        let Some(event) = event else {
            return Err(hushwire_client::ClientError::Closed.into());
        };
        if let Event::MessageReceived(message) = &event {
            // Not marked as shown: it stays for `listen` and `chat`.
            others += 1;
            if what.json {
                out.json(&Line::Waiting { from: &message.from })?;
            }
            continue;
        }
        let line = Line::from(&event);
        progress.take(&line, Instant::now());
        show(&line, what.json, &progress, out)?;
        match judge(&event, id, what.wait) {
            Reached::Not => {}
            Reached::Lost(failure) => return Err(failure),
            Reached::Enough => break,
        }
    }
    if !what.json {
        if what.wait == Until::Sent {
            out.line(&out.paint().aside("-- sent; not yet accepted"))?;
        }
        if others > 0 {
            let waiting = counted(others, "message");
            out.line(&out.paint().aside(&format!("-- {waiting} for you: `hush listen`")))?;
        }
    }
    Ok(())
}

/// Prints a line.
///
/// # Errors
/// If nobody reads it.
pub(crate) fn show(
    line: &Line<'_>,
    json: bool,
    progress: &Progress,
    out: &mut Out,
) -> Result<(), Failure> {
    if json {
        return out.json(line);
    }
    match line.words(progress, out.paint()) {
        Some(words) => out.line(&words),
        None => Ok(()),
    }
}

const fn word(until: Until) -> &'static str {
    match until {
        Until::Sent => "sent",
        Until::Accepted => "accepted",
        Until::Delivered => "delivered",
    }
}

fn judge(event: &Event, own: Id, wanted: Until) -> Reached {
    let reached = match event {
        Event::Sent(id) if *id == own => Until::Sent,
        Event::Accepted { id, .. } if *id == own => Until::Accepted,
        Event::Delivered(id) if *id == own => Until::Delivered,
        Event::Failed { id, code, why } if *id == own => {
            let (code, why) = ((*code).to_owned(), why.clone());
            return Reached::Lost(Failure::NotSent { code, why });
        }
        Event::Disconnected { why, retry_in_ms: None } => {
            return Reached::Lost(Failure::Ended(why.clone()));
        }
        _ => return Reached::Not,
    };
    if reached >= wanted { Reached::Enough } else { Reached::Not }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_break_of_the_input_is_not_sent() {
        for (input, text) in
            [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("", ""), ("\n", "")]
        {
            assert_eq!(read(input.as_bytes()).unwrap(), text);
        }
        assert!(matches!(read(&b"\xff\n"[..]), Err(Failure::Input(_))));
    }

    #[test]
    fn a_later_stage_is_enough_and_an_earlier_is_not() {
        let id = Id::from_text("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
        let other = Id::from_text("AQEBAQEBAQEBAQEBAQEBAQ").unwrap();
        let enough = |event: &Event, until| matches!(judge(event, id, until), Reached::Enough);
        let accepted = Event::Accepted { id, skipped: 0 };
        assert!(enough(&accepted, Until::Sent) && enough(&accepted, Until::Accepted));
        assert!(!enough(&accepted, Until::Delivered));
        assert!(enough(&Event::Delivered(id), Until::Accepted));
        assert!(!enough(&Event::Delivered(other), Until::Sent));
        let failed = Event::Failed { id, code: "too_large", why: "long".to_owned() };
        assert!(matches!(judge(&failed, id, Until::Sent), Reached::Lost(Failure::NotSent { .. })));
        assert!(matches!(judge(&failed, other, Until::Sent), Reached::Not));
        let gone = Event::Disconnected { why: "revoked".to_owned(), retry_in_ms: None };
        assert!(matches!(judge(&gone, id, Until::Sent), Reached::Lost(Failure::Ended(_))));
        let away = Event::Disconnected { why: "x".to_owned(), retry_in_ms: Some(5) };
        assert!(matches!(judge(&away, id, Until::Sent), Reached::Not));
    }
}
