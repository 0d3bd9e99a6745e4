//! The command line: what can be asked, and the help that teaches it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hushwire_client::{ContactLink, Suite, Suites, Wishes};

use crate::failure::Failure;
use crate::home::{self, Home, Unlock};
use crate::output::Out;
use crate::session::in_runtime;
use crate::{act, chat, contacts, history, listen, register, send};

const ABOUT: &str = "Chat with end-to-end encryption: the server routes what it cannot read.";

const EXAMPLES: &str = "\
Examples:
  hush register alice --server https://chat.example.org
      Makes keys in this computer's data folder and takes the name. No e-mail, no password.
  hush contacts add bob
      Asks bob. He answers with `hush contacts accept alice`. Both take the link that the other
      one's `hush whoami` prints instead of a name: it admits nobody else.
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
  message        id, from, text, sent_ms, at_ms[, reply_to][, from_removed]
  waiting        from                      somebody else wrote: it stays for `hush chat` with them
  queued         id, to, text[, items]     written down in the outbox; items: ids of several texts
  held           id, for_ms                the server takes one message in 10 seconds
  sent           id                        left this device
  accepted       id[, skipped]             the server has it; so many devices will not get it
  delivered      id                        a device of the recipient has it
  read           from, of                  ids that a person read
  edited         id, from, text            the words of a message are now these
  removed        id, with                  a message was taken back by its author
  withdrawn      id                        taken back before it left this device
  reacted        id, with, by, symbol      an empty symbol: the reaction was taken back
  timer          with[, by], seconds       messages disappear so long after they were seen; 0: off
  disappeared    id, with                  the time of a message has come
  profile        from, name                how a contact wants to be shown; null: no name
  typing         from, on                  whether a contact is typing
  unreadable     id, code                  a device of the recipient could not open it
  expired        id                        waited 30 days for a device that did not come
  failed         id, code, why             will not be sent
  resynced       again                     the server lost its queues; so many were sent again
  contact_request  from
  contact_accepted with
  alarm          code, words               a person must know this
  trouble        trouble[, contact], words a person should know this
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
it only shows the number; --yes NUMBER says that this one was compared, and is refused if another
one is shown now, because the devices changed in between.";

const EDIT: &str = "\
Gives one of your messages other words, on both sides. Only the author of a message can; who has
seen the old words may remember them. The server's 10-second rule counts an edit like a message.
Example:
  hush edit bob last \"See you at seven, not at six\"";

const SEND: &str = "\
Sends one message and waits until the server has it. It is written down first: what does not leave
in time stays in the outbox, and the next `hush` that connects sends it.
Examples:
  hush send bob \"See you at six\"
  hush send bob - < notes.txt              the standard input, as one message
  hush send bob \"One\" \"Two\" \"Three\"        three texts at once
  hush send bob \"Are you there?\" --wait delivered --timeout 120";

const REACT: &str = "\
Puts one character or emoji beside a message of either side; both see it. It replaces your earlier
one. No 10-second rule holds it up.
Examples:
  hush react bob last +             his last message
  hush react bob kX3f0_-a --off     takes it back; `hush history bob --ids` shows ids";

const ACKNOWLEDGE: &str = "\
After safety numbers were compared, nothing is sent to a contact's new devices until you say that
you know of them. Ask the person first, not through this chat. To compare the numbers again with
`hush contacts verify` is better: it says the same, and shows that nobody stands between you.";

const HISTORY_JSON: &str = "\
JSON lines (--json): as the event `message` of `hush listen --json`, and if they are there
  stage      of your own: waiting, sent, accepted, delivered, read or failed
  edited, removed                     true
  reactions                           a list of {from, symbol}
  gone_ms                             when it disappears";

const REMOVE: &str = "\
Takes one of your messages back: its words are erased here, and by the other side's client when it
hears of it. Nobody can make a person forget, or a client that was changed. A message that has not
left this device is simply not sent. No rule holds a removal up.";

const TIMER: &str = "\
Messages with a contact disappear from both histories after a time: your own so long after the
server took them, theirs so long after you were shown them. It holds for messages from now on, and
for both sides; either can change it, and the later change holds. It is a promise between two
clients, not a protection from a person who keeps copies.
Examples:
  hush timer bob          shows it
  hush timer bob 7d       30s, 5m, 8h, 7d, 4w
  hush timer bob off";

const PROFILE: &str = "\
The name that your contacts see beside your username. It goes to contacts only, encrypted; the
server does not see it. Anybody can take any name: only the username and the safety number tell who
it is.";

