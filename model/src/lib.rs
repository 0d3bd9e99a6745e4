//! Delivery as a model: two nodes, one queue store, devices with durable outbox and store, and
//! everything that can go wrong between them (DELIVERY, "Proof").
//!
//! What is checked is what runs: the engine's own `Ledger`, `Channel`, `Lane`, `Custody`, `Admit`
//! and `Path`. This crate is the glue between them (what the actors do), the world around them,
//! and the rules that must hold in every state. `README.md` says how to read it.
#![deny(missing_docs)]

pub mod bug;
pub mod config;
mod device;
mod flight;
mod ids;
pub mod letters;
mod node;
pub mod rules;
mod settle;
mod store;
mod wire;
pub mod world;

pub use bug::Bug;
pub use config::{Config, Faults};
pub use world::{Action, World};
