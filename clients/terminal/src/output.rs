//! The standard output: whole lines, flushed at once, coloured on a terminal only.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, IsTerminal as _, Write};

use serde::Serialize;

use crate::escape;
use crate::failure::Failure;

/// Colours, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// No colours.
    #[cfg(test)]
    pub(crate) const NONE: Self = Self { on: false };

    /// Colours if this is a terminal that can, and nobody asks for none (NO_COLOR).
    fn of(is_terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> Self {
        let unwanted = no_color.is_some_and(|value| !value.is_empty());
        Self { on: is_terminal && !unwanted && term.is_none_or(|term| term != "dumb") }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A name.
    pub(crate) fn name(self, text: &str) -> String {
        self.wrap("1;36", text)
    }

    /// Something beside the talk.
    pub(crate) fn aside(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Something good.
    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Something that must be seen.
    pub(crate) fn loud(self, text: &str) -> String {
        self.wrap("1;31", text)
    }
}

/// Where lines go.
pub(crate) struct Out {
    sink: Box<dyn Write>,
    paint: Paint,
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Out({:?})", self.paint)
    }
}

impl Out {
    /// The standard output.
    pub(crate) fn stdout() -> Self {
        let (no_color, term) = (std::env::var_os("NO_COLOR"), std::env::var_os("TERM"));
        let is_terminal = io::stdout().is_terminal();
        let paint = Paint::of(is_terminal, no_color.as_deref(), term.as_deref());
        Self { sink: Box::new(io::stdout()), paint }
    }

    /// The colours here.
    pub(crate) const fn paint(&self) -> Paint {
        self.paint
    }

    /// Writes a line and flushes it.
    ///
    /// # Errors
    /// If nobody reads any more.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        let line = format!("{text}\n");
        self.sink
            .write_all(line.as_bytes())
            .and_then(|()| self.sink.flush())
            .map_err(Failure::Output)
    }

    /// Writes words that wait for an answer on the same line.
    ///
    /// # Errors
    /// If nobody reads any more.
    pub(crate) fn ask(&mut self, text: &str) -> Result<(), Failure> {
        self.sink
            .write_all(text.as_bytes())
            .and_then(|()| self.sink.flush())
            .map_err(Failure::Output)
    }

    /// Writes a value as one line of JSON and flushes it.
    ///
    /// # Errors
    /// If nobody reads any more.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::Output(error.into()))?;
        self.line(&escape::json(&text))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Rc<RefCell<(Vec<u8>, usize)>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            let mut paper = self.0.borrow_mut();
            paper.1 = paper.0.len();
            Ok(())
        }
    }

    #[test]
    fn every_line_is_whole_and_flushed() {
        let paper = Paper::default();
        let mut out = Out { sink: Box::new(paper.clone()), paint: Paint::NONE };
        out.line("one").unwrap();
        assert_eq!(paper.0.borrow().1, 4);
        out.json(&"a\u{1b}\u{9b}\n").unwrap();
        let written = paper.0.borrow();
        assert_eq!(written.1, written.0.len());
        assert_eq!(written.0, b"one\n\"a\\u001b\\u009b\\n\"\n");
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let some = |text: &'static str| Some(OsStr::new(text));
        assert!(Paint::of(true, None, some("xterm")).on);
        assert!(Paint::of(true, some(""), None).on);
        for (terminal, no_color, term) in
            [(false, None, None), (true, some("1"), None), (true, None, some("dumb"))]
        {
            let paint = Paint::of(terminal, no_color, term);
            assert_eq!(paint, Paint::NONE);
            assert_eq!(paint.loud("x"), "x");
        }
        assert_eq!(Paint { on: true }.aside("x"), "\u{1b}[2mx\u{1b}[0m");
    }
}
