//! Contact requests (CRYPTO 9): who asks, from which point of the log, for which username.

use hushwire_wire::layout::{LayoutError, Reader, Writer};
use hushwire_wire::{RequestId, UserId};

use crate::handle::Handle;
use crate::hash::{Label, hash};
use crate::point::LogPoint;

/// `u8 ver=1 | from log_id/seq/head | b32 to or 0 | v8 handle | b16 nonce | u64 time_ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactRequest {
    /// Who asks, with the newest point of the own log.
    pub from: LogPoint,
    /// Whom, if a contact link named the log.
    pub to: Option<UserId>,
    /// The username that is asked for.
    pub handle: Handle,
    /// 16 random bytes, so that two requests never share an id.
    pub nonce: [u8; 16],
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
}

impl ContactRequest {
    /// The largest size in bytes.
    pub const MAX: usize = 1 + LogPoint::LEN + 32 + 33 + 16 + 8;

    /// Reads a request.
    ///
    /// # Errors
    /// For another version, a username that breaks the rule, short or trailing bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, LayoutError> {
        let mut r = Reader::new(bytes);
        if r.u8("request.ver")? != 1 {
            return Err(LayoutError::new("request.ver", "1"));
        }
        let from = LogPoint::read(&mut r, "request.from")?;
        let to = UserId(r.array("request.to")?);
        let handle = Handle::from_bytes(r.v8("request.handle")?)
            .map_err(|_| LayoutError::new("request.handle", "3-32 of a-z 0-9 _ ."))?;
        let nonce = r.array("request.nonce")?;
        let time_ms = r.u64("request.time")?;
        r.finish("request")?;
        Ok(Self { from, to: (!to.is_zero()).then_some(to), handle, nonce, time_ms })
    }

    /// The bytes that are hashed and sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(Self::MAX);
        w.u8(1);
        self.from.write(&mut w);
        w.raw(self.to.unwrap_or(UserId::ZERO).as_bytes());
        w.v8(self.handle.as_str().as_bytes()).raw(&self.nonce).u64(self.time_ms);
        w.finish()
    }

    /// `H(hw1/request, bytes)`.
    #[must_use]
    pub fn id(&self) -> RequestId {
        RequestId(hash(Label::Request, &[&self.to_bytes()]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::point::Head;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read_back(
            user: [u8; 32], seq: u32, head: [u8; 32], to: Option<[u8; 32]>,
            handle in "[a-z0-9_.]{3,32}", nonce: [u8; 16], time_ms: u64,
        ) {
            let request = ContactRequest {
                from: LogPoint { user: UserId(user), seq, head: Head(head) },
                to: to.map(UserId).filter(|to| !to.is_zero()),
                handle: Handle::parse(&handle).unwrap(),
                nonce,
                time_ms,
            };
            let bytes = request.to_bytes();
            prop_assert!(bytes.len() <= ContactRequest::MAX);
            prop_assert_eq!(ContactRequest::parse(&bytes), Ok(request.clone()));
            let mut longer = bytes.clone();
            longer.push(0);
            prop_assert!(ContactRequest::parse(&longer).is_err());
            prop_assert!(ContactRequest::parse(&bytes[..bytes.len() - 1]).is_err());
            let mut other = request;
            other.nonce[0] ^= 1;
            prop_assert_ne!(RequestId(hash(Label::Request, &[&bytes])), other.id());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(request) = ContactRequest::parse(&bytes) {
                prop_assert_eq!(request.to_bytes(), bytes);
            }
        }
    }
}
