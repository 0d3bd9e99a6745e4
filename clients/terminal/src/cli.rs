//! The command line: what can be asked, and the help that teaches it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hushwire_client::{ContactLink, Suite, Suites, Wishes};

use self::help::{
    ABOUT, ACCOUNT_DELETE, ACCOUNT_EXPORT, ACKNOWLEDGE, BLOCK, CHAT, EDIT, EXAMPLES, HISTORY_JSON,
    JSON, PRESENCE, PROFILE, REACT, REGISTER, REMOVE, REMOVE_CONTACT, SEND, SESSIONS_END, TIMER,
    VERIFY,
};
use crate::failure::Failure;
use crate::home::{self, Home, Unlock};
use crate::output::Out;
use crate::session::in_runtime;
use crate::{account, act, chat, contacts, history, listen, parting, presence, register, send};

mod help;

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
    /// Who you talk with: add, accept, decline, list, verify, remove, block and more.
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
        /// Does not tell the other side that you type.
        #[arg(long)]
        no_typing: bool,
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
    /// Shows or sets whether contacts see that you are there.
    #[command(long_about = PRESENCE)]
    Presence(presence::Presence),
    /// Your devices at the server.
    #[command(subcommand)]
    Sessions(Sessions),
    /// Your account as a whole: its export, its end.
    #[command(subcommand)]
    Account(Account),
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
    /// Declines a request. Who asked is not told.
    Decline {
        /// Who asked.
        #[arg(value_parser = username)]
        name: String,
    },
    /// Ends a contact, for both; or forgets a request of yours.
    #[command(long_about = REMOVE_CONTACT)]
    Remove {
        /// The contact.
        #[arg(value_parser = username)]
        name: String,
        /// Does not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Ends a contact or a request, and lets nothing of that person reach you.
    #[command(long_about = BLOCK)]
    Block {
        /// Who.
        #[arg(value_parser = username)]
        name: String,
        /// Does not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Lets somebody whom you block ask again. It restores nothing.
    Unblock {
        /// Who.
        #[arg(value_parser = username)]
        name: String,
    },
    /// Lists contacts, requests and whom you block.
    List {
        /// JSON lines: contact, standing (asked, asks_me, active, blocked: by you), verified,
        /// blocked (sending waits for you), and if they are there trouble (forked, changed,
        /// unacknowledged, refused, unreachable), seq, verified_seq, confirmed_ms, profile, timer_s.
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

#[derive(Debug, Subcommand)]
enum Sessions {
    /// Lists your devices.
    List {
        /// JSON lines: device, kind, since_ms, live, current.
        #[arg(long)]
        json: bool,
    },
    /// Signs a device out.
    #[command(long_about = SESSIONS_END)]
    End {
        /// The beginning of its id, as `hush sessions list` shows it: at least 4 characters.
        #[arg(allow_hyphen_values = true)]
        device: String,
    },
}

#[derive(Debug, Subcommand)]
enum Account {
    /// Writes what the server holds of your account into a file.
    #[command(long_about = ACCOUNT_EXPORT)]
    Export {
        /// The file: it must not be there yet.
        file: PathBuf,
    },
    /// Deletes your account for ever, then the store on this computer.
    #[command(long_about = ACCOUNT_DELETE)]
    Delete {
        /// Your username: deletes without asking.
        #[arg(long, value_name = "USERNAME")]
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
        Command::Contacts(Contacts::Decline { name }) => {
            in_runtime(home, async |session| parting::decline(session, &name, &mut out).await)
        }
        Command::Contacts(Contacts::Remove { name, yes }) => {
            in_runtime(home, async |session| parting::remove(session, &name, yes, &mut out).await)
        }
        Command::Contacts(Contacts::Block { name, yes }) => {
            in_runtime(home, async |session| parting::block(session, &name, yes, &mut out).await)
        }
        Command::Contacts(Contacts::Unblock { name }) => {
            in_runtime(home, async |session| parting::unblock(session, &name, &mut out).await)
        }
        Command::Presence(what) => {
            in_runtime(home, async |session| presence::run(session, &what, &mut out).await)
        }
        Command::Sessions(Sessions::List { json }) => {
            in_runtime(home, async |session| account::sessions(session, json, &mut out).await)
        }
        Command::Sessions(Sessions::End { device }) => {
            in_runtime(home, async |session| account::end(session, &device, &mut out).await)
        }
        Command::Account(Account::Export { file }) => {
            in_runtime(home, async |session| account::export(session, &file, &mut out).await)
        }
        Command::Account(Account::Delete { yes }) => in_runtime(home, async |session| {
            account::delete(session, home, yes.as_deref(), &mut out).await
        }),
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
        Command::Chat { name, json, no_receipts, no_typing, commands } => {
            let (tells_read, tells_typing) = (!no_receipts, !no_typing);
            let how = chat::How { json, tells_read, tells_typing, commands };
            in_runtime(home, async |session| chat::run(session, &name, how, &mut out).await)
        }
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
mod tests;
