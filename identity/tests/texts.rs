//! Round trips of the small parsers: points, usernames, domains, kinds, suites, codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use hushwire_identity::entry::is_domain;
use hushwire_identity::{Code, DeviceKind, Handle, Head, LogPoint, Suite, Suites, safety_number};
use hushwire_wire::UserId;
use hushwire_wire::layout::{Reader, Writer};
use proptest::prelude::*;

fn point() -> impl Strategy<Value = LogPoint> {
    (any::<[u8; 32]>(), any::<u32>(), any::<[u8; 32]>()).prop_map(|(user, seq, head)| LogPoint {
        user: UserId(user),
        seq,
        head: Head(head),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn points_read_back(point in point(), cut in 0..LogPoint::LEN) {
        let bytes = point.to_bytes();
        let mut w = Writer::default();
        point.write(&mut w);
        prop_assert_eq!(&w.finish()[..], &bytes[..]);
        let mut r = Reader::new(&bytes);
        prop_assert_eq!(LogPoint::read(&mut r, "point"), Ok(point));
        prop_assert!(r.finish("point").is_ok());
        prop_assert_eq!(LogPoint::read(&mut Reader::new(&bytes[..cut]), "point").unwrap_err().field, "point");
    }

    #[test]
    fn usernames_are_those_of_the_rule(text in "\\PC{0,40}|[a-z0-9_.]{0,40}|[A-Za-z0-9_.-]{1,8}") {
        let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '.');
        let good = (3..=32).contains(&text.chars().count()) && text.chars().all(allowed);
        prop_assert_eq!(Handle::parse(&text).is_ok(), good);
        if good {
            let handle = Handle::from_bytes(text.as_bytes()).unwrap();
            prop_assert_eq!((handle.as_str(), handle.to_string()), (&*text, text.clone()));
        }
    }

    #[test]
    fn domains_are_those_of_the_rule(text in "\\PC{0,20}|[a-z0-9.:-]{0,260}") {
        let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '.' | '-' | ':');
        let good = (1..=253).contains(&text.chars().count()) && text.chars().all(allowed);
        prop_assert_eq!(is_domain(&text), good);
    }

    #[test]
    fn the_best_common_suite_is_the_first_of_the_order_that_all_have(
        sets in prop::collection::vec(1..=u16::MAX, 0..6),
    ) {
        let all = |bit: u16| !sets.is_empty() && sets.iter().all(|set| set & bit != 0);
        let wanted = [(4, Suite::XWing), (1, Suite::NaCl), (2, Suite::Aes)];
        let wanted = wanted.into_iter().find(|(bit, _)| all(*bit)).map(|(_, suite)| suite);
        let given = sets.iter().map(|bits| Suites::from_bits(*bits).unwrap());
        prop_assert_eq!(Suites::best_common(given), wanted);
    }

    #[test]
    fn safety_numbers_are_sixty_digits_for_both(one in point(), other in point()) {
        let number = safety_number(&one, &other);
        prop_assert_eq!(number, safety_number(&other, &one));
        prop_assert!(number.groups().iter().all(|group| *group < 100_000));
        let text = number.to_string();
        prop_assert_eq!(text.split(' ').filter(|group| group.len() == 5).count(), 12);
        let read: Vec<u32> = text.split(' ').map(|group| group.parse().unwrap()).collect();
        prop_assert_eq!(&read[..], &number.groups()[..]);
        prop_assert_ne!(number, safety_number(&one, &one));
    }
}

#[test]
fn numbers_and_codes_read_back_and_no_others_do() {
    for number in 0..=255 {
        let kind = DeviceKind::from_number(number);
        assert_eq!(kind.map(DeviceKind::number), (number != 255).then_some(number));
        let suite = Suite::from_number(number);
        assert_eq!(suite.map(Suite::number), (1..=3).contains(&number).then_some(number));
    }
    for bits in 0..=u16::MAX {
        assert_eq!(Suites::from_bits(bits).map(Suites::bits), (bits != 0).then_some(bits));
    }
    for code in Code::ALL {
        assert_eq!(Code::from_text(&code.to_string()), Some(*code));
        assert_eq!(Code::from_text(&code.as_str().to_lowercase()), None);
        assert_eq!(Code::from_text(&format!("{code} ")), None);
    }
}
