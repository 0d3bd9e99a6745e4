//! `hush edit`, `remove`, `react`, `timer` and `profile`: acts on what was said.

use std::time::{Duration, Instant};

use clap::Args;
use hushwire_client::{Act, ClientError, Event, Id};
use serde::Serialize;

use crate::chat;
use crate::cli::Way;
use crate::escape;
use crate::failure::Failure;
use crate::output::Out;
use crate::progress::Progress;
use crate::render::Line;
use crate::send::{follow, show};
use crate::session::Session;
use crate::which::{self, Which};
use crate::{cli, span};

/// Gives a message other words.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// The contact.
    #[arg(value_parser = cli::username)]
    name: String,
    /// Which of your messages: `last`, or the beginning of its id (`hush history --ids`).
    #[arg(value_parser = Which::parse)]
    which: Which,
    /// The new words; - reads them from the standard input.
    #[arg(allow_hyphen_values = true)]
    pub(crate) text: String,
    #[command(flatten)]
    way: Way,
}

/// Takes a message back.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The contact.
    #[arg(value_parser = cli::username)]
    name: String,
    /// Which of your messages: `last`, or the beginning of its id (`hush history --ids`).
    #[arg(value_parser = Which::parse)]
    which: Which,
    #[command(flatten)]
    way: Way,
}

/// Reacts to a message.
#[derive(Debug, Args)]
pub(crate) struct React {
    /// The contact.
    #[arg(value_parser = cli::username)]
    name: String,
    /// Which message of either side: `last` (theirs), or the beginning of its id.
    #[arg(value_parser = Which::parse)]
    which: Which,
    /// One character or emoji; it replaces your earlier one.
    #[arg(required_unless_present = "off", allow_hyphen_values = true)]
    symbol: Option<String>,
    /// Takes your reaction back.
    #[arg(long, conflicts_with = "symbol")]
    off: bool,
    #[command(flatten)]
    way: Way,
}

/// Sets how long messages are kept.
#[derive(Debug, Args)]
pub(crate) struct Timer {
    /// The contact.
    #[arg(value_parser = cli::username)]
    name: String,
    /// 30s, 5m, 8h, 7d, 4w, or off; without it the timer is shown.
    #[arg(value_name = "TIME", value_parser = span::parse)]
    seconds: Option<u32>,
    #[command(flatten)]
    way: Way,
}

/// Sets the name that contacts see.
#[derive(Debug, Args)]
pub(crate) struct Profile {
    /// The name; without it the name is shown.
    name: Option<String>,
    /// Takes the name away.
    #[arg(long, conflicts_with = "name")]
    off: bool,
    /// How long to wait until the server has it for every contact.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=31_536_000))]
    timeout: u64,
    /// JSON instead of prose.
    #[arg(long)]
    json: bool,
}

/// Edits, and follows the edit as far as asked for.
///
/// # Errors
/// If it is nobody's or somebody else's message, or does not come far enough in time.
pub(crate) async fn edit(
    session: &mut Session,
    what: &Edit,
    text: &str,
    out: &mut Out,
) -> Result<(), Failure> {
    let last = chat::known(session, &what.name).await?;
    let id = which::find(&session.client, &what.name, &what.which, true).await?.id;
    let act = Act::Edit { id, text: text.to_owned() };
    let told = session.client.act(&what.name, act).await?;
    let from = session.me.handle.clone();
    let line = Line::Edited { id, from: &from, text };
    let done = Done { told, line, called: text };
    follow_up(session, done, Progress::with_earlier(&last), &what.way, out).await
}

/// Removes, and follows the removal as far as asked for.
///
/// # Errors
/// As [`edit`].
pub(crate) async fn remove(
    session: &mut Session,
    what: &Remove,
    out: &mut Out,
) -> Result<(), Failure> {
    let last = chat::known(session, &what.name).await?;
    let id = which::find(&session.client, &what.name, &what.which, true).await?.id;
    let told = session.client.act(&what.name, Act::Remove { id }).await?;
    let line = match told {
        Some(_) => Line::Removed { id, with: &what.name },
        None => Line::Withdrawn { id },
    };
    let done = Done { told, line, called: "the removal" };
    follow_up(session, done, Progress::with_earlier(&last), &what.way, out).await
}

