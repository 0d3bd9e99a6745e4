//! Makes text of other people harmless for a terminal.
//!
//! A message may hold anything: sequences that move the cursor or set the title, carriage returns
//! that overwrite what stands there, marks that turn the direction of reading. Whatever steers a
//! terminal or cannot be seen is written out; everything else stays as it is.

use std::fmt::Write as _;

/// Whether a character steers a terminal, changes the direction of text, or hides.
fn is_harmful(c: char) -> bool {
    matches!(c,
        // C0 with ESC and CR, DEL, C1 with CSI.
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        // Soft hyphen, Arabic letter mark, Mongolian vowel separator, zero-width space.
        | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'
        // Direction marks, line and paragraph separators, embeddings, overrides, isolates.
        | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        // Byte order mark, annotations, tags.
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text on one line: a line break is written out, too.
pub(crate) fn line(text: &str) -> String {
    escaped(text, None)
}

/// Text that may have several lines; those after the first begin with `indent`, so that none of
/// them passes for a line of somebody else.
pub(crate) fn lines(text: &str, indent: &str) -> String {
    escaped(text, Some(indent))
}

fn escaped(text: &str, indent: Option<&str>) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match (c, indent) {
            ('\n', Some(indent)) => {
                out.push('\n');
                out.push_str(indent);
            }
            ('\t', _) => out.push_str("    "),
            (c, _) if is_harmful(c) => {
                let _ = write!(out, "{}", c.escape_unicode());
            }
            (c, _) => out.push(c),
        }
    }
    out
}

/// JSON text as it is, but with `\uXXXX` for what could steer a terminal. Such characters stand
/// inside strings only, where both mean the same.
pub(crate) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// The beginning of a text, on one line, of at most `max` characters.
pub(crate) fn beginning(text: &str, max: usize) -> String {
    let shown = line(text);
    if shown.chars().count() <= max {
        return shown;
    }
    let mut cut: String = shown.chars().take(max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        assert_eq!(line("\u{1b}[2J\u{1b}]0;x\u{7}"), "\\u{1b}[2J\\u{1b}]0;x\\u{7}");
        assert_eq!(line("nice\rbob: evil"), "nice\\u{d}bob: evil");
        assert_eq!(line("a\u{9b}31mb\u{7f}"), "a\\u{9b}31mb\\u{7f}");
        assert_eq!(line("a\u{202e}fdp.exe\u{202c}"), "a\\u{202e}fdp.exe\\u{202c}");
        for c in "\u{0}\u{8}\u{200b}\u{200f}\u{2028}\u{2066}\u{feff}\u{e0041}\u{ad}".chars() {
            assert!(!line(&c.to_string()).contains(c), "{c:?}");
            assert!(!lines(&c.to_string(), "").contains(c), "{c:?}");
        }
    }

    #[test]
    fn ordinary_text_stays() {
        for text in
            ["Grüße, 你好, שלום, नमस्ते", "\u{1f469}\u{200d}\u{1f680}", "می\u{200c}خواهم", "\\u{1b}"]
        {
            assert_eq!(line(text), text);
            assert_eq!(lines(text, "  "), text);
            assert_eq!(json(text), text);
        }
    }

    #[test]
    fn a_line_of_a_message_cannot_pass_for_another_message() {
        assert_eq!(lines("hi\nbob: evil", "       "), "hi\n       bob: evil");
        assert_eq!(line("hi\nbob: evil"), "hi\\u{a}bob: evil");
        assert_eq!(line("a\tb"), "a    b");
    }

    #[test]
    fn json_means_the_same_and_steers_nothing() {
        let text = "a\u{1b}[0m\u{9b}\u{202e}\u{e0041}\"\\\n";
        let line = json(&serde_json::to_string(text).unwrap());
        assert!(!line.chars().any(is_harmful), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }

    #[test]
    fn beginnings_are_short() {
        assert_eq!(beginning("short", 5), "short");
        assert_eq!(beginning("longer", 5), "long…");
        assert_eq!(beginning("a\nb", 40), "a\\u{a}b");
    }
}
