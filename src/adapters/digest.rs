//! The engine's hash: BLAKE2b-256, the server's only one.

use hushwire_actors::ports::Digest;
use hushwire_identity::hash::{Label, hash};

/// BLAKE2b-256 of the bytes, apart from every hash that clients compute.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blake2b;

/// No message's header begins so: its first byte is its version.
const APART: &[u8] = b"server digest";

impl Digest for Blake2b {
    fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        hash(Label::Env, &[APART, bytes])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_function_of_the_bytes_and_not_a_clients_hash() {
        assert_eq!(Blake2b.digest(b"a"), Blake2b.digest(b"a"));
        assert_ne!(Blake2b.digest(b"a"), Blake2b.digest(b"b"));
        assert_ne!(Blake2b.digest(b"a"), hash(Label::Env, &[b"a"]));
    }
}
