//! RFC 6455, case by case, against a real server process: our own cases, written from the RFC and
//! numbered as the Autobahn test suite numbers its own, so that the two can be compared.
//!
//! Hushwire is no echo server. Where Autobahn expects its message back, a case here sends an
//! operation whose answer carries its id: `ping` in JSON with white space up to the wanted size, or
//! one that is refused by its id. Where a message cannot mean anything (it is empty, say), the
//! case expects the close that follows from that. After every case that does not end the
//! connection, a ping shows that nothing else was said.
//!
//! | file | sections |
//! | --- | --- |
//! | `framing` | 1 framing, 2 pings and pongs, 3 reserved bits, 4 opcodes |
//! | `fragments` | 5 fragmentation |
//! | `text` | 6 UTF-8 |
//! | `closing` | 7 close handling, and how long it takes |
//! | `limits` | 9 limits, within our bounds; and what holds before `hello` |
//!
//! Not here: 8 is not in the suite, 10 is one case of 9, 12 and 13 are compression, which is not
//! offered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod case;
mod closing;
mod fragments;
mod framing;
mod limits;
mod peer;
mod text;
