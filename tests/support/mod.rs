//! What the black-box tests share: a real server process on a port of its own with a folder of
//! its own, a raw HTTP client, a raw WebSocket, people with real keys, people with the SDK, and
//! adversaries from outside and inside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, unreachable_pub)]

pub mod authority;
pub mod devices;
pub mod evil;
pub mod forge;
pub mod http;
pub mod insider;
pub mod keeper;
pub mod person;
pub mod server;
pub mod socket;
pub mod stolen;
pub mod stores;
pub mod talker;
pub mod victim;

pub use http::Http;
#[allow(unused_imports, reason = "each test file uses its own part")]
pub use person::{Pair, Person};
pub use server::Server;
#[allow(unused_imports, reason = "each test file uses its own part")]
pub use socket::Socket;
