//! Contact links: `handle@domain#base32(log_id)` (CRYPTO 8). A link names the log itself, so
//! nobody can answer in another's place at the first contact.

use hushwire_wire::UserId;

use crate::entry::is_domain;
use crate::handle::Handle;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Whom to ask: a username, or a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactLink {
    /// The username.
    pub handle: Handle,
    /// Domain and log, if it is a link.
    pub names: Option<(String, UserId)>,
}

impl ContactLink {
    /// Reads a username or a link; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Some((handle, rest)) = text.split_once('@') else {
            return Some(Self { handle: Handle::parse(text).ok()?, names: None });
        };
        let (domain, log) = rest.split_once('#')?;
        let user = UserId::from_slice(&from_base32(log)?)?;
        let handle = Handle::parse(handle).ok()?;
        is_domain(domain).then(|| Self { handle, names: Some((domain.to_owned(), user)) })
    }
}

/// The link to an account.
#[must_use]
pub fn contact_link(handle: &str, domain: &str, user: &UserId) -> String {
    format!("{handle}@{domain}#{}", to_base32(user.as_bytes()))
}

fn to_base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut bits, mut count) = (0u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            out.push(char::from(ALPHABET[(bits >> count & 31) as usize]));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        out.push(char::from(ALPHABET[(bits << (5 - count) & 31) as usize]));
    }
    out
}

/// Takes both cases, since people type it.
fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes() {
        let value = ALPHABET.iter().position(|a| *a == byte.to_ascii_lowercase())?;
        bits = bits << 5 | u32::try_from(value).ok()?;
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 255).ok()?);
        }
        bits &= (1 << count) - 1;
    }
    // Only zero bits may be left, and fewer than one character's.
    (bits == 0 && count < 5).then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn links_read_back(id: [u8; 32]) {
            let user = UserId(id);
            let text = contact_link("alice", "chat.example.org", &user);
            let link = ContactLink::parse(&text).unwrap();
            prop_assert_eq!(link.handle.as_str(), "alice");
            prop_assert_eq!(link.names, Some(("chat.example.org".to_owned(), user)));
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,100}", log in "[a-zA-Z2-7]{50,54}") {
            let _ = ContactLink::parse(&text);
            if let Some(link) = ContactLink::parse(&format!("alice@chat.example#{log}")) {
                let (domain, user) = link.names.unwrap();
                let again = contact_link(link.handle.as_str(), &domain, &user);
                prop_assert_eq!(again, format!("alice@chat.example#{}", log.to_lowercase()));
            }
        }
    }

    #[test]
    fn base32_is_that_of_rfc_4648() {
        assert_eq!(to_base32(b"foobar"), "mzxw6ytboi");
        assert_eq!(from_base32("MZXW6YTBOI").unwrap(), b"foobar");
        assert_eq!(from_base32("mzxw6ytbo1"), None);
        assert_eq!(from_base32("mzxw6ytboj"), None, "bits left over");
    }

    #[test]
    fn what_is_no_link_is_refused() {
        assert!(ContactLink::parse("alice").unwrap().names.is_none());
        for bad in ["al", "alice@", "alice@x", "alice@x#abc", "@x#abc", "alice@X#"] {
            assert_eq!(ContactLink::parse(bad), None, "{bad}");
        }
    }
}
