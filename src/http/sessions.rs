//! `GET /v1/sessions`, `DELETE /v1/sessions/{device}`: the own devices, and signing one out.
//!
//! A device that is signed out can sign in again: taking it out for good is an entry of the log.

use actix_web::{HttpRequest, HttpResponse, web};
use hushwire_wire::DeviceId;
use hushwire_wire::http::{Session, Sessions};

use super::State;
use super::caller::{Caller, id};
use super::problem::Refusal;
use super::users::own_log;

pub(super) async fn list(state: web::Data<State>, caller: Caller) -> Result<HttpResponse, Refusal> {
    let log = own_log(&state, caller).await?;
    let rows = state.store.devices(caller.user).await.map_err(Refusal::unavailable)?;
    let active: Vec<_> = rows.into_iter().filter(|row| row.revoked_seq.is_none()).collect();
    let devices: Vec<_> = active.iter().map(|row| row.device).collect();
    let live = state.engine.live(&devices).await.map_err(Refusal::unavailable)?;
    let session = |row: hushwire_schema::DeviceRow| {
        let device = log.device(&row.device)?;
        Some(Session {
            device: row.device,
            kind: device.kind.number(),
            since: row.since_ms,
            live: live.contains(&row.device),
            current: row.device == caller.device,
        })
    };
    Ok(HttpResponse::Ok()
        .json(Sessions { sessions: active.into_iter().filter_map(session).collect() }))
}

pub(super) async fn end(
    state: web::Data<State>,
    caller: Caller,
    req: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let device = id(&req, "device", DeviceId::from_base64url, "a device id of 16 bytes")?;
    let found = state.store.login_key(caller.user, device).await.map_err(Refusal::unavailable)?;
    found.ok_or_else(Refusal::not_found)?;
    let ended = state.engine.end_sessions(caller.user, device).await;
    ended.map_err(Refusal::unavailable)?;
    Ok(HttpResponse::NoContent().finish())
}
