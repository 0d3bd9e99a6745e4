//! `/v1/contacts`: the list, and what changes it (CRYPTO 9).

pub(super) mod accepting;
pub(super) mod asking;
pub(super) mod partings;

use actix_web::{HttpResponse, web};
use hushwire_schema::ContactRow;
use hushwire_wire::http::{Contact, Contacts};

use super::State;
use super::caller::Caller;
use super::problem::Refusal;
use super::users::unread;

pub(super) async fn list(state: web::Data<State>, caller: Caller) -> Result<HttpResponse, Refusal> {
    let list = state.store.contacts(caller.user).await.map_err(unread)?;
    let contacts = list.contacts.into_iter().map(contact).collect();
    Ok(HttpResponse::Ok().json(Contacts { v: list.v, contacts }))
}

/// A row of the list as it travels.
pub(super) fn contact(row: ContactRow) -> Contact {
    Contact { peer: row.peer, state: row.state, request: row.request.into(), newest: row.newest }
}
