//! The terminal: a line to edit, what happens above it, and the state of the newest message
//! behind the cursor.
//!
//! rustyline owns the line, on a thread of its own. The state is its hint: of a fixed width, so
//! that it can change while somebody types. What was typed is remembered in memory only.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, Config, Context, Editor, ExternalPrinter as _, Helper};
use tokio::sync::{mpsc, oneshot};

use super::Typed;
use crate::failure::Failure;
use crate::output::Paint;

/// Columns of the state.
const WIDTH: usize = 16;
/// Blank columns before it.
const GAP: &str = "   ";
/// Typed lines that can be fetched back with the arrow keys, at most.
const HISTORY_MAX: usize = 100;
/// Lines that wait to be printed or sent, at most; past it whoever has more waits.
const LINES_MAX: usize = 64;
/// Draws the line again: rustyline adds no line break to what ends in one.
const AGAIN: &str = "\u{1b}[A\n";
/// How long the last lines may take to be printed.
const PRINTED_WITHIN: Duration = Duration::from_millis(300);

/// The terminal while a talk goes on.
#[derive(Debug)]
pub(crate) struct Terminal {
    lines: mpsc::Sender<String>,
    printed: oneshot::Receiver<()>,
    status: Status,
    paint: Paint,
    _cooked: Cooked,
}

impl Terminal {
    /// Takes the terminal over. What is typed comes out of the receiver.
    ///
    /// # Errors
    /// If the terminal cannot be used.
    pub(crate) fn open(
        prompt: String,
        paint: Paint,
    ) -> Result<(Self, mpsc::Receiver<Typed>), Failure> {
        let cooked = Cooked::now();
        let status = Status::default();
        // Colours are made here, and not where nobody wants them: forced means "ask the helper".
        let config = Config::builder()
            .color_mode(ColorMode::Forced)
            .max_history_size(HISTORY_MAX)
            .map_err(Failure::Terminal)?
            .build();
        let mut editor: Editor<Behind, MemHistory> =
            Editor::with_history(config.clone(), MemHistory::with_config(&config))
                .map_err(Failure::Terminal)?;
        let (sender, typed) = mpsc::channel(LINES_MAX);
        let keys = Keys { told: sender.clone(), length: Cell::new(0) };
        editor.set_helper(Some(Behind { status: status.clone(), paint, keys }));
        let mut printer = editor.create_external_printer().map_err(Failure::Terminal)?;
        let (lines, mut to_print) = mpsc::channel::<String>(LINES_MAX);
        let (done, printed) = oneshot::channel();
        thread::spawn(move || {
            while let Some(line) = to_print.blocking_recv() {
                if printer.print(line).is_err() {
                    break;
                }
            }
            let _ = done.send(());
        });
        thread::spawn(move || {
            loop {
                let line = match editor.readline(&prompt) {
                    Ok(line) => {
                        let _ = editor.add_history_entry(&line);
                        Typed::Line(line)
                    }
                    Err(ReadlineError::Eof) => Typed::End,
                    Err(ReadlineError::Interrupted) => Typed::Interrupted,
                    Err(error) => Typed::Broken(std::io::Error::other(error)),
                };
                let is_line = matches!(line, Typed::Line(_));
                if sender.blocking_send(line).is_err() || !is_line {
                    return;
                }
            }
        });
        Ok((Self { lines, printed, status, paint, _cooked: cooked }, typed))
    }

    /// The colours here.
    pub(crate) const fn paint(&self) -> Paint {
        self.paint
    }

    /// Prints a line above what is typed.
    pub(crate) async fn line(&self, text: String) {
        // It can only fail when the terminal is gone: then the keyboard says so, too.
        let _ = self.lines.send(text).await;
    }

    /// Shows the state of the newest message.
    pub(crate) async fn status(&self, text: &str) {
        if self.status.put(text) {
            self.line(AGAIN.to_owned()).await;
        }
    }

    /// Gives the terminal back, when the last lines are printed.
    pub(crate) async fn close(self) {
        let Self { lines, printed, _cooked, .. } = self;
        drop(lines);
        let _ = tokio::time::timeout(PRINTED_WITHIN, printed).await;
    }
}

/// The text behind the cursor, shared by two threads.
#[derive(Clone, Debug, Default)]
struct Status(Arc<Mutex<String>>);

