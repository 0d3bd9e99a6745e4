//! Epochs, chains and messages of `hw1`: the secret half of the cryptography (CRYPTO 3 to 7).
//!
//! It owns device keys, prekey secrets, the keys of each epoch, and the sealing and opening of
//! messages. It does no I/O and knows no clock: time and randomness are handed in, and every
//! state has bytes for an encrypted store. Secrets are erased when dropped, and `Debug` hides
//! them. A failed opening changes nothing.
#![deny(missing_docs)]

pub mod content;
pub mod epoch;
pub mod file;
pub mod key;
pub mod message;
pub mod prekey;
pub mod random;
pub mod recovery;
mod report;
pub mod rotate;
mod seal;
mod secret;
pub mod state;

pub use content::{Body, Content, ContentError, ContentId, ReceiptKind};
pub use epoch::{
    AcceptError, Accepted, CreateError, Created, History, JUMP_MAX, NewEpoch, Offered, Party,
    Previous, create, open,
};
pub use key::DeviceKey;
pub use message::{OpenError, Opened, Received, SealError, SealedMessage};
pub use prekey::PrekeySecret;
pub use random::{Random, RandomError};
pub use recovery::{RecoveryKey, RecoveryWords, WordsError};
pub use state::EpochState;
pub use zeroize::Zeroizing;

#[cfg(test)]
extern crate self as hushwire_e2ee;
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;
#[cfg(test)]
mod insider;
#[cfg(test)]
mod model;
#[cfg(test)]
mod vectors;
