//! What is durable: accounts, contacts, epochs. Tables, migrations and queries.
//!
//! [`Store`] is the one way in, with typed acts and typed refusals; [`SqliteStore`] implements it
//! for the embedded default, [`PostgresStore`] for several nodes, both by the same queries. What is
//! handed in was verified by the caller: this crate compares and sets, and never opens or judges a
//! signature. No message, sealed or not, has a table here.
#![deny(missing_docs)]
#![expect(
    clippy::duplicate_mod,
    reason = "the queries are written once, and compiled for each kind of connection"
)]

mod account;
mod catalogue;
mod change;
#[cfg(test)]
mod conformance;
mod contact;
mod ending;
mod entry;
mod epoch;
mod failure;
mod migrations;
mod postgres;
mod sqlite;
mod store;

pub use account::{
    DomainError, LoginKey, NewAccount, PrekeyRow, PutPrekeyError, ReadError, RegisterError,
    UnclaimedRow,
};
pub use catalogue::Column;
pub use change::{Acquaintance, CHANGES_KEPT, CHANGES_KEPT_MS, ChangeList, ChangeRow, Told};
pub use contact::{
    AcceptError, Asked, BLOCKED_MAX, BlockError, Blocked, CONTACTS_MAX, ContactList, ContactRow,
    NewRequest, RequestBounds, RequestError, Requested,
};
pub use ending::{Deleted, DeviceRow, EndedRow, Export, ExportedEpoch};
pub use entry::{AppendError, EntryAct, NewEntry};
pub use epoch::{
    ClaimError, EpochFound, EpochRow, NewEpoch, PairKeys, PairNow, PairStamp, PostEpochError,
    SideKeys, WrapRow,
};
pub use failure::Failure;
pub use migrations::MigrationState;
pub use postgres::{PostgresOpenError, PostgresSettings, PostgresStore};
pub use sqlite::{OpenError, SqliteStore};
pub use store::Store;
