//! `hush`, the terminal client of Hushwire: register, add contacts, compare safety numbers, chat.
//!
//! It owns the keyboard, the screen and the exit code. Keys, store, outbox and connection belong
//! to `hushwire-client`. Invariant: what other people wrote is escaped before it is printed, and
//! a message counts as shown only after it was printed and flushed.

use std::process::ExitCode;

mod account;
mod act;
mod chat;
mod cli;
mod contacts;
mod escape;
mod failure;
mod history;
mod home;
mod listen;
mod output;
mod parting;
mod presence;
mod progress;
mod register;
mod render;
mod send;
mod session;
mod span;
mod which;

fn main() -> ExitCode {
    cli::run()
}
