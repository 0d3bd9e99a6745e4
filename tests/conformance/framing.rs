//! Sections 1 to 4: sizes, pings and pongs, reserved bits, opcodes.

use crate::case::{case, cbor_op, cbor_send, hold, named, op};
use crate::peer::Heard::{Answer, Close, Pong, Refused};
use crate::peer::{BINARY, CLOSE, FIN, PING, PONG, TEXT, frame};

/// A text message.
fn text(payload: &[u8]) -> Vec<u8> {
    frame(FIN | TEXT, payload)
}

fn ping(payload: &[u8]) -> Vec<u8> {
    frame(FIN | PING, payload)
}

fn pong(payload: &[u8]) -> Vec<u8> {
    frame(FIN | PONG, payload)
}

#[tokio::test]
async fn messages_of_all_sizes() {
    let mut cases = vec![
        case("1.1.1", "an empty text is no JSON", vec![text(b"")], vec![Close(1007)]),
        case("1.2.1", "empty bytes are no CBOR", vec![frame(FIN | BINARY, b"")], vec![Close(1007)])
            .cbor(),
    ];
    for (k, size) in (2..).zip([125, 126, 127, 128, 65_535, 65_536]) {
        let (writes, bytes) = (text(&op(k, size)), frame(FIN | BINARY, &cbor_send(k, size)));
        cases.push(case(&format!("1.1.{k}"), "text", vec![writes], vec![Answer(k)]));
        cases.push(case(&format!("1.2.{k}"), "binary", vec![bytes], vec![Refused(k)]).cbor());
    }
    let (writes, bytes) = (text(&op(8, 65_536)), frame(FIN | BINARY, &cbor_send(8, 65_536)));
    cases.push(case("1.1.8", "in chops of 997", vec![writes], vec![Answer(8)]).chopped(997));
    cases.push(case("1.2.8", "in chops of 997", vec![bytes], vec![Refused(8)]).chopped(997).cbor());
    let small = frame(FIN | BINARY, &cbor_op(9));
    cases.push(case("1.2", "a small one", vec![small.clone()], vec![Answer(9)]).cbor());
    cases.push(case("1.2", "byte by byte", vec![small], vec![Answer(9)]).chopped(1).cbor());
    cases.push(case("1.1", "byte by byte", vec![text(&op(9, 300))], vec![Answer(9)]).chopped(1));
    // The kind is the encoding's.
    let other = frame(FIN | BINARY, &op(1, 0));
    cases.push(case("1.2", "bytes where JSON was chosen", vec![other], vec![Close(1007)]));
    let other = text(&op(1, 0));
    cases.push(case("1.1", "text where CBOR was chosen", vec![other], vec![Close(1007)]).cbor());
    // The length is written in the fewest bytes.
    let padded = [&[0x81, 0xfe, 0, 5, 0, 0, 0, 0][..], b"hello"].concat();
    cases.push(case("1.1", "5 in two bytes", vec![padded], vec![Close(1002)]));
    let padded = [&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0][..], b"hello"].concat();
    cases.push(case("1.1", "5 in eight bytes", vec![padded], vec![Close(1002)]));
    let signed = vec![0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0];
    cases.push(case("1.1", "a length of 64 bits", vec![signed], vec![Close(1002)]));
    let plain = vec![0x81, 0x02, b'{', b'}'];
    cases.push(case("1.1", "no mask", vec![plain], vec![Close(1002)]));
    hold(cases).await;
}

