//! The evil server, and evil contacts: what they do to real clients is refused under the right
//! code, nothing false is shown, nothing is written, and what is honest still comes through.
//!
//! One file for each kind of lie. The list that they go through is "Tests and checking" in
//! `docs/CRYPTO.md`; each test names its numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod doors;
mod edits;
mod epochs;
mod erasure;
mod floods;
mod forks;
mod late;
mod logs;
mod messages;
mod prekeys;
mod quantum;
mod scene;
mod signatures;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
