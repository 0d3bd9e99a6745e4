//! What several nodes share, over Redis: the queue store, the bus, admission, generations.
//!
//! Redis holds messages in memory only, for as long as no device has taken them. What it is asked
//! for goes through a library of functions (`redis/lua/`), each of which touches the keys of one
//! device or user, and names the generation that the caller believes in.
#![deny(missing_docs)]

mod library;
mod link;
mod settings;
mod state;
#[cfg(test)]
mod testing;

pub use link::{Link, OpenError};
pub use settings::Settings;
pub use state::{Facts, Room, State};
