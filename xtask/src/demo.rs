//! The demonstration: two people talk through a real server, with real `hush` processes, and the
//! server is killed in the middle.
//!
//! Every sentence that is printed was checked. The first expectation that breaks ends the play
//! with its name and what was seen. Bounded: no wait without an end, no process left behind.

mod cast;
mod words;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use self::cast::{Online, Person, Server};
use self::words::Stage;

/// What plays, and how fast.
#[derive(Debug, Args)]
pub(crate) struct Play {
    /// The server's binary.
    #[arg(long)]
    server: PathBuf,
    /// The terminal client's binary.
    #[arg(long)]
    client: PathBuf,
    /// The server's rule: one message so often, in milliseconds (the product's is 10000).
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1_000..=20_000))]
    interval_ms: u64,
}

/// How long anything but the 10-second rule may take.
const SOON: Duration = Duration::from_secs(15);
/// How long nothing more must come.
const QUIET: Duration = Duration::from_millis(700);

/// What the server is told through its environment.
fn settings(address: SocketAddr, folder: &Path, interval_ms: u64) -> Vec<(&'static str, String)> {
    vec![
        ("HUSHWIRE__SERVER__LISTEN", address.to_string()),
        ("HUSHWIRE__ADMIN__LISTEN", String::new()),
        ("HUSHWIRE__DATABASE__PATH", folder.join("hushwire.sqlite").display().to_string()),
        ("HUSHWIRE__LIMITS__MESSAGE_INTERVAL_MS", interval_ms.to_string()),
    ]
}

/// Plays it.
pub(crate) fn run(play: &Play) -> Result<(), String> {
    let start = Instant::now();
    let absolute = |path: &Path| {
        path.canonicalize().map_err(|error| {
            format!(
                "{}: {error}; build it with `cargo build -p hushwire -p hushwire-chat`",
                path.display()
            )
        })
    };
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut stage = Stages {
        server: Server::start(
            &absolute(&play.server)?,
            &folder.path().join("server"),
            play.interval_ms,
        )?,
        alice: Person::new("alice", &absolute(&play.client)?, folder.path()),
        bob: Person::new("bob", &absolute(&play.client)?, folder.path()),
        patience: SOON + Duration::from_millis(play.interval_ms * 2),
        interval: Duration::from_millis(play.interval_ms),
        bob_saw: Vec::new(),
        alice_saw: Vec::new(),
    };
    let outcome = stage.play();
    if let Err(broken) = outcome {
        return Err(format!(
            "the demonstration broke: {broken}\nthe end of the server's log:\n{}",
            stage.server.log_tail()
        ));
    }
    println!("\nAll of it happened as said, in {} s.", start.elapsed().as_secs());
    Ok(())
}

/// Everybody who takes part, and what both have been shown so far, over all their processes.
struct Stages {
    server: Server,
    alice: Person,
    bob: Person,
    patience: Duration,
    interval: Duration,
    alice_saw: Vec<String>,
    bob_saw: Vec<String>,
}

impl Stages {
    fn play(&mut self) -> Result<(), String> {
        self.meet()?;
        self.both_online()?;
        self.second_thoughts()?;
        self.one_away()?;
        self.too_fast()?;
        self.killed()?;
        self.enough()?;
        self.count()
    }

    fn meet(&self) -> Result<(), String> {
        scene("Registration", "no phone number, no e-mail address, no password");
        let url = self.server.url();
        for person in [&self.alice, &self.bob] {
            person.run(&["register", person.name, "--server", &url])?;
            told(person.name, &format!("hush register {}", person.name));
        }
        let taken = Person::new("alice", self.alice.binary(), &self.bob.elsewhere());
        taken.run_expecting_failure(&["register", "alice", "--server", &url])?;
        println!("  a second alice is refused");

        scene("A request, an answer, and equal safety numbers", "nobody writes to you unasked");
        self.alice.run(&["contacts", "add", "bob"])?;
        told("alice", "hush contacts add bob");
        self.bob.run(&["contacts", "accept", "alice"])?;
        told("bob", "hush contacts accept alice");
        let mine = number(&self.alice.run(&["contacts", "verify", "bob"])?)?;
        let theirs = number(&self.bob.run(&["contacts", "verify", "alice"])?)?;
        expect(mine == theirs, || format!("the safety numbers differ: {mine} and {theirs}"))?;
        self.alice.run(&["contacts", "verify", "bob", "--yes", &theirs])?;
        self.bob.run(&["contacts", "verify", "alice", "--yes", &mine])?;
        self.alice.run_expecting_failure(&["contacts", "verify", "bob", "--yes", "00000"])?;
        println!("  both read: {mine}");
        Ok(())
    }

