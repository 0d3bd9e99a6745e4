//! The command line: `serve`, `migrate`, `check-config`, `audit`, `version`.
//!
//! What a command prints for people and programs goes to standard output, the log to standard
//! error. Wrong use ends with 2, everything else that fails with 1.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use hushwire_actors::ports::Clock as _;
use hushwire_wire::Encoding;

use crate::adapters::SystemClock;
use crate::audit::{Report, Sought};
use crate::logging::{self, causes};
use crate::process;
use crate::server::{Server, StopHandle};
use crate::settings::layers::{Layers, Loaded};
use crate::settings::{DATABASE_FILE, Settings};
use crate::stores;
use crate::tls::Tls;

const ABOUT: &str = "The Hushwire server: routes end-to-end encrypted messages it cannot read.";

const EXAMPLES: &str = "\
Examples:
  hushwire serve
      Everything in this process: accounts in ./hushwire-data, messages in memory only.
  hushwire serve --data /var/lib/hushwire --listen 0.0.0.0:8080 --domain chat.example.com
  hushwire serve --set database.url=postgres://hushwire@db.example/hushwire
      Accounts in PostgreSQL.
  hushwire serve --set redis.url=redis://127.0.0.1:6379
      Messages wait in Redis, and outlive the server.
  hushwire check-config --config hushwire.toml
      What would be in force, and where each value came from.";

const SERVE: &str = "\
Starts the server. Without arguments it needs nothing else: accounts go to a SQLite file under
./hushwire-data (made for its owner only), messages wait in memory and are never written down.
database.url keeps accounts in PostgreSQL in the place of SQLite.

SIGTERM and SIGINT drain: new work is refused, messages under way find their custody, every
client is told when to come back, and the process ends within 30 seconds. A second signal ends
it at once. SIGHUP reads the certificate of TLS and its key again.";

const AUDIT: &str = "\
Looks from outside at a deployment that runs, with the settings that it runs with, and prints a line
for each thing that it looked at:
  database  every column, and what it holds; one that this version did not make fails
  process   no core dump, and no memory for other processes of the same user
  files     what the process has open: only the database and the log may be written
  log       nothing in the file that --log names looks like a token, an id or a ciphertext

Run it as root, since the kernel shows a process that hides its memory to nobody else. It changes
nothing, and ends with 1 if one line fails.";

const SETTINGS: &str = "\
Settings come in layers, the later wins:
  1. the defaults (config/default.toml lists and explains every key)
  2. one TOML file, if --config or HUSHWIRE_CONFIG names it; no other file is looked for
  3. HUSHWIRE__SECTION__KEY in the environment, like HUSHWIRE__LIMITS__MESSAGE_INTERVAL_MS=0
  4. flags
