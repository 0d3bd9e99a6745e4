//! `hush contacts`: ask, accept, list, compare safety numbers.

use std::io::{self, BufRead as _, IsTerminal as _};

use hushwire_client::ports::{Clock as _, SystemClock};
use hushwire_client::{
    ClientError, ContactCard, ContactLink, ContactTrouble, Safety, Standing, UNCONFIRMED_AFTER_MS,
};
use serde::Serialize;

use crate::escape;
use crate::failure::Failure;
use crate::history::moment;
use crate::output::{Out, Paint};
use crate::session::Session;
use crate::span;

/// Asks somebody; if they asked first, this accepts.
///
/// # Errors
/// What the SDK says.
pub(crate) async fn add(session: &mut Session, name: &str, out: &mut Out) -> Result<(), Failure> {
    session.unless_stopped(async |client| client.contacts_add(name).await).await?;
    let handle = handle(name);
    let named = ContactLink::parse(name).and_then(|link| link.names);
    let contact = session.client.contact(&handle).await.ok().and_then(|card| card.user);
    let is_meant = |user| named.is_none_or(|(_, to)| to == user);
    if contact.is_some_and(is_meant) {
        out.line(&format!("{handle} had asked you: you are contacts now."))?;
        return next_steps(&handle, out);
    }
    let me = &session.me.handle;
    out.line(&format!("{handle} is asked, if there is such a person: the server does not tell."))?;
    out.line(&format!("{handle} answers with `hush contacts accept {me}`."))
}

fn handle(name: &str) -> String {
    ContactLink::parse(name).map(|link| link.handle.to_string()).unwrap_or_default()
}

/// Accepts a request.
///
/// # Errors
/// What the SDK says.
pub(crate) async fn accept(
    session: &mut Session,
    name: &str,
    out: &mut Out,
) -> Result<(), Failure> {
    session.unless_stopped(async |client| client.contacts_accept(name).await).await?;
    let name = handle(name);
    out.line(&format!("{name} is your contact now."))?;
    next_steps(&name, out)
}

fn next_steps(name: &str, out: &mut Out) -> Result<(), Failure> {
    out.line(&format!("Next: `hush contacts verify {name}`, then `hush chat {name}`."))
}

/// A contact in JSON.
#[derive(Serialize)]
struct Card<'a> {
    contact: &'a str,
    standing: Standing,
    verified: bool,
    blocked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<&'static str>,
    seq: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_seq: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timer_s: Option<u32>,
}

impl<'a> From<&'a ContactCard> for Card<'a> {
    fn from(card: &'a ContactCard) -> Self {
        Self {
            contact: &card.handle,
            standing: card.standing,
            verified: card.verified,
            blocked: card.blocked,
            trouble: card.trouble.map(ContactTrouble::as_str),
            seq: card.seq,
            verified_seq: card.verified_seq,
            confirmed_ms: (card.confirmed_ms > 0).then_some(card.confirmed_ms),
            profile: card.profile.as_ref().map(|name| name.0.as_str()),
            timer_s: (card.timer_s > 0).then_some(card.timer_s),
        }
    }
}

/// Lists contacts and requests.
///
/// # Errors
/// If the server cannot be reached.
pub(crate) async fn list(session: &mut Session, json: bool, out: &mut Out) -> Result<(), Failure> {
    let cards = session.unless_stopped(async |client| client.contacts().await).await?;
    if json {
        for card in &cards {
            out.json(&Card::from(card))?;
        }
        return Ok(());
    }
    if cards.is_empty() {
        return out.line("No contacts yet: `hush contacts add NAME` asks somebody.");
    }
    let width = cards.iter().map(|card| card.handle.len()).max().unwrap_or_default();
    let now = SystemClock::default().now_ms();
    for card in &cards {
        let name = format!("{:width$}", escape::line(&card.handle));
        let mut beside = String::new();
        if let Some(profile) = &card.profile {
            beside.push_str(&format!("  shown as {}", escape::line(&profile.0)));
        }
        if card.timer_s > 0 {
            beside.push_str(&format!("  messages disappear after {}", span::words(card.timer_s)));
        }
        if let Some(hint) = unconfirmed(card, now) {
            beside.push_str(&format!("  {hint}"));
        }
        let (name, standing) = (out.paint().name(&name), standing(card, out.paint()));
        out.line(&format!("{name}  {standing}{}", out.paint().aside(&beside)))?;
    }
    Ok(())
}

