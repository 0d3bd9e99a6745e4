//! Real processes for tests: PostgreSQL and Redis on loopback ports of their own, with data
//! folders of their own. Whoever drops one stops it; whoever dies takes it along.
//!
//! Nothing here is linked into a server or a client. A program that is missing is named, with the
//! command that installs it.
#![deny(missing_docs)]

mod port;
mod postgres;
mod process;
mod redis;

pub use postgres::Postgres;
pub use process::Process;
pub use redis::Redis;
pub use rustix::process::Signal;
