//! Lines of the standard input when it is no terminal.

use std::io::{self, BufRead, BufReader, Read as _};

use tokio::sync::mpsc;

use super::Typed;

/// Lines that wait, at most; past it the reader waits.
const LINES_MAX: usize = 64;
/// A line has so many bytes, at most: more than any message.
const LINE_MAX: u64 = 128 * 1024;

/// Reads the standard input on a thread of its own: a read that blocks must not hold up the end.
pub(crate) fn stdin() -> mpsc::Receiver<Typed> {
    let (sender, lines) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        let mut input = BufReader::new(io::stdin());
        loop {
            let typed = next(&mut input);
            let is_end = matches!(typed, Typed::End | Typed::Broken(_));
            if sender.blocking_send(typed).is_err() || is_end {
                return;
            }
        }
    });
    lines
}

fn next(input: &mut impl BufRead) -> Typed {
    let mut bytes = Vec::new();
    match input.by_ref().take(LINE_MAX).read_until(b'\n', &mut bytes) {
        Ok(0) => return Typed::End,
        Ok(_) => {}
        Err(error) => return Typed::Broken(error),
    }
    if !bytes.ends_with(b"\n") && bytes.len() >= usize::try_from(LINE_MAX).unwrap_or(usize::MAX) {
        return match skip(input) {
            Ok(()) => Typed::Refused("the line is too long"),
            Err(error) => Typed::Broken(error),
        };
    }
    while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        bytes.pop();
    }
    String::from_utf8(bytes).map_or(Typed::Refused("the line is not UTF-8"), Typed::Line)
}

/// Leaves out the rest of a line.
fn skip(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let (used, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), false),
        };
        input.consume(used);
        if is_end {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_one_by_one_and_bad_ones_are_told() {
        let mut text = b"one\n\ntwo\r\n\xff\n".to_vec();
        text.extend(vec![b'x'; 300_000]);
        text.extend(b"\nlast");
        let mut input = BufReader::with_capacity(100, text.as_slice());
        let mut seen = Vec::new();
        loop {
            match next(&mut input) {
                Typed::Line(line) => seen.push(line),
                Typed::Refused(why) => seen.push(format!("! {why}")),
                Typed::End => break,
                Typed::Broken(error) => unreachable!("{error}"),
                Typed::Interrupted | Typed::Typing => unreachable!(),
            }
        }
        let wanted =
            ["one", "", "two", "! the line is not UTF-8", "! the line is too long", "last"];
        assert_eq!(seen, wanted);
    }
}
