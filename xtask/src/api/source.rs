//! Constants, defaults and settings with the words beside them, read from their source.
//!
//! Types cannot be asked for the comments of constants, so the lines are read; what does not look
//! as expected is an error, so that nothing drops out of the page unseen.

use super::expression::{Known, evaluate};

/// A bound with its value and meaning.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) meaning: String,
}

/// The public constants of a file, in order. All constants are added to `known`.
pub(crate) fn constants(text: &str, known: &mut Known) -> Result<Vec<Bound>, String> {
    let mut bounds = Vec::new();
    let mut comment = Vec::new();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("///") {
            comment.push(words.trim().to_owned());
            continue;
        }
        let is_public = line.starts_with("pub const ");
        let rest = line.trim_start_matches("pub ").strip_prefix("const ");
        let Some(rest) = rest.filter(|rest| !rest.starts_with("fn ")) else {
            comment.clear();
            continue;
        };
        let (name, value) = declaration(rest).ok_or_else(|| format!("cannot read `{line}`"))?;
        let value = evaluate(value, known)?;
        known.insert(name.to_owned(), value);
        let meaning = std::mem::take(&mut comment).join(" ");
        if is_public {
            bounds.push(Bound { name: name.to_owned(), value: grouped(value), meaning });
        }
    }
    Ok(bounds)
}

/// Name and value of `NAME: u64 = 1;`.
fn declaration(rest: &str) -> Option<(&str, &str)> {
    let (name, rest) = rest.split_once(':')?;
    let (_, value) = rest.split_once('=')?;
    Some((name.trim(), value.trim().strip_suffix(';')?))
}

/// The fields of `pub struct Limits` with their comments, and their values in its `Default`.
pub(crate) fn defaults(text: &str, known: &Known) -> Result<Vec<Bound>, String> {
    let fields = block(text, "pub struct Limits {")?;
    let values = block(text, "Self {\n")?;
    let mut comment = Vec::new();
    let mut bounds = Vec::new();
    for line in fields.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(words) = line.strip_prefix("///") {
            comment.push(words.trim().to_owned());
            continue;
        }
        let name = line.strip_prefix("pub ").and_then(|rest| rest.split_once(':'));
        let (name, _) = name.ok_or_else(|| format!("cannot read the field `{line}`"))?;
        let value = values.lines().find_map(|line| {
            line.trim().strip_prefix(name)?.strip_prefix(':')?.trim().strip_suffix(',')
        });
        let value = value.ok_or_else(|| format!("no default is found for `{name}`"))?;
        let value = grouped(evaluate(value, known)?);
        let meaning = std::mem::take(&mut comment).join(" ");
        bounds.push(Bound { name: name.to_owned(), value, meaning });
    }
    Ok(bounds)
}

/// The lines between an opening line and the bracket that closes it.
fn block<'a>(text: &'a str, opening: &str) -> Result<&'a str, String> {
    let (_, rest) = text.split_once(opening).ok_or_else(|| format!("no `{opening}` is found"))?;
    let (inside, _) = rest.split_once('}').ok_or_else(|| format!("`{opening}` does not end"))?;
    Ok(inside)
}

/// The keys of `config/default.toml` as `section.key`, with the comment above each.
pub(crate) fn settings(text: &str) -> Result<Vec<Bound>, String> {
    let (mut section, mut comment, mut bounds) = (String::new(), Vec::new(), Vec::<Bound>::new());
    for line in text.lines() {
        if let Some(words) = line.strip_prefix('#') {
            comment.push(words.trim().to_owned());
        } else if let Some(name) = line.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut section);
            comment.clear();
        } else if let Some((key, value)) = line.split_once(" = ") {
            let meaning = match bounds.last() {
                _ if !comment.is_empty() => std::mem::take(&mut comment).join(" "),
                // Two keys under one comment.
                Some(above) => above.meaning.clone(),
                None => return Err(format!("no comment stands above `{line}`")),
            };
            let name = format!("{section}.{key}");
            bounds.push(Bound { name, value: value.to_owned(), meaning });
        } else if line.is_empty() {
            comment.clear();
        } else {
            return Err(format!("cannot read the line `{line}`"));
        }
    }
    Ok(bounds)
}

/// 98304 as `98,304`.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(name: &str, value: &str, meaning: &str) -> Bound {
        Bound { name: name.to_owned(), value: value.to_owned(), meaning: meaning.to_owned() }
    }

    #[test]
    fn constants_have_their_comments_and_values() {
        let text = "//! Module.\n\n/// Sum.\npub const fn sum() {}\n/// The largest\n/// frame.\npub const MAX: usize = 96 * 1024;\n\
                    const DAY: u64 = 24;\n/// Two.\npub const TWO: u64 = 2 * DAY;\n";
        let found = constants(text, &mut Known::new()).unwrap();
        let two = bound("TWO", "48", "Two.");
        assert_eq!(found, [bound("MAX", "98,304", "The largest frame."), two]);
        assert!(constants("pub const A: u64 = b();\n", &mut Known::new()).is_err());
        assert!(constants("pub const A: u64 =\n", &mut Known::new()).is_err());
    }

    #[test]
    fn defaults_have_their_comments_and_values() {
        let text =
            "pub struct Limits {\n    /// Once.\n    pub a: u64,\n}\nSelf {\n    a: 1 << 20,\n}\n";
        let found = defaults(text, &Known::new()).unwrap();
        assert_eq!(found, [bound("a", "1,048,576", "Once.")]);
        let error = defaults(&text.replace("a: 1", "b: 1"), &Known::new()).unwrap_err();
        assert!(error.contains("no default"), "{error}");
    }

    #[test]
    fn settings_have_their_sections_and_comments() {
        let text = "# Of the file.\n\n[a]\n# One\n# line.\nb = 1\nc = \"x\"\n";
        let found = settings(text).unwrap();
        assert_eq!(found, [bound("a.b", "1", "One line."), bound("a.c", "\"x\"", "One line.")]);
        assert!(settings("[a]\nb = 1\n").is_err());
        assert!(settings("[a]\nwhat\n").is_err());
    }
}
