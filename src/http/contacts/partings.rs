//! `POST /v1/contacts/decline`, `/remove`, `/block` and `/unblock`.
//!
//! All are done once and answered alike however often they are repeated; the other side is told
//! nothing. The database comes first: from then on nothing new gets through. If the process ends
//! before the queues dropped what waits, a repeat drops it.

use actix_web::{HttpResponse, web};
use hushwire_schema::{BLOCKED_MAX, BlockError, Told};
use hushwire_wire::UserId;
use hushwire_wire::http::{ContactDecline, ContactPeer};

use crate::http::State;
use crate::http::body::Signed;
use crate::http::problem::{Bound, Refusal};

pub(crate) async fn decline(
    state: web::Data<State>,
    Signed(caller, ContactDecline { request_id }): Signed<ContactDecline>,
) -> Result<HttpResponse, Refusal> {
    let told = state.store.decline(caller.user, request_id, state.now_ms()).await;
    state.tell(Vec::new(), told.map_err(Refusal::unavailable)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(crate) async fn remove(
    state: web::Data<State>,
    Signed(caller, ContactPeer { peer }): Signed<ContactPeer>,
) -> Result<HttpResponse, Refusal> {
    let told = state.store.remove(caller.user, peer, state.now_ms()).await;
    let told = told.map_err(Refusal::unavailable)?;
    state.tell(ended(&told), told).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(crate) async fn block(
    state: web::Data<State>,
    Signed(caller, ContactPeer { peer }): Signed<ContactPeer>,
) -> Result<HttpResponse, Refusal> {
    let blocked = state.store.block(caller.user, peer, state.now_ms()).await;
    let blocked = blocked.map_err(|error| match error {
        BlockError::NotFound => Refusal::not_found(),
        BlockError::TooMany => {
            Refusal::reached("Blocked users", Bound::full("blocked", BLOCKED_MAX))
        }
        BlockError::Failed(failure) => Refusal::unavailable(failure),
    })?;
    let told = state.tell(ended(&blocked.told), blocked.told).await;
    let dropped = state.engine.drop_from(&blocked.devices, peer).await;
    dropped.map_err(Refusal::unavailable)?;
    told?;
    Ok(HttpResponse::NoContent().finish())
}

/// The pair that ended, if it did. Nothing is forgotten of what did not change: a user that removes
/// strangers again and again would hold up loads of other pairs.
fn ended(told: &Option<Told>) -> Vec<(UserId, UserId)> {
    told.iter().map(|told| (told.user, told.peer)).collect()
}

pub(crate) async fn unblock(
    state: web::Data<State>,
    Signed(caller, ContactPeer { peer }): Signed<ContactPeer>,
) -> Result<HttpResponse, Refusal> {
    let told = state.store.unblock(caller.user, peer, state.now_ms()).await;
    state.tell(Vec::new(), told.map_err(Refusal::unavailable)?).await?;
    Ok(HttpResponse::NoContent().finish())
}
