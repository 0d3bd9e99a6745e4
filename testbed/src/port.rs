//! Free ports.

use std::net::TcpListener;

/// A loopback port that nobody listened on just now.
///
/// # Panics
/// If the system has none left.
#[expect(clippy::expect_used, reason = "a test cannot go on without a port")]
#[must_use]
pub fn free() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free loopback port");
    listener.local_addr().expect("a bound socket has an address").port()
}
