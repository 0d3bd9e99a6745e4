//! The command line: what can be asked, and the help that teaches it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hushwire_client::ContactLink;

use crate::failure::Failure;
use crate::home::{self, Home, Unlock};
use crate::output::Out;
use crate::session::in_runtime;
use crate::{chat, contacts, history, listen, register, send};

const ABOUT: &str = "Chat with end-to-end encryption: the server routes what it cannot read.";

const EXAMPLES: &str = "\
Examples:
  hush register alice --server https://chat.example.org
      Makes keys in this computer's data folder and takes the name. No e-mail, no password.
  hush contacts add bob
      Asks bob. He answers with `hush contacts accept alice`.
  hush contacts verify bob
      Shows the safety number. Compare it with bob's, in person or on the telephone.
  hush chat bob
      Talk. Ctrl-D ends.
  echo \"The build is green\" | hush send bob - --wait delivered --timeout 120
  hush listen --json | jq -r 'select(.event == \"message\") | .text'

Exit codes:
  0  done                          3  not as far as asked for in time; it stays in the outbox
  1  failed                        4  the server cannot be reached now: try again later
  2  wrong use                   130  ended by Ctrl-C before it was done
Ctrl-C and SIGTERM end `chat` and `listen` with 0: that is how they are meant to end.

One program at a time uses a folder: while `hush chat` runs, other commands with the same --home
say so and end. Colours are used on a terminal only, and never when NO_COLOR is set.";

const JSON: &str = "\
JSON lines (--json): one object a line, flushed at once. \"event\" is one of
  connected                                signed in
  disconnected   why, retry_in_ms          null: not tried again by itself
  message        id, from, text, sent_ms, at_ms[, reply_to]
  waiting        from                      somebody else wrote: it stays for `hush chat` with them
  queued         id, to, text              written down in the outbox
  held           id, for_ms                the server takes one message in 10 seconds
  sent           id                        left this device
  accepted       id[, skipped]             the server has it; so many devices will not get it
  delivered      id                        a device of the recipient has it
  read           from, of                  ids that a person read
  unreadable     id, code                  a device of the recipient could not open it
  expired        id                        waited 30 days for a device that did not come
  failed         id, code, why             will not be sent
  resynced       again                     the server lost its queues; so many were sent again
  contact_request  from
  contact_accepted with
  alarm          code, words               a person must know this
  missed         count                     events left out because nobody read them
  refused        why                       a line that cannot be sent
  outbox         unaccepted                at the end: so many wait for the next start
Ids are base64url of 16 bytes. Times are milliseconds, since 1970 for *_ms of messages. Keys are
not removed or renamed; new ones may come. Characters that steer a terminal are written \\uXXXX.";

const REGISTER: &str = "\
Takes a username at a server and makes this device's keys. They never leave this computer; there
is no way to get them back from the server. The server's domain becomes part of your identity.";

const VERIFY: &str = "\
Shows the safety number of a conversation: twelve groups of five digits, the same on both sides if
nobody stands between you. Compare it in person, or on the telephone if you know the voice; not
through this chat. Compare only when both of you see the same two device-log entries: a number
changes with every new device.

On a terminal it asks whether the numbers were equal and remembers the answer. Without a terminal
it only shows the number, unless --yes says that it was compared.";

const CHAT: &str = "\
On a terminal: a line is a message; what comes in appears above the line; behind the cursor stands
how far your newest message has come:
  goes in 7 s    the server takes one message in 10 seconds; it is sent by itself
  waits, offline it is sent when the connection is back
  sent           on its way
  \u{2713} accepted     the server has it, and keeps it until it is delivered
  \u{2713}\u{2713} delivered   a device of the other person has it
Ctrl-D or Ctrl-C ends. What was not sent stays in the outbox.

When the input is not a terminal, every line is sent, and the program ends when the input ends and
the server has all of it (or 60 seconds later, with exit code 3).";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "hush", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    store: StoreArgs,
    #[command(subcommand)]
    command: Command,
}