const CHAT: &str = "\
On a terminal: a line is a message; what comes in appears above the line; behind the cursor stands
how far your newest message has come:
  goes in 7 s     the server takes one message in 10 seconds; it is sent by itself
  waits, offline  it is sent when the connection is back
  sent            on its way
  \u{2713} accepted      the server has it, and keeps it until it is delivered
  \u{2713}\u{2713} delivered    a device of the other person has it
Ctrl-D or Ctrl-C ends. What was not sent stays in the outbox.

Lines that begin with / are commands; /help lists them, //x sends /x:
  /edit WORDS    /remove    /react SYMBOL    /timer TIME

When the input is not a terminal, every line is sent as it is (unless --commands is given), and
the program ends when the input has ended and the server has all of it, or 60 seconds later with
exit code 3.";

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
        /// 3 to 32 characters of a-z, 0-9, . and _: others ask for you by it; it cannot be changed.
        #[arg(value_parser = username)]
        name: String,
        /// The server's address: https://, the host, a port if it is not 443.
        #[arg(long, value_name = "URL")]
        server: String,
        /// What the server must call itself, if that is not the host of its address.
        #[arg(long, value_name = "DOMAIN")]
        domain: Option<String>,
        /// The cipher suites that this device offers, for good: 3 is X-Wing, which holds against
        /// quantum computers too; 1 is X25519; 2 is X25519 with AES-256-GCM. A conversation
        /// takes the best that all its devices share: 3, then 1, then 2.
        #[arg(long, value_name = "NUMBERS", default_value = "1,2,3", value_parser = suites)]
        suites: Suites,
    },
    /// Who you talk with: add, accept, list, verify, acknowledge, renew.
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
        /// Lines that begin with / are commands, as on a terminal.
        #[arg(long)]
        commands: bool,
    },
    /// Sends one message.
    #[command(long_about = SEND, after_help = JSON)]
    Send(Send),
    /// Gives one of your messages other words.
    #[command(long_about = EDIT, after_help = JSON)]
    Edit(act::Edit),
    /// Takes one of your messages back.
    #[command(long_about = REMOVE, after_help = JSON)]
    Remove(act::Remove),
    /// Reacts to a message with one character or emoji.
    #[command(long_about = REACT, after_help = JSON)]
    React(act::React),
    /// Shows or sets how long messages with a contact are kept.
    #[command(long_about = TIMER, after_help = JSON)]
    Timer(act::Timer),
    /// Shows or sets the name that your contacts see.
    #[command(long_about = PROFILE)]
    Profile(act::Profile),
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
    #[command(after_help = HISTORY_JSON)]
    History {
        /// The contact.
        #[arg(value_parser = username)]
        name: String,
        /// How many at most.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Shows the beginning of each message's id, for edit, remove and react.
        #[arg(long)]
        ids: bool,
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
        /// Who asked. A link accepts only the person whose link it is.
        #[arg(value_name = "NAME|LINK", value_parser = username_or_link)]
        name: String,
    },
    /// Lists contacts and requests.
    List {
        /// JSON lines: contact, standing (asked, asks_me, active), verified, blocked, and if they
        /// are there trouble (forked, changed, unacknowledged, unreachable), seq, verified_seq,
        /// confirmed_ms, profile, timer_s.
        #[arg(long)]
        json: bool,
    },
    /// Says that you know that a verified contact's devices changed: sending goes on.
    #[command(long_about = ACKNOWLEDGE)]
    Acknowledge {
        /// The contact.
        #[arg(value_parser = username)]
        name: String,
        /// The entry of the device log up to which you know them; without it, shows which is the
        /// newest.
        entry: Option<u32>,
    },
    /// Makes a new key for the conversation, if you fear that an older one leaked.
    Renew {
        /// The contact.
        #[arg(value_parser = username)]
        name: String,
    },
    /// Shows the safety number, asks whether it was compared, and remembers the answer.
    #[command(long_about = VERIFY)]
    Verify {
        /// The contact.
        #[arg(value_parser = username)]
        name: String,
        /// This number was compared and is equal: remembers it without asking.
        #[arg(long, value_name = "NUMBER")]
        yes: Option<String>,
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
    /// Further texts: up to 16 go together, and count as one for the 10-second rule.
    #[arg(num_args = 0..=15)]
    pub(crate) more: Vec<String>,
    #[command(flatten)]
    pub(crate) way: Way,
}

