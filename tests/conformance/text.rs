//! Section 6: UTF-8. A text is judged at the end of each frame: a fragment that no later one can
//! make UTF-8 ends the connection at once (1007); within a frame nothing is judged before its last
//! byte (Autobahn's "non-strict" for 6.4.3 and 6.4.4). In JSON the words stand in the name of an
//! operation, so that the answer shows that they were read.

use crate::case::{Case, case, hold, named, op};
use crate::peer::Heard::{Answer, Close, Refused};
use crate::peer::{CONTINUE, FIN, TEXT, frame};

/// Words that are UTF-8, by case.
const VALID: &[(&str, &[u8])] = &[
    ("6.2.1", "Hello-\u{b5}@\u{df}\u{f6}\u{e4}\u{fc}\u{e0}\u{e1}-UTF-8!!".as_bytes()),
    ("6.5.1", "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}".as_bytes()),
    ("6.7.2", "\u{80}".as_bytes()),
    ("6.7.3", "\u{800}".as_bytes()),
    ("6.7.4", "\u{10000}".as_bytes()),
    ("6.9.1", "\u{7f}".as_bytes()),
    ("6.9.2", "\u{7ff}".as_bytes()),
    ("6.9.3", "\u{ffff}".as_bytes()),
    ("6.9.4", "\u{10ffff}".as_bytes()),
    ("6.11.1", "\u{d7ff}".as_bytes()),
    ("6.11.2", "\u{e000}".as_bytes()),
    ("6.11.3", "\u{fffd}".as_bytes()),
    ("6.11.4", "\u{10ffff}".as_bytes()),
    ("6.22.1", "\u{fffe}".as_bytes()),
    ("6.22.2", "\u{ffff}".as_bytes()),
    ("6.22.3", "\u{1fffe}".as_bytes()),
    ("6.22.4", "\u{1ffff}".as_bytes()),
    ("6.22.33", "\u{10fffe}".as_bytes()),
    ("6.22.34", "\u{10ffff}".as_bytes()),
    ("6.23.1", "\u{fffd}".as_bytes()),
];

