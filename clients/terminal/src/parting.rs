//! `hush contacts decline`, `remove`, `block`, `unblock`: what it means is said before it is done.

use std::io::{self, IsTerminal as _};

use crate::contacts::{answer, is_yes};
use crate::escape;
use crate::failure::Failure;
use crate::output::Out;
use crate::session::Session;

/// Declines a request.
///
/// # Errors
/// What the SDK says.
pub(crate) async fn decline(
    session: &mut Session,
    name: &str,
    out: &mut Out,
) -> Result<(), Failure> {
    session.unless_stopped(async |client| client.contacts_decline(name).await).await?;
    out.line(&format!("Declined. {name} is not told, and may ask again after some days."))?;
    out.line(&format!("If you want no more requests of {name}: `hush contacts block {name}`."))
}

/// Ends a contact.
///
/// # Errors
/// What the SDK says, or if nobody confirms it.
pub(crate) async fn remove(
    session: &mut Session,
    name: &str,
    yes: bool,
    out: &mut Out,
) -> Result<(), Failure> {
    let means = [
        format!("You and {name} will not be contacts any more. {name} is not told."),
        "Keys are erased, and what waits to be sent is given up. Your history stays.".to_owned(),
        "To talk again, one of you has to ask and the other to accept.".to_owned(),
    ];
    confirm(session, &means, &format!("Remove {name}?"), yes, out).await?;
    session.unless_stopped(async |client| client.contacts_remove(name).await).await?;
    out.line(&format!("{name} is not your contact any more."))
}

/// Ends a contact or a request, for good.
///
/// # Errors
/// What the SDK says, or if nobody confirms it.
pub(crate) async fn block(
    session: &mut Session,
    name: &str,
    yes: bool,
    out: &mut Out,
) -> Result<(), Failure> {
    let means = [
        format!(
            "Nothing of {name} will reach you: no message, and no request. {name} is not told."
        ),
        format!(
            "What waits for you from {name} is dropped unread, and so is what you have to send."
        ),
        "Keys are erased. Your history stays. Unblocking restores nothing.".to_owned(),
    ];
    confirm(session, &means, &format!("Block {name}?"), yes, out).await?;
    session.unless_stopped(async |client| client.contacts_block(name).await).await?;
    out.line(&format!("{name} is blocked. `hush contacts unblock {name}` takes it back."))
}

/// Lets somebody ask again.
///
/// # Errors
/// What the SDK says.
pub(crate) async fn unblock(
    session: &mut Session,
    name: &str,
    out: &mut Out,
) -> Result<(), Failure> {
    session.unless_stopped(async |client| client.contacts_unblock(name).await).await?;
    out.line(&format!("{name} is not blocked any more, and not your contact, either."))?;
    out.line(&format!("To talk again: `hush contacts add {name}`, or wait until {name} asks."))
}

/// Says what an act means, and asks on a terminal; elsewhere it takes `yes`.
async fn confirm(
    session: &mut Session,
    means: &[String],
    question: &str,
    yes: bool,
    out: &mut Out,
) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    for line in means {
        out.line(&escape::line(line))?;
    }
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::NotConfirmed("--yes"));
    }
    out.ask(&format!("{question} [y/N] "))?;
    if is_yes(&answer(session).await?) { Ok(()) } else { Err(Failure::NotConfirmed("yes")) }
}
