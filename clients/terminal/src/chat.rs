//! `hush chat`: a talk with one contact, on a terminal or in lines.
//!
//! Messages of others are mentioned and stay unshown, for their own talk. What was printed counts
//! as shown, not what arrived.

use std::collections::{BTreeSet, HashSet};
use std::future::pending;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use hushwire_client::client::RECEIPT_MAX;
use hushwire_client::ports::{Clock as _, SystemClock};
use hushwire_client::{ClientError, Event, Id, Message};
use tokio::sync::mpsc;

use self::command::Input;
use self::terminal::Terminal;
use crate::contacts::{standing, unconfirmed};
use crate::escape;
use crate::failure::Failure;
use crate::history::entry;
use crate::output::Out;
use crate::progress::Progress;
use crate::render::Line;
use crate::session::Session;
use crate::which::{self, Which};

mod command;
mod lines;
mod terminal;

/// Messages of the history that open a talk on a terminal.
const OPENING: usize = 10;
/// Own receipts and the like whose way is not shown, at most; that of further ones is.
const QUIET_MAX: usize = 1_000;
/// How long the end of the input waits until the server has everything.
const LAST_LINES: Duration = Duration::from_secs(60);
/// How often the countdown is looked at.
const TICK: Duration = Duration::from_millis(500);
/// Other people who are mentioned once each, at most; further ones each time.
const MENTIONED_MAX: usize = 1_000;

/// What comes from the keyboard.
#[derive(Debug)]
pub(crate) enum Typed {
    /// A line.
    Line(String),
    /// Somebody is typing one.
    Typing,
    /// A line that cannot be sent.
    Refused(&'static str),
    /// Ctrl-D, or the end of the input.
    End,
    /// Ctrl-C.
    Interrupted,
    /// It cannot be read.
    Broken(io::Error),
}

/// How a talk goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// JSON lines instead of prose.
    pub(crate) json: bool,
    /// Whether the other side is told what was read here.
    pub(crate) tells_read: bool,
    /// Whether the other side is told that somebody types here.
    pub(crate) tells_typing: bool,
    /// Whether lines that begin with a slash are commands where there is no terminal, too.
    pub(crate) commands: bool,
}

/// Where lines are shown.
enum View<'a> {
    Json(&'a mut Out),
    Prose(&'a mut Out),
    Terminal(Terminal),
}

impl View<'_> {
    async fn show(&mut self, line: &Line<'_>, progress: &Progress) -> Result<(), Failure> {
        match self {
            Self::Json(out) => out.json(line),
            Self::Prose(out) => match line.words(progress, out.paint()) {
                Some(words) => out.line(&words),
                None => Ok(()),
            },
            Self::Terminal(terminal) => {
                // The state of the newest message stands behind the cursor.
                let is_behind = match line {
                    Line::Held { .. } | Line::Connected => true,
                    Line::Accepted { skipped: 0, .. } => true,
                    Line::Delivered { id } => progress.is_newest(id),
                    _ => false,
                };
                if !is_behind && let Some(words) = line.words(progress, terminal.paint()) {
                    terminal.line(words).await;
                }
                terminal.status(&progress.status(Instant::now())).await;
                Ok(())
            }
        }
    }
}

/// Makes sure that somebody is a contact; asks the server if it is not known here. Gives the last
/// messages, without the server if it can be.
///
/// # Errors
/// If there is no such contact.
pub(crate) async fn known(session: &mut Session, name: &str) -> Result<Vec<Message>, Failure> {
    match session.client.history(name, OPENING).await {
        Ok(messages) => return Ok(messages),
        Err(ClientError::NoContact | ClientError::NotAccepted) => {}
        Err(error) => return Err(error.into()),
    }
    session.unless_stopped(async |client| client.contacts().await).await?;
    Ok(session.client.history(name, OPENING).await?)
}

