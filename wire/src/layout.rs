//! Fixed big-endian layouts (CRYPTO 2): a reader that refuses what is short or left over, and a
//! writer. No JSON or CBOR is ever hashed or signed, only these.

/// What was wrong with a layout. It says where and what was expected, never what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}")]
pub struct LayoutError {
    /// The field at which reading stopped.
    pub field: &'static str,
    /// What should have stood there.
    pub expected: &'static str,
}

impl LayoutError {
    /// An error at `field`, where `expected` should have stood.
    #[must_use]
    pub const fn new(field: &'static str, expected: &'static str) -> Self {
        Self { field, expected }
    }
}

/// Reads fixed layouts from a slice. Every method names the field, for the error.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes not yet read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// `n` raw bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn take(&mut self, n: usize, field: &'static str) -> Result<&'a [u8], LayoutError> {
        let (head, rest) =
            self.rest.split_at_checked(n).ok_or(LayoutError::new(field, "more bytes"))?;
        self.rest = rest;
        Ok(head)
    }

    /// `N` raw bytes, `bN`.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], LayoutError> {
        let (head, rest) =
            self.rest.split_first_chunk::<N>().ok_or(LayoutError::new(field, "more bytes"))?;
        self.rest = rest;
        Ok(*head)
    }

    /// `u8`.
    ///
    /// # Errors
    /// If no byte is left.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, LayoutError> {
        self.array::<1>(field).map(|[b]| b)
    }

    /// `u16`.
    ///
    /// # Errors
    /// If fewer than 2 bytes are left.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, LayoutError> {
        self.array(field).map(u16::from_be_bytes)
    }

    /// `u32`.
    ///
    /// # Errors
    /// If fewer than 4 bytes are left.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, LayoutError> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// `u64`.
    ///
    /// # Errors
    /// If fewer than 8 bytes are left.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, LayoutError> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// `v8`: a length byte and so many bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn v8(&mut self, field: &'static str) -> Result<&'a [u8], LayoutError> {
        let n = self.u8(field)?;
        self.take(n.into(), field)
    }

    /// `v16`: a length of 2 bytes and so many bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn v16(&mut self, field: &'static str) -> Result<&'a [u8], LayoutError> {
        let n = self.u16(field)?;
        self.take(n.into(), field)
    }

    /// `v32`: a length of 4 bytes and so many bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn v32(&mut self, field: &'static str) -> Result<&'a [u8], LayoutError> {
        let n = self.u32(field)?;
        let n = usize::try_from(n).map_err(|_| LayoutError::new(field, "more bytes"))?;
        self.take(n, field)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// If bytes are left over.
    pub const fn finish(self, field: &'static str) -> Result<(), LayoutError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(LayoutError::new(field, "no trailing bytes"))
        }
    }
}

/// Writes fixed layouts. Lengths that do not fit their prefix are the caller's error: see
/// [`Writer::v8`].
#[derive(Clone, Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Starts empty, with room for `n` bytes.
    #[must_use]
    pub fn with_capacity(n: usize) -> Self {
        Self { out: Vec::with_capacity(n) }
    }

    /// `u8`.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.out.push(value);
        self
    }

    /// `u16`.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// `u32`.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// `u64`.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Raw bytes, `bN`.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// `v8`. Bytes past 255 are cut off, so callers check the length first.
    pub fn v8(&mut self, bytes: &[u8]) -> &mut Self {
        let n = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
        self.u8(n).raw(&bytes[..n.into()])
    }

    /// `v16`. Bytes past 65,535 are cut off, so callers check the length first.
    pub fn v16(&mut self, bytes: &[u8]) -> &mut Self {
        let n = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(n).raw(&bytes[..n.into()])
    }

    /// `v32`. No layout of ours is near 4 GiB.
    pub fn v32(&mut self, bytes: &[u8]) -> &mut Self {
        let n = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.u32(n).raw(bytes)
    }

    /// The bytes written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut w = Writer::default();
        w.u8(1).u16(2).u32(3).u64(4).v8(b"five").v16(b"six").v32(b"seven").raw(&[8; 3]);
        let bytes = w.finish();
        let mut r = Reader::new(&bytes);
        assert_eq!(r.u8("a"), Ok(1));
        assert_eq!(r.u16("b"), Ok(2));
        assert_eq!(r.u32("c"), Ok(3));
        assert_eq!(r.u64("d"), Ok(4));
        assert_eq!(r.v8("e"), Ok(&b"five"[..]));
        assert_eq!(r.v16("f"), Ok(&b"six"[..]));
        assert_eq!(r.v32("g"), Ok(&b"seven"[..]));
        assert_eq!(r.array::<3>("h"), Ok([8; 3]));
        assert_eq!(r.finish("end"), Ok(()));
    }

    #[test]
    fn short_and_left_over_bytes_are_refused() {
        let mut r = Reader::new(&[0, 0, 0, 9, 1]);
        assert_eq!(r.v32("body"), Err(LayoutError::new("body", "more bytes")));
        assert_eq!(
            Reader::new(&[0]).finish("end"),
            Err(LayoutError::new("end", "no trailing bytes"))
        );
    }
}
