//! Bytes as a sequence of small decisions. Past the end every decision is 0, so that any input is
//! a script, and cutting one short never makes it meaningless.

/// What is left of a script.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    /// A number below `n`, which is at most 256.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// At most `n` of the bytes that come next.
    pub(crate) fn take(&mut self, n: usize) -> &'a [u8] {
        let (head, rest) = self.rest.split_at(n.min(self.rest.len()));
        self.rest = rest;
        head
    }

    /// Changes up to 7 bytes of `bytes`, or its length, as the script says. Gives whether anything
    /// is other than before.
    pub(crate) fn damage(&mut self, bytes: &mut Vec<u8>) -> bool {
        let before = bytes.clone();
        let how = self.byte();
        for _ in 0..how & 7 {
            let (at, with) = (usize::from(self.u16()), self.byte());
            let len = bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at % len) {
                *byte ^= with;
            }
        }
        match how >> 3 {
            1 => drop(bytes.pop()),
            2 => bytes.push(self.byte()),
            3 => bytes.truncate(usize::from(self.u16())),
            _ => {}
        }
        *bytes != before
    }
}
