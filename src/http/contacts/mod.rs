//! `GET /v1/contacts`, `POST /v1/contacts/request`, `POST /v1/contacts/accept` (CRYPTO 9).

use actix_web::{HttpResponse, web};
use hushwire_actors::Change;
use hushwire_identity::ContactRequest;
use hushwire_schema::{
    AcceptError, Asked, ContactRow, NewRequest, RequestBounds, RequestError, Requested, Told,
};
use hushwire_wire::frame::{Event, EventKind};
use hushwire_wire::http::{
    Contact, ContactAccept, ContactAsk, ContactAsked, Contacts, EpochRef, ProblemCode,
};

use super::State;
use super::body::Signed;
use super::caller::Caller;
use super::posting::{Post, TRIES};
use super::problem::Refusal;
use super::users::{own_log, unread};

pub(super) async fn list(state: web::Data<State>, caller: Caller) -> Result<HttpResponse, Refusal> {
    let list = state.store.contacts(caller.user).await.map_err(unread)?;
    let contact = |row: ContactRow| Contact {
        peer: row.peer,
        state: row.state,
        request: row.request.into(),
        newest: row.newest,
    };
    let contacts = list.contacts.into_iter().map(contact).collect();
    Ok(HttpResponse::Ok().json(Contacts { v: list.v, contacts }))
}

pub(super) async fn request(
    state: web::Data<State>,
    Signed(caller, ask): Signed<ContactAsk>,
) -> Result<HttpResponse, Refusal> {
    let bytes = ask.request.as_bytes();
    let request = ContactRequest::parse(bytes)
        .map_err(|error| Refusal::field("request", error.to_string()))?;
    let log = own_log(&state, caller).await?;
    if request.from != log.point() {
        return Err(Refusal::field("request", "the newest entry of the caller's own log"));
    }
    if request.handle == *log.handle() || request.to == Some(caller.user) {
        return Err(Refusal::field("request", "another user than oneself"));
    }
    let limits = &state.settings.limits;
    let bounds = RequestBounds {
        asked: limits.requests_open,
        waiting: limits.requests_waiting,
        ..RequestBounds::default()
    };
    let request_id = request.id();
    let new = NewRequest {
        id: request_id,
        asker: caller.user,
        handle: request.handle,
        to: request.to,
        bytes: bytes.to_vec(),
        now_ms: state.now_ms(),
        bounds,
    };
    let mut crossed = None;
    match state.store.request(new).await {
        Ok(Requested::Silent) => {}
        Ok(Requested::Crossed(first)) => crossed = Some(first),
        Ok(Requested::Delivered(Told { user, v })) => {
            let event = Event { v, kind: EventKind::Request, peer: Some(caller.user) };
            state.engine.changed(Change { pairs: Vec::new(), events: vec![(user, event)] });
        }
        Err(RequestError::TooMany { open, retry_after_ms }) => {
            let detail = format!(
                "Open contact requests: at most {}, and {open} are open. One counts until it is \
                 accepted, for 7 days at most.",
                bounds.asked
            );
            let refusal = Refusal::new(ProblemCode::RateLimited, detail);
            return Err(refusal.retry_after(retry_after_ms));
        }
        Err(RequestError::Failed(failure)) => return Err(Refusal::unavailable(failure)),
    }
    Ok(HttpResponse::Accepted().json(ContactAsked { request_id, crossed }))
}

pub(super) async fn accept(
    state: web::Data<State>,
    Signed(caller, accept): Signed<ContactAccept>,
) -> Result<HttpResponse, Refusal> {
    let ContactAccept { request_id, epoch } = accept;
    let now_ms = state.now_ms();
    let post = Post::parse(&epoch, caller, now_ms)?;
    let created = EpochRef { n: post.header.n, epoch: post.id };
    for _ in 0..TRIES {
        let asked = state.store.asked(caller.user, request_id, now_ms).await;
        let asked = asked.map_err(Refusal::unavailable)?;
        let Asked { asker, accepted, keys } = asked.ok_or_else(Refusal::not_found)?;
        if post.is_newest(&keys) {
            // An answer was lost: the same post again.
            return Ok(HttpResponse::Created().json(created));
        }
        if accepted {
            return Err(Post::conflict(&keys));
        }
        let n = keys.newest.as_ref().map_or(0, |newest| newest.n.saturating_add(1));
        post.check(&keys, n, request_id.0)?;
        match state.store.accept(caller.user, request_id, keys.stamp, post.new_epoch()).await {
            Ok(told) => {
                let pairs = vec![(caller.user, asker)];
                let peer = |user| if user == asker { caller.user } else { asker };
                let events = told.into_iter().map(|Told { user, v }| {
                    let kind = EventKind::Accepted;
                    (user, Event { v, kind, peer: Some(peer(user)) })
                });
                state.engine.changed(Change { pairs, events: events.collect() });
                return Ok(HttpResponse::Created().json(created));
            }
            Err(AcceptError::Moved) => {}
            // Somebody was faster: the next look says who.
            Err(AcceptError::NotFound) => {}
            Err(AcceptError::TooMany) => {
                let detail = "One of the two has 10000 contacts, and no one may have more.";
                return Err(Refusal::new(ProblemCode::Forbidden, detail));
            }
            Err(AcceptError::Failed(failure)) => return Err(Refusal::unavailable(failure)),
        }
    }
    Err(Refusal::unavailable("the pair kept changing"))
}