A key that does not exist is an error in every layer.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "hushwire", version, about = ABOUT, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the server.
    #[command(long_about = SERVE, after_help = SETTINGS)]
    Serve(Chosen),
    /// Brings the database to this version's schema, and ends. `serve` does the same.
    #[command(after_help = SETTINGS)]
    Migrate {
        #[command(flatten)]
        chosen: Chosen,
        /// Lists the migrations and changes nothing.
        #[arg(long)]
        status: bool,
    },
    /// Prints every setting, its value and where it came from; fails if one is not allowed.
    #[command(after_help = SETTINGS)]
    CheckConfig(Chosen),
    /// Proves of a running deployment that messages stay in memory; fails if anything does not.
    #[command(long_about = AUDIT, after_help = SETTINGS)]
    Audit {
        #[command(flatten)]
        chosen: Chosen,
        /// The file that the server's log goes to, to be searched.
        #[arg(long, value_name = "PATH")]
        log: Option<PathBuf>,
        /// The server's process [default: whoever listens at admin.listen].
        #[arg(long, value_name = "PID")]
        pid: Option<u32>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints the version.
    Version {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What flags choose.
#[derive(Debug, Default, Args)]
struct Chosen {
    /// A TOML file with settings.
    #[arg(long, short, value_name = "PATH", env = "HUSHWIRE_CONFIG")]
    config: Option<PathBuf>,
    /// The folder of the database [default: hushwire-data].
    #[arg(long, short, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the public interface listens [default: 127.0.0.1:8080].
    #[arg(long, short, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where /healthz and /readyz are, or "off" [default: 127.0.0.1:8081].
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// The name that accounts are registered at; it can never change [default: localhost].
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// critical, error, warning, info or debug [default: info].
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Any other setting, like `--set limits.message_interval_ms=0`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl Chosen {
    fn layers(self, environment: Vec<(String, String)>) -> Layers {
        let mut flags = Vec::new();
        let mut flag = |name: &str, key: &str, text: Option<String>| {
            flags.extend(text.map(|text| (name.to_owned(), key.to_owned(), text)));
        };
        let database = self.data.map(|folder| folder.join(DATABASE_FILE).display().to_string());
        flag("--data", "database.path", database);
        flag("--listen", "server.listen", self.listen);
        let off = |text: String| if text == "off" { String::new() } else { text };
        flag("--admin", "admin.listen", self.admin.map(off));
        flag("--domain", "server.domain", self.domain);
        flag("--log-level", "log.level", self.log_level);
        for (key, value) in self.set {
            flag("--set", &key, Some(value));
        }
        Layers { file: self.config, environment, flags }
    }

    fn load(self, environment: Vec<(String, String)>) -> Result<Loaded, Failed> {
        self.layers(environment).load().map_err(failed)
    }
}

/// What is printed when a command fails.
struct Failed(String);

fn failed(error: impl std::error::Error) -> Failed {
    Failed(causes(&error))
}

/// Runs a command line with the process's environment; the whole of `main`.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // clap knows whether it is help or wrong use; a closed output is nobody's fault.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(cli.command, environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(why)) => {
            let _ = writeln!(std::io::stderr(), "hushwire: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, environment: Vec<(String, String)>) -> Result<(), Failed> {
    match command {
        Command::Serve(chosen) => serve(chosen.load(environment)?.settings),
        Command::Migrate { chosen, status } => migrate(&chosen.load(environment)?.settings, status),
        Command::CheckConfig(chosen) => check_config(&chosen.load(environment)?),
        Command::Audit { chosen, log, pid, json } => {
            audit(&chosen.load(environment)?.settings, &Sought { pid, log }, json)
        }
        Command::Version { json } => print(&version(json)),
    }
}

fn print(text: &str) -> Result<(), Failed> {
    writeln!(std::io::stdout(), "{text}").map_err(failed)
}

/// Lists the settings; certificate and key are read, too, since they may not fit.
fn check_config(loaded: &Loaded) -> Result<(), Failed> {
    Tls::load(&loaded.settings.tls, SystemClock.now_ms()).map_err(failed)?;
    print(&listing(loaded))
}

/// Every key, its value and where it came from, in columns.
fn listing(loaded: &Loaded) -> String {
    let lines: Vec<_> =
        loaded.lines().map(|(key, value, origin)| (format!("{key} = {value}"), origin)).collect();
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0).min(60);
    let line = |(line, origin): &(String, _)| format!("{line:<width$}  # {origin}");
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn version(json: bool) -> String {
    let version = env!("CARGO_PKG_VERSION");
    if !json {
        return format!("hushwire {version}");
    }
    let protocols = Encoding::ALL.map(Encoding::subprotocol);
    serde_json::json!({ "version": version, "protocols": protocols }).to_string()
}

fn migrate(settings: &Settings, status: bool) -> Result<(), Failed> {
    let migrations = actix::System::new().block_on(async {
        if !status {
            stores::migrate(settings).await?;
        }
        stores::migrations(settings).await
    });
    for one in migrations.map_err(failed)? {
        print(&format!("{}  {}", if one.applied { "applied" } else { "missing" }, one.name))?;
    }
    Ok(())
}

fn audit(settings: &Settings, sought: &Sought, json: bool) -> Result<(), Failed> {
    let report = actix::System::new().block_on(Report::of(settings, sought));
    print(&if json { report.json() } else { report.text() })?;
    if report.passed() {
        return Ok(());
    }
    Err(Failed(format!("the audit failed: {} of its lines", report.failures())))
}

fn serve(settings: Settings) -> Result<(), Failed> {
    process::harden(&settings);
    let (log, guard) = logging::start(&settings.log);
    logging::log_panics(&log);
    process::report(&settings, &log);
    let served = actix::System::new().block_on(async {
        let greeting = Greeting::of(&settings);
        let server = Server::bind(settings, log.clone()).await.map_err(failed)?;
        print(&greeting.text(&server))?;
        let heard = signals(server.stop_handle(), server.tls().cloned(), log.clone());
        actix::spawn(heard.inspect_failure(log.clone()));
        server.run().await.map_err(failed)
    });
    drop(log);
    drop(guard);
    served
}

/// What is said at the start.
struct Greeting {
    domain: String,
    database: String,
    messages: &'static str,
}

impl Greeting {
    fn of(settings: &Settings) -> Self {
        let database = stores::place(&settings.database);
        let messages =
            if settings.redis.is_used() { "in the memory of Redis only" } else { "in memory only" };
        Self { domain: settings.server.domain.clone(), database, messages }
    }

    fn text(&self, server: &Server) -> String {
        let Self { domain, database, messages } = self;
        let scheme = if server.tls().is_some() { "https" } else { "http" };
        let address = format!("{scheme}://{}", server.address());
        // Accounts are signed for the domain, so it is the address to register at.
        let (next, at) = if domain == "localhost" || domain.starts_with("localhost:") {
            ("Next, in another terminal:", address.clone())
        } else {
            ("Next, once this name leads here, over TLS:", format!("https://{domain}"))
        };
        let admin = server.admin_address().map_or_else(
            || "off".to_owned(),
            |admin| format!("http://{admin}/healthz and http://{admin}/readyz"),
        );
        format!(
            "Hushwire {} for the domain {domain}\n\
             \n\
             \x20 listens on   {address}\n\
             \x20 admin        {admin}\n\
             \x20 accounts     {database}\n\
             \x20 messages     {messages}, until they are delivered\n\
             \n\
             {next}\n\
             \n\
             \x20 hush register --server {at} NAME\n",
            env!("CARGO_PKG_VERSION"),
        )
    }
}

/// Signals as a future that can fail.
trait InspectFailure {
    async fn inspect_failure(self, log: slog::Logger);
}

impl<F: Future<Output = std::io::Result<()>>> InspectFailure for F {
    async fn inspect_failure(self, log: slog::Logger) {
        if let Err(error) = self.await {
            slog::error!(log, "signals cannot be heard"; "why" => causes(&error));
        }
    }
}

/// The first SIGTERM or SIGINT drains, the second ends; SIGHUP reads the certificate again.
#[cfg(unix)]
async fn signals(stop: StopHandle, tls: Option<Tls>, log: slog::Logger) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut first = true;
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {
                read_again(tls.as_ref(), &log);
                continue;
            }
        }
        if first {
            stop.drain()
        } else {
            stop.now()
        }
        first = false;
    }
}

