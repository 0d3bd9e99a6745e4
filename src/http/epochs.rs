//! `POST /v1/epochs`, `GET /v1/epochs/{epoch}`, `POST /v1/epochs/{epoch}/claimed` (CRYPTO 5).

use actix_web::{HttpRequest, HttpResponse, web};
use hushwire_schema::{ClaimError, PostEpochError};
use hushwire_wire::EpochId;
use hushwire_wire::http::{EpochBundle, EpochPost, EpochRef};

use super::State;
use super::accounts::bundle;
use super::body::Signed;
use super::caller::{Caller, id};
use super::posting::{Post, TRIES};
use super::problem::Refusal;
use super::users::unread;

pub(super) async fn post(
    state: web::Data<State>,
    Signed(caller, post): Signed<EpochPost>,
) -> Result<HttpResponse, Refusal> {
    let EpochPost { peer, epoch } = post;
    let now_ms = state.now_ms();
    let post = Post::parse(&epoch, caller, now_ms)?;
    let created = EpochRef { n: post.header.n, epoch: post.id };
    for _ in 0..TRIES {
        let keys = state.store.pair_keys(caller.user, peer, now_ms).await;
        let keys = keys.map_err(Refusal::unavailable)?.ok_or_else(Refusal::not_found)?;
        if post.is_newest(&keys) {
            // An answer was lost: the same post again.
            return Ok(HttpResponse::Created().json(created));
        }
        let newest = keys.newest.as_ref();
        post.check(&state.logs, &keys, newest.map_or([0; 32], |newest| newest.id.0))?;
        post.check_rate(&keys, &state.settings.limits)?;
        match state.store.post_epoch(keys.stamp, post.new_epoch()).await {
            Ok(told) => {
                // It is made. Where it is not known yet the one before is refused, for a moment.
                drop(state.tell(vec![(caller.user, peer)], told).await);
                return Ok(HttpResponse::Created().json(created));
            }
            Err(PostEpochError::Moved) => {}
            Err(PostEpochError::Failed(failure)) => return Err(Refusal::unavailable(failure)),
        }
    }
    Err(Refusal::unavailable("the pair kept changing"))
}

pub(super) async fn find(
    state: web::Data<State>,
    caller: Caller,
    req: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let found = state.store.epoch(caller.user, caller.device, epoch(&req)?).await;
    let found = found.map_err(unread)?;
    Ok(HttpResponse::Ok().json(EpochBundle {
        header: found.header.into(),
        wrap: found.wrap.map(Into::into),
        prekeys: found.prekeys.into_iter().map(bundle).collect(),
    }))
}

pub(super) async fn claimed(
    state: web::Data<State>,
    caller: Caller,
    req: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let claim = state.store.claim(caller.user, caller.device, epoch(&req)?).await;
    claim.map_err(|error| match error {
        ClaimError::NotFound => Refusal::not_found(),
        ClaimError::Failed(failure) => Refusal::unavailable(failure),
    })?;
    Ok(HttpResponse::NoContent().finish())
}

fn epoch(req: &HttpRequest) -> Result<EpochId, Refusal> {
    id(req, "epoch", EpochId::from_base64url, "an epoch id of 32 bytes")
}
