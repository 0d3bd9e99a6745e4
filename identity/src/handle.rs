//! Usernames: 3 to 32 characters of `a-z 0-9 _ .` (CRYPTO 3, the handle of a genesis entry).

use std::fmt;

use hushwire_wire::limits::{HANDLE_MAX, HANDLE_MIN};

/// A username that keeps the rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(String);

/// A username breaks the rule. It does not repeat the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a username has 3 to 32 characters of a-z, 0-9, _ and .")]
pub struct HandleError;

impl Handle {
    /// Checks a username.
    ///
    /// # Errors
    /// If it is shorter than 3 or longer than 32 characters, or holds another character.
    pub fn parse(text: &str) -> Result<Self, HandleError> {
        let allowed =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.';
        if (HANDLE_MIN..=HANDLE_MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(HandleError)
        }
    }

    /// Checks a username from a layout.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HandleError> {
        Self::parse(std::str::from_utf8(bytes).map_err(|_| HandleError)?)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Handle {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_holds_at_its_edges() {
        for good in ["abc", "a.b", "_09", "z23456789012345678901234567890.2"] {
            assert_eq!(Handle::parse(good).unwrap().as_str(), good);
        }
        for bad in
            ["", "ab", "z234567890123456789012345678901.3", "Abc", "a-b", "a b", "abç", "ab\0"]
        {
            assert_eq!(Handle::parse(bad), Err(HandleError), "{bad:?}");
        }
        assert_eq!(Handle::from_bytes(&[0xff; 4]), Err(HandleError));
    }
}