#[cfg(unix)]
fn read_again(tls: Option<&Tls>, log: &slog::Logger) {
    let Some(tls) = tls else {
        slog::info!(log, "SIGHUP: there is no certificate to read again");
        return;
    };
    match tls.reload(SystemClock.now_ms()) {
        Ok(()) => tls.report(SystemClock.now_ms(), log),
        Err(error) => {
            slog::error!(log, "the certificate was not changed"; "why" => causes(&error));
        }
    }
}

/// The first Ctrl-C drains, the second ends.
#[cfg(not(unix))]
async fn signals(stop: StopHandle, _: Option<Tls>, _: slog::Logger) -> std::io::Result<()> {
    tokio::signal::ctrl_c().await?;
    stop.drain();
    tokio::signal::ctrl_c().await?;
    stop.now();
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn load(arguments: &[&str]) -> Result<Loaded, Failed> {
        let all = ["hushwire", "serve"].iter().chain(arguments);
        match Cli::try_parse_from(all).unwrap().command {
            Command::Serve(chosen) => chosen.load(Vec::new()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_are_the_last_layer() {
        let loaded = load(&[
            "--data",
            "place",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "off",
            "--domain",
            "chat.example",
            "--log-level",
            "debug",
            "--set",
            "limits.message_interval_ms=0",
        ]);
        let loaded = loaded.unwrap_or_else(|Failed(why)| panic!("{why}"));
        let settings = &loaded.settings;
        assert_eq!(settings.database.path, PathBuf::from("place").join(DATABASE_FILE));
        assert_eq!((settings.server.listen.port(), settings.admin.address()), (0, None));
        assert_eq!(settings.server.domain, "chat.example");
        assert_eq!(settings.limits.message_interval_ms, 0);
        assert!(
            loaded.lines().any(|(key, _, origin)| key == "database.path" && origin == "--data")
        );
    }

    #[test]
    fn wrong_settings_name_their_key() {
        let why = |arguments: &[&str]| match load(arguments) {
            Err(Failed(why)) => why,
            Ok(_) => panic!("{arguments:?} was taken"),
        };
        assert!(
            why(&["--set", "limits.mesage_interval_ms=0"])
                .contains("did you mean limits.message_interval_ms?")
        );
        assert!(
            why(&["--listen", "8080"])
                .starts_with("server.listen (--listen): expected an IP address")
        );
        assert!(why(&["--domain", "Chat"]).starts_with("server.domain: expected 1 to 253"));
        assert!(
            why(&["--config", "no-such-file.toml"])
                .starts_with("no-such-file.toml: cannot be read")
        );
    }

    #[test]
    fn the_listing_has_every_key_and_its_origin() {
        let Ok(loaded) = load(&["--domain", "chat.example"]) else { panic!("refused") };
        let listing = listing(&loaded);
        assert_eq!(listing.lines().count(), loaded.lines().count());
        let domain = listing.lines().find(|line| line.starts_with("server.domain")).unwrap();
        assert!(domain.starts_with("server.domain = \"chat.example\""), "{domain}");
        assert!(domain.ends_with("# --domain"), "{domain}");
        assert!(listing.contains("# default"));
    }

    #[test]
    fn the_version_is_for_people_or_programs() {
        assert_eq!(version(false), format!("hushwire {}", env!("CARGO_PKG_VERSION")));
        let json: serde_json::Value = serde_json::from_str(&version(true)).unwrap();
        assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(json["protocols"][0], "hushwire.v1.cbor");
    }
}
