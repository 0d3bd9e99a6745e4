//! What every store must do, once, for all of them: [`all`] runs each behaviour on a new store.
//!
//! Bytes are made up: a store compares and never verifies.

mod accounts;
mod changes;
mod contacts;
mod endings;
mod entries;
mod epochs;
mod partings;

use hushwire_identity::{Handle, Head};
use hushwire_wire::frame::EventKind;
use hushwire_wire::{DeviceId, EpochId, RequestId, UserId};

use crate::account::{NewAccount, PrekeyRow};
use crate::change::Told;
use crate::contact::{NewRequest, RequestBounds, Requested};
use crate::epoch::{NewEpoch, WrapRow};
use crate::store::Store;

pub(super) const NOW: u64 = 1_700_000_000_000;
pub(super) const DAY: u64 = 86_400_000;

/// Runs the whole suite. `open` makes an empty store, and whatever must live as long as it.
pub(crate) async fn all<S: Store, G>(open: impl Fn() -> (S, G)) {
    accounts::all(&open).await;
    contacts::all(&open).await;
    epochs::all(&open).await;
    partings::all(&open).await;
    changes::all(&open).await;
    entries::all(&open).await;
    endings::all(&open).await;
}

pub(super) fn user(tag: u8) -> UserId {
    UserId([tag; 32])
}

pub(super) fn device(tag: u8) -> DeviceId {
    DeviceId([tag; 16])
}

pub(super) fn handle(tag: u8) -> Handle {
    Handle::parse(&format!("user{tag}")).unwrap()
}

pub(super) fn prekey(tag: u8, id: u32) -> PrekeyRow {
    let record = vec![tag, id.to_be_bytes()[3], 9];
    PrekeyRow { device: device(tag), id, record, xwing: Some(vec![tag; 1216]) }
}

pub(super) fn account(tag: u8) -> NewAccount {
    NewAccount {
        user: user(tag),
        handle: handle(tag),
        device: device(tag),
        ik: [tag; 32],
        genesis: vec![tag; 200],
        head: Head(user(tag).0),
        prekey: prekey(tag, 1),
        now_ms: NOW,
    }
}

pub(super) fn told_of(tag: u8, v: u64, kind: EventKind, peer: u8) -> Told {
    Told { user: user(tag), v, kind, peer: user(peer) }
}

pub(super) fn ask(asker: u8, answerer: u8, nonce: u8) -> NewRequest {
    let mut id = [nonce; 32];
    (id[0], id[1]) = (asker, answerer);
    NewRequest {
        id: RequestId(id),
        asker: user(asker),
        handle: handle(answerer),
        to: None,
        bytes: id.to_vec(),
        now_ms: NOW,
        bounds: RequestBounds::default(),
    }
}

pub(super) fn epoch(tag: u8, n: u32, creator: u8, wrapped: &[u8], named: &[(u8, u32)]) -> NewEpoch {
    NewEpoch {
        id: EpochId([tag; 32]),
        n,
        creator: user(creator),
        header: vec![tag, 1, 2, 3],
        wraps: wrapped
            .iter()
            .map(|device_tag| WrapRow { device: device(*device_tag), wrap: vec![*device_tag; 80] })
            .collect(),
        named: named.iter().map(|(tag, id)| (device(*tag), *id)).collect(),
        now_ms: NOW,
    }
}

/// Two accounts that are contacts, with epoch `0x10` made by the second.
pub(super) async fn befriend(store: &impl Store, one: u8, two: u8) {
    let request = ask(one, two, 1);
    let id = request.id;
    assert!(matches!(store.request(request).await, Ok(Requested::Delivered(_))));
    let asked = store.asked(user(two), id, NOW).await.unwrap().unwrap();
    let first = epoch(0x10, 0, two, &[one], &[(one, 1), (two, 1)]);
    store.accept(user(two), id, asked.keys.stamp, first).await.unwrap();
}
