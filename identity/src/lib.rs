//! Verify, hash, compare: the part of `hw1` that server and clients share.
//!
//! It owns the labelled hashes, the device log, prekey records, epoch headers, contact requests,
//! sign-in messages and safety numbers (CRYPTO 2 to 5 and 8 to 11), and the sealing half of the
//! single-use encryption. It keeps no secret key and opens nothing: the server links this crate
//! and no other cryptography. Nothing here does I/O or reads a clock.
#![deny(missing_docs)]

pub mod aead;
pub mod code;
pub mod device_code;
mod digits;
pub mod entry;
pub mod epoch;
pub mod handle;
pub mod hash;
pub mod link;
pub mod log;
pub mod login;
pub mod pin;
pub mod point;
pub mod post;
pub mod prekey;
pub mod qr;
pub mod report;
pub mod request;
pub mod safety;
pub mod suite;

pub use code::Code;
pub use device_code::DeviceCode;
pub use entry::{DeviceKind, Draft, Entry, Payload};
pub use epoch::{EpochHeader, Reason, Side, Slot};
pub use handle::{Handle, HandleError};
pub use link::{ContactLink, contact_link};
pub use log::{Device, DeviceLog, LogError};
pub use login::{LoginError, login_message, verify_login};
pub use pin::{Pin, PinError};
pub use point::{Head, LogPoint};
pub use post::{Current, PostError, Posting, check_post};
pub use prekey::{Prekey, PrekeyError, PrekeyRecord, day_of};
pub use qr::{QrCheck, QrPayload};
pub use report::{Delivery, Evidence, ReportError};
pub use request::ContactRequest;
pub use safety::{SafetyNumber, safety_number};
pub use suite::{Suite, Suites};
