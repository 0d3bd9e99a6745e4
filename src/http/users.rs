//! `GET /v1/users/{user}/log`, `GET /v1/users/{user}/prekeys`, `PUT /v1/prekey`.

use actix_web::{HttpRequest, HttpResponse, web};
use hushwire_identity::DeviceLog;
use hushwire_schema::{PutPrekeyError, ReadError};
use hushwire_wire::UserId;
use hushwire_wire::http::{LogEntries, PrekeyBundle, Prekeys, ProblemCode};
use serde::Deserialize;

use super::State;
use super::accounts::{bundle, verified};
use super::body::Signed;
use super::caller::{Caller, id};
use super::problem::Refusal;

/// The query of a log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    after: Option<u32>,
}

pub(super) async fn log(
    state: web::Data<State>,
    caller: Caller,
    req: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let user = user(&req)?;
    let After { after } = web::Query::<After>::from_query(req.query_string())
        .map_err(|_| Refusal::field("after", "the number of an entry, and nothing else"))?
        .into_inner();
    let entries = state.store.log(caller.user, user, after).await.map_err(unread)?;
    let entries = entries.into_iter().map(Into::into).collect();
    Ok(HttpResponse::Ok().json(LogEntries { entries }))
}

pub(super) async fn prekeys(
    state: web::Data<State>,
    caller: Caller,
    req: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let rows = state.store.prekeys(caller.user, user(&req)?).await.map_err(unread)?;
    let prekeys = rows.into_iter().map(bundle).collect();
    Ok(HttpResponse::Ok().json(Prekeys { prekeys }))
}

pub(super) async fn put_prekey(
    state: web::Data<State>,
    Signed(caller, bundle): Signed<PrekeyBundle>,
) -> Result<HttpResponse, Refusal> {
    let log = own_log(&state, caller).await?;
    let prekey = verified(&bundle, &log)?;
    if prekey.device != caller.device {
        return Err(Refusal::new(ProblemCode::Forbidden, "A device puts its own prekey only."));
    }
    state.store.put_prekey(caller.user, prekey).await.map_err(|error| match error {
        PutPrekeyError::NotNext { next } => Refusal::field("record", format!("the id {next}")),
        PutPrekeyError::NoDevice => {
            Refusal::new(ProblemCode::Forbidden, "This device is not active.")
        }
        PutPrekeyError::Failed(failure) => Refusal::unavailable(failure),
    })?;
    Ok(HttpResponse::NoContent().finish())
}

/// The caller's log as it stands.
pub(super) async fn own_log(state: &State, caller: Caller) -> Result<DeviceLog, Refusal> {
    let entries = state.store.log(caller.user, caller.user, None).await.map_err(unread)?;
    DeviceLog::verify(entries).map_err(Refusal::internal)
}

/// What was not read.
pub(super) fn unread(error: ReadError) -> Refusal {
    match error {
        ReadError::NotFound => Refusal::not_found(),
        ReadError::Failed(failure) => Refusal::unavailable(failure),
    }
}

fn user(req: &HttpRequest) -> Result<UserId, Refusal> {
    id(req, "user", UserId::from_base64url, "a user id of 32 bytes")
}
