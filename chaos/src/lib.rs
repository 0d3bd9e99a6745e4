//! Breaks real servers, stores and networks under devices that talk, and counts what was lost.
//!
//! Real server processes over a real PostgreSQL and Redis with replicas and Sentinels; devices with the real
//! SDK behind a proxy that makes weather; faults by seed. What happened goes into a journal, and a
//! checker that knows nothing of the engine counts what was lost, duplicated, reordered and
//! falsely reported as delivered. In every run it must flag one injected fault of each kind.
//! Linked into nothing but its own program and a test.
#![deny(missing_docs)]

pub mod checker;
mod dice;
pub mod faults;
pub mod inject;
pub mod journal;
pub mod parts;
pub mod people;
pub mod proxy;
mod pump;
pub mod report;
mod run;
pub mod schedule;
pub mod tap;
pub mod watched;

pub use dice::Dice;
pub use report::Report;
pub use run::{Plan, drawn, run};
pub use schedule::Lane;
