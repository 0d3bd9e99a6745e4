//! Where randomness comes from: the caller. Nothing in this crate asks the operating system.

/// The source gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes")]
pub struct RandomError;

/// A source of uniformly random bytes. Closures `FnMut(&mut [u8]) -> Result<(), RandomError>` are
/// sources.
pub trait Random {
    /// Fills `out`, whole, with random bytes.
    ///
    /// # Errors
    /// If the source has none; `out` is then not used.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError>;
}

impl<F: FnMut(&mut [u8]) -> Result<(), RandomError>> Random for F {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        self(out)
    }
}