    fn both_online(&mut self) -> Result<(), String> {
        scene("Both are online", "sent, accepted, delivered: the content touches no store");
        let (mut alice, mut bob) = (self.alice_comes()?, self.bob_comes()?);
        self.says(&mut alice, "Hello Bob")?;
        self.sees(&mut bob, "Hello Bob")?;
        self.told(&mut alice, "Hello Bob", Stage::Delivered)?;
        self.told(&mut alice, "Hello Bob", Stage::Read)?;
        self.says(&mut bob, "Hello Alice, good to read you")?;
        self.sees(&mut alice, "Hello Alice, good to read you")?;
        self.told(&mut bob, "Hello Alice, good to read you", Stage::Delivered)?;
        self.leave(alice, bob)
    }

    fn second_thoughts(&mut self) -> Result<(), String> {
        scene("Second thoughts", "a reaction, an edit, and a message taken back, on both sides");
        let (mut alice, mut bob) = (self.alice_comes()?, self.bob_comes()?);
        self.says(&mut bob, "Shall we say six?")?;
        self.sees(&mut alice, "Shall we say six?")?;
        self.says(&mut alice, "/react +")?;
        bob.wait("the reaction", self.patience, |line| words::reacted(line, "+"))?;
        println!("  bob sees: + to: Shall we say six?");
        self.says(&mut bob, "/edit Shall we say seven?")?;
        let edited = |line: &Value| words::edited(line) == Some("Shall we say seven?");
        alice.wait("the edit", self.patience, edited)?;
        println!("  alice sees it become: Shall we say seven?");
        self.says(&mut bob, "/remove")?;
        alice.wait("the removal", self.patience, words::removed)?;
        println!("  alice sees it go");
        self.leave(alice, bob)?;
        for (person, with) in [(&self.alice, "bob"), (&self.bob, "alice")] {
            let history = person.run(&["history", with, "--limit", "1", "--json"])?;
            let is_erased = history.contains("\"removed\":true") && !history.contains("Shall we");
            expect(is_erased, || format!("{} still has it:\n{history}", person.name))?;
        }
        println!("  its words are in neither history");
        Ok(())
    }

    fn one_away(&mut self) -> Result<(), String> {
        scene("Bob is away", "what waits is served in order when he comes back");
        let mut alice = self.alice_comes()?;
        for text in ["First, while you are away", "Second, while you are away"] {
            self.says(&mut alice, text)?;
            self.told(&mut alice, text, Stage::Accepted)?;
        }
        let mut bob = self.bob_comes()?;
        let first = self.sees(&mut bob, "First, while you are away")?;
        let second = self.sees(&mut bob, "Second, while you are away")?;
        expect(first < second, || "the second came before the first".to_owned())?;
        self.told(&mut alice, "Second, while you are away", Stage::Delivered)?;
        self.leave(alice, bob)
    }

    fn too_fast(&mut self) -> Result<(), String> {
        scene("Too fast", "the rule holds a message and sends it when its time has come");
        let (mut alice, mut bob) = (self.alice_comes()?, self.bob_comes()?);
        self.says(&mut alice, "One")?;
        self.sees(&mut bob, "One")?;
        let at = Instant::now();
        self.says(&mut alice, "Two, at once")?;
        self.told(&mut alice, "Two, at once", Stage::Held)?;
        self.sees(&mut bob, "Two, at once")?;
        let apart = at.elapsed();
        // "One" was taken a moment before the clock here starts, and a countdown is in seconds.
        let least = self.interval.mul_f64(0.8).saturating_sub(Duration::from_secs(1));
        expect(apart >= least, || format!("it came after {apart:?}: the rule did not hold it"))?;
        println!("  it came {:.1} s later, by itself", apart.as_secs_f64());
        self.told(&mut alice, "Two, at once", Stage::Delivered)?;
        self.leave(alice, bob)
    }

