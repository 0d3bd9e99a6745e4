//! Why a command did not do what was asked: what was wrong, because of what, what to do next, and
//! the exit code. Nothing secret is in it, and what a server said is escaped.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use hushwire_client::transport::UNTRUSTED;
use hushwire_client::{AddressError, ClientError, OpenStoreError, ProblemCode};
use rustyline::error::ReadlineError;

use crate::escape;

/// Causes that are printed, at most.
const CAUSES_MAX: usize = 8;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The SDK says no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The store does not open.
    #[error("the store does not open")]
    Open(#[source] OpenStoreError),
    /// The server's address is none.
    #[error("the server's address cannot be used")]
    Address(#[source] AddressError),
    /// There is nowhere to keep the store.
    #[error("there is no home folder: neither XDG_DATA_HOME nor HOME is set")]
    NoHome,
    /// The folder cannot be made.
    #[error("the folder {} cannot be made", .folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A passphrase cannot be asked for.
    #[error("the passphrase cannot be asked for: there is no terminal")]
    NoPrompt(#[source] io::Error),
    /// Nothing was given.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// Two that should be equal are not.
    #[error("the two passphrases differ: nothing was made")]
    PassphrasesDiffer,
    /// The file with the passphrase.
    #[error("the passphrase file {} cannot be read", .path.display())]
    PassphraseFile {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The program's own machinery.
    #[error("the program cannot start")]
    Start(#[source] io::Error),
    /// The terminal.
    #[error("the terminal cannot be used")]
    Terminal(#[source] ReadlineError),
    /// Nobody reads what is printed.
    #[error("the output cannot be written")]
    Output(#[source] io::Error),
    /// What should be sent cannot be read.
    #[error("the input cannot be read")]
    Input(#[source] io::Error),
    /// The message will not be sent.
    #[error("the message will not be sent ({code}): {why}")]
    NotSent {
        /// A short code.
        code: String,
        /// What it means.
        why: String,
    },
    /// A number that was compared is not the one that is shown.
    #[error(
        "this is not the safety number that is shown now: nothing was remembered. The devices \
         changed since, or it is not the number of this contact: compare again"
    )]
    OtherNumber,
    /// No message is meant.
    #[error("no message in this conversation has an id that begins with {0}")]
    NoSuchMessage(String),
    /// There is no last message to mean.
    #[error("there is no message of {0} in this conversation")]
    NoLast(&'static str),
    /// More than one is meant.
    #[error("more than one message begins with {0}: give more of the id")]
    Ambiguous(String),
    /// Nobody said yes.
    #[error("nothing was done: it takes {0}")]
    NotConfirmed(&'static str),
    /// No own device is meant.
    #[error("no device of yours, or more than one, has an id that begins with {0}")]
    NoSuchDevice(String),
    /// The file of an export.
    #[error("the export cannot be written to {}", .path.display())]
    ExportFile {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The server did not delete the account.
    #[error("the account was not deleted: nothing was erased here")]
    NotDeleted(#[source] ClientError),
    /// The account is deleted, and something of it is left here.
    #[error("the account is deleted, but not all of {} can be removed", .folder.display())]
    Leftover {
        /// Where.
        folder: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The message is not as far as asked for.
    #[error("the message is not {wanted} after {seconds} s; it stays in the outbox")]
    NotInTime {
        /// How far it should be.
        wanted: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// Ctrl-C while a message was under way.
    #[error("ended before the message was {wanted}; it stays in the outbox until it is")]
    Left {
        /// How far it should be.
        wanted: &'static str,
    },
    /// Messages are still in the outbox.
    #[error("{count} of the messages did not reach the server; they stay in the outbox")]
    Unsent {
        /// How many.
        count: usize,
    },
    /// Fewer messages came than were asked for.
    #[error("only {got} of {wanted} messages came in time")]
    TooFew {
        /// What came.
        got: u64,
        /// What was asked for.
        wanted: u64,
    },
    /// The connection ended and is not made again.
    #[error("the connection ended for good: {0}")]
    Ended(String),
    /// Ctrl-C.
    #[error("ended before it was done")]
    Interrupted,
}

impl Failure {
    /// The exit code, as the help lists them.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Client(error) if error.is_passing() => 4,
            Self::NotInTime { .. } | Self::Unsent { .. } | Self::TooFew { .. } => 3,
            Self::Interrupted | Self::Left { .. } => 130,
            _ => 1,
        }
    }

    /// What to do next, where the words of the error do not say it.
    fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::Client(ClientError::NoAccount) => {
                "`hush register NAME --server URL` makes one; --home names another folder"
            }
            Self::Client(ClientError::HasAccount) => {
                "`hush whoami` shows it; `hush --home DIR register …` makes another"
            }
            // Its words say what to do.
            Self::Client(ClientError::Unreachable(unreachable)) if unreachable.why == UNTRUSTED => {
                return None;
            }
            Self::NoSuchDevice(_) => "`hush sessions list` shows them; give at least 4 characters",
            Self::NotDeleted(error) if error.problem() == Some(ProblemCode::Unauthenticated) => {
                "if an earlier try was cut off, the account is gone already: look whether \
                 `hush whoami` still connects, and remove the folder yourself"
            }
            Self::NotDeleted(_) => "wait a minute and try again",
            Self::Leftover { .. } => "remove the folder yourself",
            Self::Client(ClientError::Unreachable(_)) => {
                "see whether the server runs and the network works, then try again"
            }
            Self::Client(ClientError::Closed) => {
                "free some space on the disk and start again; nothing that was accepted is lost"
            }
            Self::Client(error) if error.is_passing() => "wait a minute and try again",
            Self::Open(OpenStoreError::NeedsPassphrase) => "add --passphrase",
            Self::Open(OpenStoreError::NeedsKeyFile) => "leave --passphrase out",
            Self::Open(OpenStoreError::WrongKeyFile) => "name the right one with --key-file",
            Self::NoSuchMessage(_) | Self::Ambiguous(_) => {
                "`hush history NAME --ids` shows the messages and their ids"
            }
            Self::NoHome | Self::Folder { .. } => "name another folder with --home",
            Self::NoPrompt(_) => "give it with --passphrase-file",
            Self::NotInTime { .. } | Self::Left { .. } | Self::Unsent { .. } => {
                "the next `hush` that connects sends it, `hush listen` for example"
            }
            _ => return None,
        })
    }

    /// What is printed: the error, its causes, what to do; one line each.
    fn lines(&self) -> Vec<String> {
        let mut last = self.to_string();
        let mut lines = vec![format!("hush: {}", escape::line(&last))];
        let mut cause = self.source();
        while let Some(error) = cause.filter(|_| lines.len() <= CAUSES_MAX) {
            let words = error.to_string();
            // An error that only passes on another one's words is said once.
            if words != last {
                lines.push(format!("  because: {}", escape::line(&words)));
                last = words;
            }
            cause = error.source();
        }
        lines.extend(self.advice().map(|advice| format!("  to do: {advice}")));
        lines
    }

    /// Prints it to the standard error and gives the exit code. A reader that went away is told
    /// nothing.
    pub(crate) fn report(&self) -> ExitCode {
        let is_pipe =
            matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe);
        if !is_pipe {
            let mut text = self.lines().join("\n");
            text.push('\n');
            let _ = io::stderr().write_all(text.as_bytes());
        }
        ExitCode::from(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_why_and_what_to_do() {
        let cause = io::Error::other("no space\u{1b}[2J");
        let failure = Failure::Folder { folder: "h".into(), cause };
        assert_eq!(
            failure.lines(),
            [
                "hush: the folder h cannot be made",
                "  because: no space\\u{1b}[2J",
                "  to do: name another folder with --home"
            ]
        );
        let lines = Failure::from(ClientError::NoAccount).lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[1].contains("hush register"));
    }

    #[test]
    fn words_that_are_only_passed_on_are_said_once() {
        let unreachable = hushwire_client::transport::Unreachable { why: "it did not answer" };
        let lines = Failure::from(ClientError::Unreachable(unreachable)).lines();
        let said = lines.iter().filter(|line| line.contains("it did not answer")).count();
        assert_eq!(said, 1, "{lines:?}");
    }

    #[test]
    fn an_untrusted_certificate_is_not_said_to_be_a_server_that_is_away() {
        let unreachable = hushwire_client::transport::Unreachable { why: UNTRUSTED };
        let text = Failure::from(ClientError::Unreachable(unreachable)).lines().join("\n");
        assert!(text.contains("not trusted") && text.contains("SSL_CERT_FILE"), "{text}");
        assert!(!text.contains("see whether the server runs"), "{text}");
    }

    #[test]
    fn exit_codes_are_those_of_the_help() {
        let unreachable = hushwire_client::transport::Unreachable { why: "x" };
        assert_eq!(Failure::from(ClientError::Unreachable(unreachable)).code(), 4);
        assert_eq!(Failure::from(ClientError::HandleTaken).code(), 1);
        assert_eq!(Failure::NotInTime { wanted: "accepted", seconds: 1 }.code(), 3);
        assert_eq!(Failure::Unsent { count: 1 }.code(), 3);
        assert_eq!(Failure::TooFew { got: 1, wanted: 2 }.code(), 3);
        assert_eq!(Failure::Interrupted.code(), 130);
        assert_eq!(Failure::Left { wanted: "accepted" }.code(), 130);
        assert_eq!(Failure::NoHome.code(), 1);
    }
}
