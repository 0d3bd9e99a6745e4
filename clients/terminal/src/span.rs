//! How long messages are kept: `off`, or a number with a unit.

/// What can be said, and what it is in seconds.
const UNITS: [(&str, u32); 5] = [("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// Reads `off`, or a whole number with s, m, h, d or w: seconds, 0 for `off`.
pub(crate) fn parse(text: &str) -> Result<u32, String> {
    if text == "off" {
        return Ok(0);
    }
    let seconds = UNITS.iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(number.saturating_mul(u64::from(*seconds)))
    });
    match seconds.map(u32::try_from) {
        Some(Ok(seconds @ 1..)) => Ok(seconds),
        Some(Err(_)) => Err(format!("too long: at most {}w", u32::MAX / UNITS[0].1)),
        Some(Ok(0)) | None => {
            Err("expected `off`, or a time like 30s, 5m, 8h, 7d or 4w".to_owned())
        }
    }
}

/// As [`parse`] takes it.
pub(crate) fn words(seconds: u32) -> String {
    if seconds == 0 {
        return "off".to_owned();
    }
    let unit = UNITS.iter().find(|(_, unit)| seconds.is_multiple_of(*unit));
    unit.map_or_else(String::new, |(name, unit)| format!("{}{name}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back() {
        for (text, seconds) in [
            ("off", 0),
            ("30s", 30),
            ("5m", 300),
            ("8h", 28_800),
            ("1d", 86_400),
            ("4w", 2_419_200),
            ("90s", 90),
        ] {
            assert_eq!(parse(text), Ok(seconds));
            assert_eq!(words(seconds), text);
        }
        assert_eq!(words(60), "1m");
        for bad in ["", "0s", "5", "-5m", "1.5h", "9999999w", "m", "5 m", "on"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("7101w").is_ok());
        for long in ["7102w", "9999999w", "4294967296s", "18446744073709551615w"] {
            assert_eq!(parse(long), Err("too long: at most 7101w".to_owned()), "{long}");
        }
    }
}
