//! What crosses the network: frames, ids, codes, limits, and both codecs.
//!
//! Nothing here does I/O, knows a clock or holds a key. [`Sealed`] is how the server carries
//! what it cannot read; [`message`] is the open layout around it; [`frame`] is the WebSocket
//! protocol, [`http`] the bodies of the HTTP interface; [`layout`] reads and writes the fixed
//! layouts that are hashed and signed.
#![deny(missing_docs)]

pub(crate) mod bytes;
pub mod close;
pub mod codec;
pub mod deliver;
pub mod frame;
pub mod http;
pub mod ids;
pub mod layout;
pub mod limits;
pub mod message;
pub mod reject;
#[cfg(feature = "schema")]
mod schema;
mod sealed;

pub use bytes::{from_base64url, to_base64url};
pub use close::Close;
pub use codec::{DecodeError, Encoding};
pub use ids::{
    CallId, Conn, DeviceId, EntryHash, EpochId, Gen, Mid, NodeId, Nonce, RequestId, Token, UserId,
};
pub use layout::LayoutError;
pub use reject::{Reject, Rule};
pub use sealed::Sealed;
