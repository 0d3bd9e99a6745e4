//! A connection that has not signed in: another type, with which nothing is possible but `hello`
//! (DELIVERY, "Signing in").
//!
//! A plain value. Everything else, and everything malformed, ends it with 4401.

use hushwire_wire::frame::{Challenge, ClientOp, Hello};
use hushwire_wire::limits::{CLIENT_NAME_MAX, FEATURES_MAX, FRAME_MAX};
use hushwire_wire::{Close, Encoding, Nonce};

/// A connection before its `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Greeting {
    nonce: Nonce,
    encoding: Encoding,
}

/// What a `hello` leads to: the frame's id, the `hello`, the nonce it must have signed.
pub type Greeted = (Option<u64>, Box<Hello>, Nonce);

impl Greeting {
    /// A connection that is challenged with `nonce`, which is used for nothing else.
    #[must_use]
    pub const fn new(nonce: Nonce, encoding: Encoding) -> Self {
        Self { nonce, encoding }
    }

    /// The first frame of the server.
    #[must_use]
    pub fn challenge(&self, domain: &str, now_ms: u64) -> Challenge {
        Challenge {
            nonce: self.nonce,
            domain: domain.to_owned(),
            frame_max: FRAME_MAX as u64,
            server_time: now_ms,
        }
    }

    /// The first frame of the client.
    ///
    /// # Errors
    /// [`Close::NotAuthenticated`] for anything but a well-formed `hello`.
    pub fn frame(&self, bytes: &[u8]) -> Result<Greeted, Close> {
        let refused = Close::NotAuthenticated;
        let frame = self.encoding.decode_client(bytes).map_err(|_| refused)?;
        let ClientOp::Hello(hello) = frame.op else { return Err(refused) };
        let short = |text: &String| text.len() <= CLIENT_NAME_MAX;
        let fits = short(&hello.client)
            && hello.features.len() <= FEATURES_MAX
            && hello.features.iter().all(short);
        if fits { Ok((frame.id, Box::new(hello), self.nonce)) } else { Err(refused) }
    }
}

#[cfg(test)]
mod tests {
    use hushwire_wire::frame::ClientFrame;
    use hushwire_wire::{DeviceId, Sealed, UserId};

    use super::*;

    fn hello(client: String, features: usize) -> ClientFrame {
        let op = ClientOp::Hello(Hello {
            user: UserId([1; 32]),
            device: DeviceId([2; 16]),
            signature: Sealed::new(vec![0; 64]),
            r#gen: None,
            client,
            features: vec![String::new(); features],
        });
        ClientFrame { id: Some(1), op }
    }

    #[test]
    fn nothing_but_hello_is_possible() {
        for encoding in Encoding::ALL {
            let greeting = Greeting::new(Nonce([9; 32]), encoding);
            let frame = |frame: &ClientFrame| greeting.frame(&encoding.encode_client(frame));
            let (id, _, nonce) = frame(&hello("x".repeat(64), 16)).unwrap();
            assert_eq!((id, nonce), (Some(1), Nonce([9; 32])));
            for refused in [
                hello("x".repeat(65), 0),
                hello(String::new(), 17),
                ClientFrame { id: None, op: ClientOp::Ping {} },
                ClientFrame { id: None, op: ClientOp::Sync {} },
            ] {
                assert_eq!(frame(&refused), Err(Close::NotAuthenticated));
            }
            assert_eq!(greeting.frame(b"garbage"), Err(Close::NotAuthenticated));
        }
    }
}