/// Words that are not, by case.
const INVALID: &[(&str, &[u8])] = &[
    ("6.3.1", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"),
    ("6.8.1", b"\xf8\x88\x80\x80\x80"),
    ("6.8.2", b"\xfc\x84\x80\x80\x80\x80"),
    ("6.10.1", b"\xf7\xbf\xbf\xbf"),
    ("6.10.2", b"\xfb\xbf\xbf\xbf\xbf"),
    ("6.10.3", b"\xfd\xbf\xbf\xbf\xbf\xbf"),
    ("6.11.5", b"\xf4\x90\x80\x80"),
    ("6.12.1", b"\x80"),
    ("6.12.2", b"\xbf"),
    ("6.12.3", b"\x80\xbf"),
    ("6.12.8", b"\x80\xbf\x80\xbf\x80\xbf\x80"),
    ("6.13.1", b"\xc0 \xc1 \xc2 \xc3 \xdf "),
    ("6.13.2", b"\xe0 \xe1 \xef "),
    ("6.13.3", b"\xf0 \xf1 \xf7 "),
    ("6.13.4", b"\xf8 \xf9 \xfb "),
    ("6.13.5", b"\xfc \xfd "),
    ("6.14.1", b"\xc0"),
    ("6.14.2", b"\xe0\x80"),
    ("6.14.3", b"\xf0\x80\x80"),
    ("6.14.6", b"\xdf"),
    ("6.14.7", b"\xef\xbf"),
    ("6.14.8", b"\xf7\xbf\xbf"),
    ("6.15.1", b"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xdf\xef\xbf\xf7\xbf\xbf"),
    ("6.16.1", b"\xfe"),
    ("6.16.2", b"\xff"),
    ("6.16.3", b"\xfe\xfe\xff\xff"),
    ("6.17.1", b"\xc0\xaf"),
    ("6.17.2", b"\xe0\x80\xaf"),
    ("6.17.3", b"\xf0\x80\x80\xaf"),
    ("6.18.1", b"\xc1\xbf"),
    ("6.18.2", b"\xe0\x9f\xbf"),
    ("6.18.3", b"\xf0\x8f\xbf\xbf"),
    ("6.19.1", b"\xc0\x80"),
    ("6.19.2", b"\xe0\x80\x80"),
    ("6.20.1", b"\xed\xa0\x80"),
    ("6.20.2", b"\xed\xad\xbf"),
    ("6.20.7", b"\xed\xbf\xbf"),
    ("6.21.1", b"\xed\xa0\x80\xed\xb0\x80"),
    ("6.21.8", b"\xed\xaf\xbf\xed\xbf\xbf"),
];

fn whole(payload: &[u8]) -> Vec<Vec<u8>> {
    vec![frame(FIN | TEXT, payload)]
}

/// In two fragments, split there.
fn split(payload: &[u8], at: usize) -> Vec<Vec<u8>> {
    vec![frame(TEXT, &payload[..at]), frame(FIN | CONTINUE, &payload[at..])]
}

#[tokio::test]
async fn empty_texts() {
    let empty = |fin: u8, opcode: u8| frame(fin | opcode, b"");
    let three = vec![empty(0, TEXT), empty(0, CONTINUE), empty(FIN, CONTINUE)];
    let around = vec![empty(0, TEXT), frame(CONTINUE, &op(1, 0)), empty(FIN, CONTINUE)];
    hold(vec![
        case("6.1.1", "no JSON", whole(b""), vec![Close(1007)]),
        case("6.1.2", "three empty fragments are none, either", three, vec![Close(1007)]),
        case("6.1.3", "empty fragments around a message", around, vec![Answer(1)]),
    ])
    .await;
}

#[tokio::test]
async fn what_is_utf_8_is_read_however_it_is_cut() {
    let mut cases: Vec<Case> = Vec::new();
    for (id, word) in VALID {
        let payload = named(7, word);
        cases.push(case(id, "whole", whole(&payload), vec![Refused(7)]));
        cases.push(case(id, "byte by byte", whole(&payload), vec![Refused(7)]).chopped(1));
    }
    // 6.2.2: two fragments, cut between and inside characters.
    let (_, word) = VALID[0];
    let payload = named(7, word);
    let begin = payload.windows(word.len()).position(|part| part == word).unwrap();
    for at in begin..begin + word.len() {
        let what = format!("cut at {at}");
        cases.push(case("6.2.2", &what, split(&payload, at), vec![Refused(7)]));
    }
    // 6.2.4: a fragment for each byte of a word.
    let word = "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}".as_bytes();
    let payload = named(7, word);
    let begin = payload.windows(word.len()).position(|part| part == word).unwrap();
    let mut bytes = vec![frame(TEXT, &payload[..begin])];
    bytes.extend(word.iter().map(|byte| frame(CONTINUE, &[*byte])));
    bytes.push(frame(FIN | CONTINUE, &payload[begin + word.len()..]));
    cases.push(case("6.2.4", "a fragment for each byte", bytes, vec![Refused(7)]));
    hold(cases).await;
}

#[tokio::test]
async fn what_is_not_utf_8_ends_the_connection() {
    let mut cases: Vec<Case> = Vec::new();
    for (id, word) in INVALID {
        let payload = named(7, word);
        cases.push(case(id, "whole", whole(&payload), vec![Close(1007)]));
        let at = payload.len() - 8;
        cases.push(case(id, "in two fragments", split(&payload, at), vec![Close(1007)]));
    }
    // 6.6: every beginning of a word that ends inside a character.
    let word = "\u{3ba}\u{1f980}".as_bytes();
    for at in (1..word.len()).filter(|at| std::str::from_utf8(&word[..*at]).is_err()) {
        let what = format!("{at} bytes of a word");
        cases.push(case("6.6", &what, whole(&named(7, &word[..at])), vec![Close(1007)]));
    }
    hold(cases).await;
}

#[tokio::test]
async fn a_fragment_that_cannot_become_utf_8_ends_the_connection_before_the_last() {
    let first = frame(TEXT, b"{\"id\":1,\"op\":{\"\xce\xba\xe1\xbd\xb9");
    // The message never ends: what is heard is heard before that.
    let never = |second: &[u8]| vec![first.clone(), frame(CONTINUE, second)];
    hold(vec![
        case("6.4.1", "above U+10FFFF", never(b"\xf4\x90\x80\x80"), vec![Close(1007)]),
        case("6.4.2", "its first two bytes", never(b"\xf4\x90"), vec![Close(1007)]),
        case("6.4.1", "in the first fragment", vec![frame(TEXT, b"\xff")], vec![Close(1007)]),
        case(
            "6.4.1",
            "a character cut off",
            vec![frame(TEXT, b"\xe1\xbd"), frame(CONTINUE, b"a")],
            vec![Close(1007)],
        ),
        case(
            "6.4.3",
            "within a frame it waits for the end",
            vec![frame(FIN | TEXT, &named(1, b"\xf4\x90\x80\x80"))],
            vec![Close(1007)],
        )
        .chopped(4),
        case("6.4.1", "before hello", vec![frame(TEXT, b"\xff")], vec![Close(1007)]).unsigned(),
    ])
    .await;
}
