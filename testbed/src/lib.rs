//! Real processes for tests: PostgreSQL, Redis, servers and a balancer on loopback ports of their own,
//! with data folders of their own. Whoever drops one stops it; whoever is killed leaves
//! it running.
//!
//! Nothing here is linked into a server or a client. A program that is missing is named, with the
//! command that installs it.
#![deny(missing_docs)]

mod clock;
mod cluster;
pub mod node;
pub mod port;
mod postgres;
mod process;
mod redis;
mod sentinel;

pub use clock::MovedClock;
pub use cluster::Cluster;
pub use node::Node;
pub use postgres::Postgres;
pub use process::Process;
pub use redis::Redis;
pub use rustix::process::Signal;
pub use sentinel::Sentinel;
