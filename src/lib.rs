//! The Hushwire server: command line, settings, HTTP, and the wiring of one actix System.
//!
//! No business rule lives here. What moves is decided in `hushwire-actors`, what is durable in
//! `hushwire-schema`, what verifies in `hushwire-identity`; this package joins them and never
//! holds a key that opens anything.
#![deny(missing_docs)]

pub mod adapters;
mod audit;
pub mod cli;
mod http;
pub mod logging;
#[cfg(test)]
mod loopback;
mod process;
pub mod server;
pub mod settings;
mod socket;
mod stores;
mod tls;

pub use http::routes;
pub use server::{Server, StartError, StopHandle};
pub use settings::Settings;