/// Where the store is, and what opens it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// The folder of keys, contacts and messages: one for each account
    /// [default: $XDG_DATA_HOME/hush or ~/.local/share/hush].
    #[arg(long, global = true, value_name = "DIR", env = "HUSH_HOME", hide_env_values = true)]
    home: Option<PathBuf>,
    /// The file that opens the store [default: store.key in the folder; made for its owner only].
    #[arg(long, global = true, value_name = "FILE", conflicts_with_all = ["passphrase", "passphrase_file"])]
    key_file: Option<PathBuf>,
    /// Asks for a passphrase instead of a key file; for an account registered with one.
    #[arg(long, global = true, conflicts_with = "passphrase_file")]
    passphrase: bool,
    /// Reads the passphrase from a file's first line.
    #[arg(long, global = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl StoreArgs {
    fn home(&self) -> Result<Home, Failure> {
        let unlock = match (&self.passphrase_file, &self.key_file) {
            (Some(path), _) => Unlock::PassphraseFile(path.clone()),
            (None, _) if self.passphrase => Unlock::Ask,
            (None, file) => Unlock::KeyFile(file.clone()),
        };
        let folder = match &self.home {
            Some(folder) => folder.clone(),
            None => home::default_folder(|name| std::env::var_os(name)).ok_or(Failure::NoHome)?,
        };
        Ok(Home { folder, unlock })
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Takes a username at a server and makes this device's keys.
    #[command(long_about = REGISTER)]
    Register {
        /// 3 to 32 characters of a-z, 0-9, _ and .
        #[arg(value_parser = username)]
        name: String,
        /// The server's address: https://, the host, a port if it is not 443.
        #[arg(long, value_name = "URL")]
        server: String,
    },
    /// Who you talk with: add, accept, list, verify.
    #[command(subcommand)]
    Contacts(Contacts),
    /// Talks with a contact.
    #[command(long_about = CHAT, after_help = JSON)]
    Chat {
        /// The contact.
        #[arg(value_parser = username)]
        name: String,
        /// JSON lines instead of prose; lines of the input are sent.
        #[arg(long)]
        json: bool,
        /// Does not tell the other side what was read here.
        #[arg(long)]
        no_receipts: bool,
    },
    /// Sends one message.
    #[command(after_help = JSON)]
    Send(Send),
    /// Prints what comes in, from everybody.
    #[command(after_help = JSON)]
    Listen {
        /// JSON lines instead of prose.
        #[arg(long)]
        json: bool,
        /// Ends after so many messages.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
        /// Ends after so long; with --count, exit code 3 if there were fewer.
        #[arg(long = "for", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
        seconds: Option<u64>,
    },
    /// Prints the last messages with a contact.
    History {
        /// The contact.
        #[arg(value_parser = username)]
        name: String,
        /// How many at most.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// JSON lines instead of prose.
        #[arg(long)]
        json: bool,
    },
    /// Prints name, server and contact link of this account.
    Whoami {
        /// One JSON object instead of prose.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Contacts {
    /// Asks somebody to become a contact. Nothing else reaches them before they accept.
    Add {
        /// A username, or a link like alice@chat.example.org#2vkq… (safer: it names the keys).
        #[arg(value_name = "NAME|LINK", value_parser = username_or_link)]
        name: String,
    },
    /// Accepts a request.
    Accept {
        /// Who asked.
        #[arg(value_parser = username)]
        name: String,
    },
    /// Lists contacts and requests.
    List {
        /// JSON lines: contact, standing (asked, asks_me, active), verified, blocked.
        #[arg(long)]
        json: bool,
    },
    /// Shows the safety number, asks whether it was compared, and remembers the answer.
    #[command(long_about = VERIFY)]
    Verify {
        /// The contact.
        #[arg(value_parser = username)]
        name: String,
        /// The numbers were compared and are equal: remembers it without asking.
        #[arg(long)]
        yes: bool,
    },
}

/// One message.
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The contact.
    #[arg(value_parser = username)]
    pub(crate) name: String,
    /// The message; - reads it from the standard input.
    #[arg(allow_hyphen_values = true)]
    pub(crate) text: String,
    /// How far it must come before the command ends.
    #[arg(long, value_enum, default_value_t = Until::Accepted)]
    pub(crate) wait: Until,
    /// How long to wait; then exit code 3, and the message stays in the outbox.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=31_536_000))]
    pub(crate) timeout: u64,
    /// JSON lines instead of prose.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How far a message must come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Until {
    /// It left this device.
    Sent,
    /// The server has it.
    Accepted,
    /// A device of the recipient has it.
    Delivered,
}

fn username(text: &str) -> Result<String, String> {
    match ContactLink::parse(text) {
        Some(link) if link.names.is_none() => Ok(text.to_owned()),
        _ => Err("a username has 3 to 32 characters of a-z, 0-9, _ and .".to_owned()),
    }
}

