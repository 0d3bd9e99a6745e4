//! The queue store over Redis: what waits for devices outlives a server, and no disk sees it.
//!
//! Redis holds messages in memory only, for as long as no device has taken them. What it is asked
//! for goes through a library of functions (`redis/lua/`), each of which touches the keys of one
//! device or user, and names the generation that the caller believes in.
#![deny(missing_docs)]

mod admissions;
mod bus;
mod check;
mod codec;
mod error;
mod keeper;
mod library;
mod link;
mod primary;
mod queue;
mod sentinel;
mod settings;
mod shared;
mod state;
#[cfg(test)]
mod testing;
mod tokens;
mod value;
mod words;

pub use admissions::RedisAdmissions;
pub use bus::RedisBus;
pub use check::Finding;
pub use error::OpenError;
pub use link::Link;
pub use queue::RedisQueue;
pub use settings::Settings;
pub use state::{Facts, Room, State};
