//! Bytes that are erased when dropped and never printed.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::random::{Random, RandomError};

/// `N` secret bytes. `Debug` prints `Secret(..)`; equality takes constant time.
#[derive(Clone)]
pub(crate) struct Secret<const N: usize>(Zeroizing<[u8; N]>);

impl<const N: usize> Secret<N> {
    pub(crate) fn new(bytes: [u8; N]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn zero() -> Self {
        Self::new([0; N])
    }

    pub(crate) fn random(random: &mut dyn Random) -> Result<Self, RandomError> {
        let mut out = Self::zero();
        random.fill(&mut *out.0)?;
        Ok(out)
    }

    pub(crate) fn get(&self) -> &[u8; N] {
        &self.0
    }

    pub(crate) fn get_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
