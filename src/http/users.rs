//! `GET /v1/users/{user}/log`, `GET /v1/users/{user}/prekeys`, `PUT /v1/prekey`.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use hushwire_actors::Change;
use hushwire_identity::{DeviceLog, PrekeyRecord};
use hushwire_schema::{Acquaintance, PrekeyRow, PutPrekeyError, ReadError, UnclaimedRow};
use hushwire_wire::UserId;
use hushwire_wire::frame::{Event, EventKind};
use hushwire_wire::http::{
    LogEntries, PrekeyBundle, PrekeyPut, Prekeys, ProblemCode, UNCLAIMED_MAX, Unclaimed,
};
use serde::Deserialize;

use super::accounts::{bundle, verified};
use super::body::Signed;
use super::caller::{Caller, id};
use super::problem::Refusal;
use super::{State, too_often};

/// Contacts that hear of one prekey, at most.
const TOLD_MAX: usize = 1_000;

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
    let id = prekey.id;
    let record = prekey.record.clone();
    // A repeat, which may ask for the next wraps, costs nothing.
    if !is_current(&state, caller, &prekey).await? {
        admit_prekey(&state, caller)?;
    }
    let replaced = state.store.put_prekey(caller.user, prekey).await.map_err(not_put)?;
    // A device that goes back and forth between two days has news once an hour.
    if replaced.is_some_and(|replaced| is_news(&replaced, &record))
        && state.prekey_news.admit(caller.device, state.now_ms()).is_ok()
    {
        tell_contacts(&state, caller).await?;
    }
    let most = UNCLAIMED_MAX + 1;
    let rows = state.store.unclaimed(caller.device, id, most).await;
    let mut rows = rows.map_err(Refusal::unavailable)?;
    let more = rows.len() >= most;
    rows.truncate(UNCLAIMED_MAX);
    let unclaimed = |row: UnclaimedRow| Unclaimed { epoch: row.epoch, prekey: row.prekey };
    let unclaimed = rows.into_iter().map(unclaimed).collect();
    Ok(HttpResponse::Ok().json(PrekeyPut { unclaimed, more }))
}

/// Whether a device's prekey is this very one.
async fn is_current(state: &State, caller: Caller, prekey: &PrekeyRow) -> Result<bool, Refusal> {
    let rows = state.store.prekeys(caller.user, caller.user).await.map_err(unread)?;
    Ok(rows.contains(prekey))
}

fn admit_prekey(state: &State, caller: Caller) -> Result<(), Refusal> {
    let rate = state.settings.limits.prekeys_per_hour;
    state.prekeys.admit(caller.device, state.now_ms()).map_err(|ms| {
        let rule = "limits.prekeys_per_hour";
        too_often("Prekeys of one device in an hour", rule, rate, ms)
    })
}

fn not_put(error: PutPrekeyError) -> Refusal {
    match error {
        PutPrekeyError::NotNext { next } => {
            let detail = format!(
                "The next prekey of this device has the id {next}. If the device does not know \
                 the one that stands, it was rolled back, or lives twice."
            );
            Refusal::new(ProblemCode::PrekeyConflict, detail)
        }
        PutPrekeyError::NoDevice => {
            Refusal::new(ProblemCode::Forbidden, "This device is not active.")
        }
        PutPrekeyError::Failed(failure) => Refusal::unavailable(failure),
    }
}

/// Whether contacts hear of a prekey: once a day, and when it knows more of its log. Others would
/// not make them act, and a device may put as many as it likes.
fn is_news(replaced: &[u8], record: &[u8]) -> bool {
    let facts = |bytes: &[u8]| PrekeyRecord::parse(bytes).ok().map(|r| (r.day, r.log_seq));
    facts(replaced) != facts(record)
}

/// Tells the live devices of the contacts that were spoken with last. Others look when they come.
async fn tell_contacts(state: &State, caller: Caller) -> Result<(), Refusal> {
    let told = state.store.acquainted(caller.user, TOLD_MAX).await;
    let told = told.map_err(Refusal::unavailable)?;
    let (kind, peer) = (EventKind::Prekey, Some(caller.user));
    let events = told.into_iter().map(|Acquaintance { user, v }| (user, Event { v, kind, peer }));
    let change = Change { pairs: Vec::new(), events: events.collect() };
    state.engine.committed(change).await.map_err(Refusal::unavailable)
}

/// The caller's log as it stands.
pub(super) async fn own_log(state: &State, caller: Caller) -> Result<Arc<DeviceLog>, Refusal> {
    let entries = state.store.log(caller.user, caller.user, None).await.map_err(unread)?;
    state.logs.verified(caller.user, &entries).map_err(Refusal::internal)
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