fn username_or_link(text: &str) -> Result<String, String> {
    match ContactLink::parse(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("expected a username like bob, or a link like bob@chat.example.org#2vkq…, \
                     as `hush whoami` prints it"
            .to_owned()),
    }
}

/// Does what the command line asks.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    let done = cli.store.home().and_then(|home| act(cli.command, &home));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn act(command: Command, home: &Home) -> Result<(), Failure> {
    let mut out = Out::stdout();
    match command {
        Command::Register { name, server } => register::run(home, &name, &server, &mut out),
        Command::Contacts(Contacts::Add { name }) => {
            in_runtime(home, async |session| contacts::add(session, &name, &mut out).await)
        }
        Command::Contacts(Contacts::Accept { name }) => {
            in_runtime(home, async |session| contacts::accept(session, &name, &mut out).await)
        }
        Command::Contacts(Contacts::List { json }) => {
            in_runtime(home, async |session| contacts::list(session, json, &mut out).await)
        }
        Command::Contacts(Contacts::Verify { name, yes }) => {
            in_runtime(home, async |session| contacts::verify(session, &name, yes, &mut out).await)
        }
        Command::Chat { name, json, no_receipts } => in_runtime(home, async |session| {
            chat::run(session, &name, json, !no_receipts, &mut out).await
        }),
        Command::Send(what) => {
            let text = send::text(&what.text)?;
            in_runtime(home, async |session| send::run(session, &what, &text, &mut out).await)
        }
        Command::Listen { json, count, seconds } => in_runtime(home, async |session| {
            listen::run(session, json, count, seconds, &mut out).await
        }),
        Command::History { name, limit, json } => in_runtime(home, async |session| {
            history::run(session, &name, limit, json, &mut out).await
        }),
        Command::Whoami { json } => {
            in_runtime(home, async |session| history::whoami(session, home, json, &mut out).await)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(args: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(args.split_whitespace())
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn examples_of_the_help_parse() {
        for good in [
            "hush register alice --server https://chat.example.org",
            "hush contacts add bob",
            "hush contacts accept alice",
            "hush contacts verify bob",
            "hush contacts list --json",
            "hush chat bob --json --home x",
            "hush --home x chat bob",
            "hush send bob - --wait delivered --timeout 120",
            "hush send bob -5",
            "hush listen --json --count 3 --for 60",
            "hush history bob --limit 5 --json",
            "hush whoami --passphrase",
            "hush whoami --key-file k",
        ] {
            assert!(parse(good).is_ok(), "{good}: {:?}", parse(good).err());
        }
    }

    #[test]
    fn wrong_use_is_refused_with_code_2() {
        for bad in [
            "hush",
            "hush register alice",
            "hush register Al --server http://x",
            "hush register alice@x#y --server http://x",
            "hush contacts add b@d",
            "hush chat",
            "hush chat ../x",
            "hush send bob",
            "hush send bob hello --wait read",
            "hush send bob hello --timeout -1",
            "hush listen --count 0",
            "hush listen --for 0",
            "hush history bob --limit 0",
            "hush whoami --passphrase --passphrase-file p",
            "hush whoami --passphrase --key-file k",
            "hush whoami --passphrase-file p --key-file k",
        ] {
            let error = parse(bad).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{bad}: {error}");
        }
    }

    #[test]
    fn what_opens_the_store_follows_the_flags() {
        let unlock = |args: &str| parse(args).unwrap().store.home().unwrap().unlock;
        assert!(matches!(unlock("hush --home h whoami"), Unlock::KeyFile(None)));
        assert!(matches!(unlock("hush --home h --key-file k whoami"), Unlock::KeyFile(Some(_))));
        assert!(matches!(unlock("hush --home h --passphrase whoami"), Unlock::Ask));
        let file = unlock("hush --home h --passphrase-file p whoami");
        assert!(matches!(file, Unlock::PassphraseFile(_)));
    }

    #[test]
    fn the_help_names_every_exit_code_and_event() {
        let mut command = Cli::command();
        let help = command.render_long_help().to_string();
        for code in ["0  done", "1  failed", "2  wrong use", "3  not", "4  the server", "130"] {
            assert!(help.contains(code), "{code}");
        }
        for event in crate::render::EVENTS {
            assert!(JSON.contains(event), "{event}");
        }
    }
}
