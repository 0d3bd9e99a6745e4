//! Lines of a talk that are commands: they begin with a slash, and with two to say a slash.

use crate::span;
use crate::which::Which;

/// What `/help` says.
pub(crate) const HELP: &str = "\
/edit WORDS     your last message gets other words
/remove         takes your last message back
/react SYMBOL   reacts to their last message; without a symbol takes it back
/timer TIME     how long messages are kept from now on: 30s, 5m, 8h, 7d, 4w, off
//WORDS         sends /WORDS
Another message than the last: @ and the beginning of its id, as in /react @kX3f +
(`hush history NAME --ids` shows them).";

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input<'a> {
    /// A message.
    Words(&'a str),
    /// Other words for an own message.
    Edit(Which, &'a str),
    /// An own message is taken back.
    Remove(Which),
    /// A reaction.
    React(Which, &'a str),
    /// The timer, in seconds.
    Timer(u32),
    /// What can be said.
    Help,
    /// Something else, and why it is nothing.
    Wrong(String),
}

/// Reads a line.
pub(crate) fn parse(line: &str) -> Input<'_> {
    let Some(command) = line.strip_prefix('/') else { return Input::Words(line) };
    if command.starts_with('/') {
        return Input::Words(command);
    }
    let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
    let rest = rest.trim();
    let (which, words) = match rest.strip_prefix('@') {
        None => (Ok(Which::Last), rest),
        Some(rest) => {
            let (id, words) = rest.split_once(' ').unwrap_or((rest, ""));
            (Which::parse(id), words.trim())
        }
    };
    let which = match which {
        Ok(which) => which,
        Err(why) => return Input::Wrong(why),
    };
    match verb {
        "edit" if !words.is_empty() => Input::Edit(which, words),
        "edit" => Input::Wrong("/edit needs the new words".to_owned()),
        "remove" if words.is_empty() => Input::Remove(which),
        "remove" => Input::Wrong("/remove takes no words; another message: @ID".to_owned()),
        "react" => Input::React(which, words),
        "timer" => match span::parse(rest) {
            Ok(seconds) => Input::Timer(seconds),
            Err(why) => Input::Wrong(why),
        },
        "help" => Input::Help,
        other => Input::Wrong(format!(
            "there is no /{other}: /help lists what there is; //{other} sends it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_words_are_told_apart() {
        let id = || Which::Id("kX3f".to_owned());
        for (line, input) in [
            ("hello", Input::Words("hello")),
            (" /edit x", Input::Words(" /edit x")),
            ("//edit x", Input::Words("/edit x")),
            ("/edit new words", Input::Edit(Which::Last, "new words")),
            ("/edit @kX3f new  words ", Input::Edit(id(), "new  words")),
            ("/remove", Input::Remove(Which::Last)),
            ("/remove @kX3f", Input::Remove(id())),
            ("/react +", Input::React(Which::Last, "+")),
            ("/react @kX3f +", Input::React(id(), "+")),
            ("/react", Input::React(Which::Last, "")),
            ("/timer 8h", Input::Timer(28_800)),
            ("/timer off", Input::Timer(0)),
            ("/help", Input::Help),
        ] {
            assert_eq!(parse(line), input, "{line}");
        }
        for bad in [
            "/",
            "/edit",
            "/edit @kX3f",
            "/remove that",
            "/timer",
            "/timer x",
            "/shout a",
            "/react @x +",
        ] {
            assert!(matches!(parse(bad), Input::Wrong(_)), "{bad}");
        }
    }
}