#[tokio::test]
async fn pings_and_pongs() {
    let long = [0xfe; 125];
    let ten: Vec<Vec<u8>> = (0..10u8).map(|n| vec![n; 9]).collect();
    let pings = || vec![ten.iter().flat_map(|payload| ping(payload)).collect()];
    let pongs = || ten.iter().cloned().map(Pong).collect::<Vec<_>>();
    let too_long = frame(FIN | PING, &[0xfe; 126]);
    hold(vec![
        case("2.1", "no payload", vec![ping(b"")], vec![Pong(vec![])]),
        case(
            "2.2",
            "a small text",
            vec![ping(b"Hello, world!")],
            vec![Pong(b"Hello, world!".into())],
        ),
        case(
            "2.3",
            "bytes that are no text",
            vec![ping(b"\0\xff\xfe\xfd")],
            vec![Pong(b"\0\xff\xfe\xfd".into())],
        ),
        case("2.4", "125 bytes", vec![ping(&long)], vec![Pong(long.into())]),
        case("2.5", "126 bytes", vec![too_long], vec![Close(1002)]),
        case("2.6", "byte by byte", vec![ping(&long)], vec![Pong(long.into())]).chopped(1),
        case("2.7", "a pong that nobody asked for", vec![pong(b"")], vec![]),
        case("2.8", "one with a payload", vec![pong(b"unsolicited")], vec![]),
        case("2.9", "one, then a ping", vec![pong(b"no"), ping(b"yes")], vec![Pong(b"yes".into())]),
        case("2.10", "ten pings", pings(), pongs()),
        case("2.11", "ten pings byte by byte", pings(), pongs()).chopped(1),
        case("2.1", "a ping before hello", vec![ping(b"early")], vec![Pong(b"early".into())])
            .unsigned(),
        case("2.10", "20 in 10 s", (0..21).map(|_| ping(b"")).collect(), {
            (0..20).map(|_| Pong(vec![])).chain([Close(4429)]).collect()
        }),
        case("2.7", "pongs count, too", (0..21).map(|_| pong(b"")).collect(), vec![Close(4429)]),
    ])
    .await;
}

#[tokio::test]
async fn reserved_bits() {
    let message = || text(&op(1, 0));
    let bits = |bits: u8, opcode: u8| frame(FIN | bits << 4 | opcode, &op(2, 0));
    hold(vec![
        case("3.1", "RSV3", vec![bits(1, TEXT)], vec![Close(1002)]),
        case(
            "3.2",
            "RSV2 after a message, then a ping",
            vec![message(), bits(2, TEXT), ping(b"")],
            vec![Answer(1), Close(1002)],
        ),
        case(
            "3.3",
            "RSV2 and RSV3",
            vec![message(), bits(3, TEXT), ping(b"")],
            vec![Answer(1), Close(1002)],
        ),
        case(
            "3.4",
            "RSV1 byte by byte",
            vec![message(), bits(4, TEXT), ping(b"")],
            vec![Answer(1), Close(1002)],
        )
        .chopped(1),
        case("3.5", "RSV1 and RSV3, binary", vec![bits(5, BINARY)], vec![Close(1002)]),
        case("3.6", "RSV1 and RSV2, ping", vec![bits(6, PING)], vec![Close(1002)]),
        case("3.7", "all, goodbye", vec![bits(7, CLOSE)], vec![Close(1002)]),
        case("3.1", "known by the first byte", vec![vec![FIN | 0x10 | TEXT]], vec![Close(1002)]),
    ])
    .await;
}

#[tokio::test]
async fn reserved_opcodes() {
    let mut cases = Vec::new();
    for (group, opcodes) in [(1, 3..=7u8), (2, 11..=15)] {
        for (k, opcode) in (1..).zip(opcodes) {
            let id = format!("4.{group}.{k}");
            let bad = frame(FIN | opcode, b"payload");
            cases.push(case(&id, "alone", vec![bad.clone()], vec![Close(1002)]));
            let writes = vec![text(&op(1, 0)), bad, ping(b"")];
            let hears = vec![Answer(1), Close(1002)];
            cases.push(case(&id, "after a message, byte by byte", writes, hears).chopped(1));
            cases.push(case(&id, "its first byte", vec![vec![FIN | opcode]], vec![Close(1002)]));
        }
    }
    cases.push(case(
        "4",
        "an operation that is none",
        vec![text(&named(3, b"dance"))],
        vec![Refused(3)],
    ));
    hold(cases).await;
}