    fn killed(&mut self) -> Result<(), String> {
        scene("kill -9", "the server dies with one message queued and one on its way");
        let mut alice = self.alice_comes()?;
        self.says(&mut alice, "Accepted, and still queued")?;
        self.told(&mut alice, "Accepted, and still queued", Stage::Accepted)?;
        std::thread::sleep(self.interval + Duration::from_millis(300));
        self.server.freeze()?;
        self.says(&mut alice, "On its way, and not accepted")?;
        self.told(&mut alice, "On its way, and not accepted", Stage::Sent)?;
        self.server.kill()?;
        println!("  the server is killed; its queues are gone with its memory");
        let premature = alice.all(QUIET)?.to_vec();
        let id = words::id_of(&premature, 1).unwrap_or_default();
        expect(!premature.iter().any(|line| words::tells(line, id, Stage::Accepted)), || {
            "a dead server accepted a message".to_owned()
        })?;
        self.server.restart()?;
        println!("  the server is started again, on the same folder and port");
        self.told(&mut alice, "On its way, and not accepted", Stage::Accepted)?;
        let mut bob = self.bob_comes()?;
        let first = self.sees(&mut bob, "Accepted, and still queued")?;
        let second = self.sees(&mut bob, "On its way, and not accepted")?;
        expect(first < second, || "what was sent again came out of order".to_owned())?;
        self.told(&mut alice, "Accepted, and still queued", Stage::Delivered)?;
        self.told(&mut alice, "On its way, and not accepted", Stage::Delivered)?;
        self.leave(alice, bob)
    }

    fn enough(&self) -> Result<(), String> {
        scene("Enough", "bob blocks alice, who cannot tell it from being removed");
        self.bob.run(&["contacts", "block", "alice", "--yes"])?;
        told("bob", "hush contacts block alice");
        self.alice.run_expecting_failure(&["send", "bob", "Still there?"])?;
        let list = self.alice.run(&["contacts", "list"])?;
        let words = "may have removed you, blocked you, or be gone";
        expect(list.contains(words), || format!("alice is not told:\n{list}"))?;
        println!("  alice is told: bob {words}");
        Ok(())
    }

    /// Over all scenes and processes: everything once, in order, nothing else.
    fn count(&self) -> Result<(), String> {
        scene("The count", "what each person was shown, over all of it");
        let bob = [
            "Hello Bob",
            "First, while you are away",
            "Second, while you are away",
            "One",
            "Two, at once",
            "Accepted, and still queued",
            "On its way, and not accepted",
        ];
        let alice = ["Hello Alice, good to read you", "Shall we say six?"];
        for (name, saw, wanted) in
            [("alice", &self.alice_saw, &alice[..]), ("bob", &self.bob_saw, &bob[..])]
        {
            println!("  {name}:");
            for text in saw {
                println!("    {text}");
            }
            exactly(name, saw, wanted)?;
        }
        println!("  each once, each in order, nothing lost");
        Ok(())
    }

    fn alice_comes(&self) -> Result<Online, String> {
        comes(&self.alice, "bob")
    }

    fn bob_comes(&self) -> Result<Online, String> {
        comes(&self.bob, "alice")
    }

    fn says(&self, who: &mut Online, text: &str) -> Result<(), String> {
        who.say(text)?;
        println!("  {} types: {text}", who.name);
        Ok(())
    }

    /// Waits until `who` is shown `text`; gives its place among all lines.
    fn sees(&self, who: &mut Online, text: &str) -> Result<usize, String> {
        let what = format!("the message \"{text}\"");
        let (at, _) = who.wait(&what, self.patience, |line| words::shown(line) == Some(text))?;
        println!("  {} sees: {text}", who.name);
        Ok(at)
    }

    /// Waits until `who` is told that the own message `text` has come to `stage`.
    fn told(&self, who: &mut Online, text: &str, stage: Stage) -> Result<(), String> {
        let until = Instant::now() + self.patience;
        let what = format!("\"{text}\" to be {}", stage.word());
        let place = who.place_of(text).ok_or_else(|| format!("nobody typed \"{text}\""))?;
        let id = loop {
            if let Some(id) = words::id_of(who.all(Duration::from_millis(20))?, place) {
                break id.to_owned();
            }
            expect(Instant::now() < until, || format!("{} never queued \"{text}\"", who.name))?;
        };
        who.wait(&what, self.patience, |line| words::tells(line, &id, stage))?;
        println!("  {} is told: {}: {text}", who.name, stage.word());
        Ok(())
    }

