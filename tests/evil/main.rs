//! The evil server, and evil contacts: what they do to real clients is refused under the right
//! code, nothing false is shown, nothing is written, and what is honest still comes through.
//!
//! One file for each kind of lie. They go through the list of "Tests and checking" in
//! `docs/CRYPTO.md`; each test names its numbers:
//!
//! | file | numbers |
//! | --- | --- |
//! | `epochs` | 1 to 5, 10, 13, 14 |
//! | `logs` | 5, 6, 7 |
//! | `prekeys` | 9, 10 |
//! | `forks` | 11, 12 |
//! | `messages` | 13 to 16, 27, 33 |
//! | `quantum` | 22 |
//! | `signatures` | 24, 25 |
//! | `floods` | 26 |
//! | `edits` | 27 |
//! | `late` | 32 |
//! | `erasure` | 34 |
//!
//! 35 stands in `tests/vectors`.
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
