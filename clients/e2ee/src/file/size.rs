//! The sizes of a file: what is hidden of them, and which class they make.

use hushwire_wire::message::Class;

/// Bytes of padded plaintext in a chunk; the last one may have fewer.
pub const CHUNK: usize = 65_536;
/// Bytes of ciphertext in a whole chunk: 17 more.
pub const CT_CHUNK: usize = CHUNK + OVERHEAD;
/// The largest small file in bytes: class 4.
pub const SMALL_MAX: u64 = 1 << 20;
/// The largest medium file in bytes: class 5.
pub const MEDIUM_MAX: u64 = 16 << 20;
/// The largest file in bytes: class 6.
pub const LARGE_MAX: u64 = 100 << 20;

/// What a chunk adds: the stream's tag and the authenticator.
const OVERHEAD: usize = 17;

/// The class of a file of `size` bytes; `None` past 100 MiB.
#[must_use]
pub const fn class_of(size: u64) -> Option<Class> {
    if size <= SMALL_MAX {
        Some(Class::FileSmall)
    } else if size <= MEDIUM_MAX {
        Some(Class::FileMedium)
    } else if size <= LARGE_MAX {
        Some(Class::FileLarge)
    } else {
        None
    }
}

/// PADME: the size to which `size` bytes are filled up, at most 12 percent more. Its last
/// `E - S` bits are zero, where `E` is the exponent of `size` and `S` the number of bits that `E`
/// takes, so that a size tells `O(log log size)` bits.
#[must_use]
pub const fn padme(size: u64) -> u64 {
    if size < 2 {
        return size;
    }
    let exponent = size.ilog2();
    let bits = exponent.ilog2() + 1;
    let mask = (1_u64 << (exponent - bits)) - 1;
    match size.checked_add(mask) {
        Some(sum) => sum & !mask,
        None => u64::MAX,
    }
}

/// The size of the ciphertext of a file of `size` bytes; `None` past 100 MiB.
#[must_use]
pub const fn ct_size(size: u64) -> Option<u64> {
    if size > LARGE_MAX {
        return None;
    }
    Some(padme(size) + chunks(size) * OVERHEAD as u64)
}

/// The number of chunks: at least one.
pub(super) const fn chunks(size: u64) -> u64 {
    let whole = padme(size).div_ceil(CHUNK as u64);
    if whole == 0 { 1 } else { whole }
}

/// The plaintext bytes of chunk `at`, padding included.
pub(super) fn chunk_len(size: u64, at: u64) -> usize {
    let before = at.saturating_mul(CHUNK as u64);
    usize::try_from(padme(size).saturating_sub(before)).unwrap_or(CHUNK).min(CHUNK)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn padding_is_little_and_hides_the_low_bits(size in 0..=LARGE_MAX) {
            let padded = padme(size);
            prop_assert!(padded >= size && padded - size <= size / 8);
            prop_assert_eq!(padme(padded), padded, "a padded size stays");
            let total: u64 =
                (0..chunks(size)).map(|at| chunk_len(size, at) as u64 + OVERHEAD as u64).sum();
            prop_assert_eq!(Some(total), ct_size(size));
        }

        #[test]
        fn padding_never_panics(size: u64) {
            let _ = (padme(size), ct_size(size), class_of(size));
        }
    }

    #[test]
    fn the_sizes_of_padme() {
        // From the definition in "Reducing Metadata Leakage from Encrypted Files and
        // Communication with PURBs" (2019).
        for (size, padded) in
            [(0, 0), (1, 1), (2, 2), (9, 10), (100, 104), (1_000, 1_024), (65_537, 67_584)]
        {
            assert_eq!(padme(size), padded, "{size}");
        }
        for size in [SMALL_MAX, MEDIUM_MAX, LARGE_MAX] {
            assert_eq!(padme(size), size, "no class needs padding at its bound");
        }
    }

    #[test]
    fn classes_and_ciphertexts_have_their_bounds() {
        assert_eq!(class_of(0), Some(Class::FileSmall));
        assert_eq!(class_of(SMALL_MAX), Some(Class::FileSmall));
        assert_eq!(class_of(SMALL_MAX + 1), Some(Class::FileMedium));
        assert_eq!(class_of(MEDIUM_MAX), Some(Class::FileMedium));
        assert_eq!(class_of(MEDIUM_MAX + 1), Some(Class::FileLarge));
        assert_eq!(class_of(LARGE_MAX), Some(Class::FileLarge));
        assert_eq!(class_of(LARGE_MAX + 1), None);
        assert_eq!(ct_size(0), Some(17), "one empty chunk");
        assert_eq!(ct_size(65_536), Some(65_536 + 17), "one whole chunk, and no empty one after");
        assert_eq!(ct_size(LARGE_MAX), Some(LARGE_MAX + 1_600 * 17));
        assert_eq!(ct_size(LARGE_MAX + 1), None);
    }
}
