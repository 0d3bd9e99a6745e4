//! Section 9 within our bounds, and what holds before `hello`: 4 KiB and one answer for all.

use hushwire_wire::limits::{FRAGMENTS_MAX, FRAME_MAX, FRAME_MAX_UNSIGNED};

use crate::case::{case, cbor_send, hold, op};
use crate::peer::Heard::{self, Answer, Close, Refused};
use crate::peer::{BINARY, CONTINUE, FIN, TEXT, frame};

/// The message in fragments of so many bytes.
fn parts(opcode: u8, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let last = payload.len().div_ceil(size) - 1;
    let part = |(k, part): (usize, &[u8])| {
        let first = if k == 0 { opcode } else { CONTINUE };
        frame(if k == last { FIN | first } else { first }, part)
    };
    payload.chunks(size).enumerate().map(part).collect()
}

fn payload(opcode: u8, id: u64, size: usize) -> Vec<u8> {
    if opcode == TEXT { op(id, size) } else { cbor_send(id, size) }
}

fn answer(opcode: u8, id: u64) -> Heard {
    if opcode == TEXT { Answer(id) } else { Refused(id) }
}

#[tokio::test]
async fn messages_up_to_96_kib_in_any_pieces() {
    let mut cases = Vec::new();
    for (opcode, section) in [(TEXT, "9.1"), (BINARY, "9.2")] {
        let case = |id: &str, what: &str, writes, hears| {
            let case = case(id, what, writes, hears);
            if opcode == TEXT { case } else { case.cbor() }
        };
        for size in [64 * 1024, FRAME_MAX - 1, FRAME_MAX] {
            let writes = vec![frame(FIN | opcode, &payload(opcode, 1, size))];
            let what = format!("{size} bytes");
            cases.push(case(&format!("{section}.1"), &what, writes, vec![answer(opcode, 1)]));
        }
        let over = vec![frame(FIN | opcode, &payload(opcode, 1, FRAME_MAX + 1))];
        cases.push(case(&format!("{section}.2"), "one byte more", over, vec![Close(1009)]));
        // Only the header: it is not waited for what it declares.
        let header = frame(FIN | opcode, &vec![0; FRAME_MAX + 1])[..10].to_vec();
        cases.push(case(&format!("{section}.2"), "its header", vec![header], vec![Close(1009)]));
        let section = if opcode == TEXT { "9.3" } else { "9.4" };
        let most = FRAME_MAX.div_ceil(FRAGMENTS_MAX);
        for (k, size) in [most, 16 * 1024, 64 * 1024, FRAME_MAX].into_iter().enumerate() {
            let writes = parts(opcode, &payload(opcode, 1, FRAME_MAX), size);
            let (id, what) = (format!("{section}.{}", k + 1), format!("fragments of {size}"));
            cases.push(case(&id, &what, writes, vec![answer(opcode, 1)]));
        }
        let writes = parts(opcode, &payload(opcode, 1, 17 * 64), 64);
        cases.push(case(section, "17 fragments", writes, vec![Close(1009)]));
        let writes = parts(opcode, &payload(opcode, 1, FRAME_MAX + 1), 48 * 1024);
        cases.push(case(section, "together one byte more", writes, vec![Close(1009)]));
        let section = if opcode == TEXT { "9.5" } else { "9.6" };
        for (k, chop) in [64, 128, 256, 512, 1024, 2048].into_iter().enumerate() {
            let writes = vec![frame(FIN | opcode, &payload(opcode, 1, FRAME_MAX))];
            let (id, what) = (format!("{section}.{}", k + 1), format!("96 KiB in chops of {chop}"));
            cases.push(case(&id, &what, writes, vec![answer(opcode, 1)]).chopped(chop));
        }
    }
    hold(cases).await;
}

#[tokio::test]
async fn a_hundred_messages_of_a_size() {
    let mut cases = Vec::new();
    for (k, size) in (1..).zip([100, 128, 512, 1024, 4096]) {
        for (opcode, section) in [(TEXT, "9.7"), (BINARY, "9.8")] {
            let one = |id| frame(FIN | opcode, &payload(opcode, id, size));
            let writes = vec![(100..200).flat_map(one).collect()];
            let hears = (100..200).map(|id| answer(opcode, id)).collect();
            let case = case(&format!("{section}.{k}"), &format!("{size} bytes"), writes, hears);
            cases.push(if opcode == TEXT { case } else { case.cbor() });
        }
    }
    hold(cases).await;
}

#[tokio::test]
async fn before_hello() {
    let text = |payload: &[u8]| vec![frame(FIN | TEXT, payload)];
    let most = FRAME_MAX_UNSIGNED;
    hold(vec![
        case("-", "an operation", text(&op(1, 0)), vec![Close(4401)]).unsigned(),
        case("-", "no JSON", text(b"{"), vec![Close(4401)]).unsigned(),
        case("-", "4 KiB", text(&op(1, most)), vec![Close(4401)]).unsigned(),
        case("-", "one byte more", text(&op(1, most + 1)), vec![Close(1009)]).unsigned(),
        case("-", "in fragments", parts(TEXT, &op(1, most + 1), most), vec![Close(1009)])
            .unsigned(),
        case("-", "17 fragments", parts(TEXT, &op(1, 17 * 64), 64), vec![Close(1009)]).unsigned(),
        case(
            "-",
            "bytes where JSON was chosen",
            vec![frame(FIN | BINARY, b"{}")],
            vec![Close(4401)],
        )
        .unsigned(),
        case("-", "no UTF-8", text(b"\xff"), vec![Close(1007)]).unsigned(),
        case("-", "a reserved bit", vec![vec![0xc1]], vec![Close(1002)]).unsigned(),
        case("-", "no mask", vec![vec![0x81, 0x01, b'x']], vec![Close(1002)]).unsigned(),
    ])
    .await;
}