pub(crate) fn standing(card: &ContactCard, paint: Paint) -> String {
    let name = escape::line(&card.handle);
    let seqs = || match card.verified_seq {
        Some(seq) => format!("compared at entry {seq}, now at {}", card.seq),
        None => format!("now at entry {}", card.seq),
    };
    match (card.standing, card.trouble) {
        (Standing::Active, Some(ContactTrouble::Forked)) => {
            paint.loud("blocked: two histories of the devices were shown; read only")
        }
        (Standing::Active, Some(ContactTrouble::Changed)) => {
            paint.loud("blocked: the name belongs to other keys now; read only")
        }
        (Standing::Active, Some(ContactTrouble::Unacknowledged)) => paint.loud(&format!(
            "blocked: the devices changed ({}): `hush contacts verify {name}` or `hush contacts \
             acknowledge {name} {}`",
            seqs(),
            card.seq
        )),
        (Standing::Active, Some(ContactTrouble::Refused)) => paint.loud(&format!(
            "may have removed you, blocked you, or be gone: ask {name} another way, or again with \
             `hush contacts add {name}`"
        )),
        (Standing::Blocked, _) => {
            paint.aside(&format!("blocked by you: `hush contacts unblock {name}`"))
        }
        (Standing::Removed, _) => paint.aside("not a contact any more"),
        (Standing::Active, Some(ContactTrouble::Unreachable)) => {
            paint.loud("not reachable: no device was seen for 30 days")
        }
        (Standing::Asked, _) => paint.aside("asked, no answer yet"),
        (Standing::AsksMe, _) => format!("asks you: `hush contacts accept {name}`"),
        (Standing::Active, None) if card.verified && card.verified_seq != Some(card.seq) => {
            paint.good(&format!("verified ({})", seqs()))
        }
        (Standing::Active, None) if card.verified => paint.good("verified"),
        (Standing::Active, None) => format!("not verified: `hush contacts verify {name}`"),
        (Standing::Replaced, _) => paint.aside("replaced by other keys"),
    }
}

/// The hint that nothing authentic was heard of a contact for 48 hours.
pub(crate) fn unconfirmed(card: &ContactCard, now_ms: u64) -> Option<String> {
    let silent = now_ms.saturating_sub(card.confirmed_ms) >= UNCONFIRMED_AFTER_MS;
    let is_contact = card.standing == Standing::Active && card.confirmed_ms > 0;
    (is_contact && silent).then(|| format!("not confirmed since {}", moment(card.confirmed_ms)))
}

/// Remembers that a person knows of a verified contact's new devices up to `entry`; without it,
/// says which that is.
///
/// # Errors
/// If there is no such contact, or its devices have changed again.
pub(crate) async fn acknowledge(
    session: &mut Session,
    name: &str,
    entry: Option<u32>,
    out: &mut Out,
) -> Result<(), Failure> {
    let Some(entry) = entry else {
        let card = session.client.contact(name).await?;
        out.line(&format!("{name}: {}", standing(&card, out.paint())))?;
        return out.line(&format!(
            "Nothing was remembered. If you know of {name}'s devices as they are now: `hush contacts \
             acknowledge {name} {}`.",
            card.seq
        ));
    };
    session.client.acknowledge(name, entry).await?;
    out.line(&format!("Remembered: you know {name}'s devices as they are now."))?;
    out.line(&format!("Next: compare again with `hush contacts verify {name}`."))
}

