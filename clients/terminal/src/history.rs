//! `hush history` and `hush whoami`: what the store knows, without waiting for anybody.

use hushwire_client::{Message, Reaction, Stage};
use serde::Serialize;

use crate::escape;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{Out, Paint};
use crate::render::{marked, missed, spoken};
use crate::session::Session;
use crate::which;

/// A message of the history in JSON: as an event, with its stage if it is an own one.
#[derive(Serialize)]
struct Entry<'a> {
    event: &'static str,
    id: hushwire_client::Id,
    from: &'a str,
    text: &'a str,
    sent_ms: u64,
    at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<hushwire_client::Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<Stage>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    from_removed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    edited: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    removed: bool,
    #[serde(skip_serializing_if = "<[Reaction]>::is_empty")]
    reactions: &'a [Reaction],
    #[serde(skip_serializing_if = "Option::is_none")]
    gone_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<u32>,
}

impl<'a> From<&'a Message> for Entry<'a> {
    fn from(message: &'a Message) -> Self {
        Self {
            event: if message.missed > 0 { "gap" } else { "message" },
            id: message.id,
            from: &message.from,
            text: &message.text,
            sent_ms: message.sent_ms,
            at_ms: message.at_ms,
            reply_to: message.reply_to,
            stage: message.stage,
            from_removed: message.from_removed,
            edited: message.since.edit.is_some() && !message.since.removed,
            removed: message.since.removed,
            reactions: &message.since.reactions,
            gone_ms: message.since.gone_ms,
            missed: (message.missed > 0).then_some(message.missed),
        }
    }
}

/// Prints the last messages with a contact, oldest first.
///
/// # Errors
/// If there is no such contact.
pub(crate) async fn run(
    session: &mut Session,
    name: &str,
    limit: u32,
    ids: bool,
    json: bool,
    out: &mut Out,
) -> Result<(), Failure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let messages = session.client.history(name, limit).await?;
    if messages.is_empty() && !json {
        return out.line(&format!("Nothing was said yet: `hush chat {name}`."));
    }
    for message in &messages {
        if json {
            out.json(&Entry::from(message))?;
        } else {
            let id =
                if ids { format!("{}  ", which::beginning(&message.id)) } else { String::new() };
            out.line(&format!("{}{}", out.paint().aside(&id), entry(message, out.paint())))?;
        }
    }
    Ok(())
}

/// A message with its time (UTC), and how far it came if it is an own one.
pub(crate) fn entry(message: &Message, paint: Paint) -> String {
    let time = paint.aside(&moment(message.at_ms));
    if message.missed > 0 {
        return format!("{time} {}", paint.loud(&missed(&message.from, message.missed.into())));
    }
    let stage = match message.stage {
        None => String::new(),
        Some(stage) => paint.aside(match stage {
            Stage::Waiting => "  (waits)",
            Stage::Sent => "  (sent)",
            Stage::Accepted => "  \u{2713}",
            Stage::Delivered => "  \u{2713}\u{2713}",
            Stage::Read => "  \u{2713}\u{2713} read",
            Stage::Failed => "  (not sent)",
        }),
    };
    let since = &message.since;
    let words = if since.removed {
        let from = paint.name(&format!("{}:", escape::line(&message.from)));
        format!("{from} {}", paint.aside("(removed)"))
    } else {
        spoken(&message.from, &message.text, paint)
    };
    let edited = if since.edit.is_some() && !since.removed {
        paint.aside("  (edited)")
    } else {
        String::new()
    };
    let reactions: String =
        since.reactions.iter().map(|reaction| format!("  {}", reacted(reaction))).collect();
    let words = marked(words, message.from_removed, paint);
    format!("{time} {words}{edited}{}{stage}", paint.aside(&reactions))
}

fn reacted(reaction: &Reaction) -> String {
    format!("[{} {}]", escape::line(&reaction.from), escape::line(&reaction.symbol))
}

/// A time in UTC, like `2026-03-01 14:05Z`.
pub(crate) fn moment(ms: u64) -> String {
    let minutes = ms / 60_000;
    let (days, minute) = (minutes / 1_440, minutes % 1_440);
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}Z", minute / 60, minute % 60)
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar. Years are counted
/// from March, so that the leap day is the last of its year.
const fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    // 1970-01-01 is 719,468 days after 0000-03-01.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / DAYS_IN_400_YEARS, shifted % DAYS_IN_400_YEARS);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// The own account in JSON.
#[derive(Serialize)]
struct Me<'a> {
    name: &'a str,
    server: &'a str,
    domain: &'a str,
    link: &'a str,
    unaccepted: usize,
}

