//! Fuzzes a running server: many connections at once, each from its own dice, before and after
//! sign-in, while two real devices talk beside them.
//!
//! What must hold: the process lives and nothing in it panics; it answers rows of the closed
//! tables and never that it failed; connections end when their other side has; memory and file
//! descriptors come back; the two who talk lose nothing and wait no longer than a bound. A
//! connection is made from the seed and its number alone, so that a finding can be played again.
//! Linked into nothing but its own program and a test.
#![deny(missing_docs)]

mod bystander;
mod connection;
mod dice;
mod finding;
mod frames;
mod heads;
mod http;
mod mutate;
mod oracle;
mod process;
mod report;
mod run;
mod script;
mod world;
mod ws;

pub use finding::{Finding, replay};
pub use report::Report;
pub use run::{Plan, run};
