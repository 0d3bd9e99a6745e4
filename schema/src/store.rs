//! The port to the database: every act on what is durable, one method each.
//!
//! An act either happens as a whole or not at all, and what was answered survives a power cut.
//! Every implementation passes the same conformance suite. Callers verify; a store compares.

use std::fmt;

use async_trait::async_trait;
use hushwire_wire::{DeviceId, EpochId, RequestId, UserId};

use crate::account::{
    DomainError, LoginKey, NewAccount, PrekeyRow, PutPrekeyError, ReadError, RegisterError,
    UnclaimedRow,
};
use crate::change::{Acquaintance, ChangeList, Told};
use crate::contact::{
    AcceptError, Asked, BlockError, Blocked, ContactList, NewRequest, RequestError, Requested,
};
use crate::ending::{Deleted, DeviceRow, Export, ExportedEpoch};
use crate::entry::{AppendError, NewEntry};
use crate::epoch::{
    ClaimError, EpochFound, NewEpoch, PairKeys, PairNow, PairStamp, PostEpochError,
};
use crate::failure::Failure;

/// Accounts, contacts and epochs.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// Stores the domain at the first start, and compares it at every later one: genesis entries
    /// and signatures name it, so it cannot change (DELIVERY, "Signing in").
    ///
    /// # Errors
    /// [`DomainError::Other`] if the database was made for another one.
    async fn settle_domain(&self, domain: &str) -> Result<(), DomainError>;

    /// Makes an account. A repeat of the same genesis entry is answered as the first.
    ///
    /// # Errors
    /// If the username is taken or some log knows the key.
    async fn register(&self, account: NewAccount) -> Result<(), RegisterError>;

    /// What a sign-in of this device is checked against; `None` for an unknown user, a device of
    /// somebody else, and a revoked one.
    ///
    /// # Errors
    /// If the store cannot answer.
    async fn login_key(&self, user: UserId, device: DeviceId) -> Result<Option<LoginKey>, Failure>;

    /// The entries of a log after number `after`, or all, in order, wire form. The log of
    /// oneself, of accepted contacts, and of somebody who waits for an answer of the reader.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] for everybody else.
    async fn log(
        &self,
        reader: UserId,
        user: UserId,
        after: Option<u32>,
    ) -> Result<Vec<Vec<u8>>, ReadError>;

    /// The current prekeys of a user's active devices, in the order of device ids, to the same
    /// readers as [`Self::log`].
    ///
    /// # Errors
    /// [`ReadError::NotFound`] for everybody else.
    async fn prekeys(&self, reader: UserId, user: UserId) -> Result<Vec<PrekeyRow>, ReadError>;

    /// Replaces a device's prekey by the next one and gives the record that it replaced. A repeat
    /// of the current one is no error and replaces nothing.
    ///
    /// # Errors
    /// If its id is not the current one plus 1, or the device is not an active one of `user`.
    async fn put_prekey(
        &self,
        user: UserId,
        prekey: PrekeyRow,
    ) -> Result<Option<Vec<u8>>, PutPrekeyError>;

    /// The wraps that wait for a device and are sealed to prekeys older than `prekey`, the oldest
    /// epoch first, at most `most`.
    ///
    /// # Errors
    /// If the store cannot answer.
    async fn unclaimed(
        &self,
        device: DeviceId,
        prekey: u32,
        most: usize,
    ) -> Result<Vec<UnclaimedRow>, Failure>;

    /// The accepted contacts of a user with their versions, those with the newest epochs first,
    /// at most `most`.
    ///
    /// # Errors
    /// If the store cannot answer.
    async fn acquainted(&self, user: UserId, most: usize) -> Result<Vec<Acquaintance>, Failure>;

    /// Appends the next entry to a log, does to devices, prekeys and wraps what it says, and tells
    /// the user and all contacts.
    ///
    /// # Errors
    /// If the log's newest entry is not the one that it follows, or some log knows its key.
    async fn append(&self, entry: NewEntry) -> Result<Vec<Told>, AppendError>;

    /// The changes of a user after version `after`, in order, at most `most`. Kept are the last
    /// [`crate::CHANGES_KEPT`] of at most 31 days.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] if there is no such user.
    async fn changes(&self, user: UserId, after: u64, most: usize)
    -> Result<ChangeList, ReadError>;

    /// All devices that a user ever had, in the order of their ids.
    ///
    /// # Errors
    /// If the store cannot answer.
    async fn devices(&self, user: UserId) -> Result<Vec<DeviceRow>, Failure>;

    /// Stores a contact request in the place of an earlier one of the same asker for the same
    /// username. Usernames that are known, unknown, or of somebody who blocks the asker cost the
    /// asker the same.
    ///
    /// # Errors
    /// If the asker has too many open, made too many today, or blocks whom it asks.
    async fn request(&self, request: NewRequest) -> Result<Requested, RequestError>;

    /// The user's contacts, whom it blocks, and the requests that wait for an answer.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] if there is no such user.
    async fn contacts(&self, user: UserId) -> Result<ContactList, ReadError>;

    /// The request that `answerer` is about to accept, or has accepted.
    ///
    /// # Errors
    /// If the store cannot answer.
    async fn asked(
        &self,
        answerer: UserId,
        request: RequestId,
        now_ms: u64,
    ) -> Result<Option<Asked>, Failure>;

    /// Makes the contact and its first epoch in one step, and drops the request.
    ///
    /// # Errors
    /// If the request is gone, or the pair is not as `stamp` says.
    async fn accept(
        &self,
        answerer: UserId,
        request: RequestId,
        stamp: PairStamp,
        epoch: NewEpoch,
    ) -> Result<Vec<Told>, AcceptError>;

    /// Takes a request that waits for this user off its list. The asker cannot tell: it counts
    /// against the asker as before. A request that is not there is no error.
    ///
    /// # Errors
    /// If the store cannot answer.
    async fn decline(
        &self,
        user: UserId,
        request: RequestId,
        now_ms: u64,
    ) -> Result<Option<Told>, Failure>;

    /// Ends a contact, and tells nobody but the user's own devices. Epochs and wraps of the pair
    /// go; the next epoch's number goes on. Who is no contact is no error.
    ///
    /// # Errors
    /// If the store cannot answer.
    async fn remove(
        &self,
        user: UserId,
        peer: UserId,
        now_ms: u64,
    ) -> Result<Option<Told>, Failure>;

    /// Ends a contact or a request, and lets no further request of `peer` reach the user. A repeat
    /// is no error.
    ///
    /// # Errors
    /// [`BlockError::NotFound`] for somebody who neither is or was a contact nor asks.
    async fn block(&self, user: UserId, peer: UserId, now_ms: u64) -> Result<Blocked, BlockError>;

    /// Lets `peer` ask again. It restores nothing. Who is not blocked is no error.
    ///
    /// # Errors
    /// If the store cannot answer.
    async fn unblock(
        &self,
        user: UserId,
        peer: UserId,
        now_ms: u64,
    ) -> Result<Option<Told>, Failure>;

    /// Deletes an account: all but its username and its keys, which never come again. All contacts
    /// end and are told. `None` if there is no such account (any more).
    ///
    /// # Errors
    /// If the store cannot answer.
    async fn delete_account(&self, user: UserId, now_ms: u64) -> Result<Option<Deleted>, Failure>;

    /// Everything that is held of an account but its epochs.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] if there is no such user.
    async fn export(&self, user: UserId) -> Result<Export, ReadError>;

    /// The epochs of a pair that are kept, in order: those of 61 days at most.
    ///
    /// # Errors
    /// If the store cannot answer.
    async fn pair_epochs(&self, user: UserId, peer: UserId) -> Result<Vec<ExportedEpoch>, Failure>;

    /// What the next epoch of the pair `user`, `peer` (equal for the self-pair) is checked
    /// against; `None` if they are no accepted contacts.
    ///
    /// # Errors
    /// If the store cannot answer.
    async fn pair_keys(
        &self,
        user: UserId,
        peer: UserId,
        now_ms: u64,
    ) -> Result<Option<PairKeys>, Failure>;

    /// Stores the next epoch of the pair that `stamp` names.
    ///
    /// # Errors
    /// If the pair is not as `stamp` says.
    async fn post_epoch(
        &self,
        stamp: PairStamp,
        epoch: NewEpoch,
    ) -> Result<Vec<Told>, PostEpochError>;

    /// An epoch of one of the user's pairs, with the device's wrap until it is claimed.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] for any other epoch.
    async fn epoch(
        &self,
        user: UserId,
        device: DeviceId,
        epoch: EpochId,
    ) -> Result<EpochFound, ReadError>;

    /// The device has persisted what its wrap held: deletes the wrap. A repeat is no error.
    ///
    /// # Errors
    /// [`ClaimError::NotFound`] if it is no epoch of one of the user's pairs.
    async fn claim(&self, user: UserId, device: DeviceId, epoch: EpochId)
    -> Result<(), ClaimError>;

    /// The newest epoch of the pair, and where both logs stand; `None` if they are no accepted
    /// contacts, or the self-pair has no epoch yet.
    ///
    /// # Errors
    /// If the store cannot answer.
    async fn pair(&self, user: UserId, peer: UserId) -> Result<Option<PairNow>, Failure>;

    /// Deletes what is kept no longer (CRYPTO 12): wraps unclaimed for 30 days, requests
    /// unanswered for 30 days, changes after 31 days, epochs that a newer one replaced 61 days ago (31 days after the
    /// last message under it can have waited 30), and old prekeys that no kept epoch names.
    ///
    /// # Errors
    /// If the store cannot answer.
    async fn prune(&self, now_ms: u64) -> Result<(), Failure>;

    /// Whether it answers.
    ///
    /// # Errors
    /// If it does not.
    async fn ping(&self) -> Result<(), Failure>;
}