/// Makes a new key for a conversation.
///
/// # Errors
/// If it cannot be made now.
pub(crate) async fn renew(session: &mut Session, name: &str, out: &mut Out) -> Result<(), Failure> {
    session.unless_stopped(async |client| client.renew_key(name).await).await?;
    out.line(&format!("You and {name} have a new key. What was sent before is not touched by it."))
}

/// Shows the safety number, asks, and remembers. `yes` is the number that was compared before.
///
/// # Errors
/// If there is no such contact, or the number is another one now.
pub(crate) async fn verify(
    session: &mut Session,
    name: &str,
    yes: Option<&str>,
    out: &mut Out,
) -> Result<(), Failure> {
    let safety = known(session, name).await?;
    let own = session.me.handle.clone();
    for line in page(&own, name, &safety) {
        out.line(&line)?;
    }
    if yes.is_some_and(|compared| !is_same(compared, &safety.number)) {
        return Err(Failure::OtherNumber);
    }
    let is_asked = yes.is_none() && io::stdin().is_terminal() && io::stdout().is_terminal();
    if yes.is_none() && !is_asked {
        return out.line(&if safety.verified {
            "It was compared before, and still holds.".to_owned()
        } else {
            format!(
                "Nothing was remembered. After comparing: `hush contacts verify {name} --yes NUMBER`, \
                 with the number that was compared."
            )
        });
    }
    if is_asked {
        out.ask("Are both numbers and both entries equal? [y/N] ")?;
        if !is_yes(&answer(session).await?) {
            out.line(&out.paint().loud("Not remembered."))?;
            return out.line(
                "If the entries are equal and the numbers differ, somebody may stand between you: \
                 do not send anything secret.",
            );
        }
    }
    session.client.mark_verified(name, &safety).await?;
    out.line(&out.paint().good(&format!("Remembered: {name} is verified.")))
}

/// The number, after looking whether the contact has accepted meanwhile. Without the server, what
/// is known here counts.
async fn known(session: &mut Session, name: &str) -> Result<Safety, Failure> {
    let synced = session.unless_stopped(async |client| client.contacts().await).await;
    let safety = session.client.safety_number(name).await;
    match (safety, synced) {
        (Ok(safety), _) => Ok(safety),
        // Why nothing newer is known says more than that nothing is known.
        (Err(ClientError::NoContact | ClientError::NotAccepted), Err(why)) => Err(why),
        (Err(error), _) => Err(error.into()),
    }
}

fn page(own: &str, peer: &str, safety: &Safety) -> Vec<String> {
    let (own_seq, peer_seq) = (safety.own.seq, safety.peer.seq);
    let mut lines = vec![format!("Safety number of {own} and {peer}:"), String::new()];
    let groups: Vec<&str> = safety.number.split_whitespace().collect();
    for row in groups.chunks(4) {
        lines.push(format!("    {}", row.join(" ")));
    }
    lines.push(String::new());
    lines.push(format!("    it covers {own}'s device log up to entry {own_seq},"));
    lines.push(format!("              {peer}'s device log up to entry {peer_seq}"));
    lines.push(String::new());
    lines.push(format!(
        "{peer} sees it with `hush contacts verify {own}`. Compare in person or on the telephone,"
    ));
    lines.push(
        "not through this chat, and only if both of you see the same two entries.".to_owned(),
    );
    lines
}

/// A line of the keyboard, read on a thread of its own so that Ctrl-C ends at once.
pub(crate) async fn answer(session: &mut Session) -> Result<String, Failure> {
    let (sender, line) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line).map(|_| line);
        let _ = sender.send(read);
    });
    tokio::select! {
        () = session.stop.asked() => Err(Failure::Interrupted),
        line = line => line.map_err(|_| Failure::Interrupted)?.map_err(Failure::Input),
    }
}

/// Whether both are the same safety number, however it is spaced.
fn is_same(one: &str, other: &str) -> bool {
    one.split_whitespace().flat_map(str::chars).eq(other.split_whitespace().flat_map(str::chars))
}

