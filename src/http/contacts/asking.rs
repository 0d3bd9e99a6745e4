//! `POST /v1/contacts/request`.
//!
//! The answer, and the work before it, are the same whoever is asked: somebody known, unknown, or
//! who blocks the asker.

use actix_web::{HttpResponse, web};
use hushwire_identity::ContactRequest;
use hushwire_schema::{NewRequest, RequestBounds, RequestError, Requested};
use hushwire_wire::http::{ContactAsk, ContactAsked, ProblemCode};

use crate::http::State;
use crate::http::body::Signed;
use crate::http::problem::{Bound, Refusal};
use crate::http::users::own_log;

pub(crate) async fn request(
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
        per_day: limits.requests_per_day,
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
        Ok(Requested::Delivered(told)) => state.tell(Vec::new(), [told]).await?,
        Err(error) => return Err(refuse(error, &bounds)),
    }
    Ok(HttpResponse::Accepted().json(ContactAsked { request_id, crossed }))
}

fn refuse(error: RequestError, bounds: &RequestBounds) -> Refusal {
    match error {
        RequestError::TooMany { open, retry_after_ms } => {
            let words =
                "Open contact requests. One counts until it is accepted, for 7 days at most";
            let bound = Bound::new("limits.requests_open", bounds.asked, open);
            Refusal::rate(words, bound, retry_after_ms)
        }
        RequestError::TooManyToday { made, retry_after_ms } => {
            let words = "Contact requests in a day (UTC), whatever becomes of them";
            let bound = Bound::new("limits.requests_per_day", bounds.per_day, made);
            Refusal::rate(words, bound, retry_after_ms)
        }
        RequestError::Blocking => Refusal::new(
            ProblemCode::Forbidden,
            "You block this user. Take that back first, then ask.",
        ),
        RequestError::Failed(failure) => Refusal::unavailable(failure),
    }
}