/// Reacts, and follows the reaction as far as asked for.
///
/// # Errors
/// As [`edit`].
pub(crate) async fn react(
    session: &mut Session,
    what: &React,
    out: &mut Out,
) -> Result<(), Failure> {
    let last = chat::known(session, &what.name).await?;
    let message = which::find(&session.client, &what.name, &what.which, false).await?;
    let id = message.id;
    let symbol = what.symbol.clone().unwrap_or_default();
    let act = Act::React { id, symbol: symbol.clone() };
    let told = session.client.act(&what.name, act).await?;
    let by = session.me.handle.clone();
    let line = Line::Reacted { id, with: &what.name, by: &by, symbol: &symbol };
    let mut progress = Progress::with_earlier(&last);
    progress.knows(&message);
    let done = Done { told, line, called: "the reaction" };
    follow_up(session, done, progress, &what.way, out).await
}

/// Sets or shows the timer.
///
/// # Errors
/// As [`edit`].
pub(crate) async fn timer(
    session: &mut Session,
    what: &Timer,
    out: &mut Out,
) -> Result<(), Failure> {
    let last = chat::known(session, &what.name).await?;
    let Some(seconds) = what.seconds else {
        let seconds = session.client.timer(&what.name).await?;
        let line = Line::Timer { with: &what.name, by: None, seconds };
        return show(&line, what.way.json, &Progress::default(), out);
    };
    let told = session.client.act(&what.name, Act::Timer { seconds }).await?;
    let by = session.me.handle.clone();
    let line = Line::Timer { with: &what.name, by: Some(&by), seconds };
    let done = Done { told, line, called: "the timer" };
    follow_up(session, done, Progress::with_earlier(&last), &what.way, out).await
}

/// What was done here.
struct Done<'a> {
    /// What tells the other side of it; `None` if nothing does.
    told: Option<Id>,
    line: Line<'a>,
    /// How that which tells it is called on its way.
    called: &'a str,
}

/// Says what was done here, then how far it comes.
async fn follow_up(
    session: &mut Session,
    done: Done<'_>,
    mut progress: Progress,
    way: &Way,
    out: &mut Out,
) -> Result<(), Failure> {
    let Done { told, line, called } = done;
    show(&line, way.json, &progress, out)?;
    match told {
        Some(id) => {
            let queued = Line::Queued { id, to: "", text: called, items: &[] };
            progress.take(&queued, Instant::now());
            follow(session, id, way, progress, out).await
        }
        None => Ok(()),
    }
}

/// The own name in JSON.
#[derive(Serialize)]
struct Me<'a> {
    profile: Option<&'a str>,
}

/// Sets or shows the own profile name.
///
/// # Errors
/// If it is too long, or the server does not have it for every contact in time.
pub(crate) async fn profile(
    session: &mut Session,
    what: &Profile,
    out: &mut Out,
) -> Result<(), Failure> {
    let wanted = if what.off { Some("") } else { what.name.as_deref() };
    if let Some(name) = wanted {
        session.client.set_profile(name).await?;
    }
    let name = session.client.profile().await?;
    let shown = name.as_ref().map(|name| name.0.as_str());
    if what.json {
        out.json(&Me { profile: shown })?;
    } else {
        out.line(&match shown {
            Some(name) => format!("Your contacts see: {}", escape::line(name)),
            None => "Your contacts see your username only.".to_owned(),
        })?;
    }
    if wanted.is_some() { all_sent(session, what.timeout).await } else { Ok(()) }
}

/// Waits until the server has everything.
async fn all_sent(session: &mut Session, seconds: u64) -> Result<(), Failure> {
    let deadline = tokio::time::sleep(Duration::from_secs(seconds));
    tokio::pin!(deadline);
    loop {
        let count = session.client.outbox().await?.unaccepted();
        if count == 0 {
            return Ok(());
        }
        let event = tokio::select! {
            biased;
            () = session.stop.asked() => return Err(Failure::Interrupted),
            () = &mut deadline => return Err(Failure::Unsent { count }),
            event = session.events.recv() => event,
        };
        match event {
            None => return Err(ClientError::Closed.into()),
            Some(Event::Disconnected { why, retry_in_ms: None }) => {
                return Err(Failure::Ended(why));
            }
            Some(_) => {}
        }
    }
}
