//! The queries, once for every database: each store includes this module, over its own kind of
//! connection (`Conn`), as the acts of its own type (`Adapter`).
//!
//! So what an act does is written down in one place, and the stores differ in how they run it: in
//! a transaction that sees one state of the database, and that happens as a whole or not at all.
//! A store may run an act again that another one came between.

pub(crate) mod accounts;
mod changes;
mod column;
pub(crate) mod contacts;
mod endings;
mod entries;
pub(crate) mod epochs;
pub(crate) mod partings;
mod tables;

use async_trait::async_trait;
use hushwire_wire::{DeviceId, EpochId, RequestId, UserId};

use super::{Adapter, Conn, sql, takes_writes};
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
use crate::store::Store;

#[async_trait]
impl Store for Adapter {
    async fn settle_domain(&self, domain: &str) -> Result<(), DomainError> {
        let domain = domain.to_owned();
        self.write(move |conn| accounts::settle_domain(conn, &domain)).await
    }

    async fn register(&self, account: NewAccount) -> Result<(), RegisterError> {
        self.write(move |conn| accounts::register(conn, &account)).await
    }

    async fn login_key(&self, user: UserId, device: DeviceId) -> Result<Option<LoginKey>, Failure> {
        self.read(move |conn| accounts::login_key(conn, &user, &device)).await
    }

    async fn log(
        &self,
        reader: UserId,
        user: UserId,
        after: Option<u32>,
    ) -> Result<Vec<Vec<u8>>, ReadError> {
        self.read(move |conn| accounts::log(conn, &reader, &user, after)).await
    }

    async fn prekeys(&self, reader: UserId, user: UserId) -> Result<Vec<PrekeyRow>, ReadError> {
        self.read(move |conn| accounts::prekeys(conn, &reader, &user)).await
    }

    async fn put_prekey(
        &self,
        user: UserId,
        prekey: PrekeyRow,
    ) -> Result<Option<Vec<u8>>, PutPrekeyError> {
        self.write(move |conn| accounts::put_prekey(conn, &user, &prekey)).await
    }

    async fn unclaimed(
        &self,
        device: DeviceId,
        prekey: u32,
        most: usize,
    ) -> Result<Vec<UnclaimedRow>, Failure> {
        self.read(move |conn| epochs::unclaimed(conn, &device, prekey, most)).await
    }

    async fn acquainted(&self, user: UserId, most: usize) -> Result<Vec<Acquaintance>, Failure> {
        self.read(move |conn| contacts::acquainted(conn, &user, most)).await
    }

    async fn append(&self, entry: NewEntry) -> Result<Vec<Told>, AppendError> {
        self.write(move |conn| entries::append(conn, &entry)).await
    }

    async fn changes(
        &self,
        user: UserId,
        after: u64,
        most: usize,
    ) -> Result<ChangeList, ReadError> {
        self.read(move |conn| changes::list(conn, &user, after, most)).await
    }

    async fn devices(&self, user: UserId) -> Result<Vec<DeviceRow>, Failure> {
        self.read(move |conn| endings::device_rows(conn, &user)).await
    }

    async fn decline(
        &self,
        user: UserId,
        request: RequestId,
        now_ms: u64,
    ) -> Result<Option<Told>, Failure> {
        self.write(move |conn| partings::decline(conn, &user, &request, now_ms)).await
    }

    async fn remove(
        &self,
        user: UserId,
        peer: UserId,
        now_ms: u64,
    ) -> Result<Option<Told>, Failure> {
        self.write(move |conn| partings::remove(conn, &user, &peer, now_ms)).await
    }

    async fn block(&self, user: UserId, peer: UserId, now_ms: u64) -> Result<Blocked, BlockError> {
        self.write(move |conn| partings::block(conn, &user, &peer, now_ms)).await
    }

    async fn unblock(
        &self,
        user: UserId,
        peer: UserId,
        now_ms: u64,
    ) -> Result<Option<Told>, Failure> {
        self.write(move |conn| partings::unblock(conn, &user, &peer, now_ms)).await
    }

    async fn delete_account(&self, user: UserId, now_ms: u64) -> Result<Option<Deleted>, Failure> {
        self.write(move |conn| endings::delete_account(conn, &user, now_ms)).await
    }

    async fn export(&self, user: UserId) -> Result<Export, ReadError> {
        self.read(move |conn| endings::export(conn, &user)).await
    }

    async fn pair_epochs(&self, user: UserId, peer: UserId) -> Result<Vec<ExportedEpoch>, Failure> {
        self.read(move |conn| endings::pair_epochs(conn, &user, &peer)).await
    }

    async fn request(&self, request: NewRequest) -> Result<Requested, RequestError> {
        self.write(move |conn| contacts::request(conn, &request)).await
    }

    async fn contacts(&self, user: UserId) -> Result<ContactList, ReadError> {
        self.read(move |conn| contacts::list(conn, &user)).await
    }

    async fn asked(
        &self,
        answerer: UserId,
        request: RequestId,
        now_ms: u64,
    ) -> Result<Option<Asked>, Failure> {
        self.read(move |conn| contacts::asked(conn, &answerer, &request, now_ms)).await
    }

    async fn accept(
        &self,
        answerer: UserId,
        request: RequestId,
        stamp: PairStamp,
        epoch: NewEpoch,
    ) -> Result<Vec<Told>, AcceptError> {
        let act = move |conn: &mut _| contacts::accept(conn, &answerer, &request, &stamp, &epoch);
        self.write(act).await
    }

    async fn pair_keys(
        &self,
        user: UserId,
        peer: UserId,
        now_ms: u64,
    ) -> Result<Option<PairKeys>, Failure> {
        self.read(move |conn| epochs::pair_keys(conn, &user, &peer, now_ms)).await
    }

    async fn post_epoch(
        &self,
        stamp: PairStamp,
        epoch: NewEpoch,
    ) -> Result<Vec<Told>, PostEpochError> {
        self.write(move |conn| epochs::post(conn, &stamp, &epoch)).await
    }

    async fn epoch(
        &self,
        user: UserId,
        device: DeviceId,
        epoch: EpochId,
    ) -> Result<EpochFound, ReadError> {
        self.read(move |conn| epochs::find(conn, &user, &device, &epoch)).await
    }

    async fn claim(
        &self,
        user: UserId,
        device: DeviceId,
        epoch: EpochId,
    ) -> Result<(), ClaimError> {
        self.write(move |conn| epochs::claim(conn, &user, &device, &epoch)).await
    }

    async fn pair(&self, user: UserId, peer: UserId) -> Result<Option<PairNow>, Failure> {
        self.read(move |conn| epochs::pair(conn, &user, &peer)).await
    }

    async fn prune(&self, now_ms: u64) -> Result<(), Failure> {
        self.write(move |conn| epochs::prune(conn, now_ms)).await
    }

    async fn ping(&self) -> Result<(), Failure> {
        self.write(accounts::ping).await
    }
}
