//! What the engine asks for, over what this package has: the store, the clock, the system's
//! randomness, and the hash of `hushwire-identity`.

mod accounts;
mod clock;
mod digest;
mod random;
mod tries;

pub use accounts::StoreAccounts;
pub(crate) use accounts::sign_in;
pub use clock::SystemClock;
pub use digest::Blake2b;
pub use random::SystemRandom;
pub(crate) use tries::Tries;
