//! The Rust SDK of Hushwire: everything between a program and the wire.
//!
//! It owns one device: the encrypted store, the keys, the outbox that sends until it is accepted
//! and keeps until it is delivered, the inbox that shows everything once and in order, and the
//! connection that comes back. It believes no server: domain, signatures, logs, epochs and
//! numbering are checked here again.
//!
//! ```no_run
//! use std::sync::Arc;
//! use hushwire_client::{Device, Event, NetTransport, Outside, StoreKey};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let server = "https://chat.example.org";
//! let outside = Outside::new(Arc::new(NetTransport::new(server)?));
//! let mut device = Device::open("alice.db".as_ref(), &StoreKey::File("alice.key".into()))?;
//! device.register(&outside, server, "alice").await?;
//! let (client, mut events) = device.start(outside)?;
//! client.contacts_add("bob").await?;
//! while let Some(event) = events.recv().await {
//!     match event {
//!         Event::ContactAccepted { handle, .. } => {
//!             client.send_text(&handle, "Hello!").await?;
//!         }
//!         Event::MessageReceived(message) => {
//!             println!("{}: {}", message.from, message.text);
//!             client.mark_shown(&message).await?;
//!         }
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs)]

pub mod backoff;
pub mod client;
mod engine;
pub mod error;
pub mod event;
mod inbox;
pub mod key;
pub mod message;
pub mod outbox;
pub mod ports;
pub mod record;
pub mod said;
mod seal;
pub mod store;
pub mod transport;

pub use client::{
    Account, Act, Client, ContactCard, ContactTrouble, Device, Export, OutboxStatus, Outside,
    OwnDevice, Safety, SentBatch, ShownTo, UNCONFIRMED_AFTER_MS, Wishes,
};
pub use error::ClientError;
pub use event::{Event, Trouble};
pub use hushwire_e2ee::Zeroizing;
pub use hushwire_identity::{Code, ContactLink, Head, LogPoint, Suite, Suites, contact_link};
pub use hushwire_wire::http::ProblemCode;
pub use hushwire_wire::{DeviceId, Encoding, UserId};
pub use key::{KeyFileError, StoreKey};
pub use message::{Edit, Message, ProfileName, Reaction, Since, Stage};
pub use record::Standing;
pub use said::Id;
pub use seal::KdfCost;
pub use store::{OpenStoreError, StoreError};
pub use transport::{AddressError, NetTransport, Transport};