pub(crate) fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use hushwire_client::{Head, LogPoint, UserId};

    use super::*;

    #[test]
    fn the_page_shows_twelve_groups_and_both_entries() {
        let number = (0..12).map(|n| format!("{n:05}")).collect::<Vec<_>>().join(" ");
        let at = |seq| LogPoint { user: UserId([1; 32]), seq, head: Head([2; 32]) };
        let safety = Safety { number, own: at(3), peer: at(7), verified: false };
        let page = page("alice", "bob", &safety).join("\n");
        assert!(page.contains("    00000 00001 00002 00003\n    00004"), "{page}");
        assert!(page.contains("alice's device log up to entry 3"));
        assert!(page.contains("bob's device log up to entry 7"));
        let groups = page
            .split_whitespace()
            .filter(|word| word.len() == 5 && word.bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(groups.count(), 12);
    }

    fn card() -> ContactCard {
        ContactCard {
            handle: "bob".to_owned(),
            user: None,
            standing: Standing::Active,
            verified: true,
            blocked: false,
            trouble: None,
            seq: 3,
            verified_seq: Some(3),
            confirmed_ms: 1,
            profile: None,
            timer_s: 0,
        }
    }

    #[test]
    fn a_list_says_what_is_wrong_and_what_to_do() {
        let words = |card: ContactCard| standing(&card, Paint::NONE);
        assert_eq!(words(card()), "verified");
        let blocked = ContactCard { standing: Standing::Blocked, ..card() };
        assert!(words(blocked).contains("`hush contacts unblock bob`"));
        let went_on = ContactCard { seq: 5, ..card() };
        assert_eq!(words(went_on.clone()), "verified (compared at entry 3, now at 5)");
        let all = [
            (ContactTrouble::Forked, "read only"),
            (ContactTrouble::Changed, "other keys"),
            (ContactTrouble::Unacknowledged, "at entry 3, now at 5): `hush contacts verify bob`"),
            (ContactTrouble::Unreachable, "30 days"),
            (ContactTrouble::Refused, "removed you, blocked you, or be gone"),
        ];
        for (trouble, part) in all {
            let card = ContactCard { trouble: Some(trouble), ..went_on.clone() };
            assert!(words(card.clone()).contains(part), "{}", words(card.clone()));
            let json = serde_json::to_value(Card::from(&card)).unwrap();
            assert_eq!(json["trouble"], trouble.as_str());
        }
        let json = serde_json::to_string(&Card::from(&card())).unwrap();
        assert_eq!(
            json,
            r#"{"contact":"bob","standing":"active","verified":true,"blocked":false,"seq":3,"verified_seq":3,"confirmed_ms":1}"#
        );
    }

    #[test]
    fn silence_is_mentioned_after_48_hours() {
        let hint = |now| unconfirmed(&card(), now);
        assert_eq!(hint(UNCONFIRMED_AFTER_MS), None);
        let since = Some("not confirmed since 1970-01-01 00:00Z".to_owned());
        assert_eq!(hint(UNCONFIRMED_AFTER_MS + 1), since);
        let asked = ContactCard { standing: Standing::Asked, confirmed_ms: 0, ..card() };
        assert_eq!(unconfirmed(&asked, u64::MAX), None);
    }

    #[test]
    fn a_number_is_the_same_however_it_is_spaced() {
        assert!(is_same("00000 11111", " 0000011111\n"));
        for other in ["", "00000", "00000 11112", "00000 111111", "11111 00000"] {
            assert!(!is_same(other, "00000 11111"), "{other}");
        }
    }

    #[test]
    fn only_yes_is_yes() {
        for yes in ["y\n", "Y", " yes \n", "YES"] {
            assert!(is_yes(yes), "{yes}");
        }
        for no in ["", "\n", "n", "no", "yep", "ja"] {
            assert!(!is_yes(no), "{no}");
        }
    }

    #[test]
    fn links_are_called_by_their_name() {
        let link = hushwire_client::contact_link("bob", "x.org", &UserId([1; 32]));
        assert_eq!(handle(&link), "bob");
        assert_eq!(handle("bob"), "bob");
    }
}
