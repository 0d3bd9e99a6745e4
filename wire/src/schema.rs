//! JSON Schema of byte strings, for the feature `schema`: the other types derive theirs.
//!
//! The forms are those that `bytes` decodes: base64url without padding, and no other length.

use schemars::{Schema, json_schema};

/// A type that is a byte string on the wire, of `$len` bytes or of any number.
macro_rules! bytes {
    ($name:ident, $len:expr, $doc:expr) => {
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::schema::described($len, $doc)
            }
        }
    };
}
pub(crate) use bytes;

const ALPHABET: &str = "[A-Za-z0-9_-]";

/// The schema of `len` bytes, or of any number.
pub(crate) fn described(len: Option<usize>, doc: &str) -> Schema {
    let pattern = match len {
        Some(len) => exactly(len),
        None => format!("^({ALPHABET}{{4}})*({ALPHABET}{{2,3}})?$"),
    };
    let size = len.map_or_else(String::new, |len| format!(" {len} bytes."));
    let description = format!("{}{size}", doc.trim());
    json_schema!({
        "type": "string",
        "contentEncoding": "base64url",
        "pattern": pattern,
        "description": description,
    })
}

/// The last character carries two, four or six bits; the others of its six are zero.
fn exactly(len: usize) -> String {
    let whole = len * 8 / 6;
    match len * 8 % 6 {
        2 => format!("^{ALPHABET}{{{whole}}}[AQgw]$"),
        4 => format!("^{ALPHABET}{{{whole}}}[AEIMQUYcgkosw048]$"),
        _ => format!("^{ALPHABET}{{{whole}}}$"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_character_has_no_bits_to_spare() {
        assert!(exactly(16).starts_with("^[A-Za-z0-9_-]{21}[AQgw]"));
        assert!(exactly(32).starts_with("^[A-Za-z0-9_-]{42}[AEIM"));
        assert!(exactly(24).ends_with("{32}$"));
        for byte in 0..=255 {
            let last = crate::to_base64url(&[byte; 16]).pop().map(String::from);
            assert!(last.is_some_and(|last| "AQgw".contains(&last)));
            let last = crate::to_base64url(&[byte; 32]).pop().map(String::from);
            assert!(last.is_some_and(|last| "AEIMQUYcgkosw048".contains(&last)));
        }
    }
}
