//! Secret bytes that are searched for in a text, in hex, as numbers, in base64, and as they are.

use hushwire_identity::hash::{Label, hash};

/// So many bytes in a row give a secret away.
const WINDOW: usize = 6;

/// Bytes that must not be printed.
#[derive(Clone, Debug)]
pub(crate) struct Canary {
    name: &'static str,
    bytes: Vec<u8>,
}

impl Canary {
    pub(crate) fn new(name: &'static str, bytes: &[u8]) -> Self {
        assert!(bytes.len() >= WINDOW, "{name}");
        Self { name, bytes: bytes.to_vec() }
    }

    pub(crate) fn text(name: &'static str, text: &str) -> Self {
        Self::new(name, text.as_bytes())
    }

    /// 32 bytes that look like nothing else.
    pub(crate) fn random(name: &'static str, n: u8) -> Self {
        Self::new(name, &hash(Label::Recovery, &[b"canary", &[n]]))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The form in which some of the bytes stand in `text`.
    pub(crate) fn found_in(&self, text: &str) -> Option<String> {
        // What is between numbers in a list, on one line or many, is one comma here.
        let flat: String = text.split_whitespace().collect();
        let list = format!(",{},", flat.replace(['[', ']', '(', ')', '{', '}'], ","));
        let lower_list = list.to_lowercase();
        let lower = flat.to_lowercase();
        let found = |form: &str, part: &[u8]| Some(format!("{form} {part:02x?} ({})", self.name));
        // Counters and paddings are no secrets: a window must look like one.
        let windows = self.bytes.windows(WINDOW).filter(|window| is_telling(window));
        for window in windows {
            let join = |form: fn(&u8) -> String, between: &str| {
                let joined = window.iter().map(form).collect::<Vec<_>>().join(between);
                format!("{between}{joined}{between}")
            };
            if lower.contains(&join(|b| format!("{b:02x}"), "")) {
                return found("hex", window);
            }
            if list.contains(&join(|b| b.to_string(), ",")) {
                return found("numbers", window);
            }
            if lower_list.contains(&join(|b| format!("{b:x}"), ",")) {
                return found("hex numbers", window);
            }
            if let Ok(words) = std::str::from_utf8(window)
                && text.contains(words)
            {
                return found("text", window);
            }
        }
        // Nine bytes hold two whole groups of base64, wherever the bytes begin.
        for window in self.bytes.windows(9).filter(|window| is_telling(window)) {
            let url = hushwire_wire::to_base64url(window);
            let standard = url.replace('-', "+").replace('_', "/");
            if flat.contains(&url) || flat.contains(&standard) {
                return found("base64", window);
            }
        }
        None
    }
}

fn is_telling(window: &[u8]) -> bool {
    let mut different = window.to_vec();
    different.sort_unstable();
    different.dedup();
    different.len() >= 4 && window.iter().filter(|byte| **byte == 0).count() < 2
}
