//! Section 5: messages in fragments, control frames between them, and what has no beginning.

use crate::case::{case, cbor_op, hold, op};
use crate::peer::Heard::{Answer, Close, Pong};
use crate::peer::{BINARY, CONTINUE, FIN, PING, PONG, TEXT, frame};

fn ping(payload: &[u8]) -> Vec<u8> {
    frame(FIN | PING, payload)
}

/// The message in so many fragments.
fn parts(opcode: u8, payload: &[u8], count: usize) -> Vec<Vec<u8>> {
    let size = payload.len().div_ceil(count);
    let last = count - 1;
    let part = |k: usize| {
        let part = payload.get(k * size..payload.len().min((k + 1) * size)).unwrap_or_default();
        let first = if k == 0 { opcode } else { CONTINUE };
        frame(if k == last { FIN | first } else { first }, part)
    };
    (0..count).map(part).collect()
}

fn between(parts: Vec<Vec<u8>>, what: &[u8]) -> Vec<Vec<u8>> {
    let [first, second] = parts.try_into().unwrap();
    vec![first, what.to_vec(), second]
}

#[tokio::test]
async fn fragments_join_and_control_frames_pass_between_them() {
    let two = || parts(TEXT, &op(1, 0), 2);
    let whole = |writes: Vec<Vec<u8>>| vec![writes.concat()];
    let answered = || vec![Answer(1)];
    let ponged = || vec![Pong(b"p".to_vec()), Answer(1)];
    let pinged = || between(two(), &ping(b"p"));
    let five = || parts(TEXT, &op(1, 60), 5);
    let mut mixed = five();
    mixed.insert(2, ping(b"1"));
    mixed.insert(5, ping(b"2"));
    let twice = || vec![Pong(b"1".to_vec()), Pong(b"2".to_vec()), Answer(1)];
    hold(vec![
        case("5.1", "a ping in two fragments", parts(PING, b"ping", 2), vec![Close(1002)]),
        case("5.2", "a pong in two fragments", parts(PONG, b"pong", 2), vec![Close(1002)]),
        case("5.3", "a text in two, one write each", two(), answered()),
        case("5.4", "a text in two, one write", whole(two()), answered()),
        case("5.5", "a text in two, byte by byte", two(), answered()).chopped(1),
        case("5.6", "a ping between, one write each", pinged(), ponged()),
        case("5.7", "a ping between, one write", whole(pinged()), ponged()),
        case("5.8", "a ping between, byte by byte", pinged(), ponged()).chopped(1),
        case("5.19", "five with pings between, one write", whole(mixed.clone()), twice()),
        case("5.20", "five with pings between, one write each", mixed, twice()),
        case("5.3", "empty parts", parts(TEXT, &op(1, 0), 16), answered()),
        case("5.3", "bytes in two", parts(BINARY, &cbor_op(1), 2), answered()).cbor(),
        case("5.6", "a pong between", between(two(), &frame(FIN | PONG, b"")), answered()),
        case(
            "5.3",
            "two messages",
            [two(), parts(TEXT, &op(2, 0), 3)].concat(),
            vec![Answer(1), Answer(2)],
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_does_not_go_on_is_refused() {
    let message = || frame(FIN | TEXT, &op(9, 0));
    let go_on = |fin: u8| frame(fin | CONTINUE, b"fragment");
    let begin = || frame(TEXT, b"{\"id\":");
    let refused = || vec![Close(1002)];
    let mut cases = Vec::new();
    for (ids, fin) in [(["5.9", "5.10", "5.11"], FIN), (["5.12", "5.13", "5.14"], 0)] {
        let writes = || vec![go_on(fin), message()];
        let one = vec![writes().concat()];
        cases.push(case(ids[0], "nothing to go on with, one write each", writes(), refused()));
        cases.push(case(ids[1], "nothing to go on with, one write", one, refused()));
        cases.push(case(ids[2], "nothing to go on with", writes(), refused()).chopped(1));
    }
    let writes = [parts(TEXT, &op(1, 0), 2), vec![go_on(0), message()]].concat();
    let hears = vec![Answer(1), Close(1002)];
    cases.push(case("5.15", "nothing to go on with after two fragments", writes, hears));
    for (id, fin) in [("5.16", 0), ("5.17", FIN)] {
        let writes = vec![go_on(fin), begin(), go_on(FIN), go_on(fin), begin(), go_on(FIN)];
        cases.push(case(id, "a second part first", writes, refused()));
    }
    let writes = vec![begin(), message()];
    cases.push(case("5.18", "a message inside another", writes, refused()));
    let writes = vec![begin(), frame(TEXT, b"x"), go_on(FIN)];
    cases.push(case("5.18", "a beginning inside another message", writes, refused()));
    let writes = vec![begin(), frame(FIN | BINARY, b"x")];
    cases.push(case("5.18", "bytes inside a text", writes, refused()));
    hold(cases).await;
}