/// How far something must come before a command ends.
#[derive(Debug, Args)]
pub(crate) struct Way {
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

pub(crate) fn username(text: &str) -> Result<String, String> {
    match ContactLink::parse(text) {
        Some(link) if link.names.is_none() => Ok(text.to_owned()),
        _ => Err("a username has 3 to 32 characters of a-z, 0-9, _ and .".to_owned()),
    }
}

/// `1,3`: numbers of suites.
fn suites(text: &str) -> Result<Suites, String> {
    let bit = |word: &str| {
        let suite = word.trim().parse().ok().and_then(Suite::from_number)?;
        Some(1 << (suite.number() - 1))
    };
    text.split(',')
        .try_fold(0, |bits, word| Some(bits | bit(word)?))
        .and_then(Suites::from_bits)
        .ok_or_else(|| "expected numbers of suites with commas between them, like 1,3".to_owned())
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
        Command::Register { name, server, domain, suites } => {
            let wishes = Wishes { domain: domain.as_deref(), suites };
            register::run(home, &name, &server, wishes, &mut out)
        }
        Command::Contacts(Contacts::Add { name }) => {
            in_runtime(home, async |session| contacts::add(session, &name, &mut out).await)
        }
        Command::Contacts(Contacts::Accept { name }) => {
            in_runtime(home, async |session| contacts::accept(session, &name, &mut out).await)
        }
        Command::Contacts(Contacts::List { json }) => {
            in_runtime(home, async |session| contacts::list(session, json, &mut out).await)
        }
        Command::Contacts(Contacts::Acknowledge { name, entry }) => {
            in_runtime(home, async |session| {
                contacts::acknowledge(session, &name, entry, &mut out).await
            })
        }
        Command::Contacts(Contacts::Renew { name }) => {
            in_runtime(home, async |session| contacts::renew(session, &name, &mut out).await)
        }
        Command::Contacts(Contacts::Verify { name, yes }) => in_runtime(home, async |session| {
            contacts::verify(session, &name, yes.as_deref(), &mut out).await
        }),
        Command::Chat { name, json, no_receipts, commands } => in_runtime(home, async |session| {
            let how = chat::How { json, tells_read: !no_receipts, commands };
            chat::run(session, &name, how, &mut out).await
        }),
        Command::Send(what) => {
            let texts = send::texts(&what)?;
            in_runtime(home, async |session| send::run(session, &what, texts, &mut out).await)
        }
        Command::Edit(what) => {
            let text = send::text(&what.text)?;
            in_runtime(home, async |session| act::edit(session, &what, &text, &mut out).await)
        }
        Command::Remove(what) => {
            in_runtime(home, async |session| act::remove(session, &what, &mut out).await)
        }
        Command::React(what) => {
            in_runtime(home, async |session| act::react(session, &what, &mut out).await)
        }
        Command::Timer(what) => {
            in_runtime(home, async |session| act::timer(session, &what, &mut out).await)
        }
        Command::Profile(what) => {
            in_runtime(home, async |session| act::profile(session, &what, &mut out).await)
        }
        Command::Listen { json, count, seconds } => in_runtime(home, async |session| {
            listen::run(session, json, count, seconds, &mut out).await
        }),
        Command::History { name, limit, ids, json } => in_runtime(home, async |session| {
            history::run(session, &name, limit, ids, json, &mut out).await
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
            "hush contacts accept alice@chat.example.org#aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaq",
            "hush contacts verify bob",
            "hush contacts list --json",
            "hush contacts acknowledge bob",
            "hush contacts acknowledge bob 5",
            "hush contacts verify bob --yes 000000000000000000000000000000000000000000000000000000000000",
            "hush contacts renew bob",
            "hush register alice --server https://10.0.0.7 --domain chat.example.org",
            "hush chat bob --json --home x",
            "hush --home x chat bob",
            "hush send bob - --wait delivered --timeout 120",
            "hush send bob -5",
            "hush send bob one two three --wait sent",
            "hush chat bob --json --commands",
            "hush edit bob last better",
            "hush edit bob kX3f - --json",
            "hush remove bob last --wait delivered",
            "hush react bob last +",
            "hush react bob kX3f0_-a --off",
            "hush timer bob",
            "hush timer bob 7d --timeout 5",
            "hush timer bob off",
            "hush profile Alice",
            "hush profile --off",
            "hush profile --json",
            "hush history bob --ids",
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
            "hush contacts accept b@d",
            "hush contacts verify bob --yes",
            "hush contacts acknowledge bob all",
            "hush chat",
            "hush chat ../x",
            "hush send bob",
            "hush send bob hello --wait read",
            "hush send bob 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17",
            "hush edit bob last",
            "hush edit bob abc words",
            "hush edit bob last two words",
            "hush remove bob",
            "hush react bob last",
            "hush react bob last + --off",
            "hush timer bob soon",
            "hush timer bob 0s",
            "hush profile Alice --off",
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
