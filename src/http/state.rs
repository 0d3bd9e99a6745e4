//! `GET /v1/state?after={v}`: what changed while a device was away.

use actix_web::{HttpRequest, HttpResponse, web};
use hushwire_schema::ChangeRow;
use hushwire_wire::http::{CHANGES_MAX, Change, Changes};
use serde::Deserialize;

use super::State;
use super::caller::Caller;
use super::problem::Refusal;
use super::users::unread;

/// The query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    after: u64,
}

pub(super) async fn changes(
    state: web::Data<State>,
    caller: Caller,
    req: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let After { after } = web::Query::<After>::from_query(req.query_string())
        .map_err(|_| Refusal::field("after", "a version of the user, and nothing else"))?
        .into_inner();
    let list = state.store.changes(caller.user, after, CHANGES_MAX + 1).await.map_err(unread)?;
    let more = list.changes.len() > CHANGES_MAX;
    let changes = list.changes.into_iter().take(CHANGES_MAX).map(change).collect();
    Ok(HttpResponse::Ok().json(Changes { v: list.v, changes, more, complete: list.complete }))
}

/// A change as it travels.
pub(super) fn change(row: ChangeRow) -> Change {
    Change { v: row.v, kind: row.kind, peer: row.peer, at: row.at_ms }
}
