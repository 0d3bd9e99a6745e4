//! From when until when a certificate is good: the one thing of X.509 that a server must know of
//! its own certificate and that rustls, which never verifies it, does not tell.
//!
//! Reads no more of the DER than the way to the two times (RFC 5280, 4.1).

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const DAY_S: u64 = 86_400;

/// Two times, in milliseconds since 1970; both are still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from_ms: u64,
    pub(super) until_ms: u64,
}

impl Validity {
    /// What a certificate in DER says; `None` if it is none.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (whole, _) = element(certificate, SEQUENCE)?;
        let (mut rest, _) = element(whole, SEQUENCE)?;
        // Absent in version 1.
        if let Some((_, after)) = element(rest, VERSION) {
            rest = after;
        }
        // Serial number, signature algorithm, issuer.
        for tag in [INTEGER, SEQUENCE, SEQUENCE] {
            rest = element(rest, tag)?.1;
        }
        let (times, _) = element(rest, SEQUENCE)?;
        let (from_s, times) = time(times)?;
        let (until_s, _) = time(times)?;
        Some(Self { from_ms: from_s * 1_000, until_ms: until_s * 1_000 + 999 })
    }

    pub(super) const fn holds(&self, now_ms: u64) -> bool {
        self.from_ms <= now_ms && now_ms <= self.until_ms
    }

    /// The first day.
    pub(super) fn from(&self) -> String {
        date(self.from_ms)
    }

    /// The last day.
    pub(super) fn until(&self) -> String {
        date(self.until_ms)
    }
}

/// The contents of the element that `bytes` begin with, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&short, mut rest) = rest.split_first()?;
    let mut len = usize::from(short);
    if short >= 0x80 {
        // At most 4 bytes of length: certificates are small.
        let count = usize::from(short & 0x7f);
        let (long, after) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
        len = long.iter().fold(0, |len, byte| (len << 8) | usize::from(*byte));
        rest = after;
    }
    (first == tag).then(|| rest.split_at_checked(len)).flatten()
}

/// A time in seconds since 1970, and what follows it.
fn time(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (text, rest, years) = if let Some((text, rest)) = element(bytes, UTC_TIME) {
        (text, rest, 2)
    } else {
        let (text, rest) = element(bytes, GENERALIZED_TIME)?;
        (text, rest, 4)
    };
    let (digits, zone) = text.split_at_checked(years + 10)?;
    if zone != b"Z" || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |part: &[u8]| part.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0'));
    let (year, rest_of) = digits.split_at(years);
    let year = match (number(year), years) {
        (year, 4) => year,
        (year, _) if year < 50 => 2000 + year,
        (year, _) => 1900 + year,
    };
    let mut parts = rest_of.chunks(2).map(number);
    let (month, day) = (parts.next()?, parts.next()?);
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let fits = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !fits || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days(year, month, day) * DAY_S + hour * 3_600 + minute * 60 + second;
    Some((seconds, rest))
}

/// Days since 1970 of a date of the Gregorian calendar.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    // A year that begins in March has its leap day at its end.
    let year = if month > 2 { year } else { year - 1 };
    let month = if month > 2 { month - 3 } else { month + 9 };
    let leap_days = year / 4 - year / 100 + year / 400;
    // 1970-01-01 is day 719,468 of a calendar that begins on 0000-03-01.
    (year * 365 + leap_days + (153 * month + 2) / 5 + day).saturating_sub(1 + 719_468)
}

/// Like 2026-01-31.
fn date(ms: u64) -> String {
    let day_of_all = ms / 1_000 / DAY_S;
    let is_after = |year, month, day| days(year, month, day) > day_of_all;
    let year = (1970..=9999).rev().find(|year| !is_after(*year, 1, 1)).unwrap_or(1970);
    let month = (1..=12).rev().find(|month| !is_after(year, *month, 1)).unwrap_or(1);
    format!("{year:04}-{month:02}-{:02}", day_of_all - days(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<u64> {
        let mut bytes = vec![UTC_TIME, u8::try_from(text.len()).unwrap()];
        bytes.extend(text.bytes());
        time(&bytes).map(|(seconds, _)| seconds)
    }

    fn generalized(text: &str) -> Option<u64> {
        let mut bytes = vec![GENERALIZED_TIME, u8::try_from(text.len()).unwrap()];
        bytes.extend(text.bytes());
        time(&bytes).map(|(seconds, _)| seconds)
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(utc("700101000000Z"), Some(0));
        assert_eq!(utc("000229235959Z"), Some(951_868_799));
        assert_eq!(utc("490101000000Z"), generalized("20490101000000Z"));
        assert_eq!(generalized("20260131120000Z"), Some(1_769_860_800));
        assert_eq!(generalized("99991231235959Z"), Some(253_402_300_799));
        for wrong in ["", "700101000000", "7001010000Z", "701301000000Z", "70010100000aZ"] {
            assert_eq!(utc(wrong), None, "{wrong}");
        }
        assert_eq!(utc("600101000000Z"), None, "before 1970");
        assert_eq!(date(951_868_799_000), "2000-02-29");
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(253_402_300_799_000), "9999-12-31");
    }

    #[test]
    fn a_certificate_is_read_and_garbage_is_not() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2024, 2, 29);
        params.not_after = rcgen::date_time_ymd(2051, 12, 31);
        let certificate = params.self_signed(&key).unwrap();
        let der = certificate.der();
        let validity = Validity::of(der).unwrap();
        let shown = (validity.from(), validity.until());
        assert_eq!(shown, ("2024-02-29".to_owned(), "2051-12-31".to_owned()));
        assert!(validity.holds(validity.from_ms) && validity.holds(validity.until_ms));
        assert!(!validity.holds(validity.from_ms - 1) && !validity.holds(validity.until_ms + 1));
        for end in 0..der.len() {
            assert_eq!(Validity::of(&der[..end]), None, "cut at {end}");
        }
        assert_eq!(Validity::of(&[0xff; 64]), None);
    }
}