impl Status {
    /// Whether it changed.
    fn put(&self, text: &str) -> bool {
        let mut status = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_changed = *status != text;
        if has_changed {
            text.clone_into(&mut status);
        }
        has_changed
    }

    /// Just [`WIDTH`] columns.
    fn get(&self) -> String {
        let status = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cut: String = status.chars().take(WIDTH).collect();
        format!("{cut:WIDTH$}")
    }
}

/// The state of the terminal before rustyline changed it, put back on every way out: a signal may
/// end the program in the middle of a line.
#[derive(Debug)]
struct Cooked {
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

impl Cooked {
    fn now() -> Self {
        Self {
            #[cfg(unix)]
            before: rustix::termios::tcgetattr(std::io::stdin()).ok(),
        }
    }
}

#[cfg(unix)]
impl Drop for Cooked {
    fn drop(&mut self) {
        use std::io::Write as _;
        let Some(before) = &self.before else { return };
        let is_raw = rustix::termios::tcgetattr(std::io::stdin()).is_ok_and(|now| {
            now.local_modes != before.local_modes || now.input_modes != before.input_modes
        });
        if is_raw {
            let now = rustix::termios::OptionalActions::Now;
            let _ = rustix::termios::tcsetattr(std::io::stdin(), now, before);
            // Bracketed paste off, and off the line that was being typed.
            let _ = std::io::stdout().write_all(b"\x1b[?2004l\r\n");
        }
    }
}

/// Tells that somebody types: rustyline asks for a hint whenever the line has changed.
struct Keys {
    told: mpsc::Sender<Typed>,
    length: Cell<usize>,
}

impl Keys {
    /// The line is this now. Commands and what was only deleted are nobody's business.
    fn line(&self, line: &str) {
        let grown = line.len() > self.length.replace(line.len());
        if grown && !line.trim().is_empty() && !line.starts_with('/') {
            // If there is no room, lines wait: then it is known well enough.
            let _ = self.told.try_send(Typed::Typing);
        }
    }
}

/// What stands behind the cursor.
struct Behind {
    status: Status,
    paint: Paint,
    keys: Keys,
}

struct Blank(String);

impl Hint for Blank {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Behind {
    type Hint = Blank;

    fn hint(&self, line: &str, _pos: usize, _ctx: &Context<'_>) -> Option<Blank> {
        self.keys.line(line);
        Some(Blank(format!("{GAP}{}", " ".repeat(WIDTH))))
    }
}

impl Highlighter for Behind {
    fn highlight_hint<'h>(&self, _hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("{GAP}{}", self.paint.aside(&self.status.get())))
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        _default: bool,
    ) -> Cow<'b, str> {
        Cow::Owned(self.paint.name(prompt))
    }
}

impl Completer for Behind {
    type Candidate = String;
}

impl Validator for Behind {}

impl Helper for Behind {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_has_one_width_whatever_it_says() {
        let status = Status::default();
        for text in ["", "goes in 7 s", "\u{2713}\u{2713} delivered", &"x".repeat(99)] {
            status.put(text);
            assert_eq!(status.get().chars().count(), WIDTH, "{text}");
            assert!(!status.put(text), "the same again is no change");
        }
        let (told, mut typed) = mpsc::channel(1);
        let keys = Keys { told, length: Cell::new(0) };
        let behind = Behind { status, paint: Paint::NONE, keys };
        let hint = behind.highlight_hint("").chars().count();
        let history = MemHistory::new();
        let blank = behind.hint("", 0, &Context::new(&history)).unwrap();
        assert_eq!(blank.display().chars().count(), hint);
        assert_eq!(blank.completion(), None);
        assert!(typed.try_recv().is_err(), "an empty line is not typed");
    }

    #[test]
    fn typing_is_told_as_a_line_grows_and_not_for_commands() {
        let (told, mut typed) = mpsc::channel(1);
        let keys = Keys { told, length: Cell::new(0) };
        for (line, is_told) in [
            ("h", true),
            ("hi", true),
            ("h", false),
            ("", false),
            ("  ", false),
            ("/re", false),
            ("/react +", false),
            ("//", false),
            ("", false),
            ("again", true),
        ] {
            keys.line(line);
            assert_eq!(matches!(typed.try_recv(), Ok(Typed::Typing)), is_told, "{line:?}");
        }
        // Nobody takes them: the channel keeps its bound.
        keys.line("again and");
        keys.line("again and again");
        assert!(typed.try_recv().is_ok() && typed.try_recv().is_err());
    }
}
