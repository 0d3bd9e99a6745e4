//! Groups of five digits: how hashes are shown to people who compare or type them (CRYPTO 8, 9).

use std::fmt;

/// The first `5 * N` bytes of a hash as groups below 100,000.
pub(crate) fn groups<const N: usize>(hash: &[u8; 64]) -> [u32; N] {
    let mut groups = [0; N];
    for (group, bytes) in groups.iter_mut().zip(hash.as_chunks::<5>().0) {
        let [a, b, c, d, e] = *bytes;
        let value = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]) % 100_000;
        *group = u32::try_from(value).unwrap_or_default();
    }
    groups
}

/// The groups with single spaces between.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, groups: &[u32]) -> fmt::Result {
    for (i, group) in groups.iter().enumerate() {
        if i > 0 {
            f.write_str(" ")?;
        }
        write!(f, "{group:05}")?;
    }
    Ok(())
}
