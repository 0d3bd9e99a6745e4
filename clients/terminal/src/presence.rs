//! `hush presence`: whether contacts see that somebody is there.

use clap::{Args, ValueEnum};
use hushwire_client::ShownTo;

use crate::cli;
use crate::escape;
use crate::failure::Failure;
use crate::output::Out;
use crate::session::Session;

/// Shows or sets it.
#[derive(Debug, Args)]
pub(crate) struct Presence {
    /// on or off; without it, says how it is.
    #[arg(value_enum)]
    wish: Option<Wish>,
    /// With on: only these contacts see it; can be given up to 256 times.
    #[arg(long = "to", value_name = "NAME", value_parser = cli::username, requires = "wish")]
    to: Vec<String>,
}

/// What is wished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wish {
    /// Shown.
    On,
    /// To nobody.
    Off,
}

/// Sets or shows it.
///
/// # Errors
/// If one of those named is no contact.
pub(crate) async fn run(
    session: &mut Session,
    what: &Presence,
    out: &mut Out,
) -> Result<(), Failure> {
    let wished = match what.wish {
        None => None,
        Some(Wish::Off) => Some(ShownTo::Nobody),
        Some(Wish::On) if what.to.is_empty() => Some(ShownTo::All),
        Some(Wish::On) => Some(ShownTo::Only(what.to.clone())),
    };
    if let Some(wished) = wished {
        session.client.show_presence_to(wished).await?;
    }
    out.line(&words(&session.client.presence().await?))
}

fn words(shown: &ShownTo) -> String {
    match shown {
        ShownTo::Nobody => "Nobody sees that you are there, and you see nobody.".to_owned(),
        ShownTo::All => "Your contacts see that you are there while `hush` is connected, and you \
                         see those who show themselves to you."
            .to_owned(),
        ShownTo::Only(names) => {
            let names: Vec<String> = names.iter().map(|name| escape::line(name)).collect();
            format!(
                "Only these see that you are there, while `hush` is connected: {}",
                names.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wish_has_words() {
        assert!(words(&ShownTo::Nobody).starts_with("Nobody"));
        assert!(words(&ShownTo::All).contains("contacts see"));
        let some = ShownTo::Only(vec!["bob".to_owned(), "carol".to_owned()]);
        assert!(words(&some).ends_with("bob, carol"));
    }
}
