//! `POST /v1/contacts/accept`: the contact and its first epoch, in one step.

use actix_web::{HttpResponse, web};
use hushwire_schema::{AcceptError, Asked, CONTACTS_MAX};
use hushwire_wire::http::{ContactAccept, EpochRef};

use crate::http::State;
use crate::http::body::Signed;
use crate::http::posting::{Post, TRIES};
use crate::http::problem::{Bound, Refusal};

pub(crate) async fn accept(
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
        post.check(&state.logs, &keys, request_id.0)?;
        match state.store.accept(caller.user, request_id, keys.stamp, post.new_epoch()).await {
            Ok(told) => {
                // They are contacts. Where it is not known yet they are none, for a moment.
                drop(state.tell(vec![(caller.user, asker)], told).await);
                return Ok(HttpResponse::Created().json(created));
            }
            Err(AcceptError::Moved) => {}
            // Somebody was faster: the next look says who.
            Err(AcceptError::NotFound) => {}
            Err(AcceptError::TooMany) => {
                let words = "Contacts of one of the two";
                return Err(Refusal::reached(words, Bound::full("contacts", CONTACTS_MAX)));
            }
            Err(AcceptError::Failed(failure)) => return Err(Refusal::unavailable(failure)),
        }
    }
    Err(Refusal::unavailable("the pair kept changing"))
}
