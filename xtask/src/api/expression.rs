//! Values of constants as their source writes them: whole numbers, `*`, `+`, `-`, `<<`, brackets
//! and the names of other constants. Anything else is an error, never a guess.

use std::collections::BTreeMap;

/// Values by the last names of paths.
pub(crate) type Known = BTreeMap<String, u64>;

/// The value of an expression.
pub(crate) fn evaluate(source: &str, known: &Known) -> Result<u64, String> {
    let mut rest = Rest { left: source, known };
    let value = rest.shift().ok_or_else(|| format!("cannot read the value `{source}`"))?;
    if rest.left.trim().is_empty() {
        Ok(value)
    } else {
        Err(format!("cannot read `{}` in the value `{source}`", rest.left.trim()))
    }
}

/// What is left of an expression. The weakest operator is read first.
struct Rest<'a> {
    left: &'a str,
    known: &'a Known,
}

impl Rest<'_> {
    fn takes(&mut self, token: &str) -> bool {
        match self.left.trim_start().strip_prefix(token) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    fn shift(&mut self) -> Option<u64> {
        let mut value = self.sum()?;
        while self.takes("<<") {
            let by = u32::try_from(self.sum()?).ok()?;
            value = value.checked_mul(1_u64.checked_shl(by)?)?;
        }
        Some(value)
    }

    fn sum(&mut self) -> Option<u64> {
        let mut value = self.product()?;
        loop {
            if self.takes("+") {
                value = value.checked_add(self.product()?)?;
            } else if self.takes("-") {
                value = value.checked_sub(self.product()?)?;
            } else {
                return Some(value);
            }
        }
    }

    fn product(&mut self) -> Option<u64> {
        let mut value = self.one()?;
        while self.takes("*") {
            value = value.checked_mul(self.one()?)?;
        }
        Some(value)
    }

    fn one(&mut self) -> Option<u64> {
        if self.takes("(") {
            let value = self.shift()?;
            return self.takes(")").then_some(value);
        }
        let text = self.left.trim_start();
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        let (word, left) = text.split_at(end.unwrap_or(text.len()));
        self.left = left;
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return word.replace('_', "").parse().ok();
        }
        self.known.get(word.rsplit("::").next().unwrap_or(word)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_rust() {
        let known = Known::from([("WINDOW".to_owned(), 32), ("DAY".to_owned(), 86_400_000)]);
        for (source, value) in [
            ("96 * 1024", 96 * 1024),
            ("(1 << 53) - 1", (1 << 53) - 1),
            ("2 * wire::WINDOW", 64),
            ("30 * DAY", 30 * 86_400_000),
            ("4 << 20", 4 << 20),
            ("1 + 2 * 3 << 1", 14),
        ] {
            assert_eq!(evaluate(source, &known), Ok(value), "{source}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for source in ["", "OTHER", "1 +", "(1", "2 / 1", "1 1", "-1", "1 << 70", "\"x\""] {
            assert!(evaluate(source, &Known::new()).is_err(), "{source}");
        }
    }
}