/// Talks until the input ends.
///
/// # Errors
/// If there is no such contact, the connection ends for good, or the input ended and messages did
/// not reach the server.
pub(crate) async fn run(
    session: &mut Session,
    name: &str,
    how: How,
    out: &mut Out,
) -> Result<(), Failure> {
    let How { json, tells_read, tells_typing, commands } = how;
    let opening = known(session, name).await?;
    let before = session.client.outbox().await?.waiting.iter().map(|waiting| waiting.id).collect();
    let is_terminal = !json && io::stdin().is_terminal() && io::stdout().is_terminal();
    let (view, typed, seen) = if is_terminal {
        header(session, name, &opening, out).await?;
        let (terminal, typed) = Terminal::open(format!("{}> ", session.me.handle), out.paint())?;
        let seen = opening.iter().map(|message| message.id).collect();
        (View::Terminal(terminal), typed, seen)
    } else {
        let view = if json { View::Json(&mut *out) } else { View::Prose(&mut *out) };
        (view, lines::stdin(), HashSet::new())
    };
    let mut talk = Talk {
        name,
        view,
        seen,
        is_terminal,
        progress: Progress::with_earlier(&opening),
        mentioned: BTreeSet::new(),
        tells_read,
        tells_typing,
        takes_commands: is_terminal || commands,
        read: Vec::new(),
        quiet: HashSet::new(),
        before,
        until: None,
    };
    let done = talk.run(session, typed).await;
    let waiting = session.client.outbox().await.map(|outbox| outbox.unaccepted());
    if let View::Terminal(terminal) = talk.view {
        terminal.close().await;
    }
    if let Ok(unaccepted @ 1..) = waiting {
        let line = Line::Outbox { unaccepted };
        if json {
            out.json(&line)?;
        } else if let Some(words) = line.words(&talk.progress, out.paint()) {
            out.line(&words)?;
        }
    }
    done
}

async fn header(
    session: &Session,
    name: &str,
    opening: &[Message],
    out: &mut Out,
) -> Result<(), Failure> {
    let paint = out.paint();
    // Without the server, what is known here counts.
    let known = session.client.contact(name).await.ok();
    let state = match &known {
        Some(card) => standing(card, paint),
        None => paint.loud("nothing is known of this contact"),
    };
    out.line(&format!("{} ({state})  {}", paint.name(name), paint.aside("Ctrl-D ends")))?;
    let hint = known.and_then(|card| unconfirmed(&card, SystemClock::default().now_ms()));
    if let Some(hint) = hint {
        let name = escape::line(name);
        out.line(&paint.loud(&format!(
            "!! {hint}: {name} may be away, or the server hides something. Ask {name} another way."
        )))?;
    }
    for message in opening {
        out.line(&entry(message, paint))?;
    }
    Ok(())
}

struct Talk<'a> {
    name: &'a str,
    view: View<'a>,
    /// Printed at the beginning, though they may be told again.
    seen: HashSet<Id>,
    is_terminal: bool,
    progress: Progress,
    mentioned: BTreeSet<String>,
    /// Whether the other side is told what was read here.
    tells_read: bool,
    /// Whether the other side is told that somebody types here.
    tells_typing: bool,
    /// Shown, and not yet told.
    read: Vec<Id>,
    /// Whether lines that begin with a slash are commands.
    takes_commands: bool,
    /// Own receipts, reactions and the like: their way is nobody's news.
    quiet: HashSet<Id>,
    /// What earlier sessions left in the outbox: the end does not wait for it.
    before: HashSet<Id>,
    /// The input has ended: so long the rest may take.
    until: Option<Instant>,
}

enum Turn {
    Typed(Typed),
    Event(Option<Event>),
    Tick,
    Stop,
}

