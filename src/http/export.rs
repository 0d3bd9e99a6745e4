//! `GET /v1/account/export`: everything that the server holds of an account, as one JSON object.
//!
//! Its size is bounded by what an account may have; epochs, the largest part, are read and sent
//! pair by pair, so that no more than those of one pair are in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures_util::stream::unfold;
use hushwire_schema::{DeviceRow, EndedRow, Failure, Store};
use hushwire_wire::UserId;
use hushwire_wire::http::{
    AccountExport, ContactState, ExportedDevice, ExportedEnd, ExportedEpoch, ExportedRequest,
};

use super::accounts::bundle;
use super::caller::Caller;
use super::contacts::contact;
use super::problem::Refusal;
use super::state::change;
use super::users::unread;
use super::{State, too_often};

pub(super) async fn export(
    state: web::Data<State>,
    caller: Caller,
) -> Result<HttpResponse, Refusal> {
    let rate = state.settings.limits.exports_per_hour;
    state.exports.admit(caller.user, state.now_ms()).map_err(|ms| {
        too_often("Exports of one account in an hour", "limits.exports_per_hour", rate, ms)
    })?;
    let export = state.store.export(caller.user).await.map_err(unread)?;
    let contacts = export.contacts.iter();
    let active = contacts.filter(|row| row.state == ContactState::Active).map(|row| row.peer);
    let peers = std::iter::once(caller.user).chain(active).collect();
    let export = AccountExport {
        user: caller.user,
        handle: export.handle.as_str().to_owned(),
        since: export.since_ms,
        v: export.v,
        log: export.log.into_iter().map(Into::into).collect(),
        devices: export.devices.into_iter().map(device).collect(),
        prekeys: export.prekeys.into_iter().map(bundle).collect(),
        contacts: export.contacts.into_iter().map(contact).collect(),
        ended: export.ended.into_iter().map(ended).collect(),
        asked: export.asked.into_iter().map(asked).collect(),
        asked_that_day: export.asked_that_day,
        changes: export.changes.into_iter().map(change).collect(),
        epochs: Vec::new(),
    };
    let mut head = serde_json::to_vec(&export).map_err(Refusal::internal)?;
    // The object ends with the list of epochs, which is empty so far: `[]}`.
    head.truncate(head.len().saturating_sub(2));
    let pages = Pages {
        store: Arc::clone(&state.store),
        user: caller.user,
        head: Some(head),
        peers,
        first: true,
        done: false,
    };
    let body = unfold(pages, Pages::next);
    Ok(HttpResponse::Ok().content_type("application/json").streaming(body))
}

/// What of an export has not been sent yet.
struct Pages {
    store: Arc<dyn Store>,
    user: UserId,
    head: Option<Vec<u8>>,
    /// Pairs whose epochs are to come: one more than there may be contacts, at most.
    peers: VecDeque<UserId>,
    first: bool,
    done: bool,
}

impl Pages {
    /// The next piece; an error ends the body short of its end, so that nobody takes it for whole.
    async fn next(mut self) -> Option<(Result<Bytes, Failure>, Self)> {
        if let Some(head) = self.head.take() {
            return Some((Ok(head.into()), self));
        }
        let Some(peer) = self.peers.pop_front() else {
            if self.done {
                return None;
            }
            self.done = true;
            return Some((Ok(Bytes::from_static(b"]}")), self));
        };
        match self.store.pair_epochs(self.user, peer).await {
            Ok(rows) => {
                let mut page = Vec::new();
                for row in rows {
                    let at = row.posted_ms;
                    let epoch = ExportedEpoch { header: row.epoch.header.into(), at };
                    if !std::mem::take(&mut self.first) {
                        page.push(b',');
                    }
                    // It cannot fail: the type has no map and no float.
                    page.extend(serde_json::to_vec(&epoch).unwrap_or_default());
                }
                Some((Ok(page.into()), self))
            }
            Err(failure) => {
                (self.done, self.peers) = (true, VecDeque::new());
                Some((Err(failure), self))
            }
        }
    }
}

fn device(row: DeviceRow) -> ExportedDevice {
    let (revoked, unclaimed) = (row.revoked_seq, row.unclaimed);
    ExportedDevice { device: row.device, since: row.since_ms, revoked, unclaimed }
}

fn ended(row: EndedRow) -> ExportedEnd {
    ExportedEnd { peer: row.peer, request: row.request.into(), n: row.n, at: row.at_ms }
}

fn asked((request, at): (Vec<u8>, u64)) -> ExportedRequest {
    ExportedRequest { request: request.into(), at }
}