/// Prints who this is.
///
/// # Errors
/// If nobody reads it.
pub(crate) async fn whoami(
    session: &mut Session,
    home: &Home,
    json: bool,
    out: &mut Out,
) -> Result<(), Failure> {
    let me = session.me.clone();
    let unaccepted = session.client.outbox().await?.unaccepted();
    if json {
        return out.json(&Me {
            name: &me.handle,
            server: &me.server,
            domain: &me.domain,
            link: &me.link,
            unaccepted,
        });
    }
    let paint = out.paint();
    let (domain, server) = (escape::line(&me.domain), escape::line(&me.server));
    out.line(&format!("name     {}", paint.name(&me.handle)))?;
    out.line(&format!("server   {server} (domain {domain})"))?;
    out.line(&format!("link     {}", escape::line(&me.link)))?;
    out.line(&format!("keys in  {}, opened by {}", home.folder.display(), home.key_words()))?;
    if unaccepted > 0 {
        out.line(&format!("outbox   {unaccepted} not yet at the server"))?;
    }
    out.line("")?;
    for hint in [
        "Give the link, not only the name: it names your keys, so nobody can answer for you.",
        "Compare safety numbers with `hush contacts verify NAME`; only that shows who listens.",
        "Whoever has the folder and what opens it is you. There is no other copy: if both are",
        "lost, so is the name.",
    ] {
        out.line(&paint.aside(hint))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hushwire_client::{Edit, Id, Since, UserId};

    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (ms, text) in [
            (0, "1970-01-01 00:00Z"),
            (951_782_399_999, "2000-02-28 23:59Z"),
            (951_782_400_000, "2000-02-29 00:00Z"),
            (1_709_251_199_999, "2024-02-29 23:59Z"),
            (1_709_251_200_000, "2024-03-01 00:00Z"),
            (1_767_225_599_999, "2025-12-31 23:59Z"),
            (4_107_542_400_000, "2100-03-01 00:00Z"),
        ] {
            assert_eq!(moment(ms), text);
        }
        // No time that a peer can claim breaks it.
        assert!(moment(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn own_messages_show_how_far_they_came() {
        let mut message = Message {
            id: Id::from_text("AAAAAAAAAAAAAAAAAAAAAA").unwrap(),
            peer: UserId([1; 32]),
            from: "alice".to_owned(),
            stage: Some(Stage::Delivered),
            text: "hi\u{1b}".to_owned(),
            reply_to: None,
            sent_ms: 0,
            at_ms: 0,
            position: 0,
            from_removed: false,
            since: Since::default(),
            missed: 0,
        };
        let line = "1970-01-01 00:00Z alice: hi\\u{1b}  \u{2713}\u{2713}";
        assert_eq!(entry(&message, Paint::NONE), line);
        let json = serde_json::to_value(Entry::from(&message)).unwrap();
        assert_eq!(json["stage"], "delivered");
        message.stage = None;
        assert_eq!(entry(&message, Paint::NONE), "1970-01-01 00:00Z alice: hi\\u{1b}");
        assert!(serde_json::to_value(Entry::from(&message)).unwrap().get("stage").is_none());
        message.missed = 2;
        let line = entry(&message, Paint::NONE);
        assert!(line.contains("2 messages from alice did not fit"), "{line}");
        let json = serde_json::to_value(Entry::from(&message)).unwrap();
        assert_eq!((&json["event"], &json["missed"]), (&"gap".into(), &2.into()));
    }

    #[test]
    fn what_happened_since_stands_behind_the_words() {
        let by = hushwire_client::DeviceId([1; 16]);
        let reaction = Reaction { from: "bob".to_owned(), symbol: "+\u{1b}".to_owned() };
        let mut message = Message {
            id: Id::from_text("AAAAAAAAAAAAAAAAAAAAAA").unwrap(),
            peer: UserId([1; 32]),
            from: "alice".to_owned(),
            stage: None,
            text: "hi".to_owned(),
            reply_to: None,
            sent_ms: 0,
            at_ms: 0,
            position: 0,
            from_removed: false,
            since: Since {
                edit: Some(Edit { rev: 1, by }),
                reactions: vec![reaction],
                gone_ms: Some(5),
                ..Since::default()
            },
            missed: 0,
        };
        let line = "1970-01-01 00:00Z alice: hi  (edited)  [bob +\\u{1b}]";
        assert_eq!(entry(&message, Paint::NONE), line);
        let json = serde_json::to_value(Entry::from(&message)).unwrap();
        assert_eq!((&json["edited"], &json["gone_ms"]), (&true.into(), &5.into()));
        assert_eq!(json["reactions"][0]["from"], "bob");
        message.since = Since { removed: true, ..Since::default() };
        message.text.clear();
        assert_eq!(entry(&message, Paint::NONE), "1970-01-01 00:00Z alice: (removed)");
        let json = serde_json::to_value(Entry::from(&message)).unwrap();
        assert_eq!(json["removed"], true);
    }
}