impl Talk<'_> {
    async fn run(
        &mut self,
        session: &mut Session,
        mut typed: mpsc::Receiver<Typed>,
    ) -> Result<(), Failure> {
        loop {
            let is_open = self.until.is_none();
            let turn = tokio::select! {
                () = session.stop.asked() => Turn::Stop,
                line = typed.recv(), if is_open => Turn::Typed(line.unwrap_or(Typed::End)),
                event = session.events.recv() => Turn::Event(event),
                () = tick(self.is_terminal || !is_open) => Turn::Tick,
            };
            match turn {
                Turn::Stop | Turn::Typed(Typed::Interrupted) => return Ok(()),
                Turn::Typed(Typed::End) if self.is_terminal => return Ok(()),
                Turn::Typed(Typed::End) => self.until = Some(Instant::now() + LAST_LINES),
                Turn::Typed(Typed::Broken(error)) => return Err(Failure::Input(error)),
                Turn::Typed(Typed::Typing) => self.tell_typing(session).await?,
                Turn::Typed(Typed::Refused(why)) => self.show(&Line::Refused { why }).await?,
                Turn::Typed(Typed::Line(text)) => self.say(session, &text).await?,
                Turn::Event(None) => return Err(ClientError::Closed.into()),
                Turn::Event(Some(event)) => self.event(session, event).await?,
                Turn::Tick => self.tick().await,
            }
            if session.events.is_empty() || self.read.len() >= RECEIPT_MAX {
                self.tell_read(session).await?;
            }
            if let Some(until) = self.until {
                let outbox = session.client.outbox().await?;
                let waiting = outbox.waiting.iter().filter(|waiting| !waiting.accepted);
                match waiting.filter(|waiting| !self.before.contains(&waiting.id)).count() {
                    0 => return self.rest(session).await,
                    count if Instant::now() >= until => return Err(Failure::Unsent { count }),
                    _ => {}
                }
            }
        }
    }

    async fn show(&mut self, line: &Line<'_>) -> Result<(), Failure> {
        self.progress.take(line, Instant::now());
        self.view.show(line, &self.progress).await
    }

    /// What is told already: that the last message was accepted, for one.
    async fn rest(&mut self, session: &mut Session) -> Result<(), Failure> {
        while let Ok(event) = session.events.try_recv() {
            self.event(session, event).await?;
        }
        Ok(())
    }

    async fn tick(&self) {
        if let View::Terminal(terminal) = &self.view {
            terminal.status(&self.progress.status(Instant::now())).await;
        }
    }

    async fn say(&mut self, session: &Session, text: &str) -> Result<(), Failure> {
        if text.trim().is_empty() {
            return Ok(());
        }
        let input = if self.takes_commands { command::parse(text) } else { Input::Words(text) };
        let done = match input {
            Input::Words(text) => match session.client.send_text(self.name, text).await {
                Ok(id) => {
                    return self.show(&Line::Queued { id, to: self.name, text, items: &[] }).await;
                }
                Err(error) => Err(error.into()),
            },
            Input::Help => return self.help().await,
            Input::Wrong(why) => return self.show(&Line::Refused { why: &why }).await,
            Input::Edit(which, words) => self.edit(session, &which, words).await,
            Input::Remove(which) => self.remove(session, &which).await,
            Input::React(which, symbol) => self.react(session, &which, symbol).await,
            Input::Timer(seconds) => self.timer(session, seconds).await,
        };
        match done {
            // A line that cannot be sent does not end the talk; a store that failed does.
            Err(Failure::Client(error @ (ClientError::Closed | ClientError::Store(_)))) => {
                Err(error.into())
            }
            Err(
                error @ (Failure::Client(_)
                | Failure::NoSuchMessage(_)
                | Failure::NoLast(_)
                | Failure::Ambiguous(_)),
            ) => self.show(&Line::Refused { why: &error.to_string() }).await,
            other => other,
        }
    }

    async fn help(&mut self) -> Result<(), Failure> {
        for line in command::HELP.lines() {
            match &mut self.view {
                View::Terminal(terminal) => terminal.line(line.to_owned()).await,
                View::Prose(out) => out.line(line)?,
                // The help of the command line is theirs.
                View::Json(_) => {}
            }
        }
        Ok(())
    }

    async fn edit(&mut self, session: &Session, which: &Which, words: &str) -> Result<(), Failure> {
        let id = which::find(&session.client, self.name, which, true).await?.id;
        let told = session.client.edit(self.name, id, words).await?;
        self.show(&Line::Edited { id, from: &session.me.handle, text: words }).await?;
        match told {
            Some(id) => {
                self.show(&Line::Queued { id, to: self.name, text: words, items: &[] }).await
            }
            None => Ok(()),
        }
    }

    async fn remove(&mut self, session: &Session, which: &Which) -> Result<(), Failure> {
        let id = which::find(&session.client, self.name, which, true).await?.id;
        match session.client.remove(self.name, id).await? {
            Some(told) => {
                self.hush(told);
                self.show(&Line::Removed { id, with: self.name }).await
            }
            None => self.show(&Line::Withdrawn { id }).await,
        }
    }

    async fn react(
        &mut self,
        session: &Session,
        which: &Which,
        symbol: &str,
    ) -> Result<(), Failure> {
        let id = which::find(&session.client, self.name, which, false).await?.id;
        if let Some(told) = session.client.react(self.name, id, symbol).await? {
            self.hush(told);
        }
        self.show(&Line::Reacted { id, with: self.name, by: &session.me.handle, symbol }).await
    }

    async fn timer(&mut self, session: &Session, seconds: u32) -> Result<(), Failure> {
        if let Some(told) = session.client.set_timer(self.name, seconds).await? {
            self.hush(told);
        }
        let by = Some(session.me.handle.as_str());
        self.show(&Line::Timer { with: self.name, by, seconds }).await
    }

    /// The way of this content is nobody's news.
    fn hush(&mut self, id: Id) {
        if self.quiet.len() < QUIET_MAX {
            self.quiet.insert(id);
        }
    }

    /// One receipt for what was shown since the last one. A receipt that finds no room is left
    /// out: the messages are delivered all the same.
    async fn tell_read(&mut self, session: &Session) -> Result<(), Failure> {
        let mut of = std::mem::take(&mut self.read);
        of.truncate(RECEIPT_MAX);
        if of.is_empty() || !self.tells_read {
            return Ok(());
        }
        match session.client.send_read(self.name, of).await {
            Ok(id) => {
                self.hush(id);
                Ok(())
            }
            Err(error @ (ClientError::Closed | ClientError::Store(_))) => Err(error.into()),
            Err(_) => Ok(()),
        }
    }

    /// That it cannot be told is nobody's trouble.
    async fn tell_typing(&self, session: &Session) -> Result<(), Failure> {
        if !self.tells_typing {
            return Ok(());
        }
        match session.client.typing(self.name).await {
            Err(error @ (ClientError::Closed | ClientError::Store(_))) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Whether this is the way of something that is nobody's news. Forgets it at its end.
    fn is_quiet(&mut self, event: &Event) -> bool {
        match event {
            Event::Sent(id) | Event::Held { id, .. } | Event::Accepted { id, .. } => {
                self.quiet.contains(id)
            }
            Event::Delivered(id)
            | Event::Unreadable { id, .. }
            | Event::Expired(id)
            | Event::Failed { id, .. } => self.quiet.remove(id),
            _ => false,
        }
    }

    /// Whether this happened in another conversation.
    fn is_elsewhere(&self, event: &Event) -> bool {
        match event {
            Event::Edited(message) => message.from != self.name,
            Event::Removed { handle, .. }
            | Event::Reacted { handle, .. }
            | Event::TimerSet { handle, .. }
            | Event::Disappeared { handle, .. }
            | Event::Profile { handle, .. }
            | Event::Presence { handle, .. }
            | Event::Typing { handle, .. } => handle != self.name,
            _ => false,
        }
    }

    async fn event(&mut self, session: &Session, event: Event) -> Result<(), Failure> {
        if self.is_quiet(&event) || self.is_elsewhere(&event) {
            return Ok(());
        }
        match &event {
            Event::MessageReceived(message) if message.from == self.name => {
                if !self.seen.remove(&message.id) {
                    self.show(&Line::from(message)).await?;
                }
                self.read.push(message.id);
                Ok(session.client.mark_shown(message).await?)
            }
            Event::MessageReceived(message) => {
                if self.mentioned.contains(&message.from) {
                    return Ok(());
                }
                if self.mentioned.len() < MENTIONED_MAX {
                    self.mentioned.insert(message.from.clone());
                }
                self.show(&Line::Waiting { from: &message.from }).await
            }
            Event::Disconnected { why, retry_in_ms: None } => {
                self.show(&Line::from(&event)).await?;
                Err(Failure::Ended(why.clone()))
            }
            _ => self.show(&Line::from(&event)).await,
        }
    }
}

async fn tick(is_wanted: bool) {
    if is_wanted { tokio::time::sleep(TICK).await } else { pending().await }
}
