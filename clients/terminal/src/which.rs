//! Which message is meant: the last one, or the beginning of its id.

use hushwire_client::{Client, Id, Message};

use crate::failure::Failure;

/// Characters of an id that must be given, at least.
const BEGINNING_MIN: usize = 4;
/// Characters of an id that are shown.
const SHOWN: usize = 8;
/// Messages that are looked through, at most: the newest.
const LOOKED_AT: usize = 10_000;

/// Which message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// The newest.
    Last,
    /// The one whose id begins like this.
    Id(String),
}

impl Which {
    /// Reads `last`, or at least 4 characters of an id.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let is_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        match text {
            "last" => Ok(Self::Last),
            id if (BEGINNING_MIN..=22).contains(&id.len()) && id.chars().all(is_id) => {
                Ok(Self::Id(id.to_owned()))
            }
            _ => Err("expected `last`, or the first characters of an id, at least 4, as \
                      `hush history --ids` prints them"
                .to_owned()),
        }
    }
}

/// What is shown of an id.
pub(crate) fn beginning(id: &Id) -> String {
    id.to_string().chars().take(SHOWN).collect()
}

/// Finds it. `own` says whose the last one is: the own or the other side's.
///
/// # Errors
/// If there is no such contact or message, or more than one.
pub(crate) async fn find(
    client: &Client,
    name: &str,
    which: &Which,
    own: bool,
) -> Result<Message, Failure> {
    let messages = client.history(name, LOOKED_AT).await?;
    pick(&messages, which, own).cloned()
}

fn pick<'a>(messages: &'a [Message], which: &Which, own: bool) -> Result<&'a Message, Failure> {
    let mut found = messages.iter().rev().filter(|message| match which {
        Which::Last => {
            let is_there = !message.since.removed && message.missed == 0;
            is_there && message.stage.is_some() == own
        }
        Which::Id(id) => message.id.to_string().starts_with(id),
    });
    let first = found.next().ok_or_else(|| match which {
        Which::Last => Failure::NoLast(if own { "yours" } else { "theirs" }),
        Which::Id(id) => Failure::NoSuchMessage(id.clone()),
    })?;
    match which {
        Which::Id(id) if found.next().is_some() => Err(Failure::Ambiguous(id.clone())),
        _ => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use hushwire_client::{Since, Stage, UserId};

    use super::*;

    fn message(id: &str, stage: Option<Stage>) -> Message {
        Message {
            id: Id::from_text(id).unwrap(),
            peer: UserId([1; 32]),
            from: "bob".to_owned(),
            stage,
            text: String::new(),
            reply_to: None,
            sent_ms: 0,
            at_ms: 0,
            position: 0,
            from_removed: false,
            since: Since::default(),
            missed: 0,
        }
    }

    #[test]
    fn the_last_and_beginnings_are_found_and_what_is_ambiguous_is_not() {
        let removed = Since { removed: true, ..Since::default() };
        let messages = [
            message("AAAAAAAAAAAAAAAAAAAAAA", None),
            message("AAAABAAAAAAAAAAAAAAAAA", Some(Stage::Sent)),
            message("AQEBAQEBAQEBAQEBAQEBAQ", Some(Stage::Sent)),
            Message { since: removed, ..message("AgICAgICAgICAgICAgICAg", Some(Stage::Sent)) },
        ];
        let find = |text: &str, own| {
            let which = Which::parse(text).unwrap();
            pick(&messages, &which, own).map(|message| beginning(&message.id))
        };
        assert_eq!(find("last", true).unwrap(), "AQEBAQEB", "not the removed one");
        assert_eq!(find("last", false).unwrap(), "AAAAAAAA");
        assert_eq!(find("AAAAB", false).unwrap(), "AAAABAAA", "an id names whose it is");
        assert!(matches!(find("AAAA", true), Err(Failure::Ambiguous(_))));
        assert!(matches!(find("BBBB", true), Err(Failure::NoSuchMessage(_))));
        let theirs = pick(&messages[..1], &Which::Last, true);
        assert!(matches!(theirs, Err(Failure::NoLast("yours"))));
        let nothing = pick(&[], &Which::Last, false);
        assert!(matches!(nothing, Err(Failure::NoLast("theirs"))));
        for bad in ["", "AAA", "the last one", "AAAAAAAAAAAAAAAAAAAAAAA", "AAA\u{1b}"] {
            assert!(Which::parse(bad).is_err(), "{bad}");
        }
    }
}