    /// Both go, and what they were shown is kept for the count.
    fn leave(&mut self, alice: Online, bob: Online) -> Result<(), String> {
        for (online, saw) in [(alice, &mut self.alice_saw), (bob, &mut self.bob_saw)] {
            let lines = online.leave()?;
            saw.extend(lines.iter().filter_map(words::shown).map(str::to_owned));
        }
        Ok(())
    }
}

fn comes(person: &Person, to: &str) -> Result<Online, String> {
    let mut online = person.online(&["chat", to, "--json", "--commands"])?;
    online.wait("to be online", SOON, words::is_ready)?;
    println!("  {} is online", person.name);
    Ok(online)
}

/// The digits of a safety number, however they are laid out.
fn number(text: &str) -> Result<String, String> {
    let groups: Vec<&str> = text
        .split_whitespace()
        .filter(|word| word.len() == 5 && word.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    if groups.len() == 12 {
        return Ok(groups.join(" "));
    }
    Err(format!("no safety number of twelve groups in:\n{text}"))
}

/// Whether somebody was shown just this, each once and in this order.
fn exactly(name: &str, saw: &[String], wanted: &[&str]) -> Result<(), String> {
    for text in wanted {
        let times = saw.iter().filter(|seen| seen == text).count();
        expect(times > 0, || format!("{name} was never shown \"{text}\""))?;
        expect(times == 1, || format!("{name} was shown \"{text}\" {times} times"))?;
    }
    if let Some(strange) = saw.iter().find(|text| !wanted.contains(&text.as_str())) {
        return Err(format!("{name} was shown \"{strange}\", which nobody wrote"));
    }
    expect(saw.iter().eq(wanted), || format!("{name} was shown everything, but out of order"))
}

fn scene(title: &str, what: &str) {
    println!("\n{title}: {what}");
}

fn told(name: &str, command: &str) {
    println!("  {name}$ {command}");
}

fn expect(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_safety_number_is_found_in_prose_and_refused_when_short() {
        let digits = "12345 ".repeat(12);
        assert_eq!(number(&format!("Compare:\n  {digits}\nwith Bob")).unwrap(), digits.trim());
        assert!(number("12345 12345").is_err());
    }

    #[test]
    fn lost_doubled_strange_and_disordered_messages_break_the_count() {
        let judge = |saw: &[&str]| {
            let saw: Vec<String> = saw.iter().map(|text| (*text).to_owned()).collect();
            exactly("bob", &saw, &["a", "b"])
        };
        assert_eq!(judge(&["a", "b"]), Ok(()));
        assert!(judge(&["a"]).unwrap_err().contains("never shown \"b\""));
        assert!(judge(&["a", "b", "a"]).unwrap_err().contains("\"a\" 2 times"));
        assert!(judge(&["a", "b", "c"]).unwrap_err().contains("nobody wrote"));
        assert!(judge(&["b", "a"]).unwrap_err().contains("out of order"));
    }

    #[test]
    fn the_words_of_hush_are_told_apart() {
        let lines: Vec<Value> = [
            r#"{"event":"queued","to":"bob","id":"a"}"#,
            r#"{"event":"accepted","id":"a"}"#,
            r#"{"event":"message","text":"y"}"#,
            r#"{"event":"edited","text":"z"}"#,
            r#"{"event":"removed"}"#,
            r#"{"event":"reacted","symbol":"+"}"#,
        ]
        .map(|line| serde_json::from_str(line).unwrap())
        .into();
        assert_eq!(words::id_of(&lines, 0), Some("a"));
        assert_eq!(words::id_of(&lines, 1), None);
        assert!(words::tells(&lines[1], "a", Stage::Accepted));
        assert!(!words::tells(&lines[1], "b", Stage::Accepted));
        assert_eq!(words::shown(&lines[2]), Some("y"));
        assert_eq!(words::shown(&lines[0]), None);
        assert_eq!((words::edited(&lines[3]), words::edited(&lines[2])), (Some("z"), None));
        assert!(words::removed(&lines[4]) && !words::removed(&lines[3]));
        assert!(words::reacted(&lines[5], "+") && !words::reacted(&lines[5], "-"));
    }
}
