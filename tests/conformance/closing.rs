//! Section 7: goodbyes. A valid code is echoed; a goodbye without a code is answered 1000.

use std::time::{Duration, Instant};

use hushwire_wire::Encoding;

use crate::case::{Case, case, hold, op};
use crate::peer::Heard::{Answer, Close};
use crate::peer::{CLOSE, CONTINUE, FIN, PING, Peer, TEXT, close, frame};
use crate::support::Server;

#[tokio::test]
async fn after_a_goodbye_nothing_is_said() {
    let message = || frame(FIN | TEXT, &op(1, 0));
    let bye = || close(1000, b"");
    let ends = || vec![Close(1000)];
    let begin = || frame(TEXT, b"{\"id\":");
    hold(vec![
        case(
            "7.1.1",
            "a message, then goodbye",
            vec![message(), bye()],
            vec![Answer(1), Close(1000)],
        ),
        case("7.1.2", "two goodbyes", vec![bye(), bye()], ends()),
        case("7.1.3", "a ping after it", vec![bye(), frame(FIN | PING, b"x")], ends()),
        case("7.1.4", "a message after it", vec![bye(), message()], ends()),
        case(
            "7.1.5",
            "in the middle of a message, which then goes on",
            vec![begin(), bye(), frame(FIN | CONTINUE, b"1}")],
            ends(),
        ),
        case(
            "7.1.6",
            "96 KiB, goodbye, a ping",
            vec![frame(FIN | TEXT, &op(1, 96 * 1024)), bye(), frame(FIN | PING, b"x")],
            vec![Answer(1), Close(1000)],
        ),
        case("7.1.2", "garbage after it", vec![bye(), vec![0xff; 300_000]], ends()),
        case("7.1.1", "all in one write", vec![[message(), bye(), message()].concat()], {
            vec![Answer(1), Close(1000)]
        }),
        case("7.1.1", "before hello", vec![bye()], ends()).unsigned(),
    ])
    .await;
}

#[tokio::test]
async fn payloads_of_goodbyes() {
    let bye = |payload: &[u8]| vec![frame(FIN | CLOSE, payload)];
    let longest = [b'*'; 123];
    let too_long = [b'*'; 124];
    let mut cases = vec![
        case("7.3.1", "no payload", bye(b""), vec![Close(1000)]),
        case("7.3.2", "one byte", bye(b"\x03"), vec![Close(1002)]),
        case("7.3.3", "a code", vec![close(1000, b"")], vec![Close(1000)]),
        case("7.3.4", "a code and a reason", vec![close(1000, b"Hello!")], vec![Close(1000)]),
        case("7.3.5", "the longest reason", vec![close(1000, &longest)], vec![Close(1000)]),
        case("7.3.6", "a longer one", vec![close(1000, &too_long)], vec![Close(1002)]),
        case(
            "7.5.1",
            "a reason that is not UTF-8",
            {
                vec![close(1000, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited")]
            },
            vec![Close(1007)],
        ),
        case("7.5.1", "byte by byte", vec![close(1000, b"\xff")], vec![Close(1007)]).chopped(1),
        case(
            "7.3.4",
            "a reason of many alphabets",
            vec![close(1000, "\u{fc}\u{3ba}\u{4e2d}\u{1f980}".as_bytes())],
            vec![Close(1000)],
        ),
    ];
    let valid = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
    cases.extend(codes("7.7", &valid, |code| code));
    // Registered since Autobahn was written.
    cases.extend(codes("7.7", &[1012, 1013, 1014], |code| code));
    let invalid = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999];
    cases.extend(codes("7.9", &invalid, |_| 1002));
    cases.extend(codes("7.13", &[5000, 65_535], |_| 1002));
    hold(cases).await;
}

fn codes(group: &str, codes: &[u16], answer: fn(u16) -> u16) -> Vec<Case> {
    let one = |(k, code): (usize, &u16)| {
        let (id, what) = (format!("{group}.{}", k + 1), format!("code {code}"));
        case(&id, &what, vec![close(*code, b"")], vec![Close(answer(*code))])
    };
    codes.iter().enumerate().map(one).collect()
}

/// A peer that never ends its half is left after 2 seconds, not before its goodbye could arrive.
#[tokio::test]
async fn a_goodbye_takes_2_seconds_at_most() {
    let server = Server::start();
    let (mut peer, _) = Peer::connect(&server.url, Encoding::Json);
    peer.write(&close(1000, b""));
    let began = Instant::now();
    assert_eq!(peer.hear(), Close(1000));
    assert!(began.elapsed() < Duration::from_secs(2), "the goodbye comes at once");
    // The server is gone when it no longer takes what is written.
    while peer.takes(b"x") {
        assert!(began.elapsed() < Duration::from_secs(10), "it is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(began.elapsed() > Duration::from_millis(1_500), "{:?}", began.elapsed());
}
