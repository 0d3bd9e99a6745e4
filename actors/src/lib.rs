//! The engine: who is connected, what moves, what fails.
//!
//! Protocol state is plain values without I/O, clock or actix ([`custody`], [`ledger`], [`admit`],
//! [`lane`], [`path`], [`session`], [`call`], [`presence`], [`pace`], [`rates`]): events in, effects out.
//! Actors have a life (`DeviceSession`, `UserSupervisor`, `RateLimiter`, `QueueActor`, `BusActor`,
//! `SignalingActor`, `PresenceActor`), tables are looked up (`directory`, `pairs`), functions
//! decide (`route`). Every queue states its bound where it is declared.
//!
//! It knows no database, no HTTP and no key: what it needs is declared in [`ports`].
#![deny(missing_docs)]

pub mod admissions;
pub mod admit;
pub mod aside;
pub mod bus;
pub mod call;
pub mod change;
pub mod custody;
mod directory;
mod drain;
pub mod engine;
pub mod envelope;
mod fault;
mod homes;
mod landings;
pub mod lane;
pub mod ledger;
pub mod limiter;
pub mod limits;
mod node;
pub mod pace;
mod pairs;
pub mod path;
mod places;
pub mod ports;
pub mod presence;
pub mod queue;
pub mod rates;
mod route;
#[cfg(test)]
mod scenarios;
pub mod session;
mod supervise;
#[cfg(test)]
mod testing;
mod user;

pub use change::Change;
pub use engine::{Counts, Engine, Readiness, SocketPermit};
pub use limits::Limits;
